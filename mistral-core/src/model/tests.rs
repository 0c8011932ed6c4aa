//! The handle over scripted models on a real thread. Where order matters, the script waits for the test.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_core::Stream;
use mistral_models::ChatTemplates;

use super::*;
use crate::event::{FinishReason, TextPiece};
use crate::memory::Limits;
use crate::testing::*;
use crate::text::TextModel;

const LIMITS: Limits = Limits { max_sequences: 4, queue_capacity: 4, max_batch_tokens: 64 };

fn model_with(text: TextModel, script: Script) -> Model {
    let forward = Box::new(Scripted::new(4096, 1024, 4, script));
    Model::from_engine(Engine::new(forward, text, LIMITS, 0)).unwrap()
}

fn model(script: Script) -> Model {
    model_with(byte_text(), script)
}

/// A script that waits for a permit from the test before each token.
fn gated(mut script: Script) -> (mpsc::Sender<()>, Arc<AtomicUsize>, Script) {
    let (permit, permits) = mpsc::channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let gated: Script = Box::new(move |seen| {
        counter.fetch_add(1, Ordering::SeqCst);
        // The test has ended when the channel is closed; the rest may run freely.
        let _ = permits.recv();
        script(seen)
    });
    (permit, calls, gated)
}

fn forever() -> Script {
    Box::new(|_| certain(97))
}

/// Waits for what another thread is about to do.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Wakes a parked thread: all an executor needs to be.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

async fn next(generation: &mut Generation) -> Option<Result<TextPiece, Error>> {
    poll_fn(|task| Pin::new(&mut *generation).poll_next(task)).await
}

#[test]
fn handles_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Model>();
    crosses::<Generation>();
    crosses::<Error>();
    fn moves<T: Send + 'static>() {}
    moves::<Engine>();
}

#[test]
fn iterator_text_completion_and_stream_agree() {
    let model = model(says(2, "hi, wörld"));
    let mut text = String::new();
    for piece in model.generate("ab").unwrap() {
        text += piece.unwrap().as_ref();
    }
    assert_eq!(text, "hi, wörld");
    assert_eq!(model.generate("ab").unwrap().text().unwrap(), "hi, wörld");
    let all = model.generate(Request::new("ab").logprobs(1)).unwrap().complete().unwrap();
    assert_eq!((all.text.as_str(), all.reason), ("hi, wörld", FinishReason::EndOfText(END)));
    assert_eq!((all.tokens.len(), all.logprobs.len(), all.usage.generated_tokens), (10, 10, 11));
    let mut generation = model.generate("ab").unwrap();
    let mut text = String::new();
    block_on(async {
        while let Some(piece) = next(&mut generation).await {
            text += &piece.unwrap().text;
        }
        assert!(next(&mut generation).await.is_none(), "ended stays ended");
    });
    assert_eq!(text, "hi, wörld");
    assert_eq!(generation.reason(), Some(FinishReason::EndOfText(END)));
    assert_eq!(generation.usage().unwrap().prompt_tokens, 2);
}

#[test]
fn reading_part_by_iterator_leaves_the_rest() {
    let model = model(says(2, "abc"));
    let mut generation = model.generate("ab").unwrap();
    assert_eq!(generation.reason(), None);
    assert_eq!(generation.iter().next().unwrap().unwrap().text, "a");
    assert_eq!(generation.text().unwrap(), "bc");
}

#[test]
fn a_dropped_generation_ends_within_one_step() {
    let (permit, calls, script) = gated(forever());
    let model = model(script);
    let mut generation = model.generate("ab").unwrap();
    for _ in 0..3 {
        permit.send(()).unwrap();
        generation.iter().next().unwrap().unwrap();
    }
    // The worker may already wait inside the fourth step.
    drop(generation);
    permit.send(()).unwrap();
    permit.send(()).unwrap();
    eventually("the sequence ends", || model.metrics().finished == 1);
    assert!(calls.load(Ordering::SeqCst) <= 4, "noticed within one step");
    let metrics = model.metrics();
    assert_eq!((metrics.free_blocks, metrics.running), (metrics.blocks, 0));
}

#[test]
fn cancelling_keeps_what_was_made() {
    let (permit, _, script) = gated(forever());
    let model = model(script);
    let mut generation = model.generate("ab").unwrap();
    permit.send(()).unwrap();
    assert_eq!(generation.iter().next().unwrap().unwrap().text, "a");
    generation.cancel();
    drop(permit);
    let rest = generation.complete().unwrap();
    assert!(rest.text.len() <= 1);
    assert_eq!(rest.reason, FinishReason::Cancelled);
}

#[test]
fn the_place_of_a_dropped_generation_is_free_at_once() {
    let (permit, calls, script) = gated(forever());
    let forward = Box::new(Scripted::new(4096, 1024, 4, script));
    let limits = Limits { max_sequences: 1, queue_capacity: 0, max_batch_tokens: 64 };
    let model = Model::from_engine(Engine::new(forward, byte_text(), limits, 0)).unwrap();
    let mut last = model.generate("ab").unwrap();
    eventually("the worker waits inside a step", || calls.load(Ordering::SeqCst) > 0);
    for _ in 0..50 {
        assert!(matches!(model.generate("ab"), Err(Error::QueueFull { capacity: 1 })));
        drop(last);
        last = model.generate("ab").unwrap();
    }
    last.cancel();
    let other = model.generate("ab").unwrap();
    assert!(
        matches!(model.generate("ab"), Err(Error::QueueFull { .. })),
        "dropping what was cancelled frees nothing twice"
    );
    drop(permit);
    assert_eq!(last.complete().unwrap().reason, FinishReason::Cancelled);
    drop(other);
    eventually("nothing runs", || model.metrics().running == 0);
    assert!(model.generate(Request::new("ab").max_tokens(3)).unwrap().text().is_ok_and(|text| text == "aaa"));
}

#[test]
fn a_stop_string_may_be_a_control_token() {
    let script = || -> Script {
        let mut told = 0;
        Box::new(move |_| {
            told += 1;
            certain(if told == 3 { END } else { 97 })
        })
    };
    for (special_text, include, expected) in
        [(false, false, "aa"), (false, true, "aa"), (true, false, "aa"), (true, true, "aa<end>")]
    {
        let mut request = Request::new("ab").ignore_eos(true).max_tokens(9).stop("<end>").include_stop(include);
        request.special_text = special_text;
        let all = model(script()).generate(request).unwrap().complete().unwrap();
        assert_eq!((all.text.as_str(), all.reason), (expected, FinishReason::StopString(0)));
    }
    let request = Request::new("ab").ignore_eos(true).max_tokens(9).stop("a<end>a");
    let all = model(script()).generate(request).unwrap().complete().unwrap();
    assert_eq!((all.text.as_str(), all.reason), ("a", FinishReason::StopString(0)));
    let request = Request::new("ab").ignore_eos(true).max_tokens(5);
    assert_eq!(model(script()).generate(request).unwrap().text().unwrap(), "aaaa", "not a part of the text otherwise");
}

#[test]
fn many_threads_generate_at_once_and_get_their_own_text() {
    let model = model(babbles());
    let request = |i: u64| Request::new(format!("prompt {i}")).temperature(1.0).seed(i).max_tokens(40);
    let alone: Vec<String> = (0..8).map(|i| model.generate(request(i)).unwrap().text().unwrap()).collect();
    let together: Vec<String> = thread::scope(|scope| {
        let model = &model;
        let threads: Vec<_> =
            (0..8).map(|i| scope.spawn(move || model.generate(request(i)).unwrap().text().unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn refusals_come_from_the_call_and_a_full_queue_empties() {
    let (permit, _, script) = gated(says(2, "x"));
    let model = model(script);
    assert!(matches!(model.generate(""), Err(Error::EmptyPrompt)));
    assert!(matches!(model.generate(vec![9999]), Err(Error::TokenOutOfRange { token: 9999, .. })));
    assert!(matches!(
        model.generate("a".repeat(5000)),
        Err(Error::PromptTooLong { tokens: 5000, limit: 4095, tools: 0 })
    ));
    assert!(matches!(model.generate(Request::new("ab").temperature(f32::NAN)), Err(Error::InvalidParameter { .. })));
    assert!(matches!(model.generate(Request::new("ab").deadline(Instant::now())), Err(Error::DeadlinePassed)));
    assert!(matches!(model.chat([Message::user("hi")]), Err(Error::NoChatTemplate)));
    let all: Vec<Generation> = (0..8).map(|_| model.generate("ab").unwrap()).collect();
    assert!(matches!(model.generate("ab"), Err(Error::QueueFull { capacity: 8 })));
    drop(permit);
    for generation in all {
        assert_eq!(generation.text().unwrap(), "x");
    }
    assert_eq!(model.generate("ab").unwrap().text().unwrap(), "x");
}

#[test]
fn a_deadline_ends_the_stream_with_what_was_made() {
    let model = model(Box::new(|_| {
        thread::sleep(Duration::from_millis(2));
        certain(97)
    }));
    let request = Request::new("ab").deadline(Instant::now() + Duration::from_millis(60));
    let all = model.generate(request).unwrap().complete().unwrap();
    assert_eq!(all.reason, FinishReason::Deadline);
    assert_eq!(all.text.len(), all.usage.generated_tokens);
}

#[test]
fn a_panic_of_the_worker_is_an_error_of_every_stream() {
    let (permit, _, mut script) = gated(forever());
    let model = model(Box::new(move |seen| {
        assert!(seen[0] != u32::from(b'x'), "the test's own panic");
        script(seen)
    }));
    let mut well = model.generate("ab").unwrap();
    permit.send(()).unwrap();
    assert_eq!(well.iter().next().unwrap().unwrap().text, "a");
    let ill = model.generate("xb").unwrap();
    drop(permit);
    let mut errors = well.into_iter().skip_while(Result::is_ok);
    assert!(matches!(errors.next(), Some(Err(Error::WorkerPanicked))));
    assert!(errors.next().is_none());
    assert!(matches!(ill.text(), Err(Error::WorkerPanicked)));
    assert!(matches!(model.generate("ab"), Err(Error::WorkerPanicked)));
}

/// Tells whether the engine, and with it the script, has been dropped.
fn watched(mut script: Script) -> (std::sync::Weak<()>, Script) {
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    let script: Script = Box::new(move |seen| {
        let _ = &token;
        script(seen)
    });
    (weak, script)
}

#[test]
fn the_last_handle_stops_the_thread_and_a_generation_is_a_handle() {
    let (alive, script) = watched(says(2, "abc"));
    let model = model(script);
    let generation = model.clone().generate("ab").unwrap();
    drop(model);
    assert!(alive.upgrade().is_some());
    assert_eq!(generation.text().unwrap(), "abc");
    assert!(alive.upgrade().is_none(), "the drop waits for the thread");
}

#[test]
fn dropping_everything_in_the_middle_of_a_generation_does_not_hang() {
    let (alive, script) = watched(forever());
    let model = model(script);
    let mut generation = model.generate("ab").unwrap();
    generation.iter().next().unwrap().unwrap();
    drop(model);
    drop(generation);
    assert!(alive.upgrade().is_none());
}

/// Drops the last handle from inside the wake-up, on the worker thread.
struct DropOnWake(Mutex<Option<Generation>>);

impl Wake for DropOnWake {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_last_handle_may_be_dropped_by_a_waker() {
    let (permit, _, script) = gated(forever());
    let (alive, script) = watched(script);
    let model = model(script);
    let holder = Arc::new(DropOnWake(Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&holder));
    let mut generation = model.generate("ab").unwrap();
    assert!(Pin::new(&mut generation).poll_next(&mut Context::from_waker(&waker)).is_pending());
    *holder.0.lock().unwrap() = Some(generation);
    drop(model);
    permit.send(()).unwrap();
    eventually("the worker ends itself", || alive.upgrade().is_none());
}

struct PanicOnWake(AtomicBool);

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        panic!("a waker's own panic");
    }
}

#[test]
fn a_waker_that_panics_disturbs_nobody() {
    let (permit, _, script) = gated(says(2, "abc"));
    let model = model(script);
    let bad = Arc::new(PanicOnWake(AtomicBool::new(false)));
    let mut generation = model.generate("ab").unwrap();
    let waker = Waker::from(Arc::clone(&bad));
    assert!(Pin::new(&mut generation).poll_next(&mut Context::from_waker(&waker)).is_pending());
    drop(permit);
    assert_eq!(generation.text().unwrap(), "abc");
    assert!(bad.0.load(Ordering::SeqCst));
}

#[test]
fn chat_renders_the_template_with_tools_and_control_tokens() {
    let mut templates = ChatTemplates::default();
    templates.insert(
        "default",
        "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}\
         {% if tools %}[{{ tools[0].function.name }}]{% endif %}{% if add_generation_prompt %}assistant:{% endif %}",
    );
    let text = TextModel::new(Some(byte_tokenizer()), Some(templates));
    let model = model_with(text, says(23, "hello"));
    let bytes = |s: &str| s.bytes().map(u32::from).collect::<Vec<_>>();
    let tokens = model.tokens(Request::chat([Message::user("hi")]).prompt).unwrap();
    assert_eq!(tokens, [bytes("user:hi"), vec![END], bytes("assistant:")].concat());
    let tool = mistral_tools::ToolSpec::new("add", "", serde_json::json!({})).unwrap();
    let tokens = model.tokens(Request::chat([Message::user("hi")]).tools([tool]).prompt).unwrap();
    assert_eq!(tokens, [bytes("user:hi"), vec![END], bytes("[add]assistant:")].concat());
    assert_eq!(model.chat([Message::user("1234567")]).unwrap().text().unwrap(), "hello");
}
