//! Chunks: what a tool hands out before its result is complete.

use crate::{CancellationToken, EmitError, Emitter};

/// A piece of what a tool has to say, on its way to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The place of its call among the calls of the turn; 0 for a call of its own.
    pub call: usize,
    /// The text.
    pub text: String,
}

/// What a tool hands out pieces through while it works: the [`Emitter`] of the caller, if there is one. Without it they are dropped,
/// and their text is not even made.
///
/// Chunks are for those who watch. What the model reads is the result that the function returns in the end.
///
/// ```
/// use mistral_tools::{CancellationToken, Emitter, Invocation, Reply, SchemaType, Tool, ToolBuilder, WhenFull};
///
/// let tool = ToolBuilder::named("count")
///     .description("Counts")
///     .request_schema::<u32>(SchemaType::JsonSchema(r#"{"type": "integer"}"#))
///     .result_schema::<u32>(SchemaType::Serde)
///     .on_invocation(|_, emitter, to, ()| {
///         for number in 1..=to {
///             emitter.emit_blocking_with(|| number.to_string())?; // ends the tool when nobody wants it any more
///         }
///         Ok::<_, mistral_tools::EmitError<mistral_tools::Chunk>>(to)
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
}

impl<'a> ChunkEmitter<'a> {
    /// Hands out through `emitter`, for the call at this place of the turn.
    pub const fn new(emitter: &'a Emitter<Chunk>, call: usize) -> Self {
        Self { emitter: Some(emitter), call }
    }

    /// Hands out to nobody.
    pub const fn silent() -> Self {
        Self { emitter: None, call: 0 }
    }

    /// Whether anybody takes chunks: there is an emitter, and its queue is open.
    pub fn is_open(&self) -> bool {
        self.emitter.is_some_and(|emitter| !emitter.is_closed())
    }

    /// The token of the emitter, if there is one.
    pub fn token(&self) -> Option<&'a CancellationToken> {
        self.emitter.map(Emitter::token)
    }

    /// [`Emitter::try_emit`].
    ///
    /// # Errors
    /// Those of the emitter; none without one.
    pub fn try_emit(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        self.emitter.map_or(Ok(()), |emitter| emitter.try_emit(self.chunk(text.into())))
    }

    /// [`Emitter::emit`]: waits for a place if the emitter is made so.
    ///
    /// # Errors
    /// Those of the emitter; none without one.
    pub async fn emit(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        match self.emitter {
            Some(emitter) => emitter.emit(self.chunk(text.into())).await,
            None => Ok(()),
        }
    }

    /// [`Emitter::emit_blocking`], for synchronous functions.
    ///
    /// # Errors
    /// Those of the emitter; none without one.
    pub fn emit_blocking(&self, text: impl Into<String>) -> Result<(), EmitError<Chunk>> {
        self.emit_blocking_with(|| text.into())
    }

    /// Like [`emit_blocking`](Self::emit_blocking), with a text that is made only if there is an emitter.
    ///
    /// # Errors
    /// Those of the emitter; none without one.
    pub fn emit_blocking_with(&self, text: impl FnOnce() -> String) -> Result<(), EmitError<Chunk>> {
        self.emitter.map_or(Ok(()), |emitter| emitter.emit_blocking(self.chunk(text())))
    }

    fn chunk(&self, text: String) -> Chunk {
        Chunk { call: self.call, text }
    }
}
