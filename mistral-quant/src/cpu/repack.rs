//! When weights are laid out anew for the kernels, and the thread that does it in the background.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use super::kernels::Kernels;
use super::weight::{CpuWeight, Shared};
use crate::cpu::pool::ThreadPool;
use crate::error::Error;

/// When the CPU lays weights out anew, 8 to 32 rows interleaved, so that its kernels read one stream without sorting bytes.
///
/// Results are the same to the bit under every policy, before, while and after weights are repacked. The packed form holds the same
/// numbers in about as many bytes (F32, F16, BF16 and Q4_K: the same, Q3_K and IQ1_S: 4 % more). Formats without such a form (Q8_1 and
/// Q8_K, which no model is stored in, the affine ones and [`Format::F8_E4M3`](crate::Format::F8_E4M3)), single rows, and
/// matrices of so few rows that the packed form would be more than 15 % larger stay as they are. Where the blocks are a mapped
/// file, its pages are given back every 16 MiB, while the rest of the weight is still read from them, so that what is resident stays
/// within some 20 MiB of the size of the packed weights at any time. Bytes that were read into memory are freed with the last weight that
/// shares their owner: those of a tensor of its own (one quantized while loading, say) when it is packed, those of a whole file that
/// was read into one piece of memory when its checkpoint is dropped and all of it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Repack {
    /// Never: weights stay where the checkpoint put them, and every product sorts the bytes of a strip into a small buffer
    /// first. A mapped file stays the only copy, shared between processes. The right choice for a model that is used
    /// for a few tokens, and the slowest for generation.
    Never,
    /// Strip by strip while loading, on the threads of the pool: loading reads the whole file, and from the first token on everything is
    /// fast and no other thread is at work.
    Strips,
    /// On a thread of its own, which begins when the first weight is loaded and ends with the last: the model answers at once, and
    /// becomes faster weight by weight.
    #[default]
    Background,
}

/// Packs weights by policy.
pub(crate) struct Repacker {
    policy: Repack,
    /// The thread, once there is something to do.
    thread: Option<Thread>,
}

struct Thread {
    weights: Sender<Weak<Shared>>,
    /// Weights sent and not yet done.
    waiting: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl Repacker {
    pub(crate) fn new(policy: Repack) -> Self {
        Self { policy, thread: None }
    }

    /// Packs a new weight now, later or never.
    ///
    /// # Errors
    /// [`Error::Resource`] without memory, or when the system gives no thread; those of the pool.
    pub(crate) fn add(&mut self, weight: &CpuWeight, kernels: &Kernels, pool: &ThreadPool) -> Result<(), Error> {
        match self.policy {
            Repack::Never => Ok(()),
            Repack::Strips => weight.shared().pack(kernels, pool),
            Repack::Background if !weight.shared().can_pack(kernels) => Ok(()),
            Repack::Background => {
                let thread = match self.thread.take() {
                    Some(thread) => thread,
                    None => Thread::start(*kernels)?,
                };
                // Relaxed: only a number for whoever asks; the packed form is published by the lock of the weight.
                thread.waiting.fetch_add(1, Ordering::Relaxed);
                // The thread ends only after its sender.
                let _ = thread.weights.send(Arc::downgrade(weight.shared()));
                self.thread = Some(thread);
                Ok(())
            }
        }
    }

    /// Weights that wait to be packed.
    pub(crate) fn waiting(&self) -> usize {
        self.thread.as_ref().map_or(0, |thread| thread.waiting.load(Ordering::Relaxed))
    }
}

impl Thread {
    fn start(kernels: Kernels) -> Result<Self, Error> {
        let (weights, queue) = mpsc::channel();
        // No threads of its own: this one packs alone, beside those that compute.
        let pool = ThreadPool::new(1)?;
        let (waiting, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let shared = (Arc::clone(&waiting), Arc::clone(&stop));
        let spawned = thread::Builder::new()
            .name("mistral-repack".into())
            .spawn(move || work(&queue, &kernels, &pool, &shared.0, &shared.1));
        match spawned {
            Ok(handle) => Ok(Self { weights, waiting, stop, handle }),
            Err(error) => {
                Err(Error::Resource { what: "thread that repacks weights".into(), detail: error.to_string() })
            }
        }
    }
}

/// The life of the thread: asleep unless there is a weight in the queue.
fn work(
    queue: &Receiver<Weak<Shared>>,
    kernels: &Kernels,
    pool: &ThreadPool,
    waiting: &AtomicUsize,
    stop: &AtomicBool,
) {
    for weight in queue {
        // Relaxed: a late look costs one more weight.
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(weight) = weight.upgrade() {
            // Without memory the blocks stay in use, which is slower and right.
            let _ = weight.pack(kernels, pool);
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Repacker {
    fn drop(&mut self) {
        if let Some(Thread { weights, stop, handle, .. }) = self.thread.take() {
            stop.store(true, Ordering::Relaxed);
            drop(weights);
            // A panic there leaves the blocks in use; there is nothing to report.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Repacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repacker").field("policy", &self.policy).field("waiting", &self.waiting()).finish()
    }
}

#[cfg(test)]
mod tests;
