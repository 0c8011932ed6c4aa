//! Typed key-value metadata of a GGUF file. Arrays are stored as one typed vector, never as an enum an element.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// A list of strings in one buffer: four bytes per string in addition to its text. Cloning is cheap: clones share the buffer until one of
/// them is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    packed: Arc<Packed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Packed {
    text: String,
    /// The end of each string, without multiples of 4 GiB.
    ends: Vec<u32>,
    /// The first string that ends beyond each multiple of 4 GiB.
    wraps: Vec<usize>,
}

impl Packed {
    fn end(&self, index: usize) -> Option<usize> {
        let low = u64::from(*self.ends.get(index)?);
        let wraps = self.wraps.partition_point(|first| *first <= index) as u64;
        usize::try_from(wraps << 32 | low).ok()
    }
}

impl Strings {
    /// Returns an empty list with room for `strings` strings of `bytes` bytes together.
    pub fn with_capacity(strings: usize, bytes: usize) -> Self {
        let (text, ends) = (String::with_capacity(bytes), Vec::with_capacity(strings));
        Self { packed: Arc::new(Packed { text, ends, wraps: Vec::new() }) }
    }

    /// Frees unused room.
    pub fn shrink_to_fit(&mut self) {
        let packed = Arc::make_mut(&mut self.packed);
        packed.text.shrink_to_fit();
        packed.ends.shrink_to_fit();
    }

    /// Appends a string.
    pub fn push(&mut self, s: &str) {
        let packed = Arc::make_mut(&mut self.packed);
        packed.text.push_str(s);
        let end = packed.text.len() as u64;
        while packed.wraps.len() < (end >> 32) as usize {
            packed.wraps.push(packed.ends.len());
        }
        packed.ends.push((end & u64::from(u32::MAX)) as u32);
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.packed.ends.len()
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.packed.ends.is_empty()
    }

    /// Returns the bytes of all strings together.
    pub fn bytes(&self) -> usize {
        self.packed.text.len()
    }

    /// Returns the string at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = self.packed.end(index)?;
        let start = index.checked_sub(1).and_then(|before| self.packed.end(before)).unwrap_or(0);
        self.packed.text.get(start..end)
    }

    /// Returns all strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|i| self.get(i).unwrap_or_default())
    }
}

impl<'a> FromIterator<&'a str> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a str>>(iter: I) -> Self {
        let mut all = Self::default();
        iter.into_iter().for_each(|s| all.push(s));
        all
    }
}

/// A list of strings that are not all UTF-8, in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByteStrings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteStrings {
    /// Makes an empty list with room for `strings` strings of `bytes` bytes together.
    pub fn with_capacity(strings: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(strings) }
    }

    /// Appends a string.
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether the list has no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns all strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// A typed array of GGUF metadata.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the element types
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Str(Strings),
    /// Strings of which at least one is not UTF-8.
    Bytes(ByteStrings),
    /// Arrays of arrays, which the format allows and no known file uses deeply.
    Nested(Vec<Array>),
}

/// One metadata value, in the type of the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the types
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(String),
    /// A string that is not UTF-8.
    Bytes(Vec<u8>),
    Array(Array),
}

impl Array {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Str(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::Nested(v) => v.len(),
        }
    }

    /// Returns whether the array has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Value {
    /// Any integer type, as u64; `None` for negative numbers and other types.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// A float type or an integer, as f64.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(v) => Some(v.into()),
            Self::F64(v) => Some(v),
            Self::I8(v) => Some(v.into()),
            Self::I16(v) => Some(v.into()),
            Self::I32(v) => Some(v.into()),
            _ => self.as_u64().map(|v| v as f64),
        }
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(v) = *self { Some(v) } else { None }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(v) = self { Some(v) } else { None }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        if let Self::Array(v) = self { Some(v) } else { None }
    }
}

/// Writes a value in short form for messages: its type and its beginning.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(v) => write!(f, "the u8 {v}"),
            Self::I8(v) => write!(f, "the i8 {v}"),
            Self::U16(v) => write!(f, "the u16 {v}"),
            Self::I16(v) => write!(f, "the i16 {v}"),
            Self::U32(v) => write!(f, "the u32 {v}"),
            Self::I32(v) => write!(f, "the i32 {v}"),
            Self::U64(v) => write!(f, "the u64 {v}"),
            Self::I64(v) => write!(f, "the i64 {v}"),
            Self::F32(v) => write!(f, "the f32 {v:?}"),
            Self::F64(v) => write!(f, "the f64 {v:?}"),
            Self::Bool(v) => write!(f, "the boolean {v}"),
            Self::Str(v) => write!(f, "the string {:?}", v.chars().take(60).collect::<String>()),
            Self::Bytes(v) => write!(f, "a string of {} bytes that are not UTF-8", v.len()),
            Self::Array(v) => write!(f, "an array of {} elements", v.len()),
        }
    }
}

/// The metadata of a checkpoint, by key. Ordered by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    /// Sets a key; the former value is returned (GGUF forbids duplicates, the reader reports them).
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> Option<Value> {
        self.entries.insert(key.into(), value)
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let wrong = |value: &Value| Error::config(key, format!("is {value}; expected {kind}"));
        self.get(key).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }

    /// An unsigned integer of any width. `Ok(None)` when absent, [`Error::Config`] when of another type; likewise below.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "an unsigned integer", Value::as_u64)
    }

    /// A number.
    pub fn f64(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "a boolean", Value::as_bool)
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A list of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>, Error> {
        self.typed(key, "an array of strings", |v| match v.as_array() {
            Some(Array::Str(s)) => Some(s),
            _ => None,
        })
    }

    /// A list of f32.
    pub fn f32s(&self, key: &str) -> Result<Option<&[f32]>, Error> {
        self.typed(key, "an array of f32", |v| match v.as_array() {
            Some(Array::F32(a)) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// A list of i32 (u32 arrays of small numbers are not converted; token types are i32 in every known file).
    pub fn i32s(&self, key: &str) -> Result<Option<&[i32]>, Error> {
        self.typed(key, "an array of i32", |v| match v.as_array() {
            Some(Array::I32(a)) => Some(a.as_slice()),
            _ => None,
        })
    }
}
