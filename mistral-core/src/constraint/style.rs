//! How the dialects write values: as JSON, as Python does, as Gemma does, or as they are.

use serde_json::Value;

use super::dfa::{Dfa, Refused};
use super::grammar::{Grammar, Rule};
use super::terminal::Terminal;
use super::text::{Content, STATES, Unique, Writing, string};

/// How values are written.
#[derive(Debug, Clone)]
pub(super) enum Style {
    /// As JSON in which a text must not come, as it would end the value.
    Json { never: &'static str },
    /// As literals of Python, strings with either quote.
    Python,
    /// As JSON without escapes, with a mark around strings and keys without quotes.
    Bare { quote: &'static str },
    /// Strings as they are, up to a mark. `never` would end them too; `except` would be taken for something else.
    Raw { mark: &'static str, never: &'static str, except: Option<Dfa> },
}

impl Style {
    /// How a value may be written; nothing if it cannot be.
    pub(super) fn spellings(&self, value: &Value) -> Vec<String> {
        // `1.0` is the integer 1, which readers of integers expect without a point.
        let whole = value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < 1e15);
        let whole = whole.map(|number| Value::from(number as i64));
        let value = whole.as_ref().unwrap_or(value);
        match (self, value) {
            (Self::Json { never }, _) => {
                let text = value.to_string();
                if never.is_empty() || !text.contains(never) { vec![text] } else { Vec::new() }
            }
            (Self::Python, _) => {
                let mut all: Vec<String> = ["'", "\""].iter().filter_map(|quote| literal(value, quote, true)).collect();
                all.dedup();
                all
            }
            (Self::Bare { quote }, _) => literal(value, quote, false).into_iter().collect(),
            (Self::Raw { mark, never, except }, Value::String(text)) => {
                let end = text.bytes().try_fold(0, |state, byte| except.as_ref()?.step(state, byte));
                let other = end.is_some_and(|end| except.as_ref().is_some_and(|except| except.accepts(end)));
                if other || !is_plain(text, never) { Vec::new() } else { vec![[text, *mark].concat()] }
            }
            (Self::Raw { .. }, _) => Vec::new(),
        }
    }

    /// The keys of objects.
    pub(super) fn key(&self, key: &str) -> Vec<String> {
        match self {
            Self::Bare { .. } if is_bare(key) => vec![key.to_owned()],
            Self::Bare { .. } => Vec::new(),
            _ => self.spellings(&Value::from(key)),
        }
    }

    /// Returns the rule of keys that a content matches.
    pub(super) fn other_key(&self, g: &mut Grammar, content: &Content) -> Result<Rule, Refused> {
        match self {
            Self::Bare { .. } => other_name(g, content),
            _ => self.string(g, content, true),
        }
    }

    /// Returns the rule of strings. `unique` strings differ from each other within a scope, and each has one spelling only.
    pub(super) fn string(&self, g: &mut Grammar, content: &Content, unique: bool) -> Result<Rule, Refused> {
        let one_way = match self {
            _ if !unique => Unique::No,
            Self::Python => Unique::Quotes,
            _ => Unique::Yes,
        };
        let (open, never, escapes): (&[&str], &str, bool) = match self {
            Self::Json { never } => (&["\""], never, true),
            Self::Python => (&["'", "\""], "", true),
            Self::Bare { quote } => (&[*quote], quote, false),
            Self::Raw { mark, never, .. } => {
                let writing = Writing {
                    mark: mark.as_bytes(),
                    escapes: false,
                    slash: false,
                    never: never.as_bytes(),
                    unique: one_way,
                };
                let string = string(content, &writing)?;
                return Ok(g.terminal(string));
            }
        };
        let mut all = Vec::new();
        for quote in open {
            let slash = !matches!(self, Self::Python);
            let writing = Writing { mark: quote.as_bytes(), escapes, slash, never: never.as_bytes(), unique: one_way };
            let rest = string(content, &writing)?;
            let rest = g.terminal(if unique {
                rest.differing(quote.replace('\'', "\"").as_str(), *quote == "'")
            } else {
                rest
            });
            let open = g.literal(quote);
            all.push(g.sequence(&[open, rest]));
        }
        Ok(g.choice(&all))
    }
}

/// Returns the rule of names without quotes that a content matches and that differ from each other within a scope.
pub(super) fn other_name(g: &mut Grammar, content: &Content) -> Result<Rule, Refused> {
    Ok(g.terminal(Terminal::dfa(other_names(content)?).differing("", false)))
}

pub(super) fn other_names(content: &Content) -> Result<Dfa, Refused> {
    let names = Dfa::regex("[A-Za-z_][A-Za-z0-9_]{0,63}", STATES)?;
    let names = match content {
        Content::Only(dfa) => names.and(dfa, STATES)?,
        Content::Except { not, .. } => names.without(not, STATES)?.0,
        Content::Free { .. } => names,
    };
    Ok(names)
}

/// Whether a key can stand without quotes.
pub(super) fn is_bare(key: &str) -> bool {
    let bytes = key.as_bytes();
    let name = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
    !bytes.is_empty() && bytes.len() <= 128 && bytes.iter().all(name)
}

/// Whether a text can be written as it is.
fn is_plain(text: &str, never: &str) -> bool {
    !text.contains(never) && !text.chars().any(|c| c < ' ' && !matches!(c, '\n' | '\r' | '\t'))
}

fn literal(value: &Value, quote: &str, python: bool) -> Option<String> {
    Some(match value {
        Value::Null if python => "None".into(),
        Value::Bool(true) if python => "True".into(),
        Value::Bool(false) if python => "False".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if python => {
            // As JSON escapes, and the quote.
            let json = value.to_string();
            let inside = json.get(1..json.len().checked_sub(1)?)?;
            let inside = if quote == "'" { inside.replace("\\\"", "\"").replace('\'', "\\'") } else { inside.into() };
            let odd = text.chars().any(|c| c < ' ' && !matches!(c, '\n' | '\r' | '\t'));
            if odd { return None } else { [quote, &inside, quote].concat() }
        }
        Value::String(text) => is_plain(text, quote).then(|| [quote, text, quote].concat())?,
        Value::Array(values) => {
            let values: Option<Vec<String>> = values.iter().map(|value| literal(value, quote, python)).collect();
            format!("[{}]", values?.join(", "))
        }
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                let key = match python {
                    true => literal(&Value::from(key.as_str()), quote, true)?,
                    false => is_bare(key).then(|| key.clone())?,
                };
                Some([key.as_str(), ":", &literal(value, quote, python)?].concat())
            };
            let members: Option<Vec<String>> = members.iter().map(member).collect();
            format!("{{{}}}", members?.join(", "))
        }
    })
}
