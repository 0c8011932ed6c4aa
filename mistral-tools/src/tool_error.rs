//! The error of a call, with the text for the model apart from what the host sees.

use std::{error::Error as StdError, fmt};

use crate::{ErrorKind, Text};

/// Why a call failed: a kind to decide by, a text that the model may read, and a source that only the host sees.
///
/// Texts given as strings are meant for the model. A foreign error is not: `?` turns it into a [`ErrorKind::Handler`] whose text
/// says no more than that the tool failed, and keeps it as the [`source`](Self::source). That is why this type is no
/// [`std::error::Error`] itself, like the carriers of other crates; [`into_source`](Self::into_source) gives the error inside.
///
/// ```
/// use mistral_tools::{ErrorKind, ToolError};
///
/// fn read(path: &str) -> Result<String, ToolError> {
///     if path.starts_with('/') {
///         return Err(ToolError::new(ErrorKind::PermissionDenied, "only relative paths"));
///     }
///     Ok(std::fs::read_to_string(path)?)
/// }
/// let error = read("no/such/file").unwrap_err();
/// assert_eq!((error.kind(), error.text()), (ErrorKind::Handler, "the tool failed"));
/// assert!(error.source().unwrap().downcast_ref::<std::io::Error>().is_some());
/// ```
pub struct ToolError {
    kind: ErrorKind,
    text: Text,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ToolError {
    /// An error with a text for the model. A literal allocates nothing.
    pub fn new(kind: ErrorKind, text: impl Into<Text>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    /// A tool's own error, with a text for the model.
    pub fn handler(text: impl Into<Text>) -> Self {
        Self::new(ErrorKind::Handler, text)
    }

    /// The same with an error for the host.
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What to decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the model reads, after the words of the kind.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// What only the host sees.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// The source by value.
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.source
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::new(ErrorKind::Handler, "the tool failed").with_source(error)
    }
}

impl fmt::Debug for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, text, source } = self;
        formatter.debug_struct("ToolError").field("kind", kind).field("text", text).field("source", source).finish()
    }
}

/// What the host logs: kind, text and source.
impl fmt::Display for ToolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind, self.text)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(formatter, ": {source}"))
    }
}
