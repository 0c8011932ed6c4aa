//! Q5_0: 32 weights in 22 bytes, 5.5 bits a weight.
//!
//! ```text
//! 0..2   d      f16
//! 2..6   high   u32, little-endian: bit i is the fifth bit of weight i
//! 6..22  low    byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = d * (code[i] - 16)
//! ```

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit, inverse};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_0 {
    pub d: [u8; 2],
    pub high: [u8; 4],
    pub low: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for Q5_0 {
    const FORMAT: Format = Format::Q5_0;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    /// Without importance, the weight of largest magnitude becomes code 0, which reaches one step further than code 31.
    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let scale = match importance {
            Some(importance) => fit::symmetric_scale(&x, importance, 16),
            None => fit::extreme(&x) / -16.0,
        };
        let per_scale = inverse(scale);
        let codes = x.map(|x| ((x * per_scale + 16.5) as u8).min(31));
        Self { d: f16_bytes(scale), high: pack_fifth_bits(&codes), low: pack_nibbles(&codes) }
    }
}

impl Grid for Q5_0 {
    const OFFSET: i8 = 16;
    const MAX_CODE: i32 = 31;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        Unit { codes: unpack_five_bits(self.high, &self.low), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}

/// Bit 4 of code `i` as bit `i` of a little-endian u32.
pub(super) fn pack_fifth_bits(codes: &[u8; 32]) -> [u8; 4] {
    codes.iter().enumerate().fold(0u32, |bits, (i, code)| bits | u32::from(code >> 4 & 1) << i).to_le_bytes()
}

/// Codes of nibbles and fifth bits.
pub(super) fn unpack_five_bits(high: [u8; 4], low: &[u8; 16]) -> [i8; 32] {
    let high = u32::from_le_bytes(high);
    let low = unpack_nibbles(low);
    std::array::from_fn(|i| low[i] | ((high >> i & 1) << 4) as i8)
}
