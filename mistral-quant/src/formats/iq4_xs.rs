//! IQ4_XS: 256 weights in 136 bytes, 4.25 bits a weight; 8 units of 32 with a signed 6-bit scale each, on the table of IQ4_NL.
//!
//! ```text
//! 0..2    d            f16
//! 2..4    scales_high  u16, little-endian, bits 2u..2u+2: bits 4 and 5 of scale u
//! 4..8    scales_low   byte u / 2, low nibble for even u: bits 0..4 of scale u, stored + 32
//! 8..136  indices      16 bytes a unit; byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = d * (scale[i / 32] - 32) * VALUES[index[i]]
//! ```
//!
//! For kernels: as IQ4_NL, [`VALUES`](super::iq4_nl::VALUES).

use super::iq4_nl::{codes, indices, scale_of};
use super::q4_0::pack_nibbles;
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ4_XS {
    pub d: [u8; 2],
    pub scales_high: [u8; 2],
    pub scales_low: [u8; 4],
    pub indices: [[u8; 16]; 8],
}

// SAFETY: byte arrays only.
unsafe impl Block for IQ4_XS {
    const FORMAT: Format = Format::IQ4_XS;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 256] = finite(weights);
        let costs = fit::costs(&x, importance);
        let (x, costs) = (x.as_chunks::<32>().0, costs.as_chunks::<32>().0);
        let fits: [f64; 8] = std::array::from_fn(|u| scale_of(&x[u], &costs[u]));
        let (d, scales) = fit::round_signed_scales(fits, std::array::from_fn(|u| costs[u].iter().sum()), 32);
        let mut block = Self { d: f16_bytes(d), scales_high: [0; 2], scales_low: [0; 4], indices: [[0; 16]; 8] };
        let mut high = 0;
        for (u, (out, &scale)) in block.indices.iter_mut().zip(&scales).enumerate() {
            *out = pack_nibbles(&indices(&x[u], f64::from(d) * f64::from(scale)));
            let stored = (scale + 32) as u8;
            block.scales_low[u / 2] |= (stored & 15) << (u % 2 * 4);
            high |= u16::from(stored >> 4) << (2 * u);
        }
        block.scales_high = high.to_le_bytes();
        block
    }
}

impl Grid for IQ4_XS {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let high = u16::from_le_bytes(self.scales_high) >> (2 * u) & 3;
        let stored = self.scales_low[u / 2] >> (u % 2 * 4) & 15 | (high << 4) as u8;
        let scale = f16_value(self.d) * (f32::from(stored) - 32.0);
        Unit { codes: codes(&self.indices[u]), scales: [scale; 2], mins: [0.0; 2] }
    }
}
