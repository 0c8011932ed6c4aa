//! Laws of trimming, branches and storage.

use proptest::prelude::*;

use mistral_tools::ToolCall;

use super::*;

/// A character of content is a token, a message costs two more.
fn count(messages: &[Message]) -> Result<usize, Error> {
    Ok(messages.iter().map(|message| message.content.text().len() + 2).sum())
}

/// An exchange: the user's words, rounds of calls with so many results, an answer.
type Exchanged = (u8, Vec<(u8, u8)>, u8);

fn words(length: u8) -> String {
    "w".repeat(usize::from(length))
}

fn say(session: &mut ChatSession, (user, rounds, answer): &Exchanged) {
    session.push(Message::user(words(*user)));
    for &(calls, length) in rounds {
        let ids: Vec<String> = (0..=calls % 3).map(|_| format!("{}-{}", session.nodes.len(), calls)).collect();
        let call = |id: &String| ToolCall::new("f", serde_json::json!({})).with_id(id.as_str());
        session.push(Message::assistant("").with_tool_calls(ids.iter().map(call)));
        for id in ids {
            session.push(Message::tool(id, words(length)));
        }
    }
    session.push(Message::assistant(words(*answer)));
}

/// Calls and results stand together, in order.
fn whole(messages: &[Message]) {
    let mut rest = messages.iter().filter(|message| message.role != Role::System);
    while let Some(message) = rest.next() {
        assert_ne!(message.role, Role::Tool, "{messages:?}");
        for call in &message.tool_calls {
            assert_eq!(rest.next().and_then(|result| result.tool_call_id.as_ref()), call.id.as_ref(), "{messages:?}");
        }
    }
}

fn exchanges() -> impl Strategy<Value = Vec<Exchanged>> {
    proptest::collection::vec((0u8..30, proptest::collection::vec((0u8..3, 0u8..40), 0..4), 0u8..30), 1..12)
}

proptest! {
    #[test]
    fn trimmed_prompts_fit_stay_whole_and_begin_alike(exchanges in exchanges(), budget in 0usize..600, summarise: bool) {
        let mut session = ChatSession::with_system("system");
        let mut before: Vec<Message> = Vec::new();
        for exchange in &exchanges {
            say(&mut session, exchange);
            let untouched = session.clone();
            let fitted = match summarise {
                false => session.fit(budget, count),
                true => session.fit_with_summary(budget, count, |old, going| {
                    assert!(!going.is_empty());
                    whole(going);
                    Ok(format!("{}{}", old.unwrap_or_default(), going.len()))
                }),
            };
            let prompt = session.prompt();
            whole(&prompt);
            match fitted {
                Ok(tokens) => prop_assert!(tokens == count(&prompt).unwrap() && tokens <= budget),
                Err(Error::PromptTooLong { tokens, limit, .. }) => {
                    prop_assert!(tokens > limit && limit == budget);
                    prop_assert_eq!(&session, &untouched);
                }
                Err(other) => panic!("{other}"),
            }
            // The system prompt leads; the user's last words and the last answer are there.
            prop_assert!(prompt[0].role == Role::System && prompt[0].content.text().starts_with("system"));
            let user = prompt.iter().rfind(|message| message.role == Role::User).unwrap();
            prop_assert_eq!(&user.content, &words(exchange.0));
            prop_assert_eq!(&prompt.last().unwrap().content, &words(exchange.2));
            // Nothing was reordered, nothing is lost.
            prop_assert_eq!(session.messages().count(), session.nodes.len());
            if session.dropped == untouched.dropped {
                prop_assert_eq!(&prompt[..before.len()], &before[..], "only appended, so it begins alike");
            } else {
                prop_assert!(session.dropped.is_superset(&untouched.dropped));
            }
            prop_assert_eq!(&ChatSession::load(&session.save()).unwrap(), &session);
            before = prompt;
        }
    }

    #[test]
    fn hostile_sessions_are_errors_or_sessions(text in "[\\[\\]{}\":,0-9a-z]{0,60}", at in 0usize..400, byte in 0u8..128) {
        let _ = ChatSession::load(&text);
        let mut session = ChatSession::new();
        say(&mut session, &(3, vec![(1, 2)], 4));
        let mut json = session.save().into_bytes();
        let at = at % json.len();
        json[at] = byte;
        if let Ok(mut session) = ChatSession::load(&String::from_utf8(json).unwrap()) {
            let _ = (session.prompt(), session.branches(), session.fit(5, count), session.regenerate());
        }
    }
}

#[test]
fn fitting_leaves_room_so_that_the_next_prompts_begin_alike() {
    let mut session = ChatSession::new();
    let mut changes = 0;
    for _ in 0..100 {
        say(&mut session, &(8, vec![], 8));
        let before = session.dropped.len();
        session.fit(400, count).unwrap();
        changes += usize::from(session.dropped.len() != before);
    }
    // An exchange is 20 tokens, a cut frees 100: about each fifth changes the beginning.
    assert!((10..=20).contains(&changes), "{changes}");
}

/// What an engine that keeps the keys and values of the last prompt and answer would have to compute anew, turn by turn.
#[test]
fn prompts_of_the_embedded_model_begin_with_those_before() {
    let model = crate::model::Model::embedded().unwrap();
    let tokens = |messages: &[Message]| model.tokens(messages.to_vec());
    let mut session = ChatSession::with_system("You are kind.");
    let (mut cached, mut computed, mut given): (Vec<u32>, usize, usize) = (Vec::new(), 0, 0);
    let mut usage = Usage::default();
    let said = ["Hello, who are you?", "What does a cow say?", "Tell me a story about a cat.", "Thank you!"];
    for (turn, said) in said.into_iter().enumerate() {
        session.push(Message::user(said));
        assert_eq!(session.fit(2_000, |m| Ok(tokens(m)?.len())).unwrap(), tokens(&session.prompt()).unwrap().len());
        let prompt = tokens(&session.prompt()).unwrap();
        let reused = prompt.iter().zip(&cached).take_while(|(new, old)| new == old).count();
        // All that was there before, up to the last token or two: the end of a turn may be written in another way.
        assert!(reused + 2 >= cached.len(), "turn {turn}: {reused} of {}", cached.len());
        (computed, given) = (computed + prompt.len() - reused, given + prompt.len());
        let answer =
            model.generate(crate::request::Request::chat(session.prompt()).max_tokens(40)).unwrap().complete().unwrap();
        cached = [prompt, answer.tokens].concat();
        session.record(answer.usage);
        usage.prompt_tokens += answer.usage.prompt_tokens;
        usage.generated_tokens += answer.usage.generated_tokens;
        session.push(Message::assistant(answer.text));
    }
    assert!(2 * computed < given, "{computed} of {given} tokens are new");
    assert_eq!((session.usage(), usage.prompt_tokens), (usage, given));
    assert_eq!(ChatSession::load(&session.save()).unwrap(), session);
    // Another answer to the same question: all of the prompt is there.
    let before = tokens(&session.prompt()).unwrap();
    session.regenerate().unwrap();
    assert!(cached.starts_with(&tokens(&session.prompt()).unwrap()) && before.len() > cached.len() / 2);
}

#[test]
fn edits_and_new_answers_are_branches() {
    let contents = |session: &ChatSession| session.prompt().into_iter().map(|m| m.content).collect::<Vec<_>>();
    let mut session = ChatSession::new();
    assert!(session.regenerate().is_none() && session.branches().is_empty());
    let first = session.push(Message::user("cat?"));
    let answer = session.push(Message::assistant("meow"));
    session.push(Message::user("dog?"));
    let woof = session.push(Message::assistant("woof"));
    assert_eq!(session.regenerate(), Some(MessageId(2)));
    let wuff = session.push(Message::assistant("wuff"));
    assert_eq!(contents(&session), ["cat?", "meow", "dog?", "wuff"]);
    assert_eq!(session.versions(wuff), [woof, wuff]);
    let cow = session.edit(first, "cow?").unwrap();
    assert_eq!(contents(&session), ["cow?"]);
    let moo = session.push(Message::assistant("moo"));
    assert_eq!(session.branches(), [woof, wuff, moo]);
    assert_eq!(session.versions(first), [first, cow]);
    assert_eq!(session.switch(first).unwrap(), wuff);
    assert_eq!(session.switch(woof).unwrap(), woof);
    assert_eq!(contents(&session), ["cat?", "meow", "dog?", "woof"]);
    assert!(
        matches!(session.edit(answer, "x"), Err(Error::UnknownMessage { id }) if id == answer),
        "the model's words"
    );
    assert!(matches!(session.switch(MessageId(99)), Err(Error::UnknownMessage { .. })));
    // What one branch left out is not left out of another.
    session.fit(12, count).unwrap();
    assert_eq!(contents(&session), ["dog?", "woof"]);
    session.switch(moo).unwrap();
    assert_eq!(contents(&session), ["cow?", "moo"]);
}

#[test]
fn other_versions_and_broken_sessions_are_typed_errors() {
    let mut session = ChatSession::with_system("s");
    session.push(Message::user("u"));
    let json = session.save();
    let other = json.replacen("\"version\":1", "\"version\":7", 1);
    assert!(matches!(ChatSession::load(&other), Err(Error::SessionVersion { found: 7, known: 1 })));
    for broken in [
        &json[..json.len() - 1],
        "",
        "{}",
        &json.replace("\"head\":0", "\"head\":5"),
        &json.replace("\"parent\":null", "\"parent\":0"),
        &json.replace("\"system\":", "\"sistem\":"),
    ] {
        assert!(matches!(ChatSession::load(broken), Err(Error::MalformedSession { .. })), "{broken}");
    }
}

#[test]
fn arguments_are_stored_to_the_letter() {
    let arguments = r#"{"b" : 1.10, "a":123456789012345678901234567890}"#;
    let call = ToolCall::new("f", arguments.parse::<mistral_tools::CallArguments>().unwrap()).with_id("1");
    let mut session = ChatSession::new();
    session.push(Message::assistant("").with_tool_calls([call]));
    session.push(Message::tool("1", "x"));
    let json = session.save();
    assert!(json.contains(arguments));
    assert_eq!(ChatSession::load(&json).unwrap(), session);
    // A session whose results had names instead of ids.
    let old = json.replace(r#""tool_call_id":"1""#, r#""name":"f""#);
    assert_eq!(ChatSession::load(&old).unwrap().messages().last().unwrap().1.name.as_deref(), Some("f"));
}

#[test]
fn contents_of_parts_are_stored_joined_and_edited() {
    use mistral_tools::{Content, Image};

    let image = || Image::bytes("image/png", *b"abc");
    let mut session = ChatSession::new();
    let first = session.push(Message::user(Content::from_iter(
        ["What is ".into(), image().into(), "?".into()] as [mistral_tools::ContentPart; 3]
    )));
    session.push(Message::user("Tell me."));
    let prompt = session.prompt();
    assert_eq!(prompt[0].content.to_string(), "What is [image: image/png, 3 bytes]?\n\nTell me.");
    assert_eq!((prompt.len(), prompt[0].content.parts().len()), (1, 3));
    session.edit(first, image()).unwrap();
    assert_eq!(session.prompt()[0].content, Content::from(image()));
    let stored = session.save();
    assert!(stored.contains(r#""content":"Tell me.""#), "plain text stays a string: {stored}");
    assert_eq!(ChatSession::load(&stored).unwrap(), session);
    let old = r#"{"version":1,"system":null,"nodes":[{"parent":null,"message":{"role":"user","content":"Hi"}}],"head":0,"dropped":[],"summary":null}"#;
    assert_eq!(ChatSession::load(old).unwrap().prompt(), [Message::user("Hi")]);
    let unknown = old.replace(r#""Hi""#, r#"[{"type":"input_audio"}]"#);
    let error = ChatSession::load(&unknown).unwrap_err().to_string();
    assert!(error.contains("`input_audio`"), "{error}");
}
