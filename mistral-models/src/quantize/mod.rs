//! Fewer bits a weight: a checkpoint into a GGUF file of another format, or weights quantized while they are loaded.
//!
//! [`Quantizer`] says which formats: a [`Mix`], one format for all, patterns for some. It makes a [`GgufPlan`], which knows every size
//! before anything is computed and then writes the file, or [`QuantizedWeights`], which a decoder loads from. Both go through each
//! matrix in batches of rows on several threads, so that memory holds neither the source nor an f32 copy of it.

mod calibration;
mod encode;
mod file;
mod importance;
mod loaded;
mod mix;
mod plan;
mod squares;

use std::str::FromStr;
use std::sync::Arc;

use mistral_quant::Format;

pub use calibration::Calibration;
pub use file::{GgufPlan, QuantizeProgress};
pub use importance::Importance;
pub use loaded::QuantizedWeights;
pub use mix::Mix;
pub use plan::TensorPlan;

use crate::error::Error;
use crate::threads;
use crate::unsupported::Unsupported;

/// The settings for quantizing a model.
///
/// ```
/// use mistral_models::{Checkpoint, Mix, Quantizer};
/// use mistral_quant::Format;
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistral-core/assets/default-model/model.gguf");
/// # if !std::path::Path::new(path).exists() { return Ok(()) } // the crate alone, without the repository
/// # let out = std::env::temp_dir().join(format!("quantizer-example-{}.gguf", std::process::id()));
///
/// let checkpoint = Checkpoint::open(path)?;
/// let plan = Quantizer::new(Mix::Q4_K_M).tensor("attn_v", Format::Q8_0).to_gguf(&checkpoint)?;
/// println!("{} bytes instead of {}", plan.bytes(), checkpoint.tensor_bytes());
/// plan.write(&out, |_| ())?;
/// # std::fs::remove_file(out)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Matrices change their format; norms, biases, routers and other small tensors do not. A matrix whose rows are not whole blocks of the
/// chosen format takes the nearest format with blocks of 32, or F16 if 32 does not divide the row. The nearest format is Q5_0 for Q4_K,
/// Q5_1 for Q5_K, Q8_0 for Q6_K, and IQ4_NL for IQ formats. It is Q4_0 for Q2_K, Q3_K, Q1_0, Q2_0 and the ternary formats. Tensors that are
/// already quantized are decoded and quantized again, which loses more than quantizing the original.
#[derive(Debug, Clone)]
pub struct Quantizer {
    target: Target,
    importance: Option<Arc<Importance>>,
    overrides: Vec<(String, Format)>,
    threads: Option<usize>,
    keep_split: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Mix(Mix),
    Uniform(Format),
}

impl Quantizer {
    /// By a mix: more bits where they matter.
    pub fn new(mix: Mix) -> Self {
        Self::with(Target::Mix(mix))
    }

    /// Chooses one format for every matrix, the embedding and the head included.
    ///
    /// A matrix whose rows are not whole blocks of the format gets the nearest format that fits. [`TensorPlan::instead_of`] marks each of
    /// these matrices in the plan.
    pub fn uniform(format: Format) -> Self {
        Self::with(Target::Uniform(format))
    }

    fn with(target: Target) -> Self {
        Self { target, importance: None, overrides: Vec::new(), threads: None, keep_split: false }
    }

    /// Sets another format for the matrices whose name matches a regular expression: the name in GGUF files
    /// (`blk.3.ffn_down.weight`) or the checkpoint's own. The first pattern that matches decides.
    ///
    /// A pattern that matches no matrix of the checkpoint is [`Error::Pattern`] when the plan is made.
    #[must_use]
    pub fn tensor(mut self, pattern: impl Into<String>, format: Format) -> Self {
        self.overrides.push((pattern.into(), format));
        self
    }

    /// How much each column matters, which lowers the error of the small formats and is a need of the smallest.
    #[must_use]
    pub fn importance(mut self, importance: Importance) -> Self {
        self.importance = Some(Arc::new(importance));
        self
    }

    /// Sets how many threads compute, from 1 to [`ThreadPool::MAX_THREADS`](mistral_quant::ThreadPool::MAX_THREADS). Another number is an
    /// error where the quantizer is used. Default: the number that the system reports as available.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether a file is written for each file of the source, instead of one. Default: no.
    #[must_use]
    pub fn keep_split(mut self, keep: bool) -> Self {
        self.keep_split = keep;
        self
    }

    fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        threads::pool("quantize", self.threads)
    }
}

impl From<Mix> for Quantizer {
    fn from(mix: Mix) -> Self {
        Self::new(mix)
    }
}

/// The mix of the format's name (`Q4_K`: `Q4_K_M`); without one, [`Quantizer::uniform`].
impl From<Format> for Quantizer {
    fn from(format: Format) -> Self {
        Mix::from_name(format.name()).map_or_else(|| Self::uniform(format), Self::new)
    }
}

/// By the name of a [`Mix`] or a [`Format`].
impl FromStr for Quantizer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let mix = Mix::from_name(name).map(Self::new);
        mix.or_else(|| Format::from_name(name).map(Self::uniform)).ok_or_else(|| {
            let known = Mix::all().map(|mix| mix.name().to_owned()).collect();
            Unsupported::Quantization { name: name.to_owned(), known }.into()
        })
    }
}

#[cfg(test)]
mod tests;
