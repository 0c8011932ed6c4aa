//! Q3_K: 256 weights in 110 bytes, 3.4375 bits a weight; 16 groups of 16 with a signed 6-bit scale each.
//!
//! ```text
//! 0..32     high    byte l, bit u: the third bit of weight l of unit u (32 weights)
//! 32..96    low     two halves of 32 bytes for 128 weights each; byte l, bits 2t..2t+2: weight l + 32t of the half
//! 96..108   scales  16 scales of 6 bits, stored + 32. Low nibbles: byte g holds groups g and g + 8 (high nibble), g in 0..8;
//!                   upper bits: byte 8 + g % 4, bits 2(g / 4).. of group g
//! 108..110  d       f16
//! weight[i] = d * (scale[i / 16] - 32) * (code[i] - 4)
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q3_K {
    pub high: [u8; 32],
    pub low: [u8; 64],
    pub scales: [u8; 12],
    pub d: [u8; 2],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q3_K {
    const FORMAT: Format = Format::Q3_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let fitted = fit::symmetric_block(&finite(weights), importance, 4, 32);
        let (mut low, mut high, mut scales) = ([0; 64], [0; 32], [0; 12]);
        for (i, &code) in fitted.codes.iter().enumerate() {
            low[i / 128 * 32 + i % 32] |= (code & 3) << (i / 32 % 4 * 2);
            high[i % 32] |= (code >> 2) << (i / 32);
        }
        for (g, &scale) in fitted.scales.iter().enumerate() {
            let scale = (scale + 32) as u8;
            scales[g % 8] |= (scale & 15) << (g / 8 * 4);
            scales[8 + g % 4] |= (scale >> 4) << (g / 4 * 2);
        }
        Self { high, low, scales, d: f16_bytes(fitted.d) }
    }
}

impl Grid for Q3_K {
    const OFFSET: i8 = 4;
    const MAX_CODE: i32 = 7;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let shift = index % 4 * 2;
        let code = |l: usize| self.low[index / 4 * 32 + l] >> shift & 3 | (self.high[l] >> index & 1) << 2;
        let scale = |g: usize| {
            let stored = self.scales[g % 8] >> (g / 8 * 4) & 15 | (self.scales[8 + g % 4] >> (g / 4 * 2) & 3) << 4;
            f16_value(self.d) * (f32::from(stored) - 32.0)
        };
        Unit {
            codes: std::array::from_fn(|l| code(l) as i8),
            scales: [scale(2 * index), scale(2 * index + 1)],
            mins: [0.0; 2],
        }
    }
}
