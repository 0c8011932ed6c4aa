//! Loads, stores and the transposition that the kernels share, typed so that they cannot read out of bounds.

use std::arch::x86_64::*;

/// 32 bytes from anywhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// 16 bytes from anywhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Stores 32 bytes anywhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store(bytes: &mut [u8; 32], value: __m256i) {
    // SAFETY: 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
}

/// 8 floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_floats(values: &[f32; 8]) -> __m256 {
    // SAFETY: 8 readable floats; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Stores 8 floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store_floats(values: &mut [f32; 8], value: __m256) {
    // SAFETY: 8 writable floats; the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), value) }
}

/// Four codes in every lane of 4 bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn broadcast(codes: [i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_ne_bytes(codes.map(|code| code as u8)))
}

/// The f16 in the lower half of each lane, as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_lower(lanes: __m256i) -> __m256 {
    let lower = _mm256_and_si256(lanes, _mm256_set1_epi32(0xFFFF));
    let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(lower, lower));
    _mm256_cvtph_ps(_mm256_castsi256_si128(packed))
}

/// 8 f16 as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen(halves: [[u8; 2]; 8]) -> __m256 {
    let word = |i: usize| i16::from_ne_bytes(halves[i]);
    _mm256_cvtph_ps(_mm_setr_epi16(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)))
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

/// Asks for the cache lines of `len` bytes that lie `distance` bytes behind the start of `bytes`; there may be nothing there.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
#[allow(unused_unsafe)] // Later compilers have made the intrinsic safe.
pub(super) fn prefetch<T>(start: &[T], distance: usize, len: usize) {
    let start = start.as_ptr().wrapping_byte_add(distance).cast::<i8>();
    for line in (0..len).step_by(64) {
        // SAFETY: a prefetch is a hint: it reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
    }
}
