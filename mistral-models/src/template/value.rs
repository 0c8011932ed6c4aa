//! The values of a rendering: Python's, as far as JSON data and template expressions can make them.
//!
//! Containers cannot be changed after they are made (the renderer's sandbox forbids it) and know how deeply they are nested, so
//! printing, comparing and dropping never recurse past [`DEPTH_LIMIT`]. Namespaces, the one mutable kind, are opaque to these.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::Fault;
use super::builtin::{Builtin, Cycler, Joiner};
use super::call::Callable;
use super::looping::Loop;
use super::meter::{self, Held, Meter, OBJECT_BYTES, Vector};
use super::text::Str;

/// Containers inside each other.
pub(super) const DEPTH_LIMIT: usize = 128;

#[derive(Clone)]
pub(super) enum Value {
    /// What is missing, for the message of the error that its use may raise.
    Undefined(Str),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Str),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    View(Rc<View>),
    Generator(Rc<Generator>),
    Namespace(Rc<RefCell<Dict>>),
    Macro(Rc<Callable>),
    Loop(Rc<Loop>),
    Cycler(Rc<Cycler>),
    Joiner(Rc<Joiner>),
    Method(Rc<Method>),
    Builtin(Builtin),
}

/// The items of a list or tuple.
pub(super) struct Items {
    items: Vector<Value>,
    depth: usize,
    /// For the pairs of `groupby`, which have the names `grouper` and `list`.
    pub(super) named: bool,
    _held: Held,
}

impl std::ops::Deref for Items {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// `range(..)`, `dict.keys()`, `dict.values()` or `dict.items()`.
pub(super) struct View {
    pub(super) kind: ViewKind,
    pub(super) items: Rc<Items>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewKind {
    Keys,
    Values,
    Items,
    Range { start: i128, stop: i128, step: i128 },
}

/// The result of a lazy filter: iterable once, without a length.
pub(super) struct Generator {
    items: Rc<Items>,
    next: Cell<usize>,
}

impl Generator {
    pub(super) fn next(&self) -> Option<Value> {
        let item = self.items.get(self.next.get()).cloned();
        self.next.set(self.next.get() + usize::from(item.is_some()));
        item
    }
}

/// A method with the value it was taken from.
pub(super) struct Method {
    pub(super) of: Value,
    pub(super) name: Str,
    _held: Held,
}

/// A dict in insertion order.
pub(super) struct Dict {
    entries: Vector<(Value, Value)>,
    strings: HashMap<Str, usize>,
    others: HashMap<Key, usize>,
    depth: usize,
    tables: Held,
}

/// A key that Python can hash, except strings: equal numbers of different types are one key.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    None,
    Int(i128),
    Float(u64),
    Str(Str),
    Tuple(Vec<Key>),
}

/// Returns the key of a value, whose memory is taken from `held`.
fn key(value: &Value, held: &mut Held) -> Result<Key, Fault> {
    held.meter().step()?;
    Ok(match value {
        Value::None => Key::None,
        Value::Bool(b) => Key::Int((*b).into()),
        Value::Int(i) => Key::Int(*i),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Key::Int(*f as i128),
        Value::Float(f) => Key::Float(f.to_bits()),
        Value::Str(s) => {
            held.meter().read(s.len())?;
            Key::Str(s.clone())
        }
        Value::Tuple(items) => {
            held.grow(items.len().saturating_mul(size_of::<Key>()))?;
            let mut keys = Vec::with_capacity(items.len());
            for item in items.iter() {
                keys.push(key(item, held)?);
            }
            Key::Tuple(keys)
        }
        other => return Err(Fault::new(format!("unhashable type: '{}'", other.type_name()))),
    })
}

pub(super) fn nest(values: impl Iterator<Item = usize>) -> Result<usize, Fault> {
    let depth = 1 + values.max().unwrap_or(0);
    if depth > DEPTH_LIMIT {
        return Err(Fault::new(format!("a value is nested deeper than {DEPTH_LIMIT} levels")));
    }
    Ok(depth)
}

impl Items {
    pub(super) fn new(items: Vector<Value>) -> Result<Rc<Self>, Fault> {
        items.meter().step()?;
        let depth = nest(items.iter().map(Value::depth))?;
        let held = items.meter().hold(OBJECT_BYTES)?;
        Ok(Rc::new(Self { items, depth, named: false, _held: held }))
    }

    pub(super) fn pair(meter: &Rc<Meter>, pair: [Value; 2], named: bool) -> Result<Value, Fault> {
        meter.steps(2)?;
        let items = Vector::copy(meter, &pair, 0)?;
        let depth = nest(items.iter().map(Value::depth))?;
        Ok(Value::Tuple(Rc::new(Self { items, depth, named, _held: meter.hold(OBJECT_BYTES)? })))
    }
}

impl View {
    pub(super) fn value(kind: ViewKind, items: Vector<Value>) -> Result<Value, Fault> {
        Ok(Value::View(Rc::new(Self { kind, items: Items::new(items)? })))
    }
}

impl Method {
    pub(super) fn value(meter: &Rc<Meter>, of: &Value, name: &str) -> Result<Value, Fault> {
        let held = meter.hold(OBJECT_BYTES)?;
        Ok(Value::Method(Rc::new(Self { of: of.clone(), name: Str::copy(meter, name)?, _held: held })))
    }
}

impl Dict {
    pub(super) fn new(meter: &Rc<Meter>) -> Result<Self, Fault> {
        let tables = meter.hold(OBJECT_BYTES)?;
        let (strings, others) = (HashMap::new(), HashMap::new());
        Ok(Self { entries: Vector::new(meter), strings, others, depth: 0, tables })
    }

    pub(super) fn insert(&mut self, name: Value, value: Value) -> Result<(), Fault> {
        self.tables.meter().step()?;
        self.depth = nest([self.depth.saturating_sub(1), name.depth(), value.depth()].into_iter())?;
        let last = self.entries.len();
        let place = match &name {
            Value::Str(name) => {
                self.tables.meter().read(name.len())?;
                match self.strings.get(name) {
                    Some(place) => Some(*place),
                    None => meter::insert(&mut self.strings, &mut self.tables, name.clone(), last)?,
                }
            }
            name => {
                let key = key(name, &mut self.tables)?;
                match self.others.get(&key) {
                    Some(place) => Some(*place),
                    None => meter::insert(&mut self.others, &mut self.tables, key, last)?,
                }
            }
        };
        match place.and_then(|place| self.entries.get_mut(place)) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value))?,
        }
        Ok(())
    }

    /// The value of a key; an error for a key that Python cannot hash.
    pub(super) fn get(&self, name: &Value) -> Result<Option<&Value>, Fault> {
        if let Value::Str(name) = name {
            return self.get_str(name);
        }
        let key = key(name, &mut self.tables.meter().hold(0)?)?;
        Ok(self.others.get(&key).and_then(|&i| self.entries.get(i)).map(|(_, v)| v))
    }

    pub(super) fn get_str(&self, name: &str) -> Result<Option<&Value>, Fault> {
        self.tables.meter().read(name.len())?;
        Ok(self.strings.get(name).and_then(|&i| self.entries.get(i)).map(|(_, v)| v))
    }

    pub(super) fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    pub(super) fn clear(&mut self) -> Vec<(Value, Value)> {
        self.strings.clear();
        self.entries.take()
    }
}

/// Returns the number whose text an object holds in the form of serde_json's `RawValue`: a number too large for serde_json itself. Python's
/// `json` reads integers exactly, and a number too large for a float as infinity.
fn exact_number(object: &serde_json::Map<String, serde_json::Value>) -> Option<Value> {
    let text = object.get("$serde_json::private::RawValue").filter(|_| object.len() == 1)?.as_str()?;
    text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).ok()
}

impl Value {
    pub(super) fn str(meter: &Rc<Meter>, text: &str) -> Result<Self, Fault> {
        Str::copy(meter, text).map(Self::Str)
    }

    pub(super) fn list(items: Vector<Value>) -> Result<Self, Fault> {
        Items::new(items).map(Self::List)
    }

    pub(super) fn tuple(items: Vector<Value>) -> Result<Self, Fault> {
        Items::new(items).map(Self::Tuple)
    }

    pub(super) fn generator(items: Vector<Value>) -> Result<Self, Fault> {
        Ok(Self::Generator(Rc::new(Generator { items: Items::new(items)?, next: Cell::new(0) })))
    }

    /// JSON data as a template sees it. Depth is checked before anything is built.
    pub(super) fn from_json(meter: &Rc<Meter>, json: &serde_json::Value) -> Result<Self, Fault> {
        Self::from_json_at(meter, json, 0)
    }

    fn from_json_at(meter: &Rc<Meter>, json: &serde_json::Value, depth: usize) -> Result<Self, Fault> {
        if depth > DEPTH_LIMIT {
            return Err(Fault::new(format!("the input is nested deeper than {DEPTH_LIMIT} levels")));
        }
        if let Some(number) = json.as_object().and_then(exact_number) {
            return Ok(number);
        }
        Ok(match json {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(b) => Self::Bool(*b),
            serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(i), _) => Self::Int(i.into()),
                (None, Some(u)) => Self::Int(u.into()),
                _ => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(s) => Self::str(meter, s)?,
            serde_json::Value::Array(items) => {
                let mut list = Vector::with_capacity(meter, items.len())?;
                for item in items {
                    list.push(Self::from_json_at(meter, item, depth + 1)?)?;
                }
                Self::list(list)?
            }
            serde_json::Value::Object(map) => {
                let mut dict = Dict::new(meter)?;
                for (name, value) in map {
                    dict.insert(Self::str(meter, name)?, Self::from_json_at(meter, value, depth + 1)?)?;
                }
                Self::Dict(Rc::new(dict))
            }
        })
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) => dict.depth,
            Self::View(view) => view.items.depth,
            Self::Generator(generator) => generator.items.depth,
            Self::Loop(state) => state.items.depth,
            Self::Cycler(cycler) => cycler.items.depth,
            Self::Joiner(joiner) => 1 + joiner.separator.depth(),
            Self::Method(method) => 1 + method.of.depth(),
            _ => 0,
        }
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(s) if s.is_safe() => "Markup",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(view) => match view.kind {
                ViewKind::Keys => "dict_keys",
                ViewKind::Values => "dict_values",
                ViewKind::Items => "dict_items",
                ViewKind::Range { .. } => "range",
            },
            Self::Generator(_) => "generator",
            Self::Namespace(_) => "TemplateNamespace",
            Self::Macro(_) => "Macro",
            Self::Loop(_) => "LoopContext",
            Self::Cycler(_) => "Cycler",
            Self::Joiner(_) => "Joiner",
            Self::Method(_) => "builtin_function_or_method",
            Self::Builtin(_) => "function",
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// Python's `bool(value)`.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
            Self::Dict(dict) => !dict.entries.is_empty(),
            Self::View(view) => !view.items.is_empty(),
            Self::Loop(_)
            | Self::Cycler(_)
            | Self::Joiner(_)
            | Self::Generator(_)
            | Self::Namespace(_)
            | Self::Macro(_)
            | Self::Method(_)
            | Self::Builtin(_) => true,
        }
    }

    /// Booleans count as integers, as in Python.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Bool(b) => Some((*b).into()),
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Float(f) => Some(*f),
            other => other.as_int().map(|i| i as f64),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::Str(s) = self { Some(s) } else { None }
    }

    /// The items of a sequence that can be indexed; strings excluded.
    pub(super) fn items(&self) -> Option<&Rc<Items>> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            Self::View(view) if matches!(view.kind, ViewKind::Range { .. }) => Some(&view.items),
            _ => None,
        }
    }

    /// Python's `len(value)`.
    pub(super) fn length(&self, meter: &Meter) -> Result<usize, Fault> {
        Ok(match self {
            Self::Undefined(_) => 0,
            Self::Str(s) => {
                meter.copied(s.len())?;
                s.chars().count()
            }
            Self::List(items) | Self::Tuple(items) => items.len(),
            Self::Dict(dict) => dict.entries.len(),
            Self::View(view) => view.items.len(),
            Self::Loop(state) => state.items.len(),
            other => return Err(Fault::new(format!("object of type '{}' has no len()", other.type_name()))),
        })
    }

    /// Returns all items that a `for` over the value visits; a generator is empty afterwards.
    pub(super) fn iterate(&self, meter: &Rc<Meter>) -> Result<Rc<Items>, Fault> {
        let mut items = Vector::new(meter);
        match self {
            Self::List(items) | Self::Tuple(items) => return Ok(items.clone()),
            Self::View(view) => return Ok(view.items.clone()),
            Self::Generator(generator) => {
                let from = generator.next.replace(generator.items.len());
                if from == 0 {
                    return Ok(generator.items.clone());
                }
                items.extend_from_slice(generator.items.get(from..).unwrap_or_default())?;
            }
            Self::Undefined(_) => {}
            Self::Str(s) => {
                for c in s.chars() {
                    meter.step()?;
                    items.push(Self::str(meter, c.encode_utf8(&mut [0; 4]))?)?;
                }
            }
            Self::Dict(dict) => {
                items = Vector::with_capacity(meter, dict.entries.len())?;
                for (name, _) in dict.entries() {
                    items.push(name.clone())?;
                }
            }
            other => return Err(Fault::new(format!("'{}' object is not iterable", other.type_name()))),
        }
        Items::new(items)
    }
}
