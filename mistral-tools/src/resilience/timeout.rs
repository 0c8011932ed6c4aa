//! Time limits, and the guarantee of each.
//!
//! | what runs | at the limit |
//! |---|---|
//! | a future | it is dropped at its last `await`; nothing of it runs afterwards |
//! | a synchronous function, called asynchronously | its token is cancelled and the call ends; the function is left behind on a thread of its own, and its late result is discarded |
//! | a synchronous function, called synchronously | its token is cancelled; the caller waits until it returns, and its late result is discarded |
//!
//! Nothing can stop a function of the same process from outside. A function that never looks at its token never ends, and keeps its thread.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::conversation::cancel::CancellationToken;
use crate::time::{
    Moment,
    timer::{Sleep, Timer},
};

/// How long a call and each of its attempts may take. Without a limit, a call may take forever.
///
/// A limit ends every call of an asynchronous function, and every asynchronous call of a synchronous function.
/// [`call_async`](crate::ToolRegistry::call_async) runs a synchronous function on a thread of its own, and leaves the thread behind at the
/// limit. A synchronous [`call`](crate::ToolRegistry::call) of a synchronous function waits until the function returns. A function that
/// never looks at its [token](crate::Execution::token) holds that call past the limit.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{time::Moment, resilience::TimeoutPolicy};
/// let policy = TimeoutPolicy::NONE.call(Duration::from_secs(10)).attempt(Duration::from_secs(4));
/// let start = Moment::ORIGIN;
/// let deadline = policy.deadline(start);
/// assert_eq!(deadline, start + Duration::from_secs(10));
/// // An attempt that begins at 8 s has 2 s left.
/// assert_eq!(policy.attempt_deadline(start + Duration::from_secs(8), deadline), deadline);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeoutPolicy {
    call: Option<Duration>,
    attempt: Option<Duration>,
}

impl TimeoutPolicy {
    /// No limits.
    pub const NONE: Self = Self { call: None, attempt: None };

    /// Limits the total time of all attempts and the pauses between them. A synchronous call of a synchronous function does not end before
    /// the function returns.
    #[must_use]
    pub const fn call(mut self, limit: Duration) -> Self {
        self.call = Some(limit);
        self
    }

    /// Limits each attempt alone. A synchronous call of a synchronous function does not end before the function returns.
    #[must_use]
    pub const fn attempt(mut self, limit: Duration) -> Self {
        self.attempt = Some(limit);
        self
    }

    /// When a call that begins now must end.
    pub fn deadline(&self, now: Moment) -> Moment {
        self.call.map_or(Moment::FAR, |limit| now + limit)
    }

    /// When an attempt that begins now must end, in a call that must end by `deadline`.
    pub fn attempt_deadline(&self, now: Moment, deadline: Moment) -> Moment {
        self.attempt.map_or(deadline, |limit| deadline.min(now + limit))
    }

    /// These limits, and those of `outer` where there are none: a tool's over its registry's.
    #[must_use]
    pub fn or(self, outer: Self) -> Self {
        Self { call: self.call.or(outer.call), attempt: self.attempt.or(outer.attempt) }
    }
}

/// It took longer than it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it took longer than it was given")]
pub struct Elapsed;

/// The output of a future, if it ends by `deadline`. Otherwise the future is dropped before this returns.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{time::{Clock, SystemClock}, resilience::{Elapsed, timeout_at}, block_on};
/// let deadline = SystemClock.now() + Duration::from_millis(1);
/// let result = block_on(timeout_at(&SystemClock, deadline, std::future::pending::<()>()));
/// assert_eq!(result, Err(Elapsed));
/// ```
///
/// # Errors
/// [`Elapsed`]. A future that is ready when first polled wins over a deadline that has passed.
pub async fn timeout_at<F: Future>(timer: &impl Timer, deadline: Moment, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = timer.sleep_until(deadline);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut sleep).poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// Runs a function on this thread, with a token that is cancelled at `deadline` or with `token`.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{CancellationToken, time::{Clock, SystemClock}, resilience::{Elapsed, run_until}};
/// let deadline = SystemClock.now() + Duration::from_millis(1);
/// let result = run_until(SystemClock, deadline, &CancellationToken::new(), |token| {
///     while !token.is_cancelled() {
///         std::thread::yield_now();
///     }
/// });
/// assert_eq!(result, Err(Elapsed));
/// ```
///
/// # Errors
/// [`Elapsed`] when the function has returned at the deadline or later; its result is dropped.
pub fn run_until<T, R>(
    timer: T,
    deadline: Moment,
    token: &CancellationToken,
    function: impl FnOnce(&CancellationToken) -> R,
) -> Result<R, Elapsed>
where
    T: Timer + Clone + 'static,
{
    let child = token.child();
    let _guard = CancelAt::new(timer.clone(), deadline, child.clone());
    let result = function(&child);
    if timer.now() < deadline { Ok(result) } else { Err(Elapsed) }
}

/// Cancels a token at a moment, unless it is dropped before.
///
/// No thread waits: the timer's wake-up is the cancellation. If the machine's timer cannot start its thread, the token is
/// not cancelled.
#[must_use = "dropped, it cancels nothing"]
pub struct CancelAt(Arc<dyn Disarm>);

impl CancelAt {
    /// Cancels `token` when `timer` reaches `deadline`.
    pub fn new<T: Timer + 'static>(timer: T, deadline: Moment, token: CancellationToken) -> Self {
        let sleep = Mutex::new(Some(timer.sleep_until(deadline)));
        let alarm = Arc::new(CancelAlarm { timer, deadline, token, sleep });
        alarm.clone().wake();
        Self(alarm)
    }
}

impl Drop for CancelAt {
    fn drop(&mut self) {
        self.0.disarm();
    }
}

impl std::fmt::Debug for CancelAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CancelAt")
    }
}

trait Disarm: Send + Sync {
    fn disarm(&self);
}

struct CancelAlarm<T> {
    timer: T,
    deadline: Moment,
    token: CancellationToken,
    /// None once it has ended or was disarmed.
    sleep: Mutex<Option<Sleep>>,
}

impl<T: Timer + 'static> Wake for CancelAlarm<T> {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        // Taken: this very poll wakes it, and there is nothing new to see.
        let Ok(mut sleep) = self.sleep.try_lock() else { return };
        let Some(alarm) = &mut *sleep else { return };
        if self.timer.now() >= self.deadline || Pin::new(alarm).poll(&mut Context::from_waker(&waker)).is_ready() {
            let ended = sleep.take();
            drop(sleep);
            drop(ended);
            self.token.cancel();
        }
    }
}

impl<T: Timer> Disarm for CancelAlarm<T> {
    fn disarm(&self) {
        let alarm = self.sleep.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(alarm);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
