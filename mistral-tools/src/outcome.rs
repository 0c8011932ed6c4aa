//! How a call of a tool ends.

use std::fmt;

use crate::{PausedCall, ToolError};

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

impl ErrorKind {
    /// In words for a model.
    pub const fn words(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid arguments",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::NotFound => "not found",
            Self::PermissionDenied => "permission denied",
            Self::RateLimited => "too many calls",
            Self::Unavailable => "unavailable",
            Self::Handler => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

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

/// A short text that need not be allocated: a literal, a string, or up to [`Text::INLINE`] bytes kept in place, which is how
/// errors made on the way of every call stay free of allocations.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Owned(Box<str>),
    Inline { bytes: [u8; Text::INLINE], len: u8 },
}

impl Text {
    /// The most bytes kept in place.
    pub const INLINE: usize = 94;

    /// A text in place; what does not fit is cut at a character and ends in `...`.
    ///
    /// ```
    /// use mistral_tools::Text;
    /// assert_eq!(Text::format(format_args!("{} of {}", 1, 2)).as_str(), "1 of 2");
    /// assert!(Text::format(format_args!("{:200}", 1)).as_str().ends_with("..."));
    /// ```
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut inline = Inline { bytes: [0; Self::INLINE], len: 0, cut: false };
        // A cut text reports an error to stop the formatting, and is what is wanted.
        let _ = fmt::Write::write_fmt(&mut inline, arguments);
        Self(Repr::Inline { bytes: inline.bytes, len: inline.len as u8 })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(text) => text,
            Repr::Owned(text) => text,
            Repr::Inline { bytes, len } => {
                bytes.get(..*len as usize).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
            }
        }
    }
}

/// Bytes up to `len` are UTF-8.
struct Inline {
    bytes: [u8; Text::INLINE],
    len: usize,
    cut: bool,
}

impl fmt::Write for Inline {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const DOTS: &str = "...";
        if self.cut {
            return Err(fmt::Error);
        }
        let whole = text.len() <= Text::INLINE - self.len;
        let end = if whole { text.len() } else { boundary(text, Text::INLINE - self.len) };
        if let (Some(to), Some(from)) = (self.bytes.get_mut(self.len..self.len + end), text.as_bytes().get(..end)) {
            to.copy_from_slice(from);
            self.len += end;
        }
        if whole {
            return Ok(());
        }
        self.cut = true;
        let kept = std::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default();
        let start = boundary(kept, Text::INLINE - DOTS.len());
        if let Some(to) = self.bytes.get_mut(start..start + DOTS.len()) {
            to.copy_from_slice(DOTS.as_bytes());
            self.len = start + DOTS.len();
        }
        Err(fmt::Error)
    }
}

/// The last boundary of characters up to `end`.
pub(crate) fn boundary(text: &str, end: usize) -> usize {
    (0..=end.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0)
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Repr::Owned(text.into()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters() {
        for len in 0..200 {
            let text = "é".repeat(len);
            let cut = Text::format(format_args!("a{text}"));
            if text.len() < Text::INLINE {
                assert_eq!(cut.as_str(), format!("a{text}"));
            } else {
                assert!(cut.as_str().starts_with("aé") && cut.as_str().ends_with("é..."), "{cut}");
                assert!(cut.as_str().len() > Text::INLINE - 4);
            }
        }
        let pieces = Text::format(format_args!("{}{}{}", "x".repeat(80), "y".repeat(14), "z"));
        assert_eq!(pieces.as_str(), format!("{}{}...", "x".repeat(80), "y".repeat(11)));
    }
}
