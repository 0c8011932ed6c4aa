//! Weights, biases and outputs of matrix products.

use crate::backend::Activation;
use crate::cpu::kernels::dense::DenseStrip;
use crate::cpu::kernels::integer::StripSource;
use crate::cpu::kernels::packed::{Packed, dense_strip_of, strip_of};
use crate::format::Format;
use crate::weight::Weight;

/// The weight of a product `[rows, cols]`, in forms with the same results to the bit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// As the checkpoint has it.
    Blocks(&'a Weight),
    /// Strips that are rearranged for the kernels already, and all as the checkpoint has them.
    Partly(&'a Weight, &'a Packed),
    /// Rearranged for the kernels, every strip.
    Packed(&'a Packed),
}

impl<'a> Operand<'a> {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.format(),
            Self::Packed(weight) => weight.format(),
        }
    }

    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.rows(),
            Self::Packed(weight) => weight.rows(),
        }
    }

    pub(crate) fn cols(self) -> usize {
        match self {
            Self::Blocks(weight) | Self::Partly(weight, _) => weight.cols(),
            Self::Packed(weight) => weight.cols(),
        }
    }

    /// Strip `index` of a block format.
    pub(crate) fn strip(self, index: usize) -> StripSource<'a> {
        match self {
            Self::Partly(_, packed) if packed.has(index) => packed.strip(index),
            Self::Blocks(weight) | Self::Partly(weight, _) => StripSource::Blocks(strip_of(weight, index)),
            Self::Packed(packed) => packed.strip(index),
        }
    }

    /// Strip `index` of a weight that is no block format, `height` rows of it.
    pub(crate) fn dense_strip(self, index: usize, height: usize) -> DenseStrip<'a> {
        match self {
            Self::Partly(_, packed) if packed.has(index) => packed.dense_strip(index),
            Self::Blocks(weight) | Self::Partly(weight, _) => dense_strip_of(weight, index, height),
            Self::Packed(packed) => packed.dense_strip(index),
        }
    }
}

/// One product of a group over the same input.
pub(crate) struct Job<'a> {
    /// `[rows, cols]`.
    pub(crate) weight: Operand<'a>,
    /// `[rows]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// Of block formats only, and of some columns.
    pub(crate) gated: Option<Gated<'a>>,
    /// `[tokens, rows]`.
    pub(crate) out: &'a mut [f32],
}

/// A second product over the same input that the activation of the first is multiplied with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gated<'a> {
    /// `[rows, cols]`, in a block format.
    pub(crate) up: Operand<'a>,
    /// `[rows]`.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}
