//! Dialects that write a call as a JSON object with its name and its arguments.

use super::super::family::{Family, Form, Named, Shape};
use super::super::grammar::{ArgumentsGrammar, CallGrammar};
use super::named::{CALL_ID, MISTRAL_ARGS, NAMED, TOOL_CALLS};
use super::{Marks, Spec, TOOL_CALL, TOOL_CALL_END, bare, calls, family, shape, within};

const NAMES: Marks = &["name", "function"];
const ARGUMENTS: Marks = &["arguments", "parameters"];
const ENVELOPE: Form = Form::Envelope { name: NAMES, arguments: ARGUMENTS, plain: false };
const PLAIN_JSON: Form = Form::Envelope { name: NAMES, arguments: ARGUMENTS, plain: true };
const FENCE_END: &str = "```";
/// Calls as JSON in a Markdown fence, and without any mark.
const FENCE: Shape = bare(&["```json", FENCE_END], "", &[FENCE_END], PLAIN_JSON);

const BEFORE_NAME: &str = "{\"name\": \"";

/// One call.
const fn json(triggers: Marks, begin: &'static str, after: &'static str, end: &'static str) -> CallGrammar {
    let call = calls(triggers, BEFORE_NAME, "\", \"arguments\": ", ArgumentsGrammar::Json, after);
    within(begin, None, end, call)
}

/// A list of calls.
const fn list(triggers: Marks, begin: &'static str, end: &'static str) -> CallGrammar {
    CallGrammar { separator: Some(", "), ..json(triggers, begin, "}", end) }
}

pub(in super::super) static HERMES: Spec = Spec {
    detect: &[&[TOOL_CALL]],
    read: family(&[shape(&[], &[TOOL_CALL], &[TOOL_CALL_END], ENVELOPE)]),
    write: CallGrammar {
        before_name: joined!(TOOL_CALL, "\n", BEFORE_NAME),
        separator: Some("\n"),
        ..json(&[TOOL_CALL], "", joined!("}\n", TOOL_CALL_END), "")
    },
};

const PYTHON_TAG: &str = "<|python_tag|>";
pub(in super::super) static LLAMA_3: Spec = Spec {
    detect: &[&["<|start_header_id|>", "\"parameters\""]],
    read: family(&[
        shape(&[PYTHON_TAG], &[], &["<|eom_id|>", "<|eot_id|>"], ENVELOPE),
        FENCE,
        shape(&[], &["<function="], &["</function>"], Form::Named(Named { separators: &[">"], ..NAMED })),
    ]),
    write: CallGrammar { after_name: "\", \"parameters\": ", ..json(&["{", PYTHON_TAG], "", "}", "") },
};

/// The two ways of Mistral: a name with arguments, and a list of objects.
const MISTRAL_FAMILY: Family = family(&[
    shape(&[], &[TOOL_CALLS], &[], Form::Named(Named { before_id: CALL_ID, separators: &[MISTRAL_ARGS], ..NAMED })),
    shape(&[TOOL_CALLS], &[], &[], ENVELOPE),
]);
pub(in super::super) static MISTRAL_LIST: Spec =
    Spec { detect: &[&[TOOL_CALLS]], read: MISTRAL_FAMILY, write: list(&[TOOL_CALLS], joined!(TOOL_CALLS, "["), "]") };
pub(in super::super) static MISTRAL: Spec = Spec {
    detect: &[&[TOOL_CALLS, MISTRAL_ARGS]],
    read: MISTRAL_FAMILY,
    write: calls(&[TOOL_CALLS], TOOL_CALLS, MISTRAL_ARGS, ArgumentsGrammar::Json, ""),
};

const MARKED: &str = "<|tool_call|>";
pub(in super::super) static GRANITE: Spec = Spec {
    detect: &[&[MARKED, "<|start_of_role|>"]],
    read: Family {
        reasoning: &[("<think>", "</think>"), ("Here is my thought process:", "Here is my response:")],
        ..family(&[shape(&[MARKED, TOOL_CALL], &[], &[TOOL_CALL_END], ENVELOPE)])
    },
    write: list(&[MARKED, TOOL_CALL], joined!(MARKED, "["), "]"),
};

const ACTION: &str = "Action:";
const ACTION_START: &str = "<|START_ACTION|>";
const ACTION_END: &str = "<|END_ACTION|>";
const COMMAND: Form = Form::Envelope { name: &["tool_name", "name"], arguments: ARGUMENTS, plain: false };
const COMMAND_FAMILY: Family = Family {
    reasoning: &[("<|START_THINKING|>", "<|END_THINKING|>")],
    noise: &["<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"],
    ..family(&[
        shape(&[ACTION_START], &[], &[ACTION_END], COMMAND),
        shape(&[joined!(ACTION, "\n```json"), joined!(ACTION, " ```json")], &[], &[FENCE_END], COMMAND),
    ])
};
const fn command(before_name: &'static str, list: CallGrammar) -> CallGrammar {
    CallGrammar { before_name, after_name: "\", \"parameters\": ", separator: Some(",\n    "), ..list }
}
pub(in super::super) static COMMAND_R: Spec = Spec {
    detect: &[&[ACTION_START]],
    read: COMMAND_FAMILY,
    write: command(
        "{\"tool_call_id\": \"0\", \"tool_name\": \"",
        list(&[ACTION_START], joined!(ACTION_START, "[\n    "), joined!("\n]", ACTION_END)),
    ),
};
pub(in super::super) static COMMAND_R_PLUS: Spec = Spec {
    detect: &[&[ACTION, "tool_name"]],
    read: COMMAND_FAMILY,
    write: command(
        "{\"tool_name\": \"",
        list(&[ACTION], joined!(ACTION, "\n```json\n[\n    "), joined!("\n]", FENCE_END)),
    ),
};

const FUNCTOOLS: &str = "functools";
const MARKED_END: &str = "<|/tool_call|>";
pub(in super::super) static PHI_4: Spec = Spec {
    detect: &[&[FUNCTOOLS], &["<|/tool|>"]],
    read: family(&[shape(&[MARKED, FUNCTOOLS], &[], &[MARKED_END], ENVELOPE)]),
    write: list(&[MARKED], joined!(MARKED, "["), joined!("]", MARKED_END)),
};

const CALLS: &str = "<tool_calls>";
const CALLS_END: &str = "</tool_calls>";
const APRIEL_FAMILY: Family = Family {
    reasoning: &[("<think>", "</think>"), ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")],
    noise: &["[END FINAL RESPONSE]"],
    ..family(&[shape(&[CALLS], &[], &[CALLS_END], ENVELOPE)])
};
pub(in super::super) static APRIEL: Spec = Spec {
    detect: &[&[joined!(CALLS, "[")]],
    read: APRIEL_FAMILY,
    write: list(&[CALLS], joined!(CALLS, "["), joined!("]", CALLS_END)),
};
pub(in super::super) static MINIMAX_M1: Spec = Spec {
    detect: &[&[CALLS, "\"arguments\""]],
    read: APRIEL_FAMILY,
    write: CallGrammar { separator: Some("\n"), ..json(&[CALLS], joined!(CALLS, "\n"), "}", joined!("\n", CALLS_END)) },
};

const PREFIX: &str = "<|tools_prefix|>";
const SUFFIX: &str = "<|tools_suffix|>";
pub(in super::super) static APERTUS: Spec = Spec {
    detect: &[&[PREFIX]],
    read: Family {
        reasoning: &[("<|inner_prefix|>", "<|inner_suffix|>")],
        ..family(&[shape(&[PREFIX], &[], &[SUFFIX], Form::Keyed)])
    },
    write: CallGrammar {
        before_name: "{\"",
        after_name: "\": ",
        ..list(&[PREFIX], joined!(PREFIX, "["), joined!("]", SUFFIX))
    },
};

const FUNCTION_CALL: &str = "<|function_call|>";
const ROLE: (&str, &str) = ("function call", "<|role_sep|>");
pub(in super::super) static GIGACHAT: Spec = Spec {
    detect: &[&[FUNCTION_CALL], &[ROLE.0, ROLE.1]],
    read: Family {
        noise: &["<|message_sep|>"],
        ..family(&[shape(&[FUNCTION_CALL, joined!(ROLE.0, ROLE.1)], &[], &[], ENVELOPE)])
    },
    write: json(&[FUNCTION_CALL], FUNCTION_CALL, "}", ""),
};

pub(in super::super) static JSON: Spec = Spec {
    detect: &[],
    read: family(&[shape(&[TOOL_CALL, MARKED], &[], &[TOOL_CALL_END, MARKED_END], ENVELOPE), FENCE]),
    write: json(&["{"], "", "}", ""),
};
