//! Mistral: Llama with a sliding window on every layer.
//!
//! Sources: Jiang et al., 2023, arXiv:2310.06825; transformers 5.23 `models/mistral`. GGUF files call it `llama`.

use super::Arch;
use super::llama::{Defaults, llama};

pub(super) const ARCH: Arch = Arch {
    hugging_face: &["MistralForCausalLM", "mistral"],
    gguf: &[],
    spec: |config, weights| {
        let defaults = Defaults {
            family: "mistral",
            intermediate_size: 14_336,
            kv_heads: Some(8),
            context_length: 4096 * 32,
            ..Defaults::default()
        };
        let mut spec = llama(config, weights, &defaults)?;
        let window = config.size_or_null("sliding_window", Some(4096))?;
        window.map(|window| config.above_zero("sliding_window", window)).transpose()?;
        spec.each_attention(|_, attention| attention.window = window);
        Ok(spec)
    },
    renames: &[],
};
