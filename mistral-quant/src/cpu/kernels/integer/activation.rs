//! Activations as the integer kernels read them: i8 codes with a scale for every 32 values.
//!
//! Codes lie in `-127..=127`, never -128, so that a product with any weight code and the sum of two such products fit in 16 bits.
//! Integer sums of the codes correct for the offsets and mins of the weights; unlike an f16 product of scale and sum they
//! cannot overflow. One form serves every weight format.

use super::lanes::{Lanes, Operation};
use crate::formats::UNIT;

/// 32 values: `x[i] ≈ scale * codes[i / 4][i % 4]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(crate) struct ActivationUnit {
    /// Four at a time, as kernels broadcast them.
    pub(crate) codes: [[i8; 4]; 8],
    /// A 127th of the largest magnitude; NaN or infinite when a value was.
    pub(crate) scale: f32,
    /// `scale` times the sum of all codes.
    pub(crate) scaled_sum: f32,
    /// The sums of the first and the last 16 codes.
    pub(crate) sums: [i32; 2],
}

impl ActivationUnit {
    /// The unit as 32-bit words, in the order of the fields.
    pub(crate) fn words(&self) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        for (word, codes) in words.iter_mut().zip(self.codes) {
            *word = u32::from_ne_bytes(codes.map(|code| code as u8));
        }
        words[8..].copy_from_slice(&[
            self.scale.to_bits(),
            self.scaled_sum.to_bits(),
            self.sums[0] as u32,
            self.sums[1] as u32,
        ]);
        words
    }
}

/// 32-bit words of a quantized unit: 8 of codes, `scale`, `scaled_sum` and two of `sums`.
pub(crate) const WORDS: usize = 12;

/// Blocks of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) words: &'a [u32],
    /// Units of a column.
    pub(crate) units: usize,
    /// Columns of a block.
    pub(crate) width: usize,
}

impl Columns<'_> {
    /// Columns of all blocks.
    pub(crate) fn tokens(&self) -> usize {
        self.words.len().checked_div(self.units * WORDS).unwrap_or(0)
    }
}

/// Quantizes consecutive units of 32 values.
pub(crate) struct Quantize<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) units: &'a mut [ActivationUnit],
}

impl Operation for Quantize<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        quantize_units(self.x, self.units);
    }
}

/// The sums of the first and the last 16. In steps that are additions of whole registers: as two sums they become a tangle of moves.
#[inline(always)]
fn sums_of_halves(codes: &[i32; UNIT]) -> [i32; 2] {
    let (mut eights, mut fours, mut twos) = ([0; 16], [0; 8], [0; 4]);
    for k in 0..16 {
        eights[k] = codes[k / 8 * 16 + k % 8] + codes[k / 8 * 16 + 8 + k % 8];
    }
    for k in 0..8 {
        fours[k] = eights[k / 4 * 8 + k % 4] + eights[k / 4 * 8 + 4 + k % 4];
    }
    for k in 0..4 {
        twos[k] = fours[k / 2 * 4 + k % 2] + fours[k / 2 * 4 + 2 + k % 2];
    }
    [twos[0] + twos[1], twos[2] + twos[3]]
}

/// Quantizes consecutive units. `inline(always)`: each instruction set compiles this body with its own features.
#[inline(always)]
pub(crate) fn quantize_units(x: &[f32], units: &mut [ActivationUnit]) {
    for (x, unit) in x.as_chunks::<UNIT>().0.iter().zip(units) {
        // As integers, magnitudes order like floats and NaN comes out on top, so that it reaches the scale.
        let largest = f32::from_bits(x.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7FFF_FFFF)));
        let scale = largest / 127.0;
        let per_scale = 127.0 / largest;
        let per_scale = if per_scale.is_finite() { per_scale } else { 0.0 };
        // Adding 1.5 * 2^23 leaves the nearest integer, ties to even, in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let mut codes = [0i32; UNIT];
        for (code, &x) in codes.iter_mut().zip(x) {
            let bits = (x * per_scale + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
            *code = bits.clamp(-127, 127);
        }
        let sums = sums_of_halves(&codes);
        for (out, codes) in unit.codes.iter_mut().zip(codes.as_chunks::<4>().0) {
            *out = [codes[0] as i8, codes[1] as i8, codes[2] as i8, codes[3] as i8];
        }
        unit.scale = scale;
        unit.scaled_sum = scale * (sums[0] + sums[1]) as f32;
        unit.sums = sums;
    }
}
