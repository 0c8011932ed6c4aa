//! Every interleaving of a few threads, by loom: `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

use loom::sync::Arc;
use loom::thread;

use super::RelaxedCounter;

#[test]
fn subtractions_stop_at_zero_and_take_what_was_there() {
    loom::model(|| {
        let counter = Arc::new(RelaxedCounter::with_value(1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || counter.sub_by(2))
            })
            .collect();
        // Never a wrapped value, at any moment.
        let seen = counter.inc();
        assert!(seen <= 1);
        let taken: u64 = others.into_iter().map(|thread| thread.join().unwrap().min(2)).sum();
        assert_eq!(taken + counter.get(), 2);
    });
}

#[test]
fn a_reset_loses_no_increment() {
    loom::model(|| {
        let counter = Arc::new(RelaxedCounter::new());
        let other = {
            let counter = counter.clone();
            thread::spawn(move || {
                counter.inc();
                counter.inc();
            })
        };
        let taken = counter.reset();
        other.join().unwrap();
        assert_eq!(taken + counter.get(), 2);
    });
}

#[test]
fn one_of_two_swaps_wins() {
    loom::model(|| {
        let counter = Arc::new(RelaxedCounter::new());
        let other = {
            let counter = counter.clone();
            thread::spawn(move || counter.compare_and_swap(0, 1) == 0)
        };
        let here = counter.compare_and_swap(0, 2) == 0;
        let there = other.join().unwrap();
        assert!(here ^ there);
        assert_eq!(counter.get(), if here { 2 } else { 1 });
    });
}
