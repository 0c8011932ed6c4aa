//! A conversation that is kept: a tree of messages with one path through it, trimmed to a budget of tokens, saved and loaded.

pub(crate) mod message_id;
mod stored;
#[cfg(test)]
mod tests;
mod trim;

use std::collections::{BTreeMap, BTreeSet};

use mistral_tools::Content;
use serde::{Deserialize, Serialize};

use mistral_tools::{Message, Role};

use crate::agent::suspended::Suspended;
use crate::error::Error;
use crate::event::Usage;

pub use self::message_id::MessageId;

/// A conversation with its branches, to be kept, trimmed, stored and continued.
///
/// Messages form a tree, and the conversation is the path from the root to the head. Editing a message or asking again keeps the old path
/// as a branch. While messages are only added, each prompt begins with the previous prompt, so that the computation for the previous prompt
/// can be reused. [`fit`](Self::fit) seldom changes the beginning, because it cuts more than it has to.
///
/// An [`Agent`](crate::Agent) drives a session by itself: [`Agent::chat`](crate::Agent::chat) adds the messages, trims the prompt to the
/// context, makes the calls of tools and keeps everything that happens.
///
/// ```
/// use mistral_core::{Agent, ChatSession, Model, tools::ToolRegistry};
///
/// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
/// let mut session = ChatSession::with_system("You are kind.");
/// let answer = agent.chat(&mut session, "Hello, who are you?")?.complete()?;
/// assert_eq!(session.usage(), answer.usage);
///
/// let json = session.save();
/// assert_eq!(ChatSession::load(&json)?.messages().count(), 2);
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// A session does not know a model. To drive a session by hand, ask a model with its [`prompt`](Self::prompt):
///
/// ```
/// use mistral_core::{ChatSession, Message, Model};
///
/// let (model, mut session) = (Model::embedded()?, ChatSession::new());
/// session.push(Message::user("Hello, who are you?"));
/// let tokens = session.fit(300, |messages| Ok(model.tokens(messages.to_vec())?.len()))?;
/// let answer = model.chat(session.prompt())?.complete()?;
/// assert_eq!(answer.usage.prompt_tokens, tokens);
/// session.record(answer.usage);
/// session.push(Message::assistant(answer.text));
/// # Ok::<(), mistral_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatSession {
    system: Option<String>,
    nodes: Vec<Node>,
    head: Option<MessageId>,
    /// Messages that are left out of prompts.
    dropped: BTreeSet<MessageId>,
    /// What is said in their place.
    summary: Option<String>,
    usage: Usage,
    /// Exchanges that wait for approvals, by the message after which they wait.
    suspended: BTreeMap<MessageId, Suspended>,
}

/// A message and the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    parent: Option<MessageId>,
    message: Message,
}

/// A state of a session before messages were added.
pub(crate) struct Mark {
    len: usize,
    head: Option<MessageId>,
    dropped: BTreeSet<MessageId>,
}

impl ChatSession {
    /// Makes an empty session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a session with a system prompt. An agent's own [instructions](crate::Agent::instructions) come before it.
    pub fn with_system(text: impl Into<String>) -> Self {
        Self { system: Some(text.into()), ..Self::default() }
    }

    /// Returns the system prompt.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Replaces the system prompt, for all branches.
    pub fn set_system(&mut self, text: Option<String>) {
        self.system = text;
    }

    /// Adds a message after the head. Results of tools must follow the message that called them.
    pub fn push(&mut self, message: Message) -> MessageId {
        let id = MessageId(self.nodes.len());
        self.nodes.push(Node { parent: self.head, message });
        self.head = Some(id);
        id
    }

    /// Adds messages, such as what an agent's [answer](crate::AgentAnswer::messages) brought.
    pub fn extend(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.push(message);
        }
    }

    /// Returns the messages of the path, oldest first, without the system prompt. Messages that prompts leave out are included.
    pub fn messages(&self) -> impl Iterator<Item = (MessageId, &Message)> {
        self.path().into_iter().filter_map(|id| Some((id, self.message(id)?)))
    }

    /// Returns a message of any branch.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.nodes.get(id.0).map(|node| &node.message)
    }

    /// Returns the messages to ask a model with: the system prompt, including the summary if there is one, and the messages that are not
    /// left out. Consecutive messages of the user are joined into one, as chat templates expect: the answer between them may have failed.
    pub fn prompt(&self) -> Vec<Message> {
        self.assemble(&self.dropped, self.summary.as_deref())
    }

    /// Adds the tokens of an answer, a summary or an exchange to the usage of the session. [`Agent::chat`](crate::Agent::chat) does this by
    /// itself.
    pub fn record(&mut self, usage: Usage) {
        let Usage { prompt_tokens, generated_tokens } = &mut self.usage;
        *prompt_tokens = prompt_tokens.saturating_add(usage.prompt_tokens);
        *generated_tokens = generated_tokens.saturating_add(usage.generated_tokens);
    }

    /// Returns the tokens that were [recorded](Self::record), over all branches. A prompt counts each time that it was read.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns the summary that stands in for messages that were left out.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Returns the exchange whose calls wait for approval after the head, if there is one.
    /// [`Agent::resume_chat`](crate::Agent::resume_chat) continues the exchange. A suspended exchange is saved with the session and belongs
    /// to its branch.
    pub fn suspended(&self) -> Option<&Suspended> {
        self.suspended.get(&self.head?)
    }

    /// Removes the suspended exchange from the session and returns it. The session then ends before the calls that waited.
    pub fn take_suspended(&mut self) -> Option<Suspended> {
        self.suspended.remove(&self.head?)
    }

    /// Replaces a message of the user on a new branch, whose head is the new message.
    ///
    /// # Errors
    /// [`Error::UnknownMessage`] if no message of the user has this id.
    pub fn edit(&mut self, id: MessageId, content: impl Into<Content>) -> Result<MessageId, Error> {
        let node = self.nodes.get(id.0).filter(|node| node.message.role == Role::User);
        let (parent, mut message) = node.map(|node| (node.parent, node.message.clone())).ok_or(unknown(id))?;
        message.content = content.into();
        self.head = parent;
        let edited = self.push(message);
        self.keep_cut();
        Ok(edited)
    }

    /// Moves the head back to the last message of the user, so that the next answer is a new branch. Returns `None`, and changes nothing,
    /// if the user has not said anything. `agent.chat(&mut session, [])` then asks again.
    pub fn regenerate(&mut self) -> Option<MessageId> {
        let user = self.messages().filter(|(_, message)| message.role == Role::User).last()?.0;
        self.head = Some(user);
        self.keep_cut();
        Some(user)
    }

    /// Returns the last messages of all branches, oldest first.
    pub fn branches(&self) -> Vec<MessageId> {
        let parents: BTreeSet<MessageId> = self.nodes.iter().filter_map(|node| node.parent).collect();
        (0..self.nodes.len()).map(MessageId).filter(|id| !parents.contains(id)).collect()
    }

    /// Returns the versions of a message: all messages that follow the same message, including this one.
    pub fn versions(&self, id: MessageId) -> Vec<MessageId> {
        let Some(node) = self.nodes.get(id.0) else { return Vec::new() };
        let same = |other: &MessageId| self.nodes.get(other.0).is_some_and(|other| other.parent == node.parent);
        (0..self.nodes.len()).map(MessageId).filter(same).collect()
    }

    /// Moves the head to the latest end of a message's branch.
    ///
    /// # Errors
    /// [`Error::UnknownMessage`].
    pub fn switch(&mut self, id: MessageId) -> Result<MessageId, Error> {
        if id.0 >= self.nodes.len() {
            return Err(unknown(id));
        }
        let mut end = id;
        // A message comes after its parent, so one pass finds the latest of each generation; later ones win.
        for (index, node) in self.nodes.iter().enumerate().skip(id.0 + 1) {
            if node.parent.is_some_and(|parent| parent == end || self.descends(parent, id)) {
                end = MessageId(index);
            }
        }
        self.head = Some(end);
        self.keep_cut();
        Ok(end)
    }

    /// Returns the message that the next message will follow.
    pub fn head(&self) -> Option<MessageId> {
        self.head
    }

    /// Whether `from` is `ancestor` or comes after it.
    fn descends(&self, from: MessageId, ancestor: MessageId) -> bool {
        let mut at = Some(from);
        while let Some(id) = at.filter(|id| *id >= ancestor) {
            if id == ancestor {
                return true;
            }
            at = self.nodes.get(id.0).and_then(|node| node.parent);
        }
        false
    }

    /// Returns the state to which [`rewind`](Self::rewind) can return.
    pub(crate) fn mark(&self) -> Mark {
        Mark { len: self.nodes.len(), head: self.head, dropped: self.dropped.clone() }
    }

    /// Undoes all additions and trims since a mark.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.nodes.truncate(mark.len);
        (self.head, self.dropped) = (mark.head, mark.dropped);
    }

    /// Keeps an exchange that waits for approvals after the head.
    pub(crate) fn suspend(&mut self, suspended: Suspended) {
        if let Some(head) = self.head {
            self.suspended.insert(head, suspended);
        }
    }

    /// Replaces the content of a kept tool result that was shortened since.
    pub(crate) fn shorten(&mut self, id: MessageId, result: &Message) {
        let kept = self.nodes.get_mut(id.0).map(|node| &mut node.message);
        if let Some(kept) = kept.filter(|kept| kept.role == Role::Tool && kept.tool_call_id == result.tool_call_id)
            && kept.content != result.content
        {
            kept.content.clone_from(&result.content);
        }
    }

    /// Ids from the root to the head. Parents are older than their children, so this ends.
    pub(crate) fn path(&self) -> Vec<MessageId> {
        let next = |id: &MessageId| self.nodes.get(id.0).and_then(|node| node.parent);
        let mut path: Vec<MessageId> = std::iter::successors(self.head, next).collect();
        path.reverse();
        path
    }

    fn assemble(&self, dropped: &BTreeSet<MessageId>, summary: Option<&str>) -> Vec<Message> {
        let system = match (self.system.as_deref(), summary) {
            (system, None) => system.map(str::to_owned),
            (None, Some(summary)) => Some(format!("Summary of what was said before:\n{summary}")),
            (Some(system), Some(summary)) => Some(format!("{system}\n\nSummary of what was said before:\n{summary}")),
        };
        let mut messages: Vec<Message> = system.map(Message::system).into_iter().collect();
        for (_, message) in self.messages().filter(|(id, _)| !dropped.contains(id)) {
            match messages.last_mut() {
                Some(last) if last.role == Role::User && message.role == Role::User && last.name == message.name => {
                    last.content.push_text("\n\n");
                    last.content.append(&message.content);
                }
                _ => messages.push(message.clone()),
            }
        }
        messages
    }

    /// Forgets the cut and its summary unless the path still contains all cut messages.
    fn keep_cut(&mut self) {
        let path: BTreeSet<MessageId> = self.path().into_iter().collect();
        if !self.dropped.is_subset(&path) {
            self.dropped.clear();
            self.summary = None;
        }
    }
}

fn unknown(id: MessageId) -> Error {
    Error::UnknownMessage { id }
}
