//! IQ4_NL: 32 weights in 18 bytes, 4.5 bits a weight, on a table of 16 values that lie closer around zero.
//!
//! ```text
//! 0..2   d        f16
//! 2..18  indices  byte j: low nibble weight j, high nibble weight j + 16
//! weight[i] = d * VALUES[index[i]]
//! ```
//!
//! For kernels: a look-up of 16 bytes ([`VALUES`]) takes indices to signed codes.

use super::q4_0::{pack_nibbles, unpack_nibbles};
use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// What the indices mean, here and in IQ4_XS.
pub(crate) const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ4_NL {
    pub d: [u8; 2],
    pub indices: [u8; 16],
}

// SAFETY: byte arrays only.
unsafe impl Block for IQ4_NL {
    const FORMAT: Format = Format::IQ4_NL;
    const WEIGHTS: usize = 32;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let x: [f32; 32] = finite(weights);
        let d = f16_bytes(scale_of(&x, &fit::costs(&x, importance)) as f32);
        Self { d, indices: pack_nibbles(&indices(&x, f64::from(f16_value(d)))) }
    }
}

impl Grid for IQ4_NL {
    const OFFSET: i8 = 0;
    const MAX_CODE: i32 = 128;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, _: usize) -> Unit {
        Unit { codes: codes(&self.indices), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}

/// The codes of 32 packed indices.
pub(super) fn codes(indices: &[u8; 16]) -> [i8; 32] {
    unpack_nibbles(indices).map(|index| VALUES[index as usize % 16])
}

/// The indices nearest to 32 weights under a scale.
pub(super) fn indices(x: &[f32; 32], scale: f64) -> [u8; 32] {
    let per_scale = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    x.map(|x| index(f64::from(x) * per_scale))
}

/// The best scale, of either sign: the table reaches further on one side, and the extreme weight may lie on the other.
pub(super) fn scale_of(x: &[f32; 32], costs: &[f64; 32]) -> f64 {
    let extreme = f64::from(fit::extreme(x));
    if extreme == 0.0 {
        return 0.0;
    }
    let ends = [f64::from(VALUES[0]), f64::from(VALUES[15])];
    let trials = ends.into_iter().flat_map(|end| (-8..=8).map(move |step| (end + 2.0 * f64::from(step)) / extreme));
    let value = |x: f64| f64::from(VALUES[usize::from(index(x))]);
    fit::best_scale(x, costs, trials, value).unwrap_or(extreme / ends[0])
}

/// The index of the value nearest to `x`. The middles between values are multiples of a half.
fn index(x: f64) -> u8 {
    const NEAREST: [u8; 512] = {
        let mut nearest = [0; 512];
        let mut twice = 0;
        while twice < 512 {
            let mut index = 0;
            while index < 15 && VALUES[index] as i32 + VALUES[index + 1] as i32 <= twice as i32 - 256 {
                index += 1;
            }
            nearest[twice] = index as u8;
            twice += 1;
        }
        nearest
    };
    NEAREST[(2.0 * x + 256.0).clamp(0.0, 511.0) as usize % 512]
}
