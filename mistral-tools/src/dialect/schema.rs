//! What a tool's schema says of its parameters: needed where a dialect does not tell `"2"` from `2`.

use std::borrow::Cow;

use serde_json::Value;

use super::cursor::{Stop, starts_with};
use super::family::Declared;
use super::json::is_value;
use super::literal::transcribe;
use super::specs::literals::PYTHON;
use crate::tool::spec::ToolSpec;

/// A set of JSON types: the types for which readers of arguments take a parameter where a dialect does not tell `"2"` from `2`. `integer`
/// counts as a number.
///
/// ```
/// use mistral_tools::dialect::JsonTypes;
/// use serde_json::json;
///
/// let schema = json!({"allOf": [{"$ref": "#/$defs/size"}], "$defs": {"size": {"enum": ["10", "12", null]}}});
/// let types = JsonTypes::of(&schema, &schema);
/// assert!(types.contains(JsonTypes::STRING) && types.contains(JsonTypes::NULL) && !types.contains(JsonTypes::NUMBER));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonTypes(u8);

pub(super) type Types = JsonTypes;

const NAMES: [(&str, JsonTypes); 7] = [
    ("string", JsonTypes::STRING),
    ("number", JsonTypes::NUMBER),
    ("integer", JsonTypes::NUMBER),
    ("boolean", JsonTypes::BOOLEAN),
    ("null", JsonTypes::NULL),
    ("object", JsonTypes::OBJECT),
    ("array", JsonTypes::ARRAY),
];

impl JsonTypes {
    /// Strings.
    pub const STRING: Self = Self(1);
    /// Numbers, including integers.
    pub const NUMBER: Self = Self(2);
    /// `true` and `false`.
    pub const BOOLEAN: Self = Self(4);
    /// `null`.
    pub const NULL: Self = Self(8);
    /// Objects.
    pub const OBJECT: Self = Self(16);
    /// Lists.
    pub const ARRAY: Self = Self(32);
    /// All types.
    pub const ANY: Self = Self(63);
    const JSON: Self = Self(2 | 4 | 8 | 16 | 32);

    /// Returns the types that `schema` admits, where `root` is the schema into which its references point. The keywords `type`, `enum`,
    /// `const`, `anyOf`, `oneOf`, `allOf` and `$ref` are considered, also in combination. A schema that admits nothing, or that is nested
    /// too deep, admits all types.
    pub fn of(root: &Value, schema: &Value) -> Self {
        let Self(types) = Self::within(root, schema, &mut SCHEMAS.clone());
        if types == 0 { Self::ANY } else { Self(types) }
    }

    /// Returns whether this set contains all types of `other`.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Examines at most `left` schemas, because schemas may refer to each other without end.
    fn within(root: &Value, schema: &Value, left: &mut usize) -> Self {
        let of_name = |name: &Value| {
            NAMES.iter().find(|(known, _)| name.as_str() == Some(known)).map_or(Self::ANY, |&(_, types)| types)
        };
        let any = |all: &mut dyn Iterator<Item = Self>| Self(all.fold(0, |types, Self(more)| types | more));
        *left = left.saturating_sub(1);
        if *left == 0 {
            return Self::ANY;
        }
        let mut types = match &schema["type"] {
            Value::Array(names) => any(&mut names.iter().map(of_name)),
            Value::Null => Self::ANY,
            name => of_name(name),
        }
        .0;
        if schema["nullable"] == true && types != 0 {
            types |= Self::NULL.0;
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema[key].as_array() {
                types &= any(&mut branches.iter().map(|branch| Self::within(root, branch, left))).0;
            }
        }
        for branch in schema["allOf"].as_array().into_iter().flatten() {
            types &= Self::within(root, branch, left).0;
        }
        if let Some(target) = target(root, schema) {
            types &= Self::within(root, target, left).0;
        }
        if let Some(values) = schema["enum"].as_array() {
            types &= any(&mut values.iter().map(Self::of_value)).0;
        }
        if let Some(value) = schema.get("const") {
            types &= Self::of_value(value).0;
        }
        Self(types)
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::STRING,
            Value::Number(_) => Self::NUMBER,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Null => Self::NULL,
            Value::Object(_) => Self::OBJECT,
            Value::Array(_) => Self::ARRAY,
        }
    }

    /// The type of JSON text.
    fn of_text(json: &str) -> Self {
        match json.bytes().next() {
            Some(b'"') => Self::STRING,
            Some(b't' | b'f') => Self::BOOLEAN,
            Some(b'n') => Self::NULL,
            Some(b'{') => Self::OBJECT,
            Some(b'[') => Self::ARRAY,
            _ => Self::NUMBER,
        }
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
    schema: Value,
}

/// The most schemas that are examined per value. Deep schemas are few: each level of references takes one.
const SCHEMAS: usize = 64;
/// Deeper values have any type.
const DEPTH: usize = 32;

/// Returns the schema to which a schema directly refers, if any.
fn target<'s>(root: &'s Value, schema: &Value) -> Option<&'s Value> {
    root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
}

/// Returns the schema of a property or of the items of a list. Examines at most `left` schemas.
fn within<'s>(root: &'s Value, schema: &'s Value, key: Option<&str>, left: &mut usize) -> Option<&'s Value> {
    *left = left.checked_sub(1)?;
    let inside = match key {
        Some(key) => schema["properties"].get(key),
        None => schema.get("items"),
    };
    let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|kind| schema[kind].as_array()).flatten();
    inside
        .or_else(|| branches.chain(target(root, schema)).find_map(|branch| within(root, branch, key, left)))
        .or_else(|| schema.get("additionalProperties").filter(|other| key.is_some() && other.is_object()))
}

impl Signatures {
    pub(super) fn new(tools: &[ToolSpec]) -> Self {
        let signature = |spec: &ToolSpec| Signature { name: spec.name().to_owned(), schema: spec.parameters().clone() };
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
            Declared::Nothing => self.types_within(tool, [Some(key)].into_iter()),
        }
    }

    /// The types of a value inside of the arguments of a tool, by the keys to it; in lists there is no key.
    pub(super) fn types_within<'k>(&self, tool: Option<usize>, path: impl Iterator<Item = Option<&'k str>>) -> Types {
        match tool.and_then(|tool| self.tools.get(tool)).map(|tool| &tool.schema) {
            Some(root) => found(root, path).map_or(Types::ANY, |schema| Types::of(root, schema)),
            None => Types::ANY,
        }
    }

    /// Returns whether a tool may have a parameter. A tool that is not known may have any.
    pub(super) fn may_have(&self, tool: Option<usize>, key: &str) -> bool {
        tool.is_none() || self.declares(tool, [Some(key)].into_iter())
    }

    /// Returns whether the schema of a tool describes a value inside its arguments.
    pub(super) fn declares<'k>(&self, tool: Option<usize>, path: impl Iterator<Item = Option<&'k str>>) -> bool {
        tool.and_then(|tool| self.tools.get(tool)).is_some_and(|tool| found(&tool.schema, path).is_some())
    }
}

/// Returns the schema of a value, by the keys that lead to it.
fn found<'s, 'k>(root: &'s Value, path: impl Iterator<Item = Option<&'k str>>) -> Option<&'s Value> {
    let mut schema = root;
    for (depth, key) in path.enumerate() {
        schema = within(root, schema, key, &mut SCHEMAS.clone()).filter(|_| depth < DEPTH)?;
    }
    Some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_tell_strings_from_the_rest() {
        let of = |schema: &Value| Types::of(schema, schema);
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
        assert_eq!(types(&[Some("a")]), JsonTypes(8 | 32));
        assert!(types(&[Some("a"), None, Some("x")]).only_text());
        assert_eq!(types(&[Some("b"), None]), Types::ANY);
        assert_eq!(types(&[None; 100]), Types::ANY);
        assert_eq!(tools.types_within(None, [Some("a")].into_iter()), Types::ANY);
    }
}
