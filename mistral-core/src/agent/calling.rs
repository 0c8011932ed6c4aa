//! The running calls of a turn: one future, polled by the reader of the run.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use mistral_tools::{
    Approval, CancellationToken, Content, Conversation, Extensions, Message, PausedCall, ToolRegistry, Turn,
    TurnAnswer, TurnCall,
    stream::{Chunk, Chunks, Emitter, WhenFull},
    time::Sleep,
};
use serde_json::Value;

use crate::agent::event::{CallEnd, RequestedCall};
use crate::agent::exchange::Exchange;

/// The most unread chunks of all tools in a turn; a tool that emits more chunks waits.
const CHUNKS: usize = 64;

/// Everything that the calls need.
pub(super) struct Orders {
    pub(super) registry: Arc<ToolRegistry>,
    pub(super) extensions: Extensions,
    pub(super) messages: Vec<Message>,
    /// The calls, each with its index in the turn. `decisions` are indexed in the same way.
    pub(super) calls: Vec<(usize, RequestedCall)>,
    pub(super) decisions: Vec<(usize, PausedCall, Approval)>,
    pub(super) turn: u32,
    pub(super) parallel: usize,
    pub(super) token: CancellationToken,
}

/// Calls that are under way.
pub(super) struct Calling {
    /// The future of the calls; `None` when all calls have ended.
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    chunks: Chunks<Chunk>,
    answers: Answers,
    /// The index in the turn of each call, in the order of the chunks' places. Calls with an approval decision come last.
    places: Vec<usize>,
    deadline: Option<Sleep>,
}

/// Answers that wait to be read.
type Answers = Arc<Mutex<VecDeque<Ended>>>;

/// How a call ended.
struct Ended {
    index: usize,
    end: CallEnd,
    content: Content,
    structured: Option<Value>,
    /// The error with its source, if it has one.
    error: Option<String>,
}

/// The result of a poll of [`Calling`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// A chunk or an answer, which was passed to the exchange.
    Something,
    /// All calls have ended.
    Everything,
    /// The time limit has passed.
    TimeOver,
}

impl Calling {
    /// Makes the future of the calls; the calls begin with the first poll.
    pub(super) fn new(orders: Orders, deadline: Option<Sleep>) -> Self {
        let (calls, decisions) = (orders.calls.iter().map(|(at, _)| *at), orders.decisions.iter().map(|(at, ..)| *at));
        let places: Vec<usize> = calls.chain(decisions).collect();
        let (emitter, chunks) = Emitter::bounded(CHUNKS, WhenFull::Block, orders.token.clone());
        let answers = Answers::default();
        let turn = carry_out(orders, emitter, places.clone(), Arc::clone(&answers));
        Self { turn: Some(Box::pin(turn)), chunks, answers, places, deadline }
    }

    pub(super) fn poll(&mut self, exchange: &mut Exchange, task: &mut Context<'_>) -> Poll<Called> {
        if self.deadline.as_mut().is_some_and(|deadline| Pin::new(deadline).poll(task).is_ready()) {
            return Poll::Ready(Called::TimeOver);
        }
        // Calls are polled at each event, so that one that hands out chunks without end does not stop the others. A panic that the
        // registry does not contain ends the calls, not the reader; those without an answer are lost.
        if let Some(turn) = &mut self.turn
            && catch_unwind(AssertUnwindSafe(|| turn.as_mut().poll(task))).map_or(true, |poll| poll.is_ready())
        {
            self.turn = None;
        }
        match self.take(exchange, task) {
            true => Poll::Ready(Called::Something),
            false if self.turn.is_none() => Poll::Ready(Called::Everything),
            false => Poll::Pending,
        }
    }

    /// Passes all available answers to the exchange when the run ends early, so that finished calls keep their results.
    pub(super) fn drain(&mut self, exchange: &mut Exchange) {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        answers.into_iter().for_each(|ended| ended.pass(exchange));
    }

    /// Passes one chunk or answer to the exchange, if there is one.
    fn take(&mut self, exchange: &mut Exchange, task: &mut Context<'_>) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // The look at the answers comes first: the chunks of a call whose answer is there are all in their queue, and go before it.
        let answered = !answers.is_empty();
        if let Poll::Ready(Some(Chunk { call, text })) = Pin::new(&mut self.chunks).poll_next(task) {
            if let Some(&call) = self.places.get(call) {
                exchange.chunk(Chunk { call, text });
            }
            return true;
        }
        if answered && let Some(ended) = answers.pop_front() {
            ended.pass(exchange);
        }
        answered
    }
}

impl Ended {
    fn pass(self, exchange: &mut Exchange) {
        if let Some(error) = self.error {
            exchange.failed(self.index, error);
        }
        if let Some(value) = self.structured {
            exchange.structured(self.index, value);
        }
        exchange.answer(self.index, self.end, self.content);
    }
}

async fn carry_out(orders: Orders, emitter: Emitter<Chunk>, places: Vec<usize>, answers: Answers) {
    let Orders { registry, extensions, messages, calls, decisions, turn, parallel, token } = orders;
    let conversation = Conversation::new(&messages).turn(turn).with_token(&token).with_extensions(&extensions);
    let borrowed: Vec<TurnCall<'_>> = calls
        .iter()
        .map(|(_, call)| TurnCall { id: Some(&call.id), name: &call.name, arguments: call.arguments.as_bytes() })
        .collect();
    let decided: Vec<(PausedCall, Approval)> =
        decisions.into_iter().map(|(_, paused, approval)| (paused, approval)).collect();
    let on_answer = |place: usize, answer: &TurnAnswer| {
        if let Some(&index) = places.get(place) {
            let error = answer.outcome.error().filter(|error| error.source().is_some()).map(ToString::to_string);
            let (end, content) = (CallEnd::from(&answer.outcome), answer.reply.content());
            let answer = Ended { index, end, content, structured: answer.reply.structured().cloned(), error };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
        }
    };
    let turn = Turn::new(conversation, &borrowed).resume(&decided).limit(parallel);
    turn.on_answer(&on_answer).emitter(&emitter).call_async(&registry).await;
}
