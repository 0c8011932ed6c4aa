//! Tokens that are known by name: those that end a generation, and those that files often forget to call control tokens.
//!
//! The lists are llama.cpp's (`llama-vocab.cpp`), collected there from the models' own configurations.

/// End of a turn: at most one of them is taken to be the EOT token.
pub(super) const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

/// End of a generation.
pub(super) const END_OF_GENERATION: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Padding, repository and file separators of fill-in-the-middle, which end a generation too.
pub(super) const FILL_ENDS: &[&[&str]] = &[
    &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
    &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    &["<|file_sep|>"],
];

/// Prefix, suffix and middle of fill-in-the-middle: control tokens that end nothing.
pub(super) const FILL_PARTS: &[&[&str]] = &[
    &[
        "<|fim_prefix|>",
        "<fim-prefix>",
        "<fim_prefix>",
        "<｜fim▁begin｜>",
        "<PRE>",
        "▁<PRE>",
        "<|code_prefix|>",
        "<|prefix|>",
    ],
    &[
        "<|fim_suffix|>",
        "<fim-suffix>",
        "<fim_suffix>",
        "<｜fim▁hole｜>",
        "<SUF>",
        "▁<SUF>",
        "<|code_suffix|>",
        "<|suffix|>",
    ],
    &[
        "<|fim_middle|>",
        "<fim-middle>",
        "<fim_middle>",
        "<｜fim▁end｜>",
        "<MID>",
        "▁<MID>",
        "<|code_middle|>",
        "<|middle|>",
    ],
];

/// Returns the ids that would end a generation by their names, but do not because other tokens exist. Harmony's `<|end|>` separates
/// messages where `<|return|>` ends them, and `</s>` is text where `<|tool_response>` exists.
pub(super) fn not_ends(id: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
    let has = |name: &str| id(name).is_some();
    let mut not = Vec::new();
    let call = has("<|call|>") || has("<|calls|>");
    if call && (has("<|return|>") || has("<|flush|>")) {
        not.extend(id("<|end|>"));
    }
    if has("<|tool_response>") {
        not.extend(id("</s>"));
    }
    not
}
