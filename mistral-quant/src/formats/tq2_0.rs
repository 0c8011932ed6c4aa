//! TQ2_0: 256 weights in 66 bytes, 2.0625 bits a weight; ternary weights in two bits.
//!
//! ```text
//! 0..64   codes  two halves of 32 bytes for 128 weights each; byte l, bits 2t..2t+2: weight l + 32t of the half
//! 64..66  d      f16
//! weight[i] = d * (code[i] - 1)
//! ```
//!
//! Encoders write codes 0 to 2; 3 is decoded as ggml does.

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct TQ2_0 {
    pub codes: [u8; 64],
    pub d: [u8; 2],
}

// SAFETY: byte arrays only.
unsafe impl Block for TQ2_0 {
    const FORMAT: Format = Format::TQ2_0;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let (d, trits) = fit::ternary_block(&finite(weights), importance);
        let mut codes = [0; 64];
        for (i, &trit) in trits.iter().enumerate() {
            codes[i / 128 * 32 + i % 32] |= trit << (i / 32 % 4 * 2);
        }
        Self { codes, d: f16_bytes(d) }
    }
}

impl Grid for TQ2_0 {
    const OFFSET: i8 = 1;
    const MAX_CODE: i32 = 3;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let index = index % 8;
        let shift = index % 4 * 2;
        Unit {
            codes: std::array::from_fn(|l| (self.codes[index / 4 * 32 + l] >> shift & 3) as i8),
            scales: [f16_value(self.d); 2],
            mins: [0.0; 2],
        }
    }
}
