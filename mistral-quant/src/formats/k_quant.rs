//! What the K formats share: 6-bit scales and minima, and the searches of their encoders.
//!
//! The searches minimise a weighted squared error over a grid of step sizes, with the best scale (and minimum) of each
//! candidate in closed form: the method of ggml's `make_qkx2_quants` and `make_qx_quants`.

/// Scale and minimum of sub-block `j` of 8, six bits each, from the 12 bytes of Q4_K and Q5_K.
///
/// ```text
/// byte      0 .. 3                4 .. 7                8 .. 11
/// bits 0-5  scale of 0 .. 3       minimum of 0 .. 3     bits 0-3 of scale 4 .. 7 | bits 0-3 of minimum 4 .. 7
/// bits 6-7  bits 4-5 of scale 4+  bits 4-5 of minimum 4+
/// ```
pub(crate) fn scale_min(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let byte = packed[j + 4];
        (byte & 15 | packed[j - 4] >> 6 << 4, byte >> 4 | packed[j] >> 6 << 4)
    }
}

/// The inverse of [`scale_min`] for all eight sub-blocks.
pub(super) fn pack_scales_mins(scales: &[u8; 8], mins: &[u8; 8], packed: &mut [u8]) {
    for j in 0..4 {
        packed[j] = scales[j] | scales[j + 4] >> 4 << 6;
        packed[j + 4] = mins[j] | mins[j + 4] >> 4 << 6;
        packed[j + 8] = scales[j + 4] & 15 | (mins[j + 4] & 15) << 4;
    }
}

/// `scale` and `min` (both at least 0) for which `scale * q - min` with codes `0..=max_code` comes near `weights`.
pub(super) fn scale_and_min(weights: &[f32], importance: &[f32], max_code: u8, absolute: bool) -> (f32, f32) {
    let (lowest, highest) = weights.iter().fold((0f32, f32::MIN), |(a, b), &w| (a.min(w), b.max(w)));
    if highest <= lowest {
        return (0.0, -lowest);
    }
    let error = |scale: f32, min: f32| -> f32 {
        let by = super::inverse(scale);
        let mut sum = 0.0;
        for (w, weight) in weights.iter().zip(importance) {
            let q = ((w + min) * by).round().clamp(0.0, f32::from(max_code));
            let d = scale * q - min - w;
            sum += weight * if absolute { d.abs() } else { d * d };
        }
        sum
    };
    let range = highest - lowest;
    let mut best = (range / f32::from(max_code), -lowest);
    let mut least = error(best.0, best.1);
    for step in -10..=10 {
        let by = (f32::from(max_code) + 0.1 * step as f32) / range;
        // Sums for the least squares fit of w = scale * q - min.
        let [mut s, mut sq, mut sqq, mut sw, mut sqw] = [0f64; 5];
        for (w, weight) in weights.iter().zip(importance) {
            let q = f64::from(((w - lowest) * by).round().clamp(0.0, f32::from(max_code)));
            let (w, weight) = (f64::from(*w), f64::from(*weight));
            s += weight;
            sq += weight * q;
            sqq += weight * q * q;
            sw += weight * w;
            sqw += weight * q * w;
        }
        let determinant = s * sqq - sq * sq;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = ((s * sqw - sq * sw) / determinant) as f32;
        let mut min = -((sqq * sw - sq * sqw) / determinant) as f32;
        if min < 0.0 {
            // A minimum above zero is not in the format: fit the scale alone.
            min = 0.0;
            scale = (sqw / sqq) as f32;
        }
        let found = error(scale, min);
        if scale > 0.0 && found < least {
            (least, best) = (found, (scale, min));
        }
    }
    best
}

/// The scale for which `scale * q` with codes `-half..half` comes near `weights`; the importance of a weight is its square.
pub(super) fn scale_alone(weights: &[f32], half: i8) -> f32 {
    let peak = super::peak(weights);
    if peak.abs() < 1e-15 {
        return 0.0;
    }
    let half = f32::from(half);
    let (mut best, mut most) = (0.0, -1.0);
    for step in -9..=9 {
        let by = -(half + 0.1 * step as f32) / peak;
        let (mut along, mut square) = (0f32, 0f32);
        for w in weights {
            let q = (w * by).round().clamp(-half, half - 1.0);
            along += w * w * w * q;
            square += w * w * q * q;
        }
        // The reduction of the error by the best scale for these codes.
        let gain = if square > 0.0 { along * along / square } else { 0.0 };
        if gain > most {
            (most, best) = (gain, along / square);
        }
    }
    if best.is_finite() { best } else { 0.0 }
}

/// The importance that ggml gives a weight when nothing else is known: the root mean square plus the magnitude.
pub(super) fn importance(weights: &[f32], out: &mut [f32]) {
    let square: f32 = weights.iter().map(|w| w * w).sum();
    let rms = (square / weights.len() as f32).sqrt();
    for (out, w) in out.iter_mut().zip(weights) {
        *out = rms + w.abs();
    }
}

/// Scales and minima of eight sub-blocks of 32 as 6-bit codes of `d` and `dmin`, written to the head of a Q4_K or Q5_K
/// block (bytes 0 to 16). Returns the step and the offset of each sub-block as decoded.
pub(super) fn encode_head(weights: &[f32], max_code: u8, block: &mut [u8]) -> [(f32, f32); 8] {
    let mut fitted = [(0f32, 0f32); 8];
    let mut weight = [0f32; 32];
    for (fit, part) in fitted.iter_mut().zip(weights.chunks_exact(32)) {
        importance(part, &mut weight);
        *fit = scale_and_min(part, &weight, max_code, false);
    }
    let (top_scale, top_min) = fitted.iter().fold((0f32, 0f32), |(s, m), fit| (s.max(fit.0), m.max(fit.1)));
    let d = super::set_half(block, 0, top_scale / 63.0);
    let dmin = super::set_half(block, 2, top_min / 63.0);
    let (by, by_min) = (super::inverse(d), super::inverse(dmin));
    let code = |value: f32, by: f32| (value * by).round().clamp(0.0, 63.0) as u8;
    let scales = fitted.map(|fit| code(fit.0, by));
    let mins = fitted.map(|fit| code(fit.1, by_min));
    pack_scales_mins(&scales, &mins, &mut block[4..16]);
    std::array::from_fn(|j| (d * f32::from(scales[j]), dmin * f32::from(mins[j])))
}

/// The code of `w` in a sub-block of this step and offset.
pub(super) fn code(w: f32, (step, offset): (f32, f32), max_code: u8) -> u8 {
    if step == 0.0 { 0 } else { ((w + offset) / step).round().clamp(0.0, f32::from(max_code)) as u8 }
}
