//! The methods of Python's strings, lists, tuples and dicts, and of loops. Those that would change a value are refused.

use super::Fault;
use super::call::{Given, required};
use super::interpreter::Interpreter;
use super::lexer::is_space;
use super::value::{Dict, Value, View, ViewKind};

const STR: [&str; 43] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
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
    "upper",
];

/// Whether Python has an attribute of this name on the value, before any item of the same name.
pub(super) fn has_method(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(_) => STR.contains(&name) || name == "zfill",
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
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        Value::Float(_) => name == "is_integer",
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
fn title(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::new();
    for c in text.chars() {
        if after_letter {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        after_letter = c.is_alphabetic();
    }
    out
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

/// Strips at the chosen ends: white space, or any of the given characters.
pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let drop = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(drop) } else { text };
    if end { text.trim_end_matches(drop) } else { text }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Python's `str.splitlines`.
pub(super) fn split_lines(text: &str, keep_ends: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(is_line_end).unwrap_or(rest.len());
        let ending =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        lines.push(rest[..if keep_ends { end + ending } else { end }].to_owned());
        rest = &rest[end + ending..];
    }
    lines
}

fn words(text: &str, limit: usize, from_end: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = strip(text, None, true, true);
    while !rest.is_empty() {
        let cut = if from_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut.filter(|_| parts.len() < limit) else { break };
        if from_end {
            let word = &rest[cut..];
            parts.push(word.trim_start_matches(is_space));
            rest = rest[..cut].trim_end_matches(is_space);
        } else {
            parts.push(&rest[..cut]);
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
        });
    }
    if from_end {
        parts.reverse();
    }
    parts
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
            Value::Loop(state) => match name {
                "cycle" => {
                    let n = given.positional.len().max(1);
                    given
                        .positional
                        .into_iter()
                        .nth(state.index.get() % n)
                        .ok_or_else(|| Fault::new("no items for cycling given"))
                }
                _ => {
                    let mut last = state.changed.borrow_mut();
                    let same = last.as_ref().is_some_and(|last| {
                        last.len() == given.positional.len()
                            && last.iter().zip(&given.positional).all(|(a, b)| a.equals(b))
                    });
                    *last = Some(given.positional);
                    Ok(Value::Bool(!same))
                }
            },
            Value::Float(f) => Ok(Value::Bool(f.fract() == 0.0)),
            _ => self.sequence_method(value, name, given),
        }
    }

    fn sequence_method(&mut self, value: &Value, name: &str, given: Given) -> Result<Value, Fault> {
        let items = value.items().unwrap_or_default();
        self.charge(items.len())?;
        match name {
            "count" => {
                let [item] = given.bind("count", ["value"])?;
                let item = required(item, "count", "value")?;
                Ok(Value::Int(items.iter().filter(|v| v.equals(&item)).count() as i128))
            }
            "index" => {
                let [item] = given.bind("index", ["value"])?;
                let item = required(item, "index", "value")?;
                let at = items.iter().position(|v| v.equals(&item));
                at.map(|i| Value::Int(i as i128)).ok_or_else(|| Fault::new("the value is not in the list"))
            }
            "copy" => Value::list(self.visit(value)?),
            _ => Err(Fault::new(format!("access to attribute '{name}' of '{}' object is unsafe", value.type_name()))),
        }
    }

    fn dict_method(&mut self, dict: &Dict, name: &str, given: Given) -> Result<Value, Fault> {
        let entries = dict.entries();
        match name {
            "items" | "keys" | "values" => {
                let [] = given.bind(name, [])?;
                self.charge(entries.len() * 96)?;
                match name {
                    "keys" => View::value(ViewKind::Keys, entries.iter().map(|e| e.0.clone()).collect()),
                    "values" => View::value(ViewKind::Values, entries.iter().map(|e| e.1.clone()).collect()),
                    _ => {
                        let pairs = entries.iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()]));
                        View::value(ViewKind::Items, pairs.collect::<Result<_, _>>()?)
                    }
                }
            }
            "get" => {
                let [key, default] = given.bind("get", ["key", "default"])?;
                let key = required(key, "get", "key")?;
                Ok(dict.get(&key)?.cloned().or(default).unwrap_or(Value::None))
            }
            "copy" => {
                let mut copy = Dict::default();
                for (name, value) in entries {
                    self.charge(128)?;
                    copy.insert(name.clone(), value.clone())?;
                }
                Ok(Value::Dict(copy.into()))
            }
            _ => Err(Fault::new(format!("access to attribute '{name}' of 'dict' object is unsafe"))),
        }
    }

    fn str_method(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        self.charge(text.len())?;
        let is_all = |test: fn(char) -> bool| Ok(Value::Bool(!text.is_empty() && text.chars().all(test)));
        match name {
            "format" => Ok(Value::str(self.str_format(text, &given)?)),
            "join" => {
                let [items] = given.bind("join", ["iterable"])?;
                let items = self.visit(&required(items, "join", "iterable")?)?;
                let mut out = String::new();
                for (i, item) in items.iter().enumerate() {
                    let Value::Str(item) = item else {
                        return Err(Fault::new(format!("sequence item {i}: expected str, {} found", item.type_name())));
                    };
                    self.charge(item.len() + text.len())?;
                    if i > 0 {
                        out.push_str(text);
                    }
                    out.push_str(item);
                }
                Ok(Value::str(out))
            }
            "upper" => Ok(Value::str(text.to_uppercase())),
            "lower" | "casefold" => Ok(Value::str(text.to_lowercase())),
            "title" => Ok(Value::str(title(text))),
            "capitalize" => Ok(Value::str(capitalize(text))),
            "swapcase" => {
                let swapped: String = text
                    .chars()
                    .flat_map(|c| -> Vec<char> {
                        if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
                    })
                    .collect();
                Ok(Value::str(swapped))
            }
            "strip" | "lstrip" | "rstrip" => {
                let [chars] = given.bind(name, ["chars"])?;
                let chars = optional_str(&chars, name)?;
                Ok(Value::str(strip(text, chars, name != "rstrip", name != "lstrip")))
            }
            "removeprefix" | "removesuffix" => {
                let [part] = given.bind(name, ["part"])?;
                let part = needed_str(&part, name)?;
                let rest = if name == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
                Ok(Value::str(rest.unwrap_or(text)))
            }
            "split" | "rsplit" => self.split(text, name, given),
            "splitlines" => {
                let [keep] = given.bind(name, ["keepends"])?;
                let lines = split_lines(text, keep.is_some_and(|k| k.truth()));
                self.charge(lines.len() * 64)?;
                Value::list(lines.into_iter().map(Value::str).collect())
            }
            "partition" | "rpartition" => {
                let [separator] = given.bind(name, ["sep"])?;
                let separator = needed_str(&separator, name)?;
                let cut = if name == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
                let parts = match (cut, name) {
                    (Some((before, after)), _) => [before, separator, after],
                    (None, "partition") => [text, "", ""],
                    (None, _) => ["", "", text],
                };
                Value::tuple(parts.map(Value::str).to_vec())
            }
            "replace" => {
                let [old, new, count] = given.bind(name, ["old", "new", "count"])?;
                let (old, new) = (needed_str(&old, name)?, needed_str(&new, name)?);
                self.replace(text, old, new, limit(&count, name)?)
            }
            "startswith" | "endswith" => self.affix(text, name, given),
            "find" | "rfind" | "index" | "rindex" | "count" => self.search(text, name, given),
            "center" | "ljust" | "rjust" | "zfill" => self.justify(text, name, given),
            "isdigit" | "isdecimal" | "isnumeric" => is_all(char::is_numeric),
            "isalpha" => is_all(char::is_alphabetic),
            "isalnum" => is_all(char::is_alphanumeric),
            "isspace" => is_all(is_space),
            "isascii" => Ok(Value::Bool(text.is_ascii())),
            "islower" => Ok(Value::Bool(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))),
            "isupper" => Ok(Value::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))),
            "istitle" => Ok(Value::Bool(text.chars().any(char::is_alphabetic) && title(text) == text)),
            _ => Err(Fault::new(format!("the string method '{name}' is not supported"))),
        }
    }

    fn split(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        let [separator, count] = given.bind(name, ["sep", "maxsplit"])?;
        let separator = optional_str(&separator, name)?;
        let limit = limit(&count, name)?;
        let from_end = name == "rsplit";
        let parts: Vec<&str> = match separator {
            None => words(text, limit, from_end),
            Some("") => return Err(Fault::new("empty separator")),
            Some(separator) if from_end => {
                let mut parts: Vec<&str> = text.rsplitn(limit.saturating_add(1), separator).collect();
                parts.reverse();
                parts
            }
            Some(separator) => text.splitn(limit.saturating_add(1), separator).collect(),
        };
        self.charge(parts.len() * 64)?;
        Value::list(parts.into_iter().map(Value::str).collect())
    }

    /// Replaces the first `count` occurrences.
    pub(super) fn replace(&mut self, text: &str, old: &str, new: &str, count: usize) -> Result<Value, Fault> {
        let found = text.matches(old).count().min(count);
        self.charge(text.len().saturating_add(found.saturating_mul(new.len())))?;
        Ok(Value::str(text.replacen(old, new, found)))
    }

    fn affix(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        let [affix, start, end] = given.bind(name, ["affix", "start", "end"])?;
        let Some(text) = window(text, &start, &end, name)?.map(|w| w.1) else { return Ok(Value::Bool(false)) };
        let fits = |affix: &Value| match affix {
            Value::Str(affix) => {
                Ok(if name == "startswith" { text.starts_with(&**affix) } else { text.ends_with(&**affix) })
            }
            other => Err(Fault::new(format!("{name} takes a string or a tuple of strings, not {}", other.type_name()))),
        };
        match required(affix, name, "affix")? {
            Value::Tuple(all) => {
                for affix in &all.items {
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

    fn justify(&mut self, text: &str, name: &str, given: Given) -> Result<Value, Fault> {
        let [width, fill] = given.bind(name, ["width", "fillchar"])?;
        let width = optional_int(&width, name)?.unwrap_or(0);
        let fill = optional_str(&fill, name)?.unwrap_or(if name == "zfill" { "0" } else { " " });
        let fill = fill.chars().next().unwrap_or(' ');
        let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
        self.charge(missing.saturating_mul(fill.len_utf8()))?;
        let fill = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
        Ok(Value::str(match name {
            "ljust" => format!("{text}{}", fill(missing)),
            "rjust" => format!("{}{text}", fill(missing)),
            "zfill" => match text.strip_prefix(['-', '+']) {
                Some(digits) => format!("{}{}{digits}", &text[..1], fill(missing)),
                None => format!("{}{text}", fill(missing)),
            },
            _ => {
                // Python puts the odd blank to the left when the width is odd.
                let left = missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1);
                format!("{}{text}{}", fill(left), fill(missing - left))
            }
        }))
    }
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
