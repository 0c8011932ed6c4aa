//! Mistral: Llama with a sliding window on every layer.
//!
//! Sources: Jiang et al., 2023, arXiv:2310.06825; transformers 5.23 `models/mistral`. GGUF files call it `llama`.

use mistral_quant::backend::Visible;

use super::llama::{Defaults, llama};
use crate::config::Arch;

pub(super) const ARCH: Arch = Arch::new(&["MistralForCausalLM", "mistral"], &[], |config| {
    let defaults = Defaults {
        family: "mistral",
        intermediate_size: 14_336,
        kv_heads: Some(8),
        context_length: 4096 * 32,
        ..Defaults::default()
    };
    let mut spec = llama(config, &defaults)?;
    if let Some(window) = config.window(Some(4096))? {
        spec.each_attention(|_, attention| attention.visible = Visible::Window(window));
    }
    Ok(spec)
});
