//! Tools that a language model may call: specifications shared by templates, parsers and the engine.
//!
//! [`ToolSpec`] is what a model is told about a tool; chat templates render it into the prompt.
#![forbid(unsafe_code)]

pub mod dialect;
mod error;
mod outcome;
mod spec;

pub use error::Error;
pub use outcome::ErrorKind;
pub use spec::ToolSpec;
