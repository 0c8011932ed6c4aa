//! Calls in the history: chat templates differ in how they take them, and some leave them out.

use serde_json::{Value, json};

use super::Dialect;
use crate::{Message, ToolCall};

/// How a chat template takes the calls that a model made before.
///
/// ```
/// use mistral_tools::dialect::{CallHistory, Dialect};
///
/// // A template that knows of content only.
/// let render = |messages: &[serde_json::Value]| Some(messages.iter().filter_map(|m| m["content"].as_str()).collect());
/// assert_eq!(CallHistory::of(Dialect::Lfm2, render), Some(CallHistory::Content));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallHistory {
    /// With arguments as objects, as most do.
    Objects,
    /// With arguments as JSON text: Functionary.
    Text,
    /// With arguments as JSON text, and only beside content that is null: distillations of DeepSeek R1.
    TextAlone,
    /// Not at all: calls are part of the content, written as the model wrote them. LFM2, and templates that know of no calls.
    Content,
}

impl CallHistory {
    const ALL: [Self; 4] = [Self::Objects, Self::Text, Self::TextAlone, Self::Content];

    /// Finds out, by rendering a call with a template: at most four times. `render` gives nothing where the template fails; where it
    /// always does, nothing is found.
    pub fn of(dialect: Dialect, mut render: impl FnMut(&[Value]) -> Option<String>) -> Option<Self> {
        let (key, value) = ("w7qkey", "w7qvalue");
        let call = ToolCall { id: Some("c00000000".into()), name: "w7qname".into(), arguments: json!({key: value}) };
        let messages = [Message::user("?"), Message::assistant("").with_tool_calls([call])];
        let mut shown = |history: &Self| {
            let text = render(&history.messages(dialect, &messages));
            text.is_some_and(|text| text.contains(key) && text.contains(value))
        };
        Self::ALL.into_iter().find(|history| shown(history))
    }

    /// The messages as the template takes them.
    pub fn messages(self, dialect: Dialect, messages: &[Message]) -> Vec<Value> {
        let mut made = 0;
        let json = |message: &Message| {
            let mut json = message.to_json();
            let calls = message.tool_calls.as_slice();
            let written = self == Self::Content || (self == Self::TextAlone && !message.content.is_empty());
            if calls.is_empty() || self == Self::Objects {
            } else if written {
                json["content"] = Value::String(message.content.clone() + &dialect.write(calls, made));
                if let Some(json) = json.as_object_mut() {
                    json.remove("tool_calls");
                }
            } else {
                for (i, call) in calls.iter().enumerate() {
                    json["tool_calls"][i]["function"]["arguments"] = Value::String(call.arguments.to_string());
                }
                if self == Self::TextAlone {
                    json["content"] = Value::Null;
                }
            }
            made += calls.len();
            json
        };
        messages.iter().map(json).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_template_takes_them() {
        let call = |n: u32| ToolCall { id: None, name: "add".into(), arguments: json!({"a": n}) };
        let messages = [
            Message::assistant("").with_tool_calls([call(1), call(2)]),
            Message::tool("add", "1"),
            Message::assistant("So.").with_tool_calls([call(3)]),
        ];
        let plain: Vec<Value> = messages.iter().map(Message::to_json).collect();
        let shown = |history: CallHistory| history.messages(Dialect::KimiK2, &messages);
        assert_eq!(shown(CallHistory::Objects), plain);
        let text = shown(CallHistory::Text);
        assert_eq!(text[0]["tool_calls"][1]["function"], json!({"name": "add", "arguments": "{\"a\":2}"}));
        assert_eq!((&text[0]["content"], &text[1], &text[2]["content"]), (&json!(""), &plain[1], &json!("So.")));
        let alone = shown(CallHistory::TextAlone);
        assert_eq!((&alone[0]["content"], &alone[0]["tool_calls"]), (&Value::Null, &text[0]["tool_calls"]));
        let content = shown(CallHistory::Content);
        let third = "So.<|tool_calls_section_begin|><|tool_call_begin|>functions.add:2<|tool_call_argument_begin|>{\"a\":3}<|tool_call_end|><|tool_calls_section_end|>";
        assert_eq!(content[2], json!({"role": "assistant", "content": third}));
        assert_eq!(alone[2], content[2], "the template would leave the call out");
        assert_eq!(content[0]["content"].as_str().unwrap().matches("functions.add:").count(), 2);
    }

    #[test]
    fn what_a_template_takes_is_found_by_rendering() {
        assert_eq!(CallHistory::of(Dialect::Hermes, |_| None), None);
        let all = |messages: &[Value]| Some(json!(messages).to_string());
        assert_eq!(CallHistory::of(Dialect::Hermes, all), Some(CallHistory::Objects));
        let text =
            |messages: &[Value]| messages[1]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned);
        assert_eq!(CallHistory::of(Dialect::Hermes, text), Some(CallHistory::Text));
    }
}
