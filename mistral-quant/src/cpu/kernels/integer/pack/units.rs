//! Formats of 32 weights a block, with a scale, and maybe a min, in f16.

use super::bits::{array, each, spread_bits, transpose, write};
use super::scales::{fields, two_halves};
use super::{Pack, Vector};
use crate::cpu::kernels::integer::codes::{Expanded, Fives, Nibbles, NonLinear, Signed, Table};
use crate::cpu::kernels::integer::lanes::Lanes;
use crate::cpu::kernels::integer::tile::{Scales, UNITS, Units, UnitsWithMins};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::iq4_nl::IQ4_NL;
use crate::formats::q4_0::Q4_0;
use crate::formats::q4_1::Q4_1;
use crate::formats::q5_0::Q5_0;
use crate::formats::q5_1::Q5_1;
use crate::formats::q8_0::Q8_0;
use crate::formats::{Grid, as_bytes};

/// A format of 32 weights a block: codes by the given function, the header is the bytes before them.
macro_rules! pack_units {
    ($block:ident, $codes:ty, $expanded:ty, $grouping:ty, $header:literal, |$blocks:ident, $out:ident| $pack:block) => {
        impl Pack for $block {
            type Codes = $codes;
            type Expanded = $expanded;
            type Grouping = $grouping;
            const HEADER: usize = $header * STRIP;

            #[inline(always)]
            unsafe fn pack<L: Lanes>($blocks: [&Self; STRIP], header: &mut [u8], $out: &mut [Vector]) {
                let mut bytes = [[0; $header]; STRIP];
                for (bytes, block) in bytes.iter_mut().zip($blocks) {
                    *bytes = *as_bytes(block).first_chunk().unwrap_or(&[0; $header]);
                }
                write(header, bytes);
                // SAFETY: as this function.
                unsafe { $pack }
            }

            #[inline(always)]
            unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
                for (u, header) in header.chunks_exact(Self::HEADER).enumerate().take(units.min(UNITS)) {
                    // SAFETY: as this function.
                    unsafe {
                        if Self::MINS {
                            let [scale, sum] = two_halves::<L>(header);
                            scales.scales[u][0] = scale;
                            scales.mins[u][0] = each(sum, |sum| -sum);
                        } else {
                            scales.scales[u][0] = L::widen(fields(header));
                        }
                    }
                }
            }
        }
    };
}

pack_units!(Q8_0, Signed, Expanded<128>, Units, 2, |blocks, out| {
    transpose::<L, 32>(array(blocks, |block| &block.codes), out);
    for vector in out {
        vector.iter_mut().for_each(|code| *code ^= 0x80);
    }
});
pack_units!(Q4_0, Nibbles, Expanded<15>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.codes), out)
});
pack_units!(Q4_1, Nibbles, Expanded<15>, UnitsWithMins, 4, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.codes), out)
});
pack_units!(Q5_0, Fives, Expanded<31>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.low), out);
    if let Some(high) = out.get_mut(4) {
        spread_bits(array(blocks, |block| block.high), high);
    }
});
pack_units!(Q5_1, Fives, Expanded<31>, UnitsWithMins, 4, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.low), out);
    if let Some(high) = out.get_mut(4) {
        spread_bits(array(blocks, |block| block.high), high);
    }
});
pack_units!(IQ4_NL, Table<NonLinear>, Expanded<128>, Units, 2, |blocks, out| {
    transpose::<L, 16>(array(blocks, |block| &block.indices), out)
});
