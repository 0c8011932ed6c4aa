//! Conversations: messages and who said them.

mod message;

pub use message::{Message, Role, ToolCall};
