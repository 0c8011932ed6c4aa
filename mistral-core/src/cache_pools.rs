//! What running sequences hold of the cache: blocks of each group of layers, and a slot of recurrent state.
//!
//! Layers whose attention reaches equally far back form a group with a pool of its own. A sequence takes blocks of the groups that see
//! everything when it is admitted, as many as its known tokens need; of a group with a window it takes blocks step by step and gives
//! those back that lie behind the window.

use std::ops::Range;

use crate::block_pool::{BlockId, BlockPool};
use crate::forward::CacheShape;

/// The pools of all groups, and the slots of recurrent state.
#[derive(Debug)]
pub(crate) struct CachePools {
    groups: Vec<Group>,
    /// Slots that were given back.
    free_slots: Vec<usize>,
    /// Slots that nobody has held yet. A list of them would be as long as the user's limit.
    fresh_slots: Range<usize>,
    block_tokens: usize,
    /// Tokens of the largest step.
    step: usize,
}

#[derive(Debug)]
struct Group {
    pool: BlockPool,
    window: Option<usize>,
}

/// What one sequence holds. Nothing before it is admitted.
#[derive(Debug, Default)]
pub(crate) struct Held {
    tables: Vec<Table>,
    slot: Option<usize>,
}

/// The block table of one group.
#[derive(Debug, Default, Clone)]
struct Table {
    blocks: Vec<BlockId>,
    /// Leading blocks that were given back; their numbers mean nothing any more.
    behind: usize,
}

impl Held {
    /// Returns the block numbers of each group, in the order of positions.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Vec<u32>> + '_ {
        self.tables.iter().map(|table| table.blocks.iter().map(|block| block.0).collect())
    }

    /// Returns the slot of recurrent state.
    pub(crate) fn slot(&self) -> usize {
        self.slot.unwrap_or(0)
    }

    /// Whether the sequence holds nothing.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.slot.is_none() && self.tables.iter().all(|table| table.blocks.is_empty())
    }

    /// Returns the blocks that the sequence holds of a group.
    #[cfg(test)]
    pub(crate) fn blocks(&self, group: usize) -> &[BlockId] {
        self.tables.get(group).map_or(&[], |table| &table.blocks[table.behind..])
    }

    /// Returns the positions that the table of a group reaches to.
    #[cfg(test)]
    pub(crate) fn positions(&self, group: usize, block_tokens: usize) -> usize {
        self.tables.get(group).map_or(0, |table| table.blocks.len() * block_tokens)
    }
}

impl CachePools {
    /// Pools of a cache, for steps of up to `step` tokens.
    pub(crate) fn new(shape: &CacheShape, step: usize) -> Self {
        let group = |&(blocks, window): &(usize, Option<usize>)| Group {
            pool: BlockPool::new(blocks, shape.block_tokens),
            window,
        };
        Self {
            groups: shape.groups.iter().map(group).collect(),
            free_slots: Vec::new(),
            fresh_slots: 0..shape.slots,
            block_tokens: shape.block_tokens.max(1),
            step,
        }
    }

    /// Returns the free blocks of all groups.
    pub(crate) fn free(&self) -> usize {
        self.groups.iter().map(|group| group.pool.free()).sum()
    }

    /// Returns all blocks of all groups.
    pub(crate) fn total(&self) -> usize {
        self.groups.iter().map(|group| group.pool.total()).sum()
    }

    /// Returns the most positions that one sequence can have when it is alone.
    pub(crate) fn longest(&self) -> usize {
        let longest = |group: &Group| {
            let all = group.pool.total().saturating_mul(self.block_tokens);
            match group.window {
                Some(window) if group.pool.total() >= self.most(window, usize::MAX) => usize::MAX,
                _ => all,
            }
        };
        self.groups.iter().map(longest).min().unwrap_or(usize::MAX)
    }

    /// Returns the most blocks that a sequence of `length` tokens holds of a group with a window at any time.
    fn most(&self, window: usize, length: usize) -> usize {
        // The positions may begin and end inside a block.
        let reach = window.saturating_add(self.step).div_ceil(self.block_tokens).saturating_add(1);
        length.div_ceil(self.block_tokens).min(reach)
    }

    /// Takes what a sequence of `length` known tokens needs to begin, leaving `reserve` blocks of each group. False, and nothing is
    /// taken, when there is too little.
    pub(crate) fn admit(&mut self, held: &mut Held, length: usize, reserve: usize) -> bool {
        let fits = |group: &Group| {
            let blocks = match group.window {
                None => group.pool.blocks_for(length),
                Some(window) => self.most(window, length),
            };
            group.pool.free() >= blocks.saturating_add(reserve)
        };
        if !self.groups.iter().all(fits) {
            return false;
        }
        let Some(slot) = self.free_slots.pop().or_else(|| self.fresh_slots.next()) else { return false };
        held.slot = Some(slot);
        held.tables.resize(self.groups.len(), Table::default());
        for (group, table) in self.groups.iter_mut().zip(&mut held.tables).filter(|(group, _)| group.window.is_none()) {
            let blocks = group.pool.blocks_for(length);
            group.pool.grow(&mut table.blocks, blocks);
        }
        true
    }

    /// Makes room for the tokens of a sequence up to position `end`, of which the first `computed` are in the cache; gives back what
    /// lies behind the windows. False when a group has too few blocks; nothing more is taken then.
    pub(crate) fn extend(&mut self, held: &mut Held, computed: usize, end: usize) -> bool {
        for (group, table) in self.groups.iter_mut().zip(&mut held.tables) {
            let Some(window) = group.window else { continue };
            // The token at position `computed` comes next; it sees itself and `window - 1` positions before.
            let behind =
                (computed.saturating_add(1).saturating_sub(window) / self.block_tokens).min(table.blocks.len());
            if behind > table.behind {
                group.pool.release(&table.blocks[table.behind..behind]);
                table.behind = behind;
            }
        }
        let missing = |(group, table): (&Group, &Table)| {
            group.pool.blocks_for(end).saturating_sub(table.blocks.len()) > group.pool.free()
        };
        if self.groups.iter().zip(&held.tables).any(missing) {
            return false;
        }
        for (group, table) in self.groups.iter_mut().zip(&mut held.tables) {
            let blocks = group.pool.blocks_for(end);
            group.pool.grow(&mut table.blocks, blocks);
        }
        true
    }

    /// Takes everything back from a sequence.
    pub(crate) fn release(&mut self, held: &mut Held) {
        for (group, table) in self.groups.iter_mut().zip(held.tables.drain(..)) {
            group.pool.release(table.blocks.get(table.behind..).unwrap_or_default());
        }
        self.free_slots.extend(held.slot.take());
    }

    /// Returns the number of free slots.
    #[cfg(test)]
    pub(crate) fn free_slots(&self) -> usize {
        self.free_slots.len() + self.fresh_slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(groups: &[(usize, Option<usize>)], step: usize) -> CachePools {
        let shape = CacheShape { block_tokens: 4, groups: groups.to_vec(), slots: 2, keys_depend_on_length: false };
        CachePools::new(&shape, step)
    }

    #[test]
    fn a_group_with_a_window_gives_back_what_lies_behind_it() {
        let mut pools = pools(&[(25, None), (6, Some(8))], 8);
        assert_eq!(pools.longest(), 100);
        let mut held = Held::default();
        assert!(pools.admit(&mut held, 50, 0));
        assert_eq!((held.blocks(0).len(), held.blocks(1).len()), (13, 0));
        for computed in (0..48).step_by(8) {
            assert!(pools.extend(&mut held, computed, computed + 8), "at {computed}");
            let first = (computed + 1usize).saturating_sub(8) / 4;
            assert_eq!(held.blocks(1).len(), (computed + 8) / 4 - first, "at {computed}");
            assert_eq!(held.positions(1, 4), computed + 8, "the tables reach to the end of the step");
        }
        let mut other = Held::default();
        assert!(!pools.admit(&mut other, 50, 0), "12 blocks are left of the first group");
        assert!(other.is_empty() && pools.admit(&mut other, 5, 0));
        assert!(!pools.admit(&mut Held::default(), 1, 0), "both slots are taken");
        pools.release(&mut held);
        pools.release(&mut other);
        assert_eq!((pools.free(), pools.free_slots()), (pools.total(), 2));
        assert!(held.is_empty());
    }

    #[test]
    fn nothing_is_taken_when_one_group_is_short() {
        let mut pools = pools(&[(4, None), (3, Some(100))], 4);
        let mut held = Held::default();
        assert!(pools.admit(&mut held, 4, 0) && pools.extend(&mut held, 0, 4));
        assert_eq!(pools.longest(), 12, "the window is larger than its pool");
        assert!(!pools.extend(&mut held, 4, 13), "4 blocks of the second group");
        assert_eq!(pools.free(), 5);
        assert!(pools.extend(&mut held, 4, 12));
    }

    #[test]
    fn a_decoder_without_attention_needs_a_slot_only() {
        let mut pools = pools(&[], 4);
        assert_eq!((pools.longest(), pools.total()), (usize::MAX, 0));
        let (mut one, mut two) = (Held::default(), Held::default());
        assert!(pools.admit(&mut one, 1000, 0) && pools.admit(&mut two, 1000, 1));
        assert_ne!(one.slot(), two.slot());
    }
}
