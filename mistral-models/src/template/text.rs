//! Strings, each either plain or safe: safe text is already HTML, and text that is joined to safe text is escaped.
//!
//! Source: the class `Markup` of markupsafe 3, which Jinja2 uses for `safe`, `escape` and text made from their results.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::Fault;
use super::meter::{Buffer, Held, Meter, TEXT_BYTES};

#[derive(Clone)]
pub(super) struct Str {
    content: Rc<Content>,
    safe: bool,
}

struct Content {
    text: Text,
    _held: Held,
}

enum Text {
    Made(String),
    /// Text of the template's source, shared with its syntax tree.
    Source(Arc<str>),
}

impl Str {
    /// A copy of a text.
    pub(super) fn copy(meter: &Rc<Meter>, text: &str) -> Result<Self, Fault> {
        let held = meter.hold(text.len().saturating_add(TEXT_BYTES))?;
        meter.step()?;
        meter.copied(text.len())?;
        Ok(Self { content: Rc::new(Content { text: Text::Made(text.to_owned()), _held: held }), safe: false })
    }

    pub(super) fn source(meter: &Rc<Meter>, text: &Arc<str>) -> Result<Self, Fault> {
        let held = meter.hold(TEXT_BYTES)?;
        Ok(Self { content: Rc::new(Content { text: Text::Source(text.clone()), _held: held }), safe: false })
    }

    pub(super) fn made(buffer: Buffer) -> Result<Self, Fault> {
        let (text, mut held) = buffer.into_parts();
        held.grow(TEXT_BYTES)?;
        Ok(Self { content: Rc::new(Content { text: Text::Made(text), _held: held }), safe: false })
    }

    pub(super) fn is_safe(&self) -> bool {
        self.safe
    }

    /// Returns the same text, marked as safe or plain.
    pub(super) fn marked(&self, safe: bool) -> Self {
        Self { content: self.content.clone(), safe }
    }

    /// Returns whether both share one text in memory.
    pub(super) fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.content, &other.content)
    }

    /// Returns the text as safe text: itself, or escaped.
    pub(super) fn escaped(&self, meter: &Rc<Meter>) -> Result<Self, Fault> {
        if self.safe {
            return Ok(self.clone());
        }
        let mut out = Buffer::new(meter);
        escape(&mut out, self)?;
        Ok(Self::made(out)?.marked(true))
    }
}

/// Appends a text with `&`, `<`, `>` and both quotes escaped.
pub(super) fn escape(out: &mut Buffer, text: &str) -> Result<(), Fault> {
    out.meter().read(text.len())?;
    out.reserve(text.len())?;
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '\'', '"']) {
        out.push_str(&rest[..at])?;
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'\'' => "&#39;",
            _ => "&#34;",
        })?;
        rest = &rest[at + 1..];
    }
    out.push_str(rest)
}

/// Returns the first characters of a text, for messages.
pub(super) fn shown(text: &str) -> &str {
    const MOST: usize = 80;
    text.char_indices().nth(MOST).map_or(text, |(at, _)| &text[..at])
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.content.text {
            Text::Made(text) => text,
            Text::Source(text) => text,
        }
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Str {}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        str::hash(self, state);
    }
}
