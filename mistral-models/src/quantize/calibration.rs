//! Measuring an importance matrix: a model over text, chunk by chunk, on a backend that sums the squares of what its weights are
//! multiplied with.

use mistral_quant::{Backend, KvFormat, Observed};

use super::Importance;
use crate::{Batch, Cache, CacheOptions, Decoder, Description, Error, LogitRows, Logits, Weights};

/// Tokens of one step: working memory for these suffices for chunks of any length.
const STEP: usize = 512;

/// A model that is run to measure an [`Importance`].
///
/// Every chunk is a text of its own: no token sees one of another chunk. Some hundred chunks of 512 tokens of the kind of text that the
/// model is for are usual. The squares are summed in f64, so that the result does not depend on how many there are.
///
/// ```
/// use mistral_models::{Calibration, Checkpoint, Description, Tokenizer};
/// use mistral_quant::{Cpu, CpuOptions};
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistral-core/assets/default-model/model.gguf");
/// # if !std::path::Path::new(path).exists() { return Ok(()) } // the crate alone, without the repository
///
/// let checkpoint = Checkpoint::open(path)?;
/// let tokens = Tokenizer::from_checkpoint(&checkpoint)?.encode("Once upon a time there was a cat.", Default::default())?;
/// let description = Description::new(&checkpoint)?;
/// let mut calibration = Calibration::new(Cpu::new(CpuOptions::default())?, checkpoint.weights(), description, 4)?;
/// for chunk in tokens.chunks_exact(calibration.chunk_tokens()) {
///     calibration.chunk(chunk)?;
/// }
/// let importance = calibration.importance("a sentence")?;
/// assert!(importance.get("blk.0.ffn_down.weight").is_some());
/// # Ok::<(), mistral_models::Error>(())
/// ```
pub struct Calibration<B: Backend>
where
    B::Weight: Clone,
{
    decoder: Decoder<Observed<B>>,
    cache: Cache<Observed<B>>,
    chunk_tokens: usize,
    chunks: u32,
    head: bool,
}

impl<B: Backend> Calibration<B>
where
    B::Weight: Clone,
{
    /// Loads a model, for chunks of up to `chunk_tokens` tokens.
    ///
    /// # Errors
    /// Those of [`Decoder::load`]; [`Error::Config`] for chunks that are longer than the model's context, or empty.
    pub fn new(
        backend: B,
        weights: &dyn Weights,
        description: Description,
        chunk_tokens: usize,
    ) -> Result<Self, Error> {
        let context = description.spec().context_length;
        if chunk_tokens == 0 || chunk_tokens > context {
            let detail = format!("{chunk_tokens} tokens of a chunk in a context of {context}");
            return Err(Error::config("chunk_tokens", detail));
        }
        let mut decoder = Decoder::load(Observed::new(backend), weights, description)?;
        let (key_format, value_format) = (KvFormat::F32, KvFormat::F32);
        let cache = decoder.cache(CacheOptions { blocks: 1, block_tokens: chunk_tokens, key_format, value_format })?;
        Ok(Self { decoder, cache, chunk_tokens, chunks: 0, head: false })
    }

    /// Whether the head is measured too. Default: no; it takes a format of more bits than others, and logits of every token cost time.
    #[must_use]
    pub fn head(mut self, head: bool) -> Self {
        self.head = head;
        self
    }

    /// Tokens of the longest chunk.
    pub fn chunk_tokens(&self) -> usize {
        self.chunk_tokens
    }

    /// Runs the model over a chunk.
    ///
    /// # Errors
    /// [`Error::Batch`] for more tokens than [`chunk_tokens`](Self::chunk_tokens) and for ids that the model does not have; those of the
    /// backend.
    pub fn chunk(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let rows = if self.head { LogitRows::All } else { LogitRows::None };
        let mut logits = Logits::default();
        for (step, run) in tokens.chunks(STEP).enumerate() {
            let mut batch = Batch::default();
            batch.push(run, step.saturating_mul(STEP), tokens.len(), vec![0], rows);
            self.decoder.forward(&batch, &mut self.cache, &mut logits)?;
        }
        self.chunks = self.chunks.saturating_add(1);
        Ok(())
    }

    /// What was measured so far, by the names of GGUF files: the matrices of all layers, and the head if it was asked for.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the model computed infinities or NaN.
    pub fn importance(&self, dataset: impl Into<String>) -> Result<Importance, Error> {
        let tokens = u32::try_from(self.chunk_tokens).unwrap_or(u32::MAX);
        let mut all = Importance::default().measured_on(self.chunks, tokens, dataset);
        let seen = self.decoder.backend().all_squares();
        let measured = |name: &str| self.head || name.starts_with("blk.");
        for (name, squares) in seen.filter(|(name, squares)| measured(name) && squares.counts().iter().any(|n| *n > 0))
        {
            all.insert_squares(name, squares)?;
        }
        Ok(all)
    }
}
