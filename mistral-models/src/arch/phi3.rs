//! Phi 3, 3.5 and 4: Llama with fused projections, LongRoPE and, in Phi 4 mini, rotation of a part of each head.
//!
//! Sources: Abdin et al., 2024, arXiv:2404.14219; transformers 5.23 `models/phi3`.

use super::Arch;
use super::llama::{Defaults, llama};
use super::rope::RopeOptions;
use crate::names::Role;

pub(super) const ARCH: Arch = Arch {
    hugging_face: &["Phi3ForCausalLM", "phi3"],
    gguf: &["phi3"],
    spec: |config, weights| {
        let rope = RopeOptions { partial: true, longrope_original: Some(4096) };
        let defaults = Defaults {
            family: "phi3",
            vocab_size: 32_064,
            hidden_size: 3072,
            intermediate_size: 8192,
            context_length: 4096,
            eps: 1e-5,
            rope,
            ..Defaults::default()
        };
        let mut spec = llama(config, weights, &defaults)?;
        // GGUF files write 0 for no window.
        let window = config.size("sliding_window")?.filter(|w| !(config.is_gguf() && *w == 0));
        window.map(|window| config.above_zero("sliding_window", window)).transpose()?;
        spec.each_attention(|_, attention| attention.window = window);
        Ok(spec)
    },
    renames: &[(Role::GateUp, "model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up")],
};
