//! The arguments of a call in the form of a dialect: one JSON object, parameters between marks, or literals.

use std::sync::Arc;

use serde_json::Value;

use mistral_tools::dialect::ArgumentsGrammar;

use super::dfa::{Dfa, Refused};
use super::flat::{ALL, ARRAY, BOOLEAN, NULL, NUMBER, OBJECT, STRING, Sub};
use super::grammar::{Grammar, Rule};
use super::object::{Name, Writer};
use super::report::Finding;
use super::schema::{Compiled, Compiler};
use super::style::{Style, is_bare, other_name};
use super::text::STATES;

/// The rule of arguments that follow a schema, `None` if none do, and what of the schema it does not enforce.
pub(super) fn arguments(
    grammar: &mut Grammar,
    form: ArgumentsGrammar,
    schema: &Value,
) -> Compiled<(Option<Rule>, Vec<Finding>)> {
    match form {
        ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
            let style = Style::Json { never: after_value.trim() };
            let writer = Parameters { before_key, after_key, after_key_json, after_value };
            written(Compiler::new(grammar, schema, style)?, &writer)
        }
        ArgumentsGrammar::Literals { assign, quote, python, .. } => {
            let style = if python { Style::Python } else { Style::Bare { quote } };
            written(Compiler::new(grammar, schema, style)?, &Literals { assign })
        }
        // The other forms there are.
        _ => {
            let mut compiler = Compiler::new(grammar, schema, Style::Json { never: "" })?;
            Ok((compiler.arguments()?, compiler.found))
        }
    }
}

fn written<'d>(mut compiler: Compiler<'d>, writer: &dyn Writer<'d>) -> Compiled<(Option<Rule>, Vec<Finding>)> {
    let mut all = Vec::new();
    for flat in compiler.objects()? {
        // Whole objects that are listed are not written in parts.
        all.extend(if flat.values.is_none() { compiler.members(&flat, writer) } else { None });
    }
    let rule = compiler.one_of(all);
    Ok((rule, compiler.found))
}

/// Each between marks.
struct Parameters {
    before_key: &'static str,
    after_key: &'static str,
    after_key_json: &'static str,
    after_value: &'static str,
}

impl<'d> Writer<'d> for Parameters {
    fn writes(&self, _: &Compiler<'d>, name: &str) -> bool {
        let odd = |c: char| c.is_control() || matches!(c, '"' | '<' | '>');
        !name.is_empty() && name.len() <= 128 && !name.contains(odd)
    }

    /// Text as it is, everything else as JSON.
    fn member(&self, compiler: &mut Compiler<'d>, name: &Name<'_>, at: &Arc<str>, subs: &[Sub<'d>]) -> Option<Rule> {
        let (key, mark) = match name {
            Name::Known(name) => (*name, compiler.grammar.literal(&[self.before_key, name].concat())),
            Name::Other(content) => {
                let before = compiler.grammar.literal(self.before_key);
                let name = other_name(compiler.grammar, content).ok()?;
                ("", compiler.grammar.sequence(&[before, name]))
            }
        };
        let mut all = Vec::new();
        let except = self.except(compiler.document, key).ok()?;
        let raw = Style::Raw { mark: self.after_value, never: self.after_value.trim(), except };
        let json = std::mem::replace(&mut compiler.style, raw);
        let text = compiler.rule(at, subs, STRING);
        compiler.style = json;
        if let Some(text) = text {
            let after_key = compiler.grammar.literal(self.after_key);
            all.push(compiler.grammar.sequence(&[mark, after_key, text]));
        }
        // Where the mark names a type, `object` stands for it.
        let kinds: &[(u8, &str)] = match self.after_key_json.contains("\"object\"") {
            true => &[(NUMBER, "number"), (BOOLEAN, "boolean"), (NULL, "null"), (ARRAY, "array"), (OBJECT, "object")],
            false => &[(ALL & !STRING, "object")],
        };
        for &(types, name) in kinds {
            let Some(value) = compiler.rule(at, subs, types) else { continue };
            let after_key = compiler.grammar.literal(&self.after_key_json.replace("object", name));
            let end = compiler.grammar.literal(self.after_value);
            all.push(compiler.grammar.sequence(&[mark, after_key, value, end]));
        }
        compiler.one_of(all)
    }

    fn bare(&self, _: &Compiler<'d>) -> bool {
        true
    }

    fn marks(&self, compiler: &mut Compiler<'d>) -> (Option<Rule>, Rule) {
        (None, compiler.grammar.sequence(&[]))
    }
}

impl Parameters {
    /// Text that the reader of a parameter takes for something else than a string.
    fn except(&self, document: &Value, key: &str) -> Result<Option<Dfa>, Refused> {
        if self.after_key != self.after_key_json {
            // The marks tell.
            return Ok(None);
        }
        let known = document.get("properties").and_then(|properties| properties.get(key));
        let kinds = known.map_or(ANY, |schema| kinds(schema, 0));
        let patterns: Vec<&str> = READ_AS.iter().filter(|(kind, _)| kinds & kind != 0).map(|(_, text)| *text).collect();
        if patterns.is_empty() { Ok(None) } else { Dfa::regex(&patterns.join("|"), STATES).map(Some) }
    }
}

const ANY: u8 = 63;
const KINDS: [(&str, u8); 7] =
    [("string", 1), ("number", 2), ("integer", 2), ("boolean", 4), ("null", 8), ("object", 16), ("array", 32)];
/// What is read as the types but strings, or may be.
const READ_AS: [(u8, &str); 5] = [
    (2, r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\s*"),
    (4, r"\s*(?:[Tt]rue|[Ff]alse)\s*"),
    (8, r"\s*(?:null|None)\s*"),
    (16, r"\s*\{(?s:.)*"),
    (32, r"\s*\[(?s:.)*"),
];

/// The types that parsers take a parameter for: what they look at to tell `2` from `"2"`.
fn kinds(schema: &Value, depth: usize) -> u8 {
    let named = |name: &Value| KINDS.iter().find(|(known, _)| name == known).map_or(ANY, |&(_, kind)| kind);
    let of = |value: &Value| match value {
        Value::String(_) => 1,
        Value::Number(_) => 2,
        Value::Bool(_) => 4,
        Value::Null => 8,
        Value::Object(_) => 16,
        Value::Array(_) => 32,
    };
    let all = |values: &[Value], kind: &dyn Fn(&Value) -> u8| values.iter().map(kind).fold(0, |all, kind| all | kind);
    if depth > 8 {
        return ANY;
    }
    match schema.get("type") {
        Some(Value::Array(names)) => return all(names, &named),
        Some(Value::Null) | None => {}
        Some(name) => return named(name),
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(key).and_then(Value::as_array) {
            return all(branches, &|branch| kinds(branch, depth + 1));
        }
    }
    match (schema.get("enum").and_then(Value::as_array), schema.get("const")) {
        (Some(values), _) => all(values, &of),
        (_, Some(value)) => of(value),
        _ => ANY,
    }
}

/// `key assign value` with commas between.
struct Literals {
    assign: &'static str,
}

impl<'d> Writer<'d> for Literals {
    fn writes(&self, _: &Compiler<'d>, name: &str) -> bool {
        is_bare(name)
    }

    fn member(&self, compiler: &mut Compiler<'d>, name: &Name<'_>, at: &Arc<str>, subs: &[Sub<'d>]) -> Option<Rule> {
        let value = compiler.rule(at, subs, ALL)?;
        let name = match name {
            Name::Known(name) => return Some(self.named(compiler, name, value)),
            Name::Other(content) => other_name(compiler.grammar, content).ok()?,
        };
        let assign = compiler.grammar.literal(self.assign);
        Some(compiler.grammar.sequence(&[name, assign, value]))
    }

    fn bare(&self, _: &Compiler<'d>) -> bool {
        true
    }

    fn marks(&self, compiler: &mut Compiler<'d>) -> (Option<Rule>, Rule) {
        (Some(compiler.comma), compiler.grammar.sequence(&[]))
    }
}

impl Literals {
    fn named(&self, compiler: &mut Compiler<'_>, name: &str, value: Rule) -> Rule {
        let name = compiler.grammar.literal(&[name, self.assign].concat());
        compiler.grammar.sequence(&[name, value])
    }
}
