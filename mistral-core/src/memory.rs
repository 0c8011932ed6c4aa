//! How much memory a model will take, decided before anything is loaded.

use crate::Error;

/// What the decoder of a checkpoint takes, computed from its configuration and its table of tensors alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Positions the model was made for.
    pub(crate) context_length: usize,
    /// Bytes of all weights as they will be kept.
    pub(crate) weights: u64,
    /// Bytes of keys and values of one token, all layers together.
    pub(crate) kv_token: u64,
    /// Bytes of activations and logits of the largest step.
    pub(crate) workspace: u64,
}

/// What the user decides about the size of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) context_length: Option<usize>,
    pub(crate) kv_tokens: Option<usize>,
    pub(crate) max_sequences: usize,
    pub(crate) block_tokens: usize,
    pub(crate) budget: Option<u64>,
}

/// Positions of a sequence when the user does not say: enough for a chat, and small beside the weights.
const DEFAULT_CONTEXT: usize = 8192;
/// Token slots of the cache when the user does not say, at least one full context.
const DEFAULT_KV_TOKENS: usize = 16384;

/// The cache that will be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    /// Positions of one sequence.
    pub(crate) context_length: usize,
    /// Token slots of a block.
    pub(crate) block_tokens: usize,
    /// Blocks of the cache.
    pub(crate) blocks: usize,
}

impl MemoryPlan {
    /// Sizes the cache: as wished, or for `max_sequences` full contexts but at most [`DEFAULT_KV_TOKENS`]. A cache that was not asked for by
    /// size shrinks to the budget, down to one full context.
    ///
    /// # Errors
    /// [`Error::OutOfMemoryBudget`] with the numbers of the smallest cache allowed, when that does not fit.
    pub(crate) fn new(needs: &Needs, wishes: &Wishes) -> Result<Self, Error> {
        // More than the checkpoint was made for is the user's own decision; see `ContextWarning`.
        let context_length = wishes.context_length.unwrap_or(DEFAULT_CONTEXT.min(needs.context_length)).max(1);
        let block_tokens = wishes.block_tokens.max(1);
        let one = context_length.div_ceil(block_tokens);
        let shared = context_length.saturating_mul(wishes.max_sequences).min(DEFAULT_KV_TOKENS);
        let mut blocks = match wishes.kv_tokens {
            Some(tokens) => tokens.div_ceil(block_tokens).max(1),
            None => shared.div_ceil(block_tokens).max(one),
        };
        let block = needs.kv_token.saturating_mul(block_tokens as u64);
        if let Some(budget) = wishes.budget {
            let fixed = needs.weights.saturating_add(needs.workspace);
            let fitting = budget.saturating_sub(fixed).checked_div(block).unwrap_or(u64::MAX);
            if wishes.kv_tokens.is_none() {
                blocks = blocks.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(one);
            }
            let kv = block.saturating_mul(blocks as u64);
            let needed = fixed.saturating_add(kv);
            if needed > budget {
                let Needs { weights, workspace, .. } = *needs;
                return Err(Error::OutOfMemoryBudget { needed, weights, kv, workspace, budget });
            }
        }
        Ok(Self { context_length, block_tokens, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs { context_length: 1000, weights: 5_000, kv_token: 10, workspace: 500 };
    const WISHES: Wishes =
        Wishes { context_length: None, kv_tokens: None, max_sequences: 4, block_tokens: 16, budget: None };

    fn plan(needs: Needs, wishes: Wishes) -> Result<(usize, usize), Error> {
        MemoryPlan::new(&needs, &wishes).map(|plan| (plan.context_length, plan.blocks))
    }

    #[test]
    fn defaults_hold_full_contexts_up_to_a_bound() {
        assert_eq!(plan(NEEDS, WISHES).unwrap(), (1000, 250));
        assert_eq!(plan(NEEDS, Wishes { context_length: Some(100), ..WISHES }).unwrap(), (100, 25));
        assert_eq!(
            plan(NEEDS, Wishes { context_length: Some(5000), ..WISHES }).unwrap(),
            (5000, 1024),
            "beyond the model's own"
        );
        let long = Needs { context_length: 1 << 20, ..NEEDS };
        assert_eq!(plan(long, WISHES).unwrap(), (DEFAULT_CONTEXT, DEFAULT_KV_TOKENS / 16));
        assert_eq!(plan(long, Wishes { context_length: Some(1 << 20), ..WISHES }).unwrap(), (1 << 20, (1 << 20) / 16));
        assert_eq!(plan(NEEDS, Wishes { kv_tokens: Some(33), ..WISHES }).unwrap(), (1000, 3));
    }

    #[test]
    fn a_budget_shrinks_the_cache_and_then_refuses_with_numbers() {
        let with = |budget| Wishes { budget: Some(budget), ..WISHES };
        assert_eq!(plan(NEEDS, with(45_500)).unwrap(), (1000, 250));
        assert_eq!(plan(NEEDS, with(45_499)).unwrap(), (1000, 249));
        assert_eq!(plan(NEEDS, with(15_580)).unwrap(), (1000, 63), "one context of 63 blocks");
        match plan(NEEDS, with(15_579)).unwrap_err() {
            Error::OutOfMemoryBudget { needed, weights, kv, workspace, budget } => {
                assert_eq!((needed, weights, kv, workspace, budget), (15_580, 5_000, 10_080, 500, 15_579));
            }
            other => panic!("{other}"),
        }
        let wished = Wishes { kv_tokens: Some(160), ..with(7_099) };
        assert!(matches!(plan(NEEDS, wished), Err(Error::OutOfMemoryBudget { needed: 7_100, kv: 1_600, .. })));
        assert!(matches!(plan(NEEDS, with(0)), Err(Error::OutOfMemoryBudget { .. })));
        let huge = Needs { weights: u64::MAX, kv_token: u64::MAX, ..NEEDS };
        assert!(matches!(plan(huge, with(1)), Err(Error::OutOfMemoryBudget { needed: u64::MAX, .. })));
    }
}
