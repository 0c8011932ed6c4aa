//! Eight lanes in portable Rust, which compilers turn into the vectors of the target's baseline.

use half::{bf16, f16};

use super::FloatLanes;
use super::sealed::Sealed;

/// Lanes that every processor has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Sealed for Portable {}

const LANES: usize = 8;

/// Applies a function lane by lane.
#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = f(a[i], b[i]);
    }
    out
}

/// Loads up to 8 elements and widens them.
///
/// # Safety
/// `count <= LANES` elements must be readable.
#[inline(always)]
unsafe fn widen<T: Copy>(from: *const T, count: usize, f: impl Fn(T) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (i, out) in out.iter_mut().enumerate().take(count) {
        // SAFETY: `i` is below `count`.
        *out = f(unsafe { from.add(i).read_unaligned() });
    }
    out
}

impl FloatLanes for Portable {
    const LANES: usize = LANES;
    const REGISTERS: usize = 8;
    type Vector = [f32; LANES];
    type Mask = [bool; LANES];
    type Square = [[f32; LANES]; LANES];
    // Two registers of SSE2 to a vector.

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; LANES] {
        // SAFETY: 8 readable floats by the contract of the trait.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, count, |x| x) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, LANES, f16::to_f32) }
    }

    #[inline(always)]
    unsafe fn load_f16_partial(self, from: *const f16, count: usize) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, count, f16::to_f32) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, LANES, |x| f32::from_bits(u32::from(x.to_bits()) << 16)) }
    }

    #[inline(always)]
    unsafe fn load_bf16_partial(self, from: *const bf16, count: usize) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, count, |x| f32::from_bits(u32::from(x.to_bits()) << 16)) }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, LANES, f32::from) }
    }

    #[inline(always)]
    unsafe fn load_i8_partial(self, from: *const i8, count: usize) -> [f32; LANES] {
        // SAFETY: as the trait demands.
        unsafe { widen(from, count, f32::from) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, rows: &[*const u8], offset: usize) -> [[f32; LANES]; LANES] {
        let mut square = [[0.0; LANES]; LANES];
        for (r, row) in rows.iter().enumerate().take(LANES) {
            // SAFETY: 8 words lie behind each pointer.
            let words = unsafe { self.load(row.add(offset).cast()) };
            for i in 0..LANES {
                square[i][r] = words[i];
            }
        }
        square
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: [f32; LANES]) {
        // SAFETY: 8 writable floats by the contract of the trait.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: [f32; LANES], count: usize) {
        for (i, &value) in value.iter().enumerate().take(count) {
            // SAFETY: `i` is below `count`.
            unsafe { to.add(i).write_unaligned(value) };
        }
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn fnma(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        self.sub(c, self.mul(a, b))
    }

    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, a: [f32; LANES]) -> [f32; LANES] {
        map(a, a, |a, _| a.abs())
    }

    #[inline(always)]
    fn copysign(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map(a, b, f32::copysign)
    }

    #[inline(always)]
    fn round(self, a: [f32; LANES]) -> [f32; LANES] {
        // Numbers around 1.5 * 2^23 have no fractions.
        const NO_FRACTIONS: f32 = 12_582_912.0;
        map(a, a, |a, _| (a + NO_FRACTIONS) - NO_FRACTIONS)
    }

    #[inline(always)]
    fn times_power(self, a: [f32; LANES], n: [f32; LANES]) -> [f32; LANES] {
        // Adding 1.5 * 2^23 leaves the integer in the low bits. In two factors, since 2^128 is not a number.
        map(a, n, |a, n| a * f32::from_bits(((n + 12_582_912.0).to_bits() << 23).wrapping_add(126 << 23)) * 2.0)
    }

    #[inline(always)]
    fn first(self, count: usize) -> [bool; LANES] {
        let mut mask = [false; LANES];
        for (i, lane) in mask.iter_mut().enumerate() {
            *lane = i < count;
        }
        mask
    }

    #[inline(always)]
    fn less(self, a: [f32; LANES], b: [f32; LANES]) -> [bool; LANES] {
        let mut mask = [false; LANES];
        for i in 0..LANES {
            mask[i] = a[i] < b[i];
        }
        mask
    }

    #[inline(always)]
    fn select(self, mask: [bool; LANES], a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        let mut out = b;
        for i in 0..LANES {
            out[i] = if mask[i] { a[i] } else { b[i] };
        }
        out
    }

    #[inline(always)]
    fn low_f16(self, words: [f32; LANES]) -> [f32; LANES] {
        map(words, words, |word, _| f16::from_bits(word.to_bits() as u16).to_f32())
    }

    #[inline(always)]
    fn high_f16(self, words: [f32; LANES]) -> [f32; LANES] {
        map(words, words, |word, _| f16::from_bits((word.to_bits() >> 16) as u16).to_f32())
    }

    #[inline(always)]
    fn low_bf16(self, words: [f32; LANES]) -> [f32; LANES] {
        map(words, words, |word, _| f32::from_bits(word.to_bits() << 16))
    }

    #[inline(always)]
    fn high_bf16(self, words: [f32; LANES]) -> [f32; LANES] {
        map(words, words, |word, _| f32::from_bits(word.to_bits() & 0xFFFF_0000))
    }

    #[inline(always)]
    fn sum(self, a: [f32; LANES]) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }

    #[inline(always)]
    fn largest(self, a: [f32; LANES]) -> f32 {
        a.iter().fold(f32::NEG_INFINITY, |largest, &a| if a > largest { a } else { largest })
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
}
