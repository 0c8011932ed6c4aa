//! Results as a model reads them: a string as its own text, everything else as JSON.

use std::{borrow::Cow, io};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::ser::{CharEscape, Formatter};

use crate::outcome::tool_error::ToolError;

/// A result that reaches the model as JSON even if it is a string: `Json("a")` is `"a"`, with quotes.
///
/// ```
/// use mistral_tools::{FunctionTool, Invocation, Json, Reply, Tool};
/// let tool = FunctionTool::new("name", "Tells the name", |_: ()| Ok(Json("Ada")));
/// let mut reply = Reply::new();
/// assert!(tool.call(&Invocation::default(), b"{}", &mut reply).is_success());
/// assert_eq!(reply.as_str(), r#""Ada""#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::value::to_raw_value(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Json<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Appends a value: a string as its text, anything else as JSON.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> Result<(), ToolError> {
    let mut serializer = serde_json::Serializer::with_formatter(to, TopText { depth: 0 });
    Ok(value.serialize(&mut serializer)?)
}

/// Writes a string without quotes and escapes if it is not inside an array or object.
struct TopText {
    depth: usize,
}

impl TopText {
    fn bracket<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8], depth: usize) -> io::Result<()> {
        self.depth = depth;
        writer.write_all(bracket)
    }
}

impl Formatter for TopText {
    fn begin_string<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.depth == 0 { Ok(()) } else { writer.write_all(b"\"") }
    }

    fn end_string<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin_string(writer)
    }

    fn write_char_escape<W: io::Write + ?Sized>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        if self.depth > 0 {
            return serde_json::ser::CompactFormatter.write_char_escape(writer, escape);
        }
        let byte = match escape {
            CharEscape::Quote => b'"',
            CharEscape::ReverseSolidus => b'\\',
            CharEscape::Solidus => b'/',
            CharEscape::Backspace => 8,
            CharEscape::FormFeed => 12,
            CharEscape::LineFeed => b'\n',
            CharEscape::CarriageReturn => b'\r',
            CharEscape::Tab => b'\t',
            CharEscape::AsciiControl(byte) => byte,
        };
        writer.write_all(&[byte])
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.bracket(writer, b"[", self.depth + 1)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.bracket(writer, b"]", self.depth.saturating_sub(1))
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.bracket(writer, b"{", self.depth + 1)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.bracket(writer, b"}", self.depth.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{json, value::RawValue};

    use super::*;
    use crate::stream::streamed::Streamed;

    fn text<T: Serialize + ?Sized>(value: &T) -> String {
        let mut text = Vec::new();
        write(value, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn strings_are_their_own_text_and_all_else_is_json() {
        let every: String = (0..=255_u8).map(char::from).chain("\u{2028}\u{10ffff}/\\\"".chars()).collect();
        assert_eq!(text(&every), every);
        assert_eq!(text(""), "");
        assert_eq!(text(&Some("a\"b")), "a\"b");
        assert_eq!(text(&json!("a\nb")), "a\nb");
        assert_eq!(text(&'"'), "\"");
        assert_eq!(text(&Streamed::from("a\n\"b\"")), "a\n\"b\"");
        for value in [json!(["a\"", {"k\"": "\n"}, []]), json!({"a": {"b": ["c"]}, "d": "e"}), json!(1.5), json!(null)]
        {
            assert_eq!(text(&value), value.to_string());
        }
        assert_eq!(text(&("a", 1)), r#"["a",1]"#);
        assert_eq!(text(&BTreeMap::from([(1, "x")])), r#"{"1":"x"}"#);
        let raw = r#"{"n": 1.10, "s": "\u0041"}"#;
        assert_eq!(text(&RawValue::from_string(raw.into()).unwrap()), raw);
    }

    #[test]
    fn json_keeps_its_quotes() {
        assert_eq!(text(&Json("a\n")), r#""a\n""#);
        assert_eq!(text(&Json(String::new())), r#""""#);
        assert_eq!(text(&Json([1])), "[1]");
    }
}
