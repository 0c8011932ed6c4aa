//! Sessions that an agent drives: kept in step, through errors, cancellations, drops, approvals and full contexts.

use super::*;
use crate::session::ChatSession;

fn kept(session: &ChatSession) -> Vec<Message> {
    session.messages().map(|(_, message)| message.clone()).collect()
}

fn contents(session: &ChatSession) -> Vec<String> {
    kept(session).into_iter().map(|message| message.content.to_string()).collect()
}

fn adding(turns: &[&str]) -> Agent {
    agent("<tool_call>", turns)
}

fn sum() -> String {
    hermes("add", r#"{"a": 2, "b": 40}"#)
}

#[test]
fn a_session_is_answered_in_one_line_and_kept() {
    let seen = Arc::default();
    let model = model("<tool_call>", &[&sum(), "42.", "You are welcome."], &seen);
    let agent = Agent::new(model, registry()).constrain(false);
    let mut session = ChatSession::new();
    let first = agent.chat(&mut session, "2 + 40?").unwrap().complete().unwrap();
    assert_eq!((first.text.as_str(), first.stop), ("42.", AgentStop::Answered));
    assert_eq!(kept(&session)[1..], first.messages);
    let second = agent.chat(&mut session, Message::user("Thanks!")).unwrap().complete().unwrap();
    assert_eq!(contents(&session), ["2 + 40?", "", "42", "42.", "Thanks!", "You are welcome."]);
    whole(&kept(&session));
    let spent = [first.usage, second.usage];
    assert_eq!(session.usage().prompt_tokens, spent.iter().map(|usage| usage.prompt_tokens).sum::<usize>());
    assert_eq!(session.usage().generated_tokens, spent.iter().map(|usage| usage.generated_tokens).sum::<usize>());
    let seen = seen.lock().unwrap();
    assert!(seen[2].starts_with(seen[1].as_str()), "the prompt goes on where the last one ended");
    assert_eq!(ChatSession::load(&session.save()).unwrap(), session);
}

#[test]
fn events_come_while_the_session_is_kept() {
    let agent = adding(&[&sum(), "42."]);
    let mut session = ChatSession::new();
    let mut run = agent.chat(&mut session, "2 + 40?").unwrap();
    let mut lengths = Vec::new();
    while let Some(event) = run.iter().next() {
        if let AgentEvent::Answer { .. } | AgentEvent::Usage { .. } | AgentEvent::Finished(_) = event.unwrap() {
            lengths.push(run.session().messages().count());
            whole(&kept(run.session()));
        }
    }
    // The call and its result come together.
    assert_eq!(lengths, [1, 1, 4, 4]);
}

#[test]
fn errors_cancellations_and_drops_lose_nothing() {
    // The template takes no long conversations: the second turn fails.
    let marks = "<tool_call> #}{% if messages | length > 2 %}{{ raise_exception('no tools here') }}{% endif %}{#";
    let mut session = ChatSession::new();
    assert!(agent(marks, &[&sum()]).chat(&mut session, "2 + 40?").unwrap().complete().is_err());
    assert_eq!(contents(&session), ["2 + 40?", "", "42"]);
    whole(&kept(&session));
    assert!(session.usage().generated_tokens > 0);
    // Asked again, without another word of the user.
    let answer = adding(&["42."]).chat(&mut session, []).unwrap().complete().unwrap();
    assert_eq!((answer.text.as_str(), contents(&session).len()), ("42.", 4));

    // Dropped while the model speaks.
    let talker = agent("", &[&"word ".repeat(700)]);
    let mut run = talker.chat(&mut session, "Talk!").unwrap();
    while !matches!(run.iter().next(), Some(Ok(AgentEvent::Text(_)))) {}
    drop(run);
    let last = kept(&session).pop().unwrap();
    assert!(last.role == Role::Assistant && last.content.text().starts_with('w'), "{last:?}");

    // Dropped, and cancelled, while a tool runs.
    for cancel in [false, true] {
        let sleeper = adding(&[&hermes("sleep", "{}"), "never said"]);
        let mut run = sleeper.chat(&mut session, "Sleep!").unwrap();
        while !matches!(run.iter().next(), Some(Ok(AgentEvent::Call(_)))) {}
        if cancel {
            run.cancel();
            assert_eq!(run.complete().unwrap().stop, AgentStop::Cancelled);
        } else {
            drop(run);
        }
        let last = kept(&session).pop().unwrap();
        assert!(last.role == Role::Tool && last.content.text().starts_with("Error (cancelled)"), "{last:?}");
        whole(&kept(&session));
    }
    // Dropped when one call has ended, and its answer was not read.
    let calls = [hermes("add", r#"{"a": 1, "b": 1}"#), hermes("fail", "{}"), hermes("sleep", "{}")].join("\n");
    let busy = adding(&[&calls, "never said"]).limits(AgentLimits::default().parallel_calls(1));
    let mut run = busy.chat(&mut session, "Work!").unwrap();
    while !matches!(run.iter().next(), Some(Ok(AgentEvent::Answer { .. }))) {}
    drop(run);
    let results = kept(&session).split_off(session.messages().count() - 3);
    assert_eq!(results[0].content, "2");
    assert!(results[2].content.text().starts_with("Error (cancelled)"), "{results:?}");
    whole(&kept(&session));
    // Dropped before anything was read: the question is there.
    drop(talker.chat(&mut session, "Well?").unwrap());
    assert_eq!(contents(&session).pop().unwrap(), "Well?");
}

#[test]
fn a_chat_that_cannot_begin_leaves_the_session_as_it_was() {
    let agent = adding(&["x"]);
    let mut session = ChatSession::with_system("Be kind.");
    session.extend([Message::user("Hi"), Message::assistant("Hello")]);
    let before = session.clone();
    assert!(matches!(agent.chat(&mut session, "word ".repeat(1000)), Err(Error::PromptTooLong { .. })));
    let unknown = agent.clone().tool_choice(ToolChoice::Named("nobody".into()));
    assert!(matches!(unknown.chat(&mut session, "x".repeat(3_000)), Err(Error::UnknownTool { .. })));
    assert!(matches!(agent.resume_chat(&mut session, |_| Approval::Approved), Err(Error::SessionNotSuspended)));
    assert_eq!(session, before);
    let mut empty = ChatSession::new();
    assert!(matches!(agent.chat(&mut empty, []), Err(Error::EmptyPrompt)));
    assert_eq!(empty, ChatSession::new());
}

#[test]
fn messages_of_the_user_after_a_failure_are_one_for_the_template() {
    // As many templates do, it refuses two messages of the user in a row.
    let marks = "#}{% for m in messages %}{% if not loop.first and m.role == 'user' and messages[loop.index0 - 1].role == 'user' %}\
        {{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}{#";
    let agent = agent(marks, &["Yes."]);
    let mut session = ChatSession::new();
    drop(agent.chat(&mut session, "Are you").unwrap());
    assert_eq!(agent.chat(&mut session, "there?").unwrap().complete().unwrap().text, "Yes.");
    assert_eq!(contents(&session), ["Are you", "there?", "Yes."], "both are kept");
    assert_eq!(session.prompt()[0].content, "Are you\n\nthere?");
}

#[test]
fn a_long_conversation_is_trimmed_to_leave_room() {
    let answer = "word ".repeat(60);
    let seen = Arc::default();
    let turns = vec![answer.as_str(); 30];
    let agent = Agent::new(model("", &turns, &seen), ToolRegistry::new()).instructions("Talk.");
    let mut session = ChatSession::new();
    for turn in 0..30 {
        let said = agent.chat(&mut session, format!("Question {turn}?")).unwrap().complete().unwrap();
        assert_eq!((said.stop, said.text.as_str()), (AgentStop::Answered, answer.as_str()), "turn {turn}");
    }
    assert_eq!(session.messages().count(), 60, "trimmed messages are kept");
    assert!(session.prompt().len() < 40);
    assert!(seen.lock().unwrap().iter().all(|prompt| prompt.len() <= 4096 / 4 * 3));
}

#[test]
fn approvals_are_kept_with_the_session() {
    let gated = |turns: &[&str]| {
        let registry = ToolRegistry::new().with_gate(|_, chain, _, _| chain.pause("May I?"));
        registry.publish(tools()).unwrap();
        Agent::new(model("<tool_call>", turns, &Arc::default()), registry).constrain(false)
    };
    let mut session = ChatSession::new();
    let answer = gated(&[&sum()]).chat(&mut session, "2 + 40?").unwrap().complete().unwrap();
    assert_eq!((answer.stop, answer.suspended), (AgentStop::Paused, None), "the session has it");
    whole(&kept(&session));
    assert_eq!(session.suspended().unwrap().paused().count(), 1);
    let busy = gated(&["x"]).chat(&mut session, "And?").map(drop);
    assert!(matches!(busy, Err(Error::SessionSuspended { calls: 1 })));

    // Elsewhere, later, twice: approved, and denied.
    let stored = session.save();
    for (approval, result) in [(Approval::Approved, "42"), (Approval::Denied("no".into()), "Denied: no")] {
        let mut session = ChatSession::load(&stored).unwrap();
        let spent = session.usage().generated_tokens;
        let agent = gated(&["So it is."]);
        let answer = agent.resume_chat(&mut session, |_| approval.clone()).unwrap().complete().unwrap();
        assert_eq!((answer.text.as_str(), answer.stop), ("So it is.", AgentStop::Answered));
        assert_eq!(contents(&session), ["2 + 40?", "", result, "So it is."]);
        whole(&kept(&session));
        assert_eq!(session.usage().generated_tokens, spent + "So it is.".len() + 1);
        assert!(session.suspended().is_none());
    }
    // On another branch nothing waits; the exchange stays with its own.
    let (head, mut other) = (session.head().unwrap(), session.clone());
    other.edit(head, "2 + 41?").unwrap();
    assert!(other.suspended().is_none());
    assert_eq!(gated(&["43."]).chat(&mut other, []).unwrap().complete().unwrap().text, "43.");
    other.switch(head).unwrap();
    assert!(other.take_suspended().is_some() && other.suspended().is_none());
    assert_eq!(gated(&["Never mind."]).chat(&mut other, "Stop.").unwrap().complete().unwrap().text, "Never mind.");
    // A suspended exchange that contradicts itself is no session.
    let broken = stored.replacen("\"given\":1", "\"given\":9", 1);
    assert!(broken != stored && matches!(ChatSession::load(&broken), Err(Error::MalformedSession { .. })));
}

#[test]
fn results_that_were_shortened_are_shortened_in_the_session() {
    let long = ToolBuilder::named("long")
        .description("")
        .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
        .result_schema::<String>(SchemaType::Serde)
        .on_invocation(|_, _, Nothing {}, ()| Ok("x".repeat(9_000)))
        .build()
        .unwrap();
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(long);
    registry.publish(batch).unwrap();
    let call = hermes("long", "{}");
    let turns = [call.as_str(), &call, &call, "Long."];
    let agent = Agent::new(model("<tool_call>", &turns, &Arc::default()), registry).constrain(false);
    let mut session = ChatSession::new();
    let answer = agent.chat(&mut session, "Well?").unwrap().complete().unwrap();
    assert_eq!(answer.text, "Long.");
    assert_eq!(kept(&session)[1..], answer.messages, "the session has what the model read last");
}

#[test]
fn chats_run_on_executors() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = runtime.block_on(async {
        let mut session = ChatSession::new();
        let agent = adding(&[&sum(), "42."]);
        let mut run = agent.chat(&mut session, "2 + 40?").unwrap();
        let mut text = String::new();
        while let Some(event) =
            std::future::poll_fn(|task| futures_core::Stream::poll_next(std::pin::Pin::new(&mut run), task)).await
        {
            if let AgentEvent::Text(piece) = event.unwrap() {
                text += &piece;
            }
        }
        drop(run);
        assert_eq!(session.messages().count(), 4);
        text
    });
    assert_eq!(text.trim(), "42.");
}
