//! Evaluates a syntax tree against the variables of one rendering, with every step, byte and level of recursion counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Arguments, Body, Expr, For, Kind, Literal, Postfix, Statement, Target};
use super::builtin::Builtin;
use super::call::{Callable, Given};
use super::looping::Loop;
use super::meter::{self, Buffer, Held, Meter, OBJECT_BYTES, Vector};
use super::print::write;
use super::text::{Str, shown};
use super::value::{Dict, Items, Value};
use super::{Fault, TemplateLimits};
use crate::template::clock::Clock;

/// How many levels of scopes a look-up searches per step.
const LEVELS_PER_STEP: usize = 4;

/// The variables of one block; lookups go outwards.
pub(super) struct Scope {
    names: RefCell<HashMap<Arc<str>, Value>>,
    parent: Option<Rc<Scope>>,
    held: RefCell<Held>,
}

impl Scope {
    fn new(meter: &Rc<Meter>, parent: Option<Rc<Scope>>) -> Result<Rc<Self>, Fault> {
        meter.step()?;
        Ok(Rc::new(Self { names: RefCell::default(), parent, held: RefCell::new(meter.hold(OBJECT_BYTES)?) }))
    }

    pub(super) fn set(&self, name: Arc<str>, value: Value) -> Result<(), Fault> {
        let mut held = self.held.borrow_mut();
        held.meter().read(name.len())?;
        let former = meter::insert(&mut self.names.borrow_mut(), &mut held, name, value)?;
        drop(former);
        Ok(())
    }

    fn get(&self, meter: &Meter, name: &str) -> Result<Option<Value>, Fault> {
        let mut scope = self;
        let mut levels = 0;
        loop {
            meter.read(name.len())?;
            if let Some(value) = scope.names.borrow().get(name) {
                return Ok(Some(value.clone()));
            }
            let Some(parent) = scope.parent.as_deref() else { return Ok(None) };
            scope = parent;
            levels += 1;
            if levels % LEVELS_PER_STEP == 0 {
                meter.step()?;
            }
        }
    }
}

/// Whether the statements after this one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct Interpreter<'r> {
    limits: &'r TemplateLimits,
    pub(super) clock: Clock,
    pub(super) line: usize,
    pub(super) meter: Rc<Meter>,
    /// Whether the statements that run now stand in an `autoescape` block.
    pub(super) autoescape: bool,
    depth: usize,
    /// Values that may be part of a reference cycle; emptied at the end.
    scopes: Vector<Rc<Scope>>,
    namespaces: Vector<Rc<RefCell<Dict>>>,
    loops: Vector<Rc<Loop>>,
}

impl Drop for Interpreter<'_> {
    fn drop(&mut self) {
        let values: Vec<_> = self.namespaces.iter().map(|ns| ns.borrow_mut().clear()).collect();
        let names: Vec<_> = self.scopes.iter().map(|scope| std::mem::take(&mut *scope.names.borrow_mut())).collect();
        let changed: Vec<_> = self.loops.iter().map(|state| state.changed.take()).collect();
        drop((values, names, changed));
    }
}

impl<'r> Interpreter<'r> {
    pub(super) fn new(limits: &'r TemplateLimits, clock: Clock, meter: Rc<Meter>) -> Self {
        let (scopes, namespaces, loops) = (Vector::new(&meter), Vector::new(&meter), Vector::new(&meter));
        Self { limits, clock, line: 1, meter, autoescape: false, depth: 0, scopes, namespaces, loops }
    }

    /// Renders a template; on an error, `line` is where it happened.
    pub(super) fn render(&mut self, body: &Body, variables: Vec<(Arc<str>, Value)>) -> Result<String, Fault> {
        let globals = Scope::new(&self.meter, None)?;
        for (name, builtin) in Builtin::ALL {
            globals.set(name.into(), Value::Builtin(builtin))?;
        }
        for (name, value) in variables {
            globals.set(name, value)?;
        }
        let root = Scope::new(&self.meter, Some(globals))?;
        let mut out = self.buffer();
        self.run(body, &root, &mut out)?;
        Ok(out.into_text())
    }

    pub(super) fn buffer(&self) -> Buffer {
        Buffer::new(&self.meter)
    }

    /// Returns a string value with a copy of this text.
    pub(super) fn str(&self, text: &str) -> Result<Value, Fault> {
        Value::str(&self.meter, text)
    }

    /// Returns Python's `str(value)`; strings stay safe or plain.
    pub(super) fn text(&self, value: &Value) -> Result<Str, Fault> {
        if let Value::Str(s) = value {
            return Ok(s.clone());
        }
        let mut out = self.buffer();
        write(&mut out, value)?;
        Str::made(out)
    }

    /// Returns an undefined value; the text is for the error that its use may raise.
    pub(super) fn missing(&self, what: &str) -> Result<Value, Fault> {
        Str::copy(&self.meter, what).map(Value::Undefined)
    }

    pub(super) fn empty(&self) -> Given {
        Given::empty(&self.meter)
    }

    /// Runs a recursive part one level deeper.
    pub(super) fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= self.limits.depth {
            return Err(Fault::limit(format!(
                "the template exceeds the limit of {} levels of recursion; raise `depth` of TemplateLimits if it is trusted",
                self.limits.depth
            )));
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }

    /// Returns all items of an iterable, and charges one step per item.
    pub(super) fn visit(&self, value: &Value) -> Result<Rc<Items>, Fault> {
        let items = value.iterate(&self.meter)?;
        self.meter.steps(items.len() / 2)?;
        Ok(items)
    }

    /// Writes a value to the rendered text, escaped in an `autoescape` block.
    fn emit(&mut self, out: &mut Buffer, value: &Value) -> Result<(), Fault> {
        if self.autoescape {
            let text = self.escaped(value)?;
            out.push_str(&text)?;
        } else {
            write(out, value)?;
        }
        self.meter.output(out.len())
    }

    pub(super) fn run(&mut self, body: &Body, scope: &Rc<Scope>, out: &mut Buffer) -> Result<Flow, Fault> {
        self.deeper(|this| {
            for statement in body {
                let flow = this.statement(statement, scope, out)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn statement(&mut self, statement: &Statement, scope: &Rc<Scope>, out: &mut Buffer) -> Result<Flow, Fault> {
        self.meter.step()?;
        self.line = statement.line;
        match &statement.kind {
            Kind::Text(text) => {
                out.push_str(text)?;
                self.meter.output(out.len())?;
            }
            Kind::Output(values) => {
                for value in values {
                    let value = self.eval(value, scope)?;
                    self.emit(out, &value)?;
                }
            }
            Kind::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.eval(test, scope)?.truth() {
                        return self.run(body, scope, out);
                    }
                }
                return self.run(otherwise, scope, out);
            }
            Kind::For(decl) => {
                let iterable = self.eval(&decl.iterable, scope)?;
                self.for_loop(decl, &iterable, scope, 0, out)?;
            }
            Kind::Set(target, value) => {
                let value = self.eval(value, scope)?;
                self.assign(target, value, scope)?;
            }
            Kind::SetBlock(target, filters, body) => {
                let value = self.filtered(body, filters, scope)?;
                let value = match value {
                    Value::Str(s) if self.autoescape => Value::Str(s.marked(true)),
                    value => value,
                };
                self.assign(target, value, scope)?;
            }
            Kind::With(assignments, body) => {
                let inner = self.new_scope(scope)?;
                for (target, value) in assignments {
                    let value = self.eval(value, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.run(body, &inner, out);
            }
            Kind::Macro(decl) => {
                let callable = self.callable(decl, scope)?;
                scope.set(decl.name.clone(), callable)?;
            }
            Kind::Call(call, decl) => {
                let caller = self.callable(decl, scope)?;
                let Expr::Postfix(base, chain) = call else { return Err(Fault::new("expected a call")) };
                let (Some(Postfix::Call(arguments)), before) = (chain.last(), &chain[..chain.len().saturating_sub(1)])
                else {
                    return Err(Fault::new("expected a call"));
                };
                let function = self.eval(base, scope)?;
                let function = self.chain(function, before, scope)?;
                let mut given = self.given(arguments, scope)?;
                given.caller = Some(caller);
                let value = self.call(&function, given)?;
                write(out, &value)?;
                self.meter.output(out.len())?;
            }
            Kind::FilterBlock(filters, body) => {
                let value = self.filtered(body, filters, scope)?;
                write(out, &value)?;
                self.meter.output(out.len())?;
            }
            Kind::Scoped(body) => return self.run(body, &self.new_scope(scope)?, out),
            Kind::Autoescape(escaping, body) => {
                let escaping = self.eval(escaping, scope)?.truth();
                let outside = std::mem::replace(&mut self.autoescape, escaping);
                let flow = self.new_scope(scope).and_then(|inner| self.run(body, &inner, out));
                self.autoescape = outside;
                return flow;
            }
            Kind::Break => return Ok(Flow::Break),
            Kind::Continue => return Ok(Flow::Continue),
            Kind::NeedsLoader(tag) => {
                return Err(Fault::new(format!("'{tag}' needs another template, and a chat template has none")));
            }
        }
        Ok(Flow::Next)
    }

    /// Renders a body and returns its text.
    pub(super) fn capture(&mut self, body: &Body, scope: &Rc<Scope>) -> Result<Str, Fault> {
        let mut text = self.buffer();
        self.run(body, scope, &mut text)?;
        Str::made(text)
    }

    /// Renders a body and returns its text after filters.
    fn filtered(&mut self, body: &Body, filters: &[Postfix], scope: &Rc<Scope>) -> Result<Value, Fault> {
        let text = self.capture(body, &self.new_scope(scope)?)?.marked(self.autoescape);
        self.chain(Value::Str(text), filters, scope)
    }

    fn callable(&mut self, decl: &Arc<super::ast::Macro>, scope: &Rc<Scope>) -> Result<Value, Fault> {
        let held = self.meter.hold(OBJECT_BYTES)?;
        self.scopes.push(scope.clone())?;
        let (decl, scope) = (decl.clone(), scope.clone());
        Ok(Value::Macro(Rc::new(Callable { decl, scope, autoescape: self.autoescape, _held: held })))
    }

    pub(super) fn namespace(&mut self, names: Dict) -> Result<Value, Fault> {
        let namespace = Rc::new(RefCell::new(names));
        self.namespaces.push(namespace.clone())?;
        Ok(Value::Namespace(namespace))
    }

    /// Remembers a loop that holds values.
    pub(super) fn remember_loop(&mut self, state: &Rc<Loop>) -> Result<(), Fault> {
        self.loops.push(state.clone())
    }

    pub(super) fn for_loop(
        &mut self,
        decl: &Arc<For>,
        iterable: &Value,
        scope: &Rc<Scope>,
        depth: usize,
        out: &mut Buffer,
    ) -> Result<(), Fault> {
        let mut items = self.visit(iterable)?;
        if let Some(condition) = &decl.condition {
            let mut kept = Vector::new(&self.meter);
            for item in items.iter() {
                self.meter.step()?;
                let inner = self.new_scope(scope)?;
                self.assign(&decl.target, item.clone(), &inner)?;
                if self.eval(condition, &inner)?.truth() {
                    kept.push(item.clone())?;
                }
            }
            items = Items::new(kept)?;
        }
        if items.is_empty() {
            self.run(&decl.otherwise, &self.new_scope(scope)?, out)?;
            return Ok(());
        }
        let state = Rc::new(Loop {
            items,
            index: Cell::new(0),
            depth,
            changed: RefCell::default(),
            recursion: decl.recursive.then(|| (decl.clone(), scope.clone())),
            _held: self.meter.hold(OBJECT_BYTES)?,
        });
        if decl.recursive {
            self.scopes.push(scope.clone())?;
        }
        for (i, item) in state.items.iter().enumerate() {
            self.meter.step()?;
            state.index.set(i);
            let inner = self.new_scope(scope)?;
            inner.set("loop".into(), Value::Loop(state.clone()))?;
            self.assign(&decl.target, item.clone(), &inner)?;
            if self.run(&decl.body, &inner, out)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn new_scope(&self, parent: &Rc<Scope>) -> Result<Rc<Scope>, Fault> {
        Scope::new(&self.meter, Some(parent.clone()))
    }

    fn assign(&mut self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<(), Fault> {
        match target {
            Target::Name(name) => {
                scope.set(name.clone(), value)?;
            }
            Target::Attribute(name, attribute) => {
                let Some(Value::Namespace(namespace)) = scope.get(&self.meter, name)? else {
                    return Err(Fault::new("cannot assign attribute on non-namespace object"));
                };
                underscore_free(attribute)?;
                let attribute = Value::Str(Str::source(&self.meter, attribute)?);
                namespace.borrow_mut().insert(attribute, value)?;
            }
            Target::Tuple(targets) => {
                let items = self.visit(&value)?;
                if items.len() != targets.len() {
                    return Err(Fault::new(format!(
                        "expected {} values to unpack, got {}",
                        targets.len(),
                        items.len()
                    )));
                }
                for (target, item) in targets.iter().zip(items.iter()) {
                    self.assign(target, item.clone(), scope)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn eval(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value, Fault> {
        self.meter.step()?;
        match expr {
            Expr::Const(literal) => self.literal(literal),
            Expr::Name(name) => match scope.get(&self.meter, name)? {
                Some(value) => Ok(value),
                None => self.missing(&format!("'{}' is undefined", shown(name))),
            },
            _ => self.deeper(|this| this.compound(expr, scope)),
        }
    }

    fn literal(&mut self, literal: &Literal) -> Result<Value, Fault> {
        Ok(match literal {
            Literal::None => Value::None,
            Literal::Bool(b) => Value::Bool(*b),
            Literal::Int(i) => Value::Int(*i),
            Literal::Float(f) => Value::Float(*f),
            Literal::Str(s) => Value::Str(Str::source(&self.meter, s)?),
        })
    }

    fn all(&mut self, exprs: &[Expr], scope: &Rc<Scope>) -> Result<Vector<Value>, Fault> {
        let mut values = Vector::with_capacity(&self.meter, exprs.len())?;
        for expr in exprs {
            values.push(self.eval(expr, scope)?)?;
        }
        Ok(values)
    }

    fn compound(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value, Fault> {
        match expr {
            Expr::Const(literal) => self.literal(literal),
            Expr::Name(_) => self.eval(expr, scope),
            Expr::List(items) => Value::list(self.all(items, scope)?),
            Expr::Tuple(items) => Value::tuple(self.all(items, scope)?),
            Expr::Dict(pairs) => {
                let mut dict = Dict::new(&self.meter)?;
                for (name, value) in pairs {
                    let name = self.eval(name, scope)?;
                    dict.insert(name, self.eval(value, scope)?)?;
                }
                Ok(Value::Dict(Rc::new(dict)))
            }
            Expr::Not(inner) => Ok(Value::Bool(!self.eval(inner, scope)?.truth())),
            Expr::Negative(inner) => {
                let value = self.eval(inner, scope)?;
                super::operator::negative(&value)
            }
            Expr::Positive(inner) => {
                let value = self.eval(inner, scope)?;
                super::operator::positive(&value)
            }
            Expr::And(all) => self.first_with_truth(all, false, scope),
            Expr::Or(all) => self.first_with_truth(all, true, scope),
            Expr::Compare(first, rest) => {
                let mut left = self.eval(first, scope)?;
                for (operator, right) in rest {
                    let right = self.eval(right, scope)?;
                    if !self.compare(*operator, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::Arithmetic(first, rest) => {
                let mut left = self.eval(first, scope)?;
                for (operator, right) in rest {
                    let right = self.eval(right, scope)?;
                    left = self.arithmetic(*operator, &left, &right)?;
                }
                Ok(left)
            }
            Expr::Concat(all) => self.concat(all, scope),
            Expr::Conditional(condition) => {
                if self.eval(&condition.test, scope)?.truth() {
                    return self.eval(&condition.then, scope);
                }
                match &condition.otherwise {
                    Some(otherwise) => self.eval(otherwise, scope),
                    None => self.missing("the conditional expression has no else part and is undefined"),
                }
            }
            Expr::Postfix(base, chain) => {
                let value = self.eval(base, scope)?;
                self.chain(value, chain, scope)
            }
        }
    }

    /// Evaluates `a ~ b`. The result is plain text, except that in an `autoescape` block one safe operand makes the result safe.
    fn concat(&mut self, all: &[Expr], scope: &Rc<Scope>) -> Result<Value, Fault> {
        let mut out = self.buffer();
        if !self.autoescape {
            for part in all {
                let value = self.eval(part, scope)?;
                write(&mut out, &value)?;
            }
            return Str::made(out).map(Value::Str);
        }
        let values = self.all(all, scope)?;
        let safe = values.iter().any(|value| matches!(value, Value::Str(s) if s.is_safe()));
        for value in values {
            if safe {
                out.push_str(&self.escaped(&value)?)?;
            } else {
                write(&mut out, &value)?;
            }
        }
        Ok(Value::Str(Str::made(out)?.marked(safe)))
    }

    /// Evaluates `or`, which returns the first true value or the last value, and `and`, which returns the first false value or the last
    /// value.
    fn first_with_truth(&mut self, all: &[Expr], truth: bool, scope: &Rc<Scope>) -> Result<Value, Fault> {
        let mut value = Value::None;
        for expr in all {
            value = self.eval(expr, scope)?;
            if value.truth() == truth {
                break;
            }
        }
        Ok(value)
    }

    fn chain(&mut self, value: Value, chain: &[Postfix], scope: &Rc<Scope>) -> Result<Value, Fault> {
        let mut value = value;
        for part in chain {
            self.meter.step()?;
            value = match part {
                Postfix::Attribute(name) => self.attribute(&value, name)?,
                Postfix::Item(index) => {
                    let index = self.eval(index, scope)?;
                    self.item(&value, &index)?
                }
                Postfix::Slice(parts) => {
                    let mut bounds = [Value::None, Value::None, Value::None];
                    for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                        if let Some(part) = part {
                            *bound = self.eval(part, scope)?;
                        }
                    }
                    self.slice(&value, &bounds)?
                }
                Postfix::Call(arguments) => {
                    let given = self.given(arguments, scope)?;
                    self.call(&value, given)?
                }
                Postfix::Filter(name, arguments) => {
                    let given = self.given(arguments, scope)?;
                    self.filter(name, &value, given)?
                }
                Postfix::Test { name, arguments, negated } => {
                    let given = self.given(arguments, scope)?;
                    Value::Bool(self.test(name, &value, given)? != *negated)
                }
            };
        }
        Ok(value)
    }

    fn given(&mut self, arguments: &Arguments, scope: &Rc<Scope>) -> Result<Given, Fault> {
        let mut given = self.empty();
        given.make_room(arguments.positional.len(), arguments.named.len())?;
        for value in &arguments.positional {
            given.positional.push(self.eval(value, scope)?);
        }
        for (name, value) in &arguments.named {
            let name = Str::source(&self.meter, name)?;
            given.named.push((name, self.eval(value, scope)?));
        }
        if let Some(splat) = &arguments.splat {
            let more = self.eval(splat, scope)?;
            let more = self.visit(&more)?;
            given.make_room(more.len(), 0)?;
            given.positional.extend_from_slice(&more);
        }
        if let Some(splat) = &arguments.named_splat {
            let Value::Dict(more) = self.eval(splat, scope)? else {
                return Err(Fault::new("argument after ** must be a mapping"));
            };
            given.extend_named(&more)?;
        }
        Ok(given)
    }
}

/// Namespaces refuse names that start with an underscore, as the renderer of Hugging Face transformers does.
pub(super) fn underscore_free(name: &str) -> Result<(), Fault> {
    if name.starts_with('_') {
        let name = shown(name);
        return Err(Fault::new(format!("a namespace cannot have the underscore-prefixed attribute '{name}'")));
    }
    Ok(())
}
