//! A tool in a registry: what is called, and what surrounds every call of it.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::OnceLock,
    task::Poll,
};

use crate::{Error, Invocation, Outcome, Reply, Tool, ToolError, ToolSpec, block_on};

/// A tool in a registry. A panic of its function ends the call and nothing else.
pub struct RegisteredTool {
    name: Box<str>,
    tool: Box<dyn Tool>,
    spec: OnceLock<Result<ToolSpec, Error>>,
}

/// Whether the calling thread may be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Blocking,
    Async,
}

impl RegisteredTool {
    pub(crate) fn new(tool: Box<dyn Tool>) -> Self {
        Self { name: tool.name().into(), tool, spec: OnceLock::new() }
    }

    /// What the model calls it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tool itself.
    pub fn tool(&self) -> &dyn Tool {
        &*self.tool
    }

    /// What the model is told about it; made at the first call of this function and kept.
    ///
    /// # Errors
    /// [`Tool::spec`]'s.
    pub fn spec(&self) -> Result<&ToolSpec, &Error> {
        self.spec.get_or_init(|| self.tool.spec()).as_ref()
    }

    /// Calls it.
    pub fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        block_on(self.execute(Mode::Blocking, invocation, arguments, reply))
    }

    /// Calls it asynchronously. A tool with a synchronous function runs within a poll.
    pub async fn call_async(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.execute(Mode::Async, invocation, arguments, reply).await
    }

    async fn execute(&self, mode: Mode, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.attempt(mode, invocation, arguments, reply).await
    }

    async fn attempt(&self, mode: Mode, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let finished = match mode {
            Mode::Blocking => catch_unwind(AssertUnwindSafe(|| self.tool.call(invocation, arguments, reply))).ok(),
            Mode::Async => unwound(self.tool.call_async(invocation, arguments, reply)).await,
        };
        finished.unwrap_or_else(|| {
            let outcome = Outcome::Error(ToolError::handler("the tool panicked"));
            reply.set_outcome(&outcome);
            outcome
        })
    }
}

/// The output of a future, or `None` if it panicked; then it is not polled again.
async fn unwound<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

impl fmt::Debug for RegisteredTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegisteredTool").field("name", &self.name).finish_non_exhaustive()
    }
}
