//! Buckets by exhaustion, quantiles against sorted values, threads against a mutex around a list.

use std::sync::Mutex;
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn buckets_are_in_order_without_gaps() {
    for index in 0..BUCKETS - 1 {
        let (low, next) = (lowest(index), lowest(index + 1));
        assert!(low < next);
        assert_eq!((bucket(low), bucket(next - 1)), (index, index));
        assert!((next - low) as f64 <= (low as f64 / 16.0).max(1.0));
    }
    assert_eq!(lowest(BUCKETS - 1), 1 << VALUE_BITS);
    for value in [1 << VALUE_BITS, (1 << VALUE_BITS) + 1, u64::MAX] {
        assert_eq!(bucket(value), BUCKETS - 1);
    }
    assert_eq!(bucket((1 << VALUE_BITS) - 1), BUCKETS - 2);
}

/// What a histogram does.
trait Latency: Sync {
    fn record(&self, duration: Duration);
    fn quantile(&self, share: f64) -> Option<Duration>;
    fn max(&self) -> Option<Duration>;
    fn mean(&self) -> Option<Duration>;
    fn count(&self) -> u64;
}

impl Latency for LatencyHistogram {
    fn record(&self, duration: Duration) {
        self.record(duration);
    }
    fn quantile(&self, share: f64) -> Option<Duration> {
        self.snapshot().quantile(share)
    }
    fn max(&self) -> Option<Duration> {
        self.snapshot().max()
    }
    fn mean(&self) -> Option<Duration> {
        self.snapshot().mean()
    }
    fn count(&self) -> u64 {
        self.snapshot().count()
    }
}

/// The obviously right histogram: every value, under a lock.
#[derive(Default)]
struct Locked(Mutex<Vec<Duration>>);

impl Locked {
    fn sorted(&self) -> Vec<Duration> {
        let mut values = self.0.lock().unwrap().clone();
        values.sort();
        values
    }
}

impl Latency for Locked {
    fn record(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
    fn quantile(&self, share: f64) -> Option<Duration> {
        let values = self.sorted();
        let rank = (share * values.len() as f64).ceil() as usize;
        values.get(rank.max(1) - 1).copied()
    }
    fn max(&self) -> Option<Duration> {
        self.sorted().last().copied()
    }
    fn mean(&self) -> Option<Duration> {
        let values = self.sorted();
        let count = u32::try_from(values.len()).unwrap();
        (count > 0).then(|| values.iter().sum::<Duration>() / count)
    }
    fn count(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
}

/// Equal to one part in 32, and a nanosecond for the integers.
fn close(a: Option<Duration>, b: Option<Duration>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.abs_diff(b) <= b / 32 + Duration::from_nanos(1),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn quantiles_are_near_those_of_the_sorted_values(
        values in prop::collection::vec((0u64..1 << VALUE_BITS, 0u32..VALUE_BITS), 0..60),
        share in 0.0..=1.0,
    ) {
        let (histogram, twin) = (LatencyHistogram::new(), Locked::default());
        for (value, shift) in values {
            for recorder in [&histogram as &dyn Latency, &twin] {
                recorder.record(Duration::from_nanos(value >> shift));
            }
        }
        prop_assert_eq!((histogram.count(), histogram.max()), (twin.count(), twin.max()));
        for share in [share, 0.0, 0.5, 0.99, 1.0] {
            let (found, right) = (histogram.quantile(share), twin.quantile(share));
            prop_assert!(close(found, right), "{} of the values: {:?}, not {:?}", share, found, right);
        }
        prop_assert!(close(histogram.mean(), twin.mean()), "{:?} {:?}", histogram.mean(), twin.mean());
    }
}

#[test]
fn nothing_is_lost_between_threads() {
    let (histogram, twin) = (LatencyHistogram::new(), Locked::default());
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let (histogram, twin) = (&histogram, &twin);
            scope.spawn(move || {
                for step in 0..500 {
                    let duration = Duration::from_nanos((thread * 500 + step).pow(2));
                    histogram.record(duration);
                    twin.record(duration);
                }
            });
        }
    });
    assert_eq!((histogram.count(), histogram.max()), (twin.count(), twin.max()));
    for percent in 0..=100 {
        let share = f64::from(percent) / 100.0;
        assert!(close(histogram.quantile(share), twin.quantile(share)), "{percent} %");
    }
}

#[test]
fn odd_values_and_shares_are_answered() {
    let histogram = LatencyHistogram::default();
    assert_eq!((histogram.quantile(0.5), histogram.max(), histogram.mean()), (None, None, None));
    histogram.record(Duration::MAX);
    assert_eq!(histogram.max(), Some(Duration::from_nanos(u64::MAX)));
    assert_eq!(histogram.quantile(1.0), Some(Duration::from_nanos(1 << VALUE_BITS)));
    for share in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert_eq!(histogram.quantile(share), None);
    }
}

#[test]
fn snapshots_are_added_and_subtracted() {
    let histogram = LatencyHistogram::new();
    histogram.record(Duration::from_millis(5));
    let first = histogram.snapshot();
    histogram.record(Duration::from_millis(1));
    let second = histogram.snapshot();
    let between = second.clone().since(&first);
    assert_eq!(between.count(), 1);
    assert!(close(between.max(), Some(Duration::from_millis(1))));
    assert!(close(between.quantile(0.5), Some(Duration::from_millis(1))));
    let both = first.merge(&between);
    assert_eq!((both.count(), both.max()), (2, Some(Duration::from_millis(5))));
    assert_eq!(second.clone().since(&second).max(), None);
    assert_eq!(
        format!("{:?}", second.clone().since(&second)),
        "Latency { count: 0, p50: 0ns, p95: 0ns, p99: 0ns, max: 0ns }"
    );
}
