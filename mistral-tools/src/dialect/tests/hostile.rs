//! Input made to break parsers: deep, long, unclosed, nested. What comes in comes out, in a time that is linear in it.

use super::*;

fn everything(message: &ParsedMessage) -> String {
    let text = |part: &Part| match part {
        Part::Reasoning(text) | Part::Text(text) | Part::Fragment(text) => text.clone(),
        Part::Call(call) => [call.name.as_str(), " ", &call.arguments].concat(),
    };
    message.parts().iter().map(text).collect()
}

/// The beginning of a call, up to where its arguments begin.
fn begin(dialect: Dialect) -> String {
    let grammar = dialect.grammar();
    [grammar.begin, grammar.before_name, "add", grammar.after_name].concat()
}

/// Long chunks and short ones; both must give the same.
fn read(dialect: Dialect, text: &str) -> ParsedMessage {
    let mut parser = dialect.parser(&tools());
    let whole = in_chunks(&mut parser, std::iter::once(text));
    let step = 1 + text.len() / 2_000;
    let mut chunks = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let mut to = (from + step).min(text.len());
        while !text.is_char_boundary(to) {
            to += 1;
        }
        chunks.push(&text[from..to]);
        from = to;
    }
    assert_eq!(in_chunks(&mut parser, chunks.into_iter()), whole, "{dialect:?}");
    whole
}

#[test]
fn depth_is_no_danger() {
    for dialect in Dialect::ALL {
        for (open, close) in
            [("[", "]"), ("{\"a\":", "}"), ("(", ")"), ("{a:", "}"), ("]<]minimax[>[<item>", "]<]minimax[>[</item>")]
        {
            let nested = [&open.repeat(20_000), "1", &close.repeat(20_000)].concat();
            for text in [nested.clone(), begin(dialect) + &nested, begin(dialect) + &open.repeat(20_000)] {
                let message = read(dialect, &text);
                assert!(everything(&message).len() >= 20_000, "{dialect:?}");
            }
        }
    }
}

#[test]
fn nothing_that_is_open_swallows_or_loses() {
    let long = "lorem ｜ 😀 ".repeat(400);
    for dialect in Dialect::ALL {
        for inside in [
            "\"",
            "{\"a\": \"",
            "{\"a\": [",
            "'",
            "a='",
            "<parameter=text>",
            "<arg_key>text</arg_key><arg_value>",
            "]<]minimax[>[<text>",
            "]<]minimax[>[<tree>]<]minimax[>[<a>",
            "\\",
        ] {
            let message = read(dialect, &[&begin(dialect), inside, &long].concat());
            assert_eq!(everything(&message).matches("lorem").count(), 400, "{dialect:?} {inside}: {message:?}");
            assert!(message.calls().all(|call| !call.complete), "{dialect:?} {inside}: {message:?}");
        }
    }
}

/// Marks after marks that no call follows: each is looked at once, not with everything after it.
#[test]
fn marks_in_numbers_are_text() {
    for dialect in Dialect::ALL {
        for mark in dialect.family().shapes.iter().flat_map(|shape| shape.openers()) {
            let text = [mark, " "].concat().repeat(3_000);
            let message = read(dialect, &text);
            assert_eq!(message.calls().count(), 0);
            assert_eq!(everything(&message), text, "{dialect:?}");
        }
    }
}

/// Values that must be read whole before anything is known of them.
#[test]
fn long_values_are_held_without_looking_again_and_again() {
    let long = "x".repeat(200_000);
    let late = format!("<tool_call>{{\"arguments\": {{\"a\": \"{long}\"}}, \"name\": \"add\"}}</tool_call>");
    let message = read(Dialect::Hermes, &late);
    assert_eq!(message.calls().next().unwrap().arguments.len(), long.len() + 9);
    let untyped = format!("<function=add>\n<parameter=other>\n{long}\n</parameter>\n</function>");
    let message = read(Dialect::QwenCoder, &untyped);
    assert_eq!(message.calls().next().unwrap().arguments, format!("{{\"other\":\"{long}\"}}"));
    let word = format!("<|tool_call_start|>[add(a={long})]<|tool_call_end|>");
    assert_eq!(read(Dialect::Lfm2, &word).calls().next().unwrap().arguments, format!("{{\"a\":\"{long}\"}}"));
}

/// Brackets that do not begin a call, and values whose end is repeatedly in doubt.
#[test]
fn doubts_take_linear_time() {
    for text in ["{ ", "{\"name\": \"", "[{\"name\": \"add\", ", "{\"a\": [", "[1] "] {
        for dialect in [Dialect::Llama3, Dialect::Json, Dialect::Hermes] {
            let text = text.repeat(30_000);
            assert_eq!(everything(&read(dialect, &text)), text, "{dialect:?}");
        }
    }
    for dialect in Dialect::ALL {
        let (inside, mark) = match dialect.grammar().arguments {
            ArgumentsGrammar::Parameters { before_key, after_key, after_value, .. } => {
                ([before_key, "text", after_key].concat(), [after_value, "x"].concat())
            }
            ArgumentsGrammar::Literals { assign, quote, .. } => {
                (["text", assign, quote].concat(), [quote, "x,"].concat())
            }
            ArgumentsGrammar::Elements { mark } => ([mark, "<text>"].concat(), [mark, "</text>x"].concat()),
            ArgumentsGrammar::Json => continue,
        };
        let message = read(dialect, &[begin(dialect), inside, mark.repeat(20_000)].concat());
        let call = message.calls().next().unwrap();
        assert!(!call.complete && call.arguments.matches('x').count() >= 20_000, "{dialect:?}");
    }
}

/// Schemas that refer to themselves in every branch.
#[test]
fn schemas_without_end_are_looked_at_for_a_while() {
    let branches = vec![json!({"$ref": "#"}); 50];
    let properties = json!({"a": {"anyOf": branches}});
    let schema = json!({"type": "object", "anyOf": branches, "allOf": branches, "properties": properties});
    let mut parser = Dialect::Glm.parser(&[ToolSpec::new("f", "", schema).unwrap()]);
    let parameter: String = (0..500).map(|i| format!("<arg_key>b{i}</arg_key><arg_value>1</arg_value>")).collect();
    let message = parser.parse(&format!("<tool_call>f{parameter}</tool_call>"));
    assert!(message.calls().next().unwrap().complete);
}

#[test]
fn marks_inside_of_strings_are_of_the_string() {
    for dialect in Dialect::ALL {
        let grammar = dialect.grammar();
        let marks = [grammar.begin, grammar.before_name, grammar.after_arguments, grammar.end].concat();
        if grammar.arguments != ArgumentsGrammar::Json {
            continue;
        }
        let arguments = json!({"a": marks, "b": "\"}]"}).to_string();
        let text = [&begin(dialect), arguments.as_str(), grammar.after_arguments, grammar.end, " So."].concat();
        let message = read(dialect, &text);
        assert_eq!(message.calls().count(), 1, "{dialect:?}");
        assert_eq!(message.calls().next().unwrap().arguments, arguments);
        assert_eq!(message.text(), " So.", "{dialect:?}");
    }
}

#[test]
fn names_have_a_limit() {
    let name = "x".repeat(10_000);
    for dialect in Dialect::ALL {
        let grammar = dialect.grammar();
        let text = [grammar.begin, grammar.before_name, &name, grammar.after_name].concat();
        let message = read(dialect, &text);
        assert_eq!(message.calls().count(), 0, "{dialect:?}");
        assert!(everything(&message).contains(&name), "{dialect:?}");
    }
}

#[test]
fn control_characters_and_foreign_marks_are_text() {
    let text = "\0\u{1b}[0m\u{feff}\u{202e}<|im_end|></s>\u{fffd}\r\n\t<?xml?><![CDATA[x]]>";
    for dialect in Dialect::ALL {
        assert_eq!(everything(&read(dialect, text)), text, "{dialect:?}");
    }
}
