//! A running exchange: a model makes its turns, and a registry its calls.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_core::stream::{FusedStream, Stream};
use mistral_tools::{
    Approval, CancellationToken, ErrorKind, Message, PausedCall, Role, ToolSpec, block_on,
    time::{SystemClock, Timer},
};

use super::calling::{Called, Calling, Orders};
use super::{Agent, Constraints};
use crate::agent::event::{AgentEvent, CallEnd};
use crate::agent::exchange::{AgentStep, Exchange};
use crate::agent::limits::AgentStop;
use crate::agent::suspended::Suspended;
use crate::error::Error;
use crate::event::Usage;
use crate::generation::Generation;
use crate::prompt::Prompt;

/// An exchange in progress, returned by [`Agent::run`]. Read its events with a `for` loop, which blocks the thread between events, or as a
/// [`Stream`] from any executor; [`complete`](Self::complete) reads the rest. The events end after [`AgentEvent::Finished`] or the first
/// error.
///
/// ```
/// use mistral_core::tools::ToolRegistry;
/// use mistral_core::{Agent, AgentEvent, Model};
/// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
/// let mut run = agent.run("Hello, who are you?")?;
/// let mut text = String::new();
/// for event in &mut run {
///     if let AgentEvent::Text(piece) = event? {
///         text += &piece;
///         break; // the rest is not lost
///     }
/// }
/// assert!(run.complete()?.text.starts_with(&text));
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// Nothing happens unless the events are read: each read carries out the next step of the [`Exchange`]. Dropping the run cancels the
/// generation and the calls. A synchronous tool that never looks at its token runs to its end on its own thread, and its result is
/// discarded.
///
/// After a run ends for any reason, [`messages`](Self::messages) returns the conversation so far, in which every call has its result. To
/// try again after an error, run the agent with these messages.
///
/// A task reads the run with `while let Some(event) = run.next().await`, where `next` comes from `StreamExt` of `futures-util` or `tokio-stream`.
///
/// # Runtimes
/// Asynchronous tools are polled where the run is polled; synchronous tools run on threads of their own. The table shows which runtime an
/// asynchronous tool finds if it needs one, such as tokio:
///
/// | the run is read | the tool |
/// |---|---|
/// | as a [`Stream`], in a task | uses the runtime of the task |
/// | by a `for` loop, on a thread outside the runtime | finds none and panics, which ends as an error of its call; within `Runtime::enter` it uses that runtime |
/// | by a `for` loop, on a worker of several | can wait for timers and sockets; tasks that it spawns may wait for the blocked worker, unless the loop is within `block_in_place` |
/// | by a `for` loop, on the only thread of a runtime | never ends, because nobody drives the runtime; read the stream instead |
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
    /// The error that ended the run, if any.
    error: Option<Error>,
    done: bool,
}

/// A blocking iterator over the events of an [`AgentRun`] or a [`ChatRun`](super::ChatRun), returned by their `into_iter` and `iter`.
#[derive(Debug)]
pub struct AgentEvents<R = AgentRun>(pub(super) R);

/// The outcome of an exchange.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AgentAnswer {
    /// The last message of the model; empty if the exchange ended with results of tools.
    pub text: String,
    /// The messages that the exchange added to the conversation: those of the model, and the results of its calls.
    pub messages: Vec<Message>,
    /// The tokens of all turns.
    pub usage: Usage,
    /// Why the exchange ended.
    pub stop: AgentStop,
    /// The state for [`Agent::resume`], if calls [wait for approval](AgentStop::Paused). After [`Agent::chat`], the session holds this
    /// state instead.
    pub suspended: Option<Suspended>,
}

/// What is under way.
enum Work {
    Nothing,
    Generating(Generation),
    Calling(Box<Calling>),
}

impl AgentRun {
    pub(super) fn new(
        agent: Agent,
        mut exchange: Exchange,
        specs: Vec<ToolSpec>,
        constraints: Constraints,
        decisions: Vec<(usize, PausedCall, Approval)>,
    ) -> Self {
        let (work, token) = (Work::Nothing, CancellationToken::new());
        let (suspended, error) = (None, None);
        exchange.report(constraints.unenforced());
        Self { agent, exchange, specs, constraints, decisions, work, token, suspended, error, done: false }
    }

    /// Returns a blocking iterator that borrows the run. Events that were already read are not repeated.
    pub fn iter(&mut self) -> AgentEvents<&mut Self> {
        AgentEvents(self)
    }

    /// Asks the run to end. The generation ends within one step, the tokens of the tools are cancelled, and the last event is
    /// [`AgentStop::Cancelled`].
    pub fn cancel(&self) {
        self.token.cancel();
        if let Work::Generating(generation) = &self.work {
            generation.cancel();
        }
    }

    /// Returns the token that cancels the run from elsewhere. Calls that wait are woken at once; a generation ends at its next token.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Returns the conversation so far, including the messages with which the run began; see [`Exchange::messages`].
    pub fn messages(&self) -> &[Message] {
        self.exchange.messages()
    }

    /// Returns the state of the loop: messages, tokens used, waiting calls.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Returns the state for [`Agent::resume`] after [`AgentStop::Paused`].
    pub fn suspended(&self) -> Option<&Suspended> {
        self.suspended.as_ref()
    }

    /// Blocks until the run ends, and drops unread events. Later calls return the same result.
    ///
    /// # Errors
    /// The error that ended the run, even if an event has already reported it. The run keeps its [`messages`](Self::messages).
    pub fn complete(&mut self) -> Result<AgentAnswer, Error> {
        self.iter().try_for_each(|event| event.map(drop))?;
        self.answer()
    }

    /// Returns the outcome, once all events were read.
    pub(super) fn answer(&self) -> Result<AgentAnswer, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let messages = self.exchange.added().to_vec();
        let text = messages.last().filter(|m| m.role == Role::Assistant).map(|m| m.content.to_string());
        let (text, usage) = (text.unwrap_or_default(), self.exchange.usage());
        let stop = self.exchange.stop().unwrap_or(AgentStop::Cancelled);
        Ok(AgentAnswer { text, messages, usage, stop, suspended: self.suspended.clone() })
    }

    /// Ends the run now. The messages keep everything that was said and done, and calls without a result are answered with errors.
    pub(super) fn give_up(&mut self) {
        self.token.cancel();
        if let Work::Calling(calling) = &mut self.work {
            calling.drain(&mut self.exchange);
        }
        self.work = Work::Nothing;
        self.exchange.cancel(AgentStop::Cancelled);
    }

    /// Removes and returns the state that [`suspended`](Self::suspended) shows.
    pub(super) fn take_suspended(&mut self) -> Option<Suspended> {
        self.suspended.take()
    }

    fn poll_event(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<AgentEvent, Error>>> {
        loop {
            if let Some(event) = self.exchange.poll_event() {
                self.done = matches!(event, AgentEvent::Finished(_));
                let failed = event == AgentEvent::Finished(AgentStop::Failed);
                return Poll::Ready(Some(match self.error.clone().filter(|_| failed) {
                    Some(error) => Err(error),
                    None => Ok(event),
                }));
            }
            if self.done {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_work(task)) {
                (self.work, self.error) = (Work::Nothing, Some(error));
                self.token.cancel();
                self.exchange.cancel(AgentStop::Failed);
            }
        }
    }

    /// Advances the current piece of work by one poll.
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
                        let reason = generation
                            .reason()
                            .ok_or(Error::Internal { what: "a generation ended without a reason" })?;
                        self.exchange.end(reason, generation.usage().unwrap_or_default());
                        self.work = Work::Nothing;
                    }
                }
                Poll::Ready(Ok(()))
            }
            Work::Calling(calling) => {
                match ready!(calling.poll(&mut self.exchange, task)) {
                    Called::Something => {}
                    Called::TimeOver => {
                        self.token.cancel();
                        calling.drain(&mut self.exchange);
                        self.exchange.cancel(AgentStop::Time);
                        self.work = Work::Nothing;
                    }
                    Called::Everything => {
                        if self.token.is_cancelled() {
                            self.exchange.cancel(AgentStop::Cancelled);
                        }
                        let left: Vec<usize> = self.exchange.calls().map(|(index, _)| index).collect();
                        for index in left {
                            let text = "Error (failed): the call was lost";
                            self.exchange.answer(index, CallEnd::Error(ErrorKind::Failed), text);
                        }
                        self.work = Work::Nothing;
                    }
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Starts what is next.
    fn start(&mut self) -> Result<(), Error> {
        if self.token.is_cancelled() {
            self.exchange.cancel(AgentStop::Cancelled);
        }
        if !self.decisions.is_empty() && self.exchange.stop().is_none() {
            self.call();
            return Ok(());
        }
        match self.exchange.next(Instant::now()) {
            AgentStep::Generate { max_tokens } => self.generate(max_tokens)?,
            AgentStep::Call => self.call(),
            AgentStep::Approve => self.suspended = self.exchange.suspend(),
            // Only a generation that was lost leaves a turn open.
            AgentStep::Push => return Err(Error::Internal { what: "a turn is open, but nothing generates" }),
            // Its event is on the way.
            AgentStep::Finished(_) => {}
        }
        Ok(())
    }

    fn generate(&mut self, max_tokens: Option<usize>) -> Result<(), Error> {
        let Self { agent, exchange, specs, .. } = self;
        if exchange.added().last().is_some_and(|message| message.role == Role::Tool) {
            agent.fit(specs, |budget, count| exchange.fit(budget, count))?;
        }
        let prompt = agent.render(exchange.messages(), specs)?;
        exchange.begin(&prompt);
        let mut request = agent.request.clone();
        request.prompt = Prompt::Tokens(agent.model.text().rendered_tokens(&prompt)?);
        request.max_tokens = [request.max_tokens, max_tokens].into_iter().flatten().min();
        request.deadline = [request.deadline, exchange.deadline()].into_iter().flatten().min();
        request.special_text = true;
        // The choice of a tool is kept in the first turn; a suspended exchange has had that.
        let Constraints { first, later } = &self.constraints;
        let constraint = if exchange.turn() == 0 { first } else { later };
        request.constraint = constraint.clone().map(|constraint| Arc::new(constraint.after(&prompt)) as _);
        self.work = match agent.model.generate(request) {
            Ok(generation) => Work::Generating(generation),
            // The time ran out while the prompt was rendered.
            Err(Error::DeadlinePassed) => {
                exchange.cancel(AgentStop::Time);
                Work::Nothing
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn call(&mut self) {
        let orders = Orders {
            registry: Arc::clone(&self.agent.registry),
            extensions: self.agent.extensions.clone(),
            messages: self.exchange.messages().to_vec(),
            calls: self.exchange.calls().map(|(index, call)| (index, call.clone())).collect(),
            decisions: std::mem::take(&mut self.decisions),
            turn: self.exchange.turn(),
            parallel: self.agent.limits.parallel_calls,
            token: self.token.child(),
        };
        let wait = self.exchange.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.work = Work::Calling(Box::new(Calling::new(orders, wait.map(|wait| SystemClock.sleep(wait)))));
    }
}

impl<R: Stream<Item = Result<AgentEvent, Error>> + Unpin> Iterator for AgentEvents<R> {
    type Item = Result<AgentEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(std::future::poll_fn(|task| Pin::new(&mut self.0).poll_next(task)))
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
