//! What a model is told about a tool: a name, a description and the JSON schema of its parameters.

use serde_json::{Value, json};

use crate::Error;

/// The longest name, which is also OpenAI's.
const NAME_LIMIT: usize = 64;

/// A tool as a model sees it.
///
/// ```
/// use mistral_tools::ToolSpec;
/// let schema = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
/// let spec = ToolSpec::new("weather", "The weather of a city, today.", schema)?;
/// assert_eq!(spec.to_json()["function"]["name"], "weather");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    name: String,
    description: String,
    parameters: Value,
}

impl ToolSpec {
    /// A specification. Names have 1 to 64 letters, digits, `_` and `-` of ASCII: the ones that every template and
    /// dialect can carry. `parameters` is a JSON schema, an object.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Parameters`].
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Result<Self, Error> {
        let name = name.into();
        Self::check_name(&name)?;
        if !parameters.is_object() {
            return Err(Error::Parameters { name });
        }
        Ok(Self { name, description: description.into(), parameters })
    }

    pub(crate) fn check_name(name: &str) -> Result<(), Error> {
        if is_name(name) { Ok(()) } else { Err(Error::Name { name: name.into() }) }
    }

    /// What the model calls it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in words for the model.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The JSON schema of its arguments.
    pub fn parameters(&self) -> &Value {
        &self.parameters
    }

    /// OpenAI's form, which chat templates expect: `{"type": "function", "function": {name, description, parameters}}`.
    pub fn to_json(&self) -> Value {
        let Self { name, description, parameters } = self;
        json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
    }
}

/// Whether every template and dialect can carry it.
pub(crate) const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] == b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= NAME_LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let spec = |name: &str| ToolSpec::new(name, "", json!({}));
        assert!(spec("get_weather-2").is_ok() && spec(&"a".repeat(64)).is_ok());
        for name in ["", "a b", "é", "a\n", &"a".repeat(65)] {
            assert!(matches!(spec(name), Err(Error::Name { .. })), "{name:?}");
        }
        assert!(matches!(ToolSpec::new("a", "", json!([])), Err(Error::Parameters { .. })));
    }

    #[test]
    fn json_keeps_the_order_of_keys() {
        let spec = ToolSpec::new("f", "d", json!({"type": "object", "properties": {"z": {}, "a": {}}})).unwrap();
        let text = spec.to_json().to_string();
        assert_eq!(
            text,
            r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"z":{},"a":{}}}}}"#
        );
    }
}
