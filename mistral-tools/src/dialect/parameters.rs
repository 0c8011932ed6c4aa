//! Arguments between marks, one parameter after the other, transcribed to a JSON object.

use super::cursor::{Cursor, Read, Stop, find};
use super::family::{Declared, Tagged};
use super::json::escape;
use super::schema::{Signatures, Types};

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    tool: Option<usize>,
    some: bool,
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// A string whose quotes are open.
    Text,
    /// A value that must be read before it is known what it is.
    Held(Types),
}

/// What one step of reading gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes that were read.
    Read(usize),
    /// Bytes that were read; the arguments end, properly or not.
    End(usize, bool),
}

impl Parameters {
    /// Arguments of a tool, by its place in the signatures.
    pub(super) fn new(tool: Option<usize>) -> Self {
        Self { tool, some: false, value: None }
    }

    /// Reads on. `close` are marks that end the call early.
    pub(super) fn step(
        &mut self,
        text: &str,
        form: &Tagged,
        tools: &Signatures,
        close: &[&str],
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        match self.value {
            None => self.between(text, form, tools, close, out),
            Some(Value::Text) => self.text(text, &[form.value_end, form.line_end], out),
            Some(Value::Held(types)) => {
                let (at, _) = find(text, std::iter::once(form.value_end)).map_err(|_| Stop::More)?;
                let mut value = &text[..at];
                if !form.line_end.is_empty() {
                    value = value.strip_suffix('\n').unwrap_or(value);
                }
                match types.json(value) {
                    Some(json) => out(json),
                    None => quoted(value, out),
                }
                self.value = None;
                Ok(Step::Read(at + form.value_end.len()))
            }
        }
    }

    fn text(&mut self, text: &str, ends: &[&str], out: &mut dyn FnMut(&str)) -> Read<Step> {
        match find(text, ends.iter().copied()) {
            Ok((at, which)) => {
                escape(&text[..at], out);
                out("\"");
                self.value = None;
                Ok(Step::Read(at + ends[which].len()))
            }
            Err(0) => Err(Stop::More),
            Err(held) => {
                escape(&text[..held], out);
                Ok(Step::Read(held))
            }
        }
    }

    fn between(
        &mut self,
        text: &str,
        form: &Tagged,
        tools: &Signatures,
        close: &[&str],
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        let mut cursor = Cursor::new(text);
        cursor.space();
        match cursor.any(close).or_else(|stop| if stop == Stop::No { cursor.literal(form.close) } else { Err(stop) }) {
            Ok(()) => {
                out("}");
                return Ok(Step::End(cursor.at, true));
            }
            Err(Stop::More) => return Err(Stop::More),
            Err(Stop::No) => {}
        }
        match self.key(cursor, form, tools, out) {
            Err(Stop::No) => Ok(Step::End(0, false)),
            read => read,
        }
    }

    fn key(
        &mut self,
        mut cursor: Cursor<'_>,
        form: &Tagged,
        tools: &Signatures,
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        cursor.literal(form.key)?;
        let mut ends = [""; 6];
        for (end, (text, _)) in ends.iter_mut().zip(form.key_end) {
            *end = text;
        }
        let (key, which) = cursor.until(&ends[..form.key_end.len().min(6)])?;
        if !form.value.is_empty() {
            cursor.space();
            cursor.literal(form.value)?;
        }
        if !form.line_end.is_empty() {
            cursor.optional("\n")?;
        }
        let declared = form.key_end.get(which).map_or(Declared::Nothing, |&(_, declared)| declared);
        let types = tools.types(self.tool, key, declared);
        out(if self.some { "," } else { "" });
        quoted(key, out);
        out(":");
        self.some = true;
        if types.only_text() {
            out("\"");
            self.value = Some(Value::Text);
        } else {
            self.value = Some(Value::Held(types));
        }
        Ok(Step::Read(cursor.at))
    }

    /// Gives what was held back of a value, as the beginning of a string; the arguments stay open. `false` if it is of none.
    pub(super) fn finish(&self, rest: &str, out: &mut dyn FnMut(&str)) -> bool {
        match self.value {
            Some(Value::Text) => escape(rest, out),
            Some(Value::Held(_)) => {
                out("\"");
                escape(rest, out);
            }
            None => {}
        }
        self.value.is_some()
    }
}

fn quoted(text: &str, out: &mut dyn FnMut(&str)) {
    out("\"");
    escape(text, out);
    out("\"");
}
