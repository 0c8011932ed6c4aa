//! A running generation: its tokens, its place in the cache, its sampler and its text.

use std::time::Instant;

use mistral_models::TextStream;

use crate::cache_pools::Held;
use crate::constraint::rule::TokenMask;
use crate::error::Error;
use crate::event::{FinishReason, TextPiece, Usage};
use crate::prepared::Prepared;
use crate::request::SequenceId;
use crate::sample::Sampler;
use crate::sample::logprobs::Logprobs;
use crate::stop::StopStrings;

/// Everything the engine knows about one sequence.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) id: SequenceId,
    /// Prompt and output.
    pub(crate) tokens: Vec<u32>,
    /// How many of `tokens` are in the cache.
    pub(crate) computed: usize,
    /// Whether known tokens are being computed, or new ones.
    pub(crate) phase: Phase,
    /// Its part of the cache.
    pub(crate) held: Held,
    pub(crate) sampler: Sampler,
    /// What may come next, for a request with a constraint.
    pub(crate) mask: Option<Box<dyn TokenMask>>,
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
    piece: TextPiece,
    /// Whether a stop string was found: the text is complete.
    ended: bool,
}

/// What a sequence does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Computes tokens that are known: its prompt, or after a preemption everything so far.
    Prefill,
    /// Generates: one token per step.
    Decode,
}

impl Sequence {
    /// Makes a sequence that has not begun.
    pub(crate) fn new(id: SequenceId, prepared: Prepared, seed: u64) -> Self {
        let Prepared { tokens, vocabulary, .. } = prepared;
        Self {
            id,
            mask: prepared.mask,
            sampler: Sampler::new(prepared.sampling, prepared.logprobs, seed, &tokens),
            prompt_tokens: tokens.len(),
            tokens,
            computed: 0,
            phase: Phase::Prefill,
            held: Held::default(),
            deadline: prepared.deadline,
            limit: prepared.limit,
            end_tokens: vocabulary.end_tokens,
            stop_tokens: prepared.stop_tokens,
            stop: prepared.stop,
            text: vocabulary.text,
            text_tokens: vocabulary.text_tokens,
            piece: TextPiece::default(),
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
    pub(crate) fn take_piece(&mut self) -> Option<TextPiece> {
        (!self.piece.text.is_empty()).then(|| std::mem::take(&mut self.piece))
    }

    /// Ends the text and gives out what was held back, except after a stop string.
    pub(crate) fn last_piece(&mut self) -> Option<TextPiece> {
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
