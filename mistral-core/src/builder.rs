//! Options before loading. The checkpoint has no safe default, so the type asks for it first; everything else has one.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use mistral_models::{Checkpoint, Description, Quantizer, ReadMode, Weights};
use mistral_quant::{CpuOptions, Isa, KvFormat, Repack, ThreadPool};

use crate::decoder;
use crate::engine::Limits;
use crate::memory::{MemoryPlan, Wishes};
use crate::text::TextModel;
use crate::{Engine, Error, Model};

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
pub struct NoCheckpoint(());

/// The state of a [`ModelBuilder`] that can load.
#[derive(Debug)]
pub struct Ready {
    source: Source,
    options: Options,
}

/// Where a model comes from; what [`ModelBuilder::checkpoint`] takes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A path, or the id of a model in the local Hugging Face cache.
    Path(PathBuf),
    /// A checkpoint that is open already.
    Open(Box<Checkpoint>),
    /// The small model inside this crate.
    Embedded,
}

/// Everything that has a default.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) cpu: CpuOptions,
    pub(crate) key_format: KvFormat,
    pub(crate) value_format: KvFormat,
    pub(crate) read_mode: ReadMode,
    pub(crate) limits: Limits,
    pub(crate) wishes: Wishes,
    pub(crate) seed: Option<u64>,
    pub(crate) quantizer: Option<Quantizer>,
}

impl ModelBuilder<NoCheckpoint> {
    pub(crate) fn new() -> Self {
        Self { state: NoCheckpoint(()) }
    }

    /// The checkpoint: a path (`.gguf`, `.safetensors`, a directory), the id of a model in the local Hugging Face cache, or a
    /// [`Checkpoint`] opened before.
    pub fn checkpoint(self, source: impl Into<Source>) -> ModelBuilder<Ready> {
        let limits = Limits { max_sequences: 8, queue_capacity: 64, max_batch_tokens: 512 };
        let wishes = Wishes { context_length: None, kv_tokens: None, block_tokens: 32, budget: None };
        let options = Options {
            cpu: CpuOptions::default(),
            key_format: KvFormat::default(),
            value_format: KvFormat::default(),
            read_mode: ReadMode::default(),
            limits,
            wishes,
            seed: None,
            quantizer: None,
        };
        ModelBuilder { state: Ready { source: source.into(), options } }
    }

    /// The small model inside this crate.
    pub fn embedded(self) -> ModelBuilder<Ready> {
        self.checkpoint(Source::Embedded)
    }
}

impl ModelBuilder<Ready> {
    /// Sets how many threads compute, from 1 to [`ThreadPool::MAX_THREADS`]. Default: the number that the system reports as available.
    pub fn threads(self, threads: usize) -> Self {
        self.with(|o| o.cpu.threads = Some(threads))
    }

    /// A pool of threads to share with other models, instead of one of its own.
    pub fn thread_pool(self, pool: ThreadPool) -> Self {
        self.with(|o| o.cpu.pool = Some(pool))
    }

    /// The best instruction set to use, for tests and comparisons. Default: the best that the machine has.
    pub fn isa_limit(self, isa: Isa) -> Self {
        self.with(|o| o.cpu.isa_limit = Some(isa))
    }

    /// When weights are laid out anew for the kernels. Default: in the background, after which the pages of a mapped file are given
    /// back; results are the same before and after.
    pub fn repack(self, repack: Repack) -> Self {
        self.with(|o| o.cpu.repack = repack)
    }

    /// Rounds activations to BF16 where weights are BF16: see [`CpuOptions::bf16_products`]. Default: off, products are exact.
    pub fn bf16_products(self, on: bool) -> Self {
        self.with(|o| o.cpu.bf16_products = on)
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

    /// Map files into memory (the default) or read them. A checkpoint that is open already stays as it is.
    pub fn read_mode(self, mode: ReadMode) -> Self {
        self.with(|o| o.read_mode = mode)
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
        let Ready { source, options } = self.state;
        options.check()?;
        let checkpoint = match source {
            Source::Path(path) => Checkpoint::options().mode(options.read_mode).open(path)?,
            Source::Open(checkpoint) => *checkpoint,
            Source::Embedded => decoder::embedded()?,
        };
        let description = Description::new(&checkpoint)?;
        let quantizer = options.quantizer.as_ref().map(|quantizer| match options.cpu.threads {
            Some(threads) => quantizer.clone().threads(threads),
            None => quantizer.clone(),
        });
        let quantized = quantizer.map(|quantizer| quantizer.at_load(&checkpoint, &description)).transpose()?;
        let weights: &dyn Weights = quantized.as_ref().map_or(checkpoint.weights(), |quantized| quantized);
        let bytes = quantized.as_ref().map_or(checkpoint.tensor_bytes(), |quantized| quantized.bytes());
        let plan = MemoryPlan::new(&decoder::measure(bytes, &description, &options), &options.wishes, &options.limits)?;
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

/// The longest context: positions up to here are exact in f32.
const MAX_CONTEXT: usize = 1 << 24;

impl Options {
    fn check(&self) -> Result<(), Error> {
        let counts = [
            ("threads", self.cpu.threads.unwrap_or(1)),
            ("context_length", self.wishes.context_length.unwrap_or(1)),
            ("kv_tokens", self.wishes.kv_tokens.unwrap_or(1)),
            ("block_tokens", self.wishes.block_tokens),
            ("max_sequences", self.limits.max_sequences),
            ("max_batch_tokens", self.limits.max_batch_tokens),
        ];
        if let Some(tokens) = self.wishes.context_length.filter(|tokens| *tokens > MAX_CONTEXT) {
            let detail =
                format!("{tokens} is more than {MAX_CONTEXT}: f32, which angles are computed in, counts no further");
            return Err(Error::InvalidParameter { name: "context_length", detail });
        }
        if let Some((name, _)) = counts.into_iter().find(|count| count.1 == 0) {
            return Err(Error::InvalidParameter { name, detail: "0 is not at least 1".into() });
        }
        match self.cpu.threads {
            Some(threads) if threads > ThreadPool::MAX_THREADS => {
                let detail = format!("{threads} is above {}, the most that a pool can have", ThreadPool::MAX_THREADS);
                Err(Error::InvalidParameter { name: "threads", detail })
            }
            _ => Ok(()),
        }
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        Self::Path(path.clone())
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<String> for Source {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<Checkpoint> for Source {
    fn from(checkpoint: Checkpoint) -> Self {
        Self::Open(Box::new(checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named_before_anything_is_opened() {
        let ready = || Model::builder().checkpoint("/nowhere/model.gguf");
        let named = |builder: ModelBuilder<Ready>| match builder.load().unwrap_err() {
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
}
