//! Paged storage of keys and values: storage only. Which block belongs to whom is decided elsewhere.

use mistral_quant::{Backend, KvFormat, KvShape};

use crate::Error;
use crate::spec::{DecoderSpec, Mixer};

/// Size and element type of a [`Cache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// Blocks in the pool.
    pub blocks: usize,
    /// Token slots a block.
    pub block_tokens: usize,
    /// How keys are kept.
    pub key_format: KvFormat,
    /// How values are kept.
    pub value_format: KvFormat,
}

/// The keys and values of all layers, in blocks that sequences share by their block tables.
pub struct Cache<B: Backend> {
    pub(crate) layers: Vec<B::Kv>,
    options: CacheOptions,
}

impl<B: Backend> Cache<B> {
    /// Allocates `options.blocks` blocks for every layer of `spec`.
    ///
    /// # Errors
    /// [`Error::Quant`] when the backend refuses the memory.
    pub fn new(backend: &mut B, spec: &DecoderSpec, options: CacheOptions) -> Result<Self, Error> {
        let CacheOptions { blocks, block_tokens, key_format, value_format } = options;
        let layer = |mixer: &Mixer| match mixer {
            Mixer::Attention(a) => KvShape {
                blocks,
                block_tokens,
                kv_heads: a.kv_heads,
                key_dim: a.head_dim,
                value_dim: a.head_dim,
                key_format,
                value_format,
            },
        };
        let layers = spec.layers.iter().map(|l| backend.kv(layer(&l.mixer))).collect::<Result<_, _>>()?;
        Ok(Self { layers, options })
    }

    /// The size it was made with.
    pub fn options(&self) -> CacheOptions {
        self.options
    }
}
