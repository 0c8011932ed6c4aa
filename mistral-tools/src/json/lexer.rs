//! The tokens of JSON (RFC 8259).

use serde::de::Visitor;

use super::{ArgumentError, Result};

/// Reads tokens from bytes.
pub(super) struct Lexer<'de> {
    input: &'de [u8],
    offset: usize,
    /// Where unescaped strings go; each takes its part.
    scratch: &'de mut [u8],
}

/// A number in the type that holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    /// Integers beyond 64 bits.
    Wide(i128),
    Float(f64),
}

impl Number {
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            // Nearly all visitors know of 64 bits only.
            Self::Wide(value) => visitor.visit_f64(value as f64),
            Self::Float(value) => visitor.visit_f64(value),
        }
    }
}

impl<'de> Lexer<'de> {
    pub(super) fn new(input: &'de [u8], scratch: &'de mut [u8]) -> Self {
        Self { input, offset: 0, scratch }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The next byte that is no white space, which stays the next one.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.offset += 1,
                byte => return byte,
            }
        }
    }

    /// Passes over the byte that [`peek`](Self::peek) saw.
    pub(super) fn advance(&mut self) {
        self.offset += 1;
    }

    fn byte(&self) -> Option<u8> {
        self.input.get(self.offset).copied()
    }

    pub(super) fn word(&mut self, word: &'static str) -> Result<()> {
        let end = self.offset + word.len();
        if self.input.get(self.offset..end) != Some(word.as_bytes()) {
            return Err(ArgumentError::syntax("expected a value"));
        }
        self.offset = end;
        Ok(())
    }

    /// The text from `start` to here.
    pub(super) fn text_since(&self, start: usize) -> Result<&'de str> {
        text(self.input.get(start..self.offset).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.offset;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.offset += 1;
        }
        if start == self.offset { Err(ArgumentError::syntax("expected a digit")) } else { Ok(()) }
    }

    /// Passes over a number; whether it is spelled as an integer.
    pub(super) fn skip_number(&mut self) -> Result<bool> {
        let negative = self.byte() == Some(b'-');
        self.offset += usize::from(negative);
        match self.byte() {
            Some(b'0') => {
                self.offset += 1;
                if self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
                    return Err(ArgumentError::syntax("a number starts with 0"));
                }
            }
            _ => self.digits()?,
        }
        let mut integer = true;
        if self.byte() == Some(b'.') {
            integer = false;
            self.offset += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            integer = false;
            self.offset += 1;
            self.offset += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(integer)
    }

    pub(super) fn number(&mut self) -> Result<Number> {
        let start = self.offset;
        let integer = self.skip_number()?;
        let text = self.text_since(start)?;
        if integer && text != "-0" {
            let negative = text.starts_with('-');
            let parsed = if negative { text.parse().map(Number::Signed) } else { text.parse().map(Number::Unsigned) };
            if let Ok(number) = parsed.or_else(|_| text.parse().map(Number::Wide)) {
                return Ok(number);
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Number::Float(value)),
            _ => Err(ArgumentError::syntax("a number out of range")),
        }
    }

    /// Passes over a string up to its closing quote. The bytes between the quotes, and whether there are escapes in them.
    fn raw_string(&mut self) -> Result<(&'de [u8], bool)> {
        if self.byte() != Some(b'"') {
            return Err(ArgumentError::syntax("expected a string"));
        }
        self.offset += 1;
        let start = self.offset;
        let mut escapes = false;
        let mut rest = self.input.get(start..).unwrap_or_default().iter();
        while let Some(&byte) = rest.next() {
            match byte {
                b'"' => {
                    self.offset = self.input.len() - rest.as_slice().len();
                    return Ok((self.input.get(start..self.offset - 1).unwrap_or_default(), escapes));
                }
                b'\\' => {
                    escapes = true;
                    rest.next();
                }
                0..=0x1f => {
                    self.offset = self.input.len() - rest.as_slice().len() - 1;
                    return Err(ArgumentError::syntax("a control character in a string"));
                }
                _ => {}
            }
        }
        self.offset = self.input.len();
        Err(ArgumentError::syntax("unexpected end in a string"))
    }

    pub(super) fn skip_string(&mut self) -> Result<()> {
        let (raw, escapes) = self.raw_string()?;
        text(raw)?;
        let mut raw = raw;
        while escapes && let Some(at) = raw.iter().position(|&byte| byte == b'\\') {
            raw = raw.get(at..).unwrap_or_default();
            let (_, rest) = escape(raw, Surrogates::Any)?;
            raw = rest;
        }
        Ok(())
    }

    pub(super) fn string(&mut self) -> Result<&'de str> {
        let (raw, escapes) = self.raw_string()?;
        if !escapes {
            return text(raw);
        }
        let scratch = std::mem::take(&mut self.scratch);
        let mut length = 0;
        let mut rest = raw;
        while !rest.is_empty() {
            let plain = rest.iter().position(|&byte| byte == b'\\').unwrap_or(rest.len());
            length = append(scratch, length, rest.get(..plain).unwrap_or_default())?;
            rest = rest.get(plain..).unwrap_or_default();
            if !rest.is_empty() {
                let (character, after) = escape(rest, Surrogates::Paired)?;
                length = append(scratch, length, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                rest = after;
            }
        }
        let Some((unescaped, free)) = scratch.split_at_mut_checked(length) else {
            return Err(NO_ROOM());
        };
        self.scratch = free;
        text(unescaped)
    }
}

const NO_ROOM: fn() -> ArgumentError = || ArgumentError::syntax("no room for the escapes of a string");

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| ArgumentError::syntax("a string that is not UTF-8"))
}

/// Copies `bytes` to `to[length..]`; the new length.
fn append(to: &mut [u8], length: usize, bytes: &[u8]) -> Result<usize> {
    let end = length + bytes.len();
    to.get_mut(length..end).ok_or_else(NO_ROOM)?.copy_from_slice(bytes);
    Ok(end)
}

#[derive(Clone, Copy, PartialEq)]
enum Surrogates {
    /// Only in pairs.
    Paired,
    /// Where nobody reads the string.
    Any,
}

/// The character of the escape at the start of `raw`, and what follows.
fn escape(raw: &[u8], surrogates: Surrogates) -> Result<(char, &[u8])> {
    let wrong = || ArgumentError::syntax("a wrong escape in a string");
    let [_, kind, rest @ ..] = raw else { return Err(wrong()) };
    let character = match kind {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (unit, rest) = hex(rest).ok_or_else(wrong)?;
            if let Some(character) = char::from_u32(unit) {
                return Ok((character, rest));
            }
            if let (0xd800..0xdc00, [b'\\', b'u', low @ ..]) = (unit, rest)
                && let Some((low @ 0xdc00..0xe000, rest)) = hex(low)
                && let Some(character) = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
            {
                return Ok((character, rest));
            }
            return match surrogates {
                Surrogates::Any => Ok((char::REPLACEMENT_CHARACTER, rest)),
                Surrogates::Paired => Err(ArgumentError::syntax("half a surrogate pair in a string")),
            };
        }
        _ => return Err(wrong()),
    };
    Ok((character, rest))
}

/// Four hexadecimal digits, and what follows.
fn hex(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some((value, rest))
}
