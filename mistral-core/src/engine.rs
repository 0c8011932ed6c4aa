//! The engine: a deterministic state machine without threads, clocks or I/O.

use std::collections::VecDeque;
use std::time::Instant;

use mistral_models::{Batch, LogitRows, Logits};

use crate::block_pool::BlockPool;
use crate::constraint::Constraint;
use crate::forward::Forward;
use crate::sample::{Scratch, split_mix};
use crate::scheduler::{Chunk, Scheduler};
use crate::sequence::Sequence;
use crate::text::TextModel;
use crate::{ContextWarning, Error, Event, EventKind, FinishReason, Metrics, Prompt, Request, SequenceId};

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
    scheduler: Scheduler,
    pool: BlockPool,
    /// Sequences that may be running and waiting together.
    capacity: usize,
    /// State of the generator that seeds requests without a seed.
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
pub enum Step {
    /// No forward pass: there is no sequence. Nothing will change until the next `submit`.
    Idle,
    /// A forward pass over so many tokens.
    Ran {
        /// Tokens of all sequences together.
        tokens: usize,
    },
}

/// How much an engine takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Sequences that run together.
    pub(crate) max_sequences: usize,
    /// Sequences that wait beside.
    pub(crate) queue_capacity: usize,
    /// Tokens a step.
    pub(crate) max_batch_tokens: usize,
}

impl Engine {
    /// An engine without sequences over a model and its text side.
    pub(crate) fn new(forward: Box<dyn Forward>, text: TextModel, limits: Limits, seed: u64) -> Self {
        Self {
            pool: BlockPool::new(forward.blocks(), forward.block_tokens()),
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
    pub fn submit(&mut self, mut request: Request, now: Instant) -> Result<SequenceId, Error> {
        if self.scheduler.len() >= self.capacity {
            return Err(Error::QueueFull { capacity: self.capacity });
        }
        let prompt = std::mem::replace(&mut request.prompt, Prompt::Tokens(Vec::new()));
        let tokens = self.text.tokens(prompt)?;
        let context = self.context_length();
        request.check(&tokens, context, self.forward.vocab_size(), now)?;
        let id = SequenceId(self.next);
        self.next += 1;
        let seed = request.seed.unwrap_or_else(|| split_mix(&mut self.seed));
        let mut vocabulary = self.text.vocabulary(&tokens, request.special_text, request.ignore_eos);
        if request.constraint.is_some() {
            vocabulary.token_table = Some(self.text.token_table()?);
        }
        self.scheduler.push(Sequence::new(id, tokens, request, context, seed, vocabulary));
        Ok(id)
    }

    /// Ends the sequences whose deadline is at or before `now`, then runs one forward pass and samples.
    ///
    /// What goes wrong is an event of the sequences concerned: a failing forward pass fails those that were in the
    /// batch, unusable logits fail their sequence. The engine goes on with the others.
    pub fn step(&mut self, now: Instant) -> Step {
        let late: Vec<SequenceId> =
            self.scheduler.iter().filter(|s| s.deadline.is_some_and(|d| d <= now)).map(|s| s.id).collect();
        for id in late {
            self.end(id, Ok(FinishReason::Deadline));
        }
        self.metrics.preemptions += self.scheduler.plan(&mut self.pool, &mut self.chunks) as u64;
        self.assemble();
        let tokens = self.batch.tokens().len();
        if tokens == 0 {
            return Step::Idle;
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
        Step::Ran { tokens }
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
            free_blocks: self.pool.free(),
            blocks: self.pool.total(),
            ..self.metrics
        }
    }

    /// Returns how many positions one sequence may have, prompt and output together: the requested number or the model's own, or fewer if
    /// the cache is smaller.
    pub fn context_length(&self) -> usize {
        self.forward.context_length().min(self.forward.blocks().saturating_mul(self.forward.block_tokens()))
    }

    /// Returns a warning if [`context_length`](Self::context_length) is beyond what the checkpoint was made for.
    pub fn context_warning(&self) -> Option<ContextWarning> {
        ContextWarning::of(self.context_length(), self.forward.trained_context())
    }

    /// Logits a token; token ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.forward.vocab_size()
    }

    /// Sequences that may be running and waiting together.
    pub fn capacity(&self) -> usize {
        self.capacity
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
            let table: Vec<u32> = sequence.blocks.iter().map(|block| block.0).collect();
            // A token is computed again, after a preemption, with the length its sequence had the first time: rope scalings
            // that look at the length then give the same keys. So generated tokens are runs of one, as they were.
            while at < end {
                let (stop, length) = if at < prompt { (end.min(prompt), prompt) } else { (at + 1, at + 1) };
                let rows = if stop == sequence.tokens.len() { LogitRows::Last } else { LogitRows::None };
                let tokens = sequence.tokens.get(at..stop).unwrap_or_default();
                self.batch.push(tokens, at, length, table.clone(), rows);
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
                let detail = format!("the model gave {found} logits for {rows} rows of {width}");
                Err(mistral_models::Error::Batch { detail }.into())
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
            let Some(row) = rows.next() else { break };
            if let Some(constraint) = &mut sequence.constraint {
                constraint.mask(row);
            }
            let sampled = sequence.sampler.sample(row, &mut self.scratch);
            if let (Some(constraint), Ok((token, _))) = (&mut sequence.constraint, &sampled) {
                constraint.commit(*token);
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
        self.pool.release(&mut sequence.blocks);
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
