//! Q4_0: 32 weights in 18 bytes, `w = d * (q - 8)`.
//!
//! ```text
//! byte  0      2                                            18
//!       | d    | q[16] q[0] | q[17] q[1] | ...   q[31] q[15] |
//!       | f16  | high  low nibble                            |
//! ```

use super::{Block, half_at, inverse, peak, set_half};
use crate::Format;

pub(crate) struct Q4_0;

impl Block for Q4_0 {
    const FORMAT: Format = Format::Q4_0;
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;

    fn decode(block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 0);
        for (j, &byte) in block[2..].iter().enumerate() {
            out[j] = (i32::from(byte & 15) - 8) as f32 * d;
            out[j + 16] = (i32::from(byte >> 4) - 8) as f32 * d;
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        // The largest weight takes the one code that has no opposite, -8.
        let d = peak(weights) / -8.0;
        let by = inverse(d);
        set_half(block, 0, d);
        let code = |w: f32| ((w * by + 8.5) as u8).min(15);
        for (j, byte) in block[2..].iter_mut().enumerate() {
            *byte = code(weights[j]) | code(weights[j + 16]) << 4;
        }
    }
}
