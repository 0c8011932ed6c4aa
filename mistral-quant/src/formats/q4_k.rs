//! Q4_K: 256 weights in 144 bytes, 4.5 bits a weight; 8 units of 32 with a 6-bit scale and min each.
//!
//! ```text
//! 0..2     d       f16, scale of the scales
//! 2..4     dmin    f16, scale of the mins
//! 4..16    scales  8 scales and 8 mins of 6 bits, see below
//! 16..144  codes   four groups of 32 bytes; byte l of group g: low nibble weight l of unit 2g, high nibble of unit 2g + 1
//! weight[i] = d * scale[i / 32] * code[i] - dmin * min[i / 32]
//!
//! scales, for j in 0..4:
//! byte j       bits 0..6 scale j          bits 6..8 upper bits of scale j + 4
//! byte j + 4   bits 0..6 min j            bits 6..8 upper bits of min j + 4
//! byte j + 8   bits 0..4 low of scale j + 4   bits 4..8 low of min j + 4
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_K {
    pub d: [u8; 2],
    pub dmin: [u8; 2],
    pub scales: [u8; 12],
    pub codes: [u8; 128],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q4_K {
    const FORMAT: Format = Format::Q4_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let fitted = fit::affine_block::<8, 32>(&finite(weights), importance, 15, 63);
        let mut codes = [0; 128];
        for (group, out) in codes.chunks_exact_mut(32).enumerate() {
            for (l, out) in out.iter_mut().enumerate() {
                *out = fitted.codes[group * 64 + l] | fitted.codes[group * 64 + 32 + l] << 4;
            }
        }
        Self {
            d: f16_bytes(fitted.d),
            dmin: f16_bytes(fitted.dmin),
            scales: pack_scales(&fitted.scales, &fitted.mins),
            codes,
        }
    }
}

impl Grid for Q4_K {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 15;
    const HALVES: bool = false;
    const MINS: bool = true;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let (scale, min) = scale_and_min(&self.scales, index);
        let shift = index % 2 * 4;
        Unit {
            codes: std::array::from_fn(|l| (self.codes[index / 2 * 32 + l] >> shift & 15) as i8),
            scales: [f16_value(self.d) * f32::from(scale); 2],
            mins: [f16_value(self.dmin) * f32::from(min); 2],
        }
    }
}

/// Scale and min of unit `j % 8` of the twelve bytes that Q4_K and Q5_K share.
pub(super) fn scale_and_min(bytes: &[u8; 12], j: usize) -> (u8, u8) {
    let j = j % 8;
    if j < 4 {
        (bytes[j] & 63, bytes[j + 4] & 63)
    } else {
        (bytes[j + 4] & 15 | bytes[j - 4] >> 6 << 4, bytes[j + 4] >> 4 | bytes[j] >> 6 << 4)
    }
}

/// The inverse of [`scale_and_min`].
pub(super) fn pack_scales(scales: &[u8; 8], mins: &[u8; 8]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for j in 0..4 {
        bytes[j] = scales[j] & 63 | scales[j + 4] >> 4 << 6;
        bytes[j + 4] = mins[j] & 63 | mins[j + 4] >> 4 << 6;
        bytes[j + 8] = scales[j + 4] & 15 | mins[j + 4] << 4;
    }
    bytes
}
