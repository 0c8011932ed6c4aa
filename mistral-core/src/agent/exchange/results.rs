//! Long results: cut to the bytes that a limit allows, and to what fits the context next to everything else.

use mistral_tools::{Content, ContentPart, Message, Resource, ResourceBody, Role};

use super::Exchange;
use crate::agent::event::AgentEvent;
use crate::error::Error;

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
        Err(Error::PromptTooLong { tokens, limit: budget, tools: 0 })
    }

    /// Returns the length of the longest result from a message on.
    fn longest(&self, from: usize) -> usize {
        let results = self.messages.iter().skip(from).filter(|message| message.role == Role::Tool);
        results.map(|message| texts(&message.content).map(str::len).sum()).max().unwrap_or(0)
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
        let is_longer = |content: &Content| texts(content).map(str::len).sum::<usize>() > most;
        for message in results.filter(|message| message.role == Role::Tool && is_longer(&message.content)) {
            message.content = cut(&message.content, most);
            let id = message.tool_call_id.clone().unwrap_or_default();
            self.events.push_back(shortened(id, &message.content));
        }
    }
}

/// Reports a content that was [`cut`].
pub(super) fn shortened(id: String, content: &Content) -> AgentEvent {
    let (kept, missing) = texts(content).map(parts).fold((0usize, 0usize), |(kept, missing), (text, more)| {
        (kept.saturating_add(text.len()), missing.saturating_add(more))
    });
    AgentEvent::Shortened { id, kept, bytes: kept.saturating_add(missing) }
}

/// Returns the texts of a content, those of resources included.
fn texts(content: &Content) -> impl Iterator<Item = &str> {
    content.parts().iter().filter_map(|part| match part {
        ContentPart::Text(text) | ContentPart::Resource(Resource { body: ResourceBody::Text(text), .. }) => {
            Some(text.as_str())
        }
        _ => None,
    })
}

/// Returns a content whose texts have at most `most` bytes together. One text is cut, with a note of how many bytes are missing in all, and
/// the texts after it are left out.
pub(super) fn cut(content: &Content, most: usize) -> Content {
    let total: usize = texts(content).map(str::len).sum();
    if total <= most {
        return content.clone();
    }
    let (mut room, mut left, longest_note) = (most, total, note(usize::MAX).len());
    let mut cut = |text: &str| {
        left = left.saturating_sub(text.len());
        let keeps = room.checked_sub(text.len()).filter(|room| *room >= longest_note);
        if let Some(rest) = keeps {
            room = rest;
            return text.to_owned();
        }
        let text = cut_text(text, room, left);
        (room, left) = (0, 0);
        text
    };
    let mut short = Content::new();
    for part in content.parts() {
        match part {
            ContentPart::Text(text) => short.push(cut(text)),
            ContentPart::Resource(resource) => {
                let mut resource = resource.clone();
                if let ResourceBody::Text(text) = &mut resource.body {
                    *text = cut(text);
                }
                short.push(resource);
            }
            part => short.push(part.clone()),
        }
    }
    short
}

/// Returns the beginning of a text in at most `most` bytes, with a note of how many bytes are missing there and in `more` bytes after it.
fn cut_text(text: &str, most: usize, more: usize) -> String {
    if more == 0 && text.len() <= most {
        return text.to_owned();
    }
    let (text, missing) = parts(text);
    let whole = text.len().saturating_add(missing).saturating_add(more);
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
            let short = cut_text(&text, most, 0);
            assert!(short.len() <= most, "{most}: {short}");
            let (kept, missing) = parts(&short);
            if most >= text.len() {
                assert_eq!(short, text);
            } else if most >= note(text.len()).len() {
                assert!(text.starts_with(kept) && kept.len() + missing == text.len() && kept.len() + 33 + 6 >= most);
                assert!(
                    most > 190 || cut_text(&cut_text(&text, 200, 0), most, 0) == short,
                    "cutting twice is cutting once"
                );
            } else {
                assert!(text.starts_with(short.trim_end_matches("...")));
            }
        }
    }

    #[test]
    fn contents_are_cut_in_their_texts_and_keep_their_other_parts() {
        let image = ContentPart::from(mistral_tools::Image::bytes("image/png", [7; 5000]));
        let resource = ContentPart::from(Resource::text("file:///a", "r".repeat(300)));
        let content = Content::from_iter(["a".repeat(200).into(), image.clone(), resource, "z".repeat(100).into()]);
        for most in 60..=600 {
            let short = cut(&content, most);
            assert!(texts(&short).map(str::len).sum::<usize>() <= most, "{most}: {short}");
            assert!(short.parts().contains(&image), "{most}");
            let AgentEvent::Shortened { kept, bytes, .. } = shortened(String::new(), &short) else { panic!() };
            assert_eq!((bytes, kept < 600), (600, most < 600), "{most}: {short}");
            assert!(kept + 70 >= most, "{most}: {kept}");
        }
    }
}
