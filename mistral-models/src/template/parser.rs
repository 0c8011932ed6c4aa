//! Tokens to a syntax tree, with the grammar and precedences of Jinja2 3.1 plus its loop controls and the `generation` tag.

mod expression;

use std::sync::Arc;

use super::Fault;
use super::ast::{Body, Expr, For, Kind, Macro, Postfix, Statement, Target};
use super::lexer::{Spanned, Token, tokenize};

/// Brackets, blocks and other recursive forms inside each other.
const NESTING_LIMIT: usize = 64;

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Body, Fault> {
    let mut parser = Parser { tokens: tokenize(source)?, at: 0, nesting: 0, names: Vec::new(), loops: Vec::new() };
    let body = parser.body(&[])?;
    Ok(body)
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    nesting: usize,
    /// Which of `caller`, `varargs`, `kwargs` each enclosing macro names.
    names: Vec<[bool; 3]>,
    /// For each enclosing macro and the top, the loops that are open in it.
    loops: Vec<usize>,
}

const MACRO_NAMES: [&str; 3] = ["caller", "varargs", "kwargs"];

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    fn peek_after(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|t| &t.token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |t| t.line)
    }

    fn fail<T>(&self, detail: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::at(self.line(), detail))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, Fault> {
        match self.peek() {
            Some(token) => self.fail(format!("unexpected {token:?}, expected {expected}")),
            None => self.fail(format!("unexpected end of template, expected {expected}")),
        }
    }

    fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Operator(o)) if *o == operator)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(n)) if **n == *name)
    }

    fn skip_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.at += usize::from(found);
        found
    }

    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect_operator(&mut self, operator: &str) -> Result<(), Fault> {
        if self.skip_operator(operator) { Ok(()) } else { self.unexpected(operator) }
    }

    fn expect(&mut self, token: &Token) -> Result<(), Fault> {
        if self.peek() == Some(token) {
            self.at += 1;
            return Ok(());
        }
        self.unexpected(&format!("{token:?}"))
    }

    fn name(&mut self) -> Result<Arc<str>, Fault> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// Runs a recursive part one level deeper.
    fn nested<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.nesting += 1;
        if self.nesting > NESTING_LIMIT {
            return self.fail(format!("nested deeper than {NESTING_LIMIT} levels"));
        }
        let result = part(self);
        self.nesting -= 1;
        result
    }

    /// Statements up to a tag named in `ends`; the parser then stands behind that name. With no ends: up to the end of the template.
    fn body(&mut self, ends: &[&str]) -> Result<Body, Fault> {
        self.nested(|p| p.statements(ends))
    }

    fn statements(&mut self, ends: &[&str]) -> Result<Body, Fault> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let kind = match self.peek() {
                None if ends.is_empty() => return Ok(body),
                None => return self.unexpected(&ends.join(" or ")),
                Some(Token::Text(text)) => {
                    let text = text.clone();
                    self.at += 1;
                    Kind::Text(text)
                }
                Some(Token::OutputBegin) => {
                    self.at += 1;
                    let value = self.tuple(true, false)?;
                    self.expect(&Token::OutputEnd)?;
                    Kind::Output(vec![value])
                }
                Some(Token::BlockBegin) => {
                    self.at += 1;
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(body);
                    }
                    self.statement()?
                }
                Some(_) => return self.unexpected("a tag or text"),
            };
            body.push(Statement { line, kind });
        }
    }

    fn block_end(&mut self) -> Result<(), Fault> {
        self.expect(&Token::BlockEnd)
    }

    /// A body that ends with this tag, and the end tag itself.
    fn closed_body(&mut self, end: &str) -> Result<Body, Fault> {
        self.block_end()?;
        let body = self.body(&[end])?;
        self.at += 1;
        self.block_end()?;
        Ok(body)
    }

    fn statement(&mut self) -> Result<Kind, Fault> {
        let tag = self.name()?;
        match &*tag {
            "for" => self.for_loop(),
            "if" => self.if_block(),
            "set" => self.set(),
            "with" => self.with(),
            "macro" => {
                let name = self.name()?;
                let (parameters, defaults) = self.signature()?;
                Ok(Kind::Macro(self.macro_body(name, parameters, defaults, "endmacro")?))
            }
            "call" => self.call_block(),
            "filter" => {
                let filters = self.filter_chain()?;
                Ok(Kind::FilterBlock(filters, self.closed_body("endfilter")?))
            }
            "generation" => Ok(Kind::Scoped(self.closed_body("endgeneration")?)),
            "autoescape" => {
                let escaping = self.expression()?;
                Ok(Kind::Autoescape(escaping, self.closed_body("endautoescape")?))
            }
            "block" => {
                let name = self.name()?;
                while self.skip_name("scoped") || self.skip_name("required") {}
                self.block_end()?;
                let body = self.body(&["endblock"])?;
                self.at += 1;
                self.skip_name(&name);
                self.block_end()?;
                Ok(Kind::Scoped(body))
            }
            "print" => {
                let mut values = Vec::new();
                while self.peek() != Some(&Token::BlockEnd) {
                    if !values.is_empty() {
                        self.expect_operator(",")?;
                    }
                    values.push(self.expression()?);
                }
                self.block_end()?;
                Ok(Kind::Output(values))
            }
            "break" | "continue" => {
                if self.loops.last().copied().unwrap_or(0) == 0 {
                    return self.fail(format!("'{tag}' outside of a loop"));
                }
                self.block_end()?;
                Ok(if &*tag == "break" { Kind::Break } else { Kind::Continue })
            }
            "extends" => self.needs_loader("extends"),
            "include" => self.needs_loader("include"),
            "import" => self.needs_loader("import"),
            "from" => self.needs_loader("from"),
            _ => self.fail(format!("unknown tag '{tag}'")),
        }
    }

    fn needs_loader(&mut self, tag: &'static str) -> Result<Kind, Fault> {
        while !matches!(self.peek(), None | Some(Token::BlockEnd)) {
            self.at += 1;
        }
        self.block_end()?;
        Ok(Kind::NeedsLoader(tag))
    }

    fn for_loop(&mut self) -> Result<Kind, Fault> {
        let target = self.targets(&["in"])?;
        if !self.skip_name("in") {
            return self.unexpected("in");
        }
        let iterable = self.tuple(false, false)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.block_end()?;
        if self.loops.is_empty() {
            self.loops.push(0);
        }
        let depth = self.loops.len() - 1;
        self.loops[depth] += 1;
        let body = self.body(&["endfor", "else"])?;
        self.loops[depth] -= 1;
        let otherwise = if self.skip_name("else") {
            self.block_end()?;
            self.body(&["endfor"])?
        } else {
            Vec::new()
        };
        self.at += 1;
        self.block_end()?;
        Ok(Kind::For(Arc::new(For { target, iterable, condition, recursive, body, otherwise })))
    }

    fn if_block(&mut self) -> Result<Kind, Fault> {
        let mut branches = Vec::new();
        loop {
            let test = self.tuple(false, false)?;
            self.block_end()?;
            let body = self.body(&["elif", "else", "endif"])?;
            branches.push((test, body));
            if self.skip_name("elif") {
                continue;
            }
            let otherwise = if self.skip_name("else") {
                self.block_end()?;
                self.body(&["endif"])?
            } else {
                Vec::new()
            };
            self.at += 1;
            self.block_end()?;
            return Ok(Kind::If(branches, otherwise));
        }
    }

    fn set(&mut self) -> Result<Kind, Fault> {
        let target = self.targets(&[])?;
        if self.skip_operator("=") {
            let value = self.tuple(true, false)?;
            self.block_end()?;
            return Ok(Kind::Set(target, value));
        }
        let filters = if self.skip_operator("|") { self.filter_chain()? } else { Vec::new() };
        Ok(Kind::SetBlock(target, filters, self.closed_body("endset")?))
    }

    fn with(&mut self) -> Result<Kind, Fault> {
        let mut assignments = Vec::new();
        while self.peek() != Some(&Token::BlockEnd) {
            if !assignments.is_empty() {
                self.expect_operator(",")?;
            }
            let target = self.target()?;
            self.expect_operator("=")?;
            assignments.push((target, self.expression()?));
        }
        Ok(Kind::With(assignments, self.closed_body("endwith")?))
    }

    fn call_block(&mut self) -> Result<Kind, Fault> {
        let (parameters, defaults) = if self.is_operator("(") { self.signature()? } else { Default::default() };
        let call = self.expression()?;
        if !matches!(&call, Expr::Postfix(_, chain) if matches!(chain.last(), Some(Postfix::Call(_)))) {
            return self.fail("expected a call");
        }
        let caller = self.macro_body("caller".into(), parameters, defaults, "endcall")?;
        Ok(Kind::Call(call, caller))
    }

    fn signature(&mut self) -> Result<(Vec<Arc<str>>, Vec<Expr>), Fault> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_operator("(")?;
        while !self.is_operator(")") {
            if !parameters.is_empty() {
                self.expect_operator(",")?;
            }
            parameters.push(self.name()?);
            if self.skip_operator("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return self.fail("parameter without default after one with a default");
            }
        }
        self.expect_operator(")")?;
        Ok((parameters, defaults))
    }

    fn macro_body(
        &mut self,
        name: Arc<str>,
        parameters: Vec<Arc<str>>,
        defaults: Vec<Expr>,
        end: &str,
    ) -> Result<Arc<Macro>, Fault> {
        self.names.push([false; 3]);
        self.loops.push(0);
        let body = self.closed_body(end)?;
        self.loops.pop();
        let used = self.names.pop().unwrap_or_default();
        let [uses_caller, uses_varargs, uses_kwargs] = used;
        Ok(Arc::new(Macro { name, parameters, defaults, body, uses_caller, uses_varargs, uses_kwargs }))
    }

    /// One or more assignment targets, separated by commas.
    fn targets(&mut self, ends: &[&str]) -> Result<Target, Fault> {
        let first = self.target()?;
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_operator(",") {
            if self.is_operator("=") || ends.iter().any(|end| self.is_name(end)) {
                break;
            }
            all.push(self.target()?);
        }
        Ok(Target::Tuple(all))
    }

    fn target(&mut self) -> Result<Target, Fault> {
        if self.skip_operator("(") {
            let inner = self.nested(|p| p.targets(&[]))?;
            self.expect_operator(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        if matches!(&*name, "true" | "false" | "none" | "True" | "False" | "None") {
            return self.fail(format!("cannot assign to '{name}'"));
        }
        if self.skip_operator(".") {
            return Ok(Target::Attribute(name, self.name()?));
        }
        Ok(Target::Name(name))
    }
}
