//! Waits for a future on the calling thread.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Pairs with the swap in `block_on`: what happened before the wake is seen by the poll after it.
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs a future to its end. One that is ready at once costs no waker and no allocation; that is every synchronous tool.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Nothing is missed with a waker that does nothing: the next poll follows without waiting and brings a real one.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !parker.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::mpsc};

    use super::*;

    #[test]
    fn waits_for_another_thread() {
        let (sender, receiver) = mpsc::channel::<Waker>();
        let (done, is_done) = mpsc::channel();
        let other = thread::spawn(move || {
            for waker in receiver {
                let _ = done.send(());
                waker.wake();
            }
        });
        let mut seen = 0;
        let value = block_on(poll_fn(|context| {
            seen += is_done.try_iter().count();
            if seen >= 5 {
                return Poll::Ready(seen);
            }
            sender.send(context.waker().clone()).unwrap();
            Poll::Pending
        }));
        assert!(value >= 5);
        drop(sender);
        other.join().unwrap();
    }
}
