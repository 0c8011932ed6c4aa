//! Counters of an engine, for logs and for tests.

/// Counters since the engine was made, and gauges of this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Forward passes.
    pub steps: u64,
    /// Tokens computed by forward passes, those computed again after a preemption included.
    pub computed_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// How often a sequence gave up its blocks to an older one.
    pub preemptions: u64,
    /// Sequences that ended with a reason.
    pub finished: u64,
    /// Sequences that ended with an error.
    pub failed: u64,
    /// Sequences that hold cache blocks now.
    pub running: usize,
    /// Sequences that wait now.
    pub waiting: usize,
    /// Cache blocks that are free now.
    pub free_blocks: usize,
    /// All cache blocks.
    pub blocks: usize,
}
