//! How long calls take, as a histogram of fixed size that any thread records into.
//!
//! Buckets are log-linear, as in Tene's HdrHistogram: each power of two is cut into 16 of equal width, so that a value is
//! known to one part in sixteen wherever it lies, and the bucket of a value is a shift and a mask.

use std::fmt;
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};
use crate::time::nanos;

/// Buckets of each power of two, as a power of two.
const LINEAR_BITS: u32 = 4;
const LINEAR: usize = 1 << LINEAR_BITS;
/// Values of this many bits or more, 73 minutes in nanoseconds, share the last bucket.
const VALUE_BITS: u32 = 42;
const BUCKETS: usize = (VALUE_BITS - LINEAR_BITS + 1) as usize * LINEAR + 1;

/// The bucket of a value.
const fn bucket(nanos: u64) -> usize {
    if nanos < LINEAR as u64 {
        return nanos as usize;
    }
    let exponent = nanos.ilog2();
    if exponent >= VALUE_BITS {
        return BUCKETS - 1;
    }
    let shift = exponent - LINEAR_BITS;
    // The leading one of the shifted value adds the LINEAR of the next power.
    shift as usize * LINEAR + (nanos >> shift) as usize
}

/// The lowest value of a bucket.
const fn lowest(bucket: usize) -> u64 {
    if bucket < LINEAR {
        return bucket as u64;
    }
    let shift = bucket / LINEAR - 1;
    ((bucket % LINEAR + LINEAR) as u64) << shift
}

/// A histogram of durations, 5 KB.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::metrics::LatencyHistogram;
/// let latency = LatencyHistogram::new();
/// for micros in 1..=1000 {
///     latency.record(Duration::from_micros(micros));
/// }
/// let snapshot = latency.snapshot();
/// let p95 = snapshot.quantile(0.95).unwrap_or_default().as_micros();
/// assert!((918..=982).contains(&p95)); // 950 to one part in 32
/// assert_eq!((snapshot.count(), snapshot.max()), (1000, Some(Duration::from_micros(1000))));
/// ```
///
/// Error: a quantile is the middle of the bucket that holds it, at most 1/32 (3.2 %) from a recorded value below 73 minutes;
/// below 16 ns it is exact. Longer durations are counted as 73 minutes or more. The maximum is exact.
///
/// Cost: one atomic addition, and a comparison with the maximum. Threads that record about the same duration share a cache
/// line.
///
/// # Synchronization
/// | variable | written by | read by | order and reason |
/// |---|---|---|---|
/// | `buckets` | `record` adds 1 to one of them | `snapshot` | relaxed: each is a count for itself, and the total is their sum, so that no second variable must agree |
/// | `max` | `record` raises it, before it counts | `snapshot`, after the counts | relaxed: a snapshot may miss what is being recorded; a maximum that is missing is bounded by the highest bucket counted |
pub struct LatencyHistogram {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl LatencyHistogram {
    /// An empty histogram.
    #[cfg(not(all(test, loom)))]
    pub const fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], max: AtomicU64::new(0) }
    }

    /// As without loom, whose atomics cannot be made in a constant.
    #[cfg(all(test, loom))]
    pub fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), max: AtomicU64::new(0) }
    }

    /// Counts a duration.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let nanos = nanos(duration);
        // Most are not the longest so far: they look and leave the line shared.
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
        if let Some(count) = self.buckets.get(bucket(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was recorded, each bucket read once; what is recorded meanwhile is in it or not.
    pub fn snapshot(&self) -> LatencySnapshot {
        let counts: Box<[u64]> = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let highest = counts.iter().rposition(|&count| count > 0).map_or(0, lowest);
        LatencySnapshot { counts, max: self.max.load(Ordering::Relaxed).max(highest) }
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// A [`LatencyHistogram`] as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencySnapshot {
    counts: Box<[u64]>,
    max: u64,
}

impl LatencySnapshot {
    /// How many durations were recorded; `u64::MAX` when that is too little.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum: u64, &count| sum.saturating_add(count))
    }

    /// The longest, exactly.
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then(|| Duration::from_nanos(self.max))
    }

    /// The duration that this share of all were not longer than: 0.5 is the median, 0 the shortest, 1 the longest. None of
    /// an empty histogram, and none of a share that is not from 0 to 1.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        let count = self.count();
        // At least one is not longer than the shortest.
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0u64;
        let bucket = self.counts.iter().position(|&count| {
            seen = seen.saturating_add(count);
            seen >= rank
        })?;
        Some(Duration::from_nanos(self.middle(bucket)))
    }

    /// The mean, with the error of the quantiles.
    pub fn mean(&self) -> Option<Duration> {
        let sum = |sum, (bucket, &count): (usize, &u64)| sum + count as f64 * self.middle(bucket) as f64;
        let total: f64 = self.counts.iter().enumerate().fold(0.0, sum);
        let count = self.count();
        (count > 0).then(|| Duration::from_nanos((total / count as f64) as u64))
    }

    /// The two together, as of two tools or two machines.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.max = self.max.max(other.max);
        self
    }

    /// What was recorded since an earlier snapshot of the same histogram. The maximum is that of all time, no longer exact:
    /// at most that, and within the error of the quantiles.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (count, before) in self.counts.iter_mut().zip(&earlier.counts) {
            *count = count.saturating_sub(*before);
        }
        if self.max == earlier.max {
            let highest = self.counts.iter().rposition(|&count| count > 0);
            self.max = highest.map_or(0, |bucket| self.middle(bucket));
        }
        self
    }

    /// What stands for the values of a bucket: its middle, or the longest value when that lies below.
    fn middle(&self, bucket: usize) -> u64 {
        let (low, next) = (lowest(bucket), lowest(bucket + 1));
        if bucket + 1 >= BUCKETS { low } else { (low + (next - low) / 2).min(self.max.max(low)) }
    }
}

impl fmt::Debug for LatencySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Latency");
        fields.field("count", &self.count());
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            fields.field(name, &self.quantile(share).unwrap_or_default());
        }
        fields.field("max", &self.max().unwrap_or_default()).finish()
    }
}

#[cfg(all(test, loom))]
mod model {
    //! `RUSTFLAGS="--cfg loom" cargo test -p mistral-tools --lib model`.

    use loom::sync::Arc;

    use super::*;

    #[test]
    fn no_record_is_lost_and_the_maximum_is_the_highest() {
        loom::model(|| {
            let histogram = Arc::new(LatencyHistogram::new());
            let other = {
                let histogram = histogram.clone();
                loom::thread::spawn(move || histogram.record(Duration::from_nanos(9)))
            };
            histogram.record(Duration::from_nanos(5));
            other.join().unwrap();
            assert_eq!(histogram.max.load(Ordering::Relaxed), 9);
            let counts = [5, 9].map(|value| histogram.buckets[value].load(Ordering::Relaxed));
            assert_eq!(counts, [1, 1]);
        });
    }
}
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
