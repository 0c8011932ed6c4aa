//! Loads, stores and the transposition that the kernels share, typed so that they cannot read out of bounds.

use std::arch::x86_64::*;

/// 16 bytes from anywhere.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// 8 floats.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load_floats(values: &[f32; 8]) -> __m256 {
    // SAFETY: 8 readable floats; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
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

/// The sum of 8 lanes, in one fixed tree.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn sum(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
