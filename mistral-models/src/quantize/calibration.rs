//! Measuring an importance matrix: a model over text, chunk by chunk, while the squares of the inputs of its products are summed.

use mistral_quant::{Backend, KvFormat};

use super::importance::Importance;
use super::squares::Squares;
use crate::batch::{Batch, LogitRows, Logits, Run};
use crate::cache::{Cache, CacheOptions};
use crate::decoder::Decoder;
use crate::description::Description;
use crate::error::Error;
use crate::loader::weights::Weights;

/// Tokens of one step: working memory for these suffices for chunks of any length.
const STEP: usize = 512;

/// A model that is run to measure an [`Importance`].
///
/// Every chunk is a text of its own: no token sees one of another chunk. Some hundred chunks of 512 tokens of the kind of text that the
/// model is for are usual. The squares are summed in f64, so that the result does not depend on how many there are.
///
/// ```
/// use mistral_models::{Checkpoint, Description, Tokenizer};
/// use mistral_models::quantize::Calibration;
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
pub struct Calibration<B: Backend> {
    decoder: Decoder<B>,
    cache: Cache<B>,
    squares: Squares,
    chunk_tokens: usize,
    chunks: u32,
    head: bool,
}

impl<B: Backend> Calibration<B> {
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
        let mut decoder = Decoder::load(backend, weights, description)?;
        let cache = decoder.cache(CacheOptions::new(1, chunk_tokens).formats(KvFormat::F32, KvFormat::F32))?;
        Ok(Self { decoder, cache, squares: Squares::default(), chunk_tokens, chunks: 0, head: false })
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
            let run = Run::new(run, step.saturating_mul(STEP)).length(tokens.len()).rows(rows);
            batch.push(run.tables(self.cache.groups(), &[0]));
            let squares = &mut self.squares;
            self.decoder.observe(&batch, &mut self.cache, &mut logits, &mut |seen| squares.add(&seen))?;
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
        let measured = |name: &str| self.head || name.starts_with("blk.");
        for (name, squares) in self.squares.iter().filter(|(name, _)| measured(name)) {
            all.insert_squares(name, squares)?;
        }
        Ok(all)
    }
}
