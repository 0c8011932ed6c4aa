//! Cancellation: one side says stop, the other looks now and then, or waits to be told.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::sync::{AtomicBool, Event, EventListener, Ordering};

/// Says whether something is still wanted. Clones are the same token.
///
/// A [`child`](Self::child) is cancelled with its parent, and can be cancelled alone: a token for the session, one for the
/// turn, one for each call.
///
/// ```
/// use mistral_tools::CancellationToken;
/// let turn = CancellationToken::new();
/// let (first, second) = (turn.child(), turn.child());
/// first.cancel();
/// assert!(first.is_cancelled() && !second.is_cancelled() && !turn.is_cancelled());
/// turn.cancel();
/// assert!(second.is_cancelled());
/// mistral_tools::block_on(second.cancelled());
/// ```
///
/// Cost: a look is one load for the token and one for each of its ancestors. Waking goes to everyone who waits in the same
/// family, who look again.
///
/// # Synchronization
/// | variable | written by | read by | order and reason |
/// |---|---|---|---|
/// | `cancelled` | `cancel`, once, false to true | `is_cancelled`, waiters | released and acquired: who sees it sees what was written before the cancellation |
/// | `event` | `cancel` notifies after the flag | waiters listen before they look at the flag | the notification and the listening are both sequentially consistent fences: either the waiter sees the flag, or the notification sees the waiter |
///
/// The links from child to parent never change, so nothing needs a lock and children leave nothing behind in a parent.
#[derive(Clone)]
pub struct CancellationToken(Arc<Node>);

struct Node {
    cancelled: AtomicBool,
    parent: Option<Arc<Node>>,
    /// One for the whole family.
    event: Arc<Event>,
}

impl CancellationToken {
    /// A token of its own.
    pub fn new() -> Self {
        Self(Arc::new(Node { cancelled: AtomicBool::new(false), parent: None, event: Arc::new(Event::new()) }))
    }

    /// A token that is cancelled with this one, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let (parent, event) = (Some(self.0.clone()), self.0.event.clone());
        Self(Arc::new(Node { cancelled: AtomicBool::new(false), parent, event }))
    }

    /// Cancels it and all below it. There is no way back.
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Ordering::Release) {
            self.0.event.notify(usize::MAX);
        }
    }

    /// Whether it or one above it was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        let mut node = Some(&self.0);
        while let Some(current) = node {
            if current.cancelled.load(Ordering::Acquire) {
                return true;
            }
            node = current.parent.as_ref();
        }
        false
    }

    /// Ends when it is cancelled; at once when it is already.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { token: self, listener: None }
    }

    /// Notified after it, or any other token of its family, was cancelled.
    pub(crate) fn event(&self) -> &Event {
        &self.0.event
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancellationToken").field(&self.is_cancelled()).finish()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not by recursion, which a long line of children would take too deep.
        let mut parent = self.parent.take();
        while let Some(node) = parent {
            parent = Arc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

/// The future of [`CancellationToken::cancelled`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Cancelled<'a> {
    token: &'a CancellationToken,
    listener: Option<EventListener>,
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.token.is_cancelled() {
                self.listener = None;
                return Poll::Ready(());
            }
            match &mut self.listener {
                // Look once more: it may have been cancelled before we listened.
                None => self.listener = Some(self.token.0.event.listen()),
                Some(listener) => match Pin::new(listener).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.listener = None,
                },
            }
        }
    }
}

impl fmt::Debug for Cancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.token.is_cancelled()).finish()
    }
}

/// The output of a future, or `None` if the token is cancelled before; then the future is dropped.
pub(crate) async fn unless_cancelled<F: Future>(token: Option<&CancellationToken>, future: F) -> Option<F::Output> {
    let Some(token) = token else { return Some(future.await) };
    let (mut future, mut cancelled) = (pin!(future), pin!(token.cancelled()));
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => cancelled.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
