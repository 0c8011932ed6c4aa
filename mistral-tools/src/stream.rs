//! Streams out of a running call: chunks of output, and the bounded queue that carries them.
//!
//! A tool emits [`Chunk`]s through its [`ChunkEmitter`]. The host makes an [`Emitter`] with its [`Chunks`], chooses what happens
//! [when the queue is full](WhenFull), and reads the chunks as an iterator or a stream. [`Streamed`] is the result of a tool whose chunks
//! are its result.

pub(crate) mod chunk;
pub(crate) mod emitter;
pub(crate) mod streamed;

pub use chunk::{Chunk, ChunkEmitter};
pub use emitter::{Chunks, Emit, EmitError, Emitter, NoChunk, WhenFull};
pub use streamed::Streamed;
