//! Four lanes of NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use half::{bf16, f16};

use super::sealed::Sealed;
use super::{FloatLanes, LaneKernel};

/// Lanes of a processor that has NEON: only [`run`] makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Sealed for Neon {}

/// Runs a kernel compiled for NEON.
#[target_feature(enable = "neon")]
pub(super) fn run<K: LaneKernel>(kernel: K) -> K::Output {
    kernel.run(Neon(()))
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

/// Four halves, widened.
#[inline(always)]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: the conversion, which std does not offer in stable Rust, is an instruction of every Armv8 processor.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

// SAFETY (of every block below): the existence of a `Neon` proves the feature, and memory is as the trait demands.
#[allow(clippy::undocumented_unsafe_blocks)]
impl FloatLanes for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    type Vector = float32x4_t;
    type Mask = uint32x4_t;
    type Square = [float32x4_t; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> float32x4_t {
        unsafe { vld1q_f32(padded(from, count, 0.0).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> float32x4_t {
        unsafe { widen(vld1_u16(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16_partial(self, from: *const f16, count: usize) -> float32x4_t {
        unsafe { self.load_f16(padded(from, count, f16::ZERO).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bf16_partial(self, from: *const bf16, count: usize) -> float32x4_t {
        unsafe { self.load_bf16(padded(from, count, bf16::ZERO).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> float32x4_t {
        unsafe {
            let four = vcreate_s8(u64::from(from.cast::<u32>().read_unaligned()));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))))
        }
    }

    #[inline(always)]
    unsafe fn load_i8_partial(self, from: *const i8, count: usize) -> float32x4_t {
        unsafe { self.load_i8(padded(from, count, 0).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, rows: &[*const u8], offset: usize) -> [float32x4_t; 4] {
        unsafe {
            let mut row = [vdupq_n_f32(0.0); 4];
            for (row, from) in row.iter_mut().zip(rows) {
                *row = vreinterpretq_f32_u8(vld1q_u8(from.add(offset)));
            }
            let wide = vreinterpretq_f64_f32;
            let (a, b) = (wide(vtrn1q_f32(row[0], row[1])), wide(vtrn2q_f32(row[0], row[1])));
            let (c, d) = (wide(vtrn1q_f32(row[2], row[3])), wide(vtrn2q_f32(row[2], row[3])));
            [
                vreinterpretq_f32_f64(vtrn1q_f64(a, c)),
                vreinterpretq_f32_f64(vtrn1q_f64(b, d)),
                vreinterpretq_f32_f64(vtrn2q_f64(a, c)),
                vreinterpretq_f32_f64(vtrn2q_f64(b, d)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: float32x4_t) {
        unsafe { vst1q_f32(to, value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: float32x4_t, count: usize) {
        unsafe {
            let mut all = [0.0f32; 4];
            vst1q_f32(all.as_mut_ptr(), value);
            for (i, &value) in all.iter().enumerate().take(count) {
                to.add(i).write_unaligned(value);
            }
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn fnma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmsq_f32(c, a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn abs(self, a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }

    #[inline(always)]
    fn copysign(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(vdupq_n_u32(1 << 31), b, a) }
    }

    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(a) }
    }

    #[inline(always)]
    fn times_power(self, a: float32x4_t, n: float32x4_t) -> float32x4_t {
        unsafe {
            // In two factors, since 2^128 is not a number.
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(126));
            let power = vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent));
            vmulq_n_f32(vmulq_f32(a, power), 2.0)
        }
    }

    #[inline(always)]
    fn first(self, count: usize) -> uint32x4_t {
        unsafe { vcltq_u32(vld1q_u32([0, 1, 2, 3].as_ptr()), vdupq_n_u32(count as u32)) }
    }

    #[inline(always)]
    fn less(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        unsafe { vcltq_f32(a, b) }
    }

    #[inline(always)]
    fn select(self, mask: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vbslq_f32(mask, a, b) }
    }

    #[inline(always)]
    fn low_f16(self, words: float32x4_t) -> float32x4_t {
        unsafe { widen(vmovn_u32(vreinterpretq_u32_f32(words))) }
    }

    #[inline(always)]
    fn high_f16(self, words: float32x4_t) -> float32x4_t {
        unsafe { widen(vshrn_n_u32::<16>(vreinterpretq_u32_f32(words))) }
    }

    #[inline(always)]
    fn low_bf16(self, words: float32x4_t) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(words))) }
    }

    #[inline(always)]
    fn high_bf16(self, words: float32x4_t) -> float32x4_t {
        unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(words), vdupq_n_u32(0xFFFF_0000))) }
    }

    #[inline(always)]
    fn sum(self, a: float32x4_t) -> f32 {
        unsafe {
            let two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn largest(self, a: float32x4_t) -> f32 {
        // The maximum of numbers: it takes the other operand where one is NaN.
        unsafe { vmaxnmvq_f32(self.max(a, self.splat(f32::NEG_INFINITY))) }
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        unsafe { asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
    }
}
