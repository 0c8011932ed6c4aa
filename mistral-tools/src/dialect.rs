//! Dialects: how models write reasoning, text and calls of tools, and how that is read while it is generated.
//!
//! A [`Dialect`] is chosen from a model's chat template, [`Dialect::detect`]; its [`Parser`] turns text into [`Delta`]s as it comes,
//! and its [`CallGrammar`] says what a call looks like, for constrained generation.
//!
//! What holds for every dialect: the result does not depend on how the text is cut into chunks; a mark in prose that no call follows
//! is text; what is not markup comes out; arguments that are JSON are given exactly as written; no input makes a parser fail.
//! Arguments are not checked here, as whoever checks them against a schema can tell the model what is wrong.

mod cursor;
mod delta;
mod detect;
mod family;
mod grammar;
mod grammars;
mod ids;
mod json;
mod literal;
mod message;
mod open;
mod parameters;
mod parser;
mod schema;
mod state;
mod table;
#[cfg(test)]
mod tests;

pub use delta::Delta;
pub use grammar::{ArgumentsGrammar, CallGrammar};
pub use message::{Message, ParsedCall, Part};
pub use parser::Parser;

use crate::ToolSpec;

/// A way to write calls, named after the models that it is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// `<tool_call>{"name": .., "arguments": ..}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4 and many more.
    Hermes,
    /// `<tool_call><function=f><parameter=a>..</parameter></function></tool_call>`: Qwen3-Coder, Qwen 3.5, Nemotron 3, Step 3.5.
    QwenCoder,
    /// The same in `<seed:tool_call>`, values without line breaks around them: Seed-OSS.
    Seed,
    /// `{"name": .., "parameters": ..}` as the whole message, with or without `<|python_tag|>`: Llama 3.
    Llama3,
    /// `[f(a=1)]` as the whole message, or between `<|python_start|>` and `<|python_end|>`: Llama 4.
    Llama4,
    /// `<function_calls>` with a call a line, `f(a=1)`: Olmo 3.
    Olmo3,
    /// `<|tool_call_start|>[f(a=1)]<|tool_call_end|>`: LFM2.
    Lfm2,
    /// `[TOOL_CALLS][{"name": .., "arguments": ..}]`: Mistral up to Small 3.1. Reads [`Self::Mistral`] too.
    MistralList,
    /// `[TOOL_CALLS]f[ARGS]{..}`: Mistral since Small 3.2. Reads [`Self::MistralList`] too.
    Mistral,
    /// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>f` and arguments in a fence: DeepSeek V3 and R1.
    DeepSeekV3,
    /// `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{..}`: DeepSeek V3.1.
    DeepSeekV31,
    /// `<｜DSML｜function_calls>`: DeepSeek V3.2. Reads [`Self::DeepSeekV4`] too.
    DeepSeekV32,
    /// `<｜DSML｜tool_calls>`: DeepSeek V4. Reads [`Self::DeepSeekV32`] too.
    DeepSeekV4,
    /// `<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>`: GLM since 4.5, Ling 3, Laguna.
    Glm,
    /// As GLM with its own marks, `<tool_call:opensource>`: Hunyuan 3.
    Hunyuan,
    /// `<minimax:tool_call><invoke name="f"><parameter name="a">1</parameter></invoke></minimax:tool_call>`: MiniMax M2.
    MiniMaxM2,
    /// `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{..}<|tool_call_end|>`: Kimi K2.
    KimiK2,
    /// `<|open|>call tool="f" index="1"<|sep|>` and the like: Kimi K3.
    KimiK3,
    /// Channels: gpt-oss. Calls whose content is not JSON, as of its own Python tool, are left in the text.
    Harmony,
    /// `<|tool_call>call:f{a:<|"|>x<|"|>}<tool_call|>`: Gemma 4.
    Gemma4,
    /// `<start_function_call>call:f{a:<escape>x<escape>}<end_function_call>`: FunctionGemma.
    FunctionGemma,
    /// `<|tool_call|>[{"name": .., "arguments": ..}]`: Granite 3.
    Granite,
    /// `<|START_ACTION|>[{"tool_name": .., "parameters": ..}]<|END_ACTION|>`: Command R7B, Command A. Reads [`Self::CommandRPlus`] too.
    CommandR,
    /// `Action:` and a list in a fence: Command R+. Reads [`Self::CommandR`] too.
    CommandRPlus,
    /// `<|tool_call|>[{"name": .., "arguments": ..}]<|/tool_call|>`, or after `functools`: Phi-4-mini, Firefunction.
    Phi4,
    /// `<tool_calls>[{"name": .., "arguments": ..}]</tool_calls>`: Apriel. Reads [`Self::MiniMaxM1`] too.
    Apriel,
    /// The same without a list, one call a line: MiniMax M1. Reads [`Self::Apriel`] too.
    MiniMaxM1,
    /// `<|tools_prefix|>[{"f": {..}}]<|tools_suffix|>`: Apertus.
    Apertus,
    /// `<|function_call|>{"name": .., "arguments": ..}`: GigaChat 3.
    GigaChat,
    /// `<|tool_call:begin|>id<|tool_call:name|>f<|tool_call:args|>{..}<|tool_call:end|>`: Solar Open.
    Solar,
    /// `{"name": .., "arguments": ..}` as the whole message, in a fence or in `<tool_call>`: what models do that are only told to.
    Json,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::Hermes,
        Self::QwenCoder,
        Self::Seed,
        Self::Llama3,
        Self::Llama4,
        Self::Olmo3,
        Self::Lfm2,
        Self::MistralList,
        Self::Mistral,
        Self::DeepSeekV3,
        Self::DeepSeekV31,
        Self::DeepSeekV32,
        Self::DeepSeekV4,
        Self::Glm,
        Self::Hunyuan,
        Self::MiniMaxM2,
        Self::KimiK2,
        Self::KimiK3,
        Self::Harmony,
        Self::Gemma4,
        Self::FunctionGemma,
        Self::Granite,
        Self::CommandR,
        Self::CommandRPlus,
        Self::Phi4,
        Self::Apriel,
        Self::MiniMaxM1,
        Self::Apertus,
        Self::GigaChat,
        Self::Solar,
        Self::Json,
    ];

    /// A parser for turns in which some tools can be called. Their schemas tell text from numbers where the dialect does not;
    /// calls without any mark are recognised for these tools only, or by their form alone if there are none.
    pub fn parser(self, tools: &[ToolSpec]) -> Parser {
        Parser::new(self.family(), tools)
    }
}
