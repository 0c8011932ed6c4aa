//! What IQ2_XXS, IQ2_XS and IQ2_S share: groups of eight magnitudes 8, 25 or 43 with signs, and the search for them.

use super::code_book;
use super::search::{Book, Envelope, Part, Scales, Target, Unit, block_scales, cheapest_flip, magnitudes, stretched};

/// What makes unsigned codes of the signed values.
pub(super) const BIAS: i8 = 43;

/// The points of a table.
pub(super) fn book<const N: usize>(table: &'static [u64; N]) -> Book<8, N> {
    Book::new(table.iter().map(|point| point.to_le_bytes().map(f32::from)))
}

/// Scales, points and signs of the 32 groups of a block.
pub(super) struct Encoded<const UNITS: usize> {
    pub scales: Scales<UNITS>,
    pub points: [u16; 32],
    pub signs: [u8; 32],
}

/// Searches the best block of `UNITS` units; a scale is `d * (2 step + 1) / 8`. With `even_signs` the signs of a group must be even in
/// number. `None` for a block that is best all zero.
pub(super) fn encode<const UNITS: usize, const N: usize>(
    book: &Book<8, N>,
    weights: &[f32],
    importance: Option<&[f32]>,
    even_signs: bool,
) -> Option<Encoded<UNITS>> {
    // Whole models have a lower perplexity than where large weights cost more, above all with an even number of signs.
    let target = Target::by_importance(weights, importance)?;
    let per_unit = 32 / UNITS;
    let group = |index: usize| {
        let (x, costs) = target.group::<8>(index);
        let (x, signs) = magnitudes(x);
        (x, costs, signs, even_signs && signs.count_ones() % 2 == 1)
    };
    let units: [Unit; UNITS] = std::array::from_fn(|u| {
        let range = if UNITS == 8 { target.range::<32>(u, 70.0, 24.0) } else { target.range::<16>(u, 70.0, 24.0) };
        let part = |index: usize| {
            let (x, costs, _, odd) = group(index);
            Part::plain(vec![Envelope::new(book, &x, costs, odd, range)])
        };
        Unit { parts: (u * per_unit..(u + 1) * per_unit).map(part).collect(), range }
    });
    let mut scales = block_scales(&units, 15, 1.0 / 8.0 / target.largest);
    scales.d = stretched(&scales, &units, &target, 1.0);
    let (mut points, mut all_signs) = ([0; 32], [0; 32]);
    for (index, part) in units.iter().flat_map(|unit| &unit.parts).enumerate().take(32) {
        let Some(envelope) = part.chosen(0.0).1.first() else { continue };
        let (x, costs, signs, odd) = group(index);
        points[index] = envelope.point(scales.scales[index / per_unit]);
        let flip = if odd { 1 << cheapest_flip(&x, costs, &book.point(points[index])) } else { 0 };
        all_signs[index] = signs ^ flip;
    }
    Some(Encoded { scales, points, signs: all_signs })
}

/// The codes of a group.
pub(super) fn codes(table: &[u64], point: usize, signs: u8) -> [i8; 8] {
    code_book::signed(table.get(point).copied().unwrap_or_default(), signs, BIAS)
}
