//! One token: weights go from memory to the products without a panel.
//!
//! A weight is used once, and storing it to a panel costs as much as multiplying it. Here the transposed registers are multiplied
//! at once, while the next rows arrive from memory. The order of the sums is that of the panel. For two tokens and more this was
//! slower than the panel: their sums leave too few registers for the transposition.

use super::panel::{BrainPairs, Brains, Halves, Singles, Words, last_words, rows_of};
use super::{BLOCK, DenseStrip, MAX_ROWS};
use crate::cpu::kernels::lanes::FloatLanes;
use crate::format::Format;

/// The strip times one packed token, added to its `sums` `[rows]`; false where there is no such kernel.
#[inline(always)]
pub(super) fn add<L: FloatLanes, const PAIRS: bool>(
    lanes: L,
    strip: &DenseStrip<'_>,
    packed: &[f32],
    sums: &mut [f32],
) -> bool {
    // A square of weights takes half of the registers of every set but the portable one.
    if cfg!(target_endian = "big") || L::REGISTERS < 16 || sums.len() != 2 * L::LANES {
        return false;
    }
    match strip.format {
        Format::F32 => all::<L, Singles>(lanes, strip, packed, sums),
        Format::F16 => all::<L, Halves>(lanes, strip, packed, sums),
        Format::BF16 if PAIRS => all::<L, BrainPairs>(lanes, strip, packed, sums),
        Format::BF16 => all::<L, Brains>(lanes, strip, packed, sums),
        _ => return false,
    }
    true
}

#[inline(always)]
fn all<L: FloatLanes, W: Words>(lanes: L, strip: &DenseStrip<'_>, packed: &[f32], sums: &mut [f32]) {
    // Numbers of a row that are multiplied with an element of packed activations.
    let unit = W::COUNT / W::ELEMENTS;
    for first in (0..strip.cols).step_by(BLOCK * unit) {
        let count = (BLOCK * unit).min(strip.cols - first);
        let Some((rows, ahead)) = rows_of::<L, W>(strip, first, count) else { return };
        // SAFETY: `count` numbers are readable behind each row and, as the caller has checked, elements for them behind `packed`;
        // `sums` has all rows.
        unsafe { block::<L, W>(lanes, &rows, ahead, count, packed.as_ptr().add(first / unit), sums) };
    }
}

/// Adds the products of one block.
///
/// # Safety
/// `count` numbers must be readable behind each of the first `2 * LANES` pointers and elements for them behind `x`; `sums` must have `2 * LANES`
/// elements.
#[inline(always)]
unsafe fn block<L: FloatLanes, W: Words>(
    lanes: L,
    rows: &[*const u8; MAX_ROWS],
    ahead: usize,
    count: usize,
    x: *const f32,
    sums: &mut [f32],
) {
    let (step, unit) = (L::LANES * W::COUNT, W::COUNT / W::ELEMENTS);
    let whole = count - count % step;
    let mut totals = [lanes.zero(); 2];
    for column in (0..whole).step_by(step) {
        let offset = column * 4 / W::COUNT;
        for (half, total) in totals.iter_mut().enumerate() {
            let rows = &rows[half * L::LANES..(half + 1) * L::LANES];
            if offset.is_multiple_of(64) {
                for row in rows {
                    lanes.prefetch(row.wrapping_add(ahead + offset));
                }
            }
            // SAFETY: `step` numbers from `column` are readable behind each pointer and behind `x`.
            unsafe {
                let square = lanes.load_transposed(rows, offset);
                multiply::<L, W>(lanes, square, step, x.add(column / unit), total);
            }
        }
    }
    if whole < count {
        for (half, total) in totals.iter_mut().enumerate() {
            // SAFETY: as above, for the last numbers.
            unsafe {
                let rows = &rows[half * L::LANES..(half + 1) * L::LANES];
                let square = last_words::<L, W>(lanes, rows, whole, count);
                multiply::<L, W>(lanes, square, count - whole, x.add(whole / unit), total);
            }
        }
    }
    for (half, &total) in totals.iter().enumerate() {
        // SAFETY: half of the rows.
        unsafe {
            let sum = sums.as_mut_ptr().add(half * L::LANES);
            lanes.store(sum, lanes.add(lanes.load(sum), total));
        }
    }
}

/// Adds the products of the first `count` columns of a square.
///
/// # Safety
/// Elements for `count` numbers must be readable behind `x`.
#[inline(always)]
unsafe fn multiply<L: FloatLanes, W: Words>(
    lanes: L,
    square: L::Square,
    count: usize,
    x: *const f32,
    total: &mut L::Vector,
) {
    for (i, &words) in square.as_ref().iter().enumerate() {
        for index in 0..W::ELEMENTS {
            let element = i * W::ELEMENTS + index;
            if element * (W::COUNT / W::ELEMENTS) < count {
                // SAFETY: one of the elements for `count` numbers.
                let value = lanes.splat(unsafe { *x.add(element) });
                *total = W::multiply(lanes, W::element(lanes, words, index), value, *total);
            }
        }
    }
}
