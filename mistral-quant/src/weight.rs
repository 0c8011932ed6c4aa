//! A matrix of weights on the host, in the format of its checkpoint.

use std::ops::Range;

use crate::bytes::SharedBytes;
use crate::error::Error;
use crate::format::Format;

/// A row-major matrix `[rows, cols]` in one [`Format`]; a vector is a matrix of one row.
///
/// `out = weight · x` has `rows` outputs and reads `cols` inputs, as in a linear layer's `[out_features, in_features]`.
/// The bytes stay where the checkpoint put them: nothing is copied or converted here.
#[derive(Debug, Clone)]
pub struct Weight {
    format: Format,
    rows: usize,
    cols: usize,
    bytes: SharedBytes,
}

impl Weight {
    /// Checks that `bytes` are exactly `rows` rows of `cols` weights in `format`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a row is not whole blocks or the number of bytes differs.
    pub fn new(format: Format, rows: usize, cols: usize, bytes: SharedBytes) -> Result<Self, Error> {
        let shape = |expected: String, found: String| Error::Shape { what: "weight", expected, found };
        let row = format.byte_len(cols).ok_or_else(|| {
            shape(format!("a row of whole {format} blocks of {}", format.block_weights()), format!("{cols} columns"))
        })?;
        let total =
            row.checked_mul(rows).ok_or_else(|| shape("a size below 2^64".into(), format!("{rows} x {cols}")))?;
        if bytes.len() != total {
            return Err(shape(format!("{total} bytes for {rows} x {cols} {format}"), format!("{} bytes", bytes.len())));
        }
        Ok(Self { format, rows, cols, bytes })
    }

    /// A weight of f32 values, copied into little-endian bytes. Shape `[rows, cols]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values.len() != rows * cols`.
    pub fn from_f32(rows: usize, cols: usize, values: &[f32]) -> Result<Self, Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::new(Format::F32, rows, cols, SharedBytes::new(bytes))
    }

    /// The storage format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// `[rows, cols]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// All bytes, row after row.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// [`SharedBytes::release`] of the bytes.
    pub fn release(&self) {
        self.bytes.release();
    }

    /// The bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.bytes.len().checked_div(self.rows).unwrap_or(0)
    }

    /// All weights as f32. Shape `[rows, cols]`. Costs four bytes a weight: for vectors and tests.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] for a format without arithmetic.
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        let mut out = vec![0.0; self.rows.saturating_mul(self.cols)];
        crate::formats::decode_row(self.format, self.bytes(), &mut out)?;
        Ok(out)
    }

    /// Some of the rows, sharing the bytes; how a fused projection (`qkv`, `gate_up`) is taken apart.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the range does not lie inside.
    pub fn slice_rows(&self, rows: Range<usize>) -> Result<Self, Error> {
        let row = self.row_bytes();
        let out = || Error::OutOfRange { what: "weight row", index: rows.end as u64, limit: self.rows as u64 + 1 };
        if rows.end > self.rows || rows.start > rows.end {
            return Err(out());
        }
        let bytes = self.bytes.slice(rows.start * row..rows.end * row).ok_or_else(out)?;
        Ok(Self { format: self.format, rows: rows.len(), cols: self.cols, bytes })
    }
}
