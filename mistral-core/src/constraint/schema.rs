//! JSON schemas as grammars: `type`, `properties` and `required`, `items`, `enum`, `const`, `anyOf`, `oneOf`, and references into
//! `$defs` and `definitions`. Known properties come in the order of the schema, others do not come. What else a schema says
//! (patterns, lengths, ranges) is not enforced here; a schema that says nothing of the above matches any JSON.

use std::collections::HashMap;

use serde_json::Value;

use super::grammar::{Grammar, Pattern, Rule};

/// Schemas inside each other that are followed; deeper ones match any JSON.
const DEPTH: usize = 32;

/// Makes rules for schemas of one document.
pub(super) struct Compiler<'g> {
    grammar: &'g mut Grammar,
    document: Value,
    /// Rules of references, so that schemas may refer to themselves.
    references: HashMap<String, Rule>,
    space: Rule,
    string: Rule,
    integer: Rule,
    number: Rule,
    value: Rule,
    object: Rule,
}

impl<'g> Compiler<'g> {
    pub(super) fn new(grammar: &'g mut Grammar, document: Value) -> Self {
        let g = &mut *grammar;
        // One at most: without a bound a model may go on with spaces for ever.
        let blank = g.bytes(&[(b' ', b' '), (b'\n', b'\n')]);
        let space = g.optional(blank);
        let string = string(g);
        let (integer, number) = numbers(g);
        let value = g.sequence(&[]);
        let (comma, colon) = (g.literal(","), g.literal(":"));
        let member = g.sequence(&[string, space, colon, space, value]);
        let object = list(g, ("{", "}"), member, comma, space);
        let array = list(g, ("[", "]"), value, comma, space);
        let constants = ["true", "false", "null"].map(|text| g.literal(text));
        let all = [&[string, number, object, array], &constants[..]].concat();
        g.set(value, Pattern::Choice(all));
        Self { grammar, document, references: HashMap::new(), space, string, integer, number, value, object }
    }

    /// The rule of a whole document that must be an object.
    pub(super) fn arguments(&mut self) -> Rule {
        let document = self.document.clone();
        let known =
            ["properties", "$ref", "anyOf", "oneOf", "enum", "const"].iter().any(|key| document.get(key).is_some());
        if known { self.rule(&document, 0) } else { self.object }
    }

    fn rule(&mut self, schema: &Value, depth: usize) -> Rule {
        if depth > DEPTH {
            return self.value;
        }
        if let Some(value) = schema.get("const") {
            return self.grammar.literal(&value.to_string());
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array).filter(|values| !values.is_empty()) {
            let rules: Vec<Rule> = values.iter().map(|value| self.grammar.literal(&value.to_string())).collect();
            return self.grammar.choice(&rules);
        }
        if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
            return self.reference(path, depth);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(key).and_then(Value::as_array).filter(|branches| !branches.is_empty()) {
                let rules: Vec<Rule> = branches.iter().map(|branch| self.rule(branch, depth + 1)).collect();
                return self.grammar.choice(&rules);
            }
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.named(name, schema, depth),
            Some(Value::Array(names)) if !names.is_empty() => {
                let rules: Vec<Rule> =
                    names.iter().map(|name| self.named(name.as_str().unwrap_or_default(), schema, depth)).collect();
                self.grammar.choice(&rules)
            }
            _ if schema.get("properties").is_some() => self.named("object", schema, depth),
            _ => self.value,
        }
    }

    fn named(&mut self, name: &str, schema: &Value, depth: usize) -> Rule {
        match name {
            "string" => self.string,
            "integer" => self.integer,
            "number" => self.number,
            "null" => self.grammar.literal("null"),
            "boolean" => {
                let constants = ["true", "false"].map(|text| self.grammar.literal(text));
                self.grammar.choice(&constants)
            }
            "array" => {
                let item = schema.get("items").map_or(self.value, |items| self.rule(items, depth + 1));
                let comma = self.grammar.literal(",");
                list(self.grammar, ("[", "]"), item, comma, self.space)
            }
            "object" => self.properties(schema, depth),
            _ => self.value,
        }
    }

    fn reference(&mut self, path: &str, depth: usize) -> Rule {
        if let Some(&rule) = self.references.get(path) {
            return rule;
        }
        let found = path.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer)).cloned();
        // The whole document, or a reference to a reference, could refer to itself with nothing in between.
        let Some(schema) = found.filter(|schema| schema.get("$ref").is_none() && path.len() > 1) else {
            return self.value;
        };
        if schema.get("anyOf").or(schema.get("oneOf")).is_some() {
            return self.value;
        }
        let rule = self.grammar.sequence(&[]);
        self.references.insert(path.to_owned(), rule);
        let inner = self.rule(&schema, depth + 1);
        self.grammar.set(rule, Pattern::Sequence(vec![inner]));
        rule
    }

    fn properties(&mut self, schema: &Value, depth: usize) -> Rule {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return self.object };
        let required = schema.get("required").and_then(Value::as_array);
        let required = |key: &str| required.is_some_and(|keys| keys.iter().any(|name| name.as_str() == Some(key)));
        let (open, close, comma, colon) = (
            self.grammar.literal("{"),
            self.grammar.literal("}"),
            self.grammar.literal(","),
            self.grammar.literal(":"),
        );
        let space = self.space;
        let end = self.grammar.sequence(&[space, close]);
        // What may follow, from the back: after no member, and after one.
        let (mut first, mut later) = (end, end);
        for (key, schema) in properties.iter().rev() {
            let value = self.rule(schema, depth + 1);
            let key_text = self.grammar.literal(&Value::String(key.clone()).to_string());
            let member = [space, key_text, space, colon, space, value, later];
            let as_first = self.grammar.sequence(&member);
            let as_later = self.grammar.sequence(&[&[space, comma], &member[..]].concat());
            (first, later) = match required(key) {
                true => (as_first, as_later),
                false => (self.grammar.choice(&[as_first, first]), self.grammar.choice(&[as_later, later])),
            };
        }
        self.grammar.sequence(&[open, first])
    }
}

/// Any number of items with commas between.
fn list(g: &mut Grammar, (open, close): (&str, &str), item: Rule, comma: Rule, space: Rule) -> Rule {
    let (open, close) = (g.literal(open), g.literal(close));
    let more = g.sequence(&[space, comma, space, item]);
    let more = g.repeat(more);
    let items = g.sequence(&[space, item, more]);
    let items = g.optional(items);
    g.sequence(&[open, items, space, close])
}

/// RFC 8259: UTF-8 without control characters, and escapes except of surrogates, whose characters can be written as they are.
fn string(g: &mut Grammar) -> Rule {
    let tail = g.bytes(&[(0x80, 0xbf)]);
    let plain = g.bytes(&[(0x20, 0x21), (0x23, 0x5b), (0x5d, 0x7f)]);
    let mut characters = vec![plain];
    // The Unicode standard, table 3-7.
    for (lead, second, tails) in [
        ((0xc2, 0xdf), (0x80, 0xbf), 0),
        ((0xe0, 0xe0), (0xa0, 0xbf), 1),
        ((0xe1, 0xec), (0x80, 0xbf), 1),
        ((0xed, 0xed), (0x80, 0x9f), 1),
        ((0xee, 0xef), (0x80, 0xbf), 1),
        ((0xf0, 0xf0), (0x90, 0xbf), 2),
        ((0xf1, 0xf3), (0x80, 0xbf), 2),
        ((0xf4, 0xf4), (0x80, 0x8f), 2),
    ] {
        let mut bytes = vec![g.bytes(&[lead]), g.bytes(&[second])];
        bytes.extend(std::iter::repeat_n(tail, tails));
        characters.push(g.sequence(&bytes));
    }
    let backslash = g.literal("\\");
    let short = g.bytes(&[
        (b'"', b'"'),
        (b'/', b'/'),
        (b'\\', b'\\'),
        (b'b', b'b'),
        (b'f', b'f'),
        (b'n', b'n'),
        (b'r', b'r'),
        (b't', b't'),
    ]);
    let hex = g.bytes(&[(b'0', b'9'), (b'a', b'f'), (b'A', b'F')]);
    let u = g.bytes(&[(b'u', b'u')]);
    let other = g.bytes(&[(b'0', b'9'), (b'a', b'c'), (b'A', b'C'), (b'e', b'f'), (b'E', b'F')]);
    let (d, low) = (g.bytes(&[(b'd', b'd'), (b'D', b'D')]), g.bytes(&[(b'0', b'7')]));
    let (others, below) = (g.sequence(&[other, hex]), g.sequence(&[d, low]));
    let lead = g.choice(&[others, below]);
    let unicode = g.sequence(&[u, lead, hex, hex]);
    let escape = g.choice(&[short, unicode]);
    characters.push(g.sequence(&[backslash, escape]));
    let character = g.choice(&characters);
    let all = g.repeat(character);
    let quote = g.literal("\"");
    g.sequence(&[quote, all, quote])
}

/// RFC 8259: integers, and numbers with exponents of one or two digits, which readers have room for.
fn numbers(g: &mut Grammar) -> (Rule, Rule) {
    let (digit, leading) = (g.bytes(&[(b'0', b'9')]), g.bytes(&[(b'1', b'9')]));
    let digits = g.repeat(digit);
    let (minus, zero, point) = (g.literal("-"), g.literal("0"), g.literal("."));
    let sign = g.optional(minus);
    let many = g.sequence(&[leading, digits]);
    let whole = g.choice(&[zero, many]);
    // Without -0, which readers take for a fraction.
    let negative = g.sequence(&[minus, many]);
    let integer = g.choice(&[zero, many, negative]);
    let fraction = g.sequence(&[point, digit, digits]);
    let fraction = g.optional(fraction);
    let (e, signs) = (g.bytes(&[(b'e', b'e'), (b'E', b'E')]), g.bytes(&[(b'+', b'+'), (b'-', b'-')]));
    let signs = g.optional(signs);
    let second = g.optional(digit);
    let exponent = g.sequence(&[e, signs, digit, second]);
    let exponent = g.optional(exponent);
    (integer, g.sequence(&[sign, whole, fraction, exponent]))
}
