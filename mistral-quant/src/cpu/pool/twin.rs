//! The obviously right pool: a lock for the turn, and new threads for every job. Slow, and held against [`ThreadPool`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{ThreadPool, lock};
use crate::cpu::tests::Random;
use crate::error::Error;

/// What both can do.
trait Jobs: Sync {
    fn run(&self, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error>;
}

impl Jobs for ThreadPool {
    fn run(&self, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        ThreadPool::run(self, f)
    }
}

struct MutexPool {
    threads: usize,
    turn: Mutex<()>,
}

impl Jobs for MutexPool {
    fn run(&self, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let _turn = lock(&self.turn);
        let share = |worker| catch_unwind(AssertUnwindSafe(|| f(worker))).is_ok();
        let all = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|worker| scope.spawn(move || share(worker))).collect();
            // No short cut: every worker is waited for.
            workers.into_iter().fold(true, |all, worker| worker.join().unwrap_or(false) & all)
        });
        if all { Ok(()) } else { Err(Error::WorkerPanicked) }
    }
}

/// Jobs of several callers, some of whose workers panic: what each caller is told, and what all workers have done.
fn history(pool: &impl Jobs, threads: usize, seed: u64) -> (Vec<Vec<bool>>, usize) {
    const CALLERS: u64 = 3;
    let done = AtomicUsize::new(0);
    let outcomes = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let done = &done;
                scope.spawn(move || {
                    let mut random = Random::new(seed * CALLERS + caller);
                    let job = |_| {
                        let (weight, victim) = (random.below(1..1000), random.below(0..4 * threads));
                        let seen = AtomicUsize::new(0);
                        let outcome = pool.run(&|worker| {
                            seen.fetch_add(worker + 1, Ordering::Relaxed);
                            done.fetch_add(weight * (worker + 1), Ordering::Relaxed);
                            assert!(worker != victim, "a deliberate panic of worker {worker}");
                        });
                        assert_eq!(
                            seen.into_inner(),
                            threads * (threads + 1) / 2,
                            "a worker was left out, or still at work"
                        );
                        outcome.is_ok()
                    };
                    (0..40).map(job).collect()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap_or_default()).collect()
    });
    (outcomes, done.into_inner())
}

#[test]
fn the_pool_does_what_its_twin_does() {
    for threads in 1..=4 {
        for seed in 0..5 {
            let twin = MutexPool { threads, turn: Mutex::new(()) };
            let pool = ThreadPool::new(threads).unwrap();
            assert_eq!(history(&pool, threads, seed), history(&twin, threads, seed), "{threads} threads, seed {seed}");
        }
    }
}
