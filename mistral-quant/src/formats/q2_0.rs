//! Q2_0: 64 weights in 18 bytes, 2.25 bits per weight; the values -1, 0, 1 and 2 with one scale.
//!
//! ```text
//! 0..2   d      f16
//! 2..18  codes  byte j, bits 2i..2i+2: weight 4j + i
//! weight[i] = d * (code[i] - 1)
//! ```
//!
//! For models that were trained with ternary weights, whose files have the codes 0 to 2. An encoder of other weights also uses the fourth
//! code, and a scale of either sign.
//!
//! Files of type 42 from before llama.cpp had that type hold 128 weights per block (the first files of PrismML). They are not in this
//! format.

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2_0 {
    pub d: [u8; 2],
    pub codes: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q2_0 {
    const FORMAT: Format = Format::Q2_0;
    const WEIGHTS: usize = 64;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let (d, codes) = fit::four_values_block(&finite(weights), importance);
        let byte = |j: usize| (0..4).fold(0, |byte, i| byte | codes[4 * j + i] << (2 * i));
        Self { d: f16_bytes(d), codes: std::array::from_fn(byte) }
    }
}

impl Grid for Q2_0 {
    const OFFSET: i8 = 1;
    const MAX_CODE: i32 = 3;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let first = index % 2 * 8;
        let code = |i: usize| (self.codes[first + i / 4] >> (i % 4 * 2) & 3) as i8;
        Unit { codes: std::array::from_fn(code), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}
