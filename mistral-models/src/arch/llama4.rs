//! Llama 4 (text): experts with weighted inputs next to a shared one, attention in chunks, layers without positions.
//!
//! Sources: Meta, 2025, "The Llama 4 herd"; transformers 5.23 `models/llama4`; llama.cpp `src/models/llama4.cpp`.

use mistral_quant::backend::{RopeStyle, RouteScore, Visible};

use super::llama::{Defaults, biases, llama};
use super::{activation, layer_types, rule};
use crate::config::Arch;
use crate::config::stored::GgufNotes;
use crate::error::Error;
use crate::names::{Layout, Name, Role};
use crate::spec::{BlockSpec, ExpertsSpec, FfnSpec, NormSpec, QkNorm, Temperature};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(Role::Gate, "model.layers.{}.feed_forward.gate_proj.weight", "blk.{}.ffn_gate.weight"),
        Name::new(Role::Up, "model.layers.{}.feed_forward.up_proj.weight", "blk.{}.ffn_up.weight"),
        Name::new(Role::Down, "model.layers.{}.feed_forward.down_proj.weight", "blk.{}.ffn_down.weight"),
        Name::new(Role::Router, "model.layers.{}.feed_forward.router.weight", "blk.{}.ffn_gate_inp.weight"),
        Name::new(Role::ExpertGateUp, "model.layers.{}.feed_forward.experts.gate_up_proj", "")
            .stored(Layout::Transposed),
        Name::new(Role::ExpertDown, "model.layers.{}.feed_forward.experts.down_proj", "blk.{}.ffn_down_exps.weight")
            .stored(Layout::Transposed),
        Name::new(
            Role::SharedGate,
            "model.layers.{}.feed_forward.shared_expert.gate_proj.weight",
            "blk.{}.ffn_gate_shexp.weight",
        ),
        Name::new(
            Role::SharedUp,
            "model.layers.{}.feed_forward.shared_expert.up_proj.weight",
            "blk.{}.ffn_up_shexp.weight",
        ),
        Name::new(
            Role::SharedDown,
            "model.layers.{}.feed_forward.shared_expert.down_proj.weight",
            "blk.{}.ffn_down_shexp.weight",
        ),
    ],
    keys: &[("moe_intermediate_size", "intermediate_size"), ("intermediate_size", "intermediate_size_mlp")],
    ignored_keys: &["output_router_logits", "router_aux_loss_coef", "router_jitter_noise", "for_llm_compressor"],
    gguf_notes: GgufNotes { rope: RopeStyle::Pairs, ..GgufNotes::NONE },
    ..Arch::new(&["Llama4ForCausalLM", "llama4_text"], &["llama4"], |config| {
        let defaults = Defaults {
            family: "llama4",
            vocab_size: 202_048,
            hidden_size: 5120,
            intermediate_size: 16_384,
            layers: 48,
            heads: 40,
            kv_heads: Some(8),
            head_dim: Some(128),
            context_length: 4096 * 32,
            eps: 1e-5,
            ..Defaults::default()
        };
        let mut spec = llama(config, &defaults)?;
        biases(config, &mut spec)?;
        let layers = spec.layers.len();
        let interval =
            config.above_zero("no_rope_layer_interval", config.size("no_rope_layer_interval")?.unwrap_or(4))?;
        let listed = config.list("no_rope_layers")?.filter(|list| !list.is_empty());
        let rotated =
            listed.unwrap_or_else(|| (0..layers).map(|layer| usize::from((layer + 1) % interval != 0)).collect());
        if rotated.len() != layers {
            let detail = format!("is a list of {} elements; expected one for each of {layers} layers", rotated.len());
            return Err(config.wrong("no_rope_layers", detail));
        }
        let chunked = |layer: usize| if rotated[layer] != 0 { "chunked_attention" } else { "full_attention" };
        let kinds = layer_types(config, layers, chunked)?;
        if let Some(other) = kinds.iter().find(|kind| !["chunked_attention", "full_attention"].contains(kind)) {
            return Err(Error::unsupported("layer type", *other));
        }
        let chunk = config.size_or_null("attention_chunk_size", Some(8192))?;
        let chunk = chunk.map(|chunk| config.above_zero("attention_chunk_size", chunk)).transpose()?;
        let rule = rule(config, (16, 1), RouteScore::Sigmoid)?;
        // llama.cpp tells the model of 128 experts, which has no norms of heads, by this number.
        let normed = config.flag("use_qk_norm")?.unwrap_or(config.by_file(true, rule.experts != 128));
        let norm = NormSpec { weight: false, ..NormSpec::rms(spec.final_norm.map_or(1e-5, |norm| norm.eps)) };
        let temperature = Temperature {
            scale: config.positive_or("attn_scale", 0.1)?,
            floor_scale: config.positive_or("floor_scale", 8192.0)?,
        };
        let tuned = config.flag("attn_temperature_tuning")?.unwrap_or(true);
        spec.each_attention(|layer, attention| {
            if rotated[layer] == 0 {
                (attention.rope, attention.temperature) = (None, tuned.then_some(temperature));
            } else {
                attention.rope.iter_mut().for_each(|rope| rope.style = RopeStyle::Pairs);
                attention.qk_norm = normed.then_some(QkNorm { norm, whole: false, after_rope: true });
            }
            if let Some(chunk) = chunk.filter(|_| kinds.get(layer) == Some(&"chunked_attention")) {
                attention.visible = Visible::Chunk(chunk);
            }
        });
        let width = config.size_or("moe_intermediate_size", 8192)?;
        let activation = activation(config.text("hidden_act")?.unwrap_or("silu"))?;
        let mixture = ExpertsSpec {
            rule,
            intermediate_size: width,
            activation,
            router_bias: false,
            bias: false,
            weighted_input: true,
        };
        let shared = FfnSpec { intermediate_size: width, activation, gated: true, bias: false, shared: true };
        let step =
            config.above_zero("interleave_moe_layer_step", config.size("interleave_moe_layer_step")?.unwrap_or(1))?;
        let listed = config.list("moe_layers")?;
        spec.replace_ffn(|layer| {
            let sparse = listed.as_ref().map_or((layer + 1) % step == 0, |listed| listed.contains(&layer));
            sparse.then(|| vec![BlockSpec::Experts(mixture.clone()), BlockSpec::Ffn(shared.clone())])
        });
        Ok(spec)
    })
};
