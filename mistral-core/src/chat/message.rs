//! A message of a conversation, in the shape that chat templates and OpenAI's API share.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Ties the result to the call; templates that need none get none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: Value,
}

/// One message. [`Request::chat`](crate::Request::chat) takes a list of them.
///
/// ```
/// use mistral_core::Message;
/// let messages = [Message::system("Be brief."), Message::user("What is a tensor?")];
/// assert_eq!(messages[1].content, "What is a tensor?");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    #[serde(default)]
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

    /// What chat templates read: keys without a value are absent, calls have OpenAI's shape with arguments as an object.
    pub fn to_json(&self) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), json!(self.role));
        message.insert("content".into(), json!(self.content));
        let optional = [
            ("reasoning_content", &self.reasoning_content),
            ("tool_call_id", &self.tool_call_id),
            ("name", &self.name),
        ];
        for (key, value) in optional.into_iter().filter_map(|(key, value)| value.as_ref().map(|v| (key, v))) {
            message.insert(key.into(), json!(value));
        }
        if !self.tool_calls.is_empty() {
            message.insert("tool_calls".into(), self.tool_calls.iter().map(ToolCall::to_json).collect());
        }
        Value::Object(message)
    }
}

impl ToolCall {
    fn to_json(&self) -> Value {
        let mut call = Map::new();
        if let Some(id) = &self.id {
            call.insert("id".into(), json!(id));
        }
        call.insert("type".into(), json!("function"));
        call.insert("function".into(), json!({"name": self.name, "arguments": self.arguments}));
        Value::Object(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_shape_of_templates() {
        let call = ToolCall { id: Some("c1".into()), name: "add".into(), arguments: json!({"a": 1}) };
        let message = Message::assistant("").with_tool_calls([call]);
        assert_eq!(
            message.to_json(),
            json!({"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]})
        );
        assert_eq!(Message::tool("add", "2").to_json(), json!({"role": "tool", "content": "2", "name": "add"}));
        let back: Message = serde_json::from_value(json!({"role": "user", "content": "hi"})).unwrap();
        assert_eq!(back, Message::user("hi"));
    }
}
