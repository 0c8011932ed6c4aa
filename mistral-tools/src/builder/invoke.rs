//! Functions of tools: synchronous and asynchronous ones behind one trait.

use std::future::{self, Future};

use crate::{
    builder::arguments::Arguments,
    conversation::Conversation,
    outcome::tool_error::ToolError,
    stream::{chunk::ChunkEmitter, streamed::Streamed},
};

/// The function of a tool. Made by the builder from closures; sealed.
pub trait Invoke<A: Arguments, D, R>: sealed::Sealed + Send + Sync + 'static {
    /// Whether it never waits.
    const BLOCKING: bool;
    /// Whether its chunks are its result.
    const STREAMS: bool = false;

    /// Starts it. A synchronous function has run when this returns.
    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> impl Future<Output = Result<R, ToolError>> + Send;
}

pub(crate) mod sealed {
    pub trait Sealed {}

    /// A value that only this crate can make.
    #[derive(Debug)]
    pub struct Token;
}

/// A synchronous function.
pub struct Blocking<F>(pub(crate) F);

impl<F> sealed::Sealed for Blocking<F> {}

impl<A, D, R, F> Invoke<A, D, R> for Blocking<F>
where
    A: Arguments,
    D: 'static,
    R: Send + 'static,
    F: for<'a> Fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<R, ToolError>
        + Send
        + Sync
        + 'static,
{
    const BLOCKING: bool = true;

    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> impl Future<Output = Result<R, ToolError>> + Send {
        future::ready(self.0(conversation, emitter, arguments, dependency))
    }
}

/// An asynchronous function.
pub struct Asynchronous<F>(pub(crate) F);

impl<F> sealed::Sealed for Asynchronous<F> {}

impl<A, D, R, F> Invoke<A, D, R> for Asynchronous<F>
where
    A: Arguments,
    D: Sync + 'static,
    R: Send + 'static,
    F: for<'a> AsyncFunction<'a, A, D, R> + 'static,
{
    const BLOCKING: bool = false;

    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> impl Future<Output = Result<R, ToolError>> + Send {
        self.0.start(conversation, emitter, arguments, dependency)
    }
}

/// A function whose chunks are its result.
pub struct Streaming<I>(pub(crate) I);

impl<I> sealed::Sealed for Streaming<I> {}

impl<A: Arguments, D: Sync + 'static, I: Invoke<A, D, ()>> Invoke<A, D, Streamed> for Streaming<I> {
    const BLOCKING: bool = I::BLOCKING;
    const STREAMS: bool = true;

    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> impl Future<Output = Result<Streamed, ToolError>> + Send {
        let call = self.0.invoke(conversation, emitter, arguments, dependency);
        async move { call.await.map(|()| emitter.collected()) }
    }
}

/// An asynchronous closure that each call clones. This trait exists for the compiler's error message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` captures something that cannot be cloned",
    label = "each call clones what an asynchronous closure captures: wrap it in `Arc`"
)]
pub trait Cloned: Clone {}

#[diagnostic::do_not_recommend]
impl<F: Clone> Cloned for F {}

/// An asynchronous closure whose future can be sent to another thread.
///
/// `AsyncFn` cannot say that the future is `Send`, and `Fn` cannot say that a closure lends its captures to its future. Each call therefore
/// clones the closure, which costs as much as cloning its captures.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an asynchronous function of a tool",
    label = "expected `async |conversation, emitter, arguments, dependency| Ok(result)`",
    note = "captured values are moved into the closure (`async move |..|`), cloned for each call (wrap them in `Arc`), and `Send + Sync`",
    note = "the future must be `Send`: nothing like `Rc`, `RefCell` or a lock guard may be held across an `.await`",
    note = "what all calls share can also be a dependency: `.with(value)` after the description"
)]
pub trait AsyncFunction<'a, A: Arguments, D, R>: Send + Sync {
    /// The future that the closure returns.
    type Future: Future<Output = Result<R, ToolError>> + Send + 'a;

    /// Calls the closure.
    fn start(
        &self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> Self::Future;
}

impl<'a, A, D, R, F, O> AsyncFunction<'a, A, D, R> for F
where
    A: Arguments,
    D: 'a,
    F: FnOnce(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> O + Cloned + Send + Sync,
    O: Future<Output = Result<R, ToolError>> + Send + 'a,
{
    type Future = O;

    fn start(
        &self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> O {
        self.clone()(conversation, emitter, arguments, dependency)
    }
}
