//! F8_E4M3: 32 weights in 36 bytes, 9 bits a weight. Not a GGUF type; FP8 checkpoints are computed from it.
//!
//! ```text
//! 0..4   d      f32
//! 4..36  codes  OCP E4M3 ("e4m3fn"): sign, 4 bits of exponent with bias 7, 3 bits of mantissa; no infinity, 0x7F and 0xFF are NaN
//! weight[i] = e4m3(code[i]) * d, the product in f32
//! ```
//!
//! Source: OCP 8-bit floating point specification, revision 1.0. The range of 2^-9 to 448 fits no grid of small integers.

use super::{Block, finite, inverse};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct F8_E4M3 {
    pub d: [u8; 4],
    pub codes: [u8; 32],
}

/// The largest number of the type.
const MAX: f32 = 448.0;

/// The value of each code.
const VALUES: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let (exponent, mantissa) = ((code >> 3 & 15) as u32, (code & 7) as u32);
        let magnitude = if exponent == 15 && mantissa == 7 {
            f32::NAN
        } else if exponent == 0 {
            mantissa as f32 / 512.0
        } else {
            f32::from_bits((exponent + 120) << 23 | mantissa << 20)
        };
        values[code] = if code < 128 { magnitude } else { -magnitude };
        code += 1;
    }
    values
};

// SAFETY: byte arrays only.
unsafe impl Block for F8_E4M3 {
    const FORMAT: Format = Format::F8_E4M3;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        let d = f32::from_le_bytes(self.d);
        for (out, &code) in out.iter_mut().zip(&self.codes) {
            *out = VALUES[usize::from(code)] * d;
        }
    }

    /// The largest magnitude becomes 448.
    fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let d = x.iter().fold(0.0f32, |max, x| max.max(x.abs())) / MAX;
        let per_scale = inverse(d);
        Self { d: d.to_le_bytes(), codes: x.map(|x| nearest(x * per_scale)) }
    }
}

/// The code of the number nearest to a finite value, the even one of two.
fn nearest(x: f32) -> u8 {
    let magnitude = x.abs().min(MAX);
    let code = if magnitude < 1.0 / 64.0 {
        (magnitude * 512.0).round_ties_even() as u8
    } else {
        let bits = magnitude.to_bits();
        let rounded = (bits + 0x7FFFF + (bits >> 20 & 1)) >> 20;
        (rounded - (120 << 3)).min(0x7E) as u8
    };
    code | if x.is_sign_negative() { 0x80 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_encodes_to_itself_and_midpoints_to_even() {
        for code in 0..=255u8 {
            let value = VALUES[usize::from(code)];
            if code & 0x7F == 0x7F {
                assert!(value.is_nan());
                continue;
            }
            assert_eq!(nearest(value), code, "{value}");
            let next = VALUES[usize::from(code) + 1];
            if next.is_finite() {
                assert_eq!(nearest((value + next) / 2.0), code + code % 2, "{value}");
            }
        }
        assert_eq!(VALUES[0x7E], 448.0);
        assert_eq!(VALUES[0x01], 2f32.powi(-9));
        assert_eq!(nearest(1e9), 0x7E);
    }
}
