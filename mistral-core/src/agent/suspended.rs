//! An exchange that waits for approvals, as plain data.

use std::collections::BTreeSet;

use mistral_tools::{Content, Message, PausedCall, Role};
use serde::{Deserialize, Serialize};

use crate::agent::event::RequestedCall;
use crate::error::Error;
use crate::event::Usage;

/// The only version there is.
const VERSION: u32 = 1;

/// An exchange that waits for approvals, as plain data. It can be stored as JSON. Another process can continue the exchange with the same
/// tools and a model whose template accepts the same messages. Limits, tools, instructions and model are not part of the data: the host
/// supplies them.
///
/// The JSON is not signed: keep it where the model cannot write. Loading refuses an unknown version, and calls and messages that contradict
/// each other. Every value of this type can therefore be resumed.
///
/// ```
/// use mistral_core::{Error, agent::Suspended};
/// let empty = r#"{"version": 1, "messages": [], "given": 0, "calls": [], "turns": 0,
///     "prompt_tokens": 0, "generated_tokens": 0, "invalid": 0}"#;
/// assert!(matches!(Suspended::load(empty), Err(Error::MalformedSuspended { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Suspended {
    version: u32,
    pub(super) messages: Vec<Message>,
    pub(super) given: usize,
    pub(super) calls: Vec<Slot>,
    pub(super) turns: u32,
    pub(super) prompt_tokens: usize,
    pub(super) generated_tokens: usize,
    pub(super) invalid: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    messages: Vec<Message>,
    given: usize,
    calls: Vec<Slot>,
    turns: u32,
    prompt_tokens: usize,
    generated_tokens: usize,
    invalid: u32,
}

/// A call of a turn and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) call: RequestedCall,
    /// What the model reads.
    pub(super) result: Option<Content>,
    pub(super) paused: Option<PausedCall>,
}

impl Slot {
    /// Whether the call is to be made.
    pub(super) fn is_open(&self) -> bool {
        self.result.is_none() && self.paused.is_none()
    }

    /// Whether it waits for an approval.
    pub(super) fn is_paused(&self) -> bool {
        self.result.is_none() && self.paused.is_some()
    }
}

impl Suspended {
    pub(super) fn new(
        messages: Vec<Message>,
        given: usize,
        calls: Vec<Slot>,
        turns: u32,
        usage: Usage,
        invalid: u32,
    ) -> Self {
        let Usage { prompt_tokens, generated_tokens } = usage;
        Self { version: VERSION, messages, given, calls, turns, prompt_tokens, generated_tokens, invalid }
    }

    /// Returns the exchange as JSON, for [`load`](Self::load). Serde writes the same JSON.
    pub fn save(&self) -> String {
        // Strings, lists and JSON values have no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads an exchange from the JSON that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::MalformedSuspended`].
    pub fn load(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|error| Error::MalformedSuspended { detail: error.to_string() })
    }

    /// Returns the calls that wait for an approval.
    pub fn paused(&self) -> impl Iterator<Item = &PausedCall> {
        self.calls.iter().filter(|slot| slot.is_paused()).filter_map(|slot| slot.paused.as_ref())
    }

    /// Returns the conversation up to the calls that wait.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}

impl TryFrom<Stored> for Suspended {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { version, messages, given, calls, turns, prompt_tokens, generated_tokens, invalid } = stored;
        if version != VERSION {
            return Err(format!(
                "it was saved as version {version} of its format, and this program reads only version {VERSION}"
            ));
        }
        let suspended = Self { version, messages, given, calls, turns, prompt_tokens, generated_tokens, invalid };
        suspended.check().map(|()| suspended)
    }
}

impl Suspended {
    /// Checks the invariants of every suspended exchange, and describes a broken one.
    fn check(&self) -> Result<(), String> {
        let Self { messages, given, calls, .. } = self;
        let Some((last, before)) = messages.split_last() else { return Err("there are no messages".into()) };
        if *given > before.len() {
            return Err(format!("`given` is {given}, and the exchange began after at most {} messages", before.len()));
        }
        if last.role != Role::Assistant {
            return Err("the last message is not the model's, so it makes no calls".into());
        }
        if calls.len() != last.tool_calls.len() {
            return Err(format!(
                "the last message makes {} calls, and `calls` has {}",
                last.tool_calls.len(),
                calls.len()
            ));
        }
        let mut ids: BTreeSet<&str> =
            before.iter().flat_map(|m| &m.tool_calls).filter_map(|c| c.id.as_deref()).collect();
        for (index, (slot, made)) in calls.iter().zip(&last.tool_calls).enumerate() {
            let RequestedCall { id, name, .. } = &slot.call;
            if made.id.as_ref() != Some(id) || made.name != *name {
                let of = made.id.as_deref().unwrap_or("no id");
                return Err(format!(
                    "call {index} is `{name}` ({id}), and in the last message it is `{}` ({of})",
                    made.name
                ));
            }
            if !ids.insert(id) {
                return Err(format!("the id {id} of call {index} is that of another call"));
            }
            if let Some(paused) = slot.paused.as_ref().and_then(PausedCall::call_id).filter(|paused| paused != id) {
                return Err(format!("call {index} has the id {id}, and {paused} where it is paused"));
            }
            if slot.is_open() {
                return Err(format!("call {index} is neither answered nor paused"));
            }
        }
        match calls.iter().any(Slot::is_paused) {
            true => Ok(()),
            false => Err("no call waits for an approval".into()),
        }
    }
}
