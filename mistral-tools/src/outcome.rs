//! How a call of a tool ends.

pub(crate) mod kinds;
pub(crate) mod paused_call;
pub(crate) mod reply;
pub(crate) mod text;
pub(crate) mod tool_error;
pub(crate) mod unknown_tool;

use crate::outcome::{kinds::ErrorKind, paused_call::PausedCall, text::Text, tool_error::ToolError};

/// What came of a call, for the host. What the model reads of it is in the [`Reply`](crate::Reply).
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a call may have failed"]
pub enum Outcome {
    /// The reply holds the result.
    Success,
    /// The call was tried and failed, or could not be tried.
    Error(ToolError),
    /// The host, or a hook in its name, refused it.
    Denied(Text),
    /// It was not needed: a hook left it out.
    Skipped(Text),
    /// Not an end: the call waits for an approval and can be resumed from this value.
    Paused(Box<PausedCall>),
}

impl Outcome {
    /// Whether there is a result.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// The error, if it is one.
    pub fn error(&self) -> Option<&ToolError> {
        match self {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }

    /// The kind of the error, if it is one.
    pub fn error_kind(&self) -> Option<ErrorKind> {
        self.error().map(ToolError::kind)
    }
}

impl From<ToolError> for Outcome {
    fn from(error: ToolError) -> Self {
        Self::Error(error)
    }
}
