//! IQ2_XS: 256 weights in 74 bytes, 2.3125 bits a weight; groups of eight are points of a code book of 512, with an even number of signs.
//!
//! ```text
//! 0..2    d       f16
//! 2..66   groups  u16[32], little-endian: bits 0..9 index of the point, bits 9..16 the signs
//! 66..74  scales  byte u: low nibble the first, high nibble the second 16 weights of unit u
//! weight[i] = d * (2 scale[i / 16] + 1) / 8 * ±point[i / 8][i % 8]
//! ```
//!
//! For kernels: [`IQ2_XS`](super::code_book::IQ2_XS) and [`SIGNS`].

use std::sync::LazyLock;

use super::code_book::{self, SIGNS};
use super::search::Book;
use super::{Block, Grid, Unit, f16_value, iq2};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ2_XS {
    pub d: [u8; 2],
    pub groups: [[u8; 2]; 32],
    pub scales: [u8; 8],
}

static BOOK: LazyLock<Book<8, 512>> = LazyLock::new(|| iq2::book(&code_book::IQ2_XS));

// SAFETY: byte arrays only.
unsafe impl Block for IQ2_XS {
    const FORMAT: Format = Format::IQ2_XS;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let Some(found) = iq2::encode::<16, _>(&BOOK, weights, importance, true) else {
            return Self { d: [0; 2], groups: [[0; 2]; 32], scales: [0; 8] };
        };
        let group = |j: usize| found.points[j] & 511 | u16::from(found.signs[j] & 127) << 9;
        let steps = found.scales.steps;
        Self {
            d: found.scales.d,
            groups: std::array::from_fn(|j| group(j).to_le_bytes()),
            scales: std::array::from_fn(|u| steps[2 * u] | steps[2 * u + 1] << 4),
        }
    }
}

impl Grid for IQ2_XS {
    const OFFSET: i8 = iq2::BIAS;
    const MAX_CODE: i32 = 2 * iq2::BIAS as i32;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let group = |k: usize| {
            let bits = usize::from(u16::from_le_bytes(self.groups[4 * u + k]));
            iq2::codes(&code_book::IQ2_XS, bits & 511, SIGNS[bits >> 9])
        };
        let scale = |step: u8| f16_value(self.d) * (2.0 * f32::from(step) + 1.0) * 0.125;
        let scales = [scale(self.scales[u] & 15), scale(self.scales[u] >> 4)];
        Unit { codes: code_book::unit(group), scales, mins: [0.0; 2] }
    }
}
