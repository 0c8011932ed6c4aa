//! Calls in the history: chat templates differ in how they take them, and some leave them out.

use serde_json::{Value, json};

use super::Dialect;
use crate::message::{Message, Role, ToolCall, content::Content};

/// The form in which a chat template takes the earlier calls of a model.
///
/// ```
/// use mistral_tools::dialect::{CallForm, CallHistory, Dialect};
///
/// // A template that only knows content.
/// let render = |messages: &[serde_json::Value]| Some(messages.iter().filter_map(|m| m["content"].as_str()).collect());
/// assert_eq!(CallHistory::of(Dialect::Lfm2, render).map(|history| history.form), Some(CallForm::Content));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallHistory {
    /// The form in which the template takes a call.
    pub form: CallForm,
    /// Whether a message has at most one call. The calls of a turn then become separate messages, each followed by its result: Llama 3.1 to
    /// 3.3, gpt-oss, GigaChat.
    pub single: bool,
    /// Whether results are messages of the user, because the template knows no other messages: Gemma 2, Phi 3.5. Consecutive messages of
    /// the user then become one.
    pub plain_results: bool,
}

/// A form in which a chat template takes a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallForm {
    /// With arguments as objects, as most do.
    #[default]
    Objects,
    /// With arguments as JSON text: Functionary.
    Text,
    /// With arguments as JSON text, and only next to content that is null: distillations of DeepSeek R1.
    TextAlone,
    /// Not at all: calls are part of the content, written as the model wrote them. LFM2, and templates that know of no calls.
    Content,
}

impl CallForm {
    const ALL: [Self; 4] = [Self::Objects, Self::Text, Self::TextAlone, Self::Content];
}

impl CallHistory {
    /// Finds out how a template takes calls by rendering calls with it, at most seven times. `render` returns `None` where the template
    /// fails. Returns `None` if the template always fails.
    pub fn of(dialect: Dialect, mut render: impl FnMut(&[Value]) -> Option<String>) -> Option<Self> {
        let call = |number: usize| {
            ToolCall::new("w7qname", json!({"w7qkey": format!("w7qvalue{number}")}))
                .with_id(format!("c0000000{number}"))
        };
        let mut shown = |history: Self, messages: &[Message], texts: &[&str]| {
            let text = render(&history.messages(dialect, messages)).unwrap_or_default();
            texts.iter().filter(|shown| text.contains(**shown)).count()
        };
        let one = [Message::user("?"), Message::assistant("").with_tool_calls([call(0)])];
        let histories = CallForm::ALL.map(|form| Self { form, ..Self::default() });
        let found = histories.into_iter().find(|&history| shown(history, &one, &["w7qkey", "w7qvalue0"]) == 2)?;
        let two = [
            Message::user("?"),
            Message::assistant("").with_tool_calls([call(0), call(1)]),
            Message::tool("c00000000", "w7qresult0"),
            Message::tool("c00000001", "w7qresult1"),
        ];
        let all = ["w7qvalue0", "w7qvalue1", "w7qresult0", "w7qresult1"];
        let (mut best, mut most) = (found, shown(found, &two, &all));
        for other in [Self { single: true, ..found }, Self { plain_results: true, ..found }] {
            let count = if most < all.len() { shown(other, &two, &all) } else { 0 };
            (best, most) = if count > most { (other, count) } else { (best, most) };
        }
        Some(best)
    }

    /// Returns the messages in the form that the template takes. Results without the id of their call or the name of their tool get it from
    /// the call. Numbers in arguments that a [`Value`] cannot hold are stored as [`RawValue`](serde_json::value::RawValue) stores them in a
    /// `Value`: an object with one key that holds their text.
    pub fn messages(self, dialect: Dialect, messages: &[Message]) -> Vec<Value> {
        let mut messages = linked(messages);
        if self.single {
            messages = separated(messages);
        }
        if self.plain_results {
            messages = told(messages);
        }
        let mut made = 0;
        messages.iter().map(|message| self.message(dialect, message, &mut made)).collect()
    }

    fn message(self, dialect: Dialect, message: &Message, made: &mut usize) -> Value {
        let calls = message.tool_calls.as_slice();
        let has_text = !message.content.is_empty();
        let is_written = self.form == CallForm::Content || (self.form == CallForm::TextAlone && has_text);
        let mut json = Message { tool_calls: Vec::new(), ..message.clone() }.to_json();
        if !calls.is_empty() && is_written {
            let mut content = message.content.clone();
            content.push_text(&dialect.write(calls, *made));
            json["content"] = content.to_template();
        } else if !calls.is_empty() {
            let call = |call: &ToolCall| {
                let arguments = match self.form {
                    CallForm::Objects => call.arguments.to_template(),
                    _ => Value::String(call.arguments.as_str().to_owned()),
                };
                let mut json = json!({"type": "function", "function": {"name": call.name, "arguments": arguments}});
                if let Some(id) = &call.id {
                    json["id"] = Value::String(id.clone());
                }
                json
            };
            json["tool_calls"] = calls.iter().map(call).collect();
            if self.form == CallForm::TextAlone {
                json["content"] = Value::Null;
            }
        }
        *made += calls.len();
        json
    }
}

/// Adds the ids and tool names that tie results to calls.
fn linked(messages: &[Message]) -> Vec<Message> {
    let mut open: Vec<&ToolCall> = Vec::new();
    let mut all = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let mut message = message.clone();
        if message.role == Role::Tool {
            let place = match (&message.tool_call_id, &message.name) {
                (Some(id), _) => open.iter().position(|call| call.id.as_ref() == Some(id)),
                (None, Some(name)) => open.iter().position(|call| call.name == *name),
                (None, None) => (!open.is_empty()).then_some(0),
            };
            let before = messages.get(..index).into_iter().flatten().rev().flat_map(|message| &message.tool_calls);
            let earlier = |id: &String| before.into_iter().find(|call| call.id.as_ref() == Some(id));
            let call = match place {
                Some(place) => Some(open.remove(place)),
                None => message.tool_call_id.as_ref().and_then(earlier),
            };
            if let Some(call) = call {
                message.name.get_or_insert_with(|| call.name.clone());
                message.tool_call_id = message.tool_call_id.or_else(|| call.id.clone());
            }
        } else if !message.tool_calls.is_empty() {
            open = messages[index].tool_calls.iter().collect();
        }
        all.push(message);
    }
    all
}

/// Splits messages so that each has one call, followed by its result.
fn separated(messages: Vec<Message>) -> Vec<Message> {
    let mut all = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter().peekable();
    while let Some(mut message) = messages.next() {
        if message.tool_calls.len() < 2 {
            all.push(message);
            continue;
        }
        let mut results: Vec<Message> = Vec::new();
        while let Some(result) = messages.next_if(|message| message.role == Role::Tool) {
            results.push(result);
        }
        for call in std::mem::take(&mut message.tool_calls) {
            let is_result = |result: &Message| match (&call.id, &result.tool_call_id) {
                (Some(id), Some(of)) => id == of,
                _ => result.name.as_ref() == Some(&call.name),
            };
            let result = results.iter().position(is_result).map(|place| results.remove(place));
            let next = Message::assistant("");
            all.push(std::mem::replace(&mut message, next).with_tool_calls([call]));
            all.extend(result);
        }
        all.append(&mut results);
    }
    all
}

/// Turns results into messages of the user.
fn told(messages: Vec<Message>) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::with_capacity(messages.len());
    for mut message in messages {
        if message.role == Role::Tool {
            let name = message.name.as_deref().unwrap_or("the tool");
            let mut content = Content::from(format!("Result of {name}:\n"));
            content.append(&message.content);
            message = Message::user(content);
        }
        match all.last_mut() {
            Some(last) if last.role == Role::User && message.role == Role::User => {
                last.content.push_text("\n\n");
                last.content.append(&message.content);
            }
            _ => all.push(message),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(form: CallForm) -> CallHistory {
        CallHistory { form, ..CallHistory::default() }
    }

    #[test]
    fn messages_are_as_the_template_takes_them() {
        let call = |n: u32| ToolCall::new("add", json!({"a": n}));
        let messages = [
            Message::assistant("").with_tool_calls([call(1), call(2)]),
            Message { name: Some("add".into()), ..Message::new(Role::Tool, "1") },
            Message::assistant("So.").with_tool_calls([call(3)]),
        ];
        let plain: Vec<Value> = messages.iter().map(Message::to_json).collect();
        let shown = |form: CallForm| history(form).messages(Dialect::KimiK2, &messages);
        assert_eq!(shown(CallForm::Objects), plain);
        let text = shown(CallForm::Text);
        assert_eq!(text[0]["tool_calls"][1]["function"], json!({"name": "add", "arguments": "{\"a\":2}"}));
        assert_eq!((&text[0]["content"], &text[1], &text[2]["content"]), (&json!(""), &plain[1], &json!("So.")));
        let alone = shown(CallForm::TextAlone);
        assert_eq!((&alone[0]["content"], &alone[0]["tool_calls"]), (&Value::Null, &text[0]["tool_calls"]));
        let content = shown(CallForm::Content);
        let third = "So.<|tool_calls_section_begin|><|tool_call_begin|>functions.add:2<|tool_call_argument_begin|>{\"a\":3}<|tool_call_end|><|tool_calls_section_end|>";
        assert_eq!(content[2], json!({"role": "assistant", "content": third}));
        assert_eq!(alone[2], content[2], "the template would leave the call out");
        assert_eq!(content[0]["content"].as_str().unwrap().matches("functions.add:").count(), 2);
    }

    #[test]
    fn what_a_template_takes_is_found_by_rendering() {
        assert_eq!(CallHistory::of(Dialect::Hermes, |_| None), None);
        let all = |messages: &[Value]| Some(json!(messages).to_string());
        assert_eq!(CallHistory::of(Dialect::Hermes, all), Some(CallHistory::default()));
        let text =
            |messages: &[Value]| messages[1]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned);
        assert_eq!(CallHistory::of(Dialect::Hermes, text), Some(history(CallForm::Text)));
        let is_single = |message: &Value| message["tool_calls"].as_array().is_none_or(|calls| calls.len() == 1);
        let refused = |messages: &[Value]| messages.iter().all(is_single).then(|| json!(messages).to_string());
        let single = Some(CallHistory { single: true, ..CallHistory::default() });
        assert_eq!(CallHistory::of(Dialect::Llama3, refused), single);
        let first = |messages: &[Value]| {
            Some(messages.iter().map(|m| [&m["tool_calls"][0], &m["content"]].map(Value::to_string).concat()).collect())
        };
        assert_eq!(CallHistory::of(Dialect::Llama3, first), single);
        let spoken = |messages: &[Value]| {
            let roles: Vec<&str> = messages.iter().filter_map(|m| m["role"].as_str()).collect();
            let alternate =
                roles.iter().zip(["user", "assistant"].iter().cycle()).all(|(role, expected)| role == expected);
            alternate.then(|| messages.iter().filter_map(|m| m["content"].as_str()).collect())
        };
        let found = CallHistory::of(Dialect::Json, spoken).unwrap();
        assert_eq!(found, CallHistory { plain_results: true, ..history(CallForm::Content) });
        let call = ToolCall::new("now", json!({})).with_id("1");
        let messages =
            [Message::assistant("").with_tool_calls([call]), Message::tool("1", "noon"), Message::user("So?")];
        let shown = found.messages(Dialect::Json, &messages);
        assert_eq!(shown[1], json!({"role": "user", "content": "Result of now:\nnoon\n\nSo?"}));
    }

    #[test]
    fn results_are_tied_to_their_calls() {
        let call = |name: &str, id: &str| ToolCall::new(name, json!({})).with_id(id);
        let old = |name: &str, text: &str| Message { name: Some(name.into()), ..Message::new(Role::Tool, text) };
        let messages = [
            Message::assistant("So.").with_tool_calls([call("add", "1"), call("now", "2"), call("add", "3")]),
            Message::tool("3", "c"),
            Message::tool("2", "b"),
            old("add", "a"),
            Message::tool("7", "d"),
            Message::user("?"),
            Message::tool("2", "e"),
        ];
        let ties = |messages: &[Value]| -> Vec<String> {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let tie = |m: &Value| {
                let call = &m["tool_calls"][0]["id"];
                [text(&m["content"]), text(if call.is_null() { &m["tool_call_id"] } else { call }), text(&m["name"])]
                    .join(" ")
            };
            messages.iter().map(tie).collect()
        };
        let together = CallHistory::default().messages(Dialect::Hermes, &messages);
        assert_eq!(ties(&together)[1..], ["c 3 add", "b 2 now", "a 1 add", "d 7 -", "? - -", "e 2 now"]);
        let single = CallHistory { single: true, ..CallHistory::default() }.messages(Dialect::Hermes, &messages);
        let expected = ["So. 1 -", "a 1 add", " 2 -", "b 2 now", " 3 -", "c 3 add", "d 7 -", "? - -", "e 2 now"];
        assert_eq!(ties(&single), expected);
    }

    #[test]
    fn numbers_reach_templates_as_they_are() {
        let call = |text: &str| {
            Message::assistant("").with_tool_calls([ToolCall::new("f", text.parse::<crate::CallArguments>().unwrap())])
        };
        let arguments = |text: &str| {
            let json = CallHistory::default().messages(Dialect::Hermes, &[call(text)]);
            json[0]["tool_calls"][0]["function"]["arguments"].clone()
        };
        assert_eq!(arguments("{\"a\": 1.10}"), json!({"a": 1.1}));
        let wide = "{\"a\": 123456789012345678901234567890}";
        assert_eq!(arguments(wide), json!({"a": {"$serde_json::private::RawValue": "123456789012345678901234567890"}}));
        let text = history(CallForm::Content)
            .messages(Dialect::Lfm2, &[call("{\"a\": [1.10, 123456789012345678901234567890]}")]);
        assert_eq!(
            text[0]["content"],
            "<|tool_call_start|>[f(a=[1.10, 123456789012345678901234567890])]<|tool_call_end|>"
        );
    }
}
