//! Q4_1: 32 weights in 20 bytes, `w = d * q + m`.
//!
//! ```text
//! byte  0      2      4                                            20
//!       | d    | m    | q[16] q[0] | q[17] q[1] | ...   q[31] q[15] |
//!       | f16  | f16  | high  low nibble                            |
//! ```

use super::{Block, half_at, inverse, set_half};
use crate::Format;

pub(crate) struct Q4_1;

impl Block for Q4_1 {
    const FORMAT: Format = Format::Q4_1;
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;

    fn decode(block: &[u8], out: &mut [f32]) {
        let (d, m) = (half_at(block, 0), half_at(block, 2));
        for (j, &byte) in block[4..].iter().enumerate() {
            out[j] = f32::from(byte & 15) * d + m;
            out[j + 16] = f32::from(byte >> 4) * d + m;
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let (min, max) = weights.iter().fold((f32::MAX, f32::MIN), |(a, b), &w| (a.min(w), b.max(w)));
        let d = (max - min) / 15.0;
        let by = inverse(d);
        set_half(block, 0, d);
        set_half(block, 2, min);
        let code = |w: f32| (((w - min) * by + 0.5) as u8).min(15);
        for (j, byte) in block[4..].iter_mut().enumerate() {
            *byte = code(weights[j]) | code(weights[j + 16]) << 4;
        }
    }
}
