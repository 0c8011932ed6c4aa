//! Repacking blocks of eight rows into a panel, format by format.
//!
//! All of them transpose packed bytes first, so that the lane is the row, and take codes and scales apart afterwards: bytes
//! are moved while there are few of them.

use std::arch::x86_64::*;

use super::lanes::{store, store_floats, transpose, widen, widen_lower};
use crate::cpu::kernels::strip::{Panel, PanelUnit, ROWS};
use crate::formats::{
    Grid, IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, Q8_1, Q8_K, TQ1_0,
    TQ2_0, as_bytes,
};

/// A format that can be repacked; the portable way where there is no faster one.
pub(super) trait Repack: Grid {
    /// Fills units `0..count` of the panel from units `first..first + count` of the rows, `first` a multiple of 8.
    ///
    /// # Safety
    /// The processor must have AVX2, FMA and F16C.
    unsafe fn repack(panel: &mut Panel, rows: &[&[Self]; ROWS], first: usize, count: usize) {
        panel.fill(rows, first, count);
    }
}

/// A format of 32 weights a block: each unit is a block of its own.
macro_rules! repack_units {
    ($block:ident, $unit:ident) => {
        impl Repack for $block {
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn repack(panel: &mut Panel, rows: &[&[Self]; ROWS], first: usize, count: usize) {
                for (index, unit) in panel.units.iter_mut().enumerate().take(count) {
                    let Some(blocks) = blocks_at(rows, first + index) else { return };
                    $unit(unit, blocks);
                }
            }
        }
    };
}

/// A format of 256 weights a block: the panel is one block of each row.
macro_rules! repack_blocks {
    ($block:ident, $panel:ident) => {
        impl Repack for $block {
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn repack(panel: &mut Panel, rows: &[&[Self]; ROWS], first: usize, _: usize) {
                let Some(blocks) = blocks_at(rows, first / 8) else { return };
                $panel(panel, blocks);
            }
        }
    };
}

repack_units!(Q8_0, q8_0);
repack_units!(Q4_0, q4_0);
repack_units!(Q4_1, q4_1);
repack_units!(Q5_0, q5_0);
repack_units!(Q5_1, q5_1);
repack_blocks!(Q2_K, q2_k);
repack_blocks!(Q3_K, q3_k);
repack_blocks!(Q4_K, q4_k);
repack_blocks!(Q5_K, q5_k);
repack_blocks!(Q6_K, q6_k);

/// Formats that are repacked the portable way.
macro_rules! repack_portably {
    ($($block:ident)+) => { $(impl Repack for $block {})+ };
}

repack_portably!(Q8_1 Q8_K IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4);

#[inline]
fn blocks_at<'a, B>(rows: &[&'a [B]; ROWS], index: usize) -> Option<[&'a B; ROWS]> {
    let [a, b, c, d, e, f, g, h] = rows;
    Some([
        a.get(index)?,
        b.get(index)?,
        c.get(index)?,
        d.get(index)?,
        e.get(index)?,
        f.get(index)?,
        g.get(index)?,
        h.get(index)?,
    ])
}

/// Piece `index` of 16 bytes.
#[inline]
fn piece<const N: usize>(bytes: &[u8; N], index: usize) -> &[u8; 16] {
    &bytes.as_chunks::<16>().0[index]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn q8_0(unit: &mut PanelUnit, blocks: [&Q8_0; ROWS]) {
    for half in 0..2 {
        let codes = transpose(blocks.map(|block| piece(&block.codes, half)));
        for (out, codes) in unit.codes[4 * half..].iter_mut().zip(codes) {
            store(out, codes);
        }
    }
    store_floats(&mut unit.scales[0], widen(blocks.map(|block| block.d)));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn q4_0(unit: &mut PanelUnit, blocks: [&Q4_0; ROWS]) {
    nibbles(unit, blocks.map(|block| &block.codes));
    store_floats(&mut unit.scales[0], widen(blocks.map(|block| block.d)));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn q4_1(unit: &mut PanelUnit, blocks: [&Q4_1; ROWS]) {
    nibbles(unit, blocks.map(|block| &block.codes));
    store_floats(&mut unit.scales[0], widen(blocks.map(|block| block.d)));
    store_floats(&mut unit.mins[0], negated(widen(blocks.map(|block| block.m))));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn q5_0(unit: &mut PanelUnit, blocks: [&Q5_0; ROWS]) {
    five_bits(unit, blocks.map(|block| &block.low), blocks.map(|block| block.high));
    store_floats(&mut unit.scales[0], widen(blocks.map(|block| block.d)));
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn q5_1(unit: &mut PanelUnit, blocks: [&Q5_1; ROWS]) {
    five_bits(unit, blocks.map(|block| &block.low), blocks.map(|block| block.high));
    store_floats(&mut unit.scales[0], widen(blocks.map(|block| block.d)));
    store_floats(&mut unit.mins[0], negated(widen(blocks.map(|block| block.m))));
}

/// One word of each row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn words(bytes: [[u8; 4]; ROWS]) -> __m256i {
    let word = |row: usize| i32::from_le_bytes(bytes[row]);
    _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn negated(values: __m256) -> __m256 {
    _mm256_xor_ps(values, _mm256_set1_ps(-0.0))
}

/// Low nibbles are the first 16 columns, high ones the last.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(unit: &mut PanelUnit, bytes: [&[u8; 16]; ROWS]) {
    let low = _mm256_set1_epi8(15);
    for (g, packed) in transpose(bytes).into_iter().enumerate() {
        store(&mut unit.codes[g], _mm256_and_si256(packed, low));
        store(&mut unit.codes[g + 4], _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low));
    }
}

/// Nibbles, and bit `i` of `high` as bit 4 of code `i`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn five_bits(unit: &mut PanelUnit, bytes: [&[u8; 16]; ROWS], high: [[u8; 4]; ROWS]) {
    let low = _mm256_set1_epi8(15);
    let high = words(high);
    // Group g holds columns 4g..4g + 4: bits 4 (g % 2).. of byte g / 2 of the word, one for each byte of the lane.
    let even = _mm256_set1_epi32(0x0804_0201);
    let odd = _mm256_slli_epi32::<4>(even);
    let bit = _mm256_set1_epi8(16);
    let first =
        _mm256_setr_epi64x(0x0404_0404_0000_0000, 0x0C0C_0C0C_0808_0808, 0x0404_0404_0000_0000, 0x0C0C_0C0C_0808_0808);
    for (g, packed) in transpose(bytes).into_iter().enumerate() {
        let parts = [_mm256_and_si256(packed, low), _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low)];
        for (half, codes) in parts.into_iter().enumerate() {
            let group = g + 4 * half;
            let spread = _mm256_shuffle_epi8(high, _mm256_add_epi8(first, _mm256_set1_epi8((group / 2) as i8)));
            let mask = if group % 2 == 0 { even } else { odd };
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, mask), mask);
            store(&mut unit.codes[group], _mm256_or_si256(codes, _mm256_and_si256(set, bit)));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q2_k(panel: &mut Panel, blocks: [&Q2_K; ROWS]) {
    let bits = _mm256_set1_epi8(3);
    for quarter in 0..4 {
        let (half, part) = (quarter / 2, quarter % 2);
        let packed = transpose(blocks.map(|block| piece(&block.codes, quarter)));
        for (g, packed) in packed.into_iter().enumerate() {
            let g = g + 4 * part;
            store(&mut panel.units[4 * half].codes[g], _mm256_and_si256(packed, bits));
            store(&mut panel.units[4 * half + 1].codes[g], _mm256_and_si256(_mm256_srli_epi16::<2>(packed), bits));
            store(&mut panel.units[4 * half + 2].codes[g], _mm256_and_si256(_mm256_srli_epi16::<4>(packed), bits));
            store(&mut panel.units[4 * half + 3].codes[g], _mm256_and_si256(_mm256_srli_epi16::<6>(packed), bits));
        }
    }
    let (d, dmin) = (widen(blocks.map(|block| block.d)), widen(blocks.map(|block| block.dmin)));
    let nibble = _mm256_set1_epi32(15);
    for (w, words) in transpose(blocks.map(|block| &block.scales)).into_iter().enumerate() {
        for byte in 0..4 {
            let unit = &mut panel.units[2 * w + byte / 2];
            let scales = _mm256_srlv_epi32(words, _mm256_set1_epi32(8 * byte as i32));
            let (scale, min) =
                (_mm256_and_si256(scales, nibble), _mm256_and_si256(_mm256_srli_epi32::<4>(scales), nibble));
            store_floats(&mut unit.scales[byte % 2], _mm256_mul_ps(_mm256_cvtepi32_ps(scale), d));
            store_floats(&mut unit.mins[byte % 2], _mm256_mul_ps(_mm256_cvtepi32_ps(min), dmin));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q3_k(panel: &mut Panel, blocks: [&Q3_K; ROWS]) {
    let (low_bits, high_bit) = (_mm256_set1_epi8(3), _mm256_set1_epi8(4));
    for part in 0..2 {
        let high = transpose(blocks.map(|block| piece(&block.high, part)));
        for (half, units) in panel.units.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let low = transpose(blocks.map(|block| piece(&block.low, 2 * half + part)));
            for g in 0..4 {
                // Bit u of a byte belongs to unit u; shifting right unit by unit brings it to bit 2.
                let mut low = low[g];
                let mut high =
                    if half == 0 { _mm256_slli_epi16::<2>(high[g]) } else { _mm256_srli_epi16::<2>(high[g]) };
                for unit in units.iter_mut() {
                    let codes = _mm256_or_si256(_mm256_and_si256(low, low_bits), _mm256_and_si256(high, high_bit));
                    store(&mut unit.codes[4 * part + g], codes);
                    low = _mm256_srli_epi16::<2>(low);
                    high = _mm256_srli_epi16::<1>(high);
                }
            }
        }
    }
    let d = widen(blocks.map(|block| block.d));
    let word = |index: usize| words(blocks.map(|block| block.scales.as_chunks::<4>().0[index]));
    let (a, b, mut upper) = (word(0), word(1), word(2));
    let (nibble, two) = (_mm256_set1_epi8(15), _mm256_set1_epi8(3));
    for (w, low) in [a, b, _mm256_srli_epi32::<4>(a), _mm256_srli_epi32::<4>(b)].into_iter().enumerate() {
        let high = _mm256_slli_epi32::<4>(_mm256_and_si256(upper, two));
        let six = _mm256_sub_epi8(_mm256_or_si256(_mm256_and_si256(low, nibble), high), _mm256_set1_epi8(32));
        signed_scales(panel, w, six, d);
        upper = _mm256_srli_epi32::<2>(upper);
    }
}

/// Scales `4w..4w + 4` of a format with signed scales, one a byte, times `d`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn signed_scales(panel: &mut Panel, w: usize, words: __m256i, d: __m256) {
    for byte in 0..4 {
        let upper = _mm256_sllv_epi32(words, _mm256_set1_epi32(24 - 8 * byte as i32));
        let scale = _mm256_cvtepi32_ps(_mm256_srai_epi32::<24>(upper));
        store_floats(&mut panel.units[2 * w + byte / 2].scales[byte % 2], _mm256_mul_ps(scale, d));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q4_k(panel: &mut Panel, blocks: [&Q4_K; ROWS]) {
    let low = _mm256_set1_epi8(15);
    for (pair, units) in panel.units.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        for half in 0..2 {
            let packed = transpose(blocks.map(|block| piece(&block.codes, 2 * pair + half)));
            for (g, packed) in packed.into_iter().enumerate() {
                store(&mut units[0].codes[4 * half + g], _mm256_and_si256(packed, low));
                store(&mut units[1].codes[4 * half + g], _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low));
            }
        }
    }
    six_bit_scales(panel, transpose(blocks.map(|block| piece(header(as_bytes(block)), 0))));
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q5_k(panel: &mut Panel, blocks: [&Q5_K; ROWS]) {
    let (low, fifth) = (_mm256_set1_epi8(15), _mm256_set1_epi8(16));
    for half in 0..2 {
        // Bit u of a byte belongs to unit u; it comes to bit 4 as the bits are rotated past it.
        let mut high = transpose(blocks.map(|block| piece(&block.high, half))).map(|high| _mm256_slli_epi16::<4>(high));
        for (pair, units) in panel.units.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            if pair == 2 {
                high = transpose(blocks.map(|block| piece(&block.high, half)));
            }
            let packed = transpose(blocks.map(|block| piece(&block.low, 2 * pair + half)));
            for (g, packed) in packed.into_iter().enumerate() {
                let codes = [_mm256_and_si256(packed, low), _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low)];
                for (unit, codes) in units.iter_mut().zip(codes) {
                    store(&mut unit.codes[4 * half + g], _mm256_or_si256(codes, _mm256_and_si256(high[g], fifth)));
                    high[g] = _mm256_srli_epi16::<1>(high[g]);
                }
            }
        }
    }
    six_bit_scales(panel, transpose(blocks.map(|block| piece(header(as_bytes(block)), 0))));
}

/// The first 16 bytes of a block of Q4_K or Q5_K: `d`, `dmin` and the scales.
#[inline]
fn header(block: &[u8]) -> &[u8; 16] {
    block.first_chunk().unwrap_or(&[0; 16])
}

/// Scales and mins of Q4_K and Q5_K from their transposed headers, four units of a row in a lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn six_bit_scales(panel: &mut Panel, [d, a, b, c]: [__m256i; 4]) {
    let (d, dmin) = (widen_lower(d), widen_lower(_mm256_srli_epi32::<16>(d)));
    let (six, four, upper) = (_mm256_set1_epi8(0x3F), _mm256_set1_epi8(0x0F), _mm256_set1_epi8(0x30));
    let above = |words: __m256i| _mm256_and_si256(_mm256_srli_epi32::<2>(words), upper);
    let scales = [_mm256_and_si256(a, six), _mm256_or_si256(_mm256_and_si256(c, four), above(a))];
    let mins = [_mm256_and_si256(b, six), _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32::<4>(c), four), above(b))];
    let byte = _mm256_set1_epi32(0xFF);
    for (index, unit) in panel.units.iter_mut().enumerate() {
        let shift = _mm256_set1_epi32(8 * (index as i32 % 4));
        let scale = _mm256_and_si256(_mm256_srlv_epi32(scales[index / 4], shift), byte);
        let min = _mm256_and_si256(_mm256_srlv_epi32(mins[index / 4], shift), byte);
        store_floats(&mut unit.scales[0], _mm256_mul_ps(_mm256_cvtepi32_ps(scale), d));
        store_floats(&mut unit.mins[0], _mm256_mul_ps(_mm256_cvtepi32_ps(min), dmin));
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q6_k(panel: &mut Panel, blocks: [&Q6_K; ROWS]) {
    let (nibble, pair) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    for (half, units) in panel.units.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for part in 0..2 {
            let first = transpose(blocks.map(|block| piece(&block.low, 4 * half + part)));
            let second = transpose(blocks.map(|block| piece(&block.low, 4 * half + 2 + part)));
            let high = transpose(blocks.map(|block| piece(&block.high, 2 * half + part)));
            for g in 0..4 {
                let low = [
                    _mm256_and_si256(first[g], nibble),
                    _mm256_and_si256(second[g], nibble),
                    _mm256_and_si256(_mm256_srli_epi16::<4>(first[g]), nibble),
                    _mm256_and_si256(_mm256_srli_epi16::<4>(second[g]), nibble),
                ];
                let high = [
                    _mm256_slli_epi16::<4>(high[g]),
                    _mm256_slli_epi16::<2>(high[g]),
                    high[g],
                    _mm256_srli_epi16::<2>(high[g]),
                ];
                for (unit, (low, high)) in units.iter_mut().zip(low.into_iter().zip(high)) {
                    store(&mut unit.codes[4 * part + g], _mm256_or_si256(low, _mm256_and_si256(high, pair)));
                }
            }
        }
    }
    let d = widen(blocks.map(|block| block.d));
    for (w, words) in transpose(blocks.map(|block| &block.scales)).into_iter().enumerate() {
        signed_scales(panel, w, words, d);
    }
}
