//! JSON to values without allocating: errors are kept in place, and strings borrow from the input or, when they have escapes,
//! from a scratch buffer that the caller lends.
//!
//! `serde_json` allocates for each error and cannot give a `&str` for a string with an escape, which a model writes whenever it
//! quotes something. This reads the same language (its tests hold it against `serde_json`), and is laxer in what JSON Schema
//! allows too: `3.0` is an integer.

mod access;
mod lexer;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::{fmt, iter};

use serde::de::{self, Unexpected, Visitor, value::MapDeserializer};

use crate::outcome::{kinds::ErrorKind, text::Text, tool_error::ToolError};
use access::{Elements, Entries, RawText, Variant, VariantName};
use lexer::{Lexer, Number};

/// How deep arrays and objects may be nested; `serde_json`'s limit.
const DEPTH: u8 = 128;

/// The name by which `serde_json::value::RawValue` asks for the text of a value.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// What is wrong with arguments, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentError {
    text: Text,
    offset: Option<usize>,
}

impl ArgumentError {
    /// Bytes before the place where reading stopped.
    pub fn offset(&self) -> usize {
        self.offset.unwrap_or_default()
    }

    /// With the text for the model.
    pub(crate) fn into_tool_error(self) -> ToolError {
        ToolError::new(ErrorKind::InvalidArguments, Text::format(format_args!("{self}")))
    }

    fn syntax(text: &'static str) -> Self {
        Self { text: text.into(), offset: None }
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.text, self.offset())
    }
}

impl std::error::Error for ArgumentError {}

impl de::Error for ArgumentError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { text: Text::format(format_args!("{message}")), offset: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match unexpected {
            Unexpected::Unit => Self::custom(format_args!("invalid type: null, expected {expected}")),
            _ => Self::custom(format_args!("invalid type: {unexpected}, expected {expected}")),
        }
    }
}

/// Reads the arguments of a call. No text at all counts as an empty object, which is how some models call tools without parameters.
pub(crate) fn arguments<'de, T: de::Deserialize<'de>>(
    input: &'de [u8],
    scratch: &'de mut Vec<u8>,
) -> Result<T, ArgumentError> {
    if scratch.len() < input.len() {
        scratch.resize(input.len(), 0);
    }
    from_slice(if input.trim_ascii().is_empty() { b"{}" } else { input }, scratch)
}

/// Reads a value. `scratch` needs as many bytes as `input` has; strings whose escapes do not fit into it are an error.
pub(crate) fn from_slice<'de, T: de::Deserialize<'de>>(
    input: &'de [u8],
    scratch: &'de mut [u8],
) -> Result<T, ArgumentError> {
    let mut deserializer = Deserializer { lexer: Lexer::new(input, scratch), depth: DEPTH };
    let value = T::deserialize(&mut deserializer).and_then(|value| match deserializer.lexer.peek() {
        None => Ok(value),
        Some(_) => Err(ArgumentError::syntax("trailing characters")),
    });
    value.map_err(|mut error| {
        error.offset.get_or_insert(deserializer.lexer.offset());
        error
    })
}

pub(crate) struct Deserializer<'de> {
    lexer: Lexer<'de>,
    /// How much deeper it may go.
    depth: u8,
}

type Result<T, E = ArgumentError> = std::result::Result<T, E>;

impl<'de> Deserializer<'de> {
    /// Runs `read` between an opening bracket, which is the next byte, and what it leaves of the closing one.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(ArgumentError::syntax("nested too deep"));
        };
        self.depth = depth;
        self.lexer.advance();
        let value = read(self);
        self.depth += 1;
        value
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.nested(|this| {
            let value = visitor.visit_seq(Elements::new(this))?;
            this.close(b']', "expected `,` or `]`, or fewer elements")?;
            Ok(value)
        })
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.nested(|this| {
            let value = visitor.visit_map(Entries::new(this))?;
            this.close(b'}', "expected `,` or `}`, or fewer entries")?;
            Ok(value)
        })
    }

    fn close(&mut self, bracket: u8, expected: &'static str) -> Result<()> {
        match self.lexer.peek() {
            Some(byte) if byte == bracket => {
                self.lexer.advance();
                Ok(())
            }
            Some(_) => Err(ArgumentError::syntax(expected)),
            None => Err(ArgumentError::syntax("unexpected end")),
        }
    }

    /// Numbers where an integer is wanted: what has no fraction counts, as in JSON Schema.
    fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        /// The integers up to here are all floats.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.lexer.peek() {
            Some(b'-' | b'0'..=b'9') => match self.lexer.number()? {
                Number::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => visitor.visit_i64(value as i64),
                Number::Wide(value) => visitor.visit_i128(value),
                number => number.visit(visitor),
            },
            _ => self.any(visitor),
        }
    }

    fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'"') => visitor.visit_borrowed_str(self.lexer.string()?),
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.array(visitor),
            Some(b'-' | b'0'..=b'9') => self.lexer.number()?.visit(visitor),
            Some(b't') => self.lexer.word("true").and_then(|()| visitor.visit_bool(true)),
            Some(b'f') => self.lexer.word("false").and_then(|()| visitor.visit_bool(false)),
            Some(b'n') => self.lexer.word("null").and_then(|()| visitor.visit_unit()),
            Some(_) => Err(ArgumentError::syntax("expected a value")),
            None => Err(ArgumentError::syntax("unexpected end")),
        }
    }

    /// Passes over a value, and holds it to the grammar.
    fn skip(&mut self) -> Result<()> {
        match self.lexer.peek() {
            Some(b'"') => self.lexer.skip_string(),
            Some(b'{') => self.nested(|this| {
                let mut entries = Entries::new(this);
                while entries.advance()? {
                    entries.deserializer().lexer.skip_string()?;
                    entries.colon()?;
                    entries.deserializer().skip()?;
                }
                this.close(b'}', "expected `,` or `}`")
            }),
            Some(b'[') => self.nested(|this| {
                let mut elements = Elements::new(this);
                while elements.advance()? {
                    elements.deserializer().skip()?;
                }
                this.close(b']', "expected `,` or `]`")
            }),
            Some(b'-' | b'0'..=b'9') => self.lexer.skip_number().map(|_| ()),
            Some(b't') => self.lexer.word("true"),
            Some(b'f') => self.lexer.word("false"),
            Some(b'n') => self.lexer.word("null"),
            Some(_) => Err(ArgumentError::syntax("expected a value")),
            None => Err(ArgumentError::syntax("unexpected end")),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.integer(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = ArgumentError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.any(visitor)
    }

    integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'n') => self.lexer.word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    /// `()` is the arguments of a tool without parameters, so that an object will do as well as null.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'{') if self.depth == DEPTH => self.skip().and_then(|()| visitor.visit_unit()),
            _ => self.any(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        self.lexer.peek();
        let start = self.lexer.offset();
        self.skip()?;
        visitor.visit_map(RawText::new(self.lexer.text_since(start)?))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'"') => visitor.visit_borrowed_bytes(self.lexer.string()?.as_bytes()),
            _ => self.any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'"') => visitor.visit_enum(VariantName(self.lexer.string()?)),
            Some(b'{') => self.nested(|this| {
                let value = visitor.visit_enum(Variant(&mut *this))?;
                this.close(b'}', "expected `}` after a variant")?;
                Ok(value)
            }),
            _ => self.any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }

    /// Reads null in place of a call's arguments as an empty object: some models write null if no argument is required.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.lexer.peek() {
            Some(b'n') if self.depth == DEPTH => {
                self.lexer.word("null")?;
                visitor.visit_map(MapDeserializer::<_, ArgumentError>::new(iter::empty::<((), ())>()))
            }
            _ => self.any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string seq tuple tuple_struct identifier
    }
}
