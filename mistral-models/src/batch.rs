//! One step of work: flattened tokens of any mix of sequences, and the logits that come back.

/// Which rows of a sequence's tokens get logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LogitRows {
    /// None: an inner chunk of a prompt.
    None,
    /// The last token only: a decode step or the end of a prompt.
    #[default]
    Last,
    /// Every token (perplexity, scoring).
    All,
}

/// A run of consecutive tokens of one sequence inside a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Row of the first token in [`Batch::tokens`].
    pub start: usize,
    /// Number of tokens, at least 1.
    pub tokens: usize,
    /// Position of the first token; the cache holds positions `0..position` already.
    pub position: usize,
    /// Tokens of the sequence that are known now, this run included: at least `position + tokens`, and the whole prompt's length
    /// for every chunk of a prompt. Rope scalings that depend on the length (dynamic NTK, LongRoPE) read it, so that a
    /// prompt in pieces gives what the whole prompt gives.
    pub length: usize,
    /// Cache blocks, enough for `position + tokens` slots; see [`mistral_quant::Span::blocks`].
    pub block_table: Vec<u32>,
    /// Which rows get logits.
    pub logits: LogitRows,
}

/// Flattened tokens of one step: prefill chunks and decodes together, in any mix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    sequences: Vec<Sequence>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.sequences.clear();
    }

    /// Appends a run of tokens at `position` of a sequence that is `length` tokens long so far (see [`Sequence::length`]).
    /// An empty run is left out.
    pub fn push(&mut self, tokens: &[u32], position: usize, length: usize, block_table: Vec<u32>, logits: LogitRows) {
        if tokens.is_empty() {
            return;
        }
        let length = length.max(position.saturating_add(tokens.len()));
        let start = self.tokens.len();
        self.sequences.push(Sequence { start, tokens: tokens.len(), position, length, block_table, logits });
        self.tokens.extend_from_slice(tokens);
    }

    /// All token ids. Shape `[tokens]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The runs, in the order pushed.
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Batch rows that get logits, in the order in which [`Logits`] holds them.
    pub fn logit_rows(&self) -> Vec<u32> {
        let mut rows = Vec::new();
        for s in &self.sequences {
            let range = match s.logits {
                LogitRows::None => 0..0,
                LogitRows::Last => s.start + s.tokens - 1..s.start + s.tokens,
                LogitRows::All => s.start..s.start + s.tokens,
            };
            rows.extend(range.map(|r| r as u32));
        }
        rows
    }
}

/// Logits of one step: `[rows, vocab_size]`, rows in the order of [`Batch::logit_rows`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logits {
    values: Vec<f32>,
    vocab_size: usize,
}

impl Logits {
    /// Sets the shape to `[rows, vocab_size]`, keeping memory; the contents are undefined until written.
    pub fn reset(&mut self, rows: usize, vocab_size: usize) {
        self.vocab_size = vocab_size;
        self.values.resize(rows.saturating_mul(vocab_size), 0.0);
    }

    /// All values. Shape `[rows, vocab_size]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be written.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Row `row`, or `None` beyond the last.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        self.values.chunks_exact(self.vocab_size.max(1)).nth(row)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab_size.max(1)
    }

    /// The width of a row.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}
