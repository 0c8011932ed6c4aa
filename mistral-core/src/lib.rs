//! Language models inside a Rust program.
#![deny(unsafe_code)]

mod block_pool;
mod chat;
mod engine;
mod error;
mod event;
mod forward;
mod metrics;
mod request;
mod sample;
mod scheduler;
mod sequence;
mod stop;
#[cfg(test)]
mod testing;
mod text;

pub use chat::{Message, Role, ToolCall};
pub use engine::{Engine, Step};
pub use error::Error;
pub use event::{Event, EventKind, FinishReason, Piece, Usage};
pub use metrics::Metrics;
pub use request::{Prompt, Request, SequenceId};
pub use sample::{Logprobs, Sampling, TokenLogprob};
