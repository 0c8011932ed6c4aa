//! The parts of a layer: what [`Decoder`](crate::Decoder) dispatches to.

mod attention;
mod ffn;

pub(crate) use attention::Attention;
pub(crate) use ffn::Ffn;

use mistral_quant::{Backend, Span};

use crate::Error;

/// What all layers of a step share.
pub(crate) struct Step<'a, B: Backend> {
    pub(crate) tokens: usize,
    pub(crate) spans: &'a [Span<'a>],
    /// Cosines and sines, one pair for each distinct rope of the decoder. Each `[tokens, rotary_dim / 2]`.
    pub(crate) ropes: &'a [(B::Buffer, B::Buffer)],
}

/// Working memory of the blocks, for as many tokens as the largest step so far.
pub(crate) struct Scratch<B: Backend> {
    /// `[tokens, heads * head_dim]`.
    pub(crate) queries: B::Buffer,
    /// `[tokens, kv_heads * head_dim]`.
    pub(crate) keys: B::Buffer,
    /// `[tokens, kv_heads * head_dim]`.
    pub(crate) values: B::Buffer,
    /// `[tokens, heads * head_dim]`.
    pub(crate) heads: B::Buffer,
    /// `[tokens, intermediate_size]`.
    pub(crate) gated: B::Buffer,
}

impl<B: Backend> Scratch<B> {
    /// Memory for `tokens` tokens; the widths are those of queries, keys and intermediate rows.
    pub(crate) fn new(backend: &mut B, tokens: usize, (query, key, ffn): (usize, usize, usize)) -> Result<Self, Error> {
        let mut buffer = |width: usize| backend.buffer(tokens.saturating_mul(width));
        Ok(Self {
            queries: buffer(query)?,
            keys: buffer(key)?,
            values: buffer(key)?,
            heads: buffer(query)?,
            gated: buffer(ffn)?,
        })
    }
}
