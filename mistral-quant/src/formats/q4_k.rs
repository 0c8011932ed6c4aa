//! Q4_K: 256 weights in 144 bytes, 8 sub-blocks of 32, `w = d * scale * q - dmin * min`.
//!
//! ```text
//! byte  0      2      4                    16                                            144
//!       | d    | dmin | scales and minima  | 4 x 32 bytes; byte l of group g:             |
//!       | f16  | f16  | 8 x (6 + 6) bits   | low nibble q[64 g + l], high q[64 g + 32 + l] |
//! ```

use super::{Block, half_at, k_quant};
use crate::Format;

pub(crate) struct Q4K;

impl Block for Q4K {
    const FORMAT: Format = Format::Q4_K;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;

    fn decode(block: &[u8], out: &mut [f32]) {
        let (d, dmin) = (half_at(block, 0), half_at(block, 2));
        for (j, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = k_quant::scale_min(&block[4..16], j);
            let (step, offset) = (d * f32::from(scale), dmin * f32::from(min));
            let codes = &block[16 + 32 * (j / 2)..][..32];
            for (out, code) in out.iter_mut().zip(codes) {
                *out = step * f32::from(code >> (4 * (j % 2)) & 15) - offset;
            }
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let steps = k_quant::encode_head(weights, 15, block);
        for (g, bytes) in block[16..].chunks_exact_mut(32).enumerate() {
            for (l, byte) in bytes.iter_mut().enumerate() {
                let code = |j: usize| k_quant::code(weights[32 * j + l], steps[j], 15);
                *byte = code(2 * g) | code(2 * g + 1) << 4;
            }
        }
    }
}
