//! What every tool is to those who call it: a name, schemas and a way to run it on the bytes of its arguments.

pub(crate) mod annotations;
pub(crate) mod spec;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde_json::Value;

use crate::{
    conversation::{Conversation, cancel::CancellationToken},
    error::Error,
    outcome::{Outcome, reply::Reply},
    stream::{
        chunk::{Chunk, ChunkEmitter},
        emitter::Emitter,
    },
    tool::{annotations::ToolAnnotations, spec::ToolSpec},
};

/// A tool with its types erased. [`FunctionTool`](crate::FunctionTool), [`ToolBuilder`](crate::ToolBuilder) and
/// [`StaticTool`](crate::StaticTool) make tools from typed functions. `DynamicTool` (feature `dynamic`) makes tools from functions whose
/// schema is found at run time. Implement this trait to call tools in another way. All kinds can be kept together in a `Vec<Box<dyn Tool>>`
/// or a [`ToolRegistry`](crate::ToolRegistry).
///
/// Tools that are discovered at run time need no separate system: names, schemas and arguments may all come from elsewhere. With hooks:
///
/// ```
/// use mistral_tools::{Invocation, Reply, SchemaType, Tool, ToolBuilder};
/// use mistral_tools::serde_json::{json, value::RawValue};
///
/// let discovered = [("upper", json!({"type": "object"})), ("lower", json!({"type": "object"}))];
/// let tools = discovered.into_iter().map(|(name, schema)| {
///     let tool = ToolBuilder::named(name.to_owned())
///         .description("Found on a server")
///         .with(name)
///         .request_schema::<Box<RawValue>>(SchemaType::JsonSchema(schema))
///         .result_schema::<String>(SchemaType::Serde)
///         .on_invocation(|_, _, arguments, name| Ok(format!("{name} of {arguments}"))) // or asks the server
///         .build()?;
///     Ok(Box::new(tool) as Box<dyn Tool>)
/// });
/// let tools = tools.collect::<Result<Vec<_>, mistral_tools::Error>>()?;
///
/// let mut reply = Reply::new();
/// assert!(tools[1].call(&Invocation::default(), br#"{"text": 1.50}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#"lower of {"text": 1.50}"#);
/// # Ok::<(), mistral_tools::Error>(())
/// ```
pub trait Tool: Send + Sync {
    /// Returns the name by which the host calls the tool, which must not be empty. If every dialect can write the name, the model uses it
    /// too; otherwise the model uses an [alias](ToolSpec::name).
    fn name(&self) -> &str;

    /// What it is for, in words for the model.
    fn description(&self) -> &str;

    /// The JSON schema of its arguments. It may be made anew at each call: keep the [`spec`](Self::spec).
    ///
    /// # Errors
    /// [`Error::Parameters`] if what was written by hand is no JSON object.
    fn request_schema(&self) -> Result<Value, Error>;

    /// The JSON schema of its result, if it is known.
    ///
    /// # Errors
    /// [`Error::Parameters`] if what was written by hand is no JSON object.
    fn result_schema(&self) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    /// Runs it. Afterwards `reply` holds what the model reads, whatever the outcome: the result, or the text that
    /// [`Reply::set_outcome`] writes.
    ///
    /// `arguments` are the model's own bytes, which are JSON only if it did well. A call that may last looks now and then whether the
    /// [`token`](crate::Execution::token) of the invocation is cancelled.
    fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome;

    /// Like [`call`](Self::call), as a future that does nothing until it is polled. A tool that has nothing to wait for returns
    /// [`CallFuture::blocking`]`(self, ...)`.
    fn call_async<'a>(
        &'a self,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> CallFuture<'a>;

    /// Whether [`call_async`](Self::call_async) has nothing to wait for: it calls [`call`](Self::call) in its first poll. A limit of time
    /// then cancels the token of the invocation; otherwise it drops the future.
    fn is_blocking(&self) -> bool {
        false
    }

    /// Returns what the tool does to its surroundings, as its maker states it. Default: nothing is stated.
    fn annotations(&self) -> ToolAnnotations {
        ToolAnnotations::new()
    }

    /// Returns what the model is told about the tool, with the [`annotations`](Self::annotations).
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Parameters`].
    fn spec(&self) -> Result<ToolSpec, Error> {
        let spec = ToolSpec::new(spec::alias(self.name(), None), self.description(), self.request_schema()?)?;
        Ok(spec.with_annotations(self.annotations()))
    }
}

/// Forwards the functions of a tool to another tool, with the annotations of that tool or with other annotations.
macro_rules! forward {
    (|$this:ident| $tool:expr) => {
        forward!(|$this| $tool, $tool.annotations());
    };
    (|$this:ident| $tool:expr, $annotations:expr) => {
        fn name(&self) -> &str {
            let $this = self;
            $tool.name()
        }

        fn description(&self) -> &str {
            let $this = self;
            $tool.description()
        }

        fn request_schema(&self) -> Result<Value, Error> {
            let $this = self;
            $tool.request_schema()
        }

        fn result_schema(&self) -> Result<Option<Value>, Error> {
            let $this = self;
            $tool.result_schema()
        }

        fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
            let $this = self;
            $tool.call(invocation, arguments, reply)
        }

        fn call_async<'a>(
            &'a self,
            invocation: &'a Invocation<'a>,
            arguments: &'a [u8],
            reply: &'a mut Reply,
        ) -> CallFuture<'a> {
            let $this = self;
            $tool.call_async(invocation, arguments, reply)
        }

        fn is_blocking(&self) -> bool {
            let $this = self;
            $tool.is_blocking()
        }

        fn annotations(&self) -> ToolAnnotations {
            let $this = self;
            $annotations
        }

        fn spec(&self) -> Result<ToolSpec, Error> {
            Ok({
                let $this = self;
                $tool.spec()?
            }
            .with_annotations(Tool::annotations(self)))
        }
    };
}
pub(crate) use forward;

impl<T: Tool + ?Sized> Tool for &T {
    forward!(|this| (**this));
}

impl<T: Tool + ?Sized> Tool for Box<T> {
    forward!(|this| (**this));
}

impl<T: Tool + ?Sized> Tool for Arc<T> {
    forward!(|this| (**this));
}

/// What surrounds the arguments of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invocation<'a> {
    conversation: Conversation<'a>,
    emitter: ChunkEmitter<'a>,
}

impl<'a> Invocation<'a> {
    /// A call within this conversation.
    pub const fn new(conversation: Conversation<'a>) -> Self {
        Self { conversation, emitter: ChunkEmitter::silent() }
    }

    pub(crate) const fn of(conversation: Conversation<'a>, emitter: ChunkEmitter<'a>) -> Self {
        Self { conversation, emitter }
    }

    /// Returns the value of this type that the host lent to the run; see [`Conversation::get`].
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.conversation.get()
    }

    /// The conversation.
    pub const fn conversation(&self) -> &Conversation<'a> {
        &self.conversation
    }

    /// Where the tool hands out chunks.
    pub const fn emitter(&self) -> &ChunkEmitter<'a> {
        &self.emitter
    }

    /// The same, with chunks handed out through `emitter`.
    #[must_use]
    pub const fn with_emitter(self, emitter: &'a Emitter<Chunk>) -> Self {
        self.with_emitter_of(emitter, 0)
    }

    /// The same, with chunks handed out for the call at this place of a turn.
    pub(crate) const fn with_emitter_of(mut self, emitter: &'a Emitter<Chunk>, call: usize) -> Self {
        self.emitter = ChunkEmitter::new(emitter, call);
        self
    }

    /// The same under a token: who cancels it gives the call up.
    #[must_use]
    pub const fn with_token(mut self, token: &'a CancellationToken) -> Self {
        self.conversation = self.conversation.with_token(token);
        self
    }

    /// The same after this many more retries.
    pub(crate) const fn retried(mut self, retries: u32) -> Self {
        self.conversation = self.conversation.retried(retries);
        self
    }

    pub(crate) const fn approved(mut self, turn: u32, call_id: Option<&'a str>) -> Self {
        self.conversation = self.conversation.approved(turn, call_id);
        self
    }
}

/// A call on its way. A tool with a synchronous function runs in the first poll and allocates nothing.
#[must_use = "futures do nothing unless polled"]
pub struct CallFuture<'a>(State<'a>);

enum State<'a> {
    Blocking { tool: &'a dyn Tool, invocation: &'a Invocation<'a>, arguments: &'a [u8], reply: &'a mut Reply },
    Boxed(Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>),
    Done,
}

impl<'a> CallFuture<'a> {
    /// [`Tool::call`] in the first poll.
    pub fn blocking(
        tool: &'a dyn Tool,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> Self {
        Self(State::Blocking { tool, invocation, arguments, reply })
    }

    /// A future that waits; one allocation.
    pub fn new(future: impl Future<Output = Outcome> + Send + 'a) -> Self {
        Self(State::Boxed(Box::pin(future)))
    }
}

impl Future for CallFuture<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let state = &mut self.0;
        if let State::Boxed(future) = state {
            let outcome = std::task::ready!(future.as_mut().poll(context));
            *state = State::Done;
            return Poll::Ready(outcome);
        }
        match std::mem::replace(state, State::Done) {
            State::Blocking { tool, invocation, arguments, reply } => {
                Poll::Ready(tool.call(invocation, arguments, reply))
            }
            // Polled after it was ready.
            State::Boxed(_) | State::Done => Poll::Pending,
        }
    }
}
