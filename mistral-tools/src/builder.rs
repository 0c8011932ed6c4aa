//! The steps, functions, arguments and schemas from which tools are made.
//!
//! [`ToolBuilder`](crate::ToolBuilder), [`FunctionTool`](crate::FunctionTool) and [`StaticTool`](crate::StaticTool) make tools; their docs
//! show how. A host seldom names the types of this module. They appear in signatures:
//!
//! | for | see |
//! |---|---|
//! | the steps of a builder, in their order | [`Described`], [`Dependent`], [`Requested`], [`Resulting`], [`Callable`] |
//! | the tools that builders make | [`TypedTool`], [`ToolFunction`] |
//! | a function of a tool | [`Invoke`], [`Blocking`], [`Asynchronous`], [`AsyncFunction`], [`Streaming`], [`StaticFunction`] |
//! | the arguments of a function, and errors in them | [`Arguments`], [`Borrowed`], [`BorrowedArguments`], [`ArgumentError`] |
//! | a schema | [`Schema`], [`SchemaSource`], [`StaticSchema`] |
//! | a tool of a constant registry | [`StaticEntry`] |

pub(crate) mod arguments;
#[cfg(feature = "dynamic")]
pub(crate) mod dynamic_tool;
pub(crate) mod function_tool;
pub(crate) mod invoke;
pub(crate) mod schema;
pub(crate) mod static_tool;
pub(crate) mod steps;
pub(crate) mod typed_tool;
#[cfg(feature = "dynamic")]
pub(crate) mod validation;
#[cfg(not(feature = "dynamic"))]
#[path = "builder/validation_off.rs"]
pub(crate) mod validation;

pub use crate::json::ArgumentError;
pub use arguments::{Arguments, Borrowed, BorrowedArguments};
pub use function_tool::ToolFunction;
pub use invoke::{AsyncFunction, Asynchronous, Blocking, Invoke, Streaming};
pub use schema::{Schema, SchemaSource, StaticSchema};
pub use static_tool::{StaticEntry, StaticFunction};
pub use steps::{Callable, Dependent, Described, Requested, Resulting};
pub use typed_tool::TypedTool;
