//! IQ1_S: 256 weights in 50 bytes, 1.5625 bits a weight; groups of eight are points of a code book of 2048 ternary values, all of a unit
//! shifted by an eighth up or down.
//!
//! ```text
//! 0..2    d       f16
//! 2..34   low     byte j: bits 0..8 of the index of group j
//! 34..50  high    u16[8], little-endian, for unit u: bits 3k..3k+3 bits 8 to 10 of the index of group 4u + k, bits 12..15 the
//!                 scale, bit 15 the shift (1: down)
//! weight[i] = d * (2 scale[i / 32] + 1) * (point[i / 8][i % 8] ± 1/8)
//! ```
//!
//! The codes are eight times the values, so that the shift is an integer. For kernels: [`IQ1`](super::code_book::IQ1) and
//! [`IQ1_DELTA`](super::code_book::IQ1_DELTA).

use std::sync::LazyLock;

use super::code_book::{self, IQ1, IQ1_DELTA};
use super::search::{self, Book, Envelope, Part, Target, Unit as Search, block_scales};
use super::{Block, Grid, Unit, f16_value};
use crate::format::Format;

/// What makes unsigned codes of the values, here and in IQ1_M.
pub(super) const BIAS: i8 = 9;

/// The power of [`search::stretched`], here and in IQ1_M: the largest under which the error is about that of ggml.
pub(super) const STRETCH: f64 = 0.75;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ1_S {
    pub d: [u8; 2],
    pub low: [u8; 32],
    pub high: [[u8; 2]; 8],
}

/// The points shifted up, and those shifted down.
static BOOKS: LazyLock<[Book<8, 2048>; 2]> =
    LazyLock::new(|| [false, true].map(|down| Book::new(IQ1.iter().map(|&point| values(point, down)))));

// SAFETY: byte arrays only.
unsafe impl Block for IQ1_S {
    const FORMAT: Format = Format::IQ1_S;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let mut block = Self { d: [0; 2], low: [0; 32], high: [[0; 2]; 8] };
        let Some(target) = Target::new(weights, importance) else { return block };
        let units: [Search; 8] = std::array::from_fn(|u| {
            let range = target.range::<32>(u, 32.0, 7.0);
            let envelope = |book: &Book<8, 2048>, j: usize| {
                let (x, costs) = target.group::<8>(j);
                Envelope::new(book, x, costs, false, range)
            };
            let alternative = |book: &Book<8, 2048>| (4 * u..4 * u + 4).map(|j| envelope(book, j)).collect();
            Search { parts: vec![Part { alternatives: BOOKS.iter().map(alternative).collect() }], range }
        });
        let scales = block_scales(&units, 7, 1.0 / 8.0 / target.largest);
        block.d = search::stretched(&scales, &units, &target, STRETCH);
        for (u, part) in units.iter().enumerate().filter_map(|(u, unit)| Some((u, unit.parts.first()?))) {
            let (down, envelopes) = part.chosen(scales.scales[u]);
            let mut high = u16::from(scales.steps[u]) << 12 | u16::from(down == 1) << 15;
            for (k, envelope) in envelopes.iter().enumerate().take(4) {
                let point = envelope.point(scales.scales[u]);
                block.low[4 * u + k] = point as u8;
                high |= (point >> 8 & 7) << (3 * k);
            }
            block.high[u] = high.to_le_bytes();
        }
        block
    }
}

impl Grid for IQ1_S {
    const OFFSET: i8 = BIAS;
    const MAX_CODE: i32 = 2 * BIAS as i32;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let high = u16::from_le_bytes(self.high[u]);
        let group = |k: usize| {
            let index = usize::from(self.low[4 * u + k]) | usize::from(high >> (3 * k) & 7) << 8;
            codes(IQ1[index], high >> 15 == 1)
        };
        let scale = f16_value(self.d) * (2.0 * f32::from(high >> 12 & 7) + 1.0) * 0.125;
        Unit { codes: code_book::unit(group), scales: [scale; 2], mins: [0.0; 2] }
    }
}

/// The codes of a point: no byte carries into the next.
pub(super) fn codes(point: u64, down: bool) -> [i8; 8] {
    (if down { point - IQ1_DELTA } else { point + IQ1_DELTA }).to_le_bytes().map(|code| code as i8)
}

/// The codes without their bias.
pub(super) fn values(point: u64, down: bool) -> [f32; 8] {
    codes(point, down).map(|code| f32::from(code - BIAS))
}
