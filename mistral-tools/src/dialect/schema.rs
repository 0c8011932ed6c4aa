//! What a tool's schema says of its parameters: needed where a dialect does not tell `"2"` from `2`.

use std::borrow::Cow;

use serde_json::Value;

use super::cursor::{Stop, starts_with};
use super::family::Declared;
use super::json::is_value;
use super::literal::transcribe;
use super::table::PYTHON;
use crate::ToolSpec;

/// JSON types, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

const NAMES: [(&str, u8); 7] =
    [("string", 1), ("number", 2), ("integer", 2), ("boolean", 4), ("null", 8), ("object", 16), ("array", 32)];

impl Types {
    const STRING: Self = Self(1);
    const JSON: Self = Self(2 | 4 | 8 | 16 | 32);
    const ANY: Self = Self(63);

    /// The types that a schema within `root` admits. What is not understood admits all.
    fn of(root: &Value, schema: &Value, depth: usize) -> Self {
        let schema = resolved(root, schema);
        let named = |name: &Value| {
            NAMES.iter().find(|(known, _)| name.as_str() == Some(known)).map_or(Self::ANY.0, |&(_, bits)| bits)
        };
        if depth > 8 {
            return Self::ANY;
        }
        match &schema["type"] {
            Value::Array(names) => return Self(names.iter().map(named).fold(0, |all, bits| all | bits)),
            Value::Null => {}
            name => return Self(named(name)),
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema[key].as_array() {
                return Self(branches.iter().map(|b| Self::of(root, b, depth + 1).0).fold(0, |all, bits| all | bits));
            }
        }
        match (schema["enum"].as_array(), schema.get("const")) {
            (Some(values), _) => Self(values.iter().map(|v| Self::of_text(&v.to_string()).0).fold(0, |a, b| a | b)),
            (_, Some(value)) => Self::of_text(&value.to_string()),
            _ => Self::ANY,
        }
    }

    /// The type of JSON text.
    fn of_text(json: &str) -> Self {
        Self(match json.bytes().next() {
            Some(b'"') => 1,
            Some(b't' | b'f') => 4,
            Some(b'n') => 8,
            Some(b'{') => 16,
            Some(b'[') => 32,
            _ => 2,
        })
    }

    /// Whether every text is a string.
    pub(super) fn only_text(self) -> bool {
        self == Self::STRING
    }

    /// Whether a list is more likely than an object.
    pub(super) fn list(self) -> bool {
        self.0 & 32 != 0 || self.0 & 16 == 0
    }

    /// The JSON that a text stands for, or nothing if it is a string. Where no string is possible, lists and objects may also be
    /// written as Python prints them: some templates do.
    pub(super) fn json(self, text: &str) -> Option<Cow<'_, str>> {
        let text = match text.trim() {
            "True" => "true",
            "False" => "false",
            "None" => "null",
            text => text,
        };
        if text.is_empty() {
            // Nothing is in it, or it is nothing.
            return [(16, "{}"), (32, "[]"), (8, "null")]
                .into_iter()
                .find(|&(bit, _)| self.0 & (1 | 16 | 32) == bit & !8 && self.0 & bit != 0)
                .map(|(_, json)| Cow::Borrowed(json));
        }
        // Where strings are possible, text in quotes is text with quotes.
        let kind = Self::of_text(text).0;
        let admitted = if self == Self::JSON { kind } else { self.0 & Self::JSON.0 };
        if kind & admitted == 0 {
            return None;
        }
        if is_value(text) {
            return Some(Cow::Borrowed(text));
        }
        let printed = matches!(kind, 16 | 32) && self.0 & Self::STRING.0 == 0;
        if printed { transcribe(text, &PYTHON).map(Cow::Owned) } else { None }
    }
}

/// The names and parameters of the tools that can be called.
#[derive(Debug, Clone, Default)]
pub(super) struct Signatures {
    tools: Vec<Signature>,
}

#[derive(Debug, Clone)]
struct Signature {
    name: String,
    parameters: Vec<(String, Types)>,
    schema: Value,
}

/// Deeper values have any type.
const DEPTH: usize = 32;

/// What a schema refers to, if it does.
fn resolved<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    for _ in 0..8 {
        let target = schema["$ref"].as_str().and_then(|path| root.pointer(path.strip_prefix('#')?));
        let Some(target) = target else { break };
        schema = target;
    }
    schema
}

/// The schema of a property, or of what is in a list.
fn within<'s>(root: &'s Value, schema: &'s Value, key: Option<&str>, depth: usize) -> Option<&'s Value> {
    let schema = resolved(root, schema);
    let inside = match key {
        Some(key) => schema["properties"].get(key).or_else(|| schema.get("additionalProperties")),
        None => schema.get("items"),
    };
    let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|kind| schema[kind].as_array()).flatten();
    inside.or_else(|| branches.filter(|_| depth < 4).find_map(|branch| within(root, branch, key, depth + 1)))
}

impl Signatures {
    pub(super) fn new(tools: &[ToolSpec]) -> Self {
        let signature = |spec: &ToolSpec| {
            let (name, schema) = (spec.name().to_owned(), spec.parameters().clone());
            let properties = schema["properties"].as_object().into_iter().flatten();
            let parameters = properties.map(|(key, of)| (key.clone(), Types::of(&schema, of, 0))).collect();
            Signature { name, parameters, schema }
        };
        Self { tools: tools.iter().map(signature).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Whether a text begins with the name of a tool, or can; always if there are none.
    pub(super) fn may_begin(&self, text: &str) -> bool {
        self.is_empty() || self.tools.iter().any(|tool| starts_with(text, &tool.name) != Err(Stop::No))
    }

    /// Which tool has a name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.tools.iter().position(|tool| tool.name == name)
    }

    /// The types of a parameter of a tool.
    pub(super) fn types(&self, tool: Option<usize>, key: &str, declared: Declared) -> Types {
        match declared {
            Declared::Text => Types::STRING,
            Declared::Json => Types::JSON,
            Declared::Nothing => {
                let parameters = tool.and_then(|tool| self.tools.get(tool)).map(|tool| &tool.parameters);
                let found = parameters.into_iter().flatten().find(|(known, _)| known == key);
                found.map_or(Types::ANY, |&(_, types)| types)
            }
        }
    }

    /// The types of a value inside of the arguments of a tool, by the keys to it; in lists there is no key.
    pub(super) fn types_within<'k>(
        &self,
        tool: Option<usize>,
        path: impl ExactSizeIterator<Item = Option<&'k str>>,
    ) -> Types {
        let Some(Signature { schema: root, .. }) = tool.and_then(|tool| self.tools.get(tool)) else {
            return Types::ANY;
        };
        if path.len() > DEPTH {
            return Types::ANY;
        }
        let mut schema = Some(root);
        for key in path {
            schema = schema.and_then(|schema| within(root, schema, key, 0));
        }
        schema.map_or(Types::ANY, |schema| Types::of(root, schema, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_tell_strings_from_the_rest() {
        let of = |schema: &Value| Types::of(schema, schema, 0);
        let json = |schema: Value, text: &str| of(&schema).json(text).map(Cow::into_owned);
        assert!(of(&json!({"type": "string"})).only_text());
        assert!(of(&json!({"enum": ["a", "1"]})).only_text());
        assert!(
            of(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}}))
                .only_text()
        );
        assert_eq!(of(&json!({"$ref": "#"})), Types::ANY);
        for (kind, nothing) in
            [("object", Some("{}")), ("array", Some("[]")), ("null", Some("null")), ("integer", None)]
        {
            assert_eq!(json(json!({"type": kind}), " ").as_deref(), nothing);
        }
        assert_eq!(json(json!({"type": ["string", "null"]}), ""), None);
        assert_eq!(json(json!({"type": "string"}), "2"), None);
        assert_eq!(json(json!({"type": "integer"}), " 2\n").as_deref(), Some("2"));
        assert_eq!(json(json!({"type": "integer"}), "two"), None);
        assert_eq!(json(json!({"type": "integer"}), "[2]"), None);
        assert_eq!(json(json!({"type": ["string", "null"]}), "null").as_deref(), Some("null"));
        assert_eq!(json(json!({"type": ["string", "null"]}), "2"), None);
        assert_eq!(
            json(json!({"anyOf": [{"type": "string"}, {"type": "array"}]}), "[1, {}]").as_deref(),
            Some("[1, {}]")
        );
        assert_eq!(json(json!({"type": "boolean"}), "True").as_deref(), Some("true"));
        assert_eq!(
            json(json!({"$ref": "#/x"}), "123456789012345678901234567890").as_deref(),
            Some("123456789012345678901234567890")
        );
        assert_eq!(json(json!({}), "\"a\""), None);
        assert_eq!(Types::JSON.json("\"a\"").as_deref(), Some("\"a\""));
        assert_eq!(json(json!({}), "[[[[["), None);
        let printed = "{'x': [1, None, \"it's\"], 'y': ()}";
        let object = json!({"type": "object"});
        assert_eq!(json(object.clone(), printed).as_deref(), Some("{\"x\":[1,null,\"it's\"],\"y\":[]}"));
        assert_eq!(json(object, "{'x': 1} 2"), None);
        assert_eq!(json(json!({"type": ["object", "string"]}), printed), None);
    }

    #[test]
    fn values_inside_of_values_have_types() {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {
            "anyOf": [{"type": "null"}, {"type": "array", "items": {"additionalProperties": {"type": "string"}}}]}}});
        let tools = Signatures::new(&[ToolSpec::new("f", "", schema).unwrap()]);
        let types = |path: &[Option<&str>]| tools.types_within(Some(0), path.iter().copied());
        assert_eq!(types(&[Some("a")]), Types(8 | 32));
        assert!(types(&[Some("a"), None, Some("x")]).only_text());
        assert_eq!(types(&[Some("b"), None]), Types::ANY);
        assert_eq!(types(&[None; 100]), Types::ANY);
        assert_eq!(tools.types_within(None, [Some("a")].into_iter()), Types::ANY);
    }
}
