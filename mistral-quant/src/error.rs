//! The errors of this crate; each says who must act.

use crate::format::Format;

/// Why an operation of this crate could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller gave lengths or shapes that do not belong together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The operand, in words.
        what: &'static str,
        /// What the operation needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A weight format that is known by name but has no arithmetic in this version.
    #[error("format {format} cannot be computed by this version ({operation})")]
    UnsupportedFormat {
        /// The format of the weight.
        format: Format,
        /// The operation that was asked for.
        operation: &'static str,
    },
    /// A format whose encoder must be told how much each column matters, and was not.
    #[error("format {format} can only be encoded with an importance of the columns (an importance matrix)")]
    ImportanceMissing {
        /// The format asked for.
        format: Format,
    },
    /// An index (token id, row, cache block) outside its table.
    #[error("{what} {index} is out of range (must be below {limit})")]
    OutOfRange {
        /// What was indexed.
        what: &'static str,
        /// The index given.
        index: u64,
        /// The first index that does not exist.
        limit: u64,
    },
    /// The system did not give the memory or the threads that were asked for.
    #[error("the system refused {what}: {detail}")]
    Resource {
        /// What was asked for, with its size.
        what: String,
        /// The system's answer.
        detail: String,
    },
    /// A worker of the thread pool panicked; the pool stays usable.
    #[error("a worker thread of the pool panicked")]
    WorkerPanicked,
}
