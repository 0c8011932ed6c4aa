//! Thread pools for work that is done once: quantizing, and unpacking the weights of checkpoints.
//!
//! Rayon's global pool belongs to the host, and rayon panics if the system refuses its threads. With the pools of this module, the refusal
//! is an error.

use std::sync::OnceLock;
use std::thread;

use rayon::ThreadPoolBuilder;

use crate::error::Error;

/// The most threads per pool, as for the pools that run a model.
const MOST: usize = mistral_quant::ThreadPool::MAX_THREADS;

/// Checks a number of threads.
///
/// # Errors
/// [`Error::Threads`] for a number out of range.
pub(crate) fn check(threads: Option<usize>) -> Result<(), Error> {
    match threads {
        Some(threads) if !(1..=MOST).contains(&threads) => {
            Err(Error::Threads { detail: format!("{threads} were asked for; expected 1 to {MOST}") })
        }
        _ => Ok(()),
    }
}

/// Starts a pool. Without a number, the pool has as many threads as the system reports as available, whatever `RAYON_NUM_THREADS` says.
///
/// # Errors
/// [`Error::Threads`] for a number out of range, before any thread is started, and when the system refuses a thread.
pub(crate) fn pool(name: &'static str, threads: Option<usize>) -> Result<rayon::ThreadPool, Error> {
    let available = || thread::available_parallelism().map_or(1, usize::from).min(MOST);
    check(threads)?;
    let threads = threads.unwrap_or_else(available);
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(move |index| format!("{name} {index}"));
    pool.build().map_err(|error| Error::Threads { detail: format!("{threads} threads: {error}") })
}

/// Returns the pool that unpacks weights while a checkpoint is opened. The pool is started at its first use and kept.
///
/// # Errors
/// [`Error::Threads`] when the system refuses the threads; the next call tries again.
pub(crate) fn unpacking() -> Result<&'static rayon::ThreadPool, Error> {
    static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
    match POOL.get() {
        Some(pool) => Ok(pool),
        None => {
            let started = pool("unpack", None)?;
            Ok(POOL.get_or_init(|| started))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_threads_out_of_range_are_refused() {
        for threads in [0, MOST + 1, 40_000, usize::MAX] {
            let error = pool("test", Some(threads)).unwrap_err();
            let expected = format!("{threads} were asked for; expected 1 to 1024");
            assert!(error.to_string().contains(&expected), "{error}");
        }
        assert_eq!(pool("test", Some(3)).unwrap().current_num_threads(), 3);
        assert!(pool("test", None).unwrap().current_num_threads() <= MOST);
    }
}
