//! The global functions of chat templates.

use std::cell::Cell;
use std::rc::Rc;

use super::Fault;
use super::call::{Given, required};
use super::interpreter::{Interpreter, underscore_free};
use super::meter::{Held, OBJECT_BYTES, Vector};
use super::value::{Dict, Items, Value, View, ViewKind};

/// The sandbox of Jinja2 refuses longer ranges.
const RANGE_LIMIT: i128 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    RaiseException,
    StrftimeNow,
}

impl Builtin {
    pub(super) const ALL: [(&'static str, Self); 8] = [
        ("range", Self::Range),
        ("dict", Self::Dict),
        ("namespace", Self::Namespace),
        ("cycler", Self::Cycler),
        ("joiner", Self::Joiner),
        ("lipsum", Self::Lipsum),
        ("raise_exception", Self::RaiseException),
        ("strftime_now", Self::StrftimeNow),
    ];
}

/// `cycler(..)`: returns its items in turn.
pub(super) struct Cycler {
    pub(super) items: Rc<Items>,
    position: Cell<usize>,
}

impl Cycler {
    pub(super) fn current(&self) -> Value {
        self.items.get(self.position.get()).cloned().unwrap_or(Value::None)
    }

    pub(super) fn next(&self) -> Value {
        let current = self.current();
        self.position.set((self.position.get() + 1) % self.items.len().max(1));
        current
    }

    pub(super) fn reset(&self) -> Value {
        self.position.set(0);
        Value::None
    }
}

/// `joiner(..)`: an empty string at the first call, the separator at all others.
pub(super) struct Joiner {
    pub(super) separator: Value,
    used: Cell<bool>,
    _held: Held,
}

impl Interpreter<'_> {
    pub(super) fn builtin(&mut self, function: Builtin, given: Given) -> Result<Value, Fault> {
        match function {
            Builtin::Range => self.range(given),
            Builtin::Dict => Ok(Value::Dict(Rc::new(self.dict_from(given)?))),
            Builtin::Namespace => {
                let names = self.dict_from(given)?;
                for (name, _) in names.entries() {
                    underscore_free(name.as_str().unwrap_or_default())?;
                }
                self.namespace(names)
            }
            Builtin::Cycler => {
                if let Some((name, _)) = given.named.first() {
                    return Err(Fault::new(format!("cycler() got an unexpected keyword argument '{}'", &**name)));
                }
                if given.positional.is_empty() {
                    return Err(Fault::new("cycler() takes at least one item"));
                }
                let items = Items::new(Vector::copy(&self.meter, &given.positional, 0)?)?;
                Ok(Value::Cycler(Rc::new(Cycler { items, position: Cell::new(0) })))
            }
            Builtin::Joiner => {
                let [separator] = given.bind("joiner", ["sep"])?;
                let separator = match separator {
                    Some(separator) => separator,
                    None => self.str(", ")?,
                };
                super::value::nest(std::iter::once(separator.depth()))?;
                let held = self.meter.hold(OBJECT_BYTES)?;
                Ok(Value::Joiner(Rc::new(Joiner { separator, used: Cell::new(false), _held: held })))
            }
            Builtin::Lipsum => Err(Fault::unsupported("function of chat templates", "lipsum")),
            Builtin::RaiseException => {
                let [message] = given.bind("raise_exception", ["message"])?;
                let message = self.text(&required(message, "raise_exception", "message")?)?;
                let _copy = self.meter.hold(message.len())?;
                Err(Fault::new(message.to_string()))
            }
            Builtin::StrftimeNow => {
                let [format] = given.bind("strftime_now", ["format"])?;
                let Some(Value::Str(format)) = format else {
                    return Err(Fault::new("strftime_now() takes a format string"));
                };
                // A directive of two bytes prints at most 24, and the text in the making doubles its memory.
                let _text = self.meter.hold(format.len().saturating_mul(48))?;
                self.meter.steps(format.len())?;
                self.str(&self.clock.format(&format)?)
            }
        }
    }

    /// `joiner()`
    pub(super) fn join_again(&mut self, joiner: &Joiner, given: Given) -> Result<Value, Fault> {
        let [] = given.bind("joiner", [])?;
        if joiner.used.replace(true) { Ok(joiner.separator.clone()) } else { self.str("") }
    }

    fn range(&mut self, given: Given) -> Result<Value, Fault> {
        let bounds = given
            .positional
            .iter()
            .map(|v| {
                v.as_int().ok_or_else(|| {
                    Fault::new(format!("'{}' object cannot be interpreted as an integer", v.type_name()))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (start, stop, step) = match bounds[..] {
            [stop] => (0, stop, 1),
            [start, stop] => (start, stop, 1),
            [start, stop, step] if step != 0 => (start, stop, step),
            _ => return Err(Fault::new("range() takes 1 to 3 integers, and no step of zero")),
        };
        let span = if step > 0 { stop.checked_sub(start) } else { start.checked_sub(stop) };
        let length = span
            .map(|s| s.max(0))
            .and_then(|s| s.checked_add(step.checked_abs()?.checked_sub(1)?))
            .and_then(|s| s.checked_div(step.checked_abs()?))
            .filter(|&n| n <= RANGE_LIMIT)
            .ok_or_else(|| Fault::new(format!("range too big, the sandbox allows {RANGE_LIMIT} items")))?;
        let mut items = Vector::with_capacity(&self.meter, length as usize)?;
        for i in 0..length {
            items.push(Value::Int(start + i * step))?;
        }
        View::value(ViewKind::Range { start, stop, step }, items)
    }

    /// `dict(mapping or pairs, name=value, ...)`
    fn dict_from(&mut self, given: Given) -> Result<Dict, Fault> {
        let mut dict = Dict::new(&self.meter)?;
        if given.positional.len() > 1 {
            return Err(Fault::new("dict() takes at most one positional argument"));
        }
        match given.positional.first() {
            Some(Value::Dict(from)) => {
                for (name, value) in from.entries() {
                    dict.insert(name.clone(), value.clone())?;
                }
            }
            Some(pairs) => {
                for pair in self.visit(pairs)?.iter() {
                    let pair = self.visit(pair)?;
                    let [name, value] = &pair[..] else { return Err(Fault::new("dict() takes pairs")) };
                    dict.insert(name.clone(), value.clone())?;
                }
            }
            None => {}
        }
        for (name, value) in given.named {
            dict.insert(Value::Str(name), value)?;
        }
        Ok(dict)
    }
}
