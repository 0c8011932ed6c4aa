//! What each dialect reads, written down by hand: forms that the grammars do not write, and what models make of them.

use super::*;

/// A message in short: `t:` text, `r:` reasoning, `c:` a call, `i:` an incomplete call, `f:` a fragment.
pub(super) fn short(message: &ParsedMessage) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Text(text) => format!("t:{text}"),
        Part::Reasoning(text) => format!("r:{text}"),
        Part::Fragment(text) => format!("f:{text}"),
        Part::Call(ParsedCall { id, name, arguments, complete }) => {
            let id = id.iter().map(|id| format!("#{id} ")).collect::<String>();
            format!("{}:{id}{name} {arguments}", if *complete { "c" } else { "i" })
        }
    };
    message.parts().iter().map(part).collect()
}

/// Reads a text after a prompt, as a whole and one character at a time.
pub(super) fn read_after(dialect: Dialect, prompt: &str, text: &str) -> Vec<String> {
    let mut parser = dialect.parser(&tools());
    parser.reset_after(prompt);
    let whole = in_chunks(&mut parser, std::iter::once(text));
    parser.reset_after(prompt);
    let parts = in_chunks(&mut parser, text.split_inclusive(|_| true));
    assert_eq!(whole, parts, "{text}");
    short(&whole)
}

pub(super) fn read(dialect: Dialect, text: &str) -> Vec<String> {
    read_after(dialect, "", text)
}

#[test]
fn arguments_are_kept_to_the_letter() {
    let arguments = r#"{ "z" :1e400,"a":123456789012345678901234567890, "a": "\u00e9\/\"</tool_call>\\" ,"x":[ ] }"#;
    let text = format!("<tool_call>\n{{\"name\": \"add\", \"arguments\": {arguments}}}\n</tool_call>");
    assert_eq!(read(Dialect::Hermes, &text), [format!("c:add {arguments}")]);
    let text = format!("[TOOL_CALLS]add[ARGS]{arguments}");
    assert_eq!(read(Dialect::Mistral, &text), [format!("c:add {arguments}")]);
}

#[test]
fn a_mark_in_prose_is_text() {
    for text in [
        "Write <tool_call> and then {\"name\": ...}. Then </tool_call>. Done.",
        "<tool_call>",
        "The tag <tool_call>{\"name\": <function-name>, \"arguments\": <args-dict>}</tool_call> is used.",
        "<tool_call>{\"a\": 1}</tool_call>",
        "<tool_call><tool_call> x",
        "Hello <think>x</think>",
        "2 < 3 <t",
    ] {
        let message = Dialect::Hermes.parser(&[]).parse(text);
        assert_eq!(message.text() + message.fragment(), text);
        assert_eq!(message.calls().count(), 0);
    }
    assert_eq!(
        read(Dialect::Hermes, "Use <tool_call>: <tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call> so."),
        ["t:Use <tool_call>: ", "c:add {}", "t: so."]
    );
    assert_eq!(read(Dialect::Mistral, "[TOOL_CALLS] is a token."), ["t:[TOOL_CALLS] is a token."]);
    assert_eq!(read(Dialect::QwenCoder, "<function=x is <tool_call> odd"), ["t:<function=x is <tool_call> odd"]);
    assert_eq!(read(Dialect::Glm, "<tool_call>not a call</tool_call>"), ["t:<tool_call>not a call</tool_call>"]);
}

#[test]
fn envelopes_come_in_many_forms() {
    let read = |text: &str| read(Dialect::Hermes, text);
    let call = |json: &str| format!("<tool_call>{json}</tool_call>");
    for (json, id) in [
        (r#"{"name": "add", "arguments": {"a": 1}}"#, ""),
        (r#"{"arguments": {"a": 1}, "name": "add"}"#, ""),
        (r#"{"name": "add", "parameters": {"a": 1}, "id": "x"}"#, "#x "),
        (r#"{"arguments": {"a": 1}, "id": "x", "name": "add", "type": 0}"#, "#x "),
        (r#"{"name": "add", "arguments": {"a": 1}, "id": "x", "call_id": "y"}"#, "#x "),
        (r#"{"id": "x", "name": "add", "arguments": "{\"a\": 1}", "id": "y"}"#, "#x "),
        (r#"{"id": null, "name": "add", "arguments": {"a": 1}, "id": ""}"#, ""),
        (r#"{"id": 7, "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}"#, "#7 "),
        (r#"{"type": "function", "function": {"arguments": {"a": 1}, "name": "add"}, "id": 7}"#, "#7 "),
        (r#"{"function": "add", "arguments": "{\"a\": 1}"}"#, ""),
        (r#"[{"name": "add", "arguments": {"a": 1}}]"#, ""),
    ] {
        assert_eq!(read(&call(json)), [format!(r#"c:{id}add {{"a": 1}}"#)], "{json}");
    }
    assert_eq!(read("<tool_call>{\"name\": \"add\", \"arguments\": {}, \"id\": \"x"), ["c:add {}", "f:, \"id\": \"x"]);
    assert_eq!(read(&call(r#"{"name": "now-2"}"#)), ["c:now-2 {}"]);
    assert_eq!(read(&call(r#"{"name": "get weather", "arguments": null}"#)), ["c:get weather null"]);
    let two = "{\"name\": \"add\", \"arguments\": {}}\n{\"name\": \"add\", \"arguments\": {\"b\": 1}}";
    assert_eq!(read(&call(two)), ["c:add {}", "c:add {\"b\": 1}"]);
}

#[test]
fn calls_that_go_wrong_end() {
    let read = |text: &str| read(Dialect::Hermes, text);
    let begin = "<tool_call>{\"name\": \"add\", \"arguments\": ";
    assert_eq!(read(&format!("{begin}{{\"a\": [1</tool_call> and")), ["i:add {\"a\": [1", "t: and"]);
    assert_eq!(read(&format!("{begin}{{\"a\": [1}}}}</tool_call> and")), ["i:add {\"a\": [1}}", "t: and"]);
    assert_eq!(read(&format!("{begin}{{}}</tool_call> and")), ["c:add {}", "t: and"]);
    assert_eq!(read(&format!("{begin}{{}}}} what </tool_call>and")), ["c:add {}", "t: what and"]);
    assert_eq!(read(&format!("{begin}{{\"a\": \"</tool_c")), ["i:add {\"a\": \"</tool_c"]);
    assert_eq!(read(&format!("{begin}{{}}}}\n</tool_c")), ["c:add {}", "f:\n</tool_c"]);
    assert_eq!(
        read_after(Dialect::QwenCoder, "", "<tool_call>\n<function=add>\nwhat\n</function>\n</tool_call>"),
        ["i:add {", "t:what\n</function>\n"]
    );
    let cut = "<tool_call>\n<function=add>\n<parameter=count>\n12";
    assert_eq!(read_after(Dialect::QwenCoder, "", cut), ["i:add {\"count\":\"12"]);
}

#[test]
fn reasoning_is_told_from_text() {
    let read = |text: &str| read(Dialect::Hermes, text);
    assert_eq!(read("<think>\na <tool_call>\n</think>\n\nb"), ["r:a <tool_call>\n", "t:b"]);
    assert_eq!(read("<think>\n\n</think>\n\n  b"), ["t:  b"]);
    assert_eq!(read("\n<think>a"), ["r:a"]);
    assert_eq!(read("<think>a</thi"), ["r:a", "f:</thi"]);
    let call = "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>";
    assert_eq!(read(&format!("{call}\n<think>a</think>{call}")), ["c:add {}", "r:a", "c:add {}"]);
    let text = "a\n</think>\n\nb";
    assert_eq!(read_after(Dialect::Hermes, "<|assistant|>\n<think>\n", text), ["r:a\n", "t:b"]);
    assert_eq!(read_after(Dialect::Hermes, "<think>\n\n</think>\n\n", "b"), ["t:b"]);
    assert_eq!(read_after(Dialect::Mistral, "", "[THINK]a[/THINK]b"), ["r:a", "t:b"]);
    assert_eq!(
        read_after(Dialect::CommandR, "<|START_THINKING|>", "a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>"),
        ["r:a", "t:b"]
    );
    assert_eq!(
        read_after(
            Dialect::Apriel,
            "Here are my reasoning steps:\n",
            "a\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]"
        ),
        ["r:a\n", "t:b\n"]
    );
    assert_eq!(
        read_after(
            Dialect::KimiK2,
            "<think>",
            "a<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
        ),
        ["r:a", "c:#functions.add:0 add {}"]
    );
}

#[test]
fn values_are_typed_by_the_schema() {
    let parameter = |key: &str, value: &str| format!("<parameter={key}>\n{value}\n</parameter>\n");
    let text = ["text", "count", "flag", "list", "other", "none"]
        .iter()
        .zip(["12\n\"x\"", "12345678901234567890123", "True", "[1, {\"a\": 1.0}]", "7", "not json"])
        .map(|(key, value)| parameter(key, value))
        .collect::<String>();
    let text = format!("<tool_call>\n<function=add>\n{text}</function>\n</tool_call>");
    assert_eq!(
        read(Dialect::QwenCoder, &text),
        [
            r#"c:add {"text":"12\n\"x\"","count":12345678901234567890123,"flag":true,"list":[1, {"a": 1.0}],"other":7,"none":"not json"}"#
        ]
    );
    assert_eq!(
        read(
            Dialect::Glm,
            "<tool_call>add<arg_key>text</arg_key>\n<arg_value>1</arg_value><arg_key>count</arg_key><arg_value>x</arg_value></tool_call>"
        ),
        [r#"c:add {"text":"1","count":"x"}"#]
    );
    assert_eq!(
        read(Dialect::Glm, "<tool_call>now-2</tool_call>\n<tool_call>add\n</tool_call>"),
        ["c:now-2 {}", "c:add {}"]
    );
    let bare = "<function=add>\n<parameter=text>\n\n\n</parameter>\n</function>";
    assert_eq!(read(Dialect::QwenCoder, bare), [r#"c:add {"text":"\n"}"#]);
}

#[test]
fn whole_messages_can_be_calls() {
    let call = r#"{"name": "add", "parameters": {"a": 1}}"#;
    assert_eq!(read(Dialect::Llama3, call), [r#"c:add {"a": 1}"#]);
    assert_eq!(read(Dialect::Llama3, &format!("\n{call}; {call}")), [r#"c:add {"a": 1}"#, r#"c:add {"a": 1}"#]);
    assert_eq!(read(Dialect::Llama3, &format!("<|python_tag|>{call}<|eom_id|>")), [r#"c:add {"a": 1}"#]);
    assert_eq!(read(Dialect::Llama3, "<function=add>{\"a\": 1}</function>"), [r#"c:add {"a": 1}"#]);
    assert_eq!(read(Dialect::Llama3, &format!("So: {call}")), ["t:So: ", r#"c:add {"a": 1}"#]);
    let unknown = r#"{"name": "Bob", "parameters": {}}"#;
    assert_eq!(read(Dialect::Llama3, unknown), ["c:Bob {}"]);
    for json in [r#"{"title": "x", "name": "add"}"#, "{", "{}", "{\"name\": \"Bob\", \"age\": 7}"] {
        let message = Dialect::Json.parser(&[]).parse(json);
        assert_eq!((message.text() + message.fragment(), message.calls().count()), (json.to_owned(), 0));
    }
    assert_eq!(read(Dialect::Json, &format!("Sure.\n```json\n{call}\n```\n")), ["t:Sure.\n", "c:add {\"a\": 1}"]);
    assert_eq!(read(Dialect::Json, &format!("```json\n[{call},\n{call}]\n```")).len(), 2);
    assert_eq!(read(Dialect::Json, "```json\n{\"a\": 1}\n```"), ["t:```json\n{\"a\": 1}\n", "f:```"]);
    assert_eq!(read(Dialect::Llama4, "[add(a=1), now-2()]"), ["c:add {\"a\":1}", "c:now-2 {}"]);
    assert_eq!(read(Dialect::Llama4, "<|python_start|>[add(a=1)]<|python_end|>"), ["c:add {\"a\":1}"]);
    for text in ["[see(this)] for more", "[1, 2]", "[link](http://x)", "[add, other(a=1)]", "[bob(a=1)]"] {
        assert_eq!(read(Dialect::Llama4, text), [format!("t:{text}")]);
    }
}

#[test]
fn answers_in_json_are_told_from_calls() {
    let unknown = r#"{"name": "no_such_tool", "parameters": {"x": 1}}"#;
    let known = r#"{"name": "add", "parameters": {"a": 1}}"#;
    for dialect in [Dialect::Llama3, Dialect::Json] {
        let read = |text: &str| read(dialect, text);
        // A tool that does not exist is called as well: the registry tells the model.
        for text in [
            unknown.to_owned(),
            format!("\n{unknown}\n"),
            format!("```json\n{unknown}\n```"),
            format!("```\n{unknown}\n```"),
            unknown
                .replace("parameters", "arguments")
                .replace("{\"name", "{\"type\": \"function\", \"id\": null, \"name"),
            r#"{"type": "function", "function": {"parameters": {"x": 1}, "name": "no_such_tool"}}"#.to_owned(),
            r#"{"name": "no_such_tool", "arguments": "{\"x\": 1}"}"#.to_owned(),
        ] {
            let found = read(&text);
            assert!(found[0].starts_with("c:no_such_tool {\"x\": 1}"), "{dialect:?} {found:?} from {text}");
            assert_eq!(found.len(), 1, "{dialect:?} {found:?}");
        }
        // An answer is held back for a bounded time only.
        let long = format!(r#"{{"answer": "{}", "name": "add", "parameters": {{}}}}"#, "x".repeat(2_000));
        assert_eq!(read(&long), [format!("t:{long}")]);
        let two = read(&format!("{unknown}; {known}"));
        assert_eq!(two, ["c:no_such_tool {\"x\": 1}", "c:add {\"a\": 1}"], "{dialect:?}");
        // Prose before.
        for before in ["So: ", "Let me add.\n\n", "{braces} and [1] ", "Use `"] {
            let expected = [format!("t:{before}"), "c:add {\"a\": 1}".into()];
            assert_eq!(read(&format!("{before}{known}")), expected, "{dialect:?}");
        }
        assert_eq!(read(&format!("Well.\n{unknown}")), ["t:Well.\n", "c:no_such_tool {\"x\": 1}"]);
        let fenced = read(&format!("Well.\n```\n{known}\n```\nDone."));
        assert_eq!(fenced, ["t:Well.\n", "c:add {\"a\": 1}", "t:Done."]);
        // Answers.
        for answer in [
            r#"{"name": "Bob", "age": 7}"#,
            r#"{"name": "Bob"}"#,
            r#"{"name": "Bob", "parameters": {}, "age": 7}"#,
            r#"{"name": "Bob", "parameters": 7}"#,
            r#"{"name": "Bob Smith", "parameters": {}}"#,
            r#"{"title": "x", "name": "no_such_tool", "parameters": {}}"#,
            r#"{"parameters": {}, "title": "x", "name": "no_such_tool"}"#,
            r#"{"title": "x", "name": "add"}"#,
            r#"{"title": "x", "parameters": {"a": 1}}"#,
            r#"{"title": "x", "by": {"name": "add", "parameters": {}}}"#,
            r#"{"plan": [{"name": "add", "parameters": {"a": 1}}, {"name": "add", "parameters": {}}]}"#,
            "{\"plan\":\n  {\"name\": \"add\", \"parameters\": {\"a\": 1}}}",
            r#"[{"city": "Oslo"}, {"name": "add", "parameters": {}}]"#,
            r#"The form is {"name": "function name", "parameters": {"a": 1}}."#,
            r#"The form is {"name": "no_such_tool", "parameters": {"a": 1}}."#,
            r#"A person is {"name": "add"}."#,
            "[1, 2]",
            "{}",
        ] {
            let message = dialect.parser(&tools()).parse(answer);
            let text = message.text() + message.fragment();
            assert_eq!((text, message.calls().count()), (answer.to_owned(), 0), "{dialect:?}");
            let text = format!("So:\n{answer}\nDone.");
            assert_eq!(read(&text), [format!("t:{text}")], "{dialect:?}");
        }
    }
}

/// A key that no call needs may stand before the name of a tool that exists.
#[test]
fn calls_may_have_more_keys_before_the_name() {
    for dialect in [Dialect::Llama3, Dialect::Json] {
        for json in [
            r#"{"thought": "hm", "name": "add", "arguments": {"a": 1}}"#,
            r#"{"description": {"name": "x"}, "name": "add", "parameters": {"a": 1}}"#,
            r#"{"type": "function", "reasoning": "r", "name": "add", "arguments": {"a": 1}}"#,
            r#"{"arguments": {"a": 1}, "thought": "x", "name": "add"}"#,
            r#"{"thought": "x", "arguments": {"a": 1}, "name": "add", "more": [1]}"#,
            r#"{"thought": "x", "function": {"name": "add", "arguments": {"a": 1}}}"#,
        ] {
            for text in [json.to_owned(), format!("```json\n{json}\n```")] {
                assert_eq!(read(dialect, &text), ["c:add {\"a\": 1}"], "{dialect:?} {text}");
            }
        }
    }
}

/// An answer comes out as soon as its object is closed, and earlier where it names another tool.
#[test]
fn an_answer_waits_no_longer_than_its_object() {
    for answer in [r#"{"thought": "hm", "age": 7}"#, r#"{"thought": "hm", "name": "no_such_tool","#] {
        let mut parser = Dialect::Json.parser(&tools());
        let mut message = ParsedMessage::default();
        parser.parse_into(answer, &mut |delta| message.push(delta));
        assert_eq!(message.text(), answer);
    }
}

#[test]
fn objects_of_several_tools_are_several_calls() {
    assert_eq!(
        read(Dialect::Apertus, "<|tools_prefix|>[{\"add\": {\"a\": 1}, \"now-2\": {}}, {\"add\": {}}]<|tools_suffix|>"),
        ["c:add {\"a\": 1}", "c:now-2 {}", "c:add {}"]
    );
    assert_eq!(
        read(
            Dialect::Hermes,
            "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1}, \"arguments\": {}}</tool_call>so"
        ),
        ["i:add {\"a\": 1}", "t:so"],
        "one of the two is meant, and nobody knows which"
    );
}

#[test]
fn prompts_can_open_the_reasoning() {
    let mut parser = Dialect::Hermes.parser_after("<|assistant|>\n<think>\n", &tools());
    assert!(parser.in_reasoning());
    assert_eq!(short(&parser.parse("a</think>b")), ["r:a", "t:b"]);
    assert!(!parser.in_reasoning(), "the next turn begins in the answer");
}

#[test]
fn literals_become_json() {
    let read = |arguments: &str| {
        let text = format!("<|tool_call_start|>[add({arguments})]<|tool_call_end|>");
        let found = read(Dialect::Lfm2, &text);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].strip_prefix("c:add ").unwrap_or(&found[0]).to_owned()
    };
    assert_eq!(
        read(r#"a='it\'s', b="x\n\x41\u00e9\q", c=[1, (2, None,), {'k': True}], d=-1.50"#),
        r#"{"a":"it's","b":"x\nA\u00e9\\q","c":[1,[2,null],{"k":true}],"d":-1.50}"#
    );
    assert_eq!(
        read("a = 123456789012345678901234567890 , b=false"),
        r#"{"a":123456789012345678901234567890,"b":false}"#
    );
    assert_eq!(read("a=celsius, b='<|tool_call_end|>'"), r#"{"a":"celsius","b":"<|tool_call_end|>"}"#);
    assert_eq!(read("a='\\ud83d\\ude00\\U0001f600 é｜'"), "{\"a\":\"\\ud83d\\ude00😀 é｜\"}");
    assert_eq!(
        super::examples::read(
            Dialect::Gemma4,
            "<|tool_call>call:add{a:<|\"|>x \"y\" \\n<|\"|>,b:{c:[1,true,null],d:{}}}<tool_call|>"
        ),
        [r#"c:add {"a":"x \"y\" \\n","b":{"c":[1,true,null],"d":{}}}"#]
    );
    assert_eq!(
        super::examples::read(Dialect::Olmo3, "<function_calls>\nadd(a=1)\nadd(b='x')\n</function_calls> so"),
        ["c:add {\"a\":1}", "c:add {\"b\":\"x\"}", "t: so"]
    );
    assert_eq!(
        super::examples::read(Dialect::Lfm2, "<|tool_call_start|>[add(a=[1<|tool_call_end|> so"),
        ["i:add {\"a\":[1", "t: so"]
    );
}

#[test]
fn channels_are_read() {
    let read = |text: &str| read(Dialect::Harmony, text);
    assert_eq!(
        read("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi!<|return|>"),
        ["r:Hm.", "t:Hi!"]
    );
    let call = ["c:add {\"a\": 1}"];
    for text in [
        "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\": 1}<|call|>",
        "<|channel|>commentary to=functions.add<|message|>{\"a\": 1}",
        " to=functions.add<|channel|>commentary json<|message|>{\"a\": 1}<|call|>",
        "<|start|>assistant to=functions.add<|channel|>commentary <|constrain|>json<|message|>{\"a\": 1}<|call|>",
    ] {
        assert_eq!(read(text), call, "{text}");
    }
    assert_eq!(
        read(
            "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>commentary to=functions.add json<|message|>{\"a\": 1}<|call|>"
        ),
        ["t:First.", call[0]]
    );
    assert_eq!(read("No channel at all."), ["t:No channel at all."]);
}

#[test]
fn families_read_their_variants() {
    assert_eq!(
        read(Dialect::Mistral, "a[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{\"a\": 1}[TOOL_CALLS]add[ARGS]{}"),
        ["t:a", "c:#123456789 add {\"a\": 1}", "c:add {}"]
    );
    assert_eq!(
        read(Dialect::MistralList, "[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {}, \"id\": \"123456789\"}]"),
        ["c:#123456789 add {}"]
    );
    assert_eq!(
        read(
            Dialect::DeepSeekV3,
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜> b"
        ),
        ["c:add {\"a\": \"```\"}", "t: b"]
    );
    assert_eq!(
        read(
            Dialect::DeepSeekV31,
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now-2<｜tool▁sep｜><｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
        ["c:now-2 {}"]
    );
    assert_eq!(
        read(
            Dialect::KimiK2,
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:12<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>"
        ),
        ["c:#functions.add:12 add {}"]
    );
    assert_eq!(read(Dialect::Phi4, "functools[{\"name\": \"add\", \"arguments\": {}}]"), ["c:add {}"]);
    assert_eq!(read(Dialect::Granite, "<tool_call>[{\"name\": \"add\", \"arguments\": {}}]"), ["c:add {}"]);
    assert_eq!(
        read(Dialect::CommandRPlus, "Action: ```json\n[\n  {\n \"tool_name\": \"add\",\n \"parameters\": {}\n }\n]```"),
        ["c:add {}"]
    );
    assert_eq!(
        read(
            Dialect::CommandRPlus,
            "Action:\n```json\n[{\"tool_name\": \"add\", \"parameters\": {}}]```\nSo:\n```json\n{}\n```"
        ),
        ["c:add {}", "t:So:\n```json\n{}\n```"]
    );
    assert_eq!(
        read(
            Dialect::CommandR,
            "<|START_ACTION|>[\n {\"tool_call_id\": \"0\", \"tool_name\": \"add\", \"parameters\": {}}\n]<|END_ACTION|>"
        ),
        ["c:#0 add {}"]
    );
}

#[test]
fn elements_become_json() {
    let read = |arguments: &str, close: &str| {
        let text = format!("$<tool_call>\n$<invoke name=\"add\">{arguments}$</invoke>\n{close}");
        super::examples::read(Dialect::MiniMaxM3, &text.replace('$', "]<]minimax[>["))
    };
    let close = "$</tool_call>";
    let call = |arguments: &str| read(arguments, close);
    assert_eq!(call(""), ["c:add {}"]);
    assert_eq!(
        call("$<text>1$</text>$<count>2$</count>$<other>$<a>x$</a>$<b>null$</b>$</other>\n"),
        [r#"c:add {"text":"1","count":2,"other":{"a":"x","b":null}}"#]
    );
    assert_eq!(
        call("$<list>$<item>1$</item> $<item>$<item>a\n\"b$</item>$</item>$</list>$<tree>$<item>1$</item>$</tree>"),
        [r#"c:add {"list":[1,["a\n\"b"]],"tree":{"item":1}}"#]
    );
    assert_eq!(
        call("$<list>$</list>$<tree> $</tree>$<text>$</text>$<flag>$</flag>"),
        [r#"c:add {"list":[],"tree":{},"text":"","flag":null}"#]
    );
    assert_eq!(call("$<text> </b> <c>$$</text>"), [r#"c:add {"text":" </b> <c>]<]minimax[>["}"#]);
    // What is out of place ends the call, and is text.
    assert_eq!(call("$<list>$<a>1$</a>$</list>"), [r#"i:add {"list":{"a":1}}"#.replace("i:", "c:").as_str()]);
    assert_eq!(
        read("$<list>$<item>1$</item>$<a>2", "")[..],
        [r#"i:add {"list":[1"#.to_owned(), "t:$<a>2$</invoke>\n".replace('$', "]<]minimax[>[")]
    );
    assert_eq!(read("$<tree>$</tool_call> so", "")[0], r#"i:add {"tree":{"#);
    let two = call("$</invoke>$<invoke name=\"add\">$<count>1$</count>");
    assert_eq!(two, ["c:add {}", "c:add {\"count\":1}"]);
    assert_eq!(
        super::examples::read(Dialect::MiniMaxM3, "<mm:think>a</mm:think>b")[..],
        ["r:a".to_owned(), "t:b".to_owned()]
    );
    assert_eq!(super::examples::read(Dialect::MiniMaxM3, "</mm:think>b"), ["t:b"]);
}

#[test]
fn recipients_are_headers() {
    let read = |text: &str| read(Dialect::Functionary, text);
    assert_eq!(read("all\nHi. >>>all\nHo."), ["t:Hi. Ho."]);
    assert_eq!(read("add\n{\"a\": 1}"), ["c:add {\"a\": 1}"]);
    assert_eq!(read("all\nSo:>>>add\n{}\n>>>now-2\n{}"), ["t:So:", "c:add {}", "c:now-2 {}"]);
    assert_eq!(read("python\nprint(1)"), ["t:python\nprint(1)"]);
    assert_eq!(read("bob\n{}"), ["t:bob\n{}"]);
    assert_eq!(read("That is all\n{}"), ["t:That is all\n{}"]);
    assert_eq!(read(">>> print(1)\n1"), ["t:>>> print(1)\n1"]);

    let read = |text: &str| super::examples::read(Dialect::Muse, text);
    let call = "<atem:function_calls>\n<atem:invoke name=\"add\">\n<atem:parameter name=\"text\"> a\n</atem:parameter>\n</atem:invoke>\n</atem:function_calls>";
    assert_eq!(read(" to=user<|message|>Hi to=all.<|eot|>"), ["t:Hi to=all."]);
    assert_eq!(read("<|message|>Hi"), ["t:Hi"]);
    assert_eq!(
        read(&format!(
            " to=self<|message|>Hm.<|eom|><|start|>assistant to=add<|message|>{call}<|eom|><|start|>assistant to=add<|message|>{call}<|eot|>"
        )),
        ["r:Hm.", "c:add {\"text\":\" a\\n\"}", "c:add {\"text\":\" a\\n\"}"]
    );
    assert_eq!(
        read(
            " to=user<|message|>So.<|eom|><|start|>assistant to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Yes."
        ),
        ["t:So.", "r:Hm.", "t:Yes."]
    );
    assert_eq!(read("<|start|>assistant to=you, friend"), ["t:<|start|>assistant to=you, friend"]);
}

#[test]
fn a_parser_is_used_again() {
    let mut parser = Dialect::Hermes.parser(&tools());
    let call = "<tool_call>{\"name\": \"add\", \"arguments\": {}}";
    for _ in 0..2 {
        let mut first = None;
        parser.parse_into(call, &mut |delta| {
            if let Delta::Call { index, .. } = delta {
                first = Some(index);
            }
        });
        assert_eq!(first, Some(0));
        parser.reset();
    }
    assert_eq!(short(&parser.parse("a")), ["t:a"]);
}

/// What a constraint is built on: the first trigger is what a call begins with.
#[test]
fn triggers_begin_calls() {
    for dialect in Dialect::ALL {
        let grammar = dialect.grammar();
        let begin = [grammar.begin, grammar.before_name].concat();
        assert!(grammar.triggers.first().is_some_and(|trigger| begin.starts_with(trigger)), "{dialect:?}");
        // Every trigger but a bracket is a mark that the parser looks for, or begins one.
        let marks: Vec<_> = dialect.family().shapes.iter().flat_map(|shape| shape.openers()).collect();
        for trigger in grammar.triggers.iter().filter(|trigger| trigger.len() > 1) {
            let noise = dialect.family().noise.contains(trigger);
            assert!(noise || marks.iter().any(|mark| mark.starts_with(trigger)), "{dialect:?} {trigger}");
        }
    }
}

/// The only digits of a grammar are numbers of calls, which a writer counts.
#[test]
fn calls_are_numbered_where_models_count() {
    let call =
        |id: Option<&str>| crate::ToolCall { id: id.map(str::to_owned), ..crate::ToolCall::new("add", json!({})) };
    for dialect in Dialect::ALL {
        let grammar = dialect.grammar();
        let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
        let number = digits(grammar.before_name) + digits(grammar.after_name);
        let counts = matches!(dialect, Dialect::KimiK2 | Dialect::KimiK3 | Dialect::CommandR | Dialect::Solar);
        assert_eq!(number, usize::from(counts), "{dialect:?}");
        assert_eq!(digits(grammar.begin) + digits(grammar.after_arguments) + digits(grammar.end), 0, "{dialect:?}");
    }
    let calls = [call(Some("functions.add:12")), call(Some("x")), call(None)];
    assert_eq!(
        read(Dialect::KimiK2, &Dialect::KimiK2.write(&calls, 3)),
        ["c:#functions.add:12 add {}", "c:#functions.add:4 add {}", "c:#functions.add:5 add {}"]
    );
    assert_eq!(
        read(Dialect::CommandR, &Dialect::CommandR.write(&calls, 3)),
        ["c:#functions.add:12 add {}", "c:#x add {}", "c:#5 add {}"]
    );
    assert!(Dialect::KimiK3.write(&calls, 3).contains("index=\"3\""), "numbers of the turn");
    let calls = [call(Some("9Ae3bDc2F")), call(Some("no"))];
    assert_eq!(read(Dialect::MistralList, &Dialect::MistralList.write(&calls, 0)), ["c:#9Ae3bDc2F add {}", "c:add {}"]);
    assert_eq!(Dialect::Hermes.write(&[], 0), "");
}
