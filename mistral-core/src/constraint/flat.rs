//! Schemas in a normal form. A record combines conditions that hold together, and a schema is a list of records of which one must hold. The
//! normal form has no `allOf`, `anyOf`, `oneOf`, `not`, `if`, dependencies or references: as far as possible, records express them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::number::{Decimal, Range};

pub(super) const NULL: u8 = 1;
pub(super) const BOOLEAN: u8 = 2;
pub(super) const INTEGER: u8 = 4;
/// The type of numbers that are not whole.
pub(super) const FRACTION: u8 = 8;
pub(super) const NUMBER: u8 = INTEGER | FRACTION;
pub(super) const STRING: u8 = 16;
pub(super) const ARRAY: u8 = 32;
pub(super) const OBJECT: u8 = 64;
pub(super) const ALL: u8 = 127;

pub(super) static TRUE: Value = Value::Bool(true);
pub(super) static FALSE: Value = Value::Bool(false);

/// A schema at a place of a document, or its opposite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sub<'d> {
    /// A JSON pointer to the schema.
    pub(super) at: Arc<str>,
    pub(super) schema: &'d Value,
    pub(super) not: bool,
}

impl<'d> Sub<'d> {
    pub(super) fn new(at: impl Into<Arc<str>>, schema: &'d Value) -> Self {
        Self { at: at.into(), schema, not: false }
    }

    pub(super) fn negated(self) -> Self {
        Self { not: !self.not, ..self }
    }

    /// Returns whether the schema allows no value.
    pub(super) fn is_false(&self) -> bool {
        self.schema == &Value::Bool(self.not)
    }

    pub(super) fn is_true(&self) -> bool {
        self.schema == &Value::Bool(!self.not)
    }
}

/// A regular expression or a format that strings have, or do not have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text<'d> {
    pub(super) at: Arc<str>,
    pub(super) keyword: &'static str,
    pub(super) text: &'d str,
    pub(super) not: bool,
}

/// The schemas of the items of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct List<'d> {
    pub(super) prefix: Vec<Sub<'d>>,
    pub(super) rest: Option<Sub<'d>>,
}

/// How many items of a list follow a schema.
#[derive(Debug, Clone)]
pub(super) struct Contains<'d> {
    pub(super) at: Arc<str>,
    pub(super) item: Sub<'d>,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
}

/// The schemas of the properties of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Members<'d> {
    pub(super) named: Vec<(&'d str, Sub<'d>)>,
    pub(super) patterns: Vec<(&'d str, Sub<'d>)>,
    pub(super) rest: Option<Sub<'d>>,
}

/// The least and the greatest number of something.
pub(super) type Count = (u32, Option<u32>);

/// A record: conditions that hold together.
#[derive(Debug, Clone)]
pub(super) struct Flat<'d> {
    /// The place of the first schema in it.
    pub(super) at: Arc<str>,
    pub(super) types: u8,
    pub(super) values: Option<Vec<&'d Value>>,
    pub(super) excluded: Vec<&'d Value>,
    pub(super) range: Range,
    /// The range of integers only.
    pub(super) integers: Range,
    /// Each divisor, with a flag that is true if numbers must not be multiples of it.
    pub(super) multiples: Vec<(Arc<str>, Decimal, bool)>,
    pub(super) texts: Vec<Text<'d>>,
    pub(super) length: Count,
    pub(super) items: Count,
    pub(super) lists: Vec<List<'d>>,
    pub(super) contains: Vec<Contains<'d>>,
    /// The place of `uniqueItems`.
    pub(super) unique: Option<Arc<str>>,
    pub(super) properties: Count,
    pub(super) required: Vec<&'d str>,
    pub(super) members: Vec<Members<'d>>,
    pub(super) names: Vec<Sub<'d>>,
}

impl<'d> Flat<'d> {
    /// Returns the record of any value of some types.
    pub(super) fn of(at: &Arc<str>, types: u8) -> Self {
        Self {
            at: Arc::clone(at),
            types,
            values: None,
            excluded: Vec::new(),
            range: Range::default(),
            integers: Range::default(),
            multiples: Vec::new(),
            texts: Vec::new(),
            length: (0, None),
            items: (0, None),
            lists: Vec::new(),
            contains: Vec::new(),
            unique: None,
            properties: (0, None),
            required: Vec::new(),
            members: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Combines two records: a value must follow both. Returns `None` if certainly no value does.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        both.types &= other.types;
        both.values = match (&self.values, &other.values) {
            (Some(ours), Some(theirs)) => {
                Some(ours.iter().copied().filter(|value| theirs.iter().any(|other| equal(value, other))).collect())
            }
            (ours, theirs) => ours.as_ref().or(theirs.as_ref()).cloned(),
        };
        both.excluded.extend(&other.excluded);
        both.range.and(&other.range);
        both.integers.and(&other.integers);
        both.multiples.extend(other.multiples.iter().cloned());
        let new = other.texts.iter().filter(|text| !self.texts.contains(text));
        both.texts.extend(new.cloned());
        both.length = narrower(self.length, other.length);
        both.items = narrower(self.items, other.items);
        both.lists.extend(other.lists.iter().cloned());
        both.contains.extend(other.contains.iter().cloned());
        both.unique = self.unique.clone().or_else(|| other.unique.clone());
        both.properties = narrower(self.properties, other.properties);
        let new = other.required.iter().filter(|name| !self.required.contains(name));
        both.required.extend(new);
        both.members.extend(other.members.iter().cloned());
        both.names.extend(other.names.iter().cloned());
        both.narrow();
        (both.types != 0).then_some(both)
    }

    /// Removes values and types that exclude each other.
    pub(super) fn narrow(&mut self) {
        let (types, excluded) = (self.types, &self.excluded);
        if let Some(values) = &mut self.values {
            values.retain(|value| types & type_of(value) != 0 && !excluded.iter().any(|other| equal(value, other)));
            self.types &= values.iter().fold(0, |types, value| types | type_of(value));
        }
    }

    /// Returns the types that the record speaks of: a schema without `type` that names properties means objects.
    pub(super) fn meant(&self) -> u8 {
        let objects = !self.members.is_empty()
            || !self.required.is_empty()
            || !self.names.is_empty()
            || self.properties != (0, None);
        let arrays =
            !self.lists.is_empty() || !self.contains.is_empty() || self.unique.is_some() || self.items != (0, None);
        let strings = !self.texts.is_empty() || self.length != (0, None);
        let numbers = !self.multiples.is_empty() || self.range != Range::default();
        match self.types {
            ALL if objects => OBJECT,
            ALL if arrays => ARRAY,
            ALL if strings => STRING,
            ALL if numbers => NUMBER,
            types => types,
        }
    }
}

/// Returns the counts that are within both ranges.
fn narrower(a: Count, b: Count) -> Count {
    let max = match (a.1, b.1) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    (a.0.max(b.0), max)
}

/// Returns the types of a name in `type`.
pub(super) fn named_type(name: &str) -> Option<u8> {
    Some(match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" => INTEGER,
        "number" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => return None,
    })
}

pub(super) fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) => match Decimal::new(number) {
            Some(number) if !number.is_whole() => FRACTION,
            _ => INTEGER,
        },
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// Returns whether two values are equal, where `1` equals `1.0`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (Decimal::new(a), Decimal::new(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Returns a list, or one value as a list of one.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// Returns the texts of a list, or one text.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    list(value).iter().filter_map(Value::as_str)
}

/// Returns the count under a key of a schema, if there is one.
pub(super) fn count(schema: &Map<String, Value>, key: &str) -> Option<u32> {
    schema.get(key).and_then(Value::as_f64).map(|count| count.clamp(0.0, 4e9) as u32)
}

/// Appends keys to a JSON pointer.
pub(super) fn below(at: &str, keys: &[&str]) -> Arc<str> {
    let mut all = at.to_owned();
    for key in keys {
        all.push('/');
        all.push_str(&key.replace('~', "~0").replace('/', "~1"));
    }
    all.into()
}
