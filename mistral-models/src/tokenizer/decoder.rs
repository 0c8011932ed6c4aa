//! Converts the decoder of a `tokenizer.json` to the bytes of each token, so that a stream costs no more than its text.
//!
//! The `tokenizers` crate decodes whole sequences. Its decoders are lists of steps. Up to `Fuse`, a step changes each token alone; the
//! change may depend on whether the token is the first or the last of its text. After `Fuse`, a step changes the one remaining text.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::{Decoder, DecoderWrapper};

use super::bpe::char_byte;
use super::stream::{Pieces, Texts, Trim};
use super::vocab::byte_of_text;
use crate::error::Error;
use crate::unsupported::Unsupported;

/// The most gaps between ids. Ids may be sparse, but a table covers all of them, so the gaps need a bound.
const MOST_GAPS: u64 = 1 << 20;

/// One step of a decoder that works on each token alone.
#[derive(Debug)]
enum Step {
    Replace(String, String),
    /// `Replace` by a regular expression, which the crate runs.
    Crate(Box<DecoderWrapper>),
    Strip(Strip),
    ByteFallback,
    ByteLevel,
    /// Removes the mark of a word, except from the first token.
    Metaspace(char),
    /// Puts a space before a token that does not continue a word, except before the first token.
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    /// Replaces the mark of the end of a word with a space, except in the last token (`BPEDecoder`).
    Suffix(String),
    SpaceBefore,
    Ctc {
        pad: String,
        delimiter: String,
        cleanup: bool,
    },
}

/// The characters that are cut off at both ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip {
    content: char,
    start: usize,
    stop: usize,
}

/// A change of a whole text, which is known only at its end.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Strip(Strip),
    Crate(Box<DecoderWrapper>),
}

/// The place of a token in its text.
#[derive(Debug, Clone, Copy)]
struct Place {
    is_first: bool,
    is_last: bool,
}

/// The steps of a decoder.
#[derive(Debug, Default)]
struct Steps {
    each: Vec<Step>,
    whole: Vec<Change>,
    /// Whether the tokens are fused into one text, on which all further steps work.
    is_fused: bool,
}

/// Translates the decoder into the bytes of every token.
///
/// # Errors
/// [`Error::Unsupported`] for a kind of decoder that the crate does not know; [`Error::Limit`] for very sparse ids.
pub(super) fn pieces(tokenizer: &tokenizers::Tokenizer) -> Result<Pieces, Error> {
    let vocab = tokenizer.get_vocab(true);
    let added = tokenizer.get_added_tokens_decoder();
    let size = vocab.values().copied().chain(added.keys().copied()).max().map_or(0, |id| u64::from(id) + 1);
    let limit = vocab.len() as u64 + added.len() as u64 + MOST_GAPS;
    if size > limit {
        return Err(Error::Limit { what: "the highest token id".into(), limit, found: size });
    }
    let mut texts: Vec<Option<String>> = vec![None; size as usize];
    let entries = vocab.iter().map(|(text, id)| (*id, text.clone()));
    // Added tokens last, in the form that the normalizer gives them: their text is the one that is decoded.
    let of_added = added.keys().filter_map(|id| Some((*id, tokenizer.get_added_vocabulary().simple_id_to_token(*id)?)));
    for (id, text) in entries.chain(of_added) {
        if let Some(slot) = texts.get_mut(id as usize) {
            *slot = Some(text);
        }
    }

    let mut steps = Steps::default();
    match tokenizer.get_decoder() {
        None => steps.each.push(Step::SpaceBefore),
        Some(decoder) => steps.read(&serde_json::to_value(decoder).map_err(super::failed)?)?,
    }
    let mut pieces = steps.pieces(&texts);
    for (id, token) in &added {
        pieces.set_special(*id, tokenizer.get_added_vocabulary().is_special_token(&token.content));
    }
    Ok(pieces)
}

impl Steps {
    fn read(&mut self, decoder: &Value) -> Result<(), Error> {
        let kind = decoder.get("type").and_then(Value::as_str).unwrap_or("of an unknown kind");
        let unsupported = || Error::from(Unsupported::TokenizerDecoder { decoder: decoder.to_string() });
        let text = |key: &str| decoder.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(unsupported);
        let number = |key: &str| decoder.get(key).and_then(Value::as_u64).ok_or_else(unsupported);
        let flag = |key: &str| decoder.get(key).and_then(Value::as_bool).ok_or_else(unsupported);
        let letter = |key: &str| text(key)?.chars().next().ok_or_else(unsupported);
        let of_crate = || serde_json::from_value(decoder.clone()).map(Box::new).map_err(|_| unsupported());
        let step = match kind {
            "Sequence" => {
                let parts = decoder.get("decoders").and_then(Value::as_array).ok_or_else(unsupported)?;
                return parts.iter().try_for_each(|part| self.read(part));
            }
            "Fuse" => {
                self.is_fused = true;
                return Ok(());
            }
            // These do nothing to a text that is no token.
            "ByteFallback" if self.is_fused => return Ok(()),
            "Strip" => {
                let size = |key| Ok::<_, Error>(usize::try_from(number(key)?).unwrap_or(usize::MAX));
                Step::Strip(Strip { content: letter("content")?, start: size("start")?, stop: size("stop")? })
            }
            _ if self.is_fused => Step::Crate(of_crate()?),
            "ByteLevel" => Step::ByteLevel,
            "ByteFallback" => Step::ByteFallback,
            "Replace" => {
                let pattern = decoder.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str);
                match pattern.filter(|pattern| !pattern.is_empty()) {
                    Some(pattern) => Step::Replace(pattern.to_owned(), text("content")?),
                    None => Step::Crate(of_crate()?),
                }
            }
            "Metaspace" if text("prepend_scheme")? == "never" => Step::Replace(text("replacement")?, " ".to_owned()),
            "Metaspace" => Step::Metaspace(letter("replacement")?),
            "WordPiece" => Step::WordPiece { prefix: text("prefix")?, cleanup: flag("cleanup")? },
            "BPEDecoder" => Step::Suffix(text("suffix")?),
            "CTC" => Step::Ctc {
                pad: text("pad_token")?,
                delimiter: text("word_delimiter_token")?,
                cleanup: flag("cleanup")?,
            },
            _ => return Err(unsupported()),
        };
        match step {
            Step::Strip(strip) if self.is_fused => self.whole.push(Change::Strip(strip)),
            Step::Crate(decoder) if self.is_fused => self.whole.push(Change::Crate(decoder)),
            step => {
                self.is_fused |= matches!(step, Step::ByteLevel);
                self.each.push(step);
            }
        }
        Ok(())
    }

    fn pieces(self, texts: &[Option<String>]) -> Pieces {
        let form = |is_first, is_last| {
            let mut form = Texts::default();
            for text in texts {
                let bytes = text.as_deref().map(|text| apply(&self.each, text, Place { is_first, is_last }));
                form.push(bytes.unwrap_or_default());
            }
            form
        };
        let has = |kind: fn(&Step) -> bool| self.each.iter().any(kind);
        let by_first = has(|s| matches!(s, Step::Metaspace(_) | Step::WordPiece { .. } | Step::SpaceBefore));
        let by_last = has(|s| matches!(s, Step::Suffix(_)));
        let mut pieces = Pieces::new(form(false, false));
        pieces.first = by_first.then(|| form(true, false));
        if by_last {
            pieces.last = Some(form(false, true));
            pieces.only = Some(form(true, true));
        }
        if let Some(at) = self.each.iter().position(|step| matches!(step, Step::Ctc { .. })) {
            let mut numbers = HashMap::new();
            let mut number = |text: &Option<String>| {
                let before = self.each.get(..at).unwrap_or_default();
                let place = Place { is_first: false, is_last: false };
                let text = text.as_deref().map(|text| apply(before, text, place));
                let next = numbers.len() as u32;
                *numbers.entry(text).or_insert(next)
            };
            pieces.groups = Some(texts.iter().map(&mut number).collect());
        }
        match self.whole.as_slice() {
            [Change::Strip(Strip { content, start, stop })] => {
                pieces.lead = Trim { content: *content, most: *start };
                pieces.tail = Trim { content: *content, most: *stop };
            }
            _ => pieces.changes = self.whole,
        }
        pieces
    }
}

impl Change {
    /// Returns the changed text. A text on which the crate fails stays unchanged, because a stream cannot report an error at its end.
    pub(super) fn apply(&self, text: String) -> String {
        match self {
            Self::Strip(strip) => strip.apply(&text).to_owned(),
            Self::Crate(decoder) => of_crate(decoder, &text).unwrap_or(text),
        }
    }
}

impl Strip {
    fn apply(self, text: &str) -> &str {
        let Self { content, start, stop } = self;
        let cut = |characters: &mut dyn Iterator<Item = char>, most: usize| {
            characters.take(most).take_while(|c| *c == content).count() * content.len_utf8()
        };
        let rest = text.get(cut(&mut text.chars(), start)..).unwrap_or_default();
        rest.get(..rest.len() - cut(&mut rest.chars().rev(), stop)).unwrap_or_default()
    }
}

fn of_crate(decoder: &DecoderWrapper, text: &str) -> Option<String> {
    super::hf::guard(|| decoder.decode_chain(vec![text.to_owned()]).map_err(super::failed))
        .map(|parts| parts.concat())
        .ok()
}

fn apply(steps: &[Step], token: &str, place: Place) -> Vec<u8> {
    let mut text = token.to_owned();
    for step in steps {
        match step {
            Step::Replace(from, to) => text = text.replace(from, to),
            Step::Crate(decoder) => text = of_crate(decoder, &text).unwrap_or(text),
            Step::Strip(strip) => text = strip.apply(&text).to_owned(),
            Step::ByteFallback => {
                if let Some(byte) = byte_of_text(&text) {
                    return vec![byte];
                }
            }
            Step::ByteLevel => {
                if let Some(bytes) = text.chars().map(char_byte).collect() {
                    return bytes;
                }
            }
            Step::Metaspace(mark) => text = text.replace(*mark, if place.is_first { "" } else { " " }),
            Step::WordPiece { prefix, cleanup } => {
                if !place.is_first {
                    text = match text.strip_prefix(prefix.as_str()) {
                        Some(rest) => rest.to_owned(),
                        None => format!(" {text}"),
                    };
                }
                if *cleanup {
                    text = clean_up(&text);
                }
            }
            Step::Suffix(suffix) => text = text.replace(suffix, if place.is_last { "" } else { " " }),
            Step::SpaceBefore if place.is_first => {}
            Step::SpaceBefore => text.insert(0, ' '),
            Step::Ctc { pad, delimiter, cleanup } => {
                text = text.replace(pad, "");
                if *cleanup {
                    text = clean_up(&text).replace(delimiter, " ");
                }
            }
        }
    }
    text.into_bytes()
}

/// Applies the replacements of Hugging Face's `clean_up_tokenization`, in its order, to one token.
fn clean_up(text: &str) -> String {
    const REPLACED: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    REPLACED.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests;
