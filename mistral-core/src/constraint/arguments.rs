//! The arguments of a call in the form of a dialect: one JSON object, parameters between marks, or literals.

use std::sync::Arc;

use serde_json::Value;

use mistral_tools::dialect::{ArgumentsGrammar, JsonTypes};

use super::dfa::{Dfa, Refused};
use super::flat::{ALL, ARRAY, BOOLEAN, NULL, NUMBER, OBJECT, STRING, Sub};
use super::grammar::{Grammar, Rule};
use super::object::{Name, Writer};
use super::report::Finding;
use super::schema::{Compiled, Compiler};
use super::style::{Style, is_bare, other_name};
use super::text::STATES;

/// Returns the rule of arguments that follow a schema (`None` if no arguments do), and the parts of the schema that the rule does not
/// enforce.
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

/// Writes each parameter between marks.
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

    /// Writes text as it is, and everything else as JSON.
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
        // The parser looks at the same types to tell `2` from `"2"`.
        let types = known.map_or(JsonTypes::ANY, |schema| JsonTypes::of(document, schema));
        let read_as = READ_AS.iter().filter(|(other, _)| types.contains(*other));
        let patterns: Vec<&str> = read_as.map(|(_, text)| *text).collect();
        if patterns.is_empty() { Ok(None) } else { Dfa::regex(&patterns.join("|"), STATES).map(Some) }
    }
}

/// What is read as the types but strings, or may be.
const READ_AS: [(JsonTypes, &str); 5] = [
    (JsonTypes::NUMBER, r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\s*"),
    (JsonTypes::BOOLEAN, r"\s*(?:[Tt]rue|[Ff]alse)\s*"),
    (JsonTypes::NULL, r"\s*(?:null|None)\s*"),
    (JsonTypes::OBJECT, r"\s*\{(?s:.)*"),
    (JsonTypes::ARRAY, r"\s*\[(?s:.)*"),
];

/// Writes `key assign value`, separated by commas.
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
