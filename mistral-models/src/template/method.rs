//! The methods of Python's strings, lists, tuples and dicts, and of loops. Those that would change a value are refused.

use std::collections::HashSet;
use std::rc::Rc;

use super::Fault;
use super::call::{Given, required};
use super::compare::{all_equal, equals, position};
use super::interpreter::Interpreter;
use super::lexer::is_space;
use super::looping::Loop;
use super::meter::{Buffer, Vector};
use super::print::is_printable;
use super::text::Str;
use super::value::{Dict, Value, View, ViewKind};

const STR: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// The additional methods of safe text.
const SAFE: [&str; 3] = ["escape", "striptags", "unescape"];

/// Whether Python has an attribute of this name on the value, before any item of the same name.
pub(super) fn has_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(s) => STR.contains(&name) || (s.is_safe() && SAFE.contains(&name)),
        Value::Dict(_) => matches!(
            name,
            "items"
                | "keys"
                | "values"
                | "get"
                | "copy"
                | "pop"
                | "popitem"
                | "clear"
                | "setdefault"
                | "update"
                | "fromkeys"
        ),
        Value::List(_) => matches!(
            name,
            "count"
                | "index"
                | "copy"
                | "append"
                | "clear"
                | "extend"
                | "insert"
                | "pop"
                | "remove"
                | "reverse"
                | "sort"
        ),
        Value::Tuple(_) => matches!(name, "count" | "index"),
        Value::View(view) if matches!(view.kind, ViewKind::Range { .. }) => matches!(name, "count" | "index"),
        Value::View(view) if view.kind == ViewKind::Values => name == "mapping",
        Value::View(_) => matches!(name, "isdisjoint" | "mapping"),
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        Value::Cycler(_) => matches!(name, "next" | "reset"),
        Value::Float(_) => matches!(name, "is_integer" | "conjugate" | "as_integer_ratio" | "fromhex" | "hex"),
        Value::Int(_) | Value::Bool(_) => matches!(
            name,
            "is_integer" | "conjugate" | "bit_length" | "bit_count" | "as_integer_ratio" | "from_bytes" | "to_bytes"
        ),
        Value::Builtin(super::builtin::Builtin::Dict) => name == "fromkeys",
        _ => false,
    }
}

/// The methods that the sandbox hides because they would change the value.
pub(super) fn changes_value(value: &Value, name: &str) -> bool {
    match value {
        Value::List(_) => {
            matches!(name, "append" | "clear" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort")
        }
        Value::Dict(_) => matches!(name, "clear" | "pop" | "popitem" | "setdefault" | "update"),
        _ => false,
    }
}

/// Python's `str.title`: upper case after anything that is not a letter.
fn title(out: &mut Buffer, text: &str) -> Result<(), Fault> {
    let mut after_letter = false;
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase())?
        } else {
            out.extend(c.to_uppercase())?
        }
        after_letter = c.is_alphabetic();
    }
    Ok(())
}

/// Strips at the chosen ends: white space, or any of the given characters.
pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let set: HashSet<char> = chars.unwrap_or_default().chars().collect();
    let drop = |c: char| if chars.is_some() { set.contains(&c) } else { is_space(c) };
    let text = if start { text.trim_start_matches(drop) } else { text };
    if end { text.trim_end_matches(drop) } else { text }
}

pub(super) fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Python's `str.splitlines`.
pub(super) fn split_lines(text: &str, keep_ends: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(is_line_end).unwrap_or(rest.len());
        let ending =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        let line = &rest[..if keep_ends { end + ending } else { end }];
        rest = &rest[end + ending..];
        Some(line)
    })
}

/// Appends the words between white space to `parts`; with `from_end`, in reverse order from the end.
fn words<'t>(parts: &mut Vector<&'t str>, text: &'t str, limit: usize, from_end: bool) -> Result<(), Fault> {
    let mut rest = strip(text, None, true, true);
    while !rest.is_empty() {
        let cut = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut.filter(|_| parts.len() < limit) else { break };
        if from_end {
            let word = &rest[cut..];
            parts.push(word.trim_start_matches(is_space))?;
            rest = rest[..cut].trim_end_matches(is_space);
        } else {
            parts.push(&rest[..cut])?;
            rest = rest[cut..].trim_start_matches(is_space);
        }
    }
    if !rest.is_empty() {
        let whole = if from_end { strip(text, None, false, true) } else { strip(text, None, true, false) };
        // The last piece keeps the white space at the far end of the text when the limit cut the splitting short.
        let offset = rest.as_ptr() as usize - text.as_ptr() as usize;
        let limited = parts.len() == limit;
        parts.push(match (limited, from_end) {
            (false, _) => rest,
            (true, false) => text.get(offset..).unwrap_or(rest),
            (true, true) => text.get(..offset + rest.len()).unwrap_or(whole),
        })?;
    }
    if from_end {
        parts.reverse();
    }
    Ok(())
}

/// A string argument, or nothing for none and absence.
fn optional_str<'v>(value: &'v Option<Value>, function: &str) -> Result<Option<&'v str>, Fault> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Str(s)) => Ok(Some(s)),
        Some(other) => Err(Fault::new(format!("{function}() takes a string, not {}", other.type_name()))),
    }
}

fn needed_str<'v>(value: &'v Option<Value>, function: &str) -> Result<&'v str, Fault> {
    optional_str(value, function)?.ok_or_else(|| Fault::new(format!("{function}() takes a string")))
}

fn optional_int(value: &Option<Value>, function: &str) -> Result<Option<i128>, Fault> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(other) => other
            .as_int()
            .map(Some)
            .ok_or_else(|| Fault::new(format!("{function}() takes an integer, not {}", other.type_name()))),
    }
}

/// A count of replacements or splits: negative means all.
fn limit(value: &Option<Value>, function: &str) -> Result<usize, Fault> {
    Ok(optional_int(value, function)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX))
}

impl Interpreter<'_> {
    pub(super) fn method(&mut self, value: &Value, name: &str, given: Given) -> Result<Value, Fault> {
        match value {
            Value::Str(s) => self.str_method(s, name, given),
            Value::Dict(dict) => self.dict_method(dict, name, given),
            Value::Loop(state) => self.loop_method(state, name, given),
            Value::Cycler(cycler) => {
                let [] = given.bind(name, [])?;
                Ok(if name == "next" { cycler.next() } else { cycler.reset() })
            }
            Value::Builtin(_) => self.dict_of_keys(given),
            Value::Float(_) | Value::Int(_) | Value::Bool(_)
                if matches!(name, "as_integer_ratio" | "from_bytes" | "to_bytes" | "fromhex" | "hex") =>
            {
                Err(Fault::unsupported("method of numbers in chat templates", name))
            }
            Value::Float(f) => {
                let [] = given.bind(name, [])?;
                Ok(if name == "conjugate" { value.clone() } else { Value::Bool(f.fract() == 0.0) })
            }
            Value::Int(_) | Value::Bool(_) => {
                let [] = given.bind(name, [])?;
                let magnitude = value.as_int().unwrap_or(0).unsigned_abs();
                Ok(match name {
                    "bit_length" => Value::Int((u128::BITS - magnitude.leading_zeros()).into()),
                    "bit_count" => Value::Int(magnitude.count_ones().into()),
                    "conjugate" => Value::Int(value.as_int().unwrap_or(0)),
                    _ => Value::Bool(true),
                })
            }
            _ => self.sequence_method(value, name, given),
        }
    }

    fn loop_method(&mut self, state: &Rc<Loop>, name: &str, given: Given) -> Result<Value, Fault> {
        if name == "cycle" {
            let n = given.positional.len().max(1);
            let item = given.positional.into_iter().nth(state.index.get() % n);
            return item.ok_or_else(|| Fault::new("no items for cycling given"));
        }
        let values = Vector::copy(&self.meter, &given.positional, 0)?;
        let same = match &*state.changed.borrow() {
            Some(last) => all_equal(&self.meter, last, &values)?,
            None => {
                self.remember_loop(state)?;
                false
            }
        };
        let former = state.changed.replace(Some(values));
        drop(former);
        Ok(Value::Bool(!same))
    }

    fn sequence_method(&mut self, value: &Value, name: &str, given: Given) -> Result<Value, Fault> {
        if name == "mapping" {
            return Err(Fault::unsupported("attribute of dict views in chat templates", name));
        }
        if let (Value::View(view), "isdisjoint") = (value, name) {
            let [other] = given.bind(name, ["other"])?;
            for item in self.visit(&required(other, name, "other")?)?.iter() {
                if position(&self.meter, &view.items, item)?.is_some() {
                    return Ok(Value::Bool(false));
                }
            }
            return Ok(Value::Bool(true));
        }
        let items = value.items().map(|items| &items[..]).unwrap_or_default();
        match name {
            "count" => {
                let [item] = given.bind("count", ["value"])?;
                let item = required(item, "count", "value")?;
                let mut count = 0;
                for other in items {
                    count += i128::from(equals(&self.meter, other, &item)?);
                }
                Ok(Value::Int(count))
            }
            "index" => {
                let [item, start, end] = given.bind("index", ["value", "start", "end"])?;
                let item = required(item, "index", "value")?;
                let length = items.len() as i128;
                let clamp = |i: i128| (if i < 0 { i.saturating_add(length) } else { i }).clamp(0, length) as usize;
                let start = optional_int(&start, name)?.map_or(0, clamp);
                let end = optional_int(&end, name)?.map_or(items.len(), clamp);
                let at = position(&self.meter, items.get(start..end).unwrap_or_default(), &item)?;
                at.map(|i| Value::Int((start + i) as i128)).ok_or_else(|| Fault::new("the value is not in the list"))
            }
            "copy" => Value::list(Vector::copy(&self.meter, items, 0)?),
            _ => Err(Fault::new(format!("access to attribute '{name}' of '{}' object is unsafe", value.type_name()))),
        }
    }

    fn dict_method(&mut self, dict: &Dict, name: &str, given: Given) -> Result<Value, Fault> {
        let entries = dict.entries();
        match name {
            "items" | "keys" | "values" => {
                let [] = given.bind(name, [])?;
                let mut items = Vector::with_capacity(&self.meter, entries.len())?;
                for (key, value) in entries {
                    items.push(match name {
                        "keys" => key.clone(),
                        "values" => value.clone(),
                        _ => super::value::Items::pair(&self.meter, [key.clone(), value.clone()], false)?,
                    })?;
                }
                let kind = match name {
                    "keys" => ViewKind::Keys,
                    "values" => ViewKind::Values,
                    _ => ViewKind::Items,
                };
                View::value(kind, items)
            }
            "get" => {
                let [key, default] = given.bind("get", ["key", "default"])?;
                let key = required(key, "get", "key")?;
                Ok(dict.get(&key)?.cloned().or(default).unwrap_or(Value::None))
            }
            "fromkeys" => self.dict_of_keys(given),
            "copy" => {
                let mut copy = Dict::new(&self.meter)?;
                for (name, value) in entries {
                    copy.insert(name.clone(), value.clone())?;
                }
                Ok(Value::Dict(copy.into()))
            }
            _ => Err(Fault::new(format!("access to attribute '{name}' of 'dict' object is unsafe"))),
        }
    }

    fn dict_of_keys(&mut self, given: Given) -> Result<Value, Fault> {
        let [keys, value] = given.bind("fromkeys", ["iterable", "value"])?;
        let value = value.unwrap_or(Value::None);
        let mut dict = Dict::new(&self.meter)?;
        for key in self.visit(&required(keys, "fromkeys", "iterable")?)?.iter() {
            dict.insert(key.clone(), value.clone())?;
        }
        Ok(Value::Dict(dict.into()))
    }

    fn str_method(&mut self, text: &Str, name: &str, given: Given) -> Result<Value, Fault> {
        self.meter.read(text.len())?;
        let is_all = |test: fn(char) -> bool| Ok(Value::Bool(!text.is_empty() && text.chars().all(test)));
        match name {
            "format" => self.str_format(text, &given),
            "format_map" => {
                let [mapping] = given.bind(name, ["mapping"])?;
                let Value::Dict(mapping) = required(mapping, name, "mapping")? else {
                    return Err(Fault::new("format_map() takes a mapping"));
                };
                let mut given = self.empty();
                given.extend_named(&mapping)?;
                self.str_format(text, &given)
            }
            "join" => {
                let [items] = given.bind("join", ["iterable"])?;
                let items = self.visit(&required(items, "join", "iterable")?)?;
                let mut out = self.buffer();
                for (i, item) in items.iter().enumerate() {
                    self.meter.step()?;
                    if i > 0 {
                        out.push_str(text)?;
                    }
                    match item {
                        _ if text.is_safe() => {
                            let item = self.escaped(item)?;
                            out.push_str(&item)?;
                        }
                        Value::Str(item) => out.push_str(item)?,
                        other => {
                            let found = other.type_name();
                            return Err(Fault::new(format!("sequence item {i}: expected str, {found} found")));
                        }
                    }
                }
                like(text, out)
            }
            "upper" | "lower" | "casefold" => {
                let [] = given.bind(name, [])?;
                self.recased(text, name == "upper").map(Value::Str)
            }
            "title" => {
                let mut out = self.buffer();
                title(&mut out, text)?;
                like(text, out)
            }
            "capitalize" => {
                let [] = given.bind(name, [])?;
                self.capitalized(text).map(Value::Str)
            }
            "swapcase" => {
                let mut out = self.buffer();
                for c in text.chars() {
                    if c.is_uppercase() { out.extend(c.to_lowercase())? } else { out.extend(c.to_uppercase())? }
                }
                like(text, out)
            }
            "strip" | "lstrip" | "rstrip" => {
                let [chars] = given.bind(name, ["chars"])?;
                self.stripped(text, optional_str(&chars, name)?, name != "rstrip", name != "lstrip")
            }
            "removeprefix" | "removesuffix" => {
                let [part] = given.bind(name, ["part"])?;
                let part = needed_str(&part, name)?;
                let rest = if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
                self.part(text, rest.unwrap_or(text))
            }
            "split" | "rsplit" => self.split(text, name, given),
            "splitlines" => {
                let [keep] = given.bind(name, ["keepends"])?;
                let mut lines = Vector::new(&self.meter);
                for line in split_lines(text, keep.is_some_and(|k| k.truth())) {
                    lines.push(self.part(text, line)?)?;
                }
                Value::list(lines)
            }
            "partition" | "rpartition" => {
                let [separator] = given.bind(name, ["sep"])?;
                let separator = needed_str(&separator, name)?;
                if separator.is_empty() {
                    return Err(Fault::new("empty separator"));
                }
                let cut = if name == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
                let parts = match (cut, name) {
                    (Some((before, after)), _) => [before, separator, after],
                    (None, "partition") => [text, "", ""],
                    (None, _) => ["", "", text],
                };
                let mut tuple = Vector::new(&self.meter);
                for part in parts {
                    tuple.push(self.part(text, part)?)?;
                }
                Value::tuple(tuple)
            }
            "replace" => {
                let [old, new, count] = given.bind(name, ["old", "new", "count"])?;
                let (old, new) = (needed_str(&old, name)?, self.fitting(text, &new, name)?);
                self.replace(text, old, &new, limit(&count, name)?).map(|s| Value::Str(s.marked(text.is_safe())))
            }
            "startswith" | "endswith" => self.affix(text, name, given),
            "find" | "rfind" | "index" | "rindex" | "count" => self.search(text, name, given),
            "center" | "ljust" | "rjust" | "zfill" => self.justify(text, name, given),
            "expandtabs" => {
                let [size] = given.bind(name, ["tabsize"])?;
                let size = optional_int(&size, name)?.map_or(8, |n| usize::try_from(n).unwrap_or(0));
                let (mut out, mut column) = (self.buffer(), 0);
                for c in text.chars() {
                    if c == '\t' {
                        let blanks = if size == 0 { 0 } else { size - column % size };
                        out.repeat(" ", blanks)?;
                        column += blanks;
                        continue;
                    }
                    column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                    out.push(c)?;
                }
                like(text, out)
            }
            "translate" => {
                let [table] = given.bind(name, ["table"])?;
                let table = required(table, name, "table")?;
                let mut out = self.buffer();
                for c in text.chars() {
                    let found = match &table {
                        Value::Dict(table) => table.get(&Value::Int(u32::from(c).into()))?.cloned(),
                        other => {
                            return Err(Fault::new(format!("translate() takes a dict, not {}", other.type_name())));
                        }
                    };
                    match found {
                        None => out.push(c)?,
                        Some(Value::None) => {}
                        Some(Value::Str(s)) => out.push_str(&s)?,
                        Some(other) => {
                            let c = other.as_int().and_then(|i| u32::try_from(i).ok()).and_then(char::from_u32);
                            out.push(c.ok_or_else(|| Fault::new("a table of translate() maps to no character"))?)?;
                        }
                    }
                }
                like(text, out)
            }
            "escape" => {
                let [value] = given.bind(name, ["s"])?;
                self.escaped(&required(value, name, "s")?).map(Value::Str)
            }
            "striptags" => self.strip_tags(text).map(Value::Str),
            "unescape" => self.unescaped(text).map(Value::Str),
            "isdigit" | "isdecimal" | "isnumeric" => is_all(char::is_numeric),
            "isalpha" => is_all(char::is_alphabetic),
            "isalnum" => is_all(char::is_alphanumeric),
            "isspace" => is_all(is_space),
            "isascii" => Ok(Value::Bool(text.is_ascii())),
            "isprintable" => Ok(Value::Bool(text.chars().all(is_printable))),
            "isidentifier" => {
                let starts = text.starts_with(|c: char| c == '_' || c.is_alphabetic());
                Ok(Value::Bool(starts && text.chars().all(|c| c == '_' || c.is_alphanumeric())))
            }
            "islower" => Ok(Value::Bool(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))),
            "isupper" => Ok(Value::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))),
            "istitle" => {
                let mut titled = self.buffer();
                title(&mut titled, text)?;
                Ok(Value::Bool(text.chars().any(char::is_alphabetic) && *titled == **text))
            }
            _ => Err(Fault::unsupported("method of strings in chat templates", name)),
        }
    }

    /// Returns a part of a string, which is safe if the string is safe.
    fn part(&mut self, whole: &Str, part: &str) -> Result<Value, Fault> {
        if whole.len() == part.len() {
            return Ok(Value::Str(whole.clone()));
        }
        Ok(Value::Str(Str::copy(&self.meter, part)?.marked(whole.is_safe())))
    }

    pub(super) fn stripped(&mut self, text: &Str, chars: Option<&str>, start: bool, end: bool) -> Result<Value, Fault> {
        let chars = match chars {
            Some(chars) => {
                // A set of the characters is made.
                self.meter.steps(chars.len())?;
                Some((chars, self.meter.hold(chars.len().saturating_mul(16))?))
            }
            None => None,
        };
        self.meter.read(text.len())?;
        self.part(text, strip(text, chars.as_ref().map(|c| c.0), start, end))
    }

    /// Python's `str.upper` or `str.lower`.
    pub(super) fn recased(&mut self, text: &Str, upper: bool) -> Result<Str, Fault> {
        self.meter.read(text.len())?;
        let mut out = self.buffer();
        out.reserve(text.len())?;
        if upper {
            out.extend(text.chars().flat_map(char::to_uppercase))?;
        } else {
            lower(&mut out, text)?;
        }
        Ok(Str::made(out)?.marked(text.is_safe()))
    }

    /// Python's `str.capitalize`.
    pub(super) fn capitalized(&mut self, text: &Str) -> Result<Str, Fault> {
        self.meter.read(text.len())?;
        let mut out = self.buffer();
        let mut chars = text.chars();
        out.extend(chars.next().into_iter().flat_map(char::to_uppercase))?;
        lower(&mut out, chars.as_str())?;
        Ok(Str::made(out)?.marked(text.is_safe()))
    }

    /// Returns a string argument that becomes part of a text, escaped if the text is safe.
    fn fitting(&mut self, text: &Str, value: &Option<Value>, function: &str) -> Result<Str, Fault> {
        match value {
            Some(Value::Str(s)) if text.is_safe() => s.escaped(&self.meter),
            Some(Value::Str(s)) => Ok(s.clone()),
            Some(other) if text.is_safe() => self.escaped(other),
            Some(other) => Err(Fault::new(format!("{function}() takes a string, not {}", other.type_name()))),
            None => Err(Fault::new(format!("{function}() takes a string"))),
        }
    }

    fn split(&mut self, text: &Str, name: &str, given: Given) -> Result<Value, Fault> {
        let [separator, count] = given.bind(name, ["sep", "maxsplit"])?;
        let separator = optional_str(&separator, name)?;
        let limit = limit(&count, name)?;
        let from_end = name == "rsplit";
        let mut parts: Vector<&str> = Vector::new(&self.meter);
        match separator {
            None => words(&mut parts, text, limit, from_end)?,
            Some("") => return Err(Fault::new("empty separator")),
            Some(separator) if from_end => {
                for part in text.rsplitn(limit.saturating_add(1), separator) {
                    parts.push(part)?;
                }
                parts.reverse();
            }
            Some(separator) => {
                for part in text.splitn(limit.saturating_add(1), separator) {
                    parts.push(part)?;
                }
            }
        }
        let mut list = Vector::with_capacity(&self.meter, parts.len())?;
        for part in parts {
            list.push(self.part(text, part)?)?;
        }
        Value::list(list)
    }

    /// Replaces the first `count` occurrences; the result is plain.
    pub(super) fn replace(&mut self, text: &str, old: &str, new: &str, count: usize) -> Result<Str, Fault> {
        self.meter.read(text.len().saturating_add(old.len()))?;
        let mut out = self.buffer();
        let mut end = 0;
        for (at, found) in text.match_indices(old).take(count) {
            self.meter.step()?;
            out.push_str(&text[end..at])?;
            out.push_str(new)?;
            end = at + found.len();
        }
        out.push_str(&text[end..])?;
        Str::made(out)
    }

    fn affix(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        let [affix, start, end] = given.bind(name, ["affix", "start", "end"])?;
        let Some(text) = window(text, &start, &end, name)?.map(|w| w.1) else { return Ok(Value::Bool(false)) };
        let meter = self.meter.clone();
        let fits = |affix: &Value| match affix {
            Value::Str(affix) => {
                meter.step()?;
                meter.copied(affix.len().min(text.len()))?;
                Ok(if name == "startswith" { text.starts_with(&**affix) } else { text.ends_with(&**affix) })
            }
            other => Err(Fault::new(format!("{name} takes a string or a tuple of strings, not {}", other.type_name()))),
        };
        match required(affix, name, "affix")? {
            Value::Tuple(all) => {
                for affix in all.iter() {
                    if fits(affix)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            affix => fits(&affix).map(Value::Bool),
        }
    }

    fn search(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        let [part, start, end] = given.bind(name, ["sub", "start", "end"])?;
        let part = needed_str(&part, name)?;
        let Some((before, text)) = window(text, &start, &end, name)? else {
            return match name {
                "count" => Ok(Value::Int(0)),
                "find" | "rfind" => Ok(Value::Int(-1)),
                _ => Err(Fault::new("substring not found")),
            };
        };
        self.meter.read(part.len())?;
        if name == "count" {
            return Ok(Value::Int(text.matches(part).count() as i128));
        }
        let at = if name.starts_with('r') { text.rfind(part) } else { text.find(part) };
        match at {
            Some(at) => Ok(Value::Int((before + text[..at].chars().count()) as i128)),
            None if name.ends_with("find") => Ok(Value::Int(-1)),
            None => Err(Fault::new("substring not found")),
        }
    }

    fn justify(&mut self, text: &Str, name: &str, given: Given) -> Result<Value, Fault> {
        let [width, fill] = given.bind(name, ["width", "fillchar"])?;
        let width = optional_int(&width, name)?.ok_or_else(|| Fault::new(format!("{name}() takes a width")))?;
        let fill = match &fill {
            Some(_) if name != "zfill" => self.fitting(text, &fill, name)?.marked(false),
            _ => Str::copy(&self.meter, if name == "zfill" { "0" } else { " " })?,
        };
        let mut chars = fill.chars();
        let (Some(fill), None) = (chars.next(), chars.next()) else {
            return Err(Fault::new("the fill character must be exactly one character long"));
        };
        let missing = usize::try_from(width.max(0)).unwrap_or(usize::MAX).saturating_sub(text.chars().count());
        let mut out = self.buffer();
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) if name == "zfill" => (&text[..1], digits),
            _ => ("", &**text),
        };
        let before = match name {
            "ljust" => 0,
            "rjust" | "zfill" => missing,
            // Python puts the odd blank to the left when the width is odd.
            _ => missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1),
        };
        out.push_str(sign)?;
        out.repeat_char(fill, before)?;
        out.push_str(digits)?;
        out.repeat_char(fill, missing - before)?;
        like(text, out)
    }
}

/// Makes a string from another string; the new string is safe if the other is safe.
fn like(text: &Str, made: Buffer) -> Result<Value, Fault> {
    Ok(Value::Str(Str::made(made)?.marked(text.is_safe())))
}

/// Appends a text in lower case. A sigma at the end of a word has its own form, which the standard library knows.
fn lower(out: &mut Buffer, text: &str) -> Result<(), Fault> {
    if !text.contains('Σ') {
        return out.extend(text.chars().flat_map(char::to_lowercase));
    }
    let _lower = out.meter().hold(text.len().saturating_mul(4))?;
    out.push_str(&text.to_lowercase())
}

/// `text[start:end]` with the number of characters before it; nothing when the start lies behind the end.
fn window<'t>(
    text: &'t str,
    start: &Option<Value>,
    end: &Option<Value>,
    name: &str,
) -> Result<Option<(usize, &'t str)>, Fault> {
    let (start, end) = (optional_int(start, name)?, optional_int(end, name)?);
    if start.is_none() && end.is_none() {
        return Ok(Some((0, text)));
    }
    let length = text.chars().count() as i128;
    let clamp = |i: i128| if i < 0 { i.saturating_add(length).max(0) } else { i };
    let (start, end) = (start.map_or(0, clamp), end.map_or(length, clamp).min(length));
    if start > end {
        return Ok(None);
    }
    let byte = |n: i128| text.char_indices().nth(n as usize).map_or(text.len(), |(i, _)| i);
    Ok(Some((start as usize, text.get(byte(start)..byte(end)).unwrap_or_default())))
}
