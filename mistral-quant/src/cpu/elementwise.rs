//! Operations without a matrix: norms, rotations, activations, and the exponentials of attention.
//!
//! Each is one portable body, compiled twice: for the baseline of the target, and for AVX2 with FMA. Bodies work on
//! independent lanes so that the compiler vectorises them, and contain no operation whose result depends on where in
//! a slice an element lies.

use crate::cpu::Kernels;
use crate::{Activation, Isa, RmsNorm};

/// The compiled set that this machine runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elementwise {
    /// True only where [`Kernels`] has proved AVX2, FMA and F16C.
    avx2: bool,
}

impl Elementwise {
    /// The set for proven kernels.
    pub(crate) fn new(kernels: &Kernels) -> Self {
        Self { avx2: cfg!(target_arch = "x86_64") && kernels.isa() >= Isa::Avx2 }
    }

    /// Whether the AVX2 set was chosen: the proof for this crate's other kernels.
    pub(crate) fn has_avx2(self) -> bool {
        self.avx2
    }
}

/// Declares each operation as a method that picks one of the two compilations of its body.
macro_rules! compiled_twice {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Elementwise {
            $($(#[$doc])*
            pub(crate) fn $name(self, $($argument: $type),*) $(-> $result)? {
                #[cfg(target_arch = "x86_64")]
                if self.avx2 {
                    // SAFETY: `avx2` is set only when the processor was found to have these features.
                    return unsafe { avx2::$name($($argument),*) };
                }
                body::$name::<false>($($argument),*)
            })*
        }

        #[cfg(target_arch = "x86_64")]
        mod avx2 {
            use super::body;
            use crate::{Activation, RmsNorm};

            $(#[target_feature(enable = "avx2,fma,f16c")]
            pub(super) fn $name($($argument: $type),*) $(-> $result)? {
                body::$name::<true>($($argument),*)
            })*
        }
    };
}

compiled_twice! {
    /// `x += y`.
    add(x: &mut [f32], y: &[f32]);
    /// Normalises one row in place.
    rms_norm(x: &mut [f32], weight: &[f32], norm: RmsNorm);
    /// Rotates the halves of one head against each other.
    rotate_halves(head: &mut [f32], cos: &[f32], sin: &[f32]);
    /// Rotates neighbours of one head against each other.
    rotate_pairs(head: &mut [f32], cos: &[f32], sin: &[f32]);
    /// `gate = activation(gate) * up`.
    glu(gate: &mut [f32], up: &[f32], activation: Activation);
    /// `x = cap * tanh(x / cap)`.
    soft_cap(x: &mut [f32], cap: f32);
    /// `x *= scale`; the largest, not counting NaN.
    scale_and_max(x: &mut [f32], scale: f32) -> f32;
    /// The largest, not counting NaN.
    max(x: &[f32]) -> f32;
    /// `x = exp(x - max)`; the sum.
    exponentials(x: &mut [f32], max: f32) -> f32;
    /// `x *= factor`.
    multiply(x: &mut [f32], factor: f32);
    /// `x = x * a + y * b`.
    blend(x: &mut [f32], a: f32, y: &[f32], b: f32);
}

mod body {
    use crate::{Activation, RmsNorm};

    const LANES: usize = 8;

    #[inline(always)]
    fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
        if FMA { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    pub(super) fn add<const FMA: bool>(x: &mut [f32], y: &[f32]) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }

    #[inline(always)]
    pub(super) fn multiply<const FMA: bool>(x: &mut [f32], factor: f32) {
        x.iter_mut().for_each(|x| *x *= factor);
    }

    #[inline(always)]
    pub(super) fn blend<const FMA: bool>(x: &mut [f32], a: f32, y: &[f32], b: f32) {
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = fused::<FMA>(*x, a, y * b));
    }

    /// The mean square is summed in f64: no overflow, and an error far below that of one f32 operation.
    #[inline(always)]
    pub(super) fn rms_norm<const FMA: bool>(x: &mut [f32], weight: &[f32], norm: RmsNorm) {
        let mut sums = [0.0f64; LANES];
        let (lanes, rest) = x.as_chunks::<LANES>();
        for lane in lanes {
            for (sum, &x) in sums.iter_mut().zip(lane) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let mut squares: f64 = sums.iter().sum();
        for &x in rest {
            squares += f64::from(x) * f64::from(x);
        }
        let scale = (1.0 / (squares / x.len() as f64 + f64::from(norm.eps)).sqrt()) as f32;
        x.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * scale * (norm.offset + w));
    }

    #[inline(always)]
    pub(super) fn rotate_halves<const FMA: bool>(head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let (first, second) = head.split_at_mut(head.len() / 2);
        for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
        }
    }

    #[inline(always)]
    pub(super) fn rotate_pairs<const FMA: bool>(head: &mut [f32], cos: &[f32], sin: &[f32]) {
        for (([a, b], &c), &s) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
            (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
        }
    }

    #[inline(always)]
    pub(super) fn glu<const FMA: bool>(gate: &mut [f32], up: &[f32], activation: Activation) {
        let pairs = gate.iter_mut().zip(up);
        match activation {
            Activation::Silu => pairs.for_each(|(x, up)| *x = *x / (1.0 + exp::<FMA>(-*x)) * up),
            // 1 + tanh(u) = 2 / (1 + exp(-2u)), without the cancellation of the left side.
            Activation::GeluTanh => pairs.for_each(|(x, up)| {
                const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;
                let u = TWO_SQRT_2_OVER_PI * (*x + 0.044_715 * *x * *x * *x);
                *x = *x / (1.0 + exp::<FMA>(-u)) * up;
            }),
            Activation::Gelu => pairs.for_each(|(x, up)| *x = gelu(*x) * up),
            Activation::Relu => pairs.for_each(|(x, up)| *x = x.max(0.0) * up),
        }
    }

    #[inline(always)]
    pub(super) fn soft_cap<const FMA: bool>(x: &mut [f32], cap: f32) {
        x.iter_mut().for_each(|x| *x = cap * tanh::<FMA>(*x / cap));
    }

    #[inline(always)]
    pub(super) fn scale_and_max<const FMA: bool>(x: &mut [f32], scale: f32) -> f32 {
        x.iter_mut().for_each(|x| *x *= scale);
        max::<FMA>(x)
    }

    #[inline(always)]
    pub(super) fn max<const FMA: bool>(x: &[f32]) -> f32 {
        let mut largest = [f32::NEG_INFINITY; LANES];
        let (lanes, rest) = x.as_chunks::<LANES>();
        for lane in lanes {
            for (largest, &x) in largest.iter_mut().zip(lane) {
                *largest = if x > *largest { x } else { *largest };
            }
        }
        largest.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, &x| if x > largest { x } else { largest })
    }

    #[inline(always)]
    pub(super) fn exponentials<const FMA: bool>(x: &mut [f32], max: f32) -> f32 {
        let mut sums = [0.0f32; LANES];
        let (lanes, rest) = x.as_chunks_mut::<LANES>();
        for lane in lanes {
            for (sum, x) in sums.iter_mut().zip(lane) {
                *x = exp::<FMA>(*x - max);
                *sum += *x;
            }
        }
        let mut total: f32 = sums.iter().sum();
        for x in rest {
            *x = exp::<FMA>(*x - max);
            total += *x;
        }
        total
    }

    /// `eˣ` to 2 units in the last place; 0 below 3e-38, infinity above the largest, NaN for NaN.
    /// Reduction by ln 2 in two parts, then the polynomial of degree 6 that S. Moshier's Cephes library (expf.c) uses.
    #[inline(always)]
    pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
        const ROUND: f32 = 12_582_912.0;
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let bounded = x.clamp(-88.0, 88.8);
        let shifted = fused::<FMA>(bounded, std::f32::consts::LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = fused::<FMA>(n, -LN2_HIGH, bounded);
        let r = fused::<FMA>(n, -LN2_LOW, r);
        let mut p = 1.987_569_1e-4;
        p = fused::<FMA>(p, r, 1.398_2e-3);
        p = fused::<FMA>(p, r, 8.333_452e-3);
        p = fused::<FMA>(p, r, 4.166_579_6e-2);
        p = fused::<FMA>(p, r, 1.666_666_5e-1);
        p = fused::<FMA>(p, r, 0.5);
        let e = fused::<FMA>(p, r * r, r) + 1.0;
        // 2^n in two factors, since n = 128 is reached just below the largest number.
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add((127 - 1) << 23));
        let value = e * power * 2.0;
        if x < -86.5 {
            0.0
        } else if x > 88.722_84 {
            f32::INFINITY
        } else {
            value
        }
    }

    /// `tanh` to a few units in the last place: the odd polynomial of Cephes (tanhf.c) near 0, exponentials elsewhere.
    #[inline(always)]
    fn tanh<const FMA: bool>(x: f32) -> f32 {
        let z = x * x;
        let mut p = -5.704_988_7e-3;
        p = fused::<FMA>(p, z, 2.063_909e-2);
        p = fused::<FMA>(p, z, -5.373_971_6e-2);
        p = fused::<FMA>(p, z, 1.333_144_2e-1);
        p = fused::<FMA>(p, z, -3.333_327_9e-1);
        let near = fused::<FMA>(p * z, x, x);
        let far = (1.0 - 2.0 / (1.0 + exp::<FMA>(2.0 * x.abs()))).copysign(x);
        if x.abs() < 0.625 { near } else { far }
    }

    /// `x Φ(x)`, in f64 so that the tail of negative `x` keeps its relative precision.
    #[inline(always)]
    fn gelu(x: f32) -> f32 {
        let x = f64::from(x);
        let tail = 0.5 * erfc_of_positive(x.abs() * std::f64::consts::FRAC_1_SQRT_2);
        (x * if x < 0.0 { tail } else { 1.0 - tail }) as f32
    }

    /// `erfc(z)` for `z >= 0`, within 6e-9 relative. The form `t exp(-z² + p(2t - 1))`, `t = 2 / (2 + z)`, is that of Press et al.,
    /// Numerical Recipes, 3rd edition, 6.2.2; `p` interpolates at Chebyshev nodes what makes it exact.
    #[inline(always)]
    pub(super) fn erfc_of_positive(z: f64) -> f64 {
        const P: [f64; 13] = [
            -0.671_794_085_151_721_4,
            0.672_643_154_774_543,
            0.047_343_417_521_067_5,
            -0.046_893_640_559_962_62,
            -0.009_874_534_918_291_376,
            0.008_808_825_369_385_994,
            0.001_770_666_118_629_671,
            -0.002_288_765_238_593_006,
            -0.000_182_782_141_716_012_67,
            0.000_573_766_372_005_007,
            -3.211_377_231_212_548e-5,
            -8.728_381_021_688_478e-5,
            1.337_150_349_127_444_8e-5,
        ];
        let t = 2.0 / (2.0 + z);
        let y = 2.0 * t - 1.0;
        t * (P.iter().rev().fold(0.0, |sum, coefficient| sum * y + coefficient) - z * z).exp()
    }
}

#[cfg(test)]
mod tests;
