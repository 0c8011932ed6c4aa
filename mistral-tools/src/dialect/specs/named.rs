//! Dialects that write a call as a name, a mark and arguments in JSON.

use super::super::family::{Family, Form, Named, Shape};
use super::super::grammar::{ArgumentsGrammar, CallGrammar};
use super::{Spec, calls, family, shape, within};

pub(super) const NAMED: Named =
    Named { prefix: "", after_id: "", numbered: false, before_id: "", separators: &[], fence: false };

/// The marks of Mistral.
pub(super) const TOOL_CALLS: &str = "[TOOL_CALLS]";
pub(super) const CALL_ID: &str = "[CALL_ID]";
pub(super) const MISTRAL_ARGS: &str = "[ARGS]";

const CALLS_BEGIN: &str = "<｜tool▁calls▁begin｜>";
const CALLS_END: &str = "<｜tool▁calls▁end｜>";
const CALL_BEGIN: &str = "<｜tool▁call▁begin｜>";
const CALL_END: &str = "<｜tool▁call▁end｜>";
const SEPARATOR: &str = "<｜tool▁sep｜>";
const FUNCTION: &str = joined!("function", SEPARATOR);
const FENCE: &str = "```json";

const fn deepseek(form: Named) -> Shape {
    shape(&[CALLS_BEGIN], &[CALL_BEGIN], &[CALL_END, CALLS_END], Form::Named(form))
}

pub(in super::super) static DEEPSEEK_V3: Spec = Spec {
    detect: &[&[CALL_BEGIN, FENCE]],
    read: family(&[deepseek(Named { prefix: FUNCTION, separators: &["\n"], fence: true, ..NAMED })]),
    write: within(
        CALLS_BEGIN,
        Some("\n"),
        CALLS_END,
        calls(
            &[CALLS_BEGIN],
            joined!(CALL_BEGIN, FUNCTION),
            joined!("\n", FENCE, "\n"),
            ArgumentsGrammar::Json,
            joined!("\n```", CALL_END),
        ),
    ),
};
pub(in super::super) static DEEPSEEK_V31: Spec = Spec {
    detect: &[&[CALL_BEGIN]],
    read: family(&[deepseek(Named { separators: &[SEPARATOR], ..NAMED })]),
    write: within(
        CALLS_BEGIN,
        Some(""),
        CALLS_END,
        calls(&[CALLS_BEGIN], CALL_BEGIN, SEPARATOR, ArgumentsGrammar::Json, CALL_END),
    ),
};

const RECIPIENT: &str = ">>>";
pub(in super::super) static FUNCTIONARY: Spec = Spec {
    detect: &[&[joined!(RECIPIENT, "${recipient}")]],
    read: Family {
        noise: &[joined!(RECIPIENT, "all\n")],
        // The prompt ends with the mark of the first message.
        leading: &[("all\n", "")],
        ..family(&[Shape {
            section: &[],
            call: &[RECIPIENT],
            bare: Some(""),
            close: &[],
            form: Form::Named(Named { separators: &["\n"], ..NAMED }),
        }])
    },
    write: calls(&[RECIPIENT], RECIPIENT, "\n", ArgumentsGrammar::Json, ""),
};

const KIMI_SECTION: &str = "<|tool_calls_section_begin|>";
const KIMI_SECTION_END: &str = "<|tool_calls_section_end|>";
const KIMI_CALL: &str = "<|tool_call_begin|>";
const KIMI_CALL_END: &str = "<|tool_call_end|>";
const KIMI_ARGUMENTS: &str = "<|tool_call_argument_begin|>";
const FUNCTIONS: &str = "functions.";
pub(in super::super) static KIMI_K2: Spec = Spec {
    detect: &[&[KIMI_SECTION]],
    read: Family {
        calls_end_reasoning: true,
        ..family(&[shape(
            &[KIMI_SECTION],
            &[KIMI_CALL],
            &[KIMI_CALL_END, KIMI_SECTION_END],
            Form::Named(Named { prefix: FUNCTIONS, numbered: true, separators: &[KIMI_ARGUMENTS], ..NAMED }),
        )])
    },
    write: within(
        KIMI_SECTION,
        Some(""),
        KIMI_SECTION_END,
        calls(
            &[KIMI_SECTION],
            joined!(KIMI_CALL, FUNCTIONS),
            joined!(":0", KIMI_ARGUMENTS),
            ArgumentsGrammar::Json,
            KIMI_CALL_END,
        ),
    ),
};

const START: &str = "<|start|>assistant";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const CONSTRAIN: &str = "<|constrain|>";
const END: &str = "<|end|>";
const CALL: &str = "<|call|>";
const ANALYSIS: &str = joined!(CHANNEL, "analysis");
const COMMENTARY: &str = joined!(CHANNEL, "commentary");
const TO: &str = "to=";
pub(in super::super) static HARMONY: Spec = Spec {
    detect: &[&[CHANNEL, CONSTRAIN], &[joined!(ANALYSIS, MESSAGE), TO]],
    read: Family {
        reasoning: &[(joined!(ANALYSIS, MESSAGE), END)],
        noise: &[START, joined!(CHANNEL, "final", MESSAGE), joined!(COMMENTARY, MESSAGE), END, "<|return|>", CALL],
        ..family(&[Shape {
            section: &[],
            call: &[joined!(START, " ", TO), joined!(COMMENTARY, " ", TO), joined!(ANALYSIS, " ", TO)],
            bare: Some(TO),
            close: &[],
            form: Form::Named(Named {
                prefix: FUNCTIONS,
                separators: &[
                    MESSAGE,
                    joined!("json", MESSAGE),
                    joined!("code", MESSAGE),
                    joined!(CONSTRAIN, "json", MESSAGE),
                    joined!(COMMENTARY, MESSAGE),
                    joined!(COMMENTARY, " json", MESSAGE),
                    joined!(COMMENTARY, " ", CONSTRAIN, "json", MESSAGE),
                ],
                ..NAMED
            }),
        }])
    },
    write: CallGrammar {
        separator: None,
        ..calls(
            &[joined!(COMMENTARY, " ", TO)],
            joined!(COMMENTARY, " ", TO, FUNCTIONS),
            joined!(" ", CONSTRAIN, "json", MESSAGE),
            ArgumentsGrammar::Json,
            CALL,
        )
    },
};

const SOLAR_CALLS: &str = "<|tool_calls|>";
const SOLAR_CALL: &str = "<|tool_call:begin|>";
const SOLAR_NAME: &str = "<|tool_call:name|>";
const SOLAR_ARGUMENTS: &str = "<|tool_call:args|>";
const SOLAR_CALL_END: &str = "<|tool_call:end|>";
pub(in super::super) static SOLAR: Spec = Spec {
    detect: &[&[SOLAR_CALL]],
    read: Family {
        reasoning: &[("<|think|>", END)],
        noise: &["<|begin|>assistant", "<|content|>", END, "<|calls|>", "<|flush|>"],
        ..family(&[shape(
            &[SOLAR_CALLS],
            &[SOLAR_CALL],
            &[SOLAR_CALL_END],
            Form::Named(Named { after_id: SOLAR_NAME, separators: &[SOLAR_ARGUMENTS], ..NAMED }),
        )])
    },
    write: within(
        SOLAR_CALLS,
        Some(""),
        "",
        calls(
            &[SOLAR_CALLS],
            joined!(SOLAR_CALL, "0", SOLAR_NAME),
            SOLAR_ARGUMENTS,
            ArgumentsGrammar::Json,
            SOLAR_CALL_END,
        ),
    ),
};
