//! The thread that drives an engine, and the handle by which it is kept and stopped.
//!
//! It sleeps on a condition variable while there is nothing to do. Between two steps it takes in new requests and ends
//! cancelled ones. A panic in it ends every generation with a typed error instead of leaving readers waiting.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::engine::{Engine, EngineStep};
use crate::error::Error;
use crate::event::{EventKind, FinishReason, Usage};
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::prepared::Prepared;
use crate::request::{Request, SequenceId};
use crate::shape::Shape;
use crate::text::TextModel;

/// Owns the worker thread: dropping it stops the thread.
#[derive(Debug)]
pub(crate) struct Handle {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
    text: TextModel,
    shape: Shape,
    capacity: usize,
}

/// What the users' threads and the worker share.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    submissions: VecDeque<Submission>,
    /// The number of generations that hold a place: submitted, not ended, not cancelled by their reader.
    live: usize,
    metrics: Metrics,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// The handle is gone.
    Closed,
    Panicked,
}

/// A request on its way to the engine.
#[derive(Debug)]
struct Submission {
    prepared: Prepared,
    feed: Arc<Feed>,
}

impl Handle {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Thread`] when the system gives none.
    pub(crate) fn new(engine: Engine) -> Result<Self, Error> {
        let inbox = Arc::new(Inbox::default());
        inbox.lock().metrics = engine.metrics();
        let (text, shape, capacity) = (engine.text().clone(), engine.shape(), engine.capacity());
        let worker = Worker { engine, inbox: Arc::clone(&inbox), feeds: BTreeMap::new() };
        let thread = thread::Builder::new().name("mistral-engine".into()).spawn(|| worker.run());
        let thread = Some(thread.map_err(|error| Error::Thread(Arc::new(error)))?);
        Ok(Self { inbox, thread, text, shape, capacity })
    }

    /// Renders, tokenizes and checks a request on the caller's thread, then hands it to the worker.
    /// A deadline that passes on the way ends the sequence; it does not refuse the request.
    pub(crate) fn submit(&self, request: Request) -> Result<Arc<Feed>, Error> {
        let prepared = Prepared::new(request, &self.text, self.shape, Instant::now())?;
        let feed = Arc::new(Feed::default());
        let mut state = self.inbox.lock();
        if state.phase == Phase::Panicked {
            return Err(Error::WorkerPanicked);
        }
        if state.live >= self.capacity {
            return Err(Error::QueueFull { capacity: self.capacity });
        }
        state.live += 1;
        state.submissions.push_back(Submission { prepared, feed: Arc::clone(&feed) });
        drop(state);
        self.inbox.wake.notify_one();
        Ok(feed)
    }

    /// Cancels a generation. Its place is free when this returns; the worker frees the cache blocks before it takes in the next request.
    pub(crate) fn cancel(&self, feed: &Feed) {
        let mut state = self.inbox.lock();
        feed.cancel();
        state.release(feed);
    }

    pub(crate) fn text(&self) -> &TextModel {
        &self.text
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.inbox.lock().metrics
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        drop(state);
        self.inbox.wake.notify_one();
        let Some(thread) = self.thread.take() else { return };
        // A waker run by the worker may drop the last handle: a thread cannot wait for itself.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl State {
    /// Frees the place of a generation, once.
    fn release(&mut self, feed: &Feed) {
        if feed.release() {
            self.live = self.live.saturating_sub(1);
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs on the thread.
struct Worker {
    engine: Engine,
    inbox: Arc<Inbox>,
    feeds: BTreeMap<SequenceId, Arc<Feed>>,
}

impl Worker {
    fn run(mut self) {
        while self.receive() {
            let step = self.engine.step(Instant::now());
            self.deliver();
            debug_assert!(step != EngineStep::Idle || self.engine.is_idle());
        }
    }

    /// Ends cancelled sequences and takes in submitted ones; sleeps while there is nothing to do. Returns false once the handle is gone.
    ///
    /// Cancelled sequences go first, because submissions may already use their places.
    fn receive(&mut self) -> bool {
        let mut state = self.inbox.lock();
        while state.phase == Phase::Open && state.submissions.is_empty() && self.engine.is_idle() {
            state = self.inbox.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.phase != Phase::Open {
            return false;
        }
        let submissions = std::mem::take(&mut state.submissions);
        drop(state);
        let cancelled = self.feeds.iter().filter(|(_, feed)| feed.is_cancelled()).map(|(&id, _)| id);
        for id in cancelled.collect::<Vec<_>>() {
            self.engine.cancel(id);
        }
        for Submission { prepared, feed } in submissions {
            if feed.is_cancelled() {
                feed.end(Ok((FinishReason::Cancelled, Usage::default())));
                continue;
            }
            self.feeds.insert(self.engine.admit(prepared), feed);
        }
        true
    }

    /// Hands out the events. A place in the queue is free before the reader hears of the end.
    fn deliver(&mut self) {
        self.inbox.lock().metrics = self.engine.metrics();
        while let Some(event) = self.engine.poll_event() {
            let end = match event.kind {
                EventKind::Piece(piece) => {
                    if let Some(feed) = self.feeds.get(&event.sequence) {
                        feed.push(piece);
                    }
                    continue;
                }
                EventKind::Finished { reason, usage } => Ok((reason, usage)),
                EventKind::Failed(error) => Err(error),
            };
            if let Some(feed) = self.feeds.remove(&event.sequence) {
                self.inbox.lock().release(&feed);
                feed.end(end);
            }
        }
    }
}

impl Drop for Worker {
    /// Leaves no reader waiting, whether the handle is gone or a panic unwinds.
    fn drop(&mut self) {
        let panicked = thread::panicking();
        let mut state = self.inbox.lock();
        state.phase = if panicked { Phase::Panicked } else { Phase::Closed };
        let submissions = std::mem::take(&mut state.submissions);
        let feeds = std::mem::take(&mut self.feeds).into_values();
        let feeds: Vec<Arc<Feed>> = feeds.chain(submissions.into_iter().map(|s| s.feed)).collect();
        for feed in &feeds {
            state.release(feed);
        }
        drop(state);
        for feed in feeds {
            feed.end(match panicked {
                true => Err(Error::WorkerPanicked),
                false => Ok((FinishReason::Cancelled, Usage::default())),
            });
        }
    }
}
