//! Schemas that hold together, as one: `allOf`, `$ref` with others beside it, alternatives taken apart.

use serde_json::{Map, Value, json};

/// Alternatives that one schema may have once they are multiplied out.
const ALTERNATIVES: usize = 256;
/// References and `allOf` inside of each other.
const DEPTH: usize = 32;

type Schema = Map<String, Value>;

/// Why schemas cannot be merged.
pub(super) type Problem = String;

/// What says nothing about values.
const NOTES: [&str; 14] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "nullable",
];

const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "null", "array", "object"];

/// Whether a schema says nothing but this.
pub(super) fn is_only(schema: &Schema, key: &str) -> bool {
    schema.keys().all(|known| known == key || NOTES.contains(&known.as_str())) && schema.contains_key(key)
}

/// What a reference within a document points to.
pub(super) fn resolve<'d>(document: &'d Value, path: &str) -> Result<&'d Value, Problem> {
    let found = path.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
    found.ok_or_else(|| format!("refers to `{path}`, which is not in it"))
}

/// The schemas, without `allOf`, `anyOf`, `oneOf` and `$ref`, of which one must hold.
pub(super) fn alternatives(document: &Value, schema: &Value, depth: usize) -> Result<Vec<Schema>, Problem> {
    if depth > DEPTH {
        return Err("refers to itself, or nests too deeply, with nothing in between".into());
    }
    let schema = match schema {
        Value::Bool(true) => return Ok(vec![Schema::new()]),
        Value::Bool(false) => return Ok(Vec::new()),
        Value::Object(schema) => schema,
        _ => return Err("is no schema".into()),
    };
    let mut base = Schema::new();
    for (key, value) in schema.iter().filter(|(key, _)| !NOTES.contains(&key.as_str())) {
        match key.as_str() {
            "$ref" | "allOf" | "anyOf" | "oneOf" => {}
            "const" => {
                let both = merge(&base, &Map::from_iter([("enum".into(), json!([value]))]));
                base = both;
            }
            "enum" => base = merge(&base, &Map::from_iter([("enum".into(), value.clone())])),
            _ => {
                if let Some(name) = types(value).find(|name| key == "type" && !TYPES.contains(name)) {
                    return Err(format!("has the type `{name}`, which is none"));
                }
                base.insert(key.clone(), value.clone());
            }
        }
    }
    let mut all = vec![base];
    if let Some(path) = schema.get("$ref") {
        let path = path.as_str().ok_or("has a reference that is no text")?;
        all = both(&all, &alternatives(document, resolve(document, path)?, depth + 1)?)?;
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        all = both(&all, &alternatives(document, part, depth + 1)?)?;
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(key).and_then(Value::as_array) {
            let mut some = Vec::new();
            for branch in branches {
                some.extend(alternatives(document, branch, depth + 1)?);
            }
            all = both(&all, &some)?;
        }
    }
    Ok(all)
}

fn both(some: &[Schema], others: &[Schema]) -> Result<Vec<Schema>, Problem> {
    if some.len().saturating_mul(others.len()) > ALTERNATIVES {
        return Err("has too many alternatives".into());
    }
    Ok(some.iter().flat_map(|a| others.iter().map(|b| merge(a, b))).collect())
}

/// What holds where both hold.
pub(super) fn merge(a: &Schema, b: &Schema) -> Schema {
    let mut all = a.clone();
    for (key, new) in b {
        let Some(old) = a.get(key) else {
            all.insert(key.clone(), new.clone());
            continue;
        };
        let value = match key.as_str() {
            "type" => json!(types(old).filter_map(|name| common(name, new)).collect::<Vec<_>>()),
            "enum" => {
                let new: Vec<&Value> = list(new).collect();
                list(old).filter(|value| new.contains(value)).cloned().collect::<Vec<_>>().into()
            }
            "required" => {
                let mut names: Vec<&Value> = list(old).collect();
                names.extend(list(new).filter(|name| !list(old).any(|known| known == *name)));
                json!(names)
            }
            "pattern" | "format" => json!(list(old).chain(list(new)).collect::<Vec<_>>()),
            "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
                if new.as_f64() > old.as_f64() { new.clone() } else { old.clone() }
            }
            "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
                if new.as_f64() < old.as_f64() { new.clone() } else { old.clone() }
            }
            "items" | "additionalProperties" | "additionalItems" => json!({"allOf": [old, new]}),
            "prefixItems" => {
                let (old, new): (Vec<_>, Vec<_>) = (list(old).collect(), list(new).collect());
                let longest = old.len().max(new.len());
                let any = Value::Bool(true);
                let item = |i: usize| {
                    let (old, new) = (old.get(i).copied().unwrap_or(&any), new.get(i).copied().unwrap_or(&any));
                    json!({"allOf": [old, new]})
                };
                (0..longest).map(item).collect::<Vec<_>>().into()
            }
            _ => new.clone(),
        };
        all.insert(key.clone(), value);
    }
    // A property of one is also what the other says of properties that it does not name.
    if let Some(properties) = properties(a, b) {
        all.insert("properties".into(), properties);
    }
    all
}

fn properties(a: &Schema, b: &Schema) -> Option<Value> {
    let of = |schema: &Schema| schema.get("properties").and_then(Value::as_object).cloned();
    let (ours, theirs) = (of(a), of(b));
    if ours.is_none() && theirs.is_none() {
        return None;
    }
    let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
    let others = |schema: &Schema| schema.get("additionalProperties").cloned();
    let mut all = Schema::new();
    for (key, schema) in &ours {
        let second = theirs.get(key).cloned().or_else(|| others(b));
        all.insert(key.clone(), second.map_or(schema.clone(), |second| json!({"allOf": [schema, second]})));
    }
    for (key, schema) in theirs.iter().filter(|(key, _)| !ours.contains_key(*key)) {
        all.insert(key.clone(), others(a).map_or(schema.clone(), |first| json!({"allOf": [first, schema]})));
    }
    Some(all.into())
}

/// A list, or one thing as a list of one.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

/// The names of `type`.
pub(super) fn types(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}

/// The type of both, where an integer is a number.
fn common<'t>(name: &'t str, others: &Value) -> Option<&'t str> {
    match name {
        _ if types(others).any(|other| other == name) => Some(name),
        "integer" => types(others).any(|other| other == "number").then_some(name),
        "number" => types(others).any(|other| other == "integer").then_some("integer"),
        _ => None,
    }
}

/// Whether a value is of one of the types.
pub(super) fn is_of(value: &Value, names: &Value) -> bool {
    types(names).any(|name| match name {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    })
}
