//! Products with weights that are no integers: F32, F16, BF16, and formats that only their decoder understands.
//!
//! Work is shared out as in [`super::matmul`]: strips of rows for a tile of tokens. The activations of a tile are packed first, once
//! for all strips, so that a kernel reads them in order.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::dense::{Panel, pack, pack_pairs, packed_width};
use crate::cpu::operand::{Job, Operand};
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::error::Error;
use crate::format::Format;

/// The most tokens of a tile, a multiple of every group: enough that making panels costs little, few enough that sums stay cached.
pub(crate) const TILE: usize = 192;

/// Products below which waking threads costs more than it brings; see `matmul`.
pub(crate) const ALONE: usize = 512 * 1024;

/// Activations below which packing is not worth waking threads for.
pub(crate) const PACK_ALONE: usize = 64 * 1024;

/// Memory that products reuse.
#[derive(Debug, Default)]
pub(crate) struct DenseScratch {
    /// Groups of tokens, each `[cols, tokens of the group]`, or pairs of columns.
    packed: Vec<f32>,
}

/// `out = x · weightᵀ + bias` for jobs that have been checked; `x` is `[tokens, cols]`. The kernels round activations for the formats of
/// all jobs, or of none.
#[allow(clippy::too_many_arguments)]
pub(crate) fn matmul(
    pool: &ThreadPool,
    kernels: &Kernels,
    scratch: &mut DenseScratch,
    x: &[f32],
    tokens: usize,
    cols: usize,
    jobs: &mut [&mut Job<'_>],
    rounded: bool,
) -> Result<(), Error> {
    let group = kernels.dense_group();
    let packed = scratch.pack(pool, x, tokens, cols, group, rounded)?;
    let width = packed_width(cols, rounded);
    let height = kernels.dense_rows();
    let parts: Vec<Part<'_, _>> =
        jobs.iter_mut().map(|job| Part::new(kernels, job.weight, job.bias, Disjoint::new(job.out))).collect();
    // Tiles of the same whole number of groups, as near as can be.
    let tiles = tokens.div_ceil(TILE).max(1);
    let tile = tokens.div_ceil(tiles).next_multiple_of(group).clamp(group, TILE);
    let compute = |part: &Part<'_, Disjoint<'_, f32>>, strip: usize, first: usize, memory: &mut Memory| {
        let count = tile.min(tokens - first);
        part.compute(kernels, strip, first, &packed[first * width..(first + count) * width], count, memory);
    };
    let strips: usize = parts.iter().map(|part| part.strips).sum();
    let products: usize = parts.iter().map(|part| part.rows * cols).sum();
    if pool.threads() == 1 || products.saturating_mul(tokens) <= ALONE {
        return pool.for_each(1, &|_| {
            let mut memory = Memory::new(tile * height);
            for first in (0..tokens).step_by(tile) {
                for part in &parts {
                    (0..part.strips).for_each(|strip| compute(part, strip, first, &mut memory));
                }
            }
        });
    }
    // With one tile nine tenths of the strips belong to fixed workers, so that a core reads the same rows in every step.
    let threads = pool.threads();
    let fixed = |part: &Part<'_, _>| if tokens <= tile { part.strips * 9 / 10 / threads } else { 0 };
    let shared = strips - parts.iter().map(|part| fixed(part) * threads).sum::<usize>();
    let tasks = shared * tokens.div_ceil(tile);
    let next = AtomicUsize::new(0);
    pool.run(&|worker| {
        let mut memory = Memory::new(tile * height);
        for part in &parts {
            let count = fixed(part);
            (worker * count..(worker + 1) * count).for_each(|strip| compute(part, strip, 0, &mut memory));
        }
        loop {
            // Relaxed: the counter only shares out numbers; the pool orders what the workers write.
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            let (first, mut index) = (task / shared * tile, task % shared);
            for part in &parts {
                let start = fixed(part) * threads;
                if index < part.strips - start {
                    compute(part, start + index, first, &mut memory);
                    break;
                }
                index -= part.strips - start;
            }
        }
    })
}

impl DenseScratch {
    /// Packs `x` `[tokens, cols]`, rounded or not; one token that is not rounded is packed already.
    fn pack<'s>(
        &'s mut self,
        pool: &ThreadPool,
        x: &'s [f32],
        tokens: usize,
        cols: usize,
        group: usize,
        rounded: bool,
    ) -> Result<&'s [f32], Error> {
        if tokens <= 1 && !rounded {
            return Ok(x);
        }
        let width = packed_width(cols, rounded);
        let len = tokens * width;
        if self.packed.len() < len {
            self.packed = storage::zeroed("packed activations", len)?;
        }
        let packed = Disjoint::new(&mut self.packed[..len]);
        let groups = tokens.div_ceil(group);
        let one = |index: usize| {
            let first = index * group;
            let end = (first + group).min(tokens);
            let x = x[first * cols..end * cols].chunks_exact(cols.max(1));
            // SAFETY: each group is packed once, into a place of its own.
            let packed = unsafe { packed.slice(first * width, (end - first) * width) };
            if rounded { pack_pairs(x, cols, group, packed) } else { pack(x, cols, group, packed) }
        };
        if x.len() <= PACK_ALONE {
            (0..groups).for_each(one)
        } else {
            pool.for_each(groups, &one)?
        }
        Ok(&self.packed[..len])
    }
}

/// A weight whose output many workers write.
pub(crate) struct Part<'a, O> {
    weight: Operand<'a>,
    rows: usize,
    /// Strips of [`Kernels::dense_rows`].
    pub(crate) strips: usize,
    bias: Option<&'a [f32]>,
    out: O,
}

/// What a worker writes on.
pub(crate) struct Memory {
    panel: Panel,
    sums: Vec<f32>,
}

impl Memory {
    /// For `sums` outputs of a strip.
    pub(crate) fn new(sums: usize) -> Self {
        Self { panel: Panel::new(), sums: vec![0.0; sums] }
    }
}

impl<'a, O: Borrow<Disjoint<'a, f32>>> Part<'a, O> {
    /// `out` is `[tokens, rows]`.
    pub(crate) fn new(kernels: &Kernels, weight: Operand<'a>, bias: Option<&'a [f32]>, out: O) -> Self {
        let rows = weight.rows();
        Self { weight, rows, strips: rows.div_ceil(kernels.dense_rows()), bias, out }
    }

    /// The format of the weight.
    pub(crate) fn format(&self) -> Format {
        self.weight.format()
    }

    /// The outputs of one strip for `count` tokens from `first`, which `packed` holds.
    pub(crate) fn compute(
        &self,
        kernels: &Kernels,
        strip: usize,
        first: usize,
        packed: &[f32],
        count: usize,
        memory: &mut Memory,
    ) {
        let height = kernels.dense_rows();
        let (start, end) = (strip * height, self.rows.min((strip + 1) * height));
        let sums = &mut memory.sums[..count * height];
        kernels.dense_strip(self.weight.dense_strip(strip, height), packed, sums, &mut memory.panel);
        let bias = self.bias.and_then(|bias| bias.get(start..end));
        for (token, sums) in sums.chunks_exact(height).enumerate() {
            // SAFETY: each strip of each tile is computed once in a job, and these outputs belong to it alone.
            let out = unsafe { self.out.borrow().slice((first + token) * self.rows + start, end - start) };
            match bias {
                Some(bias) => out.iter_mut().zip(sums).zip(bias).for_each(|((out, sum), bias)| *out = sum + bias),
                None => out.copy_from_slice(&sums[..end - start]),
            }
        }
    }
}
