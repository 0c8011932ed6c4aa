//! Functions of tools: synchronous and asynchronous ones behind one trait.

use std::{
    future::{self, Future},
    marker::PhantomData,
};

use crate::{Arguments, ChunkEmitter, Conversation, Streamed, ToolError};

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

mod sealed {
    pub trait Sealed {}
}

/// A synchronous function.
pub struct Blocking<F, E>(pub(crate) F, pub(crate) PhantomData<fn() -> E>);

impl<F, E> sealed::Sealed for Blocking<F, E> {}

impl<A, D, R, E, F> Invoke<A, D, R> for Blocking<F, E>
where
    A: Arguments,
    D: 'static,
    R: Send + 'static,
    E: Into<ToolError> + 'static,
    F: for<'a> Fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> Result<R, E> + Send + Sync + 'static,
{
    const BLOCKING: bool = true;

    fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> impl Future<Output = Result<R, ToolError>> + Send {
        future::ready(self.0(conversation, emitter, arguments, dependency).map_err(Into::into))
    }
}

/// An asynchronous function.
pub struct Asynchronous<F, E>(pub(crate) F, pub(crate) PhantomData<fn() -> E>);

impl<F, E> sealed::Sealed for Asynchronous<F, E> {}

impl<A, D, R, E, F> Invoke<A, D, R> for Asynchronous<F, E>
where
    A: Arguments,
    D: Sync + 'static,
    R: Send + 'static,
    E: Into<ToolError> + Send + 'static,
    F: for<'a> AsyncFunction<'a, A, D, R, E> + 'static,
{
    const BLOCKING: bool = false;

    async fn invoke<'a>(
        &'a self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> Result<R, ToolError> {
        self.0.start(conversation, emitter, arguments, dependency).await.map_err(Into::into)
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

/// What `AsyncFn` cannot say: that the future can be sent to another thread. Every asynchronous closure whose future can has it.
pub trait AsyncFunction<'a, A: Arguments, D, R, E>: Send + Sync {
    /// What the closure returns.
    type Future: Future<Output = Result<R, E>> + Send + 'a;

    /// Calls it.
    fn start(
        &self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> Self::Future;
}

impl<'a, A, D, R, E, F, O> AsyncFunction<'a, A, D, R, E> for F
where
    A: Arguments,
    D: 'a,
    F: Fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, A::At<'a>, &'a D) -> O + Send + Sync,
    O: Future<Output = Result<R, E>> + Send + 'a,
{
    type Future = O;

    fn start(
        &self,
        conversation: &'a Conversation<'a>,
        emitter: &'a ChunkEmitter<'a>,
        arguments: A::At<'a>,
        dependency: &'a D,
    ) -> O {
        self(conversation, emitter, arguments, dependency)
    }
}
