//! A value between marks, transcribed to JSON: text that is given on as it comes, or what must be read before it is known what it is.

use super::cursor::{Read, Stop, find};
use super::json::{escape, quoted};
use super::schema::Types;

/// The extent of a value in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The value is at least this long; the text after it may be its end.
    Open(usize),
    /// The value has this length, and its closing mark takes `passed` bytes.
    End { length: usize, passed: usize },
}

impl Reach {
    /// Checks each place where a value can end. A mark is the end if the text after it continues as it must after an end; otherwise the
    /// mark is text.
    pub(super) fn of(text: &str, marks: &[&str], mut ends: impl FnMut(usize, usize) -> Read<(usize, usize)>) -> Self {
        let mut from = 0;
        loop {
            match find(&text[from..], marks.iter().copied()) {
                Err(hold) => return Self::Open(from + hold),
                Ok((at, which)) => match ends(from + at, which) {
                    Ok((length, passed)) => return Self::End { length, passed },
                    Err(Stop::More) => return Self::Open(from + at),
                    Err(Stop::No) => from += at + text[from + at..].chars().next().map_or(1, char::len_utf8),
                },
            }
        }
    }
}

/// A value that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A string whose quotes are open.
    Text,
    /// A value that must be read first.
    Held(Types),
}

impl Value {
    /// Begins a value of these types.
    pub(super) fn begin(types: Types, out: &mut dyn FnMut(&str)) -> Self {
        if types.only_text() {
            out("\"");
            Self::Text
        } else {
            Self::Held(types)
        }
    }

    /// Continues reading. Returns how many bytes were read, and whether the value ended.
    pub(super) fn step(self, text: &str, reach: Reach, out: &mut dyn FnMut(&str)) -> Read<(usize, bool)> {
        let (length, end) = match (reach, self) {
            (Reach::End { length, passed }, _) => (length, Some(passed)),
            (Reach::Open(0), _) | (Reach::Open(_), Self::Held(_)) => return Err(Stop::More),
            (Reach::Open(length), Self::Text) => (length, None),
        };
        let value = &text[..length];
        match self {
            Self::Text => {
                escape(value, out);
                out(if end.is_some() { "\"" } else { "" });
            }
            Self::Held(types) => match types.json(value) {
                Some(json) => out(&json),
                None => quoted(value, out),
            },
        }
        Ok((end.unwrap_or(length), end.is_some()))
    }

    /// Gives what was held back, as the beginning of a string that stays open.
    pub(super) fn finish(self, rest: &str, out: &mut dyn FnMut(&str)) {
        if self != Self::Text {
            out("\"");
        }
        escape(rest, out);
    }
}
