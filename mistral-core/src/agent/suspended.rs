//! An exchange that waits for approvals, as plain data.

use mistral_tools::PausedCall;
use serde::{Deserialize, Serialize};

use super::RequestedCall;
use crate::{Message, Usage};

/// The only version there is.
const VERSION: u32 = 1;

/// An exchange whose next step is somebody's approval. As JSON it can be stored, and taken up by another process that has the same
/// tools and a model whose template takes the same messages. Limits, tools and model are not in it: they are the host's.
///
/// The JSON is not signed: keep it where the model cannot write. A version that this program does not know is an error.
///
/// ```
/// use mistral_core::Suspended;
/// let error = serde_json::from_str::<Suspended>(r#"{"version": 9, "messages": [], "given": 0, "calls": [], "turns": 0,
///     "prompt_tokens": 0, "generated_tokens": 0, "invalid": 0}"#).unwrap_err();
/// assert!(error.to_string().contains("version 9"));
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
    pub(super) result: Option<String>,
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

    /// The calls that wait for an approval.
    pub fn paused(&self) -> impl Iterator<Item = &PausedCall> {
        self.calls.iter().filter(|slot| slot.is_paused()).filter_map(|slot| slot.paused.as_ref())
    }

    /// The conversation up to the calls that wait.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
}

impl TryFrom<Stored> for Suspended {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { version, messages, given, calls, turns, prompt_tokens, generated_tokens, invalid } = stored;
        if version != VERSION {
            return Err(format!("an exchange of version {version}, and only version {VERSION} is known"));
        }
        Ok(Self { version, messages, given, calls, turns, prompt_tokens, generated_tokens, invalid })
    }
}
