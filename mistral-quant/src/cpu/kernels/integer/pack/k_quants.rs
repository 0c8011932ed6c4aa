//! Q2_K to Q6_K: blocks of 256 weights, whose scales are integers times the scale of the block.

use super::bits::{array, pack_pairs, split_nibbles, swap_bits, transpose, write};
use super::scales::{centred, fields, floats, ints, store, two_halves, vectors_of_words};
use super::{Pack, Vector};
use crate::cpu::kernels::integer::codes::{Expanded, Fives, Nibbles, Pairs, Sixes, Threes};
use crate::cpu::kernels::integer::lanes::{Lanes, unroll};
use crate::cpu::kernels::integer::tile::{Halves, HalvesWithMins, Scales, UnitsWithMins};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::q2_k::Q2_K;
use crate::formats::q3_k::Q3_K;
use crate::formats::q4_k::Q4_K;
use crate::formats::q5_k::Q5_K;
use crate::formats::q6_k::Q6_K;
use crate::formats::{Grid, as_bytes};

/// The header of Q4_K and Q5_K: the first 16 bytes of the blocks.
#[inline(always)]
unsafe fn pack_six_bit_header<L: Lanes, B: Grid>(blocks: [&B; STRIP], header: &mut [u8]) {
    let heads = array(blocks, |block| as_bytes(block).first_chunk().unwrap_or(&[0; 16]));
    // SAFETY: as this function.
    unsafe { transpose::<L, 16>(heads, header.as_chunks_mut().0) };
}

/// Scales and mins of Q4_K and Q5_K, see `formats::q4_k::scale_and_min`. In registers of rows, as all that follow: compilers take other
/// dimensions of these loops for the one to vectorise, and gather.
#[inline(always)]
unsafe fn six_bit_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
    let Some((head, rest)) = header.split_at_checked(64) else { return };
    // SAFETY: as this function.
    let [d, dmin] = unsafe { two_halves::<L>(head) };
    let words: [[u32; STRIP]; 3] = vectors_of_words(rest);
    for first in (0..STRIP).step_by(L::ROWS) {
        // SAFETY: as this function; `ROWS` divides `STRIP`.
        unsafe {
            let a = ints::<L>(&words[0], first);
            let b = ints::<L>(&words[1], first);
            let c = ints::<L>(&words[2], first);
            let (d, dmin) = (floats::<L>(&d, first), floats::<L>(&dmin, first));
            unroll!(U in [0 1 2 3 4 5 6 7] {
                let shift = 8 * (U as u32 % 4);
                let (scale, min) = if U < 4 {
                    (L::bits(a, shift, 6), L::bits(b, shift, 6))
                } else {
                    (
                        L::or_shifted(L::bits(c, shift, 4), L::bits(a, shift + 6, 2), 4),
                        L::or_shifted(L::bits(c, shift + 4, 4), L::bits(b, shift + 6, 2), 4),
                    )
                };
                let (scales, mins) = (&mut scales.scales[U][0], &mut scales.mins[U][0]);
                store::<L>(scales, first, L::multiply(d, L::to_floats(scale)));
                store::<L>(mins, first, L::multiply(dmin, L::to_floats(min)));
            });
        }
    }
}

impl Pack for Q4_K {
    type Codes = Nibbles;
    type Expanded = Expanded<15>;
    type Grouping = UnitsWithMins;
    const HEADER: usize = 16 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        // SAFETY: as this function.
        unsafe {
            pack_six_bit_header::<L, Self>(blocks, header);
            pack_nibble_pairs::<L, 4>(array(blocks, |block| &block.codes), codes);
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { six_bit_scales::<L>(header, scales) };
    }
}

/// Four groups of 32 bytes, low nibbles of one unit and high nibbles of the next, into units of `VECTORS` vectors.
#[inline(always)]
unsafe fn pack_nibble_pairs<L: Lanes, const VECTORS: usize>(rows: [&[u8; 128]; STRIP], codes: &mut [Vector]) {
    for (pair, units) in codes.chunks_exact_mut(2 * VECTORS).enumerate().take(4) {
        let mut packed = [[0; 64]; 8];
        let pieces = array(rows, |row| &row.as_chunks::<32>().0[pair]);
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(pieces, &mut packed) };
        let (low, high) = units.split_at_mut(VECTORS);
        split_nibbles(&packed, low, high);
    }
}

impl Pack for Q5_K {
    type Codes = Fives;
    type Expanded = Expanded<31>;
    type Grouping = UnitsWithMins;
    const HEADER: usize = 16 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let mut high = [[0; 64]; 8];
        // SAFETY: as this function.
        unsafe {
            pack_six_bit_header::<L, Self>(blocks, header);
            pack_nibble_pairs::<L, 5>(array(blocks, |block| &block.low), codes);
            transpose::<L, 32>(array(blocks, |block| &block.high), &mut high);
        }
        swap_bits(&mut high);
        for (unit, high) in codes.chunks_exact_mut(5).zip(&high) {
            unit[4] = *high;
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { six_bit_scales::<L>(header, scales) };
    }
}

/// Signed scales, one a byte in four words a row, times d.
#[inline(always)]
unsafe fn signed_scales<L: Lanes>(words: &[[u32; STRIP]; 4], d: &[f32; STRIP], scales: &mut Scales) {
    for first in (0..STRIP).step_by(L::ROWS) {
        // SAFETY: as this function; `ROWS` divides `STRIP`.
        unsafe {
            let d = floats::<L>(d, first);
            unroll!(U in [0 1 2 3 4 5 6 7] {
                let words = ints::<L>(&words[U / 2], first);
                let [low, high] = &mut scales.scales[U];
                let byte = 2 * (U as u32 % 2);
                let scale = L::multiply(d, L::to_floats(L::signed_byte(words, byte)));
                store::<L>(low, first, scale);
                let scale = L::multiply(d, L::to_floats(L::signed_byte(words, byte + 1)));
                store::<L>(high, first, scale);
            });
        }
    }
}

impl Pack for Q6_K {
    type Codes = Sixes;
    type Expanded = Expanded<63>;
    type Grouping = Halves;
    const HEADER: usize = 18 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(256) else { return };
        write(d, array(blocks, |block| block.d));
        // SAFETY: as this function.
        unsafe {
            transpose::<L, 16>(array(blocks, |block| &block.scales), scales.as_chunks_mut().0);
            pack_pairs::<L, 6, 4>(array(blocks, |block| &block.high), codes);
            for (half, units) in codes.chunks_exact_mut(4 * 6).enumerate().take(2) {
                let (first, second) = units.split_at_mut(2 * 6);
                for (t, (low, high)) in first.chunks_exact_mut(6).zip(second.chunks_exact_mut(6)).enumerate() {
                    let mut packed = [[0; 64]; 8];
                    let pieces = array(blocks, |block| &block.low.as_chunks::<32>().0[2 * half + t]);
                    transpose::<L, 32>(pieces, &mut packed);
                    split_nibbles(&packed, low, high);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(256) else { return };
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(d)) };
        // SAFETY: as this function.
        unsafe { signed_scales::<L>(&vectors_of_words(bytes), &d, scales) };
    }
}

impl Pack for Q2_K {
    type Codes = Pairs;
    type Expanded = Expanded<15>;
    type Grouping = HalvesWithMins;
    const HEADER: usize = 20 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(256) else { return };
        write(d, array(blocks, |block| [block.d[0], block.d[1], block.dmin[0], block.dmin[1]]));
        // SAFETY: as this function.
        unsafe {
            transpose::<L, 16>(array(blocks, |block| &block.scales), scales.as_chunks_mut().0);
            pack_pairs::<L, 2, 0>(array(blocks, |block| &block.codes), codes);
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(256) else { return };
        // SAFETY: as this function.
        let [d, dmin] = unsafe { two_halves::<L>(d) };
        let words: [[u32; STRIP]; 4] = vectors_of_words(bytes);
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; `ROWS` divides `STRIP`.
            unsafe {
                let (d, dmin) = (floats::<L>(&d, first), floats::<L>(&dmin, first));
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let both = ints::<L>(&words[H / 4], first);
                    let byte = 8 * (H as u32 % 4);
                    let (scales, mins) = (&mut scales.scales[H / 2][H % 2], &mut scales.mins[H / 2][H % 2]);
                    let scale = L::multiply(d, L::to_floats(L::bits(both, byte, 4)));
                    store::<L>(scales, first, scale);
                    let min = L::multiply(dmin, L::to_floats(L::bits(both, byte + 4, 4)));
                    store::<L>(mins, first, min);
                });
            }
        }
    }
}

impl Pack for Q3_K {
    type Codes = Threes;
    type Expanded = Expanded<15>;
    type Grouping = Halves;
    const HEADER: usize = 14 * STRIP;

    #[inline(always)]
    unsafe fn pack<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(192) else { return };
        write(d, array(blocks, |block| block.d));
        for (w, words) in scales.as_chunks_mut::<64>().0.iter_mut().enumerate().take(3) {
            write(words, array(blocks, |block| block.scales.as_chunks::<4>().0[w]));
        }
        let mut high = [[0; 64]; 8];
        // SAFETY: as this function.
        unsafe {
            pack_pairs::<L, 3, 0>(array(blocks, |block| &block.low), codes);
            transpose::<L, 32>(array(blocks, |block| &block.high), &mut high);
        }
        swap_bits(&mut high);
        for (unit, high) in codes.chunks_exact_mut(3).zip(&high) {
            unit[2] = *high;
        }
    }

    #[inline(always)]
    unsafe fn scales<L: Lanes>(header: &[u8], _: usize, scales: &mut Scales) {
        let Some((bytes, d)) = header.split_at_checked(192) else { return };
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(d)) };
        let words: [[u32; STRIP]; 3] = vectors_of_words(bytes);
        for first in (0..STRIP).step_by(L::ROWS) {
            // SAFETY: as this function; `ROWS` divides `STRIP`.
            unsafe {
                let d = floats::<L>(&d, first);
                let upper = ints::<L>(&words[2], first);
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let low = ints::<L>(&words[H / 4 % 2], first);
                    let byte = 8 * (H as u32 % 4);
                    let low = L::bits(low, byte + 4 * (H as u32 / 8), 4);
                    let six = L::or_shifted(low, L::bits(upper, byte + 2 * (H as u32 / 4), 2), 4);
                    let scales = &mut scales.scales[H / 2][H % 2];
                    store::<L>(scales, first, centred::<L>(d, six));
                });
            }
        }
    }
}
