//! MXFP4: 32 weights in 17 bytes, 4.25 bits a weight; 4-bit floats under a power of two. The format of gpt-oss.
//!
//! ```text
//! 0..1   e        E8M0: the scale is 2^(e - 127)
//! 1..17  indices  E2M1; byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = 2^(e - 128) * VALUES[index[i]]     with the doubled values of E2M1
//! ```
//!
//! Source: OCP Microscaling Formats 1.0. As in ggml, e = 255 is a scale and not NaN. For kernels: a look-up of 16 bytes
//! ([`CODES`](super::e2m1::CODES)) takes indices to unsigned codes.

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, Grid, Unit, e2m1, finite, fit};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct MXFP4 {
    pub e: u8,
    pub indices: [u8; 16],
}

// SAFETY: bytes only.
unsafe impl Block for MXFP4 {
    const FORMAT: Format = Format::MXFP4;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    /// The exponent that lets the largest weight reach 4 to 8 is the usual choice, but above 6 it is cut off: its neighbours are
    /// tried too.
    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let largest = f64::from(fit::extreme(&x).abs());
        if largest == 0.0 {
            return Self { e: 0, indices: [0; 16] };
        }
        let costs = fit::costs(&x, importance);
        let usual = (largest.to_bits() >> 52) as i32 - 1023 - 2 + 127;
        let mut best = (f64::INFINITY, 0);
        for e in [usual, usual + 1, usual - 1].map(|e| e.clamp(0, 254) as u8) {
            let error = e2m1::error(&x, &costs, f64::from(half_scale(e)));
            if error < best.0 {
                best = (error, e);
            }
        }
        let e = best.1;
        let scale = f64::from(half_scale(e));
        Self { e, indices: pack_nibbles(&x.map(|x| e2m1::index(f64::from(x) / scale))) }
    }
}

impl Grid for MXFP4 {
    const OFFSET: i8 = e2m1::BIAS;
    const MAX_CODE: i32 = 2 * e2m1::BIAS as i32;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        let codes = unpack_nibbles(&self.indices).map(|index| e2m1::CODES[index as usize % 16]);
        Unit { codes, scales: [half_scale(self.e); 2], mins: [0.0; 2] }
    }
}

/// `2^(e - 128)`; the two least are subnormal.
pub(crate) fn half_scale(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}
