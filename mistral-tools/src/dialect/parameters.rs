//! Arguments between marks, one parameter after the other, transcribed to a JSON object.

use super::arguments::Step;
use super::cursor::{Cursor, Read, Stop};
use super::family::{Declared, Tagged};
use super::json::quoted;
use super::schema::Signatures;
use super::value::Value;

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    tool: Option<usize>,
    /// Whether there was a parameter.
    some: bool,
    /// The value that is open.
    value: Option<Value>,
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
        if let Some(value) = self.value {
            let (read, ended) = value.step(text, &[form.value_end, form.line_end], out)?;
            self.value = self.value.filter(|_| !ended);
            return Ok(Step::Read(read));
        }
        let mut cursor = Cursor::new(text);
        cursor.space();
        let closed =
            cursor.any(close).or_else(|stop| if stop == Stop::No { cursor.literal(form.close) } else { Err(stop) });
        match closed {
            Ok(()) => {
                out("}");
                Ok(Step::End(cursor.at, true))
            }
            Err(Stop::More) => Err(Stop::More),
            Err(Stop::No) => match self.key(cursor, form, tools, out) {
                Err(Stop::No) => Ok(Step::End(0, false)),
                read => read,
            },
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
        out(if self.some { "," } else { "" });
        self.some = true;
        quoted(key, out);
        out(":");
        self.value = Some(Value::begin(tools.types(self.tool, key, declared), out));
        Ok(Step::Read(cursor.at))
    }

    /// Gives what was held back of a value, as the beginning of a string; the arguments stay open. `false` if it is of none.
    pub(super) fn finish(&self, rest: &str, out: &mut dyn FnMut(&str)) -> bool {
        if let Some(value) = self.value {
            value.finish(rest, out);
        }
        self.value.is_some()
    }
}
