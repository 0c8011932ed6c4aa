//! NF4 and FP4: 32 weights in 20 bytes, 5 bits a weight; the 4-bit types of bitsandbytes. Not GGUF types.
//!
//! ```text
//! 0..4   absmax  f32
//! 4..20  codes   byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = VALUES[code[i]] * absmax, the product in f32
//! ```
//!
//! Sources of the values: Dettmers et al., 2023, arXiv:2305.14314 (NF4); bitsandbytes `functional.py`, `get_4bit_type` (FP4: 2 bits of
//! exponent, 1 of mantissa, and a smallest number of 1/192). Neither set of values is a grid of integers of 8 bits.

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, finite, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct NF4 {
    pub absmax: [u8; 4],
    pub codes: [u8; 16],
}

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct FP4 {
    pub absmax: [u8; 4],
    pub codes: [u8; 16],
}

/// Quantiles of the normal distribution, scaled to -1 to 1.
pub(super) const NF4_VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Sign in bit 3.
pub(super) const FP4_VALUES: [f32; 16] = {
    let magnitudes = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let mut values = [0.0; 16];
    let mut i = 0;
    while i < 8 {
        values[i] = magnitudes[i] / 12.0;
        values[i + 8] = -magnitudes[i] / 12.0;
        i += 1;
    }
    values
};

macro_rules! table {
    ($block:ident, $values:ident) => {
        // SAFETY: byte arrays only.
        unsafe impl Block for $block {
            const FORMAT: Format = Format::$block;
            const WEIGHTS: usize = 32;

            fn decode(&self, out: &mut [f32]) {
                let absmax = f32::from_le_bytes(self.absmax);
                for (out, code) in out.iter_mut().zip(unpack_nibbles(&self.codes)) {
                    *out = $values[usize::from(code as u8 & 15)] * absmax;
                }
            }

            /// Each weight takes the nearest value.
            fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
                let x: [f32; 32] = finite(weights);
                let absmax = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
                let per_scale = inverse(absmax);
                let codes = x.map(|x| nearest(&$values, x * per_scale));
                Self { absmax: absmax.to_le_bytes(), codes: pack_nibbles(&codes) }
            }
        }
    };
}

table!(NF4, NF4_VALUES);
table!(FP4, FP4_VALUES);

fn nearest(values: &[f32; 16], x: f32) -> u8 {
    let (mut best, mut distance) = (0, f32::INFINITY);
    for (code, value) in (0u8..).zip(values) {
        if (value - x).abs() < distance {
            (best, distance) = (code, (value - x).abs());
        }
    }
    best
}
