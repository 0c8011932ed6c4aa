//! The policies of a tool or of a registry, together.

use crate::outcome::kinds::ErrorKinds;
use crate::resilience::{breaker::BreakerPolicy, retry::RetryPolicy, timeout::TimeoutPolicy};

/// Timeouts, retries and the circuit breaker of a tool, or of all tools of a registry that say nothing themselves.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::resilience::{BreakerPolicy, ResiliencePolicy, RetryPolicy, TimeoutPolicy};
/// let registry = ResiliencePolicy::new()
///     .timeout(TimeoutPolicy::NONE.call(Duration::from_secs(30)))
///     .breaker(BreakerPolicy::new());
/// let tool = ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(Duration::from_secs(5))).retry(RetryPolicy::new(3));
/// let both = tool.or(registry);
/// assert_eq!(both.retry_policy().attempts(), 3);
/// assert!(both.breaker_policy().is_some());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResiliencePolicy {
    timeout: TimeoutPolicy,
    retry: Option<RetryPolicy>,
    breaker: Option<BreakerPolicy>,
    faults: Option<ErrorKinds>,
}

impl ResiliencePolicy {
    /// No limits, one attempt, no breaker.
    pub const fn new() -> Self {
        Self { timeout: TimeoutPolicy::NONE, retry: None, breaker: None, faults: None }
    }

    /// How long it may take.
    #[must_use]
    pub const fn timeout(mut self, policy: TimeoutPolicy) -> Self {
        self.timeout = policy;
        self
    }

    /// What is tried again.
    #[must_use]
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// When it is left alone.
    #[must_use]
    pub const fn breaker(mut self, policy: BreakerPolicy) -> Self {
        self.breaker = Some(policy);
        self
    }

    /// Which errors the breaker counts; [`ErrorKinds::FAULTS`] unless said otherwise. Of the others it learns nothing.
    #[must_use]
    pub const fn faults(mut self, kinds: ErrorKinds) -> Self {
        self.faults = Some(kinds);
        self
    }

    /// These policies, and those of `outer` where there are none: a tool's over its registry's.
    #[must_use]
    pub fn or(self, outer: Self) -> Self {
        Self {
            timeout: self.timeout.or(outer.timeout),
            retry: self.retry.or(outer.retry),
            breaker: self.breaker.or(outer.breaker),
            faults: self.faults.or(outer.faults),
        }
    }

    /// How long it may take.
    pub const fn timeout_policy(&self) -> TimeoutPolicy {
        self.timeout
    }

    /// What is tried again: nothing unless said.
    pub fn retry_policy(&self) -> RetryPolicy {
        self.retry.unwrap_or_default()
    }

    /// When it is left alone: never unless said.
    pub const fn breaker_policy(&self) -> Option<BreakerPolicy> {
        self.breaker
    }

    /// Which errors the breaker counts as failures.
    pub fn fault_kinds(&self) -> ErrorKinds {
        self.faults.unwrap_or(ErrorKinds::FAULTS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{outcome::kinds::ErrorKind, time::Moment};

    #[test]
    fn the_inner_policy_wins_and_the_outer_fills_in() {
        let second = Duration::from_secs(1);
        let outer = ResiliencePolicy::new()
            .timeout(TimeoutPolicy::NONE.call(second * 9).attempt(second * 5))
            .retry(RetryPolicy::new(2))
            .breaker(BreakerPolicy::new().probes(4))
            .faults(ErrorKinds::ALL);
        assert_eq!(ResiliencePolicy::new().or(outer), outer);
        assert_eq!(outer.or(ResiliencePolicy::new()), outer);
        let inner = ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(second)).retry(RetryPolicy::NEVER);
        let both = inner.or(outer);
        let deadline = both.timeout_policy().deadline(Moment::ORIGIN);
        assert_eq!(deadline, Moment::ORIGIN + second * 9);
        assert_eq!(both.timeout_policy().attempt_deadline(Moment::ORIGIN, deadline), Moment::ORIGIN + second);
        assert_eq!((both.retry_policy().attempts(), both.fault_kinds()), (1, ErrorKinds::ALL));
        assert_eq!(both.breaker_policy(), outer.breaker_policy());
        assert!(!ResiliencePolicy::default().fault_kinds().contains(ErrorKind::InvalidArguments));
    }
}
