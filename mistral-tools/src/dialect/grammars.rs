//! The grammars of all dialects, as the templates write calls.

use super::Dialect;
use super::grammar::{ArgumentsGrammar, CallGrammar};

type Marks = &'static [&'static str];

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

impl Dialect {
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
            Self::MiniMaxM3 => CallGrammar {
                begin: "]<]minimax[>[<tool_call>\n",
                end: "]<]minimax[>[</tool_call>",
                ..calls(
                    &["]<]minimax[>[<tool_call>"],
                    "]<]minimax[>[<invoke name=\"",
                    "\">",
                    ArgumentsGrammar::Elements { mark: "]<]minimax[>[" },
                    "]<]minimax[>[</invoke>\n",
                )
            },
            Self::Muse => CallGrammar {
                begin: "<atem:function_calls>\n",
                separator: None,
                end: "</atem:function_calls>",
                ..calls(
                    &["<atem:function_calls>"],
                    "<atem:invoke name=\"",
                    "\">\n",
                    tagged("<atem:parameter name=\"", "\">", "</atem:parameter>\n"),
                    "</atem:invoke>\n",
                )
            },
            Self::Functionary => calls(&[">>>"], ">>>", "\n", ArgumentsGrammar::Json, ""),
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
            Self::KimiK3 => CallGrammar {
                begin: "<|open|>tools<|sep|>",
                end: "<|close|>tools<|sep|>",
                ..calls(
                    &["<|open|>tools<|sep|>"],
                    "<|open|>call tool=\"",
                    "\" index=\"1\"<|sep|>",
                    ArgumentsGrammar::Parameters {
                        before_key: "<|open|>argument key=\"",
                        after_key: "\" type=\"string\"<|sep|>",
                        after_key_json: "\" type=\"object\"<|sep|>",
                        after_value: "<|close|>argument<|sep|>",
                    },
                    "<|close|>call<|sep|>",
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
                let (triggers, begin, before_name, end): (Marks, _, _, _) = if self == Self::CommandR {
                    let before_name = "{\"tool_call_id\": \"0\", \"tool_name\": \"";
                    (&["<|START_ACTION|>"], "<|START_ACTION|>[\n    ", before_name, "\n]<|END_ACTION|>")
                } else {
                    (&["Action:"], "Action:\n```json\n[\n    ", "{\"tool_name\": \"", "\n]```")
                };
                CallGrammar {
                    before_name,
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
