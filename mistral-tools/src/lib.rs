//! Tools that a language model may call: specifications shared by templates, parsers and the engine.
//!
//! [`ToolSpec`] is what a model is told about a tool; chat templates render it into the prompt.
//!
//! # Features
//! - `builtin`, off by default: the tools of the module `builtin`, a calculator, a clock, and reading of files and directories
//!   within granted directories. It adds fend-core for arithmetic, cap-std for paths that stay where they belong, and infer,
//!   encoding_rs and chardetng to tell text from the rest: 23 crates on Linux, pure Rust, without a runtime and a network.
#![forbid(unsafe_code)]

mod approval;
mod arguments;
mod builder;
#[cfg(feature = "builtin")]
pub mod builtin;
mod cancel;
mod chain;
mod chunk;
mod conversation;
mod counter;
pub mod dialect;
mod emitter;
mod error;
mod invoke;
mod json;
mod kinds;
mod message;
mod outcome;
mod park;
mod registered_tool;
mod registry;
mod reply;
mod resilience;
mod schema;
mod spec;
mod static_tool;
mod sync;
mod time;
mod tool;
mod tool_error;
mod turn;
mod typed_tool;

pub use approval::{Approval, PausedCall};
pub use arguments::{Arguments, Borrowed, BorrowedArguments};
pub use builder::{Callable, Dependent, Described, Requested, Resulting, ToolBuilder};
pub use cancel::{CancellationToken, Cancelled};
pub use chain::{ChainControl, ErrorFlow, IntoResultFlow, OnError, OnRequest, OnResult, RequestFlow, ResultFlow};
pub use chunk::{Chunk, ChunkEmitter};
pub use conversation::{Conversation, Execution};
pub use counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot};
pub use emitter::{Chunks, Emit, EmitError, Emitter, NoChunk, WhenFull};
pub use error::Error;
pub use invoke::{AsyncFunction, Asynchronous, Blocking, Invoke};
pub use json::ArgumentError;
pub use kinds::ErrorKinds;
pub use message::{Message, Role, ToolCall};
pub use outcome::{ErrorKind, Outcome, Text};
pub use park::block_on;
pub use registered_tool::RegisteredTool;
pub use registry::{ToolBatch, ToolRegistry, UnknownTool};
pub use reply::Reply;
pub use resilience::{BreakerPolicy, BreakerState, CircuitBreaker, Observer, Permit, Rejected, ResilienceEvent};
pub use schema::{Parameter, Schema, SchemaSource, SchemaType, StaticSchema};
pub use spec::ToolSpec;
pub use static_tool::{StaticEntry, StaticFunction, StaticTool, StaticToolRegistry};
pub use time::{Clock, ManualClock, Moment, Sleep, SystemClock, Timer};
pub use tool::{CallFuture, Invocation, Tool};
pub use tool_error::ToolError;
pub use turn::{Answer, Call, OnAnswer, Turn};
pub use typed_tool::TypedTool;
