//! What is done about tools that fail: circuit breakers, retries, timeouts and fallbacks, as parts that compose.
//!
//! Each part is data or a small state machine without a runtime; the path of a call puts them together, from the outside
//! in: deadline, retry, breaker, timeout of one attempt, the tool; and the fallback where all of it failed.

mod breaker;
mod events;

pub use breaker::{BreakerPolicy, BreakerState, CircuitBreaker, Permit, Rejected};
pub use events::{Observer, ResilienceEvent};
