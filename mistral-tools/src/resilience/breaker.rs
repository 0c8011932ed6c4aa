//! A circuit breaker: a tool that keeps failing is left alone for a while, then tried by a few calls, then trusted again.
//!
//! All there is to know fits in 64 bits, so that a decision is one compare-exchange and every decision is made on a
//! consistent whole: state, generation, the last results while closed, the end of the pause while open, the permits while
//! half-open. Two words would need an order between them, and a thread that sees only one of two changes would let a
//! second round of probes through. (The pattern is Nygard's, *Release It!*, 2007.)

use std::fmt;
use std::thread;
use std::time::Duration;

use crate::resilience::{
    breaker_state::BreakerState,
    events::{Observer, ResilienceEvent, tell},
};
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Clock, Moment, SystemClock, nanos};

/// When a breaker opens, for how long, and what closes it. Values out of range are brought into it.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::resilience::BreakerPolicy;
/// // Opens at 5 failures of the last 20 results, pauses for 10 s, then lets 3 calls try and closes when all succeed.
/// const POLICY: BreakerPolicy = BreakerPolicy::new().failures(5, 20).pause(Duration::from_secs(10)).probes(3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    failures: u32,
    window: u32,
    pause: Duration,
    probes: u32,
    successes: u32,
    probe_limit: Duration,
}

impl BreakerPolicy {
    /// 5 failures in a row open it for 30 s; one probe decides, and counts as lost after 60 s.
    pub const fn new() -> Self {
        Self {
            failures: 5,
            window: 5,
            pause: Duration::from_secs(30),
            probes: 1,
            successes: 1,
            probe_limit: Duration::from_secs(60),
        }
    }

    /// Opens at `failures` among the last `window` results, both 1 to 32, and a window of at least as many. Equal numbers
    /// mean failures in a row.
    #[must_use]
    pub const fn failures(mut self, failures: u32, window: u32) -> Self {
        self.failures = between(failures, 1, HISTORY_BITS);
        self.window = between(window, self.failures, HISTORY_BITS);
        self
    }

    /// How long it stays open before probes may pass: 1 ms to a year.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many calls may pass while half-open, 1 to 31. All must succeed before it closes; see
    /// [`successes`](Self::successes).
    #[must_use]
    pub const fn probes(mut self, probes: u32) -> Self {
        self.probes = between(probes, 1, COUNT_MASK as u32);
        self.successes = self.probes;
        self
    }

    /// How many of the probes must succeed before it closes, 1 to their number. A failure before that opens it again.
    #[must_use]
    pub const fn successes(mut self, successes: u32) -> Self {
        self.successes = between(successes, 1, self.probes);
        self
    }

    /// After how long a round of probes that has not ended is given up and another begins, 100 ms to a year. It heals a
    /// breaker whose permits were lost, by a thread that hangs or by [`std::mem::forget`]: without it such a breaker would
    /// stay half-open and reject forever. Longer than the longest call.
    #[must_use]
    pub const fn probe_limit(mut self, limit: Duration) -> Self {
        self.probe_limit = limit;
        self
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self::new()
    }
}

const fn between(value: u32, low: u32, high: u32) -> u32 {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// A call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Rejected {
    /// How long until a call may pass: the rest of the pause, or zero when probes are under way and their end is not known.
    pub retry_after: Duration,
}

// The word, from the top: state 2 bits, generation 22 bits, payload 40 bits, which is
//   closed     results 32: the last results, the latest lowest, 1 is a failure
//   open       end 40: the end of the pause in ticks of 2^20 ns (1.05 ms), modulo 2^40 (36 years)
//   half-open  end 30: the end of the round in ticks of 2^27 ns (134 ms), modulo 2^30 (4.5 years) | taken 5 | succeeded 5
const PAYLOAD_BITS: u32 = 40;
const GENERATION_BITS: u32 = 22;
const HISTORY_BITS: u32 = 32;
const COUNT_BITS: u32 = 5;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A moment as ticks of 2^`SHIFT` ns, modulo 2^`BITS`.
struct Ticks<const SHIFT: u32, const BITS: u32>;

type PauseTicks = Ticks<20, PAYLOAD_BITS>;
type RoundTicks = Ticks<27, { PAYLOAD_BITS - 2 * COUNT_BITS }>;

impl<const SHIFT: u32, const BITS: u32> Ticks<SHIFT, BITS> {
    const MASK: u64 = (1 << BITS) - 1;

    /// The tick at which `duration` is over for certain, at least one after `now`.
    fn after(now: Moment, duration: Duration) -> u64 {
        let end = now.as_nanos().wrapping_add(nanos(duration.min(YEAR)));
        (end >> SHIFT).wrapping_add(1) & Self::MASK
    }

    /// Returns the time left until the tick, or `None` when the tick has come. `duration` is the span that the tick was made
    /// [`after`](Self::after). A longer rest is impossible, so a longer rest means that the clock is past the tick, by however many years. At
    /// [`Moment::FAR`] the clock stands still, and every wait is over.
    fn until(now: Moment, end: u64, duration: Duration) -> Option<Duration> {
        let left = end.wrapping_sub(now.as_nanos() >> SHIFT) & Self::MASK;
        let most = (nanos(duration.min(YEAR)) >> SHIFT) + 2;
        if left == 0 || left > most || now == Moment::FAR {
            return None;
        }
        let within = now.as_nanos() & ((1 << SHIFT) - 1);
        Some(Duration::from_nanos((left << SHIFT) - within))
    }
}

/// The 64 bits, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    generation: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { results: u32 },
    Open { end: u64 },
    HalfOpen { end: u64, taken: u64, succeeded: u64 },
}

impl Phase {
    const fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl Word {
    const START: Self = Self { generation: 0, phase: Phase::Closed { results: 0 } };

    const fn pack(self) -> u64 {
        let (state, payload) = match self.phase {
            Phase::Closed { results } => (0, results as u64),
            Phase::Open { end } => (1, end),
            Phase::HalfOpen { end, taken, succeeded } => (2, end << (2 * COUNT_BITS) | taken << COUNT_BITS | succeeded),
        };
        state << (GENERATION_BITS + PAYLOAD_BITS) | self.generation << PAYLOAD_BITS | payload
    }

    const fn unpack(word: u64) -> Self {
        let payload = word & ((1 << PAYLOAD_BITS) - 1);
        let phase = match word >> (GENERATION_BITS + PAYLOAD_BITS) {
            0 => Phase::Closed { results: payload as u32 },
            1 => Phase::Open { end: payload },
            _ => Phase::HalfOpen {
                end: payload >> (2 * COUNT_BITS),
                taken: payload >> COUNT_BITS & COUNT_MASK,
                succeeded: payload & COUNT_MASK,
            },
        };
        Self { generation: word >> PAYLOAD_BITS & ((1 << GENERATION_BITS) - 1), phase }
    }

    /// The next generation, in a phase.
    const fn next(self, phase: Phase) -> Self {
        Self { generation: (self.generation + 1) & ((1 << GENERATION_BITS) - 1), phase }
    }
}

/// How a call ended, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Success,
    Failure,
    /// It says nothing about the tool.
    None,
}

/// What the policy makes of a word: pure, and shared by the breaker and its twin.
impl BreakerPolicy {
    /// A call asks to pass: the word afterwards, or how long it should wait.
    fn admit(&self, word: Word, now: impl FnOnce() -> Moment) -> Result<Word, Duration> {
        let round =
            |now| word.next(Phase::HalfOpen { end: RoundTicks::after(now, self.probe_limit), taken: 1, succeeded: 0 });
        match word.phase {
            Phase::Closed { .. } => Ok(word),
            Phase::Open { end } => {
                let now = now();
                PauseTicks::until(now, end, self.pause).map_or_else(|| Ok(round(now)), Err)
            }
            Phase::HalfOpen { end, taken, succeeded } if taken < u64::from(self.probes) => {
                Ok(Word { phase: Phase::HalfOpen { end, taken: taken + 1, succeeded }, ..word })
            }
            Phase::HalfOpen { end, .. } => {
                let now = now();
                RoundTicks::until(now, end, self.probe_limit).map_or_else(|| Ok(round(now)), |_| Err(Duration::ZERO))
            }
        }
    }

    /// A call that was let through in `generation` has ended: the word afterwards.
    fn settle(&self, word: Word, generation: u64, verdict: Verdict, now: impl FnOnce() -> Moment) -> Word {
        if word.generation != generation {
            return word;
        }
        let open = || word.next(Phase::Open { end: PauseTicks::after(now(), self.pause) });
        match (word.phase, verdict) {
            (Phase::Closed { .. }, Verdict::None) | (Phase::Open { .. }, _) => word,
            (Phase::Closed { results }, _) => {
                let failed = u32::from(verdict == Verdict::Failure);
                let results = (results << 1 | failed) & (u32::MAX >> (HISTORY_BITS - self.window));
                if failed == 1 && results.count_ones() >= self.failures {
                    return open();
                }
                Word { phase: Phase::Closed { results }, ..word }
            }
            (Phase::HalfOpen { .. }, Verdict::Failure) => open(),
            (Phase::HalfOpen { succeeded, .. }, Verdict::Success) if succeeded + 1 >= u64::from(self.successes) => {
                word.next(Phase::Closed { results: 0 })
            }
            (Phase::HalfOpen { end, taken, succeeded }, _) => {
                let succeeded = succeeded + u64::from(verdict == Verdict::Success);
                let taken = taken.saturating_sub(u64::from(verdict == Verdict::None));
                Word { phase: Phase::HalfOpen { end, taken, succeeded }, ..word }
            }
        }
    }
}

/// A circuit breaker; shared by reference, decided by compare-exchange.
///
/// [`check`](Self::check) returns a [`Permit`] or [`Rejected`]. Report the end of the call to the permit.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{resilience::{BreakerPolicy, BreakerState, CircuitBreaker}, time::ManualClock};
///
/// let clock = ManualClock::new();
/// let policy = BreakerPolicy::new().failures(2, 2).pause(Duration::from_secs(5));
/// let breaker = CircuitBreaker::new(policy).with_clock(&clock);
/// for _ in 0..2 {
///     breaker.check()?.failure();
/// }
/// assert!(breaker.check().is_err());
///
/// clock.advance(Duration::from_secs(6));
/// let probe = breaker.check()?;
/// assert!(breaker.check().is_err()); // one probe at a time
/// probe.success();
/// assert_eq!(breaker.state(), BreakerState::Closed);
/// # Ok::<(), mistral_tools::resilience::Rejected>(())
/// ```
///
/// Cost of a check while closed: one load, no write, and no look at the clock. Successes of a healthy tool write nothing either, so threads
/// do not compete for the word. Cost while open: a load and a look at the clock.
///
/// Limits. The pause is kept in steps of 1.05 ms and a round of probes in steps of 134 ms, both rounded up. A generation
/// has 22 bits: the result of a call that lasts exactly 4,194,304 changes of state would be taken for a new one.
/// Moments wrap. The clock may jump by exactly a multiple of 36 years (4.6 years for a round of probes). A breaker may then wait once more
/// for the time that its policy sets, and never longer.
///
/// # Synchronization
/// | variable | written by | read by | order and reason |
/// |---|---|---|---|
/// | `word` | `check`, permits, `reset`: compare-exchange | everyone | acquire and release: a call that passes because of a result sees what the call with that result had written; the decision itself needs no order, as all of it is this one word |
///
/// Exactly as many probes pass as the policy says: one compare-exchange both sees how many permits are taken and takes the next one. Every
/// change of state starts a new generation. A result is counted only by a compare-exchange from a word of the permit's own generation, so
/// late results change nothing. The thread that made an exchange calls the observer after it; two threads may report two changes in either
/// order.
pub struct CircuitBreaker<C = SystemClock, O = ()> {
    word: AtomicU64,
    policy: BreakerPolicy,
    clock: C,
    observer: O,
}

impl CircuitBreaker {
    /// A closed breaker with the machine's clock, which nobody observes.
    #[cfg(not(all(test, loom)))]
    pub const fn new(policy: BreakerPolicy) -> Self {
        Self { word: AtomicU64::new(Word::START.pack()), policy, clock: SystemClock, observer: () }
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { word: AtomicU64::new(Word::START.pack()), policy, clock: SystemClock, observer: () }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new(BreakerPolicy::new())
    }
}

impl<C, O> CircuitBreaker<C, O> {
    /// The same breaker by another clock.
    pub fn with_clock<D: Clock>(self, clock: D) -> CircuitBreaker<D, O> {
        let Self { word, policy, observer, .. } = self;
        CircuitBreaker { word, policy, clock, observer }
    }

    /// The same breaker, whose changes of state and rejections are told to `observer`.
    pub fn with_observer<P: Observer>(self, observer: P) -> CircuitBreaker<C, P> {
        let Self { word, policy, clock, .. } = self;
        CircuitBreaker { word, policy, clock, observer }
    }

    /// The state now. An open breaker whose pause is over says open until a call asks to pass.
    pub fn state(&self) -> BreakerState {
        self.load().phase.state()
    }

    /// What it was made with.
    pub const fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    #[inline]
    fn load(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }
}

impl<C: Clock, O: Observer> CircuitBreaker<C, O> {
    /// Whether a call may pass now.
    ///
    /// # Errors
    /// [`Rejected`] while open or while all probes are taken.
    #[inline]
    pub fn check(&self) -> Result<Permit<'_, C, O>, Rejected> {
        let word = self.load();
        match word.phase {
            Phase::Closed { .. } => Ok(self.permit(word)),
            _ => self.check_open(word),
        }
    }

    #[cold]
    fn check_open(&self, mut word: Word) -> Result<Permit<'_, C, O>, Rejected> {
        loop {
            let next = match self.policy.admit(word, || self.clock.now()) {
                Ok(next) => next,
                Err(retry_after) => {
                    tell(&self.observer, &ResilienceEvent::Rejected { retry_after });
                    return Err(Rejected { retry_after });
                }
            };
            match self.exchange(word, next) {
                Ok(()) => return Ok(self.permit(next)),
                Err(seen) => word = seen,
            }
        }
    }

    /// Closes it and forgets what it knew; results of calls that are under way are ignored.
    pub fn reset(&self) {
        let mut word = self.load();
        while let Err(seen) = self.exchange(word, word.next(Phase::Closed { results: 0 })) {
            word = seen;
        }
    }

    #[inline]
    fn permit(&self, word: Word) -> Permit<'_, C, O> {
        let probe = !matches!(word.phase, Phase::Closed { .. });
        Permit { breaker: self, generation: word.generation, probe, settled: false, panicking: thread::panicking() }
    }

    #[inline]
    fn settle(&self, generation: u64, verdict: Verdict) {
        let word = self.load();
        let healthy = Word { generation, phase: Phase::Closed { results: 0 } };
        // The tool worked and still works: nothing to write.
        if verdict != Verdict::Success || word != healthy {
            self.settle_change(word, generation, verdict);
        }
    }

    #[cold]
    fn settle_change(&self, mut word: Word, generation: u64, verdict: Verdict) {
        loop {
            let next = self.policy.settle(word, generation, verdict, || self.clock.now());
            match self.exchange(word, next) {
                Ok(()) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// Changes the word, if it still is what was seen, and tells of a change of state.
    fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        if from == to {
            return Ok(());
        }
        self.word
            .compare_exchange_weak(from.pack(), to.pack(), Ordering::AcqRel, Ordering::Acquire)
            .map_err(Word::unpack)?;
        let (from, to) = (from.phase.state(), to.phase.state());
        if from != to {
            tell(&self.observer, &ResilienceEvent::Breaker { from, to });
        }
        Ok(())
    }
}

impl<C, O> fmt::Debug for CircuitBreaker<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Word { generation, phase } = self.load();
        f.debug_struct("CircuitBreaker").field("phase", &phase).field("generation", &generation).finish_non_exhaustive()
    }
}

/// The right to one call, and the duty to say how it ended.
///
/// Dropped without a word it is given back, and the call counts as neither: that is what happens to a call that is
/// cancelled or denied. Dropped by a panic it counts as a failure.
#[must_use = "a permit that is dropped is given back unused"]
pub struct Permit<'a, C: Clock = SystemClock, O: Observer = ()> {
    breaker: &'a CircuitBreaker<C, O>,
    generation: u64,
    /// Whether it was given while half-open: there is one less of it until it comes back.
    probe: bool,
    settled: bool,
    /// Whether a panic was under way already when it was given.
    panicking: bool,
}

impl<C: Clock, O: Observer> Permit<'_, C, O> {
    /// The tool works.
    #[inline]
    pub fn success(self) {
        self.settle(Verdict::Success);
    }

    /// The tool is broken.
    #[inline]
    pub fn failure(self) {
        self.settle(Verdict::Failure);
    }

    /// The call says nothing about the tool, as when the arguments were wrong. The same as dropping the permit.
    #[inline]
    pub fn release(self) {
        drop(self);
    }

    #[inline]
    fn settle(mut self, verdict: Verdict) {
        self.settled = true;
        self.breaker.settle(self.generation, verdict);
    }
}

impl<C: Clock, O: Observer> Drop for Permit<'_, C, O> {
    #[inline]
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if !self.panicking && thread::panicking() {
            self.breaker.settle(self.generation, Verdict::Failure);
        } else if self.probe {
            self.breaker.settle(self.generation, Verdict::None);
        }
    }
}

impl<C: Clock, O: Observer> fmt::Debug for Permit<'_, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
