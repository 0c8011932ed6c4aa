//! A conversation that is kept: a tree of messages with one path through it, trimmed to a budget of tokens, saved and loaded.

mod stored;
#[cfg(test)]
mod tests;
mod trim;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Message, Role, Usage};

/// A conversation with its branches. It knows no model: [`prompt`](Self::prompt) is what to ask one with, and what it answers is
/// [`extend`](Self::extend)ed.
///
/// Messages are a tree, and the conversation is the path from its root to the head. Editing a message or asking again leaves the
/// old path there as a branch. As long as messages are only added, each prompt begins with the one before it, so that what was
/// computed for that can be used again; [`fit`](Self::fit) changes the beginning seldom, by cutting more than it has to.
///
/// ```
/// use mistral_core::{ChatSession, Message, Model};
///
/// let model = Model::embedded()?;
/// let mut session = ChatSession::with_system("You are kind.");
/// session.push(Message::user("Hello, who are you?"));
/// let tokens = session.fit(300, |messages| Ok(model.tokens(messages.to_vec())?.len()))?;
/// let answer = model.chat(session.prompt())?.complete()?;
/// assert_eq!(answer.usage.prompt_tokens, tokens);
/// session.record(answer.usage);
/// session.push(Message::assistant(answer.text));
///
/// let json = session.save();
/// assert_eq!(ChatSession::load(&json)?.messages().count(), 2);
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// With tools, an [`Agent`](crate::Agent) answers, and what it added to the conversation is kept as a whole:
///
/// ```
/// # use mistral_core::{Agent, ChatSession, Error, Message, Model, tools::ToolRegistry};
/// # fn turn(agent: &Agent, session: &mut ChatSession) -> Result<String, Error> {
/// session.push(Message::user("What is 37 * 43?"));
/// let answer = agent.run(session.prompt())?.complete()?;
/// session.record(answer.usage);
/// session.extend(answer.messages); // calls, results, the answer
/// # Ok(answer.text)
/// # }
/// # let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
/// # let mut session = ChatSession::new();
/// # turn(&agent, &mut session)?;
/// # assert!(session.messages().count() >= 2 && session.usage().generated_tokens > 0);
/// # Ok::<(), Error>(())
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
}

/// The number of a message within its session, in the order of arrival over all branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(usize);

/// A message and the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    parent: Option<MessageId>,
    message: Message,
}

impl ChatSession {
    /// An empty session.
    pub fn new() -> Self {
        Self::default()
    }

    /// A session with a system prompt.
    pub fn with_system(text: impl Into<String>) -> Self {
        Self { system: Some(text.into()), ..Self::default() }
    }

    /// The system prompt.
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

    /// The messages of the path, oldest first, without the system prompt; those that prompts leave out too.
    pub fn messages(&self) -> impl Iterator<Item = (MessageId, &Message)> {
        self.path().into_iter().filter_map(|id| Some((id, self.message(id)?)))
    }

    /// A message of any branch.
    pub fn message(&self, id: MessageId) -> Option<&Message> {
        self.nodes.get(id.0).map(|node| &node.message)
    }

    /// What a model is asked with: the system prompt, a summary in it if there is one, and the messages that are not left out.
    pub fn prompt(&self) -> Vec<Message> {
        self.assemble(&self.dropped, self.summary.as_deref())
    }

    /// Adds to the tokens that the session has cost: of an answer, a summary, an exchange. Branches that were left cost too.
    pub fn record(&mut self, usage: Usage) {
        let Usage { prompt_tokens, generated_tokens } = &mut self.usage;
        *prompt_tokens = prompt_tokens.saturating_add(usage.prompt_tokens);
        *generated_tokens = generated_tokens.saturating_add(usage.generated_tokens);
    }

    /// The tokens that were [recorded](Self::record), over all branches. A prompt counts each time it was given.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What is said in place of messages that were left out.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Says something else in place of a message of the user: a new branch, whose head is the new message.
    ///
    /// # Errors
    /// [`Error::UnknownMessage`] if there is none of the user with this id.
    pub fn edit(&mut self, id: MessageId, content: impl Into<String>) -> Result<MessageId, Error> {
        let node = self.nodes.get(id.0).filter(|node| node.message.role == Role::User);
        let (parent, mut message) = node.map(|node| (node.parent, node.message.clone())).ok_or(unknown(id))?;
        message.content = content.into();
        self.head = parent;
        let edited = self.push(message);
        self.keep_cut();
        Ok(edited)
    }

    /// Goes back to the last message of the user, so that the next answer is a new branch. `None`, and nothing changes, if the user
    /// has said nothing.
    pub fn regenerate(&mut self) -> Option<MessageId> {
        let user = self.messages().filter(|(_, message)| message.role == Role::User).last()?.0;
        self.head = Some(user);
        self.keep_cut();
        Some(user)
    }

    /// The last messages of all branches, oldest first.
    pub fn branches(&self) -> Vec<MessageId> {
        let parents: BTreeSet<MessageId> = self.nodes.iter().filter_map(|node| node.parent).collect();
        (0..self.nodes.len()).map(MessageId).filter(|id| !parents.contains(id)).collect()
    }

    /// The messages that stand in the same place as this one, itself included: its other versions.
    pub fn versions(&self, id: MessageId) -> Vec<MessageId> {
        let Some(node) = self.nodes.get(id.0) else { return Vec::new() };
        let same = |other: &MessageId| self.nodes.get(other.0).is_some_and(|other| other.parent == node.parent);
        (0..self.nodes.len()).map(MessageId).filter(same).collect()
    }

    /// Goes over to the branch of a message: to its latest end.
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

    /// The message that the next one will follow.
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

    /// Ids from the root to the head. Parents are older than their children, so this ends.
    fn path(&self) -> Vec<MessageId> {
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
        let kept = self.messages().filter(|(id, _)| !dropped.contains(id)).map(|(_, message)| message.clone());
        system.map(Message::system).into_iter().chain(kept).collect()
    }

    /// Keeps what was cut if the path still has all of it; otherwise the next fit begins anew.
    fn keep_cut(&mut self) {
        let path: BTreeSet<MessageId> = self.path().into_iter().collect();
        if !self.dropped.is_subset(&path) {
            self.dropped.clear();
            self.summary = None;
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.0)
    }
}

fn unknown(id: MessageId) -> Error {
    Error::UnknownMessage { id }
}
