//! Tools that a language model may call: described, registered, called and observed. The process needs neither a model nor an async
//! runtime.
//!
//! ```
//! use mistral_tools::{FunctionTool, Invocation, Reply, ToolRegistry};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Numbers {
//!     a: i64,
//!     b: i64,
//! }
//!
//! let multiply = FunctionTool::new("multiply", "Multiplies two numbers", |Numbers { a, b }: Numbers| {
//!     Ok(a.checked_mul(b).ok_or("the product is too large")?)
//! });
//! let registry = ToolRegistry::try_from([multiply])?;
//!
//! let specs = registry.specs(); // descriptions of the tools; chat templates render them into the prompt
//! assert_eq!(specs[0].parameters()["required"], serde_json::json!(["a", "b"]));
//!
//! let mut reply = Reply::new(); // what the model reads, in memory that is kept from call to call
//! let outcome = registry.call("multiply", &Invocation::default(), br#"{"a": 37, "b": 43}"#, &mut reply);
//! assert!(outcome.is_success()); // what the host sees
//! assert_eq!(reply.as_str(), "1591");
//! # Ok::<(), mistral_tools::Error>(())
//! ```
//!
//! A function returns `Ok(result)`. A string result reaches the model as text, everything else as JSON (structured output). `?` takes
//! every error: a string is for the model to read, a foreign error only for the host.
//!
//! The program needs `mistral-tools`, `serde` with its feature `derive`, and `schemars` 1. The re-export replaces `schemars` if each type
//! has an attribute: `#[derive(mistral_tools::schemars::JsonSchema)] #[schemars(crate = "mistral_tools::schemars")]`.
//!
//! | to | see |
//! |---|---|
//! | make a tool from a function | [`FunctionTool`], with a schema from its types |
//! | make a tool with hooks, a schema by hand, a streamed result, or arguments that borrow | [`ToolBuilder`] |
//! | make a tool that is a constant | [`StaticTool`] |
//! | take tools found at run time, as from an MCP server | `DynamicTool`, with the feature `dynamic`; [`Tool`] |
//! | keep tools | [`ToolRegistry`], published in batches; [`StaticToolRegistry`], sorted by the compiler |
//! | call one, or all of a turn | [`ToolRegistry::call`] and [`ToolRegistry::call_async`]; [`Turn`] |
//! | reach values of the run: the user, a database handle | [`Extensions`], lent to a [`Conversation`] |
//! | see the conversation, hand out chunks, be cancelled | [`Conversation`], [`ChunkEmitter`](stream::ChunkEmitter), [`CancellationToken`] |
//! | make the chunks the result | [`Resulting::on_stream`](builder::Resulting::on_stream), [`Streamed`](stream::Streamed) |
//! | put images and resources into messages and results | [`Content`], [`Reply::push`] |
//! | tell the tools of two servers apart, state what a tool may do | [`ToolBatch::namespace`], [`ToolAnnotations`] |
//! | intercept calls | [`hooks`] and [`Callable`](builder::Callable); [`ToolRegistry::with_gate`]; [`PausedCall`] |
//! | handle failures | [`ToolPolicy`] and [`resilience`]: timeouts, retries, circuit breakers, fallbacks; [`ToolObserver`], [`metrics`] |
//! | read calls out of a model's text | [`dialect`] |
//!
//! # Cost
//! A call of a synchronous tool through a registry adds well under a microsecond to the tool's own work. It allocates nothing, even for an
//! error: arguments are [borrowed](builder::BorrowedArguments) from the model's bytes, and the result goes to a reused [`Reply`]. A test counts
//! allocations over a million calls. Exceptions:
//! - `String` fields and other owned arguments allocate their own memory.
//! - An asynchronous function costs the allocation of its future and a clone of its closure's captures.
//! - A retry that sleeps, a time limit on a synchronous function, a call that waits under a token, and a pause for approval allocate a
//!   little each.
//! - A synchronous function that is called asynchronously under a time limit costs a thread and a copy of the conversation.
//! - Arguments that are checked against a schema (feature `dynamic`) are read twice.
//! - The first call of a tool makes its latency histogram.
//!
//! # Features
//! - `builtin`, off by default: the tools of the module `builtin`, namely a calculator, a clock, and tools that read files and directories
//!   within granted directories. It adds fend-core for arithmetic, cap-std to keep paths within the granted directories, and infer,
//!   encoding_rs and chardetng to tell text from binary files: 23 crates on Linux, pure Rust, without an async runtime or network code.
//! - `dynamic`, off by default: `DynamicTool` for tools found at run time, and a check of arguments against their schema before a function
//!   runs. Schemas given as text or as a value are checked in full. Schemas of types are checked if they have a keyword that serde does not
//!   check, such as `format` or `minLength`. It adds jsonschema without its default features: 47 crates, pure Rust, without an async
//!   runtime or network code. Without the feature, only the type that reads the arguments checks them.
#![forbid(unsafe_code)]

pub mod builder;
#[cfg(feature = "builtin")]
pub mod builtin;
mod conversation;
pub mod dialect;
mod error;
pub mod hooks;
mod json;
mod message;
pub mod metrics;
mod outcome;
mod registry;
pub mod resilience;
pub mod stream;
mod sync;
pub mod time;
mod tool;

#[cfg(feature = "dynamic")]
pub use builder::dynamic_tool::DynamicTool;
pub use builder::{
    function_tool::FunctionTool,
    schema::{Parameter, SchemaType},
    static_tool::{StaticTool, StaticToolRegistry},
    steps::ToolBuilder,
};
pub use conversation::{
    Conversation, Execution,
    cancel::{CancellationToken, Cancelled},
    extensions::Extensions,
};
pub use error::Error;
pub use json::text::Json;
pub use message::{
    Message, Role, ToolCall,
    call_arguments::CallArguments,
    content::{Content, ContentPart, Image, ImageSource, Resource, ResourceBody},
};
pub use outcome::{
    Outcome,
    kinds::ErrorKind,
    paused_call::PausedCall,
    reply::Reply,
    text::Text,
    tool_error::{OrToolError, ToolError},
};
pub use registry::{
    ToolBatch, ToolRegistry, UnknownTool,
    approval::Approval,
    policy::{ToolObserver, ToolPolicy},
    registered_tool::RegisteredTool,
    turn::{OnAnswer, Turn, TurnAnswer, TurnCall},
};
pub use sync::park::block_on;
pub use tool::{CallFuture, Invocation, Tool, annotations::ToolAnnotations, spec::ToolSpec};

pub use schemars;
pub use serde_json;
