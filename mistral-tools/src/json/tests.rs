use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::*;

fn read<T: DeserializeOwned>(input: &[u8]) -> Result<T> {
    let mut scratch = vec![0; input.len()];
    // The input and scratch live in this function, and what is read is owned.
    from_slice(input, &mut scratch)
}

#[derive(Debug, PartialEq, Deserialize)]
struct Args<'a> {
    #[serde(borrow)]
    city: &'a str,
    #[serde(default)]
    days: Option<u8>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Shape {
    Empty,
    Circle(f32),
    Line(i8, i8),
    Box { width: u8, height: u8 },
}

#[test]
fn strings_with_escapes_are_borrowed_too() {
    let input = br#"{"city": "a \"b\" \u00e9\ud83d\ude00\n\/", "days": 3}"#;
    let mut scratch = [0; 64];
    let args: Args<'_> = from_slice(input, &mut scratch).unwrap();
    assert_eq!(args, Args { city: "a \"b\" é😀\n/", days: Some(3) });
    let error = from_slice::<Args<'_>>(input, &mut []).unwrap_err();
    assert_eq!(error.text.as_str(), "no room for the escapes of a string");
}

#[test]
fn errors_say_what_and_where() {
    let message = |input: &[u8]| {
        let mut scratch = vec![0; input.len()];
        from_slice::<Args<'_>>(input, &mut scratch).unwrap_err().to_string()
    };
    assert_eq!(message(b"{}"), "missing field `city` at byte 1");
    assert_eq!(message(br#"{"city": null}"#), "invalid type: null, expected a borrowed string at byte 13");
    assert_eq!(message(br#"{"city": "x", "days": 256}"#), "invalid value: integer `256`, expected u8 at byte 25");
    assert_eq!(message(br#"{"city": "x""#), "unexpected end at byte 12");
    assert_eq!(message(br#"{"city": "x"} x"#), "trailing characters at byte 14");
    assert_eq!(message(b"{\"city\": \"\n\"}"), "a control character in a string at byte 10");
    assert_eq!(message(b"{\"city\": \"\xff\"}"), "a string that is not UTF-8 at byte 12");
    assert_eq!(message(br#"{"city": "\ud800"}"#), "half a surrogate pair in a string at byte 17");
}

#[test]
fn shapes_of_serde() {
    let shapes: Vec<Shape> =
        read(br#"["Empty", {"Circle": 1}, {"Line": [1, -2]}, { "Box" : {"height": 2, "width": 1} }, {"Empty": null}]"#)
            .unwrap();
    use Shape::{Box, Circle, Empty, Line};
    assert_eq!(shapes, [Empty, Circle(1.0), Line(1, -2), Box { width: 1, height: 2 }, Empty]);
    assert!(read::<Shape>(br#""Circle""#).is_err() && read::<Shape>(br#"{"Empty": null, "x": 1}"#).is_err());
    assert!(read::<Shape>(br#"{}"#).is_err() && read::<Shape>(br#""Other""#).is_err());

    let keys: BTreeMap<i16, bool> = read(br#"{"-3": true, "4": false}"#).unwrap();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), [(-3, true), (4, false)]);
    assert!(read::<BTreeMap<i16, bool>>(br#"{"x": true}"#).is_err());

    assert_eq!(read::<Cow<'static, str>>(br#""a\tb""#).unwrap(), "a\tb");
    assert_eq!(read::<char>(br#""\u00e9""#).unwrap(), 'é');
    assert_eq!(read::<[u8; 2]>(b"[1, 2]").unwrap(), [1, 2]);
    assert!(read::<[u8; 2]>(b"[1, 2, 3]").is_err() && read::<(u8,)>(b"[]").is_err());
    assert_eq!(read::<(Option<u8>, Option<u8>)>(b"[null, 1]").unwrap(), (None, Some(1)));
}

#[test]
fn tools_without_parameters_take_empty_objects() {
    for input in ["{}", "null", " { } ", r#"{"x": [1, {"y": "\u0041"}]}"#] {
        assert_eq!(read::<()>(input.as_bytes()), Ok(()), "{input}");
    }
    assert!(read::<()>(b"1").is_err() && read::<Vec<()>>(b"[{}]").is_err());
}

#[test]
fn integers_may_be_spelled_as_floats() {
    assert_eq!((read::<u8>(b"3.0").unwrap(), read::<i64>(b"-2e3").unwrap()), (3, -2000));
    assert!(read::<u8>(b"3.5").is_err() && read::<u8>(b"300.0").is_err() && read::<i64>(b"1e300").is_err());
    assert_eq!(read::<i128>(b"170141183460469231731687303715884105727").unwrap(), i128::MAX);
    assert_eq!(read::<i64>(b"-0").unwrap(), 0);
}

#[test]
fn raw_values_keep_their_text() {
    let input = br#"{"a":  {"b" : [1.50, "\ud800"]} , "c": 1}"#;
    let mut scratch = [0; 64];
    let map: BTreeMap<&str, &RawValue> = from_slice(input, &mut scratch).unwrap();
    assert_eq!(map["a"].get(), r#"{"b" : [1.50, "\ud800"]}"#);
    assert_eq!(map["c"].get(), "1");
    assert_eq!(read::<Box<RawValue>>(b" [1 ,2]").unwrap().get(), "[1 ,2]");
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [1, 127, 128, 129, 100_000] {
        assert_eq!(read::<Value>(nested(depth).as_bytes()).is_ok(), depth <= 128, "{depth}");
        assert_eq!(read::<de::IgnoredAny>(nested(depth).as_bytes()).is_ok(), depth <= 128, "{depth}");
    }
}

/// Without its feature for exact floats, `serde_json` may be off by a unit in the last place.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}

/// Both accept, with the same value, or both refuse.
fn agrees(input: &[u8]) {
    let ours = read::<Value>(input);
    let theirs = serde_json::from_slice::<Value>(input);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert!(same(ours, theirs), "{}: {ours} and {theirs}", input.escape_ascii()),
        (Err(_), Err(_)) => {}
        _ => panic!("{}: {ours:?} and {theirs:?}", input.escape_ascii()),
    }
    if std::str::from_utf8(input).is_err() {
        return; // What serde_json passes over may be no text; ours is always text.
    }
    let ours = read::<de::IgnoredAny>(input).is_ok();
    let theirs = serde_json::from_slice::<de::IgnoredAny>(input).is_ok();
    assert_eq!(ours, theirs, "{} is passed over", input.escape_ascii());
}

#[test]
fn the_language_is_that_of_serde_json() {
    for input in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{,}",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{1:2}"#,
        r#"{"a":1 "b":2}"#,
        "[1 2]",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "1e999",
        "-1e999",
        "1e-999",
        "0",
        "-0",
        "-0.0",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "123456789012345678901234567890123456789012",
        "tru",
        "true",
        "nul",
        "nulll",
        "falsey",
        r#""\x""#,
        r#""\u12"#,
        r#""\u12g4""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        r#""\ud83d\ude00""#,
        "\"\t\"",
        "\"\u{7f}\"",
        r#""\""#,
        r#"""#,
        "[[]]",
        r#"{"a":{"b":[]}}"#,
        "\u{feff}1",
        "1 1",
        r#"{"a":1,"a":2}"#,
        "[1}",
        r#"{"a":1]"#,
        "\u{a0}1",
        "NaN",
        "Infinity",
        "'a'",
        "// c\n1",
    ] {
        agrees(input.as_bytes());
    }
    for bytes in [&b"\"\xff\""[..], b"\xff", b"\"\xed\xa0\x80\"", b"\"\xc3\"", b"[\"\xc3\xa9\"]"] {
        agrees(bytes);
    }
}

/// Pieces of JSON in any order: mostly wrong, often nearly right.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: [&str; 26] = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u00e9", "\\ud83d", "\\ude00", "\\n", "\"a\"", "\"b\":", "1", "-",
        "0", ".5", "e3", "true", "null", " ", "é", "\u{1}", "1.25", "[1,2]",
    ];
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn pieces_are_read_as_serde_json_reads_them(text in pieces()) {
        agrees(text.as_bytes());
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        agrees(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn values_survive_with_and_without_escapes(value in value(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        prop_assert_eq!(&read::<Value>(text.as_bytes()).unwrap(), &value);
        prop_assert_eq!(&read::<Value>(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap(), &value);
        let escaped: String = text.chars().flat_map(|c| {
            let mut units = [0; 2];
            if c.is_ascii() { vec![c.to_string()] } else { c.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect() }
        }).collect();
        prop_assert_eq!(&read::<Value>(escaped.as_bytes()).unwrap(), &value);
        agrees(&text.as_bytes()[..cut.index(text.len())]);
    }
}
