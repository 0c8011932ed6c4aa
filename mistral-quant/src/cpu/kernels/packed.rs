//! Weights rearranged for the kernels: strips of rows, each one run of bytes, in about the memory of the blocks.

use std::ops::Range;

use super::Kernels;
use super::dense::{self, DenseStrip, Order};
use super::integer::with_pack;
use super::strip::{STRIP, Strip};
use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::integer::StripSource;
use crate::cpu::kernels::integer::pack::Layout;
use crate::cpu::locks::OnceLock;
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::error::Error;
use crate::format::Format;
use crate::formats::UNIT;
use crate::weight::Weight;

/// Bytes that are packed before the blocks they were made of are given back: what a large weight takes twice for a moment.
pub(crate) const BAND: usize = 16 << 20;

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
/// codes   units of 32 columns; in a unit, planes of bits (integer/codes.rs) or indices into a code book (integer/books)
/// ```
///
/// It is filled band of strips after band; a band that is there never changes, and can be read while the next ones are made.
#[derive(Debug)]
pub(crate) struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    /// Rows of a strip.
    height: usize,
    /// Of a float format: what lies side by side.
    order: Order,
    strip_lines: usize,
    strips: usize,
    /// Strips of a band; the last one may have fewer.
    band_strips: usize,
    bands: Box<[OnceLock<Vec<Line>>]>,
}

impl Packed {
    /// The packed form of a weight, nothing of it packed yet, in bands of about `band` bytes, [`BAND`] but for tests.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] where [`packed_bytes`] is `None`.
    pub(crate) fn with_bands(kernels: &Kernels, weight: &Weight, band: usize) -> Result<Self, Error> {
        let (format, rows, cols) = (weight.format(), weight.rows(), weight.cols());
        let refused = || Error::UnsupportedFormat { format, operation: "packing" };
        let bytes = packed_bytes(kernels, format, rows, cols).ok_or_else(refused)?;
        let height = strip_rows(kernels, format);
        let strips = rows.div_ceil(height);
        let strip_lines = (bytes / 64).checked_div(strips).unwrap_or(0);
        // Bands of the same number of strips, as near as can be.
        let bands = bytes.div_ceil(band.max(1)).clamp(1, strips.max(1));
        let band_strips = strips.div_ceil(bands).max(1);
        let bands = (0..strips.div_ceil(band_strips)).map(|_| OnceLock::new()).collect();
        let order = dense::order_of(kernels, format);
        Ok(Self { format, rows, cols, height, order, strip_lines, strips, band_strips, bands })
    }

    /// Packs the strips that are not packed yet on the threads of `pool`. `weight` is the one that this was made for. When a band is
    /// packed its blocks are released, other than those of the last one: who still reads blocks is best told first.
    ///
    /// # Errors
    /// [`Error::Resource`] when there is no memory, and those of the pool; what is packed by then stays.
    pub(crate) fn fill(&self, kernels: &Kernels, pool: &ThreadPool, weight: &Weight) -> Result<(), Error> {
        for (index, band) in self.bands.iter().enumerate().filter(|(_, band)| band.get().is_none()) {
            let first = index * self.band_strips;
            let end = self.strips.min(first + self.band_strips);
            // Of two that pack the same band one is in vain.
            let _ = band.set(self.pack_band(kernels, pool, weight, first..end)?);
            if end < self.strips
                && let Ok(rows) = weight.slice_rows(first * self.height..end * self.height)
            {
                rows.release();
            }
        }
        Ok(())
    }

    fn pack_band(
        &self,
        kernels: &Kernels,
        pool: &ThreadPool,
        weight: &Weight,
        strips: Range<usize>,
    ) -> Result<Vec<Line>, Error> {
        let mut lines: Vec<Line> = storage::zeroed("a packed weight", strips.len() * self.strip_lines)?;
        let parts = Disjoint::new(&mut lines);
        pool.for_each(strips.len(), &|index| {
            // SAFETY: each strip is one task's.
            let strip = unsafe { parts.slice(index * self.strip_lines, self.strip_lines) };
            let (index, packed) = (strips.start + index, bytes_of_mut(strip));
            match dense::number_bytes(self.format) {
                Some(_) => {
                    dense::pack_columns(dense_strip_of(weight, index, self.height), self.order, self.height, packed)
                }
                None => kernels.pack_strip(strip_of(weight, index), packed),
            }
        })?;
        Ok(lines)
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

    /// Whether strip `index` is packed.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.bands.get(index / self.band_strips).is_some_and(|band| band.get().is_some())
    }

    /// Whether row `row` is packed.
    pub(crate) fn has_row(&self, row: usize) -> bool {
        self.has(row / self.height)
    }

    /// Decodes row `row`, which is packed, to `cols` weights, as its blocks decode. For a few rows: it reads a strip of them to take one.
    pub(crate) fn decode_row(&self, kernels: &Kernels, row: usize, out: &mut [f32]) {
        let (index, row) = (row / self.height, row % self.height);
        if dense::number_bytes(self.format).is_some() {
            return dense::take_row(self.dense_strip(index), self.height, row, out);
        }
        let (StripSource::Packed(strip) | StripSource::Blocks(strip)) = self.strip(index);
        kernels.take_row(strip, row, out);
    }

    /// Strip `index`, which is packed, of a block format.
    pub(crate) fn strip(&self, index: usize) -> StripSource<'_> {
        let bytes = self.strip_bytes(index);
        StripSource::Packed(Strip { format: self.format, cols: self.cols, bytes, row_bytes: bytes.len() / STRIP })
    }

    /// Strip `index`, which is packed, of a float format.
    pub(crate) fn dense_strip(&self, index: usize) -> DenseStrip<'_> {
        let bytes = self.strip_bytes(index);
        let row_bytes = bytes.len() / self.height;
        DenseStrip { format: self.format, cols: self.cols, bytes, row_bytes, order: self.order }
    }

    /// None, with the meaning of zeros, of a strip that is not packed.
    fn strip_bytes(&self, index: usize) -> &[u8] {
        let (band, index) = (index / self.band_strips, index % self.band_strips);
        let lines = self.bands.get(band).and_then(OnceLock::get).map_or(&[][..], Vec::as_slice);
        debug_assert!(!lines.is_empty() || self.strip_lines == 0, "strip {index} of band {band} is not packed");
        bytes_of(lines.get(index * self.strip_lines..(index + 1) * self.strip_lines).unwrap_or_default())
    }
}

/// The memory of a packed weight; `None` for formats without a packed form, rows that are not whole blocks, and sizes beyond 2^64.
pub(crate) fn packed_bytes(kernels: &Kernels, format: Format, rows: usize, cols: usize) -> Option<usize> {
    format.byte_len(cols)?;
    let height = strip_rows(kernels, format);
    let strip = match dense::number_bytes(format) {
        Some(_) => dense::packed_strip_bytes(format, dense::order_of(kernels, format), height, cols)?,
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
