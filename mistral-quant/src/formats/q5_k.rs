//! Q5_K: 256 weights in 176 bytes, 8 sub-blocks of 32, `w = d * scale * q - dmin * min`.
//!
//! ```text
//! byte  0      2      4                    16                        48                                  176
//!       | d    | dmin | scales and minima  | bit j of byte l:        | 4 x 32 bytes as in Q4_K:           |
//!       | f16  | f16  | 8 x (6 + 6) bits   | bit 4 of q[32 j + l]    | bits 0 to 3 of the codes           |
//! ```

use super::{Block, half_at, k_quant};
use crate::Format;

pub(crate) struct Q5K;

impl Block for Q5K {
    const FORMAT: Format = Format::Q5_K;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;

    fn decode(block: &[u8], out: &mut [f32]) {
        let (d, dmin) = (half_at(block, 0), half_at(block, 2));
        let high = &block[16..48];
        for (j, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = k_quant::scale_min(&block[4..16], j);
            let (step, offset) = (d * f32::from(scale), dmin * f32::from(min));
            let codes = &block[48 + 32 * (j / 2)..][..32];
            for ((out, code), high) in out.iter_mut().zip(codes).zip(high) {
                *out = step * f32::from(code >> (4 * (j % 2)) & 15 | (high >> j & 1) << 4) - offset;
            }
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let steps = k_quant::encode_head(weights, 31, block);
        let (high, low) = block[16..].split_at_mut(32);
        high.fill(0);
        for (g, bytes) in low.chunks_exact_mut(32).enumerate() {
            for (l, byte) in bytes.iter_mut().enumerate() {
                let code = |j: usize| k_quant::code(weights[32 * j + l], steps[j], 31);
                let (first, second) = (code(2 * g), code(2 * g + 1));
                *byte = first & 15 | (second & 15) << 4;
                high[l] |= first >> 4 << (2 * g) | second >> 4 << (2 * g + 1);
            }
        }
    }
}
