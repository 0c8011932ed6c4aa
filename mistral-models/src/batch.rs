//! One step of work: flattened tokens of any mix of sequences, and the logits that come back.

/// Which rows of a run get logits, or of an encoder are returned.
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

/// Consecutive tokens of one sequence, to be pushed to a [`Batch`].
///
/// ```
/// use mistral_models::{LogitRows, Run};
/// // Tokens 32 and 33 of a sequence of 34 tokens, whose cache lies in blocks 5 and 2.
/// let run = Run::new(&[17, 4], 32).length(34).table(vec![5, 2]).rows(LogitRows::Last);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Run<'a> {
    tokens: &'a [u32],
    token_types: &'a [u32],
    soft: Option<&'a [f32]>,
    position: usize,
    length: usize,
    tables: Vec<Vec<u32>>,
    slot: usize,
    rows: LogitRows,
}

impl<'a> Run<'a> {
    /// A run of `tokens` from `position` on; cache and state hold positions `0..position` already.
    pub fn new(tokens: &'a [u32], position: usize) -> Self {
        let length = position.saturating_add(tokens.len());
        let rows = LogitRows::default();
        Self { tokens, token_types: &[], soft: None, position, length, tables: Vec::new(), slot: 0, rows }
    }

    /// Sets the number of tokens of the sequence that are known now, this run included; for every chunk of a prompt the length of the
    /// whole prompt. Rope scalings that depend on the length (dynamic NTK, LongRoPE) read it, so that a prompt in pieces gives the
    /// result of the whole prompt. Default: up to the end of the run.
    #[must_use]
    pub fn length(mut self, length: usize) -> Self {
        self.length = self.length.max(length);
        self
    }

    /// Adds the block table of the next group of [`CachePlan::groups`](crate::CachePlan::groups): the cache blocks of the sequence, in the
    /// order of its positions, enough for the end of the run. Most decoders have one group. Blocks that lie wholly behind the group's
    /// window may hold any number.
    #[must_use]
    pub fn table(mut self, blocks: Vec<u32>) -> Self {
        self.tables.push(blocks);
        self
    }

    /// Adds the same block table for each of `groups` groups, as a cache with equally many blocks in all groups
    /// ([`Cache::groups`](crate::Cache::groups)) allows.
    #[must_use]
    pub fn tables(mut self, groups: usize, blocks: &[u32]) -> Self {
        self.tables.extend((0..groups).map(|_| blocks.to_vec()));
        self
    }

    /// Sets the slot of the sequence's recurrent state. Default: 0.
    #[must_use]
    pub fn slot(mut self, slot: usize) -> Self {
        self.slot = slot;
        self
    }

    /// Sets which rows get logits. Default: the last.
    #[must_use]
    pub fn rows(mut self, rows: LogitRows) -> Self {
        self.rows = rows;
        self
    }

    /// Sets the type of each token, for encoders that have token types. Default: 0 for all.
    #[must_use]
    pub fn token_types(mut self, types: &'a [u32]) -> Self {
        self.token_types = types;
        self
    }

    /// Puts `values` in the place of the embeddings: `[tokens, hidden_size]`, as an image encoder makes them. The token ids are not looked
    /// at then; the embedding scale is not applied.
    #[must_use]
    pub fn soft(mut self, values: &'a [f32]) -> Self {
        self.soft = Some(values);
        self
    }
}

/// A [`Run`] inside a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRun {
    /// Row of the first token in [`Batch::tokens`].
    pub start: usize,
    /// Number of tokens, at least 1.
    pub tokens: usize,
    /// Position of the first token in its sequence.
    pub position: usize,
    /// Tokens of the sequence that are known; see [`Run::length`].
    pub length: usize,
    /// The block table of each group of layers; see [`Run::table`].
    pub tables: Vec<Vec<u32>>,
    /// The slot of recurrent state.
    pub slot: usize,
    /// Which rows get logits.
    pub rows: LogitRows,
}

/// Flattened tokens of one step: prefill chunks and decodes together, in any mix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    tokens: Vec<u32>,
    token_types: Vec<u32>,
    runs: Vec<BatchRun>,
    /// First row and values of soft tokens.
    soft: Vec<(usize, Vec<f32>)>,
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.token_types.clear();
        self.runs.clear();
        self.soft.clear();
    }

    /// Appends a run. An empty run is left out.
    pub fn push(&mut self, run: Run<'_>) {
        let Run { tokens, token_types, soft, position, length, tables, slot, rows } = run;
        if tokens.is_empty() {
            return;
        }
        let start = self.tokens.len();
        self.runs.push(BatchRun { start, tokens: tokens.len(), position, length, tables, slot, rows });
        match soft {
            None => self.tokens.extend_from_slice(tokens),
            Some(values) => {
                self.tokens.resize(start + tokens.len(), 0);
                self.soft.push((start, values.to_vec()));
            }
        }
        self.token_types.extend_from_slice(token_types);
        self.token_types.resize(self.tokens.len(), 0);
    }

    /// All token ids. Shape `[tokens]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The type of each token. Shape `[tokens]`.
    pub(crate) fn token_types(&self) -> &[u32] {
        &self.token_types
    }

    /// The runs, in the order pushed.
    pub fn runs(&self) -> &[BatchRun] {
        &self.runs
    }

    /// First row and values of soft tokens.
    pub(crate) fn soft(&self) -> &[(usize, Vec<f32>)] {
        &self.soft
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Batch rows that get logits, in the order in which [`Logits`] holds them.
    pub fn logit_rows(&self) -> Vec<u32> {
        let mut rows = Vec::new();
        for run in &self.runs {
            let range = match run.rows {
                LogitRows::None => 0..0,
                LogitRows::Last => run.start + run.tokens - 1..run.start + run.tokens,
                LogitRows::All => run.start..run.start + run.tokens,
            };
            rows.extend(range.map(|r| r as u32));
        }
        rows
    }
}

/// Logits of one step: `[rows, vocab_size]`, rows in the order of [`Batch::logit_rows`]. Of an encoder, which has no vocabulary to choose
/// from, the rows of the residual stream: `[rows, hidden_size]`.
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
