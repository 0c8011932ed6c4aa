//! Operators, subscripts, slices and attributes with Python's meaning and Python's type errors.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Fault;
use super::ast::{Arithmetic, Comparison};
use super::interpreter::Interpreter;
use super::method::{changes_value, has_method};
use super::value::{Value, View, ViewKind};

fn overflow() -> Fault {
    Fault::new("an integer exceeds 128 bits")
}

fn missing(what: &str) -> Fault {
    Fault::new(what.to_string())
}

pub(super) fn negative(value: &Value) -> Result<Value, Fault> {
    match (value, value.as_int()) {
        (Value::Float(f), _) => Ok(Value::Float(-f)),
        (_, Some(i)) => i.checked_neg().map(Value::Int).ok_or_else(overflow),
        (Value::Undefined(what), _) => Err(missing(what)),
        _ => Err(Fault::new(format!("bad operand type for unary -: '{}'", value.type_name()))),
    }
}

pub(super) fn positive(value: &Value) -> Result<Value, Fault> {
    match (value, value.as_int()) {
        (Value::Float(f), _) => Ok(Value::Float(*f)),
        (_, Some(i)) => Ok(Value::Int(i)),
        (Value::Undefined(what), _) => Err(missing(what)),
        _ => Err(Fault::new(format!("bad operand type for unary +: '{}'", value.type_name()))),
    }
}

fn floor_division(a: i128, b: i128) -> Option<(i128, i128)> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    if rest != 0 && (rest < 0) != (b < 0) { Some((quotient - 1, rest + b)) } else { Some((quotient, rest)) }
}

fn integers(operator: Arithmetic, a: i128, b: i128) -> Result<Value, Fault> {
    if b == 0 && matches!(operator, Arithmetic::Div | Arithmetic::FloorDiv | Arithmetic::Rem) {
        return Err(Fault::new("division by zero"));
    }
    let value = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Sub => a.checked_sub(b),
        Arithmetic::Mul => a.checked_mul(b),
        Arithmetic::FloorDiv => floor_division(a, b).map(|d| d.0),
        Arithmetic::Rem => floor_division(a, b).map(|d| d.1),
        Arithmetic::Div => return Ok(Value::Float(a as f64 / b as f64)),
        Arithmetic::Pow if b < 0 => return floats(operator, a as f64, b as f64),
        Arithmetic::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
    };
    value.map(Value::Int).ok_or_else(overflow)
}

fn floats(operator: Arithmetic, a: f64, b: f64) -> Result<Value, Fault> {
    if b == 0.0 && matches!(operator, Arithmetic::Div | Arithmetic::FloorDiv | Arithmetic::Rem) {
        return Err(Fault::new("float division by zero"));
    }
    let modulo = || {
        let rest = a % b;
        if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { 0.0f64.copysign(b) + rest }
    };
    Ok(Value::Float(match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Rem => modulo(),
        Arithmetic::FloorDiv => ((a - modulo()) / b).round(),
        Arithmetic::Pow if a == 0.0 && b < 0.0 => return Err(Fault::new("zero to a negative power")),
        Arithmetic::Pow if a < 0.0 && b.fract() != 0.0 => return Err(Fault::new("complex numbers are not supported")),
        Arithmetic::Pow => a.powf(b),
    }))
}

impl Interpreter<'_> {
    pub(super) fn arithmetic(&mut self, operator: Arithmetic, a: &Value, b: &Value) -> Result<Value, Fault> {
        use Arithmetic::{Add, Mul, Rem};
        match (operator, a, b) {
            (Rem, Value::Str(format), _) => return Ok(Value::str(self.printf(format, b)?)),
            (_, Value::Undefined(what), _) | (_, _, Value::Undefined(what)) => return Err(missing(what)),
            (Add, Value::Str(a), Value::Str(b)) => {
                self.charge(a.len() + b.len())?;
                return Ok(Value::str([&**a, &**b].concat()));
            }
            (Add, Value::List(a), Value::List(b)) => {
                self.charge((a.items.len() + b.items.len()) * 32)?;
                return Value::list([&a.items[..], &b.items[..]].concat());
            }
            (Add, Value::Tuple(a), Value::Tuple(b)) => {
                self.charge((a.items.len() + b.items.len()) * 32)?;
                return Value::tuple([&a.items[..], &b.items[..]].concat());
            }
            (Mul, _, _) => {
                if let Some(n) = b.as_int().filter(|_| a.as_number().is_none()) {
                    return self.repeat(a, n);
                }
                if let Some(n) = a.as_int().filter(|_| b.as_number().is_none()) {
                    return self.repeat(b, n);
                }
            }
            _ => {}
        }
        match (a.as_int(), b.as_int(), a.as_number(), b.as_number()) {
            (Some(a), Some(b), ..) => integers(operator, a, b),
            (_, _, Some(a), Some(b)) => floats(operator, a, b),
            _ => Err(Fault::new(format!(
                "unsupported operand types for {operator:?}: '{}' and '{}'",
                a.type_name(),
                b.type_name()
            ))),
        }
    }

    fn repeat(&mut self, value: &Value, times: i128) -> Result<Value, Fault> {
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        match value {
            Value::Str(s) => {
                self.charge(s.len().saturating_mul(times))?;
                Ok(Value::str(if s.is_empty() { String::new() } else { s.repeat(times) }))
            }
            Value::List(items) | Value::Tuple(items) => {
                self.charge(items.items.len().saturating_mul(times).saturating_mul(32))?;
                let times = if items.items.is_empty() { 0 } else { times };
                let repeated = std::iter::repeat_n(&items.items, times).flatten().cloned().collect();
                if matches!(value, Value::List(_)) { Value::list(repeated) } else { Value::tuple(repeated) }
            }
            other => Err(Fault::new(format!("can't multiply '{}' by an integer", other.type_name()))),
        }
    }

    pub(super) fn compare(&mut self, operator: Comparison, a: &Value, b: &Value) -> Result<bool, Fault> {
        Ok(match operator {
            Comparison::Eq => a.equals(b),
            Comparison::Ne => !a.equals(b),
            Comparison::In => self.contains(b, a)?,
            Comparison::NotIn => !self.contains(b, a)?,
            Comparison::Lt => self.order(a, b)? == Some(Ordering::Less),
            Comparison::Le => matches!(self.order(a, b)?, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Gt => self.order(a, b)? == Some(Ordering::Greater),
            Comparison::Ge => matches!(self.order(a, b)?, Some(Ordering::Greater | Ordering::Equal)),
        })
    }

    /// Python's ordering: numbers, strings, and sequences of these; `None` beside a NaN.
    pub(super) fn order(&mut self, a: &Value, b: &Value) -> Result<Option<Ordering>, Fault> {
        self.step()?;
        match (a, b) {
            (Value::Undefined(what), _) | (_, Value::Undefined(what)) => Err(missing(what)),
            (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b) {
                        return self.order(a, b);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => match (a.as_int(), b.as_int(), a.as_number(), b.as_number()) {
                (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
                (_, _, Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(Fault::new(format!(
                    "'<' not supported between instances of '{}' and '{}'",
                    a.type_name(),
                    b.type_name()
                ))),
            },
        }
    }

    /// A stable merge sort: unlike the standard library's, it may meet an order that is not total, and an error.
    pub(super) fn sort_by<T: Clone>(&mut self, items: &mut [T], by: impl Fn(&T) -> &Value + Copy) -> Result<(), Fault> {
        if items.len() < 2 {
            return Ok(());
        }
        self.charge(std::mem::size_of_val(items))?;
        let (left, right) = items.split_at_mut(items.len() / 2);
        self.sort_by(left, by)?;
        self.sort_by(right, by)?;
        let mut merged = Vec::with_capacity(items.len());
        let (left, right) = items.split_at(items.len() / 2);
        let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
        while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
            let from = if self.order(by(b), by(a))? == Some(Ordering::Less) { &mut r } else { &mut l };
            merged.extend(from.next().cloned());
        }
        merged.extend(l.chain(r).cloned());
        items.clone_from_slice(&merged);
        Ok(())
    }

    pub(super) fn contains(&mut self, container: &Value, item: &Value) -> Result<bool, Fault> {
        match (container, item) {
            (Value::Str(text), Value::Str(part)) => {
                self.charge(text.len() / 16)?;
                Ok(text.contains(&**part))
            }
            (Value::Str(_), Value::Undefined(what)) => Err(missing(what)),
            (Value::Str(_), other) => {
                Err(Fault::new(format!("'in <string>' requires string as left operand, not {}", other.type_name())))
            }
            (Value::Dict(dict), name) => Ok(dict.get(name)?.is_some()),
            (Value::List(items) | Value::Tuple(items), item) => {
                self.charge(items.items.len())?;
                Ok(items.items.iter().any(|v| v.equals(item)))
            }
            (Value::View(view), item) => {
                self.charge(view.items.len())?;
                Ok(view.items.iter().any(|v| v.equals(item)))
            }
            (Value::Undefined(_), _) => Ok(false),
            (Value::Generator(_), item) => Ok(self.visit(container)?.iter().any(|v| v.equals(item))),
            (other, _) => Err(Fault::new(format!("argument of type '{}' is not iterable", other.type_name()))),
        }
    }

    /// `value.name`: Python's attributes first, then the item of that name.
    pub(super) fn attribute(&mut self, value: &Value, name: &str) -> Result<Value, Fault> {
        if let Value::Undefined(what) = value {
            return Err(missing(what));
        }
        if changes_value(value, name) {
            return Ok(Value::missing(format!(
                "access to attribute '{name}' of '{}' object is unsafe",
                value.type_name()
            )));
        }
        if has_method(value, name) {
            self.charge(64)?;
            return Ok(Value::Method(Rc::new((value.clone(), name.into()))));
        }
        let found = match value {
            Value::Dict(dict) => dict.get_str(name).cloned(),
            Value::Namespace(namespace) => namespace.borrow().get_str(name).cloned(),
            Value::Loop(state) => state.attribute(name),
            Value::Macro(callable) if name == "name" => Some(Value::str(&*callable.decl.name)),
            _ => None,
        };
        Ok(found.unwrap_or_else(|| Value::missing(format!("'{} object' has no attribute '{name}'", value.type_name()))))
    }

    /// `value[index]`: the item, then for strings the attribute of that name.
    pub(super) fn item(&mut self, value: &Value, index: &Value) -> Result<Value, Fault> {
        let at = |length: usize| {
            let i = index.as_int()?;
            usize::try_from(if i < 0 { i.checked_add(length as i128)? } else { i }).ok()
        };
        let found = match value {
            Value::Undefined(what) => return Err(missing(what)),
            Value::Dict(dict) => dict.get(index).ok().flatten().cloned(),
            Value::Str(s) => {
                self.charge(s.len() / 16)?;
                at(s.chars().count())
                    .and_then(|i| s.chars().nth(i))
                    .map(|c| Value::str(c.encode_utf8(&mut [0; 4]) as &str))
            }
            _ => value.items().and_then(|items| items.get(at(items.len())?)).cloned(),
        };
        match (found, index) {
            (Some(found), _) => Ok(found),
            (None, Value::Str(name)) => self.attribute(value, name),
            (None, index) => {
                let mut text = String::new();
                self.repr(&mut text, index)?;
                Ok(Value::missing(format!("'{} object' has no element {text}", value.type_name())))
            }
        }
    }

    pub(super) fn slice(&mut self, value: &Value, bounds: &[Value; 3]) -> Result<Value, Fault> {
        let chars: Vec<char>;
        let length = match value {
            Value::Undefined(what) => return Err(missing(what)),
            Value::Str(s) => {
                self.charge(s.len())?;
                chars = s.chars().collect();
                chars.len()
            }
            _ => match value.items() {
                Some(items) => {
                    chars = Vec::new();
                    items.len()
                }
                None => return Err(Fault::new(format!("'{}' object cannot be sliced", value.type_name()))),
            },
        };
        let mut numbers = [None; 3];
        for (number, bound) in numbers.iter_mut().zip(bounds) {
            *number = match bound {
                Value::None => None,
                _ => match bound.as_int() {
                    Some(i) => Some(i),
                    None => return Err(Fault::new("slice indices must be integers or None")),
                },
            };
        }
        let step = numbers[2].unwrap_or(1);
        if step == 0 {
            return Err(Fault::new("slice step cannot be zero"));
        }
        let length = length as i128;
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let clamp = |i: i128| if i < 0 { i.saturating_add(length).max(low) } else { i.min(high) };
        let start = numbers[0].map_or(if step > 0 { low } else { high }, clamp);
        let stop = numbers[1].map_or(if step > 0 { high } else { low }, clamp);
        let mut places = Vec::new();
        let mut i = start;
        while (step > 0 && i < stop) || (step < 0 && i > stop) {
            places.push(i as usize);
            i = i.saturating_add(step);
        }
        self.charge(places.len() * 40)?;
        if let Value::Str(_) = value {
            return Ok(Value::str(places.iter().filter_map(|&i| chars.get(i)).collect::<String>()));
        }
        let items = value.items().unwrap_or_default();
        if let Value::View(view) = value
            && let ViewKind::Range { start: first, step: each, .. } = view.kind
        {
            let kept = places.iter().filter_map(|&i| items.get(i)).cloned().collect();
            let range = ViewKind::Range { start: first + start * each, stop: first + stop * each, step: each * step };
            return View::value(range, kept);
        }
        let kept = places.iter().filter_map(|&i| items.get(i)).cloned().collect();
        if matches!(value, Value::Tuple(_)) { Value::tuple(kept) } else { Value::list(kept) }
    }
}
