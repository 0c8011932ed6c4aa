//! JSON schemas as grammars, in the [`Style`] of a dialect. What of them is enforced is a table in the parent module.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::dfa::{Dfa, Refused};
use super::grammar::{Grammar, Pattern, RULES, Rule};
use super::merge::{alternatives, is_of, is_only, resolve, types};
use super::number::{Decimal, Range};
use super::pattern;
use super::report::{Finding, Treatment};
use super::style::Style;
use super::terminal::Terminal;
use super::text::{Content, STATES};

/// Schemas inside each other that are followed.
const DEPTH: usize = 64;
/// Bytes of the texts of one enumeration.
const ENUM_BYTES: usize = 1 << 20;

/// What keeps a schema from being enforced, and where: a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) at: String,
    pub(super) detail: String,
}

/// A rule; none for what matches nothing.
pub(super) type Compiled<T = Option<Rule>> = Result<T, Problem>;

/// Makes rules for schemas of one document.
pub(super) struct Compiler<'g> {
    pub(super) grammar: &'g mut Grammar,
    pub(super) document: &'g Value,
    pub(super) style: Style,
    /// Rules of references, so that schemas may refer to themselves.
    references: HashMap<String, Rule>,
    /// Where the schema stands that is looked at: the keys to it.
    path: Vec<String>,
    /// Schemas inside each other that are being looked at.
    depth: usize,
    /// What is not enforced.
    pub(super) found: Vec<Finding>,
    any: Option<Rule>,
    colon: Rule,
    pub(super) comma: Rule,
    brackets: [Rule; 4],
}

impl<'g> Compiler<'g> {
    pub(super) fn new(grammar: &'g mut Grammar, document: &'g Value, style: Style) -> Compiled<Self> {
        // One blank at most: without a bound a model may go on with them for ever.
        let mut rule = |pattern: &str| {
            let dfa = Dfa::regex(pattern, STATES).map_err(|_| Problem { at: String::new(), detail: String::new() })?;
            Ok(grammar.terminal(Terminal::dfa(dfa)))
        };
        let (colon, comma) = (rule("[ \n]?:[ \n]?")?, rule("[ \n]?,[ \n]?")?);
        let brackets = [rule("\\{[ \n]?")?, rule("[ \n]?\\}")?, rule("\\[[ \n]?")?, rule("[ \n]?\\]")?];
        let (references, path, found) = (HashMap::new(), Vec::new(), Vec::new());
        Ok(Self { grammar, document, style, references, path, depth: 0, found, any: None, colon, comma, brackets })
    }

    pub(super) fn problem(&self, detail: impl Into<String>) -> Problem {
        Problem { at: self.at(), detail: detail.into() }
    }

    /// The present place, as a JSON pointer.
    fn at(&self) -> String {
        self.path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// Reports a part of the present schema that is not enforced.
    fn report(&mut self, keyword: Option<&str>, treatment: Treatment, detail: impl Into<String>) {
        let (at, keyword) = (self.at(), keyword.map(str::to_owned));
        self.found(Finding { at, keyword, treatment, detail: detail.into() });
    }

    fn found(&mut self, finding: Finding) {
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// Reports a property whose name the dialect cannot write.
    pub(super) fn leave_out(&mut self, key: &str) {
        self.path.extend(["properties".to_owned(), key.to_owned()]);
        self.report(None, Treatment::LeftOut, "has a name here that the dialect cannot write");
        self.path.truncate(self.path.len().saturating_sub(2));
    }

    fn refused<T>(&self, result: Result<T, Refused>) -> Compiled<Option<T>> {
        match result {
            Ok(done) => Ok(Some(done)),
            Err(Refused::Nothing) => Ok(None),
            Err(Refused::Size) => Err(self.problem("needs an automaton of too many states")),
            Err(Refused::Syntax(detail)) => Err(self.problem(format!("has a pattern that is not supported: {detail}"))),
        }
    }

    /// The objects that the document allows, with all that holds for each.
    pub(super) fn objects(&self) -> Compiled<Vec<Map<String, Value>>> {
        let whole = json!({"allOf": [self.document, {"type": "object"}]});
        let objects = alternatives(self.document, &whole, 0).map_err(|detail| self.problem(detail))?;
        Ok(objects
            .into_iter()
            .filter(|schema| schema.get("type").is_none_or(|names| is_of(&json!({}), names)))
            .collect())
    }

    /// The rule of the whole document, of which only objects are taken.
    pub(super) fn arguments(&mut self) -> Compiled {
        let mut all = Vec::new();
        for schema in self.objects()? {
            all.extend(self.single(&schema)?);
        }
        Ok(self.one_of(all))
    }

    fn one_of(&mut self, rules: Vec<Rule>) -> Option<Rule> {
        match *rules {
            [] => None,
            [rule] => Some(rule),
            _ => Some(self.grammar.choice(&rules)),
        }
    }

    /// The rule of a schema under keys of the present one; where there is none, of any value.
    pub(super) fn under(&mut self, keys: &[&str], schema: &Value) -> Compiled {
        self.under_or(keys, schema, &Value::Bool(true))
    }

    /// The same, with another schema for where there is no rule.
    pub(super) fn under_or(&mut self, keys: &[&str], schema: &Value, otherwise: &Value) -> Compiled {
        let before = self.path.len();
        self.path.extend(keys.iter().map(|&key| key.to_owned()));
        self.depth += 1;
        let rule = if self.depth > DEPTH {
            Err(self.problem("nests too deeply"))
        } else if self.grammar.len() > RULES {
            Err(self.problem("needs too many rules"))
        } else {
            self.rule(schema)
        };
        self.depth -= 1;
        self.path.truncate(before);
        rule.or_else(|Problem { at, detail }| {
            self.found(Finding { at, keyword: None, treatment: Treatment::Degraded, detail });
            if otherwise == &Value::Bool(true) { self.any() } else { self.rule(otherwise) }
        })
    }

    pub(super) fn rule(&mut self, schema: &Value) -> Compiled {
        if let Value::Object(map) = schema {
            if let Some(path) = map.get("$ref").and_then(Value::as_str).filter(|_| is_only(map, "$ref")) {
                return self.reference(path);
            }
            for key in ["anyOf", "oneOf", "allOf"] {
                let branches = map.get(key).and_then(Value::as_array).filter(|_| is_only(map, key));
                // One that must hold is no different from one of one.
                if let Some(branches) = branches.filter(|branches| key != "allOf" || branches.len() == 1) {
                    let mut rules = Vec::new();
                    for (i, branch) in branches.iter().enumerate() {
                        rules.extend(self.under(&[key, &i.to_string()], branch)?);
                    }
                    return Ok(self.one_of(rules));
                }
            }
        }
        let all = alternatives(self.document, schema, 0).map_err(|detail| self.problem(detail))?;
        let mut rules = Vec::new();
        for schema in all {
            rules.extend(self.single(&schema)?);
        }
        Ok(self.one_of(rules))
    }

    fn reference(&mut self, path: &str) -> Compiled {
        if let Some(&rule) = self.references.get(path) {
            return Ok(Some(rule));
        }
        let schema = resolve(self.document, path).map_err(|detail| self.problem(detail))?.clone();
        // Matches nothing until it is known what it is.
        let rule = self.grammar.choice(&[]);
        self.references.insert(path.to_owned(), rule);
        if let Some(inner) = self.under(&["$ref"], &schema)? {
            self.grammar.set(rule, Pattern::Nested(inner));
        }
        Ok(Some(rule))
    }

    /// The rule of a schema without alternatives.
    fn single(&mut self, schema: &Map<String, Value>) -> Compiled {
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let right = |value: &&Value| schema.get("type").is_none_or(|names| is_of(value, names));
            let texts: Vec<String> =
                values.iter().filter(right).flat_map(|value| self.style.spellings(value)).collect();
            return self.words(texts);
        }
        let names: Vec<&str> = match schema.get("type") {
            Some(names) => types(names).collect(),
            None => implied(schema).into_iter().collect(),
        };
        if schema.get("type").is_none() && names.is_empty() {
            return self.any();
        }
        let mut rules = Vec::new();
        for name in names {
            rules.extend(self.named(name, schema)?);
        }
        Ok(self.one_of(rules))
    }

    fn words(&mut self, texts: Vec<String>) -> Compiled {
        if texts.iter().map(String::len).sum::<usize>() > ENUM_BYTES {
            return Err(self.problem("has an enumeration that is too long"));
        }
        let some = !texts.is_empty();
        Ok(some.then(|| self.grammar.terminal(Terminal::words(texts.iter().map(String::as_str)))))
    }

    fn named(&mut self, name: &str, schema: &Map<String, Value>) -> Compiled {
        if matches!(self.style, Style::Raw { .. }) && name != "string" {
            return Ok(None);
        }
        match name {
            "string" => self.string(schema),
            "integer" | "number" => {
                let range = self.range(schema, name == "integer")?;
                let dfa = if name == "integer" { range.integers() } else { range.numbers() };
                Ok(self.refused(dfa)?.map(|dfa| self.grammar.terminal(Terminal::dfa(dfa))))
            }
            "null" => self.words(self.style.spellings(&Value::Null)),
            "boolean" => {
                self.words([true, false].iter().flat_map(|&value| self.style.spellings(&value.into())).collect())
            }
            "array" => self.array(schema),
            "object" => self.object(schema),
            _ => Err(self.problem(format!("has the type `{name}`, which is none"))),
        }
    }

    fn string(&mut self, schema: &Map<String, Value>) -> Compiled {
        let length = |key| schema.get(key).and_then(Value::as_f64).map(|length| length.clamp(0.0, 4e9) as u32);
        let (min, max) = (length("minLength").unwrap_or(0), length("maxLength"));
        let mut dfa: Option<Dfa> = None;
        for key in ["pattern", "format"] {
            for text in schema.get(key).into_iter().flat_map(types) {
                let found = if key == "pattern" { Some(pattern::pattern(text)) } else { pattern::format(text) };
                let Some(found) = found else { continue };
                let both = found.and_then(|found| match &dfa {
                    None => Ok(found),
                    Some(before) => before.and(&found, STATES),
                });
                match self.refused(both) {
                    Ok(Some(both)) => dfa = Some(both),
                    Ok(None) => return Ok(None),
                    Err(Problem { detail, .. }) => self.report(Some(key), Treatment::Ignored, detail),
                }
            }
        }
        let except = if let Style::Raw { except, .. } = &self.style { except.clone() } else { None };
        let content = match (dfa, except) {
            (None, None) => Content::Free { min, max },
            (None, Some(not)) => Content::Except { not, min, max },
            (Some(dfa), except) => {
                let counted =
                    if min > 0 || max.is_some() { dfa.with_length(min, max, STATES) } else { Ok(dfa.clone()) };
                if counted == Err(Refused::Size) {
                    let keyword = if max.is_some() { "maxLength" } else { "minLength" };
                    self.report(Some(keyword), Treatment::Ignored, "needs an automaton of too many states");
                }
                let dfa = if counted == Err(Refused::Size) { Ok(dfa) } else { counted };
                let dfa = dfa.and_then(|dfa| except.map_or(Ok(dfa.clone()), |not| Ok(dfa.without(&not, STATES)?.0)));
                let Some(dfa) = self.refused(dfa)? else { return Ok(None) };
                Content::Only(dfa)
            }
        };
        let string = self.style.clone().string(self.grammar, &content);
        self.refused(string)
    }

    fn range(&self, schema: &Map<String, Value>, integer: bool) -> Compiled<Range> {
        let bound = |key: &str, exclusive: &str| {
            let number = |key| schema.get(key).and_then(Value::as_number).and_then(Decimal::new);
            let left_out = schema.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
            [number(key).map(|bound| (bound, left_out)), number(exclusive).map(|bound| (bound, true))]
        };
        let mut range = Range::default();
        if let Some(format) = schema.get("format").and_then(Value::as_str).filter(|_| integer) {
            range = Range::of_format(format);
        }
        for bound in bound("minimum", "exclusiveMinimum").into_iter().flatten() {
            range.at_least(bound);
        }
        for bound in bound("maximum", "exclusiveMaximum").into_iter().flatten() {
            range.at_most(bound);
        }
        Ok(range)
    }

    fn array(&mut self, schema: &Map<String, Value>) -> Compiled {
        let count = |key| schema.get(key).and_then(Value::as_f64).map(|count| count.clamp(0.0, 4e9) as u32);
        let (min, mut max) = (count("minItems").unwrap_or(0), count("maxItems"));
        let (prefix, rest) = match (schema.get("prefixItems"), schema.get("items")) {
            (Some(prefix), rest) => (prefix.as_array(), rest),
            (None, Some(Value::Array(prefix))) => (Some(prefix), schema.get("additionalItems")),
            (None, rest) => (None, rest),
        };
        let mut items = Vec::new();
        for (i, item) in prefix.into_iter().flatten().enumerate() {
            if max.is_some_and(|max| items.len() >= max as usize) {
                break;
            }
            match self.under(&["prefixItems", &i.to_string()], item)? {
                Some(item) => items.push(item),
                None => max = Some(i as u32),
            }
        }
        let known = items.len() as u32;
        let rest = if max.is_some_and(|max| max <= known) {
            None
        } else {
            match rest {
                Some(rest) => self.under(&["items"], rest)?,
                None => self.any()?,
            }
        };
        if rest.is_none() {
            max = Some(max.map_or(known, |max| max.min(known)));
        }
        if max.is_some_and(|max| max < min) {
            return Ok(None);
        }
        let [.., open, close] = self.brackets;
        // From the back: what may follow after so many items.
        let mut after = match rest {
            None => close,
            Some(item) => {
                let more = self.grammar.sequence(&[self.comma, item]);
                let left = |taken: u32| (min.saturating_sub(taken), max.map(|max| max.saturating_sub(taken)));
                let mut repeat = |taken| {
                    let (min, max) = left(taken);
                    self.grammar.add(Pattern::Repeat { rule: more, min, max })
                };
                if known > 0 {
                    let more = repeat(known);
                    self.grammar.sequence(&[more, close])
                } else {
                    let more = repeat(1);
                    let some = self.grammar.sequence(&[item, more, close]);
                    if min == 0 { self.grammar.choice(&[close, some]) } else { some }
                }
            }
        };
        for (i, &item) in items.iter().enumerate().rev() {
            after = match i {
                0 => self.grammar.sequence(&[item, after]),
                _ => self.grammar.sequence(&[self.comma, item, after]),
            };
            if i as u32 >= min {
                after = self.grammar.choice(&[close, after]);
            }
        }
        let whole = self.grammar.sequence(&[open, after]);
        Ok(Some(self.grammar.add(Pattern::Nested(whole))))
    }

    fn object(&mut self, schema: &Map<String, Value>) -> Compiled {
        let Some(members) = self.members(schema)? else { return Ok(None) };
        let known: Vec<&str> = members.iter().map(|(key, ..)| key.as_str()).collect();
        let [open, close, ..] = self.brackets;
        let others = match other_properties(schema) {
            None => None,
            Some(other) => {
                let value = match other {
                    Value::Bool(true) => self.any()?,
                    other => self.under(&["additionalProperties"], &other)?,
                };
                let key = self.style.clone().other_key(self.grammar, &known);
                let key = self.refused(key)?;
                key.zip(value).map(|(key, value)| self.grammar.sequence(&[key, self.colon, value]))
            }
        };
        // How many are counted only where none is known.
        let count = |key| schema.get(key).and_then(Value::as_f64).map(|count| count.clamp(0.0, 4e9) as u32);
        let (min, max) = match known.is_empty() {
            true => (count("minProperties").unwrap_or(0), count("maxProperties")),
            false => (0, None),
        };
        if max.is_some_and(|max| max < min) || others.is_none() && min > 0 {
            return Ok(None);
        }
        let (mut first, mut later) = match others.filter(|_| max != Some(0)) {
            None => (close, close),
            Some(member) => {
                let more = self.grammar.sequence(&[self.comma, member]);
                let (least, most) = (min.saturating_sub(1), max.map(|max| max.saturating_sub(1)));
                let rest = self.grammar.add(Pattern::Repeat { rule: more, min: least, max: most });
                let some = self.grammar.sequence(&[member, rest, close]);
                let first = if min == 0 { self.grammar.choice(&[close, some]) } else { some };
                (first, self.grammar.sequence(&[rest, close]))
            }
        };
        for (name, value, required) in members.iter().rev() {
            let key = self.style.key(name);
            let Some(key) = self.words(key)? else {
                self.leave_out(name);
                continue;
            };
            let as_first = self.grammar.sequence(&[key, self.colon, *value, later]);
            let as_later = self.grammar.sequence(&[self.comma, key, self.colon, *value, later]);
            (first, later) = match required {
                true => (as_first, as_later),
                false => (self.grammar.choice(&[as_first, first]), self.grammar.choice(&[as_later, later])),
            };
        }
        let whole = self.grammar.sequence(&[open, first]);
        Ok(Some(self.grammar.add(Pattern::Nested(whole))))
    }

    /// The properties that are named, with their rules and whether they are required; `None` if one that is cannot be.
    fn members(&mut self, schema: &Map<String, Value>) -> Compiled<Option<Vec<(String, Rule, bool)>>> {
        let mut members = Vec::new();
        for (key, schema, required) in named_properties(schema) {
            match self.under(&["properties", &key], &schema)? {
                Some(rule) => members.push((key, rule, required)),
                None if required => return Ok(None),
                None => {}
            }
        }
        Ok(Some(members))
    }

    /// Any value.
    fn any(&mut self) -> Compiled {
        if let Some(rule) = self.any {
            return Ok(Some(rule));
        }
        if matches!(self.style, Style::Raw { .. }) {
            return self.string(&Map::new());
        }
        let value = self.grammar.choice(&[]);
        self.any = Some(value);
        let mut rules = Vec::new();
        for name in ["string", "number", "boolean", "null", "array"] {
            rules.extend(self.named(name, &Map::new())?);
        }
        let all = Map::from_iter([("additionalProperties".to_owned(), Value::Bool(true))]);
        rules.extend(self.object(&all)?);
        self.grammar.set(value, Pattern::Choice(rules));
        Ok(Some(value))
    }
}

/// The properties that a schema names, in its order, those that it only requires last.
pub(super) fn named_properties(schema: &Map<String, Value>) -> Vec<(String, Value, bool)> {
    let required: Vec<&str> = schema.get("required").map(|names| types(names).collect()).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    let named = properties.into_iter().flatten();
    let mut all: Vec<(String, Value, bool)> =
        named.map(|(key, value)| (key.clone(), value.clone(), required.contains(&key.as_str()))).collect();
    for key in required {
        if !all.iter().any(|(known, ..)| known == key) {
            let schema = schema.get("additionalProperties").cloned().unwrap_or(Value::Bool(true));
            all.push((key.to_owned(), schema, true));
        }
    }
    all
}

/// The schema of properties that are not named, if there may be any: where it is not said, only if none is named.
pub(super) fn other_properties(schema: &Map<String, Value>) -> Option<Value> {
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => schema.get("patternProperties").map(|_| Value::Bool(true)),
        Some(other) => Some(other.clone()),
        None if schema.contains_key("patternProperties") || !schema.contains_key("properties") => {
            Some(Value::Bool(true))
        }
        None => None,
    }
}

/// The type that a schema without `type` speaks of.
fn implied(schema: &Map<String, Value>) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().any(|key| schema.contains_key(*key));
    if has(&["properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"]) {
        Some("object")
    } else if has(&["items", "prefixItems", "minItems", "maxItems"]) {
        Some("array")
    } else if has(&["pattern", "minLength", "maxLength"]) {
        Some("string")
    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        Some("number")
    } else {
        None
    }
}

/// The schema, restricted to some types.
pub(super) fn restricted(schema: &Value, names: &[&str]) -> Value {
    json!({"allOf": [schema, {"type": names}]})
}
