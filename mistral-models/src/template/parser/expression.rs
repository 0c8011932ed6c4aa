//! The expression grammar: ternary, `or`, `and`, `not`, comparisons, `+ -`, `~`, `* / // %`, `**`, signs, then postfix forms.

use std::sync::Arc;

use super::{MACRO_NAMES, Parser};
use crate::template::Fault;
use crate::template::ast::{Arguments, Arithmetic, Comparison, Condition, Expr, Literal, Postfix};
use crate::template::lexer::Token;

impl Parser {
    /// An expression, or a tuple without parentheses.
    pub(super) fn tuple(&mut self, conditional: bool, parenthesized: bool) -> Result<Expr, Fault> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            if matches!(self.peek(), None | Some(Token::BlockEnd | Token::OutputEnd))
                || self.is_operator(")")
                || (!conditional && self.is_name("recursive"))
            {
                break;
            }
            items.push(if conditional { self.expression()? } else { self.nested(Self::or)? });
            if !self.skip_operator(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                items.push(last);
                Ok(Expr::Tuple(items))
            }
            None if parenthesized => Ok(Expr::Tuple(items)),
            None => self.unexpected("an expression"),
        }
    }

    pub(super) fn expression(&mut self) -> Result<Expr, Fault> {
        self.nested(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Expr, Fault> {
        let mut then = self.or()?;
        let mut steps = 0;
        while self.skip_name("if") {
            steps += 1;
            if steps > super::NESTING_LIMIT {
                return self.fail("too many chained conditional expressions");
            }
            let test = self.or()?;
            let otherwise = if self.skip_name("else") { Some(self.expression()?) } else { None };
            then = Expr::Conditional(Box::new(Condition { test, then, otherwise }));
        }
        Ok(then)
    }

    fn or(&mut self) -> Result<Expr, Fault> {
        let first = self.and()?;
        if !self.is_name("or") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_name("or") {
            all.push(self.and()?);
        }
        Ok(Expr::Or(all))
    }

    fn and(&mut self) -> Result<Expr, Fault> {
        let first = self.not()?;
        if !self.is_name("and") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_name("and") {
            all.push(self.not()?);
        }
        Ok(Expr::And(all))
    }

    fn not(&mut self) -> Result<Expr, Fault> {
        if self.skip_name("not") {
            return Ok(Expr::Not(Box::new(self.nested(Self::not)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, Fault> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek() {
                Some(Token::Operator("==")) => Comparison::Eq,
                Some(Token::Operator("!=")) => Comparison::Ne,
                Some(Token::Operator("<")) => Comparison::Lt,
                Some(Token::Operator("<=")) => Comparison::Le,
                Some(Token::Operator(">")) => Comparison::Gt,
                Some(Token::Operator(">=")) => Comparison::Ge,
                Some(Token::Name(n)) if &**n == "in" => Comparison::In,
                Some(Token::Name(n))
                    if &**n == "not" && matches!(self.peek_after(), Some(Token::Name(n)) if &**n == "in") =>
                {
                    self.at += 1;
                    Comparison::NotIn
                }
                _ => break,
            };
            self.at += 1;
            rest.push((operator, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        self.arithmetic(Self::concat, |operator| match operator {
            "+" => Some(Arithmetic::Add),
            "-" => Some(Arithmetic::Sub),
            _ => None,
        })
    }

    fn concat(&mut self) -> Result<Expr, Fault> {
        let first = self.product()?;
        if !self.is_operator("~") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_operator("~") {
            all.push(self.product()?);
        }
        Ok(Expr::Concat(all))
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        self.arithmetic(Self::power, |operator| match operator {
            "*" => Some(Arithmetic::Mul),
            "/" => Some(Arithmetic::Div),
            "//" => Some(Arithmetic::FloorDiv),
            "%" => Some(Arithmetic::Rem),
            _ => None,
        })
    }

    fn power(&mut self) -> Result<Expr, Fault> {
        self.arithmetic(|p| p.unary(true), |operator| (operator == "**").then_some(Arithmetic::Pow))
    }

    fn arithmetic(
        &mut self,
        operand: impl Fn(&mut Self) -> Result<Expr, Fault>,
        operator: impl Fn(&str) -> Option<Arithmetic>,
    ) -> Result<Expr, Fault> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(Token::Operator(token)) = self.peek() {
            let Some(op) = operator(token) else { break };
            self.at += 1;
            rest.push((op, operand(self)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Arithmetic(Box::new(first), rest) })
    }

    fn unary(&mut self, filters: bool) -> Result<Expr, Fault> {
        let base = if self.skip_operator("-") {
            Expr::Negative(Box::new(self.nested(|p| p.unary(false))?))
        } else if self.skip_operator("+") {
            Expr::Positive(Box::new(self.nested(|p| p.unary(false))?))
        } else {
            self.primary()?
        };
        let mut chain = Vec::new();
        self.postfix(&mut chain)?;
        if filters {
            self.filters_and_tests(&mut chain)?;
        }
        Ok(if chain.is_empty() { base } else { Expr::Postfix(Box::new(base), chain) })
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let Some(token) = self.peek().cloned() else { return self.unexpected("an expression") };
        let literal = match token {
            Token::Name(name) => match &*name {
                "true" | "True" => Literal::Bool(true),
                "false" | "False" => Literal::Bool(false),
                "none" | "None" => Literal::None,
                _ => {
                    self.at += 1;
                    if let Some(i) = MACRO_NAMES.iter().position(|special| **special == *name) {
                        self.names.iter_mut().for_each(|used| used[i] = true);
                    }
                    return Ok(Expr::Name(name));
                }
            },
            Token::Int(value) => Literal::Int(value),
            Token::Float(value) => Literal::Float(value),
            Token::Str(first) => {
                self.at += 1;
                if !matches!(self.peek(), Some(Token::Str(_))) {
                    return Ok(Expr::Const(Literal::Str(first)));
                }
                let mut joined = first.to_string();
                while let Some(Token::Str(more)) = self.peek() {
                    joined.push_str(more);
                    self.at += 1;
                }
                return Ok(Expr::Const(Literal::Str(joined.into())));
            }
            Token::Operator("(") => {
                self.at += 1;
                let inner = self.nested(|p| p.tuple(true, true))?;
                self.expect_operator(")")?;
                return Ok(inner);
            }
            Token::Operator("[") => {
                self.at += 1;
                return Ok(Expr::List(self.items("]", Self::expression)?));
            }
            Token::Operator("{") => {
                self.at += 1;
                let pairs = self.items("}", |p| {
                    let key = p.expression()?;
                    p.expect_operator(":")?;
                    Ok((key, p.expression()?))
                })?;
                return Ok(Expr::Dict(pairs));
            }
            _ => return self.unexpected("an expression"),
        };
        self.at += 1;
        Ok(Expr::Const(literal))
    }

    /// Items separated by commas up to the closing bracket, which is passed; a trailing comma is allowed.
    fn items<T>(&mut self, close: &str, item: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let mut items = Vec::new();
        while !self.is_operator(close) {
            if !items.is_empty() {
                self.expect_operator(",")?;
                if self.is_operator(close) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        self.expect_operator(close)?;
        Ok(items)
    }

    fn postfix(&mut self, chain: &mut Vec<Postfix>) -> Result<(), Fault> {
        loop {
            if self.skip_operator(".") {
                match self.peek().cloned() {
                    Some(Token::Name(name)) => chain.push(Postfix::Attribute(name)),
                    Some(Token::Int(index)) => chain.push(Postfix::Item(Expr::Const(Literal::Int(index)))),
                    _ => return self.unexpected("a name or number"),
                }
                self.at += 1;
            } else if self.skip_operator("[") {
                let part = self.subscript()?;
                chain.push(part);
            } else if self.is_operator("(") {
                chain.push(Postfix::Call(self.arguments()?));
            } else {
                return Ok(());
            }
        }
    }

    fn subscript(&mut self) -> Result<Postfix, Fault> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut colons = 0;
        while !self.is_operator("]") {
            if self.skip_operator(":") {
                colons += 1;
                if colons > 2 {
                    return self.unexpected("]");
                }
            } else if parts[colons].is_none() {
                parts[colons] = Some(self.expression()?);
            } else {
                break;
            }
        }
        let [start, stop, step] = parts;
        if colons > 0 {
            self.expect_operator("]")?;
            return Ok(Postfix::Slice(Box::new([start, stop, step])));
        }
        let Some(first) = start else { return self.unexpected("a subscript") };
        if self.skip_operator("]") {
            return Ok(Postfix::Item(first));
        }
        let mut all = vec![first];
        while !self.skip_operator("]") {
            self.expect_operator(",")?;
            if !self.is_operator("]") {
                all.push(self.expression()?);
            }
        }
        Ok(Postfix::Item(Expr::Tuple(all)))
    }

    fn filters_and_tests(&mut self, chain: &mut Vec<Postfix>) -> Result<(), Fault> {
        loop {
            if self.skip_operator("|") {
                let filter = self.filter()?;
                chain.push(filter);
            } else if self.skip_name("is") {
                let test = self.test()?;
                chain.push(test);
            } else if self.is_operator("(") {
                chain.push(Postfix::Call(self.arguments()?));
            } else {
                return Ok(());
            }
        }
    }

    /// Filters separated by `|`, as in `{% filter a|b %}`.
    pub(super) fn filter_chain(&mut self) -> Result<Vec<Postfix>, Fault> {
        let mut chain = vec![self.filter()?];
        while self.skip_operator("|") {
            chain.push(self.filter()?);
        }
        Ok(chain)
    }

    fn filter(&mut self) -> Result<Postfix, Fault> {
        let name = self.dotted_name()?;
        let arguments = if self.is_operator("(") { self.arguments()? } else { Arguments::default() };
        Ok(Postfix::Filter(name, arguments))
    }

    fn dotted_name(&mut self) -> Result<Arc<str>, Fault> {
        let mut name = self.name()?;
        while self.skip_operator(".") {
            name = format!("{name}.{}", self.name()?).into();
        }
        Ok(name)
    }

    fn test(&mut self) -> Result<Postfix, Fault> {
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        let takes_operand = match self.peek() {
            Some(Token::Name(n)) => !matches!(&**n, "else" | "or" | "and"),
            Some(Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Operator("[" | "{")) => true,
            _ => false,
        };
        let arguments = if self.is_operator("(") {
            self.arguments()?
        } else if takes_operand {
            if self.is_name("is") {
                return self.fail("tests cannot be chained with `is`");
            }
            let base = self.nested(Self::primary)?;
            let mut chain = Vec::new();
            self.postfix(&mut chain)?;
            let operand = if chain.is_empty() { base } else { Expr::Postfix(Box::new(base), chain) };
            Arguments { positional: vec![operand], ..Arguments::default() }
        } else {
            Arguments::default()
        };
        Ok(Postfix::Test { name, arguments, negated })
    }

    fn arguments(&mut self) -> Result<Arguments, Fault> {
        self.expect_operator("(")?;
        let mut all = Arguments::default();
        let mut first = true;
        while !self.is_operator(")") {
            if !first {
                self.expect_operator(",")?;
                if self.is_operator(")") {
                    break;
                }
            }
            first = false;
            if self.skip_operator("**") {
                if all.named_splat.is_some() {
                    return self.fail("more than one `**` argument");
                }
                all.named_splat = Some(Box::new(self.expression()?));
            } else if self.skip_operator("*") {
                if all.splat.is_some() || all.named_splat.is_some() {
                    return self.fail("misplaced `*` argument");
                }
                all.splat = Some(Box::new(self.expression()?));
            } else if matches!(self.peek(), Some(Token::Name(_)))
                && matches!(self.peek_after(), Some(Token::Operator("=")))
            {
                let name = self.name()?;
                self.at += 1;
                all.named.push((name, self.expression()?));
            } else if !all.named.is_empty() || all.splat.is_some() || all.named_splat.is_some() {
                return self.fail("positional argument after a named one");
            } else {
                all.positional.push(self.expression()?);
            }
        }
        self.expect_operator(")")?;
        Ok(all)
    }
}
