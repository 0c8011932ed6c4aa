//! What is done about tools that fail: circuit breakers, retries, timeouts and fallbacks, as parts that compose.
//!
//! Each part is data or a small state machine without a runtime; the path of a call puts them together, from the outside
//! in: deadline, retry, breaker, timeout of one attempt, the tool; and the fallback where all of it failed.

pub(crate) mod breaker;
pub(crate) mod breaker_state;
pub(crate) mod events;
pub(crate) mod fallback;
pub(crate) mod policy;
pub(crate) mod retry;
pub(crate) mod timeout;

pub use crate::outcome::kinds::ErrorKinds;
pub use breaker::{BreakerPolicy, CircuitBreaker, Permit, Rejected};
pub use breaker_state::BreakerState;
pub use events::{Observer, ResilienceEvent};
pub use fallback::{Fallback, Substitute};
pub use policy::ResiliencePolicy;
pub use retry::{GiveUp, Jitter, Retry, RetryDecision, RetryPolicy};
pub use timeout::{CancelAt, Elapsed, TimeoutPolicy, run_until, timeout_at};
