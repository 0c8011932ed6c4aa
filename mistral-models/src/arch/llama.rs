//! Llama 1 to 3 and everything that copies it; the base of the other families.
//!
//! Sources: Touvron et al., 2023, arXiv:2302.13971; transformers 5.23 `models/llama`; llama.cpp `src/models/llama.cpp`.

use super::rope::{RopeOptions, rope, scaled_context};
use super::{Arch, activation};
use crate::config::Config;
use crate::spec::{AttentionSpec, DecoderSpec, FfnSpec, LayerSpec, Mixer, NormSpec, Placement};
use crate::{Error, Weights};
use mistral_quant::RopeStyle;

pub(super) const ARCH: Arch = Arch {
    hugging_face: &["LlamaForCausalLM", "llama"],
    gguf: &["llama"],
    spec: |config, weights| {
        let mut spec = llama(config, weights, &Defaults::default())?;
        biases(config, weights, &mut spec)?;
        let style = if config.is_gguf() { RopeStyle::Pairs } else { RopeStyle::Halves };
        // llama.cpp's converter reorders the query and key rows of this architecture for rotations of neighbours.
        spec.each_attention(|_, attention| attention.rope.style = style);
        if let Some(window) = config.size("sliding_window")?.filter(|w| config.is_gguf() && *w > 0) {
            spec.each_attention(|_, attention| attention.window = Some(window));
        }
        Ok(spec)
    },
    renames: &[],
};

/// The fewest tensors of a layer: two norms, and with fused projections four matrices.
const TENSORS_A_LAYER: usize = 6;

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
            rope: RopeOptions { partial: false, longrope_original: None },
        }
    }
}

/// A decoder of Llama's shape without biases; families change the result.
pub(super) fn llama(config: &Config, weights: &dyn Weights, defaults: &Defaults) -> Result<DecoderSpec, Error> {
    let layers = config.size_or("num_hidden_layers", defaults.layers)?;
    // Layers have tensors of their own, so their number bounds the layers before anything is allocated for them.
    let tensors = weights.names().count();
    if layers > tensors / TENSORS_A_LAYER {
        return Err(config.wrong("num_hidden_layers", format!("is {layers}, but the checkpoint has {tensors} tensors")));
    }
    let hidden_size = config.size_or("hidden_size", defaults.hidden_size)?;
    let heads = config.size_per_layer_or("num_attention_heads", layers, defaults.heads)?;
    let silent = defaults.kv_heads.filter(|_| !config.is_gguf());
    let kv_heads = config.size_per_layer("num_key_value_heads", layers)?;
    let kv_heads = kv_heads.or(silent.filter(|_| !config.has("num_key_value_heads"))).unwrap_or(heads);
    let given = config.size("head_dim")?.or(defaults.head_dim.filter(|_| !config.is_gguf()));
    let head_dim = config.above_zero("head_dim", given.unwrap_or(hidden_size / heads))?;
    if kv_heads == 0 || heads % kv_heads != 0 {
        let detail = format!("is {kv_heads}; expected a divisor of the {heads} query heads");
        return Err(config.wrong("num_key_value_heads", detail));
    }
    // Queries, keys and values of one token can be counted.
    if heads.checked_mul(head_dim).and_then(|width| width.checked_mul(3)).is_none() {
        return Err(config.wrong("head_dim", format!("{heads} heads of {head_dim} elements are too many")));
    }
    if let Some(width) = config.size("value_head_dim")?.filter(|width| *width != head_dim) {
        return Err(config.unsupported("value_head_dim", format!("{width}, another width than the {head_dim} of keys")));
    }
    if config.flag("is_causal")? == Some(false) {
        return Err(config.unsupported("is_causal", "attention that is not causal"));
    }
    let max_positions = config.size_or("max_position_embeddings", defaults.context_length)?;
    let eps = config.number_or("rms_norm_eps", defaults.eps)? as f32;
    let rope = rope(config, weights, head_dim, max_positions, &defaults.rope)?;
    let context_length = scaled_context(config, &rope.scaling, max_positions)?;
    let norm = NormSpec { eps, offset: 0.0 };
    let named = config.text(defaults.activation_key)?.unwrap_or(defaults.activation);
    let attention = AttentionSpec {
        heads,
        kv_heads,
        head_dim,
        scale: (head_dim as f64).powf(-0.5) as f32,
        window: None,
        soft_cap: None,
        qkv_bias: false,
        out_bias: false,
        qk_norm: None,
        rope,
    };
    let ffn = FfnSpec {
        intermediate_size: config.size_per_layer_or("intermediate_size", layers, defaults.intermediate_size)?,
        activation: activation(named)?,
        bias: false,
    };
    let layer = LayerSpec { mixer: Mixer::Attention(attention), ffn, placement: Placement::Before, norm };
    let tied = config.flag("tie_word_embeddings")?.unwrap_or(defaults.tied_head);
    let tied_head = if config.is_gguf() { !weights.contains("output.weight") } else { tied && !own_head(weights) };
    Ok(DecoderSpec {
        family: defaults.family,
        hidden_size,
        vocab_size: vocab_size(config, weights, defaults.vocab_size)?,
        context_length,
        embedding_scale: 1.0,
        tied_head,
        final_norm: norm,
        logit_soft_cap: None,
        layers: vec![layer; layers],
    })
}

/// Biases as `attention_bias` and `mlp_bias` say; a GGUF file says it by its tensors.
pub(super) fn biases(config: &Config, weights: &dyn Weights, spec: &mut DecoderSpec) -> Result<(), Error> {
    let said = |key: &str, tensor: &str| -> Result<bool, Error> {
        Ok(if config.is_gguf() { weights.contains(tensor) } else { config.flag(key)?.unwrap_or(false) })
    };
    let (qkv, out) = (said("attention_bias", "blk.0.attn_q.bias")?, said("attention_bias", "blk.0.attn_output.bias")?);
    let ffn = said("mlp_bias", "blk.0.ffn_down.bias")?;
    spec.each_attention(|_, attention| (attention.qkv_bias, attention.out_bias) = (qkv, out));
    spec.layers.iter_mut().for_each(|layer| layer.ffn.bias = ffn);
    Ok(())
}

/// GGUF files may leave the vocabulary's size to the embedding table.
fn vocab_size(config: &Config, weights: &dyn Weights, default: usize) -> Result<usize, Error> {
    if !config.is_gguf() {
        return config.size_or("vocab_size", default);
    }
    config.size("vocab_size")?;
    let shape = weights.get("token_embd.weight")?.shape;
    shape.first().copied().ok_or_else(|| Error::malformed("tensor `token_embd.weight`", "has no dimensions"))
}

/// Whether a head lies beside the embedding with other values. Then the configuration that ties them is wrong: transformers
/// 5 goes by the weights.
fn own_head(weights: &dyn Weights) -> bool {
    let (head, embedding) = (weights.get("lm_head.weight"), weights.get("model.embed_tokens.weight"));
    let (Ok(head), Ok(embedding)) = (head, embedding) else { return false };
    (head.kind, head.shape) != (embedding.kind, embedding.shape) || head.bytes.as_ref() != embedding.bytes.as_ref()
}
