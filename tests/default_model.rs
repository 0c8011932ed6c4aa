//! The model inside the crate against what an independent implementation computed from the same file: its token ids, its greedy
//! continuations, and a tool call from question to answer. `mistral-core/assets/default-model/train.py` writes the goldens.

use mistral_core::tools::ToolSpec;
use mistral_core::{FinishReason, Message, Model, Request};
use mistral_models::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

fn list(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn texts_have_the_expected_tokens() {
    let tokenizer = Tokenizer::from_checkpoint(&mistral_core::embedded().unwrap()).unwrap();
    let texts = list(include_str!("../mistral-core/assets/default-model/tokens.json"));
    assert!(texts.len() > 30);
    for case in texts {
        let text = case["text"].as_str().unwrap();
        let tokens = tokenizer.encode(text, EncodeOptions::TEMPLATE).unwrap();
        assert_eq!(tokens, ids(&case["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&tokens, false).unwrap(), text);
    }
}

#[test]
fn greedy_continuations_are_those_of_an_independent_implementation() {
    let model = Model::embedded().unwrap();
    let cases = list(include_str!("../mistral-core/assets/default-model/golden.json"));
    assert!(cases.len() >= 8);
    for case in cases {
        let (prompt, expected) = (ids(&case["prompt_ids"]), ids(&case["greedy_ids"]));
        let tokenizer = model.tokenizer().unwrap();
        let text = case["prompt"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, EncodeOptions::TEMPLATE).unwrap(), prompt, "{text:?}");
        let request = Request::new(prompt).max_tokens(expected.len()).ignore_eos(true).special_text(true);
        let answer = model.generate(request).unwrap().complete().unwrap();
        assert_eq!(answer.tokens, expected, "{text:?} went on as {:?}", answer.text);
        assert_eq!(answer.text, case["text"].as_str().unwrap());
    }
}

#[test]
fn a_question_becomes_a_tool_call_and_its_response_an_answer() {
    let model = Model::embedded().unwrap();
    let parameters = json!({
        "type": "object",
        "properties": {"expression": {"type": "string", "description": "The expression to evaluate"}},
        "required": ["expression"]
    });
    let calculator = ToolSpec::new("calculator", "Evaluates an arithmetic expression.", parameters).unwrap();
    let mut messages = vec![Message::user("What is 37 * 43?")];
    let ask = |messages: &[Message]| {
        let request = Request::chat(messages.to_vec()).tools([calculator.clone()]).max_tokens(64);
        model.generate(request).unwrap().complete().unwrap()
    };
    let call = ask(&messages);
    let json = call.text.trim().strip_prefix("<tool_call>").and_then(|t| t.strip_suffix("</tool_call>"));
    let json: Value = serde_json::from_str(json.unwrap_or_else(|| panic!("no tool call: {:?}", call.text))).unwrap();
    assert_eq!(json, json!({"name": "calculator", "arguments": {"expression": "37 * 43"}}));
    assert!(matches!(call.reason, FinishReason::EndOfText(_)), "{:?}", call.reason);

    let call = json!({"role": "assistant", "tool_calls": [{"type": "function", "function": json}]});
    messages.push(serde_json::from_value(call).unwrap());
    messages.push(serde_json::from_value(json!({"role": "tool", "content": "1591"})).unwrap());
    assert_eq!(ask(&messages).text, "37 * 43 is 1591.");
}
