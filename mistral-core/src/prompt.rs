//! What is to be continued.

use mistral_tools::{Message, ToolSpec};
use serde_json::{Map, Value};

/// What is to be continued.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prompt {
    /// Plain text. BOS is added where the model expects it; control tokens spelled in the text stay text.
    Text(String),
    /// Token ids, taken as they are.
    Tokens(Vec<u32>),
    /// Messages, rendered by the chat template of the checkpoint with its generation prompt.
    Chat {
        /// The conversation so far.
        messages: Vec<Message>,
        /// Tools that the model may call.
        tools: Vec<ToolSpec>,
        /// What the template may ask for beside them, such as `enable_thinking` of Qwen 3.
        variables: Map<String, Value>,
    },
}
