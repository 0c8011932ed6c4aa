//! Marks where no mark is meant: closings and parameters inside values, keys that come twice, marks of calls in prose.

use super::examples::read;
use super::*;
use crate::ToolCall;

/// The dialects that write each parameter between marks.
fn tagged() -> impl Iterator<Item = (Dialect, CallGrammar, [&'static str; 3])> {
    Dialect::ALL.into_iter().filter_map(|dialect| {
        let grammar = dialect.grammar();
        let ArgumentsGrammar::Parameters { before_key, after_key, after_value, .. } = grammar.arguments else {
            return None;
        };
        Some((dialect, grammar, [before_key, after_key, after_value]))
    })
}

/// Reads a text as a whole and in two chunks, cut at every place.
fn read_cut(dialect: Dialect, text: &str) -> Vec<String> {
    let whole = read(dialect, text);
    let mut parser = dialect.parser(&tools());
    for (at, _) in text.char_indices() {
        let message = in_chunks(&mut parser, [&text[..at], &text[at..]].into_iter());
        assert_eq!(super::examples::short(&message), whole, "{dialect:?} cut at {at}: {text}");
    }
    whole
}

#[test]
fn the_closing_of_a_call_inside_a_value_is_text() {
    for (dialect, grammar, [_, _, after_value]) in tagged() {
        let closing = [grammar.after_arguments, grammar.end].concat();
        let next = [closing.trim_end(), "\n", grammar.begin, grammar.before_name, " is how."].concat();
        for text in [
            format!("a call ends with\n{closing}\nand that is all"),
            format!("{closing} x"),
            format!("x\n{closing}"),
            format!("a\n{}\nb", grammar.after_arguments),
            format!("a {after_value} {closing}b").replace(after_value, after_value.trim()).replacen(after_value, "", 1),
            next,
        ] {
            // The value's own end before the end of the call is the end.
            let ends = text
                .split(after_value.trim())
                .nth(1)
                .is_some_and(|rest| rest.trim_start().starts_with(grammar.after_arguments.trim()));
            if ends {
                continue;
            }
            for arguments in
                [json!({"text": text}), json!({"text": text, "count": 3}), json!({"count": 3, "text": text})]
            {
                let written = dialect.write(&[ToolCall::new("add", arguments.clone())], 0);
                let found = read_cut(dialect, &written);
                let is_call = match found.first().and_then(|first| first.strip_prefix("c:add ")) {
                    Some(read) => {
                        serde_json::from_str::<serde_json::Value>(read).unwrap() == arguments && found.len() == 1
                    }
                    None => found.iter().all(|part| !part.starts_with("c:")),
                };
                assert!(is_call, "{dialect:?} {found:?} from {written}");
                // Only before the mark of another call is it in doubt.
                let in_doubt = text.ends_with(" is how.");
                assert!(in_doubt || found[0].starts_with("c:"), "{dialect:?} {found:?} from {written}");
            }
        }
    }
}

#[test]
fn a_value_that_is_not_closed_ends_with_the_turn_or_makes_the_call_incomplete() {
    for (dialect, grammar, [before_key, after_key, _]) in tagged() {
        let begin = [grammar.begin, grammar.before_name, "add", grammar.after_name].concat();
        let (call, end) = (grammar.after_arguments.trim_end(), grammar.end);
        let open = [&begin, before_key, "text", after_key, "x\n", call, "\n", end].concat();
        let value = if after_key.ends_with('\n') { "x" } else { "x\\n" };
        let one_level = dialect == Dialect::Glm;
        for space in ["", "\n", " \n"] {
            let found = read_cut(dialect, &[open.as_str(), space].concat());
            let expected = if one_level {
                "i:add {\"text\":\"x\\n</tool_call>".into()
            } else {
                format!("c:add {{\"text\":\"{value}\"}}")
            };
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{dialect:?} {found:?} from {open}");
        }
        // Text after the closing: the value is not closed.
        let found = read_cut(dialect, &[open.as_str(), " and so on"].concat());
        assert!(found.len() == 1 && found[0].starts_with("i:add {\"text\":\"x"), "{dialect:?} {found:?}");
        // Another call: nobody knows.
        let next = dialect.write(&[ToolCall::new("now-2", json!({}))], 0);
        let found = read_cut(dialect, &[open.as_str(), "\n", &next].concat());
        assert!(
            found.len() == 2 && found[0].starts_with("i:add {\"text\":\"x") && found[1] == "c:now-2 {}",
            "{dialect:?} {found:?}"
        );
    }
}

/// Marks of parameters inside a value: of one that the tool does not have, and after a space.
#[test]
fn the_mark_of_a_parameter_inside_a_value_is_text() {
    for (dialect, _, [before_key, after_key, _]) in tagged() {
        for text in [
            format!("use\n{before_key}other{after_key} for it"),
            format!("use {before_key}other{after_key}"),
            format!("use {before_key}count{after_key} for it"),
            format!("{before_key}, then"),
        ] {
            let arguments = json!({"flag": true, "text": text});
            let found = read_cut(dialect, &dialect.write(&[ToolCall::new("add", arguments.clone())], 0));
            let read =
                found[0].strip_prefix("c:add ").map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
            assert_eq!(read, Some(arguments), "{dialect:?}");
        }
    }
}

#[test]
fn a_parameter_that_comes_twice_makes_the_call_incomplete() {
    for (dialect, grammar, [before_key, after_key, after_value]) in tagged() {
        let begin = [grammar.begin, grammar.before_name, "add", grammar.after_name].concat();
        let one = |value: &str| [before_key, "text", after_key, value, after_value].concat();
        let end = [grammar.after_arguments, grammar.end].concat();
        for inside in
            [one("x") + &one("y"), one("x") + &one("x"), one(&["see\n", before_key, "text", after_key, "y"].concat())]
        {
            let text = [begin.as_str(), &inside, &end, "so"].concat();
            let found = read_cut(dialect, &text);
            assert!(found[0].starts_with("i:add {\"text\":") && found.len() == 2, "{dialect:?} {found:?} from {text}");
        }
    }
    let written = |dialect: Dialect| {
        let text = dialect.write(&[ToolCall::new("add", json!({"text": "x", "test": "y"}))], 0);
        text.replace("test", "text")
    };
    for dialect in
        [Dialect::Lfm2, Dialect::Llama4, Dialect::Olmo3, Dialect::Gemma4, Dialect::FunctionGemma, Dialect::MiniMaxM3]
    {
        let found = read_cut(dialect, &written(dialect));
        assert_eq!(found, ["i:add {\"text\":\"x\",\"text\":\"y\"}"], "{dialect:?}");
    }
}

/// The mark of a call in the middle of prose is text, also where the marks around it are left out: nothing of a call follows.
#[test]
fn marks_of_calls_in_prose_are_text() {
    for (dialect, grammar, _) in tagged() {
        let mark = [grammar.before_name, "add", grammar.after_name].concat();
        let mark = mark.trim_end().rsplit('\n').next().unwrap();
        for text in [
            format!("Use `{mark}` to call it."),
            format!("{mark} is a tag"),
            format!("It is {mark}\nnow {mark} so."),
            format!("{mark}{mark}{mark} x"),
        ] {
            assert_eq!(read_cut(dialect, &text), [format!("t:{text}")], "{dialect:?}");
        }
    }
}

#[test]
fn keys_and_names_may_have_escapes() {
    for dialect in [Dialect::Hermes, Dialect::Json, Dialect::Llama3, Dialect::MistralList, Dialect::CommandR] {
        let call = ToolCall::new("add", json!({"a": 1})).with_id("9Ae3bDc2F");
        let written = dialect.write(&[call], 0);
        for (plain, escaped) in [
            ("\"name\"", "\"na\\u006de\""),
            ("\"arguments\"", "\"\\u0061rguments\""),
            ("\"parameters\"", "\"parameter\\u0073\""),
            ("\"add\"", "\"a\\u0064d\""),
            ("\"id\"", "\"\\u0069d\""),
            ("9Ae3bDc2F", "9Ae3b\\u0044c2F"),
        ] {
            assert_eq!(
                read(dialect, &written.replace(plain, escaped)),
                read(dialect, &written),
                "{dialect:?} {escaped}"
            );
        }
        let twice = written.replace("{\"a\":1}", "{\"a\":1}, \"\\u0061rguments\": {}");
        assert!(read(dialect, &twice)[0].starts_with("i:"), "{dialect:?}");
    }
    assert_eq!(read(Dialect::Apertus, "<|tools_prefix|>[{\"a\\u0064d\": {}}]<|tools_suffix|>"), ["c:add {}"]);
}

#[test]
fn calls_of_python_are_read_as_python_reads_them() {
    for (dialect, begin, end) in [
        (Dialect::Lfm2, "<|tool_call_start|>[", "]<|tool_call_end|>"),
        (Dialect::Llama4, "<|python_start|>[", "]<|python_end|>"),
        (Dialect::Olmo3, "<function_calls>\n", "\n</function_calls>"),
    ] {
        let in_list = dialect != Dialect::Olmo3;
        let read = |inside: &str| read_cut(dialect, &[begin, inside, end].concat());
        for wrong in [
            "add(count=1e400)",
            "add(list=[-1e999])",
            "add(count=1))",
            "add(count=1) )",
            "add(count=1)))",
            "add(text='x'))",
            "add(count=1)}",
        ] {
            let found = read(wrong);
            assert!(found.len() == 1 && found[0].starts_with("i:add {"), "{dialect:?} {found:?} from {wrong}");
        }
        for broken in ["add(text='a\nb')", "add(text=\"a\r\nb\")", "add(list=['a\nb'])"] {
            // The template of LFM2.5 writes strings as they are.
            let kept = if dialect == Dialect::Lfm2 { "c:add {" } else { "i:add {" };
            let found = read(broken);
            assert!(found.len() == 1 && found[0].starts_with(kept), "{dialect:?} {found:?} from {broken}");
        }
        assert_eq!(read("add(text='''a\nb''')"), ["c:add {\"text\":\"a\\nb\"}"]);
        assert_eq!(read("add(text='a\\\nb')"), ["c:add {\"text\":\"ab\"}"]);
        assert_eq!(read("add(count=1e300)"), ["c:add {\"count\":1e300}"]);
        for comment in
            ["add( # so\n count=1)", "add(count # so\n =1)", "add(count=1 # ) so\n)", "add(count=1, # last\n)"]
        {
            assert_eq!(read(comment), ["c:add {\"count\":1}"], "{dialect:?} {comment}");
        }
        if in_list {
            for comment in ["add(count=1) # one\n", "# first\nadd(count=1)\n# ] last\n", "add(count=1), # last\n"] {
                assert_eq!(read(comment), ["c:add {\"count\":1}"], "{dialect:?} {comment}");
            }
            assert_eq!(read("add(count=1), # and\n now-2()"), ["c:add {\"count\":1}", "c:now-2 {}"], "{dialect:?}");
        }
    }
}

#[test]
fn text_without_quotes_is_text() {
    for (dialect, begin, end) in [
        (Dialect::Gemma4, "<|tool_call>call:add{", "}<tool_call|>"),
        (Dialect::FunctionGemma, "<start_function_call>call:add{", "}<end_function_call>"),
    ] {
        for (inside, meant) in [
            ("text:New York", json!({"text": "New York"})),
            ("text: New York , count:3", json!({"text": "New York", "count": 3})),
            ("text:12:30 at noon", json!({"text": "12:30 at noon"})),
            ("text:it's (so)", json!({"text": "it's (so)"})),
            ("text:'x'", json!({"text": "x"})),
            ("text:'x, y',count:3", json!({"text": "x, y", "count": 3})),
            ("text:'it's', list:['a b', c d]", json!({"text": "it's", "list": ["a b", "c d"]})),
            ("tree:{a:New York,b:'x'}", json!({"tree": {"a": "New York", "b": "x"}})),
            ("count:-1.5e3,flag:true", json!({"count": -1500.0, "flag": true})),
        ] {
            let found = read_cut(dialect, &[begin, inside, end].concat());
            let read =
                found[0].strip_prefix("c:add ").map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap());
            assert_eq!(read, Some(meant), "{dialect:?} {found:?}");
        }
        for wrong in ["text:,count:1", "text:'x", "list:[1,,2]", "text:a,b", "count:1}"] {
            let found = read_cut(dialect, &[begin, wrong, end].concat());
            assert!(found[0].starts_with("i:add {"), "{dialect:?} {found:?}");
        }
    }
}
