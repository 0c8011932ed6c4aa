//! The quantized input of a product: made once for each input row, shared by all weights.

use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::integer::activation::{ActivationUnit, Columns, WORDS};
use crate::cpu::kernels::integer::lanes::block_width;
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::error::Error;
use crate::formats::UNIT;
use crate::routes::Routed;

/// Values below which quantizing is not worth waking threads for: about 2 us.
const ALONE: usize = 16 * 1024;

/// Units of a task.
const PIECE: usize = 64;

/// Quantized rows `[tokens, units]`, in blocks of as many columns as the widest tile of the kernels takes.
///
/// A block of `n` columns is unit after unit; in a unit, each of the [`WORDS`] words comes for all columns side by side, so
/// that a kernel reads the block as one stream. The columns that are left at the end are in blocks of [`block_width`].
#[derive(Debug, Default)]
pub(crate) struct Activations {
    words: Vec<u32>,
    units: usize,
    width: usize,
}

impl Activations {
    /// Quantizes `x` `[tokens, cols]`; values after the last whole unit of a row are left out.
    pub(crate) fn quantize(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
    ) -> Result<(), Error> {
        let tokens = x.len().checked_div(cols).unwrap_or(0);
        self.fill(pool, kernels, tokens, cols, &[tokens], &|token| &x[token * cols..(token + 1) * cols])
    }

    /// Quantizes the rows of `x` `[.., cols]` that the routes name, in the order of the routes; a block of columns ends with the
    /// routes of an expert, so that those of each begin a block.
    pub(crate) fn quantize_routes(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
        routes: Routed<'_>,
    ) -> Result<(), Error> {
        self.fill(pool, kernels, routes.rows.len(), cols, routes.ends, &|route| {
            let row = routes.rows[route] as usize;
            &x[row * cols..(row + 1) * cols]
        })
    }

    /// Quantizes rows in blocks of columns that do not cross `ends`.
    fn fill<'x>(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        tokens: usize,
        cols: usize,
        ends: &[usize],
        row: &(dyn Fn(usize) -> &'x [f32] + Sync),
    ) -> Result<(), Error> {
        let units = cols / UNIT;
        let width = kernels.columns();
        (self.units, self.width) = (units, width);
        let needed = tokens * units * WORDS;
        if self.words.len() < needed {
            self.words = storage::zeroed("quantized activations", needed)?;
        }
        if units == 0 {
            return Ok(());
        }
        let words = Disjoint::new(&mut self.words[..needed]);
        let mut blocks = Vec::new();
        let mut start = 0;
        for &end in ends {
            while start < end {
                let columns = block_width(end - start, width);
                blocks.push((start, columns));
                start += columns;
            }
        }
        let pieces = units.div_ceil(PIECE);
        let piece = |task: usize| {
            let ((token, columns), first) = (blocks[task / pieces], task % pieces * PIECE);
            let count = PIECE.min(units - first);
            // SAFETY: the blocks lie one after the other, and so do the pieces of a block: each is one task's.
            let words = unsafe { words.slice((token * units + first * columns) * WORDS, columns * count * WORDS) };
            for column in 0..columns {
                let x = &row(token + column)[first * UNIT..(first + count) * UNIT];
                quantize_column(kernels, x, words, column, columns);
            }
        };
        let tasks = blocks.len() * pieces;
        if tokens * cols <= ALONE {
            (0..tasks).for_each(piece);
            return Ok(());
        }
        pool.for_each(tasks, &piece)
    }

    /// Some tokens; `first` is the first of a block.
    pub(crate) fn columns(&self, first: usize, count: usize) -> Columns<'_> {
        let words = self.words.get(first * self.units * WORDS..(first + count) * self.units * WORDS);
        Columns { words: words.unwrap_or_default(), units: self.units, width: self.width }
    }
}

/// Quantizes consecutive units of one of the `columns` columns that share `words`.
fn quantize_column(kernels: &Kernels, x: &[f32], words: &mut [u32], column: usize, columns: usize) {
    let mut units = [ActivationUnit::default(); 8];
    for (x, words) in x.chunks(8 * UNIT).zip(words.chunks_mut(8 * columns * WORDS)) {
        kernels.quantize(x, &mut units);
        for (unit, words) in units.iter().zip(words.chunks_exact_mut(columns * WORDS)) {
            for (word, codes) in words.iter_mut().skip(column).step_by(columns).zip(unit.words()) {
                *word = codes;
            }
        }
    }
}
