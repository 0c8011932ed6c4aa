//! Kernels for AVX2, FMA and F16C.

mod integer;
mod lanes;

pub(super) use integer::Avx2;

use crate::cpu::activations::{ActivationUnit, quantize_units};

/// Quantizes consecutive units of 32 values; the portable body, compiled for these features.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quantize(x: &[f32], units: &mut [ActivationUnit]) {
    quantize_units(x, units);
}
