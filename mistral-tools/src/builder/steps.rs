//! Builds a tool step by step; each step is a type, so that leaving one out does not compile.

use std::{borrow::Cow, marker::PhantomData};

use serde::Serialize;

use crate::{
    builder::{
        arguments::Arguments,
        invoke::{AsyncFunction, Asynchronous, Blocking, Invoke, Streaming},
        schema::{Schema, SchemaSource},
        typed_tool::{Description, TypedTool},
    },
    conversation::Conversation,
    error::Error,
    hooks::{ChainControl, ErrorFlow, IntoResultFlow, OnError, OnRequest, OnResult, RequestFlow},
    outcome::tool_error::ToolError,
    stream::{chunk::ChunkEmitter, streamed::Streamed},
    tool::annotations::ToolAnnotations,
};

/// Builds a tool from a name, a description, an optional dependency, a request schema, a result schema, a function and hooks, in this
/// order. [`FunctionTool`](crate::FunctionTool) is shorter for a function without hooks whose types have schemas.
///
/// ```
/// use mistral_tools::{ErrorKind, Invocation, Reply, SchemaType, Tool, ToolBuilder, ToolError};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// struct Client; // something that knows the weather
/// impl Client {
///     fn degrees(&self, city: &str) -> Result<f32, ToolError> {
///         if city == "Paris" { Ok(18.0) } else { Err(ToolError::new(ErrorKind::NotFound, "no such city")) }
///     }
/// }
///
/// #[derive(Deserialize, JsonSchema)]
/// struct WeatherArgs {
///     /// The city.
///     city: String,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Weather {
///     degrees: f32,
/// }
///
/// let client = Client;
/// let weather = ToolBuilder::named("weather")
///     .description("Current weather in a city")
///     .with(client)
///     .request_schema::<WeatherArgs>(SchemaType::Serde)
///     .result_schema::<Weather>(SchemaType::Serde)
///     .on_invocation(|conversation, emitter, args, client| client.degrees(&args.city).map(|degrees| Weather { degrees }))
///     .on_error(|conversation, chain, error, client| chain.retry(2))
///     .on_result(|conversation, chain, result, client| result)
///     .build()?;
///
/// let mut reply = Reply::new();
/// let outcome = weather.call(&Invocation::default(), br#"{"city": "Paris"}"#, &mut reply);
/// assert!(outcome.is_success());
/// assert_eq!(reply.as_str(), r#"{"degrees":18.0}"#);
///
/// // The model reads the error as text; the host gets a typed error.
/// let outcome = weather.call(&Invocation::default(), br#"{"town": "Paris"}"#, &mut reply);
/// assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));
/// assert_eq!(reply.as_str(), "Error (invalid arguments): missing field `city` at byte 16");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
///
/// A step left out, or out of order, does not compile. No description:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").request_schema::<()>(SchemaType::Serde);
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde);
/// ```
///
/// No request schema:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").result_schema::<()>(SchemaType::Serde);
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde);
/// ```
///
/// No result schema:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok(()));
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok(()));
/// ```
///
/// No function:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .build();
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok(())).build();
/// ```
///
/// A dependency after the schemas, before the description, or twice:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).with(1);
/// ```
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").with(1);
/// ```
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").with(1).with(2);
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").with(1).request_schema::<()>(SchemaType::Serde);
/// ```
///
/// A hook before the function, or two functions:
///
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .on_result(|_, _, result, ()| result);
/// ```
/// ```compile_fail,E0599
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok(())).on_invocation(|_, _, (), ()| Ok(()));
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
/// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<()>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok(())).on_result(|_, _, result, ()| result);
/// ```
///
/// [`SchemaType::Serde`](crate::SchemaType::Serde) of a type without a schema:
///
/// ```compile_fail,E0277
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// #[derive(serde::Deserialize)]
/// struct Args {}
/// ToolBuilder::named("f").description("F").request_schema::<Args>(SchemaType::Serde);
/// ```
/// ```
/// # use mistral_tools::{SchemaType, ToolBuilder};
/// #[derive(serde::Deserialize)]
/// struct Args {}
/// ToolBuilder::named("f").description("F").request_schema::<Args>(SchemaType::JsonSchema(r#"{"type": "object"}"#));
/// ```
#[derive(Debug)]
#[must_use = "a tool is there once it is built"]
pub struct ToolBuilder {
    name: Cow<'static, str>,
}

impl ToolBuilder {
    /// Starts with the name, which must not be empty. Models can write 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`. They see a
    /// tool with any other name under an [alias](crate::RegisteredTool::alias).
    pub fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into() }
    }

    /// What the tool is for, in words for the model.
    pub fn description(self, description: impl Into<Cow<'static, str>>) -> Described {
        Described { name: self.name, description: description.into() }
    }
}

/// A tool with name and description. Next is [`with`](Self::with) or [`request_schema`](Self::request_schema).
#[derive(Debug)]
#[must_use = "a tool is there once it is built"]
pub struct Described {
    name: Cow<'static, str>,
    description: Cow<'static, str>,
}

impl Described {
    /// Adds a dependency that all calls share. The function and every hook receive a reference to the dependency, which is never cloned.
    /// For values of a single run, use [`Extensions`](crate::Extensions).
    pub fn with<D: Send + Sync + 'static>(self, dependency: D) -> Dependent<D> {
        Dependent { described: self, dependency }
    }

    /// The arguments, and where their schema comes from. The dependency is `()`.
    pub fn request_schema<A: Arguments>(self, schema: impl SchemaSource<A>) -> Requested<A, ()> {
        self.with(()).request_schema(schema)
    }
}

/// A tool with a dependency. Next is [`request_schema`](Self::request_schema).
#[derive(Debug)]
#[must_use = "a tool is there once it is built"]
pub struct Dependent<D> {
    described: Described,
    dependency: D,
}

impl<D: Send + Sync + 'static> Dependent<D> {
    /// The arguments, and where their schema comes from.
    pub fn request_schema<A: Arguments>(self, schema: impl SchemaSource<A>) -> Requested<A, D> {
        let Self { described, dependency } = self;
        Requested { described, dependency, request: schema.schema(), marker: PhantomData }
    }
}

/// A tool with arguments. Next is [`result_schema`](Self::result_schema).
#[derive(Debug)]
#[must_use = "a tool is there once it is built"]
pub struct Requested<A, D> {
    described: Described,
    dependency: D,
    request: Schema,
    marker: PhantomData<fn(A)>,
}

impl<A: Arguments, D: Send + Sync + 'static> Requested<A, D> {
    /// The result, and where its schema comes from.
    pub fn result_schema<R: Serialize + Send + 'static>(self, schema: impl SchemaSource<R>) -> Resulting<A, R, D> {
        let Self { described: Described { name, description }, dependency, request, .. } = self;
        let description = Description { name, description, request, result: Some(schema.schema()) };
        Resulting { description, dependency, marker: PhantomData }
    }
}

/// A tool with arguments and a result. Next is [`on_invocation`](Self::on_invocation) or
/// [`on_invocation_async`](Self::on_invocation_async).
#[must_use = "a tool is there once it is built"]
pub struct Resulting<A, R, D> {
    description: Description,
    dependency: D,
    marker: PhantomData<fn(A) -> R>,
}

impl<A: Arguments, R: Serialize + Send + 'static, D: Send + Sync + 'static> Resulting<A, R, D> {
    /// Takes a synchronous function `|conversation, emitter, arguments, dependency| Ok(result)`. The dependency is `()` if there is none.
    ///
    /// The function returns `Result<R, ToolError>`, where `R` is the type of the result schema: `Ok(result)` is enough, and `?` converts
    /// every error.
    pub fn on_invocation<F>(self, function: F) -> Callable<A, R, D, Blocking<F>>
    where
        F: for<'a> Fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<R, ToolError>
            + Send
            + Sync
            + 'static,
    {
        self.function(Blocking(function))
    }

    /// Takes an asynchronous function, `async |conversation, emitter, arguments, dependency| Ok(result)`, on no runtime in particular.
    ///
    /// The function reaches shared values through the dependency, or captures them with `async move`. Each call clones the closure, so wrap
    /// captured values in an `Arc`.
    ///
    /// The function returns `Result<R, ToolError>`. `?` converts every error, so a foreign result is returned as `Ok(foreign().await?)`.
    /// Without `async move`, the compiler says that a captured value "does not live long enough".
    ///
    /// ```
    /// use mistral_tools::{Invocation, Reply, SchemaType, Tool, ToolBuilder, ToolError};
    ///
    /// let tool = ToolBuilder::named("twice")
    ///     .description("Says it twice")
    ///     .with(String::from("and "))
    ///     .request_schema::<String>(SchemaType::JsonSchema(r#"{"type": "string"}"#))
    ///     .result_schema::<String>(SchemaType::Serde)
    ///     .on_invocation_async(async |_, _, word, and| {
    ///         let word = std::future::ready(word).await;
    ///         Ok(format!("{word} {and}{word}"))
    ///     })
    ///     .build()?;
    /// let mut reply = Reply::new();
    /// assert!(tool.call(&Invocation::default(), br#""on""#, &mut reply).is_success());
    /// assert_eq!(reply.as_str(), "on and on");
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    pub fn on_invocation_async<F>(self, function: F) -> Callable<A, R, D, Asynchronous<F>>
    where
        F: for<'a> AsyncFn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<R, ToolError>
            + for<'a> AsyncFunction<'a, A, D, R>
            + 'static,
    {
        self.function(Asynchronous(function))
    }

    fn function<F: Invoke<A, D, R>>(self, function: F) -> Callable<A, R, D, F> {
        Callable { tool: TypedTool::new(self.description, self.dependency, function) }
    }
}

impl<A: Arguments, D: Send + Sync + 'static> Resulting<A, Streamed, D> {
    /// Takes a synchronous function whose chunks are the result. The model reads the chunks joined together, and observers see each chunk
    /// as it comes. [`Streamed`] says how much is kept.
    ///
    /// ```
    /// use mistral_tools::{CancellationToken, stream::{EmitError, Emitter, Streamed, WhenFull}, Invocation, Reply, SchemaType, Tool, ToolBuilder};
    ///
    /// let tool = ToolBuilder::named("count")
    ///     .description("Counts")
    ///     .request_schema::<u32>(SchemaType::JsonSchema(r#"{"type": "integer"}"#))
    ///     .result_schema::<Streamed>(SchemaType::Serde)
    ///     .on_stream(|_, emitter, to, ()| {
    ///         for number in 1..=to {
    ///             emitter.emit_blocking(format!("{number};"))?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .build()?;
    ///
    /// let (emitter, chunks) = Emitter::bounded(8, WhenFull::Block, CancellationToken::new());
    /// let mut reply = Reply::new();
    /// assert!(tool.call(&Invocation::default().with_emitter(&emitter), b"3", &mut reply).is_success());
    /// drop(emitter);
    /// assert_eq!(chunks.map(|chunk| chunk.text).collect::<Vec<_>>(), ["1;", "2;", "3;"]);
    /// assert_eq!(reply.as_str(), "1;2;3;");
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    ///
    /// A result of any other type needs a function that returns the result:
    ///
    /// ```compile_fail,E0599
    /// # use mistral_tools::{SchemaType, ToolBuilder, ToolError};
    /// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<String>(SchemaType::Serde)
    ///     .on_stream(|_, _, (), ()| Ok(()));
    /// ```
    /// ```
    /// # use mistral_tools::{SchemaType, stream::Streamed, ToolBuilder, ToolError};
    /// ToolBuilder::named("f").description("F").request_schema::<()>(SchemaType::Serde).result_schema::<Streamed>(SchemaType::Serde)
    ///     .on_stream(|_, _, (), ()| Ok(()));
    /// ```
    pub fn on_stream<F>(self, function: F) -> Callable<A, Streamed, D, Streaming<Blocking<F>>>
    where
        F: for<'a> Fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<(), ToolError>
            + Send
            + Sync
            + 'static,
    {
        self.function(Streaming(Blocking(function)))
    }

    /// As [`on_stream`](Self::on_stream), asynchronously.
    pub fn on_stream_async<F>(self, function: F) -> Callable<A, Streamed, D, Streaming<Asynchronous<F>>>
    where
        F: for<'a> AsyncFn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<(), ToolError>
            + for<'a> AsyncFunction<'a, A, D, ()>
            + 'static,
    {
        self.function(Streaming(Asynchronous(function)))
    }
}

impl<A: Arguments, D, F> Callable<A, Streamed, D, F> {
    /// The most bytes of the result of a streaming function; [`Streamed::LIMIT`] unless said.
    pub fn stream_limit(mut self, bytes: usize) -> Self {
        self.tool.stream_limit = bytes;
        self
    }
}

/// A tool that can be built. Hooks come first; of each kind there may be any number, and they are asked in this order.
#[must_use = "a tool is there once it is built"]
pub struct Callable<A: Arguments, R, D, F> {
    tool: TypedTool<A, R, D, F>,
}

impl<A: Arguments, R: Serialize + Send + 'static, D: Send + Sync + 'static, F: Invoke<A, D, R>> Callable<A, R, D, F> {
    /// States what the tool does to its surroundings; see [`ToolSpec::annotations`](crate::ToolSpec::annotations).
    ///
    /// ```
    /// use mistral_tools::{SchemaType, Tool, ToolAnnotations, ToolBuilder};
    ///
    /// let tool = ToolBuilder::named("list")
    ///     .description("Lists files")
    ///     .request_schema::<String>(SchemaType::JsonSchema(r#"{"type": "string"}"#))
    ///     .result_schema::<Vec<String>>(SchemaType::Serde)
    ///     .on_invocation(|_, _, folder, ()| Ok(vec![folder]))
    ///     .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
    ///     .build()?;
    /// assert!(tool.spec()?.annotations().is_read_only());
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    pub fn with_annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.tool.annotations = annotations;
        self
    }

    /// Adds a hook that runs before each invocation. The hook may let the call pass, pause it for approval, deny it or skip it. After an
    /// approval the hook runs again, but the call is not paused again.
    ///
    /// ```
    /// use mistral_tools::{Invocation, Outcome, Reply, SchemaType, Tool, ToolBuilder, ToolError};
    ///
    /// let tool = ToolBuilder::named("delete")
    ///     .description("Deletes a file")
    ///     .request_schema::<String>(SchemaType::JsonSchema(r#"{"type": "string"}"#))
    ///     .result_schema::<()>(SchemaType::Serde)
    ///     .on_invocation(|_, _, path, ()| Ok(()))
    ///     .on_request(|_, chain, path, ()| match path.as_str() {
    ///         path if path.starts_with('/') => chain.deny("only relative paths"),
    ///         path => chain.pause(format!("Delete {path}?")),
    ///     })
    ///     .build()?;
    ///
    /// let mut reply = Reply::new();
    /// assert!(matches!(tool.call(&Invocation::default(), br#""/etc""#, &mut reply), Outcome::Denied(_)));
    /// let Outcome::Paused(paused) = tool.call(&Invocation::default(), br#""a.txt""#, &mut reply) else { panic!() };
    /// assert_eq!(paused.question(), "Delete a.txt?");
    ///
    /// // Later, or in another process:
    /// let outcome = paused.resume(&tool, mistral_tools::Approval::Approved, &Invocation::default(), &mut reply);
    /// assert!(outcome.is_success());
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    pub fn on_request<H>(mut self, hook: H) -> Self
    where
        H: for<'a, 'b> Fn(&Conversation<'b>, ChainControl<'b, OnRequest>, &'a A::At<'b>, &D) -> RequestFlow
            + Send
            + Sync
            + 'static,
    {
        self.tool.hooks.request.push(Box::new(hook));
        self
    }

    /// After an error, of the arguments or of the function.
    pub fn on_error<H>(mut self, hook: H) -> Self
    where
        H: for<'b> Fn(&Conversation<'b>, ChainControl<'b, OnError>, &ToolError, &D) -> ErrorFlow<R>
            + Send
            + Sync
            + 'static,
    {
        self.tool.hooks.error.push(Box::new(hook));
        self
    }

    /// After a result: returns the result, changed or not, or a choice of its [`ChainControl`].
    pub fn on_result<H, O>(mut self, hook: H) -> Self
    where
        H: for<'b> Fn(&Conversation<'b>, ChainControl<'b, OnResult>, R, &D) -> O + Send + Sync + 'static,
        O: IntoResultFlow<R>,
    {
        self.tool.hooks.result.push(Box::new(move |conversation, chain, result, dependency| {
            hook(conversation, chain, result, dependency).into_flow()
        }));
        self
    }

    /// Builds the tool.
    ///
    /// # Errors
    /// [`Error::Name`] for an empty name, and [`Error::Parameters`] for a schema written by hand that is not a JSON object;
    /// with the feature `dynamic`, [`Error::Schema`] for one that is not a JSON schema.
    pub fn build(self) -> Result<TypedTool<A, R, D, F>, Error> {
        self.tool.checked()
    }
}
