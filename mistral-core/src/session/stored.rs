//! Sessions as JSON.

use serde::{Deserialize, Serialize};

use std::collections::{BTreeMap, BTreeSet};

use super::{ChatSession, Node};
use crate::agent::suspended::Suspended;
use crate::error::Error;
use crate::event::Usage;
use crate::session::message_id::MessageId;

/// The only version there is.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u64,
    system: Option<String>,
    nodes: Vec<Node>,
    head: Option<MessageId>,
    dropped: BTreeSet<MessageId>,
    summary: Option<String>,
    #[serde(default)]
    prompt_tokens: usize,
    #[serde(default)]
    generated_tokens: usize,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    suspended: BTreeMap<MessageId, Suspended>,
}

/// The part that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl ChatSession {
    /// Returns the session as JSON, with all its branches, suspended exchanges and a version.
    pub fn save(&self) -> String {
        let Self { system, nodes, head, dropped, summary, usage, suspended } = self.clone();
        let Usage { prompt_tokens, generated_tokens } = usage;
        let version = VERSION;
        let stored =
            Stored { version, system, nodes, head, dropped, summary, prompt_tokens, generated_tokens, suspended };
        // Strings, lists and JSON values have no way to fail.
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// Reads a session from the JSON that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::SessionVersion`] for a version that this program does not know, [`Error::MalformedSession`] for anything else.
    pub fn load(json: &str) -> Result<Self, Error> {
        let malformed = |detail: String| Error::MalformedSession { detail };
        let Versioned { version } = serde_json::from_str(json).map_err(|error| malformed(error.to_string()))?;
        if version != VERSION {
            return Err(Error::SessionVersion { found: version, known: VERSION });
        }
        let Stored { system, nodes, head, dropped, summary, prompt_tokens, generated_tokens, suspended, .. } =
            serde_json::from_str(json).map_err(|error| malformed(error.to_string()))?;
        // Parents before children: there are no circles, and every id is one.
        let older = |(index, node): (usize, &Node)| node.parent.is_none_or(|parent| parent.0 < index);
        if !nodes.iter().enumerate().all(older) {
            return Err(malformed("a message whose parent is not older".into()));
        }
        if let Some(id) = head.iter().chain(&dropped).chain(suspended.keys()).find(|id| id.0 >= nodes.len()) {
            return Err(malformed(format!("{id} of {}", nodes.len())));
        }
        let usage = Usage { prompt_tokens, generated_tokens };
        Ok(Self { system, nodes, head, dropped, summary, usage, suspended })
    }
}
