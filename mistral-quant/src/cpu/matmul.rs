//! Matrix products: which worker computes which outputs.
//!
//! The unit of work is a strip of 16 rows, or a pair of strips, for a tile of tokens. With few tokens the weights are read once
//! from memory and nothing else matters: nine tenths of the strips belong to fixed workers, so that the same core reads the same
//! rows in every step, and the rest goes to whoever is done first. With many tokens all strips are shared out one by one, tile of
//! tokens after tile of tokens, so that the activations of a tile stay in the cache while the weights pass by.

use std::borrow::Borrow;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::activations::Activations;
use crate::cpu::dense::{self, DenseScratch};
use crate::cpu::disjoint::Disjoint;
use crate::cpu::elementwise::Elementwise;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::integer::activation::Columns;
use crate::cpu::kernels::integer::{StripSource, TOGETHER, Workspace};
use crate::cpu::kernels::strip::{ROWS, STRIP, Sums};
use crate::cpu::operand::{Gated, Job, Operand};
use crate::cpu::pool::ThreadPool;
use crate::error::Error;
use crate::format::Format;
use crate::formats::with_grid;

/// Tokens of a tile: enough to pay for the repacking of a strip, few enough that their activations fit into a level 2 cache; a
/// multiple of the widths of all blocks of columns.
pub(crate) const TILE: usize = 96;

/// Products below which waking threads costs more than it brings: some ten microseconds of work, what a wake takes on a busy machine.
const ALONE: usize = 512 * 1024;

/// Tokens from which on a gate and what it scales are computed strip by strip: with fewer the memory counts, of which one stream is
/// read faster than two in turns.
pub(crate) const GATED_TOKENS: usize = 12;

/// Memory that products reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    activations: Activations,
    dense: DenseScratch,
}

/// `out = x · weightᵀ + bias` for every job; `x` is `[tokens, cols]`. Float formats multiply with `x` itself or, if told so, with
/// `x` in BF16, block formats with `x` in 8-bit codes. An output depends on its row, its token and the instruction set, not on the threads or the other tokens.
///
/// # Errors
/// [`Error::Shape`] and [`Error::UnsupportedFormat`] before anything is written; those of the pool.
pub(crate) fn matmul(
    pool: &ThreadPool,
    kernels: &Kernels,
    scratch: &mut Scratch,
    x: &[f32],
    tokens: usize,
    jobs: &mut [Job<'_>],
) -> Result<(), Error> {
    let Some(cols) = check(x, tokens, jobs)? else { return Ok(()) };
    let (dense, mut jobs): (Vec<_>, Vec<_>) = jobs.iter_mut().partition(|job| !is_block_format(job.weight.format()));
    let (mut rounded, mut exact): (Vec<_>, Vec<_>) =
        dense.into_iter().partition(|job| kernels.rounds(job.weight.format()));
    for (dense, rounded) in [(&mut rounded, true), (&mut exact, false)] {
        if !dense.is_empty() {
            dense::matmul(pool, kernels, &mut scratch.dense, x, tokens, cols, dense, rounded)?;
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    if cols == 0 {
        jobs.iter_mut().for_each(|job| empty_sums(job.weight.rows(), job.bias, job.out));
        return Ok(());
    }
    scratch.activations.quantize(pool, kernels, x, cols)?;
    let together = kernels.strips_together(TILE.min(tokens));
    let parts: Vec<Part<'_, Disjoint<'_, f32>>> = jobs
        .iter_mut()
        .map(|job| Part::new(job.weight, together, job.bias, job.gated, Disjoint::new(job.out)))
        .collect();
    let compute = |part: &Part<'_, Disjoint<'_, f32>>, task: usize, first: usize, desk: &mut Desk| {
        let columns = scratch.activations.columns(first, TILE.min(tokens - first));
        part.compute(kernels, task, first, columns, desk);
    };
    let products: usize = parts.iter().map(|part| part.rows * cols * if part.gated.is_some() { 2 } else { 1 }).sum();
    if pool.threads() == 1 || products.saturating_mul(tokens) <= ALONE {
        return pool.for_each(1, &|_| {
            let mut desk = Desk::ZERO;
            for first in (0..tokens).step_by(TILE) {
                for part in &parts {
                    (0..part.tasks).for_each(|task| compute(part, task, first, &mut desk));
                }
            }
        });
    }
    // With one tile nine tenths belong to fixed workers, in equal numbers.
    let threads = pool.threads();
    let fixed = |part: &Part<'_, _>| if tokens <= TILE { part.tasks * 9 / 10 / threads } else { 0 };
    let shared = parts.iter().map(|part| part.tasks - fixed(part) * threads).sum::<usize>();
    let tasks = shared * tokens.div_ceil(TILE);
    let next = AtomicUsize::new(0);
    pool.run(&|worker| {
        let mut desk = Desk::ZERO;
        for part in &parts {
            let count = fixed(part);
            (worker * count..(worker + 1) * count).for_each(|task| compute(part, task, 0, &mut desk));
        }
        loop {
            // Relaxed: the counter only shares out numbers; the pool orders what the workers write.
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            let (first, mut index) = (task / shared * TILE, task % shared);
            for part in &parts {
                let start = fixed(part) * threads;
                if index < part.tasks - start {
                    compute(part, start + index, first, &mut desk);
                    break;
                }
                index -= part.tasks - start;
            }
        }
    })
}

/// A weight in a block format whose output many workers write.
pub(crate) struct Part<'a, O> {
    weight: Operand<'a>,
    rows: usize,
    /// Strips of a task, at most [`TOGETHER`].
    together: usize,
    /// Tasks of a tile.
    pub(crate) tasks: usize,
    bias: Option<&'a [f32]>,
    gated: Option<Gated<'a>>,
    out: O,
}

/// What a worker writes on from task to task.
pub(crate) struct Desk {
    sums: [Sums; TOGETHER * TILE],
    workspace: Workspace,
}

impl Desk {
    pub(crate) const ZERO: Self =
        Self { sums: [[[0.0; ROWS]; STRIP / ROWS]; TOGETHER * TILE], workspace: Workspace::ZERO };
}

impl<'a, O: Borrow<Disjoint<'a, f32>>> Part<'a, O> {
    /// `out` is `[tokens, rows]`.
    pub(crate) fn new(
        weight: Operand<'a>,
        together: usize,
        bias: Option<&'a [f32]>,
        gated: Option<Gated<'a>>,
        out: O,
    ) -> Self {
        let rows = weight.rows();
        // What is gated are two strips of one height.
        let together = if gated.is_some() { 1 } else { together };
        Self { weight, rows, together, tasks: rows.div_ceil(STRIP * together), bias, gated, out }
    }

    /// The outputs of one task for the tokens from `first`, up to a tile of them, whose activations are `columns`.
    pub(crate) fn compute(&self, kernels: &Kernels, task: usize, first: usize, columns: Columns<'_>, desk: &mut Desk) {
        let height = self.together * STRIP;
        let (start, end) = (task * height, self.rows.min((task + 1) * height));
        let tokens = columns.tokens();
        let Desk { sums, workspace } = desk;
        let strips = match &self.gated {
            Some(gated) => {
                let sources = [self.weight.strip(task), gated.up.strip(task)];
                kernels.integer_strips(&sources, columns, workspace, &mut sums[..2 * tokens]);
                let (gate, up) = sums[..2 * tokens].split_at_mut(tokens);
                add_bias(gate, self.bias, start..end);
                add_bias(up, gated.bias, start..end);
                let (gate, up) = (gate.as_flattened_mut().as_flattened_mut(), up.as_flattened().as_flattened());
                Elementwise::new(kernels).glu(gate, up, gated.activation);
                1
            }
            None => {
                let strips = (end - start).div_ceil(STRIP);
                let sources: [StripSource<'_>; TOGETHER] =
                    std::array::from_fn(|strip| self.weight.strip(start / STRIP + strip.min(strips - 1)));
                let sums = &mut sums[..strips * tokens];
                kernels.integer_strips(&sources[..strips], columns, workspace, sums);
                for (strip, sums) in sums.chunks_exact_mut(tokens).enumerate() {
                    add_bias(sums, self.bias, start + strip * STRIP..end);
                }
                strips
            }
        };
        for token in 0..tokens {
            // SAFETY: each task of each tile is computed once in a job, and these outputs belong to it alone.
            let out = unsafe { self.out.borrow().slice((first + token) * self.rows + start, end - start) };
            for (strip, out) in out.chunks_mut(STRIP).take(strips).enumerate() {
                let sums = sums[strip * tokens + token].as_flattened();
                match <&mut [f32; STRIP]>::try_from(&mut *out) {
                    // Of a length that is known, so that it is a few moves and no call.
                    Ok(out) => out.copy_from_slice(sums),
                    Err(_) => out.copy_from_slice(&sums[..out.len()]),
                }
            }
        }
    }
}

/// Sums over no columns; `out` is `[tokens, rows]`.
pub(crate) fn empty_sums(rows: usize, bias: Option<&[f32]>, out: &mut [f32]) {
    for out in out.chunks_mut(rows.max(1)) {
        match bias {
            Some(bias) => out.copy_from_slice(&bias[..out.len()]),
            None => out.fill(0.0),
        }
    }
}

/// Adds the biases of some rows to the sums of all tokens.
fn add_bias(sums: &mut [Sums], bias: Option<&[f32]>, rows: Range<usize>) {
    let Some(bias) = bias.and_then(|bias| bias.get(rows)) else { return };
    for sums in sums {
        sums.as_flattened_mut().iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
    }
}

/// Whether a weight of this format is multiplied with quantized activations.
pub(crate) fn is_block_format(format: Format) -> bool {
    with_grid!(format, _Block => true, _ => false)
}

/// The common number of columns; `None` when there is nothing to compute.
fn check(x: &[f32], tokens: usize, jobs: &[Job<'_>]) -> Result<Option<usize>, Error> {
    let Some(cols) = jobs.first().map(|job| job.weight.cols()) else { return Ok(None) };
    let same = |what: &'static str, expected: Option<usize>, found: usize| {
        if expected == Some(found) {
            return Ok(());
        }
        let expected = expected.map_or("a size below 2^64".into(), |expected| expected.to_string());
        Err(Error::Shape { what, expected, found: found.to_string() })
    };
    same("input of a matrix product", tokens.checked_mul(cols), x.len())?;
    for job in jobs {
        let (format, rows) = (job.weight.format(), job.weight.rows());
        if !format.is_computable() {
            return Err(Error::UnsupportedFormat { format, operation: "matmul" });
        }
        same("columns of a group of matrix products", Some(cols), job.weight.cols())?;
        same("output of a matrix product", tokens.checked_mul(rows), job.out.len())?;
        if let Some(bias) = job.bias {
            same("bias of a matrix product", Some(rows), bias.len())?;
        }
    }
    Ok(Some(cols))
}

#[cfg(test)]
mod tests;
