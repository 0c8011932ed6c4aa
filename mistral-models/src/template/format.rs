//! Python's two ways to format text: `'%s' % value` and `'{}'.format(value)`.

use super::Fault;
use super::call::Given;
use super::interpreter::Interpreter;
use super::meter::Buffer;
use super::print::{float, repr, write};
use super::text::{Str, escape, shown};
use super::value::Value;

/// The widest field. Python allows wider fields, which chat templates do not need.
const MOST_WIDTH: usize = 1 << 24;

/// `[[fill]align][sign][#][0][width][,][.precision][type]`
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, Fault> {
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let value = number.unwrap_or(0usize).saturating_mul(10).saturating_add(digit as usize);
        if value > MOST_WIDTH {
            return Err(Fault::new(format!("a width in a format is above {MOST_WIDTH}")));
        }
        number = Some(value);
    }
    Ok(number)
}

impl Spec {
    fn parse(text: &str) -> Result<Self, Fault> {
        let mut spec = Self::default();
        let mut chars = text.chars().peekable();
        let mut ahead = text.chars();
        let (first, second) = (ahead.next(), ahead.next());
        let is_align = |c: char| matches!(c, '<' | '>' | '^' | '=');
        if let (Some(fill), Some(align)) = (first, second.filter(|c| is_align(*c))) {
            (spec.fill, spec.align) = (Some(fill), Some(align));
            chars.next();
            chars.next();
        } else if let Some(align) = chars.next_if(|c| is_align(*c)) {
            spec.align = Some(align);
        }
        spec.sign = chars.next_if(|c| matches!(c, '+' | '-' | ' '));
        spec.alternate = chars.next_if_eq(&'#').is_some();
        if chars.next_if_eq(&'0').is_some() && spec.align.is_none() {
            (spec.fill, spec.align) = (Some('0'), Some('='));
        }
        spec.width = number(&mut chars)?.unwrap_or(0);
        spec.grouping = chars.next_if(|c| matches!(c, ',' | '_'));
        if chars.next_if_eq(&'.').is_some() {
            let digits = number(&mut chars)?.ok_or_else(|| Fault::new("format specifier missing precision"))?;
            spec.precision = Some(digits);
        }
        spec.kind = chars.next();
        match chars.next() {
            None => Ok(spec),
            Some(_) => Err(Fault::new(format!("invalid format specifier '{}'", shown(text)))),
        }
    }

    /// Appends sign and digits, filled up to the width.
    fn pad(&self, out: &mut Buffer, sign: &str, body: &str, default: char) -> Result<(), Fault> {
        let length = if self.width == 0 { 0 } else { body.chars().count() };
        let missing = self.width.saturating_sub(sign.chars().count() + length);
        let fill = self.fill.unwrap_or(' ');
        let (before, between, after) = match self.align.unwrap_or(default) {
            '<' => (0, 0, missing),
            '^' => (missing / 2, 0, missing - missing / 2),
            '=' => (0, missing, 0),
            _ => (missing, 0, 0),
        };
        out.repeat_char(fill, before)?;
        out.push_str(sign)?;
        out.repeat_char(fill, between)?;
        out.push_str(body)?;
        out.repeat_char(fill, after)
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (_, Some('+')) => "+",
            (_, Some(' ')) => " ",
            _ => "",
        }
    }

    fn int(&self, out: &mut Buffer, value: i128) -> Result<(), Fault> {
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match self.kind {
            None | Some('d' | 'n' | 'i' | 'u') => ("", magnitude.to_string()),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('c') => {
                let c = u32::try_from(value).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| Fault::new("%c arg not in range"))?;
                return self.pad(out, "", c.encode_utf8(&mut [0; 4]), '<');
            }
            _ => return self.float(out, value as f64),
        };
        let digits = self.grouped(&digits);
        let sign = format!("{}{}", self.sign_of(value < 0), if self.alternate { prefix } else { "" });
        self.pad(out, &sign, &digits, '>')
    }

    fn grouped(&self, digits: &str) -> String {
        let Some(separator) = self.grouping else { return digits.to_owned() };
        let (whole, rest) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
        let mut out = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 {
                out.push(separator);
            }
            out.push(c);
        }
        out + rest
    }

    fn float(&self, out: &mut Buffer, value: f64) -> Result<(), Fault> {
        let magnitude = value.abs();
        let precision = self.precision.unwrap_or(6).min(1 << 10);
        let digits = match self.kind {
            _ if !value.is_finite() => float(magnitude),
            None if self.precision.is_none() => float(magnitude),
            Some('f' | 'F') => format!("{magnitude:.precision$}"),
            Some('%') => format!("{:.precision$}%", magnitude * 100.0),
            Some('e' | 'E') => exponent(&format!("{magnitude:.precision$e}")),
            None | Some('g' | 'G') => general(magnitude, precision.max(1), self.kind.is_none()),
            Some(kind) => return Err(Fault::new(format!("unknown format code '{kind}' for a number"))),
        };
        let digits = if matches!(self.kind, Some('E' | 'G' | 'F')) { digits.to_uppercase() } else { digits };
        let sign = self.sign_of(value.is_sign_negative() && !value.is_nan());
        self.pad(out, sign, &self.grouped(&digits), '>')
    }

    fn text(&self, out: &mut Buffer, text: &str) -> Result<(), Fault> {
        out.meter().read(text.len())?;
        let cut = self.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
        self.pad(out, "", &text[..cut], '<')
    }
}

/// Rust's `1e5` as Python's `1e+05`.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Significant digits, with an exponent when it is below -4 or not below the precision.
fn general(value: f64, precision: usize, keep_point: bool) -> String {
    let scientific = format!("{value:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let limit = if keep_point { precision as i32 - 1 } else { precision as i32 };
    let trim =
        |s: &str| if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_owned() } else { s.to_owned() };
    if power < -4 || power >= limit.max(1) {
        let (digits, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
        return exponent(&format!("{}e{power}", trim(digits)));
    }
    let fixed = trim(&format!("{value:.*}", (precision as i32 - 1 - power).max(0) as usize));
    if keep_point && !fixed.contains('.') { fixed + ".0" } else { fixed }
}

/// Reads an integer from a string as `int()` does, for `%d` in safe text.
fn parsed_int(text: &str) -> Option<i128> {
    super::method::strip(text, None, true, true).parse().ok()
}

impl Interpreter<'_> {
    /// Evaluates `format % values`. Safe text escapes its values, and the result is safe.
    pub(super) fn printf(&mut self, format: &Str, values: &Value) -> Result<Value, Fault> {
        self.meter.read(format.len())?;
        let single = std::slice::from_ref(values);
        let (places, is_mapping) = match values {
            Value::Tuple(items) => (&items[..], false),
            Value::Dict(_) | Value::List(_) | Value::View(_) | Value::Undefined(_) => (single, true),
            _ => (single, false),
        };
        let mut places = places.iter();
        let mut out = self.buffer();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c)?;
                continue;
            }
            if chars.next_if_eq(&'%').is_some() {
                out.push('%')?;
                continue;
            }
            let mut named = None;
            if chars.next_if_eq(&'(').is_some() {
                let mut name = self.buffer();
                for c in chars.by_ref().take_while(|c| *c != ')') {
                    name.push(c)?;
                }
                let Value::Dict(dict) = values else { return Err(Fault::new("format requires a mapping")) };
                let value = dict.get_str(&name)?;
                named =
                    Some(value.ok_or_else(|| Fault::new(format!("the format's key '{}' is missing", shown(&name))))?);
            }
            let mut spec = Spec { align: Some('>'), ..Spec::default() };
            while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '#' | '0')) {
                match flag {
                    '-' => (spec.align, spec.fill) = (Some('<'), None),
                    '0' if spec.align != Some('<') => (spec.align, spec.fill) = (Some('='), Some('0')),
                    '#' => spec.alternate = true,
                    ' ' if spec.sign == Some('+') => {}
                    '+' | ' ' => spec.sign = Some(flag),
                    _ => {}
                }
            }
            spec.width = number(&mut chars)?.unwrap_or(0);
            if chars.next_if_eq(&'.').is_some() {
                spec.precision = Some(number(&mut chars)?.unwrap_or(0));
            }
            let Some(kind) = chars.next() else { return Err(Fault::new("incomplete format")) };
            let value = match named {
                Some(value) => value,
                None => places.next().ok_or_else(|| Fault::new("not enough arguments for format string"))?,
            };
            self.meter.step()?;
            self.conversion(&mut out, spec, kind, value, format.is_safe())?;
        }
        if places.next().is_some() && !is_mapping {
            return Err(Fault::new("not all arguments converted during string formatting"));
        }
        Ok(Value::Str(Str::made(out)?.marked(format.is_safe())))
    }

    /// One `%` conversion.
    fn conversion(
        &mut self,
        out: &mut Buffer,
        mut spec: Spec,
        kind: char,
        value: &Value,
        safe: bool,
    ) -> Result<(), Fault> {
        match kind {
            's' | 'r' | 'a' => {
                let mut text = self.buffer();
                if kind == 's' {
                    write(&mut text, value)?
                } else {
                    repr(&mut text, value)?
                }
                if safe && !(kind == 's' && matches!(value, Value::Str(s) if s.is_safe())) {
                    let plain = text;
                    text = self.buffer();
                    escape(&mut text, &plain)?;
                }
                spec.fill = None;
                spec.align = spec.align.filter(|a| *a != '=').or(Some('>'));
                spec.text(out, &text)
            }
            'c' if !safe && value.as_str().is_some() => spec.text(out, value.as_str().unwrap_or_default()),
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'c' => {
                let decimal = matches!(kind, 'd' | 'i' | 'u');
                let whole = match value {
                    Value::Float(f) if decimal && f.is_finite() => Some(f.trunc() as i128),
                    Value::Str(s) if decimal && safe => {
                        self.meter.read(s.len())?;
                        parsed_int(s)
                    }
                    _ if safe && !decimal => None,
                    other => other.as_int(),
                };
                spec.kind = Some(kind);
                spec.int(out, whole.ok_or_else(|| Fault::new(format!("%{kind} format: a number is required")))?)
            }
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
                spec.kind = Some(kind);
                let number = match value {
                    Value::Str(s) if safe => {
                        self.meter.read(s.len())?;
                        super::filter::parse_float(s)
                    }
                    other => other.as_number(),
                };
                spec.float(out, number.ok_or_else(|| Fault::new("must be real number"))?)
            }
            _ => Err(Fault::new(format!("unsupported format character '{kind}'"))),
        }
    }

    /// Evaluates `format.format(...)`. Safe text escapes its fields, and the result is safe.
    pub(super) fn str_format(&mut self, format: &Str, given: &Given) -> Result<Value, Fault> {
        let mut out = self.buffer();
        self.fields(&mut out, format, given, &mut 0, format.is_safe())?;
        Ok(Value::Str(Str::made(out)?.marked(format.is_safe())))
    }

    fn fields(
        &mut self,
        out: &mut Buffer,
        format: &str,
        given: &Given,
        next: &mut usize,
        safe: bool,
    ) -> Result<(), Fault> {
        self.meter.read(format.len())?;
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at])?;
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace)?;
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(Fault::new("single '}' encountered in format string"));
            }
            let mut level = 1;
            let end = rest.find(|c| {
                level += match c {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                level == 0
            });
            let Some(end) = end else { return Err(Fault::new("expected '}' before end of string")) };
            self.deeper(|this| this.field(out, &rest[..end], given, next, safe))?;
            rest = &rest[end + 1..];
        }
        out.push_str(rest)
    }

    /// `name.attribute[item]!conversion:spec`
    fn field(
        &mut self,
        out: &mut Buffer,
        field: &str,
        given: &Given,
        next: &mut usize,
        safe: bool,
    ) -> Result<(), Fault> {
        self.meter.step()?;
        let (path, spec) = field.split_once(':').unwrap_or((field, ""));
        let (path, conversion) = path.split_once('!').map_or((path, None), |(p, c)| (p, Some(c)));
        let name_end = path.find(['.', '[']).unwrap_or(path.len());
        let (name, mut rest) = path.split_at(name_end);
        let place = if name.is_empty() {
            *next += 1;
            Some(*next - 1)
        } else {
            name.parse().ok()
        };
        let value = match place {
            Some(i) => given.positional.get(i).cloned(),
            None => {
                self.meter.steps(given.named.len())?;
                given.named.iter().find(|(n, _)| **n == *name).map(|(_, v)| v.clone())
            }
        };
        let missing = || Fault::new(format!("the format's field '{}' is missing", shown(name)));
        let mut value = value.ok_or_else(missing)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or_else(|| Fault::new("missing ']' in format string"))?;
                let index = match index.parse() {
                    Ok(i) => Value::Int(i),
                    Err(_) => self.str(index)?,
                };
                value = self.item(&value, &index)?;
                rest = after;
            } else {
                let after = rest.strip_prefix('.').ok_or_else(|| Fault::new("malformed field in format string"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = self.attribute(&value, &after[..end])?;
                rest = &after[end..];
            }
        }
        let mut nested = self.buffer();
        let spec = if spec.contains('{') {
            self.fields(&mut nested, spec, given, next, safe)?;
            &*nested
        } else {
            spec
        };
        if let (true, None, Value::Str(text)) = (safe, conversion, &value)
            && text.is_safe()
        {
            if !spec.is_empty() {
                return Err(Fault::new("safe text takes no format specification"));
            }
            return out.push_str(text);
        }
        if !safe {
            return formatted(out, &value, conversion, spec);
        }
        let mut text = self.buffer();
        formatted(&mut text, &value, conversion, spec)?;
        escape(out, &text)
    }
}

/// Appends `format(value, spec)` after the conversion.
fn formatted(out: &mut Buffer, value: &Value, conversion: Option<&str>, spec: &str) -> Result<(), Fault> {
    let spec = Spec::parse(spec)?;
    let meter = out.meter().clone();
    let mut text = Buffer::new(&meter);
    match (conversion, value) {
        (Some("r" | "a"), _) => repr(&mut text, value)?,
        (Some("s"), _) => write(&mut text, value)?,
        (Some(other), _) => {
            return Err(Fault::new(format!("unknown conversion specifier '{}'", shown(other))));
        }
        (None, Value::Bool(_)) if spec.kind.is_none() => write(&mut text, value)?,
        (None, Value::Int(_) | Value::Bool(_)) => return spec.int(out, value.as_int().unwrap_or(0)),
        (None, Value::Float(f)) => return spec.float(out, *f),
        (None, Value::Str(s)) if matches!(spec.kind, None | Some('s')) => return spec.text(out, s),
        (None, Value::Str(_)) => return Err(Fault::new("unknown format code for a string")),
        (None, _) if spec.width == 0 && spec.kind.is_none() => write(&mut text, value)?,
        (None, other) => {
            return Err(Fault::new(format!("unsupported format string passed to {}", other.type_name())));
        }
    }
    spec.text(out, &text)
}
