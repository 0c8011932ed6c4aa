//! From ids back to text, one token at a time, without ever giving text that a later token could change.

use std::sync::Arc;

use crate::Error;

/// The bytes that each token stands for, in one buffer, and the rule for white space at the start of a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Tokens left out where special tokens are skipped.
    special: Vec<bool>,
    pub(super) lead: Lead,
}

/// Which spaces at the start of a decoded text belong to the spelling of words and not to the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lead {
    /// None.
    #[default]
    Keep,
    /// Up to so many.
    Spaces(usize),
    /// All those of the first token.
    FirstToken,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: &[u8], special: bool) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len());
        self.special.push(special);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Sets whether a token is special; nothing beyond the last token.
    pub(super) fn set_special(&mut self, id: u32, special: bool) {
        if let Some(slot) = self.special.get_mut(id as usize) {
            *slot = special;
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)?;
        let start = id.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or(0);
        self.bytes.get(start..end)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }
}

/// Decodes a sequence of ids as they come. Made by [`Tokenizer::stream`](super::Tokenizer::stream).
///
/// The pieces given by [`push`](Self::push) and [`finish`](Self::finish), one after another, are exactly what
/// [`Tokenizer::decode`](super::Tokenizer::decode) gives for all ids. Bytes of an incomplete UTF-8 character are held
/// back (at most three); bytes that cannot become one are U+FFFD. A push costs the length of its token.
#[derive(Debug, Clone)]
pub struct TextStream {
    pieces: Arc<Pieces>,
    skip_special: bool,
    /// Spaces at the start still to be left out.
    lead: Lead,
    /// The beginning of a UTF-8 character.
    held: Vec<u8>,
    text: String,
}

impl TextStream {
    pub(super) fn new(pieces: Arc<Pieces>, skip_special: bool, lead: Lead) -> Self {
        Self { pieces, skip_special, lead, held: Vec::new(), text: String::new() }
    }

    /// Takes the next id and returns the text that is now certain; often empty inside a character of several tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for an id beyond the vocabulary; the stream stays as it was.
    pub fn push(&mut self, id: u32) -> Result<&str, Error> {
        self.text.clear();
        let piece = self.pieces.get(id).ok_or_else(|| super::beyond(id, self.pieces.len()))?;
        if !(self.skip_special && self.pieces.is_special(id)) {
            let piece = skip_lead(piece, &mut self.lead);
            if self.held.is_empty() {
                append(piece, &mut self.held, &mut self.text);
            } else {
                let mut bytes = std::mem::take(&mut self.held);
                bytes.extend_from_slice(piece);
                append(&bytes, &mut self.held, &mut self.text);
            }
        }
        Ok(&self.text)
    }

    /// Returns the text of a special token that this stream leaves out; `None` for every other token.
    pub fn skipped(&self, id: u32) -> Option<&str> {
        let skipped = self.skip_special && self.pieces.is_special(id);
        std::str::from_utf8(self.pieces.get(id).filter(|_| skipped)?).ok()
    }

    /// Ends the stream: what was held back, as U+FFFD. Afterwards the stream is empty.
    pub fn finish(&mut self) -> &str {
        self.text.clear();
        if !self.held.is_empty() {
            // What is held is one truncated character.
            self.text.push(char::REPLACEMENT_CHARACTER);
            self.held.clear();
        }
        &self.text
    }

    /// Appends the certain text of one token to `out`; the building block of decode.
    pub(super) fn push_into(&mut self, id: u32, out: &mut String) -> Result<(), Error> {
        out.push_str(self.push(id)?);
        Ok(())
    }
}

fn skip_lead<'p>(piece: &'p [u8], lead: &mut Lead) -> &'p [u8] {
    let spaces = piece.iter().take_while(|&&b| b == b' ').count();
    let (skipped, left) = match *lead {
        Lead::Keep => (0, Lead::Keep),
        _ if piece.is_empty() => (0, *lead),
        Lead::FirstToken => (spaces, Lead::Keep),
        Lead::Spaces(most) if spaces == piece.len() && spaces < most => (spaces, Lead::Spaces(most - spaces)),
        Lead::Spaces(most) => (spaces.min(most), Lead::Keep),
    };
    *lead = left;
    piece.get(skipped..).unwrap_or_default()
}

/// Appends `bytes` to `text` as `String::from_utf8_lossy` would, except for a character cut off at the end, which is held.
fn append(bytes: &[u8], held: &mut Vec<u8>, text: &mut String) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let Some(bad) = error.error_len() else {
                    held.extend_from_slice(after);
                    return;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                rest = after.get(bad..).unwrap_or_default();
            }
        }
    }
}
