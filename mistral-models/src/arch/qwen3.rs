//! Qwen 3: Llama with a norm on each query and key head.
//!
//! Sources: Yang et al., 2025, arXiv:2505.09388; transformers 5.23 `models/qwen3`.

use super::llama::{Defaults, biases, llama};
use super::qwen2::upper_windows;
use crate::config::Arch;
use crate::config::Config;
use crate::error::Error;
use crate::spec::{DecoderSpec, NormSpec, QkNorm};

pub(super) const ARCH: Arch = Arch::new(&["Qwen3ForCausalLM", "qwen3"], &["qwen3"], |config| {
    qwen3(
        config,
        &Defaults {
            family: "qwen3",
            intermediate_size: 22_016,
            kv_heads: Some(32),
            head_dim: Some(128),
            ..generation()
        },
    )
});

/// What all models of this generation leave out.
pub(super) fn generation() -> Defaults {
    Defaults { vocab_size: 151_936, context_length: 32_768, ..Defaults::default() }
}

/// Llama with norms of heads and windows on upper layers.
pub(super) fn qwen3(config: &Config<'_>, defaults: &Defaults) -> Result<DecoderSpec, Error> {
    let mut spec = llama(config, defaults)?;
    biases(config, &mut spec)?;
    let norm = NormSpec::rms(spec.final_norm.map_or(1e-6, |norm| norm.eps));
    spec.each_attention(|_, attention| {
        attention.qk_norm = Some(QkNorm { norm, whole: false, after_rope: false });
    });
    upper_windows(config, &mut spec)?;
    Ok(spec)
}
