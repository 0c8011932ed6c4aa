//! The filters of Jinja2, with the `tojson` of Hugging Face transformers. Filters that are lazy in Jinja2 give generators.

mod sequence;

use std::rc::Rc;

use super::Fault;
use super::call::{Given, required};
use super::interpreter::Interpreter;
use super::lexer::is_space;
use super::method::{capitalize, split_lines, strip};
use super::print::JsonStyle;
use super::value::{Dict, Value};

impl Interpreter<'_> {
    pub(super) fn filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
        self.deeper(|this| match this.text_filter(name, value, given)? {
            Ok(value) => Ok(value),
            Err(given) => this.sequence_filter(name, value, given),
        })
    }

    /// Filters of text and single values; gives the arguments back when the name is none of them.
    fn text_filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Result<Value, Given>, Fault> {
        Ok(Ok(match name {
            "tojson" => self.json_filter(value, given)?,
            "trim" => {
                let [chars] = given.bind(name, ["chars"])?;
                let text = self.text(value)?;
                match chars {
                    None | Some(Value::None) => Value::str(strip(&text, None, true, true)),
                    Some(chars) => Value::str(strip(&text, Some(&self.text(&chars)?), true, true)),
                }
            }
            "string" => match value {
                Value::Str(_) => value.clone(),
                _ => Value::str(self.text(value)?),
            },
            "safe" => value.clone(),
            "upper" => Value::str(self.text(value)?.to_uppercase()),
            "lower" => Value::str(self.text(value)?.to_lowercase()),
            "capitalize" => Value::str(capitalize(&self.text(value)?)),
            "title" => Value::str(title(&self.text(value)?)),
            "escape" | "e" | "forceescape" => {
                let text = self.text(value)?;
                self.charge(text.len().saturating_mul(5))?;
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                Value::str(escaped.replace('\'', "&#39;").replace('"', "&#34;"))
            }
            "default" | "d" => {
                let [default, boolean] = given.bind(name, ["default_value", "boolean"])?;
                let boolean = boolean.is_some_and(|b| b.truth());
                if value.is_undefined() || (boolean && !value.truth()) {
                    default.unwrap_or_else(|| Value::str(""))
                } else {
                    value.clone()
                }
            }
            "replace" => {
                let [old, new, count] = given.bind(name, ["old", "new", "count"])?;
                let text = self.text(value)?;
                let old = self.text(&required(old, name, "old")?)?;
                let new = self.text(&required(new, name, "new")?)?;
                let count = count.as_ref().and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
                self.replace(&text, &old, &new, count.unwrap_or(usize::MAX))?
            }
            "indent" => self.indent(value, given)?,
            "center" => {
                let [width] = given.bind(name, ["width"])?;
                let text = Value::str(self.text(value)?);
                let width = width.unwrap_or(Value::Int(80));
                self.method(&text, "center", Given { positional: vec![width], named: Vec::new(), caller: None })?
            }
            "format" => {
                let format = self.text(value)?;
                let values = if given.named.is_empty() {
                    Value::tuple(given.positional)?
                } else {
                    let mut dict = Dict::default();
                    for (name, value) in given.named {
                        dict.insert(Value::Str(name), value)?;
                    }
                    Value::Dict(Rc::new(dict))
                };
                Value::str(self.printf(&format, &values)?)
            }
            "int" => self.int_filter(value, given)?,
            "float" => {
                let [default] = given.bind(name, ["default"])?;
                let parsed = match value {
                    Value::Undefined(what) => return Err(Fault::new(what.to_string())),
                    Value::Str(s) => parse_float(s),
                    other => other.as_number(),
                };
                parsed.map(Value::Float).or(default).unwrap_or(Value::Float(0.0))
            }
            "abs" => match (value, value.as_int()) {
                (Value::Float(f), _) => Value::Float(f.abs()),
                (_, Some(i)) => Value::Int(i.checked_abs().ok_or_else(|| Fault::new("an integer exceeds 128 bits"))?),
                _ => return Err(Fault::new(format!("bad operand type for abs(): '{}'", value.type_name()))),
            },
            "round" => round(value, given)?,
            "wordcount" => {
                let text = self.text(value)?;
                let words = text.split(|c: char| !(c == '_' || c.is_alphanumeric())).filter(|w| !w.is_empty());
                Value::Int(words.count() as i128)
            }
            "truncate" => self.truncate(value, given)?,
            "urlencode" => {
                let text = self.text(value)?;
                self.charge(text.len().saturating_mul(3))?;
                let mut out = String::new();
                for byte in text.bytes() {
                    match byte {
                        b'/' | b'_' | b'.' | b'-' | b'~' => out.push(byte as char),
                        _ if byte.is_ascii_alphanumeric() => out.push(byte as char),
                        _ => out.push_str(&format!("%{byte:02X}")),
                    }
                }
                Value::str(out)
            }
            "attr" => {
                let [attribute] = given.bind(name, ["name"])?;
                let attribute = self.text(&required(attribute, name, "name")?)?;
                match value {
                    Value::Dict(_) if !super::method::has_method(value, &attribute) => {
                        Value::missing(format!("'dict object' has no attribute '{attribute}'"))
                    }
                    _ => self.attribute(value, &attribute)?,
                }
            }
            _ => return Ok(Err(given)),
        }))
    }

    fn json_filter(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [ascii, indent, separators, sort_keys] =
            given.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
        let indent = match indent {
            None | Some(Value::None) => None,
            Some(Value::Str(s)) => Some(s.to_string()),
            Some(other) => {
                let width =
                    other.as_int().ok_or_else(|| Fault::new("tojson() takes an integer or string as indent"))?;
                let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
                self.charge(width)?;
                Some(" ".repeat(width))
            }
        };
        let (item_separator, key_separator) = match separators {
            None | Some(Value::None) if indent.is_some() => (",".to_owned(), ": ".to_owned()),
            None | Some(Value::None) => (", ".to_owned(), ": ".to_owned()),
            Some(pair) => match pair.items() {
                Some([Value::Str(item), Value::Str(key)]) => (item.to_string(), key.to_string()),
                _ => return Err(Fault::new("tojson() takes a pair of strings as separators")),
            },
        };
        let style = JsonStyle {
            ascii: ascii.is_some_and(|v| v.truth()),
            indent,
            item_separator,
            key_separator,
            sort_keys: sort_keys.is_some_and(|v| v.truth()),
        };
        Ok(Value::str(self.json(value, &style)?))
    }

    fn indent(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [width, first, blank] = given.bind("indent", ["width", "first", "blank"])?;
        let (first, blank) = (first.is_some_and(|v| v.truth()), blank.is_some_and(|v| v.truth()));
        let prefix = match width.unwrap_or(Value::Int(4)) {
            Value::Str(s) => s.to_string(),
            other => {
                let width = other.as_int().ok_or_else(|| Fault::new("indent() takes an integer or string as width"))?;
                let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
                self.charge(width)?;
                " ".repeat(width)
            }
        };
        let mut text = match value {
            Value::Str(s) => s.to_string(),
            Value::Undefined(what) => return Err(Fault::new(what.to_string())),
            other => return Err(Fault::new(format!("indent() takes a string, not {}", other.type_name()))),
        };
        text.push('\n');
        let lines = split_lines(&text, false);
        self.charge(text.len().saturating_add(lines.len().saturating_mul(prefix.len())))?;
        let mut out = String::new();
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            if if i == 0 { first } else { blank || !line.is_empty() } {
                out.push_str(&prefix);
            }
            out.push_str(line);
        }
        Ok(Value::str(out))
    }

    fn int_filter(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [default, base] = given.bind("int", ["default", "base"])?;
        let base = base.as_ref().and_then(Value::as_int).unwrap_or(10);
        let from_float = |f: f64| (f.is_finite() && f.abs() < 1e38).then(|| Value::Int(f.trunc() as i128));
        let parsed = match value {
            Value::Undefined(what) => return Err(Fault::new(what.to_string())),
            Value::Str(s) => {
                let digits = strip(s, None, true, true).replace('_', "");
                let (sign, body) = digits.strip_prefix('-').map_or(("", &*digits), |b| ("-", b));
                let prefixes: [&str; 2] = match base {
                    16 => ["0x", "0X"],
                    8 => ["0o", "0O"],
                    2 => ["0b", "0B"],
                    _ => ["", ""],
                };
                let body = prefixes.iter().filter(|p| !p.is_empty()).find_map(|p| body.strip_prefix(p)).unwrap_or(body);
                let radix = u32::try_from(base).ok().filter(|r| (2..=36).contains(r)).unwrap_or(10);
                i128::from_str_radix(&format!("{sign}{body}"), radix)
                    .ok()
                    .map(Value::Int)
                    .or_else(|| parse_float(s).and_then(from_float))
            }
            Value::Float(f) => from_float(*f),
            other => other.as_int().map(Value::Int),
        };
        Ok(parsed.or(default).unwrap_or(Value::Int(0)))
    }

    fn truncate(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [length, kill, end, leeway] = given.bind("truncate", ["length", "killwords", "end", "leeway"])?;
        let number = |v: Option<Value>, default: usize| {
            v.as_ref().and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
        };
        let (length, leeway) = (number(length, 255), number(leeway, 5));
        let end = match end {
            Some(end) => self.text(&end)?,
            None => "...".to_owned(),
        };
        let text = self.text(value)?;
        if text.chars().count() <= length.saturating_add(leeway) {
            return Ok(Value::str(text));
        }
        let keep = length
            .checked_sub(end.chars().count())
            .ok_or_else(|| Fault::new("truncate() needs a length of at least that of its end"))?;
        let mut kept: String = text.chars().take(keep).collect();
        if !kill.is_some_and(|k| k.truth()) {
            kept.truncate(kept.rfind(' ').unwrap_or(kept.len()));
        }
        Ok(Value::str(kept + &end))
    }
}

/// What Python's `float()` reads.
fn parse_float(text: &str) -> Option<f64> {
    let text = strip(text, None, true, true).replace('_', "");
    text.parse().ok()
}

fn round(value: &Value, given: Given) -> Result<Value, Fault> {
    let [precision, method] = given.bind("round", ["precision", "method"])?;
    let precision = precision.as_ref().and_then(Value::as_int).unwrap_or(0).clamp(-300, 300) as i32;
    let number =
        value.as_number().ok_or_else(|| Fault::new(format!("round() takes a number, not {}", value.type_name())))?;
    let scale = 10f64.powi(precision);
    Ok(Value::Float(match method.as_ref().map(Value::as_str) {
        Some(Some("ceil")) => (number * scale).ceil() / scale,
        Some(Some("floor")) => (number * scale).floor() / scale,
        None | Some(Some("common")) => match value.as_int() {
            Some(i) if precision >= 0 => return Ok(Value::Int(i)),
            // Rust formats a float from its exact value, ties to even, as Python's round does.
            _ if precision >= 0 => format!("{number:.*}", precision as usize).parse().unwrap_or(number),
            integer => {
                let rounded = (number * scale).round_ties_even() / scale;
                if integer.is_some() {
                    return Ok(Value::Int(rounded as i128));
                }
                rounded
            }
        },
        _ => return Err(Fault::new("round() takes 'common', 'ceil' or 'floor' as method")),
    }))
}

/// The `title` filter: words are separated by white space, `-` and opening brackets.
fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in text.chars() {
        if is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<') {
            start = true;
            out.push(c);
        } else {
            if start {
                out.extend(c.to_uppercase())
            } else {
                out.extend(c.to_lowercase())
            }
            start = false;
        }
    }
    out
}
