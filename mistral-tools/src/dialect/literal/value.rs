//! One complete value: a number, a word, a list, an object.

use std::collections::{BTreeSet, HashMap};

use super::super::cursor::{Cursor, Read, Stop, is_name};
use super::super::family::Literal;
use super::super::json::{is_value, quoted};
use super::number::{decimal, number};
use super::string::{Place, as_key, start, string};

/// The deepest nesting that JSON readers accept.
const DEPTH: usize = 126;

/// Skips whitespace. Between tokens of Python, also skips comments and a backslash at the end of a line.
pub(in super::super) fn blank(cursor: &mut Cursor<'_>, form: &Literal) -> Read<()> {
    loop {
        cursor.space();
        match cursor.peek() {
            Ok(b'\\') if form.python => cursor.literal("\\\n")?,
            Ok(b'#') if form.python => {
                cursor.at += cursor.rest().find('\n').ok_or(Stop::More)?;
            }
            _ => return Ok(()),
        }
    }
}

/// Skips the text before the next delimiter, which may be empty.
pub(super) fn word<'t>(cursor: &mut Cursor<'t>) -> Read<&'t str> {
    let rest = cursor.rest();
    // The mark of a string, or one that cuts the call off, can follow at once.
    let ends = |c: u8| {
        matches!(
            c,
            b',' | b':'
                | b'='
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'"'
                | b'\''
                | b'<'
                | b'#'
                | b'\\'
                | b' '
                | b'\t'
                | b'\n'
                | b'\r'
        )
    };
    let length = rest.bytes().position(ends).ok_or(Stop::More)?;
    cursor.at += length;
    Ok(&rest[..length])
}

/// Skips a value without quotes, which goes up to the next delimiter, and returns it without the spaces around it.
fn bare<'t>(cursor: &mut Cursor<'t>) -> Read<&'t str> {
    let rest = cursor.rest();
    // The mark that cuts the call off can follow at once.
    let length = rest.bytes().position(|c| matches!(c, b',' | b']' | b'}' | b'<')).ok_or(Stop::More)?;
    cursor.at += length;
    Ok(rest[..length].trim_end())
}

/// Reads a key of the arguments.
pub(in super::super) fn key(cursor: &mut Cursor<'_>, form: &Literal) -> Read<String> {
    if !form.python
        && let Some((length, quote)) = start(cursor.rest(), form)?
    {
        cursor.at += length;
        let mut json = String::new();
        string(cursor, quote, form, Place::Key, &mut json)?;
        return serde_json::from_str(&json).map_err(|_| Stop::No);
    }
    let word = word(cursor)?;
    if word.is_empty() { Err(Stop::No) } else { Ok(word.to_owned()) }
}

/// Reads a value and writes its JSON. Returns whether the value can be in a Python set; lists, sets and dictionaries cannot.
pub(super) fn value(cursor: &mut Cursor<'_>, form: &Literal, depth: usize, json: &mut String) -> Read<bool> {
    value_in(cursor, form, Place::Item, depth, json)
}

fn value_in(cursor: &mut Cursor<'_>, form: &Literal, place: Place, depth: usize, json: &mut String) -> Read<bool> {
    blank(cursor, form)?;
    let next = cursor.peek()?;
    if let Some((length, quote)) = start(cursor.rest(), form)? {
        cursor.at += length;
        return string(cursor, quote, form, place, json).map(|()| true);
    }
    if depth > DEPTH {
        return Err(Stop::No);
    }
    match next {
        b'[' => items(cursor, form, b']', depth, json).map(|_| false),
        b'(' if form.python => {
            let from = json.len();
            let Items { single, hashable } = items(cursor, form, b')', depth, json)?;
            if single {
                // A value in brackets is not a list.
                json.pop();
                json.remove(from);
            }
            Ok(hashable)
        }
        b'{' if form.python => braces(cursor, form, depth, json).map(|()| false),
        b'{' => members(cursor, form, depth, json).map(|()| false),
        _ if form.python => atom(cursor, form, json).map(|()| true),
        _ => {
            match bare(cursor)? {
                "" => return Err(Stop::No),
                // Templates print constants as Python does.
                "True" => json.push_str("true"),
                "False" => json.push_str("false"),
                "None" => json.push_str("null"),
                word if is_value(word) => json.push_str(word),
                word => quoted(word, &mut |text| json.push_str(text)),
            }
            Ok(true)
        }
    }
}

/// The properties of a list or a tuple.
struct Items {
    /// Whether it has one value and no comma.
    single: bool,
    /// Whether all values can be in a set.
    hashable: bool,
}

/// Reads a list or a tuple up to its bracket.
fn items(cursor: &mut Cursor<'_>, form: &Literal, end: u8, depth: usize, json: &mut String) -> Read<Items> {
    cursor.at += 1;
    json.push('[');
    let (mut count, mut commas, mut hashable) = (0usize, 0usize, true);
    loop {
        blank(cursor, form)?;
        if cursor.peek()? == end {
            cursor.at += 1;
            json.push(']');
            return Ok(Items { single: count == 1 && commas == 0, hashable });
        }
        if commas < count {
            return Err(Stop::No);
        }
        json.push_str(if count > 0 { "," } else { "" });
        hashable &= value(cursor, form, depth + 1, json)?;
        count += 1;
        blank(cursor, form)?;
        if cursor.peek()? == b',' {
            cursor.at += 1;
            commas += 1;
        }
    }
}

/// Reads a dictionary or a set of Python. Of equal keys the last one counts; equal values of a set count once.
fn braces(cursor: &mut Cursor<'_>, form: &Literal, depth: usize, json: &mut String) -> Read<()> {
    cursor.at += 1;
    let (mut places, mut entries): (HashMap<String, usize>, Vec<(String, String)>) = Default::default();
    let (mut known, mut set): (BTreeSet<String>, Vec<String>) = Default::default();
    loop {
        blank(cursor, form)?;
        if cursor.peek()? == b'}' {
            cursor.at += 1;
            break;
        }
        let mut first = String::new();
        let hashable = value(cursor, form, depth + 1, &mut first)?;
        blank(cursor, form)?;
        if cursor.peek()? == b':' && set.is_empty() {
            cursor.at += 1;
            let (key, mut second) = (as_key(first)?, String::new());
            value(cursor, form, depth + 1, &mut second)?;
            match places.get(&key).and_then(|&place| entries.get_mut(place)) {
                Some((_, value)) => *value = second,
                None => {
                    places.insert(key.clone(), entries.len());
                    entries.push((key, second));
                }
            }
        } else if entries.is_empty() && hashable {
            if known.insert(first.clone()) {
                set.push(first);
            }
        } else {
            return Err(Stop::No);
        }
        blank(cursor, form)?;
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => {}
            _ => return Err(Stop::No),
        }
    }
    if set.is_empty() {
        let all: Vec<String> = entries.into_iter().map(|(key, value)| [key.as_str(), ":", &value].concat()).collect();
        *json += &["{", &all.join(","), "}"].concat();
    } else {
        *json += &["[", &set.join(","), "]"].concat();
    }
    Ok(())
}

/// Reads an object, with or without quotes around its keys.
fn members(cursor: &mut Cursor<'_>, form: &Literal, depth: usize, json: &mut String) -> Read<()> {
    cursor.at += 1;
    json.push('{');
    let mut some = false;
    loop {
        blank(cursor, form)?;
        if cursor.peek()? == b'}' {
            cursor.at += 1;
            json.push('}');
            return Ok(());
        }
        json.push_str(if std::mem::replace(&mut some, true) { "," } else { "" });
        quoted(&key(cursor, form)?, &mut |text| json.push_str(text));
        blank(cursor, form)?;
        cursor.literal(":")?;
        json.push(':');
        value_in(cursor, form, Place::Member, depth + 1, json)?;
        blank(cursor, form)?;
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => {}
            _ => return Err(Stop::No),
        }
    }
}

/// Reads a number, a constant, or a bare word of Python, which is taken for a string.
fn atom(cursor: &mut Cursor<'_>, form: &Literal, json: &mut String) -> Read<()> {
    let sign = cursor.peek()?;
    if matches!(sign, b'+' | b'-') {
        cursor.at += 1;
        blank(cursor, form)?;
    }
    let mut text = word(cursor)?;
    // The sign of an exponent is none of the word's delimiters, so the word is whole.
    let is_number = text.bytes().next().is_some_and(|c| c.is_ascii_digit() || c == b'.');
    if matches!(sign, b'+' | b'-') && !is_number {
        return Err(Stop::No);
    }
    if is_number {
        json.push_str(if sign == b'-' { "-" } else { "" });
        let number = if text.len() < 2 { decimal(text) } else { number(text) };
        json.push_str(&number.ok_or(Stop::No)?);
        return Ok(());
    }
    match text {
        "True" => text = "true",
        "False" => text = "false",
        "None" => text = "null",
        "true" | "false" | "null" => {}
        "set" if cursor.peek()? == b'(' => {
            cursor.at += 1;
            blank(cursor, form)?;
            cursor.literal(")")?;
            text = "[]";
        }
        _ => {
            let is_plain = text.bytes().all(|c| is_name(c) || !c.is_ascii());
            if text.is_empty() || !is_plain || cursor.peek()? == b'(' {
                return Err(Stop::No);
            }
            quoted(text, &mut |text| json.push_str(text));
            return Ok(());
        }
    }
    json.push_str(text);
    Ok(())
}
