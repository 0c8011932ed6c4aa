//! Dialects: how models write reasoning, text and tool calls, and how to read them during generation.
//!
//! A [`Dialect`] is detected from a model's chat template by [`Dialect::detect`]. Its [`Parser`] turns text into [`Delta`]s as the text
//! arrives. Its [`CallGrammar`] describes the syntax of a call for constrained generation.
//!
//! These rules hold for every dialect:
//! - The result does not depend on how the text is cut into chunks, and no input makes a parser fail.
//! - A mark in prose that no call follows is text, and so is a closing mark inside a value. All text that is not markup comes out.
//! - The marks that close a call do not close a value that is open: before other text they are a part of the value. At the end of a turn
//!   they close both. Before the next call, the call is incomplete.
//! - A parameter that comes twice makes the call incomplete, in dialects that write each parameter for itself.
//! - JSON arguments are passed on exactly as written. The arguments of a complete call are JSON; otherwise the call is incomplete.
//!   Arguments are not checked against a schema here: the code that checks them can tell the model what is wrong.
//! - In JSON objects, keys that a call does not need are skipped. If a name comes twice, the last one counts, as in other JSON readers. If
//!   the arguments come twice, the call is incomplete.
//!
//! # Calls and answers in JSON
//! [`Dialect::Llama3`] and [`Dialect::Json`] write a call as plain JSON, with no mark that tells it from an answer. An object is a call
//! if it has a name under `name` or `function` and arguments under `arguments` or `parameters`:
//! - At the beginning of a message and in a Markdown fence, with or without `json`, a call of a known tool may have extra keys, of which
//!   those before the name end within the first kilobyte. If it has no key but its name, the arguments may be absent. A call of an unknown tool has a name, an object as arguments, and no other keys than
//!   `id`, `type` or `index`.
//! - After prose, the object must have arguments. There, a call of an unknown tool must also begin a line.
//! - A part of a larger object or list is never a call.
//!
//! A call of an unknown tool reaches the host like every other call. A registry answers it with the names of the tools that exist.
//!
//! | dialect | models | values of arguments | ids of calls |
//! |---|---|---|---|
//! | [`Hermes`](Dialect::Hermes) | Hermes 2 and 3, Qwen 2.5 and 3, QwQ, Granite 4, Bielik 3, Reka Edge, SmolLM3 | JSON | none |
//! | [`QwenCoder`](Dialect::QwenCoder) | Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5 | text, typed by the schema | none |
//! | [`Seed`](Dialect::Seed) | Seed-OSS | text, typed by the schema | none |
//! | [`Llama3`](Dialect::Llama3) | Llama 3.1 to 3.3 | JSON | none |
//! | [`Llama4`](Dialect::Llama4) | Llama 4 | Python | none |
//! | [`Olmo3`](Dialect::Olmo3) | Olmo 3 | Python | none |
//! | [`Lfm2`](Dialect::Lfm2) | LFM2, LFM2.5 | Python | none |
//! | [`MistralList`](Dialect::MistralList) | Mistral up to Small 3.1 | JSON | `id`, nine letters and digits, after the arguments |
//! | [`Mistral`](Dialect::Mistral) | Mistral since Small 3.2, Ministral 3, Devstral | JSON | the same after `[CALL_ID]`: Small 3.2 only |
//! | [`DeepSeekV3`](Dialect::DeepSeekV3) | DeepSeek V3 and R1, with distillations | JSON | none |
//! | [`DeepSeekV31`](Dialect::DeepSeekV31) | DeepSeek V3.1 | JSON | none |
//! | [`DeepSeekV32`](Dialect::DeepSeekV32) | DeepSeek V3.2 | text or JSON, as the mark says | none |
//! | [`DeepSeekV4`](Dialect::DeepSeekV4) | DeepSeek V4 | text or JSON, as the mark says | none |
//! | [`Glm`](Dialect::Glm) | GLM since 4.5, Ling 3, Laguna | text, typed by the schema | none |
//! | [`Hunyuan`](Dialect::Hunyuan) | Hunyuan 3 | text, typed by the schema | none |
//! | [`MiniMaxM2`](Dialect::MiniMaxM2) | MiniMax M2 | text, typed by the schema | none |
//! | [`MiniMaxM3`](Dialect::MiniMaxM3) | MiniMax M3 | elements, typed by the schema | none |
//! | [`KimiK2`](Dialect::KimiK2) | Kimi K2 | JSON | `functions.`, name, `:` and a number |
//! | [`KimiK3`](Dialect::KimiK3) | Kimi K3 | text or JSON, as the mark says | none; calls are numbered in the turn |
//! | [`Harmony`](Dialect::Harmony) | gpt-oss | JSON | none |
//! | [`Gemma4`](Dialect::Gemma4) | Gemma 4 | literals, strings between `<\|"\|>` | none |
//! | [`FunctionGemma`](Dialect::FunctionGemma) | FunctionGemma | literals, strings between `<escape>` | none |
//! | [`Granite`](Dialect::Granite) | Granite 3 | JSON | none |
//! | [`CommandR`](Dialect::CommandR) | Command R7B, Command A | JSON | `tool_call_id`, a number |
//! | [`CommandRPlus`](Dialect::CommandRPlus) | Command R, Command R+ | JSON | none |
//! | [`Phi4`](Dialect::Phi4) | Phi-4-mini, Firefunction 2 | JSON | none |
//! | [`Apriel`](Dialect::Apriel) | Apriel 1.5 and 1.6 | JSON | `id` after the arguments, where the template shows it |
//! | [`MiniMaxM1`](Dialect::MiniMaxM1) | MiniMax M1 | JSON | none |
//! | [`Apertus`](Dialect::Apertus) | Apertus | JSON | none |
//! | [`GigaChat`](Dialect::GigaChat) | GigaChat 3 | JSON | none |
//! | [`Solar`](Dialect::Solar) | Solar Open | JSON | before the name |
//! | [`Functionary`](Dialect::Functionary) | Functionary 3.2 | JSON | none |
//! | [`Muse`](Dialect::Muse) | Muse Glimmer | text, typed by the schema | none |
//! | [`Json`](Dialect::Json) | all others | JSON | none |
//!
//! Where calls are JSON objects, an id is read wherever it stands in the object, even from models that are not known to write ids.

mod arguments;
mod cursor;
mod delta;
mod detect;
mod elements;
mod family;
mod grammar;
mod history;
mod ids;
mod json;
mod literal;
mod message;
mod open;
mod parameters;
mod parser;
mod schema;
mod specs;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use delta::Delta;
pub use grammar::{ArgumentsGrammar, CallGrammar};
pub use history::{CallForm, CallHistory};
pub use message::{ParsedCall, ParsedMessage, Part};
pub use parser::Parser;
pub use schema::JsonTypes;

use self::family::Family;
use self::specs::Spec;
use crate::tool::spec::ToolSpec;

/// Declares the dialects: each with its name, and with the value that says all about it.
macro_rules! dialects {
    ($($(#[$doc:meta])* $name:ident => $module:ident::$spec:ident,)*) => {
        /// A way to write calls, named after the models that it is known from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Dialect {
            $($(#[$doc])* $name,)*
        }

        impl Dialect {
            /// All dialects.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];

            fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$name => &specs::$module::$spec,)*
                }
            }
        }
    };
}

dialects! {
    /// `<tool_call>{"name": .., "arguments": ..}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4 and many more.
    Hermes => envelopes::HERMES,
    /// `<tool_call><function=f><parameter=a>..</parameter></function></tool_call>`: Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5.
    QwenCoder => tagged::QWEN_CODER,
    /// The same in `<seed:tool_call>`, values without line breaks around them: Seed-OSS.
    Seed => tagged::SEED,
    /// `{"name": .., "parameters": ..}`, with or without `<|python_tag|>`: Llama 3. See [calls and answers](self#calls-and-answers-in-json).
    Llama3 => envelopes::LLAMA_3,
    /// `[f(a=1)]` as the whole message, or between `<|python_start|>` and `<|python_end|>`: Llama 4.
    Llama4 => literals::LLAMA_4,
    /// `<function_calls>` with a call a line, `f(a=1)`: Olmo 3.
    Olmo3 => literals::OLMO_3,
    /// `<|tool_call_start|>[f(a=1)]<|tool_call_end|>`: LFM2.
    Lfm2 => literals::LFM_2,
    /// `[TOOL_CALLS][{"name": .., "arguments": ..}]`: Mistral up to Small 3.1. Reads [`Self::Mistral`] too.
    MistralList => envelopes::MISTRAL_LIST,
    /// `[TOOL_CALLS]f[ARGS]{..}`: Mistral since Small 3.2. Reads [`Self::MistralList`] too.
    Mistral => envelopes::MISTRAL,
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>f` and arguments in a fence: DeepSeek V3 and R1.
    DeepSeekV3 => named::DEEPSEEK_V3,
    /// `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{..}`: DeepSeek V3.1.
    DeepSeekV31 => named::DEEPSEEK_V31,
    /// `<｜DSML｜function_calls>`: DeepSeek V3.2. Reads [`Self::DeepSeekV4`] too.
    DeepSeekV32 => tagged::DEEPSEEK_V32,
    /// `<｜DSML｜tool_calls>`: DeepSeek V4. Reads [`Self::DeepSeekV32`] too.
    DeepSeekV4 => tagged::DEEPSEEK_V4,
    /// `<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>`: GLM since 4.5, Ling 3, Laguna.
    Glm => tagged::GLM,
    /// As GLM with its own marks, `<tool_call:opensource>`: Hunyuan 3.
    Hunyuan => tagged::HUNYUAN,
    /// `<minimax:tool_call><invoke name="f"><parameter name="a">1</parameter></invoke></minimax:tool_call>`: MiniMax M2.
    MiniMaxM2 => tagged::MINIMAX_M2,
    /// `<invoke name="f"><a>1</a></invoke>` with a mark before each tag, nested where values are: MiniMax M3.
    MiniMaxM3 => tagged::MINIMAX_M3,
    /// `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{..}<|tool_call_end|>`: Kimi K2.
    KimiK2 => named::KIMI_K2,
    /// `<|open|>call tool="f" index="1"<|sep|>` and the like: Kimi K3.
    KimiK3 => tagged::KIMI_K3,
    /// Channels: gpt-oss. Calls whose content is not JSON, as of its own Python tool, are left in the text.
    Harmony => named::HARMONY,
    /// `<|tool_call>call:f{a:<|"|>x<|"|>}<tool_call|>`: Gemma 4.
    Gemma4 => literals::GEMMA_4,
    /// `<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>`: FunctionGemma.
    FunctionGemma => literals::FUNCTION_GEMMA,
    /// `<|tool_call|>[{"name": .., "arguments": ..}]`: Granite 3.
    Granite => envelopes::GRANITE,
    /// `<|START_ACTION|>[{"tool_name": .., "parameters": ..}]<|END_ACTION|>`: Command R7B, Command A. Reads [`Self::CommandRPlus`] too.
    CommandR => envelopes::COMMAND_R,
    /// `Action:` and a list in a fence: Command R+. Reads [`Self::CommandR`] too.
    CommandRPlus => envelopes::COMMAND_R_PLUS,
    /// `<|tool_call|>[{"name": .., "arguments": ..}]<|/tool_call|>`, or after `functools`: Phi-4-mini, Firefunction.
    Phi4 => envelopes::PHI_4,
    /// `<tool_calls>[{"name": .., "arguments": ..}]</tool_calls>`: Apriel. Reads [`Self::MiniMaxM1`] too.
    Apriel => envelopes::APRIEL,
    /// The same without a list, one call a line: MiniMax M1. Reads [`Self::Apriel`] too.
    MiniMaxM1 => envelopes::MINIMAX_M1,
    /// `<|tools_prefix|>[{"f": {..}}]<|tools_suffix|>`: Apertus.
    Apertus => envelopes::APERTUS,
    /// `<|function_call|>{"name": .., "arguments": ..}`: GigaChat 3.
    GigaChat => envelopes::GIGACHAT,
    /// `<|tool_call:begin|>id<|tool_call:name|>f<|tool_call:args|>{..}<|tool_call:end|>`: Solar Open.
    Solar => named::SOLAR,
    /// `>>>f`, a line break and `{..}`: Functionary 3.2. Calls of its own Python tool, which are not JSON, are left in the text.
    Functionary => named::FUNCTIONARY,
    /// `<atem:function_calls><atem:invoke name="f"><atem:parameter name="a">1</atem:parameter>..`: Muse Glimmer.
    Muse => tagged::MUSE,
    /// `{"name": .., "arguments": ..}`, in a fence, or in `<tool_call>`: for models without a dialect of their own, which are merely asked
    /// to write calls. See [calls and answers](self#calls-and-answers-in-json).
    Json => envelopes::JSON,
}

impl Dialect {
    /// Returns how calls are written, for constraining generation.
    pub fn grammar(self) -> CallGrammar {
        self.spec().write
    }

    fn family(self) -> &'static Family {
        &self.spec().read
    }

    /// Makes a parser for turns in which these tools can be called. Where the dialect does not tell text from numbers, the tools' schemas
    /// do.
    ///
    /// The parser's first turn begins in the answer. Templates of Qwen 3 and others may end with `<think>`, which opens the model's
    /// reasoning. For such a prompt use [`parser_after`](Self::parser_after), and between turns [`Parser::reset_after`].
    pub fn parser(self, tools: &[ToolSpec]) -> Parser {
        Parser::new(self.family(), tools)
    }

    /// Makes a parser for a turn that continues this rendered prompt. The turn begins in reasoning if the prompt has opened reasoning.
    ///
    /// ```
    /// use mistral_tools::dialect::Dialect;
    ///
    /// let mut parser = Dialect::Hermes.parser_after("<|im_start|>assistant\n<think>\n", &[]);
    /// let message = parser.parse("Short and kind.\n</think>\n\nHello!");
    /// assert_eq!((message.reasoning().as_str(), message.text().as_str()), ("Short and kind.\n", "Hello!"));
    /// ```
    pub fn parser_after(self, prompt: &str, tools: &[ToolSpec]) -> Parser {
        let mut parser = self.parser(tools);
        parser.reset_after(prompt);
        parser
    }
}
