//! Weights rearranged for the kernels: strips of rows, each one run of bytes, in about the memory of the blocks.

use super::dense::{self, DenseStrip, Order};
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

/// A weight `[rows, cols]` in packed strips; the same codes and scales as in its blocks, and products with the same bits. Float
/// formats are laid out as `dense/columns.rs` says, block formats thus:
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
    /// Rows of a strip.
    height: usize,
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
        let bytes = packed_bytes(kernels, format, rows, cols).ok_or_else(refused)?;
        let height = strip_rows(kernels, format);
        let strips = rows.div_ceil(height);
        let mut lines: Vec<Line> = storage::zeroed("a packed weight", bytes / 64)?;
        let strip_lines = lines.len().checked_div(strips).unwrap_or(0);
        let parts = Disjoint::new(&mut lines);
        pool.for_each(strips, &|index| {
            // SAFETY: each strip is one task's.
            let strip = unsafe { parts.slice(index * strip_lines, strip_lines) };
            let packed = bytes_of_mut(strip);
            match dense::number_bytes(format) {
                Some(_) => dense::pack_columns(dense_strip_of(weight, index, height), height, packed),
                None => kernels.pack_strip(strip_of(weight, index), packed),
            }
        })?;
        Ok(Self { format, rows, cols, height, strip_lines, lines })
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

    /// Decodes row `row` to `cols` weights, as its blocks decode. For a few rows: it reads a strip of them to take one.
    pub(crate) fn decode_row(&self, kernels: &Kernels, row: usize, out: &mut [f32]) {
        let (index, row) = (row / self.height, row % self.height);
        if dense::number_bytes(self.format).is_some() {
            return dense::take_row(self.dense_strip(index), self.height, row, out);
        }
        let (StripSource::Packed(strip) | StripSource::Blocks(strip)) = self.strip(index);
        kernels.take_row(strip, row, out);
    }

    /// Strip `index` of a block format.
    pub(crate) fn strip(&self, index: usize) -> StripSource<'_> {
        let bytes = self.strip_bytes(index);
        StripSource::Packed(Strip { format: self.format, cols: self.cols, bytes, row_bytes: bytes.len() / STRIP })
    }

    /// Strip `index` of a float format.
    pub(crate) fn dense_strip(&self, index: usize) -> DenseStrip<'_> {
        let bytes = self.strip_bytes(index);
        let row_bytes = bytes.len() / self.height;
        DenseStrip { format: self.format, cols: self.cols, bytes, row_bytes, order: Order::Columns }
    }

    fn strip_bytes(&self, index: usize) -> &[u8] {
        bytes_of(self.lines.get(index * self.strip_lines..(index + 1) * self.strip_lines).unwrap_or_default())
    }
}

/// The memory of a packed weight; `None` for formats without a packed form, rows that are not whole blocks, and sizes beyond 2^64.
pub(crate) fn packed_bytes(kernels: &Kernels, format: Format, rows: usize, cols: usize) -> Option<usize> {
    format.byte_len(cols)?;
    let height = strip_rows(kernels, format);
    let strip = match dense::number_bytes(format) {
        Some(bytes) => bytes.checked_mul(height)?.checked_mul(cols)?.checked_next_multiple_of(64)?,
        None => with_pack!(format, B => Layout::of::<B>().strip(cols / UNIT)?, _ => return None),
    };
    rows.div_ceil(height).checked_mul(strip)
}

/// Rows of a packed strip.
fn strip_rows(kernels: &Kernels, format: Format) -> usize {
    if dense::number_bytes(format).is_some() { kernels.dense_rows() } else { STRIP }
}

/// Strip `index` of a weight in blocks.
pub(crate) fn strip_of(weight: &Weight, index: usize) -> Strip<'_> {
    let bytes = rows_of(weight, index, STRIP);
    Strip { format: weight.format(), cols: weight.cols(), bytes, row_bytes: weight.row_bytes() }
}

/// Strip `index`, of `height` rows, of a weight as its checkpoint has it.
pub(crate) fn dense_strip_of(weight: &Weight, index: usize, height: usize) -> DenseStrip<'_> {
    let (bytes, row_bytes) = (rows_of(weight, index, height), weight.row_bytes());
    DenseStrip { format: weight.format(), cols: weight.cols(), bytes, row_bytes, order: Order::Rows }
}

/// The bytes of the rows of a strip.
fn rows_of(weight: &Weight, index: usize, height: usize) -> &[u8] {
    let row_bytes = weight.row_bytes();
    let (start, end) = (index * height, weight.rows().min((index + 1) * height));
    weight.bytes().get(start * row_bytes..end * row_bytes).unwrap_or_default()
}

fn bytes_of(lines: &[Line]) -> &[u8] {
    // SAFETY: a line is 64 initialised bytes without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

fn bytes_of_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; every byte is a value of a line.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}
