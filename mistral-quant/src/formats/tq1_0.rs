//! TQ1_0: 256 weights in 54 bytes, 1.6875 bits a weight; ternary weights, five to a byte.
//!
//! ```text
//! 0..32   trits  byte l holds weights l + 32t, t in 0..5
//! 32..48  trits  byte l holds weights 160 + l + 16t, t in 0..5
//! 48..52  trits  byte l holds weights 240 + l + 4t, t in 0..4
//! 52..54  d      f16
//! weight[i] = d * (trit[i] - 1)
//!
//! A byte is the number 0.t0 t1 t2 t3 t4 in base 3, in units of 1/256 and rounded up: trit t is the integer part of
//! 3 * fraction(3^t * byte / 256), which takes one wrapping product of bytes and one widening product.
//! ```

use super::{Block, Grid, Unit, f16_bytes, f16_value, finite, fit};
use crate::format::Format;

/// One block.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct TQ1_0 {
    pub trits: [u8; 52],
    pub d: [u8; 2],
}

// SAFETY: byte arrays only.
unsafe impl Block for TQ1_0 {
    const FORMAT: Format = Format::TQ1_0;
    const WEIGHTS: usize = 256;

    fn decode(&self, out: &mut [f32]) {
        self.decode_units(out);
    }

    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self {
        let (d, trits) = fit::ternary_block(&finite(weights), importance);
        let mut numbers = [0u16; 52];
        for (i, &trit) in trits.iter().enumerate() {
            let (byte, t) = place(i);
            numbers[byte] += u16::from(trit) * u16::from(POWERS[4 - t]);
        }
        Self { trits: numbers.map(|number| (number * 256).div_ceil(243) as u8), d: f16_bytes(d) }
    }
}

impl Grid for TQ1_0 {
    const OFFSET: i8 = 1;
    const MAX_CODE: i32 = 2;
    const HALVES: bool = false;
    const MINS: bool = false;

    fn unit(&self, index: usize) -> Unit {
        let code = |l: usize| {
            let (byte, t) = place(index % 8 * 32 + l);
            let fraction = self.trits[byte].wrapping_mul(POWERS[t]);
            ((u16::from(fraction) * 3) >> 8) as i8
        };
        Unit { codes: std::array::from_fn(code), scales: [f16_value(self.d); 2], mins: [0.0; 2] }
    }
}

const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// The byte that holds a weight, and which of its trits that is.
fn place(i: usize) -> (usize, usize) {
    match i {
        0..160 => (i % 32, i / 32),
        160..240 => (32 + (i - 160) % 16, (i - 160) / 16),
        _ => (48 + i % 4, (i - 240) / 4 % 4),
    }
}
