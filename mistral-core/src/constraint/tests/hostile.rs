//! Schemas that are made to take time or room, or that nothing can follow.

use super::dialects::table;
use super::*;

const DIALECTS: [Dialect; 5] =
    [Dialect::Hermes, Dialect::QwenCoder, Dialect::Llama4, Dialect::Gemma4, Dialect::DeepSeekV32];

/// Returns the report on a schema, which is the same in every dialect.
fn reported(schema: &Value) -> Vec<Unenforced> {
    let spec = ToolSpec::new("f", "", schema.clone()).unwrap();
    let mut all = DIALECTS.map(|dialect| {
        let rule = CallConstraint::new(dialect, std::slice::from_ref(&spec)).unwrap();
        assert!(rule.start(table(), vec![END]).grammar().matches_something(0), "{dialect:?}");
        rule.unenforced().to_vec()
    });
    let first = std::mem::take(&mut all[0]);
    for (dialect, other) in DIALECTS.iter().zip(&all).skip(1) {
        assert_eq!(&first, other, "{dialect:?}: {schema}");
    }
    first
}

/// Returns the sentence of a report that has one finding.
fn one(schema: Value) -> String {
    match &*reported(&schema) {
        [one] => one.to_string(),
        all => panic!("{schema}: {all:?}"),
    }
}

fn reported_in(dialect: Dialect, schema: &Value) -> Vec<Unenforced> {
    let spec = ToolSpec::new("f", "", schema.clone()).unwrap();
    CallConstraint::new(dialect, &[spec]).unwrap().unenforced().to_vec()
}

fn of(schema: Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}, "required": ["a"]})
}

#[test]
fn what_nothing_can_follow_is_degraded() {
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
        let degraded = "tool `f`: calls are held to any object only: the schema allows no arguments at all";
        assert_eq!(one(of(schema)), degraded);
    }
    let endless = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
    assert!(one(endless).contains("requires itself"));
    assert!(one(json!({"type": "string"})).contains("no arguments"));
}

#[test]
fn one_tool_that_is_degraded_leaves_the_others_alone() {
    let spec = |name, schema| ToolSpec::new(name, "", schema).unwrap();
    let tools = [spec("odd", json!({"type": "string"})), spec("plain", of(json!({"type": "integer"})))];
    for dialect in DIALECTS {
        let rule = CallConstraint::new(dialect, &tools).unwrap();
        let names: Vec<&str> = rule.unenforced().iter().map(|part| &*part.tool).collect();
        assert_eq!(names, ["odd"], "{dialect:?}");
        let follows = |name: &str, arguments: Value| {
            let (mut matcher, start) = Matcher::new(rule.start(table(), vec![END]).grammar());
            let text = super::oracle::write(dialect, &[(name, arguments)]);
            text.bytes().try_fold(start, |place, byte| matcher.step(place, byte, false)).is_some()
        };
        assert!(follows("odd", json!({"b": "x"})) && follows("plain", json!({"a": 1})), "{dialect:?}");
        assert!(!follows("plain", json!({"a": {}})) && !follows("plain", json!({"b": 1})), "{dialect:?}");
    }
}

#[test]
fn what_is_not_enforced_is_reported_and_says_where() {
    let list = json!({"type": "array", "items": {"type": "string", "pattern": "(?=x)", "maxLength": 2}});
    let schema = json!({"type": "object", "properties": {"a~b": list}});
    let report = reported_in(Dialect::Hermes, &schema);
    let [part] = &*report else { panic!("{report:?}") };
    assert_eq!((&*part.tool, &*part.at), ("f", "/properties/a~0b/items"));
    assert_eq!((part.keyword.as_deref(), part.treatment), (Some("pattern"), Treatment::Ignored));
    let sentence = "tool `f`: /properties/a~0b/items: `pattern` is not enforced while the call is written";
    assert!(part.to_string().starts_with(sentence) && part.detail.contains("look-around"), "{part}");
    assert!(matches(&schema, r#"{"a~b":["xy"]}"#) && !matches(&schema, r#"{"a~b":["xyz"]}"#), "the length is");
    for (schema, word) in [
        (json!({"$ref": "#/$defs/none"}), "refers to"),
        (json!({"$ref": "http://example.org/schema"}), "refers to"),
        (json!({"type": "text"}), "JSON Schema does not have"),
        (json!(3), "is no schema"),
        (json!({"multipleOf": 123457}), "multipleOf"),
        (json!({"type": "string", "format": "regex"}), "format"),
        (json!({"type": "array", "items": {"type": "object"}, "uniqueItems": true}), "uniqueItems"),
        (
            json!({"allOf": [{"not": {"uniqueItems": true}}]}).get("allOf").unwrap()[0].clone(),
            "opposite of `uniqueItems`",
        ),
        (json!({"type": "string", "pattern": "^(a|b)*a(a|b){30}$"}), "too many states"),
        (json!({"type": "string", "pattern": "((a{999}){999}){999}"}), "too many states"),
        (json!({"type": "string", "pattern": "^[a-z]*$", "maxLength": 4_000_000_000u64}), "too many states"),
    ] {
        let sentence = one(of(schema.clone()));
        assert!(sentence.starts_with("tool `f`: /properties/a: ") && sentence.contains(word), "{schema}: {sentence}");
    }
    let itself = of(json!({"allOf": [{"$ref": "#/properties/a"}, {"type": "string"}]}));
    assert!(one(itself).contains("refers to itself"));
}

#[test]
fn names_that_a_dialect_cannot_write_are_left_out() {
    let schema = json!({"type": "object", "properties": {"a b": {}, "c": {"type": "null"}}, "required": ["a b", "c"]});
    let report = reported_in(Dialect::Llama4, &schema);
    let [part] = &*report else { panic!("{report:?}") };
    assert_eq!((&*part.at, part.treatment), ("/properties/a b", Treatment::LeftOut));
    assert!(reported_in(Dialect::Hermes, &schema).is_empty());
}

#[test]
fn size_is_bounded() {
    let mut deep = json!({"type": "null"});
    for _ in 0..200 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(one(of(deep)).contains("too deeply"));
    let mut all = json!({"type": "string"});
    for _ in 0..100 {
        all = json!({"allOf": [all, {}]});
    }
    assert!(one(of(all)).contains("too deeply"));
    let two = json!({"anyOf": [{"type": "string", "minLength": 2}, {"type": "string", "pattern": "^a"}]});
    let many: Vec<Value> = (0..12).map(|_| two.clone()).collect();
    assert!(reported(&of(json!({"allOf": many}))).iter().all(|part| part.detail.contains("too many alternatives")));
    assert!(one(of(json!({"enum": ["x".repeat(2 << 20)]}))).contains("too long"));
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

#[test]
fn keywords_that_would_take_too_much_are_reported() {
    let many = |count: usize, of: &dyn Fn(usize) -> (String, Value)| -> Value {
        (0..count).map(of).collect::<serde_json::Map<String, Value>>().into()
    };
    let named = many(1000, &|i| (format!("p{i}"), json!({"type": "null"})));
    let patterns = many(40, &|i| (format!("a{}b", "x".repeat(i)), json!({"minimum": i})));
    let dependent = many(20, &|i| (format!("p{i}"), json!([format!("p{}", i + 1)])));
    let dates: Vec<Value> =
        (0..60).map(|i| json!({"type": "string", "format": "date", "pattern": format!("{i}")})).collect();
    let values: Vec<Value> = (0..5000).map(Value::from).collect();
    let mut not = json!({"type": "string"});
    for _ in 0..200 {
        not = json!({"not": not});
    }
    for (schema, keyword) in [
        (json!({"type": "object", "properties": named, "minProperties": 500}), "minProperties"),
        (json!({"type": "object", "properties": named, "dependentRequired": dependent}), "dependentRequired"),
        (json!({"type": "object", "patternProperties": patterns, "additionalProperties": false}), "patternProperties"),
        (json!({"type": "array", "contains": {"const": 1}, "maxItems": 1_000_000}), "contains"),
        (json!({"type": "array", "items": {"enum": values}, "uniqueItems": true}), "uniqueItems"),
        (json!({"oneOf": dates}), "oneOf"),
        (json!({"type": "number", "multipleOf": 0.123_456_7}), "multipleOf"),
        (json!({"type": "string", "pattern": "^((a{1,90}b){1,90}c){1,90}$"}), "pattern"),
        (not, "not"),
    ] {
        let report = reported_in(Dialect::Hermes, &of(schema));
        assert!(report.iter().any(|part| part.keyword.as_deref() == Some(keyword)), "{keyword}: {report:?}");
        assert!(report.iter().all(|part| part.treatment == Treatment::Ignored), "{keyword}: {report:?}");
    }
    // What no value could reach takes no room.
    let endless = of(json!({"type": "object", "minProperties": 4_000_000_000u64, "properties": named}));
    assert!(reported_in(Dialect::Hermes, &endless).len() < 2);
    let itself = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}, {"type": "null"}]}}});
    assert!(matches(&itself, r#"{"a":null}"#));
}

#[test]
fn names_and_items_do_not_come_twice() {
    let open = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    assert!(matches(&open, r#"{"a":1,"ab":2,"b":3}"#) && !matches(&open, r#"{"a":1,"b":2,"a":3}"#));
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|i| format!("\"k{i}\":{i}")).collect();
        ["{", &members.join(","), "}"].concat()
    };
    assert!(matches(&open, &many(512)) && !matches(&open, &many(513)), "as many names as are remembered");
    let free = json!({"properties": {"x": {}}});
    assert!(matches(&free, r#"{"x":{"a":{"a":1},"b":{"a":1}}}"#), "each object has names of its own");
    assert!(!matches(&free, r#"{"x":{"a":{"a":1,"a":2}}}"#) && !matches(&free, r#"{"x":{"a":{},"a":{}}}"#));
    let unique = of(json!({"type": "array", "items": {"type": ["integer", "string"]}, "uniqueItems": true}));
    for text in [r#"{"a":[1,"1",12,2]}"#, r#"{"a":["a","ab",""]}"#] {
        assert!(matches(&unique, text), "{text}");
    }
    for text in [r#"{"a":[1,12,1]}"#, r#"{"a":["a","ab","a"]}"#, r#"{"a":[12,1,12]}"#] {
        assert!(!matches(&unique, text), "{text}");
    }
    let digits =
        of(json!({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 19}, "uniqueItems": true}));
    let used = |text: &str, next: u8| {
        let (mut matcher, start) = matcher(&digits);
        let place = text.bytes().try_fold(start, |place, byte| matcher.step(place, byte, false)).unwrap();
        let tokens = (0..=255u8).map(|byte| vec![byte]).chain([b"1,".to_vec(), b"12,".to_vec(), b"12,12".to_vec()]);
        let table = TokenTable::from_tokens(tokens.enumerate().map(|(id, bytes)| (id as u32, bytes, false)));
        let allowed = table.allowed(&mut matcher, place);
        (0..=255u8).for_each(|byte| {
            assert_eq!(
                allowed.contains(byte.into()),
                matcher.step(place, byte, false).is_some(),
                "{byte} after {text}"
            );
        });
        for (id, token) in [(256, &b"1,"[..]), (257, b"12,"), (258, b"12,12")] {
            let follows = token.iter().try_fold(place, |place, &byte| matcher.step(place, byte, false)).is_some();
            assert_eq!(allowed.contains(id), follows, "{} after {text}", String::from_utf8_lossy(token));
        }
        !allowed.contains(next.into())
    };
    assert!(used(r#"{"a":[1,2"#, b'x') && !used(r#"{"a":[1,1"#, b'2') && used(r#"{"a":[1,1"#, b','));
    assert!(used(r#"{"a":[1,10,11,12,13,14,15,16,17,18,19,"#, b'1') && !used(r#"{"a":[2,"#, b'1'));
}
