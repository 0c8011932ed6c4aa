//! How a call of a tool ends.

/// Why a call gave no result. Hosts decide by it whether to try again; a model only sees the text of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The arguments are not JSON, or not what the schema says.
    InvalidArguments,
    /// It took longer than it was given.
    Timeout,
    /// The caller gave it up.
    Cancelled,
    /// There is no tool, file or thing of this name.
    NotFound,
    /// The host or the tool does not allow it.
    PermissionDenied,
    /// Too many calls; later ones may pass.
    RateLimited,
    /// The tool is known to fail now: its circuit breaker is open.
    Unavailable,
    /// The tool's own error.
    Handler,
}
