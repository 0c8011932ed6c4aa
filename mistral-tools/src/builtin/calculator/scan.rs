//! Reads an expression, refuses features that a calculator does not need, and takes the expression apart into statements of one operation
//! each. `2(3 + 4)` becomes `group_0 = 3 + 4` and `2 * group_0`, and `sin(1)^2` becomes `group_0 = sin 1` and `group_0 ^ 2`.
//!
//! Precedence is decided here, not by the parser of `fend-core`. That parser reads `100 km / 2 hours` as `100 km / 2 * hours`, takes
//! exponential time in nested parentheses, and recurses without a bound. From loose to tight: conversions; `or`, `xor`, `and`; sums;
//! products, with `mod`, `per`, `of` and implied products of groups, functions and constants; `nCr`, `nPr`; quantities (a number with its
//! units, such as `5 feet 3 inches`); signs; powers; `!` and `%`. A text with two common readings, such as `1 / 2 m`, is refused, and the
//! error shows both readings.

mod lexer;

use super::{Calculator, CalculatorError};
use lexer::{Kind, Token};

/// The functions that may be called.
pub(super) const FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cbrt",
    "ceil",
    "conjugate",
    "cos",
    "cosh",
    "cubic",
    "exp",
    "fib",
    "floor",
    "imag",
    "ln",
    "log",
    "log10",
    "log2",
    "not",
    "real",
    "round",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
];
/// Words for numbers, which multiply like a group, not like a unit.
const CONSTANTS: &[&str] = &["pi", "π", "tau", "τ", "e", "phi", "i"];
/// The prefix of the names under which statements' values are stored.
pub(super) const GROUP: &str = "group_";
/// The most parentheses, and functions without parentheses, in one text. Bounds the recursion.
const GROUPS: usize = 100;
/// The most signs in a row.
const SIGNS: usize = 4;
/// The most tokens of a conversion's target.
const TARGET: usize = 16;

/// One operation, whose operands are numbers, words or the values of earlier statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) text: String,
    /// The function and its argument, if the statement calls one.
    pub(super) call: Option<(&'static str, String)>,
}

/// Returns the statements of an expression; the last statement is its value. Statement `k` may use the value of an earlier statement by its
/// name `group_j`.
pub(super) fn statements(expression: &str) -> Result<Vec<Statement>, CalculatorError> {
    if expression.len() > Calculator::MAX_EXPRESSION {
        return Err(CalculatorError::TooLong(expression.len()));
    }
    let (tokens, refused) = lexer::tokens(expression);
    let mut parser = Parser { tokens: &tokens, at: 0, done: Vec::new(), groups: 0 };
    let value = parser.all();
    // The first fault of the text counts.
    match refused {
        Some(refused) if value.is_ok() || parser.at >= tokens.len() => return Err(refused),
        _ => {}
    }
    let value = value?;
    // The value is the last statement, or a number or word alone.
    if parser.done.is_empty() || value.text != format!("{GROUP}{}", parser.done.len() - 1) {
        parser.done.push(Statement { text: value.text, call: None });
    }
    Ok(parser.done)
}

fn wrong(text: impl Into<String>) -> CalculatorError {
    CalculatorError::Expression(text.into())
}

/// How the text of an operand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Number,
    Unit,
    Constant,
    Percent,
    Factorial,
    Close,
}

/// A number, a word, or the value of a statement.
#[derive(Debug, Clone)]
struct Operand {
    text: String,
    last: Last,
    /// Whether the operand contains a unit.
    has_unit: bool,
    /// Whether the operand is a number and its units without parentheses around them.
    is_quantity: bool,
    /// Whether the operand is a quotient by such a quantity: `10 GB / 100 MB`.
    by_quantity: bool,
}

/// Binary operators, with how tightly they bind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// An operator that is passed on as it is written.
    Plain(&'static str, u8),
    /// `/` and `per`.
    Divided,
    Modulo,
    /// A product without a written operator.
    Implied,
}

const LOOSEST: u8 = 0;
const PRODUCT: u8 = 4;
const TIGHTEST: u8 = 6;

impl Operator {
    fn level(self) -> u8 {
        match self {
            Self::Plain(_, level) => level,
            Self::Divided | Self::Modulo | Self::Implied => PRODUCT,
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    done: Vec<Statement>,
    groups: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Token {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> &'a Token {
        self.tokens.get(self.at + by).unwrap_or(&lexer::END)
    }

    fn next(&mut self) -> &'a Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.peek().kind == Kind::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    /// Adds a statement; its value is the operand.
    fn emit(&mut self, text: String, has_unit: bool) -> Operand {
        self.done.push(Statement { text, call: None });
        let text = format!("{GROUP}{}", self.done.len() - 1);
        Operand { text, last: Last::Close, has_unit, is_quantity: false, by_quantity: false }
    }

    /// Adds a statement that calls a function.
    fn emit_call(&mut self, function: &'static str, argument: String, has_unit: bool) -> Operand {
        let value = self.emit(format!("{function} {argument}"), has_unit);
        if let Some(statement) = self.done.last_mut() {
            statement.call = Some((function, argument));
        }
        value
    }

    fn enter(&mut self) -> Result<(), CalculatorError> {
        self.groups += 1;
        match self.groups > GROUPS {
            true => Err(wrong("too many parentheses; calculate it in steps")),
            false => Ok(()),
        }
    }

    /// Reads the whole text.
    fn all(&mut self) -> Result<Operand, CalculatorError> {
        let value = self.group("at the end")?;
        match self.peek().kind {
            Kind::End => Ok(value),
            Kind::Symbol(')') => Err(wrong("a parenthesis closes that was not opened")),
            _ => Err(self.unexpected(value.last)),
        }
    }

    /// Reads the content of parentheses or the whole text: an expression and the target of its conversion.
    fn group(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let mut value = self.binary(LOOSEST, place)?;
        while self.at_conversion() {
            self.next();
            let target = self.target()?;
            value = self.emit(format!("{} to {target}", value.text), value.has_unit);
        }
        Ok(value)
    }

    /// Returns whether `to`, `as` or `in` follows as a conversion, not the unit `in`.
    fn at_conversion(&self) -> bool {
        match self.peek().word() {
            Some("to" | "as") => true,
            Some("in") => !self.is_inch(),
            _ => false,
        }
    }

    /// Returns whether `in` means inches here: nothing follows that could be a conversion's target.
    fn is_inch(&self) -> bool {
        let next = self.ahead(1);
        match &next.kind {
            Kind::Word => {
                matches!(next.text.as_str(), "to" | "as" | "in" | "per") || operator_word(&next.text).is_some()
            }
            Kind::Symbol('(') => false,
            _ => true,
        }
    }

    /// Returns the text after `to`: units with products, quotients and powers, a base, or a number of digits.
    fn target(&mut self) -> Result<String, CalculatorError> {
        let mut target: Vec<&str> = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Word if matches!(token.text.as_str(), "to" | "as") && !target.is_empty() => break,
                Kind::Word if FUNCTIONS.contains(&token.text.as_str()) => {
                    return Err(wrong(format!("`{}` is nothing to convert to", token.text)));
                }
                Kind::Word | Kind::Number => target.push(&token.text),
                Kind::Superscript => target.extend(["^", &token.text]),
                Kind::Symbol('%') => target.push("%"),
                Kind::Symbol('/') => target.push("/"),
                Kind::Symbol('*') => target.push("*"),
                Kind::Symbol('^') => target.push("^"),
                Kind::Symbol('-') if target.last() == Some(&"^") => target.push("-"),
                _ => break,
            }
            self.next();
        }
        match target.last() {
            None => Err(wrong("a unit is missing after `to`")),
            Some(&last @ ("/" | "*" | "^" | "-")) => {
                Err(wrong(format!("a value is missing after `{last}`, at the end")))
            }
            Some(_) if target.len() > TARGET => Err(wrong("the unit to convert to is too long")),
            Some(_) => Ok(target.join(" ")),
        }
    }

    /// Reads operators that bind at least as tightly as `least`, and their operands.
    fn binary(&mut self, least: u8, place: &str) -> Result<Operand, CalculatorError> {
        let mut left = self.quantity(place)?;
        while let Some(operator) = self.operator(&left).filter(|operator| operator.level() >= least) {
            let symbol = match operator {
                Operator::Implied => String::new(),
                _ => self.next().text.clone(),
            };
            let after = format!("after `{symbol}`, {place}");
            let right = match operator.level() {
                TIGHTEST => self.quantity(&after)?,
                level => self.binary(level + 1, &after)?,
            };
            left = self.combine(left, operator, right)?;
        }
        Ok(left)
    }

    /// Returns the operator that follows `left`, written or implied.
    fn operator(&self, left: &Operand) -> Option<Operator> {
        let token = self.peek();
        match token.kind {
            Kind::Symbol('+') => Some(Operator::Plain("+", 3)),
            Kind::Symbol('-') => Some(Operator::Plain("-", 3)),
            Kind::Symbol('*') => Some(Operator::Plain("*", PRODUCT)),
            Kind::Symbol('/') => Some(Operator::Divided),
            Kind::Symbol('%') => Some(Operator::Modulo),
            Kind::Symbol('&') => Some(Operator::Plain("and", 2)),
            Kind::Symbol('|') => Some(Operator::Plain("or", 1)),
            Kind::Symbol('(') => Some(Operator::Implied),
            Kind::Number if matches!(left.last, Last::Close | Last::Factorial) => Some(Operator::Implied),
            Kind::Word => match token.text.as_str() {
                "to" | "as" | "in" => None,
                text if is_function(text).is_some() || CONSTANTS.contains(&text) => Some(Operator::Implied),
                text => operator_word(text),
            },
            _ => None,
        }
    }

    fn combine(&mut self, left: Operand, operator: Operator, right: Operand) -> Result<Operand, CalculatorError> {
        let has_unit = left.has_unit || right.has_unit;
        let (a, b) = (&left.text, &right.text);
        Ok(match operator {
            Operator::Plain(symbol, _) => self.emit(format!("{a} {symbol} {b}"), has_unit),
            Operator::Implied => self.emit(format!("{a} * {b}"), has_unit),
            Operator::Divided if right.is_quantity && !left.has_unit => {
                return Err(wrong(
                    "a number divided by a number with a unit can be read in two ways: write `(1 / 2) m` or `1 / (2 m)`",
                ));
            }
            Operator::Divided if left.by_quantity && right.last == Last::Unit && !right.is_quantity => {
                return Err(wrong(
                    "a division by a rate can be read in two ways: write `10 m / (2 m/s)` or `(10 m / 2 m) / s`",
                ));
            }
            Operator::Divided => {
                let quotient = self.emit(format!("{a} / {b}"), has_unit);
                Operand { by_quantity: right.is_quantity, ..quotient }
            }
            // The remainder that has the sign of the divisor.
            Operator::Modulo => {
                let quotient = self.emit(format!("{a} / {b}"), false);
                let whole = self.emit_call("floor", quotient.text, false);
                let multiple = self.emit(format!("{b} * {}", whole.text), has_unit);
                self.emit(format!("{a} - {}", multiple.text), has_unit)
            }
        })
    }

    /// Reads a value with the units after it; a quantity right after another one of the same kind is added (`5 feet 3 inches`).
    fn quantity(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let mut value = self.units(place)?;
        while value.last == Last::Unit && self.peek().kind == Kind::Number {
            let part = self.units(place)?;
            if part.last != Last::Unit {
                return Err(wrong("an operator or a unit is missing after a number"));
            }
            let sum = self.emit(format!("{} + {}", value.text, part.text), true);
            value = Operand { last: Last::Unit, is_quantity: true, ..sum };
        }
        Ok(value)
    }

    /// Reads a value with the units after it.
    fn units(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let mut value = self.signed(place)?;
        while self.at_unit() {
            let unit = self.power(place)?;
            let product = self.emit(format!("{} {}", value.text, unit.text), true);
            value = Operand { last: Last::Unit, is_quantity: true, ..product };
        }
        Ok(value)
    }

    /// Returns whether the next word is a unit: not an operator, a function or a constant.
    fn at_unit(&self) -> bool {
        match self.peek().word() {
            Some("to" | "as") | None => false,
            Some("in") => self.is_inch(),
            Some(word) => operator_word(word).is_none() && is_function(word).is_none() && !CONSTANTS.contains(&word),
        }
    }

    /// Reads signs and a power.
    fn signed(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let negative = self.signs()?;
        let value = self.power(place)?;
        Ok(if negative { self.negated(value) } else { value })
    }

    fn negated(&mut self, value: Operand) -> Operand {
        let Operand { last, has_unit, .. } = value;
        Operand { last, ..self.emit(format!("-{}", value.text), has_unit) }
    }

    /// Reads signs; returns whether together they are a minus.
    fn signs(&mut self) -> Result<bool, CalculatorError> {
        let (mut count, mut negative) = (0, false);
        while let Kind::Symbol(sign @ ('+' | '-')) = self.peek().kind {
            self.next();
            count += 1;
            negative ^= sign == '-';
        }
        if count > SIGNS { Err(wrong("too many signs")) } else { Ok(negative) }
    }

    /// Reads a value and its exponents, which associate to the right.
    fn power(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let mut tower = vec![(false, self.postfix(place)?)];
        while self.take('^') {
            let after = format!("after `^`, {place}");
            let negative = self.signs()?;
            tower.push((negative, self.postfix(&after)?));
        }
        let signed = |parser: &mut Self, (negative, value)| if negative { parser.negated(value) } else { value };
        let Some(top) = tower.pop() else { return Err(CalculatorError::Failed) };
        let mut value = top;
        while let Some((negative, base)) = tower.pop() {
            let exponent = signed(self, value);
            let last = if base.last == Last::Unit { Last::Unit } else { Last::Close };
            let power = self.emit(format!("{} ^ {}", base.text, exponent.text), base.has_unit);
            value = (negative, Operand { last, ..power });
        }
        Ok(signed(self, value))
    }

    /// Reads a value with the marks after it: `!`, `%`, and superscript exponents.
    fn postfix(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let mut value = self.primary(place)?;
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Symbol('!') if value.last != Last::Factorial => {
                    self.next();
                    let factorial = self.emit(format!("{} !", value.text), value.has_unit);
                    value = Operand { last: Last::Factorial, ..factorial };
                }
                Kind::Symbol('!') => return Err(wrong("a value is missing before `!`")),
                Kind::Symbol('%') if self.is_percent(value.last)? => {
                    self.next();
                    let percent = self.emit(format!("{} / 100", value.text), value.has_unit);
                    value = Operand { last: Last::Percent, ..percent };
                }
                Kind::Superscript => {
                    self.next();
                    let last = if value.last == Last::Unit { Last::Unit } else { Last::Close };
                    let power = self.emit(format!("{} ^ {}", value.text, token.text), value.has_unit);
                    value = Operand { last, ..power };
                }
                _ => return Ok(value),
            }
        }
    }

    /// Returns whether `%` means a hundredth here; otherwise it is the remainder of a division.
    fn is_percent(&self, last: Last) -> Result<bool, CalculatorError> {
        let (mark, next) = (self.peek(), self.ahead(1));
        let value_follows = match next.kind {
            Kind::Number | Kind::Symbol('(') => true,
            Kind::Word => is_function(&next.text).is_some() || CONSTANTS.contains(&next.text.as_str()),
            _ => false,
        };
        match value_follows {
            true if last == Last::Percent => Err(wrong("a value is missing before `%`")),
            true if !mark.space && next.space => {
                Err(wrong("`%` can be read in two ways here: write `20% of 6` or `20 mod 6`"))
            }
            true => Ok(false),
            false if last == Last::Percent => Err(wrong("a value is missing before `%`")),
            false => Ok(true),
        }
    }

    fn primary(&mut self, place: &str) -> Result<Operand, CalculatorError> {
        let token = self.next();
        let leaf = |last, has_unit| {
            // The evaluation reads `in` as a conversion.
            let text = if token.text == "in" { "inch" } else { &token.text };
            Operand { text: text.to_owned(), last, has_unit, is_quantity: false, by_quantity: false }
        };
        match token.kind {
            Kind::Number => Ok(self.fraction(token).unwrap_or_else(|| leaf(Last::Number, false))),
            Kind::Symbol('(') => {
                self.enter()?;
                let value = self.group("before `)`")?;
                self.close(&value)?;
                Ok(Operand { last: Last::Close, is_quantity: false, by_quantity: false, ..value })
            }
            Kind::Word => match is_function(&token.text) {
                Some(function) => self.call(function),
                None if self.peek().kind == Kind::Symbol('(') && !CONSTANTS.contains(&token.text.as_str()) => {
                    let functions = FUNCTIONS.join(", ");
                    Err(wrong(format!("there is no function `{}`; there are: {functions}", token.text)))
                }
                None if CONSTANTS.contains(&token.text.as_str()) => Ok(leaf(Last::Constant, false)),
                None if operator_word(&token.text).is_some() => {
                    Err(wrong(format!("a value is missing before `{}`", token.text)))
                }
                None => Ok(leaf(Last::Unit, true)),
            },
            Kind::End => Err(wrong(format!("a value is missing {place}"))),
            Kind::Symbol(')') => Err(wrong(format!("a value is missing {place}"))),
            Kind::Symbol(symbol) => Err(wrong(format!("a value is missing before `{symbol}`"))),
            Kind::Superscript => Err(wrong("a value is missing before an exponent")),
        }
    }

    /// Reads the rest of a fraction without spaces: `1/2` before a unit, or `1 1/2`.
    fn fraction(&mut self, first: &Token) -> Option<Operand> {
        let whole =
            |token: &Token| token.kind == Kind::Number && token.text.bytes().all(|digit| digit.is_ascii_digit());
        let is_fraction = |at: usize| {
            let (slash, below) = (self.ahead(at), self.ahead(at + 1));
            slash.kind == Kind::Symbol('/') && !slash.space && whole(below) && !below.space
        };
        if !whole(first) {
            return None;
        }
        if is_fraction(0) {
            let below = self.ahead(1);
            let after = self.ahead(2);
            let unit = after.word().is_some_and(|word| {
                operator_word(word).is_none()
                    && is_function(word).is_none()
                    && !CONSTANTS.contains(&word)
                    && !matches!(word, "to" | "as" | "in")
            });
            if !unit {
                return None;
            }
            self.at += 2;
            return Some(self.emit(format!("{} / {}", first.text, below.text), false));
        }
        let above = self.peek();
        if whole(above) && is_fraction(1) {
            let below = self.ahead(2);
            self.at += 3;
            let part = self.emit(format!("{} / {}", above.text, below.text), false);
            return Some(self.emit(format!("{} + {}", first.text, part.text), false));
        }
        None
    }

    /// Reads the argument of a function: in parentheses, or the quantity after it.
    fn call(&mut self, function: &'static str) -> Result<Operand, CalculatorError> {
        self.enter()?;
        let argument = if self.take('(') {
            let argument = self.group("before `)`")?;
            self.close(&argument)?;
            argument
        } else if matches!(self.peek().kind, Kind::End | Kind::Symbol(')')) {
            return Err(wrong(format!("`{function}` is no number; a function needs an argument")));
        } else {
            self.quantity(&format!("after `{function}`"))?
        };
        // A function may keep its unit (`abs`, `round`) or not; nothing is refused that has one.
        Ok(self.emit_call(function, argument.text, argument.has_unit))
    }

    fn close(&mut self, value: &Operand) -> Result<(), CalculatorError> {
        match self.peek().kind {
            Kind::Symbol(')') => {
                self.next();
                Ok(())
            }
            Kind::End => Err(wrong("a parenthesis is not closed")),
            _ => Err(self.unexpected(value.last)),
        }
    }

    fn unexpected(&self, last: Last) -> CalculatorError {
        let text = &self.peek().text;
        match self.peek().kind {
            Kind::Number if matches!(last, Last::Number | Last::Percent | Last::Constant) => {
                wrong(format!("an operator is missing before `{text}`"))
            }
            _ => wrong(format!("`{text}` is not expected here")),
        }
    }
}

fn is_function(word: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|function| **function == word).copied()
}

fn operator_word(word: &str) -> Option<Operator> {
    Some(match word {
        "of" => Operator::Plain("*", PRODUCT),
        "per" => Operator::Divided,
        "mod" => Operator::Modulo,
        "and" | "AND" => Operator::Plain("and", 2),
        "or" | "OR" => Operator::Plain("or", 1),
        "xor" | "XOR" => Operator::Plain("xor", 1),
        "nCr" | "choose" => Operator::Plain("nCr", 5),
        "nPr" | "permute" => Operator::Plain("nPr", 5),
        _ => return None,
    })
}
