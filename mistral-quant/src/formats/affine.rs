//! Affine4 and Affine8: codes of 4 and 8 bits with a scale and a zero point of their own for 32 weights. Not GGUF types.
//!
//! GPTQ, AWQ, HQQ, compressed-tensors and int8 checkpoints store a scale and a zero point. The GGUF types of 32 weights have no
//! zero point (Q4_0, Q8_0) or a min in f16 (Q4_1), to which `scale * zero` would have to be rounded; these two keep it as it is.
//!
//! ```text
//! Affine4, 20 bytes, 5 bits a weight            Affine8, 40 bytes, 10 bits a weight
//! 0..2   d      f16                             0..4   d      f32
//! 2..4   zero   f16                             4..8   zero   f32
//! 4..20  codes  byte j: low nibble weight j,    8..40  codes  i8
//!               high nibble weight j + 16
//! weight[i] = (code[i] - zero) * d, difference and product in f32
//! ```

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Affine4 {
    pub d: [u8; 2],
    pub zero: [u8; 2],
    pub codes: [u8; 16],
}

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Affine8 {
    pub d: [u8; 4],
    pub zero: [u8; 4],
    pub codes: [u8; 32],
}

// SAFETY: byte arrays only.
unsafe impl Block for Affine4 {
    const FORMAT: Format = Format::Affine4;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        decode(&unpack_nibbles(&self.codes), f16_value(self.d), f16_value(self.zero), out);
    }

    /// The range reaches to zero, so that the zero point is among the codes.
    fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let (min, max) = fit::range(&x);
        let (min, max) = (min.min(0.0), max.max(0.0));
        let d = f16_bytes((max - min) / 15.0);
        let per_scale = inverse(f16_value(d));
        let zero = f16_bytes((-min * per_scale).min(15.0));
        let codes = x.map(|x| ((x * per_scale + f16_value(zero)).round().clamp(0.0, 15.0)) as u8);
        Self { d, zero, codes: pack_nibbles(&codes) }
    }
}

// SAFETY: byte arrays only.
unsafe impl Block for Affine8 {
    const FORMAT: Format = Format::Affine8;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        decode(&self.codes.map(|code| code as i8), f32::from_le_bytes(self.d), f32::from_le_bytes(self.zero), out);
    }

    /// The range reaches to zero, as in [`Affine4`].
    fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let (min, max) = fit::range(&x);
        let (min, max) = (min.min(0.0), max.max(0.0));
        let d = (max - min) / 255.0;
        let per_scale = inverse(d);
        let zero = (-min * per_scale).min(255.0) - 128.0;
        let codes = x.map(|x| (x * per_scale + zero).round().clamp(-128.0, 127.0) as i8 as u8);
        Self { d: d.to_le_bytes(), zero: zero.to_le_bytes(), codes }
    }
}

impl Grid for Affine4 {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 15;
    const HALVES: bool = false;
    const MINS: bool = true;

    fn unit(&self, _: usize) -> Unit {
        unit(unpack_nibbles(&self.codes), f16_value(self.d), f16_value(self.zero))
    }
}

impl Grid for Affine8 {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = true;

    fn unit(&self, _: usize) -> Unit {
        unit(self.codes.map(|code| code as i8), f32::from_le_bytes(self.d), f32::from_le_bytes(self.zero))
    }
}

/// The definition; where `code - zero` and the product fit into 24 bits, as for f16 and bf16 scales, nothing is rounded.
fn decode(codes: &[i8; 32], d: f32, zero: f32, out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = (f32::from(code) - zero) * d;
    }
}

/// The same on the grid of the integer kernels, where the min is the rounded product of scale and zero point.
fn unit(codes: [i8; 32], d: f32, zero: f32) -> Unit {
    Unit { codes, scales: [d; 2], mins: [d * zero; 2] }
}
