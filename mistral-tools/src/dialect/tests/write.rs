//! Calls as a grammar says that they are written: the other direction, so that what is written is what is parsed.

use super::super::*;
use serde_json::Value;

/// A call with arguments as JSON text of an object.
pub(super) type Call = (String, String);

/// The calls of a turn.
pub(super) fn write(dialect: Dialect, calls: &[Call]) -> String {
    let grammar = dialect.grammar();
    let mut text = String::new();
    for section in calls.chunks(if grammar.separator.is_some() { calls.len().max(1) } else { 1 }) {
        text += grammar.begin;
        for (i, (name, arguments)) in section.iter().enumerate() {
            text += if i > 0 { grammar.separator.unwrap_or("") } else { "" };
            text += &[grammar.before_name, name, grammar.after_name].concat();
            write_arguments(grammar.arguments, arguments, &mut text);
            text += grammar.after_arguments;
        }
        text += grammar.end;
    }
    text
}

fn write_arguments(grammar: ArgumentsGrammar, arguments: &str, text: &mut String) {
    if grammar == ArgumentsGrammar::Json {
        *text += arguments;
        return;
    }
    let object: serde_json::Map<String, Value> = serde_json::from_str(arguments).unwrap();
    match grammar {
        ArgumentsGrammar::Json => {}
        ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
            for (key, value) in &object {
                let (after_key, value) = match value {
                    Value::String(value) => (after_key, value.clone()),
                    value => (after_key_json, value.to_string()),
                };
                *text += &[before_key, key, after_key, &value, after_value].concat();
            }
        }
        ArgumentsGrammar::Elements { mark } => write_members(mark, &object, text),
        ArgumentsGrammar::Literals { assign, quote, python, quoted_keys } => {
            for (i, (key, value)) in object.iter().enumerate() {
                *text += if i > 0 { "," } else { "" };
                *text += &[key, assign].concat();
                write_literal(value, quote, python, quoted_keys, text);
            }
        }
    }
}

fn write_members(mark: &str, object: &serde_json::Map<String, Value>, text: &mut String) {
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        write_element(mark, key, value, text);
    }
}

fn write_element(mark: &str, key: &str, value: &Value, text: &mut String) {
    *text += &[mark, "<", key, ">"].concat();
    match value {
        Value::Null => {}
        Value::String(string) => *text += string,
        Value::Array(values) => values.iter().for_each(|value| write_element(mark, "item", value, text)),
        Value::Object(object) => write_members(mark, object, text),
        value => *text += &value.to_string(),
    }
    *text += &[mark, "</", key, ">"].concat();
}

fn write_literal(value: &Value, quote: &str, python: bool, quoted_keys: bool, text: &mut String) {
    let quoted = |string: &str, text: &mut String| {
        let escaped = string.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\r', "\\r");
        *text += &[quote, if python { &escaped } else { string }, quote].concat();
    };
    match value {
        Value::Null if python => *text += "None",
        Value::Bool(value) if python => *text += if *value { "True" } else { "False" },
        Value::String(string) => quoted(string, text),
        Value::Array(values) => {
            *text += "[";
            for (i, value) in values.iter().enumerate() {
                *text += if i > 0 { ", " } else { "" };
                write_literal(value, quote, python, quoted_keys, text);
            }
            *text += "]";
        }
        Value::Object(object) => {
            *text += "{";
            for (i, (key, value)) in object.iter().enumerate() {
                *text += if i > 0 { ", " } else { "" };
                if quoted_keys {
                    quoted(key, text)
                } else {
                    *text += key
                }
                *text += ":";
                write_literal(value, quote, python, quoted_keys, text);
            }
            *text += "}";
        }
        value => *text += &value.to_string(),
    }
}
