//! Q8_K: 256 weights in 292 bytes, 9.125 bits a weight. ggml's form of activations beside K-quants; no model is stored in it.
//!
//! ```text
//! 0..4      d      f32
//! 4..260    codes  i8[256]
//! 260..292  sums   i16[16], little-endian: the sums of 16 codes each; no part of the weights
//! weight[i] = d * codes[i]
//! ```

use super::{Block, Grid, Unit, finite, fit, inverse};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_K {
    pub d: [u8; 4],
    pub codes: [u8; 256],
    pub sums: [[u8; 2]; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q8_K {
    const FORMAT: Format = Format::Q8_K;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], _: Option<&[f32]>) -> Self {
        let x: [f32; 256] = finite(weights);
        let d = fit::extreme(&x) / -127.0;
        let per_scale = inverse(d);
        let codes = x.map(|x| (x * per_scale).round_ties_even() as i8);
        let sum = |group: &[i8; 16]| group.iter().map(|&code| i16::from(code)).sum::<i16>().to_le_bytes();
        let mut sums = [[0; 2]; 16];
        sums.iter_mut().zip(codes.as_chunks::<16>().0).for_each(|(out, group)| *out = sum(group));
        Self { d: d.to_le_bytes(), codes: codes.map(|code| code as u8), sums }
    }
}

impl Grid for Q8_K {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let codes = self.codes.as_chunks::<32>().0[index % 8].map(|code| code as i8);
        Unit { codes, scales: [f32::from_le_bytes(self.d); 2], mins: [0.0; 2] }
    }
}
