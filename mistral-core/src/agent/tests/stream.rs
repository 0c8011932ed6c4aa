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
    assert_eq!(expected.last(), Some(&AgentEvent::Finished(Stop::Answered)));
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
        assert_eq!(last, Some(AgentEvent::Finished(Stop::Cancelled)));
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
            Err::<(), _>(ToolError::handler("given up"))
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
    while !matches!(run.step().unwrap(), Some(AgentEvent::Text(_))) {}
    drop(run);
    assert_eq!(ask(&talker).complete().unwrap().stop, Stop::Answered);
}
