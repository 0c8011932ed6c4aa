//! Grammars against what they must and must not match, and masks against matching token by token.

use proptest::prelude::*;
use serde_json::{Value, json};

use mistral_tools::ToolSpec;
use mistral_tools::dialect::Dialect;

use super::call::CallMask;
use super::grammar::Grammar;
use super::matcher::Matcher;
use super::schema::Compiler;
use super::*;
use crate::testing::{END, VOCAB, byte_tokenizer};
use std::sync::Arc;

fn matcher(schema: Value) -> Matcher {
    let mut grammar = Grammar::default();
    grammar.root = Compiler::new(&mut grammar, schema).arguments();
    Matcher::new(Arc::new(grammar))
}

fn matches(schema: &Value, text: &str) -> bool {
    let end = text.bytes().try_fold(matcher(schema.clone()), |place, byte| place.step(byte, false));
    end.is_some_and(|place| place.accepts())
}

fn schema() -> Value {
    json!({"type": "object", "required": ["a", "e"], "properties": {
        "a": {"type": "integer"}, "b": {"type": ["string", "null"]},
        "c": {"type": "array", "items": {"$ref": "#/$defs/point"}},
        "d": {"anyOf": [{"type": "boolean"}, {"const": "both"}]},
        "e": {"enum": ["x", "xy", 3]}, "f": {"type": "number"}},
        "$defs": {"point": {"type": "object", "properties": {"next": {"$ref": "#/$defs/point"}}}}})
}

#[test]
fn schemas_match_what_they_say() {
    let good = [
        r#"{"a":1,"e":"x"}"#,
        r#"{"a": -20, "e": "xy"}"#,
        r#"{ "a" : 0 , "b" : null , "c" : [ { "next" : { } } , {} ] , "d" : "both" , "e" : 3 , "f" : -1.5e+3 }"#,
        "{\"a\":1,\"b\":\"é\\u00e9\\\"\\n\u{1f600}\",\"d\":true,\"e\":\"x\"}",
    ];
    let bad = [
        "",
        "{}",
        "[]",
        r#"{"a":1}"#,
        r#"{"e":"x"}"#,
        r#"{"a":01,"e":"x"}"#,
        r#"{"a":1.5,"e":"x"}"#,
        r#"{"a":-0,"e":"x"}"#,
        r#"{"a":"1","e":"x"}"#,
        r#"{"a":1,"e":"z"}"#,
        r#"{"a":1,"e":"x",}"#,
        r#"{"a":1,"z":1,"e":"x"}"#,
        r#"{"e":"x","a":1}"#,
        r#"{"a":1,"e":"x"}}"#,
        r#"{"a":1,"b":"\x","e":"x"}"#,
        "{\"a\":1,\"b\":\"\n\",\"e\":\"x\"}",
        r#"{"a":1,"d":"one","e":"x"}"#,
        r#"{"a":1,"c":[1],"e":"x"}"#,
        r#"{"a":1,"e":3,"f":1.}"#,
        r#"{"a":1,,"e":3}"#,
        r#"{,"a":1,"e":3}"#,
    ];
    for text in good {
        assert!(matches(&schema(), text), "{text}");
        assert!(serde_json::from_str::<Value>(text).is_ok());
    }
    for text in bad {
        assert!(!matches(&schema(), text), "{text}");
    }
    let optional = json!({"properties": {"a": {}, "b": {}}});
    for text in ["{}", r#"{"a":[]}"#, r#"{"b":{"x":1}}"#, r#"{"a":1,"b":"c"}"#] {
        assert!(matches(&optional, text), "{text}");
    }
    assert!(!matches(&json!({}), "3") && matches(&json!({}), r#"{"any": ["thing", -0.5, {"x": null}]}"#));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is drawn under a mask, the end is JSON that keeps to the schema, and no place is without a way on.
    #[test]
    fn drawn_calls_parse(seed: u64) {
        let spec = ToolSpec::new("f", "", schema()).unwrap();
        let mut seed = seed;
        for dialect in [Dialect::Hermes, Dialect::Mistral, Dialect::MistralList, Dialect::Llama3, Dialect::KimiK2] {
            let rule = CallConstraint::new(dialect, std::slice::from_ref(&spec)).unwrap().required(true);
            let mut mask = CallMask::new(rule, Arc::new(TokenTable::new(&byte_tokenizer())), vec![END]);
            let mut text = Vec::new();
            // Random at first; then closing characters first, so that it ends.
            for step in 0..2000 {
                let mut logits = vec![0.0; VOCAB];
                mask.mask(&mut logits);
                let in_string = logits[usize::from(b'w')] == 0.0;
                for (token, logit) in logits.iter_mut().enumerate() {
                    *logit += match token as u8 {
                        _ if step < 60 => (crate::sample::split_mix(&mut seed) % 1000) as f32,
                        b'"' if in_string => 4.0,
                        b'}' | b']' => 3.0,
                        b',' => 2.5,
                        _ => 2.0,
                    };
                }
                let (token, logit) = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                prop_assert!(logit.is_finite(), "no way on after {}", String::from_utf8_lossy(&text));
                if token as u32 == END {
                    break;
                }
                mask.commit(token as u32);
                text.push(token as u8);
            }
            let text = String::from_utf8(text).unwrap();
            let message = dialect.parser(std::slice::from_ref(&spec)).parse(&text);
            let calls: Vec<_> = message.calls().collect();
            prop_assert!(!calls.is_empty() && message.text().is_empty(), "{}", text);
            for call in calls {
                prop_assert!(call.complete && call.name == "f" && matches(&schema(), &call.arguments), "{}", text);
                prop_assert!(serde_json::from_str::<Value>(&call.arguments).is_ok());
            }
        }
    }
}

#[test]
fn masks_are_what_matching_each_token_gives() {
    let table = TokenTable::new(&byte_tokenizer());
    let mut place = matcher(schema());
    for byte in *br#"{"a":12,"b":"q\u00" "# {
        let allowed = table.allowed(&place);
        for token in 0..=255u8 {
            assert_eq!(allowed.contains(&u32::from(token)), place.step(token, false).is_some(), "{token}");
        }
        let Some(next) = place.step(byte, false) else { break };
        place = next;
    }
    // The end token is spelled `<end>`: text that a string may have, but not by this token.
    let string = matcher(json!({"properties": {"a": {"type": "string"}}}));
    let inside = br#"{"a":""#.iter().try_fold(string, |place, &byte| place.step(byte, false)).unwrap();
    assert!(!table.allowed(&inside).contains(&END) && inside.step(b'<', false).is_some());
}

#[test]
fn text_is_free_until_a_call_begins() {
    let spec = ToolSpec::new("f", "", json!({"properties": {"a": {"type": "integer"}}})).unwrap();
    let table = Arc::new(TokenTable::new(&byte_tokenizer()));
    let free = |dialect, text: &str| {
        let rule = CallConstraint::new(dialect, std::slice::from_ref(&spec)).unwrap();
        let mut mask = CallMask::new(rule, Arc::clone(&table), vec![END]);
        for byte in text.bytes() {
            mask.commit(byte.into());
        }
        let mut logits = vec![0.0; VOCAB];
        mask.mask(&mut logits);
        logits.iter().all(|logit| *logit == 0.0)
    };
    let hermes = |text| free(Dialect::Hermes, text);
    assert!(hermes("") && hermes("So: <tool_cal") && hermes("a <tool_call b"));
    assert!(!hermes("So: <tool_call>") && !hermes("<tool_call>\n{\"name\": \""));
    assert!(!hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call"));
    assert!(hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"));
    assert!(!hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>"));
    assert!(hermes("<think>a <tool_call>") && !hermes("<think>a</think><tool_call>"), "thoughts are no calls");
    let json = |text| free(Dialect::Json, text);
    assert!(!json("{") && !json(" \n{") && json("Set {"));
    assert!(CallConstraint::new(Dialect::Glm, std::slice::from_ref(&spec)).is_err());
    assert!(CallConstraint::new(Dialect::Hermes, &[]).is_err());
}
