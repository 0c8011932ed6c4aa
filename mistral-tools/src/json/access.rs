//! Elements, entries, keys and variants, as serde asks for them.

use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};

use super::{ArgumentError, Deserializer, RAW_VALUE, Result};

/// The elements of an array, up to its bracket.
pub(super) struct Elements<'a, 'de> {
    deserializer: &'a mut Deserializer<'de>,
    first: bool,
}

/// The entries of an object, up to its bracket.
pub(super) struct Entries<'a, 'de>(Elements<'a, 'de>);

impl<'a, 'de> Elements<'a, 'de> {
    pub(super) fn new(deserializer: &'a mut Deserializer<'de>) -> Self {
        Self { deserializer, first: true }
    }

    pub(super) fn deserializer(&mut self) -> &mut Deserializer<'de> {
        self.deserializer
    }

    /// Passes over a comma; whether another element follows.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.advance_before(b']', "expected `,` or `]`")
    }

    fn advance_before(&mut self, bracket: u8, expected: &'static str) -> Result<bool> {
        let lexer = &mut self.deserializer.lexer;
        match lexer.peek() {
            Some(byte) if byte == bracket => return Ok(false),
            Some(b',') if !self.first => {
                lexer.advance();
                if lexer.peek() == Some(bracket) {
                    return Err(ArgumentError::syntax("a comma before a bracket"));
                }
            }
            Some(_) if self.first => {}
            Some(_) => return Err(ArgumentError::syntax(expected)),
            None => return Err(ArgumentError::syntax("unexpected end")),
        }
        self.first = false;
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = ArgumentError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.advance()? { seed.deserialize(&mut *self.deserializer).map(Some) } else { Ok(None) }
    }
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn new(deserializer: &'a mut Deserializer<'de>) -> Self {
        Self(Elements::new(deserializer))
    }

    pub(super) fn deserializer(&mut self) -> &mut Deserializer<'de> {
        self.0.deserializer
    }

    pub(super) fn advance(&mut self) -> Result<bool> {
        let more = self.0.advance_before(b'}', "expected `,` or `}`")?;
        if more && self.deserializer().lexer.peek() != Some(b'"') {
            return Err(ArgumentError::syntax("expected a key in quotes"));
        }
        Ok(more)
    }

    pub(super) fn colon(&mut self) -> Result<()> {
        colon(self.deserializer())
    }
}

fn colon(deserializer: &mut Deserializer<'_>) -> Result<()> {
    if deserializer.lexer.peek() != Some(b':') {
        return Err(ArgumentError::syntax("expected `:`"));
    }
    deserializer.lexer.advance();
    Ok(())
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = ArgumentError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = self.deserializer().lexer.string()?;
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.colon()?;
        seed.deserialize(self.deserializer())
    }
}

/// The key of an object. Maps with keys of numbers or booleans find them spelled in the string.
struct Key<'de>(&'de str);

macro_rules! spelled {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_borrowed_str(self.0),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Key<'de> {
    type Error = ArgumentError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    spelled!(deserialize_bool visit_bool
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64 deserialize_i128 visit_i128
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64 deserialize_u128 visit_u128
        deserialize_f32 visit_f32 deserialize_f64 visit_f64);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(VariantName(self.0))
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant that is only a name.
pub(super) struct VariantName<'de>(pub(super) &'de str);

impl<'de> EnumAccess<'de> for VariantName<'de> {
    type Error = ArgumentError;
    type Variant = NoContent;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, NoContent)> {
        Ok((seed.deserialize(BorrowedStrDeserializer::new(self.0))?, NoContent))
    }
}

pub(super) struct NoContent;

impl<'de> VariantAccess<'de> for NoContent {
    type Error = ArgumentError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"struct variant"))
    }
}

/// A variant with content: the only entry of an object.
pub(super) struct Variant<'a, 'de>(pub(super) &'a mut Deserializer<'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = ArgumentError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        self.0.lexer.peek();
        let name = self.0.lexer.string()?;
        let variant = seed.deserialize(BorrowedStrDeserializer::new(name))?;
        colon(self.0)?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = ArgumentError;

    fn unit_variant(self) -> Result<()> {
        de::Deserialize::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_seq(self.0, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        de::Deserializer::deserialize_struct(self.0, "", fields, visitor)
    }
}

/// The text of a value, in the form that `RawValue` takes: a map of one entry.
pub(super) struct RawText<'de>(Option<&'de str>);

impl<'de> RawText<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self(Some(text))
    }
}

impl<'de> MapAccess<'de> for RawText<'de> {
    type Error = ArgumentError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.0.is_none() {
            return Ok(None);
        }
        let token: StrDeserializer<'_, ArgumentError> = RAW_VALUE.into_deserializer();
        seed.deserialize(token).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(BorrowedStrDeserializer::new(self.0.take().unwrap_or_default()))
    }
}
