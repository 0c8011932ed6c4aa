//! Tools that a language model may call: described, registered, called, watched. No model and no runtime is needed in the process.
//!
//! ```
//! use mistral_tools::{Invocation, Reply, SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Numbers {
//!     a: i64,
//!     b: i64,
//! }
//!
//! let multiply = ToolBuilder::named("multiply")
//!     .description("Multiplies two numbers")
//!     .request_schema::<Numbers>(SchemaType::Serde)
//!     .result_schema::<i64>(SchemaType::Serde)
//!     .on_invocation(|conversation, emitter, Numbers { a, b }, ()| {
//!         a.checked_mul(b).ok_or(ToolError::handler("the product is too large"))
//!     })
//!     .build()?;
//!
//! let registry = ToolRegistry::new();
//! let mut batch = ToolBatch::new();
//! batch.add(multiply);
//! registry.publish(batch)?;
//!
//! let specs = registry.specs(); // what the model is told; chat templates render it into the prompt
//! assert_eq!(specs[0].parameters()["required"], serde_json::json!(["a", "b"]));
//!
//! let mut reply = Reply::new(); // what the model reads, in memory that is kept from call to call
//! let outcome = registry.call("multiply", &Invocation::default(), br#"{"a": 37, "b": 43}"#, &mut reply);
//! assert!(outcome.is_success()); // what the host sees
//! assert_eq!(reply.as_str(), "1591");
//! # Ok::<(), mistral_tools::Error>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | make a tool | [`ToolBuilder`]; [`StaticTool`] for constants; [`Tool`] for tools found at run time |
//! | keep tools | [`ToolRegistry`], published in batches; [`StaticToolRegistry`], sorted by the compiler |
//! | call one, or all of a turn | [`ToolRegistry::call`] and [`ToolRegistry::call_async`]; [`Turn`] |
//! | see the conversation, hand out chunks, be cancelled | [`Conversation`], [`ChunkEmitter`], [`CancellationToken`] |
//! | make the chunks the result | [`Resulting::on_stream`], [`Streamed`] |
//! | step in | [`ChainControl`] and the hooks of [`Callable`]; [`ToolRegistry::with_gate`]; [`PausedCall`] |
//! | live with failures | [`ToolPolicy`]: timeouts, retries, circuit breakers, fallbacks; [`ToolObserver`], [`ToolStatistics`] |
//! | read calls out of a model's text | [`dialect`] |
//!
//! # Cost
//! A call through a registry of a synchronous tool takes well under a microsecond beside the tool's own work and allocates nothing,
//! errors included: arguments are [borrowed](BorrowedArguments) from the model's bytes, and the result goes to a reused [`Reply`]. A test
//! counts allocations over a million calls. Exceptions: `String` fields and other owned arguments are the tool's own; an asynchronous
//! function costs the allocation of its future; a retry that sleeps, a limit of time for a synchronous function, a call that waits
//! under a token, and a pause for approval allocate a little each; the first call of a tool makes its latency histogram.
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
mod call_arguments;
mod cancel;
mod chain;
mod chunk;
mod conversation;
mod counter;
pub mod dialect;
mod emitter;
mod error;
mod histogram;
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
mod statistics;
mod streamed;
mod sync;
mod time;
mod tool;
mod tool_error;
mod turn;
mod typed_tool;

pub use approval::{Approval, PausedCall};
pub use arguments::{Arguments, Borrowed, BorrowedArguments};
pub use builder::{Callable, Dependent, Described, Requested, Resulting, ToolBuilder};
pub use call_arguments::CallArguments;
pub use cancel::{CancellationToken, Cancelled};
pub use chain::{ChainControl, ErrorFlow, IntoResultFlow, OnError, OnRequest, OnResult, RequestFlow, ResultFlow};
pub use chunk::{Chunk, ChunkEmitter};
pub use conversation::{Conversation, Execution};
pub use counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot};
pub use emitter::{Chunks, Emit, EmitError, Emitter, NoChunk, WhenFull};
pub use error::Error;
pub use histogram::{LatencyHistogram, LatencySnapshot};
pub use invoke::{AsyncFunction, Asynchronous, Blocking, Invoke, Streaming};
pub use json::ArgumentError;
pub use kinds::ErrorKinds;
pub use message::{Message, Role, ToolCall};
pub use outcome::{ErrorKind, Outcome, Text};
pub use park::block_on;
pub use registered_tool::{Gate, RegisteredTool, ToolObserver, ToolPolicy};
pub use registry::{ToolBatch, ToolRegistry, UnknownTool};
pub use reply::Reply;
pub use resilience::{
    BreakerPolicy, BreakerState, CancelAt, CircuitBreaker, Elapsed, Fallback, GiveUp, Jitter, Observer, Permit,
    Rejected, ResilienceEvent, ResiliencePolicy, Retry, RetryDecision, RetryPolicy, Substitute, TimeoutPolicy,
    run_until, timeout_at,
};
pub use schema::{Parameter, Schema, SchemaSource, SchemaType, StaticSchema};
pub use spec::ToolSpec;
pub use static_tool::{StaticEntry, StaticFunction, StaticTool, StaticToolRegistry};
pub use statistics::ToolStatistics;
pub use streamed::Streamed;
pub use time::{Clock, ManualClock, Moment, Sleep, SystemClock, Timer};
pub use tool::{CallFuture, Invocation, Tool};
pub use tool_error::{OrToolError, ToolError};
pub use turn::{Answer, Call, OnAnswer, Turn};
pub use typed_tool::TypedTool;
