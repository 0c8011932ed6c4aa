//! Phi 3, 3.5 and 4: Llama with fused projections, LongRoPE and, in Phi 4 mini, rotation of a part of each head.
//!
//! Sources: Abdin et al., 2024, arXiv:2404.14219; transformers 5.23 `models/phi3`.

use mistral_quant::backend::Visible;

use super::llama::{Defaults, llama};
use crate::config::Arch;
use crate::config::rope::RopeOptions;
use crate::names::{Name, Role};

pub(super) const ARCH: Arch = Arch {
    names: &[Name::new(Role::GateUp, "model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight")],
    ..Arch::new(&["Phi3ForCausalLM", "phi3"], &["phi3"], |config| {
        let defaults = Defaults {
            family: "phi3",
            vocab_size: 32_064,
            hidden_size: 3072,
            intermediate_size: 8192,
            context_length: 4096,
            eps: 1e-5,
            rope: RopeOptions { partial: Some(1.0), truncate: true, longrope_original: Some(4096) },
            ..Defaults::default()
        };
        let mut spec = llama(config, &defaults)?;
        if let Some(window) = config.window(None)? {
            spec.each_attention(|_, attention| attention.visible = Visible::Window(window));
        }
        Ok(spec)
    })
};
