//! IQ1_M: 256 weights in 56 bytes, 1.75 bits a weight; as IQ1_S, but each group of eight chooses its shift, and scales are for 16
//! weights.
//!
//! ```text
//! 0..32   low     byte j: bits 0..8 of the index of group j
//! 32..48  high    nibble j (low nibble of byte j / 2 for even j): bits 0..3 bits 8 to 10 of the index of group j, bit 3 the shift
//!                 (1: down)
//! 48..56  scales  u16[4], little-endian: bits 3h..3h+3 of word w the scale of weights 16(4w + h)..; bits 12..16 of word w are
//!                 bits 4w..4w+4 of d, an f16
//! weight[i] = d * (2 scale[i / 16] + 1) * (point[i / 8][i % 8] ± 1/8)
//! ```
//!
//! For kernels: [`IQ1`](super::code_book::IQ1) and [`IQ1_DELTA`](super::code_book::IQ1_DELTA).

use std::sync::LazyLock;

use super::code_book::{self, IQ1};
use super::iq1_s::{BIAS, STRETCH, codes, values};
use super::search::{self, Book, Envelope, Part, Target, Unit as Search, block_scales};
use super::{Block, Grid, Unit, f16_value};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct IQ1_M {
    pub low: [u8; 32],
    pub high: [u8; 16],
    pub scales: [[u8; 2]; 4],
}

/// The points shifted up, then those shifted down: bit 11 of an index is the shift.
static BOOK: LazyLock<Book<8, 4096>> = LazyLock::new(|| {
    let shifted = |down: bool| IQ1.iter().map(move |&point| values(point, down));
    Book::new(shifted(false).chain(shifted(true)))
});

// SAFETY: byte arrays only.
unsafe impl Block for IQ1_M {
    const FORMAT: Format = Format::IQ1_M;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let mut block = Self { low: [0; 32], high: [0; 16], scales: [[0; 2]; 4] };
        let Some(target) = Target::new(weights, importance) else { return block };
        let units: [Search; 16] = std::array::from_fn(|u| {
            let range = target.range::<16>(u, 32.0, 7.0);
            let envelope = |j: usize| {
                let (x, costs) = target.group::<8>(j);
                Part::plain(vec![Envelope::new(&BOOK, x, costs, false, range)])
            };
            Search { parts: vec![envelope(2 * u), envelope(2 * u + 1)], range }
        });
        let found = block_scales(&units, 7, 1.0 / 8.0 / target.largest);
        let d = u16::from_le_bytes(search::stretched(&found, &units, &target, STRETCH));
        let mut words: [u16; 4] = std::array::from_fn(|w| (d >> (4 * w) & 15) << 12);
        for (u, unit) in units.iter().enumerate() {
            words[u / 4] |= u16::from(found.steps[u]) << (u % 4 * 3);
            for (k, part) in unit.parts.iter().enumerate().take(2) {
                let Some(envelope) = part.chosen(found.scales[u]).1.first() else { continue };
                let point = envelope.point(found.scales[u]);
                block.low[2 * u + k] = point as u8;
                block.high[u] |= ((point >> 8) as u8 & 15) << (4 * k);
            }
        }
        block.scales = words.map(u16::to_le_bytes);
        block
    }
}

impl Grid for IQ1_M {
    const OFFSET: i8 = BIAS;
    const MAX_CODE: i32 = 2 * BIAS as i32;
    const HALVES: bool = true;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let u = index % 8;
        let words = self.scales.map(u16::from_le_bytes);
        let d = words.iter().enumerate().fold(0, |d, (w, word)| d | word >> 12 << (4 * w));
        let group = |k: usize| {
            let bits = self.high[2 * u + k / 2] >> (k % 2 * 4) & 15;
            let index = usize::from(self.low[4 * u + k]) | usize::from(bits & 7) << 8;
            codes(IQ1[index], bits >> 3 == 1)
        };
        let scale = |half: usize| {
            let at = 2 * u + half;
            f16_value(d.to_le_bytes()) * (2.0 * f32::from(words[at / 4] >> (at % 4 * 3) & 7) + 1.0) * 0.125
        };
        Unit { codes: code_book::unit(group), scales: [scale(0), scale(1)], mins: [0.0; 2] }
    }
}
