//! Chunks of a result on their way from a tool to who asked, while the tool still runs.
//!
//! A bounded queue between them gives backpressure: a tool that produces faster than its chunks are taken waits, forgets
//! the oldest, or is told. The queue is `concurrent-queue`'s, whose closing is part of its own protocol, so that a chunk
//! that was accepted is delivered or dropped with the receiver and never lost in between; the waiting is `event-listener`'s.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use concurrent_queue::{ConcurrentQueue, ForcePushError, PopError, PushError};
use futures_core::Stream;

use crate::sync::{Arc, Event, EventListener};
use crate::{conversation::cancel::CancellationToken, metrics::counter::RelaxedCounter, sync::park::block_on};

/// The most chunks that a queue can be asked to hold.
const LARGEST: usize = 1 << 16;

/// What an emitter does when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// Waits until a chunk is taken. [`Emitter::try_emit`], which cannot wait, fails.
    #[default]
    Block,
    /// Forgets the oldest chunk, and counts it in [`Emitter::dropped`]. For progress reports, of which the latest counts.
    DropOldest,
    /// Fails.
    Error,
}

/// A chunk was not accepted; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError<T> {
    /// The queue is full.
    #[error("the queue of chunks is full")]
    Full(T),
    /// Nobody will take it: the receiver is gone, or the emitter was closed.
    #[error("nobody takes the chunks any more")]
    Closed(T),
    /// The call was cancelled.
    #[error("the call was cancelled")]
    Cancelled(T),
}

impl<T> EmitError<T> {
    /// The chunk.
    pub fn into_chunk(self) -> T {
        match self {
            Self::Full(chunk) | Self::Closed(chunk) | Self::Cancelled(chunk) => chunk,
        }
    }
}

impl<T> fmt::Debug for EmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
            Self::Cancelled(_) => "Cancelled(..)",
        })
    }
}

/// Why there is no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoChunk {
    /// None yet.
    #[error("no chunk yet")]
    Empty,
    /// None, and none will come.
    #[error("no more chunks")]
    Ended,
}

struct Shared<T> {
    queue: ConcurrentQueue<T>,
    when_full: WhenFull,
    token: CancellationToken,
    /// A chunk came, or none will.
    chunk: Event,
    /// A place became free, or nobody will take chunks.
    place: Event,
    dropped: RelaxedCounter,
}

impl<T> Shared<T> {
    fn close(&self) {
        if self.queue.close() {
            self.chunk.notify(usize::MAX);
            self.place.notify(usize::MAX);
        }
    }
}

/// The tool's end. Clones emit into the same queue, which ends when the last of them is dropped.
///
/// ```
/// use mistral_tools::{CancellationToken, stream::{Emitter, WhenFull}};
/// let (emitter, chunks) = Emitter::bounded(2, WhenFull::Block, CancellationToken::new());
/// let tool = std::thread::spawn(move || {
///     for part in ["Rain ", "until ", "noon."] {
///         if emitter.emit_blocking(part).is_err() {
///             return; // nobody listens any more
///         }
///     }
/// });
/// assert_eq!(chunks.collect::<String>(), "Rain until noon.");
/// # tool.join().unwrap();
/// ```
///
/// Cost: a chunk takes some tens of nanoseconds and no allocation while nobody sleeps. Waiting allocates a listener.
///
/// # Synchronization
/// | variable | changed by | seen by | order and reason |
/// |---|---|---|---|
/// | `queue` | emitters push, the receiver pops, either closes | both | its own: a push releases the chunk to the pop that takes it, and a push that returns before the closing is popped before the end |
/// | `chunk` | notified after a push and after closing | the receiver listens, then looks at the queue again, then sleeps | notification and listening are sequentially consistent fences: the receiver sees the chunk, or the notification sees the receiver |
/// | `place` | notified once for each chunk taken, and for all after closing | emitters listen, then try again, then sleep | the same; a notified emitter that is dropped hands the notification on |
/// | `token` | whoever cancels | both listen as above | that of [`CancellationToken`] |
///
/// Free of locks is the queue, so that threads that emit and take do not wait for each other, except that a thread which is
/// suspended in the middle of a push holds up whoever comes to its place. Waking a thread that sleeps takes a short lock
/// of `event-listener`.
pub struct Emitter<T> {
    end: Arc<EmittingEnd<T>>,
}

/// Closes the queue with the last emitter.
struct EmittingEnd<T> {
    shared: Arc<Shared<T>>,
    closes: bool,
}

impl<T> Drop for EmittingEnd<T> {
    fn drop(&mut self) {
        if self.closes {
            self.shared.close();
        }
    }
}

impl<T> Emitter<T> {
    /// Both ends of a queue for `capacity` chunks, 1 to 65,536; other values are brought into range. `token` is that of the
    /// call: when it is cancelled no chunk is accepted, whoever waits is woken, and the receiver ends after the chunks that
    /// are there.
    pub fn bounded(capacity: usize, when_full: WhenFull, token: CancellationToken) -> (Self, Chunks<T>) {
        let shared = Arc::new(Shared {
            queue: ConcurrentQueue::bounded(capacity.clamp(1, LARGEST)),
            when_full,
            token,
            chunk: Event::new(),
            place: Event::new(),
            dropped: RelaxedCounter::new(),
        });
        let chunks = Chunks { shared: shared.clone(), chunk: None, cancelled: None };
        (Self { end: Arc::new(EmittingEnd { shared, closes: true }) }, chunks)
    }

    /// Emits a chunk, if that is possible now.
    ///
    /// # Errors
    /// [`EmitError::Full`] unless the oldest is dropped; [`EmitError::Closed`], [`EmitError::Cancelled`].
    pub fn try_emit(&self, chunk: T) -> Result<(), EmitError<T>> {
        let shared = self.shared();
        if shared.token.is_cancelled() {
            return Err(EmitError::Cancelled(chunk));
        }
        if shared.when_full == WhenFull::DropOldest {
            match shared.queue.force_push(chunk) {
                Ok(None) => {}
                Ok(Some(_oldest)) => {
                    shared.dropped.inc();
                }
                Err(ForcePushError(chunk)) => return Err(self.refused(chunk)),
            }
        } else {
            match shared.queue.push(chunk) {
                Ok(()) => {}
                Err(PushError::Full(chunk)) => return Err(EmitError::Full(chunk)),
                Err(PushError::Closed(chunk)) => return Err(self.refused(chunk)),
            }
        }
        shared.chunk.notify(1);
        Ok(())
    }

    /// The receiver closes the queue when it sees a cancellation; the tool is told of the cause.
    fn refused(&self, chunk: T) -> EmitError<T> {
        if self.shared().token.is_cancelled() { EmitError::Cancelled(chunk) } else { EmitError::Closed(chunk) }
    }

    /// Emits a chunk, once there is a place when the policy is [`WhenFull::Block`]. Dropped before its end, it has emitted
    /// nothing.
    ///
    /// # Errors
    /// As those of [`try_emit`](Self::try_emit); `Full` only by [`WhenFull::Error`].
    pub fn emit(&self, chunk: T) -> Emit<'_, T> {
        Emit { emitter: self, chunk: Some(chunk), place: None, cancelled: None }
    }

    /// As [`emit`](Self::emit), on a thread that may sleep; not in a task of an asynchronous runtime.
    ///
    /// # Errors
    /// As those of [`emit`](Self::emit).
    pub fn emit_blocking(&self, chunk: T) -> Result<(), EmitError<T>> {
        match self.try_emit(chunk) {
            Err(EmitError::Full(chunk)) if self.shared().when_full == WhenFull::Block => block_on(self.emit(chunk)),
            result => result,
        }
    }

    /// Ends the chunks for all clones; those that were accepted are still delivered.
    pub fn close(&self) {
        self.shared().close();
    }

    /// Whether chunks are refused: closed from either end, or cancelled.
    pub fn is_closed(&self) -> bool {
        self.shared().queue.is_closed() || self.shared().token.is_cancelled()
    }

    /// The token of the call, to look at between pieces of work that emit nothing.
    pub fn token(&self) -> &CancellationToken {
        &self.shared().token
    }

    /// How many chunks were forgotten by [`WhenFull::DropOldest`].
    pub fn dropped(&self) -> u64 {
        self.shared().dropped.get()
    }

    /// Returns an emitter into the same queue that does not keep the queue open: for a thread that may be left behind.
    pub(crate) fn detached(&self) -> Self {
        Self { end: Arc::new(EmittingEnd { shared: self.end.shared.clone(), closes: false }) }
    }

    /// Whether to emit may mean to wait.
    pub(crate) fn waits(&self) -> bool {
        self.shared().when_full == WhenFull::Block
    }

    fn shared(&self) -> &Shared<T> {
        &self.end.shared
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        Self { end: self.end.clone() }
    }
}

impl<T> fmt::Debug for Emitter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("when_full", &self.shared().when_full)
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// The future of [`Emitter::emit`].
#[must_use = "a chunk is not emitted unless this is awaited"]
pub struct Emit<'a, T> {
    emitter: &'a Emitter<T>,
    chunk: Option<T>,
    place: Option<EventListener>,
    cancelled: Option<EventListener>,
}

impl<T> Emit<'_, T> {
    /// The chunk, if it was not emitted; then it never is.
    pub(crate) fn withdraw(&mut self) -> Option<T> {
        self.chunk.take()
    }
}

// The chunk is moved, never pinned.
impl<T> Unpin for Emit<'_, T> {}

impl<T> Future for Emit<'_, T> {
    type Output = Result<(), EmitError<T>>;

    /// Pending after its end, as an ended future may be.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let shared = this.emitter.shared();
        while let Some(chunk) = this.chunk.take() {
            match this.emitter.try_emit(chunk) {
                Err(EmitError::Full(chunk)) if shared.when_full == WhenFull::Block => this.chunk = Some(chunk),
                result => {
                    (this.place, this.cancelled) = (None, None);
                    return Poll::Ready(result);
                }
            }
            if sleep([(&mut this.place, &shared.place), (&mut this.cancelled, shared.token.event())], context) {
                break;
            }
        }
        Poll::Pending
    }
}

impl<T> fmt::Debug for Emit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").field("done", &self.chunk.is_none()).finish_non_exhaustive()
    }
}

/// Whether to sleep until one of the events. If not, whatever is waited for must be looked at again: one of them happened, or
/// is listened to only now.
fn sleep(events: [(&mut Option<EventListener>, &Event); 2], context: &mut Context<'_>) -> bool {
    let mut sleeps = true;
    for (listener, event) in events {
        match listener {
            None => {
                *listener = Some(event.listen());
                sleeps = false;
            }
            Some(listening) => {
                if Pin::new(listening).poll(context).is_ready() {
                    *listener = None;
                    sleeps = false;
                }
            }
        }
    }
    sleeps
}

/// The caller's end: the chunks as an iterator, which sleeps, and as a stream, which does not. Dropped, it refuses what the
/// tool still emits.
///
/// It is fused: once it has ended it stays so.
///
/// ```
/// use mistral_tools::{CancellationToken, stream::{EmitError, Emitter, NoChunk, WhenFull}};
/// let (emitter, mut chunks) = Emitter::bounded(8, WhenFull::Error, CancellationToken::new());
/// assert_eq!(chunks.try_next(), Err(NoChunk::Empty));
/// emitter.try_emit(1)?;
/// emitter.close();
/// assert_eq!((chunks.next(), chunks.next()), (Some(1), None));
/// drop(chunks);
/// assert!(matches!(emitter.try_emit(2), Err(EmitError::Closed(2))));
/// # Ok::<(), EmitError<i32>>(())
/// ```
pub struct Chunks<T> {
    shared: Arc<Shared<T>>,
    chunk: Option<EventListener>,
    cancelled: Option<EventListener>,
}

impl<T> Chunks<T> {
    /// The next chunk, if it is there.
    ///
    /// # Errors
    /// [`NoChunk::Empty`] now, [`NoChunk::Ended`] for ever.
    pub fn try_next(&mut self) -> Result<T, NoChunk> {
        let shared = &*self.shared;
        if shared.token.is_cancelled() {
            // Before the look at the queue: what was accepted until now is found there, and nothing is accepted after.
            shared.close();
        }
        match shared.queue.pop() {
            Ok(chunk) => {
                shared.place.notify_additional(1);
                Ok(chunk)
            }
            Err(PopError::Empty) => Err(NoChunk::Empty),
            Err(PopError::Closed) => Err(NoChunk::Ended),
        }
    }

    /// Refuses chunks from now on; those that were accepted can still be taken.
    pub fn close(&self) {
        self.shared.close();
    }

    /// How many chunks wait to be taken.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether no chunk waits to be taken; more may come.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// How many chunks were forgotten by [`WhenFull::DropOldest`].
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.get()
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.try_next() {
                Err(NoChunk::Empty) => {}
                result => {
                    (self.chunk, self.cancelled) = (None, None);
                    return Poll::Ready(result.ok());
                }
            }
            let shared = &*self.shared;
            if sleep([(&mut self.chunk, &shared.chunk), (&mut self.cancelled, shared.token.event())], context) {
                return Poll::Pending;
            }
        }
    }
}

impl<T> Stream for Chunks<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_chunk(context)
    }
}

impl<T> Iterator for Chunks<T> {
    type Item = T;

    /// Sleeps until a chunk comes or none will.
    fn next(&mut self) -> Option<T> {
        match self.try_next() {
            Err(NoChunk::Empty) => block_on(std::future::poll_fn(|context| self.poll_chunk(context))),
            result => result.ok(),
        }
    }
}

impl<T> std::iter::FusedIterator for Chunks<T> {}

impl<T> Drop for Chunks<T> {
    fn drop(&mut self) {
        self.shared.close();
        // What was accepted ends here, not with the last emitter.
        while self.shared.queue.pop().is_ok() {}
    }
}

impl<T> fmt::Debug for Chunks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("len", &self.len()).field("closed", &self.shared.queue.is_closed()).finish()
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
