//! What a tensor is for, and what checkpoints call it.

use crate::config::Config;

/// The part a tensor plays in a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it; `Qkv` and `GateUp` are fused projections
pub(crate) enum Role {
    Embedding,
    FinalNorm,
    Head,
    AttentionNorm,
    AttentionPostNorm,
    Query,
    Key,
    Value,
    Qkv,
    Output,
    QueryNorm,
    KeyNorm,
    FfnNorm,
    FfnPostNorm,
    Gate,
    Up,
    GateUp,
    Down,
    RopeFactors,
    RopeFactorsLong,
    RopeFactorsShort,
}

/// A role, its name in Hugging Face checkpoints and in GGUF files; `{}` is the layer, without `.weight` or `.bias`.
pub(crate) type Name = (Role, &'static str, &'static str);

const NAMES: &[Name] = &[
    (Role::Embedding, "model.embed_tokens", "token_embd"),
    (Role::FinalNorm, "model.norm", "output_norm"),
    (Role::Head, "lm_head", "output"),
    (Role::AttentionNorm, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    (Role::AttentionPostNorm, "", "blk.{}.post_attention_norm"),
    (Role::Query, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    (Role::Key, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
    (Role::Value, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    (Role::Qkv, "model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"),
    (Role::Output, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    (Role::QueryNorm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
    (Role::KeyNorm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
    (Role::FfnNorm, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
    (Role::FfnPostNorm, "", "blk.{}.post_ffw_norm"),
    (Role::Gate, "model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
    (Role::Up, "model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
    (Role::GateUp, "model.layers.{}.mlp.gate_up_proj", ""),
    (Role::Down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
    (Role::RopeFactors, "", "rope_freqs"),
    (Role::RopeFactorsLong, "", "rope_factors_long"),
    (Role::RopeFactorsShort, "", "rope_factors_short"),
];

/// The tensor names of one checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    gguf: bool,
    renames: &'static [Name],
}

impl Names {
    pub(crate) fn new(config: &Config, renames: &'static [Name]) -> Self {
        Self { gguf: config.is_gguf(), renames }
    }

    /// The tensor's name; `part` is `weight` or `bias`. `None` where this kind of checkpoint has no such tensor.
    pub(crate) fn tensor(&self, role: Role, layer: usize, part: &str) -> Option<String> {
        let (_, hf, gguf) = self.renames.iter().chain(NAMES).find(|row| row.0 == role)?;
        let pattern = if self.gguf { gguf } else { hf };
        (!pattern.is_empty()).then(|| format!("{}.{part}", pattern.replace("{}", &layer.to_string())))
    }

    /// The role of a tensor, and its name in GGUF files. `None` for a tensor that has no role.
    pub(crate) fn translate(&self, name: &str) -> Option<(Role, String)> {
        let (stem, part) = name.rsplit_once('.')?;
        let known = |role: &Role| self.renames.iter().chain(NAMES).find(|row| row.0 == *role);
        let rows = self.renames.iter().chain(NAMES).filter(|row| known(&row.0).is_some_and(|first| first.1 == row.1));
        rows.filter(|(_, _, gguf)| !gguf.is_empty()).find_map(|(role, hf, gguf)| {
            let pattern = if self.gguf { gguf } else { hf };
            // The bare decoder leaves the prefix out.
            let layer = between(pattern, stem).or_else(|| between(pattern.strip_prefix("model.")?, stem))?;
            Some((*role, format!("{}.{part}", gguf.replace("{}", layer))))
        })
    }

    /// Whether a tensor that no role claims may be left unread: buffers that older exports stored.
    pub(crate) fn ignorable(&self, name: &str) -> bool {
        name.ends_with("rotary_emb.inv_freq")
    }
}

/// What stands at `{}` of a pattern, a layer's number; empty for a pattern without one.
fn between<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    match pattern.split_once("{}") {
        None => (!pattern.is_empty() && pattern == name).then_some(""),
        Some((before, after)) => {
            let layer = name.strip_prefix(before)?.strip_suffix(after)?;
            layer.bytes().all(|b| b.is_ascii_digit()).then_some(layer).filter(|layer| !layer.is_empty())
        }
    }
}
