//! All that is known of each dialect, one value per dialect: the marks that tell it, how it is read, and how it is written. Sources: the
//! chat templates that the models are published with.

#[macro_use]
mod joined;
pub(super) mod envelopes;
pub(super) mod literals;
pub(super) mod named;
pub(super) mod tagged;

use super::family::{Family, Form, Shape};
use super::grammar::{ArgumentsGrammar, CallGrammar};

type Marks = &'static [&'static str];

/// A dialect.
#[derive(Debug)]
pub(super) struct Spec {
    /// Texts of chat templates. The template teaches the dialect if it has all texts of one of the lists.
    pub(super) detect: &'static [Marks],
    /// How calls are read.
    pub(super) read: Family,
    /// How the templates write calls.
    pub(super) write: CallGrammar,
}

/// The mark of many models around a call.
const TOOL_CALL: &str = "<tool_call>";
const TOOL_CALL_END: &str = "</tool_call>";

/// Marks of reasoning that no family uses for something else.
const THINK: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<think:opensource>", "</think:opensource>"),
];

const fn family(shapes: &'static [Shape]) -> Family {
    Family { reasoning: THINK, calls_end_reasoning: false, noise: &[], headers: &[], leading: &[], shapes }
}

const fn shape(section: Marks, call: Marks, close: Marks, form: Form) -> Shape {
    Shape { section, call, bare: None, close, form }
}

const fn bare(section: Marks, bare: &'static str, close: Marks, form: Form) -> Shape {
    Shape { section, call: &[], bare: Some(bare), close, form }
}

/// Calls that follow each other without a section around them.
const fn calls(
    triggers: Marks,
    before_name: &'static str,
    after_name: &'static str,
    arguments: ArgumentsGrammar,
    after_arguments: &'static str,
) -> CallGrammar {
    CallGrammar {
        triggers,
        begin: "",
        before_name,
        after_name,
        arguments,
        after_arguments,
        separator: Some(""),
        end: "",
    }
}

/// The same calls in a section.
const fn within(
    begin: &'static str,
    separator: Option<&'static str>,
    end: &'static str,
    calls: CallGrammar,
) -> CallGrammar {
    CallGrammar { begin, separator, end, ..calls }
}
