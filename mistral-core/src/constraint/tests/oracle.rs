//! What is right, written down a second time: a validator of schemas, a writer of calls, and the shortest way to the end.

use std::collections::{HashMap, HashSet};

use mistral_tools::dialect::ArgumentsGrammar;
use regex_automata::meta::Regex;

use super::super::grammar::{Pattern, Rule};
use super::super::terminal::{At, Terminal};
use super::*;

/// Whether a value keeps to a schema of a document.
pub(super) fn valid(document: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(schema) = schema else { return schema == &Value::Bool(true) };
    schema.iter().all(|(key, rule)| holds(document, schema, key, rule, value))
}

fn holds(document: &Value, schema: &serde_json::Map<String, Value>, key: &str, rule: &Value, value: &Value) -> bool {
    let number = |rule: &Value| value.as_f64().zip(rule.as_f64());
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array();
    let members = value.as_object();
    let all = |rule: &Value| rule.as_array().unwrap().clone();
    match key {
        "type" => match rule {
            Value::Array(names) => names.iter().any(|name| is(value, name.as_str().unwrap())),
            name => is(value, name.as_str().unwrap()),
        },
        "enum" => all(rule).contains(value),
        "const" => rule == value,
        "$ref" => valid(document, document.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value),
        "allOf" => all(rule).iter().all(|part| valid(document, part, value)),
        "anyOf" | "oneOf" => all(rule).iter().any(|part| valid(document, part, value)),
        "minimum" => number(rule).is_none_or(|(value, bound)| value >= bound),
        "maximum" => number(rule).is_none_or(|(value, bound)| value <= bound),
        "exclusiveMinimum" => number(rule).is_none_or(|(value, bound)| value > bound),
        "exclusiveMaximum" => number(rule).is_none_or(|(value, bound)| value < bound),
        "minLength" => length.is_none_or(|length| length >= rule.as_u64().unwrap()),
        "maxLength" => length.is_none_or(|length| length <= rule.as_u64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "minItems" => items.is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => items.is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "minProperties" => members.is_none_or(|members| members.len() as u64 >= rule.as_u64().unwrap()),
        "prefixItems" => {
            items.is_none_or(|items| items.iter().zip(all(rule)).all(|(item, rule)| valid(document, &rule, item)))
        }
        "items" => items.is_none_or(|items| {
            let skipped = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
            items.iter().skip(skipped).all(|item| valid(document, rule, item))
        }),
        "required" => {
            members.is_none_or(|members| all(rule).iter().all(|key| members.contains_key(key.as_str().unwrap())))
        }
        "properties" => members.is_none_or(|members| {
            members.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| valid(document, rule, value)))
        }),
        "additionalProperties" => members.is_none_or(|members| {
            let known = |key| schema.get("properties").is_some_and(|properties| properties.get(key).is_some());
            members.iter().all(|(key, value)| known(key.as_str()) || valid(document, rule, value))
        }),
        "$defs" | "description" => true,
        _ => panic!("{key}"),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{name}"),
    }
}

/// Calls as the table of a dialect says that they are written.
pub(super) fn write(dialect: Dialect, calls: &[(&str, Value)]) -> String {
    let form = dialect.grammar();
    let mut text = form.begin.to_owned();
    for (i, (name, arguments)) in calls.iter().enumerate() {
        text += if i > 0 { form.separator.unwrap() } else { "" };
        text += &[form.before_name, name, form.after_name].concat();
        let members = arguments.as_object().unwrap();
        match form.arguments {
            ArgumentsGrammar::Parameters { before_key, after_key, after_key_json, after_value } => {
                for (key, value) in members {
                    let kind = match value {
                        Value::Number(_) => "number",
                        Value::Bool(_) => "boolean",
                        Value::Null => "null",
                        Value::Array(_) => "array",
                        _ => "object",
                    };
                    let json = after_key_json.replace("object", kind);
                    text += &match value {
                        Value::String(value) => [before_key, key, after_key, value, after_value].concat(),
                        value => [before_key, key, &json, &value.to_string(), after_value].concat(),
                    };
                }
            }
            ArgumentsGrammar::Literals { assign, quote, python, .. } => {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| [key, assign, &literal(value, quote, python)].concat()).collect();
                text += &members.join(",");
            }
            _ => text += &arguments.to_string(),
        }
        text += form.after_arguments;
    }
    text + form.end
}

fn literal(value: &Value, quote: &str, python: bool) -> String {
    match value {
        Value::Null if python => "None".into(),
        Value::Bool(value) if python => if *value { "True" } else { "False" }.into(),
        Value::String(text) if python => {
            format!("{quote}{}{quote}", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
        }
        Value::String(text) => format!("{quote}{text}{quote}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(item, quote, python)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let key = |key: &str| if python { literal(&key.into(), quote, python) } else { key.to_owned() };
            let member = |(name, value): (&String, &Value)| format!("{}:{}", key(name), literal(value, quote, python));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
        value => value.to_string(),
    }
}

/// How many bytes it takes at least to the end, from every place of a grammar.
pub(super) struct Distances {
    grammar: Arc<Grammar>,
    rules: Vec<u64>,
    known: HashMap<(Rule, At), u64>,
}

const FAR: u64 = 1 << 40;

impl Distances {
    pub(super) fn new(grammar: Arc<Grammar>) -> Self {
        let rules = vec![FAR; grammar.len()];
        let mut distances = Self { grammar, rules, known: HashMap::new() };
        loop {
            let before = distances.rules.clone();
            for rule in 0..before.len() {
                distances.rules[rule] = distances.rule(rule as Rule);
            }
            if distances.rules == before {
                return distances;
            }
        }
    }

    fn rule(&mut self, rule: Rule) -> u64 {
        let rules = &self.rules;
        let of = |rule: &Rule| rules[*rule as usize];
        match self.grammar.get(rule).unwrap() {
            Pattern::Terminal(terminal) => {
                let terminal = Arc::clone(terminal);
                self.terminal(rule, &terminal, At::default())
            }
            Pattern::Sequence(rules) => rules.iter().map(of).sum::<u64>().min(FAR),
            Pattern::Choice(rules) => rules.iter().map(of).min().unwrap_or(FAR),
            Pattern::Repeat { rule, min, .. } => (of(rule) * u64::from(*min)).min(FAR),
            Pattern::Nested(rule) => of(rule),
        }
    }

    fn terminal(&mut self, rule: Rule, terminal: &Terminal, at: At) -> u64 {
        if let Some(&known) = self.known.get(&(rule, at)) {
            return known;
        }
        let (mut states, mut seen) = (vec![at], HashSet::from([at]));
        for distance in 0..FAR {
            if distance > 0 && states.iter().any(|&at| terminal.ends(at)) {
                self.known.insert((rule, at), distance);
                return distance;
            }
            let next = states.iter().flat_map(|&at| (0..=255).filter_map(move |byte| terminal.step(at, byte, false)));
            states = next.filter(|&at| seen.insert(at)).collect();
            assert!(!states.is_empty(), "a state without an end");
        }
        FAR
    }

    pub(super) fn of(&mut self, matcher: &Matcher, place: Place) -> u64 {
        let mut least = FAR;
        for stack in matcher.stacks(place) {
            let mut all = 0;
            for (i, &(rule, at)) in stack.iter().enumerate() {
                let grammar = Arc::clone(&self.grammar);
                all += match grammar.get(rule).unwrap() {
                    Pattern::Terminal(terminal) if i == 0 => self.terminal(rule, terminal, at),
                    Pattern::Repeat { rule, min, .. } => {
                        self.rules[*rule as usize] * u64::from(min.saturating_sub(at.count))
                    }
                    _ => self.rules[rule as usize],
                };
            }
            least = least.min(all);
        }
        least
    }
}
