//! Deltas put together again.

use super::delta::Delta;

/// A call as a model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParsedCall {
    /// What the model calls the call, if it does: not checked, perhaps given twice.
    pub id: Option<String>,
    /// The tool; there may be none of this name.
    pub name: String,
    /// JSON text, not checked.
    pub arguments: String,
    /// Whether the arguments were closed; see [`Delta::End`].
    pub complete: bool,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Thoughts.
    Reasoning(String),
    /// The answer, or what is said between calls.
    Text(String),
    /// A call.
    Call(ParsedCall),
    /// See [`Delta::Fragment`].
    Fragment(String),
}

/// What a model said in one turn, in order. Equal for equal text, however it was cut into chunks.
///
/// ```
/// use mistral_tools::dialect::{Delta, ParsedMessage};
///
/// let mut message = ParsedMessage::default();
/// for delta in [Delta::Text("Let me "), Delta::Text("see."), Delta::Call { index: 0, name: "clock" }] {
///     message.push(delta);
/// }
/// message.push(Delta::Arguments { index: 0, text: "{}" });
/// message.push(Delta::End { index: 0, complete: true });
/// assert_eq!(message.text(), "Let me see.");
/// assert_eq!(message.calls().next().map(|call| call.arguments.as_str()), Some("{}"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedMessage {
    parts: Vec<Part>,
}

impl ParsedMessage {
    /// Appends a delta; joins it to the last part where it continues that.
    pub fn push(&mut self, delta: Delta<'_>) {
        match (delta, self.parts.last_mut()) {
            (Delta::Reasoning(""), _) | (Delta::Text(""), _) | (Delta::Fragment(""), _) => {}
            (Delta::Reasoning(more), Some(Part::Reasoning(text)))
            | (Delta::Text(more), Some(Part::Text(text)))
            | (Delta::Fragment(more), Some(Part::Fragment(text)))
            | (Delta::Arguments { text: more, .. }, Some(Part::Call(ParsedCall { arguments: text, .. }))) => {
                text.push_str(more);
            }
            (Delta::Reasoning(text), _) => self.parts.push(Part::Reasoning(text.to_owned())),
            (Delta::Text(text), _) => self.parts.push(Part::Text(text.to_owned())),
            (Delta::Fragment(text), _) => self.parts.push(Part::Fragment(text.to_owned())),
            (Delta::Call { name, .. }, _) => {
                let call = ParsedCall { id: None, name: name.to_owned(), arguments: String::new(), complete: false };
                self.parts.push(Part::Call(call));
            }
            (Delta::Id { id, .. }, Some(Part::Call(call))) => call.id = Some(id.to_owned()),
            (Delta::End { complete, .. }, Some(Part::Call(call))) => call.complete = complete,
            (Delta::Id { .. } | Delta::Arguments { .. } | Delta::End { .. }, _) => {}
        }
    }

    /// The parts in the order of the text; neighbours are of different kinds, calls excepted.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// All text, without reasoning, calls and the fragment.
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" }).collect()
    }

    /// All reasoning.
    pub fn reasoning(&self) -> String {
        self.parts.iter().map(|part| if let Part::Reasoning(text) = part { text.as_str() } else { "" }).collect()
    }

    /// The calls, complete or not.
    pub fn calls(&self) -> impl Iterator<Item = &ParsedCall> {
        self.parts.iter().filter_map(|part| if let Part::Call(call) = part { Some(call) } else { None })
    }

    /// What the text ended with if that can be the beginning of markup, or nothing.
    pub fn fragment(&self) -> &str {
        if let Some(Part::Fragment(text)) = self.parts.last() { text } else { "" }
    }
}
