//! Arguments of a call as JSON text.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The name by which `serde_json` asks for the text of a value.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// The arguments of a call, as the JSON text that the model wrote. Numbers of any size, the order of keys and the spelling are kept, even
/// in stored conversations. Two values are equal if their texts are equal.
///
/// ```
/// use mistral_tools::CallArguments;
///
/// let arguments: CallArguments = r#"{"id": 123456789012345678901234567890, "price": 1.10}"#.parse()?;
/// assert_eq!(serde_json::to_string(&arguments)?, arguments.as_str());
/// assert_eq!(CallArguments::from(serde_json::json!({"a": 1})).as_str(), r#"{"a":1}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Formats other than JSON store the value that [`to_value`](Self::to_value) returns.
#[derive(Clone, Serialize)]
pub struct CallArguments(Box<RawValue>);

impl CallArguments {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns whether the text is an object, as the arguments of every tool should be.
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// Returns the arguments as a [`Value`]. Integers beyond 64 bits become the nearest float, as in [`serde_json`]. Text that a [`Value`]
    /// cannot hold, such as `1e400` or 128 nested lists, becomes `null`.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.as_str()).unwrap_or_default()
    }

    /// Returns the value that chat templates read. A number that a [`Value`] cannot hold is stored as a [`RawValue`] is: an object with one
    /// special key that holds the number's text.
    pub(crate) fn to_template(&self) -> Value {
        template(self.as_str(), 0)
    }
}

/// The nesting depth from which a [`Value`] cannot hold a text.
const DEPTH: usize = 128;

fn template(text: &str, depth: usize) -> Value {
    let value = || serde_json::from_str(text).unwrap_or_default();
    match text.bytes().next() {
        Some(b'{') if depth < DEPTH => {
            let members = members(text).unwrap_or_default().into_iter();
            Value::Object(members.map(|(key, text)| (key, template(text, depth + 1))).collect())
        }
        Some(b'[') if depth < DEPTH => {
            items(text).unwrap_or_default().into_iter().map(|text| template(text, depth + 1)).collect()
        }
        Some(b'-' | b'0'..=b'9') if !is_exact(text) => serde_json::json!({RAW_VALUE: text}),
        _ => value(),
    }
}

/// Returns whether a [`Value`] holds this number as Python reads it.
fn is_exact(number: &str) -> bool {
    match number.contains(['.', 'e', 'E']) {
        true => serde_json::from_str::<f64>(number).is_ok(),
        false => number != "-0" && (number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()),
    }
}

/// No arguments: `{}`.
impl Default for CallArguments {
    fn default() -> Self {
        Self::from(Value::Object(serde_json::Map::new()))
    }
}

impl std::str::FromStr for CallArguments {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        RawValue::from_string(text.to_owned()).map(Self)
    }
}

impl From<Value> for CallArguments {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&Value> for CallArguments {
    fn from(value: &Value) -> Self {
        // A value has no way to fail.
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for CallArguments {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for CallArguments {}

impl fmt::Debug for CallArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CallArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Keeps the text when read from JSON. From any other source, including the buffers of serde's own enums, keeps the JSON of the value.
impl<'de> Deserialize<'de> for CallArguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_VALUE, Text)
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = CallArguments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<CallArguments, D::Error> {
        Value::deserialize(deserializer).map(CallArguments::from)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CallArguments, A::Error> {
        Box::<RawValue>::deserialize(MapAccessDeserializer::new(map)).map(CallArguments)
    }
}

/// Returns the members of a JSON object in their order, or `None` if the text is not an object.
pub(crate) fn members(text: &str) -> Option<Vec<(String, &str)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de str)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                all.push((key, value.get()));
            }
            Ok(all)
        }
    }

    impl<'de> DeserializeSeed<'de> for Members {
        type Value = Vec<(String, &'de str)>;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    Members.deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
}

/// Returns the items of a JSON list, or `None` if the text is not a list.
pub(crate) fn items(text: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#"{"z": 123456789012345678901234567890, "b" :1.10, "a":1e400}"#;

    #[test]
    fn the_text_is_kept() {
        let arguments: CallArguments = serde_json::from_str(&format!(" {TEXT} ")).unwrap();
        assert_eq!(arguments.as_str(), TEXT);
        assert_eq!(serde_json::to_string(&[&arguments]).unwrap(), format!("[{TEXT}]"));
        assert_eq!((format!("{arguments}"), format!("{arguments:?}")), (TEXT.to_owned(), TEXT.to_owned()));
        assert_eq!(arguments.to_value(), Value::Null);
        let raw = |text: &str| json!({RAW_VALUE: text});
        let wide = raw("123456789012345678901234567890");
        assert_eq!(arguments.to_template(), json!({"z": wide, "b": 1.1, "a": raw("1e400")}));
        assert!("{\"a\": 01}".parse::<CallArguments>().is_err() && "{} x".parse::<CallArguments>().is_err());
        let value: CallArguments = serde_json::from_value(json!({"a": [1.5]})).unwrap();
        assert_eq!((value.as_str(), value.to_template()), ("{\"a\":[1.5]}", json!({"a": [1.5]})));
        assert_eq!(CallArguments::default().as_str(), "{}");
        assert_ne!(CallArguments::from(json!({"a": 1})), "{\"a\": 1}".parse().unwrap());
    }

    #[test]
    fn buffers_are_read() {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Call { arguments: CallArguments },
        }
        let Either::Call { arguments } = serde_json::from_str(r#"{"arguments": {"a" : 1.10}}"#).unwrap();
        assert_eq!(arguments.as_str(), r#"{"a":1.1}"#, "serde keeps the value only");
    }

    #[test]
    fn numbers_that_a_value_loses_are_found() {
        for number in
            ["18446744073709551615", "-9223372036854775808", "1.10", "0", "1e30", "-0.0", "123456789012345678901.0"]
        {
            assert!(is_exact(number), "{number}");
        }
        for number in ["18446744073709551616", "-9223372036854775809", "-0", "1e400"] {
            assert!(!is_exact(number), "{number}");
        }
        let deep: CallArguments = ["[".repeat(1_000), "]".repeat(1_000)].concat().parse().unwrap();
        assert!(deep.to_template().is_array() && deep.to_value().is_null());
    }

    #[test]
    fn values_are_taken_apart() {
        assert_eq!(members(r#" {"a" : [1], "\u0062":1.10} "#), Some(vec![("a".into(), "[1]"), ("b".into(), "1.10")]));
        assert_eq!(items("[1.10, {\"a\": 2}]"), Some(vec!["1.10", "{\"a\": 2}"]));
        assert_eq!((members("[1]"), items("1")), (None, None));
    }
}
