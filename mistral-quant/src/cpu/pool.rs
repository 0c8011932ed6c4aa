//! Persistent threads for the forward pass.
//!
//! A step of a language model is some hundred short parallel jobs with little serial work between them, so a job must start
//! in a microsecond or two, and an idle engine must cost nothing. A general work-stealing pool pays for what is not needed
//! here (task objects, deques, splitting); this one hands the same closure to every worker and lets them share an index.

use std::cell::Cell;
use std::fmt;
use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};

use self::primitives::{
    Arc, AtomicBool, AtomicPtr, AtomicUsize, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, thread, thread_local,
};
use crate::error::Error;

/// What the pool is built of; loom's models of the same when the pool is checked by loom.
mod primitives {
    #[cfg(all(test, loom))]
    pub(super) use loom::{
        sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
        sync::{Arc, Condvar, Mutex, MutexGuard},
        thread::{self, JoinHandle},
        thread_local,
    };
    #[cfg(not(all(test, loom)))]
    pub(super) use std::{
        sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
        sync::{Arc, Condvar, Mutex, MutexGuard},
        thread::{self, JoinHandle},
        thread_local,
    };
}

/// How long a thread looks for work, or for the end of a job, before it sleeps. Longer than the serial gap between two
/// operations of a step, far shorter than the gap between two requests.
const SPIN: Duration = Duration::from_micros(40);

/// A fixed number of threads that run one job at a time; the calling thread is worker 0.
///
/// A clone is another handle on the same threads, which end when the last handle is dropped. Two engines that share a pool
/// take turns, job by job.
///
/// Cost: starting and finishing a job takes some microseconds while the workers are awake (5 to 10 were seen with two threads on a
/// busy machine), and one wake-up by the system
/// (some tens of microseconds) after a pause of more than 40 µs. During such a pause, and only then, waiting threads burn
/// CPU time, offering their core to others every few microseconds; after it they sleep. A pool with more threads than the
/// machine has cores never spins.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let pool = mistral_quant::ThreadPool::new(2)?;
/// let sum = AtomicUsize::new(0);
/// pool.for_each(10, &|task| {
///     sum.fetch_add(task, Ordering::Relaxed);
/// })?;
/// assert_eq!(sum.into_inner(), 45);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
///
/// # Synchronization
/// At most one job is in flight: its caller holds `turn` from before it is published until every worker has left it.
///
/// | variable | written by | read by | order and reason |
/// |---|---|---|---|
/// | `job` | the caller, before `epoch` | workers, after `epoch` | relaxed: ordered by `epoch` in one direction and by `pending` in the other |
/// | `pending` | set by the caller before `epoch`; each worker subtracts 1 as its last access to the job | the caller | the subtraction releases what the job wrote, the caller's load acquires it: results are visible, and the closure may be dropped, when 0 is seen |
/// | `epoch` | the caller, once a job, holding `door` | workers | released by the caller and acquired by workers: publishes `job` and `pending` |
/// | `panicked` | workers, before `pending` | the caller, after `pending` | relaxed: ordered by `pending` |
/// | `closed` | the last handle, before `epoch` | workers, after `epoch` | relaxed: ordered by `epoch` |
///
/// Nobody sleeps through a change: `epoch` changes under `door`, and the last worker takes `done` between its
/// subtraction and the notification, so a thread that looked under the lock and found nothing is already waiting when the
/// notification comes. `door` also counts who sleeps, which spares the system call when nobody does.
///
/// A thread that is inside a job never waits for a turn. A nested job whose pool is busy runs on the thread that asked, so
/// chains of pools cannot lock each other out.
#[derive(Clone)]
pub struct ThreadPool {
    crew: Arc<Crew>,
}

impl ThreadPool {
    /// The most threads per pool, which is more than the cores of any usual machine.
    ///
    /// The bound exists because a system that runs out of memory maps ends the whole process. Linux allows 65,530 memory maps by default,
    /// and each thread takes several.
    pub const MAX_THREADS: usize = 1024;

    /// Starts `threads - 1` threads. `threads = 1` starts none and runs every job on the caller.
    ///
    /// Each thread reserves 2 MiB of address space for its stack (or the size in `RUST_MIN_STACK`), of which some tens of kilobytes become
    /// resident.
    ///
    /// # Errors
    /// [`Error::Shape`] for 0 threads and for more than [`MAX_THREADS`](Self::MAX_THREADS), before any thread is started.
    /// [`Error::Resource`] when the system refuses a thread; threads that were already started have then ended.
    pub fn new(threads: usize) -> Result<Self, Error> {
        if !(1..=Self::MAX_THREADS).contains(&threads) {
            let expected = format!("1 to {}", Self::MAX_THREADS);
            return Err(Error::Shape { what: "threads of a pool", expected, found: threads.to_string() });
        }
        let cores = available_threads();
        let shared = Arc::new(Shared {
            threads,
            spin: threads <= cores && !cfg!(all(test, loom)),
            turn: Mutex::new(()),
            job: AtomicPtr::new(ptr::null_mut()),
            pending: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            door: Mutex::new(0),
            published: Condvar::new(),
            done: Mutex::new(()),
            finished: Condvar::new(),
        });
        let mut crew = Crew { shared, handles: Vec::new() };
        for index in 1..threads {
            let shared = Arc::clone(&crew.shared);
            let spawned = thread::Builder::new().name(format!("mistral-{index}")).spawn(move || shared.work(index));
            match spawned {
                Ok(handle) => crew.handles.push(handle),
                Err(error) => {
                    let what = format!("thread {} of the {threads} of a pool", index + 1);
                    return Err(Error::Resource { what, detail: error.to_string() });
                }
            }
        }
        Ok(Self { crew: Arc::new(crew) })
    }

    /// How many workers run a job, the caller included.
    pub fn threads(&self) -> usize {
        self.crew.shared.threads
    }

    /// Calls `f(worker)` once for every worker `0..threads()` and returns when all have returned. Waits for its turn while
    /// another thread's job runs.
    ///
    /// The calls run at the same time, except in a job started inside a job, where they may run one after the
    /// other: `f` must not wait for another worker.
    ///
    /// # Errors
    /// [`Error::WorkerPanicked`] when any call panicked; the others have run to their end and the pool stays usable. The panic
    /// message goes to the panic hook, the payload is leaked.
    pub fn run(&self, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let shared = &*self.crew.shared;
        if shared.threads == 1 {
            return contained(|| f(0));
        }
        let _turn = if INSIDE.with(Cell::get) {
            match shared.turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return contained(|| (0..shared.threads).for_each(f)),
            }
        } else {
            lock(&shared.turn)
        };
        shared.publish(f)
    }

    /// Calls `f(task)` once for every task `0..tasks`; workers take runs of consecutive tasks from a shared counter.
    ///
    /// # Errors
    /// As [`run`](Self::run); after a panic some tasks have not run.
    pub fn for_each(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let threads = self.threads();
        if threads == 1 || tasks <= 1 {
            return contained(|| (0..tasks).for_each(f));
        }
        let run = (tasks / threads.saturating_mul(8)).max(1);
        let next = AtomicUsize::new(0);
        self.run(&|_| {
            loop {
                let start = next.fetch_add(run, Ordering::Relaxed);
                if start >= tasks {
                    break;
                }
                (start..tasks.min(start.saturating_add(run))).for_each(f);
            }
        })
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether this thread is running a job of any pool.
    // Loom's macro has no const form.
    #[allow(clippy::missing_const_for_thread_local)]
    static INSIDE: Cell<bool> = Cell::new(false);
}

/// The threads; dropped with the last handle, which is never inside a job because `run` borrows one.
struct Crew {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.wake_workers();
        for handle in self.handles.drain(..) {
            // A worker contains every panic of a job, so there is nothing to report.
            let _ = handle.join();
        }
    }
}

/// Returns the number of threads that the system reports as available, within the bound of a pool; 1 if the system does not report a
/// number.
pub(crate) fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(ThreadPool::MAX_THREADS)
}

/// What a worker calls. It lies on the caller's stack, which stays until `pending` is 0.
struct Job<'a> {
    call: &'a (dyn Fn(usize) + Sync),
}

struct Shared {
    threads: usize,
    spin: bool,
    turn: Mutex<()>,
    job: AtomicPtr<Job<'static>>,
    pending: AtomicUsize,
    epoch: AtomicUsize,
    panicked: AtomicBool,
    closed: AtomicBool,
    /// How many workers sleep.
    door: Mutex<usize>,
    published: Condvar,
    done: Mutex<()>,
    finished: Condvar,
}

impl Shared {
    /// Runs one job on all workers; the caller holds `turn`.
    fn publish(&self, f: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let job = Job { call: f };
        self.job.store(ptr::from_ref(&job).cast_mut().cast::<Job<'static>>(), Ordering::Relaxed);
        self.pending.store(self.threads - 1, Ordering::Relaxed);
        self.wake_workers();
        // A panic of the caller's own share must not unwind past `job` while workers hold its address.
        let own = contained(|| f(0));
        if !spin_until(self.spin, || self.pending.load(Ordering::Acquire) == 0) {
            let mut done = lock(&self.done);
            while self.pending.load(Ordering::Acquire) != 0 {
                done = wait(&self.finished, done);
            }
        }
        let others = self.panicked.swap(false, Ordering::Relaxed);
        if others { Err(Error::WorkerPanicked) } else { own }
    }

    fn wake_workers(&self) {
        let sleepers = lock(&self.door);
        self.epoch.fetch_add(1, Ordering::Release);
        let wake = *sleepers > 0;
        drop(sleepers);
        if wake {
            self.published.notify_all();
        }
    }

    /// The life of a worker.
    fn work(&self, index: usize) {
        let mut seen = 0;
        loop {
            self.await_change(seen);
            seen = seen.wrapping_add(1);
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            let job = self.job.load(Ordering::Relaxed);
            // SAFETY: the epoch changed and the pool is not closed, so `publish` stored the address of a live `Job` and
            // does not return, nor unwind, before this worker has subtracted itself from `pending` below. The shared borrow ends here.
            let call = unsafe { (*job).call };
            if contained(|| call(index)).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
                drop(lock(&self.done));
                self.finished.notify_one();
            }
        }
    }

    fn await_change(&self, seen: usize) {
        let changed = || self.epoch.load(Ordering::Acquire) != seen;
        if spin_until(self.spin, changed) {
            return;
        }
        let mut sleepers = lock(&self.door);
        while !changed() {
            *sleepers += 1;
            sleepers = wait(&self.published, sleepers);
            *sleepers -= 1;
        }
    }
}

/// Runs a share of a job, marking the thread as inside one and containing a panic.
fn contained(share: impl FnOnce()) -> Result<(), Error> {
    let outer = INSIDE.with(|inside| inside.replace(true));
    let result = panic::catch_unwind(AssertUnwindSafe(share));
    INSIDE.with(|inside| inside.set(outer));
    result.map_err(|payload| {
        // Dropping a payload may panic again; there is nobody above to contain that.
        std::mem::forget(payload);
        Error::WorkerPanicked
    })
}

/// Polls for up to [`SPIN`]; false when the time is over.
fn spin_until(spin: bool, ready: impl Fn() -> bool) -> bool {
    if !spin {
        if !ready() {
            thread::yield_now();
        }
        return ready();
    }
    let mut start = None;
    loop {
        for _ in 0..64 {
            if ready() {
                return true;
            }
            hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() > SPIN {
            return false;
        }
        thread::yield_now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(all(test, not(loom)))]
mod twin;
