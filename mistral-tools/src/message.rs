//! A message of a conversation, in the shape that chat templates and OpenAI's API share.

mod base64;
pub(crate) mod call_arguments;
pub(crate) mod content;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{call_arguments::CallArguments, content::Content};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Sets the scene.
    System,
    /// Like system, for models that tell the two apart.
    Developer,
    /// The human.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
}

impl Role {
    /// Returns the name of the role in JSON, such as `user`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A call of a tool by the model. In JSON it has OpenAI's shape, `{"id", "type": "function", "function": {"name", "arguments"}}`. The
/// arguments are an object, as chat templates want them. An object in a string is also accepted. Arguments that are absent, null or an
/// empty string are read as no arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Call", into = "Call")]
pub struct ToolCall {
    /// Ties the result to the call; templates that need none get none.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them: a JSON object.
    pub arguments: CallArguments,
}

impl ToolCall {
    /// Makes a call without an id. Arguments can be a [`Value`].
    ///
    /// ```
    /// let call = mistral_tools::ToolCall::new("clock", serde_json::json!({"city": "Oslo"}));
    /// assert_eq!(call.arguments.as_str(), r#"{"city":"Oslo"}"#);
    /// ```
    pub fn new(name: impl Into<String>, arguments: impl Into<CallArguments>) -> Self {
        Self { id: None, name: name.into(), arguments: arguments.into() }
    }

    /// Sets the id of the call.
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }
}

/// One message of a conversation.
///
/// ```
/// use mistral_tools::Message;
/// let messages = [Message::system("Be brief."), Message::user("What is a tensor?")];
/// assert_eq!(messages[1].content, "What is a tensor?");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said: text, or a list of parts. Often empty next to calls of tools.
    #[serde(default)]
    pub content: Content,
    /// What the model thought before, where the template shows it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that the model made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// For [`Role::Tool`]: the call that this is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool's name for [`Role::Tool`]; if absent, it is looked up by the call's id. For other roles, the speaker's name, which few
    /// templates show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// Makes a message from a text, or from a [`Content`].
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        let content = content.into();
        Self { role, content, reasoning_content: None, tool_calls: Vec::new(), tool_call_id: None, name: None }
    }

    /// A message that sets the scene.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// A message of the human.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer of the model.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Makes the message for the result of the call with this id. The tool's name, which some templates show, is looked up among the
    /// earlier calls when the conversation is rendered.
    pub fn tool(call_id: impl Into<String>, result: impl Into<Content>) -> Self {
        Self { tool_call_id: Some(call_id.into()), ..Self::new(Role::Tool, result) }
    }

    /// The same message with calls of tools.
    pub fn with_tool_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self
    }

    /// Returns the message as the JSON that chat templates read. Keys without a value are absent. The
    /// content is as [`Content::to_template`] returns it.
    pub fn to_json(&self) -> Value {
        // Strings, lists and JSON values have no way to fail.
        let mut json = serde_json::to_value(Self { content: Content::new(), ..self.clone() }).unwrap_or_default();
        json["content"] = self.content.to_template();
        json
    }
}

/// The JSON of a [`ToolCall`].
#[derive(Serialize, Deserialize)]
struct Call {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", default = "function")]
    kind: String,
    function: Function,
}

#[derive(Serialize, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: CallArguments,
}

fn function() -> String {
    "function".into()
}

impl From<ToolCall> for Call {
    fn from(call: ToolCall) -> Self {
        let ToolCall { id, name, arguments } = call;
        Self { id, kind: function(), function: Function { name, arguments } }
    }
}

impl From<Call> for ToolCall {
    fn from(call: Call) -> Self {
        let Function { name, arguments } = call.function;
        let written = match arguments.as_str() {
            "null" | "\"\"" => Some(CallArguments::default()),
            text => serde_json::from_str::<String>(text).ok().and_then(|text| text.parse().ok()),
        };
        Self { id: call.id, name, arguments: written.filter(CallArguments::is_object).unwrap_or(arguments) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_has_the_shape_of_templates_and_reads_back() {
        let call = ToolCall::new("add", json!({"a": 1})).with_id("c1");
        let message = Message::assistant("").with_tool_calls([call]);
        let json = json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]});
        assert_eq!(message.to_json(), json);
        assert_eq!(serde_json::from_value::<Message>(json).unwrap(), message);
        assert_eq!(Message::tool("c1", "2").to_json(), json!({"role": "tool", "content": "2", "tool_call_id": "c1"}));
    }

    #[test]
    fn stored_messages_keep_the_text_of_arguments() {
        let text = r#"{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"b" : 1.10,"a":123456789012345678901234567890}}}]}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        let written = text.replace(
            r#"{"b" : 1.10,"a":123456789012345678901234567890}"#,
            r#""{\"b\" : 1.10,\"a\":123456789012345678901234567890}""#,
        );
        assert_eq!(serde_json::from_str::<Message>(&written).unwrap(), message);
        // Results that were stored before had the tool's name and no id.
        let old: Message = serde_json::from_str(r#"{"role":"tool","content":"2","name":"add"}"#).unwrap();
        assert_eq!((old.name.as_deref(), old.tool_call_id), (Some("add"), None));
    }

    #[test]
    fn openai_json_is_read() {
        let read = |json| serde_json::from_value::<Message>(json).unwrap();
        assert_eq!(read(json!({"role": "user", "content": "hi"})), Message::user("hi"));
        let call = json!({"function": {"name": "add", "arguments": "{\"a\": 1}"}});
        let message = read(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        assert_eq!((message.content.text().as_ref(), message.tool_calls[0].arguments.as_str()), ("", "{\"a\": 1}"));
        let odd =
            read(json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "no json"}}]}));
        assert_eq!(odd.tool_calls[0].arguments, json!("no json").into(), "kept as it is");
        for none in
            [json!({"name": "f"}), json!({"name": "f", "arguments": null}), json!({"name": "f", "arguments": ""})]
        {
            let message = read(json!({"role": "assistant", "tool_calls": [{"function": none}]}));
            assert_eq!(message.tool_calls[0].arguments, CallArguments::default());
        }
        assert!(serde_json::from_value::<Message>(json!({"role": "nobody", "content": ""})).is_err());
    }
}
