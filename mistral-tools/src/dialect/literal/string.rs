//! Strings in quotes: where they begin and end, and what their escapes stand for.

use super::super::cursor::{Cursor, Read, Stop, find, starts_with};
use super::super::family::{Escapes, Literal, Quote};
use super::super::json::{escape, quoted};
use super::value::{blank, word};

/// The surroundings of a string, which determine what can follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A value of the arguments themselves.
    Argument,
    /// A value of an object inside the arguments.
    Member,
    /// A key of an object.
    Key,
    /// An item of a list, or of Python's braces whose kind is not known yet.
    Item,
}

/// A piece of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text.
    Text(usize),
    /// The end of the string and the beginning of the next, which Python joins.
    Joined(usize, Quote),
    /// The end.
    End(usize),
}

/// Returns the length of the beginning of a string and its quote, or `None` if the text does not begin with a quote.
pub(super) fn start(text: &str, form: &Literal) -> Read<Option<(usize, Quote)>> {
    let prefix = if form.python { prefix(text)? } else { 0 };
    let rest = text.get(prefix..).unwrap_or("");
    for quote in form.quotes {
        match starts_with(rest, quote.mark) {
            Err(Stop::No) => {}
            Err(Stop::More) => return Err(Stop::More),
            Ok(()) if prefix == 0 => return Ok(Some((quote.mark.len(), *quote))),
            Ok(()) => {
                let letters = text[..prefix].to_ascii_lowercase();
                let escapes = match letters.as_str() {
                    "r" => Escapes::Raw,
                    "u" => quote.escapes,
                    // Bytes, and strings that are computed.
                    _ => return Err(Stop::No),
                };
                return Ok(Some((prefix + quote.mark.len(), Quote { escapes, ..*quote })));
            }
        }
    }
    Ok(None)
}

/// Returns how many letters stand before a quote, once a quote is known to follow.
fn prefix(text: &str) -> Read<usize> {
    for (i, c) in text.bytes().take(3).enumerate() {
        match c {
            b'r' | b'R' | b'b' | b'B' | b'u' | b'U' | b'f' | b'F' | b't' | b'T' if i < 2 => {}
            b'\'' | b'"' => return Ok(i),
            _ => return Ok(0),
        }
    }
    Err(Stop::More)
}

/// Reads a string whose quotes have been opened, and returns the JSON string.
pub(super) fn string(
    cursor: &mut Cursor<'_>,
    mut quote: Quote,
    form: &Literal,
    place: Place,
    json: &mut String,
) -> Read<()> {
    json.push('"');
    loop {
        match piece(cursor.rest(), quote, form, place, &mut |text| json.push_str(text))? {
            Piece::Text(read) => cursor.at += read,
            Piece::Joined(read, next) => {
                cursor.at += read;
                quote = next;
            }
            Piece::End(read) => {
                cursor.at += read;
                json.push('"');
                return Ok(());
            }
        }
    }
}

/// Reads a piece of a string.
pub(super) fn piece(text: &str, quote: Quote, form: &Literal, place: Place, out: &mut dyn FnMut(&str)) -> Read<Piece> {
    let marks = [quote.mark, "\\", "\n", "\r"];
    let in_line = form.python && !form.lines && quote.mark.len() == 1;
    let marks = match quote.escapes {
        Escapes::None => &marks[..1],
        _ => &marks[..if in_line { 4 } else { 2 }],
    };
    match find(text, marks.iter().copied()) {
        Ok((0, 0)) => end(text, quote, form, place, out),
        Ok((0, 2..)) => Err(Stop::No),
        Ok((0, _)) => unescape(text, quote.escapes, out).map(Piece::Text),
        Ok((length, _)) | Err(length) if length > 0 => {
            escape(&text[..length], out);
            Ok(Piece::Text(length))
        }
        _ => Err(Stop::More),
    }
}

/// Decides whether a quote is the end of the string or text that was not escaped.
fn end(text: &str, quote: Quote, form: &Literal, place: Place, out: &mut dyn FnMut(&str)) -> Read<Piece> {
    let length = quote.mark.len();
    let mut cursor = Cursor { text, at: length };
    blank(&mut cursor, form)?;
    let next = cursor.peek()?;
    if form.python
        && let Some((start, next)) = start(cursor.rest(), form)?
    {
        return Ok(Piece::Joined(cursor.at + start, next));
    }
    let ended = match (next, place) {
        (b')' | b']' | b'}' | b',' | b':', Place::Item) => true,
        (b':', Place::Key) => true,
        (b'}', Place::Member) => true,
        (c, Place::Argument) if c == form.brackets.1 => true,
        (b',', Place::Argument | Place::Member) => {
            cursor.at += 1;
            blank(&mut cursor, form)?;
            let bracket = if place == Place::Argument { form.brackets.1 } else { b'}' };
            cursor.peek()? == bracket || key_follows(cursor, form)?
        }
        _ => false,
    };
    if ended {
        return Ok(Piece::End(length));
    }
    escape(quote.mark, out);
    Ok(Piece::Text(length))
}

/// Returns whether a key follows.
fn key_follows(mut cursor: Cursor<'_>, form: &Literal) -> Read<bool> {
    if !form.python && start(cursor.rest(), form)?.is_some() {
        return Ok(true);
    }
    let word = word(&mut cursor)?;
    blank(&mut cursor, form)?;
    Ok(!word.is_empty() && cursor.peek()? == form.assign)
}

/// Writes the character of the escape with which the text begins. Escapes that JSON has too are kept as they are.
fn unescape(text: &str, escapes: Escapes, out: &mut dyn FnMut(&str)) -> Read<usize> {
    let second = text[1..].chars().next().ok_or(Stop::More)?;
    if escapes == Escapes::Raw {
        let length = 1 + second.len_utf8();
        escape(&text[..length], out);
        return Ok(length);
    }
    let python = escapes == Escapes::Python;
    match second {
        'u' => return code(text, 4, out),
        'x' if python => return code(text, 2, out),
        'U' if python => return code(text, 8, out),
        // A name of Unicode, of which no list is kept.
        'N' if python => return Err(Stop::No),
        '0'..='7' if python => return octal(text, out),
        'n' | 't' | 'r' | 'b' | 'f' | '"' | '\\' => out(&text[..2]),
        'a' if python => out("\\u0007"),
        'v' if python => out("\\u000b"),
        '\'' if python => out("'"),
        // The line goes on.
        '\n' if python => {}
        '/' if !python => out("/"),
        _ => {
            // Python keeps the backslash of what is no escape.
            out("\\\\");
            return Ok(1);
        }
    }
    Ok(2)
}

/// Writes a character by its number in `digits` hexadecimal digits.
fn code(text: &str, digits: usize, out: &mut dyn FnMut(&str)) -> Read<usize> {
    let hex = text.as_bytes().iter().skip(2).take(digits).take_while(|c| c.is_ascii_hexdigit()).count();
    if hex < digits {
        return Err(if text.len() == 2 + hex { Stop::More } else { Stop::No });
    }
    let code = u32::from_str_radix(&text[2..2 + digits], 16).map_err(|_| Stop::No)?;
    match char::from_u32(code) {
        _ if digits == 4 => out(&text[..6]),
        Some(c) => escape(c.encode_utf8(&mut [0; 4]), out),
        // Half of a pair.
        None if code < 0x1_0000 => out(&format!("\\u{code:04x}")),
        None => return Err(Stop::No),
    }
    Ok(2 + digits)
}

/// Writes a character by its number in up to three octal digits.
fn octal(text: &str, out: &mut dyn FnMut(&str)) -> Read<usize> {
    let digits = text.bytes().skip(1).take(3).take_while(|c| matches!(c, b'0'..=b'7')).count();
    if digits < 3 && text.len() == 1 + digits {
        return Err(Stop::More);
    }
    let code = u32::from_str_radix(&text[1..=digits], 8).map_err(|_| Stop::No)?;
    let c = char::from_u32(code).ok_or(Stop::No)?;
    escape(c.encode_utf8(&mut [0; 4]), out);
    Ok(1 + digits)
}

/// Returns a JSON value as the key of an object, as Python's `json` converts keys that are not strings.
pub(super) fn as_key(json: String) -> Read<String> {
    match json.bytes().next() {
        Some(b'"') => Ok(json),
        Some(b'{' | b'[') | None => Err(Stop::No),
        _ => {
            let mut key = String::new();
            let is_float = json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && json.contains(['.', 'e']);
            let float = json.parse::<f64>().ok().filter(|_| is_float).map(|value| format!("{value:?}"));
            quoted(float.as_deref().unwrap_or(&json), &mut |text| key.push_str(text));
            Ok(key)
        }
    }
}
