//! Sixteen lanes of AVX-512 F, BW, DQ and VL.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::sealed::Sealed;
use super::{FloatLanes, LaneKernel};

/// Lanes of a processor that has AVX-512 F, BW, DQ and VL, with `DOTS` also AVX512-BF16: only [`run`] and [`run_with_dots`] make one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const DOTS: bool>(());

impl<const DOTS: bool> Sealed for Avx512<DOTS> {}

/// Runs a kernel compiled for these features.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run<K: LaneKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

/// Runs a kernel compiled for these features and AVX512-BF16.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) fn run_with_dots<K: LaneKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

/// A mask of the first `count <= 16` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// The same bits.
#[inline(always)]
fn bf16s(words: __m512) -> __m512bh {
    // SAFETY: two types of the same register, of which every pattern is a value.
    unsafe { std::mem::transmute(words) }
}

// SAFETY (of every block below): the existence of an `Avx512` proves the features, and memory is as the trait demands; masked
// loads and stores do not touch the lanes that are left out.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const DOTS: bool> FloatLanes for Avx512<DOTS> {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type Vector = __m512;
    type Mask = __mmask16;
    type Square = [__m512; 16];

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16_partial(self, from: *const f16, count: usize) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_bf16_partial(self, from: *const bf16, count: usize) -> __m512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(count), from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_i8_partial(self, from: *const i8, count: usize) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(count), from))) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, rows: &[*const u8], offset: usize) -> [__m512; 16] {
        unsafe {
            let mut row = [_mm512_setzero_ps(); 16];
            for (row, from) in row.iter_mut().zip(rows) {
                *row = _mm512_loadu_ps(from.add(offset).cast());
            }
            // Each step interleaves pieces twice as long: words, pairs, quarters and halves of a register.
            let mut pair = row;
            let mut four = row;
            let mut out = row;
            for i in 0..8 {
                pair[2 * i] = _mm512_unpacklo_ps(row[2 * i], row[2 * i + 1]);
                pair[2 * i + 1] = _mm512_unpackhi_ps(row[2 * i], row[2 * i + 1]);
            }
            for i in 0..4 {
                for j in 0..2 {
                    let (a, b) = (pair[4 * i + j], pair[4 * i + 2 + j]);
                    four[4 * i + 2 * j] = _mm512_shuffle_ps::<0b01_00_01_00>(a, b);
                    four[4 * i + 2 * j + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(a, b);
                }
            }
            // Quarter q of `four[4 g + j]` holds word 4 q + j of rows 4 g..4 g + 4.
            for j in 0..4 {
                let even_low = _mm512_shuffle_f32x4::<0b10_00_10_00>(four[j], four[4 + j]);
                let odd_low = _mm512_shuffle_f32x4::<0b11_01_11_01>(four[j], four[4 + j]);
                let even_high = _mm512_shuffle_f32x4::<0b10_00_10_00>(four[8 + j], four[12 + j]);
                let odd_high = _mm512_shuffle_f32x4::<0b11_01_11_01>(four[8 + j], four[12 + j]);
                out[j] = _mm512_shuffle_f32x4::<0b10_00_10_00>(even_low, even_high);
                out[4 + j] = _mm512_shuffle_f32x4::<0b10_00_10_00>(odd_low, odd_high);
                out[8 + j] = _mm512_shuffle_f32x4::<0b11_01_11_01>(even_low, even_high);
                out[12 + j] = _mm512_shuffle_f32x4::<0b11_01_11_01>(odd_low, odd_high);
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: __m512, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first(count), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn copysign(self, a: __m512, b: __m512) -> __m512 {
        unsafe {
            let sign = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
        }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn times_power(self, a: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, n) }
    }

    #[inline(always)]
    fn first(self, count: usize) -> __mmask16 {
        first(count)
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    fn low_f16(self, words: __m512) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_castps_si512(words))) }
    }

    #[inline(always)]
    fn high_f16(self, words: __m512) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(words)))) }
    }

    #[inline(always)]
    fn low_bf16(self, words: __m512) -> __m512 {
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(words))) }
    }

    #[inline(always)]
    fn high_bf16(self, words: __m512) -> __m512 {
        unsafe { _mm512_and_ps(words, _mm512_castsi512_ps(_mm512_set1_epi32(0xFFFF_0000u32 as i32))) }
    }

    #[inline(always)]
    fn dot_bf16(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if DOTS {
            unsafe { _mm512_dpbf16_ps(c, bf16s(a), bf16s(b)) }
        } else {
            let c = self.fma(self.high_bf16(a), self.high_bf16(b), c);
            self.fma(self.low_bf16(a), self.low_bf16(b), c)
        }
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        unsafe {
            // NaN first in a maximum gives the other operand: none is left after this.
            let a = _mm512_max_ps(a, _mm512_set1_ps(f32::NEG_INFINITY));
            let eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
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
