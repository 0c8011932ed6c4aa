//! Granite 4: Mamba-2 on most layers, attention without positions on some, experts next to a shared network, multipliers everywhere.
//!
//! Sources: IBM, 2025, "Granite 4.0"; transformers 5.23 `models/granitemoehybrid`; llama.cpp `src/models/granite-hybrid.cpp`.

use mistral_quant::backend::{RopeStyle, RouteScore};

use super::llama::{Defaults, Sizes};
use super::mamba2::mamba2;
use super::{activation, layer_types, rule};
use crate::config::Arch;
use crate::config::Config;
use crate::config::rope::rope;
use crate::config::stored::GgufNotes;
use crate::error::Error;
use crate::names::{Name, Role};
use crate::spec::{BlockSpec, Branch, ExpertsSpec, FfnSpec, LayerSpec, NormSpec, Residual};

pub(super) const ARCH: Arch = Arch {
    names: &[
        Name::new(Role::Router, "model.layers.{}.block_sparse_moe.router.layer.weight", "blk.{}.ffn_gate_inp.weight"),
        Name::new(Role::ExpertGateUp, "model.layers.{}.block_sparse_moe.input_linear.weight", ""),
        Name::new(
            Role::ExpertDown,
            "model.layers.{}.block_sparse_moe.output_linear.weight",
            "blk.{}.ffn_down_exps.weight",
        ),
        Name::new(Role::SharedGateUp, "model.layers.{}.shared_mlp.input_linear.weight", ""),
        Name::new(Role::SharedDown, "model.layers.{}.shared_mlp.output_linear.weight", "blk.{}.ffn_down_shexp.weight"),
        Name::new(Role::GateUp, "model.layers.{}.shared_mlp.input_linear.weight", ""),
        Name::new(Role::Down, "model.layers.{}.shared_mlp.output_linear.weight", "blk.{}.ffn_down.weight"),
    ],
    ignored_keys: &["output_router_logits", "router_aux_loss_coef", "mamba_chunk_size"],
    gguf_notes: GgufNotes { rope: RopeStyle::Pairs, ..GgufNotes::NONE },
    ..Arch::new(&["GraniteMoeHybridForCausalLM", "granitemoehybrid"], &["granitehybrid"], |config| {
        let defaults = Defaults { family: "granitemoehybrid", tied_head: false, ..Defaults::default() };
        let sizes = Sizes::read(config, &defaults, 6)?;
        let norm = NormSpec::rms(config.number_or("rms_norm_eps", 1e-6)? as f32);
        let attention_scale = config.positive_or("attention_multiplier", 1.0)?;
        let scale = config.positive_or("residual_multiplier", 1.0)?;
        let rotates = match config.by_file(config.text("position_embedding_type")?, None) {
            Some(kind) => kind == "rope",
            None => config.flag("rope_finetuned")?.unwrap_or(config.by_file(true, false)),
        };
        let rope = rope(config, sizes.head_dim, sizes.max_positions, &defaults.rope)?;
        let usual = |layer: usize| match sizes.heads.get(layer) {
            Some((_, kv_heads)) if config.by_file(false, *kv_heads > 0) => "attention",
            _ => "mamba",
        };
        let kinds = layer_types(config, sizes.layers, usual)?;
        let mamba = mamba2(config, sizes.hidden_size, norm)?;
        let ffn = feed_forward(config)?;
        let mut layers = Vec::with_capacity(sizes.layers);
        for (layer, kind) in kinds.into_iter().enumerate() {
            let mixer = match kind {
                "mamba" | "linear_attention" => BlockSpec::Mamba2(mamba.clone()),
                "attention" | "full_attention" => {
                    let mut attention = sizes.attention(config, layer, rotates.then(|| rope.clone()))?;
                    attention.scale = attention_scale;
                    attention.qkv_bias = config.bias("attention_bias", Role::Query, layer)?;
                    attention.out_bias = config.bias("attention_bias", Role::Output, layer)?;
                    BlockSpec::Attention(attention)
                }
                other => return Err(Error::unsupported("layer type", other)),
            };
            let branches = ffn.iter().cloned().map(Branch::new).collect();
            let mixed = Residual { scale, ..Residual::new(Some(norm), mixer) };
            let fed = Residual { norm: Some(norm), branches, output_norm: None, scale, after: None };
            layers.push(LayerSpec { residuals: vec![mixed, fed] });
        }
        let mut spec = sizes.decoder(config, &defaults, norm, layers)?;
        spec.embedding_scale = config.positive_or("embedding_multiplier", 1.0)?;
        spec.logit_scale = 1.0 / config.positive_or("logits_scaling", 1.0)?;
        Ok(spec)
    })
};

/// The experts, if there are any, and the network that all tokens share.
fn feed_forward(config: &Config<'_>) -> Result<Vec<BlockSpec>, Error> {
    let activation = activation(config.text("hidden_act")?.unwrap_or("silu"))?;
    let dense = config.size("num_local_experts")?.or(config.silent(Some(8))).unwrap_or(0) == 0;
    let width = config.size_or("intermediate_size", 11_008)?;
    let shared_width = config.size("shared_intermediate_size")?.unwrap_or(config.by_file(1024, width));
    let shared = FfnSpec { intermediate_size: shared_width, activation, gated: true, bias: false, shared: !dense };
    config.size("num_experts_per_tok")?;
    if dense {
        return Ok(vec![BlockSpec::Ffn(shared)]);
    }
    let mixture = ExpertsSpec {
        rule: rule(config, (8, 2), RouteScore::SoftmaxOfChosen)?,
        intermediate_size: width,
        activation,
        router_bias: false,
        bias: false,
        weighted_input: false,
    };
    Ok(vec![BlockSpec::Experts(mixture), BlockSpec::Ffn(shared)])
}
