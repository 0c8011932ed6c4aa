//! Short texts that are seldom allocated.

use std::fmt;

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
