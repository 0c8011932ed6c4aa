//! Llama 1 to 3 and everything that copies it; the base of the other families.
//!
//! Sources: Touvron et al., 2023, arXiv:2302.13971; transformers 5.23 `models/llama`; llama.cpp `src/models/llama.cpp`.

use mistral_quant::backend::{RopeStyle, Visible};

use super::activation;
use crate::config::Arch;
use crate::config::Config;
use crate::config::rope::{RopeOptions, rope, scaled_context};
use crate::config::stored::GgufNotes;
use crate::error::Error;
use crate::names::Role;
use crate::spec::{AttentionSpec, BlockSpec, DecoderSpec, FfnSpec, LayerSpec, NormSpec, RopeSpec};

pub(super) const ARCH: Arch = Arch {
    gguf_notes: GgufNotes { rope: RopeStyle::Pairs, window: true, ..GgufNotes::NONE },
    ..Arch::new(&["LlamaForCausalLM", "llama"], &["llama"], |config| {
        let mut spec = llama(config, &Defaults::default())?;
        biases(config, &mut spec)?;
        Ok(spec)
    })
};

/// The fewest tensors of a layer: two norms, and with fused projections four matrices. A layer of one mixer has as many.
const TENSORS_PER_LAYER: usize = 6;

/// What a configuration means when it is silent; transformers' class defaults.
pub(super) struct Defaults {
    pub(super) family: &'static str,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// As many as `heads` for `None`.
    pub(super) kv_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) context_length: usize,
    pub(super) eps: f64,
    pub(super) tied_head: bool,
    pub(super) activation_key: &'static str,
    pub(super) activation: &'static str,
    pub(super) rope: RopeOptions,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            family: "llama",
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            layers: 32,
            heads: 32,
            kv_heads: None,
            head_dim: None,
            context_length: 2048,
            eps: 1e-6,
            tied_head: false,
            activation_key: "hidden_act",
            activation: "silu",
            rope: RopeOptions { partial: None, truncate: true, longrope_original: None },
        }
    }
}

/// The sizes that all decoders have.
pub(super) struct Sizes {
    pub(super) layers: usize,
    pub(super) hidden_size: usize,
    /// For each layer: query heads, key and value heads; 0 of either for a layer without attention.
    pub(super) heads: Vec<(usize, usize)>,
    pub(super) head_dim: usize,
    /// As the file has it, without the scaling of the rotary embedding.
    pub(super) max_positions: usize,
}

impl Sizes {
    /// Reads the sizes; a layer has at least `tensors_per_layer` tensors.
    pub(super) fn read(config: &Config<'_>, defaults: &Defaults, tensors_per_layer: usize) -> Result<Self, Error> {
        let layers = config.size_or("num_hidden_layers", defaults.layers)?;
        // Layers have tensors of their own, so their number bounds the layers before anything is allocated for them.
        let tensors = config.weights().names().count();
        if layers > tensors / tensors_per_layer {
            let detail = format!("is {layers}, but the checkpoint has {tensors} tensors");
            return Err(config.wrong("num_hidden_layers", detail));
        }
        let hidden_size = config.size_or("hidden_size", defaults.hidden_size)?;
        let queries = config.sizes_or("num_attention_heads", layers, defaults.heads)?;
        let said = config.has("num_key_value_heads");
        let silent = config.silent(defaults.kv_heads).filter(|_| !said).map(|heads| vec![heads; layers]);
        let kv_heads = config.sizes("num_key_value_heads", layers)?.or(silent).unwrap_or_else(|| queries.clone());
        let most = queries.iter().copied().max().unwrap_or(1);
        let given = config.size("head_dim")?.or(config.silent(defaults.head_dim));
        let head_dim = config.above_zero("head_dim", given.unwrap_or(hidden_size / most))?;
        // Queries, keys and values of one token can be counted.
        if most.checked_mul(head_dim).and_then(|width| width.checked_mul(3)).is_none() {
            return Err(config.wrong("head_dim", format!("{most} heads of {head_dim} elements are too many")));
        }
        if let Some(width) = config.size("value_head_dim")?.filter(|width| *width != head_dim) {
            let detail = format!("{width}, another width than the {head_dim} of keys");
            return Err(config.unsupported("value_head_dim", detail));
        }
        let max_positions = config.size_or("max_position_embeddings", defaults.context_length)?;
        let heads = queries.into_iter().zip(kv_heads).collect();
        Ok(Self { layers, hidden_size, heads, head_dim, max_positions })
    }

    /// Plain causal attention of a layer, without biases and norms.
    pub(super) fn attention(
        &self,
        config: &Config<'_>,
        layer: usize,
        rope: Option<RopeSpec>,
    ) -> Result<AttentionSpec, Error> {
        let (heads, kv_heads) = self.heads.get(layer).copied().unwrap_or_default();
        if kv_heads == 0 || heads % kv_heads != 0 {
            let detail = format!("is {kv_heads}; expected a divisor of the {heads} query heads");
            return Err(config.wrong("num_key_value_heads", detail));
        }
        Ok(AttentionSpec {
            heads,
            kv_heads,
            head_dim: self.head_dim,
            scale: (self.head_dim as f64).powf(-0.5) as f32,
            visible: Visible::Causal,
            soft_cap: None,
            qkv_bias: false,
            out_bias: false,
            qk_norm: None,
            rope,
            sinks: false,
            temperature: None,
        })
    }

    /// A decoder of these layers without special features.
    pub(super) fn decoder(
        &self,
        config: &Config<'_>,
        defaults: &Defaults,
        norm: NormSpec,
        layers: Vec<LayerSpec>,
    ) -> Result<DecoderSpec, Error> {
        Ok(DecoderSpec {
            family: defaults.family,
            hidden_size: self.hidden_size,
            vocab_size: config.vocab_size(defaults.vocab_size)?,
            context_length: self.max_positions,
            embedding_scale: 1.0,
            positions: None,
            token_types: 0,
            embedding_norm: None,
            head: config.head(defaults.tied_head)?,
            final_norm: Some(norm),
            logit_scale: 1.0,
            logit_soft_cap: None,
            layers,
        })
    }
}

/// A decoder of Llama's shape without biases; families change the result.
pub(super) fn llama(config: &Config<'_>, defaults: &Defaults) -> Result<DecoderSpec, Error> {
    let sizes = Sizes::read(config, defaults, TENSORS_PER_LAYER)?;
    if config.flag("is_causal")? == Some(false) {
        return Err(config.unsupported("is_causal", "attention that is not causal"));
    }
    let norm = NormSpec::rms(config.number_or("rms_norm_eps", defaults.eps)? as f32);
    let rope = rope(config, sizes.head_dim, sizes.max_positions, &defaults.rope)?;
    let context_length = scaled_context(config, &rope.scaling, sizes.max_positions)?;
    let activation = activation(config.text(defaults.activation_key)?.unwrap_or(defaults.activation))?;
    let widths = config.sizes_or("intermediate_size", sizes.layers, defaults.intermediate_size)?;
    let layer = |(layer, intermediate_size)| {
        let attention = sizes.attention(config, layer, Some(rope.clone()))?;
        let ffn = FfnSpec { intermediate_size, activation, gated: true, bias: false, shared: false };
        Ok(LayerSpec::new(norm, BlockSpec::Attention(attention), BlockSpec::Ffn(ffn)))
    };
    let layers = widths.into_iter().enumerate().map(layer).collect::<Result<Vec<LayerSpec>, Error>>()?;
    let spec = sizes.decoder(config, defaults, norm, layers)?;
    Ok(DecoderSpec { context_length, ..spec })
}

/// Biases as `attention_bias` and `mlp_bias` say.
pub(super) fn biases(config: &Config<'_>, spec: &mut DecoderSpec) -> Result<(), Error> {
    let qkv = config.bias("attention_bias", Role::Query, 0)?;
    let out = config.bias("attention_bias", Role::Output, 0)?;
    let ffn = config.bias("mlp_bias", Role::Down, 0)?;
    spec.each_attention(|_, attention| (attention.qkv_bias, attention.out_bias) = (qkv, out));
    spec.each_ffn(|_, network| network.bias = ffn);
    Ok(())
}
