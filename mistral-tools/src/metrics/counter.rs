//! Counters that many threads share without waiting for each other.
//!
//! A counter orders nothing: it says how often something happened, not that anything else is visible. That is what relaxed
//! atomics are for, and why the type says so in its name.

use crate::outcome::kinds::ErrorKind;
use crate::sync::{AtomicU64, Ordering};

/// A count that any thread may change at any time; it never wraps below zero.
///
/// ```
/// use mistral_tools::metrics::RelaxedCounter;
/// static CALLS: RelaxedCounter = RelaxedCounter::new();
/// assert_eq!(CALLS.inc(), 0);
/// assert_eq!(CALLS.inc_by(4), 1);
/// assert_eq!(CALLS.sub_by(9), 5); // stops at 0
/// assert_eq!(CALLS.get(), 0);
/// ```
///
/// Cost: an atomic addition for the increments, some nanoseconds alone and some tens when cores fight for the same cache
/// line; a compare-exchange loop for the subtractions. Counts beyond `u64::MAX` wrap to 0, which takes centuries at a count
/// a nanosecond.
///
/// # Synchronization
/// One atomic, always relaxed. Every operation is a single read-modify-write, so none is lost and each sees the result of
/// the one before it in the counter's own order. Subtractions are a loop of compare-exchanges, never a subtraction that is
/// repaired afterwards: no thread can see a wrapped value in between. Nothing else is ordered: a thread that sees a count
/// may not see what was written before it was counted.
#[derive(Debug)]
pub struct RelaxedCounter(AtomicU64);

impl RelaxedCounter {
    /// A counter at 0.
    #[cfg(not(all(test, loom)))]
    pub const fn new() -> Self {
        Self::with_value(0)
    }

    /// A counter at `value`.
    #[cfg(not(all(test, loom)))]
    pub const fn with_value(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn new() -> Self {
        Self::with_value(0)
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn with_value(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The count now; other threads may have changed it by the time it is looked at.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds 1 and returns the count before.
    #[inline]
    pub fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    /// Adds `amount` and returns the count before.
    #[inline]
    pub fn inc_by(&self, amount: u64) -> u64 {
        self.0.fetch_add(amount, Ordering::Relaxed)
    }

    /// Takes off 1, unless the count is 0, and returns the count before.
    #[inline]
    pub fn sub(&self) -> u64 {
        self.sub_by(1)
    }

    /// Takes off `amount`, or all there is when that is less, and returns the count before.
    pub fn sub_by(&self, amount: u64) -> u64 {
        let mut current = self.get();
        loop {
            let left = current.saturating_sub(amount);
            match self.0.compare_exchange_weak(current, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(previous) => return previous,
                Err(seen) => current = seen,
            }
        }
    }

    /// Sets the count to 0 and returns the count before: nothing counted meanwhile is lost.
    #[inline]
    pub fn reset(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    /// Sets the count to `new` if it is `current`, and returns the count before: it was changed if that equals `current`.
    #[inline]
    pub fn compare_and_swap(&self, current: u64, new: u64) -> u64 {
        match self.0.compare_exchange(current, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(previous) | Err(previous) => previous,
        }
    }
}

impl Default for RelaxedCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl From<u64> for RelaxedCounter {
    fn from(value: u64) -> Self {
        Self::with_value(value)
    }
}

/// Counters that are looked at together, each with a name.
///
/// ```
/// use mistral_tools::metrics::CounterGroup;
/// static CACHE: CounterGroup<2> = CounterGroup::new(["hits", "misses"]);
/// let before = CACHE.snapshot();
/// if let Some(hits) = CACHE.named("hits") {
///     hits.inc_by(3);
/// }
/// let since = CACHE.snapshot().since(&before);
/// assert_eq!(since.to_string(), "hits 3, misses 0");
/// ```
///
/// The counters lie side by side, eight to a cache line: a group is for statistics, not for a count that many cores
/// change every few nanoseconds.
#[derive(Debug)]
pub struct CounterGroup<const N: usize> {
    names: [&'static str; N],
    counters: [RelaxedCounter; N],
}

impl<const N: usize> CounterGroup<N> {
    /// Counters at 0.
    #[cfg(not(all(test, loom)))]
    pub const fn new(names: [&'static str; N]) -> Self {
        Self { names, counters: [const { RelaxedCounter::new() }; N] }
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn new(names: [&'static str; N]) -> Self {
        Self { names, counters: std::array::from_fn(|_| RelaxedCounter::new()) }
    }

    /// The names, in order.
    pub const fn names(&self) -> &[&'static str; N] {
        &self.names
    }

    /// The counter at a place; none beyond the last.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&RelaxedCounter> {
        self.counters.get(index)
    }

    /// The first counter of this name. A search through the names: keep the reference, or use [`get`](Self::get), where it
    /// is hot.
    pub fn named(&self, name: &str) -> Option<&RelaxedCounter> {
        let index = self.names.iter().position(|&candidate| candidate == name)?;
        self.counters.get(index)
    }

    /// All counts, each read once. Counts that change meanwhile may be from before or after each other: a snapshot is not
    /// one moment of the whole group, but no count in it ever goes back in a later one unless it was reset or lowered.
    pub fn snapshot(&self) -> Snapshot<N> {
        Snapshot { names: self.names, values: self.counters.each_ref().map(RelaxedCounter::get) }
    }

    /// All counts, each set to 0 as it is read: what is counted meanwhile is in this snapshot or the next, never in both or
    /// neither.
    pub fn take(&self) -> Snapshot<N> {
        Snapshot { names: self.names, values: self.counters.each_ref().map(RelaxedCounter::reset) }
    }
}

/// The counts of a [`CounterGroup`] as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot<const N: usize> {
    names: [&'static str; N],
    values: [u64; N],
}

impl<const N: usize> Snapshot<N> {
    /// The counts, in the order of the group.
    pub const fn values(&self) -> &[u64; N] {
        &self.values
    }

    /// The count of a name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find(|&(candidate, _)| candidate == name).map(|(_, value)| value)
    }

    /// Names and counts, in the order of the group.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, u64)> + '_ {
        self.names.iter().copied().zip(self.values.iter().copied())
    }

    /// All counts together; `u64::MAX` when that is too little.
    pub fn total(&self) -> u64 {
        self.values.iter().fold(0, |sum: u64, &value| sum.saturating_add(value))
    }

    /// What was counted since an earlier snapshot of the same group; 0 where a counter was reset between.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut values = self.values;
        for (value, before) in values.iter_mut().zip(&earlier.values) {
            *value = value.saturating_sub(*before);
        }
        Self { names: self.names, values }
    }
}

impl<const N: usize> std::fmt::Display for Snapshot<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {value}")?;
        }
        Ok(())
    }
}

/// How many kinds of error there are.
const KINDS: usize = ErrorKind::ALL.len();

/// How often each kind of error happened.
///
/// ```
/// use mistral_tools::{metrics::ErrorCounters, ErrorKind};
/// let errors = ErrorCounters::new();
/// errors.inc(ErrorKind::Timeout);
/// errors.inc(ErrorKind::Timeout);
/// let snapshot = errors.snapshot();
/// assert_eq!(snapshot.get("timeout"), Some(2));
/// assert_eq!((errors.get(ErrorKind::Failed), snapshot.total()), (0, 2));
/// ```
#[derive(Debug)]
pub struct ErrorCounters(CounterGroup<KINDS>);

impl ErrorCounters {
    const NAMES: [&'static str; KINDS] = {
        let mut names = [""; KINDS];
        let mut index = 0;
        while index < KINDS {
            names[index] = ErrorKind::ALL[index].name();
            index += 1;
        }
        names
    };

    /// No errors yet.
    #[cfg(not(all(test, loom)))]
    pub const fn new() -> Self {
        Self(CounterGroup::new(Self::NAMES))
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn new() -> Self {
        Self(CounterGroup::new(Self::NAMES))
    }

    /// Counts an error and returns how many of its kind there were before.
    #[inline]
    pub fn inc(&self, kind: ErrorKind) -> u64 {
        self.0.get(kind.index()).map_or(0, RelaxedCounter::inc)
    }

    /// How many errors of this kind there were.
    #[inline]
    pub fn get(&self, kind: ErrorKind) -> u64 {
        self.0.get(kind.index()).map_or(0, RelaxedCounter::get)
    }

    /// All kinds, named by [`ErrorKind::name`].
    pub fn snapshot(&self) -> Snapshot<{ ErrorKind::ALL.len() }> {
        self.0.snapshot()
    }

    /// All kinds, each set to 0 as it is read.
    pub fn take(&self) -> Snapshot<{ ErrorKind::ALL.len() }> {
        self.0.take()
    }
}

impl Default for ErrorCounters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
