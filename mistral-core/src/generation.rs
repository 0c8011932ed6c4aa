//! A generation in progress, as its user sees it: blocking iterator, stream, or the whole text at once.

use std::borrow::BorrowMut;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};

use crate::error::Error;
use crate::event::{FinishReason, TextPiece, Usage};
use crate::feed::{End, Feed, Next};
use crate::sample::logprobs::Logprobs;
use crate::worker::Handle;

/// A running generation of text, returned by [`Model::generate`](crate::Model::generate).
///
/// Read it with a `for` loop, which blocks the thread between pieces, or as a [`Stream`] from any executor. Both yield
/// `Result<TextPiece, Error>` and end after the last piece or the first error. The type is not an `Iterator` itself, so that `next` of
/// `StreamExt` stays unambiguous; [`iter`](Self::iter) returns an iterator that borrows it.
///
/// Dropping the generation cancels it. Its place in the queue is free at once; the engine stops working on it and frees its cache blocks
/// within one step. Unread pieces wait in memory, at most the request's `max_tokens` of them. A slow reader slows nobody down.
#[must_use = "dropping a generation cancels it"]
pub struct Generation {
    feed: Arc<Feed>,
    end: Option<End>,
    /// Keeps the worker alive, and receives a cancellation.
    handle: Arc<Handle>,
}

/// A blocking iterator over the pieces of a [`Generation`]; from its `into_iter` and `iter`.
#[derive(Debug)]
pub struct Pieces<G = Generation>(G);

/// A whole generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// All text.
    pub text: String,
    /// All tokens, without the one that ended the generation.
    pub tokens: Vec<u32>,
    /// One for each of `tokens`, if the request asked for them.
    pub logprobs: Vec<Logprobs>,
    /// Why it ended.
    pub reason: FinishReason,
    /// What it took.
    pub usage: Usage,
}

impl Generation {
    pub(crate) fn new(feed: Arc<Feed>, handle: Arc<Handle>) -> Self {
        Self { feed, end: None, handle }
    }

    /// Blocks for each piece; what was read already does not come again.
    pub fn iter(&mut self) -> Pieces<&mut Self> {
        Pieces(self)
    }

    /// Asks for the end, within one step. Pieces made before still come, then the end with [`FinishReason::Cancelled`].
    pub fn cancel(&self) {
        self.handle.cancel(&self.feed);
    }

    /// Why it ended; `None` before the last piece was read, and after an error.
    pub fn reason(&self) -> Option<FinishReason> {
        self.end.as_ref()?.as_ref().ok().map(|end| end.0)
    }

    /// What it took; `None` before the last piece was read, and after an error.
    pub fn usage(&self) -> Option<Usage> {
        self.end.as_ref()?.as_ref().ok().map(|end| end.1)
    }

    /// Blocks until the end and returns the text that was not read yet.
    ///
    /// # Errors
    /// The error that ended the sequence.
    pub fn text(self) -> Result<String, Error> {
        Ok(self.complete()?.text)
    }

    /// Blocks until the end and returns everything that was not read yet.
    ///
    /// # Errors
    /// The error that ended the sequence.
    pub fn complete(mut self) -> Result<Completion, Error> {
        let mut all = TextPiece::default();
        for piece in self.iter() {
            let piece = piece?;
            all.text += &piece.text;
            all.tokens.extend(piece.tokens);
            all.logprobs.extend(piece.logprobs);
        }
        // The iterator ends only after the end came; its error was given out before, or here again.
        let lost = Error::Internal { what: "the pieces of a generation ended before the generation" };
        let (reason, usage) = self.end.take().unwrap_or(Err(lost))?;
        Ok(Completion { text: all.text, tokens: all.tokens, logprobs: all.logprobs, reason, usage })
    }

    /// Remembers the end; an error comes out once.
    fn take(&mut self, next: Next) -> Option<Result<TextPiece, Error>> {
        match next {
            Next::Piece(piece) => Some(Ok(piece)),
            Next::End(end) => {
                let error = end.as_ref().err().cloned().map(Err);
                self.end = Some(end);
                error
            }
        }
    }
}

impl<G: BorrowMut<Generation>> Iterator for Pieces<G> {
    type Item = Result<TextPiece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let generation = self.0.borrow_mut();
        if generation.end.is_some() {
            return None;
        }
        let next = generation.feed.wait();
        generation.take(next)
    }
}

impl IntoIterator for Generation {
    type Item = Result<TextPiece, Error>;
    type IntoIter = Pieces;

    fn into_iter(self) -> Pieces {
        Pieces(self)
    }
}

impl<'a> IntoIterator for &'a mut Generation {
    type Item = Result<TextPiece, Error>;
    type IntoIter = Pieces<&'a mut Generation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Stream for Generation {
    type Item = Result<TextPiece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        match self.feed.poll(task) {
            Poll::Ready(next) => Poll::Ready(self.take(next)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl FusedStream for Generation {
    fn is_terminated(&self) -> bool {
        self.end.is_some()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.handle.cancel(&self.feed);
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("end", &self.end).finish_non_exhaustive()
    }
}
