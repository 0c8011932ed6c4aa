//! Qwen 3: Llama with a norm on each query and key head.
//!
//! Sources: Yang et al., 2025, arXiv:2505.09388; transformers 5.23 `models/qwen3`.

use super::Arch;
use super::llama::{Defaults, biases, llama};
use super::qwen2::upper_windows;

pub(super) const ARCH: Arch = Arch {
    hugging_face: &["Qwen3ForCausalLM", "qwen3"],
    gguf: &["qwen3"],
    spec: |config, weights| {
        let defaults = Defaults {
            family: "qwen3",
            vocab_size: 151_936,
            intermediate_size: 22_016,
            kv_heads: Some(32),
            head_dim: Some(128),
            context_length: 32_768,
            ..Defaults::default()
        };
        let mut spec = llama(config, weights, &defaults)?;
        biases(config, weights, &mut spec)?;
        let norm = spec.final_norm;
        spec.each_attention(|_, attention| attention.qk_norm = Some(norm));
        upper_windows(config, &mut spec)?;
        Ok(spec)
    },
    renames: &[],
};
