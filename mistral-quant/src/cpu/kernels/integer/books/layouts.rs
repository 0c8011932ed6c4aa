//! How the blocks of each book become headers, indices and planes.
//!
//! Header and codes hold the bytes of the blocks; what is spread over a block there is put together so that a shift and a mask take
//! it out for all rows. Where signs leave bits free (every eighth follows from the other seven), the plane of the signs
//! carries four other bits in those places, [`FREE`].

#![allow(clippy::needless_range_loop)] // Words of several arrays are walked together.

use std::array::from_fn;

use super::points::{Eights256, Eights512, Eights1024, Fours256, Fours512, Ternary2048};
use super::{Book, Fields, Words};
use crate::cpu::kernels::integer::lanes::{Lanes, unroll};
use crate::cpu::kernels::integer::pack::Vector;
use crate::cpu::kernels::integer::pack::bits::{array, each, spread_bits, transpose, write};
use crate::cpu::kernels::integer::pack::scales::{fields, floats, ints, odd, store, vectors_of_words, words};
use crate::cpu::kernels::integer::tile::{Scales, UNITS};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::iq1_m::IQ1_M;
use crate::formats::iq1_s::IQ1_S;
use crate::formats::iq2_s::IQ2_S;
use crate::formats::iq2_xs::IQ2_XS;
use crate::formats::iq2_xxs::IQ2_XXS;
use crate::formats::iq3_s::IQ3_S;
use crate::formats::iq3_xxs::IQ3_XXS;

/// The bits of columns 7, 15, 23 and 31 in a plane: bits 1, 3, 5 and 7 of byte 3.
const FREE: u32 = 0xAA00_0000;

impl Book for IQ2_XXS {
    type Points = Eights256;
    const HEADER_BYTES: usize = 34;
    const VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((planes, d)) = header.split_at_mut_checked(512) else { return };
        write(d, array(blocks, |block| block.d));
        for (u, (plane, low)) in planes.as_chunks_mut().0.iter_mut().zip(codes).enumerate() {
            spread_bits(array(blocks, |block| seven_bit_signs(*half(&block.units[u], 1))), plane);
            write(low, array(blocks, |block| *half(&block.units[u], 0)));
        }
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { scales_in_planes::<L>(header, 0.125, scales) }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = each(word(header, u), eighth_signs);
        Fields { low: [word(codes, u), [0; STRIP]], high: [[0; STRIP]; 2], plane }
    }
}

impl Book for IQ2_XS {
    type Points = Eights512;
    const HEADER_BYTES: usize = 10;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, d)) = header.split_at_mut_checked(128) else { return };
        write(d, array(blocks, |block| block.d));
        write_pairs(scales, array(blocks, |block| block.scales));
        for (u, unit) in codes.as_chunks_mut::<2>().0.iter_mut().enumerate().take(UNITS) {
            let groups = array(blocks, |block| from_fn(|k| u16::from_le_bytes(block.groups[4 * u + k])));
            write(&mut unit[0], groups.map(|groups: [u16; 4]| groups.map(|bits| bits as u8)));
            // The ninth bit of the index goes where the eighth sign would be.
            spread_bits(groups.map(|groups| groups.map(|bits| (bits >> 9 | bits >> 1 & 0x80) as u8)), &mut unit[1]);
        }
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { scales_of_halves::<L>(header, 128, scales) }
    }

    #[inline(always)]
    fn fields(_: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = word(codes, 2 * u + 1);
        let high = each(plane, |plane| {
            plane >> 25 & 1 | plane >> 19 & 0x100 | plane >> 13 & 0x1_0000 | plane >> 7 & 0x100_0000
        });
        Fields { low: [word(codes, 2 * u), [0; STRIP]], high: [high, [0; STRIP]], plane: each(plane, eighth_signs) }
    }
}

impl Book for IQ2_S {
    type Points = Eights1024;
    const HEADER_BYTES: usize = 18;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((scales, rest)) = header.split_at_mut_checked(128) else { return };
        let Some((high, d)) = rest.split_at_mut_checked(128) else { return };
        write(d, array(blocks, |block| block.d));
        write_pairs(scales, array(blocks, |block| block.scales));
        // Byte k, bits 2u..2u + 2 of word w: those of group k of unit 4w + u.
        let bits = |high: [u8; 8], w: usize, k: usize| {
            (0..4).fold(0, |byte, u| byte | (high[4 * w + u] >> (2 * k) & 3) << (2 * u))
        };
        write_pairs(high, array(blocks, |block| from_fn(|i| bits(block.high, i / 4, i % 4))));
        for (u, unit) in codes.as_chunks_mut::<2>().0.iter_mut().enumerate().take(UNITS) {
            write(&mut unit[0], array(blocks, |block| block.low.as_chunks::<4>().0[u]));
            spread_bits(array(blocks, |block| block.signs.as_chunks::<4>().0[u]), &mut unit[1]);
        }
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { scales_of_halves::<L>(header, 256, scales) }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let high = each(word(header, 2 + u / 4), |high| high >> (2 * (u % 4)) & 0x0303_0303);
        Fields { low: [word(codes, 2 * u), [0; STRIP]], high: [high, [0; STRIP]], plane: word(codes, 2 * u + 1) }
    }
}

impl Book for IQ3_XXS {
    type Points = Fours256;
    const HEADER_BYTES: usize = 34;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((planes, d)) = header.split_at_mut_checked(512) else { return };
        write(d, array(blocks, |block| block.d));
        for (u, plane) in planes.as_chunks_mut().0.iter_mut().enumerate().take(UNITS) {
            spread_bits(array(blocks, |block| seven_bit_signs(block.words[u])), plane);
        }
        // SAFETY: as this function.
        unsafe { transpose::<L, 64>(array(blocks, |block| &block.points), codes) };
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        // SAFETY: as this function.
        unsafe { scales_in_planes::<L>(header, 0.25, scales) }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = each(word(header, u), eighth_signs);
        Fields { low: [word(codes, 2 * u), word(codes, 2 * u + 1)], high: [[0; STRIP]; 2], plane }
    }
}

impl Book for IQ3_S {
    type Points = Fours512;
    const HEADER_BYTES: usize = 14;
    const VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((high, rest)) = header.split_at_mut_checked(128) else { return };
        let Some((scales, d)) = rest.split_at_mut_checked(64) else { return };
        write(d, array(blocks, |block| block.d));
        write(scales, array(blocks, |block| block.scales));
        // Byte k, bit u of word v: that of group 4v + k of unit u.
        let bits = |high: [u8; 8], j: usize| (0..8).fold(0, |byte, u| byte | (high[u] >> j & 1) << u);
        write_pairs(high, array(blocks, |block| from_fn(|j| bits(block.high, j))));
        for (u, unit) in codes.as_chunks_mut::<3>().0.iter_mut().enumerate().take(UNITS) {
            for v in 0..2 {
                write(&mut unit[v], array(blocks, |block| block.low.as_chunks::<4>().0[2 * u + v]));
            }
            spread_bits(array(blocks, |block| block.signs.as_chunks::<4>().0[u]), &mut unit[2]);
        }
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        let Some((bytes, d)) = header.get(128..).and_then(|bytes| bytes.split_at_checked(64)) else { return };
        // SAFETY: as this function; `ROWS` divides `STRIP`.
        unsafe {
            let (words, d) = (words(bytes), L::widen(fields(d)));
            for first in (0..STRIP).step_by(L::ROWS) {
                let (words, d) = (ints::<L>(&words, first), floats::<L>(&d, first));
                unroll!(U in [0 1 2 3 4 5 6 7] {
                    let step = L::bits(words, 4 * U as u32, 4);
                    store::<L>(&mut scales.scales[U][0], first, odd::<L>(d, step, 1.0));
                });
            }
        }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let high = |v: usize| each(word(header, v), |high| high >> u & 0x0101_0101);
        Fields {
            low: [word(codes, 3 * u), word(codes, 3 * u + 1)],
            high: [high(0), high(1)],
            plane: word(codes, 3 * u + 2),
        }
    }
}

impl Book for IQ1_S {
    type Points = Ternary2048;
    const HEADER_BYTES: usize = 18;
    const VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((high, d)) = header.split_at_mut_checked(256) else { return };
        write(d, array(blocks, |block| block.d));
        // Nibble u of byte k of word w: the bits above 8 of the index of group k of unit 2w + u, and bit k of scale and shift.
        let nibble = |bits: [u8; 2], k: usize| {
            let bits = u16::from_le_bytes(bits);
            (bits >> (3 * k) & 7 | (bits >> (12 + k) & 1) << 3) as u8
        };
        for (w, word) in high.as_chunks_mut::<64>().0.iter_mut().enumerate().take(4) {
            let byte = |high: [[u8; 2]; 8], k: usize| nibble(high[2 * w], k) | nibble(high[2 * w + 1], k) << 4;
            write(word, array(blocks, |block| from_fn::<_, 4, _>(|k| byte(block.high, k))));
        }
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(array(blocks, |block| &block.low), codes) };
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        let Some((high, d)) = header.split_at_checked(256) else { return };
        let high: [Words; 4] = vectors_of_words(high);
        // SAFETY: as this function; `ROWS` divides `STRIP`.
        unsafe {
            let d = L::widen(fields(d));
            for first in (0..STRIP).step_by(L::ROWS) {
                let d = floats::<L>(&d, first);
                unroll!(U in [0 1 2 3 4 5 6 7] {
                    let (words, shift) = (ints::<L>(&high[U / 2], first), 4 * (U as u32 % 2));
                    // Bits 3, 11 and 19; the fourth nibble has the shift.
                    let step = L::or_shifted(L::bits(words, shift + 3, 1), L::bits(words, shift + 11, 1), 1);
                    let step = L::or_shifted(step, L::bits(words, shift + 19, 1), 2);
                    store::<L>(&mut scales.scales[U][0], first, odd::<L>(d, step, 0.125));
                });
            }
        }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let bits = each(word(header, u / 2), |bits| bits >> (4 * (u % 2)));
        // Bit 27, in all bits.
        let plane = each(bits, |bits| ((bits << 4) as i32 >> 31) as u32);
        Fields { low: [word(codes, u), [0; STRIP]], high: [each(bits, |bits| bits & 0x0707_0707), [0; STRIP]], plane }
    }
}

impl Book for IQ1_M {
    type Points = Ternary2048;
    const HEADER_BYTES: usize = 24;
    const VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn write<L: Lanes>(blocks: [&Self; STRIP], header: &mut [u8], codes: &mut [Vector]) {
        let Some((high, scales)) = header.split_at_mut_checked(256) else { return };
        write_pairs(scales, array(blocks, |block| from_fn(|i| block.scales.as_flattened()[i])));
        // Nibble u of byte k of word w: that of group k of unit 2w + u.
        for (w, word) in high.as_chunks_mut::<64>().0.iter_mut().enumerate().take(4) {
            let byte = |high: [u8; 16], k: usize| {
                let nibble = |u: usize| high[2 * u + k / 2] >> (k % 2 * 4) & 15;
                nibble(2 * w) | nibble(2 * w + 1) << 4
            };
            write(word, array(blocks, |block| from_fn::<_, 4, _>(|k| byte(block.high, k))));
        }
        // SAFETY: as this function.
        unsafe { transpose::<L, 32>(array(blocks, |block| &block.low), codes) };
    }

    #[inline(always)]
    unsafe fn read_scales<L: Lanes>(header: &[u8], scales: &mut Scales) {
        let bytes = header.as_chunks().0;
        let [a, b] = [word(bytes, 4), word(bytes, 5)];
        let mut halves = [[0; 2]; STRIP];
        for row in 0..STRIP {
            let d = a[row] >> 12 & 0xF | a[row] >> 24 & 0xF0 | b[row] >> 4 & 0xF00 | b[row] >> 16 & 0xF000;
            halves[row] = (d as u16).to_le_bytes();
        }
        // SAFETY: as this function; `ROWS` divides `STRIP`.
        unsafe {
            let d = L::widen(&halves);
            for first in (0..STRIP).step_by(L::ROWS) {
                let (a, b, d) = (ints::<L>(&a, first), ints::<L>(&b, first), floats::<L>(&d, first));
                unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let shift = 16 * (H as u32 / 4 % 2) + 3 * (H as u32 % 4);
                    let step = L::bits(if H < 8 { a } else { b }, shift, 3);
                    store::<L>(&mut scales.scales[H / 2][H % 2], first, odd::<L>(d, step, 0.125));
                });
            }
        }
    }

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let bits = each(word(header, u / 2), |bits| bits >> (4 * (u % 2)));
        // The fourth bit of byte k to bits 2k and 2k + 1 of every byte.
        let plane = each(bits, |bits| {
            let shifts = bits >> 3 & 0x0101_0101;
            let shifts = shifts | shifts >> 6;
            let shifts = (shifts | shifts >> 12) & 0x55;
            let shifts = shifts | shifts << 1;
            let shifts = shifts | shifts << 8;
            shifts | shifts << 16
        });
        Fields { low: [word(codes, u), [0; STRIP]], high: [each(bits, |bits| bits & 0x0707_0707), [0; STRIP]], plane }
    }
}

/// Half of eight bytes.
#[inline(always)]
fn half(bytes: &[u8; 8], index: usize) -> &[u8; 4] {
    &bytes.as_chunks::<4>().0[index]
}

/// Writes eight bytes of each row as two vectors.
#[inline(always)]
fn write_pairs(to: &mut [u8], rows: [[u8; 8]; STRIP]) {
    for (w, to) in to.as_chunks_mut::<64>().0.iter_mut().enumerate().take(2) {
        write(to, rows.map(|row| *half(&row, w)));
    }
}

/// The words of a vector.
#[inline(always)]
fn word(vectors: &[Vector], index: usize) -> Words {
    words(vectors.get(index).unwrap_or(&[0; 64]))
}

/// Four times seven signs and a step of four bits: bytes of signs, in whose bits 7 the step is.
#[inline(always)]
fn seven_bit_signs(word: [u8; 4]) -> [u8; 4] {
    let word = u32::from_le_bytes(word);
    from_fn(|k| (word >> (7 * k) & 0x7F | (word >> (28 + k) & 1) << 7) as u8)
}

/// Puts the eighth sign of every group in its place: there are as many as make their number even.
#[inline(always)]
fn eighth_signs(plane: u32) -> u32 {
    let signs = plane & !FREE;
    // Byte 3 becomes the sum of all bytes, its odd bits that of two neighbours: the parities of groups.
    let sums = signs ^ signs << 16;
    let sums = sums ^ sums << 8;
    let sums = sums ^ sums << 1;
    signs | sums & FREE
}

/// Scales whose steps are the free bits of eight planes, before the f16 of the rows.
#[inline(always)]
unsafe fn scales_in_planes<L: Lanes>(header: &[u8], factor: f32, scales: &mut Scales) {
    let Some((planes, d)) = header.split_at_checked(512) else { return };
    let planes: [Words; UNITS] = vectors_of_words(planes);
    // SAFETY: as this function; `ROWS` divides `STRIP`.
    unsafe {
        let d = L::widen(fields(d));
        for first in (0..STRIP).step_by(L::ROWS) {
            let d = floats::<L>(&d, first);
            unroll!(U in [0 1 2 3 4 5 6 7] {
                let plane = ints::<L>(&planes[U], first);
                let step = L::or_shifted(L::bits(plane, 25, 1), L::bits(plane, 27, 1), 1);
                let step = L::or_shifted(step, L::bits(plane, 29, 1), 2);
                let step = L::or_shifted(step, L::bits(plane, 31, 1), 3);
                store::<L>(&mut scales.scales[U][0], first, odd::<L>(d, step, factor));
            });
        }
    }
}

/// Scales of halves, a nibble each in two vectors; the f16 of the rows from byte `d`.
#[inline(always)]
unsafe fn scales_of_halves<L: Lanes>(header: &[u8], d: usize, scales: &mut Scales) {
    let steps: [Words; 2] = vectors_of_words(header);
    // SAFETY: as this function; `ROWS` divides `STRIP`.
    unsafe {
        let d = L::widen(fields(header.get(d..).unwrap_or_default()));
        for first in (0..STRIP).step_by(L::ROWS) {
            let d = floats::<L>(&d, first);
            unroll!(H in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                let step = L::bits(ints::<L>(&steps[H / 8], first), 4 * (H as u32 % 8), 4);
                store::<L>(&mut scales.scales[H / 2][H % 2], first, odd::<L>(d, step, 0.125));
            });
        }
    }
}
