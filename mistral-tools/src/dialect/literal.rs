//! Arguments as literals, `a=1, b='x', c=[True, None]`, transcribed to a JSON object while they arrive.
//!
//! Numbers are kept as they stand. A bare word that is no number and no constant becomes a string. What is wrong in other ways stays
//! wrong, so that whoever reads the JSON can tell the model.

use super::arguments::Step;
use super::cursor::{Cursor, Read, Stop, find, starts_with};
use super::family::Literal;
use super::json::{escape, is_value};

/// Where in the arguments a text goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Literals {
    /// Brackets that are open inside of the arguments.
    depth: usize,
    /// The quote of the string that is open.
    quote: Option<usize>,
    /// Whether a comma has been read that is not written yet: it may be the last before a bracket.
    comma: bool,
}

impl Literals {
    /// Reads on. `close` are marks that end the call early.
    pub(super) fn step(&mut self, text: &str, form: &Literal, close: &[&str], out: &mut dyn FnMut(&str)) -> Read<Step> {
        if let Some(quote) = self.quote {
            return self.string(text, form.quotes.get(quote).unwrap_or(&"\""), form.escapes, out);
        }
        let mut cursor = Cursor::new(text);
        cursor.space();
        let next = cursor.peek()?;
        match cursor.any(close) {
            Ok(()) => return Ok(Step::End(cursor.at, false)),
            Err(Stop::More) => return Err(Stop::More),
            Err(Stop::No) => {}
        }
        for (quote, mark) in form.quotes.iter().enumerate() {
            match starts_with(cursor.rest(), mark) {
                Ok(()) => {
                    self.write("\"", out);
                    self.quote = Some(quote);
                    return Ok(Step::Read(cursor.at + mark.len()));
                }
                Err(Stop::More) => return Err(Stop::More),
                Err(Stop::No) => {}
            }
        }
        if next == form.brackets.1 && self.depth == 0 {
            out("}");
            return Ok(Step::End(cursor.at + 1, true));
        }
        let read = Ok(Step::Read(cursor.at + 1));
        match next {
            b'[' | b'(' | b'{' => {
                self.write(if next == b'{' { "{" } else { "[" }, out);
                self.depth += 1;
                read
            }
            b']' | b')' | b'}' => {
                self.comma = false;
                out(if next == b'}' { "}" } else { "]" });
                self.depth = self.depth.saturating_sub(1);
                read
            }
            b',' => {
                self.comma = true;
                read
            }
            b':' => {
                out(":");
                read
            }
            _ => self.word(cursor, form, out),
        }
    }

    fn write(&mut self, text: &str, out: &mut dyn FnMut(&str)) {
        if std::mem::take(&mut self.comma) {
            out(",");
        }
        out(text);
    }

    /// A key, a number, a constant or what else stands there up to the next delimiter.
    fn word(&mut self, mut cursor: Cursor<'_>, form: &Literal, out: &mut dyn FnMut(&str)) -> Read<Step> {
        let rest = cursor.rest();
        let keys = self.depth == 0 || form.bare_keys;
        // The mark of a string, or one that cuts the call off, can follow at once.
        let ends =
            |c: u8| matches!(c, b',' | b':' | b'=' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'"' | b'\'' | b'<');
        let space = |c: u8| matches!(c, b' ' | b'\t' | b'\n' | b'\r');
        // The first character is of the word whatever it is.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let length = rest.bytes().skip(first).position(|c| ends(c) || space(c)).ok_or(Stop::More)? + first;
        let word = &rest[..length];
        cursor.at += length;
        let end = cursor.at;
        cursor.space();
        if keys && cursor.peek()? == form.assign {
            self.write("\"", out);
            escape(word, out);
            out("\":");
            return Ok(Step::Read(cursor.at + 1));
        }
        match word {
            "True" => self.write("true", out),
            "False" => self.write("false", out),
            "None" => self.write("null", out),
            word if is_value(word) => self.write(word, out),
            word => {
                self.write("\"", out);
                escape(word, out);
                out("\"");
            }
        }
        Ok(Step::Read(end))
    }

    fn string(&mut self, text: &str, quote: &str, escapes: bool, out: &mut dyn FnMut(&str)) -> Read<Step> {
        let marks = [quote, "\\"];
        let marks = &marks[..if escapes { 2 } else { 1 }];
        match find(text, marks.iter().copied()) {
            Ok((at, 0)) => {
                escape(&text[..at], out);
                out("\"");
                self.quote = None;
                Ok(Step::Read(at + quote.len()))
            }
            Ok((0, _)) => unescape(text, out).map(Step::Read),
            Ok((held, _)) | Err(held) if held > 0 => {
                escape(&text[..held], out);
                Ok(Step::Read(held))
            }
            _ => Err(Stop::More),
        }
    }

    /// Gives what was held back, as it is; the arguments stay open.
    pub(super) fn finish(&self, rest: &str, out: &mut dyn FnMut(&str)) {
        if self.quote.is_some() { escape(rest, out) } else { out(rest) }
    }
}

/// The JSON of one literal, or nothing if the text is none.
pub(super) fn transcribe(text: &str, form: &Literal) -> Option<String> {
    // As the only argument of a call, of which the end is known.
    let whole = [text, ")"].concat();
    let (mut literals, mut json, mut at) = (Literals::default(), String::new(), 0);
    loop {
        match literals.step(whole.get(at..)?, form, &[], &mut |piece| json.push_str(piece)) {
            Ok(Step::Read(read)) => at += read,
            Ok(Step::End(read, true)) if at + read == whole.len() => {
                json.pop();
                return Some(json).filter(|json| is_value(json));
            }
            Ok(Step::End(..)) | Err(_) => return None,
        }
    }
}

/// Writes what an escape of Python stands for; the text begins with it. Escapes that JSON has too are kept as they are.
fn unescape(text: &str, out: &mut dyn FnMut(&str)) -> Read<usize> {
    let second = text[1..].chars().next().ok_or(Stop::More)?;
    let digits = match second {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let hex = text.as_bytes().iter().skip(2).take(digits).take_while(|c| c.is_ascii_hexdigit()).count();
        if hex == digits {
            let code = u32::from_str_radix(&text[2..2 + digits], 16).map_err(|_| Stop::No)?;
            match char::from_u32(code) {
                Some(_) if second == 'u' => out(&text[..6]),
                Some(c) => escape(c.encode_utf8(&mut [0; 4]), out),
                // Half of a pair, which JSON writes the same way.
                None if second == 'u' => out(&text[..6]),
                None => escape(&text[..2 + digits], out),
            }
            return Ok(2 + digits);
        }
        if text.len() == 2 + hex {
            return Err(Stop::More);
        }
    }
    match second {
        'n' => out("\\n"),
        't' => out("\\t"),
        'r' => out("\\r"),
        'b' => out("\\b"),
        'f' => out("\\f"),
        'a' => out("\\u0007"),
        'v' => out("\\u000b"),
        '0' => out("\\u0000"),
        '\n' => {}
        '"' | '\\' => out(&text[..2]),
        '\'' => out("'"),
        '/' => out("/"),
        _ => {
            // Python keeps the backslash of what is no escape.
            out("\\\\");
            return Ok(1);
        }
    }
    Ok(2)
}
