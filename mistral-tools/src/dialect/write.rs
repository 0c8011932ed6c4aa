//! The other direction: calls as the models of a dialect write them.

use super::Dialect;
use super::grammar::ArgumentsGrammar;
use super::ids::numbered;
use crate::message::ToolCall;
use crate::message::call_arguments::{items, members};

impl Dialect {
    /// Writes the text of calls, for histories whose template leaves calls out, and for tests. `made` is the number of earlier calls in the
    /// conversation. Ids are written where the dialect has a place for them. Arguments that are not an object are written as JSON, or left
    /// out if the dialect does not write JSON.
    ///
    /// The [`Parser`](super::Parser) reads the written calls back, with these exceptions. Where values are text, a string is cut
    /// at its own end mark if the mark of a parameter or of the end of the call follows, and at a whole mark of another parameter of the
    /// tool that does not follow a space. A string that looks like another type that the schema allows is read as
    /// that type. [`ArgumentsGrammar::Elements`] describes how null is read back.
    ///
    /// ```
    /// use mistral_tools::{ToolCall, dialect::Dialect};
    /// use serde_json::json;
    ///
    /// let call = ToolCall::new("clock", json!({"city": "Oslo"}));
    /// assert_eq!(Dialect::Lfm2.write(&[call], 0), "<|tool_call_start|>[clock(city='Oslo')]<|tool_call_end|>");
    /// ```
    pub fn write(self, calls: &[ToolCall], made: usize) -> String {
        let grammar = self.grammar();
        let mut text = String::new();
        let size = if grammar.separator.is_some() { calls.len() } else { 1 };
        for (section, calls) in calls.chunks(size.max(1)).enumerate() {
            text.push_str(grammar.begin);
            for (i, call) in calls.iter().enumerate() {
                let place = section * size + i;
                let id = call.id.as_deref().filter(|id| self.takes_id(id));
                let number = match (self, id) {
                    (Self::KimiK3, _) => (place + 1).to_string(),
                    (Self::KimiK2, Some(id)) => numbered(id).map_or("0", |(_, number)| number).to_owned(),
                    (_, Some(id)) => id.to_owned(),
                    (_, None) => made.saturating_add(place).to_string(),
                };
                text.push_str(if i > 0 { grammar.separator.unwrap_or("") } else { "" });
                number_in(grammar.before_name, &number, &mut text);
                text.push_str(&call.name);
                number_in(grammar.after_name, &number, &mut text);
                write_arguments(grammar.arguments, call.arguments.as_str(), &mut text);
                if let (Self::MistralList | Self::Apriel, Some(id)) = (self, id) {
                    text.push_str(&[", \"id\": \"", id, "\""].concat());
                }
                text.push_str(grammar.after_arguments);
            }
            text.push_str(grammar.end);
        }
        text
    }
}

/// A text of a grammar, in which a digit is an example of a number.
fn number_in(example: &str, number: &str, text: &mut String) {
    match example.split_once(|c: char| c.is_ascii_digit()) {
        Some((before, after)) => text.push_str(&[before, number, after].concat()),
        None => text.push_str(example),
    }
}

/// The kind of a JSON text, as far as writers tell values apart. Numbers and other texts are written as they are.
enum Kind<'j> {
    Null,
    Bool(bool),
    Text(String),
    Items(Vec<&'j str>),
    Members(Vec<(String, &'j str)>),
    Other,
}

/// The nesting depth from which values are written as JSON.
const DEPTH: usize = 128;

impl<'j> Kind<'j> {
    fn of(json: &'j str, depth: usize) -> Self {
        match json.bytes().next() {
            Some(b'n') => Self::Null,
            Some(c @ (b't' | b'f')) => Self::Bool(c == b't'),
            Some(b'"') => serde_json::from_str(json).map_or(Self::Other, Self::Text),
            Some(b'[') if depth < DEPTH => items(json).map_or(Self::Other, Self::Items),
            Some(b'{') if depth < DEPTH => members(json).map_or(Self::Other, Self::Members),
            _ => Self::Other,
        }
    }
}

fn write_arguments(grammar: ArgumentsGrammar, arguments: &str, text: &mut String) {
    let object = members(arguments).unwrap_or_default();
    match grammar {
        ArgumentsGrammar::Json => text.push_str(arguments),
        ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
            for (key, json) in object {
                text.push_str(&[before_key, &key].concat());
                match Kind::of(json, 0) {
                    Kind::Text(value) => text.push_str(&[after_key, &value].concat()),
                    kind => text.push_str(&[typed(after_key_json, &kind), json].concat()),
                }
                text.push_str(after_value);
            }
        }
        ArgumentsGrammar::Elements { mark } => write_members(mark, object, 0, text),
        ArgumentsGrammar::Literals { assign, quote, python, quoted_keys } => {
            let literals = Literals { quote, python, quoted_keys };
            for (i, (key, json)) in object.iter().enumerate() {
                text.push_str(if i > 0 { ", " } else { "" });
                text.push_str(&[key, assign].concat());
                literals.write(json, 0, text);
            }
        }
    }
}

/// The mark of the value's own type, where a dialect names it.
fn typed(mark: &'static str, kind: &Kind<'_>) -> &'static str {
    match (mark, kind) {
        ("\" type=\"object\"<|sep|>", Kind::Items(_)) => "\" type=\"array\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Kind::Other) => "\" type=\"number\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Kind::Bool(_)) => "\" type=\"boolean\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Kind::Null) => "\" type=\"null\"<|sep|>",
        _ => mark,
    }
}

fn write_members(mark: &str, object: Vec<(String, &str)>, depth: usize, text: &mut String) {
    for (key, json) in object.iter().filter(|(_, json)| *json != "null") {
        element(mark, key, json, depth, text);
    }
}

fn element(mark: &str, key: &str, json: &str, depth: usize, text: &mut String) {
    text.push_str(&[mark, "<", key, ">"].concat());
    match Kind::of(json, depth) {
        Kind::Null => {}
        Kind::Text(string) => text.push_str(&string),
        Kind::Items(items) => items.into_iter().for_each(|json| element(mark, "item", json, depth + 1, text)),
        Kind::Members(members) => write_members(mark, members, depth + 1, text),
        Kind::Bool(_) | Kind::Other => text.push_str(json),
    }
    text.push_str(&[mark, "</", key, ">"].concat());
}

/// See [`ArgumentsGrammar::Literals`].
struct Literals {
    quote: &'static str,
    python: bool,
    quoted_keys: bool,
}

impl Literals {
    fn write(&self, json: &str, depth: usize, text: &mut String) {
        match Kind::of(json, depth) {
            Kind::Null if self.python => text.push_str("None"),
            Kind::Bool(value) if self.python => text.push_str(if value { "True" } else { "False" }),
            Kind::Text(string) => self.quoted(&string, text),
            Kind::Items(items) => {
                text.push('[');
                for (i, json) in items.into_iter().enumerate() {
                    text.push_str(if i > 0 { ", " } else { "" });
                    self.write(json, depth + 1, text);
                }
                text.push(']');
            }
            Kind::Members(members) => {
                text.push('{');
                for (i, (key, json)) in members.iter().enumerate() {
                    text.push_str(if i > 0 { ", " } else { "" });
                    if self.quoted_keys {
                        self.quoted(key, text);
                    } else {
                        text.push_str(key);
                    }
                    text.push_str(if self.python { ": " } else { ":" });
                    self.write(json, depth + 1, text);
                }
                text.push('}');
            }
            Kind::Null | Kind::Bool(_) | Kind::Other => text.push_str(json),
        }
    }

    fn quoted(&self, string: &str, text: &mut String) {
        text.push_str(self.quote);
        for c in string.chars() {
            match c {
                '\\' | '\'' if self.python => text.extend(['\\', c]),
                '\n' if self.python => text.push_str("\\n"),
                '\r' if self.python => text.push_str("\\r"),
                c => text.push(c),
            }
        }
        text.push_str(self.quote);
    }
}
