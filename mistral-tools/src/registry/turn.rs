//! The calls of one turn, in parallel.

use std::{
    fmt,
    future::{Future, poll_fn},
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures_core::Stream;

use crate::{
    conversation::{
        Conversation,
        cancel::{CancellationToken, unless_cancelled},
        extensions::Extensions,
    },
    message::Message,
    outcome::{Outcome, kinds::ErrorKind, paused_call::PausedCall, reply::Reply, tool_error::ToolError},
    registry::{ToolRegistry, approval::Approval},
    stream::{
        chunk::Chunk,
        emitter::{Chunks, Emitter, WhenFull},
    },
    sync::park::block_on,
    tool::Invocation,
};

/// A call as the model made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnCall<'a> {
    /// Ties the result to the call.
    pub id: Option<&'a str>,
    /// The tool.
    pub name: &'a str,
    /// The bytes of its arguments.
    pub arguments: &'a [u8],
}

impl<'a> TurnCall<'a> {
    /// A call without an id.
    pub const fn new(name: &'a str, arguments: &'a str) -> Self {
        Self { id: None, name, arguments: arguments.as_bytes() }
    }

    /// The same with an id.
    #[must_use]
    pub const fn with_id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }
}

/// What came of a call of a turn.
#[derive(Debug)]
pub struct TurnAnswer {
    /// What the model reads.
    pub reply: Reply,
    /// How it ended.
    pub outcome: Outcome,
}

/// The calls of one turn of the model. They run in parallel, up to a limit, and are answered in the order in which they were made.
///
/// [`call`](Self::call) runs the calls on scoped threads, of which the calling thread is the first. [`call_async`](Self::call_async) joins
/// the calls in one future. Asynchronous tools are polled where that future is polled, so a tool that needs a runtime finds the caller's
/// runtime. Each synchronous tool runs on a thread of its own, so it does not block the poll.
///
/// ```
/// use mistral_tools::{TurnCall, Conversation, SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry, Turn};
///
/// let square = ToolBuilder::named("square")
///     .description("Squares a number")
///     .request_schema::<i32>(SchemaType::JsonSchema(r#"{"type": "integer"}"#))
///     .result_schema::<i32>(SchemaType::Serde)
///     .on_invocation(|_, _, number, ()| number.checked_mul(number).ok_or(ToolError::failed("too large")))
///     .build()?;
/// let registry = ToolRegistry::new();
/// let mut batch = ToolBatch::new();
/// batch.add(square);
/// registry.publish(batch)?;
///
/// let calls = [TurnCall::new("square", "12"), TurnCall::new("root", "9"), TurnCall::new("square", "13")];
/// let answers = Turn::new(Conversation::default(), &calls).limit(2).call(&registry);
/// let texts: Vec<_> = answers.iter().map(|answer| answer.reply.as_str()).collect();
/// assert_eq!(texts, ["144", "Error (not found): there is no tool `root`; there are: square", "169"]);
/// # Ok::<(), mistral_tools::Error>(())
/// ```
#[derive(Clone, Copy)]
#[must_use = "the calls are made by `call` or `call_async`"]
pub struct Turn<'a> {
    conversation: Conversation<'a>,
    calls: &'a [TurnCall<'a>],
    limit: NonZeroUsize,
    observer: Option<&'a OnAnswer<'a>>,
    emitter: Option<&'a Emitter<Chunk>>,
    resumed: &'a [(PausedCall, Approval)],
}

/// What is done for a place of a turn.
#[derive(Clone, Copy)]
enum Job<'a> {
    Call(TurnCall<'a>),
    Resume(&'a PausedCall, &'a Approval),
}

/// The most threads per turn.
const MAX_THREADS: usize = 256;

/// Receives each answer: the place of the call, and its outcome.
pub type OnAnswer<'a> = dyn Fn(usize, &TurnAnswer) + Sync + 'a;

impl<'a> Turn<'a> {
    /// The most calls at once, unless [`limit`](Self::limit) says otherwise.
    pub const LIMIT: usize = 4;

    /// These calls within this conversation.
    pub const fn new(conversation: Conversation<'a>, calls: &'a [TurnCall<'a>]) -> Self {
        let (limit, observer, emitter) = (NonZeroUsize::MIN, None, None);
        Self { conversation, calls, limit, observer, emitter, resumed: &[] }.limit(Self::LIMIT)
    }

    /// Sets how many calls run at once; 0 counts as 1. A synchronous turn uses at most 256 threads, whatever the limit: the system ends a
    /// process that starts tens of thousands of threads.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = match NonZeroUsize::new(limit) {
            Some(limit) => limit,
            None => NonZeroUsize::MIN,
        };
        self
    }

    /// Passes each answer, with the place of its call, to `observer` as soon as the answer is there. The observer runs on the thread that
    /// made the call, or in the poll of the future.
    pub const fn on_answer(mut self, observer: &'a OnAnswer<'a>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Where the tools hand out chunks; each says of which call it is.
    pub const fn emitter(mut self, emitter: &'a Emitter<Chunk>) -> Self {
        self.emitter = Some(emitter);
        self
    }

    /// Ends these calls too, which were paused before and have been answered since, under the same limit. Their places come after
    /// those of the calls.
    pub const fn resume(mut self, answered: &'a [(PausedCall, Approval)]) -> Self {
        self.resumed = answered;
        self
    }

    /// Makes the calls.
    pub fn call(&self, registry: &ToolRegistry) -> Vec<TurnAnswer> {
        let next = AtomicUsize::new(0);
        let answers = Mutex::new(Vec::with_capacity(self.len()));
        let work = || {
            // Relaxed: the counter hands out places and orders nothing else.
            while let Some((place, job)) = self.take(next.fetch_add(1, Ordering::Relaxed)) {
                let (invocation, mut reply) = (self.invocation(place, job), Reply::new());
                let outcome = match job {
                    Job::Call(call) => registry.call(call.name, &invocation, call.arguments, &mut reply),
                    Job::Resume(paused, approval) => registry.resume(paused, approval.clone(), &invocation, &mut reply),
                };
                let answer = self.answered(place, TurnAnswer { reply, outcome });
                answers.lock().unwrap_or_else(PoisonError::into_inner).push((place, answer));
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.limit.get().min(self.len()).min(MAX_THREADS) {
                // Without another thread the calls wait their turn.
                if thread::Builder::new().name("tool call".into()).spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        in_order(answers.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the calls in one future, on any runtime or none. Asynchronous tools are polled here; synchronous tools run on threads of their
    /// own.
    ///
    /// Dropping the future drops the asynchronous calls and cancels the tokens of the synchronous calls. A synchronous tool that never
    /// looks at its token runs to its end, and its result is discarded. The same holds for a call whose conversation is
    /// [cancelled](CancellationToken).
    pub async fn call_async(&self, registry: &ToolRegistry) -> Vec<TurnAnswer> {
        let messages = OnceLock::new();
        let start = |place| {
            let (place, job) = self.take(place)?;
            let messages = &messages;
            let future: AnswerFuture<'_> = Box::pin(async move {
                let answer = match self.thread_for(place, job, registry, messages) {
                    Some(thread) => thread.answer().await,
                    None => {
                        let (invocation, mut reply) = (self.invocation(place, job), Reply::new());
                        let outcome = job.make(registry, &invocation, &mut reply).await;
                        TurnAnswer { reply, outcome }
                    }
                };
                (place, self.answered(place, answer))
            });
            Some(future)
        };
        let answers = Vec::with_capacity(self.len());
        in_order(Join { start, next: 0, limit: self.limit.get(), running: Vec::new(), answers }.await)
    }

    /// Starts a thread for a call whose tool is synchronous. If no thread can be started, the call is made in a poll.
    fn thread_for(
        &self,
        place: usize,
        job: Job<'a>,
        registry: &ToolRegistry,
        messages: &OnceLock<Arc<[Message]>>,
    ) -> Option<CallThread> {
        if matches!(job, Job::Resume(_, Approval::Denied(_)))
            || !registry.get(job.tool()).is_ok_and(|tool| tool.is_blocking())
        {
            return None;
        }
        let execution = self.conversation.execution();
        let parent = execution.token().cloned().unwrap_or_default();
        let order = Order {
            registry: registry.clone(),
            messages: Arc::clone(messages.get_or_init(|| self.conversation.messages().into())),
            extensions: self.conversation.extensions().cloned().unwrap_or_default(),
            turn: execution.turn(),
            token: parent.child(),
            emitter: self.emitter.cloned(),
            place,
            job: job.to_owned(),
        };
        let (emitter, answer) = Emitter::bounded(1, WhenFull::Block, CancellationToken::new());
        let call = CallThread { parent, token: order.token.clone(), answer };
        let run = move || {
            // Whether anybody still waits for it is not the tool's concern.
            let _ = emitter.try_emit(order.carry_out());
        };
        thread::Builder::new().name("tool call".into()).spawn(run).ok().map(|_| call)
    }

    fn len(&self) -> usize {
        self.calls.len().saturating_add(self.resumed.len())
    }

    fn take(&self, place: usize) -> Option<(usize, Job<'a>)> {
        let job = match place.checked_sub(self.calls.len()) {
            None => self.calls.get(place).copied().map(Job::Call),
            Some(after) => self.resumed.get(after).map(|(paused, approval)| Job::Resume(paused, approval)),
        };
        job.map(|job| (place, job))
    }

    fn invocation(&self, place: usize, job: Job<'a>) -> Invocation<'a> {
        let invocation = Invocation::new(match job {
            Job::Call(TurnCall { id: Some(id), .. }) => self.conversation.call_id(id),
            _ => self.conversation,
        });
        self.emitter.map_or(invocation, |emitter| invocation.with_emitter_of(emitter, place))
    }

    fn answered(&self, place: usize, answer: TurnAnswer) -> TurnAnswer {
        if let Some(observer) = self.observer {
            observer(place, &answer);
        }
        answer
    }
}

impl<'a> Job<'a> {
    fn tool(self) -> &'a str {
        match self {
            Self::Call(call) => call.name,
            Self::Resume(paused, _) => paused.tool(),
        }
    }

    async fn make(self, registry: &ToolRegistry, invocation: &Invocation<'_>, reply: &mut Reply) -> Outcome {
        match self {
            Self::Call(call) => registry.call_async(call.name, invocation, call.arguments, reply).await,
            Self::Resume(paused, approval) => registry.resume_async(paused, approval.clone(), invocation, reply).await,
        }
    }

    fn to_owned(self) -> OwnedJob {
        match self {
            Self::Call(TurnCall { id, name, arguments }) => {
                OwnedJob::Call { id: id.map(Into::into), name: name.into(), arguments: arguments.into() }
            }
            Self::Resume(paused, approval) => OwnedJob::Resume(Box::new((paused.clone(), approval.clone()))),
        }
    }
}

/// A [`Job`] for another thread.
enum OwnedJob {
    Call { id: Option<String>, name: String, arguments: Vec<u8> },
    Resume(Box<(PausedCall, Approval)>),
}

/// A call of a synchronous tool, with everything that the call needs on a thread of its own.
struct Order {
    registry: ToolRegistry,
    messages: Arc<[Message]>,
    extensions: Extensions,
    turn: u32,
    token: CancellationToken,
    emitter: Option<Emitter<Chunk>>,
    place: usize,
    job: OwnedJob,
}

impl Order {
    fn carry_out(self) -> TurnAnswer {
        let Self { registry, messages, extensions, turn, token, emitter, place, job } = self;
        let conversation = Conversation::new(&messages).turn(turn).with_token(&token).with_extensions(&extensions);
        let job = match &job {
            OwnedJob::Call { id, name, arguments } => Job::Call(TurnCall { id: id.as_deref(), name, arguments }),
            OwnedJob::Resume(resumed) => Job::Resume(&resumed.0, &resumed.1),
        };
        let mut turn = Turn::new(conversation, &[]);
        turn.emitter = emitter.as_ref();
        let (invocation, mut reply) = (turn.invocation(place, job), Reply::new());
        let outcome = block_on(job.make(&registry, &invocation, &mut reply));
        TurnAnswer { reply, outcome }
    }
}

/// A call under way on its thread. Dropping it cancels the call.
struct CallThread {
    parent: CancellationToken,
    token: CancellationToken,
    answer: Chunks<TurnAnswer>,
}

impl CallThread {
    async fn answer(mut self) -> TurnAnswer {
        let parent = self.parent.clone();
        let answer = poll_fn(|context| Pin::new(&mut self.answer).poll_next(context));
        match unless_cancelled(Some(&parent), answer).await {
            Some(Some(answer)) => answer,
            // The thread ended without an answer: what it ran has killed it.
            Some(None) => failed(ToolError::failed("the tool panicked")),
            None => failed(ToolError::new(ErrorKind::Cancelled, "the call was given up")),
        }
    }
}

impl Drop for CallThread {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

fn failed(error: ToolError) -> TurnAnswer {
    let (outcome, mut reply) = (Outcome::Error(error), Reply::new());
    reply.set_outcome(&outcome);
    TurnAnswer { reply, outcome }
}

fn in_order(mut answers: Vec<(usize, TurnAnswer)>) -> Vec<TurnAnswer> {
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

type AnswerFuture<'a> = Pin<Box<dyn Future<Output = (usize, TurnAnswer)> + Send + 'a>>;

/// Polls up to `limit` futures until `start` gives no more.
struct Join<'a, S> {
    start: S,
    next: usize,
    limit: usize,
    running: Vec<AnswerFuture<'a>>,
    answers: Vec<(usize, TurnAnswer)>,
}

impl<'a, S: FnMut(usize) -> Option<AnswerFuture<'a>> + Unpin> Future for Join<'a, S> {
    type Output = Vec<(usize, TurnAnswer)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { start, next, limit, running, answers } = &mut *self;
        let mut poll = |running: &mut Vec<AnswerFuture<'a>>, at: usize| {
            let ready = running.get_mut(at).map(|future| future.as_mut().poll(context));
            let Some(Poll::Ready(answer)) = ready else { return false };
            answers.push(answer);
            drop(running.swap_remove(at));
            true
        };
        let mut at = 0;
        while at < running.len() {
            at += usize::from(!poll(running, at));
        }
        while running.len() < *limit
            && let Some(future) = start(*next)
        {
            *next += 1;
            running.push(future);
            let last = running.len() - 1;
            poll(running, last);
        }
        if running.is_empty() { Poll::Ready(std::mem::take(answers)) } else { Poll::Pending }
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Turn").field("calls", &self.calls).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{Arc, Barrier},
        task::Waker,
    };

    use super::*;
    use crate::{
        builder::{schema::SchemaType, steps::ToolBuilder},
        registry::ToolBatch,
        sync::park::block_on,
    };

    /// How many are under way, and the most that ever were.
    #[derive(Default)]
    struct Gauge {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Gauge {
        fn enter(&self) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
        }

        fn leave(&self) {
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn registry(gauge: &Arc<Gauge>, barrier: &Arc<Barrier>) -> ToolRegistry {
        let tool = |name| ToolBuilder::named(name).description("");
        let number = SchemaType::JsonSchema(r#"{"type": "integer"}"#);
        let mut batch = ToolBatch::new();
        batch.add(
            tool("meet")
                .with((gauge.clone(), barrier.clone()))
                .request_schema::<usize>(number)
                .result_schema::<usize>(SchemaType::Serde)
                .on_invocation(|_, _, number, (gauge, barrier)| {
                    gauge.enter();
                    barrier.wait();
                    gauge.leave();
                    Ok(number)
                })
                .build()
                .unwrap(),
        );
        batch.add(
            tool("wait")
                .with(gauge.clone())
                .request_schema::<usize>(number)
                .result_schema::<usize>(SchemaType::Serde)
                .on_invocation_async(async |_, _, number, gauge| {
                    gauge.enter();
                    let mut polls = 0;
                    poll_fn(|context| {
                        polls += 1;
                        context.waker().wake_by_ref();
                        // Later calls end earlier.
                        if polls + number < 20 { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                    gauge.leave();
                    Ok(number)
                })
                .build()
                .unwrap(),
        );
        let registry = ToolRegistry::new();
        registry.publish(batch).unwrap();
        registry
    }

    fn texts(answers: &[TurnAnswer]) -> Vec<&str> {
        answers.iter().map(|answer| answer.reply.as_str()).collect()
    }

    const NUMBERS: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];

    #[test]
    fn threads_run_as_many_as_the_limit_says() {
        // Calls meet in threes: with fewer at once none would end.
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(3)));
        let registry = registry(&gauge, &barrier);
        let calls = NUMBERS.map(|number| TurnCall::new("meet", number));
        let seen = Mutex::new(Vec::new());
        let on_answer =
            |place: usize, answer: &TurnAnswer| seen.lock().unwrap().push((place, answer.outcome.is_success()));
        let turn = Turn::new(Conversation::default(), &calls).limit(3).on_answer(&on_answer);
        assert_eq!(texts(&turn.call(&registry)), NUMBERS);
        assert_eq!(gauge.most.load(Ordering::SeqCst), 3);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..12).map(|place| (place, true)).collect::<Vec<_>>());
    }

    #[test]
    fn no_limit_starts_more_threads_than_a_process_can_have() {
        // Calls meet in groups as large as the bound: with fewer threads none would end, with more the gauge would show it.
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(MAX_THREADS)));
        let registry = registry(&gauge, &barrier);
        let numbers: Vec<String> = (0..2 * MAX_THREADS).map(|number| number.to_string()).collect();
        let calls: Vec<TurnCall<'_>> = numbers.iter().map(|number| TurnCall::new("meet", number)).collect();
        let turn = Turn::new(Conversation::default(), &calls).limit(usize::MAX);
        assert_eq!(texts(&turn.call(&registry)), numbers);
        assert_eq!(gauge.most.load(Ordering::SeqCst), MAX_THREADS);
    }

    #[test]
    fn futures_run_as_many_as_the_limit_says() {
        for (limit, most) in [(0, 1), (1, 1), (5, 5), (12, 12), (100, 12)] {
            let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(1)));
            let registry = registry(&gauge, &barrier);
            let calls = NUMBERS.map(|number| TurnCall::new("wait", number).with_id(number));
            let turn = Turn::new(Conversation::default(), &calls).limit(limit);
            assert_eq!(texts(&block_on(turn.call_async(&registry))), NUMBERS);
            assert_eq!(gauge.most.load(Ordering::SeqCst), most);
            assert_eq!(texts(&turn.call(&registry)), NUMBERS, "asynchronous tools run on threads too");
        }
    }

    #[test]
    fn synchronous_tools_hold_no_poll_up() {
        // Calls meet in threes, so they must run at once; the one that polls is not among them.
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(3)));
        let registry = registry(&gauge, &barrier);
        let paused = PausedCall::new("meet", "12", "Sure?").with_call_id("c");
        let (calls, resumed) = (NUMBERS.map(|number| TurnCall::new("meet", number)), [(paused, Approval::Approved)]);
        let turn = Turn::new(Conversation::default(), &calls[1..]).resume(&resumed).limit(3);
        let mut future = Box::pin(turn.call_async(&registry));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(texts(&block_on(future)), [&NUMBERS[1..], &["12"]].concat());
        assert_eq!(gauge.most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn synchronous_calls_are_cancelled_by_a_drop_and_given_up_by_their_token() {
        let (sender, said) = std::sync::mpsc::channel();
        let wait = ToolBuilder::named("wait")
            .description("")
            .with(Mutex::new(sender))
            .request_schema::<bool>(SchemaType::JsonSchema(r#"{"type": "boolean"}"#))
            .result_schema::<()>(SchemaType::Serde)
            .on_invocation(|conversation, _, deaf, sender| {
                let say = |text| sender.lock().unwrap().send(text).unwrap();
                say("begun");
                while deaf || !conversation.execution().is_cancelled() {
                    thread::sleep(std::time::Duration::from_millis(1));
                }
                say("cancelled");
                Ok::<_, ToolError>(())
            })
            .build()
            .unwrap();
        let registry = ToolRegistry::new();
        let mut batch = ToolBatch::new();
        batch.add(wait);
        registry.publish(batch).unwrap();
        let calls = [TurnCall::new("wait", "false")];
        let turn = Turn::new(Conversation::default(), &calls);
        let mut future = Box::pin(turn.call_async(&registry));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(said.recv(), Ok("begun"));
        drop(future);
        assert_eq!(said.recv(), Ok("cancelled"));

        let (token, calls) = (crate::conversation::cancel::CancellationToken::new(), [TurnCall::new("wait", "true")]);
        let turn = Turn::new(Conversation::default().with_token(&token), &calls);
        thread::scope(|scope| {
            let token = &token;
            scope.spawn(move || {
                assert_eq!(said.recv(), Ok("begun"));
                token.cancel();
            });
            // The tool never looks at its token and never ends.
            let answers = block_on(turn.call_async(&registry));
            assert_eq!(texts(&answers), ["Error (cancelled): the call was given up"]);
        });
    }

    #[test]
    fn executors_may_move_calls_between_threads() {
        fn sent<T: Send>(value: T) -> T {
            value
        }
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(1)));
        let registry = registry(&gauge, &barrier);
        let calls = [TurnCall::new("wait", "7")];
        let turn = Turn::new(Conversation::default(), &calls);
        assert_eq!(texts(&block_on(sent(turn.call_async(&registry)))), ["7"]);
        let (invocation, mut reply) = (Invocation::default(), Reply::new());
        let call = sent(registry.call_async("wait", &invocation, b"8", &mut reply));
        assert!(block_on(call).is_success() && reply.as_str() == "8");
    }

    #[test]
    fn dropped_turns_drop_their_calls() {
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(1)));
        let registry = registry(&gauge, &barrier);
        let calls = [TurnCall::new("wait", "0"), TurnCall::new("wait", "1")];
        let turn = Turn::new(Conversation::default(), &calls).limit(2);
        let mut future = Box::pin(turn.call_async(&registry));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(future);
        assert_eq!(gauge.now.load(Ordering::SeqCst), 2, "neither came to its end");
    }

    #[test]
    fn resumed_calls_run_together_with_the_others() {
        // Calls meet in fours: two new ones, and two that were approved.
        let (gauge, barrier) = (Arc::default(), Arc::new(Barrier::new(4)));
        let registry = registry(&gauge, &barrier);
        let calls = [TurnCall::new("meet", "0"), TurnCall::new("meet", "1")];
        let paused = |number| PausedCall::new("meet", number, "Sure?").with_call_id("c");
        let answered = [
            (paused("2"), Approval::Approved),
            (paused("3"), Approval::Denied("no".into())),
            (paused("4"), Approval::Approved),
        ];
        let turn = Turn::new(Conversation::default(), &calls).resume(&answered).limit(4);
        assert_eq!(texts(&turn.call(&registry)), ["0", "1", "2", "Denied: no", "4"]);
        assert_eq!(gauge.most.load(Ordering::SeqCst), 4);
        let answered = [(PausedCall::new("wait", "5", "Sure?"), Approval::Approved)];
        let turn = Turn::new(Conversation::default(), &[]).resume(&answered);
        assert_eq!(texts(&block_on(turn.call_async(&registry))), ["5"]);
    }

    #[test]
    fn no_calls_are_answered_by_nothing() {
        let turn = Turn::new(Conversation::default(), &[]);
        assert!(
            turn.call(&ToolRegistry::new()).is_empty() && block_on(turn.call_async(&ToolRegistry::new())).is_empty()
        );
    }

    #[test]
    fn chunks_say_of_which_call_they_are_and_hold_their_tool_back() {
        let count = ToolBuilder::named("count")
            .description("")
            .request_schema::<u32>(SchemaType::JsonSchema(r#"{"type": "integer"}"#))
            .result_schema::<u32>(SchemaType::Serde)
            .on_invocation_async(async |_, emitter, to, ()| {
                for number in 0..to {
                    emitter.emit(number.to_string()).await?;
                }
                Ok(to)
            })
            .build()
            .unwrap();
        let registry = ToolRegistry::new();
        let mut batch = ToolBatch::new();
        batch.add(count);
        registry.publish(batch).unwrap();

        let calls = [TurnCall::new("count", "3"), TurnCall::new("count", "0"), TurnCall::new("count", "2")];
        let (emitter, mut chunks) = Emitter::bounded(
            1,
            crate::stream::emitter::WhenFull::Block,
            crate::conversation::cancel::CancellationToken::new(),
        );
        let turn = Turn::new(Conversation::default(), &calls).emitter(&emitter);
        let mut future = Box::pin(turn.call_async(&registry));
        let mut context = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        let answers = loop {
            if let Poll::Ready(answers) = future.as_mut().poll(&mut context) {
                break answers;
            }
            assert_eq!(chunks.len(), 1, "tools wait while the queue is full");
            seen.extend(chunks.try_next().map(|chunk| (chunk.call, chunk.text)));
        };
        seen.extend(chunks.try_next().map(|chunk| (chunk.call, chunk.text)));
        assert_eq!(texts(&answers), ["3", "0", "2"]);
        for (call, numbers) in [(0, 3), (1, 0), (2, 2)] {
            let own: Vec<_> = seen.iter().filter(|(of, _)| *of == call).map(|(_, text)| text.clone()).collect();
            assert_eq!(own, (0..numbers).map(|number: i32| number.to_string()).collect::<Vec<_>>());
        }

        drop(future);
        drop(chunks);
        let answers = block_on(turn.call_async(&registry));
        assert_eq!(
            texts(&answers)[..2],
            ["Error (failed): the tool failed", "0"],
            "nobody listens: tools that emit end"
        );
    }
}
