//! Evaluates a syntax tree against the variables of one rendering, with every step, byte and level of recursion counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Arguments, Body, Expr, For, Kind, Literal, Postfix, Statement, Target};
use super::builtin::Builtin;
use super::call::{Callable, Given};
use super::looping::Loop;
use super::value::{Dict, Value};
use super::{Clock, Fault, TemplateLimits};

/// The variables of one block; lookups go outwards.
pub(super) struct Scope {
    names: RefCell<HashMap<Arc<str>, Value>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    fn inside(parent: &Rc<Scope>) -> Rc<Self> {
        Rc::new(Self { names: RefCell::default(), parent: Some(parent.clone()) })
    }

    pub(super) fn set(&self, name: Arc<str>, value: Value) {
        self.names.borrow_mut().insert(name, value);
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut scope = self;
        loop {
            if let Some(value) = scope.names.borrow().get(name) {
                return Some(value.clone());
            }
            scope = scope.parent.as_deref()?;
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
    pub(super) limits: &'r TemplateLimits,
    pub(super) clock: Clock,
    pub(super) line: usize,
    steps: u64,
    memory: u64,
    depth: usize,
    /// Scopes and namespaces that may be part of a reference cycle, emptied at the end.
    scopes: Vec<Rc<Scope>>,
    namespaces: Vec<Rc<RefCell<Dict>>>,
}

impl Drop for Interpreter<'_> {
    fn drop(&mut self) {
        let values: Vec<_> = self.namespaces.iter().map(|ns| ns.borrow_mut().clear()).collect();
        let names: Vec<_> = self.scopes.iter().map(|scope| std::mem::take(&mut *scope.names.borrow_mut())).collect();
        drop((values, names));
    }
}

impl<'r> Interpreter<'r> {
    pub(super) fn new(limits: &'r TemplateLimits, clock: Clock) -> Self {
        Self { limits, clock, line: 1, steps: 0, memory: 0, depth: 0, scopes: Vec::new(), namespaces: Vec::new() }
    }

    /// Renders a template; on an error, `line` is where it happened.
    pub(super) fn render(&mut self, body: &Body, variables: HashMap<Arc<str>, Value>) -> Result<String, Fault> {
        let globals = Rc::new(Scope { names: RefCell::new(variables), parent: None });
        for (name, builtin) in Builtin::ALL {
            globals.names.borrow_mut().entry(name.into()).or_insert(Value::Builtin(builtin));
        }
        let root = Scope::inside(&globals);
        let mut out = String::new();
        self.run(body, &root, &mut out)?;
        Ok(out)
    }

    /// Counts bytes that a value or the output takes. They are never given back: the sum bounds memory and time.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.memory = self.memory.saturating_add(bytes as u64);
        if self.memory > self.limits.memory_bytes {
            return Err(Fault::new(format!("values exceed {} bytes in total", self.limits.memory_bytes)));
        }
        Ok(())
    }

    pub(super) fn step(&mut self) -> Result<(), Fault> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Fault::new(format!("more than {} steps", self.limits.steps)));
        }
        Ok(())
    }

    /// Runs a recursive part one level deeper.
    pub(super) fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= self.limits.depth {
            return Err(Fault::new(format!("recursion deeper than {} levels", self.limits.depth)));
        }
        self.depth += 1;
        let result = part(self);
        self.depth -= 1;
        result
    }

    /// All items of an iterable, counted.
    pub(super) fn visit(&mut self, value: &Value) -> Result<Vec<Value>, Fault> {
        let (items, each) = match value {
            Value::Str(s) => (s.len(), 64),
            Value::Generator(items) => (items.borrow().len(), 32),
            other => (other.length().unwrap_or(0), 32),
        };
        self.charge(items.saturating_mul(each))?;
        value.iterate()
    }

    fn emit(&mut self, out: &str, added: usize) -> Result<(), Fault> {
        self.charge(added)?;
        if out.len() > self.limits.output_bytes {
            return Err(Fault::new(format!("the text exceeds {} bytes", self.limits.output_bytes)));
        }
        Ok(())
    }

    pub(super) fn run(&mut self, body: &Body, scope: &Rc<Scope>, out: &mut String) -> Result<Flow, Fault> {
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

    fn statement(&mut self, statement: &Statement, scope: &Rc<Scope>, out: &mut String) -> Result<Flow, Fault> {
        self.step()?;
        self.line = statement.line;
        match &statement.kind {
            Kind::Text(text) => {
                out.push_str(text);
                self.emit(out, text.len())?;
            }
            Kind::Output(values) => {
                for value in values {
                    let value = self.eval(value, scope)?;
                    self.write(out, &value)?;
                    self.emit(out, 0)?;
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
                let text = self.capture(body, &Scope::inside(scope))?;
                let value = self.chain(text, filters, scope)?;
                self.assign(target, value, scope)?;
            }
            Kind::With(assignments, body) => {
                let inner = Scope::inside(scope);
                for (target, value) in assignments {
                    let value = self.eval(value, scope)?;
                    self.assign(target, value, &inner)?;
                }
                return self.run(body, &inner, out);
            }
            Kind::Macro(decl) => {
                let callable = self.callable(decl, scope)?;
                scope.set(decl.name.clone(), callable);
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
                self.write(out, &value)?;
                self.emit(out, 0)?;
            }
            Kind::FilterBlock(filters, body) => {
                let text = self.capture(body, &Scope::inside(scope))?;
                let value = self.chain(text, filters, scope)?;
                self.write(out, &value)?;
                self.emit(out, 0)?;
            }
            Kind::Scoped(body) => return self.run(body, &Scope::inside(scope), out),
            Kind::Break => return Ok(Flow::Break),
            Kind::Continue => return Ok(Flow::Continue),
            Kind::NeedsLoader(tag) => {
                return Err(Fault::new(format!("'{tag}' needs another template, and a chat template has none")));
            }
        }
        Ok(Flow::Next)
    }

    /// The text of a body as a value.
    pub(super) fn capture(&mut self, body: &Body, scope: &Rc<Scope>) -> Result<Value, Fault> {
        let mut text = String::new();
        self.run(body, scope, &mut text)?;
        self.charge(text.len())?;
        Ok(Value::str(text))
    }

    fn callable(&mut self, decl: &Arc<super::ast::Macro>, scope: &Rc<Scope>) -> Result<Value, Fault> {
        self.charge(64)?;
        self.scopes.push(scope.clone());
        Ok(Value::Macro(Rc::new(Callable { decl: decl.clone(), scope: scope.clone() })))
    }

    pub(super) fn namespace(&mut self, names: Dict) -> Result<Value, Fault> {
        self.charge(128)?;
        let namespace = Rc::new(RefCell::new(names));
        self.namespaces.push(namespace.clone());
        Ok(Value::Namespace(namespace))
    }

    pub(super) fn for_loop(
        &mut self,
        decl: &Arc<For>,
        iterable: &Value,
        scope: &Rc<Scope>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Fault> {
        let mut items = self.visit(iterable)?;
        if let Some(condition) = &decl.condition {
            let mut kept = Vec::new();
            for item in items {
                self.step()?;
                let inner = Scope::inside(scope);
                self.assign(&decl.target, item.clone(), &inner)?;
                if self.eval(condition, &inner)?.truth() {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            self.run(&decl.otherwise, &Scope::inside(scope), out)?;
            return Ok(());
        }
        let state = Rc::new(Loop {
            items,
            index: Cell::new(0),
            depth,
            changed: RefCell::default(),
            recursion: decl.recursive.then(|| (decl.clone(), scope.clone())),
        });
        if decl.recursive {
            self.scopes.push(scope.clone());
        }
        for (i, item) in state.items.iter().enumerate() {
            self.step()?;
            state.index.set(i);
            let inner = Scope::inside(scope);
            inner.set("loop".into(), Value::Loop(state.clone()));
            self.assign(&decl.target, item.clone(), &inner)?;
            if self.run(&decl.body, &inner, out)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn new_scope(&self, parent: &Rc<Scope>) -> Rc<Scope> {
        Scope::inside(parent)
    }

    fn assign(&mut self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<(), Fault> {
        match target {
            Target::Name(name) => {
                self.charge(64)?;
                scope.set(name.clone(), value);
            }
            Target::Attribute(name, attribute) => {
                let Some(Value::Namespace(namespace)) = scope.get(name) else {
                    return Err(Fault::new("cannot assign attribute on non-namespace object"));
                };
                self.charge(64)?;
                // The former value is dropped after the borrow ends.
                let mut names = namespace.borrow_mut();
                names.insert(underscore_free(attribute)?, value)?;
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
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, scope)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn eval(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value, Fault> {
        self.step()?;
        match expr {
            Expr::Const(literal) => self.literal(literal),
            Expr::Name(name) => Ok(scope.get(name).unwrap_or_else(|| Value::missing(format!("'{name}' is undefined")))),
            _ => self.deeper(|this| this.compound(expr, scope)),
        }
    }

    fn literal(&mut self, literal: &Literal) -> Result<Value, Fault> {
        Ok(match literal {
            Literal::None => Value::None,
            Literal::Bool(b) => Value::Bool(*b),
            Literal::Int(i) => Value::Int(*i),
            Literal::Float(f) => Value::Float(*f),
            Literal::Str(s) => {
                self.charge(s.len())?;
                Value::str(&**s)
            }
        })
    }

    fn all(&mut self, exprs: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>, Fault> {
        self.charge(exprs.len() * 32)?;
        exprs.iter().map(|e| self.eval(e, scope)).collect()
    }

    fn compound(&mut self, expr: &Expr, scope: &Rc<Scope>) -> Result<Value, Fault> {
        match expr {
            Expr::Const(literal) => self.literal(literal),
            Expr::Name(_) => self.eval(expr, scope),
            Expr::List(items) => Value::list(self.all(items, scope)?),
            Expr::Tuple(items) => Value::tuple(self.all(items, scope)?),
            Expr::Dict(pairs) => {
                let mut dict = Dict::default();
                for (name, value) in pairs {
                    self.charge(128)?;
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
            Expr::Concat(all) => {
                let mut text = String::new();
                for part in all {
                    let value = self.eval(part, scope)?;
                    self.write(&mut text, &value)?;
                }
                Ok(Value::str(text))
            }
            Expr::Conditional(condition) => {
                if self.eval(&condition.test, scope)?.truth() {
                    return self.eval(&condition.then, scope);
                }
                match &condition.otherwise {
                    Some(otherwise) => self.eval(otherwise, scope),
                    None => Ok(Value::missing("the conditional expression has no else part and is undefined")),
                }
            }
            Expr::Postfix(base, chain) => {
                let value = self.eval(base, scope)?;
                self.chain(value, chain, scope)
            }
        }
    }

    /// `or` gives the first true value or the last, `and` the first false one or the last.
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
            self.step()?;
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
        let mut positional = self.all(&arguments.positional, scope)?;
        let mut named: Vec<(Rc<str>, Value)> = Vec::new();
        for (name, value) in &arguments.named {
            let value = self.eval(value, scope)?;
            named.push(((&**name).into(), value));
        }
        if let Some(splat) = &arguments.splat {
            let more = self.eval(splat, scope)?;
            positional.extend(self.visit(&more)?);
        }
        if let Some(splat) = &arguments.named_splat {
            let Value::Dict(more) = self.eval(splat, scope)? else {
                return Err(Fault::new("argument after ** must be a mapping"));
            };
            self.charge(more.entries().len() * 64)?;
            for (name, value) in more.entries() {
                let Value::Str(name) = name else { return Err(Fault::new("keywords must be strings")) };
                named.push((name.clone(), value.clone()));
            }
        }
        Ok(Given { positional, named, caller: None })
    }
}

/// Namespaces refuse names that start with an underscore, as the renderer of Hugging Face transformers does.
pub(super) fn underscore_free(name: &str) -> Result<Value, Fault> {
    if name.starts_with('_') {
        return Err(Fault::new(format!("a namespace cannot have the underscore-prefixed attribute '{name}'")));
    }
    Ok(Value::str(name))
}
