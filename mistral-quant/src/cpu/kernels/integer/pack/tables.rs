//! Formats of 4-bit indices into a table of 16 values, other than the one of 32 weights a block with a scale in f16. Scales of NVFP4 are
//! stored without what they do not mean: signs, and the one that is not a number, which stands for zero.

use super::bits::{array, each, transpose, write};
use super::scales::{centred, floats, ints, store, two_halves, words};
use super::{Pack, Vector};
use crate::cpu::kernels::integer::codes::{Expanded, Floats4, NonLinear, Table};
use crate::cpu::kernels::integer::lanes::{Lanes, unroll};
use crate::cpu::kernels::integer::tile::{Halves, Scales, UNITS, Units};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::iq4_xs::IQ4_XS;
use crate::formats::mxfp4;
use crate::formats::mxfp4::MXFP4;
use crate::formats::nvfp4::NVFP4;

impl Pack for IQ4_XS {
    type Codes = Table<NonLinear>;
    type Expanded = Expanded<128>;
    type Grouping = Units;
    const HEADER: usize = 8 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((d, low)) = header.split_at_mut_checked(64) else { return };
        write(d, array(blocks, |block| [block.d[0], block.d[1], block.scales_high[0], block.scales_high[1]]));
        write(low, array(blocks, |block| block.scales_low));
        for (u, unit) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate().take(UNITS) {
            // SAFETY: as this function.
            unsafe { L::transpose(array(blocks, |block| &block.indices[u]), unit) };
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((head, low)) = header.split_at_checked(64) else { return };
        // SAFETY: as this function.
        let [d, _] = unsafe { two_halves::<L>(head) };
        let (high, low) = (words(head), words(low));
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; `ROWS` divides `STRIP`.
            unsafe {
                let d = floats::<L>(&d, first);
                let high = ints::<L>(&high, first);
                let low = ints::<L>(&low, first);
                unroll!(U in [0 1 2 3 4 5 6 7] {
                    let six = L::or_shifted(L::bits(low, 4 * U as u32, 4), L::bits(high, 16 + 2 * U as u32, 2), 4);
                    store::<L>(&mut scales.scales[U][0], first, centred::<L>(d, six));
                });
            }
        }
    }
}

impl Pack for MXFP4 {
    type Codes = Table<Floats4>;
    type Expanded = Expanded<31>;
    type Grouping = Units;
    const HEADER: usize = STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| [block.e]));
        // SAFETY: as this function.
        unsafe { transpose::<L, 16>(array(blocks, |block| &block.indices), codes) };
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
        for (scales, header) in scales.scales.iter_mut().zip(header.as_chunks::<STRIP>().0).take(units) {
            scales[0] = each(*header, mxfp4::half_scale);
        }
    }
}

impl Pack for NVFP4 {
    type Codes = Table<Floats4>;
    type Expanded = Expanded<31>;
    type Grouping = Halves;
    const HEADER: usize = 4 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| each(block.scales, plain_scale)));
        for (u, unit) in codes.as_chunks_mut::<4>().0.iter_mut().enumerate().take(2) {
            // Low nibbles are the first 8 columns of a group of 16, high ones the last.
            let pieces =
                array(blocks, |block| block.indices.as_flattened().as_chunks::<16>().0.get(u).unwrap_or(&[0; 16]));
            let mut packed = [[0; 64]; 4];
            // SAFETY: as this function.
            unsafe { L::transpose(pieces, &mut packed) };
            for g in 0..2 {
                for i in 0..64 {
                    let (a, b) = (packed[g][i], packed[g + 2][i]);
                    unit[g][i] = a & 15 | b << 4;
                    unit[g + 2][i] = a >> 4 | b & 0xF0;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // Of a last group there may be fewer vectors.
        let mut vectors = [[0; STRIP]; UNITS / 2];
        for (vector, header) in vectors.iter_mut().zip(header.as_chunks::<64>().0) {
            *vector = words(header);
        }
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; `ROWS` divides `STRIP`.
            unsafe {
                // Four bits of exponent and three of mantissa under the exponent of f32, whose bias is 120 more; and half of it.
                let scale = L::floats(f32::from_bits((127 + 119) << 23));
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let byte = L::bits(ints::<L>(&vectors[H / 4], first), 8 * (H as u32 % 4), 7);
                    let float = L::from_bits(L::or_shifted(L::ints(0), byte, 20));
                    store::<L>(&mut scales.scales[H / 2][H % 2], first, L::multiply(float, scale));
                });
            }
        }
    }
}

/// A scale as it is read: without a sign, which has no meaning, and zero where it is not a number; see `formats::nvfp4::half_scale`.
#[inline(always)]
fn plain_scale(scale: u8) -> u8 {
    if scale == 0x7F { 0 } else { scale & 0x7F }
}
