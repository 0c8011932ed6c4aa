//! What weights are handed over with while they are packed: the standard library's locks, or loom's models of them when the hand-over is
//! checked by loom.

#[cfg(all(test, loom))]
pub(super) use self::model::OnceLock;
#[cfg(all(test, loom))]
pub(super) use loom::sync::RwLock;
#[cfg(not(all(test, loom)))]
pub(super) use std::sync::{OnceLock, RwLock};

#[cfg(all(test, loom))]
mod model {
    use loom::cell::UnsafeCell;
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicBool, Ordering};

    /// As [`std::sync::OnceLock`], which loom lacks: what `set` wrote before is seen after a `get` that gives a value.
    #[derive(Debug)]
    pub(in super::super) struct OnceLock<T> {
        writer: Mutex<()>,
        full: AtomicBool,
        value: UnsafeCell<Option<T>>,
    }

    // SAFETY: the value is written once, under the lock and before `full` is released, and read after that is acquired; loom checks it.
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T> OnceLock<T> {
        pub(in super::super) fn new() -> Self {
            Self { writer: Mutex::new(()), full: AtomicBool::new(false), value: UnsafeCell::new(None) }
        }

        pub(in super::super) fn get(&self) -> Option<&T> {
            // SAFETY: as above; nothing writes a value that is there.
            self.full.load(Ordering::Acquire).then(|| self.value.with(|value| unsafe { (*value).as_ref() })).flatten()
        }

        pub(in super::super) fn set(&self, value: T) -> Result<(), T> {
            let _writer = self.writer.lock().unwrap();
            if self.full.load(Ordering::Relaxed) {
                return Err(value);
            }
            // SAFETY: as above.
            self.value.with_mut(|place| unsafe { *place = Some(value) });
            self.full.store(true, Ordering::Release);
            Ok(())
        }
    }
}
