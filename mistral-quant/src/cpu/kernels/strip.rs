//! What one call of a matrix kernel computes: a strip of up to 16 weight rows against the activations of some tokens.

use crate::format::Format;
use crate::formats::{Block, blocks};

/// Rows of a strip.
pub(crate) const STRIP: usize = 16;

/// Rows of half a strip: the f32 lanes of a 256-bit register.
pub(crate) const ROWS: usize = 8;

/// Outputs of a strip for one token.
pub(crate) type Sums = [[f32; ROWS]; STRIP / ROWS];

/// Consecutive rows of a weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strip<'a> {
    /// The format of the weight.
    pub(crate) format: Format,
    /// Columns of the weight.
    pub(crate) cols: usize,
    /// The bytes of 1 to [`STRIP`] whole rows.
    pub(crate) bytes: &'a [u8],
    /// Bytes of one row.
    pub(crate) row_bytes: usize,
}

impl<'a> Strip<'a> {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.bytes.len().checked_div(self.row_bytes).unwrap_or(0).min(STRIP)
    }

    /// The bytes of a row; the last one's behind the end, so that kernels can always take [`STRIP`] rows.
    pub(crate) fn row(&self, row: usize) -> &'a [u8] {
        let start = row.min(self.rows().saturating_sub(1)) * self.row_bytes;
        self.bytes.get(start..start + self.row_bytes).unwrap_or_default()
    }

    /// The blocks of all rows.
    pub(crate) fn blocks<B: Block>(&self) -> [&'a [B]; STRIP] {
        std::array::from_fn(|row| blocks(self.row(row)))
    }
}
