//! Dialects against the chat templates that models are published with: calls that a template renders are parsed back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mistral_core::agent::{AgentLimits, AgentStep, AgentStop, CallEnd, Exchange};
use mistral_core::tools::dialect::{self, CallForm, CallHistory, Dialect};
use mistral_core::tools::{CallArguments, Message, ToolCall, ToolSpec};
use mistral_core::{FinishReason, Usage};
use mistral_models::{ChatTemplate, TemplateInput};
use serde_json::{Value, json};

/// Templates that teach no calls, and why: their models are read as [`Dialect::Json`].
const UNDETECTED: &[(&str, &str)] = &[
    ("HuggingFaceTB-SmolLM3-3B", "shows neither tools nor calls"),
    ("google-gemma-2-2b-it", "shows neither tools nor calls"),
    ("microsoft-Phi-3.5-mini-instruct", "shows neither tools nor calls"),
];

/// Templates that do not take calls as objects, and what they take.
const OTHER: &[(&str, CallForm)] = &[
    ("HuggingFaceTB-SmolLM3-3B", CallForm::Content),
    // It appends to a list, which transformers forbids.
    ("Kimi-K2-Instruct", CallForm::Content),
    ("Kimi-K2-Thinking", CallForm::Content),
    ("LFM2-8B-A1B", CallForm::Content),
    ("LFM2.5-Instruct", CallForm::Content),
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", CallForm::TextAlone),
    ("google-gemma-2-2b-it", CallForm::Content),
    ("meetkai-functionary-medium-v3.2", CallForm::Text),
    ("microsoft-Phi-3.5-mini-instruct", CallForm::Content),
];

/// Templates that fail if there are tools, in transformers too. Tools are described in a message then.
const WITHOUT_TOOLS: &[&str] = &["llama-cpp-deepseek-r1"];

/// Templates that leave out null and what is empty.
const SPARSE: &[&str] = &["MiniMax-M3"];

/// Templates that render one call per message: they refuse further calls, or leave them out.
const SINGLE: &[&str] = &[
    "GigaChat3-10B-A1.8B",
    "GigaChat3.1-10B-A1.8B",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "openai-gpt-oss-120b",
];

/// Templates that do not know results of tools.
const PLAIN_RESULTS: &[&str] = &["google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct"];

fn tools() -> Vec<ToolSpec> {
    let weather = json!({"type": "object", "properties": {"city": {"type": "string", "description": "City"},
        "days": {"type": "integer", "description": "Days"}}, "required": ["city"]});
    let property =
        |kind: &str| json!({"type": kind, "description": "What it says", "additionalProperties": {"type": "string"}});
    let search = json!({"type": "object", "properties": {"query": property("string"), "limit": property("integer"),
        "exact": property("boolean"), "filter": property("object"), "code": property("string")}, "required": ["query"]});
    vec![
        ToolSpec::new("get_weather", "Current weather in a city.", weather).unwrap(),
        ToolSpec::new("search", "Search for something.", search).unwrap(),
    ]
}

/// Calls from plain to awkward: quotes, marks, line breaks, numbers as text, wide integers, nesting.
fn turns(sparse: bool) -> Vec<Vec<(&'static str, Value)>> {
    let plain = ("get_weather", json!({"city": "Oslo", "days": 2}));
    let filter =
        if sparse { json!({"x": [1, 2.5, "y"], "z": {"a": "b"}}) } else { json!({"x": [1, 2.5, null, "y"], "z": {}}) };
    let awkward = json!({"query": "\"a\" <b> \\ \u{fc} {c} </think>", "limit": 9_007_199_254_740_993_u64, "exact": true,
        "filter": filter, "code": "12\n  34"});
    vec![vec![plain.clone()], vec![("search", awkward.clone())], vec![plain, ("search", awkward)]]
}

type Turn<'t> = &'t [(&'t str, Value)];

/// What is thought before the calls, where a template has a place for it.
const THOUGHT: &str = "Let me ponder: is <tool_call> a tag?";

/// A template as it is published.
struct Published {
    template: ChatTemplate,
    dialect: Dialect,
    history: CallHistory,
    specs: Vec<ToolSpec>,
    /// The tools that are rendered.
    tools: Vec<Value>,
}

impl Published {
    fn new(name: &str, source: &str) -> Self {
        let template = ChatTemplate::new(source).unwrap();
        let dialect = Dialect::detect(source);
        let undetected = UNDETECTED.iter().any(|(listed, _)| *listed == name);
        assert_eq!(dialect.is_none(), undetected, "{name}: {dialect:?}");
        let specs = tools();
        let tools = specs.iter().map(ToolSpec::to_json).filter(|_| !WITHOUT_TOOLS.contains(&name)).collect();
        let mut published =
            Self { template, dialect: dialect.unwrap_or(Dialect::Json), history: CallHistory::default(), specs, tools };
        let history = CallHistory::of(published.dialect, |messages| published.messages(messages, false).ok());
        published.history = history.unwrap_or_else(|| panic!("{name} renders no calls"));
        let listed = OTHER.iter().find(|(listed, _)| *listed == name).map_or(CallForm::Objects, |(_, form)| *form);
        assert_eq!(published.history.form, listed, "{name}");
        assert_eq!(published.history.single, SINGLE.contains(&name), "{name} takes one call to a message");
        assert_eq!(published.history.plain_results, PLAIN_RESULTS.contains(&name), "{name} knows no results");
        published
    }

    fn messages(&self, messages: &[Value], prompt: bool) -> Result<String, String> {
        let variables = json!({"bos_token": "<s>", "eos_token": "</s>", "functions": "[]", "datetime": "now"});
        let input =
            TemplateInput::new(messages).variables(variables.as_object().unwrap()).add_generation_prompt(prompt);
        let input = if self.tools.is_empty() { input } else { input.tools(&self.tools) };
        self.template.render(&input).map_err(|error| error.to_string())
    }

    fn render(&self, turn: Option<Turn<'_>>, thinks: bool) -> Result<String, String> {
        let mut messages = vec![Message::user("Weather in Oslo?")];
        if let Some(turn) = turn {
            let call = |(i, (name, arguments)): (usize, &(&str, Value))| ToolCall::new(*name, arguments).with_id(id(i));
            messages.push(Message::assistant("").with_tool_calls(turn.iter().enumerate().map(call)));
        }
        let mut messages = self.history.messages(self.dialect, &messages);
        if thinks && let Some(message) = messages.get_mut(1) {
            for key in ["reasoning_content", "reasoning", "thinking"] {
                message[key] = json!(THOUGHT);
            }
        }
        self.messages(&messages, turn.is_none())
    }
}

/// The id of a call, as the templates that are strict take it.
fn id(number: usize) -> String {
    format!("abc12{number}def")
}

fn templates() -> Option<Vec<PathBuf>> {
    let Some(shared) = std::env::var_os("MISTRAL_SHARED") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "MISTRAL_SHARED is not set");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
        return None;
    };
    let folders = std::fs::read_dir(Path::new(&shared).join("templates")).unwrap().map(|e| e.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    Some(folders)
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    reasoning: bool,
    ids: bool,
}

/// What a template renders for a turn is what a model would write after the prompt; the prompt is what both have in common.
fn round_trip(published: &Published, turn: Turn<'_>, thinks: bool) -> Result<Found, String> {
    let prompt = published.render(None, thinks)?;
    let whole = published.render(Some(turn), thinks)?;
    let mut common = prompt.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
    while !whole.is_char_boundary(common) {
        common -= 1;
    }
    // The prompt can end in `<think>` where the turn has `<tool_call>`: not in the middle of a mark.
    if let Some(mark) = whole[..common].rfind('<').filter(|&mark| !whole[mark..common].contains('>')) {
        common = mark;
    }
    // One template repeats its instructions after every turn.
    let mut written = whole[common..].split("<|START_OF_TURN_TOKEN|>").next().unwrap_or("");
    let mut parser = published.dialect.parser(&published.specs);
    parser.reset_after(&whole[..common]);
    if !parser.in_reasoning() && (written.starts_with("</") || written.starts_with(THOUGHT)) {
        parser.reset_after(&prompt);
        if !parser.in_reasoning() {
            // Reasoning that the prompt has closed otherwise.
            written = written.strip_prefix("</think>").unwrap_or(written);
        }
    }
    let message: dialect::ParsedMessage = parser.parse(written);
    let calls: Vec<_> = message.calls().collect();
    let show = || format!("{message:?} from {written:?}");
    if calls.len() != turn.len() {
        return Err(format!("{} calls of {}: {}", calls.len(), turn.len(), show()));
    }
    let mut found = Found { reasoning: written.contains("ponder"), ids: false };
    for (i, (call, (name, arguments))) in calls.iter().zip(turn).enumerate() {
        let parsed: Value = serde_json::from_str(&call.arguments).map_err(|error| format!("{error}: {}", show()))?;
        if call.name != *name || parsed != *arguments || !call.complete {
            return Err(show());
        }
        // An id that is shown is read; where another is, the template numbers calls itself.
        let shown = written.contains(&id(i));
        if shown != (call.id == Some(id(i))) || call.id.as_deref().is_some_and(|id| !published.dialect.takes_id(id)) {
            return Err(format!("the id is {:?}: {}", call.id, show()));
        }
        found.ids |= call.id.is_some();
    }
    if found.reasoning != message.reasoning().contains(THOUGHT) {
        return Err(format!("the reasoning is {:?}: {}", message.reasoning(), show()));
    }
    // What is left over is the end of the turn.
    let text = message.text() + message.fragment();
    if ["get_weather", "search", "tool", "think", "Oslo", "ponder"].iter().any(|leak| text.contains(leak)) {
        return Err(format!("markup in the text {text:?}: {}", show()));
    }
    Ok(found)
}

/// What is on a list without need fails too.
#[test]
fn calls_of_published_templates_are_parsed_back() {
    let Some(folders) = templates() else { return };
    let (mut passed, mut thoughts, mut ids, mut wrong) = (0, 0, Vec::new(), Vec::new());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let published = Published::new(&name, &std::fs::read_to_string(folder.join("template.jinja")).unwrap());
        let turns = turns(SPARSE.contains(&name.as_str()));
        for (i, (turn, thinks)) in turns.iter().flat_map(|turn| [(turn, false), (turn, true)]).enumerate() {
            match round_trip(&published, turn, thinks) {
                Ok(found) => {
                    passed += 1;
                    thoughts += usize::from(found.reasoning);
                    if found.ids && ids.last() != Some(&name) {
                        ids.push(name.clone());
                    }
                }
                Err(why) => wrong.push(format!("{name} turn {i} {:?}: {why}", published.dialect)),
            }
        }
    }
    let count = format!("{passed} turns of published templates parsed back, {thoughts} with reasoning");
    let _ = writeln!(std::io::stderr(), "{count}; {} show ids: {}", ids.len(), ids.join(", "));
    assert!(passed > 0 && thoughts > 0 && !ids.is_empty());
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns a conversation with `calls` calls in one turn, each with its result.
fn exchange(calls: usize) -> Vec<Message> {
    let call = |i: usize| ToolCall::new("get_weather", json!({"city": format!("City{i}")})).with_id(id(i));
    let results = (0..calls).map(|i| Message::tool(id(i), format!("Result{i}")));
    let asked = [Message::user("The weather?"), Message::assistant("").with_tool_calls((0..calls).map(call))];
    asked.into_iter().chain(results).collect()
}

/// Every template shows all calls of a turn and all results, in order, whether it takes them together or one per message.
#[test]
fn several_calls_of_a_turn_are_rendered() {
    let Some(folders) = templates() else { return };
    let mut wrong = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let published = Published::new(&name, &std::fs::read_to_string(folder.join("template.jinja")).unwrap());
        for calls in 1..=3 {
            let messages = published.history.messages(published.dialect, &exchange(calls));
            let rendered = match published.messages(&messages, true) {
                Ok(rendered) => rendered,
                Err(error) => {
                    wrong.push(format!("{name}, {calls} calls: {error}"));
                    continue;
                }
            };
            let places = |what: &str| -> Vec<usize> {
                (0..calls)
                    .flat_map(|i| rendered.match_indices(&format!("{what}{i}")).map(|(at, _)| at).last())
                    .collect()
            };
            let (called, results) = (places("City"), places("Result"));
            let in_order = called.is_sorted() && results.is_sorted() && called.len() == calls && results.len() == calls;
            if !in_order || called.iter().zip(&results).any(|(call, result)| call > result) {
                wrong.push(format!("{name}, {calls} calls at {called:?}, results at {results:?}: {rendered}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// As the published template of Llama 3.1: one call to a message, and no other.
const ONE_CALL: &str = r#"{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>
{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}{{ raise_exception("one call at a time") }}{% endif -%}
{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}
{%- else %}{{ m.content }}{% endif %}<|eot_id|>{% endfor %}"#;

/// Two calls in one turn with a template that takes one call per message; also with a limit of one call.
#[test]
fn two_calls_of_llama_go_on() {
    let call = |city| format!(r#"{{"name": "get_weather", "parameters": {{"city": "{city}"}}}}"#);
    let turns = [[call("Oslo"), call("Rome")].join("; "), "Done.".to_owned()];
    two_calls_go_on(&Published::new("meta-llama-Llama-3.1-8B-Instruct", ONE_CALL), &turns);
}

/// The same with the published template and the text of the report.
#[test]
fn two_calls_of_the_published_template_go_on() {
    let Some(shared) = shared() else { return };
    let case = std::fs::read_to_string(shared.join("cases/two_calls_llama3.json")).unwrap();
    let case: Value = serde_json::from_str(&case).unwrap();
    let name = case["template"].as_str().unwrap();
    let source = std::fs::read_to_string(shared.join("templates").join(name).join("template.jinja")).unwrap();
    let turns: Vec<String> = serde_json::from_value(case["turns"].clone()).unwrap();
    two_calls_go_on(&Published::new(name, &source), &turns);
}

fn two_calls_go_on(published: &Published, turns: &[String]) {
    for limit in [1, 16] {
        let limits = AgentLimits::default().calls_per_turn(limit);
        let question = vec![Message::user("Weather?")];
        let mut exchange = Exchange::new(question, published.dialect, &published.specs, limits, Instant::now());
        for turn in turns {
            assert!(matches!(exchange.next(Instant::now()), AgentStep::Generate { .. }));
            let messages = published.history.messages(published.dialect, exchange.messages());
            exchange.begin(&published.messages(&messages, true).unwrap());
            exchange.push(turn);
            exchange.end(FinishReason::EndOfText(0), Usage::default());
            let calls: Vec<usize> = exchange.calls().map(|(index, _)| index).collect();
            calls.into_iter().for_each(|index| assert!(exchange.answer(index, CallEnd::Success, "fine")));
        }
        assert_eq!(exchange.next(Instant::now()), AgentStep::Finished(AgentStop::Answered));
        let results = exchange.messages().iter().filter(|message| message.content == "fine").count();
        assert_eq!((results, exchange.messages().len()), (limit.min(2), 5));
        assert_eq!(exchange.messages().last().unwrap().content, "Done.");
    }
}

/// The folder of the reference data. `None`, said aloud, where there is none; an error in CI.
fn shared() -> Option<PathBuf> {
    let shared = std::env::var_os("MISTRAL_SHARED").map(PathBuf::from);
    if shared.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "MISTRAL_SHARED is not set");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
    }
    shared
}

/// Numbers reach the prompt as they do in transformers, which reads arguments with `json.loads`.
#[test]
fn numbers_of_calls_are_rendered_as_in_transformers() {
    let source = "{% for m in messages %}{{ m.tool_calls[0].function.arguments | tojson }}{% endfor %}";
    let template = ChatTemplate::new(source).unwrap();
    for (text, expected) in [
        (r#"{"a":123456789012345678901234567890,"b":1.10}"#, r#"{"a": 123456789012345678901234567890, "b": 1.1}"#),
        (
            r#"{"b":[-0, 1.50, {"c":-99999999999999999999}],"a":"x"}"#,
            r#"{"b": [0, 1.5, {"c": -99999999999999999999}], "a": "x"}"#,
        ),
        (r#"{"a":18446744073709551615}"#, r#"{"a": 18446744073709551615}"#),
    ] {
        let call = ToolCall::new("f", text.parse::<CallArguments>().unwrap());
        let messages = [Message::assistant("").with_tool_calls([call])];
        let messages = CallHistory::default().messages(Dialect::Hermes, &messages);
        assert_eq!(template.render(&TemplateInput::new(&messages)).unwrap(), expected);
    }
}
