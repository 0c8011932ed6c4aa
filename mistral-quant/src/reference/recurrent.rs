//! Operations that carry state from token to token.

use super::{Reference, activated, row};
use crate::backend::{Convolution, SelectiveScan};
use crate::error::Error;
use crate::state::HostState;
use crate::step::HostStep;

/// A slot holds the last `kernel - 1` inputs, `[kernel - 1, channels]`. The arguments have been checked.
pub(super) fn convolve(
    step: &HostStep,
    x: &[f32],
    convolution: Convolution<'_, Reference>,
    state: &mut HostState,
    out: &mut [f32],
) -> Result<(), Error> {
    let Convolution { channels, kernel, weight, bias, activation } = convolution;
    let bias = bias.map(|bias| row(bias, 0)).transpose()?;
    let len = state.shape().len;
    for run in step.runs() {
        let slot = &mut state.values()[run.slot * len..(run.slot + 1) * len];
        for c in 0..channels {
            let taps = row(weight, c)?;
            let before = |i: usize| if run.position == 0 { 0.0 } else { slot[i * channels + c] };
            let new = |t: usize| x[(run.start + t) * channels + c];
            let inputs: Vec<f32> = (0..kernel - 1).map(before).chain((0..run.tokens).map(new)).collect();
            for t in 0..run.tokens {
                let mut sum = bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]));
                for k in 0..kernel {
                    sum += f64::from(taps[k]) * f64::from(inputs[t + k]);
                }
                out[(run.start + t) * channels + c] =
                    activation.map_or(sum, |activation| activated(sum, activation)) as f32;
            }
            for (i, &input) in inputs[run.tokens..].iter().enumerate() {
                slot[i * channels + c] = input;
            }
        }
    }
    Ok(())
}

/// A slot holds `[heads, head_dim, state_dim]`. The arguments have been checked.
pub(super) fn scan(
    step: &HostStep,
    mixed: &[f32],
    dt: &[f32],
    scan: SelectiveScan<'_, Reference>,
    state: &mut HostState,
    out: &mut [f32],
) -> Result<(), Error> {
    let SelectiveScan { heads, head_dim, groups, state_dim, dt_limit: (low, high), .. } = scan;
    let (a, skip, dt_bias) = (row(scan.a, 0)?, row(scan.skip, 0)?, row(scan.dt_bias, 0)?);
    let len = state.shape().len;
    let width = heads * head_dim + 2 * groups * state_dim;
    for run in step.runs() {
        let slot = &mut state.values()[run.slot * len..][..heads * head_dim * state_dim];
        if run.position == 0 {
            slot.fill(0.0);
        }
        for t in run.start..run.start + run.tokens {
            let token = &mixed[t * width..(t + 1) * width];
            let (x, shared) = token.split_at(heads * head_dim);
            let (b, c) = shared.split_at(groups * state_dim);
            for h in 0..heads {
                let group = h * groups / heads * state_dim;
                let raw = f64::from(dt[t * heads + h]) + f64::from(dt_bias[h]);
                // ln(1 + exp(raw)) without the overflow.
                let softplus = if raw > 30.0 { raw } else { raw.exp().ln_1p() };
                let d = at_most(at_least(softplus, f64::from(low)), f64::from(high));
                let decay = (d * f64::from(a[h])).exp();
                for p in 0..head_dim {
                    let x = f64::from(x[h * head_dim + p]);
                    let mut sum = f64::from(skip[h]) * x;
                    for n in 0..state_dim {
                        let s = &mut slot[(h * head_dim + p) * state_dim + n];
                        *s = (decay * f64::from(*s) + d * x * f64::from(b[group + n])) as f32;
                        sum += f64::from(*s) * f64::from(c[group + n]);
                    }
                    out[(t * heads + h) * head_dim + p] = sum as f32;
                }
            }
        }
    }
    Ok(())
}

/// The larger number; NaN stays.
fn at_least(x: f64, low: f64) -> f64 {
    if x < low { low } else { x }
}

/// The smaller number; NaN stays.
fn at_most(x: f64, high: f64) -> f64 {
    if x > high { high } else { x }
}
