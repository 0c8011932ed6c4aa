//! Q6_K: 256 weights in 210 bytes, 6.5625 bits a weight; 16 groups of 16 with a signed 8-bit scale each.
//!
//! ```text
//! 0..128    low     two halves of 64 bytes for 128 weights each; in a half, byte l of 0..64:
//!                   low nibble weight l, high nibble weight l + 64
//! 128..192  high    two halves of 32 bytes; byte l, bits 2t..2t+2: bits 4 and 5 of weight l + 32t of the half
//! 192..208  scales  i8[16]
//! 208..210  d       f16
//! weight[i] = d * scale[i / 16] * (code[i] - 32)
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q6_K {
    pub low: [u8; 128],
    pub high: [u8; 64],
    pub scales: [u8; 16],
    pub d: [u8; 2],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q6_K {
    const FORMAT: Format = Format::Q6_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let fitted = fit::symmetric_block(&finite(weights), importance, 32, 128);
        let (mut low, mut high) = ([0; 128], [0; 64]);
        for (i, &code) in fitted.codes.iter().enumerate() {
            let (half, t, l) = (i / 128, i / 32 % 4, i % 32);
            low[half * 64 + t % 2 * 32 + l] |= (code & 15) << (t / 2 * 4);
            high[half * 32 + l] |= (code >> 4) << (2 * t);
        }
        Self { low, high, scales: fitted.scales.map(|scale| scale as i8 as u8), d: f16_bytes(fitted.d) }
    }
}

impl Grid for Q6_K {
    const OFFSET: i8 = 32;
    const MAX_CODE: i32 = 63;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let (half, t) = (index / 4, index % 4);
        let code = |l: usize| {
            self.low[half * 64 + t % 2 * 32 + l] >> (t / 2 * 4) & 15 | (self.high[half * 32 + l] >> (2 * t) & 3) << 4
        };
        let scale = |i: usize| f16_value(self.d) * f32::from(self.scales[2 * index + i] as i8);
        Unit { codes: std::array::from_fn(|l| code(l) as i8), scales: [scale(0), scale(1)], mins: [0.0; 2] }
    }
}
