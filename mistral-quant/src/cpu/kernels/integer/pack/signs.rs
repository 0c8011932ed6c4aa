//! Q1_0 and Q2_0: one or two bits per weight, with one scale for several units.

use super::bits::{array, spread_bits, transpose, transpose_pairs, write};
use super::scales::fields;
use super::{Pack, Vector};
use crate::cpu::kernels::integer::codes::{Expanded, Pairs, Signs};
use crate::cpu::kernels::integer::lanes::Lanes;
use crate::cpu::kernels::integer::tile::{Scales, UNITS, Units};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::q1_0::Q1_0;
use crate::formats::q2_0::Q2_0;
use crate::formats::{Grid, UNIT};

/// Reads the scales of blocks of several units: one f16 per row and block.
#[inline(always)]
unsafe fn block_scales<L: Lanes, B: Grid>(header: &[u8], units: usize, scales: &mut Scales) {
    let blocks = scales.scales.chunks_exact_mut(B::WEIGHTS / UNIT).zip(header.chunks_exact(2 * STRIP));
    for (scales, header) in blocks.take(units.min(UNITS).div_ceil(B::WEIGHTS / UNIT)) {
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(header)) };
        scales.iter_mut().for_each(|unit| unit[0] = d);
    }
}

impl Pack for Q1_0 {
    type Codes = Signs;
    type Expanded = Expanded<15>;
    type Grouping = Units;
    const HEADER: usize = 2 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| block.d));
        for (u, unit) in codes.iter_mut().enumerate().take(4) {
            spread_bits(array(blocks, |block| block.signs.as_chunks::<4>().0[u]), unit);
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { block_scales::<L, Self>(header, units, scales) };
    }
}

impl Pack for Q2_0 {
    type Codes = Pairs;
    type Expanded = Expanded<15>;
    type Grouping = Units;
    const HEADER: usize = 2 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        write(header, array(blocks, |block| block.d));
        // SAFETY: as this function.
        unsafe { transpose::<L, 16>(array(blocks, |block| &block.codes), codes) };
        codes.iter_mut().for_each(transpose_pairs);
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], units: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { block_scales::<L, Self>(header, units, scales) };
    }
}
