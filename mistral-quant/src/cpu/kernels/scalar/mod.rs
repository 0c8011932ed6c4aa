//! Portable kernels: what runs where there is nothing better.

mod lanes;

pub(super) use lanes::Portable;

use crate::cpu::activations::{ActivationUnit, quantize_units};

/// Quantizes consecutive units of 32 values.
pub(super) fn quantize(x: &[f32], units: &mut [ActivationUnit]) {
    quantize_units(x, units);
}
