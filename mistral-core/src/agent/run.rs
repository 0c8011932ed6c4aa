//! An exchange that is run: over a model for its turns, and a thread for the calls of each.

use std::borrow::BorrowMut;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Instant;

use futures_core::stream::{FusedStream, Stream};
use mistral_tools::{
    Answer, Approval, Call, CancellationToken, Chunk, Chunks, Conversation, Emitter, ErrorKind, PausedCall, Sleep,
    SystemClock, Timer, ToolRegistry, ToolSpec, Turn, WhenFull, block_on,
};

use super::{Agent, AgentEvent, CallEnd, Constraints, Exchange, Next, RequestedCall, Stop, Suspended};
use crate::{Error, Generation, Message, Prompt, Usage};

/// Chunks of all tools of a turn that wait to be read; a tool that emits more waits.
const CHUNKS: usize = 64;

/// An exchange in progress, from [`Agent::run`]: its events by a `for` loop, which blocks the thread between them, or as a
/// [`Stream`] from any executor. It ends after [`AgentEvent::Finished`] or the first error.
///
/// Nothing goes on unless somebody reads: each read does what the [`Exchange`] says is next. Dropping it cancels the generation and
/// the calls; a tool that does not look at its token runs to its end on its own thread, unheard.
#[must_use = "nothing happens unless the events are read"]
pub struct AgentRun {
    agent: Agent,
    exchange: Exchange,
    specs: Vec<ToolSpec>,
    constraints: Constraints,
    decisions: Vec<(usize, PausedCall, Approval)>,
    work: Work,
    token: CancellationToken,
    suspended: Option<Suspended>,
    done: bool,
}

/// A blocking iterator over the events of an [`AgentRun`]; from its `into_iter` and `iter`.
#[derive(Debug)]
pub struct AgentEvents<R = AgentRun>(R);

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AgentAnswer {
    /// What the model said last.
    pub text: String,
    /// What the exchange added to the conversation: the model's messages and the results of its calls.
    pub messages: Vec<Message>,
    /// Tokens of all turns.
    pub usage: Usage,
    /// Why it ended.
    pub stop: Stop,
    /// If it [is paused](Stop::Paused), what is needed to go on.
    pub suspended: Option<Suspended>,
}

/// What is under way.
enum Work {
    Nothing,
    Generating(Generation),
    Calling(Box<Calling>),
}

/// Calls that run on a thread of their own.
struct Calling {
    chunks: Chunks<Chunk>,
    answers: Chunks<(usize, CallEnd, String)>,
    /// An answer whose tool handed out chunks before it, which go first.
    held: Option<(usize, CallEnd, String)>,
    /// The index in the turn of each call that the thread makes.
    places: Vec<usize>,
    deadline: Option<Sleep>,
}

/// What the thread is to do.
struct Orders {
    registry: Arc<ToolRegistry>,
    messages: Vec<Message>,
    calls: Vec<(usize, RequestedCall)>,
    decisions: Vec<(usize, PausedCall, Approval)>,
    turn: u32,
    parallel: usize,
    token: CancellationToken,
}

impl AgentRun {
    pub(super) fn new(
        agent: Agent,
        exchange: Exchange,
        specs: Vec<ToolSpec>,
        constraints: Constraints,
        decisions: Vec<(usize, PausedCall, Approval)>,
    ) -> Self {
        let (work, token) = (Work::Nothing, CancellationToken::new());
        Self { agent, exchange, specs, constraints, decisions, work, token, suspended: None, done: false }
    }

    /// Goes on to the next event and gives it; `None` after the end. A step blocks for as long as the model or a tool takes.
    ///
    /// ```
    /// use mistral_core::tools::ToolRegistry;
    /// use mistral_core::{Agent, AgentEvent, Message, Model};
    /// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
    /// let mut run = agent.run([Message::user("Hello, who are you?")])?;
    /// let mut text = String::new();
    /// while let Some(event) = run.step()? {
    ///     if let AgentEvent::Text(piece) = event {
    ///         text += &piece;
    ///     }
    ///     if text.len() > 20 {
    ///         run.cancel(); // whatever the host wants between two steps
    ///     }
    /// }
    /// assert!(run.exchange().stop().is_some() && run.complete()?.text.contains(&text));
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// What ended the exchange: a prompt that is too long, a full queue, a failing model.
    pub fn step(&mut self) -> Result<Option<AgentEvent>, Error> {
        block_on(std::future::poll_fn(|task| self.poll_event(task))).transpose()
    }

    /// Blocks for each event; what was read already does not come again.
    pub fn iter(&mut self) -> AgentEvents<&mut Self> {
        AgentEvents(self)
    }

    /// Asks for the end: the generation ends within one step, tools are told by their token, and the last event is
    /// [`Stop::Cancelled`].
    pub fn cancel(&self) {
        self.token.cancel();
        if let Work::Generating(generation) = &self.work {
            generation.cancel();
        }
    }

    /// Cancels from elsewhere. Calls that wait are woken at once; a generation ends at its next token.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The state of the loop: the messages so far, tokens used, calls that wait.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// After [`Stop::Paused`]: what is needed to go on by [`Agent::resume`].
    pub fn suspended(&self) -> Option<&Suspended> {
        self.suspended.as_ref()
    }

    /// Blocks until the end; events that were not read are dropped.
    ///
    /// # Errors
    /// The error that ended the exchange.
    pub fn complete(mut self) -> Result<AgentAnswer, Error> {
        let mut stop = None;
        while let Some(event) = self.step()? {
            if let AgentEvent::Finished(reason) = event {
                stop = Some(reason);
            }
        }
        // Its last event may have been read before.
        let stop = stop.or(self.stop()).unwrap_or(Stop::Cancelled);
        let messages = self.exchange.added().to_vec();
        let text = messages.last().filter(|m| m.role == crate::Role::Assistant).map(|m| m.content.clone());
        let (text, usage) = (text.unwrap_or_default(), self.exchange.usage());
        Ok(AgentAnswer { text, messages, usage, stop, suspended: self.suspended.take() })
    }

    fn stop(&self) -> Option<Stop> {
        self.exchange.stop()
    }

    fn poll_event(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<AgentEvent, Error>>> {
        loop {
            if let Some(event) = self.exchange.poll_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.done {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_work(task)) {
                (self.work, self.done) = (Work::Nothing, true);
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Goes on by one bit of work.
    fn poll_work(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.work {
            Work::Nothing => Poll::Ready(self.start()),
            Work::Generating(generation) => {
                if self.token.is_cancelled() {
                    generation.cancel();
                }
                match ready!(Pin::new(&mut *generation).poll_next(task)) {
                    Some(piece) => self.exchange.push(&piece?.text),
                    None => {
                        let reason = generation.reason().ok_or(Error::WorkerPanicked)?;
                        self.exchange.end(reason, generation.usage().unwrap_or_default());
                        self.work = Work::Nothing;
                    }
                }
                Poll::Ready(Ok(()))
            }
            Work::Calling(calling) => {
                if let Some(deadline) = &mut calling.deadline
                    && Pin::new(deadline).poll(task).is_ready()
                {
                    self.token.cancel();
                    self.exchange.cancel(Stop::Time);
                    self.work = Work::Nothing;
                    return Poll::Ready(Ok(()));
                }
                if !ready!(calling.poll(&mut self.exchange, task)) {
                    if self.token.is_cancelled() {
                        self.exchange.cancel(Stop::Cancelled);
                    }
                    // A thread that ended without its answers was killed by what it ran.
                    let left: Vec<usize> = self.exchange.calls().map(|(index, _)| index).collect();
                    for index in left {
                        let text = "Error (failed): the call was lost";
                        self.exchange.answer(index, CallEnd::Error(ErrorKind::Handler), text);
                    }
                    self.work = Work::Nothing;
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Starts what is next.
    fn start(&mut self) -> Result<(), Error> {
        if self.token.is_cancelled() {
            self.exchange.cancel(Stop::Cancelled);
        }
        if !self.decisions.is_empty() && self.exchange.stop().is_none() {
            return self.call();
        }
        match self.exchange.next(Instant::now()) {
            Next::Generate { max_tokens } => self.generate(max_tokens)?,
            Next::Call => self.call()?,
            Next::Approve => self.suspended = self.exchange.suspend(),
            // Only a generation that was lost leaves a turn open.
            Next::Push => return Err(Error::WorkerPanicked),
            Next::Finished(_) => self.done = true,
        }
        Ok(())
    }

    fn generate(&mut self, max_tokens: Option<usize>) -> Result<(), Error> {
        let Agent { model, request, .. } = &self.agent;
        let mut request = request.clone();
        let variables = match &request.prompt {
            Prompt::Chat { variables, .. } => variables.clone(),
            _ => serde_json::Map::new(),
        };
        let prompt = model.text().render(self.exchange.messages(), &self.specs, &variables)?;
        self.exchange.begin(&prompt);
        request.prompt = Prompt::Tokens(model.text().rendered_tokens(&prompt)?);
        request.max_tokens = [request.max_tokens, max_tokens].into_iter().flatten().min();
        request.deadline = [request.deadline, self.exchange.deadline()].into_iter().flatten().min();
        request.special_text = true;
        // The choice of a tool is kept in the first turn; a suspended exchange has had that.
        let Constraints { first, later } = &self.constraints;
        let constraint = if self.exchange.turn() == 0 { first } else { later };
        request.constraint = constraint.clone().map(|constraint| constraint.after(&prompt));
        self.work = match model.generate(request) {
            Ok(generation) => Work::Generating(generation),
            // The time ran out while the prompt was rendered.
            Err(Error::DeadlinePassed) => {
                self.exchange.cancel(Stop::Time);
                Work::Nothing
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn call(&mut self) -> Result<(), Error> {
        let orders = Orders {
            registry: Arc::clone(&self.agent.registry),
            messages: self.exchange.messages().to_vec(),
            calls: self.exchange.calls().map(|(index, call)| (index, call.clone())).collect(),
            decisions: std::mem::take(&mut self.decisions),
            turn: self.exchange.turn(),
            parallel: self.agent.limits.parallel_calls,
            token: self.token.child(),
        };
        let places = orders.places();
        let count = places.len();
        let (emitter, chunks) = Emitter::bounded(CHUNKS, WhenFull::Block, orders.token.clone());
        let (answered, answers) = Emitter::bounded(count, WhenFull::Block, orders.token.clone());
        let thread = thread::Builder::new().name("mistral-tools".into());
        let spawned = thread.spawn(move || orders.carry_out(&emitter, &answered));
        drop(spawned.map_err(|error| Error::Thread(Arc::new(error)))?);
        let wait = self.exchange.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let deadline = wait.map(|wait| SystemClock.sleep(wait));
        self.work = Work::Calling(Box::new(Calling { chunks, answers, held: None, places, deadline }));
        Ok(())
    }
}

impl Calling {
    /// Hands on a chunk or an answer; false when there will be no more of either.
    fn poll(&mut self, exchange: &mut Exchange, task: &mut Context<'_>) -> Poll<bool> {
        if self.held.is_none() {
            // Answers first: the chunks that came before one are in their queue by then, and go before it.
            match Pin::new(&mut self.answers).poll_next(task) {
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Ready(answer) => self.held = answer,
                Poll::Pending => {}
            }
        }
        match (Pin::new(&mut self.chunks).poll_next(task), self.held.take()) {
            (Poll::Ready(Some(Chunk { call, text })), held) => {
                if let Some(&call) = self.places.get(call) {
                    exchange.chunk(Chunk { call, text });
                }
                self.held = held;
                Poll::Ready(true)
            }
            (_, Some((index, end, text))) => {
                exchange.answer(index, end, &text);
                Poll::Ready(true)
            }
            _ => Poll::Pending,
        }
    }
}

impl Orders {
    /// The index in the turn of each call, in the order of their places: those that were decided on come last.
    fn places(&self) -> Vec<usize> {
        self.calls.iter().map(|(index, _)| *index).chain(self.decisions.iter().map(|(index, ..)| *index)).collect()
    }

    fn carry_out(self, emitter: &Emitter<Chunk>, answered: &Emitter<(usize, CallEnd, String)>) {
        let places = self.places();
        let Self { registry, messages, calls, decisions, turn, parallel, token } = self;
        let conversation = Conversation::new(&messages).turn(turn).with_token(&token);
        let borrowed: Vec<Call<'_>> = calls
            .iter()
            .map(|(_, call)| Call { id: Some(&call.id), name: &call.name, arguments: call.arguments.as_bytes() })
            .collect();
        let decided: Vec<(PausedCall, Approval)> =
            decisions.into_iter().map(|(_, paused, approval)| (paused, approval)).collect();
        let on_answer = |place: usize, answer: &Answer| {
            if let Some(&index) = places.get(place) {
                let told = (index, CallEnd::from(&answer.outcome), answer.reply.as_str().to_owned());
                // Nobody listens any more: there is room for an answer to each.
                let _ = answered.try_emit(told);
            }
        };
        let turn = Turn::new(conversation, &borrowed).resume(&decided).limit(parallel);
        turn.on_answer(&on_answer).emitter(emitter).call(&registry);
    }
}

impl<R: BorrowMut<AgentRun>> Iterator for AgentEvents<R> {
    type Item = Result<AgentEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.borrow_mut().step().transpose()
    }
}

impl IntoIterator for AgentRun {
    type Item = Result<AgentEvent, Error>;
    type IntoIter = AgentEvents;

    fn into_iter(self) -> AgentEvents {
        AgentEvents(self)
    }
}

impl<'a> IntoIterator for &'a mut AgentRun {
    type Item = Result<AgentEvent, Error>;
    type IntoIter = AgentEvents<&'a mut AgentRun>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Stream for AgentRun {
    type Item = Result<AgentEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(task)
    }
}

impl FusedStream for AgentRun {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for AgentRun {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl fmt::Debug for AgentRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRun").field("exchange", &self.exchange).field("done", &self.done).finish_non_exhaustive()
    }
}
