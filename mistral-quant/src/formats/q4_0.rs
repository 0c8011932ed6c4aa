//! Q4_0: 32 weights in 18 bytes, 4.5 bits a weight.
//!
//! ```text
//! 0..2   d      f16
//! 2..18  codes  byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = d * (code[i] - 8)
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_0 {
    pub d: [u8; 2],
    pub codes: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q4_0 {
    const FORMAT: Format = Format::Q4_0;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    /// Without importance, the weight of largest magnitude becomes code 0, which reaches one step further than code 15.
    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let scale = match importance {
            Some(importance) => fit::symmetric_scale(&x, importance, 8),
            None => fit::extreme(&x) / -8.0,
        };
        let per_scale = inverse(scale);
        let codes = x.map(|x| ((x * per_scale + 8.5) as u8).min(15));
        Self { d: f16_bytes(scale), codes: pack_nibbles(&codes) }
    }
}

impl Grid for Q4_0 {
    const OFFSET: i8 = 8;
    const MAX_CODE: i32 = 15;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        Unit { codes: unpack_nibbles(&self.codes), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}

/// Codes `j` and `j + 16` share byte `j`: the nibbles of all four formats of 32 weights.
pub(super) fn pack_nibbles(codes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|j| (codes[j] & 15) | (codes[j + 16] & 15) << 4)
}

/// The inverse of [`pack_nibbles`].
pub(super) fn unpack_nibbles(bytes: &[u8; 16]) -> [i8; 32] {
    std::array::from_fn(|i| (if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 }) as i8)
}
