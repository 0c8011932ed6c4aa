//! What the engine needs of a model, and nothing more; the decoder of `mistral-models` and the scripted models of the tests
//! stand behind it.

use mistral_models::{Batch, Error, Logits};

/// What a cache has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheShape {
    /// Token slots per block.
    pub(crate) block_tokens: usize,
    /// For each group of layers its blocks, and how far back it sees; `None`: to the beginning.
    pub(crate) groups: Vec<(usize, Option<usize>)>,
    /// Sequences that may hold recurrent state at the same time.
    pub(crate) slots: usize,
    /// Whether keys change with the length of their sequence.
    pub(crate) keys_depend_on_length: bool,
}

/// A model with its cache. One call per step, so the indirection costs nothing measurable.
pub(crate) trait Forward: Send {
    /// Returns the logits per token; token ids are below this.
    fn vocab_size(&self) -> usize;
    /// Returns the positions that a sequence may have, prompt and output together.
    fn context_length(&self) -> usize;
    /// Returns how many positions the checkpoint was made for.
    fn trained_context(&self) -> usize {
        self.context_length()
    }
    /// What the cache has room for.
    fn cache(&self) -> CacheShape;
    /// Runs a batch: reads and writes the cache, sets `logits` to `[batch.logit_rows(), vocab_size]`.
    ///
    /// The logits of a token depend on the tokens before it in its sequence and on nothing else: not on how they were
    /// split into chunks, not on the other sequences of the batch, not on what the blocks held before.
    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), Error>;
}
