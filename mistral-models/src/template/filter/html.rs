//! HTML filters: they make safe text, or process it.

use crate::template::Fault;
use crate::template::call::Given;
use crate::template::interpreter::Interpreter;
use crate::template::lexer::is_space;
use crate::template::text::{Str, shown};
use crate::template::value::Value;

impl Interpreter<'_> {
    pub(super) fn html_filter(
        &mut self,
        name: &str,
        value: &Value,
        given: Given,
    ) -> Result<Result<Value, Given>, Fault> {
        Ok(Ok(match name {
            "safe" => {
                let [] = given.bind(name, [])?;
                Value::Str(self.text(value)?.marked(true))
            }
            "escape" | "e" => {
                let [] = given.bind(name, [])?;
                Value::Str(self.escaped(value)?)
            }
            "forceescape" => {
                let [] = given.bind(name, [])?;
                Value::Str(self.text(value)?.marked(false).escaped(&self.meter)?)
            }
            "striptags" => {
                let [] = given.bind(name, [])?;
                let text = self.text(value)?;
                Value::Str(self.strip_tags(&text)?)
            }
            "xmlattr" => self.xml_attributes(value, given)?,
            "urlencode" => {
                let [] = given.bind(name, [])?;
                let mut out = self.buffer();
                let pairs = match value {
                    Value::Dict(_) => Some(self.method(value, "items", self.empty())?),
                    Value::List(_) | Value::Tuple(_) | Value::View(_) | Value::Generator(_) => Some(value.clone()),
                    _ => None,
                };
                let Some(pairs) = pairs else {
                    let text = self.text(value)?;
                    quote(&mut out, &text, false)?;
                    return Ok(Ok(Value::Str(Str::made(out)?)));
                };
                for (i, pair) in self.visit(&pairs)?.iter().enumerate() {
                    let pair = self.visit(pair)?;
                    let [key, value] = &pair[..] else { return Err(Fault::new("urlencode() takes pairs")) };
                    if i > 0 {
                        out.push('&')?;
                    }
                    let (key, value) = (self.text(key)?, self.text(value)?);
                    quote(&mut out, &key, true)?;
                    out.push('=')?;
                    quote(&mut out, &value, true)?;
                }
                Value::Str(Str::made(out)?)
            }
            _ => return Ok(Err(given)),
        }))
    }

    fn xml_attributes(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [space] = given.bind("xmlattr", ["autospace"])?;
        let Value::Dict(attributes) = value else {
            return Err(Fault::new(format!("xmlattr() takes a mapping, not {}", value.type_name())));
        };
        let mut out = self.buffer();
        for (name, value) in attributes.entries() {
            self.meter.step()?;
            if matches!(value, Value::None | Value::Undefined(_)) {
                continue;
            }
            let Value::Str(name) = name else { return Err(Fault::new("xmlattr() takes strings as keys")) };
            self.meter.read(name.len())?;
            if name.contains([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '/', '>', '=']) {
                return Err(Fault::new(format!("invalid character in attribute name: '{}'", shown(name))));
            }
            if !out.is_empty() || space.as_ref().is_none_or(Value::truth) {
                out.push(' ')?;
            }
            let (name, value) = (name.escaped(&self.meter)?, self.escaped(value)?);
            out.push_str(&name)?;
            out.push_str("=\"")?;
            out.push_str(&value)?;
            out.push('"')?;
        }
        Ok(Value::Str(Str::made(out)?.marked(self.autoescape)))
    }

    /// Returns a value as safe text: safe text unchanged, anything else escaped.
    pub(in crate::template) fn escaped(&mut self, value: &Value) -> Result<Str, Fault> {
        self.text(value)?.escaped(&self.meter)
    }

    /// Returns text without tags and comments, with white space collapsed and entities decoded.
    pub(in crate::template) fn strip_tags(&mut self, text: &str) -> Result<Str, Fault> {
        self.meter.read(text.len())?;
        let mut stripped = self.buffer();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            let comment = rest[start..].starts_with("<!--");
            let end = if comment {
                rest.get(start + 4..).and_then(|t| t.find("-->")).map(|at| start + 4 + at + 3)
            } else {
                rest[start..].find('>').map(|at| start + at + 1)
            };
            let Some(end) = end else { break };
            stripped.push_str(&rest[..start])?;
            rest = &rest[end..];
        }
        stripped.push_str(rest)?;
        let mut out = self.buffer();
        for word in stripped.split(is_space).filter(|word| !word.is_empty()) {
            if !out.is_empty() {
                out.push(' ')?;
            }
            out.push_str(word)?;
        }
        self.unescaped(&out)
    }

    /// Returns text with its HTML entities decoded. The only known named entities are those of XML and the non-breaking space.
    pub(in crate::template) fn unescaped(&mut self, text: &str) -> Result<Str, Fault> {
        self.meter.read(text.len())?;
        let mut out = self.buffer();
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            out.push_str(&rest[..at])?;
            let entity = &rest[at + 1..];
            let (digits, radix) = match entity.strip_prefix('#') {
                Some(hex) if hex.starts_with(['x', 'X']) => (Some(&hex[1..]), 16),
                decimal => (decimal, 10),
            };
            let (body, found) = match digits {
                Some(digits) => {
                    let body = &digits[..digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len())];
                    let code = body
                        .chars()
                        .filter_map(|c| c.to_digit(radix))
                        .fold(0u32, |code, digit| code.saturating_mul(radix).saturating_add(digit));
                    (body, (!body.is_empty()).then(|| reference(code)))
                }
                None => {
                    let body = &entity[..entity.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(entity.len())];
                    (body, named(body, entity[body.len()..].starts_with(';'))?)
                }
            };
            match found {
                Some(c) => {
                    out.extend(c.into_iter())?;
                    let end = body.as_ptr() as usize - rest.as_ptr() as usize + body.len();
                    rest = rest[end..].strip_prefix(';').unwrap_or(&rest[end..]);
                }
                None => {
                    out.push('&')?;
                    rest = entity;
                }
            }
        }
        out.push_str(rest)?;
        Str::made(out)
    }
}

/// Returns the character of a numeric reference, as HTML 5 reads it, or `None` if the code is not a character.
fn reference(code: u32) -> Option<char> {
    // HTML reads these as Windows-1252.
    const WINDOWS: [u32; 32] = [
        0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d,
        0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d,
        0x17e, 0x178,
    ];
    match code {
        0 | 0xd800..=0xdfff | 0x11_0000.. => Some('\u{fffd}'),
        0x0d => Some('\r'),
        0x80..=0x9f => WINDOWS.get(code as usize - 0x80).copied().and_then(char::from_u32),
        0x1..=0x8 | 0xe..=0x1f | 0x7f | 0xb | 0xfdd0..=0xfdef => None,
        code if code & 0xfffe == 0xfffe => None,
        code => char::from_u32(code),
    }
}

/// Returns the character of a named reference, or `None` if the text is only an ampersand before a word.
fn named(name: &str, closed: bool) -> Result<Option<Option<char>>, Fault> {
    Ok(match name {
        "amp" | "AMP" => Some(Some('&')),
        "lt" | "LT" => Some(Some('<')),
        "gt" | "GT" => Some(Some('>')),
        "quot" | "QUOT" => Some(Some('"')),
        "nbsp" => Some(Some('\u{a0}')),
        "apos" if closed => Some(Some('\'')),
        _ if closed && !name.is_empty() => {
            return Err(Fault::unsupported("HTML entity in chat templates", format!("&{};", shown(name))));
        }
        _ => None,
    })
}

/// Appends a text as a part of a URL.
fn quote(out: &mut crate::template::meter::Buffer, text: &str, query: bool) -> Result<(), Fault> {
    out.meter().read(text.len())?;
    for byte in text.bytes() {
        match byte {
            b'/' if query => out.push_str("%2F")?,
            b' ' if query => out.push('+')?,
            b'/' | b'_' | b'.' | b'-' | b'~' => out.push(byte as char)?,
            _ if byte.is_ascii_alphanumeric() => out.push(byte as char)?,
            _ => out.push_str(&format!("%{byte:02X}"))?,
        }
    }
    Ok(())
}
