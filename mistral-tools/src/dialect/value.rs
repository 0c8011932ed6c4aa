//! A value between marks, transcribed to JSON: text that is given on as it comes, or what must be read before it is known what it is.

use super::cursor::{Read, Stop, find};
use super::json::{escape, quoted};
use super::schema::Types;

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

    /// Reads on, up to one of the ends: how much it read, and whether the value ended.
    pub(super) fn step(self, text: &str, ends: &[&str], out: &mut dyn FnMut(&str)) -> Read<(usize, bool)> {
        let (length, end) = match (find(text, ends.iter().copied()), self) {
            (Ok((at, which)), _) => (at, Some(ends[which].len())),
            (Err(0), _) | (Err(_), Self::Held(_)) => return Err(Stop::More),
            (Err(at), Self::Text) => (at, None),
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
        Ok((length + end.unwrap_or(0), end.is_some()))
    }

    /// Gives what was held back, as the beginning of a string that stays open.
    pub(super) fn finish(self, rest: &str, out: &mut dyn FnMut(&str)) {
        if self != Self::Text {
            out("\"");
        }
        escape(rest, out);
    }
}
