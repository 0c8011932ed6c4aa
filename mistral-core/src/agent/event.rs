//! What an exchange tells while it goes on.

use mistral_tools::{ErrorKind, Outcome, PausedCall};
use serde::{Deserialize, Serialize};

use super::Stop;
use crate::Usage;

/// Something that happened in an [`Exchange`](super::Exchange), in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// More of the answer, or of what the model says beside its calls.
    Text(String),
    /// More of what the model thinks.
    Reasoning(String),
    /// The model begins to write a call. It may still go wrong: what is made comes as [`Call`](Self::Call).
    CallBegun {
        /// Counts the calls of the turn.
        index: usize,
        /// The tool, as the model wrote it.
        name: String,
    },
    /// More of the arguments of the call that was begun last.
    Arguments {
        /// Of the call.
        index: usize,
        /// To be appended to what came before.
        text: String,
    },
    /// A turn of the model ended, and cost this.
    Usage {
        /// The turn.
        turn: Usage,
        /// All turns so far. Prompts count as often as they were given.
        total: Usage,
        /// What all turns cost by the price of the limits.
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
    /// A call has come to an end, or waits for approval.
    Answer {
        /// The call.
        call: RequestedCall,
        /// How it ended.
        end: CallEnd,
        /// What the model reads of it.
        text: String,
    },
    /// The end; nothing comes after it.
    Finished(Stop),
}

/// A call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestedCall {
    /// Unique in the conversation: what the model wrote if the templates of its dialect take that, otherwise given by the exchange.
    pub id: String,
    /// The tool, as the model wrote it.
    pub name: String,
    /// The exact text of the arguments.
    pub arguments: String,
}

/// How a call ended: an [`Outcome`] without what only the tool's host needs.
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
    /// It waits for an approval.
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
            // A kind of outcome that this version does not know has no result to go on with.
            _ => Self::Error(ErrorKind::Handler),
        }
    }
}
