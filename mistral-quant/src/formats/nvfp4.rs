//! NVFP4: 64 weights in 36 bytes, 4.5 bits a weight; four groups of 16 4-bit floats, each under an unsigned 8-bit float.
//!
//! ```text
//! 0..4   scales   UE4M3 of group g: bits 3..7 exponent (bias 7), bits 0..3 mantissa; 0x7F counts as zero, bit 7 is ignored
//! 4..36  indices  E2M1; 8 bytes a group, byte j: low nibble weight j, high nibble weight j + 8 of the group
//! weight[i] = scale[i / 16] / 2 * VALUES[index[i]]     with the doubled values of E2M1
//! ```
//!
//! The scales reach from 2^-9 to 448: weights much smaller than that need a scale of the whole tensor beside this format. For kernels: a
//! look-up of 16 bytes ([`CODES`](super::e2m1::CODES)) takes indices to unsigned codes.

use super::{Block, Grid, Unit, e2m1, finite, fit};
use crate::format::Format;

/// One block.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct NVFP4 {
    pub scales: [u8; 4],
    pub indices: [[u8; 8]; 4],
}

// SAFETY: byte arrays only.
unsafe impl Block for NVFP4 {
    const FORMAT: Format = Format::NVFP4;
    const WEIGHTS: usize = 64;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 64] = finite(weights);
        let costs = fit::costs(&x, importance);
        let mut block = Self { scales: [0; 4], indices: [[0; 8]; 4] };
        for (g, (x, costs)) in x.as_chunks::<16>().0.iter().zip(costs.as_chunks::<16>().0).enumerate() {
            let scale = best_scale(x, costs);
            block.scales[g] = scale;
            let scale = f64::from(half_scale(scale));
            if scale > 0.0 {
                let index = |x: f32| e2m1::index(f64::from(x) / scale);
                block.indices[g] = std::array::from_fn(|j| index(x[j]) | index(x[j + 8]) << 4);
            }
        }
        block
    }
}

impl Grid for NVFP4 {
    const OFFSET: i8 = e2m1::BIAS;
    const MAX_CODE: i32 = 2 * e2m1::BIAS as i32;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let first = index % 2 * 2;
        let code = |i: usize| {
            let byte = self.indices[first + i / 16][i % 8];
            e2m1::CODES[usize::from(if i % 16 < 8 { byte & 15 } else { byte >> 4 })]
        };
        let scales = [half_scale(self.scales[first]), half_scale(self.scales[first + 1])];
        Unit { codes: std::array::from_fn(code), scales, mins: [0.0; 2] }
    }
}

/// Half the value of a UE4M3.
pub(crate) fn half_scale(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    match exponent {
        _ if byte == 0x7F => 0.0,
        0 => mantissa / 1024.0,
        _ => (8.0 + mantissa) * f32::from_bits(((exponent - 11 + 127) as u32) << 23),
    }
}

/// The scale with the least error, among those that take the largest weight to between about 3.5 and 8.
fn best_scale(x: &[f32; 16], costs: &[f64; 16]) -> u8 {
    let largest = fit::extreme(x).abs();
    if largest == 0.0 {
        return 0;
    }
    // The finite values are in the order of their bytes, so this is the last scale under which nothing is cut off too much.
    let start = (0..0x7Eu8).take_while(|&byte| 16.0 * half_scale(byte) < largest).count() as u8;
    let mut best = (f64::INFINITY, 0);
    for byte in start..(start + 10).min(0x7F) {
        let error = match half_scale(byte) {
            0.0 => x.iter().zip(costs).map(|(&x, cost)| cost * f64::from(x).powi(2)).sum(),
            scale => e2m1::error(x, costs, f64::from(scale)),
        };
        if error < best.0 {
            best = (error, byte);
        }
    }
    best.1
}
