//! Which sequences run in a step, and with how many tokens. Policy over numbers; tensors are never touched.
//!
//! Sequences are kept in order of arrival. The first `running` of them hold cache blocks, the rest waits: first come, first
//! served, with nothing to starve. A step first gives every running sequence that is past its prompt one token, then
//! fills what is left of the token budget with chunks of prompts (chunked prefill: Agrawal et al., 2023,
//! arXiv:2308.16369), admitting waiting sequences while their prompts fit. When a sequence needs a block and none is free, the
//! youngest running sequence gives up its blocks and waits; its tokens, output included, are computed again later, so
//! nothing is lost but time (recompute, as in Kwon et al., 2023, arXiv:2309.06180).

use std::collections::VecDeque;

use crate::cache_pools::CachePools;
use crate::request::SequenceId;
use crate::sequence::{Phase, Sequence};

/// The sequences of an engine.
#[derive(Debug)]
pub(crate) struct Scheduler {
    /// By id, which is by arrival.
    sequences: VecDeque<Sequence>,
    running: usize,
    max_sequences: usize,
    max_batch_tokens: usize,
}

/// A run of tokens to compute next: `tokens` pending ones of the sequence at `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) index: usize,
    pub(crate) tokens: usize,
}

impl Scheduler {
    /// At most `max_sequences` run at once and `max_batch_tokens` go into a step, at least one a sequence.
    pub(crate) fn new(max_sequences: usize, max_batch_tokens: usize) -> Self {
        let max_sequences = max_sequences.max(1);
        let max_batch_tokens = max_batch_tokens.max(max_sequences);
        Self { sequences: VecDeque::new(), running: 0, max_sequences, max_batch_tokens }
    }

    /// Appends a sequence; its id is higher than all before.
    pub(crate) fn push(&mut self, sequence: Sequence) {
        self.sequences.push_back(sequence);
    }

    /// Takes a sequence out. Its blocks are the caller's to release.
    pub(crate) fn remove(&mut self, id: SequenceId) -> Option<Sequence> {
        let index = self.sequences.binary_search_by_key(&id, |s| s.id).ok()?;
        if index < self.running {
            self.running -= 1;
        }
        self.sequences.remove(index)
    }

    /// The sequence of a chunk.
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Sequence> {
        self.sequences.get_mut(index)
    }

    /// All sequences, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.sequences.iter()
    }

    /// Sequences running and waiting.
    pub(crate) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Sequences that hold blocks.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Plans a step: takes blocks for what it plans, decodes before prefill chunks. Returns how many sequences were preempted.
    /// `chunks` is empty only if there are no sequences, provided that each fits into the pools alone.
    pub(crate) fn plan(&mut self, pools: &mut CachePools, chunks: &mut Vec<Chunk>) -> usize {
        chunks.clear();
        let mut budget = self.max_batch_tokens;
        let before = self.running;
        self.plan_phase(Phase::Decode, pools, chunks, &mut budget);
        self.plan_phase(Phase::Prefill, pools, chunks, &mut budget);
        let preempted = before - self.running;
        while budget > 0 && self.running < self.max_sequences {
            let Some(sequence) = self.sequences.get_mut(self.running) else { break };
            // A block in reserve for each running sequence, or the newcomer would soon be preempted by their growth.
            if !pools.admit(&mut sequence.held, sequence.tokens.len(), self.running) {
                break;
            }
            let tokens = sequence.pending().min(budget);
            if !pools.extend(&mut sequence.held, 0, tokens) {
                pools.release(&mut sequence.held);
                break;
            }
            chunks.push(Chunk { index: self.running, tokens });
            budget -= tokens;
            self.running += 1;
        }
        preempted
    }

    /// Plans the running sequences of a phase, oldest first. Where blocks are missing, the youngest sequences give up theirs.
    fn plan_phase(&mut self, phase: Phase, pools: &mut CachePools, chunks: &mut Vec<Chunk>, budget: &mut usize) {
        let mut index = 0;
        while index < self.running && *budget > 0 {
            let Some(sequence) = self.sequences.get_mut(index) else { break };
            if sequence.phase != phase {
                index += 1;
                continue;
            }
            let tokens = sequence.pending().min(*budget);
            let (computed, end) = (sequence.computed, sequence.computed + tokens);
            if pools.extend(&mut sequence.held, computed, end) {
                chunks.push(Chunk { index, tokens });
                *budget -= tokens;
                index += 1;
                continue;
            }
            self.preempt_youngest(pools);
            // Its chunk, if it had one already, goes with it.
            let running = self.running;
            chunks.retain(|chunk| {
                let stays = chunk.index < running;
                *budget += if stays { 0 } else { chunk.tokens };
                stays
            });
        }
    }

    /// Takes everything from the youngest running sequence; it is then the first to wait.
    fn preempt_youngest(&mut self, pools: &mut CachePools) {
        let Some(youngest) = self.running.checked_sub(1) else { return };
        self.running = youngest;
        if let Some(sequence) = self.sequences.get_mut(youngest) {
            pools.release(&mut sequence.held);
            (sequence.computed, sequence.phase) = (0, Phase::Prefill);
        }
    }
}
