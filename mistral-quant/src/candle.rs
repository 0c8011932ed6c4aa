//! These weights and kernels inside candle models: a linear layer, and quantized tensors that come and go without a change of bytes.
//!
//! A candle model uses the kernels of this crate when its linear layers are [`Linear`] instead of `candle_nn::Linear` or
//! `QMatMul`. It has to be a layer: `QTensor` cannot carry kernels of others, because candle repacks Q4_K, Q6_K and Q8_0 before it
//! asks the tensor's own type, and a dense `Tensor` cannot lie over a memory map.
//!
//! | | candle's `QMatMul` | [`Linear`] |
//! |---|---|---|
//! | formats | those of ggml up to Q8_K | every [`Format`](crate::Format) with arithmetic here |
//! | F16, BF16, F32 weights | widened to f32 once, kept so | stay as they are |
//! | repacked weights | beside the blocks (Q4_K, Q6_K, Q8_0) | instead of the blocks, by [`Repack`](crate::Repack) policy |
//! | activations of block formats | 8 bits, one scale for 256 values (K-quants, repacked Q8_0) or for 32 | 8 bits, one scale for 32 |
//! | input | contiguous, rank 2 or more | any strides, rank 1 or more |
//! | gradients | cut off without a word | [`Error::BackwardNotSupported`](candle_core::Error::BackwardNotSupported) |
//! | threads | one global pool | those of the [`SharedCpu`] that each layer is given |
//!
//! # Threads
//!
//! candle computes on two pools of its own, global to the process and sized by `RAYON_NUM_THREADS` (or the number of physical cores):
//! rayon's, and a spinning one for its quantized products, which starts at the first of them. The pool of a [`SharedCpu`] is a third.
//! Operations of a model follow one another, so the pools rarely compute at once, but each spins for a while after its work is done:
//! on a machine whose cores are all taken by the one, the first microseconds of the other are slower. Give both the same number of
//! threads, and no more than there are cores. Two threads that call layers of one [`SharedCpu`] wait for each other.
//!
//! # Errors
//!
//! All functions here return candle's `Result`, as its models do. An error of this crate travels inside and comes out typed by [`cause`].

mod linear;
mod qtensor;
mod shared;

pub use linear::Linear;
pub use qtensor::{format_of, ggml_dtype, qtensor_from_weight, weight_from_qtensor};
pub use shared::SharedCpu;

use std::fmt;

use crate::error::Error;

/// An error of this crate on its way through candle, whose message is built from `Debug`.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
struct Cause(Error);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Error> for candle_core::Error {
    /// Keeps the value: [`cause`] finds it again.
    fn from(error: Error) -> Self {
        Self::WrappedContext { wrapped: Box::new(Cause(error)), context: "mistral-quant".into() }.bt()
    }
}

/// The error of this crate inside an error of candle, if that is where it came from.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use mistral_quant::candle::{Linear, SharedCpu, cause};
/// use mistral_quant::{Cpu, CpuOptions, Error, Format};
///
/// let cpu = SharedCpu::new(Cpu::new(CpuOptions::default())?)?;
/// let weight = Tensor::zeros((2, 40), candle_core::DType::F32, &Device::Cpu)?;
/// let error = Linear::quantize(&cpu, Format::Q8_0, &weight, None).unwrap_err();
/// assert!(matches!(cause(&error), Some(Error::Shape { .. }))); // 40 columns are not whole blocks of 32.
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn cause(error: &candle_core::Error) -> Option<&Error> {
    use candle_core::Error as E;
    match error {
        E::WrappedContext { wrapped, .. } => wrapped.downcast_ref::<Cause>().map(|cause| &cause.0),
        E::Context { inner, .. } | E::WithPath { inner, .. } | E::WithBacktrace { inner, .. } => cause(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
