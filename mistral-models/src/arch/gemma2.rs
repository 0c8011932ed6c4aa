//! Gemma 2: norms before and after each block with weights around zero, scaled embeddings, soft caps, alternating windows.
//!
//! Sources: Gemma Team, 2024, arXiv:2408.00118; transformers 5.23 `models/gemma2`; llama.cpp `src/models/gemma2.cpp`.

use super::llama::{Defaults, biases, llama};
use super::windows;
use crate::config::Arch;
use crate::config::stored::GgufNotes;
use crate::names::{Name, Role};
use crate::spec::NormSpec;

/// The layers of the 27B model; a GGUF file does not say its `query_pre_attn_scalar`, llama.cpp tells it by this number.
const LAYERS_27B: usize = 46;

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(
            Role::MixerOutputNorm,
            "model.layers.{}.post_attention_layernorm.weight",
            "blk.{}.post_attention_norm.weight",
        ),
        Name::new(Role::FfnNorm, "model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight"),
        Name::new(
            Role::FfnOutputNorm,
            "model.layers.{}.post_feedforward_layernorm.weight",
            "blk.{}.post_ffw_norm.weight",
        ),
    ],
    // Written by old exports and not read by the genuine implementation.
    ignored_keys: &["hidden_act"],
    gguf_notes: GgufNotes { norms_hold_the_one: true, ..GgufNotes::NONE },
    ..Arch::new(&["Gemma2ForCausalLM", "gemma2"], &["gemma2"], |config| {
        let mut spec = llama(
            config,
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
        biases(config, &mut spec)?;
        if config.flag("use_bidirectional_attention")? == Some(true) {
            return Err(config.unsupported("use_bidirectional_attention", "only causal attention is computed"));
        }
        let norm = NormSpec { offset: 1.0, ..NormSpec::rms(spec.final_norm.map_or(1e-6, |norm| norm.eps)) };
        spec.final_norm = Some(norm);
        spec.each_residual(|residual| (residual.norm, residual.output_norm) = (Some(norm), Some(norm)));
        spec.embedding_scale = (spec.hidden_size as f64).sqrt() as f32;
        spec.logit_soft_cap = config.positive_or_null("final_logit_softcapping", Some(30.0))?.map(|cap| cap as f32);
        let soft_cap = config.positive_or_null("attn_logit_softcapping", Some(50.0))?.map(|cap| cap as f32);
        let (hidden_size, layers) = (spec.hidden_size, spec.layers.len());
        let scalar = config.positive("query_pre_attn_scalar")?;
        spec.each_attention(|_, attention| {
            let width = if layers == LAYERS_27B { hidden_size / attention.heads } else { attention.head_dim };
            attention.scale = scalar.unwrap_or(config.by_file(256.0, width as f64)).powf(-0.5) as f32;
            attention.soft_cap = soft_cap;
        });
        let window = config.size_or_null("sliding_window", Some(4096))?;
        windows(config, &mut spec, window, |layer| layer % 2 == 0)?;
        Ok(spec)
    })
};
