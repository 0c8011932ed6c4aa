//! Waiting for a future on the thread that asks, without a runtime.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{AtomicBool, Ordering, Thread, current, park};

/// Runs a future to its end on this thread, which sleeps while there is nothing to do.
///
/// Futures of this crate need no runtime. One of a runtime's sockets or timers must be run by that runtime.
///
/// ```
/// let sum = mistral_tools::block_on(async { 2 + 2 });
/// assert_eq!(sum, 4);
/// ```
///
/// # Synchronization
/// `woken` is released by the waker and acquired by the sleeper, which looks at it after every return from parking: a
/// wake-up between the look and the parking leaves the thread's token, so the parking returns at once. Parking that others
/// have ended, by a token left over, is told apart by the flag.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    // What is ready at once costs no allocation.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    sleep_on(future)
}

/// The rest of [`block_on`]: a future that was polled or not, by a waker that wakes this thread.
pub(crate) fn sleep_on<F: Future>(mut future: std::pin::Pin<&mut F>) -> F::Output {
    let sleeper = Arc::new(Sleeper { thread: current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(sleeper.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            park();
        }
    }
}

struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_waits_for_another_thread() {
        let mut polls = 0;
        let future = std::future::poll_fn(|context| {
            polls += 1;
            if polls < 4 {
                let waker = context.waker().clone();
                thread::spawn(move || {
                    // Once more than needed, and a token of someone else's.
                    waker.wake_by_ref();
                    waker.wake();
                });
                thread::current().unpark();
                return Poll::Pending;
            }
            Poll::Ready(7)
        });
        assert_eq!(block_on(future), 7);
    }
}

#[cfg(all(test, loom))]
mod model {
    //! `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

    use crate::sync::AtomicU64;

    use super::*;

    #[test]
    fn a_wake_up_is_not_slept_through_and_brings_what_was_written_before() {
        loom::model(|| {
            let written = Arc::new(AtomicU64::new(0));
            let mut waking = None;
            let future = std::future::poll_fn(|context| {
                if waking.is_some() {
                    return Poll::Ready(written.load(Ordering::Relaxed));
                }
                let (written, waker) = (written.clone(), context.waker().clone());
                waking = Some(loom::thread::spawn(move || {
                    written.store(7, Ordering::Relaxed);
                    waker.wake();
                }));
                Poll::Pending
            });
            assert_eq!(sleep_on(std::pin::pin!(future)), 7);
            waking.unwrap().join().unwrap();
        });
    }
}
