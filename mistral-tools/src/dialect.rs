//! Dialects: how models write reasoning, text and calls of tools, and how that is read while it is generated.

mod delta;
mod message;

pub use delta::Delta;
pub use message::{Message, ParsedCall, Part};
