//! A tool made of typed functions: reads the arguments, asks the hooks, runs the function, writes the result.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::Serialize;
use serde_json::Value;

use crate::{
    builder::{
        arguments::Arguments,
        invoke::Invoke,
        schema::{Schema, Side},
        validation::Validation,
    },
    conversation::{Conversation, cancel::unless_cancelled},
    error::Error,
    hooks::{
        ChainControl, ErrorFlow, Failure, OnError, OnRequest, OnResult, Request, RequestFlow, ResultFlow, Success,
    },
    json,
    outcome::{Outcome, kinds::ErrorKind, paused_call::PausedCall, reply::Reply, tool_error::ToolError},
    stream::{
        chunk::ChunkEmitter,
        streamed::{Collector, Streamed},
    },
    sync::park::block_on,
    tool::{CallFuture, Invocation, Tool, annotations::ToolAnnotations},
};

pub(crate) type RequestHook<A, D> = Box<
    dyn for<'a, 'b> Fn(&Conversation<'b>, ChainControl<'b, OnRequest>, &'a <A as Arguments>::At<'b>, &D) -> RequestFlow
        + Send
        + Sync,
>;
pub(crate) type ErrorHook<R, D> =
    Box<dyn for<'b> Fn(&Conversation<'b>, ChainControl<'b, OnError>, &ToolError, &D) -> ErrorFlow<R> + Send + Sync>;
pub(crate) type ResultHook<R, D> =
    Box<dyn for<'b> Fn(&Conversation<'b>, ChainControl<'b, OnResult>, R, &D) -> ResultFlow<R> + Send + Sync>;

/// What the model is told.
pub(crate) struct Description {
    pub(crate) name: Cow<'static, str>,
    pub(crate) description: Cow<'static, str>,
    pub(crate) request: Schema,
    /// `None` for a tool that was built without a result schema.
    pub(crate) result: Option<Schema>,
}

/// The hooks of a tool, in the order in which they are asked.
pub(crate) struct Hooks<A: Arguments, R, D> {
    pub(crate) request: Vec<RequestHook<A, D>>,
    pub(crate) error: Vec<ErrorHook<R, D>>,
    pub(crate) result: Vec<ResultHook<R, D>>,
}

/// A tool with arguments `A`, results `R`, a dependency `D` and a function `F`. [`ToolBuilder`](crate::ToolBuilder) makes it.
pub struct TypedTool<A: Arguments, R, D, F> {
    pub(crate) description: Description,
    pub(crate) dependency: D,
    pub(crate) function: F,
    pub(crate) hooks: Hooks<A, R, D>,
    /// Bytes of a streamed result.
    pub(crate) stream_limit: usize,
    pub(crate) annotations: ToolAnnotations,
    validation: Validation,
    pub(crate) marker: PhantomData<fn(A) -> R>,
}

/// How an attempt ends.
enum Attempt<R> {
    Result(R),
    Error(ToolError),
    /// A hook ended the call before the function ran.
    End(Outcome),
}

/// What the hooks make of an error.
enum Recovery<R> {
    Retry,
    Replace(R),
    Stand(ToolError),
}

impl<A, R, D, F> TypedTool<A, R, D, F>
where
    A: Arguments,
    R: Serialize + Send + 'static,
    D: Send + Sync + 'static,
    F: Invoke<A, D, R>,
{
    pub(crate) fn new(description: Description, dependency: D, function: F) -> Self {
        let hooks = Hooks { request: Vec::new(), error: Vec::new(), result: Vec::new() };
        let (stream_limit, annotations, validation) = (Streamed::LIMIT, ToolAnnotations::new(), Validation::new());
        Self { description, dependency, function, hooks, stream_limit, annotations, validation, marker: PhantomData }
    }

    /// Returns the same tool if its name is not empty and its schemas are valid.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Parameters`] and [`Error::Schema`].
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let Description { name, request, result, .. } = &self.description;
        if name.is_empty() {
            return Err(Error::Name { name: String::new() });
        }
        if let Some(given) = request.given(name)? {
            self.validation = Validation::of(name, &given)?;
        }
        result.as_ref().map_or(Ok(None), |result| result.given(name))?;
        Ok(self)
    }

    /// Runs the function alone, on arguments that are there already: no hooks, no JSON. What a streaming function hands out is with whoever
    /// takes the chunks alone; its result is empty.
    ///
    /// # Errors
    /// The function's own.
    pub async fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
    ) -> Result<R, ToolError> {
        self.function.invoke(conversation, emitter, arguments, &self.dependency).await
    }

    async fn execute(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let outcome = self.attempts(invocation, arguments, reply).await;
        reply.set_outcome(&outcome);
        outcome
    }

    async fn attempts(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let mut retries = 0;
        loop {
            let conversation = invocation.conversation().retried(retries);
            let result = match self.attempt(&conversation, invocation.emitter(), arguments, reply).await {
                Attempt::End(outcome) => return outcome,
                Attempt::Result(result) => result,
                Attempt::Error(error) => match self.after_error(&conversation, error) {
                    Recovery::Replace(result) => result,
                    Recovery::Stand(error) => return Outcome::Error(error),
                    Recovery::Retry => {
                        retries += 1;
                        continue;
                    }
                },
            };
            return match self.after_result(&conversation, result).and_then(|result| reply.set_typed(&result)) {
                Ok(()) => Outcome::Success,
                Err(error) => Outcome::Error(error),
            };
        }
    }

    async fn attempt(
        &self,
        conversation: &Conversation<'_>,
        emitter: &ChunkEmitter<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Attempt<R> {
        let collector = Collector::new(self.stream_limit);
        let emitter = emitter.under(conversation.execution().token());
        let emitter = if F::STREAMS { emitter.collecting(&collector) } else { emitter };
        let arguments = match self.validation.check(|| self.request_schema().ok(), arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Attempt::Error(error),
        };
        let read = match json::arguments::<A::At<'_>>(arguments, &mut reply.scratch) {
            Ok(read) => read,
            Err(error) => return Attempt::Error(error.into_tool_error()),
        };
        match self.before(conversation, &read) {
            Request::Proceed | Request::Call => {}
            Request::End(outcome) => return Attempt::End(outcome),
            Request::Pause(question) => {
                let execution = conversation.execution();
                return Attempt::End(PausedCall::outcome(self.name(), execution, arguments, question));
            }
        }
        let call = self.function.invoke(conversation, &emitter, read, &self.dependency);
        let ended = match conversation.execution().token() {
            Some(token) if !F::BLOCKING => unless_cancelled(Some(token), call)
                .await
                .unwrap_or_else(|| Err(ToolError::new(ErrorKind::Cancelled, "the call was given up"))),
            _ => call.await,
        };
        match ended {
            Ok(result) => Attempt::Result(result),
            Err(error) => Attempt::Error(error),
        }
    }

    fn before<'b>(&self, conversation: &Conversation<'b>, arguments: &A::At<'b>) -> Request {
        for hook in &self.hooks.request {
            let chain = ChainControl::new(conversation.execution());
            let RequestFlow(choice) = hook(conversation, chain, arguments, &self.dependency);
            if !matches!(choice, Request::Proceed) {
                return choice;
            }
        }
        Request::Proceed
    }

    fn after_error(&self, conversation: &Conversation<'_>, mut error: ToolError) -> Recovery<R> {
        for hook in &self.hooks.error {
            let chain = ChainControl::new(conversation.execution());
            let ErrorFlow(choice) = hook(conversation, chain, &error, &self.dependency);
            match choice {
                Failure::Propagate => {}
                Failure::Stop => break,
                // The same arguments are still wrong, what is permanent stays, and what is given up is not begun again.
                Failure::Retry
                    if error.kind() == ErrorKind::InvalidArguments
                        || error.is_transient() == Some(false)
                        || conversation.execution().is_cancelled() => {}
                Failure::Fail(other) => error = other,
                Failure::Retry => return Recovery::Retry,
                Failure::Replace(result) => return Recovery::Replace(result),
            }
        }
        Recovery::Stand(error)
    }

    fn after_result(&self, conversation: &Conversation<'_>, mut result: R) -> Result<R, ToolError> {
        for hook in &self.hooks.result {
            let chain = ChainControl::new(conversation.execution());
            let ResultFlow(choice) = hook(conversation, chain, result, &self.dependency);
            match choice {
                Success::Proceed(next) => result = next,
                Success::Stop(last) => return Ok(last),
                Success::Fail(error) => return Err(error),
            }
        }
        Ok(result)
    }
}

impl<A, R, D, F> Tool for TypedTool<A, R, D, F>
where
    A: Arguments,
    R: Serialize + Send + 'static,
    D: Send + Sync + 'static,
    F: Invoke<A, D, R>,
{
    fn name(&self) -> &str {
        &self.description.name
    }

    fn description(&self) -> &str {
        &self.description.description
    }

    fn request_schema(&self) -> Result<Value, Error> {
        self.description.request.to_json(self.name(), Side::Request)
    }

    fn result_schema(&self) -> Result<Option<Value>, Error> {
        self.description.result.as_ref().map(|schema| schema.to_json(self.name(), Side::Result)).transpose()
    }

    fn annotations(&self) -> ToolAnnotations {
        self.annotations
    }

    fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        block_on(self.execute(invocation, arguments, reply))
    }

    fn call_async<'a>(
        &'a self,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> CallFuture<'a> {
        if F::BLOCKING {
            return CallFuture::blocking(self, invocation, arguments, reply);
        }
        CallFuture::new(self.execute(invocation, arguments, reply))
    }

    fn is_blocking(&self) -> bool {
        F::BLOCKING
    }
}

impl<A: Arguments, R, D, F> fmt::Debug for TypedTool<A, R, D, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TypedTool").field("name", &self.description.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
