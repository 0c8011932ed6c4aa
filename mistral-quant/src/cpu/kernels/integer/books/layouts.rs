//! How the blocks of each book become headers, indices and planes.
//!
//! Header and codes hold the bytes of the blocks; what is spread over a block there is put together so that a shift and a mask take
//! it out for all rows. Where signs leave bits free (every eighth follows from the other seven), the plane of the signs
//! carries four other bits in those places, [`FREE`].

use std::array::from_fn;

use super::points::{Eights256, Eights512, Eights1024, Fours256, Fours512, Ternary2048};
use super::vbmi::Vbmi;
use super::{Book, Fields, Words, expand};
use crate::cpu::kernels::integer::codes::Expanded;
use crate::cpu::kernels::integer::lanes::Lanes;
use crate::cpu::kernels::integer::pack::{Pack, Panel, Vector, array, fields, spread_bits, transpose, words, write};
use crate::cpu::kernels::integer::tile::{Halves, Scales, UNITS, Units};
use crate::cpu::kernels::strip::STRIP;
use crate::formats::{IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};

/// Signs times magnitudes up to 62.
type Wide = Expanded<126>;

/// Five bits.
type Narrow = Expanded<31>;

/// The bits of columns 7, 15, 23 and 31 in a plane: bits 1, 3, 5 and 7 of byte 3.
const FREE: u32 = 0xAA00_0000;

/// What [`Pack`] says of all books alike: sizes, then how to pack 16 blocks, then the scales of a group.
macro_rules! pack_book {
    ($block:ident, $expanded:ty, $offset:literal, $grouping:ty, $header:literal, $vectors:literal,
        |$blocks:ident, $lanes:ident, $out:ident, $codes:ident| $pack:block,
        |$from:ident, $scale_lanes:ident, $scales:ident| $read:block) => {
        impl Pack for $block {
            type Codes = $expanded;
            type Expanded = $expanded;
            type Grouping = $grouping;
            const HEADER: usize = $header * STRIP;
            const UNIT_BYTES: usize = $vectors * 64;
            const STORED_OFFSET: i32 = $offset;
            const DIRECT: bool = false;

            #[inline(always)]
            unsafe fn pack<$lanes: Lanes>($blocks: [&Self; STRIP], $out: &mut [u8], $codes: &mut [Vector]) {
                $pack
            }

            #[inline(always)]
            unsafe fn scales<$scale_lanes: Lanes>($from: &[u8], _: usize, $scales: &mut Scales) {
                $read
            }

            unsafe fn expand<L: Lanes>(
                header: &[u8],
                codes: &[u8],
                units: usize,
                panel: &mut Panel,
                vbmi: Option<Vbmi>,
            ) {
                // SAFETY: as this function.
                unsafe { expand::<L, Self>(header, codes, units, panel, vbmi) };
            }
        }
    };
}

pack_book!(
    IQ2_XXS,
    Wide,
    64,
    Units,
    34,
    1,
    |blocks, L, header, codes| {
        let Some((planes, d)) = header.split_at_mut_checked(512) else { return };
        write(d, array(blocks, |block| block.d));
        for (u, (plane, low)) in planes.as_chunks_mut().0.iter_mut().zip(codes).enumerate() {
            spread_bits(array(blocks, |block| seven_bit_signs(*half(&block.units[u], 1))), plane);
            write(low, array(blocks, |block| *half(&block.units[u], 0)));
        }
    },
    |header, L, scales| {
        // SAFETY: as this function.
        unsafe { scales_in_planes::<L>(header, 0.125, scales) }
    }
);

impl Book for IQ2_XXS {
    type Points = Eights256;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = word(header, u).map(eighth_signs);
        Fields { low: [word(codes, u), [0; STRIP]], high: [[0; STRIP]; 2], plane }
    }
}

pack_book!(
    IQ2_XS,
    Wide,
    64,
    Halves,
    10,
    2,
    |blocks, L, header, codes| {
        let Some((scales, d)) = header.split_at_mut_checked(128) else { return };
        write(d, array(blocks, |block| block.d));
        write_pairs(scales, array(blocks, |block| block.scales));
        for (u, unit) in codes.as_chunks_mut::<2>().0.iter_mut().enumerate().take(UNITS) {
            let groups = array(blocks, |block| from_fn(|k| u16::from_le_bytes(block.groups[4 * u + k])));
            write(&mut unit[0], groups.map(|groups: [u16; 4]| groups.map(|bits| bits as u8)));
            // The ninth bit of the index goes where the eighth sign would be.
            spread_bits(groups.map(|groups| groups.map(|bits| (bits >> 9 | bits >> 1 & 0x80) as u8)), &mut unit[1]);
        }
    },
    |header, L, scales| {
        // SAFETY: as this function.
        unsafe { scales_of_halves::<L>(header, 128, scales) }
    }
);

impl Book for IQ2_XS {
    type Points = Eights512;

    #[inline(always)]
    fn fields(_: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = word(codes, 2 * u + 1);
        let high =
            plane.map(|plane| plane >> 25 & 1 | plane >> 19 & 0x100 | plane >> 13 & 0x1_0000 | plane >> 7 & 0x100_0000);
        Fields { low: [word(codes, 2 * u), [0; STRIP]], high: [high, [0; STRIP]], plane: plane.map(eighth_signs) }
    }
}

pack_book!(
    IQ2_S,
    Wide,
    64,
    Halves,
    18,
    2,
    |blocks, L, header, codes| {
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
    },
    |header, L, scales| {
        // SAFETY: as this function.
        unsafe { scales_of_halves::<L>(header, 256, scales) }
    }
);

impl Book for IQ2_S {
    type Points = Eights1024;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let high = word(header, 2 + u / 4).map(|high| high >> (2 * (u % 4)) & 0x0303_0303);
        Fields { low: [word(codes, 2 * u), [0; STRIP]], high: [high, [0; STRIP]], plane: word(codes, 2 * u + 1) }
    }
}

pack_book!(
    IQ3_XXS,
    Wide,
    64,
    Units,
    34,
    2,
    |blocks, L, header, codes| {
        let Some((planes, d)) = header.split_at_mut_checked(512) else { return };
        write(d, array(blocks, |block| block.d));
        for (u, plane) in planes.as_chunks_mut().0.iter_mut().enumerate().take(UNITS) {
            spread_bits(array(blocks, |block| seven_bit_signs(block.words[u])), plane);
        }
        // SAFETY: as this function.
        unsafe { transpose::<L, 64>(array(blocks, |block| &block.points), codes) };
    },
    |header, L, scales| {
        // SAFETY: as this function.
        unsafe { scales_in_planes::<L>(header, 0.25, scales) }
    }
);

impl Book for IQ3_XXS {
    type Points = Fours256;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let plane = word(header, u).map(eighth_signs);
        Fields { low: [word(codes, 2 * u), word(codes, 2 * u + 1)], high: [[0; STRIP]; 2], plane }
    }
}

pack_book!(
    IQ3_S,
    Narrow,
    16,
    Units,
    14,
    3,
    |blocks, L, header, codes| {
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
    },
    |header, L, scales| {
        let Some((bytes, d)) = header.get(128..).and_then(|bytes| bytes.split_at_checked(64)) else { return };
        // SAFETY: as this function.
        let (words, d) = (words(bytes), unsafe { L::widen(fields(d)) });
        for (u, scales) in scales.scales.iter_mut().enumerate() {
            for row in 0..STRIP {
                scales[0][row] = scale(d[row], words[row] >> (4 * u) & 15, 1.0);
            }
        }
    }
);

impl Book for IQ3_S {
    type Points = Fours512;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let high = |v: usize| word(header, v).map(|high| high >> u & 0x0101_0101);
        Fields {
            low: [word(codes, 3 * u), word(codes, 3 * u + 1)],
            high: [high(0), high(1)],
            plane: word(codes, 3 * u + 2),
        }
    }
}

pack_book!(
    IQ1_S,
    Narrow,
    16,
    Units,
    18,
    1,
    |blocks, L, header, codes| {
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
    },
    |header, L, scales| {
        let Some((high, d)) = header.split_at_checked(256) else { return };
        // SAFETY: as this function.
        let d = unsafe { L::widen(fields(d)) };
        for (u, scales) in scales.scales.iter_mut().enumerate() {
            let high = word(high.as_chunks().0, u / 2);
            for row in 0..STRIP {
                let bits = high[row] >> (4 * (u % 2));
                scales[0][row] = scale(d[row], bits >> 3 & 1 | bits >> 10 & 2 | bits >> 17 & 4, 0.125);
            }
        }
    }
);

impl Book for IQ1_S {
    type Points = Ternary2048;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let bits = word(header, u / 2).map(|bits| bits >> (4 * (u % 2)));
        // Bit 27, in all bits.
        let plane = bits.map(|bits| ((bits << 4) as i32 >> 31) as u32);
        Fields { low: [word(codes, u), [0; STRIP]], high: [bits.map(|bits| bits & 0x0707_0707), [0; STRIP]], plane }
    }
}

pack_book!(
    IQ1_M,
    Narrow,
    16,
    Halves,
    24,
    1,
    |blocks, L, header, codes| {
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
    },
    |header, L, scales| {
        let bytes = header.as_chunks().0;
        let [a, b] = [word(bytes, 4), word(bytes, 5)];
        let mut halves = [[0; 2]; STRIP];
        for row in 0..STRIP {
            let d = a[row] >> 12 & 0xF | a[row] >> 24 & 0xF0 | b[row] >> 4 & 0xF00 | b[row] >> 16 & 0xF000;
            halves[row] = (d as u16).to_le_bytes();
        }
        // SAFETY: as this function.
        let d = unsafe { L::widen(&halves) };
        for at in 0..2 * UNITS {
            let (words, shift) = (if at < 8 { &a } else { &b }, 16 * (at / 4 % 2) + 3 * (at % 4));
            for row in 0..STRIP {
                scales.scales[at / 2][at % 2][row] = scale(d[row], words[row] >> shift & 7, 0.125);
            }
        }
    }
);

impl Book for IQ1_M {
    type Points = Ternary2048;

    #[inline(always)]
    fn fields(header: &[Vector], codes: &[Vector], u: usize) -> Fields {
        let bits = word(header, u / 2).map(|bits| bits >> (4 * (u % 2)));
        // The fourth bit of byte k to bits 2k and 2k + 1 of every byte.
        let plane = bits.map(|bits| {
            let shifts = bits >> 3 & 0x0101_0101;
            let shifts = shifts | shifts >> 6;
            let shifts = (shifts | shifts >> 12) & 0x55;
            let shifts = shifts | shifts << 1;
            let shifts = shifts | shifts << 8;
            shifts | shifts << 16
        });
        Fields { low: [word(codes, u), [0; STRIP]], high: [bits.map(|bits| bits & 0x0707_0707), [0; STRIP]], plane }
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

/// A scale of IQ formats, rounded as [`Grid::unit`](crate::formats::Grid::unit) does.
#[inline(always)]
fn scale(d: f32, step: u32, factor: f32) -> f32 {
    d * (2.0 * step as i32 as f32 + 1.0) * factor
}

/// Scales whose steps are the free bits of eight planes, before the f16 of the rows.
#[inline(always)]
unsafe fn scales_in_planes<L: Lanes>(header: &[u8], factor: f32, scales: &mut Scales) {
    let Some((planes, d)) = header.split_at_checked(512) else { return };
    // SAFETY: as this function.
    let d = unsafe { L::widen(fields(d)) };
    for (u, scales) in scales.scales.iter_mut().enumerate() {
        let plane = word(planes.as_chunks().0, u);
        for row in 0..STRIP {
            let plane = plane[row];
            let step = plane >> 25 & 1 | plane >> 26 & 2 | plane >> 27 & 4 | plane >> 28 & 8;
            scales[0][row] = scale(d[row], step, factor);
        }
    }
}

/// Scales of halves, a nibble each in two vectors; the f16 of the rows from byte `d`.
#[inline(always)]
unsafe fn scales_of_halves<L: Lanes>(header: &[u8], d: usize, scales: &mut Scales) {
    // SAFETY: as this function.
    let d = unsafe { L::widen(fields(header.get(d..).unwrap_or_default())) };
    for (u, scales) in scales.scales.iter_mut().enumerate() {
        let steps = word(header.as_chunks().0, u / 4);
        for half in 0..2 {
            for row in 0..STRIP {
                scales[half][row] = scale(d[row], steps[row] >> (8 * (u % 4) + 4 * half) & 15, 0.125);
            }
        }
    }
}
