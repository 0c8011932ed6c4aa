//! Calls: macros, methods, functions and recursive loops.

use std::rc::Rc;
use std::sync::Arc;

use super::Fault;
use super::ast;
use super::interpreter::{Interpreter, Scope};
use super::meter::{Held, Meter, Vector};
use super::text::{Str, shown};
use super::value::{Dict, Value};

/// A macro with the scope it was defined in.
pub(super) struct Callable {
    pub(super) decl: Arc<ast::Macro>,
    pub(super) scope: Rc<Scope>,
    /// Whether the macro was defined in an `autoescape` block.
    pub(super) autoescape: bool,
    pub(super) _held: Held,
}

/// Evaluated arguments. Functions take them by name or place; what is left over at the end is an error.
pub(super) struct Given {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Str, Value)>,
    pub(super) caller: Option<Value>,
    held: Held,
}

impl Given {
    pub(super) fn empty(meter: &Rc<Meter>) -> Self {
        Self { positional: Vec::new(), named: Vec::new(), caller: None, held: Held::none(meter) }
    }

    /// Copies the arguments for one more call of the same function.
    pub(super) fn repeat(&self, meter: &Rc<Meter>) -> Result<Self, Fault> {
        let mut again = Self::empty(meter);
        again.make_room(self.positional.len(), self.named.len())?;
        again.positional.clone_from(&self.positional);
        again.named.clone_from(&self.named);
        Ok(again)
    }

    /// Pays for more arguments.
    pub(super) fn make_room(&mut self, positional: usize, named: usize) -> Result<(), Fault> {
        let bytes = positional.saturating_mul(size_of::<Value>());
        self.held.grow(bytes.saturating_add(named.saturating_mul(size_of::<(Str, Value)>())))?;
        self.held.meter().steps((positional + named) / 4)?;
        self.positional.reserve_exact(positional);
        self.named.reserve_exact(named);
        Ok(())
    }

    /// Adds the entries of a mapping as named arguments.
    pub(super) fn extend_named(&mut self, mapping: &Dict) -> Result<(), Fault> {
        self.make_room(0, mapping.entries().len())?;
        for (name, value) in mapping.entries() {
            let Value::Str(name) = name else { return Err(Fault::new("keywords must be strings")) };
            self.named.push((name.clone(), value.clone()));
        }
        Ok(())
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
                return Err(Fault::new(format!("{function}() got an unexpected keyword argument '{}'", shown(&name))));
            };
            if bound[i].is_some() {
                return Err(Fault::new(format!("{function}() got multiple values for argument '{}'", shown(&name))));
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
            Value::Method(method) => self.method(&method.of, &method.name, given),
            Value::Builtin(builtin) => self.builtin(*builtin, given),
            Value::Joiner(joiner) => self.join_again(joiner, given),
            Value::Loop(state) => {
                let Some((decl, scope)) = &state.recursion else {
                    return Err(Fault::new("the loop must have the 'recursive' marker to be called"));
                };
                let [iterable] = given.bind("loop", ["iterable"])?;
                let iterable = required(iterable, "loop", "iterable")?;
                let mut text = self.buffer();
                self.deeper(|this| this.for_loop(decl, &iterable, scope, state.depth + 1, &mut text))?;
                Ok(Value::Str(Str::made(text)?.marked(self.autoescape)))
            }
            Value::Undefined(what) => Err(Fault::new(what.to_string())),
            other => Err(Fault::new(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    /// Returns `macro.name` and the other attributes that Jinja2 has for a macro.
    pub(super) fn macro_attribute(&mut self, callable: &Callable, name: &str) -> Result<Option<Value>, Fault> {
        let decl = &callable.decl;
        Ok(Some(match name {
            "name" => Value::Str(Str::source(&self.meter, &decl.name)?),
            "arguments" => {
                let mut names = Vector::with_capacity(&self.meter, decl.parameters.len())?;
                for parameter in &decl.parameters {
                    names.push(Value::Str(Str::source(&self.meter, parameter)?))?;
                }
                Value::tuple(names)?
            }
            "caller" => Value::Bool(decl.uses_caller),
            "catch_kwargs" => Value::Bool(decl.uses_kwargs),
            "catch_varargs" => Value::Bool(decl.uses_varargs),
            _ => return Ok(None),
        }))
    }

    fn call_macro(&mut self, callable: &Callable, given: Given) -> Result<Value, Fault> {
        let decl = &callable.decl;
        let name = &decl.name;
        let scope = self.new_scope(&callable.scope)?;
        let Given { positional, mut named, caller, held: _held } = given;
        let mut positional = positional.into_iter();
        let first_default = decl.parameters.len().saturating_sub(decl.defaults.len());
        for (i, parameter) in decl.parameters.iter().enumerate() {
            self.meter.steps(named.len())?;
            let by_name = named.iter().position(|(n, _)| **n == **parameter).map(|at| named.remove(at).1);
            let value = match (positional.next(), by_name) {
                (Some(_), Some(_)) => {
                    return Err(Fault::new(format!("macro '{name}' got multiple values for '{parameter}'")));
                }
                (Some(value), None) | (None, Some(value)) => value,
                (None, None) => match i.checked_sub(first_default).and_then(|i| decl.defaults.get(i)) {
                    Some(default) => self.eval(default, &scope)?,
                    None => self.missing(&format!("parameter '{}' was not provided", shown(parameter)))?,
                },
            };
            scope.set(parameter.clone(), value)?;
        }
        let caller = caller.or_else(|| {
            let at = named.iter().position(|(n, _)| &**n == "caller" && decl.uses_caller)?;
            Some(named.remove(at).1)
        });
        if decl.uses_caller {
            let caller = match caller {
                Some(caller) => caller,
                None => self.missing("No caller defined")?,
            };
            scope.set("caller".into(), caller)?;
        } else if caller.is_some() {
            return Err(Fault::new(format!(
                "macro '{name}' was invoked with two values for the special caller argument"
            )));
        }
        if decl.uses_kwargs {
            let mut kwargs = Dict::new(&self.meter)?;
            for (name, value) in named.drain(..) {
                kwargs.insert(Value::Str(name), value)?;
            }
            scope.set("kwargs".into(), Value::Dict(Rc::new(kwargs)))?;
        } else if let Some((other, _)) = named.first() {
            return Err(Fault::new(format!("macro '{name}' takes no keyword argument '{}'", shown(other))));
        }
        if decl.uses_varargs {
            scope.set("varargs".into(), Value::tuple(Vector::copy(&self.meter, positional.as_slice(), 0)?)?)?;
        } else if positional.next().is_some() {
            return Err(Fault::new(format!("macro '{name}' takes not more than {} arguments", decl.parameters.len())));
        }
        // The body escapes as the place of its definition does; its result is safe where the place of the call escapes.
        let outside = std::mem::replace(&mut self.autoescape, callable.autoescape);
        let text = self.capture(&decl.body, &scope);
        self.autoescape = outside;
        Ok(Value::Str(text?.marked(outside)))
    }
}
