//! Storage of what sequences leave behind: keys and values in blocks, recurrent state in slots. Which block and which slot belongs to
//! whom is decided elsewhere.

use mistral_quant::backend::{KvShape, StateShape};
use mistral_quant::{Backend, KvFormat};

use crate::error::Error;
use crate::spec::{DecoderSpec, RopeScaling};

/// What one block keeps of earlier positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheKind {
    /// Keys and values.
    Kv {
        kv_heads: usize,
        head_dim: usize,
        /// Positions that are looked back at, the current one included.
        window: Option<usize>,
        /// Whether a later step reads them.
        lasting: bool,
    },
    /// Recurrent state: values of the convolution and of the scan per sequence.
    State { convolution: usize, scan: usize },
    /// Nothing.
    Nothing,
}

/// What a decoder's cache needs and can do; asked for once, before any is made.
///
/// Layers whose attention reaches equally far back form a group. A sequence has one block table per group, so that the blocks that lie
/// behind a window can be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachePlan {
    /// The groups of layers; empty for a decoder without attention.
    pub groups: Vec<KvGroup>,
    /// Bytes of recurrent state per sequence.
    pub state_bytes: u64,
    /// Whether the last positions of a sequence can be dropped and computed again. Recurrent state cannot be turned back.
    pub rewindable: bool,
    /// Whether keys change with the length of their sequence, as some scalings of the rotary embedding have it: then positions cannot be
    /// shared between sequences, and generated tokens must be computed again one by one after their cache was lost.
    pub keys_depend_on_length: bool,
}

/// Layers that share block tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvGroup {
    /// Number of layers.
    pub layers: usize,
    /// Bytes of keys and values per token, over all layers of the group.
    pub bytes_per_token: u64,
    /// How many positions are looked back at, the current one included; `None`: all of them.
    pub window: Option<usize>,
}

impl KvGroup {
    /// Returns the most positions that a sequence of `length` tokens needs blocks for, if its steps have up to `step` tokens.
    pub fn positions(&self, length: usize, step: usize) -> usize {
        self.window.map_or(length, |window| length.min(window.saturating_add(step)))
    }
}

impl DecoderSpec {
    /// Returns what a cache in these formats needs and can do.
    pub fn cache_plan(&self, key_format: KvFormat, value_format: KvFormat) -> CachePlan {
        // Saturating throughout: the numbers come from files and options, and are compared with a budget before anything is checked.
        let mut groups: Vec<KvGroup> = Vec::new();
        let mut state_bytes = 0u64;
        for kind in self.blocks().map(|block| block.cache_kind()) {
            match kind {
                CacheKind::Kv { kv_heads, head_dim, window, lasting } => {
                    let bytes = |format: KvFormat| format.head_bytes(head_dim).map_or(u64::MAX, |bytes| bytes as u64);
                    let head = bytes(key_format).saturating_add(bytes(value_format));
                    let window = self.effective(window);
                    let place = groups.iter().position(|group| group.window == window).unwrap_or(groups.len());
                    if place == groups.len() {
                        groups.push(KvGroup { layers: 0, bytes_per_token: 0, window });
                    }
                    let group = &mut groups[place];
                    // The layers of an encoder share one storage.
                    if lasting || group.layers == 0 {
                        let layer = head.saturating_mul(kv_heads as u64);
                        group.bytes_per_token = group.bytes_per_token.saturating_add(layer);
                    }
                    group.layers += 1;
                }
                CacheKind::State { convolution, scan } => {
                    let values = (convolution as u64).saturating_add(scan as u64);
                    state_bytes = state_bytes.saturating_add(values.saturating_mul(4));
                }
                CacheKind::Nothing => {}
            }
        }
        let scaled =
            |scaling: &RopeScaling| matches!(scaling, RopeScaling::Dynamic { .. } | RopeScaling::LongRope { .. });
        let keys_depend_on_length =
            self.attentions().any(|(_, attention)| attention.rope.as_ref().is_some_and(|rope| scaled(&rope.scaling)));
        CachePlan { groups, rewindable: state_bytes == 0, state_bytes, keys_depend_on_length }
    }

    /// A window that cuts something off.
    fn effective(&self, window: Option<usize>) -> Option<usize> {
        window.filter(|window| *window < self.context_length)
    }
}

impl CachePlan {
    /// Returns the bytes of keys and values per token, over all groups.
    pub fn bytes_per_token(&self) -> u64 {
        self.groups.iter().fold(0, |sum: u64, group| sum.saturating_add(group.bytes_per_token))
    }
}

/// Size and element type of a [`Cache`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// Blocks of each group of [`CachePlan::groups`]; the last number holds for all further groups.
    pub blocks: Vec<usize>,
    /// Token slots per block.
    pub block_tokens: usize,
    /// Slots of recurrent state: sequences that run at the same time.
    pub slots: usize,
    /// How keys are kept.
    pub key_format: KvFormat,
    /// How values are kept.
    pub value_format: KvFormat,
}

impl CacheOptions {
    /// `blocks` blocks of `block_tokens` token slots in every group, one slot of recurrent state, keys and values in F16.
    pub fn new(blocks: usize, block_tokens: usize) -> Self {
        let (key_format, value_format) = (KvFormat::F16, KvFormat::F16);
        Self { blocks: vec![blocks], block_tokens, slots: 1, key_format, value_format }
    }

    /// Sets how keys and values are kept.
    #[must_use]
    pub fn formats(mut self, key_format: KvFormat, value_format: KvFormat) -> Self {
        (self.key_format, self.value_format) = (key_format, value_format);
        self
    }

    /// Sets the number of sequences that run at the same time.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Returns the blocks of a group.
    pub fn blocks_of(&self, group: usize) -> usize {
        self.blocks.get(group).or(self.blocks.last()).copied().unwrap_or(0)
    }
}

/// What one block of a decoder keeps.
pub(crate) enum BlockCache<B: Backend> {
    Kv {
        group: usize,
        kv: B::Kv,
    },
    State {
        convolution: B::State,
        scan: B::State,
    },
    /// The storage of an earlier block: its keys are read in the step that wrote them only.
    SharedWith(usize),
    Nothing,
}

/// Keys, values and state of all layers.
pub struct Cache<B: Backend> {
    /// In the order of [`DecoderSpec::blocks`].
    pub(crate) blocks: Vec<BlockCache<B>>,
    groups: usize,
    options: CacheOptions,
}

impl<B: Backend> Cache<B> {
    /// Allocates blocks and slots for every layer of `spec`.
    ///
    /// # Errors
    /// [`Error::Quant`] when the backend refuses the memory.
    pub fn new(backend: &mut B, spec: &DecoderSpec, options: CacheOptions) -> Result<Self, Error> {
        let groups = spec.cache_plan(options.key_format, options.value_format).groups;
        let kinds: Vec<CacheKind> = spec.blocks().map(|block| block.cache_kind()).collect();
        let mut blocks: Vec<BlockCache<B>> = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            let passing = matches!(kind, CacheKind::Kv { lasting: false, .. });
            let shared = kinds.iter().take(index).position(|other| passing && other == kind);
            blocks.push(match (*kind, shared) {
                (_, Some(first)) => BlockCache::SharedWith(first),
                (CacheKind::Kv { kv_heads, head_dim, window, .. }, None) => {
                    let window = spec.effective(window);
                    let group = groups.iter().position(|group| group.window == window).unwrap_or(0);
                    let CacheOptions { block_tokens, key_format, value_format, .. } = options;
                    let (blocks, key_dim, value_dim) = (options.blocks_of(group), head_dim, head_dim);
                    let shape =
                        KvShape { blocks, block_tokens, kv_heads, key_dim, value_dim, key_format, value_format };
                    BlockCache::Kv { group, kv: backend.kv(shape)? }
                }
                (CacheKind::State { convolution, scan }, None) => {
                    let mut state = |len: usize| backend.state(StateShape { slots: options.slots, len });
                    BlockCache::State { convolution: state(convolution)?, scan: state(scan)? }
                }
                (CacheKind::Nothing, None) => BlockCache::Nothing,
            });
        }
        Ok(Self { blocks, groups: groups.len(), options })
    }

    /// Returns the number of groups of layers: each run brings so many block tables.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Returns the size that the cache was made with.
    pub fn options(&self) -> &CacheOptions {
        &self.options
    }

    /// Whether there is recurrent state.
    pub(crate) fn has_state(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, BlockCache::State { .. }))
    }

    /// The window of a group.
    pub(crate) fn window(&self, spec: &DecoderSpec, group: usize) -> Option<usize> {
        let windows = spec.blocks().zip(&self.blocks).filter_map(|(block, cache)| match (block.cache_kind(), cache) {
            (CacheKind::Kv { window, .. }, BlockCache::Kv { group: own, .. }) if *own == group => {
                Some(spec.effective(window))
            }
            _ => None,
        });
        windows.into_iter().next().flatten()
    }

    /// The cache of a block.
    pub(crate) fn of(&mut self, block: usize) -> Option<&mut BlockCache<B>> {
        let place = match self.blocks.get(block)? {
            BlockCache::SharedWith(first) => *first,
            _ => block,
        };
        self.blocks.get_mut(place)
    }
}
