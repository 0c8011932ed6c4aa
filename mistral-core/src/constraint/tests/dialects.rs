//! Every dialect: what is written is accepted, what is wrong is refused where it goes wrong, and whatever the masks let through is
//! read as calls that keep to the schema.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::oracle::{Distances, valid, write};
use super::*;

fn tools() -> Vec<ToolSpec> {
    let rich = json!({"type": "object", "required": ["count", "text", "tree"], "properties": {
        "count": {"type": "integer", "minimum": -12, "maximum": 305}, "text": {"type": "string"},
        "flag": {"type": ["boolean", "null"]},
        "name": {"type": ["string", "null"], "maxLength": 5}, "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
        "unit": {"enum": ["celsius", "kelvin", "it's \"k\""]}, "short": {"type": "string", "minLength": 2, "maxLength": 4},
        "mixed": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}}]},
        "ratio": {"type": "number", "minimum": 0, "exclusiveMaximum": 1.5},
        "list": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
        "tree": {"$ref": "#/$defs/tree"}, "free": {}, "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": false}},
        "$defs": {"tree": {"type": "object", "required": ["value"], "additionalProperties": false, "properties": {
            "value": {"type": "string"}, "left": {"$ref": "#/$defs/tree"}, "right": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}}});
    let none = json!({"type": "object", "properties": {}});
    let one = json!({"type": "object", "required": ["any"], "properties": {"any": {}}, "additionalProperties": {"type": "integer"}});
    [("get_weather", rich), ("now-2", none), ("get", one)]
        .map(|(name, schema)| ToolSpec::new(name, "", schema).unwrap())
        .into()
}

pub(super) fn table() -> Arc<TokenTable> {
    static TABLE: LazyLock<Arc<TokenTable>> = LazyLock::new(|| Arc::new(TokenTable::new(&byte_tokenizer())));
    TABLE.clone()
}

/// The rule of a dialect for [`tools`]; making it takes far longer than following it.
fn rule_of(dialect: Dialect) -> &'static CallConstraint {
    static RULES: LazyLock<Vec<CallConstraint>> =
        LazyLock::new(|| constrained().map(|dialect| CallConstraint::new(dialect, &tools()).unwrap()).collect());
    &RULES[constrained().position(|other| other == dialect).unwrap()]
}

/// The place of the first byte that is refused.
fn refused_at(dialect: Dialect, text: &str) -> Option<usize> {
    let (mut matcher, mut place) = Matcher::new(rule_of(dialect).start(table(), vec![END]).grammar());
    for (at, byte) in text.bytes().enumerate() {
        match matcher.step(place, byte, false) {
            Some(next) => place = next,
            None => return Some(at),
        }
    }
    (!matcher.accepts(place)).then_some(text.len())
}

/// All but the one that is refused.
pub(super) fn constrained() -> impl Iterator<Item = Dialect> {
    Dialect::ALL.iter().copied().filter(|&dialect| dialect != Dialect::MiniMaxM3)
}

#[test]
fn elements_inside_of_elements_are_refused() {
    let refused = CallConstraint::new(Dialect::MiniMaxM3, &tools());
    assert!(
        matches!(refused, Err(crate::error::Error::UnsupportedConstraint { dialect: Dialect::MiniMaxM3 })),
        "{refused:?}"
    );
}

#[test]
fn what_is_written_is_accepted() {
    let full = json!({"count": 305, "text": "a \"b\" 'c' <d> é 12\nnull", "flag": true, "name": "ab", "code": "AB-12",
        "unit": "it's \"k\"", "short": "abc", "mixed": 12, "ratio": 1.25, "list": [1, -2], "tree": {"value": "x", "left":
        {"value": "y"}, "right": null}, "free": {"x": [1, null, "z"]}, "map": {"p": false}, "pair": ["q", null]});
    let small = json!({"count": -12, "text": "", "tree": {"value": ""}});
    let mixed = json!({"count": 0, "text": "12", "name": null, "mixed": "twelve", "tree": {"value": "true"}});
    let calls = [("get_weather", full), ("now-2", json!({})), ("get", json!({"any": null, "more": 7}))];
    for dialect in constrained() {
        for call in &calls {
            let text = write(dialect, std::slice::from_ref(call));
            assert_eq!(refused_at(dialect, &text), None, "{dialect:?}: {text}");
        }
        for arguments in [&small, &mixed] {
            let text = write(dialect, &[("get_weather", arguments.clone())]);
            assert_eq!(refused_at(dialect, &text), None, "{dialect:?}: {text}");
        }
        // Several of one section; without an end each call begins anew.
        let form = dialect.grammar();
        if form.separator.is_some() && !form.end.is_empty() {
            let text = write(dialect, &calls);
            assert_eq!(refused_at(dialect, &text), None, "{dialect:?}: {text}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_where_it_goes_wrong() {
    let right = json!({"count": 3, "text": "x", "tree": {"value": "x"}});
    let with = |key: &str, value: Value| {
        let mut arguments = right.clone();
        arguments[key] = value;
        arguments
    };
    let wrong = [
        ("get_weather", json!({"text": "x", "count": 3, "tree": {"value": "x"}}), "required first"),
        ("get_weather", json!({"count": 3, "tree": {"value": "x"}}), "missing"),
        ("get_weather", with("count", "x".into()), "text for a number"),
        ("get_weather", with("count", true.into()), "a boolean for a number"),
        ("get_weather", with("tree", json!({"wrong": 1})), "an unknown property"),
        ("get_weather", with("tree", json!([1])), "a list for an object"),
        ("ged", right.clone(), "an unknown function"),
        ("now-3", right.clone(), "an unknown function"),
    ];
    for dialect in constrained() {
        for (name, arguments, what) in &wrong {
            let base = if *name == "now-3" { ("now-2", json!({})) } else { ("get_weather", right.clone()) };
            let base = write(dialect, &[base]);
            let text = write(dialect, &[(*name, arguments.clone())]);
            let differs = base.bytes().zip(text.bytes()).position(|(a, b)| a != b);
            assert_eq!(refused_at(dialect, &text), differs, "{dialect:?}, {what}: {text}");
        }
        let beyond = write(dialect, &[("get_weather", with("count", 306.into()))]);
        let at = beyond.find("306").map(|at| at + 2);
        assert_eq!(refused_at(dialect, &beyond), at, "{dialect:?}: {beyond}");
    }
}

/// Draws a call at random under the masks, and the shortest way to the end after some bytes.
pub(super) fn draw(dialect: Dialect, rule: &CallConstraint, seed: &mut u64, random: usize) -> String {
    let mut mask = rule.clone().required(true).start(table(), vec![END]);
    let mut distances = Distances::new(mask.grammar());
    let mut text = Vec::new();
    for step in 0..4000 {
        let mut logits = vec![0.0; VOCAB];
        mask.mask(&mut logits);
        let allowed: Vec<u8> = (0..=255).filter(|&byte| logits[usize::from(byte)] == 0.0).collect();
        let Some((matcher, place)) = mask.place() else {
            assert!(allowed.is_empty() && logits[END as usize] == 0.0);
            return String::from_utf8(text).unwrap();
        };
        assert!(!allowed.is_empty(), "{dialect:?}: no way on after {}", String::from_utf8_lossy(&text));
        let byte = if step < random {
            // What closes something is drawn as often as all letters together.
            let some: Vec<u8> =
                allowed.iter().copied().filter(|byte| !byte.is_ascii_alphanumeric() && *byte < 0x7f).collect();
            let from = if !some.is_empty() && crate::sample::rng::split_mix(seed).is_multiple_of(2) {
                &some
            } else {
                &allowed
            };
            from[crate::sample::rng::split_mix(seed) as usize % from.len()]
        } else {
            let mut best = (u64::MAX, 0);
            for &byte in &allowed {
                let next = matcher.step(place, byte, false).unwrap();
                best = best.min((distances.of(matcher, next), byte));
            }
            best.1
        };
        mask.commit(byte.into());
        text.push(byte);
    }
    panic!("{dialect:?}: no end of {}", String::from_utf8_lossy(&text));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_is_drawn_is_read_as_calls_that_keep_to_the_schema(seed: u64, random in 0usize..300) {
        let (tools, mut seed) = (tools(), seed);
        for dialect in constrained() {
            let text = draw(dialect, rule_of(dialect), &mut seed, random);
            let message = dialect.parser(&tools).parse(&text);
            let calls: Vec<_> = message.calls().collect();
            prop_assert!(!calls.is_empty() && message.text().trim().is_empty(), "{:?}: {}", dialect, text);
            for call in calls {
                let tool = tools.iter().find(|tool| tool.name() == call.name);
                let arguments: Result<Value, _> = serde_json::from_str(&call.arguments);
                prop_assert!(call.complete && arguments.is_ok(), "{:?}: {}\n{}", dialect, text, call.arguments);
                let (tool, arguments) = (tool.unwrap(), arguments.unwrap());
                let right = valid(tool.parameters(), tool.parameters(), &arguments);
                prop_assert!(right, "{:?}: {}\n{}", dialect, text, arguments);
            }
        }
    }
}
