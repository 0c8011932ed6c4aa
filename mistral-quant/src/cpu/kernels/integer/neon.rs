//! A quarter of a strip in a register: NEON with the dot products of Armv8.2.
//!
//! The dot product and the conversion of f16 have no stable intrinsics at our minimum version of Rust and are written as assembly.

use std::arch::aarch64::*;
use std::arch::asm;

use super::codes::{Codes, Expanded};
use super::lanes::{Lanes, Operation};
use crate::cpu::kernels::strip::STRIP;

/// 128-bit registers.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Lanes for Neon {
    const ROWS: usize = 4;
    const REGISTERS: usize = 4;
    const COLUMNS: usize = 4;
    const BIASED: bool = false;
    const DIRECT: bool = true;
    type Few<C: Codes> = C;
    type Many<C: Codes> = Expanded<15>;
    type Moves = Self;
    type Bytes = uint8x16_t;
    type Ints = int32x4_t;
    type Floats = float32x4_t;

    #[target_feature(enable = "neon,dotprod")]
    #[inline(never)]
    unsafe fn enter<O: Operation>(operation: O) {
        // SAFETY: this function has the features; the operation's own conditions are the caller's.
        unsafe { operation.run::<Self>() };
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> uint8x16_t {
        // SAFETY: 16 readable bytes by the caller.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u8, bytes: uint8x16_t) {
        // SAFETY: 16 writable bytes by the caller.
        unsafe { vst1q_u8(to, bytes) };
    }

    #[inline(always)]
    unsafe fn and(bytes: uint8x16_t, mask: u8) -> uint8x16_t {
        // SAFETY: the processor has the set, by the caller; so in all that follow.
        unsafe { vandq_u8(bytes, vdupq_n_u8(mask)) }
    }

    #[inline(always)]
    unsafe fn xor(bytes: uint8x16_t, mask: u8) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe { veorq_u8(bytes, vdupq_n_u8(mask)) }
    }

    #[inline(always)]
    unsafe fn or_masked(base: uint8x16_t, bytes: uint8x16_t, mask: u8) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe { vorrq_u8(base, vandq_u8(bytes, vdupq_n_u8(mask))) }
    }

    #[inline(always)]
    unsafe fn shift(bytes: uint8x16_t, right: i32) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe { vshlq_u8(bytes, vdupq_n_s8(-right as i8)) }
    }

    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], indices: uint8x16_t) -> uint8x16_t {
        // SAFETY: see `and`; 16 readable bytes.
        unsafe { vqtbl1q_u8(vld1q_u8(table.as_ptr()), indices) }
    }

    #[inline(always)]
    unsafe fn plus(bytes: uint8x16_t, value: u8) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe { vaddq_u8(bytes, vdupq_n_u8(value)) }
    }

    #[inline(always)]
    unsafe fn minus(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe { vsubq_u8(a, b) }
    }

    #[inline(always)]
    unsafe fn negate(bytes: uint8x16_t, plane: uint8x16_t, bit: usize) -> uint8x16_t {
        // SAFETY: see `and`.
        unsafe {
            let mask = vtstq_u8(plane, vdupq_n_u8(1 << bit));
            vsubq_u8(veorq_u8(bytes, mask), mask)
        }
    }

    #[inline(always)]
    unsafe fn interleave(a: uint8x16_t, b: uint8x16_t, to: *mut u8) {
        // SAFETY: see `and`; 32 writable bytes by the caller.
        unsafe {
            Self::store(to, vzip1q_u8(a, b));
            Self::store(to.add(16), vzip2q_u8(a, b));
        }
    }

    #[inline(always)]
    unsafe fn eights(points: *const u64, index: impl Fn(usize) -> usize) -> [uint8x16_t; 2] {
        // SAFETY: see `and`; readable points by the caller.
        unsafe {
            let point = |row: usize| vld1_u64(points.add(index(row)));
            let pair = |low, high| vreinterpretq_u32_u64(vcombine_u64(low, high));
            let (a, b) = (pair(point(0), point(1)), pair(point(2), point(3)));
            [vreinterpretq_u8_u32(vuzp1q_u32(a, b)), vreinterpretq_u8_u32(vuzp2q_u32(a, b))]
        }
    }

    #[inline(always)]
    unsafe fn fours(points: *const u32, index: impl Fn(usize) -> usize) -> uint8x16_t {
        // SAFETY: see `and`; readable points by the caller.
        unsafe {
            let four = vld1q_dup_u32(points.add(index(0)));
            let four = vld1q_lane_u32::<1>(points.add(index(1)), four);
            let four = vld1q_lane_u32::<2>(points.add(index(2)), four);
            vreinterpretq_u8_u32(vld1q_lane_u32::<3>(points.add(index(3)), four))
        }
    }

    #[inline(always)]
    unsafe fn load_ints(from: *const u32) -> int32x4_t {
        // SAFETY: 4 readable words by the caller.
        unsafe { vld1q_s32(from.cast()) }
    }

    #[inline(always)]
    unsafe fn bits(words: int32x4_t, from: u32, width: u32) -> int32x4_t {
        // SAFETY: see `and`.
        unsafe {
            let low = vshlq_u32(vreinterpretq_u32_s32(words), vdupq_n_s32(-(from as i32)));
            vreinterpretq_s32_u32(vandq_u32(low, vdupq_n_u32((1 << width) - 1)))
        }
    }

    #[inline(always)]
    unsafe fn signed_byte(words: int32x4_t, byte: u32) -> int32x4_t {
        // SAFETY: see `and`.
        unsafe { vshrq_n_s32::<24>(vshlq_s32(words, vdupq_n_s32(24 - 8 * byte as i32))) }
    }

    #[inline(always)]
    unsafe fn or_shifted(low: int32x4_t, high: int32x4_t, by: u32) -> int32x4_t {
        // SAFETY: see `and`.
        unsafe { vorrq_s32(low, vshlq_s32(high, vdupq_n_s32(by as i32))) }
    }

    #[inline(always)]
    unsafe fn from_bits(bits: int32x4_t) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vreinterpretq_f32_s32(bits) }
    }

    #[inline(always)]
    unsafe fn ints(value: i32) -> int32x4_t {
        // SAFETY: see `and`.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    unsafe fn start(sums: int32x4_t) -> int32x4_t {
        sums
    }

    /// Unsigned codes are at most 127, so that both kinds are signed bytes.
    #[inline(always)]
    unsafe fn multiply_add(_: bool, mut products: int32x4_t, codes: uint8x16_t, x: *const u32) -> int32x4_t {
        // SAFETY: see `and`; a readable word by the caller. The instruction has no other effect than on its operand.
        unsafe {
            let x = vdupq_n_u32(x.read_unaligned());
            asm!(
                "sdot {products:v}.4s, {codes:v}.16b, {x:v}.16b",
                products = inout(vreg) products,
                codes = in(vreg) codes,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        products
    }

    #[inline(always)]
    unsafe fn finish(_: int32x4_t, products: int32x4_t) -> int32x4_t {
        products
    }

    #[inline(always)]
    unsafe fn floats(value: f32) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> float32x4_t {
        // SAFETY: 4 readable floats by the caller.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store_floats(to: *mut f32, floats: float32x4_t) {
        // SAFETY: 4 writable floats by the caller.
        unsafe { vst1q_f32(to, floats) };
    }

    #[inline(always)]
    unsafe fn to_floats(ints: int32x4_t) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vcvtq_f32_s32(ints) }
    }

    #[inline(always)]
    unsafe fn multiply(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn fused(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn fused_less(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see `and`.
        unsafe { vfmsq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [&[u8; 16]; STRIP], to: &mut [[u8; 64]; 4]) {
        for (quarter, rows) in rows.as_chunks::<4>().0.iter().enumerate() {
            // SAFETY: see `and`; 16 readable bytes a row, 16 writable ones at each quarter of a vector.
            unsafe {
                let [a, b, c, d] = rows.map(|row| vreinterpretq_u32_u8(vld1q_u8(row.as_ptr())));
                let (ab_even, ab_odd) = (vtrn1q_u32(a, b), vtrn2q_u32(a, b));
                let (cd_even, cd_odd) = (vtrn1q_u32(c, d), vtrn2q_u32(c, d));
                let low = |x, y| vreinterpretq_u8_u64(vtrn1q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
                let high = |x, y| vreinterpretq_u8_u64(vtrn2q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)));
                let words = [low(ab_even, cd_even), low(ab_odd, cd_odd), high(ab_even, cd_even), high(ab_odd, cd_odd)];
                for (to, words) in to.iter_mut().zip(words) {
                    vst1q_u8(to.as_mut_ptr().add(16 * quarter), words);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn widen(halves: &[[u8; 2]; STRIP]) -> [f32; STRIP] {
        let mut floats = [0.0; STRIP];
        for (quarter, floats) in floats.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // SAFETY: 8 readable bytes, 16 writable ones; the instruction has no other effect than on its operand.
            unsafe {
                let halves = vld1_u8(halves.as_ptr().add(4 * quarter).cast());
                let wide: float32x4_t;
                asm!(
                    "fcvtl {wide:v}.4s, {halves:v}.4h",
                    wide = lateout(vreg) wide,
                    halves = in(vreg) halves,
                    options(pure, nomem, nostack, preserves_flags),
                );
                vst1q_f32(floats.as_mut_ptr(), wide);
            }
        }
        floats
    }
}
