//! Half a strip in a register: AVX2 with 16-bit sums of products, AVX-VNNI with 32-bit ones.

use std::arch::x86_64::*;

use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation};
use crate::cpu::kernels::strip::STRIP;

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// What 256-bit registers do alike with and without VNNI.
macro_rules! registers_of_256_bits {
    () => {
        const ROWS: usize = 8;
        type Bytes = __m256i;
        type Ints = __m256i;
        type Floats = __m256;

        #[inline(always)]
        unsafe fn load(from: *const u8) -> __m256i {
            // SAFETY: 32 readable bytes by the caller.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut u8, bytes: __m256i) {
            // SAFETY: 32 writable bytes by the caller.
            unsafe { _mm256_storeu_si256(to.cast(), bytes) };
        }

        #[inline(always)]
        unsafe fn and(bytes: __m256i, mask: u8) -> __m256i {
            // SAFETY: the processor has the set, by the caller; so in all that follow.
            unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(mask as i8)) }
        }

        #[inline(always)]
        unsafe fn xor(bytes: __m256i, mask: u8) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_xor_si256(bytes, _mm256_set1_epi8(mask as i8)) }
        }

        #[inline(always)]
        unsafe fn or_masked(base: __m256i, bytes: __m256i, mask: u8) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_or_si256(base, _mm256_and_si256(bytes, _mm256_set1_epi8(mask as i8))) }
        }

        #[inline(always)]
        unsafe fn shift(bytes: __m256i, right: i32) -> __m256i {
            // SAFETY: see `and`.
            unsafe {
                match right {
                    -7 => _mm256_slli_epi16::<7>(bytes),
                    -6 => _mm256_slli_epi16::<6>(bytes),
                    -5 => _mm256_slli_epi16::<5>(bytes),
                    -4 => _mm256_slli_epi16::<4>(bytes),
                    -3 => _mm256_slli_epi16::<3>(bytes),
                    -2 => _mm256_slli_epi16::<2>(bytes),
                    -1 => _mm256_slli_epi16::<1>(bytes),
                    1 => _mm256_srli_epi16::<1>(bytes),
                    2 => _mm256_srli_epi16::<2>(bytes),
                    3 => _mm256_srli_epi16::<3>(bytes),
                    4 => _mm256_srli_epi16::<4>(bytes),
                    5 => _mm256_srli_epi16::<5>(bytes),
                    6 => _mm256_srli_epi16::<6>(bytes),
                    7 => _mm256_srli_epi16::<7>(bytes),
                    _ => bytes,
                }
            }
        }

        #[inline(always)]
        unsafe fn look_up(table: &[u8; 16], indices: __m256i) -> __m256i {
            // SAFETY: see `and`; 16 readable bytes.
            unsafe { _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())), indices) }
        }

        #[inline(always)]
        unsafe fn plus(bytes: __m256i, value: u8) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_add_epi8(bytes, _mm256_set1_epi8(value as i8)) }
        }

        #[inline(always)]
        unsafe fn minus(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_sub_epi8(a, b) }
        }

        #[inline(always)]
        unsafe fn negate(bytes: __m256i, plane: __m256i, bit: usize) -> __m256i {
            // SAFETY: see `and`.
            unsafe {
                // The bit becomes the sign of what must not be zero; set once for all bits above it, the lowest one sees to that.
                let low = if bit == 0 { 0 } else { 1 };
                let plane = Self::shift(_mm256_or_si256(plane, _mm256_set1_epi8(low)), bit as i32 - 7);
                _mm256_sign_epi8(bytes, if bit == 0 { _mm256_or_si256(plane, _mm256_set1_epi8(1)) } else { plane })
            }
        }

        #[inline(always)]
        unsafe fn interleave(a: __m256i, b: __m256i, to: *mut u8) {
            // SAFETY: see `and`; 64 writable bytes by the caller.
            unsafe {
                let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
                Self::store(to, _mm256_permute2x128_si256::<0x20>(low, high));
                Self::store(to.add(32), _mm256_permute2x128_si256::<0x31>(low, high));
            }
        }

        #[inline(always)]
        unsafe fn eights(points: *const u64, index: impl Fn(usize) -> usize) -> [__m256i; 2] {
            // SAFETY: see `and`; readable points by the caller.
            unsafe {
                let pair = |a: usize, b: usize| {
                    let low = _mm_loadl_epi64(points.add(index(a)).cast());
                    _mm_loadh_pd(_mm_castsi128_pd(low), points.add(index(b)).cast())
                };
                let join = |low, high| _mm256_castpd_ps(_mm256_set_m128d(high, low));
                // Shuffles inside 128-bit lanes suffice.
                let (a, b) = (join(pair(0, 1), pair(4, 5)), join(pair(2, 3), pair(6, 7)));
                let (first, last) =
                    (_mm256_shuffle_ps::<0b10_00_10_00>(a, b), _mm256_shuffle_ps::<0b11_01_11_01>(a, b));
                [_mm256_castps_si256(first), _mm256_castps_si256(last)]
            }
        }

        #[inline(always)]
        unsafe fn fours(points: *const u32, index: impl Fn(usize) -> usize) -> __m256i {
            // SAFETY: see `and`; readable points by the caller.
            unsafe {
                let point = |row: usize| points.add(index(row)).read() as i32;
                let four = |row: usize| {
                    let four = _mm_cvtsi32_si128(point(row));
                    let four = _mm_insert_epi32::<1>(four, point(row + 1));
                    let four = _mm_insert_epi32::<2>(four, point(row + 2));
                    _mm_insert_epi32::<3>(four, point(row + 3))
                };
                _mm256_set_m128i(four(4), four(0))
            }
        }

        #[inline(always)]
        unsafe fn load_ints(from: *const u32) -> __m256i {
            // SAFETY: readable words of all rows by the caller.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn bits(words: __m256i, from: u32, width: u32) -> __m256i {
            // SAFETY: see `and`.
            unsafe {
                let low = _mm256_srlv_epi32(words, _mm256_set1_epi32(from as i32));
                _mm256_and_si256(low, _mm256_set1_epi32((1 << width) - 1))
            }
        }

        #[inline(always)]
        unsafe fn signed_byte(words: __m256i, byte: u32) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_srai_epi32::<24>(_mm256_sllv_epi32(words, _mm256_set1_epi32(24 - 8 * byte as i32))) }
        }

        #[inline(always)]
        unsafe fn or_shifted(low: __m256i, high: __m256i, by: u32) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_or_si256(low, _mm256_sllv_epi32(high, _mm256_set1_epi32(by as i32))) }
        }

        #[inline(always)]
        unsafe fn from_bits(bits: __m256i) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_castsi256_ps(bits) }
        }

        #[inline(always)]
        unsafe fn ints(value: i32) -> __m256i {
            // SAFETY: see `and`.
            unsafe { _mm256_set1_epi32(value) }
        }

        #[inline(always)]
        unsafe fn floats(value: f32) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> __m256 {
            // SAFETY: 8 readable floats by the caller.
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store_floats(to: *mut f32, floats: __m256) {
            // SAFETY: 8 writable floats by the caller.
            unsafe { _mm256_storeu_ps(to, floats) };
        }

        #[inline(always)]
        unsafe fn to_floats(ints: __m256i) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_cvtepi32_ps(ints) }
        }

        #[inline(always)]
        unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn fused(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn fused_less(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: see `and`.
            unsafe { _mm256_fnmadd_ps(a, b, c) }
        }
    };
}

impl Lanes for Avx2 {
    const REGISTERS: usize = 2;
    const COLUMNS: usize = 4;
    const BIASED: bool = false;
    const DIRECT: bool = true;
    type Few<C: Codes> = C;
    type Many<C: Codes> = C;
    type Moves = Avx2;
    registers_of_256_bits!();

    #[inline(always)]
    unsafe fn transpose(rows: [&[u8; 16]; STRIP], to: &mut [[u8; 64]; 4]) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rows;
        // SAFETY: the processor has the set, by the caller; 32 writable bytes at each half of a vector.
        unsafe {
            let low = transpose([a, b, c, d, e, f, g, h]);
            let high = transpose([i, j, k, l, m, n, o, p]);
            for g in 0..4 {
                _mm256_storeu_si256(to[g].as_mut_ptr().cast(), low[g]);
                _mm256_storeu_si256(to[g].as_mut_ptr().add(32).cast(), high[g]);
            }
        }
    }

    #[inline(always)]
    unsafe fn widen(halves: &[[u8; 2]; STRIP]) -> [f32; STRIP] {
        let mut floats = [0.0; STRIP];
        // SAFETY: the processor has the set, by the caller; 32 readable bytes, 64 writable ones.
        unsafe {
            let from = halves.as_ptr().cast::<__m128i>();
            let to = floats.as_mut_ptr();
            _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(from)));
            _mm256_storeu_ps(to.add(8), _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))));
        }
        floats
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: this function has the features; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn start(_: __m256i) -> __m256i {
        // SAFETY: see `and`.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn multiply_add(signed: bool, products: __m256i, codes: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `and`; a readable word by the caller.
        unsafe {
            let x = _mm256_set1_epi32(x.read_unaligned() as i32);
            // The magnitude of -128 is 128 as an unsigned byte, and activations are never -128, so that both steps are exact:
            // 2 * 128 * 127 is below 2^15.
            let product = if signed {
                _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
            } else {
                _mm256_maddubs_epi16(codes, x)
            };
            in_order(_mm256_add_epi16(products, product))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m256i, products: __m256i) -> __m256i {
        // SAFETY: see `and`.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(products, _mm256_set1_epi16(1))) }
    }
}

/// A sum that the compiler shall not regroup: a tree of sums keeps more products alive than there are registers.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn in_order(mut sums: __m256i) -> __m256i {
    // SAFETY: no instruction.
    unsafe { std::arch::asm!("/* {} */", inout(ymm_reg) sums, options(nomem, nostack, preserves_flags)) };
    sums
}

/// [`Avx2`] and AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni;

impl Lanes for AvxVnni {
    const REGISTERS: usize = 2;
    const COLUMNS: usize = 4;
    const BIASED: bool = true;
    const DIRECT: bool = true;
    type Few<C: Codes> = C;
    type Many<C: Codes> = Expanded<15>;
    type Moves = Avx2;
    registers_of_256_bits!();

    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: this function has the features; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn start(sums: __m256i) -> __m256i {
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(_: bool, products: __m256i, codes: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `and`; a readable word by the caller.
        unsafe { _mm256_dpbusd_avx_epi32(products, codes, _mm256_set1_epi32(x.read_unaligned() as i32)) }
    }

    #[inline(always)]
    unsafe fn finish(_: __m256i, products: __m256i) -> __m256i {
        products
    }
}

/// Transposes 16 bytes of 8 rows: lane `row` of output `g` holds bytes `4g..4g + 4` of the row.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transpose(rows: [&[u8; 16]; 8]) -> [__m256i; 4] {
    // SAFETY: the processor has the set.
    unsafe {
        // Rows r and r + 4 share a register, so that the shuffles inside 128-bit lanes suffice.
        let a = join(rows[0], rows[4]);
        let b = join(rows[1], rows[5]);
        let c = join(rows[2], rows[6]);
        let d = join(rows[3], rows[7]);
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// Two pieces of 16 bytes.
#[inline(always)]
unsafe fn join(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    // SAFETY: the processor has the set; 16 readable bytes each.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
