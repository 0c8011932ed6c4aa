use std::{
    future::{Future, poll_fn},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    builder::{
        arguments::{Borrowed, BorrowedArguments},
        schema::SchemaType,
        steps::ToolBuilder,
    },
    message::{Message, Role},
    registry::approval::Approval,
};

const TEXT: SchemaType::JsonSchema<&str> = SchemaType::JsonSchema(r#"{"type": "string"}"#);

/// Calls both ways, which must agree; what the model reads and how it ended.
fn call(tool: &dyn Tool, arguments: &str) -> (String, &'static str) {
    let invocation = Invocation::default();
    let mut replies = [Reply::new(), Reply::new()];
    let [one, two] = &mut replies;
    let outcomes = [
        tool.call(&invocation, arguments.as_bytes(), one),
        block_on(tool.call_async(&invocation, arguments.as_bytes(), two)),
    ];
    let [one, two] = outcomes.map(|outcome| match outcome {
        Outcome::Success => "success",
        Outcome::Error(error) => error.kind().name(),
        Outcome::Denied(_) => "denied",
        Outcome::Skipped(_) => "skipped",
        Outcome::Paused(_) => "paused",
    });
    let [a, b] = replies.map(|reply| reply.as_str().to_owned());
    assert_eq!((&a, one), (&b, two), "call and call_async agree");
    (a, one)
}

/// Fails as often as its number says, then gives the attempt.
fn failing(times: u32) -> crate::builder::steps::Callable<(), u32, u32, impl Invoke<(), u32, u32>> {
    ToolBuilder::named("failing")
        .description("")
        .with(times)
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<u32>(SchemaType::Serde)
        .on_invocation(|conversation, _, (), times| match conversation.execution().attempt() {
            attempt if attempt < *times => Err(ToolError::failed("not yet")),
            attempt => Ok(attempt),
        })
}

#[test]
fn errors_pass_the_hooks_in_order() {
    let plain = failing(1).build().unwrap();
    assert_eq!(call(&plain, "{}"), ("Error (failed): not yet".into(), "failed"));

    let retried = failing(3).on_error(|_, chain, _, _| chain.retry(3)).build().unwrap();
    assert_eq!(call(&retried, "{}"), ("3".into(), "success"));
    let bounded = failing(4).on_error(|_, chain, _, _| chain.retry(3)).build().unwrap();
    assert_eq!(call(&bounded, "{}").1, "failed");
    assert_eq!(call(&retried, "1").1, "invalid_arguments", "is not tried again");

    let replaced = failing(9).on_error(|_, chain, _, _| chain.retry(1)).on_error(|_, chain, _, _| chain.replace(77));
    let replaced = replaced.on_result(|_, _, result, _| result + 1).build().unwrap();
    assert_eq!(call(&replaced, "{}"), ("78".into(), "success"), "the next hook is asked when the retries are used up");

    let other = failing(9)
        .on_error(|_, chain, _, _| chain.propagate())
        .on_error(|_, chain, _, _| chain.fail(ToolError::new(ErrorKind::RateLimited, "slow down")))
        .on_error(|_, chain, error, _| {
            assert_eq!(error.kind(), ErrorKind::RateLimited);
            chain.stop_propagation()
        })
        .on_error(|_, chain, _, _| chain.replace(0))
        .build()
        .unwrap();
    assert_eq!(call(&other, "{}"), ("Error (too many calls): slow down".into(), "rate_limited"));
}

#[test]
fn permanent_errors_are_not_tried_again() {
    let calls: &'static AtomicUsize = Box::leak(Box::default());
    let tool = |permanent: bool| {
        ToolBuilder::named("f")
            .description("")
            .with(permanent)
            .request_schema::<()>(SchemaType::Serde)
            .result_schema::<()>(SchemaType::Serde)
            .on_invocation(|_, _, (), permanent| {
                calls.fetch_add(1, Ordering::Relaxed);
                let error = ToolError::from(std::io::Error::from(std::io::ErrorKind::NotFound));
                Err::<(), _>(if *permanent { error.permanent() } else { error })
            })
            .on_error(|_, chain, _, _| chain.retry(2))
            .build()
            .unwrap()
    };
    assert_eq!(call(&tool(false), "{}"), ("Error (not found): the tool failed".into(), "not_found"));
    assert_eq!(calls.swap(0, Ordering::Relaxed), 6, "three attempts, both ways");
    call(&tool(true), "{}");
    assert_eq!(calls.swap(0, Ordering::Relaxed), 2);
}

#[test]
fn calls_that_were_given_up_are_not_tried_again() {
    let token = crate::conversation::cancel::CancellationToken::new();
    let counted: &'static AtomicUsize = Box::leak(Box::default());
    let tool = ToolBuilder::named("cancel")
        .description("")
        .with(token.clone())
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<()>(SchemaType::Serde)
        .on_invocation(|_, _, (), token| {
            counted.fetch_add(1, Ordering::Relaxed);
            token.cancel();
            Err::<(), _>(ToolError::failed("interrupted"))
        })
        .on_error(|_, chain, _, _| chain.retry(9))
        .build()
        .unwrap();
    let outcome = tool.call(&Invocation::default().with_token(&token), b"{}", &mut Reply::new());
    assert_eq!((outcome.error_kind(), counted.load(Ordering::Relaxed)), (Some(ErrorKind::Failed), 1));
}

#[test]
fn results_pass_the_hooks_in_order() {
    let doubled =
        failing(0).on_result(|_, _, result, _| result + 5).on_result(|_, chain, result, _| chain.proceed(result * 2));
    assert_eq!(call(&doubled.build().unwrap(), "{}").0, "10");
    let stopped = failing(0).on_result(|_, chain, result, _| chain.stop_propagation(result)).on_result(|_, _, _, _| 1);
    assert_eq!(call(&stopped.build().unwrap(), "{}").0, "0");
    let refused = failing(0).on_result(|_, chain, _, _| chain.fail(ToolError::failed("too small")));
    let refused = refused.on_error(|_, chain, _, _| chain.replace(1)).build().unwrap();
    assert_eq!(call(&refused, "{}"), ("Error (failed): too small".into(), "failed"));
}

#[test]
fn requests_pass_the_hooks_before_the_function() {
    let calls: &'static AtomicUsize = Box::leak(Box::default());
    let tool = || {
        ToolBuilder::named("say")
            .description("")
            .request_schema::<String>(TEXT)
            .result_schema::<String>(SchemaType::Serde)
            .on_invocation(|_, _, text, ()| {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(text)
            })
    };
    let guarded = tool()
        .on_request(|_, chain, text, ()| if text == "trusted" { chain.stop_propagation() } else { chain.proceed() })
        .on_request(|_, chain, text, ()| match text.as_str() {
            "bad" => chain.deny("not that"),
            "done" => chain.skip("said already"),
            "ask" => chain.pause("Say it?"),
            _ => chain.proceed(),
        })
        .on_request(|_, chain, text, ()| if text.len() > 5 { chain.deny("too long") } else { chain.proceed() })
        .build()
        .unwrap();
    assert_eq!(call(&guarded, r#""bad""#), ("Denied: not that".into(), "denied"));
    assert_eq!(call(&guarded, r#""done""#), ("Skipped: said already".into(), "skipped"));
    assert_eq!(call(&guarded, r#""ask""#), ("Waiting for approval: Say it?".into(), "paused"));
    assert_eq!(call(&guarded, r#""too long""#).1, "denied");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(call(&guarded, r#""hi""#).0, "hi");
    assert_eq!(call(&guarded, r#""trusted""#).0, "trusted");
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
fn paused_calls_are_resumed_in_another_process() {
    let tool = || {
        ToolBuilder::named("delete")
            .description("")
            .request_schema::<String>(TEXT)
            .result_schema::<String>(SchemaType::Serde)
            .on_invocation(|conversation, _, path, ()| {
                let execution = conversation.execution();
                assert!(execution.is_approved());
                Ok(format!("{path} {:?} {}", execution.call_id(), execution.turn()))
            })
            .on_request(|_, chain, path, ()| chain.pause(format!("Delete {path}?")))
            .on_request(|_, chain, path, ()| if path == "b" { chain.deny("no longer") } else { chain.proceed() })
            .build()
            .unwrap()
    };
    let pause = |arguments: &str| {
        let invocation = Invocation::new(Conversation::new(&[]).turn(3).call_id("c7"));
        let Outcome::Paused(paused) = tool().call(&invocation, arguments.as_bytes(), &mut Reply::new()) else {
            panic!("not paused");
        };
        serde_json::to_string(&paused).unwrap()
    };
    let json = pause(r#" "a" "#);
    let paused: PausedCall = serde_json::from_str(&json).unwrap();
    assert_eq!((paused.tool(), paused.arguments(), paused.question()), ("delete", r#" "a" "#, "Delete a?"));
    let mut reply = Reply::new();
    assert!(paused.resume(&tool(), Approval::Approved, &Invocation::default(), &mut reply).is_success());
    assert_eq!(reply.as_str(), "a Some(\"c7\") 3");
    let outcome =
        block_on(paused.resume_async(&tool(), Approval::Denied("keep it".into()), &Invocation::default(), &mut reply));
    assert!(matches!(outcome, Outcome::Denied(_)));
    assert_eq!(reply.as_str(), "Denied: keep it");

    let paused: PausedCall = serde_json::from_str(&pause(r#""b""#)).unwrap();
    let outcome = paused.resume(&tool(), Approval::Approved, &Invocation::default(), &mut reply);
    assert!(matches!(outcome, Outcome::Denied(_)), "an approval does not overrule the other hooks");
}

struct Words<'a>(Vec<&'a str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Words<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Words)
    }
}

impl BorrowedArguments for Words<'static> {
    type At<'a> = Words<'a>;
}

#[test]
fn asynchronous_functions_borrow_across_waits() {
    let tool = ToolBuilder::named("join")
        .description("")
        .with(String::from("+"))
        .request_schema::<Borrowed<Words<'static>>>(SchemaType::JsonSchema("{}"))
        .result_schema::<String>(SchemaType::Serde)
        .on_invocation_async(async |conversation, _, Words(words), separator| {
            let mut waits = 0;
            poll_fn(|context| {
                waits += 1;
                context.waker().wake_by_ref();
                if waits < 3 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            let user = conversation.last(Role::User).map_or(String::new(), |message| message.content.to_string());
            Ok(words.join(separator) + &user)
        })
        .build()
        .unwrap();
    assert_eq!(call(&tool, r#"["a", "b\n", "c"]"#), ("a+b\n+c".into(), "success"));
    assert_eq!(call(&tool, r#"["a", 1]"#).1, "invalid_arguments");

    let messages = [Message::user("!"), Message::assistant("")];
    let invocation = Invocation::new(Conversation::new(&messages));
    let mut reply = Reply::new();
    let mut future = Box::pin(tool.call_async(&invocation, b"[]", &mut reply));
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending() && future.as_mut().poll(&mut context).is_pending());
    assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(Outcome::Success)));
    assert!(future.as_mut().poll(&mut context).is_pending(), "a future that has ended says no more");
    drop(future);
    assert_eq!(reply.as_str(), "!");
    assert_eq!(
        block_on(tool.invoke(&Conversation::default(), &ChunkEmitter::silent(), Words(vec!["x"]))).unwrap(),
        "x"
    );
}

#[test]
fn what_json_cannot_carry_is_an_error_of_the_tool() {
    let tool = ToolBuilder::named("map")
        .description("")
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<std::collections::BTreeMap<(u8, u8), u8>>(SchemaType::JsonSchema("{}"))
        .on_invocation(|_, _, (), ()| Ok([((1, 2), 3)].into()))
        .build()
        .unwrap();
    assert_eq!(call(&tool, "{}"), ("Error (failed): the tool failed".into(), "failed"));
}

#[test]
fn building_checks_names_and_texts() {
    let build = |name: &'static str, request: &'static str, result: &'static str| {
        ToolBuilder::named(name)
            .description("")
            .request_schema::<()>(SchemaType::JsonSchema(request))
            .result_schema::<()>(SchemaType::JsonSchema(result))
            .on_invocation(|_, _, (), ()| Ok(()))
            .build()
            .map(|tool| tool.spec().unwrap().name().to_owned())
    };
    assert_eq!(build("f", "{}", "{}").as_deref(), Ok("f"));
    assert_eq!(build("f g", "{}", "{}").as_deref(), Ok("f_g"), "an alias");
    assert_eq!(build("", "{}", "{}"), Err(Error::Name { name: String::new() }));
    assert_eq!(build("f", "[]", "{}"), Err(Error::Parameters { name: "f".into() }));
    assert_eq!(build("f", "{}", "x"), Err(Error::Parameters { name: "f".into() }));
}
