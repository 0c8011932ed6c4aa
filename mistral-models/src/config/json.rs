//! Values of metadata as JSON, and values in messages.

use serde_json::Value as Json;

use crate::metadata::{Array, Value};

/// Shortens a value for messages.
pub(super) fn shown(value: &Json) -> String {
    if let Some(special) = special(value) {
        return special.to_owned();
    }
    let text = match value {
        Json::Object(_) => return "an object".into(),
        Json::Array(list) => return format!("a list of {} elements", list.len()),
        Json::String(text) => format!("the string {text:?}"),
        other => other.to_string(),
    };
    if text.len() > 80 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text }
}

/// Returns the name of a number that JSON cannot write.
pub(super) fn special(value: &Json) -> Option<&str> {
    value.get(FLOAT).and_then(Json::as_str)
}

/// The key of the object that stands for a number that JSON cannot write; see [`json`](crate::loader).
const FLOAT: &str = "__float__";

/// A metadata value as JSON.
pub(super) fn to_json(value: &Value) -> Json {
    let float = |f: f64| match f {
        f if f.is_finite() => f.into(),
        f if f.is_nan() => serde_json::json!({ FLOAT: "NaN" }),
        f => serde_json::json!({ FLOAT: if f > 0.0 { "Infinity" } else { "-Infinity" } }),
    };
    // The shortest decimal of an f32 is what its writer meant: 1e-6, not 9.999999974752427e-7.
    let short = |f: f32| float(f.to_string().parse().unwrap_or_else(|_| f64::from(f)));
    match value {
        Value::U8(n) => (*n).into(),
        Value::I8(n) => (*n).into(),
        Value::U16(n) => (*n).into(),
        Value::I16(n) => (*n).into(),
        Value::U32(n) => (*n).into(),
        Value::I32(n) => (*n).into(),
        Value::U64(n) => (*n).into(),
        Value::I64(n) => (*n).into(),
        Value::F32(f) => short(*f),
        Value::F64(f) => float(*f),
        Value::Bool(b) => (*b).into(),
        Value::Str(s) => s.as_str().into(),
        Value::Bytes(s) => String::from_utf8_lossy(s).into(),
        Value::Array(list) => match list {
            Array::U8(a) => listed(a.iter().map(|&v| v.into())),
            Array::I8(a) => listed(a.iter().map(|&v| v.into())),
            Array::U16(a) => listed(a.iter().map(|&v| v.into())),
            Array::I16(a) => listed(a.iter().map(|&v| v.into())),
            Array::U32(a) => listed(a.iter().map(|&v| v.into())),
            Array::I32(a) => listed(a.iter().map(|&v| v.into())),
            Array::U64(a) => listed(a.iter().map(|&v| v.into())),
            Array::I64(a) => listed(a.iter().map(|&v| v.into())),
            Array::F32(a) => listed(a.iter().map(|&v| short(v))),
            Array::F64(a) => listed(a.iter().map(|&v| float(v))),
            Array::Bool(a) => listed(a.iter().map(|&v| v.into())),
            // Nothing reads them: what counts is whether there is one.
            Array::Str(_) | Array::Bytes(_) | Array::Nested(_) if list.is_empty() => Json::Array(Vec::new()),
            Array::Str(_) | Array::Bytes(_) | Array::Nested(_) => Json::Array(vec![Json::Null]),
        },
    }
}

/// Elements of the longest list that is kept: nothing lists more values than one per layer.
const LIST: usize = 4096;

/// A list of metadata as a list of JSON. Of a longer one the first elements are kept, so that a damaged file does not take many times
/// its size; its length is known elsewhere.
fn listed(elements: impl Iterator<Item = Json>) -> Json {
    Json::Array(elements.take(LIST).collect())
}
