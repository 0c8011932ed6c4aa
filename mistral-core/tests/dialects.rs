//! Dialects against the chat templates that models are published with: calls that a template renders are parsed back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::{Path, PathBuf};

use mistral_core::tools::ToolSpec;
use mistral_core::tools::dialect::{Dialect, Message};
use mistral_models::{ChatTemplate, TemplateInput};
use serde_json::{Value, json};

/// Templates that do not show what their models write, and why. The dialect is known from them all the same, or not.
const WITHOUT: &[(&str, Option<Dialect>, &str)] = &[
    ("HuggingFaceTB-SmolLM3-3B", None, "no calls in the template"),
    ("Kimi-K2-Instruct", Some(Dialect::KimiK2), "the template fails at calls, in transformers too"),
    ("Kimi-K2-Thinking", Some(Dialect::KimiK2), "the template fails at calls, in transformers too"),
    ("LFM2-8B-A1B", Some(Dialect::Lfm2), "calls are part of the content"),
    ("LFM2.5-Instruct", Some(Dialect::Lfm2), "calls are part of the content"),
    ("MiniMax-M3", None, "a dialect that is not known"),
    ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", Some(Dialect::DeepSeekV3), "calls are left out beside content"),
    ("google-gemma-2-2b-it", None, "no calls in the template"),
    ("llama-cpp-deepseek-r1", Some(Dialect::DeepSeekV3), "the template fails at tools, in transformers too"),
    ("meetkai-functionary-medium-v3.2", None, "a dialect that is not known"),
    ("microsoft-Phi-3.5-mini-instruct", None, "no calls in the template"),
    ("muse-glimmer", None, "a dialect that is not known"),
];

/// Templates that render one call a turn: they refuse more, or leave them out.
const SINGLE: &[&str] = &[
    "GigaChat3-10B-A1.8B",
    "GigaChat3.1-10B-A1.8B",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "openai-gpt-oss-120b",
];

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
fn turns() -> Vec<Vec<(&'static str, Value)>> {
    let plain = ("get_weather", json!({"city": "Oslo", "days": 2}));
    let awkward = json!({"query": "\"a\" <b> \\ \u{fc} {c} </think>", "limit": 9_007_199_254_740_993_u64, "exact": true,
        "filter": {"x": [1, 2.5, null, "y"], "z": {}}, "code": "12\n  34"});
    vec![vec![plain.clone()], vec![("search", awkward.clone())], vec![plain, ("search", awkward)]]
}

type Turn<'t> = &'t [(&'t str, Value)];

/// What is thought before the calls, where a template has a place for it.
const THOUGHT: &str = "Let me ponder: is <tool_call> a tag?";

fn render(template: &ChatTemplate, turn: Option<Turn<'_>>, thinks: bool, tools: &[Value]) -> Result<String, String> {
    let mut messages = vec![json!({"role": "user", "content": "Weather in Oslo?"})];
    if let Some(turn) = turn {
        let calls: Vec<Value> = turn
            .iter()
            .enumerate()
            .map(|(i, (name, arguments))| {
                json!({"id": format!("abc12{i}def"), "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let mut message = json!({"role": "assistant", "content": "", "tool_calls": calls});
        if thinks {
            for key in ["reasoning_content", "reasoning", "thinking"] {
                message[key] = json!(THOUGHT);
            }
        }
        messages.push(message);
    }
    let variables = json!({"bos_token": "<s>", "eos_token": "</s>", "functions": "[]", "datetime": "now"});
    let input = TemplateInput::new(&messages)
        .tools(tools)
        .variables(variables.as_object().unwrap())
        .add_generation_prompt(turn.is_none());
    template.render(&input).map_err(|error| error.to_string())
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

/// What a template renders for a turn is what a model would write after the prompt; the prompt is what both have in common.
/// Gives whether there was reasoning.
fn round_trip(template: &ChatTemplate, dialect: Dialect, turn: Turn<'_>, thinks: bool) -> Result<bool, String> {
    let specs = tools();
    let json: Vec<Value> = specs.iter().map(ToolSpec::to_json).collect();
    let prompt = render(template, None, thinks, &json)?;
    let whole = render(template, Some(turn), thinks, &json)?;
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
    let mut parser = dialect.parser(&specs);
    parser.reset_after(&whole[..common]);
    if !parser.in_reasoning() && (written.starts_with("</") || written.starts_with(THOUGHT)) {
        parser.reset_after(&prompt);
        if !parser.in_reasoning() {
            // Reasoning that the prompt has closed otherwise.
            written = written.strip_prefix("</think>").unwrap_or(written);
        }
    }
    let message: Message = parser.parse(written);
    let calls: Vec<_> = message.calls().collect();
    let show = || format!("{message:?} from {written:?}");
    if calls.len() != turn.len() {
        return Err(format!("{} calls of {}: {}", calls.len(), turn.len(), show()));
    }
    for (call, (name, arguments)) in calls.iter().zip(turn) {
        let parsed: Value = serde_json::from_str(&call.arguments).map_err(|error| format!("{error}: {}", show()))?;
        if call.name != *name || parsed != *arguments || !call.complete {
            return Err(show());
        }
    }
    let thought = written.contains("ponder");
    if thought != message.reasoning().contains(THOUGHT) {
        return Err(format!("the reasoning is {:?}: {}", message.reasoning(), show()));
    }
    // What is left over is the end of the turn.
    let text = message.text() + message.fragment();
    if ["get_weather", "search", "tool", "think", "Oslo", "ponder"].iter().any(|leak| text.contains(leak)) {
        return Err(format!("markup in the text {text:?}: {}", show()));
    }
    Ok(thought)
}

/// Whether a template is on a list, and why it is, is checked too: what is on it without need fails.
#[test]
fn calls_of_published_templates_are_parsed_back() {
    let Some(folders) = templates() else { return };
    let (mut passed, mut thoughts, mut wrong) = (0, 0, Vec::new());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(folder.join("template.jinja")).unwrap();
        let template = ChatTemplate::new(&source).unwrap();
        let dialect = Dialect::detect(&source);
        let without = WITHOUT.iter().find(|(listed, ..)| *listed == name);
        if let Some((_, known, _)) = without {
            assert_eq!(dialect, *known, "{name}");
        }
        for (i, (turn, thinks)) in turns().iter().flat_map(|turn| [(turn, false), (turn, true)]).enumerate() {
            let listed = without.is_some() || (turn.len() > 1 && SINGLE.contains(&name.as_str()));
            let result = dialect.ok_or("no dialect".to_owned()).and_then(|d| round_trip(&template, d, turn, thinks));
            match (result, listed) {
                (Ok(thought), false) => {
                    passed += 1;
                    thoughts += usize::from(thought);
                }
                (Err(_), true) => {}
                (Ok(_), true) => wrong.push(format!("{name} turn {i} is parsed back, yet on a list")),
                (Err(why), false) => wrong.push(format!("{name} turn {i} {dialect:?}: {why}")),
            }
        }
    }
    let count = format!("{passed} turns of published templates parsed back, {thoughts} with reasoning");
    let _ = writeln!(std::io::stderr(), "{count}; {} templates cannot be", WITHOUT.len());
    assert!(passed > 0 && thoughts > 0);
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
