//! Q6_K: 256 weights in 210 bytes, 16 sub-blocks of 16, `w = d * scale * (q - 32)`.
//!
//! ```text
//! byte  0                         128                      192            208    210
//!       | bits 0 to 3: 2 x 64     | bits 4 and 5: 2 x 32   | scales       | d    |
//!       | bytes, one half each    | bytes, one half each   | 16 x i8      | f16  |
//!
//! Half h holds q[128 h ..]; with k = 0..4 and l = 0..32, q[128 h + 32 k + l] has
//!   bits 0 to 3 in nibble k / 2 of byte 64 h + 32 (k % 2) + l,  bits 4 and 5 at bit 2 k of byte 128 + 32 h + l.
//! ```

use super::{Block, half_at, inverse, k_quant, set_half};
use crate::Format;

pub(crate) struct Q6K;

impl Block for Q6K {
    const FORMAT: Format = Format::Q6_K;
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;

    fn decode(block: &[u8], out: &mut [f32]) {
        let d = half_at(block, 208);
        let (low, rest) = block.split_at(128);
        let (high, scales) = rest.split_at(64);
        for (part, out) in out.chunks_exact_mut(32).enumerate() {
            let (h, k) = (part / 4, part % 4);
            for (l, out) in out.iter_mut().enumerate() {
                let q = low[64 * h + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15 | (high[32 * h + l] >> (2 * k) & 3) << 4;
                let step = d * f32::from(scales[2 * part + l / 16] as i8);
                *out = step * (f32::from(q) - 32.0);
            }
        }
    }

    fn encode(weights: &[f32], block: &mut [u8]) {
        let mut scales = [0f32; 16];
        for (scale, part) in scales.iter_mut().zip(weights.chunks_exact(16)) {
            *scale = k_quant::scale_alone(part, 32);
        }
        block.fill(0);
        let d = set_half(block, 208, super::peak(&scales) / -128.0);
        let by = inverse(d);
        let codes = scales.map(|scale| (scale * by).round().clamp(-128.0, 127.0) as i8);
        for (byte, code) in block[192..208].iter_mut().zip(codes) {
            *byte = code as u8;
        }
        for (i, w) in weights.iter().enumerate() {
            let by = inverse(d * f32::from(codes[i / 16]));
            let q = ((w * by).round().clamp(-32.0, 31.0) + 32.0) as u8;
            let (h, k, l) = (i / 128, i / 32 % 4, i % 32);
            block[64 * h + 32 * (k % 2) + l] |= (q & 15) << (4 * (k / 2));
            block[128 + 32 * h + l] |= q >> 4 << (2 * k);
        }
    }
}
