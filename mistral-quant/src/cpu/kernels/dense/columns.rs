//! Packed strips: the numbers of a column side by side, as a panel has them, in the width of the checkpoint.
//!
//! ```text
//! strip   columns, one after the other; zeros up to a multiple of 64 bytes
//! column  a number of 4 or 2 bytes for each of the rows of a strip (the last row again behind the end)
//! ```
//!
//! Where activations are rounded to BF16, two columns of BF16 lie together, as words of a row's two numbers ([`Order::Pairs`]).

use half::{bf16, f16};

use super::tile::{Number, Pair};
use super::{BLOCK, DenseStrip, Order, Panel, add_groups, group};
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::lanes::FloatLanes;
use crate::format::Format;

/// Bytes of a packed number; `None` for formats without a packed form.
pub(crate) fn number_bytes(format: Format) -> Option<usize> {
    match format {
        // Kernels load numbers as they lie there, and files are little-endian.
        _ if cfg!(target_endian = "big") => None,
        Format::F32 => Some(4),
        Format::F16 | Format::BF16 => Some(2),
        _ => None,
    }
}

/// How the numbers of a packed strip lie.
pub(crate) fn order_of(kernels: &Kernels, format: Format) -> Order {
    if kernels.rounds(format) { Order::Pairs } else { Order::Columns }
}

/// Bytes of a packed strip; `None` for formats without one, and beyond 2^64.
pub(crate) fn packed_strip_bytes(format: Format, order: Order, height: usize, cols: usize) -> Option<usize> {
    let cols = if order == Order::Pairs { cols.checked_next_multiple_of(2)? } else { cols };
    number_bytes(format)?.checked_mul(height)?.checked_mul(cols)?.checked_next_multiple_of(64)
}

/// Interleaves the rows of a strip into `packed`, which is all zeros, of `height` rows.
pub(crate) fn pack_columns(strip: DenseStrip<'_>, order: Order, height: usize, packed: &mut [u8]) {
    match (number_bytes(strip.format), order) {
        (Some(2), Order::Pairs) => {
            interleave::<4>(strip, height, packed);
            if strip.cols % 2 == 1 {
                last_column(strip, height, packed);
            }
        }
        (Some(4), _) => interleave::<4>(strip, height, packed),
        (Some(2), _) => interleave::<2>(strip, height, packed),
        _ => debug_assert!(false, "{} has no packed form", strip.format),
    }
}

/// A column that has no other for a pair.
fn last_column(strip: DenseStrip<'_>, height: usize, packed: &mut [u8]) {
    let Some(words) = packed.as_chunks_mut::<4>().0.get_mut(strip.cols / 2 * height..) else { return };
    let present = strip.bytes.len().checked_div(strip.row_bytes).unwrap_or(0);
    for (row, word) in words.iter_mut().enumerate().take(height) {
        let end = (row.min(present.saturating_sub(1)) + 1) * strip.row_bytes;
        if let Some(number) = strip.bytes.get(..end).and_then(|bytes| bytes.last_chunk::<2>()) {
            *word = [number[0], number[1], 0, 0];
        }
    }
}

fn interleave<const SIZE: usize>(strip: DenseStrip<'_>, height: usize, packed: &mut [u8]) {
    let rows: Vec<&[[u8; SIZE]]> =
        strip.bytes.chunks_exact(strip.row_bytes.max(1)).map(|row| row.as_chunks().0).collect();
    let Some(last) = rows.last() else { return };
    let columns = packed.as_chunks_mut::<SIZE>().0;
    // The columns of a cache line at a time, so that each line of the rows is read once.
    let step = 64 / SIZE;
    for (index, columns) in columns.chunks_mut(step * height).enumerate() {
        for row in 0..height {
            let numbers = rows.get(row).unwrap_or(last).get(index * step..).unwrap_or_default();
            for (column, number) in columns.chunks_exact_mut(height).zip(numbers) {
                column[row] = *number;
            }
        }
    }
}

/// Row `row` of a packed strip of `height` rows, widened.
pub(crate) fn take_row(strip: DenseStrip<'_>, height: usize, row: usize, out: &mut [f32]) {
    fn take<const SIZE: usize>(bytes: &[u8], height: usize, row: usize, out: &mut [f32], widen: fn([u8; SIZE]) -> f32) {
        for (out, column) in out.iter_mut().zip(bytes.as_chunks().0.chunks_exact(height)) {
            *out = widen(column[row]);
        }
    }
    let bf16 = |bytes| bf16::from_le_bytes(bytes).to_f32();
    match strip.format {
        Format::BF16 if strip.order == Order::Pairs => {
            for (out, words) in out.chunks_mut(2).zip(strip.bytes.as_chunks::<4>().0.chunks_exact(height)) {
                out.iter_mut().zip(words[row].as_chunks().0).for_each(|(out, number)| *out = bf16(*number));
            }
        }
        Format::F32 => take(strip.bytes, height, row, out, f32::from_le_bytes),
        Format::F16 => take(strip.bytes, height, row, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Format::BF16 => take(strip.bytes, height, row, out, bf16),
        _ => debug_assert!(false, "{} has no packed form", strip.format),
    }
}

/// A packed strip times packed tokens, added to `sums`.
#[inline(always)]
pub(super) fn add<L: FloatLanes, const PAIRS: bool>(
    lanes: L,
    strip: &DenseStrip<'_>,
    packed: &[f32],
    sums: &mut [f32],
    panel: &mut Panel,
) {
    if PAIRS != (strip.order == Order::Pairs) {
        return debug_assert!(false, "{:?} for other kernels", strip.order);
    }
    match strip.format {
        Format::BF16 if PAIRS => all::<L, Pair>(lanes, strip, strip.cols.div_ceil(2), packed, sums, panel),
        Format::F32 => all::<L, f32>(lanes, strip, strip.cols, packed, sums, panel),
        Format::F16 => all::<L, f16>(lanes, strip, strip.cols, packed, sums, panel),
        Format::BF16 => all::<L, bf16>(lanes, strip, strip.cols, packed, sums, panel),
        _ => debug_assert!(false, "{} has no packed form", strip.format),
    }
}

#[inline(always)]
fn all<L: FloatLanes, T: Number>(
    lanes: L,
    strip: &DenseStrip<'_>,
    cols: usize,
    packed: &[f32],
    sums: &mut [f32],
    panel: &mut Panel,
) {
    let rows = 2 * L::LANES;
    // SAFETY: every pattern of bits is a number.
    let (before, numbers, _) = unsafe { strip.bytes.align_to::<T::Stored>() };
    let Some(numbers) = numbers.get(..cols * rows).filter(|_| before.is_empty()) else {
        debug_assert!(false, "{} bytes for {cols} columns", strip.bytes.len());
        return;
    };
    for first in (0..cols).step_by(BLOCK) {
        let count = BLOCK.min(cols - first);
        let block = &numbers[first * rows..(first + count) * rows];
        if T::AS_STORED || L::REGISTERS >= 16 || sums.len() / rows <= group::<L>() {
            add_groups::<L, T, true>(lanes, block, packed, (first, cols), sums);
            continue;
        }
        // In portable Rust widening costs more than multiplying: once for all groups.
        let wide = &mut panel.values[panel.start..][..count * rows];
        for (wide, numbers) in wide.chunks_exact_mut(L::LANES).zip(block.chunks_exact(L::LANES)) {
            // SAFETY: both have `LANES` elements.
            unsafe { lanes.store(wide.as_mut_ptr(), T::load(lanes, numbers.as_ptr())) };
        }
        add_groups::<L, f32, false>(lanes, wide, packed, (first, cols), sums);
    }
}
