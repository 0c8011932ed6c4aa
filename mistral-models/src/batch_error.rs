//! What may be wrong with a batch: one variant for each that a host may want to tell apart.

/// Why a [`Batch`](crate::Batch) does not fit the decoder or the cache, in [`Error::Batch`](crate::Error::Batch).
///
/// Nothing is written for a batch that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A token id that the decoder does not have.
    #[error("token id {token} at row {row} is not below the vocabulary's size {vocab_size}")]
    Token {
        /// Index among the tokens of the batch.
        row: usize,
        /// The id.
        token: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// A token type that the decoder does not have.
    #[error("token type {token_type} at row {row} is not below {types}")]
    TokenType {
        /// Index among the tokens of the batch.
        row: usize,
        /// The type.
        token_type: u32,
        /// Types are below this.
        types: usize,
    },
    /// A run with more or fewer block tables than the cache has groups of layers.
    #[error("run {run} has {found} block tables; expected {expected}")]
    Tables {
        /// Index among the runs of the batch.
        run: usize,
        /// Groups of layers in the cache.
        expected: usize,
        /// Tables of the run.
        found: usize,
    },
    /// A run whose positions are beyond its block table.
    #[error("run {run} ends at position {end}, its block table has {slots} slots")]
    Slots {
        /// Index among the runs of the batch.
        run: usize,
        /// The position after the last token.
        end: usize,
        /// Token slots of the blocks in the table.
        slots: usize,
    },
    /// A block that the cache does not have.
    #[error("block {block} of run {run} is not below the cache's {blocks} blocks")]
    Block {
        /// Index among the runs of the batch.
        run: usize,
        /// The block.
        block: u32,
        /// Blocks are below this.
        blocks: usize,
    },
    /// A slot of recurrent state that the cache does not have.
    #[error("slot {slot} of run {run} is not below the cache's {slots} slots")]
    StateSlot {
        /// Index among the runs of the batch.
        run: usize,
        /// The slot.
        slot: usize,
        /// Slots are below this.
        slots: usize,
    },
    /// A run beyond the positions that the decoder has learned.
    #[error("run {run} ends at position {end}; the decoder has {positions} positions")]
    Positions {
        /// Index among the runs of the batch.
        run: usize,
        /// The position after the last token.
        end: usize,
        /// Positions that the decoder has.
        positions: usize,
    },
    /// A run of an encoder that does not start at the first position.
    #[error("run {run} starts at position {position}; a text of an encoder is one run")]
    Encoder {
        /// Index among the runs of the batch.
        run: usize,
        /// Its first position.
        position: usize,
    },
    /// Soft tokens with another number of values than their run takes.
    #[error("soft tokens of {found} values at row {row}; expected {expected}")]
    SoftTokens {
        /// Index of their first row among the tokens of the batch.
        row: usize,
        /// Values that the run takes, `tokens * hidden_size`.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
    /// A cache that was made for another decoder.
    #[error("the cache was made for another decoder: {detail}")]
    OtherDecoder {
        /// What differs.
        detail: String,
    },
    /// Logits of another shape than the batch asked for.
    #[error("the model returned {found} logits for {rows} rows of {vocab_size}")]
    Logits {
        /// Rows that the batch asked for.
        rows: usize,
        /// Logits per row.
        vocab_size: usize,
        /// Logits in all.
        found: usize,
    },
    /// Anything else.
    #[error("{detail}")]
    Other {
        /// What does not fit.
        detail: String,
    },
}
