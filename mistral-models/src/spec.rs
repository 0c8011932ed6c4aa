//! A decoder or encoder as data: every number and choice that its arithmetic depends on, layer by layer.
//!
//! `arch/` translates a checkpoint's configuration into this once; [`Decoder`](crate::Decoder) runs any spec. Nothing here
//! names a family or a file format.

use std::sync::Arc;

use mistral_quant::backend::{Activation, NormKind, RopeStyle, RouteRule, Visible};

/// A language model as a stack of layers over one residual stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DecoderSpec {
    /// The family, as `arch/` calls it; for messages only.
    pub family: &'static str,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// The number of positions that the checkpoint was made for: `max_position_embeddings`, or the number that the scaling of the rotary
    /// embedding reaches.
    pub context_length: usize,
    /// Multiplies the embeddings; 1 for most, `sqrt(hidden_size)` for Gemma.
    pub embedding_scale: f32,
    /// Learned positions, added to the embeddings.
    pub positions: Option<LearnedPositions>,
    /// Rows of the embedding of token types, added to the embeddings; 0 for none (BERT has 2).
    pub token_types: usize,
    /// The norm of the sum of all embeddings.
    pub embedding_norm: Option<NormSpec>,
    /// What turns the residual stream into logits.
    pub head: Head,
    /// The norm before the head, or at the end of an encoder.
    pub final_norm: Option<NormSpec>,
    /// Multiplies the logits.
    pub logit_scale: f32,
    /// Soft cap of the logits: `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f32>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

/// An embedding table of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LearnedPositions {
    /// Rows of the table.
    pub rows: usize,
    /// Row of position 0.
    pub offset: usize,
}

/// What turns the residual stream into logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Head {
    /// Nothing: an encoder, which returns the residual stream.
    None {
        /// Whether the checkpoint has a pooler: `tanh(x · weightᵀ + bias)` of a text's first row (BERT).
        pooler: bool,
    },
    /// The embedding table.
    Tied,
    /// A matrix `[vocab_size, hidden_size]`.
    Own {
        /// Whether it has a bias `[vocab_size]`.
        bias: bool,
    },
}

/// One layer: residual sums, one after another.
///
/// Two residuals of one branch each are Llama. One residual of two branches is a parallel layer: attention and feed-forward network
/// read the same stream (GPT-NeoX, Phi), or two mixers do (Falcon-H1).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerSpec {
    /// First to last.
    pub residuals: Vec<Residual>,
}

/// One residual sum: `x = after(x + scale * output_norm(Σ branch(norm(x))))`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Residual {
    /// Before the branches; `None` where they read the stream itself, or have norms of their own.
    pub norm: Option<NormSpec>,
    /// What is added; at least one.
    pub branches: Vec<Branch>,
    /// After the sum of the branches, before the stream is added (Gemma 2, OLMo 2).
    pub output_norm: Option<NormSpec>,
    /// Multiplies what is added (Granite).
    pub scale: f32,
    /// Of the stream after the addition (BERT).
    pub after: Option<NormSpec>,
}

/// One summand of a residual.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Branch {
    /// A norm of this branch alone (GPT-NeoX).
    pub norm: Option<NormSpec>,
    /// What it computes.
    pub block: BlockSpec,
}

/// The kinds of blocks. `block/mod.rs` is the only place that matches on the kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BlockSpec {
    /// Self-attention over cached keys and values.
    Attention(AttentionSpec),
    /// The recurrent mixer of Mamba-2.
    Mamba2(Mamba2Spec),
    /// A feed-forward network.
    Ffn(FfnSpec),
    /// A mixture of experts.
    Experts(ExpertsSpec),
}

/// A norm over rows of the width where it stands: see [`mistral_quant::backend::Norm`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NormSpec {
    /// Root mean square, or mean and variance.
    pub kind: NormKind,
    /// Added to the mean square or the variance.
    pub eps: f32,
    /// Added to each weight: 1 where weights are stored around zero.
    pub offset: f32,
    /// Whether it has a weight.
    pub weight: bool,
    /// Whether it has a bias.
    pub bias: bool,
}

/// Self-attention with grouped query heads.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// Which positions a query sees.
    pub visible: Visible,
    /// Soft cap of the scores.
    pub soft_cap: Option<f32>,
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub out_bias: bool,
    /// Norms of queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// Rotary position embedding; `None` for a layer without one.
    pub rope: Option<RopeSpec>,
    /// Whether each query head has a learned logit for looking at nothing.
    pub sinks: bool,
    /// Factors of the queries that grow with the position.
    pub temperature: Option<Temperature>,
}

/// Norms of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct QkNorm {
    /// One norm for the queries and one for the keys.
    pub norm: NormSpec,
    /// Whether a row is the whole `heads * head_dim` instead of one head.
    pub whole: bool,
    /// Whether the norms come after the rotation.
    pub after_rope: bool,
}

/// Queries at position `p` are multiplied by `1 + scale * ln(1 + floor((p + 1) / floor_scale))`.
/// Source: Nakanishi, 2025, arXiv:2501.19399, in the form of Llama 4.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Temperature {
    /// Growth.
    pub scale: f32,
    /// Positions per step of the growth.
    pub floor_scale: f32,
}

/// The recurrent mixer of Mamba-2. Source: Dao and Gu, 2024, arXiv:2405.21060.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Mamba2Spec {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Groups of heads that share input and output maps of the state.
    pub groups: usize,
    /// Values of state per element of a head.
    pub state_dim: usize,
    /// Taps of the convolution.
    pub conv_kernel: usize,
    /// Bias of the convolution.
    pub conv_bias: bool,
    /// Biases of the input and output projections.
    pub bias: bool,
    /// Of the convolution.
    pub activation: Activation,
    /// Bounds of a time step.
    pub dt_limit: (f32, f32),
    /// The norm of the gated output: of the heads of each group by themselves.
    pub norm: NormSpec,
}

/// A feed-forward network: `down(activation(gate(x)) * up(x))`, or without a gate `down(activation(up(x)))`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FfnSpec {
    /// Width of gate and up.
    pub intermediate_size: usize,
    /// Of the gate, or of the only projection.
    pub activation: Activation,
    /// Whether there is a gate.
    pub gated: bool,
    /// Biases of all projections.
    pub bias: bool,
    /// Whether this is the network that all tokens share next to a mixture of experts, which has tensors of its own name.
    pub shared: bool,
}

/// A mixture of experts: for each token the weighted sum of some gated feed-forward networks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExpertsSpec {
    /// How experts are chosen.
    pub rule: RouteRule,
    /// Width of gate and up of one expert.
    pub intermediate_size: usize,
    /// Of the gates.
    pub activation: Activation,
    /// Biases of the router.
    pub router_bias: bool,
    /// Biases of the experts' projections.
    pub bias: bool,
    /// Whether the weights of the choice multiply the input of an expert instead of its output (Llama 4).
    pub weighted_input: bool,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RopeSpec {
    /// Base of the frequencies.
    pub theta: f64,
    /// Leading elements of a head that are rotated; even.
    pub rotary_dim: usize,
    /// Pairing of elements.
    pub style: RopeStyle,
    /// How frequencies change for contexts beyond the pretrained one.
    pub scaling: RopeScaling,
}

/// Changes of the rotary frequencies `theta^(-2i/rotary_dim)`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// None.
    None,
    /// All divided by `factor`. Source: Chen et al., 2023, arXiv:2306.15595.
    Linear {
        /// Divisor.
        factor: f64,
        /// Pretrained context.
        original: usize,
    },
    /// Theta grows with the length of the sequence beyond `original` ("dynamic NTK"); as transformers computes it without a cache.
    Dynamic {
        /// Growth.
        factor: f64,
        /// Length up to which nothing changes.
        original: usize,
    },
    /// Low frequencies divided, high ones kept, a linear blend between (Llama 3.1 model card).
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Pretrained context.
        original: usize,
    },
    /// YaRN. Source: Peng et al., 2023, arXiv:2309.00071.
    Yarn {
        /// Divisor of the interpolated frequencies.
        factor: f64,
        /// Pretrained context.
        original: usize,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which a frequency is divided.
        beta_slow: f64,
        /// Whether the bounds are rounded outwards to whole dimensions.
        truncate: bool,
        /// Multiplies cos and sin.
        attention_factor: f64,
    },
    /// One divisor per frequency, in two sets. Source: Ding et al., 2024, arXiv:2402.13753.
    LongRope {
        /// For sequences up to `original`. Shape `[rotary_dim / 2]`.
        short: Arc<[f32]>,
        /// For longer ones.
        long: Arc<[f32]>,
        /// Pretrained context.
        original: usize,
        /// Multiplies cos and sin.
        attention_factor: f64,
    },
    /// One divisor per frequency, always (GGUF's `rope_freqs`). Shape `[rotary_dim / 2]`.
    Factors(Arc<[f32]>),
}

impl NormSpec {
    /// A root-mean-square norm with a weight.
    pub fn rms(eps: f32) -> Self {
        Self { kind: NormKind::Rms, eps, offset: 0.0, weight: true, bias: false }
    }

    /// A norm by mean and variance with a weight and a bias.
    pub fn layer(eps: f32) -> Self {
        Self { kind: NormKind::Layer, eps, offset: 0.0, weight: true, bias: true }
    }
}

impl Residual {
    /// A residual of one branch behind a norm: `x + block(norm(x))`.
    pub fn new(norm: Option<NormSpec>, block: BlockSpec) -> Self {
        Self { norm, branches: vec![Branch { norm: None, block }], output_norm: None, scale: 1.0, after: None }
    }
}

impl Branch {
    /// A branch without a norm of its own.
    pub fn new(block: BlockSpec) -> Self {
        Self { norm: None, block }
    }
}

impl LayerSpec {
    /// A layer of an attention and a feed-forward network with a norm before each.
    pub fn new(norm: NormSpec, mixer: BlockSpec, ffn: BlockSpec) -> Self {
        Self { residuals: vec![Residual::new(Some(norm), mixer), Residual::new(Some(norm), ffn)] }
    }

    /// All blocks of the layer, in the order in which they are computed.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockSpec> {
        self.residuals.iter().flat_map(|residual| &residual.branches).map(|branch| &branch.block)
    }

    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut BlockSpec> {
        self.residuals.iter_mut().flat_map(|residual| &mut residual.branches).map(|branch| &mut branch.block)
    }
}

impl DecoderSpec {
    /// All blocks, layer after layer.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockSpec> {
        self.layers.iter().flat_map(LayerSpec::blocks)
    }

    /// The attentions, each with its layer.
    pub fn attentions(&self) -> impl Iterator<Item = (usize, &AttentionSpec)> {
        self.layers
            .iter()
            .enumerate()
            .flat_map(|(index, layer)| layer.blocks().map(move |block| (index, block)))
            .filter_map(|(index, block)| match block {
                BlockSpec::Attention(attention) => Some((index, attention)),
                _ => None,
            })
    }

    /// Whether every position sees the whole text: an encoder, whose text is one run.
    pub fn is_encoder(&self) -> bool {
        self.attentions().any(|(_, attention)| attention.visible == Visible::All)
    }

    /// Changes every attention: how a family states its difference.
    pub(crate) fn each_attention(&mut self, mut change: impl FnMut(usize, &mut AttentionSpec)) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for block in layer.blocks_mut() {
                if let BlockSpec::Attention(attention) = block {
                    change(index, attention);
                }
            }
        }
    }

    /// Changes every feed-forward network.
    pub(crate) fn each_ffn(&mut self, mut change: impl FnMut(usize, &mut FfnSpec)) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for block in layer.blocks_mut() {
                if let BlockSpec::Ffn(ffn) = block {
                    change(index, ffn);
                }
            }
        }
    }

    /// Puts other branches in the place of a layer's feed-forward network where `blocks` returns some.
    pub(crate) fn replace_ffn(&mut self, mut blocks: impl FnMut(usize) -> Option<Vec<BlockSpec>>) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            for residual in &mut layer.residuals {
                let place = residual.branches.iter().position(|branch| matches!(branch.block, BlockSpec::Ffn(_)));
                if let Some((place, blocks)) = place.and_then(|place| Some((place, blocks(index)?))) {
                    let norm = residual.branches[place].norm;
                    let branches = blocks.into_iter().map(|block| Branch { norm, block });
                    residual.branches.splice(place..=place, branches);
                }
            }
        }
    }

    /// Changes every residual.
    pub(crate) fn each_residual(&mut self, change: impl FnMut(&mut Residual)) {
        self.layers.iter_mut().flat_map(|layer| &mut layer.residuals).for_each(change);
    }
}
