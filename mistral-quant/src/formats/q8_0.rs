//! Q8_0: 32 weights in 34 bytes, 8.5 bits a weight.
//!
//! ```text
//! 0..2   d      f16
//! 2..34  codes  i8[32]
//! weight[i] = d * codes[i]
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_0 {
    pub d: [u8; 2],
    pub codes: [u8; 32],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q8_0 {
    const FORMAT: Format = Format::Q8_0;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let scale = x.iter().fold(0.0f32, |max, x| max.max(x.abs())) / 127.0;
        let per_scale = inverse(scale);
        Self { d: f16_bytes(scale), codes: x.map(|x| ((x * per_scale).round() as i8) as u8) }
    }
}

impl Grid for Q8_0 {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        let d = f16_value(self.d);
        Unit { codes: self.codes.map(|code| code as i8), scales: [d; 2], mins: [0.0; 2] }
    }
}
