use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::ThreadPool;
use crate::error::Error;

#[test]
fn numbers_of_threads_out_of_range_are_refused_before_any_is_started() {
    for threads in [0, ThreadPool::MAX_THREADS + 1, 40_000, usize::MAX] {
        let error = ThreadPool::new(threads).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert_eq!(error.to_string(), format!("threads of a pool: expected 1 to 1024, found {threads}"));
    }
}

/// A pool of the largest size starts and works, or the system refuses it: it never ends the process.
#[test]
fn the_largest_pool_works() {
    match ThreadPool::new(ThreadPool::MAX_THREADS) {
        Ok(pool) => {
            let calls = AtomicUsize::new(0);
            pool.run(&|_| _ = calls.fetch_add(1, Ordering::Relaxed)).unwrap();
            assert_eq!(calls.into_inner(), ThreadPool::MAX_THREADS);
        }
        Err(error) => assert!(matches!(error, Error::Resource { .. }), "{error}"),
    }
}

#[test]
fn every_worker_is_called_once() {
    for threads in [1, 2, 3, 7] {
        let pool = ThreadPool::new(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        let calls: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        for _ in 0..50 {
            pool.run(&|worker| {
                calls[worker].fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert!(calls.iter().all(|count| count.load(Ordering::Relaxed) == 50));
    }
}

#[test]
fn every_task_runs_once_and_its_writes_are_seen() {
    for threads in [1, 2, 5] {
        let pool = ThreadPool::new(threads).unwrap();
        for tasks in [0, 1, 2, 3, 15, 16, 17, 40, 1000] {
            let slots: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.for_each(tasks, &|task| {
                slots[task].fetch_add(task + 1, Ordering::Relaxed);
            })
            .unwrap();
            for (task, slot) in slots.into_iter().enumerate() {
                assert_eq!(slot.into_inner(), task + 1);
            }
        }
    }
}

#[test]
fn many_short_jobs_with_and_without_sleep_between() {
    for threads in [2, 4, 9] {
        let pool = ThreadPool::new(threads).unwrap();
        let total = AtomicUsize::new(0);
        for job in 0..20_000 {
            pool.run(&|_| {
                total.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(total.load(Ordering::Relaxed), (job + 1) * threads);
        }
        for job in 0..200 {
            // Around the time after which workers fall asleep.
            thread::sleep(Duration::from_micros(job % 100));
            pool.run(&|worker| {
                if worker % 2 == 1 {
                    thread::sleep(Duration::from_micros(100 - job % 100));
                }
                total.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert_eq!(total.into_inner(), 20_200 * threads);
    }
}

#[test]
fn a_panic_of_any_worker_is_contained() {
    for threads in [1, 3] {
        let pool = ThreadPool::new(threads).unwrap();
        for victim in 0..threads {
            let calls = AtomicUsize::new(0);
            let result = pool.run(&|worker| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert!(worker != victim, "a deliberate panic of worker {worker}");
            });
            assert_eq!(result, Err(Error::WorkerPanicked));
            assert_eq!(calls.into_inner(), threads);
            assert_eq!(pool.run(&|_| {}), Ok(()));
        }
        assert_eq!(pool.for_each(5, &|task| assert!(task != 3)), Err(Error::WorkerPanicked));
        assert_eq!(pool.for_each(5, &|_| {}), Ok(()));
    }
}

#[test]
fn a_payload_that_panics_when_dropped_is_contained() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped a payload");
        }
    }
    let pool = ThreadPool::new(2).unwrap();
    assert_eq!(pool.run(&|_| std::panic::panic_any(Bomb)), Err(Error::WorkerPanicked));
    assert_eq!(pool.run(&|_| {}), Ok(()));
}

#[test]
fn threads_share_a_pool_by_turns() {
    let pool = ThreadPool::new(3).unwrap();
    let inside = AtomicUsize::new(0);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let pool = pool.clone();
            let (inside, total) = (&inside, &total);
            scope.spawn(move || {
                for _ in 0..500 {
                    let own = AtomicUsize::new(0);
                    pool.run(&|_| {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3, "two jobs at once");
                        own.fetch_add(1, Ordering::Relaxed);
                        total.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    })
                    .unwrap();
                    assert_eq!(own.into_inner(), 3);
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 4 * 500 * 3);
}

#[test]
fn nested_jobs_and_chains_of_pools_end() {
    let (first, second) = (ThreadPool::new(2).unwrap(), ThreadPool::new(3).unwrap());
    let total = AtomicUsize::new(0);
    for _ in 0..100 {
        first
            .run(&|_| {
                second
                    .run(&|_| {
                        first
                            .run(&|_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            })
                            .unwrap();
                    })
                    .unwrap();
            })
            .unwrap();
    }
    assert_eq!(total.into_inner(), 100 * 2 * 3 * 2);
}

#[test]
fn the_last_handle_joins_the_workers() {
    struct OnExit<'a>(&'a AtomicUsize);
    impl Drop for OnExit<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static GUARD: OnExit<'static> = const { OnExit(&ENDED) };
    }
    for asleep in [false, true] {
        ENDED.store(0, Ordering::SeqCst);
        let pool = ThreadPool::new(4).unwrap();
        let other = pool.clone();
        pool.run(&|worker| {
            if worker > 0 {
                GUARD.with(|_| ());
            }
        })
        .unwrap();
        drop(pool);
        if asleep {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(other.run(&|_| {}), Ok(()));
        assert_eq!(ENDED.load(Ordering::SeqCst), 0);
        drop(other);
        assert_eq!(ENDED.load(Ordering::SeqCst), 3);
    }
}
