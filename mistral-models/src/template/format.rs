//! Python's two ways to format text: `'%s' % value` and `'{}'.format(value)`.

use super::Fault;
use super::call::Given;
use super::interpreter::Interpreter;
use super::print::float;
use super::value::Value;

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
    let mut digits = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        digits.push(c);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    digits
        .parse()
        .ok()
        .filter(|n| *n <= 1 << 24)
        .map(Some)
        .ok_or_else(|| Fault::new("a width in a format is too large"))
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
            Some(_) => Err(Fault::new(format!("invalid format specifier '{text}'"))),
        }
    }

    /// Puts sign and digits into the width.
    fn pad(&self, sign: &str, body: &str, default: char) -> String {
        let missing = self.width.saturating_sub(sign.chars().count() + body.chars().count());
        let fill = |n: usize| std::iter::repeat_n(self.fill.unwrap_or(' '), n).collect::<String>();
        match self.align.unwrap_or(default) {
            '<' => format!("{sign}{body}{}", fill(missing)),
            '^' => format!("{}{sign}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{}{body}", fill(missing)),
            _ => format!("{}{sign}{body}", fill(missing)),
        }
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (_, Some('+')) => "+",
            (_, Some(' ')) => " ",
            _ => "",
        }
    }

    fn int(&self, value: i128) -> Result<String, Fault> {
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match self.kind {
            None | Some('d' | 'n' | 'i' | 'u') => ("", magnitude.to_string()),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('c') => {
                let c = u32::try_from(value).ok().and_then(char::from_u32);
                return c.map(|c| self.pad("", &c.to_string(), '<')).ok_or_else(|| Fault::new("%c arg not in range"));
            }
            _ => return self.float(value as f64),
        };
        let digits = self.grouped(&digits);
        let sign = format!("{}{}", self.sign_of(value < 0), if self.alternate { prefix } else { "" });
        Ok(self.pad(&sign, &digits, '>'))
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

    fn float(&self, value: f64) -> Result<String, Fault> {
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
        Ok(self.pad(self.sign_of(value.is_sign_negative() && !value.is_nan()), &self.grouped(&digits), '>'))
    }

    fn text(&self, text: &str) -> String {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        self.pad("", &cut, '<')
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

impl Interpreter<'_> {
    /// `format % values`
    pub(super) fn printf(&mut self, format: &str, values: &Value) -> Result<String, Fault> {
        self.charge(format.len())?;
        let mut places = match values {
            Value::Tuple(items) => items.items.clone(),
            other => vec![other.clone()],
        }
        .into_iter();
        let mut out = String::new();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            if chars.next_if_eq(&'%').is_some() {
                out.push('%');
                continue;
            }
            let mut named = None;
            if chars.next_if_eq(&'(').is_some() {
                let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
                let Value::Dict(dict) = values else { return Err(Fault::new("format requires a mapping")) };
                let value = dict.get_str(&name).cloned();
                named = Some(value.ok_or_else(|| Fault::new(format!("the format's key '{name}' is missing")))?);
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
            self.charge(spec.width.saturating_add(16))?;
            let text = match kind {
                's' | 'r' | 'a' => {
                    let mut text = String::new();
                    if kind == 's' {
                        self.write(&mut text, &value)?
                    } else {
                        self.repr(&mut text, &value)?
                    }
                    spec.fill = None;
                    spec.align = spec.align.filter(|a| *a != '=').or(Some('>'));
                    spec.text(&text)
                }
                'c' if value.as_str().is_some() => spec.text(value.as_str().unwrap_or_default()),
                'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'c' => {
                    let whole = match &value {
                        Value::Float(f) if matches!(kind, 'd' | 'i' | 'u') && f.is_finite() => Some(f.trunc() as i128),
                        other => other.as_int(),
                    };
                    spec.kind = Some(kind);
                    spec.int(whole.ok_or_else(|| Fault::new(format!("%{kind} format: a number is required")))?)?
                }
                'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
                    spec.kind = Some(kind);
                    spec.float(value.as_number().ok_or_else(|| Fault::new("must be real number"))?)?
                }
                _ => return Err(Fault::new(format!("unsupported format character '{kind}'"))),
            };
            out.push_str(&text);
        }
        if places.next().is_some() && matches!(values, Value::Tuple(_)) {
            return Err(Fault::new("not all arguments converted during string formatting"));
        }
        if let (false, Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Bool(_) | Value::None) =
            (format.replace("%%", "").contains('%'), values)
        {
            return Err(Fault::new("not all arguments converted during string formatting"));
        }
        self.charge(out.len())?;
        Ok(out)
    }

    /// `format.format(...)`
    pub(super) fn str_format(&mut self, format: &str, given: &Given) -> Result<String, Fault> {
        let mut out = String::new();
        let mut next = 0;
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
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
            let field = self.deeper(|this| this.field(&rest[..end], given, &mut next))?;
            self.charge(field.len())?;
            out.push_str(&field);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        self.charge(out.len())?;
        Ok(out)
    }

    /// `name.attribute[item]!conversion:spec`
    fn field(&mut self, field: &str, given: &Given, next: &mut usize) -> Result<String, Fault> {
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
            None => given.named.iter().find(|(n, _)| **n == *name).map(|(_, v)| v.clone()),
        };
        let mut value = value.ok_or_else(|| Fault::new(format!("the format's field '{name}' is missing")))?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']').ok_or_else(|| Fault::new("missing ']' in format string"))?;
                let index = index.parse().map_or_else(|_| Value::str(index), Value::Int);
                value = self.item(&value, &index)?;
                rest = after;
            } else {
                let after = rest.strip_prefix('.').ok_or_else(|| Fault::new("malformed field in format string"))?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = self.attribute(&value, &after[..end])?;
                rest = &after[end..];
            }
        }
        let spec = if spec.contains('{') { self.str_format(spec, given)? } else { spec.to_owned() };
        let spec = Spec::parse(&spec)?;
        self.charge(spec.width)?;
        let mut text = String::new();
        match conversion {
            Some("r" | "a") => self.repr(&mut text, &value)?,
            None | Some("s") => self.write(&mut text, &value)?,
            Some(other) => return Err(Fault::new(format!("unknown conversion specifier '{other}'"))),
        }
        Ok(match &value {
            _ if conversion.is_some() => spec.text(&text),
            Value::Bool(_) if spec.kind.is_none() => spec.text(&text),
            Value::Int(_) | Value::Bool(_) => spec.int(value.as_int().unwrap_or(0))?,
            Value::Float(f) => spec.float(*f)?,
            Value::Str(_) if matches!(spec.kind, None | Some('s')) => spec.text(&text),
            Value::Str(_) => return Err(Fault::new("unknown format code for a string")),
            _ if spec.width == 0 && spec.kind.is_none() => text,
            other => return Err(Fault::new(format!("unsupported format string passed to {}", other.type_name()))),
        })
    }
}
