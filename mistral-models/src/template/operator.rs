//! Operators, subscripts, slices and attributes with Python's meaning and Python's type errors.

use super::Fault;
use super::ast::{Arithmetic, Comparison};
use super::compare::{contains, equals, order};
use super::interpreter::Interpreter;
use super::meter::Vector;
use super::method::{changes_value, has_method};
use super::text::{Str, shown};
use super::value::{Dict, Method, Value, View, ViewKind};

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
            (Rem, Value::Str(format), _) => return self.printf(format, b),
            (_, Value::Undefined(what), _) | (_, _, Value::Undefined(what)) => return Err(missing(what)),
            (Add, Value::Str(a), Value::Str(b)) => return self.joined(a, b).map(Value::Str),
            (Add, Value::List(a), Value::List(b)) => return Value::list(self.concatenated(a, b)?),
            (Add, Value::Tuple(a), Value::Tuple(b)) => return Value::tuple(self.concatenated(a, b)?),
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

    /// Evaluates `a + b`. The result is safe if one operand is safe; the other operand is then escaped.
    pub(super) fn joined(&mut self, a: &Str, b: &Str) -> Result<Str, Fault> {
        let safe = a.is_safe() || b.is_safe();
        let both = if safe { (a.escaped(&self.meter)?, b.escaped(&self.meter)?) } else { (a.clone(), b.clone()) };
        let mut out = self.buffer();
        out.reserve(both.0.len().saturating_add(both.1.len()))?;
        out.push_str(&both.0)?;
        out.push_str(&both.1)?;
        Ok(Str::made(out)?.marked(safe))
    }

    fn concatenated(&mut self, a: &[Value], b: &[Value]) -> Result<Vector<Value>, Fault> {
        let mut all = Vector::copy(&self.meter, a, b.len())?;
        all.extend_from_slice(b)?;
        Ok(all)
    }

    fn repeat(&mut self, value: &Value, times: i128) -> Result<Value, Fault> {
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        match value {
            Value::Str(s) => {
                let mut out = self.buffer();
                out.repeat(s, times)?;
                Ok(Value::Str(Str::made(out)?.marked(s.is_safe())))
            }
            Value::List(items) | Value::Tuple(items) => {
                let times = if items.is_empty() { 0 } else { times };
                let mut all = Vector::with_capacity(&self.meter, items.len().saturating_mul(times))?;
                for _ in 0..times {
                    all.extend_from_slice(items)?;
                }
                if matches!(value, Value::List(_)) { Value::list(all) } else { Value::tuple(all) }
            }
            other => Err(Fault::new(format!("can't multiply '{}' by an integer", other.type_name()))),
        }
    }

    pub(super) fn compare(&mut self, operator: Comparison, a: &Value, b: &Value) -> Result<bool, Fault> {
        let meter = &self.meter;
        Ok(match operator {
            Comparison::Eq => equals(meter, a, b)?,
            Comparison::Ne => !equals(meter, a, b)?,
            Comparison::In => contains(meter, b, a)?,
            Comparison::NotIn => !contains(meter, b, a)?,
            Comparison::Lt => order(meter, a, b)?.is_some_and(|o| o.is_lt()),
            Comparison::Le => order(meter, a, b)?.is_some_and(|o| o.is_le()),
            Comparison::Gt => order(meter, a, b)?.is_some_and(|o| o.is_gt()),
            Comparison::Ge => order(meter, a, b)?.is_some_and(|o| o.is_ge()),
        })
    }

    /// `value.name`: Python's attributes first, then the item of that name.
    pub(super) fn attribute(&mut self, value: &Value, name: &str) -> Result<Value, Fault> {
        if let Value::Undefined(what) = value {
            return Err(missing(what));
        }
        if changes_value(value, name) {
            return self.missing(&format!("access to attribute '{name}' of '{}' object is unsafe", value.type_name()));
        }
        if has_method(value, name) {
            return Method::value(&self.meter, value, name);
        }
        let found = match value {
            Value::Dict(dict) => dict.get_str(name)?.cloned(),
            Value::Namespace(namespace) => namespace.borrow().get_str(name)?.cloned(),
            Value::Loop(state) => self.loop_attribute(state, name)?,
            Value::Macro(callable) => self.macro_attribute(callable, name)?,
            Value::Cycler(cycler) if name == "current" => Some(cycler.current()),
            Value::Tuple(items) if items.named => match name {
                "grouper" => items.first().cloned(),
                "list" => items.get(1).cloned(),
                _ => None,
            },
            Value::View(view) => match (view.kind, name) {
                (ViewKind::Range { start, .. }, "start") => Some(Value::Int(start)),
                (ViewKind::Range { stop, .. }, "stop") => Some(Value::Int(stop)),
                (ViewKind::Range { step, .. }, "step") => Some(Value::Int(step)),
                _ => None,
            },
            Value::Int(_) | Value::Bool(_) | Value::Float(_) => match (name, value) {
                ("real", _) => Some(positive(value)?),
                ("numerator", Value::Int(_) | Value::Bool(_)) => Some(positive(value)?),
                ("denominator", Value::Int(_) | Value::Bool(_)) => Some(Value::Int(1)),
                ("imag", Value::Float(_)) => Some(Value::Float(0.0)),
                ("imag", _) => Some(Value::Int(0)),
                _ => None,
            },
            _ => None,
        };
        match found {
            Some(found) => Ok(found),
            None => self.missing(&format!("'{} object' has no attribute '{}'", value.type_name(), shown(name))),
        }
    }

    /// `value[index]`: the item, then for strings the attribute of that name.
    pub(super) fn item(&mut self, value: &Value, index: &Value) -> Result<Value, Fault> {
        let at = |length: usize| {
            let i = index.as_int()?;
            usize::try_from(if i < 0 { i.checked_add(length as i128)? } else { i }).ok()
        };
        let found = match value {
            Value::Undefined(what) => return Err(missing(what)),
            Value::Dict(dict) => entry(dict, index)?,
            Value::Str(s) if index.as_int().is_some() => {
                self.meter.copied(s.len().saturating_mul(2))?;
                match at(s.chars().count()).and_then(|i| s.chars().nth(i)) {
                    Some(c) => {
                        let c = Str::copy(&self.meter, c.encode_utf8(&mut [0; 4]))?;
                        Some(Value::Str(c.marked(s.is_safe())))
                    }
                    None => None,
                }
            }
            _ => value.items().and_then(|items| items.get(at(items.len())?)).cloned(),
        };
        match (found, index) {
            (Some(found), _) => Ok(found),
            (None, Value::Str(name)) => self.attribute(value, name),
            (None, index) => {
                let shown = match index.as_int() {
                    Some(i) => i.to_string(),
                    None => format!("of type {}", index.type_name()),
                };
                self.missing(&format!("'{} object' has no element {shown}", value.type_name()))
            }
        }
    }

    pub(super) fn slice(&mut self, value: &Value, bounds: &[Value; 3]) -> Result<Value, Fault> {
        let length = match value {
            Value::Undefined(what) => return Err(missing(what)),
            Value::Str(s) => {
                self.meter.copied(s.len().saturating_mul(2))?;
                s.chars().count()
            }
            _ => match value.items() {
                Some(items) => items.len(),
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
        let span = if step > 0 { stop - start } else { start - stop }.max(0) as u128;
        let count = span.div_ceil(step.unsigned_abs()) as usize;
        // Within the length, so neither the places nor their steps overflow.
        let place = |i: usize| start.saturating_add((i as i128).saturating_mul(step)) as usize;
        if let Value::Str(s) = value {
            return self.slice_text(s, count, step, place).map(Value::Str);
        }
        let items = value.items().map(|items| &items[..]).unwrap_or_default();
        let mut kept = Vector::with_capacity(&self.meter, count)?;
        for i in 0..count {
            if let Some(item) = items.get(place(i)) {
                kept.push(item.clone())?;
            }
        }
        if let Value::View(view) = value
            && let ViewKind::Range { start: first, step: each, .. } = view.kind
        {
            let range = ViewKind::Range { start: first + start * each, stop: first + stop * each, step: each * step };
            return View::value(range, kept);
        }
        if matches!(value, Value::Tuple(_)) { Value::tuple(kept) } else { Value::list(kept) }
    }

    fn slice_text(&mut self, s: &Str, count: usize, step: i128, place: impl Fn(usize) -> usize) -> Result<Str, Fault> {
        let mut out = self.buffer();
        if step == 1 {
            let byte = |n: usize| s.char_indices().nth(n).map_or(s.len(), |(at, _)| at);
            let from = byte(place(0));
            let rest = s.get(from..).unwrap_or_default();
            let end = rest.char_indices().nth(count).map_or(rest.len(), |(at, _)| at);
            out.push_str(&rest[..end])?;
        } else {
            let mut chars = Vector::with_capacity(&self.meter, s.len())?;
            for c in s.chars() {
                chars.push(c)?;
            }
            self.meter.steps(count / 4)?;
            for i in 0..count {
                out.extend(chars.get(place(i)).copied().into_iter())?;
            }
        }
        Ok(Str::made(out)?.marked(s.is_safe()))
    }
}

/// Returns `dict[index]`, or `None` for an index that Python cannot hash.
fn entry(dict: &Dict, index: &Value) -> Result<Option<Value>, Fault> {
    match dict.get(index) {
        Err(fault) if !fault.is_limit() => Ok(None),
        found => Ok(found?.cloned()),
    }
}
