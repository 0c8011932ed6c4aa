//! Eight lanes of AVX2, FMA and F16C.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::sealed::Sealed;
use super::{FloatLanes, LaneKernel};

/// Lanes of a processor that has AVX2, FMA and F16C: only [`run`] makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Sealed for Avx2 {}

/// Runs a kernel compiled for these features.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run<K: LaneKernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// A mask of the first `count` lanes.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn first(count: usize) -> __m256i {
    // SAFETY: as this function demands.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// Up to 8 elements copied to where 8 can be loaded.
///
/// # Safety
/// `count <= 8` elements must be readable.
#[inline(always)]
unsafe fn padded<T: Copy>(from: *const T, count: usize, zero: T) -> [T; 8] {
    let mut all = [zero; 8];
    for (i, out) in all.iter_mut().enumerate().take(count) {
        // SAFETY: `i` is below `count`.
        *out = unsafe { from.add(i).read_unaligned() };
    }
    all
}

// SAFETY (of every block below): the existence of an `Avx2` proves the features, and memory is as the trait demands.
#[allow(clippy::undocumented_unsafe_blocks)]
impl FloatLanes for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type Vector = __m256;
    type Mask = __m256;
    type Square = [__m256; 8];

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, first(count)) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16_partial(self, from: *const f16, count: usize) -> __m256 {
        unsafe { self.load_f16(padded(from, count, f16::ZERO).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m256 {
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_partial(self, from: *const bf16, count: usize) -> __m256 {
        unsafe { self.load_bf16(padded(from, count, bf16::ZERO).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_i8_partial(self, from: *const i8, count: usize) -> __m256 {
        unsafe { self.load_i8(padded(from, count, 0).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, rows: &[*const u8], offset: usize) -> [__m256; 8] {
        unsafe {
            let mut row = [_mm256_setzero_ps(); 8];
            for (row, from) in row.iter_mut().zip(rows) {
                *row = _mm256_loadu_ps(from.add(offset).cast());
            }
            // Each step interleaves pieces twice as long: words, pairs, halves of a register.
            let mut pair = row;
            let mut four = row;
            let mut out = row;
            for i in 0..4 {
                pair[2 * i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
                pair[2 * i + 1] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
            }
            for i in 0..2 {
                for j in 0..2 {
                    let (a, b) = (pair[4 * i + j], pair[4 * i + 2 + j]);
                    four[4 * i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                    four[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
                }
            }
            for i in 0..4 {
                out[i] = _mm256_permute2f128_ps::<0x20>(four[i], four[4 + i]);
                out[4 + i] = _mm256_permute2f128_ps::<0x31>(four[i], four[4 + i]);
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: __m256, count: usize) {
        unsafe { _mm256_maskstore_ps(to, first(count), value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn fnma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    fn copysign(self, a: __m256, b: __m256) -> __m256 {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b))
        }
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn times_power(self, a: __m256, n: __m256) -> __m256 {
        unsafe {
            // In two factors, since 2^128 is not a number.
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(126));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            _mm256_mul_ps(_mm256_mul_ps(a, power), _mm256_set1_ps(2.0))
        }
    }

    #[inline(always)]
    fn first(self, count: usize) -> __m256 {
        unsafe { _mm256_castsi256_ps(first(count)) }
    }

    #[inline(always)]
    fn less(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    #[inline(always)]
    fn low_f16(self, words: __m256) -> __m256 {
        unsafe {
            let low = _mm256_and_si256(_mm256_castps_si256(words), _mm256_set1_epi32(0xFFFF));
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(low, low));
            _mm256_cvtph_ps(_mm256_castsi256_si128(packed))
        }
    }

    #[inline(always)]
    fn high_f16(self, words: __m256) -> __m256 {
        unsafe { self.low_f16(_mm256_castsi256_ps(_mm256_srli_epi32::<16>(_mm256_castps_si256(words)))) }
    }

    #[inline(always)]
    fn low_bf16(self, words: __m256) -> __m256 {
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(words))) }
    }

    #[inline(always)]
    fn high_bf16(self, words: __m256) -> __m256 {
        unsafe { _mm256_and_ps(words, _mm256_castsi256_ps(_mm256_set1_epi32(0xFFFF_0000u32 as i32))) }
    }

    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        unsafe {
            // NaN first in a maximum gives the other operand: none is left after this.
            let a = _mm256_max_ps(a, _mm256_set1_ps(f32::NEG_INFINITY));
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    #[allow(unused_unsafe)] // Later compilers have made the intrinsic safe.
    fn prefetch<T>(self, address: *const T) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
}
