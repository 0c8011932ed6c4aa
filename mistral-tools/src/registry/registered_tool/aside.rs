//! Runs a synchronous function on a thread of its own, so that an asynchronous caller can stop waiting at any time.

use std::{
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
};

use super::called;
use crate::{
    conversation::{Conversation, Execution, cancel::CancellationToken, extensions::Extensions},
    message::Message,
    outcome::{Outcome, kinds::ErrorKind, reply::Reply, tool_error::ToolError},
    resilience::timeout::{Elapsed, run_until},
    stream::{chunk::Chunk, emitter::Emitter},
    time::{Moment, timer::Timer},
    tool::{Invocation, Tool},
};

/// Everything of an invocation, by value, because the thread may outlive the call.
struct Owned {
    messages: Vec<Message>,
    call_id: Option<String>,
    turn: u32,
    attempt: u32,
    approved: bool,
    extensions: Option<Extensions>,
    emitter: Option<(Emitter<Chunk>, usize)>,
    token: CancellationToken,
    arguments: Vec<u8>,
}

impl Owned {
    fn of(invocation: &Invocation<'_>, arguments: &[u8]) -> Self {
        let conversation = invocation.conversation();
        let execution = conversation.execution();
        Self {
            messages: conversation.messages().to_vec(),
            call_id: execution.call_id().map(Into::into),
            turn: execution.turn(),
            attempt: execution.attempt(),
            approved: execution.is_approved(),
            extensions: conversation.extensions().cloned(),
            emitter: invocation.emitter().detached(),
            token: execution.token().map(CancellationToken::child).unwrap_or_default(),
            arguments: arguments.to_vec(),
        }
    }

    fn call(&self, tool: &dyn Tool, token: &CancellationToken, reply: &mut Reply) -> Outcome {
        let Self { messages, call_id, turn, attempt, approved, extensions, emitter, arguments, .. } = self;
        let execution = Execution::of(*turn, *attempt, call_id.as_deref(), *approved, Some(token));
        let invocation = Invocation::new(Conversation::of(messages, execution, extensions.as_ref()));
        let invocation = match emitter {
            Some((emitter, call)) => invocation.with_emitter_of(emitter, *call),
            None => invocation,
        };
        tool.call(&invocation, arguments, reply)
    }
}

/// The outcome, or [`Elapsed`] if the function returned at its limit or later.
type Ended = Result<Outcome, Elapsed>;

/// The slot in which the thread leaves the outcome of the call.
#[derive(Default)]
struct End {
    result: Option<(Ended, Reply)>,
    waker: Option<Waker>,
}

/// Cancels a token unless the call has ended: the cancellation tells a thread that it is left behind.
struct LeftBehind(CancellationToken);

impl Drop for LeftBehind {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Calls a tool on a thread of its own, under a token that is cancelled at `limit`. Dropping the future cancels the token and leaves the
/// thread behind; any later result of the thread is discarded.
pub(super) async fn call(
    tool: &Arc<dyn Tool>,
    timer: &Arc<dyn Timer>,
    limit: Moment,
    invocation: &Invocation<'_>,
    arguments: &[u8],
    reply: &mut Reply,
) -> Ended {
    let (end, owned) = (Arc::new(Mutex::new(End::default())), Owned::of(invocation, arguments));
    let left_behind = LeftBehind(owned.token.clone());
    let mut lent = mem::take(reply);
    let thread = thread::Builder::new().name("tool call".into()).spawn({
        let (end, tool, timer) = (Arc::clone(&end), Arc::clone(tool), Arc::clone(timer));
        move || {
            let outcome =
                run_until(timer, limit, &owned.token, |token| called(|| owned.call(&*tool, token, &mut lent)));
            // What the call held is let go of before the caller hears of its end.
            drop((owned, tool));
            let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
            end.result = Some((outcome, lent));
            let waker = end.waker.take();
            drop(end);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    });
    if thread.is_err() {
        let error = ToolError::new(ErrorKind::Unavailable, "no thread could be started for the tool");
        return Ok(error.transient().into());
    }
    let (outcome, used) = poll_fn(|context| {
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        match end.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                end.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    drop(left_behind);
    *reply = used;
    outcome
}
