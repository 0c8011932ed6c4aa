//! Compares each keyword with the Python package `jsonschema`: `keywords.py` says which values follow a schema. Randomly drawn calls never
//! break a keyword that a constraint does not report.

use std::io::Write as _;

use super::dialects::{constrained, draw};
use super::oracle::valid;
use super::*;

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("keywords.json")).unwrap()
}

fn values<'c>(case: &'c Value, key: &str) -> &'c [Value] {
    case[key].as_array().unwrap()
}

fn tool(case: &Value) -> ToolSpec {
    ToolSpec::new("f", "", case["schema"].clone()).unwrap()
}

#[test]
fn the_validator_of_these_tests_agrees_with_that_of_python() {
    for case in cases() {
        let schema = &case["schema"];
        for value in values(&case, "good") {
            assert!(valid(schema, schema, value), "{value} follows {schema}");
        }
        for value in values(&case, "bad") {
            // By their shape only.
            let loose = ["duration", "email", "hostname", "uri", "iri", "pointer"];
            let loose = loose.iter().any(|word| schema.to_string().contains(word));
            assert!(loose || !valid(schema, schema, value), "{value} does not follow {schema}");
        }
    }
}

#[test]
fn what_does_not_follow_is_not_let_through() {
    let (mut accepted, mut all) = (0, 0);
    for case in cases() {
        let rule = CallConstraint::new(Dialect::Hermes, &[tool(&case)]).unwrap();
        let follows = |value: &Value| {
            let (mut matcher, start) = Matcher::new(rule.start(super::dialects::table(), Vec::new()).grammar());
            let text = super::oracle::write(Dialect::Hermes, &[("f", value.clone())]);
            let end = text.bytes().try_fold(start, |place, byte| matcher.step(place, byte, false));
            end.is_some_and(|place| matcher.accepts(place))
        };
        for value in values(&case, "bad").iter().filter(|_| rule.unenforced().is_empty()) {
            assert!(!follows(value), "{value} does not follow {}", case["schema"]);
        }
        let named = |key: &String| case["schema"]["properties"].get(key).is_some();
        let named = values(&case, "good").iter().filter(|value| value.as_object().unwrap().keys().all(named));
        for value in named {
            all += 1;
            accepted += usize::from(follows(value));
        }
    }
    // The others have properties in another order, or not named where some are.
    assert!(accepted * 100 > all * 98, "{accepted} of {all}");
}

#[test]
fn what_is_drawn_follows_every_keyword_that_is_not_reported() {
    let mut file = std::env::var_os("MISTRAL_SAMPLES").map(|path| std::fs::File::create(path).unwrap());
    let (mut seed, mut enforced) = (7, 0);
    let cases = cases();
    // `.ci/run` sets the variable.
    let stride = if std::env::var_os("MISTRAL_SWEEP").is_some() { 16 } else { 64 };
    for (number, case) in cases.iter().enumerate() {
        let tools = [tool(case)];
        for (i, dialect) in constrained().enumerate() {
            // Each schema in some dialects, unless all are asked for.
            if file.is_none() && (i + number) % stride != 0 {
                continue;
            }
            let rule = CallConstraint::new(dialect, &tools).unwrap();
            if !rule.unenforced().is_empty() {
                continue;
            }
            enforced += 1;
            for random in [0, 40] {
                let text = draw(dialect, &rule, &mut seed, random);
                let message = dialect.parser(&tools).parse(&text);
                let calls: Vec<_> = message.calls().collect();
                assert!(!calls.is_empty(), "{dialect:?}: {text}");
                for call in calls {
                    if let Some(file) = &mut file {
                        let line = json!([number, format!("{dialect:?}"), call.arguments]);
                        writeln!(file, "{line}").unwrap();
                        continue;
                    }
                    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                    let schema = tools[0].parameters();
                    assert!(valid(schema, schema, &arguments), "{dialect:?}: {text}\n{arguments}\n{schema}");
                }
            }
        }
    }
    assert!(file.is_some() || enforced * stride * 10 > 16 * cases.len() * 9, "{enforced} of {}", cases.len());
}
