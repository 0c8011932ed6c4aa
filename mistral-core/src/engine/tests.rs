//! The engine over scripted models, stepped by hand; the invariants are checked after every call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::event::{TextPiece, Usage};
use crate::sample::rng::Rng;
use crate::testing::*;

const LIMITS: Limits = Limits { max_sequences: 4, queue_capacity: 8, max_batch_tokens: 16 };

fn engine(script: Script) -> Engine {
    with_pool(script, 32, LIMITS)
}

fn with_pool(script: Script, blocks: usize, limits: Limits) -> Engine {
    Engine::new(Box::new(Scripted::new(64, blocks, 4, script)), byte_text(), limits, 0)
}

/// A model whose logits depend on everything that could differ between two ways of computing the same sequence.
fn sensitive(blocks: usize, limits: Limits) -> Engine {
    let mut model = Scripted::new(64, blocks, 4, babbles());
    model.sees_lengths = true;
    Engine::new(Box::new(model), byte_text(), limits, 0)
}

/// No block is lost, shared or given twice; running sequences hold exactly the blocks of their tokens.
fn check(engine: &Engine) {
    let mut seen = BTreeSet::new();
    let mut last = None;
    for (index, sequence) in engine.scheduler.iter().enumerate() {
        assert!(last < Some(sequence.id), "arrival order");
        last = Some(sequence.id);
        let mut own = |group| sequence.held.blocks(group).iter().all(|&block| seen.insert((group, block)));
        assert!(own(0) && own(1), "a block belongs to two sequences");
        assert!(sequence.pending() >= 1);
        if index < engine.scheduler.running() {
            let slots = sequence.held.positions(0, 4);
            assert!(slots >= sequence.computed && slots + 1 >= sequence.tokens.len());
        } else {
            assert!(sequence.held.is_empty() && sequence.computed == 0, "a waiting sequence holds nothing");
        }
    }
    assert_eq!(seen.len() + engine.pools.free(), engine.pools.total());
    assert!(engine.scheduler.running() <= LIMITS.max_sequences);
}

#[test]
fn a_window_changes_nothing_but_the_blocks_that_are_held() {
    let now = Instant::now();
    let texts = |model: Scripted| {
        let mut engine = Engine::new(Box::new(model), byte_text(), LIMITS, 0);
        for seed in 0..8 {
            engine.submit(Request::new("abc").temperature(1.0).max_tokens(40).seed(seed), now).unwrap();
        }
        let texts: Vec<String> = run(&mut engine, now).into_values().map(|outcome| outcome.text).collect();
        (texts, engine.metrics().preemptions)
    };
    let (usual, _) = texts(Scripted::new(64, 64, 4, babbles()));
    let (windowed, _) = texts(Scripted::new(64, 64, 4, babbles()).window(5, 30));
    let (crowded, preemptions) = texts(Scripted::new(64, 64, 4, babbles()).window(13, 9));
    assert_eq!((&usual, &usual), (&windowed, &crowded));
    assert!(preemptions > 0, "9 blocks hold one sequence at its widest, not four");
}

/// What came of a sequence.
#[derive(Debug, Clone, Default)]
struct Outcome {
    text: String,
    tokens: Vec<u32>,
    pieces: Vec<TextPiece>,
    end: Option<Result<(FinishReason, Usage), String>>,
}

fn drain(engine: &mut Engine, outcomes: &mut BTreeMap<SequenceId, Outcome>) {
    while let Some(event) = engine.poll_event() {
        let outcome = outcomes.entry(event.sequence).or_default();
        assert!(outcome.end.is_none(), "an event after the end of {}", event.sequence);
        match event.kind {
            EventKind::Piece(piece) => {
                outcome.text += &piece.text;
                outcome.tokens.extend(&piece.tokens);
                outcome.pieces.push(piece);
            }
            EventKind::Finished { reason, usage } => outcome.end = Some(Ok((reason, usage))),
            EventKind::Failed(error) => outcome.end = Some(Err(error.to_string())),
        }
    }
}

/// Steps until idle; every step must do something.
fn run(engine: &mut Engine, now: Instant) -> BTreeMap<SequenceId, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut steps = 0;
    while !engine.is_idle() {
        assert!(matches!(engine.step(now), EngineStep::Ran { tokens } if tokens <= LIMITS.max_batch_tokens));
        check(engine);
        drain(engine, &mut outcomes);
        steps += 1;
        assert!(steps < 10_000, "no progress");
    }
    assert_eq!(engine.step(now), EngineStep::Idle);
    drain(engine, &mut outcomes);
    assert_eq!(engine.pools.free(), engine.pools.total());
    outcomes
}

fn one(mut engine: Engine, request: Request) -> Outcome {
    let now = Instant::now();
    let id = engine.submit(request, now).unwrap();
    run(&mut engine, now).remove(&id).unwrap()
}

fn reason(outcome: &Outcome) -> FinishReason {
    outcome.end.clone().unwrap().unwrap().0
}

#[test]
fn text_comes_in_pieces_and_ends_with_the_end_token() {
    let outcome = one(engine(says(2, "héllo")), Request::new("ab"));
    assert_eq!(outcome.text, "héllo");
    assert_eq!(outcome.tokens, "héllo".bytes().map(u32::from).collect::<Vec<_>>());
    let pieces: Vec<(&str, usize)> = outcome.pieces.iter().map(|p| (p.text.as_str(), p.tokens.len())).collect();
    assert_eq!(pieces, [("h", 1), ("é", 2), ("l", 1), ("l", 1), ("o", 1)], "a character is never split");
    assert_eq!(outcome.end, Some(Ok((FinishReason::EndOfText(END), Usage { prompt_tokens: 2, generated_tokens: 7 }))));
}

#[test]
fn stop_strings_end_the_text_before_them_across_tokens() {
    let request = || Request::new("ab").stop("world").stop("xyz");
    let outcome = one(engine(says(2, "hello world!")), request());
    assert_eq!((outcome.text.as_str(), reason(&outcome)), ("hello ", FinishReason::StopString(0)));
    let outcome = one(engine(says(2, "hello world!")), request().include_stop(true));
    assert_eq!(outcome.text, "hello world");
    let outcome = one(engine(says(2, "hello wor")), request());
    assert_eq!((outcome.text.as_str(), reason(&outcome)), ("hello wor", FinishReason::EndOfText(END)));
    let outcome = one(engine(says(2, "hello wor")), request().max_tokens(8));
    assert_eq!((outcome.text.as_str(), reason(&outcome)), ("hello wo", FinishReason::Length));
}

#[test]
fn lengths_stop_tokens_and_end_tokens() {
    let forever = || says(2, &"a".repeat(100));
    let outcome = one(engine(forever()), Request::new("ab").max_tokens(5));
    assert_eq!((outcome.text.as_str(), reason(&outcome)), ("aaaaa", FinishReason::Length));
    let outcome = one(engine(forever()), Request::new("ab"));
    assert_eq!((outcome.text.len(), reason(&outcome)), (62, FinishReason::Length), "the context has 64 positions");
    let outcome = one(engine(says(2, "hello")), Request::new("ab").stop_token(b'l'.into()));
    assert_eq!((outcome.text.as_str(), reason(&outcome)), ("he", FinishReason::StopToken(b'l'.into())));
    let outcome = one(engine(says(2, "hi")), Request::new("ab").ignore_eos(true).max_tokens(4).special_text(true));
    assert_eq!(outcome.text, "hi<end><end>");
    let outcome = one(engine(says(2, "hi")), Request::new("ab").ignore_eos(true).max_tokens(4));
    assert_eq!(
        (outcome.text.as_str(), outcome.tokens.len()),
        ("hi", 4),
        "tokens without text come with the last piece"
    );
}

#[test]
fn a_small_cache_limits_the_context() {
    let mut engine = with_pool(babbles(), 3, LIMITS);
    assert_eq!(engine.context_length(), 12);
    let now = Instant::now();
    let error = engine.submit(Request::new(vec![97; 12]), now).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { tokens: 12, limit: 11, tools: 0 }));
    let id = engine.submit(Request::new(vec![97; 11]).ignore_eos(true), now).unwrap();
    assert_eq!(run(&mut engine, now)[&id].tokens.len(), 1);
}

#[test]
fn bad_requests_are_refused_at_once_and_change_nothing() {
    let now = Instant::now();
    let mut engine = engine(says(2, "fine"));
    let ok = || Request::new("ab");
    let late = now.checked_sub(Duration::from_secs(1)).unwrap();
    let parameter = |name: &'static str, request: Request, engine: &mut Engine| match engine.submit(request, now) {
        Err(Error::InvalidParameter { name: found, .. }) => assert_eq!(found, name),
        other => panic!("{name}: {other:?}"),
    };
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        parameter("temperature", ok().temperature(value), &mut engine);
        parameter("top_p", ok().top_p(value), &mut engine);
        parameter("min_p", ok().min_p(value), &mut engine);
        parameter("repetition_penalty", ok().repetition_penalty(value), &mut engine);
    }
    parameter("repetition_penalty", ok().repetition_penalty(0.0), &mut engine);
    parameter("presence_penalty", ok().presence_penalty(f32::NAN), &mut engine);
    parameter("frequency_penalty", ok().frequency_penalty(f32::NEG_INFINITY), &mut engine);
    parameter("logit_bias", ok().logit_bias(0, f32::NAN), &mut engine);
    parameter("max_tokens", ok().max_tokens(0), &mut engine);
    parameter("stop", ok().stop(""), &mut engine);
    parameter("logprobs", ok().logprobs(VOCAB + 1), &mut engine);
    let mut refused = |request: Request| engine.submit(request, now).unwrap_err();
    assert!(matches!(refused(Request::new("")), Error::EmptyPrompt));
    assert!(matches!(refused(Request::new(Vec::<u32>::new())), Error::EmptyPrompt));
    assert!(matches!(refused(Request::chat([])), Error::EmptyPrompt));
    assert!(matches!(refused(Request::chat([mistral_tools::Message::user("hi")])), Error::NoChatTemplate));
    assert!(matches!(refused(Request::new("a".repeat(64))), Error::PromptTooLong { tokens: 64, limit: 63, tools: 0 }));
    assert!(matches!(refused(Request::new(vec![1, 257])), Error::TokenOutOfRange { token: 257, vocab_size: 257 }));
    assert!(matches!(refused(ok().stop_token(300)), Error::TokenOutOfRange { token: 300, .. }));
    assert!(matches!(refused(ok().logit_bias(300, 1.0)), Error::TokenOutOfRange { token: 300, .. }));
    assert!(matches!(refused(ok().deadline(late)), Error::DeadlinePassed));
    assert!(matches!(refused(ok().deadline(now)), Error::DeadlinePassed));
    assert!(engine.is_idle() && engine.poll_event().is_none());
    assert_eq!(one(engine, ok()).text, "fine");
}

#[test]
fn a_full_queue_refuses_until_something_ends() {
    let now = Instant::now();
    let mut engine = engine(babbles());
    let ids: Vec<SequenceId> = (0..12).map(|_| engine.submit(Request::new("ab"), now).unwrap()).collect();
    assert!(matches!(engine.submit(Request::new("ab"), now), Err(Error::QueueFull { capacity: 12 })));
    assert!(engine.cancel(ids[11]) && !engine.cancel(ids[11]));
    engine.submit(Request::new("ab"), now).unwrap();
    assert!(engine.submit(Request::new("ab"), now).is_err());
    let outcomes = run(&mut engine, now);
    assert_eq!(outcomes.len(), 13);
    assert!(outcomes.values().all(|o| matches!(o.end, Some(Ok(_)))));
}

#[test]
fn a_deadline_and_a_cancellation_free_blocks_at_once() {
    let now = Instant::now();
    let mut engine = engine(says(2, &"a".repeat(60)));
    let late = engine.submit(Request::new("ab").deadline(now + Duration::from_secs(5)), now).unwrap();
    let cancelled = engine.submit(Request::new("ab"), now).unwrap();
    let other = engine.submit(Request::new("ab"), now).unwrap();
    for _ in 0..4 {
        engine.step(now + Duration::from_secs(4));
        check(&engine);
    }
    let held = engine.pools.total() - engine.pools.free();
    assert_eq!(held, 6, "three sequences with five computed tokens, four a block");
    assert!(engine.cancel(cancelled));
    assert_eq!(engine.pools.total() - engine.pools.free(), 4);
    engine.step(now + Duration::from_secs(5));
    check(&engine);
    assert_eq!(engine.pools.total() - engine.pools.free(), 2);
    let outcomes = run(&mut engine, now);
    assert_eq!(reason(&outcomes[&late]), FinishReason::Deadline);
    assert_eq!(reason(&outcomes[&cancelled]), FinishReason::Cancelled);
    assert_eq!((outcomes[&late].text.as_str(), outcomes[&cancelled].text.as_str()), ("aaaa", "aaaa"));
    assert_eq!(outcomes[&other].text.len(), 60);
}

#[test]
fn a_failing_forward_pass_fails_its_batch_and_nothing_else() {
    let now = Instant::now();
    let model = Scripted::new(64, 32, 4, says(2, "fine"));
    let broken = model.broken.clone();
    let mut engine = Engine::new(Box::new(model), byte_text(), LIMITS, 0);
    let ids: Vec<SequenceId> = (0..6).map(|_| engine.submit(Request::new("ab"), now).unwrap()).collect();
    engine.step(now);
    broken.store(true, Ordering::Relaxed);
    assert_eq!(engine.step(now), EngineStep::Ran { tokens: 4 });
    check(&engine);
    broken.store(false, Ordering::Relaxed);
    let outcomes = run(&mut engine, now);
    for id in &ids[..4] {
        assert_eq!(outcomes[id].end, Some(Err("batch: broken by the test".into())));
    }
    for id in &ids[4..] {
        assert_eq!(outcomes[id].text, "fine");
    }
}

#[test]
fn unusable_logits_fail_their_sequence_only() {
    let now = Instant::now();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut engine = engine(Box::new(move |seen| {
            let mut logits = certain(if seen.len() < 6 { 97 } else { END });
            if seen[0] == u32::from(b'x') && seen.len() == 4 {
                logits[5] = bad;
            }
            logits
        }));
        let ill = engine.submit(Request::new("xb").temperature(1.0), now).unwrap();
        let well = engine.submit(Request::new("ab").temperature(1.0), now).unwrap();
        let outcomes = run(&mut engine, now);
        assert_eq!(outcomes[&ill].text, "aa");
        let message = outcomes[&ill].end.clone().unwrap().unwrap_err();
        assert_eq!(message, format!("the logit of token 5 is {bad}: nothing can be sampled"));
        assert_eq!(outcomes[&well].text, "aaaa");
    }
}

#[test]
fn logprobs_come_with_their_tokens() {
    let request = Request::new("ab").logprobs(2).temperature(2.0).seed(1).logit_bias(98, 30.0).max_tokens(3);
    let outcome = one(engine(says(2, "aaa")), request);
    assert_eq!(outcome.text, "bbb", "the bias chooses");
    for piece in &outcome.pieces {
        assert_eq!(piece.logprobs.len(), piece.tokens.len());
        let logprobs = &piece.logprobs[0];
        let rest = 256.0 * (-20f64).exp();
        assert!((f64::from(logprobs.chosen) - (-20.0 - rest)).abs() < 1e-5, "of the raw logits: {logprobs:?}");
        assert_eq!(logprobs.top.len(), 2);
        assert_eq!((logprobs.top[0].token, logprobs.top[1].token), (97, 0));
    }
}

/// Requests that use everything that could leak between sequences.
fn mixed(index: usize) -> Request {
    let mut rng = Rng::new(index as u64);
    let mut below = |n: usize| (rng.bits() % n as u64) as usize;
    let prompt: Vec<u32> = (0..1 + below(30)).map(|_| 97 + below(26) as u32).collect();
    let request = Request::new(prompt).seed(index as u64 * 31).max_tokens(1 + below(33));
    match index % 4 {
        0 => request,
        1 => request.temperature(1.0).top_p(0.9).stop("ab").stop("q"),
        2 => request.temperature(1.5).top_k(10).min_p(0.05).repetition_penalty(1.3).repetition_window(8),
        _ => request.temperature(0.7).presence_penalty(0.5).frequency_penalty(0.3).logprobs(3),
    }
}

#[test]
fn the_text_is_the_same_alone_beside_others_in_chunks_and_after_preemption() {
    let now = Instant::now();
    let count = 40;
    let alone: Vec<Outcome> = (0..count).map(|i| one(sensitive(32, LIMITS), mixed(i))).collect();
    let mut preemptions = 0;
    for (blocks, max_batch_tokens) in [(64, 16), (16, 16), (17, 7), (20, 4)] {
        let limits = Limits { queue_capacity: count, max_batch_tokens, ..LIMITS };
        let mut engine = sensitive(blocks, limits);
        let ids: Vec<SequenceId> = (0..count).map(|i| engine.submit(mixed(i), now).unwrap()).collect();
        let outcomes = run(&mut engine, now);
        for (id, alone) in ids.iter().zip(&alone) {
            let beside = &outcomes[id];
            assert_eq!((&beside.text, &beside.end, &beside.pieces), (&alone.text, &alone.end, &alone.pieces));
        }
        preemptions += engine.metrics().preemptions;
    }
    assert!(preemptions > 10, "the small pools must preempt: {preemptions}");
    assert!(alone.iter().any(|o| matches!(reason(o), FinishReason::StopString(_))));
}

#[test]
fn requests_without_a_seed_differ_but_repeat_with_the_engine() {
    let now = Instant::now();
    let texts = || {
        let mut engine = engine(babbles());
        let request = || Request::new("ab").temperature(1.0).max_tokens(20);
        for _ in 0..2 {
            engine.submit(request(), now).unwrap();
        }
        run(&mut engine, now).into_values().map(|o| o.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(), texts());
    assert_ne!(texts()[0], texts()[1]);
}

#[test]
fn random_schedules_keep_every_promise() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut below = |n: usize| (rng.bits() % n as u64) as usize;
        let start = Instant::now();
        let mut model = Scripted::new(64, 16 + below(24), 4, babbles());
        if seed % 2 == 1 {
            model = model.window(1 + below(20), 10 + below(16));
        }
        let broken = model.broken.clone();
        let mut engine = Engine::new(Box::new(model), byte_text(), LIMITS, seed);
        let (mut submitted, mut outcomes) = (BTreeSet::new(), BTreeMap::new());
        for tick in 0..400u64 {
            let now = start + Duration::from_millis(tick);
            match below(10) {
                0..4 => {
                    let mut request = mixed(below(1000));
                    if below(4) == 0 {
                        request = request.deadline(now + Duration::from_millis(1 + below(30) as u64));
                    }
                    match engine.submit(request, now) {
                        Ok(id) => assert!(submitted.insert(id)),
                        Err(error) => assert!(matches!(error, Error::QueueFull { .. }), "{error}"),
                    }
                }
                4 if !submitted.is_empty() => {
                    let id = *submitted.iter().nth(below(submitted.len())).unwrap();
                    drain(&mut engine, &mut outcomes);
                    let running = outcomes.get(&id).is_none_or(|o: &Outcome| o.end.is_none());
                    assert_eq!(engine.cancel(id), running);
                }
                kind => {
                    broken.store(kind == 9 && below(8) == 0, Ordering::Relaxed);
                    let idle = engine.is_idle();
                    let step = engine.step(now);
                    assert!(step != EngineStep::Idle || idle || engine.is_idle());
                }
            }
            check(&engine);
            if below(3) == 0 {
                drain(&mut engine, &mut outcomes);
            }
        }
        broken.store(false, Ordering::Relaxed);
        drain(&mut engine, &mut outcomes);
        for _ in 0..10_000 {
            if engine.step(start + Duration::from_secs(1)) == EngineStep::Idle {
                break;
            }
            check(&engine);
            drain(&mut engine, &mut outcomes);
        }
        drain(&mut engine, &mut outcomes);
        assert!(engine.is_idle());
        assert_eq!(engine.pools.free(), engine.pools.total());
        assert_eq!(outcomes.keys().copied().collect::<BTreeSet<_>>(), submitted);
        assert!(outcomes.values().all(|o| o.end.is_some()), "seed {seed}: a sequence has no end");
        let metrics = engine.metrics();
        assert_eq!(metrics.finished + metrics.failed, submitted.len() as u64);
    }
}
