//! Calls: macros, methods, functions and recursive loops.

use std::rc::Rc;
use std::sync::Arc;

use super::Fault;
use super::ast;
use super::interpreter::{Interpreter, Scope};
use super::value::{Dict, Value};

/// A macro with the scope it was defined in.
pub(super) struct Callable {
    pub(super) decl: Arc<ast::Macro>,
    pub(super) scope: Rc<Scope>,
}

/// Evaluated arguments. Functions take them by name or place; what is left over at the end is an error.
pub(super) struct Given {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Rc<str>, Value)>,
    pub(super) caller: Option<Value>,
}

impl Given {
    pub(super) fn empty() -> Self {
        Self { positional: Vec::new(), named: Vec::new(), caller: None }
    }

    /// The arguments in the order of `names`; an error for one too many or of an unknown name.
    pub(super) fn bind<const N: usize>(self, function: &str, names: [&str; N]) -> Result<[Option<Value>; N], Fault> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return Err(Fault::new(format!(
                "{function}() takes at most {N} arguments, {} given",
                self.positional.len()
            )));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            let Some(i) = names.iter().position(|n| **n == *name) else {
                return Err(Fault::new(format!("{function}() got an unexpected keyword argument '{name}'")));
            };
            if bound[i].is_some() {
                return Err(Fault::new(format!("{function}() got multiple values for argument '{name}'")));
            }
            bound[i] = Some(value);
        }
        Ok(bound)
    }
}

/// A required argument.
pub(super) fn required(value: Option<Value>, function: &str, name: &str) -> Result<Value, Fault> {
    value.ok_or_else(|| Fault::new(format!("{function}() misses the argument '{name}'")))
}

impl Interpreter<'_> {
    pub(super) fn call(&mut self, function: &Value, given: Given) -> Result<Value, Fault> {
        match function {
            Value::Macro(callable) => self.deeper(|this| this.call_macro(callable, given)),
            Value::Method(method) => self.method(&method.0, &method.1, given),
            Value::Builtin(builtin) => self.builtin(*builtin, given),
            Value::Loop(state) => {
                let Some((decl, scope)) = &state.recursion else {
                    return Err(Fault::new("the loop must have the 'recursive' marker to be called"));
                };
                let [iterable] = given.bind("loop", ["iterable"])?;
                let iterable = required(iterable, "loop", "iterable")?;
                let mut text = String::new();
                self.deeper(|this| this.for_loop(decl, &iterable, scope, state.depth + 1, &mut text))?;
                Ok(Value::str(text))
            }
            Value::Undefined(what) => Err(Fault::new(what.to_string())),
            other => Err(Fault::new(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    fn call_macro(&mut self, callable: &Callable, given: Given) -> Result<Value, Fault> {
        let decl = &callable.decl;
        let name = &decl.name;
        let scope = self.new_scope(&callable.scope);
        let Given { positional, mut named, caller } = given;
        let mut positional = positional.into_iter();
        let first_default = decl.parameters.len().saturating_sub(decl.defaults.len());
        for (i, parameter) in decl.parameters.iter().enumerate() {
            let by_name = named.iter().position(|(n, _)| **n == **parameter).map(|at| named.remove(at).1);
            let value = match (positional.next(), by_name) {
                (Some(_), Some(_)) => {
                    return Err(Fault::new(format!("macro '{name}' got multiple values for '{parameter}'")));
                }
                (Some(value), None) | (None, Some(value)) => value,
                (None, None) => match i.checked_sub(first_default).and_then(|i| decl.defaults.get(i)) {
                    Some(default) => self.eval(default, &scope)?,
                    None => Value::missing(format!("parameter '{parameter}' was not provided")),
                },
            };
            scope.set(parameter.clone(), value);
        }
        let caller = caller.or_else(|| {
            let at = named.iter().position(|(n, _)| &**n == "caller" && decl.uses_caller)?;
            Some(named.remove(at).1)
        });
        if decl.uses_caller {
            scope.set("caller".into(), caller.unwrap_or_else(|| Value::missing("No caller defined")));
        } else if caller.is_some() {
            return Err(Fault::new(format!(
                "macro '{name}' was invoked with two values for the special caller argument"
            )));
        }
        if decl.uses_kwargs {
            let mut kwargs = Dict::default();
            for (name, value) in named.drain(..) {
                kwargs.insert(Value::Str(name), value)?;
            }
            scope.set("kwargs".into(), Value::Dict(Rc::new(kwargs)));
        } else if let Some((other, _)) = named.first() {
            return Err(Fault::new(format!("macro '{name}' takes no keyword argument '{other}'")));
        }
        if decl.uses_varargs {
            scope.set("varargs".into(), Value::tuple(positional.collect())?);
        } else if positional.next().is_some() {
            return Err(Fault::new(format!("macro '{name}' takes not more than {} arguments", decl.parameters.len())));
        }
        self.capture(&decl.body, &scope)
    }
}
