//! The breaker against one with a mutex, in steps and by many threads.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use proptest::prelude::*;

use super::*;
use crate::time::timer::ManualClock;

const SECOND: Duration = Duration::from_secs(1);

/// What a breaker does.
trait Breaker {
    type Permit<'a>
    where
        Self: 'a;
    fn check(&self) -> Result<Self::Permit<'_>, Duration>;
    fn finish(&self, permit: Self::Permit<'_>, verdict: Verdict);
    fn reset(&self);
    fn state(&self) -> BreakerState;
}

impl<C: Clock, O: Observer> Breaker for CircuitBreaker<C, O> {
    type Permit<'a>
        = Permit<'a, C, O>
    where
        Self: 'a;
    fn check(&self) -> Result<Permit<'_, C, O>, Duration> {
        self.check().map_err(|rejected| rejected.retry_after)
    }
    fn finish(&self, permit: Permit<'_, C, O>, verdict: Verdict) {
        match verdict {
            Verdict::Success => permit.success(),
            Verdict::Failure => permit.failure(),
            Verdict::None => drop(permit),
        }
    }
    fn reset(&self) {
        self.reset();
    }
    fn state(&self) -> BreakerState {
        self.state()
    }
}

/// The obviously right breaker: plain fields under a lock, exact moments, generations that never wrap.
struct Locked {
    policy: BreakerPolicy,
    clock: ManualClock,
    inner: Mutex<(u64, Inner)>,
}

#[derive(Clone, PartialEq)]
enum Inner {
    Closed(VecDeque<bool>),
    Open(Moment),
    HalfOpen { end: Moment, taken: u32, succeeded: u32 },
}

impl Locked {
    fn new(policy: BreakerPolicy, clock: &ManualClock) -> Self {
        Self { policy, clock: clock.clone(), inner: Mutex::new((0, Inner::Closed(VecDeque::new()))) }
    }
}

impl Breaker for Locked {
    type Permit<'a> = u64;

    fn check(&self) -> Result<u64, Duration> {
        let (generation, inner) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        match inner {
            Inner::Closed(_) => return Ok(*generation),
            Inner::HalfOpen { taken, .. } if *taken < self.policy.probes => {
                *taken += 1;
                return Ok(*generation);
            }
            Inner::Open(until) if now < *until => return Err(until.since(now)),
            Inner::HalfOpen { end, .. } if now < *end => return Err(Duration::ZERO),
            _ => {}
        }
        *generation += 1;
        *inner = Inner::HalfOpen { end: now + self.policy.probe_limit, taken: 1, succeeded: 0 };
        Ok(*generation)
    }

    fn finish(&self, permit: u64, verdict: Verdict) {
        let (generation, inner) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if permit != *generation {
            return;
        }
        let mut opens = false;
        let mut closes = false;
        match (&mut *inner, verdict) {
            (Inner::Closed(_), Verdict::None) | (Inner::Open(_), _) => {}
            (Inner::Closed(results), _) => {
                results.push_back(verdict == Verdict::Failure);
                if results.len() > self.policy.window as usize {
                    results.pop_front();
                }
                let failures = results.iter().filter(|&&failed| failed).count();
                opens = verdict == Verdict::Failure && failures >= self.policy.failures as usize;
            }
            (Inner::HalfOpen { .. }, Verdict::Failure) => opens = true,
            (Inner::HalfOpen { succeeded, .. }, Verdict::Success) => {
                *succeeded += 1;
                closes = *succeeded == self.policy.successes;
            }
            (Inner::HalfOpen { taken, .. }, Verdict::None) => *taken -= 1,
        }
        if opens {
            *generation += 1;
            *inner = Inner::Open(self.clock.now() + self.policy.pause);
        }
        if closes {
            *generation += 1;
            *inner = Inner::Closed(VecDeque::new());
        }
    }

    fn reset(&self) {
        let (generation, inner) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *generation += 1;
        *inner = Inner::Closed(VecDeque::new());
    }

    fn state(&self) -> BreakerState {
        match self.inner.lock().unwrap_or_else(PoisonError::into_inner).1 {
            Inner::Closed(_) => BreakerState::Closed,
            Inner::Open(_) => BreakerState::Open,
            Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Check,
    Finish(usize, Verdict),
    Advance(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![2 => Just(Verdict::Success), 3 => Just(Verdict::Failure), 1 => Just(Verdict::None)];
    prop_oneof![
        8 => Just(Step::Check),
        8 => (any::<usize>(), verdict).prop_map(|(index, verdict)| Step::Finish(index, verdict)),
        4 => (0u64..8).prop_map(Step::Advance),
        1 => Just(Step::Reset),
    ]
}

fn policy() -> impl Strategy<Value = BreakerPolicy> {
    (1u32..5, 1u32..8, 1u32..6, 1u32..6).prop_map(|(failures, window, probes, successes)| {
        // Half seconds, against steps of whole ones: rounding up to a tick changes nothing.
        BreakerPolicy::new()
            .failures(failures, window)
            .probes(probes)
            .successes(successes)
            .pause(SECOND * 9 / 2)
            .probe_limit(SECOND * 21 / 2)
    })
}

/// What is seen from outside, step by step.
fn history<B: Breaker>(
    breaker: &B,
    clock: &ManualClock,
    steps: &[Step],
) -> Vec<(Option<Result<(), u64>>, BreakerState)> {
    let mut permits = Vec::new();
    let seen = steps.iter().map(|&step| {
        let mut checked = None;
        match step {
            Step::Check => {
                // To a second, rounded up: the ticks of the breaker are shorter.
                checked = Some(breaker.check().map(|permit| permits.push(permit)).map_err(|rest| rest.as_secs()));
            }
            Step::Finish(_, _) if permits.is_empty() => {}
            Step::Finish(index, verdict) => {
                let permit = permits.swap_remove(index % permits.len());
                breaker.finish(permit, verdict);
            }
            Step::Advance(seconds) => clock.advance(SECOND * seconds as u32),
            Step::Reset => breaker.reset(),
        }
        (checked, breaker.state())
    });
    seen.collect()
}

proptest! {
    #[test]
    fn it_does_what_a_locked_breaker_does(
        policy in policy(),
        start in prop_oneof![Just(0), any::<u64>().prop_map(|nanos| nanos >> 1)],
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let clocks = [0, 1].map(|_| ManualClock::at(Moment::from_nanos(start)));
        let breaker = CircuitBreaker::new(policy).with_clock(&clocks[0]);
        let twin = Locked::new(policy, &clocks[1]);
        prop_assert_eq!(history(&breaker, &clocks[0], &steps), history(&twin, &clocks[1], &steps));
    }

    #[test]
    fn words_are_packed_without_loss(
        generation in 0u64..1 << GENERATION_BITS,
        phase in prop_oneof![
            any::<u32>().prop_map(|results| Phase::Closed { results }),
            (0u64..1 << PAYLOAD_BITS).prop_map(|end| Phase::Open { end }),
            (0u64..1 << 30, 0..=COUNT_MASK, 0..=COUNT_MASK)
                .prop_map(|(end, taken, succeeded)| Phase::HalfOpen { end, taken, succeeded }),
        ],
    ) {
        let word = Word { generation, phase };
        prop_assert_eq!(Word::unpack(word.pack()), word);
    }

    #[test]
    fn a_tick_comes_after_its_moment_and_within_two_ticks(now in any::<u64>(), pause in 0u64..1 << 40) {
        let (nanos, pause) = (pause, Duration::from_nanos(pause));
        let end = PauseTicks::after(Moment::from_nanos(now), pause);
        let left = PauseTicks::until(Moment::from_nanos(now), end, pause).unwrap();
        let left = u64::try_from(left.as_nanos()).unwrap();
        prop_assert!(left > nanos && left <= nanos + (1 << 20));
        prop_assert_eq!(PauseTicks::until(Moment::from_nanos(now.wrapping_add(left)), end, pause), None);
        let almost = PauseTicks::until(Moment::from_nanos(now.wrapping_add(left - 1)), end, pause);
        prop_assert_eq!(almost, Some(Duration::from_nanos(1)));
    }
}

/// A breaker that has just been opened, and whose pause is over.
fn opened(policy: BreakerPolicy) -> (CircuitBreaker<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let breaker = CircuitBreaker::new(policy.failures(1, 1)).with_clock(clock.clone());
    breaker.check().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(policy.pause + SECOND);
    (breaker, clock)
}

#[test]
fn sixty_four_threads_get_exactly_as_many_probes_as_there_are() {
    const THREADS: usize = 64;
    for probes in [1, 7, 31] {
        let (breaker, clock) = opened(BreakerPolicy::new().probes(probes));
        for round in 0..4 {
            let admitted = AtomicU32::new(0);
            let all = Barrier::new(THREADS);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        all.wait();
                        let permit = breaker.check();
                        admitted.fetch_add(u32::from(permit.is_ok()), Ordering::Relaxed);
                        all.wait();
                        if let Ok(permit) = permit {
                            match round % 2 {
                                0 => permit.failure(),
                                _ => drop(permit),
                            }
                        }
                    });
                }
            });
            assert_eq!(admitted.into_inner(), probes);
            if round % 2 == 0 {
                assert_eq!(breaker.state(), BreakerState::Open);
                clock.advance(breaker.policy.pause + SECOND);
            } else {
                assert_eq!(breaker.state(), BreakerState::HalfOpen);
                // Each was given back, and can be taken again.
                let again: Vec<_> = (0..probes).map(|_| breaker.check().unwrap()).collect();
                assert_eq!(breaker.check().unwrap_err(), Rejected { retry_after: Duration::ZERO });
                again.into_iter().next().unwrap().failure();
                clock.advance(breaker.policy.pause + SECOND);
            }
        }
    }
}

#[test]
fn threads_that_come_and_go_never_hold_more_than_there_are() {
    const PROBES: u32 = 3;
    // Never enough successes to close: probes are dropped.
    let (breaker, _clock) = opened(BreakerPolicy::new().probes(PROBES));
    let (held, most, passed) = (AtomicU32::new(0), AtomicU32::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let Ok(permit) = breaker.check() else { continue };
                    let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    passed.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                    held.fetch_sub(1, Ordering::SeqCst);
                    permit.release();
                }
            });
        }
    });
    assert!(passed.into_inner() >= 50 && (1..=PROBES).contains(&most.into_inner()));
    assert_eq!(breaker.load().phase.state(), BreakerState::HalfOpen);
    let permits: Vec<_> = (0..PROBES).map(|_| breaker.check().unwrap()).collect();
    permits.into_iter().for_each(Permit::success);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_panic_returns_the_permit_as_a_failure() {
    let (breaker, clock) = opened(BreakerPolicy::new());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _permit = breaker.check().unwrap();
        panic!("a deliberate panic");
    }));
    assert!(broken.is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(breaker.policy.pause + SECOND);
    breaker.check().unwrap().success();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn a_permit_of_cleaning_up_after_a_panic_is_no_failure() {
    struct CleansUp<'a>(&'a CircuitBreaker<ManualClock>);
    impl Drop for CleansUp<'_> {
        fn drop(&mut self) {
            drop(self.0.check().unwrap());
        }
    }
    let (breaker, _clock) = opened(BreakerPolicy::new());
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _last = CleansUp(&breaker);
        panic!("a deliberate panic");
    }));
    assert!(broken.is_err());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn lost_permits_are_replaced_after_a_while_and_their_results_ignored() {
    let (breaker, clock) = opened(BreakerPolicy::new().probe_limit(SECOND * 3));
    mem::forget(breaker.check().unwrap());
    assert!(breaker.check().is_err());
    clock.advance(SECOND * 4);
    let late = breaker.check().unwrap();
    clock.advance(SECOND * 4);
    let probe = breaker.check().unwrap();
    late.failure();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    probe.success();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn results_of_an_older_generation_are_ignored() {
    let clock = ManualClock::new();
    let breaker = CircuitBreaker::new(BreakerPolicy::new().failures(2, 2)).with_clock(&clock);
    let [first, second, old_failure, old_success] = [0; 4].map(|_| breaker.check().unwrap());
    first.failure();
    second.failure();
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(SECOND * 31);
    let probe = breaker.check().unwrap();
    // Neither closes it for the probe, nor opens it.
    old_success.success();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    old_failure.failure();
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.reset();
    probe.failure();
    assert_eq!(breaker.load().phase, Phase::Closed { results: 0 });
}

#[test]
fn observers_are_told_of_changes_and_rejections() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let clock = ManualClock::new();
    let breaker = CircuitBreaker::new(BreakerPolicy::new().failures(1, 1).pause(SECOND))
        .with_clock(&clock)
        .with_observer(move |event: &ResilienceEvent| log.lock().unwrap().push(*event));
    breaker.check().unwrap().failure();
    let rejected = breaker.check().unwrap_err();
    assert!(rejected.retry_after > SECOND && rejected.retry_after < SECOND * 2);
    clock.advance(SECOND * 2);
    breaker.check().unwrap().success();
    let change = |from, to| ResilienceEvent::Breaker { from, to };
    assert_eq!(
        *events.lock().unwrap(),
        [
            change(BreakerState::Closed, BreakerState::Open),
            ResilienceEvent::Rejected { retry_after: rejected.retry_after },
            change(BreakerState::Open, BreakerState::HalfOpen),
            change(BreakerState::HalfOpen, BreakerState::Closed),
        ]
    );
}

#[test]
fn the_pause_is_over_after_a_jump_of_any_number_of_years() {
    // Quarters of a year, as far as a moment goes. Half of the range of a tick is 18 years, and 2.3 years for a round.
    for quarters in 1..2_000 {
        let (breaker, clock) = opened(BreakerPolicy::new());
        let jump = YEAR / 4 * quarters + SECOND * 61;
        clock.advance(jump);
        let permit = breaker.check().unwrap_or_else(|rejected| panic!("{rejected:?} after {quarters} quarters"));
        // The probe is lost, and its round is given up.
        std::mem::forget(permit);
        assert!(breaker.check().is_err());
        clock.advance(YEAR / 4 * (quarters % 99 + 1) + SECOND * 61);
        assert!(breaker.check().is_ok(), "the round, after {quarters} quarters");
    }
}

#[test]
fn the_pause_is_over_when_a_clock_has_come_to_its_end() {
    for years in [585, 600, 8_900, 1_000_000] {
        let (breaker, clock) = opened(BreakerPolicy::new());
        clock.advance(YEAR * years + SECOND * 61);
        let permit = breaker.check().unwrap_or_else(|rejected| panic!("{rejected:?} after {years} years"));
        // The probe is lost: the clock stands still, so that nothing is waited for.
        std::mem::forget(permit);
        breaker.check().unwrap().success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}

#[test]
fn an_observer_that_panics_changes_nothing() {
    let (policy, clock) = (BreakerPolicy::new().failures(1, 1), ManualClock::new());
    let breaker =
        CircuitBreaker::new(policy).with_clock(&clock).with_observer(|_: &ResilienceEvent| panic!("observer"));
    breaker.check().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.check().is_err());
    clock.advance(policy.pause + SECOND);
    breaker.check().unwrap().success();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn policies_are_brought_into_range() {
    let policy = BreakerPolicy::new().failures(0, 0).probes(0);
    assert_eq!((policy.failures, policy.window, policy.probes, policy.successes), (1, 1, 1, 1));
    let policy = BreakerPolicy::new().failures(u32::MAX, 3).probes(u32::MAX).successes(u32::MAX);
    assert_eq!((policy.failures, policy.window, policy.probes, policy.successes), (32, 32, 31, 31));
    assert_eq!(BreakerPolicy::new().probes(5).successes(0).successes, 1);
    // Neither a pause of no time nor one without end breaks the arithmetic.
    for pause in [Duration::ZERO, Duration::MAX] {
        let (breaker, clock) = (CircuitBreaker::new(policy.failures(1, 1).pause(pause)), ManualClock::new());
        let breaker = breaker.with_clock(&clock);
        breaker.check().unwrap().failure();
        assert!(breaker.check().is_err());
        clock.advance(pause.min(YEAR) + Duration::from_millis(2));
        assert!(breaker.check().is_ok());
    }
}
