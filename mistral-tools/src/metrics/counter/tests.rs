//! The counter against a mutex around a number, and what many threads do to it.

use std::sync::{Mutex, PoisonError};
use std::thread;

use proptest::prelude::*;

use super::*;

/// What a counter does.
trait Counter: Sync {
    fn get(&self) -> u64;
    fn inc_by(&self, amount: u64) -> u64;
    fn sub_by(&self, amount: u64) -> u64;
    fn reset(&self) -> u64;
    fn compare_and_swap(&self, current: u64, new: u64) -> u64;
}

impl Counter for RelaxedCounter {
    fn get(&self) -> u64 {
        self.get()
    }
    fn inc_by(&self, amount: u64) -> u64 {
        self.inc_by(amount)
    }
    fn sub_by(&self, amount: u64) -> u64 {
        self.sub_by(amount)
    }
    fn reset(&self) -> u64 {
        self.reset()
    }
    fn compare_and_swap(&self, current: u64, new: u64) -> u64 {
        self.compare_and_swap(current, new)
    }
}

/// The obviously right counter.
struct Locked(Mutex<u64>);

impl Locked {
    fn change(&self, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = *value;
        *value = change(previous);
        previous
    }
}

impl Counter for Locked {
    fn get(&self) -> u64 {
        self.change(|value| value)
    }
    fn inc_by(&self, amount: u64) -> u64 {
        self.change(|value| value.wrapping_add(amount))
    }
    fn sub_by(&self, amount: u64) -> u64 {
        self.change(|value| value.saturating_sub(amount))
    }
    fn reset(&self) -> u64 {
        self.change(|_| 0)
    }
    fn compare_and_swap(&self, current: u64, new: u64) -> u64 {
        self.change(|value| if value == current { new } else { value })
    }
}

fn history(counter: &impl Counter, steps: &[(u8, u64)]) -> Vec<(u64, u64)> {
    steps
        .iter()
        .map(|&(step, amount)| {
            let previous = match step {
                0 => counter.inc_by(amount),
                1 => counter.sub_by(amount),
                2 => counter.reset(),
                _ => counter.compare_and_swap(amount, amount / 2),
            };
            (previous, counter.get())
        })
        .collect()
}

proptest! {
    #[test]
    fn it_does_what_a_locked_number_does(
        start in any::<u64>(),
        steps in prop::collection::vec((0u8..4, prop_oneof![0u64..4, any::<u64>(), Just(u64::MAX)]), 0..40),
    ) {
        prop_assert_eq!(
            history(&RelaxedCounter::with_value(start), &steps),
            history(&Locked(Mutex::new(start)), &steps)
        );
    }
}

/// Threads that take as many as they add: what is left, and what was taken.
fn contend(counter: &impl Counter) -> (u64, u64) {
    let taken = thread::scope(|scope| {
        let threads: Vec<_> = (0..8u64)
            .map(|thread| {
                scope.spawn(move || {
                    (0..1000u64)
                        .map(|step| match (thread + step) % 3 {
                            0 => {
                                counter.inc_by(2);
                                0
                            }
                            1 => counter.sub_by(1).min(1),
                            _ => counter.reset(),
                        })
                        .sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    (counter.get(), taken)
}

#[test]
fn nothing_is_lost_between_threads() {
    let added: u64 = (0..8u64).map(|thread| (0..1000).filter(|step| (thread + step) % 3 == 0).count() as u64 * 2).sum();
    let (left, taken) = contend(&RelaxedCounter::new());
    assert_eq!(left + taken, added);
    let (left, taken) = contend(&Locked(Mutex::new(0)));
    assert_eq!(left + taken, added);
}

#[test]
fn groups_are_read_together() {
    let group = CounterGroup::new(["a", "b", "c"]);
    group.get(0).unwrap().inc();
    group.named("c").unwrap().inc_by(7);
    assert!(group.get(3).is_none() && group.named("d").is_none());
    let first = group.snapshot();
    assert_eq!((first.get("a"), first.get("b"), first.get("c"), first.get("d")), (Some(1), Some(0), Some(7), None));
    assert_eq!((first.total(), *first.values()), (8, [1, 0, 7]));
    group.get(1).unwrap().inc_by(u64::MAX);
    assert_eq!(*group.snapshot().since(&first).values(), [0, u64::MAX, 0]);
    assert_eq!(group.take().total(), u64::MAX);
    assert_eq!(*group.snapshot().since(&first).values(), [0, 0, 0]);
    assert_eq!(first.iter().len(), 3);
    assert_eq!(group.names(), &["a", "b", "c"]);
}

#[test]
fn errors_are_counted_by_kind() {
    let errors = ErrorCounters::new();
    for (count, kind) in ErrorKind::ALL.into_iter().enumerate() {
        for before in 0..count as u64 {
            assert_eq!(errors.inc(kind), before);
        }
    }
    for (count, kind) in ErrorKind::ALL.into_iter().enumerate() {
        assert_eq!(errors.get(kind), count as u64);
        assert_eq!(errors.snapshot().get(kind.name()), Some(count as u64));
    }
    assert_eq!(errors.take().total(), 28);
    assert_eq!(errors.snapshot().total(), 0);
}
