//! TQ1_0, five weights a byte and always expanded, and TQ2_0, four weights a byte.

use super::codes::{Expanded, Pairs};
use super::lanes::{Lanes, Operation};
use super::pack::{Pack, Panel, Vector};
use super::tile::{Scales, Units};
use crate::cpu::kernels::integer::books::vbmi::Vbmi;
use crate::cpu::kernels::integer::pack::bits::{array, pack_pairs, transpose, write};
use crate::cpu::kernels::integer::pack::scales::fields;
use crate::cpu::kernels::strip::STRIP;
use crate::formats::tq1_0::TQ1_0;
use crate::formats::tq2_0::TQ2_0;

/// The codes are the first 32 bytes of the blocks, each of which has a trit of units 0 to 4; in the header are the others, for units
/// 5 to 7, and the scale.
impl Pack for TQ1_0 {
    type Codes = Expanded<15>;
    type Expanded = Expanded<15>;
    type Grouping = Units;
    const HEADER: usize = 22 * STRIP;
    const UNIT_BYTES: usize = 64;
    const DIRECT: bool = false;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((trits, d)) = header.split_at_mut_checked(5 * 64) else { return };
        write(d, array(blocks, |block| block.d));
        for (w, words) in trits.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            write(words, array(blocks, |block| block.trits.as_chunks::<4>().0[8 + w]));
        }
        let first = array(blocks, |block| block.trits.first_chunk().unwrap_or(&[0; 32]));
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(first, codes) };
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(header.get(5 * 64..).unwrap_or_default())) };
        scales.scales.iter_mut().for_each(|unit| unit[0] = d);
    }

    unsafe fn expand<L: Lanes>(header: &[u8], codes: &[u8], _: usize, panel: &mut Panel, _: Option<Vbmi>) {
        // SAFETY: by the caller.
        unsafe { L::Moves::enter(Trits { header: header.as_chunks().0, codes: codes.as_chunks().0, panel }) };
    }
}

/// Expands the eight units of a block.
struct Trits<'a> {
    header: &'a [Vector],
    codes: &'a [Vector],
    panel: &'a mut Panel,
}

impl Operation for Trits<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for (g, vector) in self.codes.iter().enumerate().take(8) {
            split(vector, |t| 8 * t + g, 5, self.panel);
        }
        for (g, vector) in self.header.iter().enumerate().take(4) {
            split(vector, |t| 40 + 4 * t + g, 5, self.panel);
        }
        if let Some(vector) = self.header.get(4) {
            split(vector, |t| 60 + t, 4, self.panel);
        }
    }
}

/// Writes trit `t` of each byte to vector `to(t)`.
#[inline(always)]
fn split(vector: &Vector, to: impl Fn(usize) -> usize, count: usize, panel: &mut Panel) {
    let mut fractions = *vector;
    for t in 0..count {
        for (trit, fraction) in panel[to(t)].iter_mut().zip(&mut fractions) {
            // The integer part of three times the fraction.
            *trit = u8::from(*fraction > 85) + u8::from(*fraction > 170);
            *fraction = fraction.wrapping_mul(3);
        }
    }
}

impl Pack for TQ2_0 {
    type Codes = Pairs;
    type Expanded = Expanded<15>;
    type Grouping = Units;
    const HEADER: usize = 2 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| block.d));
        // SAFETY: as this function.
        unsafe { pack_pairs::<L, 2, 0>(array(blocks, |block| &block.codes), codes) };
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(header)) };
        scales.scales.iter_mut().for_each(|unit| unit[0] = d);
    }
}
