//! Long results: cut to the bytes that a limit allows, and to what fits the context next to everything else.

use super::Exchange;
use crate::{AgentEvent, Error, Message, Role};

/// An upper bound on the average bytes per token of a long text, for every tokenizer. Longer results are cut before their tokens are
/// counted.
const TOKEN_BYTES: usize = 16;
/// Older results are cut before new results get fewer than this many bytes each.
const FAIR: usize = 512;
/// A result is never cut below this many bytes: room for the note.
const LEAST: usize = 48;

impl Exchange {
    /// Shortens results of calls until the conversation has at most `budget` tokens, and returns the resulting number of tokens. `count`
    /// counts the tokens of all messages. A conversation that fits is not changed.
    ///
    /// The results of the last turn share the room: the longest are cut first, to a common length. If fewer than 512 bytes per result would
    /// be left, older results of this exchange are cut as well. A cut falls between characters, and the text ends with a note of how many
    /// bytes are missing. [`AgentEvent::Shortened`] reports each cut.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] if the rest of the conversation is already too long; nothing is cut then. Errors of `count` are passed on.
    pub fn fit(
        &mut self,
        budget: usize,
        mut count: impl FnMut(&[Message]) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let turn = self.messages.iter().rposition(|message| message.role != Role::Tool).map_or(0, |last| last + 1);
        let turn = turn.max(self.given);
        let most = self.longest(turn).min(budget.saturating_mul(TOKEN_BYTES));
        let mut tokens = count(&self.shortened(turn, most))?;
        if tokens <= budget {
            self.shorten(turn, most);
            return Ok(tokens);
        }
        for (from, least) in [(turn, FAIR), (self.given, LEAST)] {
            let most = self.longest(from).min(budget.saturating_mul(TOKEN_BYTES));
            let least = least.min(most);
            let above = count(&self.shortened(from, most))?;
            tokens = count(&self.shortened(from, least))?;
            if tokens > budget {
                continue;
            }
            let (mut low, mut high) = ((least, tokens), (most, above));
            for round in 0..12 {
                let gap = high.0 - low.0;
                if high.1 <= budget || gap <= low.0 / 16 {
                    break;
                }
                // Tokens grow about evenly with bytes; halving as well keeps the guesses from creeping up from one side.
                let even = gap.saturating_mul(budget - low.1) / (high.1 - low.1);
                let guess = low.0 + if round % 2 == 0 { even } else { gap / 2 }.clamp(1, gap - 1);
                let counted = count(&self.shortened(from, guess))?;
                let side = if counted <= budget { &mut low } else { &mut high };
                *side = (guess, counted);
            }
            let (length, tokens) = if high.1 <= budget { high } else { low };
            self.shorten(from, length);
            return Ok(tokens);
        }
        Err(Error::PromptTooLong { tokens, limit: budget })
    }

    /// Returns the length of the longest result from a message on.
    fn longest(&self, from: usize) -> usize {
        let results = self.messages.iter().skip(from).filter(|message| message.role == Role::Tool);
        results.map(|message| message.content.len()).max().unwrap_or(0)
    }

    /// Returns the conversation, with results from a message on cut to at most `most` bytes.
    fn shortened(&self, from: usize, most: usize) -> Vec<Message> {
        let shortened = |(index, message): (usize, &Message)| match message.role {
            Role::Tool if index >= from => {
                // Field by field: the whole text of a long result is not copied.
                let mut short = Message::new(Role::Tool, cut(&message.content, most));
                short.name.clone_from(&message.name);
                short.tool_call_id.clone_from(&message.tool_call_id);
                short
            }
            _ => message.clone(),
        };
        self.messages.iter().enumerate().map(shortened).collect()
    }

    fn shorten(&mut self, from: usize, most: usize) {
        let results = self.messages.iter_mut().skip(from);
        for message in results.filter(|message| message.role == Role::Tool && message.content.len() > most) {
            message.content = cut(&message.content, most);
            let id = message.tool_call_id.clone().unwrap_or_default();
            self.events.push_back(shortened(id, &message.content));
        }
    }
}

/// Reports a text that was [`cut`].
pub(super) fn shortened(id: String, text: &str) -> AgentEvent {
    let (kept, missing) = parts(text);
    AgentEvent::Shortened { id, kept: kept.len(), bytes: kept.len().saturating_add(missing) }
}

/// Returns the beginning of a text in at most `most` bytes, with a note of how many bytes are missing.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let (text, missing) = parts(text);
    let whole = text.len().saturating_add(missing);
    // No note is longer than one of the whole text.
    let (room, dots) = match (most.checked_sub(note(whole).len()), most.checked_sub(3)) {
        (Some(room), _) => (room, None),
        (None, Some(room)) => (room, Some("...")),
        (None, None) => (0, Some("")),
    };
    let end = (0..=room.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let kept = text.get(..end).unwrap_or_default();
    let note = dots.map_or_else(|| note(whole.saturating_sub(end)), str::to_owned);
    [kept, &note].concat()
}

fn note(missing: usize) -> String {
    format!("\n[{missing} more bytes are left out]")
}

/// Returns a text without the note of an earlier cut, and the number in that note.
fn parts(text: &str) -> (&str, usize) {
    let noted = || {
        let (kept, missing) = text.strip_suffix(" more bytes are left out]")?.rsplit_once("\n[")?;
        Some((kept, missing.parse().ok()?))
    };
    noted().unwrap_or((text, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_texts_have_at_most_the_bytes_asked_for_and_say_what_is_missing() {
        let text = "é€x".repeat(40);
        for most in 0..300 {
            let short = cut(&text, most);
            assert!(short.len() <= most, "{most}: {short}");
            let (kept, missing) = parts(&short);
            if most >= text.len() {
                assert_eq!(short, text);
            } else if most >= note(text.len()).len() {
                assert!(text.starts_with(kept) && kept.len() + missing == text.len() && kept.len() + 33 + 6 >= most);
                assert!(most > 190 || cut(&cut(&text, 200), most) == short, "cutting twice is cutting once");
            } else {
                assert!(text.starts_with(short.trim_end_matches("...")));
            }
        }
    }
}
