//! Formats that are not packed: codes come one by one.

use super::StripSpace;
use super::activation::Columns;
use super::codes::Expanded;
use super::groups::prefetch_rows;
use super::lanes::Lanes;
use super::multiply::{Ahead, Group, multiply};
use super::pack::Panel;
use super::tile::{Everything, Grouping, Halves, Scales, UNITS, Units};
use crate::cpu::kernels::strip::{STRIP, Strip, Sums};
use crate::formats::{Grid, UNIT};

/// Codes of any format, less its offset.
type Any = Expanded<128>;

/// Codes of a format that reach no further than 16 below its offset and 15 above it.
type Small = Expanded<31>;

/// A strip in a format that is not packed: codes come one by one from [`Grid::unit`].
///
/// # Safety
/// The processor has the instruction set.
pub(super) unsafe fn plain_product<L: Lanes, B: Grid>(
    strip: Strip<'_>,
    columns: Columns<'_>,
    space: &mut StripSpace,
    sums: &mut [Sums],
) {
    let rows = strip.blocks::<B>();
    let units = strip.cols / UNIT;
    let StripSpace { codes, scales, .. } = space;
    for first in (0..units).step_by(UNITS) {
        let count = UNITS.min(units - first);
        prefetch_rows(&rows, first, count, STRIP * strip.row_bytes);
        for (row, blocks) in rows.iter().enumerate() {
            fill_row(blocks, L::BIASED, row, first, count, codes, scales);
        }
        let codes = codes.as_flattened();
        let offset = match (const { is_small::<B>() }, L::BIASED) {
            (true, _) => 16,
            (false, true) => 128,
            (false, false) => 0,
        };
        let group = Group { scales, offset, first, units: count, ahead: Ahead::NOTHING };
        // SAFETY: by the caller; `codes` has room for all units of a group.
        unsafe {
            match (B::HALVES, B::MINS) {
                (false, false) => multiply_plain::<L, Units>(codes, is_small::<B>(), group, columns, sums),
                (true, false) => multiply_plain::<L, Halves>(codes, is_small::<B>(), group, columns, sums),
                (_, true) => multiply_plain::<L, Everything>(codes, is_small::<B>(), group, columns, sums),
            }
        }
    }
}

/// [`multiply`] with codes of eight bits.
///
/// # Safety
/// As there.
unsafe fn multiply_plain<L: Lanes, G: Grouping>(
    codes: &[u8],
    small: bool,
    group: Group<'_>,
    columns: Columns<'_>,
    sums: &mut [Sums],
) {
    // SAFETY: by the caller.
    unsafe {
        match small {
            true => multiply::<L, L::Many<Small>, G, true>(codes, group, columns, sums),
            false => multiply::<L, L::Many<Any>, G, true>(codes, group, columns, sums),
        }
    }
}

/// Whether the codes of a format fit into five bits around its offset, so that several products fit into 16 bits.
const fn is_small<B: Grid>() -> bool {
    B::MAX_CODE != 128 && B::OFFSET <= 16 && B::MAX_CODE - B::OFFSET as i32 <= 15
}

/// Takes the units of one row apart into a panel.
#[inline(never)]
fn fill_row<B: Grid>(
    blocks: &[B],
    biased: bool,
    row: usize,
    first: usize,
    count: usize,
    codes: &mut Panel,
    scales: &mut Scales,
) {
    let per_block = B::WEIGHTS / UNIT;
    let base = match (const { is_small::<B>() }, biased) {
        (true, _) => 16,
        (false, true) => i8::MIN,
        (false, false) => 0,
    };
    let base = base.wrapping_sub(B::OFFSET);
    for u in 0..count {
        let Some(block) = blocks.get((first + u) / per_block) else { return };
        let unit = block.unit((first + u) % per_block);
        for (vector, codes) in codes[8 * u..].iter_mut().zip(unit.codes.as_chunks::<4>().0) {
            vector[4 * row..4 * row + 4].copy_from_slice(&codes.map(|code| code.wrapping_add(base) as u8));
        }
        for half in 0..2 {
            scales.scales[u][half][row] = unit.scales[half];
            scales.mins[u][half][row] = unit.mins[half];
        }
    }
}
