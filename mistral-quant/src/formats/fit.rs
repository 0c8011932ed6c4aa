//! Searches for the scales of a block that give the least weighted square error; what the encoders share.
//!
//! A group of weights gets the scale (and min) that fits best over a small set of trial grids, each refined by least squares; then
//! the scales of all groups are themselves rounded to small integers under one f16, and the codes are chosen again under
//! the rounded scales. Source of the method: the K-quants of llama.cpp (pull request 1684), whose error it matches.

use super::{f16_bytes, f16_value};

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
    max_code: u8,
    max_scale: u8,
) -> Affine<GROUPS> {
    let mut fits = [(0.0, 0.0); GROUPS];
    for (fit, x) in fits.iter_mut().zip(x.chunks_exact(SIZE)) {
        *fit = affine_group(x, f64::from(max_code));
    }
    let (d, scales) = round_scales(fits.map(|fit| fit.0), max_scale);
    let (dmin, mins) = round_scales(fits.map(|fit| fit.1), max_scale);
    let mut codes = [0; 256];
    for (g, (codes, x)) in codes.chunks_exact_mut(SIZE).zip(x.chunks_exact(SIZE)).enumerate() {
        let scale = f64::from(f16_value(f16_bytes(d))) * f64::from(scales[g]);
        let min = f64::from(f16_value(f16_bytes(dmin))) * f64::from(mins[g]);
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = nearest((f64::from(x) + min) / scale, 0.0, f64::from(max_code)) as u8;
        }
    }
    Affine { d, dmin, scales, mins, codes }
}

/// Fits 16 groups of 16 weights with codes `-half_codes..half_codes` (stored plus `half_codes`) and scales `-half_scales..half_scales`.
pub(super) fn symmetric_block(x: &[f32; 256], half_codes: u8, half_scales: u8) -> Symmetric {
    let mut fits = [0.0; 16];
    for (fit, x) in fits.iter_mut().zip(x.chunks_exact(16)) {
        *fit = symmetric_group(x, f64::from(half_codes));
    }
    let largest = fits.iter().fold(0.0, |best: f64, &fit| if fit.abs() > best.abs() { fit } else { best });
    let half = f64::from(half_scales);
    let d = f16_value(f16_bytes((-largest / half) as f32));
    let scales = fits.map(|fit| nearest(fit / f64::from(d), -half, half - 1.0) as i32);
    let mut codes = [0; 256];
    let half = f64::from(half_codes);
    for (g, (codes, x)) in codes.chunks_exact_mut(16).zip(x.chunks_exact(16)).enumerate() {
        let scale = f64::from(d) * f64::from(scales[g]);
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = (nearest(f64::from(x) / scale, -half, half - 1.0) + half) as u8;
        }
    }
    Symmetric { d, scales, codes }
}

/// The nearest integer inside a range, ties to even; NaN, the quotient of two zeros, gives `low`.
fn nearest(x: f64, low: f64, high: f64) -> f64 {
    // Adding 1.5 * 2^52 leaves no bits for a fraction. `f64::round` is a library call on plain x86-64.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    x.max(low).min(high) + ROUND - ROUND
}

/// One scale for non-negative values, and the values in units of it (in f16, as it will be read).
fn round_scales<const N: usize>(values: [f64; N], max: u8) -> (f32, [u8; N]) {
    let largest = values.iter().fold(0.0, |max: f64, &value| max.max(value));
    let d = f16_value(f16_bytes((largest / f64::from(max)) as f32));
    (d, values.map(|value| nearest(value / f64::from(d), 0.0, f64::from(max)) as u8))
}

/// Scale and min (both non-negative) of `x ≈ scale * code - min`. Large weights count more: each has the importance
/// `rms + |x|`.
fn affine_group(x: &[f32], max_code: f64) -> (f64, f64) {
    let square: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
    let rms = (square / x.len() as f64).sqrt();
    let importance = |x: f64| rms + x.abs();
    let (low, high) = range(x);
    let (low, high) = (f64::from(low.min(0.0)), f64::from(high));
    if high <= low {
        return (0.0, -low);
    }
    let mut best = ((high - low) / max_code, -low);
    let mut least = f64::INFINITY;
    for step in 0..=24 {
        let per_scale = (max_code - 1.0 + 0.1 * f64::from(step)) / (high - low);
        let code = |x: f64| nearest(per_scale * (x - low), 0.0, max_code);
        let (mut w, mut wx, mut wl, mut wll, mut wxl) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for x in x.iter().map(|&x| f64::from(x)) {
            let (importance, code) = (importance(x), code(x));
            w += importance;
            wx += importance * x;
            wl += importance * code;
            wll += importance * code * code;
            wxl += importance * x * code;
        }
        let determinant = w * wll - wl * wl;
        let mut fit = ((w * wxl - wx * wl) / determinant, (wl * wxl - wll * wx) / determinant);
        if fit.1 < 0.0 {
            fit = (wxl / wll, 0.0);
        }
        if !(fit.0 > 0.0 && fit.1.is_finite()) {
            continue;
        }
        let error: f64 = x
            .iter()
            .map(|&x| f64::from(x))
            .map(|x| importance(x) * (fit.0 * nearest((x + fit.1) / fit.0, 0.0, max_code) - fit.1 - x).powi(2))
            .sum();
        if error < least {
            (least, best) = (error, fit);
        }
    }
    best
}

/// Scale (of either sign) of `x ≈ scale * code` with codes `-half..half`, each weight of importance `x²`.
fn symmetric_group(x: &[f32], half: f64) -> f64 {
    let extreme = f64::from(extreme(x));
    if extreme == 0.0 {
        return 0.0;
    }
    let (mut best, mut most) = (-extreme / half, 0.0);
    for step in -9..=9 {
        let per_scale = -(half + 0.1 * f64::from(step)) / extreme;
        let (mut wxl, mut wll) = (0.0, 0.0);
        for x in x.iter().map(|&x| f64::from(x)) {
            let code = nearest(per_scale * x, -half, half - 1.0);
            wxl += x * x * x * code;
            wll += x * x * code * code;
        }
        // The error of the best scale for these codes falls as `wxl² / wll` grows.
        if wll > 0.0 && wxl * wxl > most * wll {
            (most, best) = (wxl * wxl / wll, wxl / wll);
        }
    }
    best
}
