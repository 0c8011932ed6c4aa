//! What the resilience parts did, for those who want to know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::kinds::ErrorKind;
use crate::resilience::breaker_state::BreakerState;

/// Something that a breaker, a retry, a timeout or a fallback did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResilienceEvent {
    /// A circuit breaker changed its state.
    Breaker {
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
    },
    /// A circuit breaker let a call not pass.
    Rejected {
        /// How long until a call may pass, as far as it is known.
        retry_after: Duration,
    },
    /// A call failed and will be tried again.
    Retry {
        /// How many attempts were made, 1 or more.
        attempts: u32,
        /// Why the last one failed.
        kind: ErrorKind,
        /// The pause before the next.
        after: Duration,
    },
    /// A call failed and will not be tried again.
    GaveUp {
        /// How many attempts were made, 1 or more.
        attempts: u32,
        /// Why the last one failed.
        kind: ErrorKind,
    },
    /// An attempt took longer than it was given.
    TimedOut {
        /// What it was given.
        limit: Duration,
    },
    /// A fallback was used in place of a result.
    FellBack {
        /// Why there was no result.
        kind: ErrorKind,
    },
    /// The gate of a registry panicked. The call was denied.
    GatePanicked,
    /// The tool could not be described because of an error or a panic, so models do not see it.
    /// [`RegisteredTool::spec`](crate::RegisteredTool::spec) returns the error.
    LeftOut,
}

/// Receives [`ResilienceEvent`]s, immediately and on the thread in which they happen, so an observer must be quick. If an observer panics,
/// the panic is contained and the event is lost.
///
/// `()` means no observer, and the compiler generates no code for it. Closures implement this trait. So do options and shared references of
/// observers, for a choice at run time.
///
/// ```
/// use mistral_tools::{resilience::{BreakerPolicy, CircuitBreaker, ResilienceEvent}, metrics::RelaxedCounter};
/// let changes = RelaxedCounter::new();
/// let breaker = CircuitBreaker::new(BreakerPolicy::new().failures(1, 1)).with_observer(|event: &ResilienceEvent| {
///     if matches!(event, ResilienceEvent::Breaker { .. }) {
///         changes.inc();
///     }
/// });
/// breaker.check()?.failure();
/// assert_eq!(changes.get(), 1);
/// # Ok::<(), mistral_tools::resilience::Rejected>(())
/// ```
pub trait Observer: Send + Sync {
    /// It happened.
    fn observe(&self, event: &ResilienceEvent);
}

/// Passes an event to an observer, and contains a panic of the observer.
pub(crate) fn tell(observer: &impl Observer, event: &ResilienceEvent) {
    let told = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    // The panic hook of the process has reported the panic.
    drop(told);
}

impl Observer for () {
    #[inline(always)]
    fn observe(&self, _: &ResilienceEvent) {}
}

impl<F: Fn(&ResilienceEvent) + Send + Sync> Observer for F {
    fn observe(&self, event: &ResilienceEvent) {
        self(event);
    }
}

impl<O: Observer> Observer for Option<O> {
    #[inline]
    fn observe(&self, event: &ResilienceEvent) {
        if let Some(observer) = self {
            observer.observe(event);
        }
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &ResilienceEvent) {
        (**self).observe(event);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::metrics::counter::RelaxedCounter;

    #[test]
    fn every_way_to_observe_is_told_once() {
        let seen = Arc::new(RelaxedCounter::new());
        let closure = {
            let seen = seen.clone();
            move |_: &ResilienceEvent| {
                seen.inc();
            }
        };
        let event = ResilienceEvent::TimedOut { limit: Duration::ZERO };
        closure.observe(&event);
        let shared: Arc<dyn Observer> = Arc::new(closure);
        shared.observe(&event);
        Some(shared).observe(&event);
        None::<Arc<dyn Observer>>.observe(&event);
        ().observe(&event);
        assert_eq!(seen.get(), 3);
    }
}
