//! Gemma 2: norms before and after each block with weights around zero, scaled embeddings, soft caps, alternating windows.
//!
//! Sources: Gemma Team, 2024, arXiv:2408.00118; transformers 5.23 `models/gemma2`; llama.cpp `src/models/gemma2.cpp`.

use super::llama::{Defaults, biases, llama};
use super::{Arch, windows};
use crate::names::Role;
use crate::spec::{NormSpec, Placement};

/// The layers of the 27B model; a GGUF file does not say its `query_pre_attn_scalar`, llama.cpp tells it by this number.
const LAYERS_27B: usize = 46;

pub(super) const ARCH: Arch = Arch {
    hugging_face: &["Gemma2ForCausalLM", "gemma2"],
    gguf: &["gemma2"],
    spec: |config, weights| {
        let mut spec = llama(
            config,
            weights,
            &Defaults {
                family: "gemma2",
                vocab_size: 256_000,
                hidden_size: 2304,
                intermediate_size: 9216,
                layers: 26,
                heads: 8,
                kv_heads: Some(4),
                head_dim: Some(256),
                context_length: 8192,
                tied_head: true,
                activation_key: "hidden_activation",
                activation: "gelu_pytorch_tanh",
                ..Defaults::default()
            },
        )?;
        biases(config, weights, &mut spec)?;
        if config.flag("use_bidirectional_attention")? == Some(true) {
            return Err(config.unsupported("use_bidirectional_attention", "only causal attention is computed"));
        }
        // `hidden_act` is written by old exports and not read by the genuine implementation.
        config.text("hidden_act")?;
        // GGUF files store the norm weights with the 1 added.
        let norm = NormSpec { offset: if config.is_gguf() { 0.0 } else { 1.0 }, ..spec.final_norm };
        spec.final_norm = norm;
        for layer in &mut spec.layers {
            (layer.norm, layer.placement) = (norm, Placement::BeforeAndAfter);
        }
        spec.embedding_scale = (spec.hidden_size as f64).sqrt() as f32;
        spec.logit_soft_cap = config.positive_or_null("final_logit_softcapping", Some(30.0))?.map(|cap| cap as f32);
        let soft_cap = config.positive_or_null("attn_logit_softcapping", Some(50.0))?.map(|cap| cap as f32);
        let (hidden_size, layers) = (spec.hidden_size, spec.layers.len());
        let scalar = config.positive("query_pre_attn_scalar")?;
        spec.each_attention(|_, attention| {
            let implied = match config.is_gguf() {
                true if layers == LAYERS_27B => (hidden_size / attention.heads) as f64,
                true => attention.head_dim as f64,
                false => 256.0,
            };
            attention.scale = scalar.unwrap_or(implied).powf(-0.5) as f32;
            attention.soft_cap = soft_cap;
        });
        let window = config.size_or_null("sliding_window", Some(4096))?;
        windows(config, &mut spec, window, |layer| layer % 2 == 0)?;
        Ok(spec)
    },
    renames: &[
        (Role::AttentionPostNorm, "model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm"),
        (Role::FfnNorm, "model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm"),
        (Role::FfnPostNorm, "model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm"),
    ],
};
