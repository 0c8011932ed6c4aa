//! GPT-2: learned positions, norms by mean and variance, plain feed-forward networks, and transposed matrices in its checkpoints.
//!
//! Sources: Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"; transformers 5.23 `models/gpt2`.

use super::activation;
use super::llama::{Defaults, Sizes};
use crate::config::Arch;
use crate::names::{Layout, Name, Role};
use crate::spec::{BlockSpec, FfnSpec, LayerSpec, LearnedPositions, NormSpec};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(Role::Embedding, "transformer.wte.weight", "token_embd.weight"),
        Name::new(Role::Positions, "transformer.wpe.weight", "position_embd.weight"),
        Name::new(Role::FinalNorm, "transformer.ln_f.weight", "output_norm.weight"),
        Name::new(Role::MixerNorm, "transformer.h.{}.ln_1.weight", "blk.{}.attn_norm.weight"),
        Name::new(Role::Qkv, "transformer.h.{}.attn.c_attn.weight", "blk.{}.attn_qkv.weight")
            .stored(Layout::Transposed),
        Name::new(Role::Output, "transformer.h.{}.attn.c_proj.weight", "blk.{}.attn_output.weight")
            .stored(Layout::Transposed),
        Name::new(Role::FfnNorm, "transformer.h.{}.ln_2.weight", "blk.{}.ffn_norm.weight"),
        Name::new(Role::Up, "transformer.h.{}.mlp.c_fc.weight", "blk.{}.ffn_up.weight").stored(Layout::Transposed),
        Name::new(Role::Down, "transformer.h.{}.mlp.c_proj.weight", "blk.{}.ffn_down.weight")
            .stored(Layout::Transposed),
    ],
    prefixes: &["transformer.", ""],
    // The causal mask, which older exports store.
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    keys: &[
        ("hidden_size", "n_embd"),
        ("num_attention_heads", "n_head"),
        ("num_hidden_layers", "n_layer"),
        ("max_position_embeddings", "n_positions"),
        ("intermediate_size", "n_inner"),
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("hidden_act", "activation_function"),
    ],
    ignored_keys: &[
        "attn_pdrop",
        "n_ctx",
        "reorder_and_upcast_attn",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
    ],
    ..Arch::new(&["GPT2LMHeadModel", "gpt2"], &["gpt2"], |config| {
        let defaults = Defaults {
            family: "gpt2",
            vocab_size: 50_257,
            hidden_size: 768,
            layers: 12,
            heads: 12,
            context_length: 1024,
            tied_head: true,
            ..Defaults::default()
        };
        let sizes = Sizes::read(config, &defaults, 8)?;
        let norm = NormSpec::layer(config.number_or("layer_norm_eps", 1e-5)? as f32);
        let activation = activation(config.text("hidden_act")?.unwrap_or("gelu_new"))?;
        let intermediate_size = config.size("intermediate_size")?.unwrap_or(sizes.hidden_size.saturating_mul(4));
        let scaled = config.flag("scale_attn_weights")?.unwrap_or(true);
        let by_layer = config.flag("scale_attn_by_inverse_layer_idx")?.unwrap_or(false);
        let mut layers = Vec::with_capacity(sizes.layers);
        for layer in 0..sizes.layers {
            let mut attention = sizes.attention(config, layer, None)?;
            (attention.qkv_bias, attention.out_bias) = (true, true);
            attention.scale =
                if scaled { attention.scale } else { 1.0 } / if by_layer { layer as f32 + 1.0 } else { 1.0 };
            let ffn = FfnSpec { intermediate_size, activation, gated: false, bias: true, shared: false };
            layers.push(LayerSpec::new(norm, BlockSpec::Attention(attention), BlockSpec::Ffn(ffn)));
        }
        let mut spec = sizes.decoder(config, &defaults, norm, layers)?;
        spec.positions = Some(LearnedPositions { rows: sizes.max_positions, offset: 0 });
        Ok(spec)
    })
};
