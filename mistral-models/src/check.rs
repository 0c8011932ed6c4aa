//! What a batch must satisfy before a step, and how much memory a step takes.

use mistral_quant::Backend;

use crate::batch::{Batch, BatchRun};
use crate::batch_error::BatchError;
use crate::block::scratch::Widths;
use crate::cache::Cache;
use crate::decoder::Decoder;
use crate::spec::{DecoderSpec, Head};

/// Values of the buffers of a step that are no blocks' own.
pub(crate) struct WorkSizes {
    /// Each of the three rows of the residual stream.
    pub(crate) stream: usize,
    /// The output of a further branch.
    pub(crate) further: usize,
    /// Rows before the head, twice.
    pub(crate) last: usize,
    pub(crate) logits: usize,
}

impl DecoderSpec {
    /// Returns the widths of the working memory of all blocks, which they share.
    pub(crate) fn widths(&self) -> Widths {
        self.blocks().fold(Widths::default(), |widths, block| widths.max(block.widths(self.hidden_size)))
    }

    /// Returns the sizes of the other buffers of a step of `tokens` tokens and `rows` rows of logits.
    pub(crate) fn work_sizes(&self, tokens: usize, rows: usize) -> WorkSizes {
        let stream = tokens.saturating_mul(self.hidden_size);
        let parallel =
            self.layers.iter().flat_map(|layer| &layer.residuals).any(|residual| residual.branches.len() > 1);
        let logits = if matches!(self.head, Head::None { .. }) { 0 } else { rows.saturating_mul(self.vocab_size) };
        let further = if parallel { stream } else { 0 };
        WorkSizes { stream, further, last: rows.saturating_mul(self.hidden_size), logits }
    }

    /// Returns the bytes of working memory of a step of `tokens` tokens that computes `rows` rows of logits.
    pub fn workspace_bytes(&self, tokens: usize, rows: usize) -> u64 {
        let WorkSizes { stream, further, last, logits } = self.work_sizes(tokens, rows);
        let blocks = (tokens as u64).saturating_mul(self.widths().per_token());
        let rest = [stream, stream, stream, further, last, last, logits];
        rest.into_iter().fold(blocks, |sum, len| sum.saturating_add(len as u64)).saturating_mul(4)
    }
}

impl<B: Backend> Decoder<B> {
    /// Refuses a batch that does not fit the decoder or the cache.
    pub(crate) fn check(&self, batch: &Batch, cache: &Cache<B>) -> Result<(), BatchError> {
        let spec = self.spec();
        let vocab_size = spec.vocab_size;
        if let Some((row, &token)) = batch.tokens().iter().enumerate().find(|(_, id)| **id as usize >= vocab_size) {
            return Err(BatchError::Token { row, token, vocab_size });
        }
        let types = spec.token_types.max(1);
        if let Some((row, &token_type)) = batch.token_types().iter().enumerate().find(|(_, id)| **id as usize >= types)
        {
            return Err(BatchError::TokenType { row, token_type, types });
        }
        if cache.blocks.len() != spec.blocks().count() {
            return Err(BatchError::OtherDecoder { detail: format!("it has {} blocks", cache.blocks.len()) });
        }
        for (index, run) in batch.runs().iter().enumerate() {
            self.check_run(index, run, cache)?;
        }
        for (row, values) in batch.soft() {
            let run = batch.runs().iter().find(|run| run.start == *row);
            let expected = run.map_or(0, |run| run.tokens.saturating_mul(spec.hidden_size));
            if values.len() != expected {
                return Err(BatchError::SoftTokens { row: *row, expected, found: values.len() });
            }
        }
        Ok(())
    }

    fn check_run(&self, run: usize, placed: &BatchRun, cache: &Cache<B>) -> Result<(), BatchError> {
        let (spec, options) = (self.spec(), cache.options());
        let BatchRun { position, ref tables, slot, .. } = *placed;
        let end = position.saturating_add(placed.tokens);
        if tables.len() != cache.groups() {
            return Err(BatchError::Tables { run, expected: cache.groups(), found: tables.len() });
        }
        for (group, table) in tables.iter().enumerate() {
            let slots = table.len().saturating_mul(options.block_tokens);
            if end > slots {
                return Err(BatchError::Slots { run, end, slots });
            }
            let (blocks, window) = (options.blocks_of(group), cache.window(spec, group));
            let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
            let used = table.iter().skip(first.checked_div(options.block_tokens).unwrap_or(0));
            if let Some(&block) = used.into_iter().find(|block| **block as usize >= blocks) {
                return Err(BatchError::Block { run, block, blocks });
            }
        }
        if cache.has_state() && slot >= options.slots {
            return Err(BatchError::StateSlot { run, slot, slots: options.slots });
        }
        match spec.positions.map(|learned| learned.rows.saturating_sub(learned.offset)) {
            Some(positions) if end > positions => return Err(BatchError::Positions { run, end, positions }),
            _ => {}
        }
        match spec.is_encoder() && position != 0 {
            true => Err(BatchError::Encoder { run, position }),
            false => Ok(()),
        }
    }
}
