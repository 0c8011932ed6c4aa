use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use super::*;
use crate::{
    builder::{schema::SchemaType, steps::ToolBuilder},
    conversation::cancel::CancellationToken,
    outcome::{kinds::ErrorKind, reply::Reply, tool_error::ToolError},
    registry::{ToolBatch, ToolRegistry},
    resilience::{policy::ResiliencePolicy, retry::RetryPolicy, timeout::TimeoutPolicy},
    stream::{
        chunk::Chunk,
        emitter::{Emitter, WhenFull},
    },
    sync::park::block_on,
    tool::{Invocation, Tool},
};

const INTEGER: SchemaType::JsonSchema<&str> = SchemaType::JsonSchema(r#"{"type": "integer"}"#);

/// `count`, which emits "0;", "1;" and so on; and the same asynchronously.
fn counters(limit: usize) -> [Box<dyn Tool>; 2] {
    let described = || {
        let described = ToolBuilder::named("count").description("").request_schema::<u32>(INTEGER);
        described.result_schema::<Streamed>(SchemaType::Serde)
    };
    let sync = described().on_stream(|_, emitter, to, ()| {
        Ok((0..to).try_for_each(|number| emitter.emit_blocking(format!("{number};")))?)
    });
    let asynchronous = described().on_stream_async(async |_, emitter, to, ()| {
        for number in 0..to {
            emitter.emit(format!("{number};")).await?;
        }
        Ok(())
    });
    [Box::new(sync.stream_limit(limit).build().unwrap()), Box::new(asynchronous.stream_limit(limit).build().unwrap())]
}

#[test]
fn texts_are_cut_at_characters_and_say_what_is_missing() {
    for limit in 0..12 {
        let mut streamed = Streamed::default();
        for chunk in ["aé", "𝄞b", "", "cé"] {
            streamed.push(chunk, limit);
        }
        let whole = "aé𝄞bcé";
        assert_eq!(streamed.text(), &whole[..boundary(whole, limit)]);
        assert_eq!(streamed.left_out() as usize, whole.len() - streamed.text().len());
    }
    let mut streamed = Streamed::default();
    streamed.push("ab𝄞", 4);
    streamed.push("c", 4);
    assert_eq!(serde_json::to_string(&streamed).unwrap(), r#""ab\n[5 more bytes are left out]""#);
}

#[test]
fn chunks_are_the_result_watched_or_not() {
    for tool in counters(Streamed::LIMIT) {
        let mut reply = Reply::new();
        assert!(tool.call(&Invocation::default(), b"4", &mut reply).is_success());
        assert_eq!(reply.as_str(), "0;1;2;3;");
        // One who reads slowly holds the tool back, and gets every chunk.
        let (emitter, chunks) = Emitter::<Chunk>::bounded(1, WhenFull::Block, CancellationToken::new());
        let seen: String = std::thread::scope(|scope| {
            let reader = scope.spawn(move || chunks.map(|chunk| chunk.text).collect::<String>());
            assert!(tool.call(&Invocation::default().with_emitter(&emitter), b"200", &mut reply).is_success());
            drop(emitter);
            reader.join().unwrap()
        });
        assert_eq!(reply.as_str(), seen);
        assert!(seen.ends_with(";198;199;"));
        // Who goes away, or forgets the oldest, changes nothing for the model.
        for when_full in [WhenFull::Block, WhenFull::DropOldest] {
            let (emitter, chunks) = Emitter::<Chunk>::bounded(2, when_full, CancellationToken::new());
            if when_full == WhenFull::Block {
                chunks.close();
            }
            assert!(tool.call(&Invocation::default().with_emitter(&emitter), b"4", &mut reply).is_success());
            assert_eq!(reply.as_str(), "0;1;2;3;");
        }
    }
    for tool in counters(5) {
        let mut reply = Reply::new();
        assert!(tool.call(&Invocation::default(), b"1000000", &mut reply).is_success());
        assert_eq!(reply.as_str(), "0;1;2\n[6888885 more bytes are left out]");
        assert_eq!(tool.result_schema().unwrap().unwrap()["type"], "string");
    }
}

#[test]
fn a_queue_that_is_full_is_an_error_to_who_does_not_wait() {
    for tool in counters(Streamed::LIMIT) {
        let (emitter, _chunks) = Emitter::<Chunk>::bounded(2, WhenFull::Error, CancellationToken::new());
        let mut reply = Reply::new();
        let outcome = tool.call(&Invocation::default().with_emitter(&emitter), b"4", &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::Failed));
    }
}

#[test]
fn cancelling_wakes_a_tool_that_waits_for_a_place() {
    let [sync, asynchronous] = counters(Streamed::LIMIT);
    // The token of the emitter, then one of the call that the emitter knows nothing of.
    for of_call in [false, true] {
        let (of_emitter, own) = (CancellationToken::new(), CancellationToken::new());
        let (emitter, chunks) = Emitter::<Chunk>::bounded(1, WhenFull::Block, of_emitter.clone());
        let token = if of_call { own.clone() } else { of_emitter.child() };
        let invocation = Invocation::default().with_emitter(&emitter).with_token(&token);
        let cancel = || if of_call { own.cancel() } else { of_emitter.cancel() };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while chunks.is_empty() {
                    std::thread::yield_now();
                }
                cancel();
            });
            let outcome = sync.call(&invocation, b"9", &mut Reply::new());
            assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
        });
    }
    let (emitter, mut chunks) = Emitter::<Chunk>::bounded(1, WhenFull::Block, CancellationToken::new());
    let token = CancellationToken::new();
    let invocation = Invocation::default().with_emitter(&emitter).with_token(&token);
    let mut reply = Reply::new();
    let mut call = pin!(asynchronous.call_async(&invocation, b"9", &mut reply));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(chunks.next().unwrap().text, "0;");
    token.cancel();
    assert_eq!(block_on(call).error_kind(), Some(ErrorKind::Cancelled));
    assert!(chunks.try_next().is_err(), "a chunk of a call that was given up is not handed out");
}

/// A synchronous tool that nobody reads from is held to its limit of time.
#[test]
fn a_limit_of_time_ends_the_wait_for_a_place() {
    let [sync, _] = counters(Streamed::LIMIT);
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add_with(sync, ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(Duration::from_millis(20))));
    registry.publish(batch).unwrap();
    let (emitter, chunks) = Emitter::<Chunk>::bounded(1, WhenFull::Block, CancellationToken::new());
    let outcome = registry.call("count", &Invocation::default().with_emitter(&emitter), b"9", &mut Reply::new());
    assert_eq!((outcome.error_kind(), chunks.len()), (Some(ErrorKind::Timeout), 1));
}

#[test]
fn each_attempt_begins_anew_and_hooks_see_the_whole() {
    let tool = ToolBuilder::named("f")
        .description("")
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<Streamed>(SchemaType::Serde)
        .on_stream(|conversation, emitter, (), ()| {
            let attempt = conversation.execution().attempt();
            emitter.emit_blocking(format!("attempt {attempt}"))?;
            if attempt < 2 { Err(ToolError::failed("half way").transient()) } else { Ok(()) }
        })
        .on_error(|_, chain, _, ()| chain.retry(1))
        .on_result(|_, _, streamed, ()| Streamed::from(streamed.text().to_uppercase()))
        .build()
        .unwrap();
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    let policy = RetryPolicy::new(3).backoff(Duration::ZERO, 1, Duration::ZERO);
    batch.add_with(tool, ResiliencePolicy::new().retry(policy));
    registry.publish(batch).unwrap();
    let (emitter, chunks) = Emitter::<Chunk>::bounded(8, WhenFull::Error, CancellationToken::new());
    let mut reply = Reply::new();
    let outcome = registry.call("f", &Invocation::default().with_emitter(&emitter), b"{}", &mut reply);
    assert!(outcome.is_success(), "{reply:?}");
    assert_eq!(reply.as_str(), "ATTEMPT 2");
    drop(emitter);
    let seen: Vec<String> = chunks.map(|chunk| chunk.text).collect();
    assert!(seen.len() >= 3 && seen.last().unwrap() == "attempt 2", "{seen:?}");
}

#[test]
fn texts_from_several_threads_are_whole() {
    let tool = ToolBuilder::named("f")
        .description("")
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<Streamed>(SchemaType::Serde)
        .on_stream(|_, emitter, (), ()| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..100).try_for_each(|_| emitter.emit_blocking("[é]")));
                }
            });
            Ok(())
        })
        .build()
        .unwrap();
    let mut reply = Reply::new();
    assert!(tool.call(&Invocation::default(), b"{}", &mut reply).is_success());
    assert_eq!(reply.as_str(), "[é]".repeat(400));
}
