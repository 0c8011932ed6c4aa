//! Tokens of an expression.

use super::super::CalculatorError;
use super::{GROUP, wrong};

/// The most digits of an exponent.
const EXPONENT: usize = 6;

/// A number, a word or a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The text in the form that the evaluation takes: digits without commas, marks in ASCII.
    pub(super) text: String,
    /// Whether white space precedes the token.
    pub(super) space: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Word,
    Symbol(char),
    /// Superscript digits.
    Superscript,
    End,
}

/// The token after the last one.
pub(super) static END: Token = Token { kind: Kind::End, text: String::new(), space: false };

impl Token {
    /// Returns the text of a word.
    pub(super) fn word(&self) -> Option<&str> {
        (self.kind == Kind::Word).then_some(self.text.as_str())
    }
}

/// Returns the tokens of an expression, without the end token, up to the first error.
pub(super) fn tokens(expression: &str) -> (Vec<Token>, Option<CalculatorError>) {
    let mut lexer = Lexer { rest: expression };
    let mut tokens = Vec::new();
    loop {
        let trimmed = lexer.rest.trim_start();
        let space = trimmed.len() < lexer.rest.len();
        lexer.rest = trimmed;
        let Some(first) = trimmed.chars().next() else { return (tokens, None) };
        match lexer.token(first) {
            Ok((kind, text)) => tokens.push(Token { kind, text, space }),
            Err(refused) => return (tokens, Some(refused)),
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
}

/// Returns the length in bytes of the longest prefix of these characters.
fn prefix(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

impl<'a> Lexer<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn token(&mut self, first: char) -> Result<(Kind, String), CalculatorError> {
        let symbol = match first {
            '0'..='9' | '.' => return self.number(),
            '°' => return self.word(),
            _ if superscript(first).is_some() => return self.superscripts(),
            'λ' => return Err(wrong("there are no functions to define")),
            _ if first.is_alphabetic() => return self.word(),
            '(' | ')' | '+' | '-' | '/' | '^' | '&' | '|' | '%' | '!' => first,
            '\u{2212}' => '-',
            '*' if self.rest.starts_with("**") => '^',
            '*' | '×' | '·' => '*',
            '÷' | '\u{2215}' => '/',
            _ => return Err(refused(first)),
        };
        self.take(if self.rest.starts_with("**") { 2 } else { first.len_utf8() });
        Ok((Kind::Symbol(symbol), symbol.into()))
    }

    fn number(&mut self) -> Result<(Kind, String), CalculatorError> {
        let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(radix, _)| {
            let digits = self.rest.strip_prefix(radix);
            digits.is_some_and(|digits| digits.starts_with(|digit: char| digit.is_ascii_hexdigit()))
        });
        let mut text = String::new();
        match radix {
            Some((_, base)) => {
                let digits = self.rest.get(2..).unwrap_or_default();
                let taken = self.take(2 + prefix(digits, |character| character.is_ascii_alphanumeric()));
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
        Ok((Kind::Number, text))
    }

    /// Reads digits, and commas between groups of three.
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

    fn word(&mut self) -> Result<(Kind, String), CalculatorError> {
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
        match word {
            "percent" | "percents" | "percentage" => Ok((Kind::Symbol('%'), "%".into())),
            _ => Ok((Kind::Word, word.into())),
        }
    }

    fn superscripts(&mut self) -> Result<(Kind, String), CalculatorError> {
        let len = prefix(self.rest, |character| superscript(character).is_some());
        let digits: String = self.take(len).chars().filter_map(superscript).collect();
        if digits.len() > EXPONENT {
            return Err(wrong("the exponent is too large"));
        }
        Ok((Kind::Superscript, digits))
    }
}

/// Returns the digit that a superscript character shows.
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
