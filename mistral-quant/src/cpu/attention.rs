//! Attention over the paged cache by online softmax.
//!
//! Keys are visited in tiles of [`TILE`] and summed up in partitions of [`PARTITION`] positions, both cut at absolute positions
//! of the sequence; the partitions of a query are then merged in order. What a query adds up, and in which order, is thus a
//! matter of its own position alone: chunked prefill, batching and the number of threads change no bit of it, and a
//! long context can be spread over threads.
//!
//! The queries of a task share the keys and values that they read: all query heads of one kv head, and for prefill several tokens.
//! Source of the merge: Milakov and Gimelshein, 2018, arXiv:1805.02867; Dao et al., 2022, arXiv:2205.14135.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::backend::{Attention, KvShape};
use crate::cpu::Cpu;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::elementwise::Elementwise;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::attention::tile::{STRIP, Stored, TILE, Tile};
use crate::cpu::kernels::attention::{Scoring, Sight, Sums};
use crate::cpu::kv::{CpuKv, Store};
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage::zeroed;
use crate::error::Error;
use crate::kv_format::KV_UNIT;
use crate::step::{HostStep, Reach, Span};

/// Positions whose sum is computed from nothing and then merged.
const PARTITION: usize = 8 * TILE;

/// Rows (query heads of tokens) that a task wants to have: enough to make widening keys cheap beside using them, few enough for
/// their queries, scores and sums to stay in the second cache. Most sizes of a group divide it.
const TASK_ROWS: usize = 72;

/// Rows from which a tile is widened to f32 once for all of them, instead of at each use: more than one register tile.
const WIDEN_ROWS: usize = 8;

/// Values of partial sums kept for contexts that are spread over threads (64 MiB); above, a task walks its context alone.
const SPREAD_VALUES: usize = 16 << 20;

/// Memory that attentions reuse.
#[derive(Debug)]
pub(crate) struct Scratch {
    workers: Vec<Mutex<Vec<f32>>>,
    spread: Vec<f32>,
}

/// The queries of a few consecutive tokens for one kv head.
#[derive(Clone, Copy)]
struct Task<'a> {
    span: Span<'a>,
    reach: Reach,
    /// First token of the span, and how many.
    first: usize,
    tokens: usize,
    kv_head: usize,
    /// Where the task's partial sums lie, when its context is spread over threads.
    spread: Option<usize>,
}

/// What all tasks share.
struct Plan<'a> {
    kernels: Kernels,
    elementwise: Elementwise,
    queries: &'a [f32],
    kv: &'a CpuKv,
    shape: KvShape,
    attention: Attention<'a, Cpu>,
    /// Query heads a kv head.
    group: usize,
}

impl Scratch {
    /// For a pool of `threads`.
    pub(crate) fn new(threads: usize) -> Self {
        Self { workers: (0..threads).map(|_| Mutex::new(Vec::new())).collect(), spread: Vec::new() }
    }

    /// Computes an attention whose arguments have been checked.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn run(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        step: &HostStep,
        queries: &[f32],
        kv: &CpuKv,
        attention: Attention<'_, Cpu>,
        out: &mut [f32],
    ) -> Result<(), Error> {
        let shape = kv.shape();
        let group = attention.heads / shape.kv_heads;
        let elementwise = Elementwise::new(kernels);
        let plan = Plan { kernels: *kernels, elementwise, queries, kv, shape, attention, group };
        let mut tasks = plan.tasks(step.spans(attention.group)?);
        let rows = tasks.iter().map(|task| task.tokens * group).max().unwrap_or_default();
        let widest = shape.key_dim.max(shape.value_dim);
        // A tile as f32, one more row, and scales.
        let tile = (TILE + 1) * widest + TILE * widest.div_ceil(KV_UNIT);
        let values: usize = rows * (shape.key_dim + TILE) + 2 * rows * (shape.value_dim + 2) + tile;
        for worker in &mut self.workers {
            let worker = worker.get_mut().unwrap_or_else(PoisonError::into_inner);
            if worker.len() < values {
                *worker = zeroed("attention scratch", values)?;
            }
        }
        let partial = plan.spread(&mut tasks, pool.threads());
        if self.spread.len() < partial {
            self.spread = zeroed("attention sums", partial)?;
        }
        // A task as a whole, or one partition of it.
        let parts: Vec<(&Task<'_>, Option<usize>)> = tasks
            .iter()
            .flat_map(|task| {
                let partitions = if task.spread.is_some() { plan.partitions(task) } else { 0..0 };
                let whole = task.spread.is_none().then_some((task, None));
                partitions.map(move |partition| (task, Some(partition))).chain(whole)
            })
            .collect();
        let (out, sums) = (Disjoint::new(out), Disjoint::new(&mut self.spread));
        each(pool, parts.len(), &self.workers, &|index, scratch| match parts[index] {
            (task, None) => plan.whole(task, scratch, &out),
            (task, Some(partition)) => {
                let len = plan.sums_len(task);
                let start = task.spread.unwrap_or_default() + (partition - plan.partitions(task).start) * len;
                // SAFETY: each pair of task and partition has a part of its own.
                let part = Sums::new(unsafe { sums.slice(start, len) }, task.tokens * plan.group, shape.value_dim);
                let (queries, scratch) = plan.gather_queries(task, scratch);
                plan.partition(task, partition, (partition + 1) * PARTITION, queries, scratch, part);
            }
        })?;
        let spread: Vec<&Task<'_>> = tasks.iter().filter(|task| task.spread.is_some()).collect();
        if spread.is_empty() {
            return Ok(());
        }
        each(pool, spread.len(), &self.workers, &|index, scratch| {
            let task = spread[index];
            let (rows, len) = (task.tokens * plan.group, plan.sums_len(task));
            let mut total = Sums::new(&mut scratch[..len], rows, shape.value_dim);
            total.clear();
            for (i, _) in plan.partitions(task).enumerate() {
                // SAFETY: only this task reads its partial sums, which were completed by the job before.
                let part = unsafe { sums.slice(task.spread.unwrap_or_default() + i * len, len) };
                plan.merge(&mut total, &Sums::new(part, rows, shape.value_dim));
            }
            plan.finish(task, &total, &out);
        })
    }
}

/// Runs tasks on the pool with the scratch memory of the worker that runs them.
fn each(
    pool: &ThreadPool,
    tasks: usize,
    workers: &[Mutex<Vec<f32>>],
    f: &(dyn Fn(usize, &mut [f32]) + Sync),
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let work = |worker: usize| {
        let Some(scratch) = workers.get(worker) else { return };
        let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            f(task, &mut scratch);
        }
    };
    if tasks <= 1 { pool.for_each(tasks, &|_| work(0)) } else { pool.run(&work) }
}

impl<'a> Plan<'a> {
    /// Kv heads times blocks of tokens, in this order, so that threads at work side by side read the same keys.
    fn tasks<'t>(&self, spans: impl Iterator<Item = Span<'t>>) -> Vec<Task<'t>> {
        let block = (TASK_ROWS / self.group).max(1);
        let mut tasks = Vec::new();
        for span in spans {
            let reach = span.reach(self.attention.visible);
            for kv_head in 0..self.shape.kv_heads {
                for first in (0..span.tokens).step_by(block) {
                    let tokens = block.min(span.tokens - first);
                    tasks.push(Task { span, reach, first, tokens, kv_head, spread: None });
                }
            }
        }
        tasks
    }

    /// Decides which tasks are worth spreading over threads: those that would keep one thread busy while others have nothing left.
    /// The number of partial sums that this takes. Either way gives the same bits.
    fn spread(&self, tasks: &mut [Task<'_>], threads: usize) -> usize {
        if threads == 1 {
            return 0;
        }
        let work = |task: &Task<'_>| task.tokens * self.group * self.seen_by_any(task).len();
        let all = tasks.iter().fold(0usize, |sum, task| sum.saturating_add(work(task)));
        let mut values = 0;
        for task in tasks {
            let partitions = self.partitions(task).len();
            let more = partitions.saturating_mul(self.sums_len(task)).saturating_add(values);
            if partitions > 1 && work(task) > all / threads.saturating_mul(4) && more <= SPREAD_VALUES {
                task.spread = Some(values);
                values = more;
            }
        }
        values
    }

    /// What row `r` of a task sees.
    fn seen(&self, task: &Task<'_>, row: usize) -> Range<usize> {
        task.reach.of(task.span.position + task.first + row / self.group)
    }

    /// What any row of a task sees.
    fn seen_by_any(&self, task: &Task<'_>) -> Range<usize> {
        self.seen(task, 0).start..self.seen(task, (task.tokens * self.group).saturating_sub(1)).end
    }

    fn partitions(&self, task: &Task<'_>) -> Range<usize> {
        let seen = self.seen_by_any(task);
        seen.start / PARTITION..seen.end.div_ceil(PARTITION)
    }

    fn sums_len(&self, task: &Task<'_>) -> usize {
        task.tokens * self.group * (self.shape.value_dim + 2)
    }

    /// Copies the task's queries together as `[rows, key_dim]`; the rest of the scratch.
    fn gather_queries<'s>(&self, task: &Task<'_>, scratch: &'s mut [f32]) -> (&'s [f32], &'s mut [f32]) {
        let width = self.group * self.shape.key_dim;
        let (queries, rest) = scratch.split_at_mut(task.tokens * width);
        for (i, token) in queries.chunks_exact_mut(width).enumerate() {
            let row = task.span.start + task.first + i;
            let start = (row * self.shape.kv_heads + task.kv_head) * width;
            token.copy_from_slice(&self.queries[start..start + width]);
        }
        (queries, rest)
    }

    /// A task from beginning to end.
    fn whole(&self, task: &Task<'_>, scratch: &mut [f32], out: &Disjoint<'_, f32>) {
        let (rows, len) = (task.tokens * self.group, self.sums_len(task));
        let (queries, scratch) = self.gather_queries(task, scratch);
        let (total, scratch) = scratch.split_at_mut(len);
        let (part, scratch) = scratch.split_at_mut(len);
        let mut total = Sums::new(total, rows, self.shape.value_dim);
        total.clear();
        for partition in self.partitions(task) {
            self.partition(task, partition, usize::MAX, queries, scratch, Sums::new(part, rows, self.shape.value_dim));
            self.merge(&mut total, &Sums::new(part, rows, self.shape.value_dim));
        }
        self.finish(task, &total, out);
    }

    /// Sums over one partition, from nothing. The positions before `until` are this thread's, so that it pays to ask for them early.
    /// `scratch` holds scores `[rows, TILE]`, the scales of a tile, then a tile as f32.
    fn partition(
        &self,
        task: &Task<'_>,
        partition: usize,
        until: usize,
        queries: &[f32],
        scratch: &mut [f32],
        mut sums: Sums<'_>,
    ) {
        let KvShape { key_dim, value_dim, .. } = self.shape;
        let rows = task.tokens * self.group;
        let (scores, scratch) = scratch.split_at_mut(rows * TILE);
        let (scales, panel) = scratch.split_at_mut(TILE * key_dim.max(value_dim).div_ceil(KV_UNIT));
        let Attention { scale, soft_cap, .. } = self.attention;
        sums.clear();
        let any = self.seen_by_any(task);
        for tile in (partition * PARTITION..(partition + 1) * PARTITION).step_by(TILE) {
            let seen = tile.max(any.start)..(tile + TILE).min(any.end);
            if seen.is_empty() {
                continue;
            }
            let first = task.span.position + task.first;
            let sight = Sight { first, row: 0, group: self.group, reach: task.reach, tile };
            // Few rows wait for memory, so the next tile is asked for while this one is in use; many have enough to do.
            let next = tile + TILE..(tile + 2 * TILE).min(any.end).min(until);
            let few = rows < WIDEN_ROWS && self.kv.is_stripped() && !next.is_empty();
            let ahead = |store: &Store| few.then(|| self.strips(task, store, &next).ahead(&self.kernels));
            let keys = self.tile::<true>(task, tile, &seen, scales, panel);
            self.kernels.scores(queries, key_dim, keys, ahead(self.kv.keys()), sight, scores);
            self.kernels.weigh(scores, Scoring { scale, soft_cap }, sight, &mut sums);
            let values = self.tile::<false>(task, tile, &seen, scales, panel);
            self.kernels.accumulate(scores, values, ahead(self.kv.values()), value_dim, sight, sums.values);
        }
    }

    /// Where a position of the task's sequence is stored.
    fn slot(&self, task: &Task<'_>, position: usize) -> Option<usize> {
        let block = task.span.blocks.get(position / self.shape.block_tokens)?;
        Some(self.kv.slot(*block, task.kv_head, position % self.shape.block_tokens))
    }

    /// The strips in which positions of one tile lie.
    fn strips<'s>(&self, task: &Task<'_>, store: &'s Store, seen: &Range<usize>) -> Stored<'s> {
        store.strips(std::array::from_fn(|strip| {
            let start = seen.start / TILE * TILE + strip * STRIP;
            if start < seen.end && seen.start < start + STRIP { self.slot(task, start) } else { None }
        }))
    }

    /// Keys or values of the positions `seen` of the tile that starts at position `tile`.
    fn tile<'s, const KEYS: bool>(
        &self,
        task: &Task<'_>,
        tile: usize,
        seen: &Range<usize>,
        scales: &'s mut [f32],
        panel: &'s mut [f32],
    ) -> Tile<'s>
    where
        'a: 's,
    {
        let (store, dim) =
            if KEYS { (self.kv.keys(), self.shape.key_dim) } else { (self.kv.values(), self.shape.value_dim) };
        if !self.kv.is_stripped() {
            for position in seen.clone() {
                if let Some(slot) = self.slot(task, position) {
                    put::<KEYS>(store, slot, position - tile, dim, panel);
                }
            }
            let mut strips = panel.chunks_exact(STRIP * dim);
            return Tile::F32(std::array::from_fn(|_| strips.next().unwrap_or_default()));
        }
        let stored = self.strips(task, store, seen);
        let is_f32 = matches!(stored, Stored::F32(_));
        let tile = self.kernels.tile(stored, scales);
        match (is_f32 || task.tokens * self.group < WIDEN_ROWS, KEYS) {
            (true, _) => tile,
            (false, true) => self.kernels.widen_keys(tile, dim, panel),
            (false, false) => self.kernels.widen_values(tile, dim, panel),
        }
    }

    /// Adds a later partition to the sums before it.
    fn merge(&self, sums: &mut Sums<'_>, part: &Sums<'_>) {
        let width = self.shape.value_dim;
        for row in 0..sums.max.len() {
            let max = sums.max[row].max(part.max[row]);
            let (own, other) = (relative(sums.max[row], max), relative(part.max[row], max));
            sums.total[row] = sums.total[row] * own + part.total[row] * other;
            self.elementwise.blend(sums.row(row), own, &part.values[row * width..(row + 1) * width], other);
            sums.max[row] = max;
        }
    }

    /// Divides by the sums of exponentials, into the task's part of `out`.
    fn finish(&self, task: &Task<'_>, sums: &Sums<'_>, out: &Disjoint<'_, f32>) {
        let width = self.shape.value_dim;
        let sinks = self.attention.sinks.map(|sinks| &sinks.vector()[task.kv_head * self.group..][..self.group]);
        for i in 0..task.tokens {
            let row = task.span.start + task.first + i;
            let start = (row * self.shape.kv_heads + task.kv_head) * self.group * width;
            // SAFETY: no two spans share a row, and no two tasks share tokens and kv head.
            let out = unsafe { out.slice(start, self.group * width) };
            let rows = i * self.group * width..(i + 1) * self.group * width;
            out.copy_from_slice(&sums.values[rows]);
            for (h, head) in out.chunks_exact_mut(width).enumerate() {
                let (max, total) = (sums.max[i * self.group + h], sums.total[i * self.group + h]);
                let factor = match sinks {
                    None => 1.0 / total,
                    Some(sinks) => {
                        let shared = max.max(sinks[h]);
                        let own = relative(max, shared);
                        own / (total * own + (sinks[h] - shared).exp())
                    }
                };
                self.elementwise.multiply(head, factor);
            }
        }
    }
}

/// `exp(score - max)` where both may be minus infinity.
fn relative(score: f32, max: f32) -> f32 {
    if score == f32::NEG_INFINITY { 0.0 } else { (score - max).exp() }
}

/// Copies one slot to its place in a panel of keys or of values.
fn put<const KEYS: bool>(store: &Store, slot: usize, at: usize, dim: usize, panel: &mut [f32]) {
    if !KEYS {
        return store.read(slot, &mut panel[at * dim..(at + 1) * dim]);
    }
    // A spare row behind the panel, then its transposition.
    let (panel, spare) = panel.split_at_mut(TILE * dim);
    let row = &mut spare[..dim];
    store.read(slot, row);
    let strip = &mut panel[at / STRIP * STRIP * dim..(at / STRIP + 1) * STRIP * dim];
    row.iter().zip(strip.chunks_exact_mut(STRIP)).for_each(|(&x, keys)| keys[at % STRIP] = x);
}

#[cfg(test)]
mod tests;
