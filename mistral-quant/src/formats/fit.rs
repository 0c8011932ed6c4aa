//! Searches for the scales of a block that give the least weighted square error; what the encoders share.
//!
//! A group of weights gets the scale (and min) that fits best over a small set of trial grids, each refined by least squares; then
//! the scales of all groups are themselves rounded to small integers under one f16, and the codes are chosen again under
//! the rounded scales. Source of the method: the K-quants of llama.cpp (pull request 1684), whose error it matches.

use super::{f16_bytes, f16_value};

/// The most times that the best trial grid is fitted again to the codes that are nearest under it.
const REFINEMENTS: usize = 4;

/// A block of `GROUPS` groups on the grid `d * scales[g] * code - dmin * mins[g]`.
pub(super) struct Affine<const GROUPS: usize> {
    pub d: f32,
    pub dmin: f32,
    pub scales: [u8; GROUPS],
    pub mins: [u8; GROUPS],
    pub codes: [u8; 256],
}

/// A block of 16 groups of 16 on the grid `d * scales[g] * (code - offset)`.
pub(super) struct Symmetric {
    pub d: f32,
    pub scales: [i32; 16],
    pub codes: [u8; 256],
}

/// The value of largest magnitude, with its sign; zero for an empty slice.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |best: f32, &x| if x.abs() > best.abs() { x } else { best })
}

/// The least and the largest value.
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)))
}

/// Fits `GROUPS` groups of `SIZE` weights with codes `0..=max_code` and scales and mins `0..=max_scale`.
pub(super) fn affine_block<const GROUPS: usize, const SIZE: usize>(
    x: &[f32; 256],
    importance: Option<&[f32]>,
    max_code: u8,
    max_scale: u8,
) -> Affine<GROUPS> {
    let by_importance = importance.map(|importance| costs(x, Some(importance)));
    let all: [f64; 256] = std::array::from_fn(|i| match &by_importance {
        Some(costs) => costs[i],
        None => magnitudes(&x.as_chunks::<SIZE>().0[i / SIZE])[i % SIZE],
    });
    let groups = || x.as_chunks::<SIZE>().0.iter().zip(all.as_chunks::<SIZE>().0);
    let top = f64::from(max_code);
    let mut fits = [(0.0, 0.0); GROUPS];
    let mut weights = [(0.0, 0.0); GROUPS];
    for ((fit, weight), (x, costs)) in fits.iter_mut().zip(&mut weights).zip(groups()) {
        *fit = affine_group(x, costs, top, true);
        *weight = curvature(x, costs, top, *fit);
    }
    let (d, mut scales) = round_scales(fits.map(|fit| fit.0), weights.map(|weight| weight.0), max_scale);
    let (dmin, mut mins) = round_scales(fits.map(|fit| fit.1), weights.map(|weight| weight.1), max_scale);
    let (one, one_min) = (f64::from(d), f64::from(dmin));
    let mut codes = [0; 256];
    for (g, (codes, (x, costs))) in codes.chunks_exact_mut(SIZE).zip(groups()).enumerate() {
        let (mut least, mut chosen) = (f64::INFINITY, (scales[g], mins[g]));
        for step in scales[g].saturating_sub(1)..=scales[g].saturating_add(1).min(max_scale) {
            let scale = one * f64::from(step);
            // The min that suits the codes under this scale, in units of what mins are counted in.
            let suits = best_min(x, costs, top, scale, one_min * f64::from(mins[g]));
            let min_step = nearest(suits / one_min, 0.0, f64::from(max_scale)) as u8;
            let error = affine_error(x, costs, top, (scale, one_min * f64::from(min_step)));
            if error < least {
                (least, chosen) = (error, (step, min_step));
            }
        }
        (scales[g], mins[g]) = chosen;
        let (scale, min) = (one * f64::from(scales[g]), one_min * f64::from(mins[g]));
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = nearest((f64::from(x) + min) / scale, 0.0, top) as u8;
        }
    }
    Affine { d, dmin, scales, mins, codes }
}

/// Fits 16 groups of 16 weights with codes `-half_codes..half_codes` (stored plus `half_codes`) and scales `-half_scales..half_scales`.
pub(super) fn symmetric_block(
    x: &[f32; 256],
    importance: Option<&[f32]>,
    half_codes: u8,
    half_scales: u8,
) -> Symmetric {
    let costs = costs(x, importance);
    let half = f64::from(half_codes);
    let groups = || x.as_chunks::<16>().0.iter().zip(costs.as_chunks::<16>().0);
    let code = |x: f32, scale: f64| nearest(f64::from(x) / scale, -half, half - 1.0);
    let mut fits = [(0.0, 0.0); 16];
    for (fit, (x, costs)) in fits.iter_mut().zip(groups()) {
        let scale = symmetric_group(x, costs, half);
        let square = |(&x, cost): (&f32, &f64)| if scale == 0.0 { 0.0 } else { cost * code(x, scale).powi(2) };
        *fit = (scale, x.iter().zip(costs).map(square).sum());
    }
    let (d, mut scales) = round_signed_scales(fits.map(|fit| fit.0), fits.map(|fit| fit.1), half_scales);
    let mut codes = [0; 256];
    for (g, (codes, (x, costs))) in codes.chunks_exact_mut(16).zip(groups()).enumerate() {
        let limit = i32::from(half_scales);
        let error = |step: i32| -> f64 {
            let scale = f64::from(d) * f64::from(step);
            let square = |(&x, cost): (&f32, &f64)| cost * (scale * code(x, scale) - f64::from(x)).powi(2);
            x.iter().zip(costs).map(square).sum()
        };
        let (mut least, middle) = (f64::INFINITY, scales[g]);
        for step in (middle - 1).max(-limit)..=(middle + 1).min(limit - 1) {
            let error = error(step);
            if error < least {
                (least, scales[g]) = (error, step);
            }
        }
        let scale = f64::from(d) * f64::from(scales[g]);
        for (to, &x) in codes.iter_mut().zip(x) {
            *to = (code(x, scale) + half) as u8;
        }
    }
    Symmetric { d, scales, codes }
}

/// The scale (of either sign) of 32 weights on the grid `scale * code` with codes `-half..half`.
pub(super) fn symmetric_scale(x: &[f32; 32], importance: &[f32], half: u8) -> f32 {
    symmetric_group(x, &costs(x, Some(importance)), f64::from(half)) as f32
}

/// The scale and the least value of 32 weights on the grid `scale * code + least` with codes `0..=max_code`.
pub(super) fn affine_scale(x: &[f32; 32], importance: &[f32], max_code: u8) -> (f32, f32) {
    let (scale, min) = affine_group(x, &costs(x, Some(importance)), f64::from(max_code), false);
    (scale as f32, -min as f32)
}

/// Returns the cost of a square error of each weight, given the importance of its column: `importance * sqrt(2 * mean square + x²)`.
/// Without `importance`, all columns count alike.
pub(super) fn costs<const N: usize>(x: &[f32; N], importance: Option<&[f32]>) -> [f64; N] {
    let square: f64 = 2.0 * x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / N as f64;
    let shares: [f64; N] = shares(importance);
    std::array::from_fn(|i| shares[i] * (square + f64::from(x[i]).powi(2)).sqrt())
}

/// Returns the importance of each column, in units of the greatest. Columns of no importance keep a ten-millionth of the greatest, so that
/// no sum of costs is zero.
pub(super) fn shares<const N: usize>(importance: Option<&[f32]>) -> [f64; N] {
    let importance = importance.unwrap_or_default();
    let greatest = importance.iter().fold(0.0, |max: f32, &one| max.max(one));
    let floor = if greatest > 0.0 { 1e-7 } else { 1.0 };
    let per_greatest = if greatest > 0.0 { 1.0 / f64::from(greatest) } else { 0.0 };
    std::array::from_fn(|i| (f64::from(importance.get(i).copied().unwrap_or_default()) * per_greatest).max(floor))
}

/// Costs of a group without importance on an affine grid: large weights count more, `rms + |x|`.
fn magnitudes<const N: usize>(x: &[f32; N]) -> [f64; N] {
    let square: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
    let rms = (square / N as f64).sqrt();
    x.map(|x| rms + f64::from(x).abs())
}

/// The nearest integer inside a range, ties to even; NaN, the quotient of two zeros, gives `low`.
fn nearest(x: f64, low: f64, high: f64) -> f64 {
    // Adding 1.5 * 2^52 leaves no bits for a fraction. `f64::round` is a library call on plain x86-64.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    x.max(low).min(high) + ROUND - ROUND
}

/// Returns one scale for non-negative values, and the values in units of the scale (in f16, as it will be read). Of several trial scales,
/// the result is the one under which the rounded values lose least, where an error of each value costs its weight.
fn round_scales<const N: usize>(values: [f64; N], weights: [f64; N], max: u8) -> (f32, [u8; N]) {
    let largest = values.iter().fold(0.0, |max: f64, &value| max.max(value));
    let (mut best, mut least) = ((0.0, [0; N]), f64::INFINITY);
    for trial in -6..=6 {
        let d = f16_value(f16_bytes((largest / (f64::from(max) + 0.15 * f64::from(trial))) as f32));
        let steps = values.map(|value| nearest(value / f64::from(d), 0.0, f64::from(max)) as u8);
        let off = |i: usize| values[i] - f64::from(d) * f64::from(steps[i]);
        let error: f64 = (0..N).map(|i| weights[i] * off(i).powi(2)).sum();
        if error < least {
            (least, best) = (error, (d, steps));
        }
    }
    best
}

/// Returns how much a change of scale and of min costs a group: `Σ cost * code²` and `Σ cost`.
fn curvature<const N: usize>(x: &[f32; N], costs: &[f64; N], max_code: f64, (scale, min): (f64, f64)) -> (f64, f64) {
    let code = |x: f32| if scale > 0.0 { nearest((f64::from(x) + min) / scale, 0.0, max_code) } else { 0.0 };
    x.iter().zip(costs).fold((0.0, 0.0), |(square, all), (&x, cost)| (square + cost * code(x).powi(2), all + cost))
}

/// Returns the weighted square error of `x ≈ scale * code - min` with the nearest codes.
fn affine_error<const N: usize>(x: &[f32; N], costs: &[f64; N], max_code: f64, (scale, min): (f64, f64)) -> f64 {
    let off = |x: f64| scale * nearest((x + min) / scale, 0.0, max_code) - min - x;
    x.iter().zip(costs).map(|(&x, cost)| cost * off(f64::from(x)).powi(2)).sum()
}

/// Returns the best min for the codes that are nearest under a scale and another min.
fn best_min<const N: usize>(x: &[f32; N], costs: &[f64; N], max_code: f64, scale: f64, min: f64) -> f64 {
    let off = |x: f64| scale * nearest((x + min) / scale, 0.0, max_code) - x;
    let (sum, all) =
        x.iter().zip(costs).fold((0.0, 0.0), |(sum, all), (&x, cost)| (sum + cost * off(f64::from(x)), all + cost));
    sum / all
}

/// Returns one scale for values of either sign, and the values in units of the scale, `-half..half`. The extreme value becomes about
/// `-half`. As in [`round_scales`], an error of each value costs its weight.
pub(super) fn round_signed_scales<const N: usize>(values: [f64; N], weights: [f64; N], half: u8) -> (f32, [i32; N]) {
    let extreme = values.iter().fold(0.0, |best: f64, &value| if value.abs() > best.abs() { value } else { best });
    let half = f64::from(half);
    let (mut best, mut least) = ((0.0, [0; N]), f64::INFINITY);
    for trial in -6..=6 {
        let d = f16_value(f16_bytes((-extreme / (half + 0.15 * f64::from(trial))) as f32));
        let steps = values.map(|value| nearest(value / f64::from(d), -half, half - 1.0) as i32);
        let off = |i: usize| values[i] - f64::from(d) * f64::from(steps[i]);
        let error: f64 = (0..N).map(|i| weights[i] * off(i).powi(2)).sum();
        if error < least {
            (least, best) = (error, (d, steps));
        }
    }
    best
}

/// Scale and min of `x ≈ scale * code - min`; the scale is not negative, nor is the min where `min_only`.
fn affine_group<const N: usize>(x: &[f32; N], costs: &[f64; N], max_code: f64, min_only: bool) -> (f64, f64) {
    let (low, high) = range(x);
    let (low, high) = (f64::from(if min_only { low.min(0.0) } else { low }), f64::from(high));
    if high <= low {
        return (0.0, -low);
    }
    let mut best = ((high - low) / max_code, -low);
    let mut least = f64::INFINITY;
    for step in 0..=24 {
        let per_scale = (max_code - 1.0 + 0.1 * f64::from(step)) / (high - low);
        let code = |x: f64| nearest(per_scale * (x - low), 0.0, max_code);
        if let Some(fit) = affine_fit(x, costs, code, min_only) {
            let error = affine_error(x, costs, max_code, fit);
            if error < least {
                (least, best) = (error, fit);
            }
        }
    }
    // The codes that are nearest under a fit are not those that it was made for.
    for _ in 0..REFINEMENTS {
        let code = |x: f64| nearest((x + best.1) / best.0, 0.0, max_code);
        let Some(fit) = affine_fit(x, costs, code, min_only) else { break };
        let error = affine_error(x, costs, max_code, fit);
        if error >= least {
            break;
        }
        (least, best) = (error, fit);
    }
    best
}

/// Returns the scale and min of `x ≈ scale * code - min` that suit some codes best; `None` if the scale is not positive.
fn affine_fit<const N: usize>(
    x: &[f32; N],
    costs: &[f64; N],
    code: impl Fn(f64) -> f64,
    min_only: bool,
) -> Option<(f64, f64)> {
    let (mut w, mut wx, mut wl, mut wll, mut wxl) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, cost) in x.iter().map(|&x| f64::from(x)).zip(costs) {
        let code = code(x);
        w += cost;
        wx += cost * x;
        wl += cost * code;
        wll += cost * code * code;
        wxl += cost * x * code;
    }
    let determinant = w * wll - wl * wl;
    let mut fit = ((w * wxl - wx * wl) / determinant, (wl * wxl - wll * wx) / determinant);
    if min_only && fit.1 < 0.0 {
        fit = (wxl / wll, 0.0);
    }
    Some(fit).filter(|fit| fit.0 > 0.0 && fit.1.is_finite())
}

/// Scale (of either sign) of `x ≈ scale * code` with codes `-half..half`.
fn symmetric_group<const N: usize>(x: &[f32; N], costs: &[f64; N], half: f64) -> f64 {
    let extreme = f64::from(extreme(x));
    if extreme == 0.0 {
        return 0.0;
    }
    let trials = (-9..=9).map(|step| -(half + 0.1 * f64::from(step)) / extreme);
    best_scale(x, costs, trials, |x| nearest(x, -half, half - 1.0)).unwrap_or(-extreme / half)
}

/// The scale of `x ≈ scale * code(x / scale)` that costs least: each trial, the inverse of a scale, chooses codes, and least
/// squares the scale that suits them best. `None` when every code is zero.
pub(super) fn best_scale(
    x: &[f32],
    costs: &[f64],
    trials: impl Iterator<Item = f64>,
    code: impl Fn(f64) -> f64,
) -> Option<f64> {
    let (mut best, mut most) = (None, 0.0);
    for per_scale in trials {
        let (mut wxl, mut wll) = (0.0, 0.0);
        for (x, cost) in x.iter().map(|&x| f64::from(x)).zip(costs) {
            let code = code(per_scale * x);
            wxl += cost * x * code;
            wll += cost * code * code;
        }
        // The error of the best scale for these codes falls as `wxl² / wll` grows.
        if wll > 0.0 && wxl * wxl > most * wll {
            (most, best) = (wxl * wxl / wll, Some(wxl / wll));
        }
    }
    best
}

/// Returns the scale and the codes of 64 weights on the grid `d * (code - 1)` with codes 0 to 3.
///
/// As the scale grows smaller, a weight of the scale's sign steps from 0 to 1 and then to 2; a weight of the other sign steps from 0 to -1.
/// All these steps are tried in their order, for a scale of either sign. The error of the best scale falls as `wx² / w` grows.
pub(super) fn four_values_block(x: &[f32; 64], importance: Option<&[f32]>) -> (f32, [u8; 64]) {
    let costs = costs(x, importance);
    let (mut best, mut most) = (0.0, 0.0);
    for sign in [1.0, -1.0f64] {
        // The scale at which a weight steps, its place and what the square of its code grows by.
        let mut steps = [(0.0, 0usize, 0.0); 128];
        for (i, (steps, x)) in steps.as_chunks_mut::<2>().0.iter_mut().zip(x).enumerate() {
            let (magnitude, second) =
                (f64::from(x.abs()), if f64::from(*x) * sign > 0.0 { 1.5 } else { f64::INFINITY });
            *steps = [(magnitude / 0.5, i, 1.0), (magnitude / second, i, 3.0)];
        }
        steps.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (mut wx, mut w) = (0.0, 0.0);
        for (_, i, square) in steps.into_iter().take_while(|step| step.0 > 0.0) {
            wx += costs[i] * f64::from(x[i].abs());
            w += costs[i] * square;
            // More than rounding explains: of ternary weights the positive scale is found, which is tried first.
            if wx * wx > most * w * (1.0 + 1e-12) {
                (most, best) = (wx * wx / w, sign * wx / w);
            }
        }
    }
    let d = f16_value(f16_bytes(best as f32));
    let code = |x: f32| if d == 0.0 { 1 } else { (nearest(f64::from(x) / f64::from(d), -1.0, 2.0) + 1.0) as u8 };
    (d, x.map(code))
}

/// The scale and the trits (plus 1) of 256 weights on the grid `d * (trit - 1)`.
///
/// With the `n` largest magnitudes at the scale and the others at zero, the best scale is the mean of those `n`; the best `n` is
/// found by trying all.
pub(super) fn ternary_block(x: &[f32; 256], importance: Option<&[f32]>) -> (f32, [u8; 256]) {
    let costs = costs(x, importance);
    let mut order: [u8; 256] = std::array::from_fn(|i| i as u8);
    order.sort_unstable_by(|&a, &b| x[usize::from(b)].abs().total_cmp(&x[usize::from(a)].abs()));
    let (mut best, mut most, mut wx, mut w) = (0.0, 0.0, 0.0, 0.0);
    for i in order.map(usize::from) {
        wx += costs[i] * f64::from(x[i].abs());
        w += costs[i];
        if wx * wx > most * w {
            (most, best) = (wx * wx / w, wx / w);
        }
    }
    let d = f16_value(f16_bytes(best as f32));
    (d, x.map(|x| (nearest(f64::from(x) / f64::from(d), -1.0, 1.0) + 1.0) as u8))
}
