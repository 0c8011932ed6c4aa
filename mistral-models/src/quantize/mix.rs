//! The usual mixes: which format each tensor of a model takes when it is quantized to `Q4_K_M` and its like.
//!
//! A mix is a row of [`TABLE`]: a format for most matrices, one for the head, and rules for the tensors that suffer more or less than
//! others; the first rule that holds decides. Names, numbers and choices are those of llama.cpp (`src/llama-quant.cpp` and
//! `include/llama.h` at commit 007dbbf), so that a file made here holds the same types as one made by `llama-quantize`.

use std::fmt;

use mistral_quant::Format;

/// A named choice of formats by tensor, as `llama-quantize` knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, missing_docs)] // the names are those of llama.cpp
#[non_exhaustive]
pub enum Mix {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q2_K_S,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ2_M,
    IQ3_XXS,
    IQ3_XS,
    IQ3_S,
    IQ3_M,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    Q1_0,
    Q2_0,
    MXFP4_MOE,
}

/// The part of a decoder that a tensor belongs to, as far as mixes tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Embedding,
    /// Values, also fused with queries and keys, and the up-projection of compressed keys and values.
    Value,
    Query,
    Key,
    Output,
    Gate,
    Up,
    Down,
    Other,
}

impl Part {
    /// By the name in a GGUF file.
    pub(super) fn of(name: &str) -> Self {
        const PARTS: &[(&str, Part)] = &[
            ("attn_qkv.weight", Part::Value),
            ("attn_kv_b.weight", Part::Value),
            ("attn_v.weight", Part::Value),
            ("attn_k.weight", Part::Key),
            ("attn_q.weight", Part::Query),
            ("attn_output.weight", Part::Output),
            ("ffn_up", Part::Up),
            ("ffn_gate", Part::Gate),
            ("ffn_down", Part::Down),
        ];
        match name {
            "output.weight" => Self::Head,
            "token_embd.weight" | "per_layer_token_embd.weight" => Self::Embedding,
            _ => PARTS.iter().find(|(pattern, _)| name.contains(pattern)).map_or(Self::Other, |(_, part)| *part),
        }
    }
}

/// What the rules ask about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) layers: usize,
    /// Tensors of [`Part::Value`].
    pub(super) values: usize,
    /// Query heads a key head.
    pub(super) queries_per_key: usize,
    pub(super) experts: usize,
    pub(super) falcon: bool,
    /// The head is the embedding.
    pub(super) tied: bool,
    /// An importance matrix was given.
    pub(super) importance: bool,
}

/// What the rules ask about a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part: Part,
    /// How many tensors of this part lie in the layers before; with experts the layer, unless [`Mix::counts_tensors`].
    pub(super) index: usize,
    /// Width of a row.
    pub(super) cols: usize,
    /// One matrix for each of several experts.
    pub(super) stacked: bool,
}

/// A condition of a rule.
#[derive(Debug, Clone, Copy)]
enum When {
    /// Below this index.
    First(usize),
    /// In the first layers, this fraction of them.
    FirstOneIn(usize),
    /// In none of the first and last eighth of the layers.
    Middle,
    /// In the first and the last eighth of the layers and in every third between.
    MoreBits,
    /// Four or more query heads share a key head.
    Grouped,
    /// Exactly eight experts.
    EightExperts,
    /// Four experts or more.
    Experts,
    Stacked,
    Falcon,
    NotFalcon,
    Importance,
    NoImportance,
}

use Format::{IQ2_S, IQ2_XXS, IQ3_S, IQ3_XXS, MXFP4, Q2_K, Q3_K, Q4_1, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0};
use Part::{Down, Embedding, Gate, Key, Other, Output, Query, Up, Value};
use When::{
    EightExperts, Experts, Falcon, First, FirstOneIn, Grouped, Importance, Middle, MoreBits, NoImportance, NotFalcon,
    Stacked,
};

/// A part, the conditions under which the rule holds, and the format it gives.
type Rule = (Part, &'static [When], Format);

struct Recipe {
    mix: Mix,
    name: &'static str,
    /// `general.file_type` of GGUF.
    file_type: u32,
    base: Format,
    /// The format of the head, and of an embedding that is the head; `None` where the mix is only a type of numbers.
    head: Option<Format>,
    /// Without [`EIGHT_EXPERTS`]: its rules say what models with experts take.
    low: bool,
    rules: &'static [Rule],
}

/// Before all other rules, except in the low mixes.
const EIGHT_EXPERTS: &[Rule] = &[(Value, &[EightExperts], Q8_0), (Key, &[EightExperts], Q8_0)];

const NONE: &[Rule] = &[];

const fn numbers(mix: Mix, name: &'static str, file_type: u32, base: Format) -> Recipe {
    Recipe { mix, name, file_type, base, head: None, low: false, rules: NONE }
}

const fn usual(mix: Mix, name: &'static str, file_type: u32, base: Format, rules: &'static [Rule]) -> Recipe {
    Recipe { mix, name, file_type, base, head: Some(Q6_K), low: false, rules }
}

const fn low(mix: Mix, name: &'static str, file_type: u32, base: Format, rules: &'static [Rule]) -> Recipe {
    Recipe { mix, name, file_type, base, head: Some(Q5_K), low: true, rules }
}

const IQ1: &[Rule] = &[
    (Embedding, &[], Q2_K),
    (Value, &[Grouped], Q4_K),
    (Value, &[Experts], Q4_K),
    (Value, &[], Q2_K),
    (Key, &[EightExperts], Q4_K),
    (Down, &[FirstOneIn(8)], Q2_K),
    (Output, &[EightExperts], Q5_K),
    (Output, &[], IQ2_XXS),
];

const IQ2_SMALL: &[Rule] = &[
    (Embedding, &[], Q2_K),
    (Value, &[Grouped], Q4_K),
    (Value, &[Experts], Q4_K),
    (Value, &[], Q2_K),
    (Key, &[EightExperts], Q4_K),
    (Down, &[FirstOneIn(8)], Q2_K),
    (Output, &[EightExperts], Q5_K),
];

const IQ2_LARGE: &[Rule] = &[
    (Embedding, &[], IQ3_S),
    (Value, &[Grouped], Q4_K),
    (Value, &[Experts], Q4_K),
    (Value, &[], IQ3_S),
    (Key, &[EightExperts], Q4_K),
    (Down, &[FirstOneIn(8)], IQ3_S),
    (Output, &[EightExperts], Q5_K),
    (Output, &[], IQ3_S),
];

const IQ4: &[Rule] = &[
    (Value, &[Grouped], Q5_K),
    (Down, &[FirstOneIn(8), NoImportance], Q5_K),
    (Output, &[EightExperts, NotFalcon], Q5_K),
];

const TERNARY: &[Rule] = &[(Embedding, &[], Q4_K)];

/// In the order of [`Mix`].
const TABLE: &[Recipe] = &[
    numbers(Mix::F32, "F32", 0, Format::F32),
    numbers(Mix::F16, "F16", 1, Format::F16),
    numbers(Mix::BF16, "BF16", 32, Format::BF16),
    usual(Mix::Q4_0, "Q4_0", 2, Format::Q4_0, &[(Down, &[FirstOneIn(8), Importance], Q4_1)]),
    usual(Mix::Q4_1, "Q4_1", 3, Q4_1, NONE),
    usual(Mix::Q5_0, "Q5_0", 8, Format::Q5_0, &[(Down, &[FirstOneIn(8), Importance], Q5_1)]),
    usual(Mix::Q5_1, "Q5_1", 9, Q5_1, NONE),
    Recipe { mix: Mix::Q8_0, name: "Q8_0", file_type: 7, base: Q8_0, head: Some(Q8_0), low: false, rules: NONE },
    usual(
        Mix::Q2_K,
        "Q2_K",
        10,
        Q2_K,
        &[
            (Value, &[Grouped], Q4_K),
            (Value, &[], Q3_K),
            (Down, &[], Q3_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
            (Output, &[NotFalcon], Q3_K),
        ],
    ),
    usual(Mix::Q2_K_S, "Q2_K_S", 21, Q2_K, &[(Value, &[Grouped], Q4_K), (Down, &[FirstOneIn(8)], Q4_K)]),
    usual(Mix::Q3_K_S, "Q3_K_S", 11, Q3_K, &[(Output, &[EightExperts, NotFalcon], Q5_K)]),
    usual(
        Mix::Q3_K_M,
        "Q3_K_M",
        12,
        Q3_K,
        &[
            (Value, &[First(2)], Q5_K),
            (Value, &[], Q4_K),
            (Down, &[FirstOneIn(16)], Q5_K),
            (Down, &[NotFalcon], Q4_K),
            (Down, &[MoreBits], Q4_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
            (Output, &[NotFalcon], Q4_K),
        ],
    ),
    usual(
        Mix::Q3_K_L,
        "Q3_K_L",
        13,
        Q3_K,
        &[
            (Value, &[], Q5_K),
            (Down, &[Falcon], Q4_K),
            (Down, &[], Q5_K),
            (Output, &[Falcon], Q4_K),
            (Output, &[EightExperts], Q3_K),
            (Output, &[], Q5_K),
        ],
    ),
    usual(
        Mix::Q4_K_S,
        "Q4_K_S",
        14,
        Q4_K,
        &[
            (Value, &[First(4)], Q5_K),
            (Down, &[FirstOneIn(8), NotFalcon], Q5_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
        ],
    ),
    usual(
        Mix::Q4_K_M,
        "Q4_K_M",
        15,
        Q4_K,
        &[
            (Value, &[MoreBits], Q6_K),
            (Down, &[Falcon, FirstOneIn(16)], Q6_K),
            (Down, &[Falcon, MoreBits], Q5_K),
            (Down, &[NotFalcon, MoreBits], Q6_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
        ],
    ),
    usual(Mix::Q5_K_S, "Q5_K_S", 16, Q5_K, NONE),
    usual(Mix::Q5_K_M, "Q5_K_M", 17, Q5_K, &[(Value, &[MoreBits], Q6_K), (Down, &[MoreBits], Q6_K)]),
    usual(Mix::Q6_K, "Q6_K", 18, Q6_K, NONE),
    low(Mix::IQ1_S, "IQ1_S", 24, Format::IQ1_S, IQ1),
    low(Mix::IQ1_M, "IQ1_M", 31, Format::IQ1_M, IQ1),
    low(Mix::IQ2_XXS, "IQ2_XXS", 19, IQ2_XXS, IQ2_SMALL),
    low(Mix::IQ2_XS, "IQ2_XS", 20, Format::IQ2_XS, IQ2_SMALL),
    low(Mix::IQ2_S, "IQ2_S", 28, Format::IQ2_XS, IQ2_LARGE),
    low(Mix::IQ2_M, "IQ2_M", 29, IQ2_S, IQ2_LARGE),
    Recipe {
        mix: Mix::IQ3_XXS,
        name: "IQ3_XXS",
        file_type: 23,
        base: IQ3_XXS,
        head: Some(Q5_K),
        low: false,
        rules: &[
            (Embedding, &[], IQ3_S),
            (Value, &[Grouped], Q4_K),
            (Value, &[NoImportance], IQ3_S),
            (Key, &[], IQ2_S),
            (Query, &[], IQ2_S),
            (Down, &[FirstOneIn(8), NoImportance], Q4_K),
            (Down, &[NoImportance], Q3_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
            (Output, &[NotFalcon], IQ3_S),
        ],
    },
    usual(
        Mix::IQ3_XS,
        "IQ3_XS",
        22,
        IQ3_S,
        &[
            (Value, &[Grouped], Q4_K),
            (Key, &[], IQ3_XXS),
            (Query, &[], IQ3_XXS),
            (Gate, &[Middle], IQ3_XXS),
            (Up, &[Middle], IQ3_XXS),
            (Output, &[EightExperts, NotFalcon], Q5_K),
        ],
    ),
    usual(Mix::IQ3_S, "IQ3_S", 26, IQ3_S, &[(Value, &[Grouped], Q4_K), (Output, &[EightExperts, NotFalcon], Q5_K)]),
    usual(
        Mix::IQ3_M,
        "IQ3_M",
        27,
        IQ3_S,
        &[
            (Value, &[], Q4_K),
            (Down, &[FirstOneIn(8)], Q4_K),
            (Down, &[EightExperts, MoreBits], Q4_K),
            (Output, &[EightExperts, NotFalcon], Q5_K),
            (Output, &[NotFalcon], Q4_K),
        ],
    ),
    usual(Mix::IQ4_NL, "IQ4_NL", 25, Format::IQ4_NL, IQ4),
    usual(Mix::IQ4_XS, "IQ4_XS", 30, Format::IQ4_XS, IQ4),
    usual(Mix::TQ1_0, "TQ1_0", 36, Format::TQ1_0, TERNARY),
    usual(Mix::TQ2_0, "TQ2_0", 37, Format::TQ2_0, TERNARY),
    usual(Mix::Q1_0, "Q1_0", 40, Format::Q1_0, NONE),
    usual(Mix::Q2_0, "Q2_0", 41, Format::Q2_0, TERNARY),
    Recipe {
        mix: Mix::MXFP4_MOE,
        name: "MXFP4_MOE",
        file_type: 38,
        base: Q8_0,
        head: Some(Q8_0),
        low: true,
        rules: &[
            (Gate, &[Stacked], MXFP4),
            (Up, &[Stacked], MXFP4),
            (Down, &[Stacked], MXFP4),
            (Other, &[Stacked], MXFP4),
        ],
    },
];

impl Mix {
    /// Every mix.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|recipe| recipe.mix)
    }

    const fn recipe(self) -> &'static Recipe {
        // The table lists the variants in declaration order; a test holds this.
        &TABLE[self as usize]
    }

    /// The name, such as `Q4_K_M`.
    pub fn name(self) -> &'static str {
        self.recipe().name
    }

    /// The mix of this name (case does not matter); `Q3_K`, `Q4_K` and `Q5_K` mean the `_M` of these, and `MXFP4` means `MXFP4_MOE`.
    pub fn from_name(name: &str) -> Option<Self> {
        const ALIASES: &[(&str, Mix)] =
            &[("Q3_K", Mix::Q3_K_M), ("Q4_K", Mix::Q4_K_M), ("Q5_K", Mix::Q5_K_M), ("MXFP4", Mix::MXFP4_MOE)];
        let alias = || ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, mix)| *mix);
        Self::all().find(|mix| mix.name().eq_ignore_ascii_case(name)).or_else(alias)
    }

    /// The format of most matrices.
    pub fn base(self) -> Format {
        self.recipe().base
    }

    /// `general.file_type` of a GGUF file of this mix.
    pub fn file_type(self) -> u32 {
        self.recipe().file_type
    }

    /// Whether rules about layers go by how many tensors of the part came before, also in models with experts, where several of a layer
    /// may be of one part (`ffn_down_exps`, `ffn_down_shexp`).
    pub(super) fn counts_tensors(self) -> bool {
        self.recipe().low
    }

    /// The format of a matrix, before it is known whether its rows are whole blocks of it.
    pub(super) fn format(self, model: &Model, place: &Place) -> Format {
        let Recipe { base, head, low, rules, .. } = *self.recipe();
        let Some(head) = head else { return base };
        if place.part == Part::Head || model.tied && place.part == Part::Embedding {
            let whole = place.cols.is_multiple_of(base.block_weights());
            return if model.falcon || !whole { Q8_0 } else { head };
        }
        let first: &[Rule] = if low { NONE } else { EIGHT_EXPERTS };
        let holds =
            |(part, when, _): &&Rule| *part == place.part && when.iter().all(|condition| condition.holds(model, place));
        let format = first.iter().chain(rules).find(holds).map_or(base, |rule| rule.2);
        // The values of 80 layers with grouped heads (Llama 2 and 3 70B, Qwen 72B) are small beside the rest.
        let large = model.layers == 80 && model.queries_per_key > 1;
        match format {
            Q3_K | Q4_K if large && !low && place.part == Value => Q5_K,
            _ => format,
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl When {
    fn holds(self, model: &Model, place: &Place) -> bool {
        let layers = if place.part == Value { model.values } else { model.layers };
        let index = place.index;
        let (eighth, last) = (layers / 8, layers.saturating_mul(7) / 8);
        match self {
            Self::First(count) => index < count,
            Self::FirstOneIn(part) => index < layers / part,
            Self::Middle => index >= eighth && index < last,
            Self::MoreBits => index < eighth || index >= last || (index - eighth) % 3 == 2,
            Self::Grouped => model.queries_per_key >= 4,
            Self::EightExperts => model.experts == 8,
            Self::Experts => model.experts >= 4,
            Self::Stacked => place.stacked,
            Self::Falcon => model.falcon,
            Self::NotFalcon => !model.falcon,
            Self::Importance => model.importance,
            Self::NoImportance => !model.importance,
        }
    }
}

/// Whether a tensor is a matrix whose precision may be lowered: norms, biases, routers, convolutions, position tables and other small
/// tensors keep theirs.
pub(super) fn quantizable(name: &str, shape: &[usize]) -> bool {
    const KEPT: &[&str] = &[
        "_norm.weight",
        "ffn_gate_inp.weight",
        "ffn_gate_tid2eid.weight",
        "altup",
        "laurel",
        "per_layer_model_proj",
        "ssm_conv1d",
        "shortconv.conv.weight",
        "indexer.k_proj.weight",
        "indexer.q_proj.weight",
        "time_mix_first.weight",
        "time_mix_w0.weight",
        "time_mix_w1.weight",
        "time_mix_w2.weight",
        "time_mix_v0.weight",
        "time_mix_v1.weight",
        "time_mix_v2.weight",
        "time_mix_a0.weight",
        "time_mix_a1.weight",
        "time_mix_a2.weight",
        "time_mix_g1.weight",
        "time_mix_g2.weight",
        "time_mix_decay_w1.weight",
        "time_mix_decay_w2.weight",
        "time_mix_lerp_fused.weight",
        "attn_rel_b.weight",
        ".position_embd",
        "sam.pos_embd",
        "sam.neck.",
        "sam.net_",
        "a.rvq.codebook",
        "mm.a.code_embd",
        "position_embd.weight",
        "token_types.weight",
        ".rel_pos",
        ".patch_embd",
        ".patch_merger",
    ];
    let matrix = shape.iter().filter(|size| **size > 1).count() >= 2;
    matrix && name.ends_with(".weight") && !KEPT.iter().any(|kept| name.contains(kept))
}

/// The format for rows of `cols` that are not whole blocks of `format`: the nearest one with blocks of 32, else F16.
pub(super) fn fitting(format: Format, cols: usize) -> Format {
    let fits = |format: &Format| cols.is_multiple_of(format.block_weights());
    let near = match format {
        Format::IQ1_S | Format::IQ1_M | IQ2_XXS | Format::IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | Format::IQ4_XS => {
            Format::IQ4_NL
        }
        Q2_K | Q3_K | Format::TQ1_0 | Format::TQ2_0 | Format::Q1_0 | Format::Q2_0 => Format::Q4_0,
        Q4_K => Format::Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        other => other,
    };
    [format, near].into_iter().find(fits).unwrap_or(Format::F16)
}

#[cfg(test)]
mod tests;
