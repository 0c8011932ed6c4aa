//! How much memory a model will take, decided before anything is loaded.

pub(crate) mod setting;

use mistral_quant::KvFormat;

use crate::error::Error;
use crate::memory::setting::MemorySetting;

/// Sizes of the decoder of a checkpoint, computed from its configuration and its table of tensors alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Positions the model was made for.
    pub(crate) context_length: usize,
    /// Bytes of all weights as they will be kept.
    pub(crate) weights: u64,
    /// Keys and values, for each group of layers that sees equally far back.
    pub(crate) groups: Vec<GroupNeeds>,
    /// Bytes of recurrent state per sequence.
    pub(crate) state: u64,
    /// Bytes of activations per token of a step.
    pub(crate) workspace_token: u64,
    /// Bytes of logits and of their activations per sequence.
    pub(crate) workspace_sequence: u64,
}

/// Sizes of the keys and values of one group of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupNeeds {
    /// Bytes per token, all layers of the group together.
    pub(crate) token: u64,
    /// Bytes per token if keys and values were kept in Q8_0.
    pub(crate) token_q8: u64,
    /// Positions that are looked back at; `None`: all.
    pub(crate) window: Option<usize>,
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

/// What the user decides about the size of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) context_length: Option<usize>,
    pub(crate) kv_tokens: Option<usize>,
    pub(crate) block_tokens: usize,
    pub(crate) budget: Option<u64>,
}

/// The default number of positions per sequence: enough for a chat, and small next to the weights.
const DEFAULT_CONTEXT: usize = 8192;
/// Token slots of the cache when the user does not say, at least one full context.
const DEFAULT_KV_TOKENS: usize = 16384;

/// The cache that will be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryPlan {
    /// Positions of one sequence.
    pub(crate) context_length: usize,
    /// Token slots of a block.
    pub(crate) block_tokens: usize,
    /// Slots of recurrent state.
    pub(crate) slots: usize,
    /// Blocks of each group of layers.
    pub(crate) blocks: Vec<usize>,
}

impl MemoryPlan {
    /// Sizes the cache: as wished, or for `max_sequences` full contexts but at most [`DEFAULT_KV_TOKENS`]. A cache that was not asked for by
    /// size shrinks to the budget, down to one full context.
    ///
    /// # Errors
    /// [`Error::OutOfMemoryBudget`] with the numbers of the smallest cache allowed, when that does not fit.
    pub(crate) fn new(needs: &Needs, wishes: &Wishes, limits: &Limits) -> Result<Self, Error> {
        // More than the checkpoint was made for is the user's own decision; see `ContextWarning`.
        let context_length = wishes.context_length.unwrap_or(DEFAULT_CONTEXT.min(needs.context_length)).max(1);
        let least = Demand {
            weights: needs.weights,
            groups: &needs.groups,
            state: needs.state,
            small: false,
            workspace_token: needs.workspace_token,
            workspace_sequence: needs.workspace_sequence,
            context_length,
            kv_tokens: wishes.kv_tokens,
            block_tokens: wishes.block_tokens.max(1),
            batch_tokens: limits.max_batch_tokens,
            sequences: limits.max_sequences,
        };
        let mut blocks = least.blocks();
        if wishes.kv_tokens.is_none() {
            let shared = context_length.saturating_mul(limits.max_sequences).min(DEFAULT_KV_TOKENS);
            blocks = blocks.max(shared.div_ceil(least.block_tokens));
        }
        if let Some(budget) = wishes.budget {
            if least.total() > budget {
                return Err(Error::OutOfMemoryBudget {
                    needed: least.total(),
                    weights: least.weights,
                    kv: least.kv(),
                    workspace: least.workspace(),
                    budget,
                    fitting: least.fitting(budget),
                });
            }
            let (mut low, mut high) = (least.blocks(), blocks.saturating_add(1));
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if least.total_with(middle) <= budget { low = middle } else { high = middle }
            }
            blocks = low;
        }
        let groups = needs.groups.iter().map(|group| least.group_blocks(group, blocks)).collect();
        Ok(Self {
            context_length,
            block_tokens: least.block_tokens,
            slots: limits.max_sequences.max(1),
            blocks: groups,
        })
    }
}

/// The least memory that a choice of settings takes. Sums saturate, because options and files may name any number.
#[derive(Debug, Clone, Copy)]
struct Demand<'n> {
    weights: u64,
    groups: &'n [GroupNeeds],
    state: u64,
    /// Whether keys and values are in Q8_0.
    small: bool,
    workspace_token: u64,
    workspace_sequence: u64,
    context_length: usize,
    kv_tokens: Option<usize>,
    block_tokens: usize,
    batch_tokens: usize,
    sequences: usize,
}

impl Demand<'_> {
    /// Blocks of a group that sees everything.
    fn blocks(&self) -> usize {
        self.kv_tokens.unwrap_or(self.context_length).div_ceil(self.block_tokens).max(1)
    }

    /// Blocks of a group, if one that sees everything has `blocks`: with a window, no more than all sequences can hold of it.
    fn group_blocks(&self, group: &GroupNeeds, blocks: usize) -> usize {
        let Some(window) = group.window else { return blocks };
        let step = self.batch_tokens.max(self.sequences);
        // The positions of a sequence may begin and end inside a block, and one sequence may take a whole step.
        let one = window.saturating_add(step).div_ceil(self.block_tokens).saturating_add(1);
        let other = window.div_ceil(self.block_tokens).saturating_add(2);
        blocks.min(one.saturating_add(other.saturating_mul(self.sequences.saturating_sub(1))))
    }

    fn kv(&self) -> u64 {
        self.kv_with(self.blocks())
    }

    fn kv_with(&self, blocks: usize) -> u64 {
        let bytes = |group: &GroupNeeds| {
            let token = if self.small { group.token_q8 } else { group.token };
            let slots = (self.group_blocks(group, blocks) as u64).saturating_mul(self.block_tokens as u64);
            token.saturating_mul(slots)
        };
        let state = self.state.saturating_mul(self.sequences as u64);
        self.groups.iter().fold(state, |sum, group| sum.saturating_add(bytes(group)))
    }

    fn workspace(&self) -> u64 {
        let tokens = self.workspace_token.saturating_mul(self.batch_tokens.max(self.sequences) as u64);
        tokens.saturating_add(self.workspace_sequence.saturating_mul(self.sequences as u64))
    }

    fn total(&self) -> u64 {
        self.total_with(self.blocks())
    }

    fn total_with(&self, blocks: usize) -> u64 {
        self.weights.saturating_add(self.kv_with(blocks)).saturating_add(self.workspace())
    }

    fn with(mut self, setting: MemorySetting) -> Self {
        match setting {
            MemorySetting::ContextLength(tokens) => self.context_length = tokens,
            MemorySetting::KvTokens(tokens) => self.kv_tokens = Some(tokens),
            MemorySetting::KvFormat(_) => self.small = true,
            MemorySetting::MaxBatchTokens(tokens) => self.batch_tokens = tokens,
            MemorySetting::MaxSequences(sequences) => self.sequences = sequences,
        }
        self
    }

    /// Returns settings that together fit the budget, starting with the largest part of memory; one setting if one is enough. Returns an
    /// empty list if no settings fit.
    fn fitting(&self, budget: u64) -> Vec<MemorySetting> {
        let mut steps = [Self::smaller_cache, Self::smaller_format, Self::smaller_batch];
        if self.workspace() > self.kv() {
            steps.rotate_right(1);
        }
        if let Some(setting) = steps.iter().find_map(|step| step(self, budget)) {
            return vec![setting];
        }
        // What costs the least to give up goes first: the speed of long prompts, the precision of the cache, company.
        let mut settings = Vec::new();
        let mut left = *self;
        for least in [
            MemorySetting::MaxBatchTokens(self.sequences.min(self.batch_tokens)),
            MemorySetting::KvFormat(KvFormat::Q8_0),
            MemorySetting::MaxSequences(1),
            MemorySetting::MaxBatchTokens(1),
        ] {
            if left.with(least).total() >= left.total() {
                continue;
            }
            left = left.with(least);
            settings.retain(|setting| std::mem::discriminant(setting) != std::mem::discriminant(&least));
            settings.push(least);
            if left.total() <= budget {
                return settings;
            }
            if let Some(cache) = left.smaller_cache(budget) {
                settings.push(cache);
                return settings;
            }
        }
        Vec::new()
    }

    /// Returns the largest cache that fits, as the setting that the user chose: tokens of the cache, or the context.
    fn smaller_cache(&self, budget: u64) -> Option<MemorySetting> {
        match self.kv_tokens {
            Some(tokens) => self.largest(tokens, budget, MemorySetting::KvTokens),
            None => self.largest(self.context_length, budget, MemorySetting::ContextLength),
        }
    }

    fn smaller_format(&self, budget: u64) -> Option<MemorySetting> {
        let setting = MemorySetting::KvFormat(KvFormat::Q8_0);
        (self.with(setting).total() <= budget).then_some(setting)
    }

    fn smaller_batch(&self, budget: u64) -> Option<MemorySetting> {
        self.largest(self.batch_tokens, budget, MemorySetting::MaxBatchTokens)
    }

    /// Returns the largest value below `now`, at least 1, with which everything fits.
    fn largest(&self, now: usize, budget: u64, setting: fn(usize) -> MemorySetting) -> Option<MemorySetting> {
        let fits = |value: usize| self.with(setting(value)).total() <= budget;
        let (mut low, mut high) = (1, now);
        if now <= 1 || !fits(low) {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        Some(setting(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::setting::over_budget;

    const GROUP: GroupNeeds = GroupNeeds { token: 10, token_q8: 6, window: None };

    fn needs() -> Needs {
        let groups = vec![GROUP];
        Needs { context_length: 1000, weights: 5_000, groups, state: 0, workspace_token: 4, workspace_sequence: 25 }
    }

    const WISHES: Wishes = Wishes { context_length: None, kv_tokens: None, block_tokens: 16, budget: None };
    const LIMITS: Limits = Limits { max_sequences: 4, queue_capacity: 0, max_batch_tokens: 100 };

    fn plan(needs: Needs, wishes: Wishes) -> Result<(usize, usize), Error> {
        MemoryPlan::new(&needs, &wishes, &LIMITS).map(|plan| (plan.context_length, plan.blocks[0]))
    }

    #[test]
    fn defaults_hold_full_contexts_up_to_a_bound() {
        assert_eq!(plan(needs(), WISHES).unwrap(), (1000, 250));
        assert_eq!(plan(needs(), Wishes { context_length: Some(100), ..WISHES }).unwrap(), (100, 25));
        assert_eq!(
            plan(needs(), Wishes { context_length: Some(5000), ..WISHES }).unwrap(),
            (5000, 1024),
            "beyond the model's own"
        );
        let long = Needs { context_length: 1 << 20, ..needs() };
        assert_eq!(plan(long.clone(), WISHES).unwrap(), (DEFAULT_CONTEXT, DEFAULT_KV_TOKENS / 16));
        assert_eq!(plan(long, Wishes { context_length: Some(1 << 20), ..WISHES }).unwrap(), (1 << 20, (1 << 20) / 16));
        assert_eq!(plan(needs(), Wishes { kv_tokens: Some(33), ..WISHES }).unwrap(), (1000, 3));
    }

    #[test]
    fn a_budget_shrinks_the_cache_and_then_refuses_with_numbers() {
        let with = |budget| Wishes { budget: Some(budget), ..WISHES };
        assert_eq!(plan(needs(), with(45_500)).unwrap(), (1000, 250));
        assert_eq!(plan(needs(), with(45_499)).unwrap(), (1000, 249));
        assert_eq!(plan(needs(), with(15_580)).unwrap(), (1000, 63), "one context of 63 blocks");
        match plan(needs(), with(15_579)).unwrap_err() {
            Error::OutOfMemoryBudget { needed, weights, kv, workspace, budget, fitting } => {
                assert_eq!((needed, weights, kv, workspace, budget), (15_580, 5_000, 10_080, 500, 15_579));
                assert_eq!(fitting, [MemorySetting::ContextLength(992)]);
            }
            other => panic!("{other}"),
        }
        let wished = Wishes { kv_tokens: Some(160), ..with(7_099) };
        assert!(matches!(plan(needs(), wished), Err(Error::OutOfMemoryBudget { needed: 7_100, kv: 1_600, .. })));
        assert!(matches!(plan(needs(), with(0)), Err(Error::OutOfMemoryBudget { .. })));
        let groups = vec![GroupNeeds { token: u64::MAX, ..GROUP }];
        let huge = Needs { weights: u64::MAX, groups, ..needs() };
        assert!(matches!(plan(huge, with(1)), Err(Error::OutOfMemoryBudget { needed: u64::MAX, .. })));
    }

    #[test]
    fn a_group_with_a_window_takes_no_more_than_all_sequences_can_hold() {
        let groups = vec![GROUP, GroupNeeds { window: Some(64), ..GROUP }];
        let windowed = Needs { groups, state: 7, ..needs() };
        let plan = MemoryPlan::new(&windowed, &WISHES, &LIMITS).unwrap();
        // One sequence with a whole step of 100 tokens, three others with their windows.
        assert_eq!((plan.blocks.as_slice(), plan.slots), (&[250, 12 + 3 * 6][..], 4));
        let one = Limits { max_sequences: 1, ..LIMITS };
        let wishes = Wishes { budget: Some(5_000 + (63 + 12) * 160 + 7 + 400 + 25), ..WISHES };
        assert_eq!(MemoryPlan::new(&windowed, &wishes, &one).unwrap().blocks, [63, 12]);
        let less = Wishes { budget: wishes.budget.map(|budget| budget - 1), ..wishes };
        let error = MemoryPlan::new(&windowed, &less, &one).unwrap_err();
        assert!(matches!(error, Error::OutOfMemoryBudget { kv: 12_007, .. }), "{error}");
    }

    /// Follows the advice for every budget: it must fit, be needed in every part, and be the largest value of its kind.
    #[test]
    fn the_settings_that_are_recommended_fit_and_are_the_largest_that_do() {
        let mut kinds = std::collections::BTreeSet::new();
        for (kv_tokens, sequences, batch) in [(None, 4, 100), (Some(160), 4, 100), (None, 1, 3000), (Some(32), 8, 900)]
        {
            let limits = Limits { max_sequences: sequences, queue_capacity: 0, max_batch_tokens: batch };
            for budget in (4_900..20_000).step_by(37) {
                let wishes = Wishes { kv_tokens, budget: Some(budget), ..WISHES };
                let Err(Error::OutOfMemoryBudget { fitting, .. }) = MemoryPlan::new(&needs(), &wishes, &limits) else {
                    continue;
                };
                kinds.extend(
                    fitting.iter().map(|setting| setting.to_string().split('(').next().unwrap_or("").to_owned()),
                );
                let follow = |settings: &[MemorySetting]| {
                    let (mut needs, mut wishes, mut limits) = (needs(), wishes, limits);
                    for setting in settings {
                        match *setting {
                            MemorySetting::ContextLength(tokens) => wishes.context_length = Some(tokens),
                            MemorySetting::KvTokens(tokens) => wishes.kv_tokens = Some(tokens),
                            MemorySetting::KvFormat(_) => needs.groups[0].token = needs.groups[0].token_q8,
                            MemorySetting::MaxBatchTokens(tokens) => limits.max_batch_tokens = tokens,
                            MemorySetting::MaxSequences(sequences) => limits.max_sequences = sequences,
                        }
                    }
                    MemoryPlan::new(&needs, &wishes, &limits).is_ok()
                };
                match fitting.as_slice() {
                    [] => {
                        let least = 5_000 + 6 * 16 + 4 + 25;
                        assert!(budget < least, "{budget} would hold the smallest cache");
                    }
                    settings => {
                        assert!(follow(settings), "{budget}: {settings:?}");
                        assert!(!follow(&settings[1..]), "{budget}: the first of {settings:?} is not needed");
                        let more = match settings.last() {
                            Some(MemorySetting::ContextLength(tokens)) => MemorySetting::ContextLength(tokens + 1),
                            Some(MemorySetting::KvTokens(tokens)) => MemorySetting::KvTokens(tokens + 1),
                            _ => continue,
                        };
                        assert!(
                            !follow(&[&settings[..settings.len() - 1], &[more]].concat()),
                            "{budget}: {settings:?}"
                        );
                    }
                }
            }
        }
        let all = ["context_length", "kv_format", "kv_tokens", "max_batch_tokens", "max_sequences"];
        assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }

    #[test]
    fn the_text_names_the_largest_part_first_in_mebibytes_or_gibibytes() {
        let text =
            over_budget([&(9 << 20), &(1 << 20), &(4 << 20)], 14 << 20, 5 << 20, &[MemorySetting::MaxBatchTokens(64)]);
        let parts =
            "14.0 MiB are needed (weights 9.0 MiB, workspace 4.0 MiB, KV cache 1.0 MiB), the memory budget is 5.0 MiB";
        assert_eq!(text, format!("{parts}; `max_batch_tokens(64)` would fit"));
        let large = over_budget([&(5 << 30), &(1 << 29), &0], 11 << 29, 4 << 30, &[]);
        assert!(large.starts_with("5.50 GiB are needed (weights 5.00 GiB, KV cache 512.0 MiB,"), "{large}");
        let near = over_budget([&1000, &0, &0], 1000, 999, &[]);
        assert!(
            near.starts_with("1000 bytes are needed") && near.contains("budget is 999 bytes; no setting"),
            "{near}"
        );
    }
}
