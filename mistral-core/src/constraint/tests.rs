//! Grammars against what they must and must not match, masks against matching token by token, and calls of every dialect against the
//! reader of that dialect and the schema.

mod dialects;
mod hostile;
mod oracle;
mod samples;
mod schemas;

use std::sync::Arc;

use serde_json::{Value, json};

use mistral_tools::ToolSpec;
use mistral_tools::dialect::Dialect;

use super::grammar::Grammar;
use super::matcher::{Matcher, Place};
use super::schema::{Compiled, Compiler};
use super::style::Style;
use super::*;
use crate::testing::{END, VOCAB, byte_tokenizer};

/// The matcher of arguments as JSON, at its beginning.
fn compiled(schema: &Value) -> Compiled<Option<(Matcher, Place)>> {
    let mut grammar = Grammar::default();
    let Some(root) = Compiler::new(&mut grammar, schema, Style::Json { never: "" })?.arguments()? else {
        return Ok(None);
    };
    grammar.finish(root);
    Ok(grammar.matches_something(root).then(|| Matcher::new(Arc::new(grammar))))
}

fn matcher(schema: &Value) -> (Matcher, Place) {
    compiled(schema).unwrap().unwrap()
}

fn matches(schema: &Value, text: &str) -> bool {
    let (mut matcher, start) = matcher(schema);
    let end = text.bytes().try_fold(start, |place, byte| matcher.step(place, byte, false));
    end.is_some_and(|place| matcher.accepts(place))
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
fn masks_are_what_matching_each_token_gives() {
    let table = TokenTable::new(&byte_tokenizer());
    let (mut matcher, mut place) = matcher(&schema());
    for byte in *br#"{"a":12,"b":"q\u00e9","c":[{}],"d":"b"# {
        let allowed = table.allowed(&mut matcher, place);
        for token in 0..=255u8 {
            let next = matcher.step(place, token, false);
            assert_eq!(allowed.contains(token.into()), next.is_some(), "{token} at {byte}");
        }
        place = matcher.step(place, byte, false).unwrap();
    }
    // The end token is spelled `<end>`: text that a string may have, but not by this token.
    let (mut matcher, start) = self::matcher(&json!({"properties": {"a": {"type": "string"}}}));
    let inside = br#"{"a":""#.iter().try_fold(start, |place, &byte| matcher.step(place, byte, false)).unwrap();
    assert!(!table.allowed(&mut matcher, inside).contains(END) && matcher.step(inside, b'<', false).is_some());
}

#[test]
fn masks_of_long_tokens_are_what_matching_each_gives() {
    // Tokens of all kinds of text, whole and cut, so that many begin in one terminal and end in another.
    let text = r#"{"a": 12, "b": "q\u00e9\"é, ", "c": [{}, {"next": {}}], "d": "both", "e": "xy", "f": -1.5e+3} "s":"abc","t":"#;
    let mut tokens: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    for from in 0..text.len() {
        tokens.extend((2..9).filter_map(|length| Some(text.as_bytes().get(from..from + length)?.to_vec())));
    }
    tokens.extend([b"aaaaaaaaaaaa\"}".to_vec(), b"\",\"e\":\"x\"}".to_vec(), "é\u{1f600}".into()]);
    let table = TokenTable::from_tokens(tokens.iter().enumerate().map(|(id, bytes)| (id as u32, bytes.clone(), false)));
    let mut long = schema();
    long["properties"]["b"] = json!({"type": "string", "minLength": 3, "maxLength": 12});
    long["properties"]["e"] = json!({"type": "string", "pattern": "^[a-y]+$"});
    for schema in [schema(), long] {
        let (mut matcher, mut place) = matcher(&schema);
        for byte in br#"{"a":12,"b":"q\u00e9abcd\"xy","c":[{"next":{}}],"d":"both","e":"x"# {
            let allowed = table.allowed(&mut matcher, place);
            for (id, token) in tokens.iter().enumerate() {
                let end = token.iter().try_fold(place, |place, &byte| matcher.step(place, byte, false));
                let token = String::from_utf8_lossy(token);
                assert_eq!(allowed.contains(id as u32), end.is_some(), "{token:?} before {}", char::from(*byte));
            }
            place = matcher.step(place, *byte, false).unwrap();
        }
    }
}

#[test]
fn places_are_forgotten_without_a_trace() {
    // Enough steps that the first places are given up on the way.
    let (mut matcher, mut place) = matcher(&json!({"properties": {"a": {"type": "string", "maxLength": 90_000}}}));
    let mut forgotten = 0;
    for byte in br#"{"a":""#.iter().chain([b'x'; 70_000].iter()).chain(br#""}"#) {
        place = matcher.step(place, *byte, false).unwrap();
        if let Some(same) = matcher.forget(place) {
            (place, forgotten) = (same, forgotten + 1);
        }
    }
    assert!(matcher.accepts(place) && forgotten > 0);
}

#[test]
fn text_is_free_until_a_call_begins() {
    let spec = ToolSpec::new("f", "", json!({"properties": {"a": {"type": "integer"}}})).unwrap();
    let table = Arc::new(TokenTable::new(&byte_tokenizer()));
    let free = |dialect, text: &str| {
        let rule = CallConstraint::new(dialect, std::slice::from_ref(&spec)).unwrap();
        let mut mask = rule.start(Arc::clone(&table), vec![END]);
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
    let glm = |text| free(Dialect::Glm, text);
    assert!(
        !glm("<tool_call>f\n<arg_key>a")
            && glm("<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>")
    );
    let llama = |text| free(Dialect::Llama4, text);
    assert!(!llama("[f(a=") && llama("[f(a=1)]") && llama("It is [f(a="));
    assert!(CallConstraint::new(Dialect::Hermes, &[]).is_err());
}
