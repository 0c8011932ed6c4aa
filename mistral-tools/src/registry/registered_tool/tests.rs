use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Mutex,
    task::{Context, Waker},
};

use super::*;
use crate::{
    builder::{function_tool::FunctionTool, schema::SchemaType, steps::ToolBuilder},
    conversation::Conversation,
    outcome::kinds::ErrorKinds,
    registry::{ToolBatch, ToolRegistry, approval::Approval},
    resilience::{
        breaker::BreakerPolicy,
        retry::{Jitter, RetryPolicy},
        timeout::TimeoutPolicy,
    },
    time::{Clock, timer::ManualClock},
    tool::CallFuture,
};

const MILLI: Duration = Duration::from_millis(1);

/// What the next calls of a tool come to; when nothing is left they succeed. Each may take its time on the clock.
#[derive(Clone)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    clock: ManualClock,
}

#[derive(Clone, Copy)]
enum Step {
    Succeed,
    Fail(ErrorKind),
    /// Fails, and says whether another try may help.
    Say(ErrorKind, bool),
    /// Fails, and asks for a pause.
    Ask(Duration),
    /// Succeeds after this time.
    Take(Duration),
    /// Never ends; drops a guard when it is dropped.
    Hang,
    Panic,
}

impl Script {
    fn step(&self) -> Step {
        self.steps.lock().unwrap().pop_front().unwrap_or(Step::Succeed)
    }

    fn hangs(&self) -> bool {
        matches!(self.steps.lock().unwrap().front(), Some(Step::Hang))
    }

    fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.steps.lock().unwrap().extend(steps);
    }
}

fn play(script: &Script, attempt: u32, token: Option<&CancellationToken>) -> Result<u32, ToolError> {
    match script.step() {
        Step::Succeed | Step::Hang => Ok(attempt),
        Step::Fail(kind) => Err(ToolError::new(kind, "as told")),
        Step::Say(kind, true) => Err(ToolError::new(kind, "busy").transient()),
        Step::Say(kind, false) => Err(ToolError::new(kind, "never").permanent()),
        Step::Ask(pause) => Err(ToolError::new(ErrorKind::RateLimited, "later").with_retry_after(pause)),
        Step::Take(time) => {
            script.clock.advance(time);
            // A good function sees that it is late. The result is the same, and is discarded.
            assert_eq!(token.is_some_and(CancellationToken::is_cancelled), time >= MILLI * 10);
            Ok(attempt)
        }
        Step::Panic => panic!("on purpose"),
    }
}

struct World {
    registry: ToolRegistry,
    script: Script,
    events: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// Tools `sync` and `async` that play the script under this policy, and `other`, which gives 99 or its error.
    fn new(policy: impl Into<ToolPolicy>) -> Self {
        let clock = ManualClock::new();
        let script = Script { steps: Arc::default(), clock: clock.clone() };
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let registry =
            ToolRegistry::new().with_timer(clock).with_observer(move |tool: &str, event: &ResilienceEvent| {
                seen.lock().unwrap().push(format!("{tool} {event:?}"))
            });
        let tool = |name| {
            let described = ToolBuilder::named(name).description("").with(script.clone());
            described.request_schema::<()>(SchemaType::Serde).result_schema::<u32>(SchemaType::Serde)
        };
        let policy = policy.into();
        let mut batch = ToolBatch::new();
        let sync = tool("sync").on_invocation(|conversation, _, (), script| {
            let execution = conversation.execution();
            play(script, execution.attempt(), execution.token())
        });
        let asynchronous = tool("async").on_invocation_async(async |conversation, _, (), script| {
            if script.hangs() {
                std::future::pending::<()>().await;
            }
            play(script, conversation.execution().attempt(), None)
        });
        let other = tool("other").on_invocation(|_, _, (), script| match script.step() {
            Step::Fail(kind) => Err(ToolError::new(kind, "the other's")),
            _ => Ok(99),
        });
        batch.add_with(sync.build().unwrap(), policy.clone()).add_with(asynchronous.build().unwrap(), policy);
        batch.add(other.build().unwrap());
        registry.publish(batch).unwrap();
        Self { registry, script, events }
    }

    /// Calls, and moves the clock to the next alarm whenever the call sleeps. What the model reads, and the kind of an error.
    fn call_async(&self, name: &str) -> (String, Option<ErrorKind>) {
        let (invocation, mut reply) = (Invocation::default(), Reply::new());
        let mut future = Box::pin(self.registry.call_async(name, &invocation, b"{}", &mut reply));
        let outcome = loop {
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break outcome;
            }
            let next = self.script.clock.next_alarm().expect("sleeps for ever");
            self.script.clock.advance(next.since(self.script.clock.now()));
        };
        drop(future);
        (reply.as_str().to_owned(), outcome.error_kind())
    }

    /// Makes an asynchronous call while the function advances the clock.
    fn call_aside(&self, name: &str) -> (String, Option<ErrorKind>) {
        let (invocation, mut reply) = (Invocation::default(), Reply::new());
        let outcome = crate::sync::park::block_on(self.registry.call_async(name, &invocation, b"{}", &mut reply));
        (reply.as_str().to_owned(), outcome.error_kind())
    }

    fn call(&self, name: &str) -> (String, Option<ErrorKind>) {
        let mut reply = Reply::new();
        let outcome = self.registry.call(name, &Invocation::default(), b"{}", &mut reply);
        (reply.as_str().to_owned(), outcome.error_kind())
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn statistics(&self, name: &str) -> ToolStatistics {
        self.registry.get(name).unwrap().statistics()
    }
}

#[test]
fn what_the_tool_says_of_its_error_stands_above_the_kind() {
    let policy = RetryPolicy::new(3).backoff(MILLI, 1, MILLI).jitter(Jitter::None);
    let world = World::new(ResiliencePolicy::new().retry(policy));
    // Not a kind that is tried again, but said to pass; then a kind that is, but said to stay.
    for name in ["sync", "async"] {
        world.script.then([Step::Say(ErrorKind::Failed, true), Step::Say(ErrorKind::NotFound, true)]);
        assert_eq!(world.call_async(name), ("2".into(), None));
        world.script.then([Step::Say(ErrorKind::Timeout, false)]);
        assert_eq!(world.call_async(name), ("Error (timeout): never".into(), Some(ErrorKind::Timeout)));
        world.script.then([Step::Say(ErrorKind::Failed, true); 3]);
        assert_eq!(world.call_async(name).1, Some(ErrorKind::Failed), "the attempts are bounded");
        assert_eq!(world.statistics(name).retries(), 4);
    }
}

#[test]
fn failures_are_tried_again_after_pauses() {
    let policy = RetryPolicy::new(3).backoff(MILLI * 100, 2, MILLI * 1000).jitter(Jitter::None);
    for name in ["sync", "async"] {
        let world = World::new(ResiliencePolicy::new().retry(policy));
        world.script.then([Step::Fail(ErrorKind::Unavailable), Step::Ask(MILLI * 700)]);
        assert_eq!(world.call_async(name), ("2".into(), None), "the function is told of the attempts");
        assert_eq!(world.script.clock.now().as_nanos(), 800_000_000);
        let events = ["Unavailable, after: 100ms", "RateLimited, after: 700ms"];
        for (event, (attempts, end)) in world.events().iter().zip([1, 2].into_iter().zip(events)) {
            assert_eq!(*event, format!("{name} Retry {{ attempts: {attempts}, kind: {end} }}"));
        }

        world.script.then([Step::Fail(ErrorKind::Failed)]);
        assert_eq!(world.call_async(name), ("Error (failed): as told".into(), Some(ErrorKind::Failed)));
        assert_eq!(world.events(), [format!("{name} GaveUp {{ attempts: 1, kind: Failed }}")]);
        world.script.then([Step::Fail(ErrorKind::Timeout); 3]);
        assert_eq!(world.call_async(name).1, Some(ErrorKind::Timeout));

        let statistics = world.statistics(name);
        assert_eq!(
            (statistics.calls(), statistics.successes(), statistics.errors(), statistics.retries()),
            (3, 1, 2, 4)
        );
        assert_eq!((statistics.errors_of(ErrorKind::Timeout), statistics.errors_of(ErrorKind::Failed)), (1, 1));
        assert_eq!(statistics.latency().unwrap().max(), Some(MILLI * 800));
        assert!(world.statistics("other").latency().is_none());
    }
}

#[test]
fn late_results_are_timeouts() {
    let policy = ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(MILLI * 10));
    let world = World::new(policy);
    let late = ("Error (timeout): the tool took too long".to_owned(), Some(ErrorKind::Timeout));
    for call in [World::call, World::call_aside] {
        world.script.then([Step::Take(MILLI * 9), Step::Take(MILLI * 10)]);
        assert_eq!(call(&world, "sync").0, "0");
        assert_eq!(call(&world, "sync"), late);
        assert_eq!(world.events(), ["sync TimedOut { limit: 10ms }"]);
    }
    world.script.then([Step::Hang]);
    assert_eq!(world.call_async("async"), late, "the future is dropped");
    assert_eq!(world.events(), ["async TimedOut { limit: 10ms }"]);
}

#[test]
fn a_blocking_call_of_an_asynchronous_tool_ends_at_its_limit() {
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    let hang = ToolBuilder::named("hang")
        .description("")
        .request_schema::<()>(SchemaType::Serde)
        .result_schema::<()>(SchemaType::Serde)
        .on_invocation_async(async |_, _, (), ()| std::future::pending::<Result<(), ToolError>>().await);
    batch.add_with(hang.build().unwrap(), ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.call(MILLI)));
    registry.publish(batch).unwrap();
    let outcome = registry.call("hang", &Invocation::default(), b"{}", &mut Reply::new());
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Timeout));
}

#[test]
fn the_deadline_bounds_all_attempts() {
    let policy = ResiliencePolicy::new()
        .timeout(TimeoutPolicy::NONE.call(MILLI * 250).attempt(MILLI * 100))
        .retry(RetryPolicy::new(9).backoff(MILLI * 60, 1, MILLI * 60).jitter(Jitter::None));
    let world = World::new(policy);
    world.script.then([Step::Hang]);
    assert_eq!(world.call_async("async").1, Some(ErrorKind::Timeout));
    // 100 ms, a pause of 60 ms, and 90 ms that are left; another pause would end too late.
    assert_eq!(world.script.clock.now().as_nanos(), 250_000_000);
    assert_eq!(world.events().len(), 4, "timed out, retry, timed out, gave up");
}

#[test]
fn breakers_open_for_broken_tools_only() {
    let policy = BreakerPolicy::new().failures(2, 2).pause(MILLI * 1000);
    for name in ["sync", "async"] {
        let world = World::new(ResiliencePolicy::new().breaker(policy));
        world.script.then([Step::Fail(ErrorKind::Failed), Step::Fail(ErrorKind::NotFound), Step::Panic]);
        for kind in [ErrorKind::Failed, ErrorKind::NotFound, ErrorKind::Failed] {
            assert_eq!(world.call_async(name).1, Some(kind));
        }
        assert_eq!(world.registry.get(name).unwrap().breaker_state(), Some(BreakerState::Open));
        let (text, kind) = world.call_async(name);
        assert_eq!(
            (&*text, kind),
            ("Error (unavailable): the tool fails at present; do without it", Some(ErrorKind::Unavailable))
        );
        assert!(world.events().last().unwrap().contains("Rejected"));
        assert_eq!(world.registry.get("other").unwrap().breaker_state(), None);

        world.script.clock.advance(MILLI * 1002);
        assert_eq!(world.call_async(name).0, "0");
        assert_eq!(world.registry.get(name).unwrap().breaker_state(), Some(BreakerState::Closed));
        world.script.then([Step::Panic, Step::Panic]);
        assert!(world.call(name).1.is_some() && world.call(name).1.is_some());
        world.registry.get(name).unwrap().reset_breaker();
        assert_eq!(world.call(name).0, "0");
    }
}

#[test]
fn dropped_calls_give_their_probe_back() {
    let world = World::new(ResiliencePolicy::new().breaker(BreakerPolicy::new().failures(1, 1).pause(MILLI)));
    world.script.then([Step::Panic]);
    assert!(world.call("async").1.is_some());
    world.script.clock.advance(MILLI * 3);
    world.script.then([Step::Hang]);
    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    let mut probe = Box::pin(world.registry.call_async("async", &invocation, b"{}", &mut reply));
    assert!(probe.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(world.call("async").1, Some(ErrorKind::Unavailable), "the only probe is under way");
    drop(probe);
    world.script.step();
    assert_eq!(world.call("async").0, "0");
}

#[test]
fn fallbacks_stand_in_for_results() {
    let world = World::new(ToolPolicy::default().fallback(Fallback::result("about 20".into())));
    world.script.then([Step::Fail(ErrorKind::Failed), Step::Fail(ErrorKind::InvalidArguments)]);
    assert_eq!(world.call("sync"), ("about 20".into(), None));
    assert_eq!(world.events(), ["sync FellBack { kind: Failed }"]);
    assert_eq!(world.call("sync").1, Some(ErrorKind::InvalidArguments), "for the model to correct");
    let statistics = world.statistics("sync");
    assert_eq!((statistics.errors(), statistics.successes(), statistics.fallbacks()), (2, 0, 1));

    let world = World::new(ToolPolicy::default().fallback(Fallback::tool("other")));
    for call in [World::call, World::call_async] {
        world.script.then([Step::Fail(ErrorKind::Failed), Step::Succeed]);
        assert_eq!(call(&world, "async"), ("99".into(), None));
        world.script.then([Step::Fail(ErrorKind::Failed), Step::Fail(ErrorKind::Failed)]);
        assert_eq!(call(&world, "sync").0, "Error (failed): as told", "the first error stands");
    }
    assert_eq!(world.statistics("other").calls(), 4);
    for name in ["sync", "nowhere"] {
        let world = World::new(ToolPolicy::default().fallback(Fallback::tool(name).on(ErrorKinds::ALL)));
        world.script.then([Step::Fail(ErrorKind::NotFound)]);
        assert_eq!(world.call("sync").0, "Error (not found): as told", "{name} is no help");
    }
}

#[test]
fn policies_of_tools_go_before_those_of_the_registry() {
    let world = World::new(ToolPolicy::default());
    let registry = world.registry.clone().with_policy(ResiliencePolicy::new().breaker(BreakerPolicy::new()));
    let mut batch = ToolBatch::new();
    batch.add(always("a")).add(always("b"));
    registry.publish(batch).unwrap();
    assert!(registry.get("a").unwrap().breaker_state().is_some(), "the registry's own");
    assert!(registry.get("sync").unwrap().breaker_state().is_none(), "published before");
    assert_eq!(world.call("b").0, "1", "clones share the tools");
}

fn always(name: &'static str) -> impl Tool {
    let described = ToolBuilder::named(name).description("").request_schema::<()>(SchemaType::Serde);
    described.result_schema::<u8>(SchemaType::Serde).on_invocation(|_, _, (), ()| Ok(1)).build().unwrap()
}

#[test]
fn cancelled_calls_end() {
    let world = World::new(ResiliencePolicy::new().retry(RetryPolicy::new(9).jitter(Jitter::None)));
    let token = CancellationToken::new();
    let conversation = Conversation::default().with_token(&token);
    let (invocation, mut reply) = (Invocation::new(conversation), Reply::new());
    for steps in [&[Step::Hang][..], &[Step::Fail(ErrorKind::Timeout)]] {
        let token = token.child();
        let invocation = invocation.with_token(&token);
        world.script.then(steps.iter().copied());
        let mut future = Box::pin(world.registry.call_async("async", &invocation, b"{}", &mut reply));
        let mut poll = || Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending(), "runs, or sleeps before the next attempt");
        token.cancel();
        let Poll::Ready(outcome) = poll() else { panic!("goes on") };
        assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
        drop(future);
        world.script.steps.lock().unwrap().clear();
    }
    token.cancel();
    for name in ["sync", "async"] {
        let outcome = world.registry.call(name, &invocation, b"{}", &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
        assert_eq!(reply.as_str(), "Error (cancelled): the call was given up");
    }
}

#[test]
fn the_gate_is_asked_before_the_hooks_of_tools_and_once_a_call() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let world = World::new(ToolPolicy::default());
    let retry = ResiliencePolicy::new().retry(RetryPolicy::new(2).jitter(Jitter::None));
    let registry = world.registry.clone().with_policy(retry).with_gate(move |conversation, chain, tool, arguments| {
        seen.lock().unwrap().push((tool.to_owned(), conversation.execution().is_approved()));
        match (tool, arguments) {
            ("a", b"{}") => chain.pause("Call a?"),
            ("a", _) => chain.skip("not with arguments"),
            ("b", _) => chain.deny("not b"),
            _ => chain.proceed(),
        }
    });
    let tool = |name, script: &Script| {
        ToolBuilder::named(name)
            .description("")
            .with(script.clone())
            .request_schema::<serde_json::Value>(SchemaType::JsonSchema("{}"))
            .result_schema::<u32>(SchemaType::Serde)
            .on_invocation(|conversation, _, _, script| play(script, conversation.execution().attempt(), None))
            .on_request(|_, chain, _, _| chain.pause("The tool asks too"))
            .build()
            .unwrap()
    };
    let mut batch = ToolBatch::new();
    batch
        .add(tool("a", &world.script))
        .add_with(tool("b", &world.script), ToolPolicy::default().fallback(Fallback::tool("sync")));
    batch.add(tool("c", &world.script));
    registry.publish(batch).unwrap();

    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    let mut call = |name, arguments: &str| {
        let outcome = block_on(registry.call_async(name, &invocation, arguments.as_bytes(), &mut reply));
        (outcome, reply.as_str().to_owned())
    };
    assert_eq!(call("b", "{}").1, "Denied: not b");
    assert_eq!(call("a", "[]").1, "Skipped: not with arguments");
    let (Outcome::Paused(paused), text) = call("a", "{}") else { panic!("not paused") };
    assert_eq!((paused.question(), &*text), ("Call a?", "Waiting for approval: Call a?"));
    assert_eq!(call("c", "{}").1, "Waiting for approval: The tool asks too");
    assert_eq!(call("a", "\u{1}").1, "Skipped: not with arguments", "the gate sees what no tool would read");

    asked.lock().unwrap().clear();
    let denied = registry.resume(&paused, Approval::Denied("no".into()), &invocation, &mut reply);
    assert!(matches!(denied, Outcome::Denied(_)) && asked.lock().unwrap().is_empty());
    let outcome = block_on(registry.resume_async(&paused, Approval::Approved, &invocation, &mut reply));
    assert!(outcome.is_success(), "one approval is enough for both");
    assert_eq!(*asked.lock().unwrap(), [("a".to_owned(), true)]);
    let statistics = registry.get("a").unwrap().statistics();
    assert_eq!((statistics.calls(), statistics.paused(), statistics.skipped(), statistics.successes()), (4, 1, 2, 1));
}

#[test]
fn a_function_that_never_returns_ends_its_asynchronous_call_at_the_limit() {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    };

    struct User(u8);
    let policy = ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(MILLI * 200));
    let (released, seen) = mpsc::channel();
    let stuck = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&stuck);
    let hang = FunctionTool::new("hang", "", move |text: String, call: &Invocation<'_>| {
        let conversation = call.conversation();
        let execution = conversation.execution();
        let saw = (text, conversation.messages().len(), execution.turn(), execution.call_id().map(str::to_owned));
        assert_eq!(saw, ("a".into(), 1, 3, Some("c1".into())));
        assert_eq!(call.get::<User>().unwrap().0, 7);
        assert!(call.emitter().try_emit("first").is_ok());
        // Never looks at its token.
        while held.load(Ordering::SeqCst) {
            std::thread::sleep(MILLI);
        }
        released.send((execution.is_cancelled(), call.emitter().try_emit("late").is_err())).unwrap();
        Ok(())
    });
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add_with(hang, policy);
    registry.publish(batch).unwrap();

    let (messages, values) =
        ([crate::message::Message::user("hi")], crate::conversation::extensions::Extensions::new().with(User(7)));
    let conversation = Conversation::new(&messages).turn(3).call_id("c1").with_extensions(&values);
    let (emitter, chunks) =
        crate::stream::emitter::Emitter::bounded(4, crate::stream::emitter::WhenFull::Block, CancellationToken::new());
    let invocation = Invocation::new(conversation).with_emitter(&emitter);
    let (begun, mut reply) = (std::time::Instant::now(), Reply::new());
    let outcome = crate::sync::park::block_on(registry.call_async("hang", &invocation, br#""a""#, &mut reply));
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Timeout));
    assert_eq!(reply.as_str(), "Error (timeout): the tool took too long");
    assert!(begun.elapsed() >= MILLI * 200 && begun.elapsed() < MILLI * 2000, "{:?}", begun.elapsed());
    // The thread that was left behind does not keep the chunks open.
    drop(emitter);
    assert_eq!(chunks.map(|chunk| chunk.text).collect::<Vec<_>>(), ["first"]);
    stuck.store(false, Ordering::SeqCst);
    assert_eq!(seen.recv().unwrap(), (true, true), "the function is told, and what it still says is refused");
}

#[test]
fn a_cancelled_asynchronous_call_does_not_wait_for_its_function() {
    let policy = ResiliencePolicy::new().timeout(TimeoutPolicy::NONE.attempt(MILLI * 60_000));
    let token = CancellationToken::new();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let wait = FunctionTool::new("wait", "", move |_: ()| {
        // Until the test ends, whatever the token says.
        let _ = released.lock().map(|released| released.recv());
        Ok(())
    });
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add_with(wait, policy);
    registry.publish(batch).unwrap();
    let (invocation, mut reply) = (Invocation::default().with_token(&token), Reply::new());
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(MILLI * 20);
            token.cancel();
        });
        crate::sync::park::block_on(registry.call_async("wait", &invocation, b"", &mut reply))
    });
    assert_eq!(outcome.error_kind(), Some(ErrorKind::Cancelled));
    drop(release);
}

#[test]
fn a_panicking_gate_denies_and_a_panicking_observer_is_contained() {
    let tool = || FunctionTool::new("tool", "", |_: ()| Ok("ran"));
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let registry = ToolRegistry::new().with_gate(|_, _, _, _| panic!("the gate")).with_observer(
        move |tool: &str, event: &ResilienceEvent| seen.lock().unwrap().push(format!("{tool} {event:?}")),
    );
    registry.add(tool()).unwrap();
    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    for _ in 0..2 {
        let outcome = registry.call("tool", &invocation, b"", &mut reply);
        assert!(matches!(outcome, Outcome::Denied(_)), "{outcome:?}");
        assert_eq!(reply.as_str(), "Denied: the check of this call failed, so the call was not made");
        let outcome = crate::sync::park::block_on(registry.call_async("tool", &invocation, b"", &mut reply));
        assert!(matches!(outcome, Outcome::Denied(_)), "{outcome:?}");
    }
    assert_eq!(*events.lock().unwrap(), ["tool GatePanicked"; 4]);

    // Retry, breaker, fallback: every event panics, and the call is none the worse.
    let policy = ResiliencePolicy::new()
        .retry(RetryPolicy::new(2).backoff(Duration::ZERO, 1, Duration::ZERO).on(ErrorKinds::ALL))
        .breaker(BreakerPolicy::new().failures(2, 2));
    let registry = ToolRegistry::new().with_observer(|_: &str, _: &ResilienceEvent| panic!("the observer"));
    let fails = FunctionTool::new("fails", "", |_: ()| -> Result<(), ToolError> { Err("no".into()) });
    let mut batch = ToolBatch::new();
    batch.add_with(fails, ToolPolicy::new(policy).fallback(Fallback::result("instead".into())));
    registry.publish(batch).unwrap();
    for _ in 0..4 {
        assert!(registry.call("fails", &invocation, b"", &mut reply).is_success());
        assert_eq!(reply.as_str(), "instead");
    }
    assert_eq!(registry.get("fails").unwrap().breaker_state(), Some(BreakerState::Open));
}

/// Another name for a tool.
struct Renamed<T>(&'static str, T);

impl<T: Tool> Tool for Renamed<T> {
    fn name(&self) -> &str {
        self.0
    }

    fn description(&self) -> &str {
        self.1.description()
    }

    fn request_schema(&self) -> Result<serde_json::Value, Error> {
        self.1.request_schema()
    }

    fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.1.call(invocation, arguments, reply)
    }

    fn call_async<'a>(
        &'a self,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> CallFuture<'a> {
        self.1.call_async(invocation, arguments, reply)
    }
}

#[test]
fn a_call_that_a_hook_pauses_is_resumed_by_the_name_in_the_registry() {
    let delete = ToolBuilder::named("delete")
        .description("")
        .request_schema::<String>(SchemaType::Serde)
        .result_schema::<String>(SchemaType::Serde)
        .on_invocation(|_, _, path, ()| Ok(format!("deleted {path}")))
        .on_request(|_, chain, path, ()| chain.pause(format!("Delete {path}?")))
        .build()
        .unwrap();
    let registry = ToolRegistry::new();
    registry.add(Renamed("files.delete", delete)).unwrap();

    let (invocation, mut reply) = (Invocation::default(), Reply::new());
    for asynchronous in [false, true] {
        let outcome = match asynchronous {
            false => registry.call("files_delete", &invocation, br#""a""#, &mut reply),
            true => block_on(registry.call_async("files_delete", &invocation, br#""a""#, &mut reply)),
        };
        let Outcome::Paused(paused) = outcome else { panic!("{outcome:?}") };
        assert_eq!((paused.tool(), paused.question()), ("files.delete", "Delete a?"));
        assert!(registry.resume(&paused, Approval::Approved, &invocation, &mut reply).is_success());
        assert_eq!(reply.as_str(), "deleted a");
    }
}
