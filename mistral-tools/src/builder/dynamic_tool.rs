//! Tools whose name and schema are known only at run time, like those of an MCP server.

use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::Value;

use crate::{
    builder::{
        arguments::OwnedArguments,
        function_tool::{ToolFunction, erased},
        schema::Schema,
        typed_tool::Description,
    },
    error::Error,
    outcome::{Outcome, reply::Reply},
    tool::{CallFuture, Invocation, Tool, annotations::ToolAnnotations, forward, spec::ToolSpec},
};

/// A tool that is found at run time: its schema is a JSON value, from an MCP server, a plugin or a file.
///
/// The function takes the arguments as a [`Value`], as a [`RawValue`](serde_json::value::RawValue) that keeps the model's own spelling, or
/// as any other type that serde reads. Its forms are those of a [`FunctionTool`](crate::FunctionTool): see [`ToolFunction`].
///
/// Arguments, formats included, are checked against the schema before the function runs. The model reads what is wrong, with the path:
/// `Error (invalid arguments): at /q: 7 is not of type "string"`. References to other documents are never fetched.
///
/// Any name is accepted. The model sees a name that every dialect can write, and the registry finds the tool by either name.
///
/// ```
/// use mistral_tools::{DynamicTool, Invocation, Reply, ToolRegistry};
/// use serde_json::{Value, json};
///
/// let registry = ToolRegistry::new();
/// let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]});
/// let search = DynamicTool::new("wiki.search", "Searches the encyclopedia", schema, |arguments: Value| {
///     Ok(format!("nothing about {}", arguments["q"])) // or asks the server
/// })?;
/// registry.add(search)?;
/// assert_eq!(registry.specs()[0].name(), "wiki_search");
///
/// let mut reply = Reply::new();
/// assert!(registry.call("wiki_search", &Invocation::default(), br#"{"q": "cats"}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#"nothing about "cats""#);
/// let _ = registry.call("wiki.search", &Invocation::default(), b"[]", &mut reply);
/// assert_eq!(reply.as_str(), r#"Error (invalid arguments): [] is not of type "object""#);
/// # Ok::<(), mistral_tools::Error>(())
/// ```
pub struct DynamicTool {
    tool: Box<dyn Tool>,
    annotations: ToolAnnotations,
}

impl DynamicTool {
    /// Makes a tool from a schema and a function.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a schema that is not a JSON object, [`Error::Schema`] for one that is not a JSON schema, and
    /// [`Error::Name`] for an empty name.
    pub fn new<M, F>(
        name: impl Into<Cow<'static, str>>,
        description: impl Into<Cow<'static, str>>,
        schema: Value,
        function: F,
    ) -> Result<Self, Error>
    where
        M: 'static,
        F: ToolFunction<M>,
        F::Arguments: OwnedArguments,
        F::Result: Serialize,
    {
        let (name, request) = (name.into(), Schema::from(schema));
        let description = Description { name, description: description.into(), request, result: None };
        Ok(Self { tool: erased(description, function)?, annotations: ToolAnnotations::new() })
    }

    /// States what the tool does to its surroundings; see [`ToolSpec::annotations`].
    #[must_use]
    pub fn with_annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = annotations;
        self
    }
}

impl Tool for DynamicTool {
    forward!(|this| this.tool, this.annotations);
}

impl fmt::Debug for DynamicTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DynamicTool").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;
    use crate::{outcome::kinds::ErrorKind, sync::park::block_on};

    fn call(tool: &dyn Tool, arguments: &str) -> (String, Option<ErrorKind>) {
        let (mut reply, mut again) = (Reply::new(), Reply::new());
        let invocation = Invocation::default();
        let outcome = tool.call(&invocation, arguments.as_bytes(), &mut reply);
        let other = block_on(tool.call_async(&invocation, arguments.as_bytes(), &mut again));
        assert_eq!((reply.as_str(), outcome.error_kind()), (again.as_str(), other.error_kind()));
        (reply.as_str().into(), outcome.error_kind())
    }

    #[test]
    fn arguments_are_held_against_the_schema() {
        let schema = || json!({"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]});
        let tools = [
            DynamicTool::new("f", "", schema(), |arguments: Value| Ok(arguments)),
            DynamicTool::new("f", "", schema(), async |arguments: Value| Ok(arguments)),
            DynamicTool::new("f", "", schema(), |arguments: Box<RawValue>| Ok(arguments)),
            DynamicTool::new("f", "", schema(), async |arguments: Box<RawValue>, _: &Invocation<'_>| Ok(arguments)),
        ];
        for tool in tools.map(Result::unwrap) {
            assert_eq!(tool.request_schema().unwrap(), schema());
            assert_eq!(call(&tool, r#"{"q":"x","n":1.5}"#), (r#"{"q":"x","n":1.5}"#.into(), None));
            for (wrong, text) in [
                ("[]", r#"[] is not of type "object""#),
                ("null", r#""q" is a required property"#),
                ("", r#""q" is a required property"#),
                (r#"{"q": 7}"#, r#"at /q: 7 is not of type "string""#),
                (r#"{"q": null}"#, r#"at /q: null is not of type "string""#),
            ] {
                let expected = (format!("Error (invalid arguments): {text}"), Some(ErrorKind::InvalidArguments));
                assert_eq!(call(&tool, wrong), expected, "{wrong}");
            }
        }
        let open = DynamicTool::new("f", "", json!({"type": "object"}), |arguments: Value| Ok(arguments)).unwrap();
        for nothing in ["", "null", " null ", "{}"] {
            assert_eq!(call(&open, nothing).0, "{}", "{nothing:?}");
        }
    }

    #[test]
    fn typed_tools_are_held_against_what_serde_does_not_check() {
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        struct Booking {
            #[schemars(range(min = 1, max = 9))]
            seats: u8,
            #[schemars(extend("format" = "date"))]
            day: String,
            #[serde(default)]
            #[schemars(extend("uniqueItems" = true))]
            names: Vec<String>,
        }
        let derived = crate::builder::function_tool::FunctionTool::new("book", "", |booking: Booking| {
            Ok(format!("{} on {} for {:?}", booking.seats, booking.day, booking.names))
        });
        let (right, wrong) = (r#"{"seats": 2, "day": "2026-11-30"}"#, r#"{"seats": 2, "day": "5544-11-31"}"#);
        assert_eq!(call(&derived, right).0, "2 on 2026-11-30 for []");
        assert_eq!(call(&derived, wrong).0, r#"Error (invalid arguments): at /day: "5544-11-31" is not a "date""#);
        let many = call(&derived, r#"{"seats": 12, "day": "2026-11-30", "names": ["a", "a"]}"#);
        assert_eq!(many.1, Some(ErrorKind::InvalidArguments));
        assert!(many.0.contains("at /seats: 12 is greater than the maximum of 9") && many.0.contains("at /names"));

        // A schema by hand knows more than the type next to it.
        let ordered = crate::builder::steps::ToolBuilder::named("even")
            .description("")
            .request_schema::<Value>(crate::builder::schema::SchemaType::JsonSchema(
                json!({"type": "integer", "multipleOf": 2}),
            ))
            .result_schema::<Value>(crate::builder::schema::SchemaType::Serde)
            .on_invocation(|_, _, number, ()| Ok(number))
            .build()
            .unwrap();
        assert_eq!(call(&ordered, "4").0, "4");
        assert_eq!(call(&ordered, "5").0, "Error (invalid arguments): 5 is not a multiple of 2");
    }

    #[test]
    fn raw_arguments_keep_their_spelling() {
        let schema = json!({"type": "object"});
        let tool =
            DynamicTool::new("f", "", schema, |arguments: Box<RawValue>| Ok(arguments.get().to_owned())).unwrap();
        let arguments = r#"{"n": 1.10, "m": 123456789012345678901234567890, "s": "\u0041"}"#;
        assert_eq!(call(&tool, arguments).0, arguments);
    }

    #[test]
    fn broken_schemas_and_names_are_refused() {
        let make = |name: &'static str, schema| DynamicTool::new(name, "", schema, |_: Value| Ok(())).map(|_| ());
        assert_eq!(make("f", json!([])), Err(Error::Parameters { name: "f".into() }));
        assert_eq!(make("", json!({})), Err(Error::Name { name: String::new() }));
        assert!(matches!(make("f", json!({"type": "strin"})), Err(Error::Schema { .. })));
        assert_eq!(make("files.read/v2", json!({})), Ok(()));
    }
}
