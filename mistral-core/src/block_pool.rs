//! Which blocks of one group of layers belong to whom: numbers only, the contents are the decoder's.

/// The number of a cache block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockId(pub(crate) u32);

/// A fixed number of equal blocks, each free or taken. Taking and giving back cost constant time per block.
#[derive(Debug)]
pub(crate) struct BlockPool {
    /// Last in, first out: the block freed last is the one most likely in a cache of the processor.
    free: Vec<BlockId>,
    taken: Vec<bool>,
    block_tokens: usize,
}

impl BlockPool {
    /// `blocks` free blocks of `block_tokens` token slots.
    pub(crate) fn new(blocks: usize, block_tokens: usize) -> Self {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        Self {
            free: (0..blocks).rev().map(BlockId).collect(),
            taken: vec![false; blocks as usize],
            block_tokens: block_tokens.max(1),
        }
    }

    /// Blocks that hold `tokens` tokens.
    pub(crate) fn blocks_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_tokens)
    }

    /// Free blocks.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// All blocks.
    pub(crate) fn total(&self) -> usize {
        self.taken.len()
    }

    /// Lengthens `table` to `blocks` blocks. False, and nothing is taken, when there are too few.
    pub(crate) fn grow(&mut self, table: &mut Vec<BlockId>, blocks: usize) -> bool {
        let more = blocks.saturating_sub(table.len());
        let Some(start) = self.free.len().checked_sub(more) else { return false };
        for block in self.free.drain(start..).rev() {
            if let Some(taken) = self.taken.get_mut(block.0 as usize) {
                *taken = true;
            }
            table.push(block);
        }
        true
    }

    /// Gives blocks back, the last one first.
    pub(crate) fn release(&mut self, blocks: &[BlockId]) {
        for &block in blocks.iter().rev() {
            let taken = self.taken.get_mut(block.0 as usize).map(|taken| std::mem::replace(taken, false));
            debug_assert_eq!(taken, Some(true), "{block:?} given back twice");
            if taken == Some(true) {
                self.free.push(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_nothing_and_gives_back() {
        let mut pool = BlockPool::new(4, 16);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        assert_eq!([0, 1, 16, 17].map(|t| pool.blocks_for(t)), [0, 1, 1, 2]);
        assert!(pool.grow(&mut a, 3));
        assert_eq!(a, [0, 1, 2].map(BlockId));
        assert!(!pool.grow(&mut b, 2) && b.is_empty() && pool.free() == 1);
        assert!(pool.grow(&mut a, 2), "never shrinks");
        assert_eq!(a.len(), 3);
        pool.release(&a);
        assert!(pool.grow(&mut b, 4) && pool.free() == 0 && pool.total() == 4);
        b.sort();
        assert_eq!(b, [0, 1, 2, 3].map(BlockId));
    }
}
