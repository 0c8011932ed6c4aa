//! Arguments between marks, one parameter after the other, transcribed to a JSON object.

use super::cursor::{Cursor, Ending, Read, Step, Stop};
use super::family::{Declared, Shape, Tagged};
use super::json::quoted;
use super::schema::Signatures;
use super::value::{Reach, Value};

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    tool: Option<usize>,
    /// The marks that may follow the last call of a turn.
    noise: &'static [&'static str],
    /// Whether there was a parameter.
    some: bool,
    /// The value that is open.
    value: Option<Value>,
    /// Whether no part of the value has been read.
    fresh: bool,
    /// Whether the call is wrong already.
    wrong: bool,
}

/// The surroundings of a value that is open.
struct Open<'o> {
    tools: &'o Signatures,
    tool: Option<usize>,
    shape: &'o Shape,
    noise: &'o [&'o str],
    /// Whether the text is the beginning of the value.
    fresh: bool,
    /// Whether the turn ends with the text.
    last: bool,
}

impl Parameters {
    /// Arguments of a tool, by its place in the signatures. `noise` are marks that may follow the last call of a turn.
    pub(super) fn new(tool: Option<usize>, noise: &'static [&'static str]) -> Self {
        Self { tool, noise, ..Self::default() }
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
            let (reach, wrong) = form.reach(text, &self.open(tools, shape, false));
            let (read, ended) = value.step(text, reach, out)?;
            self.wrong |= wrong;
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
                Ok(Step::End(cursor.at, self.ending()))
            }
            Err(Stop::More) => Err(Stop::More),
            Err(Stop::No) => match self.key(cursor, form, tools, out) {
                Err(Stop::No) => Ok(Step::End(0, Ending::Cut)),
                read => read,
            },
        }
    }

    fn open<'o>(&self, tools: &'o Signatures, shape: &'o Shape, last: bool) -> Open<'o> {
        Open { tools, tool: self.tool, shape, noise: self.noise, fresh: self.fresh, last }
    }

    fn ending(&self) -> Ending {
        if self.wrong { Ending::Broken } else { Ending::Whole }
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

    /// Reads what was held back when the turn ends: the end of a value and of the call, or the beginning of a value that stays open. Returns
    /// how the arguments end, or `None` if no value is open.
    pub(super) fn finish(
        &self,
        rest: &str,
        form: &Tagged,
        tools: &Signatures,
        shape: &Shape,
        out: &mut dyn FnMut(&str),
    ) -> Option<Ending> {
        let value = self.value?;
        let (reach, _) = form.reach(rest, &self.open(tools, shape, true));
        if matches!(reach, Reach::End { .. }) && value.step(rest, reach, out).is_ok() {
            out("}");
            return Some(self.ending());
        }
        // The mark that closes the value may be all that is left.
        let text = rest.trim_end().strip_suffix(form.value_end);
        value.finish(text.map_or(rest, |text| text.strip_suffix('\n').filter(|_| form.lines).unwrap_or(text)), out);
        Some(Ending::Cut)
    }
}

impl Tagged {
    /// Skips everything before a value: its key, and the mark that ends the key.
    fn key<'t>(&self, cursor: &mut Cursor<'t>) -> Read<(&'t str, usize)> {
        cursor.literal(self.key)?;
        let (ends, count) = self.key_ends();
        let (key, which) = cursor.until(&ends[..count])?;
        self.begin_value(cursor)?;
        Ok((unquoted(key), which))
    }

    /// Skips the same before a value whose key is a name, and returns the key.
    fn named_key<'t>(&self, cursor: &mut Cursor<'t>) -> Read<&'t str> {
        cursor.literal(self.key)?;
        let key = if self.key.ends_with('"') { cursor.name()? } else { cursor.quoted_name()? };
        let (ends, count) = self.key_ends();
        cursor.any(&ends[..count])?;
        self.begin_value(cursor)?;
        Ok(key)
    }

    fn key_ends(&self) -> ([&'static str; 6], usize) {
        let mut ends = [""; 6];
        for (end, (text, _)) in ends.iter_mut().zip(self.key_end) {
            *end = text;
        }
        (ends, self.key_end.len().min(6))
    }

    fn begin_value(&self, cursor: &mut Cursor<'_>) -> Read<()> {
        if self.value.is_empty() {
            return Ok(());
        }
        cursor.space();
        cursor.literal(self.value)
    }

    /// Finds the end of a value, and whether the call is wrong. The closing mark of the value counts if a parameter or the end of the call
    /// follows. A value without a closing mark ends at the whole mark of another parameter that the tool has, or at the end of the call as
    /// [`closing`](Self::closing) reads it. Every other mark is text.
    fn reach(&self, text: &str, value: &Open<'_>) -> (Reach, bool) {
        let mut wrong = false;
        let reach = Reach::of(text, &[self.value_end, self.key, self.close], |at, which| {
            let mut cursor = Cursor { text, at };
            let line = text[..at].ends_with('\n');
            let length = at - usize::from(self.lines && line);
            match which {
                0 => {
                    cursor.literal(self.value_end)?;
                    let passed = cursor.at;
                    cursor.space();
                    cursor.follows(value.shape.close.iter().chain(&[self.key, self.close]))?;
                    return Ok((length, passed));
                }
                _ if self.lines && !line && !(value.fresh && at == 0) => return Err(Stop::No),
                1 => {
                    let key = self.named_key(&mut cursor)?;
                    // Models write the mark of a parameter after another value, not after a space.
                    if text[..at].ends_with(' ') || !value.tools.may_have(value.tool, key) {
                        return Err(Stop::No);
                    }
                }
                _ => wrong |= self.closing(cursor, value)? == Ending::Broken,
            }
            Ok((length, at))
        });
        // The character before a mark may tell what the mark is.
        let before = if self.lines { '\n' } else { ' ' };
        match reach {
            Reach::Open(length) if text[..length].ends_with(before) && !value.last => (Reach::Open(length - 1), wrong),
            reach => (reach, wrong),
        }
    }

    /// Reads the end of a call, whose last value has no closing mark. The call is whole if also its section ends and nothing follows but
    /// the end of the turn, as the parsers of Qwen3-Coder and Seed-OSS read it. Before another call, nobody knows whether the value was
    /// meant to end, so the call is wrong. Before other text, the marks are a part of the value.
    fn closing(&self, mut cursor: Cursor<'_>, value: &Open<'_>) -> Read<Ending> {
        cursor.literal(self.close)?;
        cursor.space();
        let mut sections = value.shape.close.iter().filter(|&&mark| mark != self.close).copied();
        let sectioned = sections.try_fold(false, |found, mark| Ok(found || cursor.optional(mark)?))?;
        cursor.space();
        if sectioned && value.last && cursor.rest().is_empty() {
            return Ok(Ending::Whole);
        }
        match cursor.follows(value.shape.section.iter().chain(value.shape.call)) {
            Ok(()) => Ok(Ending::Broken),
            Err(Stop::No) if sectioned => cursor.follows(value.noise.iter()).map(|()| Ending::Whole),
            Err(stop) => Err(stop),
        }
    }
}

/// Returns a name without the quotes that some models put around it.
pub(super) fn unquoted(name: &str) -> &str {
    let between = |quote| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    between('"').or_else(|| between('\'')).unwrap_or(name)
}
