//! A running generation: its tokens, its place in the cache, its sampler and its text.

use std::sync::Arc;
use std::time::Instant;

use mistral_models::TextStream;

use crate::block_pool::BlockId;
use crate::constraint::{CallMask, TokenTable};
use crate::sample::{Logprobs, Sampler};
use crate::stop::StopStrings;
use crate::{Error, FinishReason, Piece, Request, SequenceId, Usage};

/// Everything the engine knows about one sequence.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: SequenceId,
    /// Prompt and output.
    pub(crate) tokens: Vec<u32>,
    /// How many of `tokens` are in the cache.
    pub(crate) computed: usize,
    /// The cache blocks that hold them.
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) sampler: Sampler,
    pub(crate) constraint: Option<CallMask>,
    pub(crate) deadline: Option<Instant>,
    prompt_tokens: usize,
    /// Length of `tokens` at which the sequence ends.
    limit: usize,
    end_tokens: Vec<u32>,
    stop_tokens: Vec<u32>,
    stop: StopStrings,
    text: Option<TextStream>,
    /// Tokens that the tokenizer knows; the model may have rows of padding beyond.
    text_tokens: usize,
    /// What will be the next piece.
    piece: Piece,
    /// Whether a stop string was found: the text is complete.
    ended: bool,
}

/// What the checkpoint says about ends and text.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) text: Option<TextStream>,
    pub(crate) text_tokens: usize,
    /// For sequences with a constraint.
    pub(crate) token_table: Option<Arc<TokenTable>>,
}

impl Sequence {
    /// A sequence that has not begun. `request` is checked, `context` is the number of positions it may have.
    pub(crate) fn new(
        id: SequenceId,
        tokens: Vec<u32>,
        request: Request,
        context: usize,
        seed: u64,
        vocabulary: Vocabulary,
    ) -> Self {
        let prompt_tokens = tokens.len();
        let limit = request.max_tokens.map_or(context, |most| prompt_tokens.saturating_add(most).min(context));
        let constraint = request.constraint.zip(vocabulary.token_table).map(|(rule, table)| {
            let ends = [&vocabulary.end_tokens[..], &request.stop_tokens[..]].concat();
            CallMask::new(rule, table, ends)
        });
        Self {
            id,
            constraint,
            sampler: Sampler::new(request.sampling, request.logprobs, seed, &tokens),
            tokens,
            computed: 0,
            blocks: Vec::new(),
            deadline: request.deadline,
            prompt_tokens,
            limit,
            end_tokens: vocabulary.end_tokens,
            stop_tokens: request.stop_tokens,
            stop: StopStrings::new(request.stop_strings, request.include_stop),
            text: vocabulary.text,
            text_tokens: vocabulary.text_tokens,
            piece: Piece::default(),
            ended: false,
        }
    }

    /// Tokens not yet in the cache; at least 1 while the sequence runs.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Takes a generated token; the reason when it is the last one.
    pub(crate) fn accept(&mut self, token: u32, logprobs: Option<Logprobs>) -> Result<Option<FinishReason>, Error> {
        self.tokens.push(token);
        let end = match token {
            t if self.stop_tokens.contains(&t) => Some(FinishReason::StopToken(t)),
            t if self.end_tokens.contains(&t) => Some(FinishReason::EndOfText(t)),
            _ => None,
        };
        if end.is_some() {
            return Ok(end);
        }
        self.piece.tokens.push(token);
        self.piece.logprobs.extend(logprobs);
        if let Some(stream) = self.text.as_mut().filter(|_| (token as usize) < self.text_tokens) {
            let out = &mut self.piece.text;
            let stop = self.stop.push(stream.push(token)?, out);
            let stop = stop.or_else(|| self.stop.push_hidden(stream.skipped(token).unwrap_or_default(), out));
            if let Some(index) = stop {
                self.ended = true;
                return Ok(Some(FinishReason::StopString(index)));
            }
        }
        Ok((self.tokens.len() >= self.limit).then_some(FinishReason::Length))
    }

    /// The next piece, once it has text.
    pub(crate) fn take_piece(&mut self) -> Option<Piece> {
        (!self.piece.text.is_empty()).then(|| std::mem::take(&mut self.piece))
    }

    /// Ends the text and gives out what was held back, except after a stop string.
    pub(crate) fn last_piece(&mut self) -> Option<Piece> {
        if let Some(stream) = self.text.take().filter(|_| !self.ended).as_mut()
            && self.stop.push(stream.finish(), &mut self.piece.text).is_none()
        {
            self.stop.finish(&mut self.piece.text);
        }
        let some = !self.piece.text.is_empty() || !self.piece.tokens.is_empty();
        some.then(|| std::mem::take(&mut self.piece))
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens, generated_tokens: self.tokens.len() - self.prompt_tokens }
    }
}
