//! What is right, written down a second time: a validator of schemas, a writer of calls, and the shortest way to the end.

use std::collections::{HashMap, HashSet};

use mistral_tools::dialect::ArgumentsGrammar;
use regex_automata::meta::Regex;

use super::super::grammar::{Pattern, Rule};
use super::super::matcher::Quick;
use super::super::terminal::{At, Terminal};
use super::*;

/// Whether a value keeps to a schema of a document.
pub(super) fn valid(document: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(schema) = schema else { return schema == &Value::Bool(true) };
    schema.iter().all(|(key, rule)| holds(document, schema, key, rule, value))
}

/// A number without an exponent, in units of 10^-18.
fn exact(number: &serde_json::Number) -> Option<i128> {
    let text = number.to_string();
    let (text, exponent) =
        text.split_once(['e', 'E']).map_or((text.as_str(), 0), |(text, e)| (text, e.parse().unwrap()));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: i128 = [whole, fraction].concat().parse().ok()?;
    let places = u32::try_from(18 + exponent - fraction.len() as i32).ok()?;
    digits.checked_mul(10i128.checked_pow(places)?)
}

fn has_format(name: &str, text: &str) -> bool {
    let matches = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text);
    let part = |from: usize, to: usize| text.get(from..to).and_then(|text| text.parse::<u32>().ok());
    let time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
    match name {
        "date" => {
            let (Some(year), Some(month), Some(day)) = (part(0, 4), part(5, 7), part(8, 10)) else { return false };
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let days = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                1..=12 => 31,
                _ => 0,
            };
            matches("[0-9]{4}-[0-9]{2}-[0-9]{2}") && year > 0 && day > 0 && day <= days
        }
        "time" => matches(time),
        "date-time" => text.get(..10).is_some_and(|day| has_format("date", day)) && matches(&format!(".{{10}}T{time}")),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => matches("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        // By their shape only: `keywords.py` looks at samples of these.
        "duration" => matches("P.*[A-Z]"),
        "email" | "idn-email" => text.contains('@'),
        "hostname" => matches("[a-zA-Z0-9-]+(\\.[a-zA-Z0-9-]+)*"),
        "uri" | "iri" => matches("[a-zA-Z][^ ]*:[^ ]*"),
        "uri-reference" | "iri-reference" => !text.contains(' '),
        "json-pointer" => text.is_empty() || text.starts_with('/'),
        "relative-json-pointer" => matches("(0|[1-9][0-9]*)(#|(/.*)?)"),
        "uri-template" => !text.contains("{}"),
        _ => panic!("{name}"),
    }
}

fn holds(document: &Value, schema: &serde_json::Map<String, Value>, key: &str, rule: &Value, value: &Value) -> bool {
    let number = || value.as_number().map(|number| exact(number).unwrap_or(i128::MAX)).zip(rule.as_number());
    let compare = || {
        number().map(|(value, bound)| match exact(bound) {
            Some(bound) => value.cmp(&bound),
            None => {
                if bound.as_f64().unwrap() > 0.0 {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                }
            }
        })
    };
    let length = value.as_str().map(|text| text.chars().count() as u64);
    let items = value.as_array();
    let members = value.as_object();
    let all = |rule: &Value| rule.as_array().unwrap().clone();
    let same = super::super::flat::equal;
    let valid = |rule: &Value, value: &Value| valid(document, rule, value);
    let find = |pattern: &str, text: &str| Regex::new(pattern).unwrap().is_match(text);
    let least = || rule.as_f64().unwrap() as u64;
    match key {
        "type" => match rule {
            Value::Array(names) => names.iter().any(|name| is(value, name.as_str().unwrap())),
            name => is(value, name.as_str().unwrap()),
        },
        "enum" => all(rule).iter().any(|other| same(other, value)),
        "const" => same(rule, value),
        "$ref" => {
            let path = &rule.as_str().unwrap()[1..];
            let target = document.pointer(&path.replace("%20", " "));
            let anchored = |schema: &&Value| schema["$anchor"] == path;
            let target = target.or_else(|| document["$defs"].as_object().unwrap().values().find(anchored));
            valid(target.unwrap(), value)
        }
        "allOf" => all(rule).iter().all(|part| valid(part, value)),
        "anyOf" => all(rule).iter().any(|part| valid(part, value)),
        "oneOf" => all(rule).iter().filter(|part| valid(part, value)).count() == 1,
        "not" => !valid(rule, value),
        "if" => schema.get(if valid(rule, value) { "then" } else { "else" }).is_none_or(|rule| valid(rule, value)),
        "minimum" => compare().is_none_or(|order| order.is_ge()),
        "maximum" => compare().is_none_or(|order| order.is_le()),
        "exclusiveMinimum" => compare().is_none_or(|order| order.is_gt()),
        "exclusiveMaximum" => compare().is_none_or(|order| order.is_lt()),
        "multipleOf" => number().is_none_or(|(value, divisor)| value % exact(divisor).unwrap() == 0),
        "minLength" => length.is_none_or(|length| length >= least()),
        "maxLength" => length.is_none_or(|length| length <= least()),
        "pattern" => value.as_str().is_none_or(|text| find(rule.as_str().unwrap(), text)),
        "format" => value.as_str().is_none_or(|text| has_format(rule.as_str().unwrap(), text)),
        "minItems" => items.is_none_or(|items| items.len() as u64 >= least()),
        "maxItems" => items.is_none_or(|items| items.len() as u64 <= least()),
        "uniqueItems" => items
            .is_none_or(|items| (0..items.len()).all(|i| !items[i + 1..].iter().any(|other| same(&items[i], other)))),
        "contains" => items.is_none_or(|items| {
            let found = items.iter().filter(|item| valid(rule, item)).count() as u64;
            let count = |key: &str| schema.get(key).and_then(Value::as_u64);
            found >= count("minContains").unwrap_or(1) && count("maxContains").is_none_or(|max| found <= max)
        }),
        "minProperties" => members.is_none_or(|members| members.len() as u64 >= least()),
        "maxProperties" => members.is_none_or(|members| members.len() as u64 <= least()),
        "prefixItems" => items.is_none_or(|items| items.iter().zip(all(rule)).all(|(item, rule)| valid(&rule, item))),
        "items" => items.is_none_or(|items| {
            let skipped = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
            items.iter().skip(skipped).all(|item| valid(rule, item))
        }),
        "required" => {
            members.is_none_or(|members| all(rule).iter().all(|key| members.contains_key(key.as_str().unwrap())))
        }
        "properties" => members.is_none_or(|members| {
            members.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| valid(rule, value)))
        }),
        "patternProperties" => members.is_none_or(|members| {
            let rules = rule.as_object().unwrap();
            members
                .iter()
                .all(|(key, value)| rules.iter().all(|(pattern, rule)| !find(pattern, key) || valid(rule, value)))
        }),
        "additionalProperties" => members.is_none_or(|members| {
            let patterns = schema.get("patternProperties").and_then(Value::as_object);
            let known = |key: &str| {
                schema.get("properties").is_some_and(|properties| properties.get(key).is_some())
                    || patterns.is_some_and(|patterns| patterns.keys().any(|pattern| find(pattern, key)))
            };
            members.iter().all(|(key, value)| known(key.as_str()) || valid(rule, value))
        }),
        "propertyNames" => members.is_none_or(|members| members.keys().all(|key| valid(rule, &key.as_str().into()))),
        "dependentRequired" => members.is_none_or(|members| {
            let rules = rule.as_object().unwrap();
            rules.iter().all(|(key, names)| {
                !members.contains_key(key) || all(names).iter().all(|name| members.contains_key(name.as_str().unwrap()))
            })
        }),
        "dependentSchemas" => members.is_none_or(|members| {
            rule.as_object().unwrap().iter().all(|(key, rule)| !members.contains_key(key) || valid(rule, value))
        }),
        // Of one schema that has it, whose branches name everything.
        "unevaluatedProperties" => members.is_none_or(|members| {
            members.keys().all(|key| {
                let names = |part: &&Value| part["properties"].get(key).is_some();
                schema["allOf"].as_array().unwrap().iter().any(|part| names(&part))
            })
        }),
        "unevaluatedItems" => items.is_none_or(|items| items.len() <= schema["prefixItems"].as_array().unwrap().len()),
        "$defs" | "description" | "then" | "else" | "minContains" | "maxContains" | "default" | "$anchor" => true,
        _ => panic!("{key}"),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => {
            value.as_number().is_some_and(|number| exact(number).is_none_or(|units| units % 10i128.pow(18) == 0))
        }
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
    known: HashMap<(Rule, At), u64, Quick>,
}

const FAR: u64 = 1 << 40;

impl Distances {
    pub(super) fn new(grammar: Arc<Grammar>) -> Self {
        let rules = vec![FAR; grammar.len()];
        let mut distances = Self { grammar, rules, known: HashMap::default() };
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
            Pattern::Nested(rule) | Pattern::Scope(rule) => of(rule),
        }
    }

    fn terminal(&mut self, rule: Rule, terminal: &Terminal, at: At) -> u64 {
        if let Some(&known) = self.known.get(&(rule, at)) {
            return known;
        }
        let (mut states, mut seen) = (vec![at], HashSet::with_hasher(Quick::default()));
        seen.insert(at);
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
