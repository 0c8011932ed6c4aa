//! Checks arguments against a JSON schema before a function runs, with the feature `dynamic`.
//!
//! Values that serde has read are of the right type, but serde checks neither `minLength` nor `format`. A type written by hand may also
//! know less than the schema next to it. Schemas that come from types are compiled only if they use a keyword that serde does not check, so
//! calls of most tools stay free of allocations.

use std::sync::OnceLock;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::{
    error::Error,
    outcome::{kinds::ErrorKind, tool_error::ToolError},
};

/// The most backtracking steps of a schema's pattern. The bound is needed because a schema may come from anywhere.
const BACKTRACKS: usize = 100_000;

/// The most faults of one call that the model reads.
const TOLD: usize = 4;

/// The longest value that the text of a fault shows.
const SHOWN: usize = 40;

/// A schema that is compiled at its first use.
#[derive(Debug, Default)]
pub(crate) struct Validation(OnceLock<Option<Compiled>>);

#[derive(Debug)]
struct Compiled {
    validator: Validator,
    /// Whether the arguments are an object, in place of which some models write null.
    object: bool,
}

impl Validation {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Compiles a schema for a full check.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub(crate) fn of(tool: &str, schema: &Value) -> Result<Self, Error> {
        let compiled = Compiled::new(schema);
        let compiled = compiled.map_err(|reason| Error::Schema { name: tool.into(), reason })?;
        Ok(Self(OnceLock::from(Some(compiled))))
    }

    /// Checks arguments, and returns them in the form in which they are to be read. `schema` is called at most once. It returns a schema
    /// from a type or from a list of parameters, whose reader checks most of the schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArguments`], with the path and the fault.
    pub(crate) fn check<'a>(
        &self,
        schema: impl FnOnce() -> Option<Value>,
        arguments: &'a [u8],
    ) -> Result<&'a [u8], ToolError> {
        let compile = || schema().filter(unchecked).and_then(|schema| Compiled::new(&schema).ok());
        match self.0.get_or_init(compile) {
            None => Ok(arguments),
            Some(compiled) => compiled.check(arguments),
        }
    }
}

impl Compiled {
    fn new(schema: &Value) -> Result<Self, String> {
        let options = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS));
        let validator = options.build(schema).map_err(|error| error.to_string())?;
        Ok(Self { validator, object: schema.get("type").is_some_and(|of| of == "object") })
    }

    fn check<'a>(&self, arguments: &'a [u8]) -> Result<&'a [u8], ToolError> {
        let trimmed = arguments.trim_ascii();
        let nothing = trimmed.is_empty() || (self.object && trimmed == b"null");
        let arguments: &[u8] = if nothing { b"{}" } else { arguments };
        let value: Value = serde_json::from_slice(arguments)
            .map_err(|error| ToolError::new(ErrorKind::InvalidArguments, format!("not JSON: {error}")))?;
        let mut errors = self.validator.iter_errors(&value);
        let Some(first) = errors.next() else { return Ok(arguments) };
        let mut text = fault(&first);
        for error in errors.by_ref().take(TOLD - 1) {
            text.push_str("; ");
            text.push_str(&fault(&error));
        }
        match errors.count() {
            0 => {}
            more => text.push_str(&format!("; and {more} more")),
        }
        Err(ToolError::new(ErrorKind::InvalidArguments, text))
    }
}

/// Returns the place of a fault and its description.
fn fault(error: &ValidationError<'_>) -> String {
    let shown = error.instance().to_string();
    let value = if shown.len() <= SHOWN { shown } else { "the value".into() };
    match error.instance_path().as_str() {
        "" => error.masked_with(value).to_string(),
        path => format!("at {path}: {}", error.masked_with(value)),
    }
}

/// Returns whether a type's schema uses a keyword that serde does not check.
fn unchecked(schema: &Value) -> bool {
    const KEYWORDS: [&str; 19] = [
        "contains",
        "contentEncoding",
        "contentMediaType",
        "dependentRequired",
        "dependentSchemas",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "if",
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
        "multipleOf",
        "not",
        "pattern",
        "propertyNames",
        "uniqueItems",
    ];
    let object = match schema {
        Value::Object(object) => object,
        Value::Array(schemas) => return schemas.iter().any(unchecked),
        _ => return false,
    };
    object.iter().any(|(keyword, value)| match keyword.as_str() {
        "format" => !is_number(value),
        "minimum" | "maximum" => !of_type(object),
        // Names of the user's own, not keywords.
        "properties" | "patternProperties" | "$defs" | "definitions" => {
            keyword == "patternProperties" || value.as_object().is_some_and(|schemas| schemas.values().any(unchecked))
        }
        "enum" | "default" | "examples" | "required" => false,
        // Variants of an enum are constants, which serde tells apart.
        "const" => !value.is_string(),
        keyword => KEYWORDS.contains(&keyword) || unchecked(value),
    })
}

/// Returns whether a format names a number type, which serde checks.
fn is_number(format: &Value) -> bool {
    let Some(format) = format.as_str() else { return false };
    let bits = format.strip_prefix("uint").or_else(|| format.strip_prefix("int"));
    matches!(format, "float" | "double") || bits.is_some_and(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns whether the limits of a number are the limits of its type.
fn of_type(schema: &Map<String, Value>) -> bool {
    let limits = |key| schema.get(key).map(|limit| limit.as_i64());
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, 255),
        Some("uint16") => (0, 65_535),
        Some("int8") => (-128, 127),
        Some("int16") => (-32_768, 32_767),
        Some("uint" | "uint32" | "uint64" | "uint128") => (0, i64::MAX),
        _ => return false,
    };
    limits("minimum").is_none_or(|limit| limit == Some(least))
        && limits("maximum").is_none_or(|limit| limit == Some(most))
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde_json::json;

    use super::*;
    use crate::builder::schema::{Side, StaticSchema};

    fn errors(schema: Value, arguments: &str) -> String {
        let validation = Validation::of("f", &schema).unwrap();
        let read = validation.check(|| None, arguments.as_bytes());
        read.map_or_else(|error| error.text().to_owned(), |read| String::from_utf8(read.to_vec()).unwrap())
    }

    #[test]
    fn faults_name_the_path_and_the_problem() {
        let schema = json!({"type": "object", "required": ["q"], "additionalProperties": false, "properties": {
            "q": {"type": "string", "minLength": 2},
            "list": {"type": "array", "items": {"type": "integer", "maximum": 9}, "uniqueItems": true},
            "day": {"type": "string", "format": "date"},
        }});
        for (arguments, expected) in [
            (r#"{"q": "ab"}"#, r#"{"q": "ab"}"#),
            (r#"{"q": 7}"#, r#"at /q: 7 is not of type "string""#),
            (r#"{"q": "a"}"#, r#"at /q: "a" is shorter than 2 characters"#),
            ("[]", r#"[] is not of type "object""#),
            ("null", r#""q" is a required property"#),
            ("", r#""q" is a required property"#),
            ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"q": "ab", "list": [1, 12]}"#, "at /list/1: 12 is greater than the maximum of 9"),
            (r#"{"q": "ab", "day": "5544-11-31"}"#, r#"at /day: "5544-11-31" is not a "date""#),
        ] {
            assert_eq!(errors(schema.clone(), arguments), expected, "{arguments}");
        }
        let many = errors(json!({"items": {"type": "string"}}), "[1, 2, 3, 4, 5, 6]");
        assert!(
            many.starts_with(r#"at /0: 1 is not of type "string"; at /1"#) && many.ends_with("; and 2 more"),
            "{many}"
        );
        let long = format!("[\"{}\"]", "x".repeat(1000));
        assert_eq!(
            errors(json!({"items": {"type": "integer"}}), &long),
            r#"at /0: the value is not of type "integer""#
        );
    }

    #[test]
    fn schemas_are_compiled_without_a_network_and_patterns_end() {
        for schema in [
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"type": "strin"}),
            json!({"pattern": "("}),
            json!({"minimum": "1"}),
        ] {
            let error = Validation::of("f", &schema).unwrap_err();
            assert!(matches!(&error, Error::Schema { name, reason } if name == "f" && !reason.is_empty()), "{error}");
        }
        let text = errors(json!({"pattern": "^(?=(a+)+$)(a|a)*b$"}), &format!("\"{}\"", "a".repeat(60)));
        assert!(!text.is_empty());
    }

    #[test]
    fn types_that_serde_checks_alone_are_not_checked_twice() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Plain {
            a: u8,
            b: Option<i16>,
            c: Vec<f32>,
            d: Kind,
            e: (usize, u64),
            minimum: i8,
            format: String,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        enum Kind {
            One,
            Two { x: i32 },
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Narrow {
            #[schemars(range(min = 1, max = 7))]
            a: u8,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Nested {
            list: Vec<Inner>,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Inner {
            #[schemars(length(min = 1))]
            text: String,
        }
        let schema = |schema: StaticSchema| schema.to_json("f", Side::Request).unwrap();
        assert!(!unchecked(&schema(StaticSchema::of::<Kind>())));
        let plain = schema(StaticSchema::of::<Plain>());
        assert_eq!(plain["properties"]["e"]["maxItems"], json!(2));
        assert!(unchecked(&plain), "a tuple has a length, which costs a look that finds nothing");
        assert!(unchecked(&schema(StaticSchema::of::<Narrow>())) && unchecked(&schema(StaticSchema::of::<Nested>())));
    }
}
