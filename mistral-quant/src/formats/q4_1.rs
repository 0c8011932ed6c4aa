//! Q4_1: 32 weights in 20 bytes, 5 bits a weight.
//!
//! ```text
//! 0..2   d      f16
//! 2..4   m      f16
//! 4..20  codes  byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = d * code[i] + m
//! ```

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_1 {
    pub d: [u8; 2],
    pub m: [u8; 2],
    pub codes: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q4_1 {
    const FORMAT: Format = Format::Q4_1;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let (scale, min) = match importance {
            Some(importance) => fit::affine_scale(&x, importance, 15),
            None => {
                let (min, max) = fit::range(&x);
                ((max - min) / 15.0, min)
            }
        };
        let per_scale = inverse(scale);
        let codes = x.map(|x| (((x - min) * per_scale + 0.5) as u8).min(15));
        Self { d: f16_bytes(scale), m: f16_bytes(min), codes: pack_nibbles(&codes) }
    }
}

impl Grid for Q4_1 {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 15;
    const HALVES: bool = false;
    const MINS: bool = true;

    fn unit(&self, _: usize) -> Unit {
        Unit { codes: unpack_nibbles(&self.codes), scales: [f16_value(self.d); 2], mins: [-f16_value(self.m); 2] }
    }
}
