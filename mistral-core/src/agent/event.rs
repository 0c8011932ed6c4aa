//! The events of an exchange.

use mistral_tools::{Content, ErrorKind, Outcome, PausedCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::limits::AgentStop;
use crate::constraint::report::Unenforced;
use crate::event::Usage;

/// Something that happened in an [`Exchange`](super::Exchange), in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// A part of a tool's schema that is not enforced while the model writes calls. Comes at the beginning of a run.
    Unenforced(Unenforced),
    /// More text of the answer, or of the text that the model writes next to its calls.
    Text(String),
    /// More of what the model thinks.
    Reasoning(String),
    /// The model begins to write a call. The call may still go wrong: a call that is made comes as [`Call`](Self::Call).
    CallBegun {
        /// Counts the calls of the turn.
        index: usize,
        /// The tool, as the model wrote it.
        name: String,
    },
    /// More of the arguments of the call that was begun last.
    Arguments {
        /// The index of the call.
        index: usize,
        /// The text that continues the earlier texts.
        text: String,
    },
    /// A turn of the model ended.
    Usage {
        /// The tokens of the turn.
        turn: Usage,
        /// The tokens of all turns so far. A prompt counts each time that it is read.
        total: Usage,
        /// The cost of all turns, at the price of the limits.
        cost: f64,
    },
    /// A call is about to be made.
    Call(RequestedCall),
    /// A piece that a tool hands out before its result.
    Chunk {
        /// The call's id.
        id: String,
        /// The piece.
        text: String,
    },
    /// The error behind a failed call, for the host's log: a foreign error, which the model never reads. [`Answer`](Self::Answer) follows.
    ToolFailed {
        /// The call's id.
        id: String,
        /// The kind, the text for the model, and the foreign error, as [`ToolError`](mistral_tools::ToolError) displays them.
        error: String,
    },
    /// The result of a call as a value for the host; the model reads only the content. [`Answer`](Self::Answer) follows.
    Structured {
        /// The call's id.
        id: String,
        /// The value that the tool set with [`Reply::set_structured`](mistral_tools::Reply::set_structured).
        value: Value,
    },
    /// A call has come to an end, or waits for approval.
    Answer {
        /// The call.
        call: RequestedCall,
        /// How the call ended.
        end: CallEnd,
        /// The whole result, or the text of the error. If it is too long for the model, [`Shortened`](Self::Shortened) follows.
        content: Content,
    },
    /// The model reads only the beginning of a result, because the whole exceeds a limit or does not fit the context. The same result
    /// may be shortened again later.
    Shortened {
        /// The call's id.
        id: String,
        /// How many bytes of the result the model reads.
        kept: usize,
        /// How many bytes the result has.
        bytes: usize,
    },
    /// The end; no event comes after this one.
    Finished(AgentStop),
}

/// A call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestedCall {
    /// The id, unique in the conversation. It is the id that the model wrote if the templates of its dialect accept that id; otherwise the
    /// exchange makes an id.
    pub id: String,
    /// The tool, as the model wrote it.
    pub name: String,
    /// The exact text of the arguments.
    pub arguments: String,
}

/// How a call ended: the kind of its [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallEnd {
    /// With a result.
    Success,
    /// With an error of this kind.
    Error(ErrorKind),
    /// Refused by a hook, a gate or whoever was asked.
    Denied,
    /// Left out by a hook.
    Skipped,
    /// The call waits for an approval.
    Paused(PausedCall),
}

impl From<&Outcome> for CallEnd {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Error(error) => Self::Error(error.kind()),
            Outcome::Denied(_) => Self::Denied,
            Outcome::Skipped(_) => Self::Skipped,
            Outcome::Paused(paused) => Self::Paused((**paused).clone()),
            // A kind of outcome that this version does not know has no result.
            _ => Self::Error(ErrorKind::Failed),
        }
    }
}
