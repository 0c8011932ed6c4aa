//! What every tool is to those who call it: a name, schemas and a way to run it on the bytes of its arguments.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use serde_json::Value;

use crate::{CancellationToken, Chunk, ChunkEmitter, Conversation, Emitter, Error, Outcome, Reply, ToolSpec};

/// A tool with its types erased. [`ToolBuilder`](crate::ToolBuilder) and [`StaticTool`](crate::StaticTool) make tools from
/// typed functions; whoever discovers tools at run time or calls them elsewhere implements this. Both live side by side in
/// a `Vec<Box<dyn Tool>>` or a [`ToolRegistry`](crate::ToolRegistry).
pub trait Tool: Send + Sync {
    /// What the model calls it by.
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
    /// `arguments` are the model's own bytes, which are JSON only if it did well.
    fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome;

    /// Like [`call`](Self::call), as a future that does nothing until it is polled. A tool that has nothing to wait for returns
    /// [`CallFuture::blocking`]`(self, ...)`.
    fn call_async<'a>(
        &'a self,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> CallFuture<'a>;

    /// What the model is told about it.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Parameters`].
    fn spec(&self) -> Result<ToolSpec, Error> {
        ToolSpec::new(self.name(), self.description(), self.request_schema()?)
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<T: Tool + ?Sized> Tool for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn description(&self) -> &str {
                (**self).description()
            }

            fn request_schema(&self) -> Result<Value, Error> {
                (**self).request_schema()
            }

            fn result_schema(&self) -> Result<Option<Value>, Error> {
                (**self).result_schema()
            }

            fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
                (**self).call(invocation, arguments, reply)
            }

            fn call_async<'a>(
                &'a self,
                invocation: &'a Invocation<'a>,
                arguments: &'a [u8],
                reply: &'a mut Reply,
            ) -> CallFuture<'a> {
                (**self).call_async(invocation, arguments, reply)
            }

            fn spec(&self) -> Result<ToolSpec, Error> {
                (**self).spec()
            }
        }
    )*};
}
pointers!(&T, Box<T>, std::sync::Arc<T>);

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
