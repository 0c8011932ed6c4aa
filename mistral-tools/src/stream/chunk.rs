//! Chunks: what a tool hands out before its result is complete.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

use crate::{
    conversation::cancel::CancellationToken,
    stream::{
        emitter::{EmitError, Emitter},
        streamed::{Collector, Streamed},
    },
    sync::park::block_on,
};

/// A piece of what a tool has to say, on its way to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The place of its call among the calls of the turn; 0 for a call of its own.
    pub call: usize,
    /// The text.
    pub text: String,
}

/// The handle through which a tool emits pieces of output while it works: the caller's [`Emitter`], if there is one. Without an emitter,
/// pieces are dropped before their text is made.
///
/// Chunks are for observers. The model reads the result that the function returns at the end. For a function that
/// [streams](crate::builder::Resulting::on_stream), the chunks are the result, so they are kept even if nobody watches.
///
/// A tool that waits for a place in the queue is woken when its emitter is cancelled. It is also woken when its own call is cancelled, for
/// instance by a time limit.
///
/// ```
/// use mistral_tools::{CancellationToken, stream::{Emitter, WhenFull}, Invocation, Reply, SchemaType, Tool, ToolBuilder};
///
/// let tool = ToolBuilder::named("count")
///     .description("Counts")
///     .request_schema::<u32>(SchemaType::JsonSchema(r#"{"type": "integer"}"#))
///     .result_schema::<u32>(SchemaType::Serde)
///     .on_invocation(|_, emitter, to, ()| {
///         for number in 1..=to {
///             emitter.emit_blocking_with(|| number.to_string())?; // ends the tool when nobody wants it any more
///         }
///         Ok(to)
///     })
///     .build()?;
///
/// let (emitter, chunks) = Emitter::bounded(8, WhenFull::Block, CancellationToken::new());
/// let mut reply = Reply::new();
/// assert!(tool.call(&Invocation::default().with_emitter(&emitter), b"3", &mut reply).is_success());
/// drop(emitter);
/// assert_eq!(chunks.map(|chunk| chunk.text).collect::<Vec<_>>(), ["1", "2", "3"]);
/// assert_eq!(reply.as_str(), "3");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkEmitter<'a> {
    emitter: Option<&'a Emitter<Chunk>>,
    call: usize,
    /// Of the call, beside that of the emitter.
    token: Option<&'a CancellationToken>,
    /// Keeps what is handed out, where that is the result.
    collector: Option<&'a Collector>,
}

impl<'a> ChunkEmitter<'a> {
    /// Hands out through `emitter`, for the call at this place of the turn.
    pub const fn new(emitter: &'a Emitter<Chunk>, call: usize) -> Self {
        Self { emitter: Some(emitter), call, token: None, collector: None }
    }

    /// Hands out to nobody.
    pub const fn silent() -> Self {
        Self { emitter: None, call: 0, token: None, collector: None }
    }

    /// Returns the emitter and the place of the call, for a thread that may be left behind.
    pub(crate) fn detached(&self) -> Option<(Emitter<Chunk>, usize)> {
        self.emitter.map(|emitter| (emitter.detached(), self.call))
    }

    /// The same for a call under this token.
    pub(crate) const fn under(mut self, token: Option<&'a CancellationToken>) -> Self {
        self.token = token;
        self
    }

    pub(crate) const fn collecting(mut self, collector: &'a Collector) -> Self {
        self.collector = Some(collector);
        self
    }

    /// What was handed out, if that is kept.
    pub(crate) fn collected(&self) -> Streamed {
        self.collector.map(Collector::take).unwrap_or_default()
    }

    /// Whether anybody takes chunks: the call was not given up, and there is an emitter whose queue is open, or the chunks are the
    /// result.
    pub fn is_open(&self) -> bool {
        let watched = self.emitter.is_some_and(|emitter| !emitter.is_closed());
        !self.is_cancelled() && (self.collector.is_some() || watched)
    }

    /// The token of the emitter, if there is one, else that of the call.
    pub fn token(&self) -> Option<&'a CancellationToken> {
        self.emitter.map(Emitter::token).or(self.token)
    }

    /// [`Emitter::try_emit`].
    ///
    /// # Errors
    /// Those of the emitter; without one only [`EmitError::Cancelled`]. Chunks that are the result are not refused because nobody watches
    /// any more.
    pub fn try_emit(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        let Some(emitter) = self.emitter else { return self.keep(|| text.into()) };
        let (chunk, copy) = self.chunk(text.into());
        self.settle(self.offer(emitter, chunk), copy)
    }

    /// [`Emitter::emit`]: waits for a place if the emitter is made so.
    ///
    /// # Errors
    /// As [`try_emit`](Self::try_emit).
    pub async fn emit(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        let Some(emitter) = self.emitter else { return self.keep(|| text.into()) };
        let (chunk, copy) = self.chunk(text.into());
        self.settle(self.wait(emitter, chunk).await, copy)
    }

    /// [`Emitter::emit_blocking`], for synchronous functions.
    ///
    /// # Errors
    /// As [`try_emit`](Self::try_emit).
    pub fn emit_blocking(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        self.emit_blocking_with(|| text.into())
    }

    /// Like [`emit_blocking`](Self::emit_blocking), with a text that is made only if somebody gets it.
    ///
    /// # Errors
    /// As [`try_emit`](Self::try_emit).
    pub fn emit_blocking_with(&self, text: impl FnOnce() -> String) -> Result<(), EmitError<Chunk>> {
        let Some(emitter) = self.emitter else { return self.keep(text) };
        let (chunk, copy) = self.chunk(text());
        let emitted = match self.offer(emitter, chunk) {
            Err(EmitError::Full(chunk)) if emitter.waits() => block_on(self.wait(emitter, chunk)),
            emitted => emitted,
        };
        self.settle(emitted, copy)
    }

    fn is_cancelled(&self) -> bool {
        self.token.is_some_and(CancellationToken::is_cancelled)
    }

    /// Hands out to nobody but the result.
    fn keep(&self, text: impl FnOnce() -> String) -> Result<(), EmitError<Chunk>> {
        if self.is_cancelled() {
            return Err(EmitError::Cancelled(Chunk { call: self.call, text: text() }));
        }
        if let Some(collector) = self.collector {
            collector.push(&text());
        }
        Ok(())
    }

    fn offer(&self, emitter: &Emitter<Chunk>, chunk: Chunk) -> Result<(), EmitError<Chunk>> {
        if self.is_cancelled() { Err(EmitError::Cancelled(chunk)) } else { emitter.try_emit(chunk) }
    }

    async fn wait(&self, emitter: &Emitter<Chunk>, chunk: Chunk) -> Result<(), EmitError<Chunk>> {
        let Some(token) = self.token else { return emitter.emit(chunk).await };
        if token.is_cancelled() {
            return Err(EmitError::Cancelled(chunk));
        }
        let (mut emit, mut cancelled) = (emitter.emit(chunk), pin!(token.cancelled()));
        poll_fn(|context| {
            // First: after the cancellation nothing is handed out, though there may be a place.
            if cancelled.as_mut().poll(context).is_ready()
                && let Some(chunk) = emit.withdraw()
            {
                return Poll::Ready(Err(EmitError::Cancelled(chunk)));
            }
            Pin::new(&mut emit).poll(context)
        })
        .await
    }

    /// A chunk, and its text once more if that is part of the result.
    fn chunk(&self, text: String) -> (Chunk, Option<String>) {
        let copy = self.collector.map(|_| text.clone());
        (Chunk { call: self.call, text }, copy)
    }

    /// What came of a chunk. That nobody watches is nothing to a function whose chunks the model reads.
    fn settle(&self, emitted: Result<(), EmitError<Chunk>>, copy: Option<String>) -> Result<(), EmitError<Chunk>> {
        match (emitted, self.collector, copy) {
            (Ok(()) | Err(EmitError::Closed(_)), Some(collector), Some(copy)) => {
                collector.push(&copy);
                Ok(())
            }
            (emitted, ..) => emitted,
        }
    }
}
