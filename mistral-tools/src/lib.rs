//! Tools that a language model may call: specifications shared by templates, parsers and the engine.
//!
//! [`ToolSpec`] is what a model is told about a tool; chat templates render it into the prompt.
#![forbid(unsafe_code)]

mod approval;
mod conversation;
mod error;
mod message;
mod outcome;
mod reply;
mod spec;
mod tool;
mod tool_error;

pub use approval::{Approval, PausedCall};
pub use conversation::{Conversation, Execution};
pub use error::Error;
pub use message::{Message, Role, ToolCall};
pub use outcome::{ErrorKind, Outcome, Text};
pub use reply::Reply;
pub use spec::ToolSpec;
pub use tool::{CallFuture, Invocation, Tool};
pub use tool_error::ToolError;
