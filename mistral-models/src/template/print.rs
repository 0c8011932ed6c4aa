//! Values as text: Python's `str`, `repr` and `json.dumps`.

use std::fmt::Write;

use super::Fault;
use super::interpreter::Interpreter;
use super::value::{Value, ViewKind};

/// A float as Python prints it: shortest digits that read back, exponent below 1e-4 and from 1e16.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = format!("{value}");
    if text.contains('.') { text } else { text + ".0" }
}

/// Appends `repr(text)`.
fn quote(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let _ = match c as u32 {
                    code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable`, less its tables of unassigned characters.
fn is_printable(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    !(c.is_control()
        || c.is_whitespace()
        || matches!(c as u32, 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0001 | 0xe0020..=0xe007f | 0xf0000..))
}

impl Interpreter<'_> {
    /// Python's `str(value)`.
    pub(super) fn text(&mut self, value: &Value) -> Result<String, Fault> {
        let mut out = String::new();
        self.write(&mut out, value)?;
        Ok(out)
    }

    pub(super) fn write(&mut self, out: &mut String, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Undefined(_) => Ok(()),
            Value::Str(s) => {
                self.charge(s.len())?;
                out.push_str(s);
                Ok(())
            }
            other => self.repr(out, other),
        }
    }

    /// Appends Python's `repr(value)`.
    pub(super) fn repr(&mut self, out: &mut String, value: &Value) -> Result<(), Fault> {
        let before = out.len();
        match value {
            Value::Undefined(_) => out.push_str("Undefined"),
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(i) => {
                let _ = write!(out, "{i}");
            }
            Value::Float(f) => out.push_str(&float(*f)),
            Value::Str(s) => quote(out, s),
            Value::List(items) => return self.repr_items(out, "[", &items.items, "]"),
            Value::Tuple(items) => {
                let close = if items.items.len() == 1 { ",)" } else { ")" };
                return self.repr_items(out, "(", &items.items, close);
            }
            Value::Dict(dict) => return self.repr_entries(out, dict.entries()),
            Value::View(view) => match view.kind {
                ViewKind::Keys => return self.repr_items(out, "dict_keys([", &view.items, "])"),
                ViewKind::Values => return self.repr_items(out, "dict_values([", &view.items, "])"),
                ViewKind::Items => return self.repr_items(out, "dict_items([", &view.items, "])"),
                ViewKind::Range { start, stop, step: 1 } => {
                    let _ = write!(out, "range({start}, {stop})");
                }
                ViewKind::Range { start, stop, step } => {
                    let _ = write!(out, "range({start}, {stop}, {step})");
                }
            },
            Value::Namespace(_) => out.push_str("<Namespace>"),
            Value::Macro(callable) => {
                let _ = write!(out, "<Macro '{}'>", callable.decl.name);
            }
            Value::Loop(state) => {
                let _ = write!(out, "<LoopContext {}/{}>", state.index.get() + 1, state.items.len());
            }
            Value::Generator(_) | Value::Method(_) | Value::Builtin(_) => {
                let _ = write!(out, "<{} object>", value.type_name());
            }
        }
        self.charge(out.len().saturating_sub(before))
    }

    fn repr_items(&mut self, out: &mut String, open: &str, items: &[Value], close: &str) -> Result<(), Fault> {
        out.push_str(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            self.repr(out, item)?;
        }
        out.push_str(close);
        self.charge(open.len() + close.len())
    }

    fn repr_entries(&mut self, out: &mut String, entries: &[(Value, Value)]) -> Result<(), Fault> {
        out.push('{');
        for (i, (name, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            self.repr(out, name)?;
            out.push_str(": ");
            self.repr(out, value)?;
        }
        out.push('}');
        self.charge(2)
    }

    /// Python's `json.dumps` with the options that the `tojson` filter of Hugging Face transformers passes on.
    pub(super) fn json(&mut self, value: &Value, style: &JsonStyle) -> Result<String, Fault> {
        let mut out = String::new();
        self.json_at(&mut out, value, style, 0)?;
        Ok(out)
    }

    fn json_at(&mut self, out: &mut String, value: &Value, style: &JsonStyle, level: usize) -> Result<(), Fault> {
        let before = out.len();
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(i) => {
                let _ = write!(out, "{i}");
            }
            Value::Float(f) => out.push_str(&json_float(*f)),
            Value::Str(s) => json_string(out, s, style.ascii),
            Value::List(items) | Value::Tuple(items) => {
                if items.items.is_empty() {
                    out.push_str("[]");
                    return self.charge(2);
                }
                out.push('[');
                for (i, item) in items.items.iter().enumerate() {
                    self.json_break(out, style, i, level + 1)?;
                    self.json_at(out, item, style, level + 1)?;
                }
                self.json_close(out, style, level, ']')?;
                return Ok(());
            }
            Value::Dict(dict) => {
                if dict.entries().is_empty() {
                    out.push_str("{}");
                    return self.charge(2);
                }
                let mut entries: Vec<&(Value, Value)> = dict.entries().iter().collect();
                if style.sort_keys {
                    self.sort_by(&mut entries, |entry| &entry.0)?;
                }
                out.push('{');
                for (i, (name, value)) in entries.into_iter().enumerate() {
                    self.json_break(out, style, i, level + 1)?;
                    let name = match name {
                        Value::Str(s) => s.to_string(),
                        Value::None => "null".into(),
                        Value::Bool(b) => b.to_string(),
                        Value::Int(i) => i.to_string(),
                        Value::Float(f) => json_float(*f),
                        other => {
                            return Err(Fault::new(format!(
                                "keys must be str, int, float, bool or None, not {}",
                                other.type_name()
                            )));
                        }
                    };
                    self.charge(name.len())?;
                    json_string(out, &name, style.ascii);
                    out.push_str(&style.key_separator);
                    self.json_at(out, value, style, level + 1)?;
                }
                self.json_close(out, style, level, '}')?;
                return Ok(());
            }
            other => {
                return Err(Fault::new(format!("Object of type {} is not JSON serializable", other.type_name())));
            }
        }
        self.charge(out.len().saturating_sub(before))
    }

    fn json_break(&mut self, out: &mut String, style: &JsonStyle, i: usize, level: usize) -> Result<(), Fault> {
        let before = out.len();
        if i > 0 {
            out.push_str(&style.item_separator);
        }
        self.json_indent(out, style, level)?;
        self.charge(out.len().saturating_sub(before) + style.key_separator.len())
    }

    fn json_close(&mut self, out: &mut String, style: &JsonStyle, level: usize, close: char) -> Result<(), Fault> {
        self.json_indent(out, style, level)?;
        out.push(close);
        self.charge(2)
    }

    fn json_indent(&mut self, out: &mut String, style: &JsonStyle, level: usize) -> Result<(), Fault> {
        if let Some(indent) = &style.indent {
            self.charge(1 + indent.len().saturating_mul(level))?;
            out.push('\n');
            (0..level).for_each(|_| out.push_str(indent));
        }
        Ok(())
    }
}

/// The options of `json.dumps`.
pub(super) struct JsonStyle {
    pub(super) ascii: bool,
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) sort_keys: bool,
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        float(value)
    }
}

fn json_string(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c if ascii && (c as u32) > 0x7e => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
