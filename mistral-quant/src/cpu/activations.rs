//! Activations as the integer kernels read them: i8 codes with a scale for every 32 values, made once for each input row.
//!
//! Codes lie in `-127..=127`, never -128, so that a product with any weight code and the sum of two such products fit in 16 bits.
//! Integer sums of the codes correct for the offsets and mins of the weights; unlike an f16 product of scale and sum they
//! cannot overflow. One form serves every weight format.

use crate::Error;
use crate::cpu::disjoint::Disjoint;
use crate::cpu::kernels::Kernels;
use crate::cpu::pool::ThreadPool;
use crate::cpu::storage;
use crate::formats::UNIT;

/// Values below which quantizing is not worth waking threads for: about 2 us.
const ALONE: usize = 16 * 1024;

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

// SAFETY: integers and floats, of which all bytes zero are 0.
unsafe impl storage::Zeroed for ActivationUnit {}

/// Quantized rows `[tokens, units]`.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    units: Vec<ActivationUnit>,
    per_token: usize,
}

impl Activations {
    /// Quantizes `x` `[tokens, cols]`; values after the last whole unit of a row are left out.
    pub(crate) fn quantize(
        &mut self,
        pool: &ThreadPool,
        kernels: &Kernels,
        x: &[f32],
        cols: usize,
    ) -> Result<(), Error> {
        let tokens = x.len().checked_div(cols).unwrap_or(0);
        self.per_token = cols / UNIT;
        let needed = tokens * self.per_token;
        if self.units.len() < needed {
            self.units = storage::zeroed("quantized activations", needed)?;
        }
        if self.per_token == 0 {
            return Ok(());
        }
        let units = Disjoint::new(&mut self.units[..needed]);
        let row = |token: usize| {
            // SAFETY: each row is one task's.
            let units = unsafe { units.slice(token * self.per_token, self.per_token) };
            kernels.quantize(&x[token * cols..(token + 1) * cols], units);
        };
        if x.len() <= ALONE {
            (0..tokens).for_each(row);
            return Ok(());
        }
        pool.for_each(tokens, &row)
    }

    /// The rows of some tokens, one after the other.
    pub(crate) fn tokens(&self, first: usize, count: usize) -> &[ActivationUnit] {
        self.units.get(first * self.per_token..(first + count) * self.per_token).unwrap_or_default()
    }
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
        let sums = [codes[..16].iter().sum::<i32>(), codes[16..].iter().sum::<i32>()];
        for (out, codes) in unit.codes.iter_mut().zip(codes.as_chunks::<4>().0) {
            *out = [codes[0] as i8, codes[1] as i8, codes[2] as i8, codes[3] as i8];
        }
        unit.scale = scale;
        unit.scaled_sum = scale * (sums[0] + sums[1]) as f32;
        unit.sums = sums;
    }
}
