//! The global functions of chat templates.

use std::rc::Rc;

use super::Fault;
use super::call::{Given, required};
use super::interpreter::{Interpreter, underscore_free};
use super::value::{Dict, Value, View, ViewKind};

/// The sandbox of Jinja2 refuses longer ranges.
const RANGE_LIMIT: i128 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    Range,
    Dict,
    Namespace,
    RaiseException,
    StrftimeNow,
}

impl Builtin {
    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("range", Self::Range),
        ("dict", Self::Dict),
        ("namespace", Self::Namespace),
        ("raise_exception", Self::RaiseException),
        ("strftime_now", Self::StrftimeNow),
    ];
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
            Builtin::RaiseException => {
                let [message] = given.bind("raise_exception", ["message"])?;
                let message = self.text(&required(message, "raise_exception", "message")?)?;
                Err(Fault::new(message))
            }
            Builtin::StrftimeNow => {
                let [format] = given.bind("strftime_now", ["format"])?;
                let Some(Value::Str(format)) = format else {
                    return Err(Fault::new("strftime_now() takes a format string"));
                };
                self.charge(format.len().saturating_mul(16))?;
                Ok(Value::str(self.clock.format(&format)?))
            }
        }
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
        self.charge(length as usize * 32)?;
        let items = (0..length).map(|i| Value::Int(start + i * step)).collect();
        View::value(ViewKind::Range { start, stop, step }, items)
    }

    /// `dict(mapping or pairs, name=value, ...)`
    pub(super) fn dict_from(&mut self, given: Given) -> Result<Dict, Fault> {
        let mut dict = Dict::default();
        if given.positional.len() > 1 {
            return Err(Fault::new("dict() takes at most one positional argument"));
        }
        match given.positional.first() {
            Some(Value::Dict(from)) => {
                for (name, value) in from.entries() {
                    self.charge(128)?;
                    dict.insert(name.clone(), value.clone())?;
                }
            }
            Some(pairs) => {
                for pair in self.visit(pairs)? {
                    self.charge(128)?;
                    let mut pair = self.visit(&pair)?.into_iter();
                    let (Some(name), Some(value), None) = (pair.next(), pair.next(), pair.next()) else {
                        return Err(Fault::new("dict() takes pairs"));
                    };
                    dict.insert(name, value)?;
                }
            }
            None => {}
        }
        for (name, value) in given.named {
            self.charge(128)?;
            dict.insert(Value::Str(name), value)?;
        }
        Ok(dict)
    }
}
