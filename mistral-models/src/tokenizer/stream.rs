//! From ids back to text, one token at a time, without ever giving text that a later token could change.

use std::sync::Arc;

use super::decoder::Change;
use crate::error::Error;

/// Texts of tokens in one buffer: four bytes per token in addition to the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// The end of each text. Vocabularies with more than 4 GiB of text are refused.
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn with_capacity(tokens: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(tokens) }
    }

    pub(super) fn push(&mut self, text: impl IntoIterator<Item = u8>) {
        self.bytes.extend(text);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Frees unused room.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }

    fn get(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = id.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or(0) as usize;
        self.bytes.get(start..end)
    }
}

/// A character that is removed at an end of a text, and the most occurrences that are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Trim {
    pub(super) content: char,
    pub(super) most: usize,
}

impl Trim {
    /// Removes spaces that belong to the spelling of words and not to the text.
    pub(super) const fn spaces(most: usize) -> Self {
        Self { content: ' ', most }
    }
}

/// The bytes of each token, and the rules for the text that they form.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    /// Tokens inside a text.
    pub(super) inner: Texts,
    /// Tokens at the start of a text, at its end, and (if the end makes a difference) alone.
    pub(super) first: Option<Texts>,
    pub(super) last: Option<Texts>,
    pub(super) only: Option<Texts>,
    /// Tokens that are left out when special tokens are skipped, one bit per token.
    special: Vec<u64>,
    /// Of consecutive tokens with the same number, only the first counts, and empty tokens do not count at all (CTC).
    pub(super) groups: Option<Vec<u32>>,
    pub(super) lead: Trim,
    pub(super) tail: Trim,
    /// Changes of the whole text, after all other rules.
    pub(super) changes: Vec<Change>,
}

impl Pieces {
    /// Makes pieces of tokens that stand for the same bytes in every place.
    pub(super) fn new(inner: Texts) -> Self {
        Self { inner, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.inner.ends.len()
    }

    /// Sets whether a token is special.
    pub(super) fn set_special(&mut self, id: u32, special: bool) {
        let (word, bit) = (id as usize / 64, 1 << (id % 64));
        if special && self.special.len() <= word {
            self.special.resize(word + 1, 0);
        }
        if let Some(word) = self.special.get_mut(word) {
            if special { *word |= bit } else { *word &= !bit }
        }
    }

    /// Returns the bytes of a token inside a text.
    pub(super) fn get(&self, id: u32) -> Option<&[u8]> {
        self.inner.get(id)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn form(&self, id: u32, is_first: bool, is_last: bool) -> &[u8] {
        let other = match (is_first, is_last) {
            (true, true) => self.only.as_ref().or(self.first.as_ref()),
            (true, false) => self.first.as_ref(),
            (false, true) => self.last.as_ref(),
            (false, false) => None,
        };
        other.unwrap_or(&self.inner).get(id).unwrap_or_default()
    }
}

/// Decodes a sequence of ids one by one. Made by [`Tokenizer::stream`](super::Tokenizer::stream).
///
/// The pieces that [`push`](Self::push) and [`finish`](Self::finish) return, joined, are exactly the text that
/// [`Tokenizer::decode`](super::Tokenizer::decode) returns for all ids. Bytes of an incomplete UTF-8 character (at most three) are held
/// back; bytes that cannot become a character are U+FFFD. A push costs the length of its token.
///
/// A few tokenizers change the end of a text, or the text as a whole (a `Replace` after `Fuse`). In the first case, the stream holds back
/// the end of the text. In the second case, [`finish`](Self::finish) returns the whole text.
#[derive(Debug, Clone)]
pub struct TextStream {
    pieces: Arc<Pieces>,
    skip_special: bool,
    started: bool,
    /// The number in [`Pieces::groups`] of the previous token.
    group: Option<u32>,
    /// The previous token, if its end depends on whether another token follows.
    open: Option<Open>,
    writer: Writer,
}

/// A token of which only a part is written.
#[derive(Debug, Clone, Copy)]
struct Open {
    id: u32,
    is_first: bool,
    written: usize,
}

/// Turns bytes into text that can no longer change.
#[derive(Debug, Clone, Default)]
struct Writer {
    /// The beginning of a UTF-8 character.
    held: Vec<u8>,
    /// The number of characters at the start that may still be left out.
    lead: usize,
    /// The number of characters at the end that are left out if the text ends there.
    tail: usize,
    /// The text so far, if it is changed as a whole.
    whole: String,
    text: String,
}

impl TextStream {
    /// Starts a stream. `continues` says that other text precedes the stream.
    pub(super) fn new(pieces: Arc<Pieces>, skip_special: bool, continues: bool) -> Self {
        let writer = Writer { lead: if continues { 0 } else { pieces.lead.most }, ..Writer::default() };
        Self { pieces, skip_special, started: continues, group: None, open: None, writer }
    }

    /// Takes the next id and returns the text that is now certain; often empty inside a character of several tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for an id beyond the vocabulary; the stream stays as it was.
    pub fn push(&mut self, id: u32) -> Result<&str, Error> {
        let Self { pieces, writer, .. } = self;
        writer.text.clear();
        if id as usize >= pieces.len() {
            return Err(super::beyond(id, pieces.len()));
        }
        if self.skip_special && pieces.is_special(id) {
            return Ok("");
        }
        if let Some(groups) = &pieces.groups {
            let group = groups.get(id as usize).copied();
            if self.group == group || pieces.form(id, false, false).is_empty() {
                self.group = group;
                return Ok("");
            }
            self.group = group;
        }
        if let Some(Open { id, is_first, written }) = self.open.take() {
            writer.write(pieces.form(id, is_first, false).get(written..).unwrap_or_default(), pieces);
        }
        let is_first = !std::mem::replace(&mut self.started, true);
        let form = pieces.form(id, is_first, false);
        let mut written = form.len();
        if pieces.last.is_some() {
            let last = pieces.form(id, is_first, true);
            written = form.iter().zip(last).take_while(|(a, b)| a == b).count();
            self.open = Some(Open { id, is_first, written });
        }
        writer.write(form.get(..written).unwrap_or_default(), pieces);
        Ok(&writer.text)
    }

    /// Returns the text of a special token that this stream leaves out; `None` for every other token.
    pub fn skipped(&self, id: u32) -> Option<&str> {
        let skipped = self.skip_special && self.pieces.is_special(id);
        std::str::from_utf8(self.pieces.get(id).filter(|_| skipped)?).ok()
    }

    /// Ends the stream and returns the text held back, with an incomplete character as U+FFFD. Afterwards the stream is empty.
    pub fn finish(&mut self) -> &str {
        let Self { pieces, writer, .. } = self;
        writer.text.clear();
        if let Some(Open { id, is_first, written }) = self.open.take() {
            writer.write(pieces.form(id, is_first, true).get(written..).unwrap_or_default(), pieces);
        }
        if !std::mem::take(&mut writer.held).is_empty() {
            // What is held is one truncated character.
            writer.trim("\u{fffd}", pieces);
        }
        writer.tail = 0;
        let whole = std::mem::take(&mut writer.whole);
        writer.text.push_str(&pieces.changes.iter().fold(whole, |text, change| change.apply(text)));
        &writer.text
    }

    /// Appends the certain text of one token to `out`; the building block of decode.
    pub(super) fn push_into(&mut self, id: u32, out: &mut String) -> Result<(), Error> {
        out.push_str(self.push(id)?);
        Ok(())
    }
}

impl Writer {
    /// Appends `bytes` as `String::from_utf8_lossy` would, but holds back a character that is cut off at the end.
    fn write(&mut self, bytes: &[u8], pieces: &Pieces) {
        let mut joined = std::mem::take(&mut self.held);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            joined.as_slice()
        };
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => return self.trim(valid, pieces),
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.trim(std::str::from_utf8(valid).unwrap_or_default(), pieces);
                    let Some(bad) = error.error_len() else {
                        self.held = after.to_vec();
                        return;
                    };
                    self.trim("\u{fffd}", pieces);
                    rest = after.get(bad..).unwrap_or_default();
                }
            }
        }
    }

    /// Removes characters at the start by the rules, and holds back characters that the rules may remove at the end.
    fn trim(&mut self, mut text: &str, pieces: &Pieces) {
        while self.lead > 0 && !text.is_empty() {
            let Some(rest) = text.strip_prefix(pieces.lead.content) else {
                self.lead = 0;
                break;
            };
            text = rest;
            self.lead -= 1;
        }
        let out = if pieces.changes.is_empty() { &mut self.text } else { &mut self.whole };
        let Trim { content, most } = pieces.tail;
        if most == 0 {
            return out.push_str(text);
        }
        let kept = text.trim_end_matches(content);
        let run = text.get(kept.len()..).unwrap_or_default().chars().count();
        let before = if kept.is_empty() { self.tail + run } else { run };
        if !kept.is_empty() {
            out.extend(std::iter::repeat_n(content, self.tail));
            out.push_str(kept);
        }
        self.tail = before.min(most);
        out.extend(std::iter::repeat_n(content, before - self.tail));
    }
}
