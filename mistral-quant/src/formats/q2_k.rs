//! Q2_K: 256 weights in 84 bytes, 2.625 bits a weight; 16 groups of 16 with a 4-bit scale and min each.
//!
//! ```text
//! 0..16   scales  byte g: low nibble scale, high nibble min of group g
//! 16..80  codes   two halves of 32 bytes for 128 weights each; byte l, bits 2t..2t+2: weight l + 32t of the half
//! 80..82  d       f16, scale of the scales
//! 82..84  dmin    f16, scale of the mins
//! weight[i] = d * scale[i / 16] * code[i] - dmin * min[i / 16]
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2_K {
    pub scales: [u8; 16],
    pub codes: [u8; 64],
    pub d: [u8; 2],
    pub dmin: [u8; 2],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q2_K {
    const FORMAT: Format = Format::Q2_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let fitted = fit::affine_block::<16, 16>(&finite(weights), importance, 3, 15);
        let mut codes = [0; 64];
        for (i, &code) in fitted.codes.iter().enumerate() {
            codes[i / 128 * 32 + i % 32] |= code << (i / 32 % 4 * 2);
        }
        Self {
            scales: std::array::from_fn(|g| fitted.scales[g] | fitted.mins[g] << 4),
            codes,
            d: f16_bytes(fitted.d),
            dmin: f16_bytes(fitted.dmin),
        }
    }
}

impl Grid for Q2_K {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 3;
    const HALVES: bool = true;
    const MINS: bool = true;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let shift = index % 4 * 2;
        let pair = [self.scales[2 * index], self.scales[2 * index + 1]];
        Unit {
            codes: std::array::from_fn(|l| (self.codes[index / 4 * 32 + l] >> shift & 3) as i8),
            scales: pair.map(|byte| f16_value(self.d) * f32::from(byte & 15)),
            mins: pair.map(|byte| f16_value(self.dmin) * f32::from(byte >> 4)),
        }
    }
}
