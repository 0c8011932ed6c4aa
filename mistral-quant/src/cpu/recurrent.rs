//! Operations that carry state from token to token: short convolutions and selective scans.
//!
//! Tokens are visited one after another, each with the same arithmetic, so that a prompt in chunks is equal to the bit to the whole
//! prompt. The work is shared out over runs and over channels or heads.

use crate::backend::{Activation, SelectiveScan};
use crate::cpu::Cpu;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::elementwise::Elementwise;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::lanes::{FloatLanes, LaneKernel};
use crate::cpu::pool::ThreadPool;
use crate::error::Error;
use crate::step::{HostRun, HostStep};

/// Channels of a task: whole cache lines, few enough that their taps and inputs stay in the first cache.
const CHANNELS: usize = 256;

/// Multiplications below which waking threads costs more than it brings.
const ALONE: usize = 64 * 1024;

/// The host's form of a [`Convolution`](crate::backend::Convolution).
pub(crate) struct Filter<'a> {
    pub(crate) channels: usize,
    /// `[kernel, channels]`.
    pub(crate) taps: &'a [f32],
    /// `[channels]`.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Option<Activation>,
}

/// Convolves `x` to `out`, both `[tokens, channels]`; arguments have been checked. A slot of `state`, `slot_len` values, holds the last
/// `kernel - 1` inputs, `[kernel - 1, channels]`.
pub(crate) fn convolve(
    pool: &ThreadPool,
    kernels: &Kernels,
    step: &HostStep,
    x: &[f32],
    filter: &Filter<'_>,
    (state, slot_len): (&mut [f32], usize),
    out: &mut [f32],
) -> Result<(), Error> {
    let channels = filter.channels;
    let pieces = channels.div_ceil(CHANNELS);
    let (state, out) = (Disjoint::new(state), Disjoint::new(out));
    let (state, out) = (&state, &out);
    let work = filter.taps.len().saturating_mul(step.tokens());
    tasks(pool, step.runs().len() * pieces, work, &|task| {
        let run = &step.runs()[task / pieces];
        let first = task % pieces * CHANNELS;
        // SAFETY: each task has some channels of a run of its own, and no two runs share a row or a slot.
        unsafe { convolve_run(kernels, run, x, filter, first, (state, run.slot * slot_len), out) };
    })
}

/// Convolves some channels of one run.
///
/// # Safety
/// While this runs nobody else may use the rows of the run in `out`, nor its slot in `state`, at the channels from `first` on.
unsafe fn convolve_run(
    kernels: &Kernels,
    run: &HostRun,
    x: &[f32],
    filter: &Filter<'_>,
    first: usize,
    (state, slot): (&Disjoint<'_, f32>, usize),
    out: &Disjoint<'_, f32>,
) {
    let &Filter { channels, taps, bias, activation } = filter;
    let count = CHANNELS.min(channels - first);
    let before = taps.len() / channels - 1;
    // SAFETY: by this function's contract; parts of different rows do not overlap.
    let stored = |i: usize| unsafe { state.slice(slot + i * channels + first, count) };
    let new = |token: usize| &x[(run.start + token) * channels + first..][..count];
    if run.position == 0 {
        (0..before).for_each(|i| stored(i).fill(0.0));
    }
    let taps: Vec<&[f32]> = taps.chunks_exact(channels).map(|taps| &taps[first..first + count]).collect();
    let bias = bias.map(|bias| &bias[first..first + count]);
    let mut inputs: Vec<&[f32]> = Vec::with_capacity(taps.len());
    for token in 0..run.tokens {
        inputs.clear();
        inputs.extend((token..token + taps.len()).map(|i| match i.checked_sub(before) {
            Some(token) => new(token),
            None => &*stored(i),
        }));
        // SAFETY: by this function's contract.
        let out = unsafe { out.slice((run.start + token) * channels + first, count) };
        kernels.run(Convolve { inputs: &inputs, taps: &taps, bias, out });
        if let Some(activation) = activation {
            Elementwise::new(kernels).activate(out, activation);
        }
    }
    drop(inputs);
    // Each input moves to an earlier place or comes from `x`.
    for i in 0..before {
        match (run.tokens + i).checked_sub(before) {
            Some(token) => stored(i).copy_from_slice(new(token)),
            None => stored(i).copy_from_slice(stored(run.tokens + i)),
        }
    }
}

/// `out = bias + Σ taps * inputs` over the taps in order, a lane per channel.
struct Convolve<'a> {
    inputs: &'a [&'a [f32]],
    taps: &'a [&'a [f32]],
    bias: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl LaneKernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(self, lanes: L) {
        let Self { inputs, taps, bias, out } = self;
        let len = out.len();
        if inputs.iter().chain(taps).chain(&bias).any(|operand| operand.len() < len) {
            debug_assert!(false, "an operand is shorter than {len} channels");
            return;
        }
        for start in (0..len).step_by(L::LANES) {
            let count = L::LANES.min(len - start);
            // SAFETY: all operands have `len` elements, as just checked.
            unsafe {
                let mut sum = match bias {
                    Some(bias) => load(lanes, bias, start, count),
                    None => lanes.zero(),
                };
                for (input, tap) in inputs.iter().zip(taps) {
                    sum = lanes.fma(load(lanes, input, start, count), load(lanes, tap, start, count), sum);
                }
                store(lanes, out, start, count, sum);
            }
        }
    }
}

/// Loads `count` elements from `start` on.
///
/// # Safety
/// They must lie inside `from`.
#[inline(always)]
unsafe fn load<L: FloatLanes>(lanes: L, from: &[f32], start: usize, count: usize) -> L::Vector {
    let from = from.as_ptr().wrapping_add(start);
    // SAFETY: by this function's contract.
    unsafe { if count == L::LANES { lanes.load(from) } else { lanes.load_partial(from, count) } }
}

/// Stores `count` elements from `start` on.
///
/// # Safety
/// They must lie inside `to`.
#[inline(always)]
unsafe fn store<L: FloatLanes>(lanes: L, to: &mut [f32], start: usize, count: usize, value: L::Vector) {
    let to = to.as_mut_ptr().wrapping_add(start);
    // SAFETY: by this function's contract.
    unsafe { if count == L::LANES { lanes.store(to, value) } else { lanes.store_partial(to, value, count) } }
}

/// Scans as [`SelectiveScan`] says; arguments have been checked. A slot of `state`, `slot_len` values, holds
/// `[heads, head_dim, state_dim]`.
pub(crate) fn scan(
    pool: &ThreadPool,
    kernels: &Kernels,
    step: &HostStep,
    [mixed, dt]: [&[f32]; 2],
    scan: &SelectiveScan<'_, Cpu>,
    (state, slot_len): (&mut [f32], usize),
    out: &mut [f32],
) -> Result<(), Error> {
    let &SelectiveScan { heads, head_dim, groups, state_dim, .. } = scan;
    let (own, width) = (head_dim * state_dim, heads * head_dim + 2 * groups * state_dim);
    let (state, out) = (Disjoint::new(state), Disjoint::new(out));
    let (state, out) = (&state, &out);
    let work = (heads * own).saturating_mul(step.tokens());
    tasks(pool, step.runs().len() * heads, work, &|task| {
        let (run, head) = (&step.runs()[task / heads], task % heads);
        // SAFETY: each task has a head of a run of its own, and no two runs share a slot.
        let state = unsafe { state.slice(run.slot * slot_len + head * own, own) };
        if run.position == 0 {
            state.fill(0.0);
        }
        let (a, skip) = (scan.a.vector()[head], scan.skip.vector()[head]);
        let b = heads * head_dim + head * groups / heads * state_dim;
        let c = b + groups * state_dim;
        for row in run.start..run.start + run.tokens {
            let token = &mixed[row * width..(row + 1) * width];
            let d = time_step(dt[row * heads + head] + scan.dt_bias.vector()[head], scan.dt_limit);
            // SAFETY: each task has a head of some rows of its own.
            let out = unsafe { out.slice((row * heads + head) * head_dim, head_dim) };
            let (b, c) = (&token[b..b + state_dim], &token[c..c + state_dim]);
            let x = &token[head * head_dim..(head + 1) * head_dim];
            kernels.run(ScanToken { state: &mut *state, x, b, c, d, decay: (d * a).exp(), skip, out });
        }
    })
}

/// `clamp(softplus(raw), low, high)`; NaN stays.
fn time_step(raw: f32, (low, high): (f32, f32)) -> f32 {
    // ln(1 + exp(raw)), which is `raw` to the last bit of f32 where the exponential is large.
    let softplus = if raw > 30.0 { raw } else { f64::from(raw).exp().ln_1p() as f32 };
    let above = if softplus < low { low } else { softplus };
    if above > high { high } else { above }
}

/// One token of one head.
struct ScanToken<'a> {
    /// `[head_dim, state_dim]`.
    state: &'a mut [f32],
    /// `[head_dim]`.
    x: &'a [f32],
    /// `[state_dim]`.
    b: &'a [f32],
    /// `[state_dim]`.
    c: &'a [f32],
    d: f32,
    decay: f32,
    skip: f32,
    /// `[head_dim]`.
    out: &'a mut [f32],
}

impl LaneKernel for ScanToken<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: FloatLanes>(mut self, lanes: L) {
        let (rows, dim) = (self.x.len(), self.b.len());
        if self.state.len() < rows * dim || self.c.len() < dim || self.out.len() < rows {
            debug_assert!(false, "{} values of state for {rows} x {dim}", self.state.len());
            return;
        }
        let mut row = 0;
        while row + 4 <= rows {
            // SAFETY: as just checked.
            unsafe { self.rows::<L, 4>(lanes, row) };
            row += 4;
        }
        for row in row..rows {
            // SAFETY: as just checked.
            unsafe { self.rows::<L, 1>(lanes, row) };
        }
    }
}

impl ScanToken<'_> {
    /// Updates `R` rows of the state from `first` on, and multiplies them with `c`. A row is the same in every group.
    ///
    /// # Safety
    /// The slices must hold the rows.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    unsafe fn rows<L: FloatLanes, const R: usize>(&mut self, lanes: L, first: usize) {
        let dim = self.b.len();
        let decay = lanes.splat(self.decay);
        let mut inputs = [lanes.zero(); R];
        for r in 0..R {
            inputs[r] = lanes.splat(self.d * self.x[first + r]);
        }
        let mut sums = [lanes.zero(); R];
        for start in (0..dim).step_by(L::LANES) {
            let count = L::LANES.min(dim - start);
            // SAFETY: by this function's contract.
            unsafe {
                let (b, c) = (load(lanes, self.b, start, count), load(lanes, self.c, start, count));
                for r in 0..R {
                    let at = (first + r) * dim + start;
                    let state = lanes.fma(load(lanes, self.state, at, count), decay, lanes.mul(inputs[r], b));
                    store(lanes, self.state, at, count, state);
                    sums[r] = lanes.fma(state, c, sums[r]);
                }
            }
        }
        for r in 0..R {
            self.out[first + r] = lanes.sum(sums[r]) + self.skip * self.x[first + r];
        }
    }
}

/// Runs tasks on the pool, or alone where there is little `work`.
fn tasks(pool: &ThreadPool, tasks: usize, work: usize, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
    if work < ALONE { pool.for_each(1, &|_| (0..tasks).for_each(f)) } else { pool.for_each(tasks, f) }
}

#[cfg(test)]
mod tests;
