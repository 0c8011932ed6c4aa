//! IQ2_XXS: 256 weights in 66 bytes, 2.0625 bits a weight; groups of eight are points of a code book of 256, with an even number of signs.
//!
//! ```text
//! 0..2   d      f16
//! 2..66  units  8 bytes for 32 weights: 4 indices of points, then a u32, little-endian: bits 7k..7k+7 the signs of group k, bits
//!               28..32 the scale
//! weight[i] = d * (2 scale[i / 32] + 1) / 8 * ±point[i / 8][i % 8]
//! ```
//!
//! For kernels: [`IQ2_XXS`](super::code_book::IQ2_XXS) and [`SIGNS`].

use std::sync::LazyLock;

use super::code_book::{self, SIGNS};
use super::search::Book;
use super::{Block, Grid, Unit, f16_value, iq2};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ2_XXS {
    pub d: [u8; 2],
    pub units: [[u8; 8]; 8],
}

static BOOK: LazyLock<Book<8, 256>> = LazyLock::new(|| iq2::book(&code_book::IQ2_XXS));

// SAFETY: byte arrays only.
unsafe impl Block for IQ2_XXS {
    const FORMAT: Format = Format::IQ2_XXS;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let Some(found) = iq2::encode::<8, _>(&BOOK, weights, importance, true) else {
            return Self { d: [0; 2], units: [[0; 8]; 8] };
        };
        let units = std::array::from_fn(|u| {
            let mut word = u32::from(found.scales.steps[u]) << 28;
            for k in 0..4 {
                word |= u32::from(found.signs[4 * u + k] & 127) << (7 * k);
            }
            let [w, x, y, z] = word.to_le_bytes();
            let point = |k: usize| found.points[4 * u + k] as u8;
            [point(0), point(1), point(2), point(3), w, x, y, z]
        });
        Self { d: found.scales.d, units }
    }
}

impl Grid for IQ2_XXS {
    const OFFSET: i8 = iq2::BIAS;
    const MAX_CODE: i32 = 2 * iq2::BIAS as i32;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let [a, b, c, d, w, x, y, z] = self.units[index % 8];
        let (points, word) = ([a, b, c, d], u32::from_le_bytes([w, x, y, z]));
        let signs = |k: usize| SIGNS[(word >> (7 * k) & 127) as usize];
        let codes = code_book::unit(|k| iq2::codes(&code_book::IQ2_XXS, usize::from(points[k]), signs(k)));
        let scale = f16_value(self.d) * (2.0 * (word >> 28) as f32 + 1.0) * 0.125;
        Unit { codes, scales: [scale; 2], mins: [0.0; 2] }
    }
}
