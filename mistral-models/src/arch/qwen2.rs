//! Qwen 2 and 2.5: Llama with query, key and value biases and a window on the upper layers if asked for.
//!
//! Sources: Yang et al., 2024, arXiv:2407.10671; transformers 5.23 `models/qwen2`.

use super::llama::{Defaults, llama};
use super::windows;
use crate::config::Arch;
use crate::config::Config;
use crate::error::Error;
use crate::spec::DecoderSpec;

pub(super) const ARCH: Arch = Arch::new(&["Qwen2ForCausalLM", "qwen2"], &["qwen2"], |config| {
    let defaults = Defaults {
        family: "qwen2",
        vocab_size: 151_936,
        intermediate_size: 22_016,
        kv_heads: Some(32),
        context_length: 32_768,
        ..Defaults::default()
    };
    let mut spec = llama(config, &defaults)?;
    // Whatever it says, the genuine implementation has these biases and no others.
    config.flag("attention_bias")?;
    spec.each_attention(|_, attention| attention.qkv_bias = true);
    upper_windows(config, &mut spec)?;
    Ok(spec)
});

/// `use_sliding_window` turns a window on from layer `max_window_layers`.
pub(super) fn upper_windows(config: &Config<'_>, spec: &mut DecoderSpec) -> Result<(), Error> {
    let window = config.size_or_null("sliding_window", Some(4096))?;
    let on = config.flag("use_sliding_window")?.unwrap_or(false);
    // Of the context that the file names: a scaling may reach beyond it.
    let context = config.size("max_position_embeddings")?.unwrap_or(spec.context_length);
    let nameless = config.size("sliding_window")?.filter(|window| *window > 0 && *window < context);
    if config.by_file(None, nameless).is_some() {
        return Err(config.unsupported("sliding_window", "the file does not say on which layers the window is"));
    }
    let first = config.size("max_window_layers")?.unwrap_or(28);
    windows(config, spec, window.filter(|_| on), |layer| layer >= first)
}
