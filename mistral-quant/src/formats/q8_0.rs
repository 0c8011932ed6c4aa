//! Q8_0: 32 weights in 34 bytes, `w = d * q`.
//!
//! ```text
//! byte  0      2                                 34
//!       | d    | q[0] q[1] ...             q[31] |
//!       | f16  | i8                              |
//! ```

use super::{Block, half_at, inverse, set_half};
use crate::Format;

pub(crate) struct Q8_0;

impl Block for Q8_0 {
    const FORMAT: Format = Format::Q8_0;
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;

    fn decode(block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 0);
        for (out, &q) in out.iter_mut().zip(&block[2..]) {
            *out = f32::from(q as i8) * d;
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let d = weights.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0;
        let by = inverse(d);
        set_half(block, 0, d);
        for (q, w) in block[2..].iter_mut().zip(weights) {
            *q = (w * by).round() as i8 as u8;
        }
    }
}
