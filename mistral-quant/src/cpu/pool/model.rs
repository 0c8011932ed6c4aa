//! Every interleaving of a few threads, by loom: `RUSTFLAGS="--cfg loom" cargo test -p mistral-quant --lib pool`.

use loom::cell::UnsafeCell;

use super::ThreadPool;
use crate::error::Error;

/// A place that each worker writes without synchronisation; loom reports a race when the caller reads it too early.
struct Places(Vec<UnsafeCell<usize>>);

// SAFETY: a worker writes its own place, and the caller reads after the job; loom checks exactly this.
unsafe impl Sync for Places {}

impl Places {
    fn add(&self, worker: usize) {
        // SAFETY: as above.
        self.0[worker].with_mut(|place| unsafe { *place += 1 });
    }

    fn sum(&self) -> usize {
        // SAFETY: as above.
        self.0.iter().map(|place| place.with(|place| unsafe { *place })).sum()
    }
}

fn places(count: usize) -> Places {
    Places((0..count).map(|_| UnsafeCell::new(0)).collect())
}

#[test]
fn jobs_follow_each_other() {
    loom::model(|| {
        let pool = ThreadPool::new(2).unwrap();
        for job in 1..=2 {
            // The closure and what it borrows end with the job.
            let places = places(2);
            pool.run(&|worker| places.add(worker)).unwrap();
            assert_eq!(places.sum(), 2, "job {job}");
        }
    });
}

#[test]
fn three_workers_finish_and_end() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let pool = ThreadPool::new(3).unwrap();
        let places = places(3);
        pool.run(&|worker| places.add(worker)).unwrap();
        assert_eq!(places.sum(), 3);
    });
}

#[test]
fn two_callers_take_turns() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = ThreadPool::new(2).unwrap();
        let other = pool.clone();
        let caller = loom::thread::spawn(move || {
            let places = places(2);
            other.run(&|worker| places.add(worker)).unwrap();
            assert_eq!(places.sum(), 2);
        });
        let places = places(2);
        pool.run(&|worker| places.add(worker)).unwrap();
        assert_eq!(places.sum(), 2);
        caller.join().unwrap();
    });
}

#[test]
fn a_nested_job_runs_where_it_was_asked_for() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = ThreadPool::new(2).unwrap();
        let total = loom::sync::atomic::AtomicUsize::new(0);
        let add = |_| {
            total.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
        };
        assert_eq!(pool.run(&|_| pool.run(&add).unwrap()), Ok::<(), Error>(()));
        assert_eq!(total.load(loom::sync::atomic::Ordering::Relaxed), 4);
    });
}
