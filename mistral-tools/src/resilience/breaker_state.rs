//! The state of a circuit breaker.

/// Says how a circuit breaker treats calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are rejected until the pause is over.
    Open,
    /// A few calls pass, as probes.
    HalfOpen,
}
