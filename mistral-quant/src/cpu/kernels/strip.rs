//! What one call of a matrix kernel computes: a strip of up to 16 weight rows against the activations of some tokens.
//!
//! A kernel takes a strip in steps of 256 columns. It first repacks the step into a [`Panel`] in which the lanes of a register are
//! rows, so that there are no horizontal sums, and then runs every token over the panel. The repacking is paid once for
//! all tokens and loses nothing: codes stay codes, and the scales of the sub-blocks stay beside them.
//!
//! Each output is `Σ_unit f32(isum) * (scale * activation_scale) - min * activation_sum` with the exact integer
//! `isum = Σ (code - offset) * activation_code`, unit after unit. The order depends on nothing but the columns, so that a token gets
//! the same bits alone or beside others.

use crate::Format;
use crate::formats::{Grid, UNIT, blocks};

/// Rows of a strip.
pub(crate) const STRIP: usize = 16;

/// Rows of a panel: the f32 lanes of a 256-bit register.
pub(crate) const ROWS: usize = 8;

/// Units of a panel: one K-quant block, or eight blocks of 32.
pub(crate) const UNITS: usize = 8;

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

    /// The bytes of a row; the last one's behind the end, so that kernels can always take [`ROWS`] rows.
    pub(crate) fn row(&self, row: usize) -> &'a [u8] {
        let start = row.min(self.rows().saturating_sub(1)) * self.row_bytes;
        self.bytes.get(start..start + self.row_bytes).unwrap_or_default()
    }

    /// The blocks of the rows of panel `panel`.
    pub(crate) fn blocks<B: Grid>(&self, panel: usize) -> [&'a [B]; ROWS] {
        std::array::from_fn(|row| blocks(self.row(panel * ROWS + row)))
    }
}

/// 8 rows of up to 256 columns, repacked.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Panel {
    pub(crate) units: [PanelUnit; UNITS],
}

/// 8 rows of 32 columns.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct PanelUnit {
    /// Codes of columns `4g..4g + 4` of all rows: byte `4 * row + column % 4` of group `g`.
    pub(crate) codes: [[u8; 4 * ROWS]; UNIT / 4],
    /// Scales of the rows, for each half of the columns. The second is written only where the format has halves.
    pub(crate) scales: [[f32; ROWS]; 2],
    /// Mins of the rows, likewise, written only where the format has mins.
    pub(crate) mins: [[f32; ROWS]; 2],
}

impl Panel {
    /// A panel of zeros.
    pub(crate) const ZERO: Self = Self {
        units: [PanelUnit { codes: [[0; 4 * ROWS]; UNIT / 4], scales: [[0.0; ROWS]; 2], mins: [[0.0; ROWS]; 2] };
            UNITS],
    };

    /// Repacks units `first..first + count` of eight rows of any format, slowly.
    pub(crate) fn fill<B: Grid>(&mut self, rows: &[&[B]; ROWS], first: usize, count: usize) {
        for (lane, row) in rows.iter().enumerate() {
            for (index, out) in self.units.iter_mut().take(count).enumerate() {
                let unit = first + index;
                let per_block = B::WEIGHTS / UNIT;
                let Some(block) = row.get(unit / per_block) else { return };
                let unit = block.unit(unit % per_block);
                for (out, codes) in out.codes.iter_mut().zip(unit.codes.as_chunks::<4>().0) {
                    out[4 * lane..4 * lane + 4].copy_from_slice(&codes.map(|code| code as u8));
                }
                for half in 0..2 {
                    out.scales[half][lane] = unit.scales[half];
                    out.mins[half][lane] = unit.mins[half];
                }
            }
        }
    }
}
