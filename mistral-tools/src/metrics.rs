//! Counters and latency histograms that many threads write at once, without locks.
//!
//! A [`ToolRegistry`](crate::ToolRegistry) keeps [`ToolStatistics`] for each tool:
//! [`RegisteredTool::statistics`](crate::RegisteredTool::statistics). Hosts may use the parts for figures of their own.

pub(crate) mod counter;
pub(crate) mod histogram;
pub(crate) mod statistics;

pub use counter::{CounterGroup, ErrorCounters, RelaxedCounter, Snapshot};
pub use histogram::{LatencyHistogram, LatencySnapshot};
pub use statistics::ToolStatistics;
