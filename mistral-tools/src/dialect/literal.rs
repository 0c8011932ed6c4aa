//! Arguments as literals, `a=1, b='x', c=[True, None]`, converted to a JSON object as they arrive.
//!
//! Strings of the outermost level are passed on as they arrive; every other value is read completely first. Python's literals mean what
//! `ast.literal_eval` makes of them. A text that `ast.literal_eval` refuses makes the call incomplete, except for four habits of models:
//! - constants of JSON;
//! - a bare word;
//! - quotes inside quotes that no comma or bracket follows;
//! - a line break within quotes, for LFM2 only: the template of LFM2.5 writes strings without escapes.
//!
//! Names of characters, `\N{BULLET}`, make the call incomplete.

mod number;
mod string;
mod value;

use self::string::{Piece, Place, piece, start};
use self::value::value;
pub(super) use self::value::{blank, key};
use super::cursor::{Cursor, Ending, Read, Step, Stop, starts_with};
use super::family::{Literal, Quote};
use super::json::{escape, is_value, quoted};

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Literals {
    at: At,
    /// Whether there was a key.
    some: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Before a key or the end.
    #[default]
    Key,
    /// Before a value.
    Value,
    /// In a string.
    Text(Quote),
    /// After a value.
    Next,
    /// After the bracket that closes the arguments, which end like this if no other bracket follows.
    Closed(Ending),
    /// In a text that is not a literal, inside this many brackets.
    Broken(usize),
}

impl Literals {
    /// Reads on. `close` are marks that end the call early.
    pub(super) fn step(&mut self, text: &str, form: &Literal, close: &[&str], out: &mut dyn FnMut(&str)) -> Read<Step> {
        let read = match self.at {
            At::Text(quote) => self.string(text, quote, form, out),
            At::Broken(depth) => return self.broken(text, depth, form, close, out),
            At::Closed(ending) => return self.closed(text, ending),
            At::Key | At::Value | At::Next => {
                let mut cursor = Cursor::new(text);
                blank(&mut cursor, form).and_then(|()| match cursor.any(close) {
                    Ok(()) => Ok(Step::End(cursor.at, Ending::Cut)),
                    Err(Stop::More) => Err(Stop::More),
                    Err(Stop::No) => self.token(cursor, form, out),
                })
            }
        };
        if read == Err(Stop::No) {
            self.at = At::Broken(0);
            return Ok(Step::Read(0));
        }
        read
    }

    /// Reads a key, a value or a delimiter.
    fn token(&mut self, mut cursor: Cursor<'_>, form: &Literal, out: &mut dyn FnMut(&str)) -> Read<Step> {
        let next = cursor.peek()?;
        match self.at {
            At::Value => {
                if let Some((length, quote)) = start(cursor.rest(), form)? {
                    out("\"");
                    self.at = At::Text(quote);
                    return Ok(Step::Read(cursor.at + length));
                }
                let mut json = String::new();
                value(&mut cursor, form, 0, &mut json)?;
                out(&json);
                self.at = At::Next;
            }
            _ if next == form.brackets.1 => {
                out("}");
                cursor.at += 1;
                self.at = At::Closed(Ending::Whole);
            }
            At::Key => {
                let key = key(&mut cursor, form)?;
                blank(&mut cursor, form)?;
                if cursor.peek()? != form.assign {
                    return Err(Stop::No);
                }
                cursor.at += 1;
                out(if std::mem::replace(&mut self.some, true) { "," } else { "" });
                quoted(&key, out);
                out(":");
                self.at = At::Value;
            }
            _ if next == b',' => {
                cursor.at += 1;
                self.at = At::Key;
            }
            _ => return Err(Stop::No),
        }
        Ok(Step::Read(cursor.at))
    }

    fn string(&mut self, text: &str, quote: Quote, form: &Literal, out: &mut dyn FnMut(&str)) -> Read<Step> {
        Ok(Step::Read(match piece(text, quote, form, Place::Argument, out)? {
            Piece::Text(read) => read,
            Piece::Joined(read, next) => {
                self.at = At::Text(next);
                read
            }
            Piece::End(read) => {
                out("\"");
                self.at = At::Next;
                read
            }
        }))
    }

    /// Reads brackets that close nothing: a call with such a bracket is wrong.
    fn closed(&mut self, text: &str, ending: Ending) -> Read<Step> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        if !matches!(cursor.peek()?, b')' | b'}') {
            return Ok(Step::End(0, ending));
        }
        self.at = At::Closed(Ending::Broken);
        Ok(Step::Read(cursor.at + 1))
    }

    /// Passes on a text that is not a literal unchanged, up to the bracket that closes the arguments.
    fn broken(
        &mut self,
        text: &str,
        mut depth: usize,
        form: &Literal,
        close: &[&str],
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        for (i, c) in text.bytes().enumerate() {
            for mark in close.iter().filter(|mark| mark.as_bytes().first() == Some(&c)) {
                match starts_with(&text[i..], mark) {
                    Ok(()) => {
                        out(&text[..i]);
                        return Ok(Step::End(i + mark.len(), Ending::Cut));
                    }
                    Err(Stop::More) if i == 0 => return Err(Stop::More),
                    Err(Stop::More) => {
                        out(&text[..i]);
                        self.at = At::Broken(depth);
                        return Ok(Step::Read(i));
                    }
                    Err(Stop::No) => {}
                }
            }
            match c {
                c if c == form.brackets.1 && depth == 0 => {
                    out(&text[..i]);
                    return Ok(Step::End(i + 1, Ending::Broken));
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        out(text);
        self.at = At::Broken(depth);
        Ok(Step::Read(text.len()))
    }

    /// Reads what was held back when the turn ends, and returns how the arguments end. Arguments that are open stay open.
    pub(super) fn finish(&self, rest: &str, out: &mut dyn FnMut(&str)) -> Ending {
        match self.at {
            At::Closed(ending) => return ending,
            At::Text(_) => escape(rest, out),
            _ => out(rest),
        }
        Ending::Cut
    }
}

/// The JSON of one literal, or nothing if the text is none.
pub(super) fn transcribe(text: &str, form: &Literal) -> Option<String> {
    // The bracket ends a word or a number.
    let whole = [text, ")"].concat();
    let (mut cursor, mut json) = (Cursor::new(&whole), String::new());
    value(&mut cursor, form, 0, &mut json).and_then(|_| blank(&mut cursor, form)).ok()?;
    (cursor.at == text.len() && is_value(&json)).then_some(json)
}
