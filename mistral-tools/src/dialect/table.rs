//! The families of models, each a few values. Sources: the chat templates that the models are published with.

use super::family::{Declared, Escapes, Family, Form, Literal, Named, Quote, Shape, Tagged};

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
const ENVELOPE: Form = Form::Envelope { name: NAMES, arguments: ARGUMENTS, plain: false };
const PLAIN_JSON: Form = Form::Envelope { name: NAMES, arguments: ARGUMENTS, plain: true };
/// Calls as JSON in a Markdown fence, and without any mark.
const FENCE: Shape = bare(&["```json", "```"], "", &["```"], PLAIN_JSON);

const fn family(shapes: &'static [Shape]) -> Family {
    Family { reasoning: THINK, calls_end_reasoning: false, noise: &[], headers: &[], leading: &[], shapes }
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
    after_number: "",
    key: "<parameter=",
    key_end: &[(">", Declared::Nothing)],
    value: "",
    value_end: "</parameter>",
    close: "</function>",
    lines: true,
};

const ARG_KEY: Tagged = Tagged {
    name_end: "",
    after_number: "",
    key: "<arg_key>",
    key_end: &[("</arg_key>", Declared::Nothing)],
    value: "<arg_value>",
    value_end: "</arg_value>",
    close: "</tool_call>",
    lines: false,
};

const DSML: Tagged = Tagged {
    name_end: "\">",
    after_number: "",
    key: "<｜DSML｜parameter name=\"",
    key_end: &[("\" string=\"true\">", Declared::Text), ("\" string=\"false\">", Declared::Json)],
    value: "",
    value_end: "</｜DSML｜parameter>",
    close: "</｜DSML｜invoke>",
    lines: false,
};

/// Calls of Python with keyword arguments.
pub(super) const PYTHON: Literal =
    Literal { prefix: "", brackets: (b'(', b')'), assign: b'=', quotes: PYTHON_QUOTES, python: true };

const PYTHON_QUOTES: &[Quote] = &[python("'''"), python("\"\"\""), python("'"), python("\"")];

const fn python(mark: &'static str) -> Quote {
    Quote { mark, escapes: Escapes::Python }
}

/// A JSON string, for text that is not a mark.
const PLAIN: Quote = Quote { mark: "\"", escapes: Escapes::Json };

const GEMMA: Literal = Literal {
    prefix: "call:",
    brackets: (b'{', b'}'),
    assign: b':',
    quotes: &[Quote { mark: "<|\"|>", escapes: Escapes::None }, PLAIN],
    python: false,
};

static HERMES: Family = family(&[shape(&[], &["<tool_call>"], &["</tool_call>"], ENVELOPE)]);
static QWEN_CODER: Family = family(&[shape(&["<tool_call>"], &["<function="], &["</tool_call>"], Form::Tagged(XML))]);
static SEED: Family = family(&[shape(
    &["<seed:tool_call>"],
    &["<function="],
    &["</seed:tool_call>"],
    Form::Tagged(Tagged { lines: false, ..XML }),
)]);
static LLAMA_3: Family = family(&[
    shape(&["<|python_tag|>"], &[], &["<|eom_id|>", "<|eot_id|>"], ENVELOPE),
    FENCE,
    shape(&[], &["<function="], &["</function>"], Form::Named(Named { separators: &[">"], ..NAMED })),
]);
static LLAMA_4: Family = family(&[bare(&["<|python_start|>"], "", &["<|python_end|>"], Form::Literal(PYTHON))]);
static OLMO_3: Family = family(&[shape(&["<function_calls>"], &[], &["</function_calls>"], Form::Literal(PYTHON))]);
static LFM_2: Family = family(&[shape(&["<|tool_call_start|>"], &[], &["<|tool_call_end|>"], Form::Literal(PYTHON))]);
static MISTRAL: Family = family(&[
    shape(&[], &["[TOOL_CALLS]"], &[], Form::Named(Named { before_id: "[CALL_ID]", separators: &["[ARGS]"], ..NAMED })),
    shape(&["[TOOL_CALLS]"], &[], &[], ENVELOPE),
]);
static DEEPSEEK_V3: Family = family(&[shape(
    &["<｜tool▁calls▁begin｜>"],
    &["<｜tool▁call▁begin｜>"],
    &["<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
    Form::Named(Named { prefix: "function<｜tool▁sep｜>", separators: &["\n"], fence: true, ..NAMED }),
)]);
static DEEPSEEK_V31: Family = family(&[shape(
    &["<｜tool▁calls▁begin｜>"],
    &["<｜tool▁call▁begin｜>"],
    &["<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
    Form::Named(Named { separators: &["<｜tool▁sep｜>"], ..NAMED }),
)]);
static DEEPSEEK_V32: Family = family(&[shape(
    &["<｜DSML｜function_calls>", "<｜DSML｜tool_calls>"],
    &["<｜DSML｜invoke name=\""],
    &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
    Form::Tagged(DSML),
)]);
static GLM: Family = family(&[shape(&[], &["<tool_call>"], &["</tool_call>"], Form::Tagged(ARG_KEY))]);
static HUNYUAN: Family = family(&[shape(
    &["<tool_calls:opensource>"],
    &["<tool_call:opensource>"],
    &["</tool_call:opensource>", "</tool_calls:opensource>"],
    Form::Tagged(Tagged {
        name_end: "<tool_sep:opensource>",
        after_number: "",
        key: "<arg_key:opensource>",
        key_end: &[("</arg_key:opensource>", Declared::Nothing)],
        value: "<arg_value:opensource>",
        value_end: "</arg_value:opensource>",
        close: "</tool_call:opensource>",
        lines: false,
    }),
)]);
static MINIMAX_M2: Family = family(&[shape(
    &["<minimax:tool_call>"],
    &["<invoke name="],
    &["</minimax:tool_call>"],
    Form::Tagged(Tagged {
        name_end: ">",
        key: "<parameter name=",
        key_end: &[(">", Declared::Nothing)],
        close: "</invoke>",
        lines: false,
        ..XML
    }),
)]);
static MINIMAX_M3: Family = Family {
    reasoning: &[("<mm:think>", "</mm:think>")],
    // Begins a turn without thoughts.
    noise: &["</mm:think>"],
    ..family(&[shape(
        &["]<]minimax[>[<tool_call>"],
        &["]<]minimax[>[<invoke name="],
        &["]<]minimax[>[</tool_call>"],
        Form::Elements("]<]minimax[>["),
    )])
};
static MUSE: Family = Family {
    reasoning: &[("<|start|>assistant to=self<|message|>", "<|eom|>"), ("to=self<|message|>", "<|eom|>")],
    noise: &["<|start|>assistant<|message|>", "<|eom|>", "<|eot|>"],
    headers: &[("<|start|>assistant to=", "<|message|>")],
    leading: &[("to=", "<|message|>"), ("<|message|>", "")],
    ..family(&[shape(
        &["<atem:function_calls>"],
        &["<atem:invoke name="],
        &["</atem:function_calls>"],
        Form::Tagged(Tagged {
            name_end: ">",
            key: "<atem:parameter name=",
            key_end: &[(">", Declared::Nothing)],
            value_end: "</atem:parameter>",
            close: "</atem:invoke>",
            lines: false,
            ..XML
        }),
    )])
};
static FUNCTIONARY: Family = Family {
    noise: &[">>>all\n"],
    // The prompt ends with the mark of the first message.
    leading: &[("all\n", "")],
    ..family(&[Shape {
        section: &[],
        call: &[">>>"],
        bare: Some(""),
        close: &[],
        form: Form::Named(Named { separators: &["\n"], ..NAMED }),
    }])
};
static KIMI_K2: Family = Family {
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
static KIMI_K3: Family = Family {
    reasoning: &[("<|open|>think<|sep|>", "<|close|>think<|sep|>")],
    noise: &["<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>", "<|end_of_msg|>"],
    ..family(&[shape(
        &["<|open|>tools<|sep|>"],
        &["<|open|>call tool=\""],
        &["<|close|>tools<|sep|>"],
        Form::Tagged(Tagged {
            name_end: "\" index=\"",
            after_number: "\"<|sep|>",
            key: "<|open|>argument key=\"",
            key_end: &[
                ("\" type=\"string\"<|sep|>", Declared::Text),
                ("\" type=\"number\"<|sep|>", Declared::Json),
                ("\" type=\"boolean\"<|sep|>", Declared::Json),
                ("\" type=\"null\"<|sep|>", Declared::Json),
                ("\" type=\"array\"<|sep|>", Declared::Json),
                ("\" type=\"object\"<|sep|>", Declared::Json),
            ],
            value_end: "<|close|>argument<|sep|>",
            close: "<|close|>call<|sep|>",
            lines: false,
            ..XML
        }),
    )])
};
static HARMONY: Family = Family {
    reasoning: &[("<|channel|>analysis<|message|>", "<|end|>")],
    noise: &[
        "<|start|>assistant",
        "<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
    ],
    ..family(&[Shape {
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
    }])
};
static GEMMA_4: Family = Family {
    reasoning: &[("<|channel>thought", "<channel|>")],
    // Ends a turn that waits for results.
    noise: &["<|tool_response>"],
    ..family(&[shape(&[], &["<|tool_call>"], &["<tool_call|>"], Form::Literal(GEMMA))])
};
static FUNCTION_GEMMA: Family = family(&[shape(
    &[],
    &["<start_function_call>"],
    &["<end_function_call>"],
    Form::Literal(Literal { quotes: &[Quote { mark: "<escape>", escapes: Escapes::None }, PLAIN], ..GEMMA }),
)]);
static GRANITE: Family = Family {
    reasoning: &[("<think>", "</think>"), ("Here is my thought process:", "Here is my response:")],
    ..family(&[shape(&["<|tool_call|>", "<tool_call>"], &[], &["</tool_call>"], ENVELOPE)])
};
const COMMAND: Form = Form::Envelope { name: &["tool_name", "name"], arguments: ARGUMENTS, plain: false };
static COMMAND_R: Family = Family {
    reasoning: &[("<|START_THINKING|>", "<|END_THINKING|>")],
    noise: &["<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"],
    ..family(&[
        shape(&["<|START_ACTION|>"], &[], &["<|END_ACTION|>"], COMMAND),
        shape(&["Action:\n```json", "Action: ```json"], &[], &["```"], COMMAND),
    ])
};
static PHI_4: Family = family(&[shape(&["<|tool_call|>", "functools"], &[], &["<|/tool_call|>"], ENVELOPE)]);
static APRIEL: Family = Family {
    reasoning: &[("<think>", "</think>"), ("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")],
    noise: &["[END FINAL RESPONSE]"],
    ..family(&[shape(&["<tool_calls>"], &[], &["</tool_calls>"], ENVELOPE)])
};
static APERTUS: Family = Family {
    reasoning: &[("<|inner_prefix|>", "<|inner_suffix|>")],
    ..family(&[shape(&["<|tools_prefix|>"], &[], &["<|tools_suffix|>"], Form::Keyed)])
};
static GIGACHAT: Family = Family {
    noise: &["<|message_sep|>"],
    ..family(&[shape(&["<|function_call|>", "function call<|role_sep|>"], &[], &[], ENVELOPE)])
};
static SOLAR: Family = Family {
    reasoning: &[("<|think|>", "<|end|>")],
    noise: &["<|begin|>assistant", "<|content|>", "<|end|>", "<|calls|>", "<|flush|>"],
    ..family(&[shape(
        &["<|tool_calls|>"],
        &["<|tool_call:begin|>"],
        &["<|tool_call:end|>"],
        Form::Named(Named { after_id: "<|tool_call:name|>", separators: &["<|tool_call:args|>"], ..NAMED }),
    )])
};
static JSON: Family =
    family(&[shape(&["<tool_call>", "<|tool_call|>"], &[], &["</tool_call>", "<|/tool_call|>"], ENVELOPE), FENCE]);

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
            Self::MiniMaxM3 => &MINIMAX_M3,
            Self::Muse => &MUSE,
            Self::Functionary => &FUNCTIONARY,
            Self::KimiK2 => &KIMI_K2,
            Self::KimiK3 => &KIMI_K3,
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
}
