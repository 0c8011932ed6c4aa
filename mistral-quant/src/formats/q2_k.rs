//! Q2_K: 256 weights in 84 bytes, 16 sub-blocks of 16, `w = d * scale * q - dmin * min`.
//!
//! ```text
//! byte  0                        16                                        80     82     84
//!       | 16 x (min    | scale)  | 2 x 32 bytes, one half each:            | d    | dmin |
//!       | high nibble  | low     | q[128 h + 32 k + l] at bit 2 k of byte l | f16  | f16  |
//! ```

use super::{Block, half_at, inverse, k_quant, set_half};
use crate::Format;

pub(crate) struct Q2K;

impl Block for Q2K {
    const FORMAT: Format = Format::Q2_K;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 84;

    fn decode(block: &[u8], out: &mut [f32]) {
        let (d, dmin) = (half_at(block, 80), half_at(block, 82));
        for (i, out) in out.iter_mut().enumerate() {
            let head = block[i / 16];
            let q = block[16 + 32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3;
            *out = d * f32::from(head & 15) * f32::from(q) - dmin * f32::from(head >> 4);
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let mut fitted = [(0f32, 0f32); 16];
        for (fit, part) in fitted.iter_mut().zip(weights.chunks_exact(16)) {
            let mut importance = [0f32; 16];
            importance.iter_mut().zip(part).for_each(|(i, w)| *i = w.abs());
            *fit = k_quant::scale_and_min(part, &importance, 3, true);
        }
        let (top, top_min) = fitted.iter().fold((0f32, 0f32), |(s, m), fit| (s.max(fit.0), m.max(fit.1)));
        block.fill(0);
        let (d, dmin) = (set_half(block, 80, top / 15.0), set_half(block, 82, top_min / 15.0));
        let code = |value: f32, by: f32| (value * by).round().clamp(0.0, 15.0) as u8;
        for (byte, (scale, min)) in block[..16].iter_mut().zip(fitted) {
            *byte = code(scale, inverse(d)) | code(min, inverse(dmin)) << 4;
        }
        for (i, &w) in weights.iter().enumerate() {
            let head = block[i / 16];
            let q = k_quant::code(w, (d * f32::from(head & 15), dmin * f32::from(head >> 4)), 3);
            block[16 + 32 * (i / 128) + i % 32] |= q << (2 * (i / 32 % 4));
        }
    }
}
