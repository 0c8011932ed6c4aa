//! Q1_0: 128 weights in 18 bytes, 1.125 bits per weight; signs with one scale.
//!
//! ```text
//! 0..2   d      f16
//! 2..18  signs  byte j, bit i: weight 8j + i; 1 is positive
//! weight[i] = d * (2 * sign[i] - 1)
//! ```
//!
//! For models that were trained with such weights (Bonsai, one-bit BitNet).

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q1_0 {
    pub d: [u8; 2],
    pub signs: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q1_0 {
    const FORMAT: Format = Format::Q1_0;
    const WEIGHTS: usize = 128;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    /// Encodes signs, for which the best scale is the mean of the magnitudes.
    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 128] = finite(weights);
        let d = match importance {
            // One sum in the order of the weights, as ggml adds them up: the same bytes.
            None => x.iter().map(|x| x.abs()).sum::<f32>() / 128.0,
            // Weighed by the importance alone: every error of a sign is as large as the weight or larger, so a cost that also grows with
            // the weight would only make the scale too large.
            Some(importance) => {
                let pairs = || x.iter().zip(importance).map(|(&x, &one)| (f64::from(x.abs()), f64::from(one)));
                let sum: f64 = pairs().map(|(x, one)| one * x).sum();
                let all: f64 = pairs().map(|pair| pair.1).sum();
                if all > 0.0 { (sum / all) as f32 } else { x.iter().map(|x| x.abs()).sum::<f32>() / 128.0 }
            }
        };
        let sign = |i: usize| u8::from(x[i] >= 0.0);
        let signs = std::array::from_fn(|j| (0..8).fold(0, |byte, i| byte | sign(8 * j + i) << i));
        Self { d: f16_bytes(d), signs }
    }
}

impl Grid for Q1_0 {
    const OFFSET: i8 = 1;
    const MAX_CODE: i32 = 2;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let first = index % 4 * 4;
        let code = |i: usize| (self.signs[first + i / 8] >> (i % 8) & 1) as i8 * 2;
        Unit { codes: std::array::from_fn(code), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}
