//! What a tool may see of the conversation that called it.

pub(crate) mod cancel;
pub(crate) mod extensions;

use std::slice;

use crate::{
    conversation::{cancel::CancellationToken, extensions::Extensions},
    message::{Message, Role},
};

/// A read-only view of the messages and of the state of the call itself. It borrows everything, is copied for free, and
/// iterates without allocating.
///
/// ```
/// use mistral_tools::{Conversation, Message, Role};
///
/// let messages = [Message::system("Be brief."), Message::user("Weather in Paris?"), Message::assistant("")];
/// let conversation = Conversation::new(&messages).turn(2).call_id("c1");
/// assert_eq!(conversation.iter().filter(|message| message.role == Role::User).count(), 1);
/// assert_eq!(conversation.last(Role::User).unwrap().content, "Weather in Paris?");
/// assert_eq!((conversation.execution().turn(), conversation.execution().call_id()), (2, Some("c1")));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Conversation<'a> {
    messages: &'a [Message],
    execution: Execution<'a>,
    extensions: Option<&'a Extensions>,
}

impl<'a> Conversation<'a> {
    /// A view of these messages, in the first turn.
    pub const fn new(messages: &'a [Message]) -> Self {
        let execution = Execution { turn: 0, attempt: 0, call_id: None, approved: false, token: None };
        Self { messages, execution, extensions: None }
    }

    /// The same in another turn.
    #[must_use]
    pub const fn turn(mut self, turn: u32) -> Self {
        self.execution.turn = turn;
        self
    }

    /// The same for the call of this id.
    #[must_use]
    pub const fn call_id(mut self, id: &'a str) -> Self {
        self.execution.call_id = Some(id);
        self
    }

    /// The messages so far, oldest first.
    pub const fn messages(&self) -> &'a [Message] {
        self.messages
    }

    /// The messages so far, oldest first.
    pub fn iter(&self) -> slice::Iter<'a, Message> {
        self.messages.iter()
    }

    /// The latest message of this role.
    pub fn last(&self, role: Role) -> Option<&'a Message> {
        self.messages.iter().rev().find(|message| message.role == role)
    }

    /// Where the call stands.
    pub const fn execution(&self) -> Execution<'a> {
        self.execution
    }

    /// The same under a token: who cancels it gives the call up.
    #[must_use]
    pub const fn with_token(mut self, token: &'a CancellationToken) -> Self {
        self.execution.token = Some(token);
        self
    }

    /// Lends values of the run to the tools that are called.
    #[must_use]
    pub const fn with_extensions(mut self, extensions: &'a Extensions) -> Self {
        self.extensions = Some(extensions);
        self
    }

    /// Returns the value of this type that the host [lent](Self::with_extensions) to the run.
    ///
    /// ```
    /// use mistral_tools::{Conversation, Extensions};
    ///
    /// struct User(&'static str);
    ///
    /// let values = Extensions::new().with(User("Ada"));
    /// let conversation = Conversation::default().with_extensions(&values);
    /// assert_eq!(conversation.get::<User>().map(|user| user.0), Some("Ada"));
    /// ```
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions.and_then(Extensions::get)
    }

    pub(crate) const fn of(
        messages: &'a [Message],
        execution: Execution<'a>,
        extensions: Option<&'a Extensions>,
    ) -> Self {
        Self { messages, execution, extensions }
    }

    pub(crate) const fn extensions(&self) -> Option<&'a Extensions> {
        self.extensions
    }

    /// The same after this many more retries.
    pub(crate) const fn retried(mut self, retries: u32) -> Self {
        self.execution.attempt = self.execution.attempt.saturating_add(retries);
        self
    }

    /// The same for a call that was paused and approved.
    pub(crate) const fn approved(mut self, turn: u32, call_id: Option<&'a str>) -> Self {
        self.execution.approved = true;
        self.execution.turn = turn;
        self.execution.call_id = call_id;
        self
    }
}

impl<'a> IntoIterator for Conversation<'a> {
    type Item = &'a Message;
    type IntoIter = slice::Iter<'a, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Execution<'a> {
    turn: u32,
    attempt: u32,
    call_id: Option<&'a str>,
    approved: bool,
    token: Option<&'a CancellationToken>,
}

impl<'a> Execution<'a> {
    pub(crate) const fn of(
        turn: u32,
        attempt: u32,
        call_id: Option<&'a str>,
        approved: bool,
        token: Option<&'a CancellationToken>,
    ) -> Self {
        Self { turn, attempt, call_id, approved, token }
    }

    /// The turn of the model that made the call, from 0.
    pub const fn turn(&self) -> u32 {
        self.turn
    }

    /// How often the call was tried before: 0 at the first attempt.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The id of the call, where the model or the host gave one.
    pub const fn call_id(&self) -> Option<&'a str> {
        self.call_id
    }

    /// Whether the call was paused for approval and approved.
    pub const fn is_approved(&self) -> bool {
        self.approved
    }

    /// Says when the call is given up, if the caller wants to be able to.
    pub const fn token(&self) -> Option<&'a CancellationToken> {
        self.token
    }

    /// Whether the call was given up. A long synchronous function looks now and then.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_some_and(CancellationToken::is_cancelled)
    }
}
