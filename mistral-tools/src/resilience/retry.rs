//! When to try again, and after which pause.
//!
//! The pauses grow by a factor and are drawn at random below that, so that many clients that failed together do not come
//! back together (Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015). A retry is a value that is told
//! of failures and answers; who sleeps, and how, is the caller's business.

use std::time::Duration;

use crate::time::{Moment, nanos};
use crate::{
    outcome::{
        kinds::{ErrorKind, ErrorKinds},
        tool_error::ToolError,
    },
    time::Clock,
};

/// How much of a pause is left to chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// Nothing: the pauses are as computed.
    None,
    /// The upper half: never shorter than half of what is computed.
    Equal,
    /// All of it: anything from nothing to what is computed. Spreads best.
    #[default]
    Full,
}

/// Which failures are tried again, how often and after which pauses.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{ErrorKind, resilience::{Jitter, RetryDecision, RetryPolicy}, time::Moment};
/// let policy = RetryPolicy::new(3).backoff(Duration::from_millis(100), 2, Duration::from_secs(5)).jitter(Jitter::None);
/// let (now, deadline) = (Moment::ORIGIN, Moment::FAR);
/// let mut retry = policy.start(deadline, 1);
/// let mut failed = || retry.failed(ErrorKind::Timeout, now, None);
/// assert_eq!(failed(), RetryDecision::Again { after: Duration::from_millis(100) });
/// assert_eq!(failed(), RetryDecision::Again { after: Duration::from_millis(200) });
/// assert!(matches!(failed(), RetryDecision::GiveUp(_)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    kinds: ErrorKinds,
    first: Duration,
    factor: u32,
    longest: Duration,
    jitter: Jitter,
}

impl RetryPolicy {
    /// One attempt, no retry.
    pub const NEVER: Self = Self::new(1);

    /// At most so many attempts, the first included; 0 is 1. Tries again what is [`TRANSIENT`](ErrorKinds::TRANSIENT), after
    /// 100 ms, doubled each time up to 10 s, with full jitter.
    pub const fn new(attempts: u32) -> Self {
        Self {
            attempts: if attempts == 0 { 1 } else { attempts },
            kinds: ErrorKinds::TRANSIENT,
            first: Duration::from_millis(100),
            factor: 2,
            longest: Duration::from_secs(10),
            jitter: Jitter::Full,
        }
    }

    /// The kinds of errors that are tried again. Only what can be done twice without harm should be.
    #[must_use]
    pub const fn on(mut self, kinds: ErrorKinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// The first pause, what each is multiplied by for the next (0 is 1), and the longest there may be.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, factor: u32, longest: Duration) -> Self {
        self.first = first;
        self.factor = if factor == 0 { 1 } else { factor };
        self.longest = longest;
        self
    }

    /// How much of each pause is left to chance.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The most attempts, the first included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether an error of this kind may be tried again.
    pub const fn retries(&self, kind: ErrorKind) -> bool {
        self.kinds.contains(kind)
    }

    /// The pause after `attempts` attempts, before chance has its part.
    pub fn pause(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1);
        let factor = self.factor.checked_pow(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The beginning of a call that must end by `deadline`. Equal seeds give equal pauses.
    pub const fn start(&self, deadline: Moment, seed: u64) -> Retry {
        Retry { policy: *self, deadline, attempts: 0, random: seed }
    }
}

impl Default for RetryPolicy {
    /// [`NEVER`](Self::NEVER): to try again is a decision.
    fn default() -> Self {
        Self::NEVER
    }
}

/// A call that may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    policy: RetryPolicy,
    deadline: Moment,
    attempts: u32,
    random: u64,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again after a pause.
    Again {
        /// How long to wait before.
        after: Duration,
    },
    /// Let the failure stand.
    GiveUp(GiveUp),
}

/// Why a failure is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUp {
    /// The kind of error is not one of those, or the tool said that another try is of no use.
    Kind,
    /// All attempts were made.
    Attempts,
    /// The pause would not end before the deadline.
    Deadline,
    /// The tool asks for a longer pause than the longest of the policy.
    Pause,
}

impl Retry {
    /// An attempt has failed. `retry_after` is the pause that the tool or its breaker asks for, where it does: it will be at
    /// least that.
    pub fn failed(&mut self, kind: ErrorKind, now: Moment, retry_after: Option<Duration>) -> RetryDecision {
        self.decide(self.policy.retries(kind), now, retry_after)
    }

    /// As [`failed`](Self::failed), by the error of a tool: whether it is [transient](ToolError::is_transient), where the tool said so,
    /// stands above its kind.
    ///
    /// ```
    /// use mistral_tools::{resilience::{GiveUp, RetryDecision, RetryPolicy}, time::Moment, ToolError};
    /// let mut retry = RetryPolicy::new(3).start(Moment::FAR, 1);
    /// let busy = ToolError::failed("the line is busy");
    /// assert_eq!(retry.failed_with(&busy, Moment::ORIGIN), RetryDecision::GiveUp(GiveUp::Kind));
    /// assert!(matches!(retry.failed_with(&busy.transient(), Moment::ORIGIN), RetryDecision::Again { .. }));
    /// ```
    pub fn failed_with(&mut self, error: &ToolError, now: Moment) -> RetryDecision {
        let worth = error.is_transient().unwrap_or(self.policy.retries(error.kind()));
        self.decide(worth, now, error.retry_after())
    }

    fn decide(&mut self, worth: bool, now: Moment, retry_after: Option<Duration>) -> RetryDecision {
        self.attempts = self.attempts.saturating_add(1);
        if !worth {
            return RetryDecision::GiveUp(GiveUp::Kind);
        }
        if self.attempts >= self.policy.attempts {
            return RetryDecision::GiveUp(GiveUp::Attempts);
        }
        let least = retry_after.unwrap_or_default();
        if least > self.policy.longest {
            return RetryDecision::GiveUp(GiveUp::Pause);
        }
        let pause = nanos(self.policy.pause(self.attempts));
        let after = match self.policy.jitter {
            Jitter::None => pause,
            Jitter::Equal => pause - self.below(pause / 2),
            Jitter::Full => pause - self.below(pause),
        };
        let after = Duration::from_nanos(after).max(least);
        if now + after >= self.deadline {
            return RetryDecision::GiveUp(GiveUp::Deadline);
        }
        RetryDecision::Again { after }
    }

    /// As [`failed`](Self::failed), by a clock.
    pub fn failed_now(&mut self, kind: ErrorKind, clock: &impl Clock, retry_after: Option<Duration>) -> RetryDecision {
        self.failed(kind, clock.now(), retry_after)
    }

    /// How many attempts have failed.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the call must end.
    pub const fn deadline(&self) -> Moment {
        self.deadline
    }

    /// From 0 to `most`, by Steele, Lea and Flood's SplitMix64 (OOPSLA 2014).
    fn below(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        ((u128::from(bits) * (u128::from(most) + 1)) >> 64) as u64
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::ManualClock;

    const MILLI: Duration = Duration::from_millis(1);

    fn jitters() -> impl Strategy<Value = Jitter> {
        prop_oneof![Just(Jitter::None), Just(Jitter::Equal), Just(Jitter::Full)]
    }

    #[test]
    fn pauses_grow_to_the_longest_and_never_overflow() {
        let policy = RetryPolicy::new(u32::MAX).backoff(MILLI * 3, 10, Duration::from_secs(20));
        let pauses = [1, 2, 3, 4, 5, 6, u32::MAX].map(|attempts| policy.pause(attempts).as_millis());
        assert_eq!(pauses, [3, 30, 300, 3000, 20_000, 20_000, 20_000]);
        assert_eq!(policy.pause(0), policy.pause(1));
        assert_eq!(policy.backoff(Duration::MAX, u32::MAX, Duration::MAX).pause(u32::MAX), Duration::MAX);
        assert_eq!(policy.backoff(MILLI, 0, Duration::MAX).pause(9), MILLI);
    }

    #[test]
    fn each_reason_to_give_up_is_named() {
        let clock = ManualClock::new();
        let policy = RetryPolicy::new(3).backoff(MILLI * 100, 2, MILLI * 500).jitter(Jitter::None);
        let give_up = |reason| RetryDecision::GiveUp(reason);
        let again = |millis| RetryDecision::Again { after: MILLI * millis };
        let start = || policy.start(Moment::ORIGIN + MILLI * 1000, 0);

        assert_eq!(start().failed_now(ErrorKind::InvalidArguments, &clock, None), give_up(GiveUp::Kind));
        assert_eq!(start().failed_now(ErrorKind::Timeout, &clock, Some(MILLI * 501)), give_up(GiveUp::Pause));
        assert_eq!(start().failed_now(ErrorKind::RateLimited, &clock, Some(MILLI * 500)), again(500));
        let mut retry = start();
        assert_eq!(retry.failed_now(ErrorKind::Timeout, &clock, Some(MILLI * 7)), again(100));
        clock.advance(MILLI * 799);
        assert_eq!(retry.clone().failed_now(ErrorKind::Timeout, &clock, None), again(200));
        clock.advance(MILLI);
        assert_eq!(retry.failed_now(ErrorKind::Timeout, &clock, None), give_up(GiveUp::Deadline));
        assert_eq!(retry.failed_now(ErrorKind::Timeout, &clock, None), give_up(GiveUp::Attempts));
        assert_eq!((retry.attempts(), retry.deadline()), (3, Moment::ORIGIN + MILLI * 1000));
        for policy in [RetryPolicy::default(), RetryPolicy::NEVER, RetryPolicy::new(0)] {
            let decision = policy.on(ErrorKinds::ALL).start(Moment::FAR, 0).failed_now(ErrorKind::Failed, &clock, None);
            assert_eq!(decision, give_up(GiveUp::Attempts));
        }
    }

    proptest! {
        #[test]
        fn pauses_keep_within_their_jitter_and_end_before_the_deadline(
            seed in any::<u64>(),
            (first, longest) in (any::<u64>(), any::<u64>()),
            factor in any::<u32>(),
            jitter in jitters(),
            (now, deadline) in (any::<u64>(), any::<u64>()),
        ) {
            let policy = RetryPolicy::new(9)
                .backoff(Duration::from_nanos(first), factor, Duration::from_nanos(longest))
                .jitter(jitter);
            let (now, deadline) = (Moment::from_nanos(now), Moment::from_nanos(deadline));
            let (mut retry, mut same) = (policy.start(deadline, seed), policy.start(deadline, seed));
            for attempts in 1..=9 {
                let decision = retry.failed(ErrorKind::Timeout, now, None);
                prop_assert_eq!(decision, same.failed(ErrorKind::Timeout, now, None));
                match decision {
                    RetryDecision::Again { after } => {
                        let pause = policy.pause(attempts);
                        let least = match jitter {
                            Jitter::None => pause,
                            Jitter::Equal => pause / 2,
                            Jitter::Full => Duration::ZERO,
                        };
                        prop_assert!(attempts < 9 && (least..=pause).contains(&after) && now + after < deadline);
                    }
                    RetryDecision::GiveUp(GiveUp::Attempts) => prop_assert_eq!(attempts, 9),
                    RetryDecision::GiveUp(reason) => {
                        prop_assert_eq!(reason, GiveUp::Deadline);
                        // Without chance it is known that no pause would have done.
                        prop_assert!(jitter != Jitter::None || now + policy.pause(attempts) >= deadline);
                    }
                }
            }
        }
    }

    #[test]
    fn full_jitter_is_spread_evenly() {
        let policy = RetryPolicy::new(2).backoff(MILLI * 100, 1, MILLI * 100);
        let mut tenths = [0; 10];
        for seed in 0..10_000 {
            if let RetryDecision::Again { after } =
                policy.start(Moment::FAR, seed).failed(ErrorKind::Timeout, Moment::ORIGIN, None)
            {
                tenths[(after.as_micros() / 10_000).min(9) as usize] += 1;
            }
        }
        // Five standard deviations of 30.
        assert!(tenths.iter().all(|&count| (850..1150).contains(&count)), "{tenths:?}");
    }
}
