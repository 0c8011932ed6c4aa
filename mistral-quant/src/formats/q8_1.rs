//! Q8_1: 32 weights in 36 bytes, 9 bits a weight. ggml's form of activations beside weights with mins; no model is stored in it.
//!
//! ```text
//! 0..2   d      f16
//! 2..4   s      f16: d times the sum of the codes; no part of the weights
//! 4..36  codes  i8[32]
//! weight[i] = d * codes[i]
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;
use crate::formats::q8_0::Q8_0;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_1 {
    pub d: [u8; 2],
    pub s: [u8; 2],
    pub codes: [u8; 32],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q8_1 {
    const FORMAT: Format = Format::Q8_1;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let Q8_0 { d, codes } = Q8_0::encode(weights, importance);
        let sum: i32 = codes.iter().map(|&code| i32::from(code as i8)).sum();
        let scale = fit::extreme(&finite::<32>(weights)).abs() / 127.0;
        Self { d, s: f16_bytes(scale * sum as f32), codes }
    }
}

impl Grid for Q8_1 {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        Unit { codes: self.codes.map(|code| code as i8), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}
