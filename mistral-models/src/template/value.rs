//! The values of a rendering: Python's, as far as JSON data and template expressions can make them.
//!
//! Containers cannot be changed after they are made (the renderer's sandbox forbids it) and know how deeply they are nested, so
//! printing, comparing and dropping never recurse past [`DEPTH_LIMIT`]. Namespaces, the one mutable kind, are opaque to these.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::Fault;
use super::builtin::Builtin;
use super::call::Callable;
use super::looping::Loop;

/// Containers inside each other.
const DEPTH_LIMIT: usize = 128;

#[derive(Clone)]
pub(super) enum Value {
    /// What is missing, for the message of the error that its use may raise.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    View(Rc<View>),
    /// What lazy filters give: iterable once, without a length.
    Generator(Rc<RefCell<VecDeque<Value>>>),
    Namespace(Rc<RefCell<Dict>>),
    Macro(Rc<Callable>),
    Loop(Rc<Loop>),
    Method(Rc<(Value, Rc<str>)>),
    Builtin(Builtin),
}

/// The items of a list or tuple.
pub(super) struct Items {
    pub(super) items: Vec<Value>,
    depth: usize,
}

/// `range(..)`, `dict.keys()`, `dict.values()` or `dict.items()`.
pub(super) struct View {
    pub(super) kind: ViewKind,
    pub(super) items: Vec<Value>,
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewKind {
    Keys,
    Values,
    Items,
    Range { start: i128, stop: i128, step: i128 },
}

/// A dict in insertion order.
#[derive(Default)]
pub(super) struct Dict {
    entries: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
    depth: usize,
}

/// What Python hashes: equal numbers of different types are one key.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    None,
    Int(i128),
    Float(u64),
    Str(Rc<str>),
    Tuple(Vec<Key>),
}

fn key(value: &Value) -> Result<Key, Fault> {
    Ok(match value {
        Value::None => Key::None,
        Value::Bool(b) => Key::Int((*b).into()),
        Value::Int(i) => Key::Int(*i),
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e30 => Key::Int(*f as i128),
        Value::Float(f) => Key::Float(f.to_bits()),
        Value::Str(s) => Key::Str(s.clone()),
        Value::Tuple(t) => Key::Tuple(t.items.iter().map(key).collect::<Result<_, _>>()?),
        other => return Err(Fault::new(format!("unhashable type: '{}'", other.type_name()))),
    })
}

fn nest(values: impl Iterator<Item = usize>) -> Result<usize, Fault> {
    let depth = 1 + values.max().unwrap_or(0);
    if depth > DEPTH_LIMIT {
        return Err(Fault::new(format!("a value is nested deeper than {DEPTH_LIMIT} levels")));
    }
    Ok(depth)
}

impl Items {
    pub(super) fn new(items: Vec<Value>) -> Result<Rc<Self>, Fault> {
        let depth = nest(items.iter().map(Value::depth))?;
        Ok(Rc::new(Self { items, depth }))
    }
}

impl View {
    pub(super) fn value(kind: ViewKind, items: Vec<Value>) -> Result<Value, Fault> {
        let depth = nest(items.iter().map(Value::depth))?;
        Ok(Value::View(Rc::new(Self { kind, items, depth })))
    }
}

impl Dict {
    pub(super) fn insert(&mut self, name: Value, value: Value) -> Result<(), Fault> {
        self.depth = nest([self.depth.saturating_sub(1), name.depth(), value.depth()].into_iter())?;
        match self.places.entry(key(&name)?) {
            std::collections::hash_map::Entry::Occupied(place) => {
                if let Some(entry) = self.entries.get_mut(*place.get()) {
                    entry.1 = value;
                }
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                self.entries.push((name, value));
            }
        }
        Ok(())
    }

    /// The value of a key; an error for a key that Python cannot hash.
    pub(super) fn get(&self, name: &Value) -> Result<Option<&Value>, Fault> {
        Ok(self.places.get(&key(name)?).and_then(|&i| self.entries.get(i)).map(|(_, v)| v))
    }

    pub(super) fn get_str(&self, name: &str) -> Option<&Value> {
        self.places.get(&Key::Str(name.into())).and_then(|&i| self.entries.get(i)).map(|(_, v)| v)
    }

    pub(super) fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    pub(super) fn clear(&mut self) -> Vec<(Value, Value)> {
        self.places.clear();
        std::mem::take(&mut self.entries)
    }
}

/// The number whose text an object holds as `RawValue` of serde_json writes it: one that serde_json itself has no room for. Python's
/// `json` reads integers exactly, and what is too large for a float as infinity.
fn exact_number(object: &serde_json::Map<String, serde_json::Value>) -> Option<Value> {
    let text = object.get("$serde_json::private::RawValue").filter(|_| object.len() == 1)?.as_str()?;
    text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).ok()
}

impl Value {
    pub(super) fn str(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Result<Self, Fault> {
        Items::new(items).map(Self::List)
    }

    pub(super) fn tuple(items: Vec<Value>) -> Result<Self, Fault> {
        Items::new(items).map(Self::Tuple)
    }

    pub(super) fn generator(items: Vec<Value>) -> Result<Self, Fault> {
        nest(items.iter().map(Value::depth))?;
        Ok(Self::Generator(Rc::new(RefCell::new(items.into()))))
    }

    pub(super) fn missing(what: impl Into<Rc<str>>) -> Self {
        Self::Undefined(what.into())
    }

    /// JSON data as a template sees it. Depth is checked before anything is built.
    pub(super) fn from_json(json: &serde_json::Value) -> Result<Self, Fault> {
        Self::from_json_at(json, 0)
    }

    fn from_json_at(json: &serde_json::Value, depth: usize) -> Result<Self, Fault> {
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
            serde_json::Value::String(s) => Self::str(s.as_str()),
            serde_json::Value::Array(items) => {
                Self::list(items.iter().map(|v| Self::from_json_at(v, depth + 1)).collect::<Result<_, _>>()?)?
            }
            serde_json::Value::Object(map) => {
                let mut dict = Dict::default();
                for (name, value) in map {
                    dict.insert(Self::str(name.as_str()), Self::from_json_at(value, depth + 1)?)?;
                }
                Self::Dict(Rc::new(dict))
            }
        })
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(items) | Self::Tuple(items) => items.depth,
            Self::Dict(dict) => dict.depth,
            Self::View(view) => view.depth,
            Self::Generator(items) => 1 + items.borrow().iter().map(Self::depth).max().unwrap_or(0),
            Self::Method(method) => 1 + method.0.depth(),
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
            Self::List(items) | Self::Tuple(items) => !items.items.is_empty(),
            Self::Dict(dict) => !dict.entries.is_empty(),
            Self::View(view) => !view.items.is_empty(),
            Self::Loop(_)
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
    pub(super) fn items(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(&items.items),
            Self::View(view) if matches!(view.kind, ViewKind::Range { .. }) => Some(&view.items),
            _ => None,
        }
    }

    /// Python's `len(value)`.
    pub(super) fn length(&self) -> Result<usize, Fault> {
        Ok(match self {
            Self::Undefined(_) => 0,
            Self::Str(s) => s.chars().count(),
            Self::List(items) | Self::Tuple(items) => items.items.len(),
            Self::Dict(dict) => dict.entries.len(),
            Self::View(view) => view.items.len(),
            Self::Loop(state) => state.items.len(),
            other => return Err(Fault::new(format!("object of type '{}' has no len()", other.type_name()))),
        })
    }

    /// All items that a `for` over the value visits.
    pub(super) fn iterate(&self) -> Result<Vec<Value>, Fault> {
        Ok(match self {
            Self::Undefined(_) => Vec::new(),
            Self::Str(s) => s.chars().map(|c| Self::str(c.encode_utf8(&mut [0; 4]) as &str)).collect(),
            Self::List(items) | Self::Tuple(items) => items.items.clone(),
            Self::Dict(dict) => dict.entries.iter().map(|(k, _)| k.clone()).collect(),
            Self::View(view) => view.items.clone(),
            Self::Generator(items) => std::mem::take(&mut *items.borrow_mut()).into(),
            other => return Err(Fault::new(format!("'{}' object is not iterable", other.type_name()))),
        })
    }

    /// Python's `==`.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let all = |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b));
        match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => all(&a.items, &b.items),
            (Self::Dict(a), Self::Dict(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries.iter().all(|(k, v)| matches!(b.get(k), Ok(Some(w)) if v.equals(w)))
            }
            (Self::View(a), Self::View(b)) => match (a.kind, b.kind) {
                (ViewKind::Range { .. }, ViewKind::Range { .. }) => all(&a.items, &b.items),
                (ViewKind::Values, _) | (_, ViewKind::Values) => Rc::ptr_eq(a, b),
                _ => a.items.len() == b.items.len() && a.items.iter().all(|x| b.items.iter().any(|y| x.equals(y))),
            },
            (Self::Generator(a), Self::Generator(b)) => Rc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            (Self::Loop(a), Self::Loop(b)) => Rc::ptr_eq(a, b),
            (Self::Builtin(a), Self::Builtin(b)) => a == b,
            (Self::Method(a), Self::Method(b)) => a.1 == b.1 && a.0.equals(&b.0),
            (Self::Float(a), b) => b.as_number().is_some_and(|b| *a == b),
            (a, Self::Float(b)) => a.as_number().is_some_and(|a| a == *b),
            (a, b) => matches!((a.as_int(), b.as_int()), (Some(a), Some(b)) if a == b),
        }
    }

    /// Python's `is`, as far as templates can tell.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => Rc::ptr_eq(a, b),
            (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b) || (a.items.is_empty() && b.items.is_empty()),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::View(a), Self::View(b)) => Rc::ptr_eq(a, b),
            (a, b) => a.type_name() == b.type_name() && a.equals(b),
        }
    }
}
