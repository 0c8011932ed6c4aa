//! IQ3_S: 256 weights in 110 bytes, 3.4375 bits a weight; groups of four are points of a code book of 512, with free signs.
//!
//! ```text
//! 0..2      d       f16
//! 2..66     low     byte j: bits 0..8 of the index of group j
//! 66..74    high    byte u, bit k: bit 8 of the index of group 8u + k
//! 74..106   signs   byte j: bit i negates weight 8j + i
//! 106..110  scales  byte u / 2: low nibble for even u
//! weight[i] = d * (2 scale[i / 32] + 1) * ±point[i / 4][i % 4]
//! ```
//!
//! For kernels: [`IQ3_S`](super::code_book::IQ3_S).

use std::sync::LazyLock;

use super::code_book;
use super::search::{Book, Envelope, Part, Target, Unit as Search, block_scales, magnitudes, stretched};
use super::{Block, Grid, Unit, f16_value};
use crate::format::Format;

/// What makes unsigned codes of the signed values.
const BIAS: i8 = 15;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ3_S {
    pub d: [u8; 2],
    pub low: [u8; 64],
    pub high: [u8; 8],
    pub signs: [u8; 32],
    pub scales: [u8; 4],
}

static BOOK: LazyLock<Book<4, 512>> =
    LazyLock::new(|| Book::new(code_book::IQ3_S.iter().map(|point| point.to_le_bytes().map(f32::from))));

// SAFETY: byte arrays only.
unsafe impl Block for IQ3_S {
    const FORMAT: Format = Format::IQ3_S;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let mut block = Self { d: [0; 2], low: [0; 64], high: [0; 8], signs: [0; 32], scales: [0; 4] };
        let Some(target) = Target::new(weights, importance) else { return block };
        let units: [Search; 8] = std::array::from_fn(|u| {
            let range = target.range::<32>(u, 22.0, 9.0);
            let envelope = |j: usize| {
                let (x, costs) = target.group::<4>(j);
                Part::plain(vec![Envelope::new(&BOOK, &magnitudes(x).0, costs, false, range)])
            };
            Search { parts: (8 * u..8 * u + 8).map(envelope).collect(), range }
        });
        let scales = block_scales(&units, 15, 1.0 / target.largest);
        block.d = stretched(&scales, &units, &target, 1.0);
        for (u, unit) in units.iter().enumerate() {
            block.scales[u / 2] |= scales.steps[u] << (u % 2 * 4);
            for (k, part) in unit.parts.iter().enumerate() {
                let Some(envelope) = part.chosen(scales.scales[u]).1.first() else { continue };
                let point = envelope.point(scales.scales[u]);
                block.low[8 * u + k] = point as u8;
                block.high[u] |= ((point >> 8) as u8 & 1) << k;
            }
        }
        block.signs = std::array::from_fn(|j| magnitudes(target.group::<8>(j).0).1);
        block
    }
}

impl Grid for IQ3_S {
    const OFFSET: i8 = BIAS;
    const MAX_CODE: i32 = 2 * BIAS as i32;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let point = |k: usize| {
            let index = usize::from(self.low[8 * u + k]) | usize::from(self.high[u] >> k & 1) << 8;
            u64::from(code_book::IQ3_S[index])
        };
        let group = |k: usize| code_book::signed(point(2 * k) | point(2 * k + 1) << 32, self.signs[4 * u + k], BIAS);
        let step = self.scales[u / 2] >> (u % 2 * 4) & 15;
        let scale = f16_value(self.d) * (2.0 * f32::from(step) + 1.0);
        Unit { codes: code_book::unit(group), scales: [scale; 2], mins: [0.0; 2] }
    }
}
