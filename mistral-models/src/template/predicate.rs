//! The tests of Jinja2: what stands after `is`.

use super::Fault;
use super::ast::{Arithmetic, Comparison};
use super::call::{Given, required};
use super::compare::same;
use super::filter::FILTERS;
use super::interpreter::Interpreter;
use super::text::shown;
use super::value::Value;

/// All tests of Jinja2 3.1.
const TESTS: [&str; 39] = [
    "odd",
    "even",
    "divisibleby",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "sameas",
    "escaped",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

impl Interpreter<'_> {
    pub(super) fn test(&mut self, name: &str, value: &Value, given: Given) -> Result<bool, Fault> {
        let comparison = match name {
            "==" | "eq" | "equalto" => Some(Comparison::Eq),
            "!=" | "ne" => Some(Comparison::Ne),
            "<" | "lt" | "lessthan" => Some(Comparison::Lt),
            "<=" | "le" => Some(Comparison::Le),
            ">" | "gt" | "greaterthan" => Some(Comparison::Gt),
            ">=" | "ge" => Some(Comparison::Ge),
            "in" => Some(Comparison::In),
            _ => None,
        };
        if let Some(comparison) = comparison {
            let [other] = given.bind(name, ["other"])?;
            return self.compare(comparison, value, &required(other, name, "other")?);
        }
        if matches!(name, "divisibleby" | "sameas") {
            let [other] = given.bind(name, ["other"])?;
            let other = required(other, name, "other")?;
            if name == "sameas" {
                return same(&self.meter, value, &other);
            }
            let rest = self.arithmetic(Arithmetic::Rem, value, &other)?;
            return Ok(rest.as_number() == Some(0.0));
        }
        let [] = given.bind(name, [])?;
        Ok(match name {
            "defined" => !value.is_undefined(),
            "undefined" => value.is_undefined(),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => value.as_number().is_some(),
            "string" => matches!(value, Value::Str(_)),
            "mapping" => matches!(value, Value::Dict(_)),
            // Whatever has a length and subscripts, which Undefined and dicts have and generators have not.
            "sequence" => {
                matches!(value, Value::Str(_) | Value::Dict(_) | Value::Undefined(_)) || value.items().is_some()
            }
            "iterable" => {
                matches!(
                    value,
                    Value::Str(_)
                        | Value::Dict(_)
                        | Value::Undefined(_)
                        | Value::View(_)
                        | Value::Generator(_)
                        | Value::Loop(_)
                ) || value.items().is_some()
            }
            "callable" => {
                matches!(
                    value,
                    Value::Macro(_)
                        | Value::Method(_)
                        | Value::Builtin(_)
                        | Value::Loop(_)
                        | Value::Joiner(_)
                        | Value::Undefined(_)
                )
            }
            "odd" | "even" => {
                let rest = self.arithmetic(Arithmetic::Rem, value, &Value::Int(2))?;
                rest.as_number() == Some(f64::from(u8::from(name == "odd")))
            }
            "lower" | "upper" => {
                let text = Value::Str(self.text(value)?);
                let method = if name == "lower" { "islower" } else { "isupper" };
                self.method(&text, method, self.empty())?.truth()
            }
            "escaped" => matches!(value, Value::Str(s) if s.is_safe()),
            "filter" | "test" => {
                let names: &[&str] = if name == "filter" { &FILTERS } else { &TESTS };
                match value {
                    Value::Str(s) => names.contains(&&**s),
                    _ => false,
                }
            }
            _ => return Err(Fault::new(format!("no test named '{}'", shown(name)))),
        })
    }
}
