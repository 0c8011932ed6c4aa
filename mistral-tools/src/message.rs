//! A message of a conversation, in the shape that chat templates and OpenAI's API share.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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

/// A call of a tool by the model. In JSON it has OpenAI's shape, `{"id", "type": "function", "function": {"name", "arguments"}}`, with
/// arguments as an object, as chat templates want them; arguments that are JSON in a string are read as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Call", into = "Call")]
pub struct ToolCall {
    /// Ties the result to the call; templates that need none get none.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Its arguments, an object. Its numbers are those of [`serde_json`]: whole ones beyond 64 bits become the nearest float, and floats are
    /// spelled anew. A tool never reads them here: it gets the bytes that the model wrote.
    pub arguments: Value,
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
    /// What is said; empty beside calls of tools. (Templates cope with an empty text better than with none.)
    #[serde(default, deserialize_with = "null_is_empty")]
    pub content: String,
    /// What the model thought before, where the template shows it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that the model made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// For [`Role::Tool`]: the call that this is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// For [`Role::Tool`]: the tool; otherwise the speaker's name, which few templates show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A message of text.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let content = content.into();
        Self { role, content, reasoning_content: None, tool_calls: Vec::new(), tool_call_id: None, name: None }
    }

    /// A message that sets the scene.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A message of the human.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the tool `name`.
    pub fn tool(name: impl Into<String>, result: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::new(Role::Tool, result) }
    }

    /// The same message with calls of tools.
    pub fn with_tool_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self
    }

    /// What chat templates read: keys without a value are absent.
    pub fn to_json(&self) -> Value {
        // Strings, lists and JSON values have no way to fail.
        serde_json::to_value(self).unwrap_or_default()
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
    arguments: Value,
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
        let object = arguments.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        Self { id: call.id, name, arguments: object.filter(Value::is_object).unwrap_or(arguments) }
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_has_the_shape_of_templates_and_reads_back() {
        let call = ToolCall { id: Some("c1".into()), name: "add".into(), arguments: json!({"a": 1}) };
        let message = Message::assistant("").with_tool_calls([call]);
        let json = json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]});
        assert_eq!(message.to_json(), json);
        assert_eq!(serde_json::from_value::<Message>(json).unwrap(), message);
        assert_eq!(Message::tool("add", "2").to_json(), json!({"role": "tool", "content": "2", "name": "add"}));
    }

    #[test]
    fn openai_json_is_read() {
        let read = |json| serde_json::from_value::<Message>(json).unwrap();
        assert_eq!(read(json!({"role": "user", "content": "hi"})), Message::user("hi"));
        let call = json!({"function": {"name": "add", "arguments": "{\"a\": 1}"}});
        let message = read(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        assert_eq!((message.content.as_str(), &message.tool_calls[0].arguments), ("", &json!({"a": 1})));
        let odd =
            read(json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "no json"}}]}));
        assert_eq!(odd.tool_calls[0].arguments, json!("no json"), "kept as it is");
        assert!(serde_json::from_value::<Message>(json!({"role": "nobody", "content": ""})).is_err());
    }
}
