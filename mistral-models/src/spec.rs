//! A decoder as data: every number and choice that its arithmetic depends on, layer by layer.
//!
//! `arch/` translates a checkpoint's configuration into this once; [`Decoder`](crate::Decoder) runs any spec. Nothing here
//! names a family or a file format.

use std::sync::Arc;

use mistral_quant::{Activation, KvFormat, RopeStyle};

/// A decoder-only language model.
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
    /// Whether the head is the embedding table.
    pub tied_head: bool,
    /// The norm before the head.
    pub final_norm: NormSpec,
    /// Soft cap of the logits: `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f32>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

/// One layer: a mixer over positions and a feed-forward network, each with its norms and its residual.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LayerSpec {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What mixes channels.
    pub ffn: FfnSpec,
    /// Where the norms stand.
    pub placement: Placement,
    /// All norms of the layer that are `hidden_size` wide.
    pub norm: NormSpec,
}

/// Root-mean-square norm: see [`mistral_quant::RmsNorm`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormSpec {
    /// Added to the mean square.
    pub eps: f32,
    /// Added to each weight: 1 where weights are stored around zero.
    pub offset: f32,
}

/// Where the norms of a layer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// `x + f(norm(x))`.
    Before,
    /// `x + norm(f(norm(x)))` (Gemma 2).
    BeforeAndAfter,
}

/// The part of a layer that looks at other positions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Mixer {
    /// Causal self-attention over cached keys and values.
    Attention(AttentionSpec),
}

/// Causal self-attention with grouped query heads.
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
    /// How many positions are seen, the query's own included; `None`: all.
    pub window: Option<usize>,
    /// Soft cap of the scores.
    pub soft_cap: Option<f32>,
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub out_bias: bool,
    /// Norm of each query and key head before the rotation.
    pub qk_norm: Option<NormSpec>,
    /// Rotary position embedding.
    pub rope: RopeSpec,
}

/// A gated feed-forward network: `down(activation(gate(x)) * up(x))`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FfnSpec {
    /// Width of gate and up.
    pub intermediate_size: usize,
    /// Of the gate.
    pub activation: Activation,
    /// Biases of gate, up and down.
    pub bias: bool,
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
    /// A divisor a frequency, in two sets. Source: Ding et al., 2024, arXiv:2402.13753.
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
    /// A divisor a frequency, always (GGUF's `rope_freqs`). Shape `[rotary_dim / 2]`.
    Factors(Arc<[f32]>),
}

impl DecoderSpec {
    /// Bytes of cached keys and values a token, over all layers.
    pub fn kv_bytes_per_token(&self, key_format: KvFormat, value_format: KvFormat) -> u64 {
        // Saturating throughout: the numbers come from files and options, and are compared with a budget before anything is checked.
        self.layers.iter().fold(0u64, |sum, layer| match &layer.mixer {
            Mixer::Attention(a) => {
                let bytes = |format: KvFormat| format.head_bytes(a.head_dim).map_or(u64::MAX, |bytes| bytes as u64);
                let head = bytes(key_format).saturating_add(bytes(value_format));
                sum.saturating_add(head.saturating_mul(a.kv_heads as u64))
            }
        })
    }

    /// Bytes of working memory of a step of `tokens` tokens that gives `rows` rows of logits.
    pub fn workspace_bytes(&self, tokens: usize, rows: usize) -> u64 {
        let (queries, keys, ffn) = self.widest();
        let widths = [self.hidden_size, queries, keys, ffn].map(|width| width as u64);
        let row =
            widths.into_iter().fold(self.hidden_size as u64, |sum, width| sum.saturating_add(width.saturating_mul(2)));
        let last = (self.hidden_size as u64).saturating_mul(2).saturating_add(self.vocab_size as u64);
        let all = (tokens as u64).saturating_mul(row).saturating_add((rows as u64).saturating_mul(last));
        all.saturating_mul(4)
    }

    /// The widest rows of queries, of keys, and of intermediate values.
    pub(crate) fn widest(&self) -> (usize, usize, usize) {
        self.layers.iter().fold((0, 0, 0), |(queries, keys, ffn), layer| {
            let Mixer::Attention(a) = &layer.mixer;
            let width = |heads: usize| heads.saturating_mul(a.head_dim);
            (queries.max(width(a.heads)), keys.max(width(a.kv_heads)), ffn.max(layer.ffn.intermediate_size))
        })
    }

    /// Changes the attention of every layer: how a family states its difference.
    pub(crate) fn each_attention(&mut self, mut change: impl FnMut(usize, &mut AttentionSpec)) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let Mixer::Attention(attention) = &mut layer.mixer;
            change(index, attention);
        }
    }
}
