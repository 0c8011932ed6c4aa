//! Which dialect a model writes, from its chat template: templates spell out what models are to write.

use super::Dialect;

/// Texts that must all be in a template. The first row that fits counts, so marks that others contain come later.
const ROWS: &[(&[&str], Dialect)] = &[
    (&["<|channel|>", "<|constrain|>"], Dialect::Harmony),
    (&["<|channel|>analysis<|message|>", "to="], Dialect::Harmony),
    (&["<|tool_call>call:"], Dialect::Gemma4),
    (&["<start_function_call>"], Dialect::FunctionGemma),
    (&["<|sep|>", "open_tag('call'"], Dialect::KimiK3),
    (&["<|tool_calls_section_begin|>"], Dialect::KimiK2),
    (&["DSML", "function_calls"], Dialect::DeepSeekV32),
    (&["DSML", "tool_calls"], Dialect::DeepSeekV4),
    (&["<｜tool▁call▁begin｜>", "```json"], Dialect::DeepSeekV3),
    (&["<｜tool▁call▁begin｜>"], Dialect::DeepSeekV31),
    (&["]<]minimax[>[", "<invoke name="], Dialect::MiniMaxM3),
    (&["<atem:function_calls>", "<atem:invoke name="], Dialect::Muse),
    (&[">>>${recipient}"], Dialect::Functionary),
    (&["<minimax:tool_call>", "<invoke name="], Dialect::MiniMaxM2),
    (&["<seed:tool_call>", "<function="], Dialect::Seed),
    (&["tool_sep", "arg_key", "opensource"], Dialect::Hunyuan),
    (&["<arg_key>", "<tool_call>"], Dialect::Glm),
    (&["<function=", "<parameter="], Dialect::QwenCoder),
    (&["<|tool_call:begin|>"], Dialect::Solar),
    (&["<|tools_prefix|>"], Dialect::Apertus),
    (&["<|function_call|>"], Dialect::GigaChat),
    (&["function call", "<|role_sep|>"], Dialect::GigaChat),
    (&["<|tool_call_start|>"], Dialect::Lfm2),
    (&["<|tool_list_start|>"], Dialect::Lfm2),
    (&["List of tools: ", "<|im_start|>"], Dialect::Lfm2),
    (&["<function_calls>"], Dialect::Olmo3),
    (&["<|START_ACTION|>"], Dialect::CommandR),
    (&["Action:", "tool_name"], Dialect::CommandRPlus),
    (&["[TOOL_CALLS]", "[ARGS]"], Dialect::Mistral),
    (&["[TOOL_CALLS]"], Dialect::MistralList),
    (&["<tool_calls>["], Dialect::Apriel),
    (&["<tool_calls>", "\"arguments\""], Dialect::MiniMaxM1),
    (&["functools"], Dialect::Phi4),
    (&["<|/tool|>"], Dialect::Phi4),
    (&["<|tool_call|>", "<|start_of_role|>"], Dialect::Granite),
    (&["<tool_call>"], Dialect::Hermes),
    (&["<|python_start|>"], Dialect::Llama4),
    (&["<|header_start|>"], Dialect::Llama4),
    (&["<|start_header_id|>", "\"parameters\""], Dialect::Llama3),
];

impl Dialect {
    /// The dialect that a chat template teaches, or nothing if it knows of no calls; [`Dialect::Json`] is then as good as any.
    ///
    /// ```
    /// use mistral_tools::dialect::Dialect;
    /// assert_eq!(Dialect::detect("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}"), Some(Dialect::Mistral));
    /// assert_eq!(Dialect::detect("{{ content }}"), None);
    /// ```
    pub fn detect(template: &str) -> Option<Self> {
        ROWS.iter().find(|(marks, _)| marks.iter().all(|mark| template.contains(mark))).map(|&(_, dialect)| dialect)
    }
}
