//! What a tool's schema says of its parameters: needed where a dialect does not tell `"2"` from `2`.

use serde_json::Value;

use super::family::Declared;
use super::json::is_value;
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

    /// The types that a schema admits. What is not understood admits all.
    fn of(schema: &Value, depth: usize) -> Self {
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
                return Self(branches.iter().map(|b| Self::of(b, depth + 1).0).fold(0, |all, bits| all | bits));
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

    /// The JSON that a text stands for, or nothing if it is a string.
    pub(super) fn json(self, text: &str) -> Option<&str> {
        let text = match text.trim() {
            "True" => "true",
            "False" => "false",
            "None" => "null",
            text => text,
        };
        // Where strings are possible, text in quotes is text with quotes.
        let kind = Self::of_text(text).0;
        let admitted = if self == Self::JSON { kind } else { self.0 & Self::JSON.0 };
        (kind & admitted != 0 && is_value(text)).then_some(text)
    }
}

/// The names and parameters of the tools that can be called.
#[derive(Debug, Clone, Default)]
pub(super) struct Signatures {
    tools: Vec<(String, Vec<(String, Types)>)>,
}

impl Signatures {
    pub(super) fn new(tools: &[ToolSpec]) -> Self {
        let parameters = |spec: &ToolSpec| {
            let properties = spec.parameters()["properties"].as_object();
            properties.into_iter().flatten().map(|(key, schema)| (key.clone(), Types::of(schema, 0))).collect()
        };
        Self { tools: tools.iter().map(|spec| (spec.name().to_owned(), parameters(spec))).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Which tool has a name.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.tools.iter().position(|(known, _)| known == name)
    }

    /// The types of a parameter of a tool.
    pub(super) fn types(&self, tool: Option<usize>, key: &str, declared: Declared) -> Types {
        match declared {
            Declared::Text => Types::STRING,
            Declared::Json => Types::JSON,
            Declared::Nothing => {
                let parameters =
                    tool.and_then(|tool| self.tools.get(tool)).map(|(_, parameters)| parameters.as_slice());
                let found = parameters.unwrap_or(&[]).iter().find(|(known, _)| known == key);
                found.map_or(Types::ANY, |&(_, types)| types)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_tell_strings_from_the_rest() {
        let json = |schema: Value, text: &'static str| Types::of(&schema, 0).json(text);
        assert!(Types::of(&json!({"type": "string"}), 0).only_text());
        assert!(Types::of(&json!({"enum": ["a", "1"]}), 0).only_text());
        assert_eq!(json(json!({"type": "string"}), "2"), None);
        assert_eq!(json(json!({"type": "integer"}), " 2\n"), Some("2"));
        assert_eq!(json(json!({"type": "integer"}), "two"), None);
        assert_eq!(json(json!({"type": "integer"}), "[2]"), None);
        assert_eq!(json(json!({"type": ["string", "null"]}), "null"), Some("null"));
        assert_eq!(json(json!({"type": ["string", "null"]}), "2"), None);
        assert_eq!(json(json!({"anyOf": [{"type": "string"}, {"type": "array"}]}), "[1, {}]"), Some("[1, {}]"));
        assert_eq!(json(json!({"type": "boolean"}), "True"), Some("true"));
        assert_eq!(
            json(json!({"$ref": "#/x"}), "123456789012345678901234567890"),
            Some("123456789012345678901234567890")
        );
        assert_eq!(json(json!({}), "\"a\""), None);
        assert_eq!(Types::JSON.json("\"a\""), Some("\"a\""));
        assert_eq!(json(json!({}), "[[[[["), None);
    }
}
