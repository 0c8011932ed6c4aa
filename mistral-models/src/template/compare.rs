//! Python's `==`, `<`, `in` and `is`. Each charges one step per pair of compared values, and steps for the length of strings.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Fault;
use super::meter::Meter;
use super::value::{Value, ViewKind};

/// `a == b`
pub(super) fn equals(meter: &Meter, a: &Value, b: &Value) -> Result<bool, Fault> {
    meter.step()?;
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            meter.copied(a.len())?;
            a == b
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => all_equal(meter, a, b)?,
        (Value::Dict(a), Value::Dict(b)) => {
            if a.entries().len() != b.entries().len() {
                return Ok(false);
            }
            for (name, value) in a.entries() {
                meter.step()?;
                match b.get(name)? {
                    Some(other) if same_or_equal(meter, value, other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::View(a), Value::View(b)) => match (a.kind, b.kind) {
            (ViewKind::Range { .. }, ViewKind::Range { .. }) => all_equal(meter, &a.items, &b.items)?,
            (ViewKind::Values, _) | (_, ViewKind::Values) => Rc::ptr_eq(a, b),
            _ if a.items.len() != b.items.len() => false,
            _ => {
                for item in a.items.iter() {
                    if !any_equal(meter, &b.items, item)? {
                        return Ok(false);
                    }
                }
                true
            }
        },
        (Value::Builtin(a), Value::Builtin(b)) => a == b,
        (Value::Method(a), Value::Method(b)) => a.name == b.name && equals(meter, &a.of, &b.of)?,
        (Value::Float(a), b) => b.as_number().is_some_and(|b| *a == b),
        (a, Value::Float(b)) => a.as_number().is_some_and(|a| a == *b),
        (a, b) => is_one(a, b) || matches!((a.as_int(), b.as_int()), (Some(a), Some(b)) if a == b),
    })
}

/// Returns whether both are one object. Python's containers treat such items as equal without comparing them.
fn is_one(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a.same(b),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::View(a), Value::View(b)) => Rc::ptr_eq(a, b),
        (Value::Generator(a), Value::Generator(b)) => Rc::ptr_eq(a, b),
        (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
        (Value::Macro(a), Value::Macro(b)) => Rc::ptr_eq(a, b),
        (Value::Loop(a), Value::Loop(b)) => Rc::ptr_eq(a, b),
        (Value::Cycler(a), Value::Cycler(b)) => Rc::ptr_eq(a, b),
        (Value::Joiner(a), Value::Joiner(b)) => Rc::ptr_eq(a, b),
        (Value::Method(a), Value::Method(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

fn same_or_equal(meter: &Meter, a: &Value, b: &Value) -> Result<bool, Fault> {
    meter.step()?;
    Ok(is_one(a, b) || equals(meter, a, b)?)
}

pub(super) fn all_equal(meter: &Meter, a: &[Value], b: &[Value]) -> Result<bool, Fault> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        if !same_or_equal(meter, a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn any_equal(meter: &Meter, items: &[Value], item: &Value) -> Result<bool, Fault> {
    Ok(position(meter, items, item)?.is_some())
}

/// Returns the index of the first equal item.
pub(super) fn position(meter: &Meter, items: &[Value], item: &Value) -> Result<Option<usize>, Fault> {
    for (i, other) in items.iter().enumerate() {
        if same_or_equal(meter, other, item)? {
            return Ok(Some(i));
        }
    }
    Ok(None)
}

/// Python's `is`, as far as templates can tell: small values of one type and value are one object.
pub(super) fn same(meter: &Meter, a: &Value, b: &Value) -> Result<bool, Fault> {
    match (a, b) {
        (Value::Tuple(x), Value::Tuple(y)) if x.is_empty() && y.is_empty() => Ok(true),
        (Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::View(_), _) => Ok(is_one(a, b)),
        _ => Ok(a.type_name() == b.type_name() && equals(meter, a, b)?),
    }
}

/// Python's ordering: numbers, strings, and sequences of these; `None` when a NaN is compared.
pub(super) fn order(meter: &Meter, a: &Value, b: &Value) -> Result<Option<Ordering>, Fault> {
    meter.step()?;
    match (a, b) {
        (Value::Undefined(what), _) | (_, Value::Undefined(what)) => Err(Fault::new(what.to_string())),
        (Value::Str(a), Value::Str(b)) => {
            meter.copied(a.len().min(b.len()))?;
            Ok(Some((**a).cmp(b)))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !same_or_equal(meter, a, b)? {
                    return order(meter, a, b);
                }
            }
            Ok(Some(a.len().cmp(&b.len())))
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

pub(super) fn less(meter: &Meter, a: &Value, b: &Value) -> Result<bool, Fault> {
    Ok(order(meter, a, b)? == Some(Ordering::Less))
}

/// `item in container`
pub(super) fn contains(meter: &Meter, container: &Value, item: &Value) -> Result<bool, Fault> {
    match (container, item) {
        (Value::Str(text), Value::Str(part)) => {
            meter.read(text.len().saturating_add(part.len()))?;
            Ok(text.contains(&**part))
        }
        (Value::Str(_), Value::Undefined(what)) => Err(Fault::new(what.to_string())),
        (Value::Str(_), other) => {
            Err(Fault::new(format!("'in <string>' requires string as left operand, not {}", other.type_name())))
        }
        (Value::Dict(dict), name) => Ok(dict.get(name)?.is_some()),
        (Value::List(items) | Value::Tuple(items), item) => any_equal(meter, items, item),
        (Value::View(view), item) => any_equal(meter, &view.items, item),
        (Value::Undefined(_), _) => Ok(false),
        (Value::Generator(generator), item) => {
            while let Some(next) = generator.next() {
                if same_or_equal(meter, &next, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (other, _) => Err(Fault::new(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}
