//! Schemas that are made to take time or room, or that nothing can follow.

use super::*;
use crate::Error;

fn refused(schema: Value) -> String {
    let spec = ToolSpec::new("f", "", schema).unwrap();
    let mut details = Vec::new();
    for dialect in [Dialect::Hermes, Dialect::QwenCoder, Dialect::Llama4, Dialect::Gemma4, Dialect::DeepSeekV32] {
        match CallConstraint::new(dialect, std::slice::from_ref(&spec)) {
            Err(Error::UnsupportedSchema { tool, detail, .. }) if tool == "f" => details.push(detail),
            other => panic!("{dialect:?}: {other:?}"),
        }
    }
    details.remove(0)
}

fn of(schema: Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}, "required": ["a"]})
}

#[test]
fn what_nothing_can_follow_is_refused() {
    for schema in [
        json!({"enum": []}),
        json!(false),
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "array", "items": false, "minItems": 1}),
        json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"type": "string", "pattern": "^a$", "minLength": 2}),
        json!({"type": "string", "pattern": "a^"}),
    ] {
        assert!(refused(of(schema.clone())).contains("no arguments"), "{schema}");
    }
    let endless = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
    assert!(refused(endless).contains("requires itself"));
    assert!(refused(json!({"type": "string"})).contains("no arguments"));
}

#[test]
fn what_cannot_be_read_is_refused_and_says_where() {
    let spec = |schema| ToolSpec::new("f", "", schema).unwrap();
    let schema = json!({"type": "object", "properties": {"a/b": {"type": "array", "items": {"type": "string", "pattern": "(?=x)"}}}});
    match CallConstraint::new(Dialect::Hermes, &[spec(schema)]) {
        Err(Error::UnsupportedSchema { tool, at, detail }) => {
            assert!(tool == "f" && at == "/properties~1a~1b/items" && detail.contains("look-around"), "{at} {detail}");
        }
        other => panic!("{other:?}"),
    }
    for (schema, word) in [
        (json!({"$ref": "#/$defs/none"}), "refers to"),
        (json!({"$ref": "http://example.org/schema"}), "refers to"),
        (json!({"type": "text"}), "is none"),
        (json!(3), "no schema"),
        (json!({"allOf": [{"$ref": "#/properties/a"}]}), "no arguments"),
        (json!({"allOf": [{"$ref": "#/properties/a"}, {"type": "string"}]}), "refers to itself"),
        (json!({"type": "string", "pattern": "^(a|b)*a(a|b){30}$"}), "too many states"),
        (json!({"type": "string", "pattern": "((a{999}){999}){999}"}), "too many states"),
        (json!({"type": "string", "pattern": "^[a-z]*$", "maxLength": 4_000_000_000u64}), "too many states"),
    ] {
        let detail = refused(of(schema.clone()));
        assert!(detail.contains(word), "{schema}: {detail}");
    }
}

#[test]
fn size_is_bounded() {
    let mut deep = json!({"type": "null"});
    for _ in 0..200 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(refused(of(deep)).contains("too deeply"));
    let mut all = json!({"type": "string"});
    for _ in 0..100 {
        all = json!({"allOf": [all, {}]});
    }
    assert!(refused(of(all)).contains("too deeply"));
    let two = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
    let many: Vec<Value> = (0..12).map(|_| two.clone()).collect();
    assert!(refused(of(json!({"allOf": many}))).contains("too many alternatives"));
    assert!(refused(of(json!({"enum": ["x".repeat(2 << 20)]}))).contains("too long"));
    // Each names the next twice: a tree of 2^25 if it were written out.
    let mut defs = serde_json::Map::new();
    for i in 0..25 {
        let next = format!("#/$defs/d{}", i + 1);
        defs.insert(
            format!("d{i}"),
            json!({"type": "object", "properties": {"l": {"$ref": next}, "r": {"$ref": next}}}),
        );
    }
    defs.insert("d25".into(), json!({"type": "null"}));
    let wide = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs});
    assert!(matches(&wide, r#"{"a":{"r":{"l":{}}}}"#));
}

#[test]
fn large_enumerations_are_quick_to_follow() {
    let names: Vec<String> = (0..20_000).map(|i| format!("item-{}", i * 7919)).collect();
    let schema = of(json!({"enum": names}));
    assert!(matches(&schema, r#"{"a":"item-7919"}"#) && !matches(&schema, r#"{"a":"item-7918"}"#));
    let properties: serde_json::Map<String, Value> =
        (0..2000).map(|i| (format!("p{i}"), json!({"type": "null"}))).collect();
    assert!(matches(&json!({"properties": properties}), r#"{"p7":null,"p1999":null}"#));
}

#[test]
fn nesting_without_end_comes_to_an_end() {
    // A model that only ever opens: from the last level on nothing but an end is offered.
    for (schema, text) in [
        (json!({}), r#"{"a":"#),
        (json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}}), r#"{"a":"#),
    ] {
        let (mut matcher, mut place) = matcher(&schema);
        let mut depth = 0;
        while let Some(next) = text.bytes().try_fold(place, |place, byte| matcher.step(place, byte, false)) {
            (place, depth) = (next, depth + 1);
            assert!(depth < 100);
        }
        assert!((32..100).contains(&depth), "{depth}");
    }
    let table = TokenTable::new(&byte_tokenizer());
    let (mut matcher, mut place) = matcher(&json!({}));
    for byte in br#"{"a":"#.iter().chain([b'['; 300].iter()) {
        match matcher.step(place, *byte, false) {
            Some(next) => place = next,
            None => break,
        }
    }
    assert!(table.allowed(&mut matcher, place).contains(b']'.into()), "there is a way on");
}
