//! IQ3_XXS: 256 weights in 98 bytes, 3.0625 bits a weight; groups of four are points of a code book of 256, with an even number of
//! signs in two groups.
//!
//! ```text
//! 0..2    d       f16
//! 2..66   points  byte j: the index of group j
//! 66..98  words   u32[8], little-endian: bits 7k..7k+7 the signs of weights 8k..8k+8 of the unit, bits 28..32 the scale
//! weight[i] = d * (2 scale[i / 32] + 1) / 4 * ±point[i / 4][i % 4]
//! ```
//!
//! For kernels: [`IQ3_XXS`](super::code_book::IQ3_XXS) and [`SIGNS`].

use std::sync::LazyLock;

use super::code_book::{self, SIGNS};
use super::search::{Book, Envelope, Part, Target, Unit as Search, block_scales, cheapest_flip, magnitudes, stretched};
use super::{Block, Grid, Unit, f16_value};
use crate::format::Format;

/// What makes unsigned codes of the signed values.
const BIAS: i8 = 62;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ3_XXS {
    pub d: [u8; 2],
    pub points: [u8; 64],
    pub words: [[u8; 4]; 8],
}

static BOOK: LazyLock<Book<4, 256>> =
    LazyLock::new(|| Book::new(code_book::IQ3_XXS.iter().map(|point| point.to_le_bytes().map(f32::from))));

// SAFETY: byte arrays only.
unsafe impl Block for IQ3_XXS {
    const FORMAT: Format = Format::IQ3_XXS;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let mut block = Self { d: [0; 2], points: [0; 64], words: [[0; 4]; 8] };
        let Some(target) = Target::new(weights, importance) else { return block };
        let units: [Search; 8] = std::array::from_fn(|u| {
            let range = target.range::<32>(u, 90.0, 36.0);
            Search { parts: (4 * u..4 * u + 4).map(|pair| part(&target, pair, range)).collect(), range }
        });
        let scales = block_scales(&units, 15, 1.0 / 4.0 / target.largest);
        block.d = stretched(&scales, &units, &target, 1.0);
        for (u, unit) in units.iter().enumerate() {
            let scale = scales.scales[u];
            let mut word = u32::from(scales.steps[u]) << 28;
            for (k, part) in unit.parts.iter().enumerate() {
                let pair = 4 * u + k;
                let mut signs = magnitudes(target.group::<8>(pair).0).1;
                let odd = signs.count_ones() % 2 == 1;
                let (flipped, envelopes) = part.chosen(scale);
                for (side, envelope) in envelopes.iter().enumerate().take(2) {
                    let point = envelope.point(scale);
                    block.points[2 * pair + side] = point as u8;
                    if odd && side == flipped {
                        let (x, costs) = target.group::<4>(2 * pair + side);
                        signs ^= 1 << (4 * side + cheapest_flip(&magnitudes(x).0, costs, &BOOK.point(point)));
                    }
                }
                word |= u32::from(signs & 127) << (7 * k);
            }
            block.words[u] = word.to_le_bytes();
        }
        block
    }
}

/// The two groups of a pair; where the number of their signs is odd, one of them takes a wrong sign.
fn part(target: &Target, pair: usize, range: [f32; 2]) -> Part {
    let odd = magnitudes(target.group::<8>(pair).0).1.count_ones() % 2 == 1;
    let envelope = |side: usize, odd: bool| {
        let (x, costs) = target.group::<4>(2 * pair + side);
        Envelope::new(&BOOK, &magnitudes(x).0, costs, odd, range)
    };
    let even = [envelope(0, false), envelope(1, false)];
    if !odd {
        return Part::plain(even.into());
    }
    let [first, second] = even;
    Part { alternatives: vec![vec![envelope(0, true), second], vec![first, envelope(1, true)]] }
}

impl Grid for IQ3_XXS {
    const OFFSET: i8 = BIAS;
    const MAX_CODE: i32 = 2 * BIAS as i32;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let word = u32::from_le_bytes(self.words[u]);
        let point = |j: usize| u64::from(code_book::IQ3_XXS[usize::from(self.points[j])]);
        let group = |k: usize| {
            let eight = point(8 * u + 2 * k) | point(8 * u + 2 * k + 1) << 32;
            code_book::signed(eight, SIGNS[(word >> (7 * k) & 127) as usize], BIAS)
        };
        let scale = f16_value(self.d) * (2.0 * (word >> 28) as f32 + 1.0) * 0.25;
        Unit { codes: code_book::unit(group), scales: [scale; 2], mins: [0.0; 2] }
    }
}
