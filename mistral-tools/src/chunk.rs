//! Chunks: what a tool hands out before its result is complete.

/// Hands out pieces of a result while the tool still works. Nobody need be listening.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkEmitter<'a>(std::marker::PhantomData<&'a ()>);

impl ChunkEmitter<'_> {
    /// An emitter to which nobody listens.
    pub const fn silent() -> Self {
        Self(std::marker::PhantomData)
    }
}
