//! Where a parser is in a text.

use super::arguments::Arguments;
use super::delta::Delta;
use super::json::ValueScan;
use super::open::Place;

/// What a mark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// May begin a call.
    Open,
    /// May begin a call or other JSON.
    Json,
    /// Closes a call or a section of a shape; a bit of its own.
    Close(usize, u8),
    /// Begins reasoning, by the pair of marks.
    Think(usize),
    /// Ends it.
    Answer(usize),
    /// Means nothing.
    Noise,
    /// Means nothing, with a name and this after it, if this is not empty; perhaps at the beginning of a message only.
    Header(&'static str, bool),
}

/// Where a parser is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// In text or reasoning.
    Prose(Prose),
    /// In the arguments of a call of a shape at a place.
    Arguments(usize, Place, Arguments),
    /// After the arguments, in objects that are around them.
    Closing(usize, Place),
    /// After a call.
    After(usize, Place),
}

/// Text or reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prose {
    /// The pair of marks around it, if it is reasoning.
    pub(super) reasoning: Option<usize>,
    /// The shape of the call before, of which closing marks may follow, and the bits of those that have.
    pub(super) close: Option<(usize, u8)>,
    pub(super) leading: Leading,
    /// Whether only whitespace precedes this place in its line.
    pub(super) line: bool,
    /// The open JSON value in the text: no call begins within a value.
    pub(super) json: Option<ValueScan>,
}

/// What whitespace is at the beginning of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leading {
    /// Text, unless a mark follows: nothing came before.
    Start,
    /// Markup, as there was a mark before; but the indentation of a line is text.
    Mark,
    /// Text: there was text before.
    Text,
}

impl State {
    /// Text after a call of a shape.
    pub(super) fn after(shape: usize) -> Self {
        Self::Prose(Prose { close: Some((shape, 0)), leading: Leading::Mark, ..Prose::START })
    }
}

impl Prose {
    /// The beginning of a turn.
    pub(super) const START: Self =
        Self { reasoning: None, close: None, leading: Leading::Start, line: true, json: None };

    /// Whether a mark closes the call before: each does so once.
    pub(super) fn closes(&self, shape: usize, bit: u8) -> bool {
        self.close.is_some_and(|(open, passed)| open == shape && passed & bit == 0)
    }

    /// Whether a header counts.
    pub(super) fn header(&self, leading: bool) -> bool {
        let begins = if leading { self.leading == Leading::Start } else { self.leading != Leading::Text };
        self.reasoning.is_none() && begins
    }

    /// Returns the state after more text.
    pub(super) fn after(self, text: &str) -> Self {
        let line = match text.rsplit_once('\n') {
            Some((_, last)) => last.trim_ascii().is_empty(),
            None => self.line && text.trim_ascii().is_empty(),
        };
        Self { leading: Leading::Text, line, ..self }
    }

    /// A piece of it.
    pub(super) fn delta<'t>(&self, text: &'t str) -> Delta<'t> {
        if self.reasoning.is_some() { Delta::Reasoning(text) } else { Delta::Text(text) }
    }

    /// Text without the whitespace at its beginning that is markup; `space` is how much whitespace there is.
    pub(super) fn kept<'t>(&self, text: &'t str, space: usize) -> &'t str {
        match self.leading {
            Leading::Mark => &text[text[..space].rfind('\n').map_or(0, |at| at + 1)..],
            Leading::Start | Leading::Text => text,
        }
    }
}
