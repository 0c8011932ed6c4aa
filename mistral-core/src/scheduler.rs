//! Which sequences run in a step, and with how many tokens. Policy over numbers; tensors are never touched.
//!
//! Sequences are kept in order of arrival. The first `running` of them hold cache blocks, the rest waits: first come, first
//! served, with nothing to starve. A step first gives every running sequence that is past its prompt one token, then
//! fills what is left of the token budget with chunks of prompts (chunked prefill: Agrawal et al., 2023,
//! arXiv:2308.16369), admitting waiting sequences while their prompts fit. When a sequence needs a block and none is free, the
//! youngest running sequence gives up its blocks and waits; its tokens, output included, are computed again later, so
//! nothing is lost but time (recompute, as in Kwon et al., 2023, arXiv:2309.06180).

use std::collections::VecDeque;

use crate::SequenceId;
use crate::block_pool::BlockPool;
use crate::sequence::Sequence;

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
    /// `chunks` is empty only if there are no sequences, provided that each fits into the pool alone.
    pub(crate) fn plan(&mut self, pool: &mut BlockPool, chunks: &mut Vec<Chunk>) -> usize {
        chunks.clear();
        let mut budget = self.max_batch_tokens;
        let mut preempted = 0;
        let mut index = 0;
        while index < self.running {
            let Some(sequence) = self.sequences.get_mut(index) else { break };
            // All known tokens have blocks since admission; only a token generated since can need one more.
            let blocks = pool.blocks_for(sequence.tokens.len());
            if !pool.grow(&mut sequence.blocks, blocks) {
                self.preempt_youngest(pool);
                preempted += 1;
                continue;
            }
            if sequence.pending() == 1 && budget > 0 {
                chunks.push(Chunk { index, tokens: 1 });
                budget -= 1;
            }
            index += 1;
        }
        for (index, sequence) in self.sequences.iter().take(self.running).enumerate() {
            if sequence.pending() > 1 && budget > 0 {
                let tokens = sequence.pending().min(budget);
                chunks.push(Chunk { index, tokens });
                budget -= tokens;
            }
        }
        while budget > 0 && self.running < self.max_sequences {
            let Some(sequence) = self.sequences.get_mut(self.running) else { break };
            let blocks = pool.blocks_for(sequence.tokens.len());
            // A block in reserve for each running sequence, or the newcomer would soon be preempted by their growth.
            if pool.free() < blocks + self.running || !pool.grow(&mut sequence.blocks, blocks) {
                break;
            }
            let tokens = sequence.pending().min(budget);
            chunks.push(Chunk { index: self.running, tokens });
            budget -= tokens;
            self.running += 1;
        }
        preempted
    }

    /// Takes the blocks of the youngest running sequence; it is then the first to wait.
    fn preempt_youngest(&mut self, pool: &mut BlockPool) {
        let Some(youngest) = self.running.checked_sub(1) else { return };
        self.running = youngest;
        if let Some(sequence) = self.sequences.get_mut(youngest) {
            pool.release(&mut sequence.blocks);
            sequence.computed = 0;
        }
    }
}
