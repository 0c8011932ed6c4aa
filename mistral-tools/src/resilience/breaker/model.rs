//! Every interleaving of a few threads, by loom: `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;

use super::*;

/// A clock that stands still, without a lock for loom to look into.
#[derive(Clone, Copy)]
struct At(u64);

impl Clock for At {
    fn now(&self) -> Moment {
        Moment::from_nanos(self.0)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// A breaker whose pause is over.
fn opened(policy: BreakerPolicy) -> Arc<CircuitBreaker<At>> {
    let breaker = CircuitBreaker::new(policy.failures(1, 1).pause(HOUR)).with_clock(At(0));
    breaker.check().unwrap().failure();
    Arc::new(breaker.with_clock(At(2 * nanos(HOUR))))
}

#[test]
fn as_many_probes_pass_as_there_are() {
    for probes in [1, 2] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let breaker = opened(BreakerPolicy::new().probes(probes));
            let passed = Arc::new(AtomicUsize::new(0));
            let check = |breaker: &CircuitBreaker<At>, passed: &AtomicUsize| {
                let permit = breaker.check();
                passed.fetch_add(usize::from(permit.is_ok()), Ordering::Relaxed);
                // Kept for ever: every other check sees it taken.
                std::mem::forget(permit);
            };
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (breaker, passed) = (breaker.clone(), passed.clone());
                    loom::thread::spawn(move || check(&breaker, &passed))
                })
                .collect();
            check(&breaker, &passed);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(passed.load(Ordering::Relaxed), probes as usize);
            assert!(breaker.check().is_err());
        });
    }
}

#[test]
fn a_permit_that_comes_back_can_be_taken_and_is_never_two() {
    loom::model(|| {
        let breaker = opened(BreakerPolicy::new());
        let held = Arc::new(AtomicUsize::new(0));
        let hold = |breaker: &CircuitBreaker<At>, held: &AtomicUsize| {
            if let Ok(permit) = breaker.check() {
                assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0, "two hold the only permit");
                held.fetch_sub(1, Ordering::Relaxed);
                drop(permit);
            }
        };
        let other = {
            let (breaker, held) = (breaker.clone(), held.clone());
            loom::thread::spawn(move || hold(&breaker, &held))
        };
        hold(&breaker, &held);
        other.join().unwrap();
        assert!(breaker.check().is_ok());
    });
}

#[test]
fn of_a_success_and_a_failure_the_first_decides() {
    loom::model(|| {
        let breaker = opened(BreakerPolicy::new().probes(2).successes(1));
        let start = breaker.load().generation;
        let (good, bad) = (breaker.check().unwrap(), breaker.check().unwrap());
        let (good, bad) = (good.detach(), bad.detach());
        let other = {
            let breaker = breaker.clone();
            loom::thread::spawn(move || breaker.settle(bad, Verdict::Failure))
        };
        breaker.settle(good, Verdict::Success);
        other.join().unwrap();
        // One of the two came late, and was ignored: half-open, then one more change.
        assert_eq!(breaker.load().generation, start + 2);
        assert_ne!(breaker.state(), BreakerState::HalfOpen);
    });
}

#[test]
fn failures_in_a_row_open_it_once() {
    loom::model(|| {
        let breaker = Arc::new(CircuitBreaker::new(BreakerPolicy::new().failures(2, 2)).with_clock(At(0)));
        let other = {
            let breaker = breaker.clone();
            loom::thread::spawn(move || breaker.check().unwrap().failure())
        };
        breaker.check().unwrap().failure();
        other.join().unwrap();
        assert_eq!(breaker.load().generation, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
    });
}

#[test]
fn a_reset_wins_over_results_that_are_under_way() {
    loom::model(|| {
        let breaker = opened(BreakerPolicy::new());
        let probe = breaker.check().unwrap().detach();
        let other = {
            let breaker = breaker.clone();
            loom::thread::spawn(move || breaker.settle(probe, Verdict::Failure))
        };
        breaker.reset();
        other.join().unwrap();
        assert_eq!(breaker.load().phase, Phase::Closed { results: 0 });
        assert!(breaker.check().is_ok());
    });
}

#[test]
fn who_passes_because_of_a_success_sees_what_it_had_written() {
    loom::model(|| {
        let breaker = opened(BreakerPolicy::new());
        let written = Arc::new(AtomicUsize::new(0));
        let probe = breaker.check().unwrap().detach();
        // The one who looks is the other thread: loom 0.7 takes back no mere load of the first for a thread that has itself
        // loaded before it stores.
        let other = {
            let (breaker, written) = (breaker.clone(), written.clone());
            loom::thread::spawn(move || {
                let passed = breaker.check().is_ok();
                assert!(!passed || written.load(Ordering::Relaxed) == 1);
            })
        };
        written.store(1, Ordering::Relaxed);
        breaker.settle(probe, Verdict::Success);
        other.join().unwrap();
    });
}

impl<C: Clock, O: Observer> Permit<'_, C, O> {
    /// Its generation, for a thread that cannot borrow the breaker.
    fn detach(mut self) -> u64 {
        self.settled = true;
        self.generation
    }
}
