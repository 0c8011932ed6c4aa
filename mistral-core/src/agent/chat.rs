//! A run that keeps a session up to date.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};
use mistral_tools::{Approval, PausedCall};

use super::Agent;
use crate::agent::event::AgentEvent;
use crate::agent::messages::IntoMessages;
use crate::agent::run::{AgentAnswer, AgentEvents, AgentRun};
use crate::error::Error;
use crate::event::Usage;
use crate::session::ChatSession;
use crate::session::message_id::MessageId;

/// An [`AgentRun`] that stores its messages in a [`ChatSession`]; returned by [`Agent::chat`]. Read it like the run: with a `for` loop, as
/// a [`Stream`], or all at once with [`complete`](Self::complete).
///
/// After each event, the session holds the tokens used and all messages so far whose calls have results. An error, a cancellation or a drop
/// loses nothing: the session keeps the conversation, and calls without a result are answered with an error. Calls that wait for approval
/// are kept as the [suspended](ChatSession::suspended) exchange.
#[must_use = "nothing happens unless the events are read"]
pub struct ChatRun<'s> {
    run: AgentRun,
    session: &'s mut ChatSession,
    /// The messages of the exchange that the session already holds.
    kept: Vec<MessageId>,
    recorded: Usage,
}

impl Agent {
    /// Answers the user within a session. The run adds the messages, leaves out the oldest exchanges if the prompt is too long, and stores
    /// everything that happens in the session. An empty list asks again with the existing messages, for instance after an error.
    ///
    /// ```
    /// use mistral_core::tools::ToolRegistry;
    /// use mistral_core::{Agent, ChatSession, Model};
    ///
    /// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
    /// let mut session = ChatSession::new();
    /// let answer = agent.chat(&mut session, "Hello, who are you?")?.complete()?;
    /// println!("{}", answer.text);
    /// assert_eq!(session.messages().count(), 2);
    /// assert_eq!(session.usage(), answer.usage);
    /// let stored = session.save(); // JSON
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`run`](Self::run), [`Error::PromptTooLong`] if the messages alone do not fit, and [`Error::SessionSuspended`] while
    /// calls wait for approval. On an error, the session is unchanged.
    pub fn chat<'s>(&self, session: &'s mut ChatSession, messages: impl IntoMessages) -> Result<ChatRun<'s>, Error> {
        if let Some(suspended) = session.suspended() {
            return Err(Error::SessionSuspended { calls: suspended.paused().count() });
        }
        let mark = session.mark();
        session.extend(messages.into_messages());
        match self.begin(session) {
            Ok(run) => Ok(ChatRun { run, session, kept: Vec::new(), recorded: Usage::default() }),
            Err(error) => {
                session.rewind(mark);
                Err(error)
            }
        }
    }

    /// Continues the exchange that is [suspended](ChatSession::suspended) at the end of a session: asks `decide` about each call that
    /// waits, makes the approved calls, and tells the model about the denied ones.
    ///
    /// # Errors
    /// [`Error::SessionNotSuspended`], and the errors of [`resume`](Self::resume). On an error, the session is unchanged.
    pub fn resume_chat<'s>(
        &self,
        session: &'s mut ChatSession,
        decide: impl FnMut(&PausedCall) -> Approval,
    ) -> Result<ChatRun<'s>, Error> {
        let suspended = session.suspended().cloned().ok_or(Error::SessionNotSuspended)?;
        let run = self.resume(suspended, decide)?;
        session.take_suspended();
        let (path, kept) = (session.path(), run.exchange().settled().len());
        let kept = path.get(path.len().saturating_sub(kept)..).unwrap_or_default().to_vec();
        let recorded = run.exchange().usage();
        Ok(ChatRun { run, session, kept, recorded })
    }

    /// Begins a run from a session's prompt, which is trimmed to leave room for the answer.
    fn begin(&self, session: &mut ChatSession) -> Result<AgentRun, Error> {
        let (_, specs) = self.prepare()?;
        if session.head().is_some() {
            self.fit(&specs, |budget, count| session.fit(budget, count))?;
        }
        self.run(&*session)
    }
}

impl ChatRun<'_> {
    /// Returns a blocking iterator that borrows the run. Events that were already read are not repeated.
    pub fn iter(&mut self) -> AgentEvents<&mut Self> {
        AgentEvents(self)
    }

    /// Blocks until the run ends. Unread events are dropped.
    ///
    /// # Errors
    /// The error that ended the run. The session keeps what happened before.
    pub fn complete(mut self) -> Result<AgentAnswer, Error> {
        self.iter().try_for_each(|event| event.map(drop))?;
        self.run.answer()
    }

    /// Returns the session as it is now.
    pub fn session(&self) -> &ChatSession {
        self.session
    }

    /// Brings the session up to date.
    fn keep(&mut self) {
        let exchange = self.run.exchange();
        for (index, message) in exchange.settled().iter().enumerate() {
            match self.kept.get(index) {
                // Results are shortened when the context fills up.
                Some(&id) => self.session.shorten(id, message),
                None => self.kept.push(self.session.push(message.clone())),
            }
        }
        let Usage { prompt_tokens, generated_tokens } = exchange.usage();
        self.session.record(Usage {
            prompt_tokens: prompt_tokens.saturating_sub(self.recorded.prompt_tokens),
            generated_tokens: generated_tokens.saturating_sub(self.recorded.generated_tokens),
        });
        self.recorded = exchange.usage();
        if let Some(suspended) = self.run.take_suspended() {
            self.session.suspend(suspended);
        }
    }
}

/// Dereferences to the run, to cancel it and to look at its state.
impl Deref for ChatRun<'_> {
    type Target = AgentRun;

    fn deref(&self) -> &AgentRun {
        &self.run
    }
}

impl Stream for ChatRun<'_> {
    type Item = Result<AgentEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(Pin::new(&mut self.run).poll_next(task));
        self.keep();
        Poll::Ready(event)
    }
}

impl FusedStream for ChatRun<'_> {
    fn is_terminated(&self) -> bool {
        self.run.is_terminated()
    }
}

impl<'s> IntoIterator for ChatRun<'s> {
    type Item = Result<AgentEvent, Error>;
    type IntoIter = AgentEvents<ChatRun<'s>>;

    fn into_iter(self) -> Self::IntoIter {
        AgentEvents(self)
    }
}

impl<'a, 's> IntoIterator for &'a mut ChatRun<'s> {
    type Item = Result<AgentEvent, Error>;
    type IntoIter = AgentEvents<&'a mut ChatRun<'s>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Drop for ChatRun<'_> {
    fn drop(&mut self) {
        self.run.give_up();
        self.keep();
    }
}

impl fmt::Debug for ChatRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChatRun").field(&self.run).finish()
    }
}
