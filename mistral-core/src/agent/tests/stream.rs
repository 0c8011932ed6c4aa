//! A run as a `Stream`: on a runtime, on wakers of the test's own, moved between threads, dropped half way.

use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use futures_core::stream::{FusedStream, Stream};

use super::*;

fn sent<T: Send + 'static>(value: T) -> T {
    value
}

async fn next(run: &mut AgentRun) -> Option<Result<AgentEvent, Error>> {
    std::future::poll_fn(|task| Pin::new(&mut *run).poll_next(task)).await
}

async fn story(mut run: AgentRun) -> Vec<AgentEvent> {
    let mut events = Vec::new();
    while let Some(event) = next(&mut run).await {
        events.push(event.unwrap());
    }
    assert!(run.is_terminated() && next(&mut run).await.is_none(), "fused");
    events
}

/// Counts, adds twice at once, answers.
fn busy() -> Agent {
    let calls = [hermes("count", "{}"), hermes("add", r#"{"a": 2, "b": 40}"#), hermes("fail", "{}")].join("\n");
    agent("<tool_call>", &[&calls, &hermes("add", r#"{"a": 1, "b": 1}"#), "Done."])
        .limits(AgentLimits::default().parallel_calls(1))
}

/// Text comes in pieces of any size, everything else as it is.
fn merged(events: Vec<AgentEvent>) -> Vec<AgentEvent> {
    let mut merged: Vec<AgentEvent> = Vec::new();
    for event in events {
        match (merged.last_mut(), event) {
            (Some(AgentEvent::Text(last)), AgentEvent::Text(more)) => last.push_str(&more),
            (Some(AgentEvent::Arguments { index, text }), AgentEvent::Arguments { index: of, text: more })
                if *index == of =>
            {
                text.push_str(&more);
            }
            (_, event) => merged.push(event),
        }
    }
    merged
}

#[test]
fn a_runtime_of_several_threads_runs_several_exchanges() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let expected = merged(events(&mut ask(&busy())));
    assert_eq!(expected.last(), Some(&AgentEvent::Finished(AgentStop::Answered)));
    let tasks: Vec<_> = (0..6).map(|_| runtime.spawn(sent(story(ask(&busy()))))).collect();
    for task in tasks {
        assert_eq!(merged(runtime.block_on(task).unwrap()), expected);
    }
}

#[test]
fn one_thread_goes_on_with_other_tasks_while_a_tool_sleeps() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut run = ask(&agent("<tool_call>", &[&hermes("sleep", "{}"), "never said"]));
    let token = run.token().clone();
    runtime.block_on(async {
        let (mut last, mut other) = (None, None);
        while let Some(event) = next(&mut run).await {
            let event = event.unwrap();
            if matches!(event, AgentEvent::Call(_)) {
                // The tool sleeps until this task, on the same thread, has had its turn.
                let token = token.clone();
                other = Some(tokio::spawn(async move { token.cancel() }));
            }
            last = Some(event);
        }
        other.unwrap().await.unwrap();
        assert_eq!(last, Some(AgentEvent::Finished(AgentStop::Cancelled)));
    });
}

/// Says who woke it.
#[derive(Default)]
struct Bell {
    rung: Mutex<Vec<ThreadId>>,
    rings: Condvar,
}

impl Bell {
    fn wait(&self) -> Vec<ThreadId> {
        let rung = self.rung.lock().unwrap();
        std::mem::take(&mut *self.rings.wait_while(rung, |rung| rung.is_empty()).unwrap())
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().unwrap().push(thread::current().id());
        self.rings.notify_all();
    }
}

#[test]
fn wakers_are_called_from_other_threads_and_the_last_one_counts() {
    let mut run = ask(&busy());
    let mut woken = 0;
    let mut told = Vec::new();
    loop {
        // A new waker for every poll, each poll from a thread of its own: what was given before need not be called.
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let (poll, back, poller) = thread::spawn(move || {
            let poll = Pin::new(&mut run).poll_next(&mut Context::from_waker(&waker));
            (poll, run, thread::current().id())
        })
        .join()
        .unwrap();
        run = back;
        match poll {
            Poll::Ready(Some(event)) => told.push(event.unwrap()),
            Poll::Ready(None) => break,
            Poll::Pending => {
                let by = bell.wait();
                assert!(!by.contains(&poller));
                woken += 1;
            }
        }
    }
    assert!(woken > 0, "the model and the tools have threads of their own");
    assert_eq!(merged(told), merged(events(&mut ask(&busy()))));
}

/// An agent whose tool says when it begins, then waits until it is cancelled and says so.
fn patient() -> (Agent, Receiver<&'static str>) {
    let (sender, receiver) = mpsc::channel::<&'static str>();
    let wait = ToolBuilder::named("wait")
        .description("")
        .with(Mutex::new(sender))
        .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
        .result_schema::<()>(SchemaType::Serde)
        .on_invocation_async(async |conversation, emitter, Nothing {}, sender| {
            /// Tells when the future ends, however it does.
            struct Guard<'a>(&'a Mutex<Sender<&'static str>>);
            impl Drop for Guard<'_> {
                fn drop(&mut self) {
                    let _ = self.0.lock().unwrap().send("ended");
                }
            }
            let _guard = Guard(sender);
            let _ = sender.lock().unwrap().send("begun");
            let _ = emitter.emit("on my way").await;
            if let Some(token) = conversation.execution().token() {
                token.cancelled().await;
            }
            Err::<(), _>(ToolError::failed("given up"))
        })
        .build()
        .unwrap();
    let mut batch = ToolBatch::new();
    batch.add(wait);
    let registry = ToolRegistry::new();
    registry.publish(batch).unwrap();
    let model = model("<tool_call>", &[&hermes("wait", "{}"), "never said"], &Arc::default());
    (Agent::new(model, registry).constrain(false), receiver)
}

#[test]
fn dropping_a_run_ends_its_calls() {
    let (agent, said) = patient();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let run = runtime.block_on(async {
        let mut run = ask(&agent);
        loop {
            if let Some(Ok(AgentEvent::Chunk { text, .. })) = next(&mut run).await {
                assert_eq!(text, "on my way");
                break run;
            }
        }
    });
    assert_eq!(said.recv().unwrap(), "begun");
    assert!(said.try_recv().is_err(), "it waits");
    drop(run);
    // Comes only if the drop cancels the call: without it the test would not end.
    assert_eq!(said.recv().unwrap(), "ended");
}

#[test]
fn dropping_a_run_frees_its_place_in_the_engine() {
    // The engine has room for one sequence: the second run is answered only if the first is gone.
    let talker = agent("", &[&"word ".repeat(500)]);
    let mut run = ask(&talker);
    while !matches!(run.iter().next(), Some(Ok(AgentEvent::Text(_)))) {}
    drop(run);
    assert_eq!(ask(&talker).complete().unwrap().stop, AgentStop::Answered);
}

/// Two calls at once of a tool that needs tokio's timer, and one of a synchronous tool. With `spawns` the tool starts a task as well.
fn timed(spawns: bool) -> Agent {
    let nap = ToolBuilder::named("nap")
        .description("")
        .with(spawns)
        .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
        .result_schema::<&str>(SchemaType::Serde)
        .on_invocation_async(async |_, _, Nothing {}, spawns| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match spawns {
                true => tokio::spawn(async { "rested" }).await.map_err(|_| ToolError::failed("no runtime")),
                false => Ok("rested"),
            }
        })
        .build()
        .unwrap();
    let mut batch = tools();
    batch.add(nap);
    let registry = ToolRegistry::new();
    registry.publish(batch).unwrap();
    let calls = [hermes("nap", "{}"), hermes("nap", "{}"), hermes("add", r#"{"a": 2, "b": 40}"#)].join("\n");
    Agent::new(model("<tool_call>", &[&calls, "Done."], &Arc::default()), registry).constrain(false)
}

fn results(run: &AgentRun) -> Vec<&str> {
    run.messages()
        .iter()
        .filter(|message| message.role == Role::Tool)
        .map(|message| message.content.as_text().unwrap())
        .collect()
}

const RESTED: [&str; 3] = ["rested", "rested", "42"];

#[test]
fn asynchronous_tools_find_the_runtime_that_polls_the_run() {
    let one = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let streamed = || async {
        let mut run = ask(&timed(true));
        while let Some(event) = next(&mut run).await {
            event.unwrap();
        }
        assert_eq!(results(&run), RESTED);
    };
    one.block_on(streamed());
    many.block_on(many.spawn(sent(streamed()))).unwrap();
    // Blocking: on a worker, on the thread that waits for the runtime, and on a thread that has entered it.
    let blocking = |spawns| {
        let mut run = ask(&timed(spawns));
        (&mut run).into_iter().for_each(|event| drop(event.unwrap()));
        assert_eq!(results(&run), RESTED);
    };
    // A worker that is blocked without a word keeps the tasks that it spawns for itself.
    many.block_on(many.spawn(async move { blocking(false) })).unwrap();
    many.block_on(many.spawn(async move { tokio::task::block_in_place(|| blocking(true)) })).unwrap();
    many.block_on(async { blocking(true) });
    let _inside = many.enter();
    blocking(true);
}

#[test]
fn a_tool_that_finds_no_runtime_ends_its_own_call_only() {
    let mut run = ask(&timed(true));
    assert_eq!(run.complete().unwrap().text, "Done.");
    assert_eq!(results(&run)[2], "42");
    assert!(results(&run)[..2].iter().all(|text| text.starts_with("Error (failed)")), "{:?}", results(&run));
}

#[test]
fn a_slow_synchronous_tool_holds_no_executor_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (sender, receiver) = mpsc::channel::<()>();
    let wait = ToolBuilder::named("wait")
        .description("")
        .with(Mutex::new(receiver))
        .request_schema::<Nothing>(SchemaType::JsonSchema(EMPTY))
        .result_schema::<u32>(SchemaType::Serde)
        .on_invocation(|_, _, Nothing {}, receiver| {
            receiver.lock().unwrap().recv().map(|()| 7).map_err(|_| ToolError::failed("nobody else ran"))
        })
        .build()
        .unwrap();
    let registry = ToolRegistry::new();
    let mut batch = ToolBatch::new();
    batch.add(wait);
    registry.publish(batch).unwrap();
    let model = model("<tool_call>", &[&hermes("wait", "{}"), "7."], &Arc::default());
    let mut run = ask(&Agent::new(model, registry));
    runtime.block_on(async {
        let mut sender = Some(sender);
        while let Some(event) = next(&mut run).await {
            // Another task of the same thread lets the tool go on.
            if matches!(event.unwrap(), AgentEvent::Call(_)) {
                let sender = sender.take().unwrap();
                tokio::spawn(async move { sender.send(()).unwrap() });
            }
        }
    });
    assert_eq!(results(&run), ["7"]);
}
