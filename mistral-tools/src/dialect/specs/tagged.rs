//! Dialects that write each parameter between marks, or as an element.

use super::super::family::{Declared, Family, Form, Tagged};
use super::super::grammar::{ArgumentsGrammar, CallGrammar};
use super::{Spec, TOOL_CALL, TOOL_CALL_END, calls, family, shape, within};

const fn parameters(before: &'static str, after: &'static str, value: &'static str) -> ArgumentsGrammar {
    ArgumentsGrammar::Parameters { before_key: before, after_key: after, after_key_json: after, after_value: value }
}

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
const XML: Tagged = Tagged {
    name_end: ">",
    after_number: "",
    key: PARAMETER,
    key_end: &[(">", Declared::Nothing)],
    value: "",
    value_end: PARAMETER_END,
    close: FUNCTION_END,
    lines: true,
};

pub(in super::super) static QWEN_CODER: Spec = Spec {
    detect: &[&[FUNCTION, PARAMETER]],
    read: family(&[shape(&[TOOL_CALL], &[FUNCTION], &[TOOL_CALL_END], Form::Tagged(XML))]),
    write: within(
        "",
        Some("\n"),
        "",
        calls(
            &[TOOL_CALL],
            joined!(TOOL_CALL, "\n", FUNCTION),
            ">\n",
            parameters(PARAMETER, ">\n", joined!("\n", PARAMETER_END, "\n")),
            joined!(FUNCTION_END, "\n", TOOL_CALL_END),
        ),
    ),
};

const SEED_CALL: &str = "<seed:tool_call>";
const SEED_CALL_END: &str = "</seed:tool_call>";
pub(in super::super) static SEED: Spec = Spec {
    detect: &[&[SEED_CALL, FUNCTION]],
    read: family(&[shape(&[SEED_CALL], &[FUNCTION], &[SEED_CALL_END], Form::Tagged(Tagged { lines: false, ..XML }))]),
    write: within(
        "",
        Some("\n"),
        "",
        calls(
            &[SEED_CALL],
            joined!(SEED_CALL, "\n", FUNCTION),
            ">\n",
            parameters(PARAMETER, ">", joined!(PARAMETER_END, "\n")),
            joined!(FUNCTION_END, "\n", SEED_CALL_END),
        ),
    ),
};

const ARG_KEY: &str = "<arg_key>";
const ARG_KEY_END: &str = "</arg_key>";
const ARG_VALUE: &str = "<arg_value>";
const ARG_VALUE_END: &str = "</arg_value>";
pub(in super::super) static GLM: Spec = Spec {
    detect: &[&[ARG_KEY, TOOL_CALL]],
    read: family(&[shape(
        &[],
        &[TOOL_CALL],
        &[TOOL_CALL_END],
        Form::Tagged(Tagged {
            name_end: "",
            key: ARG_KEY,
            key_end: &[(ARG_KEY_END, Declared::Nothing)],
            value: ARG_VALUE,
            value_end: ARG_VALUE_END,
            close: TOOL_CALL_END,
            lines: false,
            ..XML
        }),
    )]),
    write: within(
        "",
        Some("\n"),
        "",
        calls(
            &[TOOL_CALL],
            TOOL_CALL,
            "\n",
            parameters(ARG_KEY, joined!(ARG_KEY_END, "\n", ARG_VALUE), joined!(ARG_VALUE_END, "\n")),
            TOOL_CALL_END,
        ),
    ),
};

const HY_CALLS: &str = "<tool_calls:opensource>";
const HY_CALLS_END: &str = "</tool_calls:opensource>";
const HY_CALL: &str = "<tool_call:opensource>";
const HY_CALL_END: &str = "</tool_call:opensource>";
const HY_SEPARATOR: &str = "<tool_sep:opensource>";
const HY_KEY: &str = "<arg_key:opensource>";
const HY_KEY_END: &str = "</arg_key:opensource>";
const HY_VALUE: &str = "<arg_value:opensource>";
const HY_VALUE_END: &str = "</arg_value:opensource>";
pub(in super::super) static HUNYUAN: Spec = Spec {
    detect: &[&["tool_sep", "arg_key", "opensource"]],
    read: family(&[shape(
        &[HY_CALLS],
        &[HY_CALL],
        &[HY_CALL_END, HY_CALLS_END],
        Form::Tagged(Tagged {
            name_end: HY_SEPARATOR,
            key: HY_KEY,
            key_end: &[(HY_KEY_END, Declared::Nothing)],
            value: HY_VALUE,
            value_end: HY_VALUE_END,
            close: HY_CALL_END,
            lines: false,
            ..XML
        }),
    )]),
    write: within(
        joined!(HY_CALLS, "\n"),
        Some(""),
        HY_CALLS_END,
        calls(
            &[HY_CALLS],
            HY_CALL,
            joined!(HY_SEPARATOR, "\n"),
            parameters(HY_KEY, joined!(HY_KEY_END, "\n", HY_VALUE), joined!(HY_VALUE_END, "\n")),
            joined!(HY_CALL_END, "\n"),
        ),
    ),
};

const DSML_CALLS: [(&str, &str); 2] =
    [("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"), ("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>")];
const DSML_INVOKE: &str = "<｜DSML｜invoke name=\"";
const DSML_INVOKE_END: &str = "</｜DSML｜invoke>";
const DSML_PARAMETER: &str = "<｜DSML｜parameter name=\"";
const DSML_PARAMETER_END: &str = "</｜DSML｜parameter>";
const DSML_TEXT: &str = "\" string=\"true\">";
const DSML_JSON: &str = "\" string=\"false\">";
const DSML_FAMILY: Family = family(&[shape(
    &[DSML_CALLS[0].0, DSML_CALLS[1].0],
    &[DSML_INVOKE],
    &[DSML_CALLS[0].1, DSML_CALLS[1].1],
    Form::Tagged(Tagged {
        name_end: "\">",
        key: DSML_PARAMETER,
        key_end: &[(DSML_TEXT, Declared::Text), (DSML_JSON, Declared::Json)],
        value_end: DSML_PARAMETER_END,
        close: DSML_INVOKE_END,
        lines: false,
        ..XML
    }),
)]);
const DSML_CALL: CallGrammar = calls(
    &[],
    DSML_INVOKE,
    "\">\n",
    ArgumentsGrammar::Parameters {
        before_key: DSML_PARAMETER,
        after_key: DSML_TEXT,
        after_key_json: DSML_JSON,
        after_value: joined!(DSML_PARAMETER_END, "\n"),
    },
    joined!(DSML_INVOKE_END, "\n"),
);
pub(in super::super) static DEEPSEEK_V32: Spec = Spec {
    detect: &[&["DSML", "function_calls"]],
    read: DSML_FAMILY,
    write: CallGrammar {
        triggers: &[DSML_CALLS[0].0],
        ..within(joined!(DSML_CALLS[0].0, "\n"), Some(""), DSML_CALLS[0].1, DSML_CALL)
    },
};
pub(in super::super) static DEEPSEEK_V4: Spec = Spec {
    detect: &[&["DSML", "tool_calls"]],
    read: DSML_FAMILY,
    write: CallGrammar {
        triggers: &[DSML_CALLS[1].0],
        ..within(joined!(DSML_CALLS[1].0, "\n"), Some(""), DSML_CALLS[1].1, DSML_CALL)
    },
};

const M2_CALL: &str = "<minimax:tool_call>";
const M2_CALL_END: &str = "</minimax:tool_call>";
const INVOKE: &str = "<invoke name=";
const INVOKE_END: &str = "</invoke>";
const M2_PARAMETER: &str = "<parameter name=";
pub(in super::super) static MINIMAX_M2: Spec = Spec {
    detect: &[&[M2_CALL, INVOKE]],
    read: family(&[shape(
        &[M2_CALL],
        &[INVOKE],
        &[M2_CALL_END],
        Form::Tagged(Tagged { key: M2_PARAMETER, close: INVOKE_END, lines: false, ..XML }),
    )]),
    write: within(
        joined!(M2_CALL, "\n"),
        Some(""),
        M2_CALL_END,
        calls(
            &[M2_CALL],
            joined!(INVOKE, "\""),
            "\">\n",
            parameters(joined!(M2_PARAMETER, "\""), "\">", joined!(PARAMETER_END, "\n")),
            joined!(INVOKE_END, "\n"),
        ),
    ),
};

/// Stands before each tag of MiniMax M3.
const M3: &str = "]<]minimax[>[";
const M3_CALL: &str = joined!(M3, TOOL_CALL);
const M3_CALL_END: &str = joined!(M3, TOOL_CALL_END);
pub(in super::super) static MINIMAX_M3: Spec = Spec {
    detect: &[&[M3, INVOKE]],
    read: Family {
        reasoning: &[("<mm:think>", "</mm:think>")],
        // Begins a turn without thoughts.
        noise: &["</mm:think>"],
        ..family(&[shape(&[M3_CALL], &[joined!(M3, INVOKE)], &[M3_CALL_END], Form::Elements(M3))])
    },
    write: within(
        joined!(M3_CALL, "\n"),
        Some(""),
        M3_CALL_END,
        calls(
            &[M3_CALL],
            joined!(M3, INVOKE, "\""),
            "\">",
            ArgumentsGrammar::Elements { mark: M3 },
            joined!(M3, INVOKE_END, "\n"),
        ),
    ),
};

const MUSE_CALLS: &str = "<atem:function_calls>";
const MUSE_CALLS_END: &str = "</atem:function_calls>";
const MUSE_INVOKE: &str = "<atem:invoke name=";
const MUSE_INVOKE_END: &str = "</atem:invoke>";
const MUSE_PARAMETER: &str = "<atem:parameter name=";
const MUSE_PARAMETER_END: &str = "</atem:parameter>";
const TO: &str = "to=";
const SELF: &str = "self";
const MESSAGE: &str = "<|message|>";
const START: &str = "<|start|>assistant";
const END: &str = "<|eom|>";
pub(in super::super) static MUSE: Spec = Spec {
    detect: &[&[MUSE_CALLS, MUSE_INVOKE]],
    read: Family {
        reasoning: &[(joined!(START, " ", TO, SELF, MESSAGE), END), (joined!(TO, SELF, MESSAGE), END)],
        noise: &[joined!(START, MESSAGE), END, "<|eot|>"],
        headers: &[(joined!(START, " ", TO), MESSAGE)],
        leading: &[(TO, MESSAGE), (MESSAGE, "")],
        ..family(&[shape(
            &[MUSE_CALLS],
            &[MUSE_INVOKE],
            &[MUSE_CALLS_END],
            Form::Tagged(Tagged {
                key: MUSE_PARAMETER,
                value_end: MUSE_PARAMETER_END,
                close: MUSE_INVOKE_END,
                lines: false,
                ..XML
            }),
        )])
    },
    write: within(
        joined!(MUSE_CALLS, "\n"),
        None,
        MUSE_CALLS_END,
        calls(
            &[MUSE_CALLS],
            joined!(MUSE_INVOKE, "\""),
            "\">\n",
            parameters(joined!(MUSE_PARAMETER, "\""), "\">", joined!(MUSE_PARAMETER_END, "\n")),
            joined!(MUSE_INVOKE_END, "\n"),
        ),
    ),
};

const K3_OPEN: &str = "<|open|>";
const K3_CLOSE: &str = "<|close|>";
const K3_SEPARATOR: &str = "<|sep|>";
const K3_TOOLS: &str = joined!(K3_OPEN, "tools", K3_SEPARATOR);
const K3_TOOLS_END: &str = joined!(K3_CLOSE, "tools", K3_SEPARATOR);
const K3_CALL: &str = joined!(K3_OPEN, "call tool=\"");
const K3_CALL_END: &str = joined!(K3_CLOSE, "call", K3_SEPARATOR);
const K3_INDEX: &str = "\" index=\"";
const K3_INDEX_END: &str = joined!("\"", K3_SEPARATOR);
const K3_KEY: &str = joined!(K3_OPEN, "argument key=\"");
const K3_VALUE_END: &str = joined!(K3_CLOSE, "argument", K3_SEPARATOR);
const K3_TYPE: &str = "\" type=\"";
const K3_TEXT: &str = joined!(K3_TYPE, "string", K3_INDEX_END);
const K3_OBJECT: &str = joined!(K3_TYPE, "object", K3_INDEX_END);
pub(in super::super) static KIMI_K3: Spec = Spec {
    detect: &[&[K3_SEPARATOR, "open_tag('call'"]],
    read: Family {
        reasoning: &[(joined!(K3_OPEN, "think", K3_SEPARATOR), joined!(K3_CLOSE, "think", K3_SEPARATOR))],
        noise: &[
            joined!(K3_OPEN, "response", K3_SEPARATOR),
            joined!(K3_CLOSE, "response", K3_SEPARATOR),
            joined!(K3_CLOSE, "message", K3_SEPARATOR),
            "<|end_of_msg|>",
        ],
        ..family(&[shape(
            &[K3_TOOLS],
            &[K3_CALL],
            &[K3_TOOLS_END],
            Form::Tagged(Tagged {
                name_end: K3_INDEX,
                after_number: K3_INDEX_END,
                key: K3_KEY,
                key_end: &[
                    (K3_TEXT, Declared::Text),
                    (joined!(K3_TYPE, "number", K3_INDEX_END), Declared::Json),
                    (joined!(K3_TYPE, "boolean", K3_INDEX_END), Declared::Json),
                    (joined!(K3_TYPE, "null", K3_INDEX_END), Declared::Json),
                    (joined!(K3_TYPE, "array", K3_INDEX_END), Declared::Json),
                    (K3_OBJECT, Declared::Json),
                ],
                value_end: K3_VALUE_END,
                close: K3_CALL_END,
                lines: false,
                ..XML
            }),
        )])
    },
    write: within(
        K3_TOOLS,
        Some(""),
        K3_TOOLS_END,
        calls(
            &[K3_TOOLS],
            K3_CALL,
            joined!(K3_INDEX, "1", K3_INDEX_END),
            ArgumentsGrammar::Parameters {
                before_key: K3_KEY,
                after_key: K3_TEXT,
                after_key_json: K3_OBJECT,
                after_value: K3_VALUE_END,
            },
            K3_CALL_END,
        ),
    ),
};
