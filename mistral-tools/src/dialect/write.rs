//! The other direction: calls as the models of a dialect write them.

use serde_json::{Map, Value};

use super::ids::numbered;
use super::{ArgumentsGrammar, Dialect};
use crate::ToolCall;

impl Dialect {
    /// The text of calls, for histories whose template leaves calls out, and for tests. `made` calls came before in the conversation;
    /// ids are written where the dialect has a place for them. Arguments that are no object are written as JSON, or left out where
    /// the dialect writes no JSON.
    ///
    /// What [`Parser`](super::Parser) reads of it is what was written, with these exceptions: where values are text, a string that
    /// contains the mark after it, and one that looks like another type that the schema allows; what [`ArgumentsGrammar::Elements`]
    /// says of null.
    ///
    /// ```
    /// use mistral_tools::{ToolCall, dialect::Dialect};
    /// use serde_json::json;
    ///
    /// let call = ToolCall { id: None, name: "clock".into(), arguments: json!({"city": "Oslo"}) };
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
                write_arguments(grammar.arguments, &call.arguments, &mut text);
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

fn write_arguments(grammar: ArgumentsGrammar, arguments: &Value, text: &mut String) {
    let none = Map::new();
    let object = arguments.as_object().unwrap_or(&none);
    match grammar {
        ArgumentsGrammar::Json => text.push_str(&arguments.to_string()),
        ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
            for (key, value) in object {
                let (after_key, value) = match value {
                    Value::String(value) => (after_key, value.clone()),
                    value => (typed(after_key_json, value), value.to_string()),
                };
                text.push_str(&[before_key, key, after_key, &value, after_value].concat());
            }
        }
        ArgumentsGrammar::Elements { mark } => members(mark, object, text),
        ArgumentsGrammar::Literals { assign, quote, python, quoted_keys } => {
            let literals = Literals { quote, python, quoted_keys };
            for (i, (key, value)) in object.iter().enumerate() {
                text.push_str(if i > 0 { ", " } else { "" });
                text.push_str(&[key, assign].concat());
                literals.write(value, text);
            }
        }
    }
}

/// The mark of the value's own type, where a dialect names it.
fn typed(mark: &'static str, value: &Value) -> &'static str {
    match (mark, value) {
        ("\" type=\"object\"<|sep|>", Value::Array(_)) => "\" type=\"array\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Value::Number(_)) => "\" type=\"number\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Value::Bool(_)) => "\" type=\"boolean\"<|sep|>",
        ("\" type=\"object\"<|sep|>", Value::Null) => "\" type=\"null\"<|sep|>",
        _ => mark,
    }
}

fn members(mark: &str, object: &Map<String, Value>, text: &mut String) {
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        element(mark, key, value, text);
    }
}

fn element(mark: &str, key: &str, value: &Value, text: &mut String) {
    text.push_str(&[mark, "<", key, ">"].concat());
    match value {
        Value::Null => {}
        Value::String(string) => text.push_str(string),
        Value::Array(values) => values.iter().for_each(|value| element(mark, "item", value, text)),
        Value::Object(object) => members(mark, object, text),
        value => text.push_str(&value.to_string()),
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
    fn write(&self, value: &Value, text: &mut String) {
        match value {
            Value::Null if self.python => text.push_str("None"),
            Value::Bool(value) if self.python => text.push_str(if *value { "True" } else { "False" }),
            Value::String(string) => self.quoted(string, text),
            Value::Array(values) => {
                text.push('[');
                for (i, value) in values.iter().enumerate() {
                    text.push_str(if i > 0 { ", " } else { "" });
                    self.write(value, text);
                }
                text.push(']');
            }
            Value::Object(object) => {
                text.push('{');
                for (i, (key, value)) in object.iter().enumerate() {
                    text.push_str(if i > 0 { ", " } else { "" });
                    if self.quoted_keys {
                        self.quoted(key, text)
                    } else {
                        text.push_str(key)
                    }
                    text.push_str(if self.python { ": " } else { ":" });
                    self.write(value, text);
                }
                text.push('}');
            }
            value => text.push_str(&value.to_string()),
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
