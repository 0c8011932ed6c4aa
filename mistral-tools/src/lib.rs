//! Tools that a language model may call: specifications shared by templates, parsers and the engine.
//!
//! [`ToolSpec`] is what a model is told about a tool; chat templates render it into the prompt.
#![forbid(unsafe_code)]

mod counter;
mod error;
mod kinds;
mod outcome;
mod spec;
mod sync;

pub use counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot};
pub use error::Error;
pub use kinds::ErrorKinds;
pub use outcome::ErrorKind;
pub use spec::ToolSpec;
