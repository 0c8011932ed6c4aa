//! Tools that a language model may call: specifications shared by templates, parsers and the engine.
//!
//! [`ToolSpec`] is what a model is told about a tool; chat templates render it into the prompt.
#![forbid(unsafe_code)]

mod cancel;
mod counter;
mod emitter;
mod error;
mod histogram;
mod kinds;
mod outcome;
mod park;
mod resilience;
mod spec;
mod sync;
mod time;

pub use cancel::{CancellationToken, Cancelled};
pub use counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot};
pub use emitter::{Chunks, Emit, EmitError, Emitter, NoChunk, WhenFull};
pub use error::Error;
pub use histogram::{LatencyHistogram, LatencySnapshot};
pub use kinds::ErrorKinds;
pub use outcome::ErrorKind;
pub use park::block_on;
pub use resilience::{
    BreakerPolicy, BreakerState, CancelAt, CircuitBreaker, Elapsed, Fallback, GiveUp, Jitter, Observer, Permit,
    Rejected, ResilienceEvent, ResiliencePolicy, Retry, RetryDecision, RetryPolicy, Substitute, TimeoutPolicy,
    run_until, timeout_at,
};
pub use spec::ToolSpec;
pub use time::{Clock, ManualClock, Moment, Sleep, SystemClock, Timer};
