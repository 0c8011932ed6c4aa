//! Arguments between marks, one parameter after the other, transcribed to a JSON object.

use super::arguments::{Ending, Step};
use super::cursor::{Cursor, Read, Stop, is_name};
use super::family::{Declared, Shape, Tagged};
use super::json::quoted;
use super::schema::Signatures;
use super::value::{Reach, Value};

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    tool: Option<usize>,
    /// Whether there was a parameter.
    some: bool,
    /// The value that is open.
    value: Option<Value>,
    /// Whether no part of the value has been read.
    fresh: bool,
}

impl Parameters {
    /// Arguments of a tool, by its place in the signatures.
    pub(super) fn new(tool: Option<usize>) -> Self {
        Self { tool, ..Self::default() }
    }

    /// Continues reading, in a call of a shape.
    pub(super) fn step(
        &mut self,
        text: &str,
        form: &Tagged,
        tools: &Signatures,
        shape: &Shape,
        out: &mut dyn FnMut(&str),
    ) -> Read<Step> {
        if let Some(value) = self.value {
            let (read, ended) = value.step(text, form.reach(text, shape, self.fresh), out)?;
            self.value = self.value.filter(|_| !ended);
            self.fresh = false;
            return Ok(Step::Read(read));
        }
        let mut cursor = Cursor::new(text);
        cursor.space();
        let closed = cursor
            .any(shape.close)
            .or_else(|stop| if stop == Stop::No { cursor.literal(form.close) } else { Err(stop) });
        match closed {
            Ok(()) => {
                out("}");
                Ok(Step::End(cursor.at, Ending::Whole))
            }
            Err(Stop::More) => Err(Stop::More),
            Err(Stop::No) => match self.key(cursor, form, tools, out) {
                Err(Stop::No) => Ok(Step::End(0, Ending::Cut)),
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
        let (key, which) = form.key(&mut cursor)?;
        if form.lines {
            cursor.optional("\n")?;
        }
        let declared = form.key_end.get(which).map_or(Declared::Nothing, |&(_, declared)| declared);
        out(if self.some { "," } else { "" });
        self.some = true;
        quoted(key, out);
        out(":");
        self.value = Some(Value::begin(tools.types(self.tool, key, declared), out));
        self.fresh = true;
        Ok(Step::Read(cursor.at))
    }

    /// Gives what was held back of a value, as the beginning of a string; the arguments stay open. `false` if it is of none.
    pub(super) fn finish(&self, rest: &str, form: &Tagged, out: &mut dyn FnMut(&str)) -> bool {
        if let Some(value) = self.value {
            // The mark that closes the value may be all that is left.
            let text = rest.trim_end().strip_suffix(form.value_end);
            value.finish(text.map_or(rest, |text| text.strip_suffix('\n').filter(|_| form.lines).unwrap_or(text)), out);
        }
        self.value.is_some()
    }
}

impl Tagged {
    /// Skips everything before a value: its key, and the mark that ends the key.
    fn key<'t>(&self, cursor: &mut Cursor<'t>) -> Read<(&'t str, usize)> {
        cursor.literal(self.key)?;
        let mut ends = [""; 6];
        for (end, (text, _)) in ends.iter_mut().zip(self.key_end) {
            *end = text;
        }
        let (key, which) = cursor.until(&ends[..self.key_end.len().min(6)])?;
        if !self.value.is_empty() {
            cursor.space();
            cursor.literal(self.value)?;
        }
        Ok((unquoted(key), which))
    }

    /// Finds the end of a value. Its closing mark counts if a parameter or the end of the call follows. A value without a closing mark ends
    /// at a whole mark of the next parameter. It also ends at the end of the call, if another call or the end of all calls follows. `fresh`
    /// says that the text is the beginning of the value.
    fn reach(&self, text: &str, shape: &Shape, fresh: bool) -> Reach {
        let reach = Reach::of(text, &[self.value_end, self.key, self.close], |at, which| {
            let mut cursor = Cursor { text, at };
            let line = text[..at].ends_with('\n');
            let length = at - usize::from(self.lines && line);
            match which {
                0 => {
                    cursor.literal(self.value_end)?;
                    let passed = cursor.at;
                    cursor.space();
                    cursor.follows(shape.close.iter().chain(&[self.key, self.close]))?;
                    return Ok((length, passed));
                }
                _ if self.lines && !line && !(fresh && at == 0) => return Err(Stop::No),
                1 => {
                    let (key, _) = self.key(&mut cursor)?;
                    if key.is_empty() || !key.bytes().all(is_name) {
                        return Err(Stop::No);
                    }
                }
                _ => {
                    cursor.literal(self.close)?;
                    cursor.space();
                    let others = shape.close.iter().filter(|&&mark| mark != self.close);
                    cursor.follows(others.chain(shape.section).chain(shape.call))?;
                }
            }
            Ok((length, at))
        });
        match reach {
            // The last line break may be none of the value.
            Reach::Open(length) if self.lines && text[..length].ends_with('\n') => Reach::Open(length - 1),
            reach => reach,
        }
    }
}

/// Returns a name without the quotes that some models put around it.
pub(super) fn unquoted(name: &str) -> &str {
    let between = |quote| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    between('"').or_else(|| between('\'')).unwrap_or(name)
}
