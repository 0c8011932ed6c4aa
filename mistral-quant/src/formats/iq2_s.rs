//! IQ2_S: 256 weights in 82 bytes, 2.5625 bits a weight; groups of eight are points of a code book of 1024, with free signs.
//!
//! ```text
//! 0..2    d       f16
//! 2..34   low     byte j: bits 0..8 of the index of group j
//! 34..66  signs   byte j: bit i negates weight i of group j
//! 66..74  high    byte u, bits 2k..2k+2: bits 8 and 9 of the index of group 4u + k
//! 74..82  scales  byte u: low nibble the first, high nibble the second 16 weights of unit u
//! weight[i] = d * (2 scale[i / 16] + 1) / 8 * ±point[i / 8][i % 8]
//! ```
//!
//! For kernels: [`IQ2_S`](super::code_book::IQ2_S).

use std::sync::LazyLock;

use super::code_book;
use super::search::Book;
use super::{Block, Grid, Unit, f16_value, iq2};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ2_S {
    pub d: [u8; 2],
    pub low: [u8; 32],
    pub signs: [u8; 32],
    pub high: [u8; 8],
    pub scales: [u8; 8],
}

static BOOK: LazyLock<Book<8, 1024>> = LazyLock::new(|| iq2::book(&code_book::IQ2_S));

// SAFETY: byte arrays only.
unsafe impl Block for IQ2_S {
    const FORMAT: Format = Format::IQ2_S;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let Some(found) = iq2::encode::<16, _>(&BOOK, weights, importance, false) else {
            return Self { d: [0; 2], low: [0; 32], signs: [0; 32], high: [0; 8], scales: [0; 8] };
        };
        let high = |j: usize| ((found.points[j] >> 8) as u8 & 3) << (j % 4 * 2);
        let steps = found.scales.steps;
        Self {
            d: found.scales.d,
            low: found.points.map(|point| point as u8),
            signs: found.signs,
            high: std::array::from_fn(|u| high(4 * u) | high(4 * u + 1) | high(4 * u + 2) | high(4 * u + 3)),
            scales: std::array::from_fn(|u| steps[2 * u] | steps[2 * u + 1] << 4),
        }
    }
}

impl Grid for IQ2_S {
    const OFFSET: i8 = iq2::BIAS;
    const MAX_CODE: i32 = 2 * iq2::BIAS as i32;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let group = |k: usize| {
            let point = usize::from(self.low[4 * u + k]) | usize::from(self.high[u] >> (2 * k) & 3) << 8;
            iq2::codes(&code_book::IQ2_S, point, self.signs[4 * u + k])
        };
        let scale = |step: u8| f16_value(self.d) * (2.0 * f32::from(step) + 1.0) * 0.125;
        let scales = [scale(self.scales[u] & 15), scale(self.scales[u] >> 4)];
        Unit { codes: code_book::unit(group), scales, mins: [0.0; 2] }
    }
}
