//! Weights rearranged for the integer kernels: strips of 16 rows, each one run of bytes, in about the memory of the blocks.

use super::integer::{Layout, with_pack};
use super::strip::{STRIP, Strip};
use super::{Kernels, StripSource};
use crate::cpu::disjoint::Disjoint;
use crate::cpu::storage;
use crate::formats::UNIT;
use crate::{Error, Format, ThreadPool, Weight};

/// A cache line and a vector of codes, so that no load crosses a line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: bytes, of which all zero are zeros.
unsafe impl storage::Zeroed for Line {}

/// A weight `[rows, cols]` in packed strips; the same codes and scales as in its blocks, and products with the same bits.
///
/// ```text
/// strip   16 rows (the last row again behind the end): groups, one after the other
/// group   256 columns, or what is left of the row: header, zeros up to a multiple of 64 bytes, codes
/// header  the bytes of scales and mins, transposed: bytes or words of the 16 rows side by side
/// codes   units of 32 columns; in a unit, planes of bits (integer/codes.rs)
/// ```
#[derive(Debug)]
pub(crate) struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    strip_lines: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Packs all strips of a weight on the threads of `pool`.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] where [`packed_bytes`] is `None`; [`Error::Resource`] when there is no memory; those of the pool.
    pub(crate) fn new(kernels: &Kernels, pool: &ThreadPool, weight: &Weight) -> Result<Self, Error> {
        let (format, rows, cols) = (weight.format(), weight.rows(), weight.cols());
        let refused = || Error::UnsupportedFormat { format, operation: "packing" };
        let bytes = packed_bytes(format, rows, cols).ok_or_else(refused)?;
        let strips = rows.div_ceil(STRIP);
        let mut lines: Vec<Line> = storage::zeroed("a packed weight", bytes / 64)?;
        let strip_lines = lines.len().checked_div(strips).unwrap_or(0);
        let parts = Disjoint::new(&mut lines);
        pool.for_each(strips, &|index| {
            // SAFETY: each strip is one task's.
            let strip = unsafe { parts.slice(index * strip_lines, strip_lines) };
            kernels.pack_strip(strip_of(weight, index), bytes_of_mut(strip));
        })?;
        Ok(Self { format, rows, cols, strip_lines, lines })
    }

    /// The format of the weight.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Output features.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Decodes row `row` to `cols` weights, as its blocks decode. For a few rows: it takes 16 apart to read one.
    pub(crate) fn decode_row(&self, kernels: &Kernels, row: usize, out: &mut [f32]) {
        let (StripSource::Packed(strip) | StripSource::Blocks(strip)) = self.strip(row / STRIP);
        kernels.take_row(strip, row % STRIP, out);
    }

    /// Strip `index`.
    pub(crate) fn strip(&self, index: usize) -> StripSource<'_> {
        let lines = self.lines.get(index * self.strip_lines..(index + 1) * self.strip_lines).unwrap_or_default();
        StripSource::Packed(Strip {
            format: self.format,
            cols: self.cols,
            bytes: bytes_of(lines),
            row_bytes: size_of_val(lines) / STRIP,
        })
    }
}

/// The memory of a packed weight; `None` for formats without a packed form, rows that are not whole blocks, and sizes beyond 2^64.
pub(crate) fn packed_bytes(format: Format, rows: usize, cols: usize) -> Option<usize> {
    format.byte_len(cols)?;
    let strip = with_pack!(format, B => Layout::of::<B>().strip(cols / UNIT)?, _ => return None);
    rows.div_ceil(STRIP).checked_mul(strip)
}

/// Strip `index` of a weight in blocks.
pub(crate) fn strip_of(weight: &Weight, index: usize) -> Strip<'_> {
    let row_bytes = weight.row_bytes();
    let (start, end) = (index * STRIP, weight.rows().min((index + 1) * STRIP));
    let bytes = weight.bytes().get(start * row_bytes..end * row_bytes).unwrap_or_default();
    Strip { format: weight.format(), cols: weight.cols(), bytes, row_bytes }
}

fn bytes_of(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 initialised bytes without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

fn bytes_of_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; every byte is a value of a line.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}
