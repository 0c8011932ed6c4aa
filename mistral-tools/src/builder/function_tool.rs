//! The short path: a function, a name and a description make a tool.

use std::{borrow::Cow, fmt, future::Future, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    builder::{
        arguments::{Arguments, OwnedArguments},
        invoke::{Cloned, Invoke, sealed},
        schema::{SchemaSource, SchemaType},
        typed_tool::{Description, TypedTool},
    },
    conversation::Conversation,
    error::Error,
    outcome::{Outcome, reply::Reply, tool_error::ToolError},
    stream::chunk::ChunkEmitter,
    tool::{CallFuture, Invocation, Tool, annotations::ToolAnnotations, forward, spec::ToolSpec},
};

/// A tool made from a function. The schema of its arguments comes from their type, through `schemars`.
///
/// ```
/// use mistral_tools::{FunctionTool, Invocation, Reply, ToolRegistry};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Numbers {
///     /// The first factor.
///     a: i64,
///     /// The second factor.
///     b: i64,
/// }
///
/// let registry = ToolRegistry::new();
/// registry.add(FunctionTool::new("multiply", "Multiplies two numbers", |numbers: Numbers| Ok(numbers.a * numbers.b)))?;
///
/// let mut reply = Reply::new();
/// assert!(registry.call("multiply", &Invocation::default(), br#"{"a": 37, "b": 43}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), "1591");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
///
/// # Functions
/// Closures and named functions, synchronous or asynchronous, take the arguments alone, or the arguments and the [`Invocation`]. The
/// invocation holds the conversation and the values of the run, and emits chunks. A closure captures the values that all calls share.
/// `async move` closures are cloned for each call, so wrap shared values in an [`Arc`](std::sync::Arc).
///
/// ```
/// use std::sync::Arc;
/// use mistral_tools::{Extensions, FunctionTool, Invocation, Tool, ToolError};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct City { name: String }
/// # struct Client;
/// # impl Client { async fn degrees(&self, city: &str) -> std::io::Result<f32> { Ok(18.0) } }
/// struct User { name: String }
///
/// // Asynchronous, with a captured value. `?` takes any error.
/// let client = Arc::new(Client);
/// let weather = FunctionTool::new("weather", "Current weather in a city", async move |city: City| {
///     Ok(format!("{} degrees", client.degrees(&city.name).await?))
/// });
///
/// // With a value of the run. A string is an error that the model reads.
/// let greet = FunctionTool::new("greet", "Greets the user", |_: (), call: &Invocation<'_>| {
///     let user = call.get::<User>().ok_or("nobody is signed in")?;
///     Ok(format!("Hello, {}!", user.name))
/// });
///
/// // A named function.
/// fn length(text: String) -> Result<usize, ToolError> {
///     Ok(text.len())
/// }
/// let length = FunctionTool::new("length", "Counts the bytes of a text", length);
/// assert_eq!([&weather, &greet, &length].map(|tool| tool.name()), ["weather", "greet", "length"]);
/// ```
///
/// # What the compiler says
/// - "`client` does not live long enough", or "argument requires that `client` is borrowed for `'static`": the closure borrows what it
///   captures. Write `async move |..|`.
/// - "is not general enough", of an implementation of `Deserialize`: the arguments borrow, as `&str` does. Take `String`, or use
///   [`ToolBuilder`](crate::ToolBuilder) with [`Borrowed`](crate::builder::Borrowed).
/// - "is not a function of a tool", or "expected `ToolError`, found `..`": often, the function returns a foreign `Result` as it is. Write
///   `Ok(foreign()?)`.
/// - "`dyn Error` cannot be sent between threads": see [`ToolError`](crate::ToolError) for a plain `Box<dyn Error>`.
///
/// [`ToolBuilder`](crate::ToolBuilder) makes the tools that need more: hooks, schemas written by hand, a streamed result, arguments
/// that borrow. Tools whose schema is known only at run time are made by `DynamicTool`, with the feature `dynamic`.
pub struct FunctionTool {
    tool: Box<dyn Tool>,
    annotations: ToolAnnotations,
}

impl FunctionTool {
    /// Makes a tool from a function. [`ToolRegistry::add`](crate::ToolRegistry::add) refuses an empty name.
    pub fn new<M, F>(name: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        M: 'static,
        F: ToolFunction<M>,
        F::Arguments: OwnedArguments,
        SchemaType::Serde: SchemaSource<F::Arguments>,
        F::Result: Serialize,
    {
        let request = SchemaSource::<F::Arguments>::schema(SchemaType::Serde);
        let description = Description { name: name.into(), description: description.into(), request, result: None };
        let function = Function(function, PhantomData);
        let tool = Box::new(TypedTool::<F::Arguments, F::Result, (), _>::new(description, (), function));
        Self { tool, annotations: ToolAnnotations::new() }
    }

    /// States what the tool does to its surroundings; see [`ToolSpec::annotations`].
    #[must_use]
    pub fn with_annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = annotations;
        self
    }
}

/// Makes a tool from a function and a schema of any kind.
///
/// # Errors
/// The errors of [`TypedTool::checked`].
#[cfg(feature = "dynamic")]
pub(crate) fn erased<M, F>(description: Description, function: F) -> Result<Box<dyn Tool>, Error>
where
    M: 'static,
    F: ToolFunction<M>,
    F::Arguments: DeserializeOwned,
    F::Result: Serialize,
{
    let function = Function(function, PhantomData);
    Ok(Box::new(TypedTool::<F::Arguments, F::Result, (), _>::new(description, (), function).checked()?))
}

impl Tool for FunctionTool {
    forward!(|this| this.tool, this.annotations);
}

impl fmt::Debug for FunctionTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FunctionTool").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A function that can be a tool. Closures and named functions of four forms implement it:
///
/// | | arguments alone | with the invocation |
/// |---|---|---|
/// | synchronous | `\|a: A\| Ok(result)` | `\|a: A, call: &Invocation<'_>\| Ok(result)` |
/// | asynchronous | `async \|a: A\| Ok(result)` | `async \|a: A, call: &Invocation<'_>\| Ok(result)` |
///
/// The result is a `Result<R, ToolError>`: `Ok(result)` is enough, and `?` converts every error. The compiler infers `M`, which tells
/// the forms apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of a tool",
    label = "expected `|arguments: A| Ok(result)`, `|arguments: A, call: &Invocation<'_>| Ok(result)`, or one of them with `async`",
    note = "the function returns `Result<R, ToolError>`: end it with `Ok(result)`; `?` converts every error, so `Ok(other()?)` calls a function with another error",
    note = "the arguments are of one owned type, which is named: `|arguments: MyArguments|`; arguments that borrow need `ToolBuilder` and `Borrowed`",
    note = "captured values are moved into the closure (`move |..|`, `async move |..|`), and are `Send + Sync`; those of an `async` closure are cloned for each call: wrap them in `Arc`",
    note = "the future of an `async` function is `Send`: nothing like `Rc`, `RefCell` or a lock guard may be held across an `.await`"
)]
pub trait ToolFunction<M>: Send + Sync + 'static {
    /// The arguments that the function takes.
    type Arguments: Send + 'static;
    /// The value that the function returns in `Ok`.
    type Result: Send + 'static;
    /// Whether the function is synchronous.
    #[doc(hidden)]
    const BLOCKING: bool;

    /// Runs the function.
    #[doc(hidden)]
    fn run<'a>(
        &'a self,
        arguments: Self::Arguments,
        invocation: Invocation<'a>,
        _: sealed::Token,
    ) -> impl Future<Output = Result<Self::Result, ToolError>> + Send;
}

/// The form `|a: A|`.
#[doc(hidden)]
#[derive(Debug)]
pub enum Alone {}
/// The form `|a: A, call: &Invocation<'_>|`.
#[doc(hidden)]
#[derive(Debug)]
pub enum WithInvocation {}

impl<A, R, F> ToolFunction<(Alone, A, R)> for F
where
    A: Send + 'static,
    R: Send + 'static,
    F: Fn(A) -> Result<R, ToolError> + Send + Sync + 'static,
{
    type Arguments = A;
    type Result = R;
    const BLOCKING: bool = true;

    fn run<'a>(
        &'a self,
        arguments: A,
        _: Invocation<'a>,
        _: sealed::Token,
    ) -> impl Future<Output = Result<R, ToolError>> + Send {
        std::future::ready(self(arguments))
    }
}

impl<A, R, F> ToolFunction<(WithInvocation, A, R)> for F
where
    A: Send + 'static,
    R: Send + 'static,
    F: for<'a> Fn(A, &'a Invocation<'a>) -> Result<R, ToolError> + Send + Sync + 'static,
{
    type Arguments = A;
    type Result = R;
    const BLOCKING: bool = true;

    fn run<'a>(
        &'a self,
        arguments: A,
        invocation: Invocation<'a>,
        _: sealed::Token,
    ) -> impl Future<Output = Result<R, ToolError>> + Send {
        std::future::ready(self(arguments, &invocation))
    }
}

impl<A, R, F, O> ToolFunction<(Alone, A, R, O)> for F
where
    A: Send + 'static,
    R: Send + 'static,
    // `AsyncFn` refuses a closure that changes what it captures: the change would be lost with the clone.
    F: AsyncFn(A) -> Result<R, ToolError> + FnOnce(A) -> O + Cloned + Send + Sync + 'static,
    O: Future<Output = Result<R, ToolError>> + Send,
{
    type Arguments = A;
    type Result = R;
    const BLOCKING: bool = false;

    async fn run<'a>(&'a self, arguments: A, _: Invocation<'a>, _: sealed::Token) -> Result<R, ToolError> {
        self.clone()(arguments).await
    }
}

impl<A, R, F> ToolFunction<(WithInvocation, A, R, ())> for F
where
    A: Send + 'static,
    R: Send + 'static,
    F: for<'a> AsyncFn(A, &'a Invocation<'a>) -> Result<R, ToolError>
        + for<'a> CalledWith<'a, A, R>
        + Cloned
        + Send
        + Sync
        + 'static,
{
    type Arguments = A;
    type Result = R;
    const BLOCKING: bool = false;

    async fn run<'a>(&'a self, arguments: A, invocation: Invocation<'a>, _: sealed::Token) -> Result<R, ToolError> {
        self.clone().start(arguments, &invocation).await
    }
}

/// An asynchronous closure whose future is `Send`, which `AsyncFn` cannot express.
#[doc(hidden)]
pub trait CalledWith<'a, A, R> {
    /// The future.
    type Future: Future<Output = Result<R, ToolError>> + Send + 'a;

    /// Calls the closure.
    fn start(self, arguments: A, invocation: &'a Invocation<'a>) -> Self::Future;
}

impl<'a, A, R, F, O> CalledWith<'a, A, R> for F
where
    F: FnOnce(A, &'a Invocation<'a>) -> O,
    O: Future<Output = Result<R, ToolError>> + Send + 'a,
{
    type Future = O;

    fn start(self, arguments: A, invocation: &'a Invocation<'a>) -> O {
        self(arguments, invocation)
    }
}

/// Adapts a function of the short path to the function of a typed tool.
struct Function<F, M>(F, PhantomData<fn() -> M>);

impl<F, M> sealed::Sealed for Function<F, M> {}

impl<M, F> Invoke<F::Arguments, (), F::Result> for Function<F, M>
where
    M: 'static,
    F: ToolFunction<M>,
    F::Arguments: DeserializeOwned,
{
    const BLOCKING: bool = F::BLOCKING;

    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: <F::Arguments as Arguments>::At<'a>,
        (): &'a (),
    ) -> impl Future<Output = Result<F::Result, ToolError>> + Send {
        self.0.run(arguments, Invocation::of(*conversation, *emitter), sealed::Token)
    }
}

#[cfg(test)]
mod tests;
