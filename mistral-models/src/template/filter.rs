//! The filters of Jinja2, with the `tojson` of Hugging Face transformers. Filters that are lazy in Jinja2 return generators.

mod html;
mod sequence;

use super::Fault;
use super::call::{Given, required};
use super::interpreter::Interpreter;
use super::lexer::is_space;
use super::meter::Buffer;
use super::method::{split_lines, strip};
use super::print::{JsonStyle, json};
use super::text::{Str, shown};
use super::value::{Dict, Value};

/// All filters of Jinja2 3.1.
pub(super) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

impl Interpreter<'_> {
    pub(super) fn filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Value, Fault> {
        self.deeper(|this| match this.text_filter(name, value, given)? {
            Ok(value) => Ok(value),
            Err(given) => match this.html_filter(name, value, given)? {
                Ok(value) => Ok(value),
                Err(given) => this.sequence_filter(name, value, given),
            },
        })
    }

    /// Applies a filter of text and single values. Returns the arguments if no such filter has this name.
    fn text_filter(&mut self, name: &str, value: &Value, given: Given) -> Result<Result<Value, Given>, Fault> {
        Ok(Ok(match name {
            "tojson" => self.json_filter(value, given)?,
            "trim" => {
                let [chars] = given.bind(name, ["chars"])?;
                let text = self.text(value)?;
                let chars = match chars {
                    None | Some(Value::None) => None,
                    Some(chars) => Some(self.text(&chars)?),
                };
                self.stripped(&text, chars.as_deref(), true, true)?
            }
            "string" => Value::Str(self.text(value)?),
            "upper" | "lower" => {
                let text = self.text(value)?;
                Value::Str(self.recased(&text, name == "upper")?)
            }
            "capitalize" => {
                let text = self.text(value)?;
                Value::Str(self.capitalized(&text)?)
            }
            "title" => {
                let text = self.text(value)?;
                let mut out = self.buffer();
                title(&mut out, &text)?;
                Value::Str(Str::made(out)?)
            }
            "default" | "d" => {
                let [default, boolean] = given.bind(name, ["default_value", "boolean"])?;
                let boolean = boolean.is_some_and(|b| b.truth());
                match default {
                    _ if !(value.is_undefined() || (boolean && !value.truth())) => value.clone(),
                    Some(default) => default,
                    None => self.str("")?,
                }
            }
            "replace" => self.replace_filter(value, given)?,
            "indent" => self.indent(value, given)?,
            "center" => {
                let [width] = given.bind(name, ["width"])?;
                let text = Value::Str(self.text(value)?);
                let mut given = self.empty();
                given.positional.push(width.unwrap_or(Value::Int(80)));
                self.method(&text, "center", given)?
            }
            "format" => {
                let format = self.text(value)?;
                if !given.named.is_empty() && !given.positional.is_empty() {
                    return Err(Fault::new("format() takes arguments by place or by name, not both"));
                }
                let values = if given.named.is_empty() {
                    Value::tuple(super::meter::Vector::copy(&self.meter, &given.positional, 0)?)?
                } else {
                    let mut dict = Dict::new(&self.meter)?;
                    for (name, value) in given.named {
                        dict.insert(Value::Str(name), value)?;
                    }
                    Value::Dict(dict.into())
                };
                self.printf(&format, &values)?
            }
            "int" => self.int_filter(value, given)?,
            "float" => {
                let [default] = given.bind(name, ["default"])?;
                let parsed = match value {
                    Value::Undefined(what) => return Err(Fault::new(what.to_string())),
                    Value::Str(s) => {
                        self.meter.read(s.len())?;
                        parse_float(s)
                    }
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
                self.meter.read(text.len())?;
                let words = text.split(|c: char| !(c == '_' || c.is_alphanumeric())).filter(|w| !w.is_empty());
                Value::Int(words.count() as i128)
            }
            "filesizeformat" => {
                let [binary] = given.bind(name, ["binary"])?;
                let number = match value {
                    Value::Str(s) => {
                        self.meter.read(s.len())?;
                        parse_float(s)
                    }
                    other => other.as_number(),
                };
                let number = number
                    .ok_or_else(|| Fault::new(format!("filesizeformat() takes a number, not {}", value.type_name())))?;
                self.str(&file_size(number, binary.is_some_and(|b| b.truth()))?)?
            }
            "truncate" => self.truncate(value, given)?,
            "attr" => {
                let [attribute] = given.bind(name, ["name"])?;
                let attribute = self.text(&required(attribute, name, "name")?)?;
                match value {
                    Value::Dict(_) if !super::method::has_method(value, &attribute) => {
                        self.missing(&format!("'dict object' has no attribute '{}'", shown(&attribute)))?
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
            Some(Value::Str(s)) => Some(s),
            Some(other) => {
                let width =
                    other.as_int().ok_or_else(|| Fault::new("tojson() takes an integer or string as indent"))?;
                Some(self.blanks(width)?)
            }
        };
        let (item_separator, key_separator) = match separators {
            None | Some(Value::None) => {
                let item = if indent.is_some() { "," } else { ", " };
                (Str::copy(&self.meter, item)?, Str::copy(&self.meter, ": ")?)
            }
            Some(pair) => match pair.items().map(|items| &items[..]) {
                Some([Value::Str(item), Value::Str(key)]) => (item.clone(), key.clone()),
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
        let mut out = self.buffer();
        json(&mut out, value, &style, 0)?;
        Str::made(out).map(Value::Str)
    }

    fn blanks(&mut self, width: i128) -> Result<Str, Fault> {
        let mut out = self.buffer();
        out.repeat(" ", usize::try_from(width.max(0)).unwrap_or(usize::MAX))?;
        Str::made(out)
    }

    /// Applies the `replace` filter. The result is plain text, except in an `autoescape` block.
    fn replace_filter(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [old, new, count] = given.bind("replace", ["old", "new", "count"])?;
        let mut text = self.text(value)?;
        let old = self.text(&required(old, "replace", "old")?)?;
        let mut new = self.text(&required(new, "replace", "new")?)?;
        let count = count.as_ref().and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
        if self.autoescape {
            if old.is_safe() || new.is_safe() {
                text = text.escaped(&self.meter)?;
            }
            if text.is_safe() {
                new = new.escaped(&self.meter)?;
            }
        }
        let safe = self.autoescape && text.is_safe();
        Ok(Value::Str(self.replace(&text, &old, &new, count.unwrap_or(usize::MAX))?.marked(safe)))
    }

    fn indent(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [width, first, blank] = given.bind("indent", ["width", "first", "blank"])?;
        let (first, blank) = (first.is_some_and(|v| v.truth()), blank.is_some_and(|v| v.truth()));
        let prefix = match width.unwrap_or(Value::Int(4)) {
            Value::Str(s) => s,
            other => {
                let width = other.as_int().ok_or_else(|| Fault::new("indent() takes an integer or string as width"))?;
                self.blanks(width)?
            }
        };
        let text = match value {
            Value::Str(s) => s,
            Value::Undefined(what) => return Err(Fault::new(what.to_string())),
            other => return Err(Fault::new(format!("indent() takes a string, not {}", other.type_name()))),
        };
        self.meter.read(text.len())?;
        let mut out = self.buffer();
        // The filter appends a newline before it splits: a text that ends with one gets an empty last line.
        let last = if text.is_empty() || text.ends_with(super::method::is_line_end) { Some("") } else { None };
        for (i, line) in split_lines(text, false).chain(last).enumerate() {
            if i > 0 {
                out.push('\n')?;
            }
            if if i == 0 { first } else { blank || !line.is_empty() } {
                out.push_str(&prefix)?;
            }
            out.push_str(line)?;
        }
        Ok(Value::Str(Str::made(out)?.marked(text.is_safe())))
    }

    fn int_filter(&mut self, value: &Value, given: Given) -> Result<Value, Fault> {
        let [default, base] = given.bind("int", ["default", "base"])?;
        let base = base.as_ref().and_then(Value::as_int).unwrap_or(10);
        let from_float = |f: f64| (f.is_finite() && f.abs() < 1e38).then(|| Value::Int(f.trunc() as i128));
        let parsed = match value {
            Value::Undefined(what) => return Err(Fault::new(what.to_string())),
            Value::Str(s) => {
                self.meter.read(s.len())?;
                let digits = digits(s);
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
            Some(Value::Str(end)) => end,
            Some(other) => {
                return Err(Fault::new(format!("truncate() takes a string as end, not {}", other.type_name())));
            }
            None => Str::copy(&self.meter, "...")?,
        };
        let text = self.text(value)?;
        self.meter.read(text.len().saturating_add(end.len()))?;
        let keep = length
            .checked_sub(end.chars().count())
            .ok_or_else(|| Fault::new("truncate() needs a length of at least that of its end"))?;
        if text.chars().count() <= length.saturating_add(leeway) {
            return Ok(Value::Str(text));
        }
        let mut kept = text.char_indices().nth(keep).map_or(&*text, |(at, _)| &text[..at]);
        if !kill.is_some_and(|k| k.truth()) {
            kept = kept.rfind(' ').map_or(kept, |at| &kept[..at]);
        }
        let kept = Str::copy(&self.meter, kept)?.marked(text.is_safe());
        self.joined(&kept, &end).map(Value::Str)
    }
}

/// What Python's `float()` reads.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = digits(text);
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let word = ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    (word || unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Returns a number without its white space and underscores. Text that is longer than any readable number is cut.
fn digits(text: &str) -> String {
    strip(text, None, true, true).chars().filter(|c| *c != '_').take(4_400).collect()
}

/// Writes a size as the `filesizeformat` filter does: `13 kB`.
fn file_size(bytes: f64, binary: bool) -> Result<String, Fault> {
    const PREFIXES: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes.is_nan() {
        return Err(Fault::new("filesizeformat() takes a number, not NaN"));
    }
    if bytes < base {
        if bytes.is_infinite() {
            return Err(Fault::new("filesizeformat() takes a finite number"));
        }
        return Ok(format!("{} Bytes", bytes.trunc()));
    }
    let mut unit = base;
    let mut prefix = "";
    for next in PREFIXES {
        prefix = next;
        unit *= base;
        if bytes < unit {
            break;
        }
    }
    let size = base * bytes / unit;
    let size = if size.is_infinite() { "inf".to_owned() } else { format!("{size:.1}") };
    Ok(match (binary, prefix) {
        (true, "k") => format!("{size} KiB"),
        (true, _) => format!("{size} {prefix}iB"),
        (false, _) => format!("{size} {prefix}B"),
    })
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
fn title(out: &mut Buffer, text: &str) -> Result<(), Fault> {
    out.meter().read(text.len())?;
    let mut start = true;
    for c in text.chars() {
        if is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<') {
            start = true;
            out.push(c)?;
        } else {
            if start {
                out.extend(c.to_uppercase())?
            } else {
                out.extend(c.to_lowercase())?
            }
            start = false;
        }
    }
    Ok(())
}
