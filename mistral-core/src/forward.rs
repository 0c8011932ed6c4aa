//! What the engine needs of a model, and nothing more; the decoder of `mistral-models` and the scripted models of the tests
//! stand behind it.

use mistral_models::{Batch, Error, Logits};

/// A model with its cache. One call a step, so the indirection costs nothing measurable.
pub(crate) trait Forward: Send {
    /// Logits a token; token ids are below this.
    fn vocab_size(&self) -> usize;
    /// Positions that a sequence may have, prompt and output together.
    fn context_length(&self) -> usize;
    /// Returns how many positions the checkpoint was made for.
    fn trained_context(&self) -> usize {
        self.context_length()
    }
    /// Token slots of a cache block.
    fn block_tokens(&self) -> usize;
    /// Cache blocks.
    fn blocks(&self) -> usize;
    /// Runs a batch: reads and writes the cache, sets `logits` to `[batch.logit_rows(), vocab_size]`.
    ///
    /// The logits of a token depend on the tokens before it in its sequence and on nothing else: not on how they were
    /// split into chunks, not on the other sequences of the batch, not on what the blocks held before.
    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), Error>;
}
