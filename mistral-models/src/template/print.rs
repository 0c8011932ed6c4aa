//! Values as text: Python's `str`, `repr` and `json.dumps`.

use super::Fault;
use super::compare::less;
use super::meter::{Buffer, Vector};
use super::text::Str;
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
fn quote(out: &mut Buffer, text: &str) -> Result<(), Fault> {
    out.meter().read(text.len())?;
    out.reserve(text.len().saturating_add(2))?;
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\")?,
            '\n' => out.push_str("\\n")?,
            '\r' => out.push_str("\\r")?,
            '\t' => out.push_str("\\t")?,
            c if c == quote => out.extend(['\\', c].into_iter())?,
            c if is_printable(c) => out.push(c)?,
            c => out.push_str(&match c as u32 {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            })?,
        }
    }
    out.push(quote)
}

/// Python's `str.isprintable`, less its tables of unassigned characters.
pub(super) fn is_printable(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    !(c.is_control()
        || c.is_whitespace()
        || matches!(c as u32, 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0001 | 0xe0020..=0xe007f | 0xf0000..))
}

/// Appends Python's `str(value)`.
pub(super) fn write(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Undefined(_) => Ok(()),
        Value::Str(s) => out.push_str(s),
        other => repr(out, other),
    }
}

/// Appends Python's `repr(value)`.
pub(super) fn repr(out: &mut Buffer, value: &Value) -> Result<(), Fault> {
    out.meter().step()?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Str(s) if s.is_safe() => {
            out.push_str("Markup(")?;
            quote(out, s)?;
            out.push(')')
        }
        Value::Str(s) => quote(out, s),
        Value::List(items) => repr_items(out, "[", items, "]"),
        Value::Tuple(items) => repr_items(out, "(", items, if items.len() == 1 { ",)" } else { ")" }),
        Value::Dict(dict) => repr_entries(out, dict.entries()),
        Value::View(view) => match view.kind {
            ViewKind::Keys => repr_items(out, "dict_keys([", &view.items, "])"),
            ViewKind::Values => repr_items(out, "dict_values([", &view.items, "])"),
            ViewKind::Items => repr_items(out, "dict_items([", &view.items, "])"),
            ViewKind::Range { start, stop, step: 1 } => out.push_str(&format!("range({start}, {stop})")),
            ViewKind::Range { start, stop, step } => out.push_str(&format!("range({start}, {stop}, {step})")),
        },
        Value::Namespace(_) => out.push_str("<Namespace>"),
        Value::Macro(callable) => {
            out.push_str("<Macro '")?;
            out.push_str(&callable.decl.name)?;
            out.push_str("'>")
        }
        Value::Loop(state) => out.push_str(&format!("<LoopContext {}/{}>", state.index.get() + 1, state.items.len())),
        Value::Generator(_) | Value::Method(_) | Value::Builtin(_) | Value::Cycler(_) | Value::Joiner(_) => {
            out.push_str(&format!("<{} object>", value.type_name()))
        }
    }
}

fn repr_items(out: &mut Buffer, open: &str, items: &[Value], close: &str) -> Result<(), Fault> {
    out.push_str(open)?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ")?;
        }
        repr(out, item)?;
    }
    out.push_str(close)
}

fn repr_entries(out: &mut Buffer, entries: &[(Value, Value)]) -> Result<(), Fault> {
    out.push('{')?;
    for (i, (name, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push_str(", ")?;
        }
        repr(out, name)?;
        out.push_str(": ")?;
        repr(out, value)?;
    }
    out.push('}')
}

/// Appends Python's `json.dumps(value)` with the options that the `tojson` filter of Hugging Face transformers passes on.
pub(super) fn json(out: &mut Buffer, value: &Value, style: &JsonStyle, level: usize) -> Result<(), Fault> {
    out.meter().step()?;
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&json_float(*f)),
        Value::Str(s) => json_string(out, s, style.ascii),
        Value::List(items) | Value::Tuple(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) | Value::Tuple(items) => {
            out.push('[')?;
            for (i, item) in items.iter().enumerate() {
                json_break(out, style, i, level + 1)?;
                json(out, item, style, level + 1)?;
            }
            json_indent(out, style, level)?;
            out.push(']')
        }
        Value::Dict(dict) if dict.entries().is_empty() => out.push_str("{}"),
        Value::Dict(dict) if style.sort_keys => {
            let meter = out.meter().clone();
            let mut entries = Vector::copy(&meter, dict.entries(), 0)?;
            entries.sort_by(&mut |a, b| less(&meter, &a.0, &b.0))?;
            json_entries(out, &entries, style, level)
        }
        Value::Dict(dict) => json_entries(out, dict.entries(), style, level),
        other => Err(Fault::new(format!("Object of type {} is not JSON serializable", other.type_name()))),
    }
}

fn json_entries(out: &mut Buffer, entries: &[(Value, Value)], style: &JsonStyle, level: usize) -> Result<(), Fault> {
    out.push('{')?;
    for (i, (name, value)) in entries.iter().enumerate() {
        json_break(out, style, i, level + 1)?;
        match name {
            Value::Str(s) => json_string(out, s, style.ascii)?,
            Value::None => out.push_str("\"null\"")?,
            Value::Bool(b) => out.push_str(&format!("\"{b}\""))?,
            Value::Int(i) => out.push_str(&format!("\"{i}\""))?,
            Value::Float(f) => out.push_str(&format!("\"{}\"", json_float(*f)))?,
            other => {
                return Err(Fault::new(format!(
                    "keys must be str, int, float, bool or None, not {}",
                    other.type_name()
                )));
            }
        }
        out.push_str(&style.key_separator)?;
        json(out, value, style, level + 1)?;
    }
    json_indent(out, style, level)?;
    out.push('}')
}

fn json_break(out: &mut Buffer, style: &JsonStyle, i: usize, level: usize) -> Result<(), Fault> {
    if i > 0 {
        out.push_str(&style.item_separator)?;
    }
    json_indent(out, style, level)
}

fn json_indent(out: &mut Buffer, style: &JsonStyle, level: usize) -> Result<(), Fault> {
    if let Some(indent) = &style.indent {
        out.push('\n')?;
        out.repeat(indent, level)?;
    }
    Ok(())
}

/// The options of `json.dumps`.
pub(super) struct JsonStyle {
    pub(super) ascii: bool,
    pub(super) indent: Option<Str>,
    pub(super) item_separator: Str,
    pub(super) key_separator: Str,
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

fn json_string(out: &mut Buffer, text: &str, ascii: bool) -> Result<(), Fault> {
    out.meter().read(text.len())?;
    out.reserve(text.len().saturating_add(2))?;
    out.push('"')?;
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\' || (ascii && c > '~')) {
        out.push_str(&rest[..at])?;
        rest = &rest[at..];
        let Some(c) = rest.chars().next() else { break };
        match c {
            '"' => out.push_str("\\\"")?,
            '\\' => out.push_str("\\\\")?,
            '\n' => out.push_str("\\n")?,
            '\r' => out.push_str("\\r")?,
            '\t' => out.push_str("\\t")?,
            '\u{8}' => out.push_str("\\b")?,
            '\u{c}' => out.push_str("\\f")?,
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"))?;
                }
            }
        }
        rest = &rest[c.len_utf8()..];
    }
    out.push_str(rest)?;
    out.push('"')
}
