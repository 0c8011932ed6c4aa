//! Options before loading. The checkpoint has no safe default, so the type asks for it first; everything else has one.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use mistral_models::{Checkpoint, Description, Quantizer, ReadMode, Weights};
use mistral_quant::KvFormat;

use crate::decoder;
use crate::device::Device;
use crate::engine::Engine;
use crate::error::Error;
use crate::memory::MemoryPlan;
use crate::model::Model;
use crate::options::Options;
use crate::text::TextModel;

/// Loads a [`Model`]: first the checkpoint, then options in any order, then [`load`](Self::load).
///
/// ```no_run
/// use mistral_core::Model;
/// let model = Model::builder().checkpoint("model.gguf").context_length(4096).threads(4).load()?;
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// Without a checkpoint there is nothing to load:
///
/// ```compile_fail,E0599
/// use mistral_core::Model;
/// let model = Model::builder().load()?;
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// ```
/// use mistral_core::Model;
/// let model = Model::builder().embedded().load()?;
/// # Ok::<(), mistral_core::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is loaded before `load` or `engine`"]
pub struct ModelBuilder<State> {
    state: State,
}

/// The state of a [`ModelBuilder`] that knows no checkpoint yet.
#[derive(Debug)]
pub struct WantsCheckpoint(());

/// The state of a [`ModelBuilder`] that can load.
#[derive(Debug)]
pub struct HasCheckpoint {
    source: ModelSource,
    options: Options,
}

/// Where a model comes from; what [`ModelBuilder::checkpoint`] takes.
#[derive(Debug)]
#[non_exhaustive]
pub enum ModelSource {
    /// A path, or the id of a model in the local Hugging Face cache.
    Path(PathBuf),
    /// A checkpoint that is open already.
    Open(Box<Checkpoint>),
    /// The small model inside this crate.
    Embedded,
}

impl Model {
    /// Options before loading.
    pub fn builder() -> ModelBuilder<WantsCheckpoint> {
        ModelBuilder::new()
    }
}

impl ModelBuilder<WantsCheckpoint> {
    pub(crate) fn new() -> Self {
        Self { state: WantsCheckpoint(()) }
    }

    /// The checkpoint: a path (`.gguf`, `.safetensors`, a directory), the id of a model in the local Hugging Face cache, or a
    /// [`Checkpoint`] opened before.
    pub fn checkpoint(self, source: impl Into<ModelSource>) -> ModelBuilder<HasCheckpoint> {
        ModelBuilder { state: HasCheckpoint { source: source.into(), options: Options::default() } }
    }

    /// The small model inside this crate.
    pub fn embedded(self) -> ModelBuilder<HasCheckpoint> {
        self.checkpoint(ModelSource::Embedded)
    }
}

impl ModelBuilder<HasCheckpoint> {
    /// Sets where the model computes, with all options of that device: a [`Device`], or [`CpuOptions`](mistral_quant::CpuOptions) alone.
    /// Default: [`Device::best`].
    pub fn device(self, device: impl Into<Device>) -> Self {
        self.with(|o| o.device = device.into())
    }

    /// Sets how many threads compute, from 1 to [`ThreadPool::MAX_THREADS`](mistral_quant::ThreadPool::MAX_THREADS). Default: the number
    /// that the system reports as available. Shorthand for [`CpuOptions::threads`](mistral_quant::CpuOptions::threads), which it replaces.
    pub fn threads(self, threads: usize) -> Self {
        self.with(|o| o.threads = Some(threads))
    }

    /// Sets how many positions one sequence may have, prompt and output together, up to 2^24. Default: 8192, or the number that the
    /// checkpoint was made for if that is less.
    ///
    /// The checkpoint's number is `max_position_embeddings`, times the factor of a scaled rotary embedding. A larger number is accepted,
    /// but the model was not trained for it, and [`Model::context_warning`] returns a warning.
    pub fn context_length(self, tokens: usize) -> Self {
        self.with(|o| o.wishes.context_length = Some(tokens))
    }

    /// Token slots of the KV cache, shared by all sequences. Default: `max_sequences` full contexts, but at most 16384 slots if
    /// that holds one full context, and no more than fit into the memory budget.
    pub fn kv_tokens(self, tokens: usize) -> Self {
        self.with(|o| o.wishes.kv_tokens = Some(tokens))
    }

    /// How keys and values are kept. Default: F16. Q8_0 takes about half of the memory and of the reading of a long context;
    /// [`manual::numerics`](crate::manual::numerics) says what is lost.
    pub fn kv_format(self, format: KvFormat) -> Self {
        self.key_format(format).value_format(format)
    }

    /// How keys are kept. Default: F16.
    pub fn key_format(self, format: KvFormat) -> Self {
        self.with(|o| o.key_format = format)
    }

    /// How values are kept. Default: F16.
    pub fn value_format(self, format: KvFormat) -> Self {
        self.with(|o| o.value_format = format)
    }

    /// Token slots of a cache block. Default: 32. Multiples of 16 are fast; others are gathered slot by slot at each use.
    pub fn block_tokens(self, tokens: usize) -> Self {
        self.with(|o| o.wishes.block_tokens = tokens)
    }

    /// Sequences that run together in one step. Default: 8.
    pub fn max_sequences(self, sequences: usize) -> Self {
        self.with(|o| o.limits.max_sequences = sequences)
    }

    /// Requests that may wait beside the running ones before [`Error::QueueFull`]. Default: 64.
    pub fn queue_capacity(self, requests: usize) -> Self {
        self.with(|o| o.limits.queue_capacity = requests)
    }

    /// Tokens of one step, decodes and chunks of prompts together. More make long prompts faster, fewer make the steps of
    /// others shorter meanwhile. Default: 512; at least `max_sequences` in any case.
    pub fn max_batch_tokens(self, tokens: usize) -> Self {
        self.with(|o| o.limits.max_batch_tokens = tokens)
    }

    /// Bytes for weights, KV cache and workspace together. Default: no bound.
    pub fn memory_budget(self, bytes: u64) -> Self {
        self.with(|o| o.wishes.budget = Some(bytes))
    }

    /// Seeds the requests that bring no seed. Default: different in every process.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|o| o.seed = Some(seed))
    }

    /// Sets whether files are mapped into memory (the default) or read. Refused for a checkpoint that is open already.
    pub fn read_mode(self, mode: ReadMode) -> Self {
        self.with(|o| o.read_mode = Some(mode))
    }

    /// Fewer bits a weight than the checkpoint has: its matrices are quantized while they are loaded, on as many threads as the model
    /// computes with. Takes a [`Format`](mistral_quant::Format), a [`Mix`](mistral_models::Mix), or a [`Quantizer`] with patterns for
    /// some tensors. Default: weights stay as they are.
    ///
    /// Loading holds the result, one tensor on its way and, of a mapped file, pages that the system may take back. The result is that
    /// of a file which the same quantizer wrote ([`Quantizer::to_gguf`]); with a file, loading costs no computing.
    ///
    /// ```no_run
    /// use mistral_core::{Model, models::{Mix, Quantizer}, quant::Format};
    /// let model = Model::builder().checkpoint("qwen3-0.6b").quantize(Format::Q8_0).load()?;
    /// let quantizer = Quantizer::new(Mix::Q4_K_M).tensor("ffn_down", Format::Q6_K);
    /// let model = Model::builder().checkpoint("qwen3-0.6b").quantize(quantizer).load()?;
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    pub fn quantize(self, quantizer: impl Into<Quantizer>) -> Self {
        self.with(|o| o.quantizer = Some(quantizer.into()))
    }

    /// Loads the model and starts its worker thread.
    ///
    /// # Errors
    /// As [`engine`](Self::engine), and [`Error::Thread`].
    pub fn load(self) -> Result<Model, Error> {
        Model::from_engine(self.engine()?)
    }

    /// Loads the model into an engine without a thread, for programs that own their loop.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for an option out of range; [`Error::OutOfMemoryBudget`] before any weight is touched;
    /// [`Error::Models`] with the reason why the checkpoint cannot be used.
    pub fn engine(self) -> Result<Engine, Error> {
        let HasCheckpoint { source, options } = self.state;
        options.check()?;
        let checkpoint = match (source, options.read_mode) {
            (ModelSource::Path(path), mode) => Checkpoint::options().mode(mode.unwrap_or_default()).open(path)?,
            (ModelSource::Open(_) | ModelSource::Embedded, Some(_)) => {
                let detail = "the checkpoint is open already; choose the mode with `Checkpoint::options`".into();
                return Err(Error::InvalidParameter { name: "read_mode", detail });
            }
            (ModelSource::Open(checkpoint), None) => *checkpoint,
            (ModelSource::Embedded, None) => decoder::embedded()?,
        };
        let description = Description::new(&checkpoint)?;
        let quantizer = options.quantizer.as_ref().map(|quantizer| match options.cpu().threads {
            Some(threads) => quantizer.clone().threads(threads),
            None => quantizer.clone(),
        });
        let quantized = quantizer.map(|quantizer| quantizer.at_load(&checkpoint, &description)).transpose()?;
        let weights: &dyn Weights = quantized.as_ref().map_or(checkpoint.weights(), |quantized| quantized);
        let bytes = quantized.as_ref().map_or(checkpoint.tensor_bytes(), |quantized| quantized.bytes());
        let plan = MemoryPlan::new(&decoder::measure(bytes, &description, &options), &options.wishes, &options.limits)?;
        decoder::check(description.spec(), plan.context_length)?;
        let text = TextModel::from_checkpoint(&checkpoint)?;
        let (limits, seed) = (options.limits, options.seed.unwrap_or_else(|| RandomState::new().hash_one(0u64)));
        let forward = decoder::load(weights, description, &plan, options)?;
        Ok(Engine::new(forward, text, limits, seed))
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.state.options);
        self
    }
}

impl From<&Path> for ModelSource {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&PathBuf> for ModelSource {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

impl From<&str> for ModelSource {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<String> for ModelSource {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<Checkpoint> for ModelSource {
    fn from(checkpoint: Checkpoint) -> Self {
        Self::Open(Box::new(checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use mistral_quant::{CpuOptions, ThreadPool};

    use super::*;

    #[test]
    fn options_out_of_range_are_named_before_anything_is_opened() {
        let ready = || Model::builder().checkpoint("/nowhere/model.gguf");
        let named = |builder: ModelBuilder<HasCheckpoint>| match builder.load().unwrap_err() {
            Error::InvalidParameter { name, .. } => name,
            other => panic!("{other}"),
        };
        for threads in [0, 1025, 40_000, usize::MAX] {
            assert_eq!(named(ready().threads(threads)), "threads");
        }
        assert_eq!(named(ready().context_length(0)), "context_length");
        assert_eq!(named(ready().kv_tokens(0)), "kv_tokens");
        assert_eq!(named(ready().block_tokens(0)), "block_tokens");
        assert_eq!(named(ready().max_sequences(0)), "max_sequences");
        assert_eq!(named(ready().max_batch_tokens(0)), "max_batch_tokens");
        assert!(matches!(ready().load(), Err(Error::Models(_))), "not found");
    }

    #[test]
    fn an_option_that_would_have_no_effect_is_refused() {
        let pool = ThreadPool::new(2).unwrap();
        let shared = || CpuOptions::default().pool(pool.clone());
        let ready = || Model::builder().embedded();
        let named = |builder: ModelBuilder<HasCheckpoint>| match builder.engine().unwrap_err() {
            Error::InvalidParameter { name, .. } => name,
            other => panic!("{other}"),
        };
        assert_eq!(named(ready().device(shared()).threads(3)), "threads");
        assert_eq!(named(ready().device(shared().threads(1))), "threads");
        assert!(ready().device(shared()).threads(2).engine().is_ok(), "the number that the pool has");
        assert_eq!(named(ready().read_mode(ReadMode::Read)), "read_mode");
        assert_eq!(
            named(Model::builder().checkpoint(decoder::embedded().unwrap()).read_mode(ReadMode::Map)),
            "read_mode"
        );
    }

    #[test]
    fn the_shortcut_for_threads_replaces_the_number_of_the_device_in_either_order() {
        let device = || Device::Cpu(CpuOptions::default().threads(2));
        for builder in [
            Model::builder().embedded().device(device()).threads(3),
            Model::builder().embedded().threads(3).device(device()),
        ] {
            assert_eq!(builder.state.options.cpu().threads, Some(3));
        }
    }
}
