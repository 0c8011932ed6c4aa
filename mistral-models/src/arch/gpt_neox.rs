//! GPT-NeoX and Pythia: attention and feed-forward network in parallel, rotation of a part of each head, and queries, keys and values
//! of each head together in its checkpoints.
//!
//! Sources: Black et al., 2022, arXiv:2204.06745; transformers 5.23 `models/gpt_neox`.

use super::activation;
use super::llama::{Defaults, Sizes};
use crate::config::Arch;
use crate::config::rope::{RopeOptions, rope, scaled_context};
use crate::names::{Layout, Name, Role};
use crate::spec::{BlockSpec, Branch, DecoderSpec, FfnSpec, LayerSpec, NormSpec, Residual};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(Role::Embedding, "gpt_neox.embed_in.weight", "token_embd.weight"),
        Name::new(Role::Head, "embed_out.weight", "output.weight"),
        Name::new(Role::FinalNorm, "gpt_neox.final_layer_norm.weight", "output_norm.weight"),
        Name::new(Role::MixerNorm, "gpt_neox.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"),
        Name::new(Role::Qkv, "gpt_neox.layers.{}.attention.query_key_value.weight", "blk.{}.attn_qkv.weight")
            .stored(Layout::PerHead),
        Name::new(Role::Output, "gpt_neox.layers.{}.attention.dense.weight", "blk.{}.attn_output.weight"),
        Name::new(Role::FfnNorm, "gpt_neox.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"),
        Name::new(Role::Up, "gpt_neox.layers.{}.mlp.dense_h_to_4h.weight", "blk.{}.ffn_up.weight"),
        Name::new(Role::Down, "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight", "blk.{}.ffn_down.weight"),
    ],
    prefixes: &["gpt_neox.", ""],
    // Masks and frequencies, which older exports store.
    ignored: &["*.attention.bias", "*.attention.masked_bias", "*rotary_emb.inv_freq"],
    keys: &[("partial_rotary_factor", "rotary_pct"), ("rope_theta", "rotary_emb_base")],
    ignored_keys: &["classifier_dropout"],
    ..Arch::new(&["GPTNeoXForCausalLM", "gpt_neox"], &["gptneox"], |config| {
        let defaults = Defaults {
            family: "gpt_neox",
            vocab_size: 50_432,
            hidden_size: 6144,
            layers: 44,
            heads: 64,
            context_length: 2048,
            ..Defaults::default()
        };
        let sizes = Sizes::read(config, &defaults, 8)?;
        let norm = NormSpec::layer(config.number_or("layer_norm_eps", 1e-5)? as f32);
        let activation = activation(config.text("hidden_act")?.unwrap_or("gelu"))?;
        let intermediate_size = config.size_or("intermediate_size", 24_576)?;
        let options = RopeOptions { partial: Some(0.25), truncate: true, longrope_original: None };
        let rope = rope(config, sizes.head_dim, sizes.max_positions, &options)?;
        let context_length = scaled_context(config, &rope.scaling, sizes.max_positions)?;
        let parallel = config.flag("use_parallel_residual")?.unwrap_or(true);
        let bias = config.flag("attention_bias")?.unwrap_or(true);
        let mut layers = Vec::with_capacity(sizes.layers);
        for layer in 0..sizes.layers {
            let mut attention = sizes.attention(config, layer, Some(rope.clone()))?;
            (attention.qkv_bias, attention.out_bias) = (bias, bias);
            let attention = BlockSpec::Attention(attention);
            let ffn =
                BlockSpec::Ffn(FfnSpec { intermediate_size, activation, gated: false, bias: true, shared: false });
            layers.push(match parallel {
                false => LayerSpec::new(norm, attention, ffn),
                true => {
                    let branches = [attention, ffn].map(|block| Branch { norm: Some(norm), block });
                    let both =
                        Residual { norm: None, branches: branches.into(), output_norm: None, scale: 1.0, after: None };
                    LayerSpec { residuals: vec![both] }
                }
            });
        }
        let spec = sizes.decoder(config, &defaults, norm, layers)?;
        Ok(DecoderSpec { context_length, ..spec })
    })
};
