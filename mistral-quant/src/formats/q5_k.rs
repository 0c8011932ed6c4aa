//! Q5_K: 256 weights in 176 bytes, 5.5 bits a weight; Q4_K with a fifth bit.
//!
//! ```text
//! 0..2     d       f16, scale of the scales
//! 2..4     dmin    f16, scale of the mins
//! 4..16    scales  8 scales and 8 mins of 6 bits, as in Q4_K
//! 16..48   high    byte l, bit u: the fifth bit of weight l of unit u
//! 48..176  low     four groups of 32 bytes; byte l of group g: low nibble weight l of unit 2g, high nibble of unit 2g + 1
//! weight[i] = d * scale[i / 32] * code[i] - dmin * min[i / 32]
//! ```

use super::q4_k::{pack_scales, scale_and_min};
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_K {
    pub d: [u8; 2],
    pub dmin: [u8; 2],
    pub scales: [u8; 12],
    pub high: [u8; 32],
    pub low: [u8; 128],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q5_K {
    const FORMAT: Format = Format::Q5_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let fitted = fit::affine_block::<8, 32>(&finite(weights), importance, 31, 63);
        let (mut low, mut high) = ([0; 128], [0; 32]);
        for (i, &code) in fitted.codes.iter().enumerate() {
            let (unit, l) = (i / 32, i % 32);
            low[unit / 2 * 32 + l] |= (code & 15) << (unit % 2 * 4);
            high[l] |= (code >> 4) << unit;
        }
        Self {
            d: f16_bytes(fitted.d),
            dmin: f16_bytes(fitted.dmin),
            scales: pack_scales(&fitted.scales, &fitted.mins),
            high,
            low,
        }
    }
}

impl Grid for Q5_K {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 31;
    const HALVES: bool = false;
    const MINS: bool = true;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let (scale, min) = scale_and_min(&self.scales, index);
        let shift = index % 2 * 4;
        let code = |l: usize| self.low[index / 2 * 32 + l] >> shift & 15 | (self.high[l] >> index & 1) << 4;
        Unit {
            codes: std::array::from_fn(|l| code(l) as i8),
            scales: [f16_value(self.d) * f32::from(scale); 2],
            mins: [f16_value(self.dmin) * f32::from(min); 2],
        }
    }
}
