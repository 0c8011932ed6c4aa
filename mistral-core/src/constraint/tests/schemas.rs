//! Keyword by keyword.

use super::*;

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
        r#"{"a":1,"b":"\ud83d","e":"x"}"#,
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

/// Which values a schema lets a property have.
fn check(schema: &Value, good: &[&str], bad: &[&str]) {
    let whole = json!({"type": "object", "properties": {"v": schema}, "required": ["v"],
        "$defs": {"a": {"type": "string"}, "b": {"minLength": 2}, "list": {"type": ["array", "null"], "items": {"$ref": "#/$defs/list"}}}});
    for text in good {
        assert!(matches(&whole, &format!("{{\"v\":{text}}}")), "{text} is of {schema}");
    }
    for text in bad {
        assert!(!matches(&whole, &format!("{{\"v\":{text}}}")), "{text} is not of {schema}");
    }
}

#[test]
fn strings() {
    check(
        &json!({"type": "string", "minLength": 2, "maxLength": 3}),
        &[r#""ab""#, r#""é\u00e9\n""#, r#""\"\"""#],
        &[r#""a""#, r#""abcd""#, r#""\n\n\n\n""#],
    );
    check(&json!({"minLength": 1}), &[r#""a""#, r#""abcdefg""#], &[r#""""#, "1"]);
    check(&json!({"type": "string", "maxLength": 0}), &[r#""""#], &[r#""a""#]);
    check(&json!({"type": "string", "pattern": "^[a-z]+$"}), &[r#""abc""#], &[r#""""#, r#""aB""#, r#""a"#]);
    check(&json!({"type": "string", "pattern": "^\"\\\\\n$"}), &[r#""\"\\\n""#], &[r#""""\""#]);
    check(&json!({"type": "string", "pattern": "b"}), &[r#""abc""#, r#""b""#, r#""\tb""#], &[r#""ac""#, r#""\u0062""#]);
    check(
        &json!({"type": "string", "pattern": "^a*$", "minLength": 2, "maxLength": 3}),
        &[r#""aa""#, r#""aaa""#],
        &[r#""a""#, r#""aaaa""#, r#""ab""#],
    );
    check(&json!({"allOf": [{"pattern": "^a"}, {"pattern": "z$"}]}), &[r#""az""#, r#""abz""#], &[r#""a""#, r#""z""#]);
    check(&json!({"type": "string", "format": "date"}), &[r#""2024-05-06""#], &[r#""today""#]);
    check(&json!({"type": "string", "format": "uri"}), &[r#""urn:a:b""#], &["1", r#""anything""#]);
    check(&json!({"type": "string", "maxLength": 1}), &[r#""\/""#], &[r#""\a""#]);
    check(&json!({"type": "string", "format": "made-up"}), &[r#""anything""#], &["1"]);
}

#[test]
fn numbers() {
    check(
        &json!({"type": "integer", "minimum": 3, "exclusiveMaximum": 20}),
        &["3", "19", "10"],
        &["2", "20", "200", "3.0", "-3", "03"],
    );
    check(&json!({"type": "integer", "format": "uint8"}), &["0", "255"], &["256", "-1"]);
    check(&json!({"type": "integer", "format": "uint8", "minimum": 7}), &["7", "255"], &["256", "6"]);
    check(
        &json!({"type": "number", "minimum": -0.5, "maximum": 1.25}),
        &["-0.5", "0", "1.25", "1.2", "-0.499"],
        &["-0.51", "1.3", "1e0", "2"],
    );
    check(&json!({"exclusiveMinimum": 0}), &["0.001", "1", "99.5"], &["0", "-1", "0.0"]);
    check(&json!({"type": ["integer", "null"], "maximum": 5}), &["5", "-70", "null"], &["6", "true"]);
    check(&json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}), &["2"], &["1"]);
    check(&json!({"type": "integer", "multipleOf": 5}), &["5", "0", "-10"], &["1.5", "7", "51"]);
}

#[test]
fn arrays() {
    check(
        &json!({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}),
        &["[1,2]", "[1, 2, 3]"],
        &["[]", "[1]", "[1,2,3,4]", "[1,true]", "[1,2"],
    );
    check(&json!({"type": "array", "maxItems": 0}), &["[]"], &["[1]"]);
    check(&json!({"items": false}), &["[]"], &["[1]"]);
    check(
        &json!({"prefixItems": [{"type": "string"}, {"type": "null"}], "items": {"type": "integer"}}),
        &["[]", r#"["a"]"#, r#"["a",null]"#, r#"["a",null,1,2]"#],
        &["[1]", r#"["a",1]"#, r#"["a",null,"b"]"#],
    );
    check(
        &json!({"prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 2, "maxItems": 2}),
        &[r#"["a",null]"#],
        &["[]", r#"["a"]"#, r#"["a",null,1]"#],
    );
    check(
        &json!({"type": "array", "items": [{"type": "null"}], "additionalItems": false}),
        &["[]", "[null]"],
        &["[null,1]"],
    );
    check(&json!({"type": "array", "minItems": 2}), &["[1,{}]", "[[],[],[]]"], &["[1]"]);
    check(&json!({"type": "array", "prefixItems": [{"type": "integer"}, false]}), &["[]", "[1]"], &["[1,2]"]);
}

#[test]
fn objects() {
    check(
        &json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "null"}}),
        &["{}", r#"{"a":1}"#, r#"{"b":null,"c":null}"#, r#"{"a":1,"ab":null}"#],
        &[r#"{"a":null}"#, r#"{"b":1}"#, r#"{"b":null,"a":1}"#],
    );
    check(
        &json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
        &["{}", r#"{"a":1}"#],
        &[r#"{"b":1}"#],
    );
    check(
        &json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2}),
        &[r#"{"a":1}"#, r#"{"a":1,"b":2}"#],
        &["{}", r#"{"a":1,"b":2,"c":3}"#],
    );
    check(&json!({"type": "object", "required": ["x"]}), &[r#"{"x":[]}"#, r#"{"x":1,"y":2}"#], &["{}", r#"{"y":1}"#]);
    check(&json!({"properties": {"a": false, "b": true}}), &["{}", r#"{"b":1}"#], &[r#"{"a":1}"#]);
    check(&json!({"type": "object", "additionalProperties": false}), &["{}"], &[r#"{"a":1}"#]);
    check(&json!({"type": "object", "properties": {"a\"b": {"const": 1}}}), &[r#"{"a\"b":1}"#], &[r#"{"a":1}"#]);
}

#[test]
fn combinations() {
    let merged = json!({"allOf": [{"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
        {"properties": {"a": {"minimum": 3}, "b": {"type": "string"}}, "required": ["b"]}]});
    check(&merged, &[r#"{"a":3,"b":""}"#, r#"{"a":3.5,"b":""}"#], &[r#"{"a":2,"b":""}"#, r#"{"a":3}"#, r#"{"b":""}"#]);
    check(&json!({"$ref": "#/$defs/a", "maxLength": 1}), &[r#""x""#], &[r#""xy""#, "1"]);
    check(&json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}), &[r#""xy""#], &[r#""x""#]);
    check(
        &json!({"type": ["integer", "string"], "anyOf": [{"minimum": 5}, {"type": "string", "maxLength": 1}]}),
        // What is no number has no minimum.
        &["5", r#""a""#, r#""ab""#],
        &["4", "5.5", "null"],
    );
    check(
        &json!({"enum": [1, "1", null, {"a": 1}], "type": ["string", "object"]}),
        &[r#""1""#, r#"{"a":1}"#],
        &["1", "null"],
    );
    check(&json!({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}), &["2"], &["1", "3"]);
    check(&json!({"const": "é\"\n"}), &[r#""é\"\n""#], &[r#""é""#]);
    check(&json!({"$ref": "#/$defs/list"}), &["null", "[]", "[[null],[[]]]"], &["[1]", "1"]);
    check(&json!({"oneOf": [{"$ref": "#/$defs/list"}, {"type": "boolean"}]}), &["[null]", "true"], &["1"]);
    check(
        &json!({"allOf": [{"type": "object", "additionalProperties": false, "properties": {"a": {}}}, {"properties": {"b": {}}}]}),
        &["{}", r#"{"a":1}"#],
        &[r#"{"b":1}"#],
    );
    check(&json!({"allOf": [{"type": "number"}, {"type": "integer"}]}), &["1"], &["1.5"]);
    check(&json!(true), &["1", "[{}]"], &["x"]);
}
