//! Speed by instruction set: which one this machine has, and the kernels written for it.
//!
//! The meaning of a format is in `formats/`; here are only ways to compute with it quickly. Every set must give, for the same
//! quantized activations, the same integers in each unit of 32 columns as the scalar one.

pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Panels are for vector registers.
mod strip;
#[cfg(test)]
mod tests;

pub(crate) use strip::{ROWS, STRIP, Strip, Sums};

use crate::cpu::activations::ActivationUnit;

/// An instruction set that kernels are written for, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Portable Rust.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
}

/// The kernels of an instruction set, and proof that the processor has it: there is no way to make one but to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The best of this machine.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            return Self { isa: Isa::Avx2 };
        }
        Self { isa: Isa::Scalar }
    }

    /// The best of this machine that is not above `limit`.
    pub(crate) fn with_limit(limit: Isa) -> Self {
        Self { isa: Self::detect().isa.min(limit) }
    }

    /// The instruction set.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Quantizes consecutive units of 32 values.
    pub(crate) fn quantize(&self, x: &[f32], units: &mut [ActivationUnit]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the features.
            Isa::Avx2 => unsafe { avx2::quantize(x, units) },
            _ => scalar::quantize(x, units),
        }
    }

    /// A strip in a block format times tokens of `strip.cols / 32` units each; one [`Sums`] a token, overwritten.
    pub(crate) fn integer_strip(&self, strip: Strip<'_>, tokens: &[ActivationUnit], sums: &mut [Sums]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the features.
            Isa::Avx2 => unsafe { avx2::integer_strip(strip, tokens, sums) },
            _ => scalar::integer_strip(strip, tokens, sums),
        }
    }

    /// A strip of F32, F16 or BF16 times tokens of `strip.cols` values each, in f32; one [`Sums`] a token, overwritten.
    pub(crate) fn float_strip(&self, strip: Strip<'_>, tokens: &[f32], sums: &mut [Sums]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found the features.
            Isa::Avx2 => unsafe { avx2::float_strip(strip, tokens, sums) },
            _ => scalar::float_strip(strip, tokens, sums),
        }
    }
}
