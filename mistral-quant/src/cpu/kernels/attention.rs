//! The arithmetic of attention on one tile of 64 positions: scores, their exponentials, weighted values.
//!
//! Cached keys and values are widened to f32 exactly, whatever their format, and both products are chains of fused multiply-adds,
//! one a result: a score over the dimensions in order, a weighted value over the positions in order. So the shape of a register tile,
//! the number of rows beside a row and the width of the vectors change no bit of either product.
//!
//! Keys lie 16 side by side (`[dim, 16]`, a strip), so that a vector holds one dimension of several keys and a product needs neither
//! horizontal sums nor, for prefill, a transposed copy; values lie one after the other.

mod product;
mod softmax;
pub(crate) mod tile;

use std::ops::Range;

use crate::cpu::kernels::Kernels;
use crate::step::Reach;

use self::softmax::Weigh;
pub(crate) use self::tile::{Ahead, Stored, TILE, Tile};
use self::tile::{Widen, WidenScales};

/// Which keys of a tile the rows of a task see. Rows are the query heads of a group, token after token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    /// Position of the first row.
    pub(crate) first: usize,
    /// Which of its group the first row is.
    pub(crate) row: usize,
    /// Rows a token.
    pub(crate) group: usize,
    /// What a query sees by its position. Later queries see no less at the end and no more at the start.
    pub(crate) reach: Reach,
    /// Position of the first key of the tile.
    pub(crate) tile: usize,
}

impl Sight {
    /// What a row sees, counted from the first key of the tile; perhaps nothing.
    #[inline(always)]
    pub(crate) fn of(self, row: usize) -> Range<usize> {
        let seen = self.reach.of(self.first + (self.row + row) / self.group);
        let start = seen.start.saturating_sub(self.tile).min(TILE);
        let end = seen.end.saturating_sub(self.tile).min(TILE);
        start..end.max(start)
    }

    /// The same for the rows from `row` on.
    #[inline(always)]
    pub(crate) fn from(self, row: usize) -> Sight {
        let row = self.row + row;
        Sight { first: self.first + row / self.group, row: row % self.group, ..self }
    }

    /// From the first key that any of some rows sees to the last.
    #[inline(always)]
    pub(crate) fn of_any(self, rows: Range<usize>) -> Range<usize> {
        self.of(rows.start).start..self.of(rows.end.saturating_sub(1)).end
    }
}

/// Running softmax sums of some rows: the largest score, the sum of exponentials, the weighted sum of values `[rows, value_dim]`.
pub(crate) struct Sums<'a> {
    pub(crate) max: &'a mut [f32],
    pub(crate) total: &'a mut [f32],
    pub(crate) values: &'a mut [f32],
}

impl<'a> Sums<'a> {
    /// Over `rows * (value_dim + 2)` elements.
    pub(crate) fn new(memory: &'a mut [f32], rows: usize, value_dim: usize) -> Self {
        let (max, memory) = memory.split_at_mut(rows);
        let (total, memory) = memory.split_at_mut(rows);
        Self { max, total, values: &mut memory[..rows * value_dim] }
    }

    /// Sums of nothing.
    pub(crate) fn clear(&mut self) {
        self.max.fill(f32::NEG_INFINITY);
        self.total.fill(0.0);
        self.values.fill(0.0);
    }

    /// The weighted values of one row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        let width = self.values.len() / self.max.len();
        &mut self.values[row * width..(row + 1) * width]
    }
}

/// Scale and soft cap of the scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scoring {
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
}

impl Kernels {
    /// `scores[row][i] = queries[row] · keys[i]` for what the rows see, rounded out to whole strips; queries `[rows, dim]`, scores
    /// `[rows, 64]`. On the way asks for the tile after this one.
    pub(crate) fn scores(
        &self,
        queries: &[f32],
        dim: usize,
        keys: Tile<'_>,
        ahead: Option<Ahead>,
        sight: Sight,
        scores: &mut [f32],
    ) {
        product::scores(self, queries, dim, keys, ahead, sight, scores);
    }

    /// Turns the scores that rows see into weights relative to the largest score so far, and adds them up.
    pub(crate) fn weigh(&self, scores: &mut [f32], scoring: Scoring, sight: Sight, sums: &mut Sums<'_>) {
        self.run(Weigh { scores, scoring, sight, sums });
    }

    /// `sums[row] += Σ weights[row][i] * values[i]` over what the row sees; weights `[rows, 64]`, sums `[rows, dim]`. On the way asks for
    /// the tile after this one.
    pub(crate) fn accumulate(
        &self,
        weights: &[f32],
        values: Tile<'_>,
        ahead: Option<Ahead>,
        dim: usize,
        sight: Sight,
        sums: &mut [f32],
    ) {
        product::accumulate(self, weights, values, ahead, dim, sight, sums);
    }

    /// What is stored as a tile that the products can read; `scales` holds `64 * ceil(dim / 32)` elements where there are any.
    pub(crate) fn tile<'a>(&self, stored: Stored<'a>, scales: &'a mut [f32]) -> Tile<'a> {
        match stored {
            Stored::F32(strips) => Tile::F32(strips),
            Stored::F16(strips) => Tile::F16(strips),
            Stored::Bf16(strips) => Tile::Bf16(strips),
            Stored::Q8_0 { codes, scales: halves } => {
                let scales = self.run(WidenScales { halves, out: scales });
                Tile::Q8_0 { codes, scales }
            }
        }
    }

    /// A tile of keys as f32, in `panel` of `64 * dim` elements.
    pub(crate) fn widen_keys<'a>(&self, keys: Tile<'_>, dim: usize, panel: &'a mut [f32]) -> Tile<'a> {
        self.run(Widen::<true> { tile: keys, dim, panel })
    }

    /// A tile of values as f32, likewise.
    pub(crate) fn widen_values<'a>(&self, values: Tile<'_>, dim: usize, panel: &'a mut [f32]) -> Tile<'a> {
        self.run(Widen::<false> { tile: values, dim, panel })
    }
}

#[cfg(test)]
mod tests;
