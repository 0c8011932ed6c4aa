//! The loop against models whose words are written here: dialects, errors, bounds, chunks, cancellation, approvals.

mod chat;
mod results;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mistral_models::ChatTemplates;
use mistral_tools::dialect::Dialect;
use mistral_tools::{Approval, ErrorKind, Role, SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};

use super::*;
use crate::engine::Engine;
use crate::event::{FinishReason, Usage};
use crate::memory::Limits;
use crate::testing::{END, Scripted, byte_tokenizer, certain};
use crate::text::TextModel;

/// The template of the tests: a line for each message, and a comment that teaches a dialect.
fn template(marks: &str) -> String {
    format!(
        "{{# {marks} #}}{{% for t in tools or [] %}}tool {{{{ t.function.name }}}}\n{{% endfor %}}\
         {{% for m in messages %}}{{{{ m.role }}}}: {{{{ m.content }}}}\
         {{% for c in m.tool_calls or [] %}} call {{{{ c.function.name }}}} {{{{ c.function.arguments | tojson }}}}{{% endfor %}}{{{{ '\n' }}}}\
         {{% endfor %}}assistant: "
    )
}

/// A model that says one of these texts a turn, whatever it is told, then the end token. It counts its turns by what the template
/// has written. Prompts are kept in `seen`.
fn model(marks: &str, turns: &[&str], seen: &Arc<std::sync::Mutex<Vec<String>>>) -> Model {
    let turns: Vec<String> = turns.iter().map(|&turn| turn.to_owned()).collect();
    let seen = Arc::clone(seen);
    // The prompt of the turn under way, as tokens.
    let mut prompt: Vec<u32> = Vec::new();
    let mut turn = 0;
    let script = Box::new(move |history: &[u32]| {
        let said = history.strip_prefix(prompt.as_slice()).filter(|_| turn > 0);
        let goes_on = said.is_some_and(|said| {
            let text = turns[turn - 1].as_bytes();
            said.len() <= text.len() && said.iter().zip(text).all(|(&token, &byte)| token == u32::from(byte))
        });
        if !goes_on {
            prompt = history.to_vec();
            let bytes = history.iter().filter_map(|&token| u8::try_from(token).ok()).collect();
            seen.lock().unwrap().push(String::from_utf8(bytes).unwrap());
            turn = (turn + 1).min(turns.len());
        }
        certain(turns[turn - 1].as_bytes().get(history.len() - prompt.len()).map_or(END, |&byte| byte.into()))
    });
    let templates = ChatTemplates::from_parts(None, Some(&template(marks)), None).unwrap();
    let text = TextModel::new(Some(byte_tokenizer()), templates);
    let limits = Limits { max_sequences: 1, queue_capacity: 1, max_batch_tokens: 4096 };
    let forward = Scripted::new(4096, 256, 16, script);
    Model::from_engine(Engine::new(Box::new(forward), text, limits, 0)).unwrap()
}

#[derive(serde::Deserialize)]
struct Pair {
    a: i64,
    b: i64,
}

const PAIR: &str = r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"]}"#;
const EMPTY: &str = r#"{"type": "object", "properties": {}}"#;

#[derive(serde::Deserialize)]
struct Nothing {}

/// A tool that is there, and says that what it was asked for is not.
fn seek() -> impl mistral_tools::Tool {
    ToolBuilder::named("seek")
        .description("")
        .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
        .result_schema::<u32>(SchemaType::Serde)
        .on_invocation(|_, _, Nothing {}, ()| Err::<u32, _>(ToolError::new(ErrorKind::NotFound, "no such file")))
        .build()
        .unwrap()
}

/// `add`, which adds; `fail`, which fails; `count`, which hands out chunks; `sleep`, which waits until it is cancelled.
fn tools() -> ToolBatch {
    let mut batch = ToolBatch::new();
    let tool = |name| ToolBuilder::named(name).description("");
    batch.add(
        tool("add")
            .request_schema::<Pair>(SchemaType::JsonSchema(PAIR))
            .result_schema::<i64>(SchemaType::Serde)
            .on_invocation(|_, _, Pair { a, b }, ()| a.checked_add(b).ok_or(ToolError::failed("too large")))
            .build()
            .unwrap(),
    );
    batch.add(
        tool("fail")
            .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
            .result_schema::<i64>(SchemaType::Serde)
            .on_invocation(|_, _, Nothing {}, ()| Err::<i64, _>(ToolError::failed("no luck")))
            .build()
            .unwrap(),
    );
    batch.add(
        tool("count")
            .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
            .result_schema::<u32>(SchemaType::Serde)
            .on_invocation(|_, emitter, Nothing {}, ()| {
                for number in ["one", "two", "three"] {
                    emitter.emit_blocking(number)?;
                }
                Ok(3)
            })
            .build()
            .unwrap(),
    );
    batch.add(
        tool("sleep")
            .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
            .result_schema::<u32>(SchemaType::Serde)
            .on_invocation(|conversation, _, Nothing {}, ()| {
                while !conversation.execution().is_cancelled() {
                    std::thread::yield_now();
                }
                Err::<u32, _>(ToolError::new(ErrorKind::Cancelled, "given up"))
            })
            .build()
            .unwrap(),
    );
    batch
}

fn registry() -> ToolRegistry {
    let registry = ToolRegistry::new();
    registry.publish(tools()).unwrap();
    registry
}

fn hermes(name: &str, arguments: &str) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
}

/// Every call has its result right after its message, in order.
fn whole(messages: &[Message]) {
    let mut rest = messages.iter();
    while let Some(message) = rest.next() {
        assert_ne!(message.role, Role::Tool, "a result without a call in {messages:?}");
        for call in &message.tool_calls {
            let result = rest.next().expect("a result for each call");
            assert_eq!(
                (result.role, &result.tool_call_id, result.name.as_ref()),
                (Role::Tool, &call.id, Some(&call.name))
            );
        }
    }
}

fn agent(marks: &str, turns: &[&str]) -> Agent {
    Agent::new(model(marks, turns, &Arc::default()), registry()).constrain(false)
}

fn ask(agent: &Agent) -> AgentRun {
    agent.run("Well?").unwrap()
}

fn answers(events: &[AgentEvent]) -> Vec<(String, CallEnd, String)> {
    let answer = |event: &AgentEvent| match event {
        AgentEvent::Answer { call, end, content } => Some((call.name.clone(), end.clone(), content.to_string())),
        _ => None,
    };
    events.iter().filter_map(answer).collect()
}

fn events(run: &mut AgentRun) -> Vec<AgentEvent> {
    run.iter().map(Result::unwrap).collect()
}

#[test]
fn calls_are_made_and_answered_in_the_dialect_of_the_template() {
    let calls = [
        ("<tool_call>", Dialect::Hermes, hermes("add", r#"{"a": 2, "b": 40}"#)),
        ("[TOOL_CALLS] [ARGS]", Dialect::Mistral, r#"[TOOL_CALLS]add[ARGS]{"a": 2, "b": 40}"#.into()),
        ("<function= <parameter=", Dialect::QwenCoder,
            "<tool_call>\n<function=add>\n<parameter=a>\n2\n</parameter>\n<parameter=b>\n40\n</parameter>\n</function>\n</tool_call>".into()),
        ("<|tool_call_start|>", Dialect::Lfm2, "<|tool_call_start|>[add(a=2, b=40)]<|tool_call_end|>".into()),
        ("no marks", Dialect::Json, r#"{"name": "add", "arguments": {"a": 2, "b": 40}}"#.into()),
    ];
    for (marks, dialect, call) in calls {
        assert_eq!(Dialect::detect(marks).unwrap_or(Dialect::Json), dialect);
        let seen = Arc::default();
        let agent = Agent::new(model(marks, &[&call, "It is 42."], &seen), registry());
        let mut run = ask(&agent);
        let events = events(&mut run);
        assert_eq!(answers(&events), [("add".into(), CallEnd::Success, "42".into())], "{dialect:?}");
        assert_eq!(events.last(), Some(&AgentEvent::Finished(AgentStop::Answered)));
        let usage = run.exchange().usage();
        let answer = run.complete().unwrap();
        assert_eq!((answer.text.as_str(), answer.stop, answer.usage), ("It is 42.", AgentStop::Answered, usage));
        assert_eq!(answer.messages.len(), 3);
        whole(&answer.messages);
        let seen = seen.lock().unwrap();
        assert!(seen[0].starts_with("tool add\ntool count\ntool fail\ntool sleep\nuser: Well?\nassistant: "));
        assert_eq!(seen[1], seen[0].clone() + " call add {\"a\": 2, \"b\": 40}\ntool: 42\nassistant: ");
        // Two turns: the first generated the call and its end token.
        assert_eq!(usage.prompt_tokens, seen[0].len() + seen[1].len());
        assert_eq!(usage.generated_tokens, call.len() + 1 + "It is 42.".len() + 1);
    }
}

#[test]
fn ids_of_the_model_are_kept_where_templates_take_them() {
    let call = |id: &str| format!("[TOOL_CALLS]add[CALL_ID]{id}[ARGS]{{\"a\": 1, \"b\": 1}}");
    let turn = [call("9Ae3bDc2F"), call("short"), call("9Ae3bDc2F"), call("c00000003")].concat();
    let agent = agent("[TOOL_CALLS] [ARGS]", &[&turn, &call("9Ae3bDc2F"), "2"]);
    let answer = ask(&agent).complete().unwrap();
    whole(&answer.messages);
    let ids = |message: &Message| message.tool_calls.iter().filter_map(|call| call.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&answer.messages[0]), ["9Ae3bDc2F", "c00000001", "c00000002", "c00000003"]);
    assert_eq!(ids(&answer.messages[5]), ["c00000004"], "ids are unique in a conversation");
}

#[test]
fn text_reasoning_and_arguments_stream_in_order() {
    let turn = format!("<think>Sum.</think>So: {}", hermes("add", r#"{"a":1,"b":2}"#));
    let agent = agent("<tool_call>", &[&turn, "3"]);
    let mut run = ask(&agent);
    let mut story = String::new();
    for event in &mut run {
        match event.unwrap() {
            AgentEvent::Reasoning(text) => story += &format!("({text})"),
            AgentEvent::Text(text) => story += &text,
            AgentEvent::CallBegun { name, index } => story += &format!("[{index} {name} "),
            AgentEvent::Arguments { text, .. } => story += &text,
            AgentEvent::Call(call) => story += &format!("] {} ", call.id),
            AgentEvent::Answer { content, .. } => story += &format!("= {content}; "),
            AgentEvent::Finished(stop) => story += &format!(" {stop:?}"),
            _ => {}
        }
    }
    let story = story.replace(")(", "");
    assert_eq!(story, "(Sum.)So: [0 add {\"a\":1,\"b\":2}] c00000000 = 3; 3 Answered");
    let first = &run.exchange().added()[0];
    assert_eq!((first.reasoning_content.as_deref(), first.content.text().trim_end()), (Some("Sum."), "So:"));
}

#[test]
fn errors_go_back_to_the_model() {
    let calls = [hermes("fail", "{}"), hermes("root", "{}"), hermes("add", r#"{"a": "x", "b": 1}"#)].join("\n");
    let seen = Arc::default();
    let agent = Agent::new(model("<tool_call>", &[&calls, "Sorry."], &seen), registry()).constrain(false);
    let mut run = ask(&agent);
    let mut answers = answers(&events(&mut run));
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let kinds: Vec<_> = answers.iter().map(|answer| (answer.0.as_str(), answer.1.clone())).collect();
    let error = CallEnd::Error;
    assert_eq!(
        kinds,
        [
            ("add", error(ErrorKind::InvalidArguments)),
            ("fail", error(ErrorKind::Failed)),
            ("root", error(ErrorKind::NotFound))
        ]
    );
    whole(run.exchange().messages());
    let prompt = &seen.lock().unwrap()[1];
    // In the order of the calls, whichever ended first.
    let places: Vec<_> = [
        "Error (failed): no luck",
        "there is no tool `root`; there are: add, count, fail, sleep",
        "Error (invalid arguments)",
    ]
    .iter()
    .map(|text| prompt.find(text).unwrap())
    .collect();
    assert!(places.is_sorted(), "{prompt}");
}

#[test]
fn calls_that_cannot_be_made_go_back_a_bounded_number_of_times() {
    let wrong = [hermes("add", r#"{"a": 1}"#), hermes("add", "[1]"), hermes("nobody", "{}")];
    for wrong in &wrong {
        for bound in [0, 1, 3] {
            let turns = vec![wrong.as_str(); 8];
            let agent = agent("<tool_call>", &turns).limits(AgentLimits::default().invalid_calls(bound));
            let answer = ask(&agent).complete().unwrap();
            assert_eq!(answer.stop, AgentStop::InvalidCalls);
            whole(&answer.messages);
            assert_eq!(answer.messages.len() as u32, 2 * (bound + 1));
        }
    }
    // A call that breaks off is not made, and said to be so.
    let broken = agent("<tool_call>", &["<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1,", "Oh."]);
    let mut run = ask(&broken);
    let told = answers(&events(&mut run));
    assert_eq!(told[0].1, CallEnd::Error(ErrorKind::InvalidArguments));
    assert!(told[0].2.contains("breaks off, or its arguments are not JSON or come twice: {\"a\": 1,"), "{}", told[0].2);
    assert_eq!(run.complete().unwrap().text, "Oh.");
}

#[test]
fn what_a_tool_does_not_find_is_no_invalid_call() {
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(seek());
    registry.publish(batch).unwrap();
    let calls = vec![hermes("seek", "{}"); 5].join("\n");
    let model = model("<tool_call>", &[&calls, "It is not there."], &Arc::default());
    let agent = Agent::new(model, registry).limits(AgentLimits::default().invalid_calls(0));
    let mut run = ask(&agent);
    let answers = answers(&events(&mut run));
    assert!(answers.len() == 5 && answers.iter().all(|answer| answer.1 == CallEnd::Error(ErrorKind::NotFound)));
    assert_eq!(run.complete().unwrap().text, "It is not there.");
}

#[test]
fn resumed_calls_run_together_and_hand_out_chunks() {
    // Two calls that meet: one after the other they would not end.
    let meet = || {
        let barrier = std::sync::Barrier::new(2);
        let meet = ToolBuilder::named("meet")
            .description("")
            .with(barrier)
            .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
            .result_schema::<u32>(SchemaType::Serde)
            .on_invocation(|_, emitter, Nothing {}, barrier| {
                emitter.emit_blocking("here")?;
                barrier.wait();
                Ok(7)
            })
            .build()
            .unwrap();
        let registry = ToolRegistry::new().with_gate(|_, chain, _, _| chain.pause("Meet?"));
        let mut batch = ToolBatch::new();
        batch.add(meet);
        registry.publish(batch).unwrap();
        registry
    };
    let calls = vec![hermes("meet", "{}"); 3].join("\n");
    let first = Agent::new(model("<tool_call>", &[&calls], &Arc::default()), meet());
    let suspended = ask(&first).complete().unwrap().suspended.unwrap();
    let second = Agent::new(model("<tool_call>", &["Met."], &Arc::default()), meet());
    let mut left = 2;
    let mut run = second
        .resume(suspended, |_| {
            left -= 1;
            if left >= 0 { Approval::Approved } else { Approval::Denied("only two".into()) }
        })
        .unwrap();
    let told = events(&mut run);
    let chunks = told.iter().filter(|event| matches!(event, AgentEvent::Chunk { text, .. } if text == "here"));
    assert_eq!(chunks.count(), 2);
    let results: Vec<_> = run.exchange().added()[1..4].iter().map(|message| message.content.clone()).collect();
    assert_eq!(results, ["7", "7", "Denied: only two"]);
    assert_eq!(run.complete().unwrap().text, "Met.");
}

#[test]
fn chunks_come_before_the_answer_of_their_call() {
    let calls = [hermes("nobody", "{"), hermes("count", "{}"), hermes("count", "{}")].join("\n");
    let agent = agent("<tool_call>", &[&calls, "Done."]);
    let events = events(&mut ask(&agent));
    for id in ["c00000001", "c00000002"] {
        let of = events.iter().filter_map(|event| match event {
            AgentEvent::Chunk { id: of, text } if of == id => Some(text.as_str()),
            AgentEvent::Answer { call, content, .. } if call.id == id => content.as_text(),
            _ => None,
        });
        assert_eq!(of.collect::<Vec<_>>(), ["one", "two", "three", "3"]);
    }
}

#[test]
fn calls_of_a_turn_run_together_within_the_limit() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for limit in [1, 3] {
        most.store(0, Ordering::SeqCst);
        let barrier = std::sync::Barrier::new(limit);
        let meet = ToolBuilder::named("meet")
            .description("")
            .with((Arc::clone(&now), Arc::clone(&most), barrier))
            .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
            .result_schema::<usize>(SchemaType::Serde)
            .on_invocation(|_, _, Nothing {}, (now, most, barrier)| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait(); // with fewer at once none would end
                Ok(now.fetch_sub(1, Ordering::SeqCst))
            })
            .build()
            .unwrap();
        let mut batch = ToolBatch::new();
        batch.add(meet);
        let registry = ToolRegistry::new();
        registry.publish(batch).unwrap();
        let calls = vec![hermes("meet", "{}"); 6].join("\n");
        let limits = AgentLimits::default().parallel_calls(limit);
        let agent = Agent::new(model("<tool_call>", &[&calls, "Met."], &Arc::default()), registry).limits(limits);
        let answer = ask(&agent).complete().unwrap();
        assert_eq!((answer.text.as_str(), answer.messages.len(), most.load(Ordering::SeqCst)), ("Met.", 8, limit));
        whole(&answer.messages);
    }
}

#[test]
fn turns_tokens_and_cost_are_bounded() {
    let call = hermes("add", r#"{"a": 2, "b": 40}"#);
    let turns = vec![call.as_str(); 20];
    let run = |limits| ask(&agent("<tool_call>", &turns).limits(limits)).complete().unwrap();
    let unbounded = AgentLimits::default().max_turns(100);
    for bound in [0, 1, 3] {
        let answer = run(AgentLimits::default().max_turns(bound));
        assert_eq!((answer.stop, answer.messages.len() as u32), (AgentStop::Turns, 2 * bound));
        whole(&answer.messages);
    }
    for tokens in [1, call.len() + 1, 2 * call.len(), 2 * call.len() + 7] {
        let answer = run(unbounded.max_tokens(tokens));
        assert_eq!((answer.stop, answer.usage.generated_tokens), (AgentStop::Tokens, tokens));
        whole(&answer.messages);
    }
    let price = TokenPrice { prompt_token: 0.25, generated_token: 1.0 };
    for cost in [0.0, 10.0, 150.0, 300.0] {
        let answer = run(unbounded.max_cost(cost, price));
        assert_eq!(answer.stop, AgentStop::Cost, "{answer:?}");
        // A turn may exceed the bound by its prompt.
        assert!(price.of(answer.usage) <= cost + 0.25 * 200.0 + 2.0, "{answer:?}");
        whole(&answer.messages);
    }
    assert_eq!(run(unbounded.max_cost(f64::NAN, price)).stop, AgentStop::Cost);
    let narrow = agent("<tool_call>", &["a long answer"]).request(Request::new("").max_tokens(5));
    let answer = ask(&narrow).complete().unwrap();
    assert_eq!((answer.stop, answer.text.as_str()), (AgentStop::Length, "a lon"));
}

#[test]
fn time_is_bounded_while_tools_run() {
    let agent = agent("<tool_call>", &[&hermes("sleep", "{}"), "never said"]);
    let mut run = ask(&agent.clone().limits(AgentLimits::default().max_time(Duration::from_millis(300))));
    let told = events(&mut run);
    assert_eq!(told.last(), Some(&AgentEvent::Finished(AgentStop::Time)));
    assert!(run.exchange().messages().iter().all(|message| message.content != "never said"));
    whole(run.exchange().messages());
    assert_eq!(
        ask(&agent.limits(AgentLimits::default().max_time(Duration::ZERO))).complete().unwrap().stop,
        AgentStop::Time
    );
}

#[test]
fn cancelling_ends_generations_and_calls() {
    let call = hermes("sleep", "{}");
    let agent = agent("<tool_call>", &[&call, "never said"]);
    // While a tool runs.
    let mut run = ask(&agent);
    while !matches!(run.iter().next(), Some(Ok(AgentEvent::Call(_)))) {}
    run.token().clone().cancel();
    let rest = events(&mut run);
    assert_eq!(rest.last(), Some(&AgentEvent::Finished(AgentStop::Cancelled)), "{rest:?}");
    whole(run.exchange().messages());
    assert!(run.iter().next().is_none());
    // While the model speaks.
    let talker = self::agent("", &[&"word ".repeat(700)]);
    let mut run = ask(&talker);
    while !matches!(run.iter().next(), Some(Ok(AgentEvent::Text(_)))) {}
    run.cancel();
    assert_eq!(events(&mut run).last(), Some(&AgentEvent::Finished(AgentStop::Cancelled)));
    // Dropped.
    drop(ask(&agent));
}

#[test]
fn approvals_survive_serialisation() {
    let gated = || {
        let registry = ToolRegistry::new().with_gate(|_, chain, tool, _| match tool {
            "add" => chain.pause("May I add?"),
            _ => chain.proceed(),
        });
        registry.publish(tools()).unwrap();
        registry
    };
    let calls =
        [hermes("count", "{}"), hermes("add", r#"{"a": 2, "b": 40}"#), hermes("add", r#"{"a": 1, "b": 1}"#)].join("\n");
    let first = Agent::new(model("<tool_call>", &[&calls], &Arc::default()), gated());
    let stopped = ask(&first).complete().unwrap();
    assert_eq!((stopped.stop, stopped.messages.len()), (AgentStop::Paused, 1));
    let suspended = stopped.suspended.unwrap();
    let questions: Vec<_> = suspended.paused().map(|paused| (paused.question(), paused.arguments())).collect();
    assert_eq!(questions, [("May I add?", r#"{"a": 2, "b": 40}"#), ("May I add?", r#"{"a": 1, "b": 1}"#)]);
    let json = serde_json::to_string(&suspended).unwrap();
    let read: Suspended = serde_json::from_str(&json).unwrap();
    assert_eq!(read, suspended);
    assert!(serde_json::from_str::<Suspended>(&json.replacen("\"version\":1", "\"version\":2", 1)).is_err());

    // Elsewhere, later.
    let seen = Arc::default();
    let second = Agent::new(model("<tool_call>", &["42, and no."], &seen), gated());
    let mut run = second.resume(read, |paused| match paused.arguments().contains("40") {
        true => Approval::Approved,
        false => Approval::Denied("too easy".into()),
    });
    let run = run.as_mut().unwrap();
    let mut told = answers(&events(run));
    // Whichever ended first.
    told.sort_by(|a, b| a.2.cmp(&b.2));
    assert_eq!(
        told,
        [("add".into(), CallEnd::Success, "42".into()), ("add".into(), CallEnd::Denied, "Denied: too easy".into())]
    );
    whole(run.exchange().messages());
    assert!(seen.lock().unwrap()[0].contains("tool: 3\ntool: 42\ntool: Denied: too easy\nassistant: "));
    assert_eq!(run.exchange().added().len(), 5);
    // Turns count on.
    let once = AgentLimits::default().max_turns(1);
    let mut run = second.limits(once).resume(suspended, |_| Approval::Approved).unwrap();
    assert_eq!(run.complete().unwrap().stop, AgentStop::Turns);
}

#[test]
fn the_state_machine_runs_by_hand_and_ignores_what_is_out_of_turn() {
    let now = Instant::now();
    let mut exchange = Exchange::new(
        vec![Message::user("Well?")],
        Dialect::Hermes,
        &[],
        AgentLimits::default().calls_per_turn(2),
        now,
    );
    exchange.push("out of turn");
    exchange.end(FinishReason::Length, Usage::default());
    assert!(
        !exchange.answer(0, CallEnd::Success, "") && exchange.suspend().is_none() && exchange.poll_event().is_none()
    );
    assert_eq!(exchange.next(now), AgentStep::Generate { max_tokens: None });
    assert_eq!(exchange.next(now), AgentStep::Push);
    exchange.push(&vec![hermes("f", "{}"); 3].join("\n"));
    exchange.end(FinishReason::EndOfText(0), Usage { prompt_tokens: 3, generated_tokens: 4 });
    assert_eq!(exchange.next(now), AgentStep::Call);
    assert_eq!(exchange.calls().map(|(index, _)| index).collect::<Vec<_>>(), [0, 1], "the third is one too many");
    assert!(exchange.answer(1, CallEnd::Success, "second") && !exchange.answer(1, CallEnd::Success, "again"));
    assert!(!exchange.answer(2, CallEnd::Success, "refused already") && !exchange.deny(0, "not paused"));
    assert_eq!(exchange.next(now), AgentStep::Call);
    let paused = PausedCall::new("f", "{}", "Sure?");
    assert!(exchange.answer(0, CallEnd::Paused(paused), ""));
    assert_eq!(exchange.next(now), AgentStep::Approve);
    assert!(exchange.deny(0, "no"));
    assert_eq!(exchange.next(now), AgentStep::Generate { max_tokens: None });
    let results: Vec<_> = exchange.added()[1..].iter().map(|message| message.content.as_text().unwrap()).collect();
    assert_eq!(results, ["Denied: no", "second", "Error (too many calls): at most 2 calls in one turn; make it again"]);
    whole(exchange.messages());
    // A turn that is cut short makes no calls and leaves no half markup.
    exchange.push(&format!("Let me {} <tool", hermes("f", "{}")));
    exchange.end(FinishReason::Length, Usage::default());
    assert_eq!(exchange.next(now), AgentStep::Finished(AgentStop::Length));
    let last = exchange.messages().last().unwrap();
    assert!(last.tool_calls.is_empty() && !last.content.text().contains('<'), "{last:?}");
}

#[test]
fn calls_are_held_to_the_schema_while_they_are_written() {
    // It wants to write nonsense; the constraint leaves it no choice but a call of `add` with integers.
    let wrong = hermes("nobody", r#"{"c": "x", "a": true}"#);
    for (marks, mark) in
        [("<tool_call>", ""), ("[TOOL_CALLS] [ARGS]", "[TOOL_CALLS]"), ("<function= <parameter=", ""), ("no marks", "")]
    {
        let turn = format!("{mark}{wrong}");
        let agent = agent(marks, &[&turn]).constrain(true).limits(AgentLimits::default().max_turns(1).max_tokens(300));
        let agent = agent.tool_choice(ToolChoice::Named("add".into()));
        let answer = ask(&agent).complete().unwrap();
        assert_eq!(answer.stop, AgentStop::Turns, "{answer:?}");
        let call = &answer.messages[0].tool_calls[0];
        assert!(
            call.name == "add" && call.arguments.to_value()["a"].is_i64() && call.arguments.to_value()["b"].is_i64(),
            "{call:?}"
        );
    }
    // Text stays free, and says what it likes.
    let free = agent("<tool_call>", &["I call <nobody> {\"a\": true}."]).constrain(true);
    assert_eq!(ask(&free).complete().unwrap().text, "I call <nobody> {\"a\": true}.");
    let told = agent("<tool_call>", &["No tools."]).tool_choice(ToolChoice::None);
    assert_eq!(ask(&told).complete().unwrap().text, "No tools.");
    let run = |marks, choice| agent(marks, &["x"]).tool_choice(choice).run([Message::user("?")]);
    assert!(matches!(run("<tool_call>", ToolChoice::Named("x".into())), Err(Error::UnknownTool { .. })));
}

/// Tools that do nothing, each with a property `x` of this schema.
fn with_schemas(schemas: &[(&'static str, &str)]) -> ToolRegistry {
    let mut batch = ToolBatch::new();
    for (name, x) in schemas {
        let schema = format!(r#"{{"type": "object", "properties": {{"x": {x}}}, "required": ["x"]}}"#);
        let described = ToolBuilder::named(*name).description("");
        let tool = described.request_schema::<serde_json::Value>(SchemaType::JsonSchema(schema));
        let tool = tool.result_schema::<u32>(SchemaType::Serde).on_invocation(|_, _, _, ()| Ok(7));
        batch.add(tool.build().unwrap());
    }
    let registry = ToolRegistry::new();
    registry.publish(batch).unwrap();
    registry
}

#[test]
fn one_schema_that_cannot_be_enforced_frees_only_its_own_tool() {
    let schemas = [("odd", r#"{"type": "string", "pattern": "(?=a)"}"#), ("plain", r#"{"type": "integer"}"#)];
    // It wants to write a text where `plain` wants a number.
    for (choice, name) in [(ToolChoice::Required, "plain"), (ToolChoice::Named("odd".into()), "odd")] {
        let wanted = hermes(name, r#"{"x": "text"}"#);
        let model = model("<tool_call>", &[&wanted, "Done."], &Arc::default());
        let limits = AgentLimits::default().max_turns(1).max_tokens(300);
        let agent = Agent::new(model, with_schemas(&schemas)).tool_choice(choice).limits(limits);
        assert!(agent.unenforced().unwrap().iter().all(|part| part.tool == "odd"));
        let mut run = ask(&agent);
        let events = events(&mut run);
        assert!(matches!(&events[0], AgentEvent::Unenforced(part) if part.tool == "odd"), "{events:?}");
        let call = &run.complete().unwrap().messages[0].tool_calls[0];
        assert_eq!((call.name.as_str(), call.arguments.to_value()["x"].is_i64()), (name, name == "plain"), "{call:?}");
    }
    assert!(agent("<tool_call>", &["x"]).unenforced().unwrap().is_empty());
}

#[test]
fn settings_that_no_run_would_follow_are_refused() {
    let tool = ToolSpec::new("f", "", serde_json::json!({"type": "object"})).unwrap();
    let constraint = CallConstraint::new(Dialect::Hermes, std::slice::from_ref(&tool)).unwrap();
    let refused = [
        Request::new("text"),
        Request::new(vec![1]),
        Request::chat([Message::user("Hi")]),
        Request::chat([]).tools([tool]),
        Request::chat([]).constraint(constraint),
        Request::chat([]).logprobs(1),
    ];
    for request in refused {
        let agent = agent("<tool_call>", &["x"]).request(request);
        assert!(matches!(agent.run("Well?"), Err(Error::InvalidParameter { name: "request", .. })));
        assert!(agent.chat(&mut crate::session::ChatSession::new(), "Well?").is_err() && agent.unenforced().is_err());
    }
    let heard = Request::chat([]).template_variable("x", 1).temperature(0.0);
    assert_eq!(ask(&agent("", &["x"]).request(heard)).complete().unwrap().text, "x");
}

#[test]
fn instructions_go_before_the_conversation_and_are_not_part_of_it() {
    let seen = Arc::default();
    let agent = Agent::new(model("", &["Yes.", "Yes.", "Yes."], &seen), ToolRegistry::new()).instructions("Be brief.");
    let mut run = agent.run("Well?").unwrap();
    assert_eq!(run.complete().unwrap().text, "Yes.");
    // The conversation as another agent would take it over.
    assert_eq!(run.messages(), [Message::user("Well?"), Message::assistant("Yes.")]);
    let own = [Message::system("It rains."), Message::user("Well?")];
    agent.run(&own).unwrap().complete().unwrap();
    agent.chat(&mut crate::session::ChatSession::with_system("It rains."), "And?").unwrap().complete().unwrap();
    let [alone, both, session] = &seen.lock().unwrap()[..] else { panic!("three prompts") };
    assert_eq!(alone, "system: Be brief.\nuser: Well?\nassistant: ");
    assert_eq!(both, "system: Be brief.\n\nIt rains.\nuser: Well?\nassistant: ");
    assert_eq!(*session, both.replace("Well?", "And?"));
}

#[test]
fn values_of_a_run_reach_its_tools() {
    struct User(&'static str);
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    let tool = |name| {
        let tool = ToolBuilder::named(name).description("").request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY));
        tool.result_schema::<String>(SchemaType::Serde)
    };
    let name = |user: Option<&User>| user.map_or("nobody", |user| user.0).to_owned();
    batch.add(
        tool("blocking")
            .on_invocation(move |conversation, _, _, ()| Ok(name(conversation.get::<User>())))
            .build()
            .unwrap(),
    );
    batch.add(
        tool("polled")
            .on_invocation_async(async |conversation, _, _, ()| {
                Ok(conversation.get::<User>().map_or("nobody", |user| user.0).to_owned())
            })
            .build()
            .unwrap(),
    );
    registry.publish(batch).unwrap();
    let calls = [hermes("blocking", "{}"), hermes("polled", "{}")].join("\n");
    let agent = Agent::new(model("<tool_call>", &[&calls, "Ok.", &calls, "Ok."], &Arc::default()), registry);
    for (agent, user) in [(agent.clone(), "nobody"), (agent.extension(User("Bob")).extension(User("Ada")), "Ada")] {
        let messages = ask(&agent).complete().unwrap().messages;
        assert_eq!([&messages[1].content, &messages[2].content], [user, user]);
    }
}

#[derive(serde::Deserialize)]
struct Calculation {
    expression: String,
}

#[test]
fn the_model_inside_the_crate_calculates_by_calling() {
    let calculator = ToolBuilder::named("calculator")
        .description("Computes the value of an expression.")
        .request_schema::<Calculation>(SchemaType::JsonSchema(
            r#"{"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}"#,
        ))
        .result_schema::<i64>(SchemaType::Serde)
        .on_invocation(|_, _, Calculation { expression }, ()| {
            let factors = expression.split('*').map(|factor| factor.trim().parse::<i64>().ok());
            factors.product::<Option<i64>>().ok_or(ToolError::failed("only products"))
        })
        .build()
        .unwrap();
    let mut batch = ToolBatch::new();
    batch.add(calculator);
    let registry = ToolRegistry::new();
    registry.publish(batch).unwrap();
    let agent = Agent::new(Model::embedded().unwrap(), registry);
    for agent in [agent.clone(), agent.clone().tool_choice(ToolChoice::Required), agent.constrain(false)] {
        let answer = agent.run([Message::user("What is 37 * 43?")]).unwrap().complete().unwrap();
        assert_eq!((answer.stop, answer.text.contains("1591")), (AgentStop::Answered, true), "{answer:?}");
        let call = &answer.messages[0].tool_calls[0];
        assert_eq!(
            (call.name.as_str(), call.arguments.to_value()["expression"].as_str()),
            ("calculator", Some("37 * 43"))
        );
    }
}
