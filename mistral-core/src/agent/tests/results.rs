//! Long results, errors in the middle, suspended exchanges that contradict themselves: nothing is lost, and nothing is guessed.

use super::*;

/// The tokens, here bytes, that a prompt may have so that an answer has room: three quarters of the context.
const ROOM: usize = 4096 / 4 * 3;

/// A registry whose tool `repeat` returns a text of the requested number of bytes.
fn repeat() -> ToolRegistry {
    #[derive(serde::Deserialize)]
    struct Length {
        n: usize,
    }
    let tool = ToolBuilder::named("repeat")
        .description("")
        .request_schema::<Length>(SchemaType::JsonSchema(
            r#"{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}"#,
        ))
        .result_schema::<String>(SchemaType::Serde)
        .on_invocation(|_, _, Length { n }, ()| Ok("é".repeat(n / 2)))
        .build()
        .unwrap();
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(tool);
    registry.publish(batch).unwrap();
    registry
}

fn of(bytes: usize) -> String {
    hermes("repeat", &format!("{{\"n\": {bytes}}}"))
}

fn repeating(turns: &[&str], seen: &Arc<std::sync::Mutex<Vec<String>>>) -> Agent {
    let limits = AgentLimits::default().result_bytes(usize::MAX).max_turns(20);
    Agent::new(model("<tool_call>", turns, seen), repeat()).constrain(false).limits(limits)
}

/// Returns the bytes that a result has kept, and the missing bytes that its note reports.
fn kept(result: &str) -> (usize, usize) {
    let Some((kept, note)) = result.split_once("\n[") else { return (result.len(), 0) };
    (kept.len(), note.strip_suffix(" more bytes are left out]").unwrap().parse().unwrap())
}

#[test]
fn a_result_beyond_the_context_is_cut_to_what_fits_and_the_host_sees_all_of_it() {
    for length in [6_000, 100_000, 10_000_000] {
        let seen = Arc::default();
        let mut run = ask(&repeating(&[&of(length), "Long."], &seen));
        let events = events(&mut run);
        let [(_, CallEnd::Success, whole)] = &answers(&events)[..] else { panic!("one answer") };
        assert_eq!(whole.len(), length);
        let answer = run.complete().unwrap();
        assert_eq!((answer.text.as_str(), answer.stop), ("Long.", AgentStop::Answered));
        let read = &answer.messages[1].content.text();
        let (kept, missing) = kept(read);
        assert!(kept + missing == whole.len() && whole.starts_with(&read[..kept]));
        let shortened = |event: &AgentEvent| match event {
            AgentEvent::Shortened { kept, bytes, .. } => Some((*kept, *bytes)),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(shortened).collect::<Vec<_>>(), [(kept, whole.len())]);
        // Most of the room is used, and the answer has its own.
        let prompt = seen.lock().unwrap()[1].len();
        assert!((ROOM - ROOM / 8..=ROOM).contains(&prompt), "{prompt}");
    }
}

#[test]
fn the_results_of_a_turn_share_the_room() {
    let calls = [of(100), of(50_000), of(200), of(2_000_000)].join("\n");
    let seen = Arc::default();
    let answer = ask(&repeating(&[&calls, "Much."], &seen)).complete().unwrap();
    whole(&answer.messages);
    let lengths: Vec<usize> = answer.messages[1..5].iter().map(|message| message.content.text().len()).collect();
    assert_eq!([lengths[0], lengths[2]], [100, 200], "short ones are whole");
    assert!(lengths[1].abs_diff(lengths[3]) < 8 && lengths[1] > 1000, "{lengths:?}");
    assert_eq!(kept(&answer.messages[4].content.text()).1 + kept(&answer.messages[4].content.text()).0, 2_000_000);
}

#[test]
fn older_results_make_room_when_the_context_fills_up() {
    let call = of(3_000);
    let turns = vec![call.as_str(); 12];
    let seen = Arc::default();
    let limits = AgentLimits::default().max_turns(12);
    let answer = ask(&repeating(&turns, &seen).limits(limits)).complete().unwrap();
    assert_eq!(answer.stop, AgentStop::Turns);
    whole(&answer.messages);
    for message in answer.messages.iter().filter(|message| message.role == Role::Tool) {
        let (kept, missing) = kept(&message.content.text());
        assert_eq!(kept + missing, 3_000, "{}", message.content);
    }
    assert!(seen.lock().unwrap().iter().all(|prompt| prompt.len() <= ROOM));
}

#[test]
fn what_cannot_be_cut_is_an_error_that_keeps_the_messages() {
    let said = format!("{} {}", "word ".repeat(600), of(5_000));
    let mut run = ask(&repeating(&[&said, "never said"], &Arc::default()).limits(AgentLimits::default()));
    // The user's text, the model's text and the call are longer than the room; the context has place for the note alone.
    assert_eq!(run.complete().unwrap().messages.len(), 3);
    let said = format!("{} {}", "word ".repeat(794), of(5_000));
    let mut run = ask(&repeating(&[&said, "never said"], &Arc::default()));
    let error = run.complete().unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { limit: 4095, tools: 1.., .. }), "{error:?}");
    assert!(error.to_string().contains("of the tokens describe the tools"), "{error}");
    whole(run.messages());
    assert_eq!(kept(&run.messages()[2].content.text()), (5_000, 0), "nothing is cut in vain");
}

#[test]
fn the_bytes_of_a_result_are_bounded_with_the_note() {
    for bytes in [101, 1000] {
        let agent = repeating(&[&of(5_000), "Long."], &Arc::default());
        let mut run = ask(&agent.limits(AgentLimits::default().result_bytes(bytes)));
        let events = events(&mut run);
        assert_eq!(answers(&events)[0].2.len(), 5_000);
        let read = &run.messages()[2].content.text();
        assert!(read.len() <= bytes && read.len() > bytes - 3, "{}", read.len());
        let (kept, missing) = kept(read);
        assert!(kept + missing == 5_000 && read.starts_with("éé"));
    }
}

#[test]
fn errors_come_again_and_leave_the_messages() {
    // A template that takes no long conversations.
    let marks = "<tool_call> #}{% if messages | length > 2 %}{{ raise_exception('no tools here') }}{% endif %}{#";
    let mut run = ask(&agent(marks, &[&hermes("add", r#"{"a": 2, "b": 40}"#), "never said"]));
    let mut error = None;
    for event in &mut run {
        assert!(error.is_none(), "nothing comes after the error");
        error = event.err();
    }
    assert!(error.unwrap().to_string().contains("no tools here"));
    for _ in 0..2 {
        assert!(run.complete().unwrap_err().to_string().contains("no tools here"));
    }
    assert!(run.iter().next().is_none() && run.exchange().stop() == Some(AgentStop::Failed));
    // Elsewhere it goes on from there.
    whole(run.messages());
    let other = Agent::new(model("<tool_call>", &["42."], &Arc::default()), registry());
    let answer = other.run(run.messages()).unwrap().complete().unwrap();
    assert_eq!((answer.text.as_str(), run.messages()[2].content.as_text().unwrap()), ("42.", "42"));
}

#[test]
fn an_engine_without_a_place_is_an_error_that_keeps_the_messages() {
    let agent = agent("<tool_call>", &[&"word ".repeat(700)]);
    let request = || Request::new("x").ignore_eos(true);
    let others = [agent.model().generate(request()).unwrap(), agent.model().generate(request()).unwrap()];
    let mut run = ask(&agent);
    assert!(matches!(run.complete(), Err(Error::QueueFull { capacity: 2 })));
    assert_eq!(run.messages(), [Message::user("Well?")]);
    drop(others);
}

/// An exchange with two calls, the second of which waits.
fn suspended() -> serde_json::Value {
    let registry = ToolRegistry::new().with_gate(|_, chain, tool, _| match tool {
        "add" => chain.pause("May I add?"),
        _ => chain.proceed(),
    });
    registry.publish(tools()).unwrap();
    let calls = [hermes("count", "{}"), hermes("add", r#"{"a": 2, "b": 40}"#)].join("\n");
    let agent = Agent::new(model("<tool_call>", &[&calls], &Arc::default()), registry);
    let suspended = ask(&agent).complete().unwrap().suspended.unwrap();
    assert_eq!(Suspended::load(&suspended.save()).unwrap(), suspended);
    serde_json::to_value(suspended).unwrap()
}

/// The text of an error, and the change that causes the error.
type Case = (&'static str, fn(&mut serde_json::Value));

#[test]
fn suspended_exchanges_that_contradict_themselves_are_typed_errors() {
    let sound = suspended();
    let cases: [Case; 14] = [
        ("no messages", |s| s["messages"] = serde_json::json!([])),
        ("`calls` has 0", |s| s["calls"] = serde_json::json!([])),
        ("`calls` has 1", |s| drop(s["calls"].as_array_mut().unwrap().remove(0))),
        ("`calls` has 3", |s| {
            let call = s["calls"][1].clone();
            s["calls"].as_array_mut().unwrap().push(call);
        }),
        ("call 0 is `add`", |s| s["calls"].as_array_mut().unwrap().reverse()),
        ("call 1 is `add` (c9)", |s| s["calls"][1]["call"]["id"] = "c9".into()),
        ("call 0 is `other`", |s| s["calls"][0]["call"]["name"] = "other".into()),
        ("that of another call", |s| {
            let id = s["calls"][0]["call"]["id"].clone();
            s["calls"][1]["call"]["id"] = id.clone();
            s["calls"][1]["paused"]["call_id"] = id.clone();
            s["messages"][1]["tool_calls"][1]["id"] = id;
        }),
        ("where it is paused", |s| s["calls"][1]["paused"]["call_id"] = "c9".into()),
        ("no call waits", |s| s["calls"][1]["result"] = "42".into()),
        ("neither answered nor paused", |s| s["calls"][0]["result"] = serde_json::Value::Null),
        ("began after at most 1", |s| s["given"] = 2.into()),
        ("not the model's", |s| s["messages"].as_array_mut().unwrap().truncate(1)),
        ("reads only version 1", |s| s["version"] = 2.into()),
    ];
    for (expected, change) in cases {
        let mut changed = sound.clone();
        change(&mut changed);
        if expected == "not the model's" {
            changed["given"] = 0.into();
        }
        match Suspended::load(&changed.to_string()) {
            Err(Error::MalformedSuspended { detail }) => assert!(detail.contains(expected), "{expected}: {detail}"),
            other => panic!("{expected}: {other:?}"),
        }
        assert!(serde_json::from_value::<Suspended>(changed).is_err(), "serde says the same");
    }
}

#[test]
fn what_was_said_before_a_cancellation_is_kept() {
    let now = Instant::now();
    let mut exchange = Exchange::new(vec![Message::user("Well?")], Dialect::Hermes, &[], AgentLimits::default(), now);
    exchange.next(now);
    exchange.push("<think>Hm</think>It is");
    exchange.cancel(AgentStop::Cancelled);
    let [said] = exchange.added() else { panic!("one message") };
    assert_eq!((said.content.as_text().unwrap(), said.reasoning_content.as_deref()), ("It is", Some("Hm")));
    exchange.cancel(AgentStop::Time);
    assert_eq!(exchange.stop(), Some(AgentStop::Cancelled), "an end stays");
}

#[test]
fn the_host_hears_of_a_foreign_error_and_the_model_does_not() {
    let fails = mistral_tools::FunctionTool::new("read", "", |(): ()| Ok(std::fs::read_to_string("/no/such/secret")?));
    let seen = Arc::default();
    let turns = [hermes("read", "{}"), "Sorry.".to_owned()];
    let model = model("<tool_call>", &turns.each_ref().map(String::as_str), &seen);
    let mut run = ask(&Agent::new(model, ToolRegistry::try_from([fails]).unwrap()));
    let events = events(&mut run);
    let failed = events.iter().position(|event| matches!(event, AgentEvent::ToolFailed { .. })).unwrap();
    let AgentEvent::ToolFailed { id, error } = &events[failed] else { panic!() };
    assert!(error.contains("the tool failed") && error.contains("os error"), "{error}");
    let AgentEvent::Answer { call, content, .. } = &events[failed + 1] else { panic!("its answer follows") };
    assert!(call.id == *id && !content.text().contains("os error"), "{content}");
    assert!(seen.lock().unwrap().iter().all(|prompt| !prompt.contains("os error")));
}

#[test]
fn parts_of_a_result_reach_the_host_and_the_history() {
    use mistral_tools::{Content, Image, Invocation, Reply, Resource, Tool};

    /// A tool as that of an MCP server.
    struct Remote(Content);

    impl Tool for Remote {
        fn name(&self) -> &str {
            "remote"
        }

        fn description(&self) -> &str {
            ""
        }

        fn request_schema(&self) -> Result<serde_json::Value, mistral_tools::Error> {
            Ok(serde_json::json!({"type": "object"}))
        }

        fn call(&self, _: &Invocation<'_>, _: &[u8], reply: &mut Reply) -> mistral_tools::Outcome {
            reply.set_content(self.0.clone());
            reply.set_structured(serde_json::json!({"n": 1}));
            mistral_tools::Outcome::Success
        }

        fn call_async<'a>(
            &'a self,
            invocation: &'a Invocation<'a>,
            arguments: &'a [u8],
            reply: &'a mut Reply,
        ) -> mistral_tools::CallFuture<'a> {
            mistral_tools::CallFuture::blocking(self, invocation, arguments, reply)
        }
    }

    let text =
        Content::from_iter(["See:".into(), mistral_tools::ContentPart::from(Resource::text("file:///a", "# A"))]);
    let mut seeing = text.clone();
    seeing.push(Image::bytes("image/png", *b"abc"));
    for (content, is_read) in [(text, true), (seeing, false)] {
        let seen = Arc::default();
        let turns = [hermes("remote", "{}"), "Seen.".to_owned()];
        let model = model("<tool_call>", &turns.each_ref().map(String::as_str), &seen);
        let registry = ToolRegistry::new();
        registry.add(Remote(content.clone())).unwrap();
        let mut session = crate::session::ChatSession::new();
        let answer = Agent::new(model, registry).chat(&mut session, "?").unwrap();
        let events: Vec<_> = answer.into_iter().collect();
        let structured = events.iter().position(|event| matches!(event, Ok(AgentEvent::Structured { .. }))).unwrap();
        let Ok(AgentEvent::Answer { content: told, .. }) = &events[structured + 1] else {
            panic!("its answer follows")
        };
        assert_eq!(*told, content);
        let error = events.iter().find_map(|event| event.as_ref().err());
        assert_eq!(error.is_none(), is_read, "{error:?}");
        if is_read {
            assert!(seen.lock().unwrap()[1].contains("See:[resource: file:///a]\n# A"));
        } else {
            let error = error.unwrap();
            assert!(matches!(error, Error::UnsupportedContent { message: 2, role: Role::Tool, .. }), "{error}");
        }
        let kept = session.messages().find(|(_, message)| message.role == Role::Tool).unwrap().1;
        assert_eq!(kept.content, content);
        assert_eq!(crate::session::ChatSession::load(&session.save()).unwrap(), session);
    }
}
