//! The blocks of a layer. [`Block`] and [`BlockSpec`] here are the only place that asks which kind of block one is.

mod attention;
mod experts;
mod ffn;
pub(crate) mod linear;
mod mamba2;
pub(crate) mod norm;
pub(crate) mod scratch;

use mistral_quant::Backend;
use mistral_quant::backend::Visible;

use crate::cache::{BlockCache, CacheKind};
use crate::error::Error;
use crate::loading::Loading;
use crate::rope::RopeTable;
use crate::spec::{AttentionSpec, BlockSpec, DecoderSpec, FfnSpec, LayerSpec, NormSpec};
use attention::Attention;
use experts::Experts;
use ffn::Ffn;
use linear::Observer;
use mamba2::Mamba2;
use scratch::{Scratch, Widths};

/// What all blocks of a step share.
pub(crate) struct Step<'a, 'o, B: Backend> {
    pub(crate) tokens: usize,
    pub(crate) device: &'a B::Step,
    /// Watches what weights are multiplied with.
    pub(crate) observer: Option<Observer<'o>>,
}

/// Tables that blocks share: the distinct rotary embeddings and position-dependent factors of a decoder.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) ropes: Vec<RopeTable>,
    pub(crate) temperatures: Vec<crate::spec::Temperature>,
}

/// The weights of a block.
pub(crate) enum Block<B: Backend> {
    Attention(Attention<B>),
    Mamba2(Mamba2<B>),
    Ffn(Ffn<B>),
    Experts(Experts<B>),
}

impl<B: Backend> Block<B> {
    pub(crate) fn load(
        loading: &mut Loading<'_, B>,
        layer: usize,
        hidden_size: usize,
        spec: &BlockSpec,
        tables: &mut Tables,
    ) -> Result<Self, Error> {
        Ok(match spec {
            BlockSpec::Attention(spec) => Self::Attention(Attention::load(loading, layer, hidden_size, spec, tables)?),
            BlockSpec::Mamba2(spec) => Self::Mamba2(Mamba2::load(loading, layer, hidden_size, spec)?),
            BlockSpec::Ffn(spec) => Self::Ffn(Ffn::load(loading, layer, hidden_size, spec)?),
            BlockSpec::Experts(spec) => Self::Experts(Experts::load(loading, layer, hidden_size, spec)?),
        })
    }

    /// Computes `out` from `x`, both `[tokens, hidden_size]`.
    pub(crate) fn forward(
        &self,
        backend: &mut B,
        step: &mut Step<'_, '_, B>,
        cache: &mut BlockCache<B>,
        scratch: &mut Scratch<B>,
        x: &B::Buffer,
        out: &mut B::Buffer,
    ) -> Result<(), Error> {
        match (self, cache) {
            (Self::Attention(block), BlockCache::Kv { group, kv }) => {
                block.forward(backend, step, (*group, kv), scratch, x, out)
            }
            (Self::Mamba2(block), BlockCache::State { convolution, scan }) => {
                block.forward(backend, step, (convolution, scan), scratch, x, out)
            }
            (Self::Ffn(block), _) => block.forward(backend, step, scratch, x, out),
            (Self::Experts(block), _) => block.forward(backend, step, scratch, x, out),
            (Self::Attention(_) | Self::Mamba2(_), _) => Err(Error::other_decoder("a block without its kind of cache")),
        }
    }
}

impl BlockSpec {
    /// Whether the block mixes positions; the others mix channels.
    pub(crate) fn is_mixer(&self) -> bool {
        matches!(self, Self::Attention(_) | Self::Mamba2(_))
    }

    /// Returns the widths of the working memory that the block needs.
    pub(crate) fn widths(&self, hidden_size: usize) -> Widths {
        match self {
            Self::Attention(spec) => attention::widths(spec),
            Self::Mamba2(spec) => mamba2::widths(spec),
            Self::Ffn(spec) => ffn::widths(spec),
            Self::Experts(spec) => experts::widths(spec, hidden_size),
        }
    }

    /// Returns what the block keeps of earlier positions.
    pub(crate) fn cache_kind(&self) -> CacheKind {
        match self {
            Self::Attention(spec) => CacheKind::Kv {
                kv_heads: spec.kv_heads,
                head_dim: spec.head_dim,
                window: match spec.visible {
                    Visible::Window(reach) | Visible::Chunk(reach) => Some(reach),
                    _ => None,
                },
                // An encoder reads keys only in the step that wrote them.
                lasting: spec.visible != Visible::All,
            },
            Self::Mamba2(spec) => mamba2::state(spec),
            Self::Ffn(_) | Self::Experts(_) => CacheKind::Nothing,
        }
    }
}

/// A layer of Llama's shape: a gated feed-forward network after an attention, with norms before each and perhaps after each.
pub(crate) struct DenseLayer<'s> {
    pub(crate) attention: &'s AttentionSpec,
    pub(crate) ffn: &'s FfnSpec,
    pub(crate) norm: NormSpec,
    pub(crate) has_output_norms: bool,
}

impl LayerSpec {
    /// Returns the parts of a layer of Llama's shape; `None` for any other layer.
    pub(crate) fn as_dense(&self) -> Option<DenseLayer<'_>> {
        let [mixed, fed] = self.residuals.as_slice() else { return None };
        let plain = |residual: &crate::spec::Residual| {
            residual.branches.len() == 1 && residual.scale == 1.0 && residual.after.is_none()
        };
        let (BlockSpec::Attention(attention), BlockSpec::Ffn(ffn)) =
            (&mixed.branches.first()?.block, &fed.branches.first()?.block)
        else {
            return None;
        };
        let same = mixed.norm == fed.norm && mixed.output_norm == fed.output_norm;
        let fits = plain(mixed) && plain(fed) && same && ffn.gated && !ffn.shared;
        let usual = !attention.sinks && attention.temperature.is_none() && attention.rope.is_some();
        let norm = mixed.norm.filter(|_| fits && usual)?;
        Some(DenseLayer { attention, ffn, norm, has_output_norms: mixed.output_norm.is_some() })
    }
}

impl DecoderSpec {
    /// Returns the query heads per key head of the first attention; 0 without any.
    pub(crate) fn queries_per_key(&self) -> usize {
        self.attentions()
            .next()
            .map_or(0, |(_, attention)| attention.heads.checked_div(attention.kv_heads).unwrap_or(0))
    }

    /// Returns the experts of the first mixture; 0 without any.
    pub(crate) fn experts(&self) -> usize {
        let experts = |block: &BlockSpec| match block {
            BlockSpec::Experts(experts) => Some(experts.rule.experts),
            _ => None,
        };
        self.blocks().find_map(experts).unwrap_or(0)
    }
}
