//! The arguments of a call in the form of a dialect: one JSON object, parameters between marks, or literals.

use serde_json::{Map, Value, json};

use mistral_tools::dialect::{ArgumentsGrammar, JsonTypes};

use super::dfa::{Dfa, Refused};
use super::grammar::{Grammar, Pattern, Rule};
use super::report::Finding;
use super::schema::{Compiled, Compiler, named_properties, other_properties, restricted};
use super::style::{Style, is_bare, other_name};
use super::text::STATES;

/// JSON types but strings.
const OTHERS: [&str; 6] = ["number", "integer", "boolean", "null", "array", "object"];

/// The rule of arguments that follow a schema, `None` if none do, and what of the schema it does not enforce.
pub(super) fn arguments(
    grammar: &mut Grammar,
    form: ArgumentsGrammar,
    schema: &Value,
) -> Compiled<(Option<Rule>, Vec<Finding>)> {
    match form {
        ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
            let style = Style::Json { never: after_value.trim() };
            let compiler = Compiler::new(grammar, schema, style)?;
            Parameters { compiler, before_key, after_key, after_key_json, after_value }.rule()
        }
        ArgumentsGrammar::Literals { assign, quote, python, .. } => {
            let style = if python { Style::Python } else { Style::Bare { quote } };
            literals(Compiler::new(grammar, schema, style)?, assign)
        }
        // The other forms there are.
        _ => {
            let mut compiler = Compiler::new(grammar, schema, Style::Json { never: "" })?;
            Ok((compiler.arguments()?, compiler.found))
        }
    }
}

struct Parameters<'g> {
    compiler: Compiler<'g>,
    before_key: &'static str,
    after_key: &'static str,
    after_key_json: &'static str,
    after_value: &'static str,
}

impl Parameters<'_> {
    fn rule(mut self) -> Compiled<(Option<Rule>, Vec<Finding>)> {
        let mut all = Vec::new();
        for schema in self.compiler.objects()? {
            all.extend(self.parameters(&schema)?);
        }
        let rule = (!all.is_empty()).then(|| self.compiler.grammar.choice(&all));
        Ok((rule, self.compiler.found))
    }

    fn parameters(&mut self, schema: &Map<String, Value>) -> Compiled {
        let named = named_properties(schema);
        let known: Vec<&str> = named.iter().map(|(key, ..)| key.as_str()).collect();
        let mut all = Vec::new();
        for (key, schema, required) in &named {
            let odd = |c: char| c.is_control() || matches!(c, '"' | '<' | '>');
            if key.is_empty() || key.len() > 128 || key.contains(odd) {
                self.compiler.leave_out(key);
                continue;
            }
            let name = self.compiler.grammar.literal(&[self.before_key, key].concat());
            match self.parameter(name, key, schema)? {
                Some(rule) if *required => all.push(rule),
                Some(rule) => {
                    let nothing = self.compiler.grammar.sequence(&[]);
                    all.push(self.compiler.grammar.choice(&[nothing, rule]));
                }
                None if *required => return Ok(None),
                None => {}
            }
        }
        if let Some(other) = other_properties(schema) {
            let before = self.compiler.grammar.literal(self.before_key);
            let name = other_name(self.compiler.grammar, &known);
            let name = name.map_err(|_| self.compiler.problem("has too many parameters"))?;
            let name = self.compiler.grammar.sequence(&[before, name]);
            if let Some(rule) = self.parameter(name, "", &other)? {
                all.push(self.compiler.grammar.add(Pattern::Repeat { rule, min: 0, max: None }));
            }
        }
        Ok(Some(self.compiler.grammar.sequence(&all)))
    }

    /// A parameter: text as it is, everything else as JSON.
    fn parameter(&mut self, name: Rule, key: &str, schema: &Value) -> Compiled {
        let mut all = Vec::new();
        let except = self.except(key).map_err(|_| self.compiler.problem("has types that are not told apart"))?;
        let raw = Style::Raw { mark: self.after_value, never: self.after_value.trim(), except };
        let json = std::mem::replace(&mut self.compiler.style, raw);
        let keys: &[&str] = if key.is_empty() { &["additionalProperties"] } else { &["properties", key] };
        let strings = json!({"type": "string"});
        let text = self.compiler.under_or(keys, &restricted(schema, &["string"]), &strings);
        self.compiler.style = json;
        if let Some(text) = text? {
            let after_key = self.compiler.grammar.literal(self.after_key);
            all.push(self.compiler.grammar.sequence(&[name, after_key, text]));
        }
        // Where the mark names a type, `object` stands for it.
        let kinds: &[&[&str]] = match self.after_key_json.contains("\"object\"") {
            true => &[&["number", "integer"], &["boolean"], &["null"], &["array"], &["object"]],
            false => &[&OTHERS],
        };
        for names in kinds {
            let value = self.compiler.under_or(keys, &restricted(schema, names), &json!({"type": names}))?;
            let Some(value) = value else { continue };
            let mark = self.after_key_json.replace("object", names.first().unwrap_or(&"object"));
            let (mark, end) = (self.compiler.grammar.literal(&mark), self.compiler.grammar.literal(self.after_value));
            all.push(self.compiler.grammar.sequence(&[name, mark, value, end]));
        }
        Ok((!all.is_empty()).then(|| self.compiler.grammar.choice(&all)))
    }

    /// Text that the reader of a parameter takes for something else than a string.
    fn except(&self, key: &str) -> Result<Option<Dfa>, Refused> {
        if self.after_key != self.after_key_json {
            // The marks tell.
            return Ok(None);
        }
        let known = self.compiler.document.get("properties").and_then(|properties| properties.get(key));
        // The parser looks at the same types to tell `2` from `"2"`.
        let types = known.map_or(JsonTypes::ANY, |schema| JsonTypes::of(self.compiler.document, schema));
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

/// `key assign value` with commas between.
fn literals(mut compiler: Compiler<'_>, assign: &str) -> Compiled<(Option<Rule>, Vec<Finding>)> {
    let mut all = Vec::new();
    for schema in compiler.objects()? {
        all.extend(one_of_literals(&mut compiler, assign, &schema)?);
    }
    let rule = (!all.is_empty()).then(|| compiler.grammar.choice(&all));
    Ok((rule, compiler.found))
}

fn one_of_literals(compiler: &mut Compiler<'_>, assign: &str, schema: &Map<String, Value>) -> Compiled {
    let named = named_properties(schema);
    let nothing = compiler.grammar.sequence(&[]);
    let (mut first, mut later) = (nothing, nothing);
    if let Some(other) = other_properties(schema) {
        let known: Vec<&str> = named.iter().map(|(key, ..)| key.as_str()).collect();
        let name = other_name(compiler.grammar, &known);
        let name = name.map_err(|_| compiler.problem("has too many parameters"))?;
        if let Some(value) = compiler.under(&["additionalProperties"], &other)? {
            let assign = compiler.grammar.literal(assign);
            let member = compiler.grammar.sequence(&[name, assign, value]);
            let more = compiler.grammar.sequence(&[compiler.comma, member]);
            later = compiler.grammar.add(Pattern::Repeat { rule: more, min: 0, max: None });
            let some = compiler.grammar.sequence(&[member, later]);
            first = compiler.grammar.choice(&[nothing, some]);
        }
    }
    for (key, schema, required) in named.iter().rev() {
        if !is_bare(key) {
            compiler.leave_out(key);
            continue;
        }
        let Some(value) = compiler.under(&["properties", key], schema)? else {
            if *required {
                return Ok(None);
            }
            continue;
        };
        let name = compiler.grammar.literal(&[key, assign].concat());
        let as_first = compiler.grammar.sequence(&[name, value, later]);
        let as_later = compiler.grammar.sequence(&[compiler.comma, name, value, later]);
        (first, later) = match required {
            true => (as_first, as_later),
            false => (compiler.grammar.choice(&[as_first, first]), compiler.grammar.choice(&[as_later, later])),
        };
    }
    Ok(Some(first))
}
