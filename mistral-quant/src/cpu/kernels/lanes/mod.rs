//! Vectors of f32 lanes, one type for each instruction set, so that a float kernel is written once.
//!
//! A kernel is generic over [`FloatLanes`] and is compiled once for each set: [`Kernels::run`] calls it inside a function that has
//! the set's features, and everything between that function and the instructions is `inline(always)`, so that the instructions
//! end up in it. The technique is that of the crate pulp. A value of a lane type proves that the processor has the features, so
//! arithmetic is safe; only loads and stores, which take pointers, are not.
//!
//! Two rules keep it fast: every function between [`LaneKernel::run`] and the lanes is `#[inline(always)]`, and no
//! closure takes or returns vectors (a closure that is not inlined would hold calls instead of instructions).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use half::{bf16, f16};

use self::portable::Portable;
use super::Kernels;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::cpu::kernels::Isa;

mod sealed {
    /// Closes [`super::FloatLanes`] to this module.
    pub(crate) trait Sealed {}
}

/// A kernel that runs on the lanes of any instruction set. Its arguments are its fields.
pub(crate) trait LaneKernel {
    /// What it returns.
    type Output;

    /// Computes; must be `#[inline(always)]`.
    fn run<L: FloatLanes>(self, lanes: L) -> Self::Output;
}

impl Kernels {
    /// Runs a kernel on the widest lanes of this instruction set.
    pub(crate) fn run<K: LaneKernel>(&self, kernel: K) -> K::Output {
        match self.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the existence of `self` proves the features of its set.
            Isa::Avx2 | Isa::AvxVnni => unsafe { avx2::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise.
            Isa::Avx512 | Isa::Avx512Vnni => unsafe { avx512::run(kernel) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: likewise.
            Isa::Neon => unsafe { neon::run(kernel) },
            _ => kernel.run(Portable),
        }
    }

    /// [`run`](Self::run) for kernels that live on [`FloatLanes::dot_bf16`]: with the processor's instruction where it has one.
    pub(crate) fn run_with_dots<K: LaneKernel>(&self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if self.has_dots() {
            // SAFETY: `has_dots` says that the processor has AVX512-BF16, and `self` proves the features of its set.
            return unsafe { avx512::run_with_dots(kernel) };
        }
        self.run(kernel)
    }
}

/// The operations on vectors of f32 that kernels are made of. Rounding is to nearest even.
///
/// Pointers need no alignment. Partial loads and stores touch `count` elements only (`count <= LANES`; 0 is allowed, with any
/// pointer), and the lanes behind them are loaded as 0.
///
/// # Safety
/// Of every load and store: the elements that it touches must be readable or writable.
pub(crate) trait FloatLanes: sealed::Sealed + Copy + 'static {
    /// How many lanes a vector has.
    const LANES: usize;
    /// How many vectors the processor holds in registers: what a register tile is chosen by.
    const REGISTERS: usize;
    /// `LANES` values.
    type Vector: Copy;
    /// One truth value a lane.
    type Mask: Copy;
    /// `LANES` vectors.
    type Square: Copy + AsRef<[Self::Vector]>;

    /// The same value in all lanes.
    fn splat(self, value: f32) -> Self::Vector;

    /// `LANES` values from memory.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// `count` values from memory, then zeros.
    unsafe fn load_partial(self, from: *const f32, count: usize) -> Self::Vector;
    /// The same widened from f16, exactly.
    unsafe fn load_f16(self, from: *const f16) -> Self::Vector;
    /// `count` values widened from f16, then zeros.
    unsafe fn load_f16_partial(self, from: *const f16, count: usize) -> Self::Vector;
    /// The same widened from bf16, exactly.
    unsafe fn load_bf16(self, from: *const bf16) -> Self::Vector;
    /// `count` values widened from bf16, then zeros.
    unsafe fn load_bf16_partial(self, from: *const bf16, count: usize) -> Self::Vector;
    /// The same from signed bytes.
    unsafe fn load_i8(self, from: *const i8) -> Self::Vector;
    /// `count` values from signed bytes, then zeros.
    unsafe fn load_i8_partial(self, from: *const i8, count: usize) -> Self::Vector;
    /// The words of 4 bytes at `offset` bytes from each of `LANES` pointers, transposed: lane `r` of vector `i` is word `i`
    /// from pointer `r`. `rows` has `LANES` pointers, behind each of which `LANES` words must be readable.
    unsafe fn load_transposed(self, rows: &[*const u8], offset: usize) -> Self::Square;
    /// All lanes to memory.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// The first `count` lanes to memory.
    unsafe fn store_partial(self, to: *mut f32, value: Self::Vector, count: usize);

    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the set has such an instruction (all but the portable one).
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c - a * b`, likewise.
    fn fnma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a` where `a > b`, else `b`: where either is NaN, `b`.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where `a < b`, else `b`: where either is NaN, `b`.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The magnitude.
    fn abs(self, a: Self::Vector) -> Self::Vector;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The nearest integer, for magnitudes below 2^22.
    fn round(self, a: Self::Vector) -> Self::Vector;
    /// `a * 2^n` for `n` an integer in `-125..=128` and `a` in `0.5..2`; infinity above the largest number.
    fn times_power(self, a: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// The first `count` lanes, `count <= LANES`.
    fn first(self, count: usize) -> Self::Mask;
    /// Where `a < b`; nowhere where either is NaN.
    fn less(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// `a` where `mask`, else `b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The f16 in the lower half of each word, widened.
    fn low_f16(self, words: Self::Vector) -> Self::Vector;
    /// The f16 in the upper half of each word, widened.
    fn high_f16(self, words: Self::Vector) -> Self::Vector;
    /// The bf16 in the lower half of each word, widened.
    fn low_bf16(self, words: Self::Vector) -> Self::Vector;
    /// The bf16 in the upper half of each word, widened.
    fn high_bf16(self, words: Self::Vector) -> Self::Vector;

    /// `c + a1 * b1 + a0 * b0` of the bf16 in the upper (1) and the lower half (0) of each word. Products are exact; each of the two sums
    /// is rounded. Numbers below 2^-126 may count as 0.
    #[inline(always)]
    fn dot_bf16(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let c = self.fma(self.high_bf16(a), self.high_bf16(b), c);
        self.fma(self.low_bf16(a), self.low_bf16(b), c)
    }

    /// The sum of all lanes: the upper half is added to the lower until one lane is left.
    fn sum(self, a: Self::Vector) -> f32;
    /// The largest lane, not counting NaN; negative infinity when there is no other.
    fn largest(self, a: Self::Vector) -> f32;

    /// Asks for the cache line at an address; there may be nothing there.
    fn prefetch<T>(self, address: *const T);

    /// All zeros.
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }

    /// `eˣ` to 2 units in the last place; 0 below -86.5 (3e-38), infinity above the largest, NaN for NaN.
    /// Reduction by ln 2 in two parts, then the polynomial of degree 6 that S. Moshier's Cephes library (expf.c) uses.
    #[inline(always)]
    fn exp(self, x: Self::Vector) -> Self::Vector {
        // `x` second in both: NaN stays.
        let bounded = self.max(self.splat(-88.0), self.min(self.splat(88.8), x));
        let n = self.round(self.mul(bounded, self.splat(std::f32::consts::LOG2_E)));
        let r = self.fnma(n, self.splat(0.693_359_4), bounded);
        let r = self.fnma(n, self.splat(-2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        p = self.fma(p, r, self.splat(1.398_2e-3));
        p = self.fma(p, r, self.splat(8.333_452e-3));
        p = self.fma(p, r, self.splat(4.166_579_6e-2));
        p = self.fma(p, r, self.splat(1.666_666_5e-1));
        p = self.fma(p, r, self.splat(0.5));
        let e = self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0));
        // Above 88.72 the product overflows by itself.
        self.select(self.less(x, self.splat(-86.5)), self.zero(), self.times_power(e, n))
    }

    /// `tanh` to a few units in the last place: the odd polynomial of Cephes (tanhf.c) near 0, exponentials elsewhere.
    #[inline(always)]
    fn tanh(self, x: Self::Vector) -> Self::Vector {
        let (one, two) = (self.splat(1.0), self.splat(2.0));
        let z = self.mul(x, x);
        let mut p = self.splat(-5.704_988_7e-3);
        p = self.fma(p, z, self.splat(2.063_909e-2));
        p = self.fma(p, z, self.splat(-5.373_971_6e-2));
        p = self.fma(p, z, self.splat(1.333_144_2e-1));
        p = self.fma(p, z, self.splat(-3.333_327_9e-1));
        let near = self.fma(self.mul(p, z), x, x);
        let size = self.abs(x);
        let far = self.sub(one, self.div(two, self.add(one, self.exp(self.mul(two, size)))));
        self.select(self.less(size, self.splat(0.625)), near, self.copysign(far, x))
    }
}
