//! What became of the calls of a tool, counted without locks.

use std::{sync::OnceLock, time::Duration};

use crate::{
    metrics::{
        counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot},
        histogram::{LatencyHistogram, LatencySnapshot},
    },
    outcome::{Outcome, kinds::ErrorKind},
};

const NAMES: [&str; 4] = ["success", "denied", "skipped", "paused"];

/// Counters of a tool in a registry. Each counts for itself, in relaxed order: while calls end, a snapshot may have counted one of
/// them in one place and not yet in another.
#[derive(Debug)]
pub(crate) struct Statistics {
    ends: CounterGroup<4>,
    errors: ErrorCounters,
    retries: RelaxedCounter,
    fallbacks: RelaxedCounter,
    /// 5 KB, for tools that are called.
    latency: OnceLock<Box<LatencyHistogram>>,
}

impl Statistics {
    pub(crate) fn new() -> Self {
        Self {
            ends: CounterGroup::new(NAMES),
            errors: ErrorCounters::new(),
            retries: RelaxedCounter::new(),
            fallbacks: RelaxedCounter::new(),
            latency: OnceLock::new(),
        }
    }

    pub(crate) fn record(&self, outcome: &Outcome, latency: Duration) {
        let end = match outcome {
            Outcome::Error(error) => {
                self.errors.inc(error.kind());
                None
            }
            Outcome::Success => self.ends.get(0),
            Outcome::Denied(_) => self.ends.get(1),
            Outcome::Skipped(_) => self.ends.get(2),
            Outcome::Paused(_) => self.ends.get(3),
        };
        if let Some(end) = end {
            end.inc();
        }
        self.latency.get_or_init(Box::default).record(latency);
    }

    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    pub(crate) fn fell_back(&self) {
        self.fallbacks.inc();
    }

    pub(crate) fn snapshot(&self) -> ToolStatistics {
        ToolStatistics {
            ends: self.ends.snapshot(),
            errors: self.errors.snapshot(),
            retries: self.retries.get(),
            fallbacks: self.fallbacks.get(),
            latency: self.latency.get().map(|latency| latency.snapshot()),
        }
    }
}

/// What became of the calls of a tool since it was published, as it was read.
#[derive(Debug, Clone)]
pub struct ToolStatistics {
    ends: Snapshot<4>,
    errors: Snapshot<{ ErrorKind::ALL.len() }>,
    retries: u64,
    fallbacks: u64,
    latency: Option<LatencySnapshot>,
}

impl ToolStatistics {
    /// Calls that have ended, those that wait for approval among them. A call counts once, however often it was tried.
    pub fn calls(&self) -> u64 {
        self.ends.total().saturating_add(self.errors.total())
    }

    /// Calls with a result of the tool itself.
    pub fn successes(&self) -> u64 {
        self.ends.values()[0]
    }

    /// Calls that a hook denied.
    pub fn denied(&self) -> u64 {
        self.ends.values()[1]
    }

    /// Calls that a hook skipped.
    pub fn skipped(&self) -> u64 {
        self.ends.values()[2]
    }

    /// Calls that were paused for approval.
    pub fn paused(&self) -> u64 {
        self.ends.values()[3]
    }

    /// Calls that ended in an error, even if a fallback stood in for the result.
    pub fn errors(&self) -> u64 {
        self.errors.total()
    }

    /// Calls that ended in an error of this kind.
    pub fn errors_of(&self, kind: ErrorKind) -> u64 {
        self.errors.get(kind.name()).unwrap_or_default()
    }

    /// Attempts after the first, by the policy of the registry.
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// Calls whose error a fallback covered.
    pub const fn fallbacks(&self) -> u64 {
        self.fallbacks
    }

    /// From the look-up to the end, with all attempts and the pauses between them; `None` before the first call.
    pub const fn latency(&self) -> Option<&LatencySnapshot> {
        self.latency.as_ref()
    }
}
