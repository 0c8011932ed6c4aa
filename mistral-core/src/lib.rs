//! Language models inside a Rust program.
//!
//! ```
//! use mistral_core::{Message, Model, Request};
//!
//! let model = Model::embedded()?; // or Model::open("qwen3-0.6b-q4_k_m.gguf")?
//!
//! // Text, piece by piece as it is made. The same value is a `futures_core::Stream`, for any executor or none.
//! for piece in model.generate(Request::new("Once upon a time").max_tokens(40))? {
//!     print!("{}", piece?);
//! }
//!
//! // A whole answer to a chat, with sampling.
//! let request = Request::chat([Message::user("Hello! Who are you?")]).temperature(0.7).top_p(0.9).seed(1).max_tokens(40);
//! let answer = model.generate(request)?.complete()?;
//! println!("{} ({:?}, {} tokens)", answer.text, answer.reason, answer.usage.generated_tokens);
//! # Ok::<(), mistral_core::Error>(())
//! ```
//!
//! [`Model`] is a handle over a worker thread: clone it, call it from any thread, drop a [`Generation`] to cancel it.
//! [`Agent`] lets a model call tools, under instructions (a system prompt) and bounds; [`ChatSession`] keeps a conversation.
//! [`Engine`] is the state machine underneath, for programs that own their loop. [`Request`] says what to generate and how,
//! [`ModelBuilder`] how to load. No async runtime is needed and none is started; nothing is downloaded.
//!
//! How it works and what it promises: [`manual`].
//!
//! # Features
//! All are off by default.
//! - `builtin`: the tools of `tools::builtin`, a calculator, a clock, and reading of files within granted directories.
//! - `dynamic`: `tools::DynamicTool`, for tools found at run time, as from an MCP server, and arguments held against their schema.
//! - `hub`: download of checkpoints by id from the Hugging Face hub.
//!
//! Tools of one's own need `serde` with its feature `derive`, and `schemars` 1 or the re-export `tools::schemars`.
#![deny(unsafe_code)]

pub mod agent;
mod block_pool;
pub mod builder;
mod cache_pools;
pub mod constraint;
mod context;
mod decoder;
mod device;
mod engine;
mod error;
mod event;
mod feed;
mod forward;
pub mod generation;
pub mod manual;
mod memory;
mod metrics;
mod model;
mod options;
mod prepared;
mod prompt;
mod request;
pub mod sample;
mod scheduler;
mod sequence;
pub mod session;
mod shape;
mod stop;
#[cfg(test)]
mod testing;
mod text;
mod worker;

pub use agent::{Agent, AgentAnswer, AgentEvent, AgentLimits, AgentRun, ToolChoice};
pub use builder::{ModelBuilder, ModelSource};
pub use context::ContextWarning;
pub use decoder::embedded;
pub use device::Device;
pub use engine::{Engine, EngineStep};
pub use error::Error;
pub use event::{Event, EventKind, FinishReason, TextPiece, Usage};
pub use generation::{Completion, Generation};
pub use memory::setting::MemorySetting;
pub use metrics::Metrics;
pub use model::Model;
pub use prompt::Prompt;
pub use request::{Request, SequenceId};
pub use sample::Sampling;
pub use session::ChatSession;

pub use mistral_tools::{Message, Role, ToolCall};

pub use mistral_models as models;
pub use mistral_quant as quant;
pub use mistral_tools as tools;
