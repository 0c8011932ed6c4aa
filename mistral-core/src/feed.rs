//! The way of one generation's pieces from the worker thread to whoever reads them: a thread that blocks or a task that polls.
//!
//! The buffer is not bounded by a capacity: the worker never waits for a slow reader, so one stream cannot hold up the
//! others. It is bounded by the request's `max_tokens` and the context length, a few bytes a token.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::event::{FinishReason, TextPiece, Usage};

/// How a generation ended.
pub(crate) type End = Result<(FinishReason, Usage), Error>;

/// What comes next out of a feed.
#[derive(Debug)]
pub(crate) enum Next {
    Piece(TextPiece),
    End(End),
}

/// A queue with one writer and one reader.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    ready: Condvar,
    /// Set by the reader, read by the worker between steps. It guards no other data, so relaxed order is enough.
    cancelled: AtomicBool,
    /// Set once the place in the queue is free. Written under the lock of the worker's inbox, so relaxed order is enough.
    released: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<TextPiece>,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Feed {
    /// Adds a piece and wakes the reader.
    pub(crate) fn push(&self, piece: TextPiece) {
        let mut state = self.lock();
        state.pieces.push_back(piece);
        self.wake(state);
    }

    /// Ends the feed and wakes the reader. Only the first end counts.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        self.wake(state);
    }

    /// Asks the worker to end the sequence.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the reader has asked for the end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Marks the place in the queue as free. Returns whether it was taken until now; the caller holds the lock of the inbox.
    pub(crate) fn release(&self) -> bool {
        !self.released.swap(true, Ordering::Relaxed)
    }

    /// Waits for what comes next.
    pub(crate) fn wait(&self) -> Next {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.next() {
                return next;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What comes next, or a promise to wake the task.
    pub(crate) fn poll(&self, task: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.lock();
        match state.next() {
            Some(next) => Poll::Ready(next),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(task.waker()),
                    none => *none = Some(task.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        self.ready.notify_one();
        if let Some(waker) = waker {
            // Wakers are the user's code, and the worker serves others as well.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self) -> Option<Next> {
        let piece = self.pieces.pop_front().map(Next::Piece);
        piece.or_else(|| self.end.clone().map(Next::End))
    }
}
