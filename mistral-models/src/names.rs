//! What a tensor is for, and what checkpoints call it.

use crate::loader::weights::Weights;

/// The part a tensor plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it; `Qkv` and the `GateUp`s are fused projections
pub(crate) enum Role {
    Embedding,
    Positions,
    TokenTypes,
    EmbeddingNorm,
    FinalNorm,
    Head,
    Pooler,
    MixerNorm,
    MixerOutputNorm,
    MixerAfterNorm,
    Query,
    Key,
    Value,
    Qkv,
    Output,
    QueryNorm,
    KeyNorm,
    Sinks,
    SsmIn,
    SsmConv,
    SsmTimeStep,
    SsmDecay,
    SsmSkip,
    SsmNorm,
    SsmOut,
    FfnNorm,
    FfnOutputNorm,
    FfnAfterNorm,
    Gate,
    Up,
    GateUp,
    Down,
    SharedGate,
    SharedUp,
    SharedGateUp,
    SharedDown,
    Router,
    ExpertGate,
    ExpertUp,
    ExpertGateUp,
    ExpertDown,
    RopeFactors,
    RopeFactorsLong,
    RopeFactorsShort,
}

/// The weight or the bias of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Weight,
    Bias,
}

/// The place of a tensor: its layer, and in a mixture its expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub(crate) layer: usize,
    pub(crate) expert: Option<usize>,
}

impl At {
    /// A tensor of a layer, or of no layer at all.
    pub(crate) fn layer(layer: usize) -> Self {
        Self { layer, expert: None }
    }
}

/// How a Hugging Face checkpoint stores a matrix. GGUF files store all of them plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[rows, cols]`, fused parts one after another; stacked experts `[experts, rows, cols]`.
    Plain,
    /// `[cols, rows]`, fused parts one after another; stacked experts `[experts, cols, rows]` (GPT-2, Llama 4).
    Transposed,
    /// As transposed, but the rows of two fused parts take turns (gpt-oss).
    TransposedTurns,
    /// `[rows, cols]` with the rows of queries, keys and values of each key head together (GPT-NeoX).
    PerHead,
}

/// A role and its whole tensor name in both kinds of checkpoints: `{}` is the layer, `{e}` the expert. The bias is called like the
/// weight, with `bias` for `weight`, or with `_bias` added to a name without `.weight`. Empty: no such tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) role: Role,
    pub(crate) hf: &'static str,
    pub(crate) layout: Layout,
    pub(crate) gguf: &'static str,
}

impl Name {
    pub(crate) const fn new(role: Role, hf: &'static str, gguf: &'static str) -> Self {
        Self { role, hf, layout: Layout::Plain, gguf }
    }

    pub(crate) const fn stored(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }
}

const NAMES: &[Name] = &[
    Name::new(Role::Embedding, "model.embed_tokens.weight", "token_embd.weight"),
    Name::new(Role::Positions, "", "position_embd.weight"),
    Name::new(Role::TokenTypes, "", "token_types.weight"),
    Name::new(Role::EmbeddingNorm, "", "token_embd_norm.weight"),
    Name::new(Role::FinalNorm, "model.norm.weight", "output_norm.weight"),
    Name::new(Role::Head, "lm_head.weight", "output.weight"),
    Name::new(Role::MixerNorm, "model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"),
    Name::new(Role::MixerOutputNorm, "", "blk.{}.post_attention_norm.weight"),
    Name::new(Role::MixerAfterNorm, "", "blk.{}.attn_output_norm.weight"),
    Name::new(Role::Query, "model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"),
    Name::new(Role::Key, "model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"),
    Name::new(Role::Value, "model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"),
    Name::new(Role::Qkv, "model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight"),
    Name::new(Role::Output, "model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"),
    Name::new(Role::QueryNorm, "model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"),
    Name::new(Role::KeyNorm, "model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"),
    Name::new(Role::Sinks, "model.layers.{}.self_attn.sinks", "blk.{}.attn_sinks.weight"),
    Name::new(Role::SsmIn, "model.layers.{}.mamba.in_proj.weight", "blk.{}.ssm_in.weight"),
    Name::new(Role::SsmConv, "model.layers.{}.mamba.conv1d.weight", "blk.{}.ssm_conv1d.weight"),
    Name::new(Role::SsmTimeStep, "model.layers.{}.mamba.dt_bias", "blk.{}.ssm_dt.bias"),
    Name::new(Role::SsmDecay, "model.layers.{}.mamba.A_log", "blk.{}.ssm_a"),
    Name::new(Role::SsmSkip, "model.layers.{}.mamba.D", "blk.{}.ssm_d"),
    Name::new(Role::SsmNorm, "model.layers.{}.mamba.norm.weight", "blk.{}.ssm_norm.weight"),
    Name::new(Role::SsmOut, "model.layers.{}.mamba.out_proj.weight", "blk.{}.ssm_out.weight"),
    Name::new(Role::FfnNorm, "model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"),
    Name::new(Role::FfnOutputNorm, "", "blk.{}.post_ffw_norm.weight"),
    Name::new(Role::FfnAfterNorm, "", "blk.{}.layer_output_norm.weight"),
    Name::new(Role::Gate, "model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"),
    Name::new(Role::Up, "model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"),
    Name::new(Role::GateUp, "model.layers.{}.mlp.gate_up_proj.weight", ""),
    Name::new(Role::Down, "model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"),
    Name::new(Role::SharedGate, "", "blk.{}.ffn_gate_shexp.weight"),
    Name::new(Role::SharedUp, "", "blk.{}.ffn_up_shexp.weight"),
    Name::new(Role::SharedGateUp, "", ""),
    Name::new(Role::SharedDown, "", "blk.{}.ffn_down_shexp.weight"),
    Name::new(Role::Router, "model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight"),
    Name::new(Role::ExpertGate, "model.layers.{}.mlp.experts.{e}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight"),
    Name::new(Role::ExpertUp, "model.layers.{}.mlp.experts.{e}.up_proj.weight", "blk.{}.ffn_up_exps.weight"),
    Name::new(Role::ExpertGateUp, "", "blk.{}.ffn_gate_up_exps.weight"),
    Name::new(Role::ExpertDown, "model.layers.{}.mlp.experts.{e}.down_proj.weight", "blk.{}.ffn_down_exps.weight"),
    Name::new(Role::RopeFactors, "", "rope_freqs.weight"),
    Name::new(Role::RopeFactorsLong, "", "rope_factors_long.weight"),
    Name::new(Role::RopeFactorsShort, "", "rope_factors_short.weight"),
];

/// A tensor of a checkpoint that has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) role: Role,
    pub(crate) part: Part,
    pub(crate) at: At,
}

/// The tensor names of one checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) gguf: bool,
    /// Rows that are looked at before [`NAMES`].
    pub(crate) renames: &'static [Name],
    /// What Hugging Face names of the decoder begin with: first as the patterns have it, then the spellings of other exports.
    pub(crate) prefixes: &'static [&'static str],
    /// Tensors that nothing computes with, as patterns: `*` is any text.
    pub(crate) ignored: &'static [&'static str],
}

impl Names {
    fn row(&self, role: Role) -> Option<&'static Name> {
        self.renames.iter().chain(NAMES).find(|row| row.role == role)
    }

    fn pattern(&self, row: &Name) -> &'static str {
        if self.gguf { row.gguf } else { row.hf }
    }

    /// How this kind of checkpoint stores the matrix of a role.
    pub(crate) fn layout(&self, role: Role) -> Layout {
        self.row(role).filter(|_| !self.gguf).map_or(Layout::Plain, |row| row.layout)
    }

    /// Whether each expert has a tensor of its own. Otherwise one tensor holds all of them.
    pub(crate) fn expert_by_expert(&self, role: Role) -> bool {
        self.row(role).is_some_and(|row| self.pattern(row).contains("{e}"))
    }

    /// Returns the name of a tensor in this checkpoint: of several spellings the one that is there, else the usual one. `None` where
    /// this kind of checkpoint has no such tensor.
    pub(crate) fn find(&self, weights: &dyn Weights, role: Role, part: Part, at: At) -> Option<String> {
        let pattern = self.pattern(self.row(role)?);
        if pattern.is_empty() {
            return None;
        }
        let usual = filled(pattern, part, at);
        if self.gguf || weights.contains(&usual) {
            return Some(usual);
        }
        let (first, others) = self.prefixes.split_first()?;
        let rest = usual.strip_prefix(first);
        let other = rest
            .and_then(|rest| others.iter().map(|prefix| format!("{prefix}{rest}")).find(|name| weights.contains(name)));
        Some(other.unwrap_or(usual))
    }

    /// Returns what GGUF files call a tensor; one name for all experts. `None` where they have no such tensor.
    pub(crate) fn in_gguf(&self, known: Known) -> Option<String> {
        let row = self.row(known.role)?;
        (!row.gguf.is_empty()).then(|| filled(row.gguf, known.part, known.at))
    }

    /// Returns the role of a tensor of this checkpoint. `None` for a tensor that has no role.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        let first = |row: &&Name| self.row(row.role).is_some_and(|first| std::ptr::eq(first, *row));
        self.renames.iter().chain(NAMES).filter(first).find_map(|row| {
            let pattern = self.pattern(row);
            [Part::Weight, Part::Bias].into_iter().find_map(|part| {
                let at = self.spellings(name).find_map(|name| matched(&with_part(pattern, part), &name))?;
                Some(Known { role: row.role, part, at })
            })
        })
    }

    /// A name as it is, and with the usual prefix for each other one.
    fn spellings<'n>(&self, name: &'n str) -> impl Iterator<Item = std::borrow::Cow<'n, str>> + use<'n> {
        let prefixes = if self.gguf { &[][..] } else { self.prefixes };
        let (first, others) = prefixes.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
        let others =
            others.iter().filter_map(move |prefix| Some(format!("{first}{}", name.strip_prefix(prefix)?).into()));
        std::iter::once(name.into()).chain(others)
    }

    /// Whether a tensor that no role claims may be left unread.
    pub(crate) fn ignorable(&self, name: &str) -> bool {
        self.ignored.iter().any(|pattern| fits(pattern, name))
    }
}

fn with_part(pattern: &str, part: Part) -> std::borrow::Cow<'_, str> {
    match (part, pattern.strip_suffix("weight")) {
        (Part::Weight, _) => pattern.into(),
        (Part::Bias, Some(stem)) => format!("{stem}bias").into(),
        (Part::Bias, None) => format!("{pattern}_bias").into(),
    }
}

fn filled(pattern: &str, part: Part, at: At) -> String {
    let name = with_part(pattern, part).replace("{}", &at.layer.to_string());
    match at.expert {
        Some(expert) => name.replace("{e}", &expert.to_string()),
        None => name,
    }
}

/// The layer and the expert at the places of a pattern; `None` if the name is another one.
fn matched(pattern: &str, name: &str) -> Option<At> {
    if pattern.is_empty() {
        return None;
    }
    let mut at = At::default();
    let (mut pattern, mut name) = (pattern, name);
    while let Some(place) = pattern.find('{') {
        let (before, rest) = pattern.split_at(place);
        name = name.strip_prefix(before)?;
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let number = name.get(..digits)?.parse().ok()?;
        name = &name[digits..];
        pattern = match rest.strip_prefix("{}") {
            Some(rest) => {
                at.layer = number;
                rest
            }
            None => {
                at.expert = Some(number);
                rest.strip_prefix("{e}")?
            }
        };
    }
    (pattern == name).then_some(at)
}

/// Whether a name fits a pattern with `*` for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const HF: Names =
        Names { gguf: false, renames: &[], prefixes: &["model.", "", "language_model.model."], ignored: &[] };

    #[test]
    fn names_are_found_with_layer_and_expert() {
        let known = HF.known("model.layers.12.mlp.experts.7.up_proj.weight").unwrap();
        assert_eq!(known, Known { role: Role::ExpertUp, part: Part::Weight, at: At { layer: 12, expert: Some(7) } });
        assert_eq!(HF.in_gguf(known).as_deref(), Some("blk.12.ffn_up_exps.weight"));
        let bias = HF.known("layers.3.self_attn.q_proj.bias").unwrap();
        assert_eq!((bias.role, bias.part, bias.at.layer), (Role::Query, Part::Bias, 3));
        assert_eq!(HF.known("language_model.model.norm.weight").unwrap().role, Role::FinalNorm);
        for name in
            ["model.layers.x.mlp.up_proj.weight", "model.layers..mlp.up_proj.weight", "model.layers.1.mlp.up_proj"]
        {
            assert_eq!(HF.known(name), None, "{name}");
        }
    }

    #[test]
    fn patterns_take_any_text_at_a_star() {
        assert!(fits("*.inv_freq", "model.layers.0.rotary_emb.inv_freq"));
        assert!(fits("model.layers.*.bias", "model.layers.0.bias") && fits("a*b*c", "a-b-b-c") && fits("a", "a"));
        assert!(!fits("*.inv_freq", "inv_freqs") && !fits("a*b*c", "a-c") && !fits("a", "ab"));
    }
}
