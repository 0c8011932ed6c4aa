//! The whole way from text to text with the model inside the crate: what the engine promises must hold over real arithmetic.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::time::{Duration, Instant};

use mistral_core::quant::KvFormat;
use mistral_core::{Error, FinishReason, Generation, MemorySetting, Message, Model, Request};

/// Requests of different kinds, all reproducible.
fn requests() -> Vec<Request> {
    let starts =
        ["Once upon a time", "One day, a little", "The cat and the dog", "Tom was sad because", "In the garden"];
    let text = starts.iter().enumerate().map(|(i, start)| match i {
        0 | 1 => Request::new(*start).max_tokens(40),
        _ => Request::new(*start).temperature(0.9).top_p(0.95).repetition_penalty(1.1).seed(i as u64).max_tokens(40),
    });
    text.chain([Request::chat([Message::user("Hello! Tell me a story.")]).max_tokens(40)]).collect()
}

/// Texts of all requests, begun at once.
fn together(model: &Model) -> Result<Vec<String>, Error> {
    let begun = requests().into_iter().map(|request| model.generate(request));
    begun.collect::<Result<Vec<_>, _>>()?.into_iter().map(Generation::text).collect()
}

#[test]
fn the_text_does_not_depend_on_company_chunks_threads_or_preemption() {
    let model = Model::builder().embedded().threads(1).load().unwrap();
    let alone: Vec<String> = requests().into_iter().map(|r| model.generate(r).unwrap().text().unwrap()).collect();
    assert!(alone.iter().all(|text| text.len() > 20), "{alone:?}");
    assert_eq!(together(&model).unwrap(), alone);
    let ready = || Model::builder().embedded();
    let narrow = ready().threads(2).max_batch_tokens(3).max_sequences(3).load().unwrap();
    assert_eq!(together(&narrow).unwrap(), alone);
    let small = ready().threads(2).block_tokens(4).kv_tokens(160).load().unwrap();
    assert_eq!(together(&small).unwrap(), alone);
    let metrics = small.metrics();
    assert!(metrics.preemptions > 0, "{metrics:?}");
    assert_eq!(metrics.free_blocks, metrics.blocks);
}

#[test]
fn a_budget_is_held_before_loading() {
    match Model::builder().embedded().memory_budget(1_000_000).load() {
        Err(Error::OutOfMemoryBudget { needed, weights, kv, workspace, budget: 1_000_000, fitting }) => {
            assert!(fitting.is_empty(), "the weights alone are more");
            assert_eq!(needed, weights + kv + workspace);
            assert!(weights > 1_000_000 && kv > 0 && workspace > 0);
            let model = Model::builder().embedded().memory_budget(needed).load().unwrap();
            assert_eq!(model.generate(Request::new("Once").max_tokens(3)).unwrap().complete().unwrap().tokens.len(), 3);
            assert!(Model::builder().embedded().memory_budget(needed - 1).load().is_err());
        }
        other => panic!("{other:?}"),
    }
    let builder = || {
        let builder = Model::builder().embedded().context_length(64).max_sequences(1).kv_format(KvFormat::Q8_0);
        builder.memory_budget(5_000_000)
    };
    match builder().load().unwrap_err() {
        Error::OutOfMemoryBudget { fitting, .. } => match fitting.as_slice() {
            &[MemorySetting::MaxBatchTokens(tokens)] => {
                builder().max_batch_tokens(tokens).load().unwrap();
                assert!(builder().max_batch_tokens(tokens + 1).load().is_err());
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_can_go_wrong_with_a_request_leaves_the_model_serving() {
    let model = Model::builder().embedded().queue_capacity(0).max_sequences(2).load().unwrap();
    let long = "story ".repeat(20_000);
    assert!(matches!(model.generate(""), Err(Error::EmptyPrompt)));
    assert!(matches!(model.generate(long), Err(Error::PromptTooLong { .. })));
    assert!(matches!(model.generate(vec![u32::MAX]), Err(Error::TokenOutOfRange { token: u32::MAX, .. })));
    assert!(matches!(model.generate(Request::new("a").temperature(-1.0)), Err(Error::InvalidParameter { .. })));
    assert!(matches!(model.generate(Request::new("a").deadline(Instant::now())), Err(Error::DeadlinePassed)));
    let endless = || Request::new("Once upon a time").ignore_eos(true);
    let mut first = model.generate(endless()).unwrap();
    let second = model.generate(endless().deadline(Instant::now() + Duration::from_millis(30))).unwrap();
    assert!(matches!(model.generate("a"), Err(Error::QueueFull { capacity: 2 })));
    first.iter().next().unwrap().unwrap();
    drop(first);
    let second = second.complete().unwrap();
    assert!(matches!(second.reason, FinishReason::Deadline | FinishReason::Length));
    let start = Instant::now();
    while model.metrics().running > 0 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(model.generate(Request::new("Once").max_tokens(2)).unwrap().complete().unwrap().tokens.len(), 2);
}

#[test]
fn absurd_options_are_errors_or_work() {
    let ready = || Model::builder().embedded();
    for tokens in [usize::MAX, usize::MAX / 2, 1 << 50] {
        assert!(ready().kv_tokens(tokens).load().is_err(), "{tokens} slots");
        assert!(ready().block_tokens(tokens).load().is_err(), "blocks of {tokens}");
        let builder =
            ready().max_batch_tokens(tokens).max_sequences(tokens).queue_capacity(tokens).context_length(tokens);
        let error = builder.memory_budget(1 << 40).load().unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { name: "context_length", .. }), "{error}");
        let builder = ready().max_batch_tokens(tokens).max_sequences(tokens).queue_capacity(tokens);
        assert!(matches!(builder.memory_budget(1 << 40).load(), Ok(_) | Err(Error::OutOfMemoryBudget { .. })));
    }
    let model =
        ready().max_batch_tokens(usize::MAX).max_sequences(usize::MAX).queue_capacity(usize::MAX).load().unwrap();
    let answer = model.generate(Request::new("Once").max_tokens(3)).unwrap().complete().unwrap();
    assert_eq!(answer.tokens.len(), 3);
    let tiny = ready().kv_tokens(1).block_tokens(1).load().unwrap();
    assert!(matches!(tiny.generate(vec![1]), Err(Error::PromptTooLong { tokens: 1, limit: 0, .. })));
}
