//! Reads an expression token by token, refuses what a calculator has no use for, and takes it apart into statements without any
//! parentheses: `2(3 + 4)` becomes `group_0 = 3 + 4` and `2 * group_0`, and `sin(1)^2` becomes `group_0 = 1`, `group_1 = sin group_0`
//! and `group_1 ^ 2`, which is what everybody but the parser behind reads. That parser takes exponential time in nested
//! parentheses, even in `1+(1+(1+1))`; without any it takes at most quadratic time, and the depth of its recursion is at most the
//! number of tokens, which is bounded.

use super::{Calculator, CalculatorError};

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
/// Words between two values.
const OPERATORS: &[&str] =
    &["to", "as", "in", "per", "of", "mod", "xor", "XOR", "and", "AND", "or", "OR", "nCr", "choose", "nPr", "permute"];
/// What the values of groups are called by.
const GROUP: &str = "group_";
/// The most pairs of parentheses.
const GROUPS: usize = 100;
/// The most tokens, which bounds the depth of the recursion behind.
const TOKENS: usize = 500;
/// The most signs in a row.
const SIGNS: usize = 4;
/// The most digits of an exponent.
const EXPONENT: usize = 6;

/// What came before a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing, or an opening parenthesis.
    Start,
    /// An operator that wants a value after it.
    Operator(char),
    /// A word that is an operator, or may be.
    WordOperator,
    Number,
    /// A unit or a constant.
    Word,
    /// A function whose argument stands without parentheses, and one whose argument follows in them.
    Function,
    Call,
    Percent,
    Factorial,
    Close,
}

/// The statements whose last gives the value.
pub(super) fn statements(expression: &str) -> Result<Vec<String>, CalculatorError> {
    if expression.len() > Calculator::MAX_EXPRESSION {
        return Err(CalculatorError::TooLong(expression.len()));
    }
    let mut scan = Scan {
        rest: expression,
        out: String::new(),
        last: Last::Start,
        open: Vec::new(),
        done: Vec::new(),
        groups: 0,
        signs: 0,
        tokens: 0,
    };
    while scan.token()? {}
    scan.end()
}

struct Scan<'a> {
    rest: &'a str,
    /// The innermost open group so far.
    out: String,
    last: Last,
    /// What stands before each open group, and whether that is the argument of a call.
    open: Vec<(String, bool)>,
    done: Vec<String>,
    groups: usize,
    signs: usize,
    tokens: usize,
}

fn wrong(text: impl Into<String>) -> CalculatorError {
    CalculatorError::Expression(text.into())
}

/// The bytes of the longest prefix of these characters.
fn prefix(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

impl<'a> Scan<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn write(&mut self, token: &str) {
        if !self.out.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(token);
    }

    /// Reads one token; false at the end.
    fn token(&mut self) -> Result<bool, CalculatorError> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        self.tokens += 1;
        if self.tokens > TOKENS {
            return Err(wrong("the expression is too long; calculate it in steps"));
        }
        match first {
            '0'..='9' | '.' => self.number()?,
            '(' => self.open()?,
            ')' => self.close()?,
            '+' | '-' | '\u{2212}' => self.sign(first)?,
            '*' | '/' | '^' | '&' | '|' | '×' | '·' | '÷' | '\u{2215}' => self.operator(first)?,
            '%' => self.suffix(first, "%", Last::Percent)?,
            '!' => self.suffix(first, "!", Last::Factorial)?,
            '°' => self.word()?,
            _ if superscript(first).is_some() => self.superscripts()?,
            'λ' => return Err(wrong("there are no functions to define")),
            _ if first.is_alphabetic() => self.word()?,
            _ => return Err(refused(first)),
        }
        Ok(true)
    }

    /// Whether a value has just ended.
    fn has_value(&self) -> bool {
        matches!(self.last, Last::Number | Last::Word | Last::Percent | Last::Factorial | Last::Close)
    }

    /// Writes the product that is implied before a value. Between numbers and words (`1 1/2`, `5 feet 3 inches`) it may mean
    /// a sum and is left as it is.
    fn product(&mut self, is_group: bool) {
        let implied = match self.last {
            Last::Close | Last::Factorial => true,
            Last::Number | Last::Word => is_group,
            _ => false,
        };
        if implied {
            self.write("*");
        }
        self.signs = 0;
    }

    fn number(&mut self) -> Result<(), CalculatorError> {
        let radix = ["0x", "0o", "0b"].into_iter().find(|radix| {
            self.rest
                .strip_prefix(radix)
                .is_some_and(|digits| digits.starts_with(|digit: char| digit.is_ascii_hexdigit()))
        });
        let mut text = String::new();
        match radix {
            Some(_) => {
                let digits = self.rest.get(2..).unwrap_or_default();
                let len = 2 + prefix(digits, |character| character.is_ascii_alphanumeric());
                let taken = self.take(len);
                let base = if taken.starts_with("0x") {
                    16
                } else if taken.starts_with("0o") {
                    8
                } else {
                    2
                };
                if !taken.chars().skip(2).all(|digit| digit.is_digit(base)) {
                    return Err(wrong(format!("`{taken}` is no number")));
                }
                text.push_str(taken);
            }
            None => {
                self.whole(&mut text)?;
                let fraction = self.rest.strip_prefix('.').map(|rest| prefix(rest, |digit| digit.is_ascii_digit()));
                if let Some(digits) = fraction {
                    let taken = self.take(1 + digits);
                    if text.is_empty() && digits == 0 {
                        return Err(wrong("a point without digits"));
                    }
                    if text.is_empty() {
                        text.push('0');
                    }
                    if digits > 0 {
                        text.push_str(taken);
                    }
                }
                self.exponent(&mut text)?;
            }
        }
        if self.rest.starts_with(['.', ',']) {
            return Err(wrong("a comma or point that belongs to no number; functions take one argument"));
        }
        self.product(false);
        self.write(&text);
        self.last = Last::Number;
        Ok(())
    }

    /// Digits, and commas between groups of three.
    fn whole(&mut self, text: &mut String) -> Result<(), CalculatorError> {
        let digits = |text: &str| prefix(text, |digit| digit.is_ascii_digit());
        let first = digits(self.rest);
        text.push_str(self.take(first));
        while let Some(rest) = self.rest.strip_prefix(',') {
            if text.len() == first && !(1..=3).contains(&first) || digits(rest) != 3 {
                return Err(wrong("a comma only separates groups of three digits; functions take one argument"));
            }
            self.take(1);
            text.push_str(self.take(3));
        }
        Ok(())
    }

    fn exponent(&mut self, text: &mut String) -> Result<(), CalculatorError> {
        let Some(rest) = self.rest.strip_prefix(['e', 'E']) else { return Ok(()) };
        let sign = usize::from(rest.starts_with(['+', '-']));
        let digits = prefix(rest.get(sign..).unwrap_or_default(), |digit| digit.is_ascii_digit());
        if digits > EXPONENT {
            return Err(wrong("the exponent is too large"));
        }
        if digits > 0 {
            text.push_str(self.take(1 + sign + digits));
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), CalculatorError> {
        let len =
            prefix(self.rest, |character| character.is_alphanumeric() && character != 'λ' || "_°".contains(character));
        let len = self.rest.get(..len).and_then(|word| word.find(|c| superscript(c).is_some())).unwrap_or(len);
        let word = self.take(len);
        if word.strip_prefix('d').is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit())) {
            return Err(wrong("there are no dice"));
        }
        if word == "ans" || word.starts_with(GROUP) {
            return Err(wrong("there are no variables"));
        }
        if OPERATORS.contains(&word) {
            self.write(word);
            self.last = Last::WordOperator;
            return Ok(());
        }
        let is_function = FUNCTIONS.contains(&word);
        let is_call = self.rest.trim_start().starts_with('(');
        if is_call && !is_function {
            return Err(wrong(format!("there is no function `{word}`; there are: {}", FUNCTIONS.join(", "))));
        }
        self.product(is_call);
        if !is_call {
            self.write(word);
        } else {
            self.open.push((std::mem::take(&mut self.out), true));
            self.write(word);
        }
        self.last = match (is_function, is_call) {
            (false, _) => Last::Word,
            (true, false) => Last::Function,
            (true, true) => Last::Call,
        };
        Ok(())
    }

    fn open(&mut self) -> Result<(), CalculatorError> {
        self.product(true);
        self.take(1);
        self.groups += 1;
        if self.groups > GROUPS {
            return Err(wrong("too many parentheses; calculate it in steps"));
        }
        self.open.push((std::mem::take(&mut self.out), false));
        self.last = Last::Start;
        Ok(())
    }

    fn close(&mut self) -> Result<(), CalculatorError> {
        self.complete("before `)`")?;
        self.take(1);
        self.name_group()?;
        // The call whose argument it was.
        if self.open.last().is_some_and(|(_, is_call)| *is_call) {
            self.name_group()?;
        }
        self.last = Last::Close;
        Ok(())
    }

    /// Ends the innermost group; its name takes its place.
    fn name_group(&mut self) -> Result<(), CalculatorError> {
        let (before, _) = self.open.pop().ok_or_else(|| wrong("a parenthesis closes that was not opened"))?;
        let name = format!("{GROUP}{}", self.done.len());
        let inside = std::mem::replace(&mut self.out, before);
        self.done.push(format!("{name} = {inside}"));
        self.write(&name);
        Ok(())
    }

    fn sign(&mut self, sign: char) -> Result<(), CalculatorError> {
        self.take(sign.len_utf8());
        self.signs = if self.has_value() { 0 } else { self.signs + 1 };
        if self.signs > SIGNS {
            return Err(wrong("too many signs"));
        }
        let sign = if sign == '+' { '+' } else { '-' };
        self.write(sign.encode_utf8(&mut [0; 4]));
        self.last = Last::Operator(sign);
        Ok(())
    }

    fn operator(&mut self, operator: char) -> Result<(), CalculatorError> {
        let ascii = match operator {
            '×' | '·' => '*',
            '÷' | '\u{2215}' => '/',
            other => other,
        };
        let is_power = ascii == '*' && self.rest.starts_with("**");
        let ascii = if is_power { '^' } else { ascii };
        if !self.has_value() {
            return Err(wrong(format!("a value is missing before `{ascii}`")));
        }
        self.take(if is_power { 2 } else { operator.len_utf8() });
        self.write(ascii.encode_utf8(&mut [0; 4]));
        self.last = Last::Operator(ascii);
        self.signs = 0;
        Ok(())
    }

    fn suffix(&mut self, character: char, token: &str, last: Last) -> Result<(), CalculatorError> {
        if !self.has_value() || self.last == last {
            return Err(wrong(format!("a value is missing before `{token}`")));
        }
        self.take(character.len_utf8());
        self.write(token);
        self.last = last;
        Ok(())
    }

    fn superscripts(&mut self) -> Result<(), CalculatorError> {
        if !self.has_value() {
            return Err(wrong("a value is missing before an exponent"));
        }
        let len = prefix(self.rest, |character| superscript(character).is_some());
        let digits: String = self.take(len).chars().filter_map(superscript).collect();
        if digits.len() > EXPONENT {
            return Err(wrong("the exponent is too large"));
        }
        self.write("^");
        self.write(&digits);
        self.last = Last::Number;
        Ok(())
    }

    /// That nothing is missing where a group, or all, ends.
    fn complete(&self, place: &str) -> Result<(), CalculatorError> {
        match self.last {
            Last::Operator(operator) => Err(wrong(format!("a value is missing after `{operator}`, {place}"))),
            Last::Start => Err(wrong(format!("a value is missing {place}"))),
            _ => Ok(()),
        }
    }

    fn end(mut self) -> Result<Vec<String>, CalculatorError> {
        self.complete("at the end")?;
        if !self.open.is_empty() {
            return Err(wrong("a parenthesis is not closed"));
        }
        self.done.push(self.out);
        Ok(self.done)
    }
}

/// The digit that is written above the line.
fn superscript(character: char) -> Option<char> {
    "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|above| above == character).and_then(|digit| char::from_digit(digit as u32, 10))
}

fn refused(character: char) -> CalculatorError {
    wrong(match character {
        '=' => "there are no variables and comparisons; give one expression without `=`".into(),
        ',' => "a comma only separates groups of three digits; functions take one argument".into(),
        ';' | ':' | '\\' => "only one expression at a time".into(),
        '<' | '>' => "there are no comparisons and shifts; multiply by a power of 2".into(),
        '"' | '\'' | '@' | '#' => "there are only numbers and units".into(),
        '$' | '€' | '£' | '¥' => "leave out the currency; there are no exchange rates".into(),
        other => format!("the character {other:?} means nothing here"),
    })
}
