//! What is done about tools that fail: circuit breakers, retries, timeouts and fallbacks, as parts that compose.
//!
//! Each part is data or a small state machine without a runtime; the path of a call puts them together, from the outside
//! in: deadline, retry, breaker, timeout of one attempt, the tool; and the fallback where all of it failed.

mod breaker;
pub(crate) mod events;
mod fallback;
mod policy;
mod retry;
mod timeout;

pub use breaker::{BreakerPolicy, BreakerState, CircuitBreaker, Permit, Rejected};
pub use events::{Observer, ResilienceEvent};
pub use fallback::{Fallback, Substitute};
pub use policy::ResiliencePolicy;
pub use retry::{GiveUp, Jitter, Retry, RetryDecision, RetryPolicy};
pub use timeout::{CancelAt, Elapsed, TimeoutPolicy, run_until, timeout_at};
