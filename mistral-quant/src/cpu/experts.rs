//! Products of a mixture of experts: each expert multiplies the rows that are routed to it.
//!
//! Many small products at once: the rows are quantized or packed in the order of the routes, once for all products of a group,
//! and the tasks of all experts, each a strip of rows for a tile of routes, are shared out together, so that it does not matter
//! how the routes are spread over the experts.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::activations::Activations;
use crate::cpu::dense;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::dense::{pack, pack_pairs, packed_width};
use crate::cpu::matmul::{self, Desk, is_block_format};
use crate::cpu::operand::Operand;
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::error::Error;
use crate::routes::Routed;

/// One product of a group.
pub(crate) struct ExpertJob<'a> {
    /// Rows of the weight of each expert.
    pub(crate) rows: usize,
    /// The experts that have routes, ascending, with their weights `[rows, cols]` and biases `[rows]`.
    pub(crate) experts: Vec<(usize, Operand<'a>, Option<&'a [f32]>)>,
    /// `[routes, rows]`.
    pub(crate) out: &'a mut [f32],
}

/// Memory that products reuse.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    activations: Activations,
    /// As they are, and rounded to BF16.
    packed: [Vec<f32>; 2],
}

/// Computes products whose arguments have been checked; `x` is `[.., cols]`.
///
/// # Errors
/// [`Error::UnsupportedFormat`] before anything is written; [`Error::Resource`]; those of the pool.
pub(crate) fn matmul(
    pool: &ThreadPool,
    kernels: &Kernels,
    scratch: &mut Scratch,
    x: &[f32],
    cols: usize,
    routes: Routed<'_>,
    jobs: &mut [ExpertJob<'_>],
) -> Result<(), Error> {
    let formats = || jobs.iter().flat_map(|job| job.experts.iter().map(|expert| expert.1.format()));
    if let Some(format) = formats().find(|format| !format.is_computable()) {
        return Err(Error::UnsupportedFormat { format, operation: "matmul_experts" });
    }
    if cols == 0 {
        for ExpertJob { rows, experts, out } in jobs {
            for (expert, _, bias) in experts.iter() {
                let routes = routes.of(*expert);
                matmul::empty_sums(*rows, *bias, &mut out[routes.start * *rows..routes.end * *rows]);
            }
        }
        return Ok(());
    }
    if formats().any(is_block_format) {
        scratch.activations.quantize_routes(pool, kernels, x, cols, routes)?;
    }
    for rounded in [false, true] {
        if formats().any(|format| !is_block_format(format) && kernels.rounds(format) == rounded) {
            scratch.pack(pool, kernels, x, cols, routes, rounded)?;
        }
    }
    let packed = scratch.packed.each_ref().map(Vec::as_slice);
    let input = Input { kernels, activations: &scratch.activations, packed, cols };
    let outs: Vec<(Vec<_>, usize, Disjoint<'_, f32>)> =
        jobs.iter_mut().map(|job| (std::mem::take(&mut job.experts), job.rows, Disjoint::new(job.out))).collect();
    let mut parts = Vec::new();
    let (mut tasks, mut products) = (0, 0usize);
    // Expert after expert, so that the rows of one stay cached for all products of the group.
    for index in 0..outs.iter().map(|out| out.0.len()).max().unwrap_or_default() {
        for (experts, rows, out) in &outs {
            let Some(&(expert, weight, bias)) = experts.get(index) else { continue };
            let routes = routes.of(expert);
            let product = if is_block_format(weight.format()) {
                let together = kernels.strips_together(matmul::TILE.min(routes.len()));
                Product::Integer(matmul::Part::new(weight, together, bias, None, out))
            } else {
                Product::Dense(dense::Part::new(kernels, weight, bias, out))
            };
            let part = Part { product, start: routes.start, end: routes.end, first: tasks };
            tasks += part.tasks();
            products = products.saturating_add((rows * cols).saturating_mul(routes.len()));
            parts.push(part);
        }
    }
    if pool.threads() == 1 || products <= dense::ALONE {
        return pool.for_each(1, &|_| {
            let mut memory = Memory::new(kernels, &parts);
            for part in &parts {
                (0..part.tasks()).for_each(|task| part.compute(&input, task, &mut memory));
            }
        });
    }
    // Neighbours read weights that lie one behind the other: a few at a time, as long as that leaves every worker enough to take.
    let run = (tasks / (pool.threads() * 16)).clamp(1, 8);
    let next = AtomicUsize::new(0);
    pool.run(&|_| {
        let mut memory = Memory::new(kernels, &parts);
        loop {
            // Relaxed: the counter only shares out numbers; the pool orders what the workers write.
            let start = next.fetch_add(run, Ordering::Relaxed);
            if start >= tasks {
                return;
            }
            for task in start..tasks.min(start + run) {
                let part = parts.partition_point(|part| part.first <= task).saturating_sub(1);
                if let Some(part) = parts.get(part) {
                    part.compute(&input, task - part.first, &mut memory);
                }
            }
        }
    })
}

impl Scratch {
    /// Packs the routed rows, rounded or not, the groups of each expert for themselves.
    fn pack(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
        routes: Routed<'_>,
        rounded: bool,
    ) -> Result<(), Error> {
        let width = packed_width(cols, rounded);
        let needed = routes.rows.len() * width;
        let packed = &mut self.packed[usize::from(rounded)];
        if packed.len() < needed {
            *packed = storage::zeroed("packed activations", needed)?;
        }
        let group = kernels.dense_group();
        let packed = Disjoint::new(&mut packed[..needed]);
        let expert = |expert: usize| {
            let range = routes.of(expert);
            // SAFETY: the routes of each expert are packed once, into a place of their own.
            let packed = unsafe { packed.slice(range.start * width, range.len() * width) };
            let rows = routes.rows[range].iter().map(|&row| &x[row as usize * cols..(row as usize + 1) * cols]);
            if rounded { pack_pairs(rows, cols, group, packed) } else { pack(rows, cols, group, packed) }
        };
        if needed <= dense::PACK_ALONE {
            (0..routes.ends.len()).for_each(expert);
            return Ok(());
        }
        pool.for_each(routes.ends.len(), &expert)
    }
}

/// What all products of a group read.
struct Input<'a> {
    kernels: &'a Kernels,
    activations: &'a Activations,
    packed: [&'a [f32]; 2],
    cols: usize,
}

/// One expert of one product.
struct Part<'a> {
    product: Product<'a>,
    /// The routes `start..end`.
    start: usize,
    end: usize,
    /// The number of its first task among all.
    first: usize,
}

enum Product<'a> {
    Integer(matmul::Part<'a, &'a Disjoint<'a, f32>>),
    Dense(dense::Part<'a, &'a Disjoint<'a, f32>>),
}

/// What a worker writes on from task to task.
struct Memory {
    integer: Desk,
    dense: dense::Memory,
}

impl Memory {
    fn new(kernels: &Kernels, parts: &[Part<'_>]) -> Self {
        let dense = parts.iter().filter(|part| matches!(part.product, Product::Dense(_)));
        let tile = dense.map(|part| dense::TILE.min(part.end - part.start)).max().unwrap_or(0);
        Self { integer: Desk::ZERO, dense: dense::Memory::new(tile * kernels.dense_rows()) }
    }
}

impl Part<'_> {
    /// Tasks of all tiles.
    fn tasks(&self) -> usize {
        self.tile_tasks() * (self.end - self.start).div_ceil(self.tile())
    }

    fn tile_tasks(&self) -> usize {
        match &self.product {
            Product::Integer(part) => part.tasks,
            Product::Dense(part) => part.strips,
        }
    }

    fn tile(&self) -> usize {
        match self.product {
            Product::Integer(_) => matmul::TILE,
            Product::Dense(_) => dense::TILE,
        }
    }

    /// The outputs of one task.
    fn compute(&self, input: &Input<'_>, task: usize, memory: &mut Memory) {
        let (tile, task) = (task / self.tile_tasks(), task % self.tile_tasks());
        let first = self.start + tile * self.tile();
        let count = self.tile().min(self.end - first);
        match &self.product {
            Product::Integer(part) => {
                let columns = input.activations.columns(first, count);
                part.compute(input.kernels, task, first, columns, &mut memory.integer);
            }
            Product::Dense(part) => {
                let rounded = input.kernels.rounds(part.format());
                let width = packed_width(input.cols, rounded);
                let packed = &input.packed[usize::from(rounded)][first * width..(first + count) * width];
                part.compute(input.kernels, task, first, packed, count, &mut memory.dense);
            }
        }
    }
}

#[cfg(test)]
mod tests;
