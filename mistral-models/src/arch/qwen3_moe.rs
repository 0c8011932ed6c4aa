//! Qwen 3 MoE: Qwen 3 with a mixture of experts instead of most feed-forward networks.
//!
//! Sources: Yang et al., 2025, arXiv:2505.09388; transformers 5.23 `models/qwen3_moe`.

use mistral_quant::backend::{RouteRule, RouteScore, Visible};

use super::llama::{Defaults, biases, llama};
use super::{activation, rule};
use crate::config::Arch;
use crate::spec::{BlockSpec, ExpertsSpec, NormSpec, QkNorm};

pub(super) const ARCH: Arch = Arch {
    keys: &[("num_local_experts", "num_experts")],
    ignored_keys: &["output_router_logits", "router_aux_loss_coef", "max_window_layers"],
    ..Arch::new(&["Qwen3MoeForCausalLM", "qwen3_moe"], &["qwen3moe"], |config| {
        let defaults = Defaults {
            family: "qwen3_moe",
            vocab_size: 151_936,
            hidden_size: 2048,
            intermediate_size: 6144,
            layers: 24,
            kv_heads: Some(4),
            context_length: 32_768,
            ..Defaults::default()
        };
        let mut spec = llama(config, &defaults)?;
        biases(config, &mut spec)?;
        let norm = NormSpec::rms(spec.final_norm.map_or(1e-6, |norm| norm.eps));
        let window =
            config.window(Some(4096))?.filter(|_| config.flag("use_sliding_window").is_ok_and(|on| on == Some(true)));
        spec.each_attention(|_, attention| {
            attention.qk_norm = Some(QkNorm { norm, whole: false, after_rope: false });
            attention.visible = window.map_or(Visible::Causal, Visible::Window);
        });
        // llama.cpp always normalizes.
        let normalize = config.flag("norm_topk_prob")?.unwrap_or(config.by_file(false, true));
        let rule = RouteRule { normalize, ..rule(config, (128, 8), RouteScore::Softmax)? };
        let experts = ExpertsSpec {
            rule,
            intermediate_size: config.size_or("moe_intermediate_size", 768)?,
            activation: activation(config.text("hidden_act")?.unwrap_or("silu"))?,
            router_bias: false,
            bias: false,
            weighted_input: false,
        };
        let step = config.above_zero("decoder_sparse_step", config.size("decoder_sparse_step")?.unwrap_or(1))?;
        let dense = config.list("mlp_only_layers")?.unwrap_or_default();
        spec.replace_ffn(|layer| {
            let sparse = (layer + 1) % step == 0 && !dense.contains(&layer);
            sparse.then(|| vec![BlockSpec::Experts(experts.clone())])
        });
        Ok(spec)
    })
};
