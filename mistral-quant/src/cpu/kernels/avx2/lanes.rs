//! Loads, stores and the transposition that the kernels share, typed so that they cannot read out of bounds.

use std::arch::x86_64::*;

/// 16 bytes from anywhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Transposes 16 bytes of 8 rows: lane `row` of output `g` holds bytes `4g..4g + 4` of the row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn transpose(rows: [&[u8; 16]; 8]) -> [__m256i; 4] {
    // Rows r and r + 4 share a register, so that the shuffles inside 128-bit lanes suffice.
    let pair = |low: &[u8; 16], high: &[u8; 16]| (load_half(low), load_half(high));
    let join = |pair: (__m128i, __m128i)| _mm256_set_m128i(pair.1, pair.0);
    let a = join(pair(rows[0], rows[4]));
    let b = join(pair(rows[1], rows[5]));
    let c = join(pair(rows[2], rows[6]));
    let d = join(pair(rows[3], rows[7]));
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}
