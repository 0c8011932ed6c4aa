//! gpt-oss: experts behind a clamped gate, sinks, a window on every other layer.
//!
//! Sources: OpenAI, 2025, arXiv:2508.10925; transformers 5.23 `models/gpt_oss`; llama.cpp `src/models/openai-moe-iswa.cpp`.

use mistral_quant::backend::{Activation, RouteScore};

use super::llama::{Defaults, llama};
use super::{rule, windows};
use crate::config::Arch;
use crate::config::rope::RopeOptions;
use crate::names::{Layout, Name, Role};
use crate::spec::{BlockSpec, ExpertsSpec};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(
            Role::FfnNorm,
            "model.layers.{}.post_attention_layernorm.weight",
            "blk.{}.post_attention_norm.weight",
        ),
        Name::new(Role::Router, "model.layers.{}.mlp.router.weight", "blk.{}.ffn_gate_inp.weight"),
        Name::new(Role::ExpertGateUp, "model.layers.{}.mlp.experts.gate_up_proj", "").stored(Layout::TransposedTurns),
        Name::new(Role::ExpertDown, "model.layers.{}.mlp.experts.down_proj", "blk.{}.ffn_down_exps.weight")
            .stored(Layout::Transposed),
    ],
    ignored_keys: &[
        "output_router_logits",
        "router_aux_loss_coef",
        "experts_per_token",
        "initial_context_length",
        "hidden_act",
    ],
    ..Arch::new(&["GptOssForCausalLM", "gpt_oss"], &["gpt-oss"], |config| {
        let defaults = Defaults {
            family: "gpt_oss",
            vocab_size: 201_088,
            hidden_size: 2880,
            intermediate_size: 2880,
            layers: 36,
            heads: 64,
            kv_heads: Some(8),
            head_dim: Some(64),
            context_length: 131_072,
            eps: 1e-5,
            rope: RopeOptions { partial: None, truncate: false, longrope_original: None },
            activation_key: "gate_activation",
            ..Defaults::default()
        };
        let mut spec = llama(config, &defaults)?;
        let bias = config.flag("attention_bias")?.unwrap_or(true);
        spec.each_attention(|_, attention| {
            (attention.qkv_bias, attention.out_bias, attention.sinks) = (bias, bias, true);
        });
        let window = config.size_or_null("sliding_window", Some(128))?;
        windows(config, &mut spec, window, |layer| layer % 2 == 0)?;
        let alpha = config.positive_or("swiglu_alpha", 1.702)?;
        let limit = config.positive_or("swiglu_limit", 7.0)?;
        let experts = ExpertsSpec {
            rule: rule(config, (128, 4), RouteScore::SoftmaxOfChosen)?,
            intermediate_size: config.size_or(config.by_file("intermediate_size", "moe_intermediate_size"), 2880)?,
            activation: Activation::ClampedSwiglu { alpha, limit },
            router_bias: true,
            bias: true,
            weighted_input: false,
        };
        spec.replace_ffn(|_| Some(vec![BlockSpec::Experts(experts.clone())]));
        Ok(spec)
    })
};
