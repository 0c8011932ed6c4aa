//! Q3_K: 256 weights in 110 bytes, 16 sub-blocks of 16, `w = d * (scale - 32) * (q - 4)`.
//!
//! ```text
//! byte  0                        32                                     96                  108    110
//!       | bit j of byte l:       | 2 x 32 bytes, one half each:         | scales            | d    |
//!       | bit 2 of q[32 j + l]   | q[128 h + 32 k + l] at bit 2 k of l  | 16 x 6 bits       | f16  |
//!
//! Scale i: bits 0 to 3 in nibble i / 8 of byte 96 + i % 8, bits 4 and 5 at bit 2 (i / 4) of byte 104 + i % 4.
//! ```

use super::{Block, half_at, inverse, k_quant, set_half};
use crate::Format;

pub(crate) struct Q3K;

/// The 16 signed scales of the 12 packed bytes.
pub(crate) fn scales(packed: &[u8]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let low = packed[i % 8] >> (4 * (i / 8)) & 15;
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

impl Block for Q3K {
    const FORMAT: Format = Format::Q3_K;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;

    fn decode(block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 108);
        let scales = scales(&block[96..108]);
        for (i, out) in out.iter_mut().enumerate() {
            let low = block[32 + 32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3;
            let high = block[i % 32] >> (i / 32) & 1;
            *out = d * f32::from(scales[i / 16]) * f32::from((low | high << 2) as i8 - 4);
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let mut fitted = [0f32; 16];
        for (scale, part) in fitted.iter_mut().zip(weights.chunks_exact(16)) {
            *scale = k_quant::scale_alone(part, 4);
        }
        block.fill(0);
        let d = set_half(block, 108, super::peak(&fitted) / -32.0);
        let codes = fitted.map(|scale| (scale * inverse(d)).round().clamp(-32.0, 31.0) as i8);
        for (i, code) in codes.into_iter().enumerate() {
            let code = (code + 32) as u8;
            block[96 + i % 8] |= (code & 15) << (4 * (i / 8));
            block[104 + i % 4] |= code >> 4 << (2 * (i / 4));
        }
        for (i, w) in weights.iter().enumerate() {
            let by = inverse(d * f32::from(codes[i / 16]));
            let q = ((w * by).round().clamp(-4.0, 3.0) + 4.0) as u8;
            block[32 + 32 * (i / 128) + i % 32] |= (q & 3) << (2 * (i / 32 % 4));
            block[i % 32] |= q >> 2 << (i / 32);
        }
    }
}
