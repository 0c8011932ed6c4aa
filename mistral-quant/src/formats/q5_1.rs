//! Q5_1: 32 weights in 24 bytes, `w = d * q + m`.
//!
//! ```text
//! byte  0      2      4              8                                            24
//!       | d    | m    | bit 4 of q[] | q[16] q[0] | q[17] q[1] | ...   q[31] q[15] |
//!       | f16  | f16  | u32          | bits 0 to 3: high  low nibble               |
//! ```

use super::{Block, half_at, inverse, q5_0, set_half};
use crate::Format;

pub(crate) struct Q5_1;

impl Block for Q5_1 {
    const FORMAT: Format = Format::Q5_1;
    const WEIGHTS: usize = 32;
    const BYTES: usize = 24;

    fn decode(block: &[u8], out: &mut [f32]) {
        let (d, m) = (half_at(block, 0), half_at(block, 2));
        let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
        let bit = |j: usize| ((high >> j) as u8 & 1) << 4;
        for (j, &byte) in block[8..].iter().enumerate() {
            out[j] = f32::from(byte & 15 | bit(j)) * d + m;
            out[j + 16] = f32::from(byte >> 4 | bit(j + 16)) * d + m;
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let (min, max) = weights.iter().fold((f32::MAX, f32::MIN), |(a, b), &w| (a.min(w), b.max(w)));
        let d = (max - min) / 31.0;
        let by = inverse(d);
        set_half(block, 0, d);
        set_half(block, 2, min);
        q5_0::pack(weights, &mut block[4..], |w| (((w - min) * by + 0.5) as u8).min(31));
    }
}
