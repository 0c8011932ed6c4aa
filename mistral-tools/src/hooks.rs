//! What a hook may have done next.

use std::{fmt, marker::PhantomData};

use crate::{
    conversation::Execution,
    outcome::{Outcome, text::Text, tool_error::ToolError},
};

/// The hook before an invocation.
#[derive(Debug)]
pub enum OnRequest {}

/// The hook after an error.
#[derive(Debug)]
pub enum OnError {}

/// The hook after a result.
#[derive(Debug)]
pub enum OnResult {}

/// What a hook may have done next. It is spent by the choice, and offers only what makes sense in its hook:
///
/// | hook | may |
/// |---|---|
/// | [`OnRequest`] | proceed, stop propagation, pause for approval, deny, skip |
/// | [`OnError`] | propagate, stop propagation, retry, replace by a result, fail with another error |
/// | [`OnResult`] | proceed, stop propagation, fail with an error |
///
/// Hooks are asked in the order in which they were added; to stop the propagation is to leave the later ones unasked.
///
/// ```
/// use mistral_tools::hooks::{ChainControl, OnError, ErrorFlow};
/// fn hook(chain: ChainControl<'_, OnError>) -> ErrorFlow<u8> {
///     chain.retry(3)
/// }
/// ```
///
/// An error cannot be paused for approval:
///
/// ```compile_fail,E0599
/// use mistral_tools::hooks::{ChainControl, OnError, ErrorFlow};
/// fn hook(chain: ChainControl<'_, OnError>) -> ErrorFlow<u8> {
///     chain.pause("sure?")
/// }
/// ```
///
/// A result cannot be retried:
///
/// ```compile_fail,E0599
/// use mistral_tools::hooks::{ChainControl, OnResult, ResultFlow};
/// fn hook(chain: ChainControl<'_, OnResult>) -> ResultFlow<u8> {
///     chain.retry(3)
/// }
/// ```
///
/// And a choice is made once:
///
/// ```compile_fail,E0382
/// use mistral_tools::hooks::{ChainControl, OnError, ErrorFlow};
/// fn hook(chain: ChainControl<'_, OnError>) -> ErrorFlow<u8> {
///     let _ = chain.retry::<u8>(3);
///     chain.replace(1)
/// }
/// ```
pub struct ChainControl<'a, Hook> {
    execution: Execution<'a>,
    hook: PhantomData<Hook>,
}

impl<'a, Hook> ChainControl<'a, Hook> {
    pub(crate) const fn new(execution: Execution<'a>) -> Self {
        Self { execution, hook: PhantomData }
    }

    /// Where the call stands.
    pub const fn execution(&self) -> Execution<'a> {
        self.execution
    }
}

impl<Hook> fmt::Debug for ChainControl<'_, Hook> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChainControl").field("execution", &self.execution).finish()
    }
}

impl ChainControl<'_, OnRequest> {
    /// Asks the next hook, and in the end calls the tool.
    pub fn proceed(self) -> RequestFlow {
        RequestFlow(Request::Proceed)
    }

    /// Calls the tool without asking the later hooks.
    pub fn stop_propagation(self) -> RequestFlow {
        RequestFlow(Request::Call)
    }

    /// Ends as [`Outcome::Paused`], which somebody may approve or deny at any later time. A call that was approved proceeds.
    pub fn pause(self, question: impl Into<Text>) -> RequestFlow {
        RequestFlow(if self.execution.is_approved() { Request::Proceed } else { Request::Pause(question.into()) })
    }

    /// Ends as [`Outcome::Denied`]; the reason is for the model.
    pub fn deny(self, reason: impl Into<Text>) -> RequestFlow {
        RequestFlow(Request::End(Outcome::Denied(reason.into())))
    }

    /// Ends as [`Outcome::Skipped`]; the reason is for the model.
    pub fn skip(self, reason: impl Into<Text>) -> RequestFlow {
        RequestFlow(Request::End(Outcome::Skipped(reason.into())))
    }
}

impl ChainControl<'_, OnError> {
    /// Asks the next hook; the error stands if none does anything about it.
    pub fn propagate<R>(self) -> ErrorFlow<R> {
        ErrorFlow(Failure::Propagate)
    }

    /// The error stands; later hooks are not asked.
    pub fn stop_propagation<R>(self) -> ErrorFlow<R> {
        ErrorFlow(Failure::Stop)
    }

    /// Calls the tool again, at once, if it was retried fewer than `limit` times; otherwise like [`propagate`](Self::propagate).
    /// Arguments that could not be read are not tried again, for they would be the same, nor are errors that are
    /// [permanent](ToolError::permanent) and calls that were given up. Waiting in between is what the retry policy of a registry is
    /// for.
    pub fn retry<R>(self, limit: u8) -> ErrorFlow<R> {
        ErrorFlow(if self.execution.attempt() < u32::from(limit) { Failure::Retry } else { Failure::Propagate })
    }

    /// The call succeeds with this result, which goes on to the hooks of results.
    pub fn replace<R>(self, result: R) -> ErrorFlow<R> {
        ErrorFlow(Failure::Replace(result))
    }

    /// Goes on to the next hook with another error.
    pub fn fail<R>(self, error: impl Into<ToolError>) -> ErrorFlow<R> {
        ErrorFlow(Failure::Fail(error.into()))
    }
}

impl ChainControl<'_, OnResult> {
    /// Goes on to the next hook with this result, as if the hook returned the result itself.
    pub fn proceed<R>(self, result: R) -> ResultFlow<R> {
        ResultFlow(Success::Proceed(result))
    }

    /// This is the result; later hooks are not asked.
    pub fn stop_propagation<R>(self, result: R) -> ResultFlow<R> {
        ResultFlow(Success::Stop(result))
    }

    /// The call fails after all. Hooks of errors are not asked: they had their say before there was a result.
    pub fn fail<R>(self, error: impl Into<ToolError>) -> ResultFlow<R> {
        ResultFlow(Success::Fail(error.into()))
    }
}

/// The choice of a hook before an invocation; only [`ChainControl`] makes one.
#[derive(Debug)]
#[must_use = "a hook returns its choice"]
pub struct RequestFlow(pub(crate) Request);

#[derive(Debug)]
pub(crate) enum Request {
    Proceed,
    Call,
    Pause(Text),
    End(Outcome),
}

/// The choice of a hook after an error; only [`ChainControl`] makes one.
#[derive(Debug)]
#[must_use = "a hook returns its choice"]
pub struct ErrorFlow<R>(pub(crate) Failure<R>);

#[derive(Debug)]
pub(crate) enum Failure<R> {
    Propagate,
    Stop,
    Retry,
    Replace(R),
    Fail(ToolError),
}

/// The choice of a hook after a result; only [`ChainControl`] makes one.
#[derive(Debug)]
#[must_use = "a hook returns its choice"]
pub struct ResultFlow<R>(pub(crate) Success<R>);

#[derive(Debug)]
pub(crate) enum Success<R> {
    Proceed(R),
    Stop(R),
    Fail(ToolError),
}

/// What a hook of results may return: the result, or a choice of [`ChainControl`].
pub trait IntoResultFlow<R> {
    /// As a choice.
    fn into_flow(self) -> ResultFlow<R>;
}

impl<R> IntoResultFlow<R> for R {
    fn into_flow(self) -> ResultFlow<R> {
        ResultFlow(Success::Proceed(self))
    }
}

impl<R> IntoResultFlow<R> for ResultFlow<R> {
    fn into_flow(self) -> ResultFlow<R> {
        self
    }
}
