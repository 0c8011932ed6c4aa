//! A strip in a register: AVX-512 BW with 16-bit sums of products, AVX-512-VNNI with 32-bit ones.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation};
use super::pair::Pair;
use super::tile::{Block, Grouping};
use crate::cpu::kernels::strip::STRIP;

/// What 512-bit registers do alike with and without VNNI.
macro_rules! registers_of_512_bits {
    () => {
        const ROWS: usize = 16;
        type Bytes = __m512i;
        type Ints = __m512i;
        type Floats = __m512;

        #[inline(always)]
        unsafe fn load(from: *const u8) -> __m512i {
            // SAFETY: 64 readable bytes by the caller.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut u8, bytes: __m512i) {
            // SAFETY: 64 writable bytes by the caller.
            unsafe { _mm512_storeu_si512(to.cast(), bytes) };
        }

        #[inline(always)]
        unsafe fn and(bytes: __m512i, mask: u8) -> __m512i {
            // SAFETY: the processor has the set, by the caller; so in all that follow.
            unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(mask as i8)) }
        }

        #[inline(always)]
        unsafe fn xor(bytes: __m512i, mask: u8) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_xor_si512(bytes, _mm512_set1_epi8(mask as i8)) }
        }

        #[inline(always)]
        unsafe fn or_masked(base: __m512i, bytes: __m512i, mask: u8) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_or_si512(base, _mm512_and_si512(bytes, _mm512_set1_epi8(mask as i8))) }
        }

        #[inline(always)]
        unsafe fn shift(bytes: __m512i, right: i32) -> __m512i {
            // SAFETY: see `and`.
            unsafe {
                match right {
                    -7 => _mm512_slli_epi16::<7>(bytes),
                    -6 => _mm512_slli_epi16::<6>(bytes),
                    -5 => _mm512_slli_epi16::<5>(bytes),
                    -4 => _mm512_slli_epi16::<4>(bytes),
                    -3 => _mm512_slli_epi16::<3>(bytes),
                    -2 => _mm512_slli_epi16::<2>(bytes),
                    -1 => _mm512_slli_epi16::<1>(bytes),
                    1 => _mm512_srli_epi16::<1>(bytes),
                    2 => _mm512_srli_epi16::<2>(bytes),
                    3 => _mm512_srli_epi16::<3>(bytes),
                    4 => _mm512_srli_epi16::<4>(bytes),
                    5 => _mm512_srli_epi16::<5>(bytes),
                    6 => _mm512_srli_epi16::<6>(bytes),
                    7 => _mm512_srli_epi16::<7>(bytes),
                    _ => bytes,
                }
            }
        }

        #[inline(always)]
        unsafe fn look_up(table: &[u8; 16], indices: __m512i) -> __m512i {
            // SAFETY: see `and`; 16 readable bytes.
            unsafe { _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), indices) }
        }

        #[inline(always)]
        unsafe fn plus(bytes: __m512i, value: u8) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_add_epi8(bytes, _mm512_set1_epi8(value as i8)) }
        }

        #[inline(always)]
        unsafe fn minus(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_sub_epi8(a, b) }
        }

        #[inline(always)]
        unsafe fn negate(bytes: __m512i, plane: __m512i, bit: usize) -> __m512i {
            // SAFETY: see `and`.
            unsafe {
                let mask = _mm512_test_epi8_mask(plane, _mm512_set1_epi8((1u8 << bit) as i8));
                _mm512_mask_sub_epi8(bytes, mask, _mm512_setzero_si512(), bytes)
            }
        }

        #[inline(always)]
        unsafe fn widen(halves: &[[u8; 2]; STRIP]) -> [f32; STRIP] {
            let mut floats = [0.0; STRIP];
            // SAFETY: see `and`; 32 readable bytes, 64 writable ones.
            unsafe {
                _mm512_storeu_ps(floats.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())))
            };
            floats
        }

        #[inline(always)]
        unsafe fn load_ints(from: *const u32) -> __m512i {
            // SAFETY: readable words of all rows by the caller.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn bits(words: __m512i, from: u32, width: u32) -> __m512i {
            // SAFETY: see `and`.
            unsafe {
                let low = _mm512_srlv_epi32(words, _mm512_set1_epi32(from as i32));
                _mm512_and_si512(low, _mm512_set1_epi32((1 << width) - 1))
            }
        }

        #[inline(always)]
        unsafe fn signed_byte(words: __m512i, byte: u32) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_srai_epi32::<24>(_mm512_sllv_epi32(words, _mm512_set1_epi32(24 - 8 * byte as i32))) }
        }

        #[inline(always)]
        unsafe fn or_shifted(low: __m512i, high: __m512i, by: u32) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_or_si512(low, _mm512_sllv_epi32(high, _mm512_set1_epi32(by as i32))) }
        }

        #[inline(always)]
        unsafe fn from_bits(bits: __m512i) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_castsi512_ps(bits) }
        }

        #[inline(always)]
        unsafe fn ints(value: i32) -> __m512i {
            // SAFETY: see `and`.
            unsafe { _mm512_set1_epi32(value) }
        }

        #[inline(always)]
        unsafe fn floats(value: f32) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> __m512 {
            // SAFETY: 16 readable floats by the caller.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store_floats(to: *mut f32, floats: __m512) {
            // SAFETY: 16 writable floats by the caller.
            unsafe { _mm512_storeu_ps(to, floats) };
        }

        #[inline(always)]
        unsafe fn to_floats(ints: __m512i) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_cvtepi32_ps(ints) }
        }

        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn fused(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn fused_less(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see `and`.
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
    };
}

/// AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Lanes for Avx512 {
    const REGISTERS: usize = 1;
    const COLUMNS: usize = 8;
    const BIASED: bool = false;
    const DIRECT: bool = true;
    type Few<C: Codes> = C;
    type Many<C: Codes> = C;
    type Moves = Avx2;
    registers_of_512_bits!();

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: this function has the features; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn wide<C: Codes, G: Grouping>(block: Block<'_>) {
        // SAFETY: as this function.
        unsafe {
            if block.sums.len() == 8 {
                block.run::<Self, C, G, 8>();
            }
        }
    }

    #[inline(always)]
    unsafe fn start(_: __m512i) -> __m512i {
        // SAFETY: see `and`.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn multiply_add(signed: bool, products: __m512i, codes: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `and`; a readable word by the caller.
        unsafe {
            let x = _mm512_set1_epi32(x.read_unaligned() as i32);
            // The magnitude of -128 is 128 as an unsigned byte, and activations are never -128, so that both steps are exact:
            // 2 * 128 * 127 is below 2^15.
            let product = if signed {
                let negated = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(codes), _mm512_setzero_si512(), x);
                _mm512_maddubs_epi16(_mm512_abs_epi8(codes), negated)
            } else {
                _mm512_maddubs_epi16(codes, x)
            };
            _mm512_add_epi16(products, product)
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m512i, products: __m512i) -> __m512i {
        // SAFETY: see `and`.
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(products, _mm512_set1_epi16(1))) }
    }
}

/// [`Avx512`] and AVX-512-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512Vnni;

impl Lanes for Avx512Vnni {
    const REGISTERS: usize = 1;
    const COLUMNS: usize = 12;
    const BIASED: bool = true;
    const DIRECT: bool = true;
    const PAIRS: bool = true;
    type Few<C: Codes> = C;
    type Many<C: Codes> = Expanded<15>;
    type Moves = Avx2;
    registers_of_512_bits!();

    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: this function has the features; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn wide<C: Codes, G: Grouping>(block: Block<'_>) {
        // SAFETY: as this function.
        unsafe {
            match block.sums.len() {
                8 => block.run::<Self, C, G, 8>(),
                12 => block.run::<Self, C, G, 12>(),
                _ => (),
            }
        }
    }

    #[inline(always)]
    unsafe fn pair<C: Codes, G: Grouping>(pair: Pair<'_>) {
        // SAFETY: as this function.
        unsafe { pair.run::<Self, C, G>() };
    }

    #[inline(always)]
    unsafe fn start(sums: __m512i) -> __m512i {
        sums
    }

    #[inline(always)]
    unsafe fn multiply_add(_: bool, products: __m512i, codes: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `and`; a readable word by the caller.
        unsafe { _mm512_dpbusd_epi32(products, codes, _mm512_set1_epi32(x.read_unaligned() as i32)) }
    }

    #[inline(always)]
    unsafe fn finish(_: __m512i, products: __m512i) -> __m512i {
        products
    }
}
