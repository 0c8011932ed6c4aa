//! The engine: a deterministic state machine without threads, clocks or I/O.

use std::collections::VecDeque;
use std::time::Instant;

use mistral_models::{Batch, BatchError, LogitRows, Logits, Run};

use crate::cache_pools::CachePools;
use crate::context::ContextWarning;
use crate::error::Error;
use crate::event::{Event, EventKind, FinishReason};
use crate::forward::Forward;
use crate::memory::Limits;
use crate::metrics::Metrics;
use crate::prepared::Prepared;
use crate::request::{Request, SequenceId};
use crate::sample::filter::Scratch;
use crate::sample::rng::{GOLDEN_GAMMA, split_mix};
use crate::scheduler::{Chunk, Scheduler};
use crate::sequence::{Phase, Sequence};
use crate::shape::Shape;
use crate::text::TextModel;

#[cfg(test)]
mod tests;

/// Runs any number of sequences together, one step at a time. For programs that own their loop; everybody else takes
/// [`Model`](crate::Model), which drives an engine on a thread of its own.
///
/// Nothing happens between calls. Time enters as a value, randomness as the seed. The methods, in the order of use:
///
/// 1. [`submit`](Self::submit) gives the engine a request and answers with a [`SequenceId`] or, at once, with what is
///    wrong with the request.
/// 2. [`step`](Self::step) runs one forward pass over all sequences that can go on: one token each past its prompt, and
///    chunks of prompts. This is where the time goes.
/// 3. [`poll_event`](Self::poll_event) hands out what the calls before caused. Call it until it answers `None`. Every
///    submitted sequence gets exactly one [`EventKind::Finished`] or [`EventKind::Failed`].
/// 4. [`cancel`](Self::cancel), at any time, ends a sequence and frees its cache blocks at once.
///    [`is_idle`](Self::is_idle) says when there is nothing to step for.
///
/// The text of a request is the same alone or beside others, in one chunk or in many, preempted or not.
///
/// ```
/// use std::time::Instant;
/// use mistral_core::{EventKind, Model, Request};
///
/// let mut engine = Model::builder().embedded().engine()?;
/// let hero = engine.submit(Request::new("The hero says:").max_tokens(20), Instant::now())?;
/// while !engine.is_idle() {
///     engine.step(Instant::now()); // once a frame
///     while let Some(event) = engine.poll_event() {
///         match event.kind {
///             EventKind::Piece(piece) if event.sequence == hero => print!("{piece}"),
///             EventKind::Failed(error) => eprintln!("{}: {error}", event.sequence),
///             _ => {}
///         }
///     }
/// }
/// # Ok::<(), mistral_core::Error>(())
/// ```
pub struct Engine {
    forward: Box<dyn Forward>,
    text: TextModel,
    shape: Shape,
    scheduler: Scheduler,
    pools: CachePools,
    /// Whether keys change with the length of their sequence.
    keys_depend_on_length: bool,
    /// Sequences that may be running and waiting together.
    capacity: usize,
    /// With the number of a sequence, the seed of a request without a seed.
    seed: u64,
    next: u64,
    events: VecDeque<Event>,
    metrics: Metrics,
    chunks: Vec<Chunk>,
    batch: Batch,
    logits: Logits,
    scratch: Scratch,
}

/// What a call of [`Engine::step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineStep {
    /// No forward pass: there is no sequence. Nothing will change until the next `submit`.
    Idle,
    /// A forward pass over so many tokens.
    Ran {
        /// Tokens of all sequences together.
        tokens: usize,
    },
}

impl Engine {
    /// An engine without sequences over a model and its text side.
    pub(crate) fn new(forward: Box<dyn Forward>, text: TextModel, limits: Limits, seed: u64) -> Self {
        let cache = forward.cache();
        let pools = CachePools::new(&cache, limits.max_batch_tokens.max(limits.max_sequences));
        Self {
            shape: Shape::new(&*forward, pools.longest()),
            pools,
            keys_depend_on_length: cache.keys_depend_on_length,
            scheduler: Scheduler::new(limits.max_sequences, limits.max_batch_tokens),
            capacity: limits.max_sequences.max(1).saturating_add(limits.queue_capacity),
            seed,
            next: 0,
            forward,
            text,
            events: VecDeque::new(),
            metrics: Metrics::default(),
            chunks: Vec::new(),
            batch: Batch::default(),
            logits: Logits::default(),
            scratch: Scratch::default(),
        }
    }

    /// Takes a request in. It runs from the next [`step`](Self::step) on, or waits until there is room.
    /// Cost: rendering and tokenizing the prompt.
    ///
    /// # Errors
    /// [`Error::QueueFull`], and whatever is wrong with the request: an empty or too long prompt, a token id out of
    /// range, a parameter outside its range, a deadline at or before `now`. The engine is then as before.
    pub fn submit(&mut self, request: Request, now: Instant) -> Result<SequenceId, Error> {
        if self.scheduler.len() >= self.capacity {
            return Err(Error::QueueFull { capacity: self.capacity });
        }
        Ok(self.admit(Prepared::new(request, &self.text, self.shape, now)?))
    }

    /// Takes in a request that was checked against this engine's text and shape, and has a place in the queue.
    pub(crate) fn admit(&mut self, prepared: Prepared) -> SequenceId {
        let id = SequenceId(self.next);
        let mut own = self.seed.wrapping_add(self.next.wrapping_mul(GOLDEN_GAMMA));
        self.next += 1;
        let seed = prepared.seed.unwrap_or_else(|| split_mix(&mut own));
        self.scheduler.push(Sequence::new(id, prepared, seed));
        id
    }

    /// Ends the sequences whose deadline is at or before `now`, then runs one forward pass and samples.
    ///
    /// What goes wrong is an event of the sequences concerned: a failing forward pass fails those that were in the
    /// batch, unusable logits fail their sequence. The engine goes on with the others.
    pub fn step(&mut self, now: Instant) -> EngineStep {
        let late: Vec<SequenceId> =
            self.scheduler.iter().filter(|s| s.deadline.is_some_and(|d| d <= now)).map(|s| s.id).collect();
        for id in late {
            self.end(id, Ok(FinishReason::Deadline));
        }
        self.metrics.preemptions += self.scheduler.plan(&mut self.pools, &mut self.chunks) as u64;
        self.assemble();
        let tokens = self.batch.tokens().len();
        if tokens == 0 {
            return EngineStep::Idle;
        }
        self.metrics.steps += 1;
        self.metrics.computed_tokens += tokens as u64;
        let ends = match self.forward() {
            Ok(()) => self.sample(),
            Err(error) => {
                let ids = self.chunks.iter().filter_map(|c| self.scheduler.get_mut(c.index).map(|s| s.id));
                ids.map(|id| (id, Err(error.clone()))).collect()
            }
        };
        for (id, end) in ends {
            self.end(id, end);
        }
        EngineStep::Ran { tokens }
    }

    /// The next event, oldest first; `None` when all have been handed out.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends a sequence with [`FinishReason::Cancelled`] and frees its cache blocks. False if it had ended already.
    pub fn cancel(&mut self, sequence: SequenceId) -> bool {
        self.end(sequence, Ok(FinishReason::Cancelled))
    }

    /// Whether no sequence runs or waits. Events may still be there to be polled.
    pub fn is_idle(&self) -> bool {
        self.scheduler.len() == 0
    }

    /// Counters since the start and gauges of this moment.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            running: self.scheduler.running(),
            waiting: self.scheduler.len() - self.scheduler.running(),
            free_blocks: self.pools.free(),
            blocks: self.pools.total(),
            ..self.metrics
        }
    }

    /// Returns how many positions one sequence may have, prompt and output together: the requested number or the model's own, or fewer if
    /// the cache is smaller.
    pub fn context_length(&self) -> usize {
        self.shape.context_length
    }

    /// Returns a warning if [`context_length`](Self::context_length) is beyond what the checkpoint was made for.
    pub fn context_warning(&self) -> Option<ContextWarning> {
        self.shape.context_warning()
    }

    /// Returns the number of logits per token; token ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.shape.vocab_size
    }

    /// Sequences that may be running and waiting together.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn text(&self) -> &TextModel {
        &self.text
    }

    /// Writes the planned chunks into the batch.
    fn assemble(&mut self) {
        self.batch.clear();
        for chunk in &self.chunks {
            let Some(sequence) = self.scheduler.get_mut(chunk.index) else { continue };
            let (mut at, end) = (sequence.computed, sequence.computed + chunk.tokens);
            let prompt = sequence.usage().prompt_tokens;
            // Where keys depend on the length, a token is computed again, after a preemption, with the length that its sequence had the
            // first time. So generated tokens are runs of one, as they were.
            while at < end {
                let (stop, length) = match self.keys_depend_on_length && at >= prompt {
                    true => (at + 1, at + 1),
                    false if self.keys_depend_on_length => (end.min(prompt), prompt),
                    false => (end, end),
                };
                let rows = if stop == sequence.tokens.len() { LogitRows::Last } else { LogitRows::None };
                let tokens = sequence.tokens.get(at..stop).unwrap_or_default();
                let run = Run::new(tokens, at).length(length).slot(sequence.held.slot()).rows(rows);
                self.batch.push(sequence.held.tables().fold(run, Run::table));
                at = stop;
            }
        }
    }

    /// Runs the batch and checks the shape of what comes back.
    fn forward(&mut self) -> Result<(), Error> {
        self.forward.forward(&self.batch, &mut self.logits)?;
        let (rows, width) = (self.batch.logit_rows().len(), self.forward.vocab_size());
        let found = self.logits.values().len();
        match rows.checked_mul(width) == Some(found) {
            true => Ok(()),
            false => {
                let error = BatchError::Logits { rows, vocab_size: width, found };
                Err(mistral_models::Error::from(error).into())
            }
        }
    }

    /// Advances the sequences of the batch and samples for those whose last token was in it. The ones that end.
    fn sample(&mut self) -> Vec<(SequenceId, Result<FinishReason, Error>)> {
        let mut ends = Vec::new();
        let vocab_size = self.forward.vocab_size();
        let mut rows = self.logits.values_mut().chunks_exact_mut(vocab_size.max(1));
        for chunk in &self.chunks {
            let Some(sequence) = self.scheduler.get_mut(chunk.index) else { continue };
            sequence.computed += chunk.tokens;
            if sequence.pending() > 0 {
                continue;
            }
            sequence.phase = Phase::Decode;
            let Some(row) = rows.next() else { break };
            if let Some(mask) = &mut sequence.mask {
                mask.mask(row);
            }
            let sampled = sequence.sampler.sample(row, &mut self.scratch);
            if let (Some(mask), Ok((token, _))) = (&mut sequence.mask, &sampled) {
                mask.commit(*token);
            }
            self.metrics.generated_tokens += u64::from(sampled.is_ok());
            match sampled.and_then(|(token, logprobs)| sequence.accept(token, logprobs)) {
                Ok(None) => {
                    let piece = sequence.take_piece().map(EventKind::Piece);
                    self.events.extend(piece.map(|kind| Event { sequence: sequence.id, kind }));
                }
                Ok(Some(reason)) => ends.push((sequence.id, Ok(reason))),
                Err(error) => ends.push((sequence.id, Err(error))),
            }
        }
        ends
    }

    /// Takes a sequence out, frees its blocks and reports its end. False if there is none.
    fn end(&mut self, id: SequenceId, end: Result<FinishReason, Error>) -> bool {
        let Some(mut sequence) = self.scheduler.remove(id) else { return false };
        self.pools.release(&mut sequence.held);
        let piece = sequence.last_piece().map(EventKind::Piece);
        let kind = match end {
            Ok(reason) => {
                self.metrics.finished += 1;
                EventKind::Finished { reason, usage: sequence.usage() }
            }
            Err(error) => {
                self.metrics.failed += 1;
                EventKind::Failed(error)
            }
        };
        self.events.extend(piece.into_iter().chain([kind]).map(|kind| Event { sequence: id, kind }));
        true
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
