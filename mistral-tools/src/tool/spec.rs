//! What a model is told about a tool: a name, a description and the JSON schema of its parameters.

use std::{borrow::Cow, fmt::Write};

use serde_json::{Value, json};

use crate::{error::Error, tool::annotations::ToolAnnotations};

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
    annotations: ToolAnnotations,
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
        Ok(Self { name, description: description.into(), parameters, annotations: ToolAnnotations::new() })
    }

    pub(crate) fn check_name(name: &str) -> Result<(), Error> {
        if is_name(name) { Ok(()) } else { Err(Error::Name { name: name.into() }) }
    }

    /// Returns the same description under another name.
    pub(crate) fn renamed(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the name by which the model calls the tool. A tool whose own name has other characters, like `files.read`, has an alias
    /// here, like `files_read`. A [`ToolRegistry`](crate::ToolRegistry) finds the tool by either name.
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

    /// Sets what the tool does to its surroundings. The host reads it; the model is not told.
    #[must_use]
    pub fn with_annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = annotations;
        self
    }

    /// Returns what the tool does to its surroundings, as its maker states it.
    pub fn annotations(&self) -> ToolAnnotations {
        self.annotations
    }

    /// OpenAI's form, which chat templates expect: `{"type": "function", "function": {name, description, parameters}}`.
    pub fn to_json(&self) -> Value {
        let Self { name, description, parameters, .. } = self;
        json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
    }
}

/// Returns the name itself if every dialect can write it, otherwise a similar name that every dialect can write.
///
/// Every other character becomes `_`. A name that is too long is cut and ends in a hash of the whole name. An alias with `salt` also ends
/// in a hash, so that names that would look the same differ.
pub(crate) fn alias(name: &str, salt: Option<u32>) -> Cow<'_, str> {
    if salt.is_none() && is_name(name) {
        return name.into();
    }
    let kept = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let mut alias: String = name.chars().map(|character| if kept(character) { character } else { '_' }).collect();
    if salt.is_some() || alias.len() > NAME_LIMIT {
        // FNV-1a: short, and the same in every process.
        let hash = name.bytes().fold(0x811c_9dc5 ^ salt.unwrap_or_default(), |hash: u32, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        alias.truncate(NAME_LIMIT - HASH);
        let _ = write!(alias, "_{hash:08x}");
    }
    alias.into()
}

/// The length of an underscore and eight digits.
const HASH: usize = 9;

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
    fn aliases_are_names_and_keep_their_look() {
        for (name, expected) in [
            ("files.read/v2", "files_read_v2"),
            ("a b", "a_b"),
            ("é", "_"),
            ("plain-name_1", "plain-name_1"),
            ("server:tool@1", "server_tool_1"),
        ] {
            assert_eq!(alias(name, None), expected);
        }
        let (long, longer) = ("x.".repeat(40), "x.".repeat(41));
        assert!(is_name(&alias(&long, None)) && is_name(&alias("a.b", Some(0))));
        assert_ne!(alias(&long, None), alias(&longer, None));
        assert_ne!(alias("a.b", Some(0)), alias("a/b", Some(0)));
        assert_ne!(alias("a.b", Some(0)), alias("a.b", Some(1)));
        assert_eq!(alias("a.b", Some(0)), alias("a.b", Some(0)).into_owned());
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
