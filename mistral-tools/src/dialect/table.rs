//! The families of models, each a few values. Sources: the chat templates that the models are published with.

use super::family::{Declared, Family, Form, Literal, Named, Shape, Tagged};
use super::grammar::{ArgumentsGrammar, CallGrammar};

type Marks = &'static [&'static str];

/// Marks of reasoning that no family uses for something else.
const THINK: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<think:opensource>", "</think:opensource>"),
];
const NAMES: Marks = &["name", "function"];
const ARGUMENTS: Marks = &["arguments", "parameters"];
const ENVELOPE: Form = Form::Envelope { name: NAMES, arguments: ARGUMENTS };

const fn family(shapes: &'static [Shape]) -> Family {
    Family { reasoning: THINK, calls_end_reasoning: false, noise: &[], shapes }
}

const fn shape(section: Marks, call: Marks, close: Marks, form: Form) -> Shape {
    Shape { section, call, bare: None, close, form }
}

const fn bare(section: Marks, bare: &'static str, close: Marks, form: Form) -> Shape {
    Shape { section, call: &[], bare: Some(bare), close, form }
}

const NAMED: Named = Named { prefix: "", after_id: "", numbered: false, before_id: "", separators: &[], fence: false };

const XML: Tagged = Tagged {
    name_end: ">",
    key: "<parameter=",
    key_end: &[(">", Declared::Nothing)],
    value: "",
    value_end: "</parameter>",
    close: "</function>",
    line_end: "\n</parameter>",
};

const ARG_KEY: Tagged = Tagged {
    name_end: "",
    key: "<arg_key>",
    key_end: &[("</arg_key>", Declared::Nothing)],
    value: "<arg_value>",
    value_end: "</arg_value>",
    close: "</tool_call>",
    line_end: "",
};

const DSML: Tagged = Tagged {
    name_end: "\">",
    key: "<｜DSML｜parameter name=\"",
    key_end: &[("\" string=\"true\">", Declared::Text), ("\" string=\"false\">", Declared::Json)],
    value: "",
    value_end: "</｜DSML｜parameter>",
    close: "</｜DSML｜invoke>",
    line_end: "",
};

const PYTHON: Literal =
    Literal { prefix: "", brackets: (b'(', b')'), assign: b'=', bare_keys: false, quotes: &["'", "\""], escapes: true };

const GEMMA: Literal = Literal {
    prefix: "call:",
    brackets: (b'{', b'}'),
    assign: b':',
    bare_keys: true,
    quotes: &["<|\"|>"],
    escapes: false,
};

pub(super) static HERMES: Family = family(&[shape(&[], &["<tool_call>"], &["</tool_call>"], ENVELOPE)]);
pub(super) static QWEN_CODER: Family =
    family(&[shape(&["<tool_call>"], &["<function="], &["</tool_call>"], Form::Tagged(XML))]);
pub(super) static SEED: Family = family(&[shape(
    &["<seed:tool_call>"],
    &["<function="],
    &["</seed:tool_call>"],
    Form::Tagged(Tagged { line_end: "", ..XML }),
)]);
pub(super) static LLAMA_3: Family = family(&[
    bare(&["<|python_tag|>"], "", &["<|eom_id|>", "<|eot_id|>"], ENVELOPE),
    shape(&[], &["<function="], &["</function>"], Form::Named(Named { separators: &[">"], ..NAMED })),
]);
pub(super) static LLAMA_4: Family =
    family(&[bare(&["<|python_start|>"], "", &["<|python_end|>"], Form::Literal(PYTHON))]);
pub(super) static OLMO_3: Family =
    family(&[shape(&["<function_calls>"], &[], &["</function_calls>"], Form::Literal(PYTHON))]);
pub(super) static LFM_2: Family =
    family(&[shape(&["<|tool_call_start|>"], &[], &["<|tool_call_end|>"], Form::Literal(PYTHON))]);
pub(super) static MISTRAL: Family = family(&[
    shape(&[], &["[TOOL_CALLS]"], &[], Form::Named(Named { before_id: "[CALL_ID]", separators: &["[ARGS]"], ..NAMED })),
    shape(&["[TOOL_CALLS]"], &[], &[], ENVELOPE),
]);
pub(super) static DEEPSEEK_V3: Family = family(&[shape(
    &["<｜tool▁calls▁begin｜>"],
    &["<｜tool▁call▁begin｜>"],
    &["<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
    Form::Named(Named { prefix: "function<｜tool▁sep｜>", separators: &["\n"], fence: true, ..NAMED }),
)]);
pub(super) static DEEPSEEK_V31: Family = family(&[shape(
    &["<｜tool▁calls▁begin｜>"],
    &["<｜tool▁call▁begin｜>"],
    &["<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
    Form::Named(Named { separators: &["<｜tool▁sep｜>"], ..NAMED }),
)]);
pub(super) static DEEPSEEK_V32: Family = family(&[shape(
    &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
    &["<｜DSML｜invoke name=\""],
    &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
    Form::Tagged(DSML),
)]);
pub(super) static GLM: Family = family(&[shape(&[], &["<tool_call>"], &["</tool_call>"], Form::Tagged(ARG_KEY))]);
pub(super) static HUNYUAN: Family = family(&[shape(
    &["<tool_calls:opensource>"],
    &["<tool_call:opensource>"],
    &["</tool_call:opensource>", "</tool_calls:opensource>"],
    Form::Tagged(Tagged {
        name_end: "<tool_sep:opensource>",
        key: "<arg_key:opensource>",
        key_end: &[("</arg_key:opensource>", Declared::Nothing)],
        value: "<arg_value:opensource>",
        value_end: "</arg_value:opensource>",
        close: "</tool_call:opensource>",
        line_end: "",
    }),
)]);
pub(super) static MINIMAX_M2: Family = family(&[shape(
    &["<minimax:tool_call>"],
    &["<invoke name=\""],
    &["</minimax:tool_call>"],
    Form::Tagged(Tagged {
        name_end: "\">",
        key: "<parameter name=\"",
        key_end: &[("\">", Declared::Nothing)],
        close: "</invoke>",
        line_end: "",
        ..XML
    }),
)]);
pub(super) static KIMI_K2: Family = Family {
    calls_end_reasoning: true,
    ..family(&[shape(
        &["<|tool_calls_section_begin|>"],
        &["<|tool_call_begin|>"],
        &["<|tool_call_end|>", "<|tool_calls_section_end|>"],
        Form::Named(Named {
            prefix: "functions.",
            numbered: true,
            separators: &["<|tool_call_argument_begin|>"],
            ..NAMED
        }),
    )])
};
pub(super) static HARMONY: Family = Family {
    reasoning: &[("<|channel|>analysis<|message|>", "<|end|>")],
    calls_end_reasoning: false,
    noise: &[
        "<|start|>assistant",
        "<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
    ],
    shapes: &[Shape {
        section: &[],
        call: &["<|start|>assistant to=", "<|channel|>commentary to=", "<|channel|>analysis to="],
        bare: Some("to="),
        close: &[],
        form: Form::Named(Named {
            prefix: "functions.",
            separators: &[
                "<|message|>",
                "json<|message|>",
                "code<|message|>",
                "<|constrain|>json<|message|>",
                "<|channel|>commentary<|message|>",
                "<|channel|>commentary json<|message|>",
                "<|channel|>commentary <|constrain|>json<|message|>",
            ],
            ..NAMED
        }),
    }],
};
pub(super) static GEMMA_4: Family = Family {
    reasoning: &[("<|channel>thought", "<channel|>")],
    ..family(&[shape(&[], &["<|tool_call>"], &["<tool_call|>"], Form::Literal(GEMMA))])
};
pub(super) static FUNCTION_GEMMA: Family = family(&[shape(
    &[],
    &["<start_function_call>"],
    &["<end_function_call>"],
    Form::Literal(Literal { quotes: &["<escape>"], ..GEMMA }),
)]);
pub(super) static GRANITE: Family = Family {
    reasoning: &[("<think>", "</think>"), ("Here is my thought process:", "Here is my response:")],
    ..family(&[shape(&["<|tool_call|>", "<tool_call>"], &[], &["</tool_call>"], ENVELOPE)])
};
pub(super) static COMMAND_R: Family = Family {
    reasoning: &[("<|START_THINKING|>", "<|END_THINKING|>")],
    noise: &["<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"],
    ..family(&[
        shape(
            &["<|START_ACTION|>"],
            &[],
            &["<|END_ACTION|>"],
            Form::Envelope { name: &["tool_name", "name"], arguments: ARGUMENTS },
        ),
        shape(
            &["Action:\n```json", "Action: ```json"],
            &[],
            &["```"],
            Form::Envelope { name: &["tool_name", "name"], arguments: ARGUMENTS },
        ),
    ])
};
pub(super) static PHI_4: Family = family(&[shape(&["<|tool_call|>", "functools"], &[], &["<|/tool_call|>"], ENVELOPE)]);
pub(super) static APRIEL: Family = Family {
    reasoning: &[("<think>", "</think>"), ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")],
    noise: &["[END FINAL RESPONSE]"],
    ..family(&[shape(&["<tool_calls>"], &[], &["</tool_calls>"], ENVELOPE)])
};
pub(super) static APERTUS: Family = Family {
    reasoning: &[("<|inner_prefix|>", "<|inner_suffix|>")],
    ..family(&[shape(&["<|tools_prefix|>"], &[], &["<|tools_suffix|>"], Form::Keyed)])
};
pub(super) static GIGACHAT: Family = Family {
    noise: &["<|message_sep|>"],
    ..family(&[shape(&["<|function_call|>", "function call<|role_sep|>"], &[], &[], ENVELOPE)])
};
pub(super) static SOLAR: Family = Family {
    noise: &["<|tool_calls|>", "<|begin|>assistant"],
    ..family(&[shape(
        &[],
        &["<|tool_call:begin|>"],
        &["<|tool_call:end|>"],
        Form::Named(Named { after_id: "<|tool_call:name|>", separators: &["<|tool_call:args|>"], ..NAMED }),
    )])
};
pub(super) static JSON: Family = family(&[
    bare(&["<tool_call>", "<|tool_call|>"], "", &["</tool_call>", "<|/tool_call|>"], ENVELOPE),
    shape(&["```json"], &[], &["```"], ENVELOPE),
]);

const fn json(triggers: Marks, begin: &'static str, after: &'static str, end: &'static str) -> CallGrammar {
    CallGrammar {
        triggers,
        begin,
        before_name: "{\"name\": \"",
        after_name: "\", \"arguments\": ",
        arguments: ArgumentsGrammar::Json,
        after_arguments: after,
        separator: None,
        end,
    }
}

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

const fn tagged(before: &'static str, after: &'static str, value: &'static str) -> ArgumentsGrammar {
    ArgumentsGrammar::Parameters { before_key: before, after_key: after, after_key_json: after, after_value: value }
}

const PYTHON_ARGUMENTS: ArgumentsGrammar =
    ArgumentsGrammar::Literals { assign: "=", quote: "'", python: true, quoted_keys: true };
const fn gemma(quote: &'static str) -> ArgumentsGrammar {
    ArgumentsGrammar::Literals { assign: ":", quote, python: false, quoted_keys: false }
}
const DSML_ARGUMENTS: ArgumentsGrammar = ArgumentsGrammar::Parameters {
    before_key: "<｜DSML｜parameter name=\"",
    after_key: "\" string=\"true\">",
    after_key_json: "\" string=\"false\">",
    after_value: "</｜DSML｜parameter>\n",
};

impl super::Dialect {
    pub(super) fn family(self) -> &'static Family {
        match self {
            Self::Hermes => &HERMES,
            Self::QwenCoder => &QWEN_CODER,
            Self::Seed => &SEED,
            Self::Llama3 => &LLAMA_3,
            Self::Llama4 => &LLAMA_4,
            Self::Olmo3 => &OLMO_3,
            Self::Lfm2 => &LFM_2,
            Self::MistralList | Self::Mistral => &MISTRAL,
            Self::DeepSeekV3 => &DEEPSEEK_V3,
            Self::DeepSeekV31 => &DEEPSEEK_V31,
            Self::DeepSeekV32 | Self::DeepSeekV4 => &DEEPSEEK_V32,
            Self::Glm => &GLM,
            Self::Hunyuan => &HUNYUAN,
            Self::MiniMaxM2 => &MINIMAX_M2,
            Self::KimiK2 => &KIMI_K2,
            Self::Harmony => &HARMONY,
            Self::Gemma4 => &GEMMA_4,
            Self::FunctionGemma => &FUNCTION_GEMMA,
            Self::Granite => &GRANITE,
            Self::CommandR | Self::CommandRPlus => &COMMAND_R,
            Self::Phi4 => &PHI_4,
            Self::Apriel | Self::MiniMaxM1 => &APRIEL,
            Self::Apertus => &APERTUS,
            Self::GigaChat => &GIGACHAT,
            Self::Solar => &SOLAR,
            Self::Json => &JSON,
        }
    }

    /// How calls are written, for constraining generation.
    pub fn grammar(self) -> CallGrammar {
        let list = |triggers, begin, end| CallGrammar { separator: Some(", "), ..json(triggers, begin, "}", end) };
        match self {
            Self::Hermes => CallGrammar {
                before_name: "<tool_call>\n{\"name\": \"",
                separator: Some("\n"),
                ..json(&["<tool_call>"], "", "}\n</tool_call>", "")
            },
            Self::QwenCoder => CallGrammar {
                separator: Some("\n"),
                ..calls(
                    &["<tool_call>"],
                    "<tool_call>\n<function=",
                    ">\n",
                    tagged("<parameter=", ">\n", "\n</parameter>\n"),
                    "</function>\n</tool_call>",
                )
            },
            Self::Seed => CallGrammar {
                separator: Some("\n"),
                ..calls(
                    &["<seed:tool_call>"],
                    "<seed:tool_call>\n<function=",
                    ">\n",
                    tagged("<parameter=", ">", "</parameter>\n"),
                    "</function>\n</seed:tool_call>",
                )
            },
            Self::Llama3 => {
                CallGrammar { after_name: "\", \"parameters\": ", ..json(&["{", "<|python_tag|>"], "", "}", "") }
            }
            Self::Llama4 => CallGrammar {
                begin: "[",
                separator: Some(", "),
                end: "]",
                ..calls(&["["], "", "(", PYTHON_ARGUMENTS, ")")
            },
            Self::Olmo3 => CallGrammar {
                begin: "<function_calls>\n",
                separator: Some("\n"),
                end: "\n</function_calls>",
                ..calls(&["<function_calls>"], "", "(", PYTHON_ARGUMENTS, ")")
            },
            Self::Lfm2 => CallGrammar {
                begin: "<|tool_call_start|>[",
                separator: Some(", "),
                end: "]<|tool_call_end|>",
                ..calls(&["<|tool_call_start|>"], "", "(", PYTHON_ARGUMENTS, ")")
            },
            Self::MistralList => list(&["[TOOL_CALLS]"], "[TOOL_CALLS][", "]"),
            Self::Mistral => calls(&["[TOOL_CALLS]"], "[TOOL_CALLS]", "[ARGS]", ArgumentsGrammar::Json, ""),
            Self::DeepSeekV3 => CallGrammar {
                begin: "<｜tool▁calls▁begin｜>",
                separator: Some("\n"),
                end: "<｜tool▁calls▁end｜>",
                ..calls(
                    &["<｜tool▁calls▁begin｜>"],
                    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
                    "\n```json\n",
                    ArgumentsGrammar::Json,
                    "\n```<｜tool▁call▁end｜>",
                )
            },
            Self::DeepSeekV31 => CallGrammar {
                begin: "<｜tool▁calls▁begin｜>",
                end: "<｜tool▁calls▁end｜>",
                ..calls(
                    &["<｜tool▁calls▁begin｜>"],
                    "<｜tool▁call▁begin｜>",
                    "<｜tool▁sep｜>",
                    ArgumentsGrammar::Json,
                    "<｜tool▁call▁end｜>",
                )
            },
            Self::DeepSeekV32 | Self::DeepSeekV4 => {
                let (triggers, begin, end): (Marks, _, _) = if self == Self::DeepSeekV32 {
                    (&["<｜DSML｜function_calls>"], "<｜DSML｜function_calls>\n", "</｜DSML｜function_calls>")
                } else {
                    (&["<｜DSML｜tool_calls>"], "<｜DSML｜tool_calls>\n", "</｜DSML｜tool_calls>")
                };
                let call = calls(triggers, "<｜DSML｜invoke name=\"", "\">\n", DSML_ARGUMENTS, "</｜DSML｜invoke>\n");
                CallGrammar { begin, end, ..call }
            }
            Self::Glm => CallGrammar {
                separator: Some("\n"),
                ..calls(
                    &["<tool_call>"],
                    "<tool_call>",
                    "\n",
                    tagged("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
                    "</tool_call>",
                )
            },
            Self::Hunyuan => CallGrammar {
                begin: "<tool_calls:opensource>\n",
                end: "</tool_calls:opensource>",
                ..calls(
                    &["<tool_calls:opensource>"],
                    "<tool_call:opensource>",
                    "<tool_sep:opensource>\n",
                    tagged(
                        "<arg_key:opensource>",
                        "</arg_key:opensource>\n<arg_value:opensource>",
                        "</arg_value:opensource>\n",
                    ),
                    "</tool_call:opensource>\n",
                )
            },
            Self::MiniMaxM2 => CallGrammar {
                begin: "<minimax:tool_call>\n",
                end: "</minimax:tool_call>",
                ..calls(
                    &["<minimax:tool_call>"],
                    "<invoke name=\"",
                    "\">\n",
                    tagged("<parameter name=\"", "\">", "</parameter>\n"),
                    "</invoke>\n",
                )
            },
            Self::KimiK2 => CallGrammar {
                begin: "<|tool_calls_section_begin|>",
                end: "<|tool_calls_section_end|>",
                ..calls(
                    &["<|tool_calls_section_begin|>"],
                    "<|tool_call_begin|>functions.",
                    ":0<|tool_call_argument_begin|>",
                    ArgumentsGrammar::Json,
                    "<|tool_call_end|>",
                )
            },
            Self::Harmony => CallGrammar {
                separator: None,
                ..calls(
                    &["<|channel|>commentary to="],
                    "<|channel|>commentary to=functions.",
                    " <|constrain|>json<|message|>",
                    ArgumentsGrammar::Json,
                    "<|call|>",
                )
            },
            Self::Gemma4 => calls(&["<|tool_call>"], "<|tool_call>call:", "{", gemma("<|\"|>"), "}<tool_call|>"),
            Self::FunctionGemma => calls(
                &["<start_function_call>"],
                "<start_function_call>call:",
                "{",
                gemma("<escape>"),
                "}<end_function_call>",
            ),
            Self::Granite => list(&["<|tool_call|>", "<tool_call>"], "<|tool_call|>[", "]"),
            Self::CommandR | Self::CommandRPlus => {
                let (triggers, begin, end): (Marks, _, _) = if self == Self::CommandR {
                    (&["<|START_ACTION|>"], "<|START_ACTION|>[\n    ", "\n]<|END_ACTION|>")
                } else {
                    (&["Action:"], "Action:\n```json\n[\n    ", "\n]```")
                };
                CallGrammar {
                    before_name: "{\"tool_name\": \"",
                    after_name: "\", \"parameters\": ",
                    separator: Some(",\n    "),
                    ..list(triggers, begin, end)
                }
            }
            Self::Phi4 => list(&["<|tool_call|>"], "<|tool_call|>[", "]<|/tool_call|>"),
            Self::Apriel => list(&["<tool_calls>"], "<tool_calls>[", "]</tool_calls>"),
            Self::MiniMaxM1 => CallGrammar {
                separator: Some("\n"),
                ..json(&["<tool_calls>"], "<tool_calls>\n", "}", "\n</tool_calls>")
            },
            Self::Apertus => CallGrammar {
                before_name: "{\"",
                after_name: "\": ",
                ..list(&["<|tools_prefix|>"], "<|tools_prefix|>[", "]<|tools_suffix|>")
            },
            Self::GigaChat => json(&["<|function_call|>"], "<|function_call|>", "}", ""),
            Self::Solar => CallGrammar {
                begin: "<|tool_calls|>",
                ..calls(
                    &["<|tool_calls|>"],
                    "<|tool_call:begin|>0<|tool_call:name|>",
                    "<|tool_call:args|>",
                    ArgumentsGrammar::Json,
                    "<|tool_call:end|>",
                )
            },
            Self::Json => json(&["{"], "", "}", ""),
        }
    }
}
