//! Matrix products: which worker computes which outputs.
//!
//! The unit of work is a strip of 16 rows for a tile of tokens. With few tokens the weights are read once from memory and
//! nothing else matters: nine tenths of the strips belong to fixed workers, so that the same core reads the same rows in every
//! step, and the rest goes to whoever is done first. With many tokens all strips are shared out one by one, tile of
//! tokens after tile of tokens, so that the activations of a tile stay in the cache while the weights pass by.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::activations::Activations;
use crate::cpu::dense::{self, DenseScratch};
use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::dense::DenseStrip;
use crate::cpu::kernels::packed::{Packed, dense_strip_of, strip_of};
use crate::cpu::kernels::{Kernels, ROWS, STRIP, StripSource, Sums, Workspace};
use crate::formats::with_grid;
use crate::{Error, Format, ThreadPool, Weight};

/// Tokens of a tile: enough to pay for the repacking of a strip, few enough that their activations fit into a level 2 cache; a
/// multiple of the widths of all blocks of columns.
pub(crate) const TILE: usize = 96;

/// Products below which waking threads costs more than it brings: some ten microseconds of work, what a wake takes on a busy machine.
const ALONE: usize = 512 * 1024;

/// The weight of a product `[rows, cols]`, in forms with the same results to the bit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// As the checkpoint has it.
    Blocks(&'a Weight),
    /// Strips that are rearranged for the kernels already, and all as the checkpoint has them.
    Partly(&'a Weight, &'a Packed),
    /// Rearranged for the kernels, every strip.
    Packed(&'a Packed),
}

impl<'a> Operand<'a> {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.format(),
            Self::Packed(weight) => weight.format(),
        }
    }

    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.rows(),
            Self::Packed(weight) => weight.rows(),
        }
    }

    fn cols(self) -> usize {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.cols(),
            Self::Packed(weight) => weight.cols(),
        }
    }

    /// Strip `index` of a block format.
    pub(crate) fn strip(self, index: usize) -> StripSource<'a> {
        match self {
            Self::Partly(_, packed) if packed.has(index) => packed.strip(index),
            Self::Blocks(weight) | Self::Partly(weight, _) => StripSource::Blocks(strip_of(weight, index)),
            Self::Packed(packed) => packed.strip(index),
        }
    }

    /// Strip `index` of a weight that is no block format, `height` rows of it.
    pub(crate) fn dense_strip(self, index: usize, height: usize) -> DenseStrip<'a> {
        match self {
            Self::Partly(_, packed) if packed.has(index) => packed.dense_strip(index),
            Self::Blocks(weight) | Self::Partly(weight, _) => dense_strip_of(weight, index, height),
            Self::Packed(packed) => packed.dense_strip(index),
        }
    }
}

/// One product of a group over the same input.
pub(crate) struct Job<'a> {
    /// `[rows, cols]`.
    pub(crate) weight: Operand<'a>,
    /// `[rows]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[tokens, rows]`.
    pub(crate) out: &'a mut [f32],
}

/// Memory that products reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    activations: Activations,
    dense: DenseScratch,
}

/// `out = x · weightᵀ + bias` for every job; `x` is `[tokens, cols]`. Float formats multiply with `x` itself, block formats with
/// `x` in 8-bit codes. An output depends on its row, its token and the instruction set, not on the threads or the other tokens.
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
    let (mut dense, mut jobs): (Vec<_>, Vec<_>) =
        jobs.iter_mut().partition(|job| !is_block_format(job.weight.format()));
    if !dense.is_empty() {
        dense::matmul(pool, kernels, &mut scratch.dense, x, tokens, cols, &mut dense)?;
    }
    if jobs.is_empty() {
        return Ok(());
    }
    scratch.activations.quantize(pool, kernels, x, cols)?;
    let input = Input { kernels, activations: &scratch.activations, tokens };
    let mut first = 0;
    let parts: Vec<Part<'_>> = jobs
        .iter_mut()
        .map(|job| {
            let part = Part {
                weight: job.weight,
                bias: job.bias,
                out: Disjoint::new(job.out),
                first,
                strips: job.weight.rows().div_ceil(STRIP),
            };
            first += part.strips;
            part
        })
        .collect();
    let products: usize = parts.iter().map(|part| part.weight.rows() * cols).sum();
    if pool.threads() == 1 || products.saturating_mul(tokens) <= ALONE {
        return pool.for_each(1, &|_| all(&input, &parts));
    }
    if tokens <= TILE { few(pool, &input, &parts) } else { many(pool, &input, &parts, first) }
}

/// What all products of a group read.
struct Input<'a> {
    kernels: &'a Kernels,
    activations: &'a Activations,
    tokens: usize,
}

/// A job whose output many workers write.
struct Part<'a> {
    weight: Operand<'a>,
    bias: Option<&'a [f32]>,
    out: Disjoint<'a, f32>,
    /// The number of its first strip among those of all jobs.
    first: usize,
    strips: usize,
}

/// What a worker writes on from strip to strip.
struct Desk {
    sums: [Sums; TILE],
    workspace: Workspace,
}

impl Desk {
    const ZERO: Self = Self { sums: [[[0.0; ROWS]; STRIP / ROWS]; TILE], workspace: Workspace::ZERO };
}

/// Every strip and tile, on this thread.
fn all(input: &Input<'_>, parts: &[Part<'_>]) {
    let mut desk = Desk::ZERO;
    for tile in (0..input.tokens).step_by(TILE) {
        for part in parts {
            (0..part.strips).for_each(|strip| part.compute(input, strip, tile, &mut desk));
        }
    }
}

/// One tile of tokens: fixed strips, then the shared rest.
fn few(pool: &ThreadPool, input: &Input<'_>, parts: &[Part<'_>]) -> Result<(), Error> {
    let threads = pool.threads();
    // Rounded down to whole strips for each worker, so that the fixed shares are equal.
    let fixed = |part: &Part<'_>| part.strips * 9 / 10 / threads;
    let shared: usize = parts.iter().map(|part| part.strips - fixed(part) * threads).sum();
    let next = AtomicUsize::new(0);
    pool.run(&|worker| {
        let mut desk = Desk::ZERO;
        for part in parts {
            let count = fixed(part);
            (worker * count..(worker + 1) * count).for_each(|strip| part.compute(input, strip, 0, &mut desk));
        }
        loop {
            // Relaxed: the counter only shares out numbers; the pool orders what the workers write.
            let mut index = next.fetch_add(1, Ordering::Relaxed);
            if index >= shared {
                return;
            }
            for part in parts {
                let start = fixed(part) * threads;
                if index < part.strips - start {
                    part.compute(input, start + index, 0, &mut desk);
                    break;
                }
                index -= part.strips - start;
            }
        }
    })
}

/// Many tokens: every strip of every tile is a task of its own.
fn many(pool: &ThreadPool, input: &Input<'_>, parts: &[Part<'_>], strips: usize) -> Result<(), Error> {
    let tasks = strips * input.tokens.div_ceil(TILE);
    let next = AtomicUsize::new(0);
    pool.run(&|_| {
        let mut desk = Desk::ZERO;
        loop {
            // Relaxed: as in `few`.
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            let (tile, strip) = (task / strips * TILE, task % strips);
            if let Some(part) = parts.iter().rfind(|part| part.first <= strip && part.strips > 0) {
                part.compute(input, strip - part.first, tile, &mut desk);
            }
        }
    })
}

impl Part<'_> {
    /// The outputs of one strip for the tokens from `first`, up to a tile of them.
    fn compute(&self, input: &Input<'_>, strip: usize, first: usize, desk: &mut Desk) {
        let count = TILE.min(input.tokens - first);
        let sums = &mut desk.sums[..count];
        let rows = self.weight.rows();
        let start = strip * STRIP;
        let end = rows.min(start + STRIP);
        let columns = input.activations.columns(first, count);
        input.kernels.integer_strip(self.weight.strip(strip), columns, &mut desk.workspace, sums);
        let bias = self.bias.and_then(|bias| bias.get(start..end));
        for (token, sums) in sums.iter().enumerate() {
            // SAFETY: each strip of each tile is computed once in a job, and these outputs belong to it alone.
            let out = unsafe { self.out.slice((first + token) * rows + start, end - start) };
            match bias {
                Some(bias) => {
                    out.iter_mut().zip(sums.as_flattened()).zip(bias).for_each(|((out, sum), bias)| *out = sum + bias);
                }
                None => out.iter_mut().zip(sums.as_flattened()).for_each(|(out, sum)| *out = *sum),
            }
        }
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
