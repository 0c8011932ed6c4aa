//! Q5_0: 32 weights in 22 bytes, `w = d * (q - 16)`.
//!
//! ```text
//! byte  0      2              6                                            22
//!       | d    | bit 4 of q[] | q[16] q[0] | q[17] q[1] | ...   q[31] q[15] |
//!       | f16  | u32          | bits 0 to 3: high  low nibble               |
//! ```

use super::{Block, half_at, inverse, peak, set_half};
use crate::Format;

pub(crate) struct Q5_0;

impl Block for Q5_0 {
    const FORMAT: Format = Format::Q5_0;
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;

    fn decode(block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 0);
        let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        let bit = |j: usize| ((high >> j) as i32 & 1) << 4;
        for (j, &byte) in block[6..].iter().enumerate() {
            out[j] = ((i32::from(byte & 15) | bit(j)) - 16) as f32 * d;
            out[j + 16] = ((i32::from(byte >> 4) | bit(j + 16)) - 16) as f32 * d;
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let d = peak(weights) / -16.0;
        let by = inverse(d);
        set_half(block, 0, d);
        let code = |w: f32| ((w * by + 16.5) as u8).min(31);
        pack(weights, &mut block[2..], code);
    }
}

/// Five-bit codes: the 32 high bits, then the low nibbles. Q5_1 packs the same way.
pub(super) fn pack(weights: &[f32], bytes: &mut [u8], code: impl Fn(f32) -> u8) {
    let mut high = 0u32;
    for j in 0..16 {
        let (low, up) = (code(weights[j]), code(weights[j + 16]));
        high |= u32::from(low >> 4) << j | u32::from(up >> 4) << (j + 16);
        bytes[4 + j] = low & 15 | (up & 15) << 4;
    }
    bytes[..4].copy_from_slice(&high.to_le_bytes());
}
