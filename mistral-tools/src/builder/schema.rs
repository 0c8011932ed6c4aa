//! Schemas of arguments and results: from the types, written by hand, or as a short list of parameters.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// The source of a schema: one of three types, which together read like an enum.
///
/// | | the schema | asks of the type |
/// |---|---|---|
/// | [`SchemaType::Serde`](self::SchemaType::Serde) | from the type | `#[derive(schemars::JsonSchema)]` |
/// | [`SchemaType::JsonSchema`](self::SchemaType::JsonSchema) | a text or a value | nothing |
/// | [`SchemaType::Inline`](self::SchemaType::Inline) | a short list of [`Parameter`](crate::Parameter)s | nothing |
///
/// `schemars` is re-exported as `mistral_tools::schemars`. If `schemars` is not a dependency of your crate, put
/// `#[schemars(crate = "mistral_tools::schemars")]` on the type.
#[allow(non_snake_case)] // Reads as the enum that it would be if bounds could hang on a variant.
pub mod SchemaType {
    use super::Parameter;

    /// From the type itself: `#[derive(JsonSchema)]` of `schemars`, which reads serde's attributes and doc comments. The schema is made at
    /// its first use, not when the tool is built.
    #[derive(Debug, Clone, Copy)]
    pub struct Serde;

    /// Written by hand or found at run time: the text of a JSON schema (a `&'static str` or a `String`), or a `serde_json::Value`. Building
    /// the tool checks that the value is a JSON object and, with the feature `dynamic`, a JSON schema.
    #[derive(Debug, Clone, Copy)]
    pub struct JsonSchema<S>(pub S);

    /// A short list of parameters.
    #[derive(Debug, Clone, Copy)]
    pub struct Inline(pub &'static [Parameter]);
}

/// A source of the schema of `T`: one of the three of [`SchemaType`].
#[diagnostic::on_unimplemented(
    message = "no schema of `{T}` comes from `{Self}`",
    label = "add `#[derive(schemars::JsonSchema)]` to `{T}`",
    note = "without a dependency on `schemars` 1: `#[derive(mistral_tools::schemars::JsonSchema)]` and `#[schemars(crate = \"mistral_tools::schemars\")]`",
    note = "the schema of a foreign type is given by hand: `ToolBuilder` with `SchemaType::JsonSchema(..)` or `SchemaType::Inline(..)`"
)]
pub trait SchemaSource<T: ?Sized> {
    /// The schema.
    fn schema(self) -> Schema;
}

#[diagnostic::do_not_recommend] // The text of the trait says more than "JsonSchema is not implemented".
impl<T: JsonSchema + ?Sized> SchemaSource<T> for SchemaType::Serde {
    fn schema(self) -> Schema {
        Schema::of::<T>()
    }
}

impl<T: ?Sized, S: Into<Schema>> SchemaSource<T> for SchemaType::JsonSchema<S> {
    fn schema(self) -> Schema {
        self.0.into()
    }
}

/// A text written by hand.
impl From<&'static str> for Schema {
    fn from(text: &'static str) -> Self {
        Self(Source::Static(StaticSchema::text(text)))
    }
}

/// A text written by hand, or found at run time.
impl From<String> for Schema {
    fn from(text: String) -> Self {
        Self(Source::Text(text))
    }
}

/// A schema found at run time.
impl From<Value> for Schema {
    fn from(schema: Value) -> Self {
        Self(Source::Value(schema))
    }
}

impl<T: ?Sized> SchemaSource<T> for SchemaType::Inline {
    fn schema(self) -> Schema {
        Schema(Source::Static(StaticSchema::inline(self.0)))
    }
}

/// What a type is described for: schemars tells apart what is read and what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Result,
}

/// A schema that is made when it is asked for.
#[derive(Debug, Clone)]
pub struct Schema(Source);

#[derive(Debug, Clone)]
enum Source {
    Static(StaticSchema),
    Text(String),
    Value(Value),
}

/// A schema that a constant can hold.
#[derive(Debug, Clone, Copy)]
pub struct StaticSchema(StaticSource);

#[derive(Debug, Clone, Copy)]
enum StaticSource {
    Derived(fn(Side) -> Value),
    Text(&'static str),
    Inline(&'static [Parameter]),
}

impl Schema {
    /// The schema that `schemars` derives.
    pub fn of<T: JsonSchema + ?Sized>() -> Self {
        Self(Source::Static(StaticSchema::of::<T>()))
    }

    /// Returns the JSON object that was written by hand or found at run time. Returns `None` for a schema that comes from a type or from a
    /// list of parameters.
    pub(crate) fn given(&self, tool: &str) -> Result<Option<Value>, Error> {
        match &self.0 {
            Source::Static(StaticSchema(StaticSource::Derived(_) | StaticSource::Inline(_))) => Ok(None),
            _ => self.to_json(tool, Side::Request).map(Some),
        }
    }

    pub(crate) fn to_json(&self, tool: &str, side: Side) -> Result<Value, Error> {
        match &self.0 {
            Source::Static(schema) => schema.to_json(tool, side),
            Source::Text(text) => parse(tool, text),
            Source::Value(schema) if schema.is_object() => Ok(schema.clone()),
            Source::Value(_) => Err(Error::Parameters { name: tool.into() }),
        }
    }
}

impl StaticSchema {
    /// The schema that `schemars` derives.
    pub const fn of<T: JsonSchema + ?Sized>() -> Self {
        Self(StaticSource::Derived(derive::<T>))
    }

    /// Written by hand: the text of a JSON schema.
    pub const fn text(text: &'static str) -> Self {
        Self(StaticSource::Text(text))
    }

    /// A short list of parameters.
    pub const fn inline(parameters: &'static [Parameter]) -> Self {
        Self(StaticSource::Inline(parameters))
    }

    pub(crate) fn to_json(self, tool: &str, side: Side) -> Result<Value, Error> {
        match self.0 {
            StaticSource::Derived(derive) => Ok(derive(side)),
            StaticSource::Text(text) => parse(tool, text),
            StaticSource::Inline(parameters) => Ok(object(parameters)),
        }
    }
}

fn parse(tool: &str, text: &str) -> Result<Value, Error> {
    let value = serde_json::from_str(text).ok().filter(Value::is_object);
    value.ok_or_else(|| Error::Parameters { name: tool.into() })
}

/// Definitions stand where they are used, which more models understand than `$ref`; only recursive types keep theirs.
fn derive<T: JsonSchema + ?Sized>(side: Side) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let settings = if side == Side::Result { settings.for_serialize() } else { settings.for_deserialize() };
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    let unit = side == Side::Request && schema.get("type").is_some_and(|of| of == "null");
    if unit { object(&[]) } else { schema.to_value() }
}

/// A parameter of a schema given [`Inline`](SchemaType::Inline). It is required unless it is made [`optional`](Self::optional).
///
/// ```
/// use mistral_tools::Parameter;
/// const PARAMETERS: &[Parameter] = &[
///     Parameter::string("city", "The city"),
///     Parameter::one_of("unit", &["celsius", "fahrenheit"], "The unit").optional(),
/// ];
/// assert_eq!(PARAMETERS[1].name(), "unit");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    name: &'static str,
    description: &'static str,
    kind: Kind,
    required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    OneOf(&'static [&'static str]),
    Strings,
}

impl Parameter {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, description, kind, required: true }
    }

    /// A text.
    pub const fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::String, description)
    }

    /// A number without a fraction.
    pub const fn integer(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Integer, description)
    }

    /// A number.
    pub const fn number(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Number, description)
    }

    /// True or false.
    pub const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Boolean, description)
    }

    /// One of these texts.
    pub const fn one_of(name: &'static str, choices: &'static [&'static str], description: &'static str) -> Self {
        Self::new(name, Kind::OneOf(choices), description)
    }

    /// A list of texts.
    pub const fn strings(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::Strings, description)
    }

    /// The same, which may be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

fn object(parameters: &[Parameter]) -> Value {
    let mut properties = Map::new();
    for Parameter { name, description, kind, .. } in parameters {
        let property = match kind {
            Kind::String => json!({"type": "string", "description": description}),
            Kind::Integer => json!({"type": "integer", "description": description}),
            Kind::Number => json!({"type": "number", "description": description}),
            Kind::Boolean => json!({"type": "boolean", "description": description}),
            Kind::OneOf(choices) => json!({"type": "string", "enum": choices, "description": description}),
            Kind::Strings => json!({"type": "array", "items": {"type": "string"}, "description": description}),
        };
        properties.insert((*name).into(), property);
    }
    let required: Vec<_> = parameters.iter().filter(|parameter| parameter.required).map(|p| p.name).collect();
    if required.is_empty() {
        return json!({"type": "object", "properties": properties});
    }
    json!({"type": "object", "properties": properties, "required": required})
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Point {
        /// Across.
        x: i32,
        #[serde(default)]
        unit: Unit,
    }

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Unit {
        #[default]
        Metre,
        Foot,
    }

    #[test]
    fn types_describe_what_is_read_and_what_is_written() {
        let request = Schema::of::<Point>().to_json("f", Side::Request).unwrap();
        assert_eq!(request["required"], json!(["x"]));
        assert_eq!(request["properties"]["x"]["description"], "Across.");
        assert_eq!(
            request["properties"]["unit"]["enum"],
            json!(["metre", "foot"]),
            "definitions are inlined: {request}"
        );
        assert!(request.get("$schema").is_none() && request.get("title").is_none());
        let result = Schema::of::<Point>().to_json("f", Side::Result).unwrap();
        assert_eq!(result["required"], json!(["x", "unit"]), "what has a default is always written");
        let unit = Schema::of::<()>().to_json("f", Side::Request).unwrap();
        assert_eq!(unit, json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn lists_of_parameters() {
        const PARAMETERS: &[Parameter] = &[
            Parameter::string("a", "A"),
            Parameter::integer("b", "B").optional(),
            Parameter::one_of("c", &["x", "y"], "C"),
            Parameter::strings("d", "D").optional(),
        ];
        let schema = StaticSchema::inline(PARAMETERS).to_json("f", Side::Request).unwrap();
        assert_eq!(
            schema.to_string(),
            concat!(
                r#"{"type":"object","properties":{"a":{"type":"string","description":"A"},"b":{"type":"integer","description":"B"},"#,
                r#""c":{"type":"string","enum":["x","y"],"description":"C"},"#,
                r#""d":{"type":"array","items":{"type":"string"},"description":"D"}},"required":["a","c"]}"#
            )
        );
    }

    #[test]
    fn text_by_hand_is_checked() {
        let schema = |text: &'static str| SchemaSource::<()>::schema(SchemaType::JsonSchema(text));
        assert!(schema(r#"{"type": "object"}"#).given("f").is_ok_and(|given| given.is_some()));
        for text in ["", "[]", "{", "1"] {
            assert_eq!(schema(text).given("f"), Err(Error::Parameters { name: "f".into() }), "{text}");
        }
        let owned = SchemaSource::<()>::schema(SchemaType::JsonSchema(String::from("{")));
        assert!(owned.given("f").is_err() && owned.to_json("f", Side::Request).is_err());
    }
}
