//! Byte-pair encoding with ranked merges (`tokenizer.ggml.model` = `gpt2`, `gemma4`).
//!
//! Sources: Sennrich et al. 2016; GPT-2 for the alphabet of 256 printable characters that stand for bytes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::split::Splitter;
use super::vocab::Vocab;
use crate::Error;
use crate::metadata::Strings;

/// A symbol that neither the vocabulary nor a merge knows.
const NONE: u32 = u32::MAX;

/// What the symbols before the first merge are.
#[derive(Debug, Clone)]
pub(super) enum Alphabet {
    /// Bytes, spelled in the vocabulary as the 256 characters of GPT-2: the symbol of each byte.
    Bytes(Box<[u32; 256]>),
    /// Characters; those without a token become `<0xXX>` tokens. Words of newlines may be one token whatever the merges.
    Chars { newline_words: bool },
}

/// The BPE model.
#[derive(Debug, Clone)]
pub(super) struct Bpe {
    splitter: Splitter,
    alphabet: Alphabet,
    /// A word that is a token is that token, whatever the merges say.
    ignore_merges: bool,
    /// Symbols beyond the vocabulary: texts that only merges mention.
    extra: HashMap<Box<str>, u32, ahash::RandomState>,
    /// By left and right symbol: rank and merged symbol.
    merges: HashMap<(u32, u32), (u32, u32), ahash::RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    id: u32,
    start: usize,
    end: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// A possible merge: rank, left, right, and the ids of the two symbols at the time. Lowest rank first, then leftmost.
type Candidate = Reverse<(u32, usize, usize, u32, u32)>;

/// Memory reused from word to word.
#[derive(Debug, Default)]
struct Scratch {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
    spelled: String,
}

impl Bpe {
    /// # Errors
    /// A merge that is not two texts with a space between.
    pub(super) fn new(
        vocab: &Vocab,
        merges: &Strings,
        splitter: Splitter,
        chars: Option<bool>,
        ignore_merges: bool,
    ) -> Result<Self, Error> {
        let mut extra = HashMap::with_hasher(ahash::RandomState::new());
        let mut symbol = |text: &str| {
            vocab.id(text).unwrap_or_else(|| {
                let next = (vocab.len() + extra.len()) as u32;
                *extra.entry(text.into()).or_insert(next)
            })
        };
        let mut merged = String::new();
        let mut ranked = HashMap::with_capacity_and_hasher(merges.len(), ahash::RandomState::new());
        for (rank, merge) in merges.iter().enumerate() {
            // The first part may begin with a space itself, hence the search from the second character on.
            let first = merge.chars().next().map_or(0, char::len_utf8);
            let space = merge.get(first..).and_then(|rest| rest.find(' ')).map(|at| at + first);
            let parts = space.and_then(|at| Some((merge.get(..at)?, merge.get(at + 1..)?)));
            let Some((left, right)) = parts.filter(|(l, r)| !l.is_empty() && !r.is_empty()) else {
                let detail = format!("merge {rank} is `{merge}`, not two texts with a space between");
                return Err(Error::config("tokenizer.ggml.merges", detail));
            };
            let pair = (symbol(left), symbol(right));
            merged.clear();
            merged.extend([left, right]);
            ranked.entry(pair).or_insert((rank as u32, symbol(&merged)));
        }
        let alphabet = match chars {
            Some(newline_words) => Alphabet::Chars { newline_words },
            None => {
                let mut bytes = Box::new([NONE; 256]);
                for (byte, slot) in bytes.iter_mut().enumerate() {
                    let mut buffer = [0; 4];
                    let text = &*byte_char(byte as u8).encode_utf8(&mut buffer);
                    *slot = vocab.id(text).or_else(|| extra.get(text).copied()).unwrap_or(NONE);
                }
                Alphabet::Bytes(bytes)
            }
        };
        Ok(Self { splitter, alphabet, ignore_merges, extra, merges: ranked })
    }

    /// Appends the tokens of `text`. O(n log n) in the longest word, linear in the number of words.
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, out: &mut Vec<u32>) {
        let mut scratch = Scratch::default();
        for range in self.splitter.split(text) {
            self.encode_word(vocab, text.get(range).unwrap_or_default(), &mut scratch, out);
        }
    }

    fn encode_word(&self, vocab: &Vocab, word: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let whole = match &self.alphabet {
            Alphabet::Bytes(_) if self.ignore_merges => {
                scratch.spelled.clear();
                scratch.spelled.extend(word.bytes().map(byte_char));
                vocab.id(&scratch.spelled)
            }
            Alphabet::Chars { newline_words } if self.ignore_merges || (*newline_words && is_newlines(word)) => {
                vocab.id(word)
            }
            _ => None,
        };
        if let Some(id) = whole {
            out.push(id);
            return;
        }
        scratch.symbols.clear();
        match &self.alphabet {
            Alphabet::Bytes(bytes) => {
                let symbols = word.bytes().enumerate().map(|(at, b)| (bytes[usize::from(b)], at, at + 1));
                link(symbols, word.len(), &mut scratch.symbols);
            }
            Alphabet::Chars { .. } => {
                let symbols = word.char_indices().map(|(at, c)| {
                    let end = at + c.len_utf8();
                    let text = &word[at..end];
                    (vocab.id(text).or_else(|| self.extra.get(text).copied()).unwrap_or(NONE), at, end)
                });
                link(symbols, word.len(), &mut scratch.symbols);
            }
        }
        self.merge(scratch);
        self.emit(vocab, word, &scratch.symbols, out);
    }

    fn merge(&self, Scratch { symbols, queue, .. }: &mut Scratch) {
        let candidate = |symbols: &[Symbol], left: Option<usize>, right: Option<usize>| {
            let (left, right) = (left?, right?);
            let (l, r) = (symbols.get(left)?.id, symbols.get(right)?.id);
            let (rank, _) = self.merges.get(&(l, r))?;
            Some(Reverse((*rank, left, right, l, r)))
        };
        queue.clear();
        queue.extend((1..symbols.len()).filter_map(|right| candidate(symbols, Some(right - 1), Some(right))));
        while let Some(Reverse((_, left, right, l, r))) = queue.pop() {
            let (a, b) = (symbols[left], symbols[right]);
            // Merged-away symbols are empty; a symbol that has grown has another id.
            if a.start == a.end || b.start == b.end || a.id != l || b.id != r || a.next != Some(right) {
                continue;
            }
            let Some(&(_, merged)) = self.merges.get(&(l, r)) else { continue };
            symbols[left] = Symbol { id: merged, end: b.end, next: b.next, ..a };
            symbols[right].end = b.start;
            if let Some(next) = b.next {
                symbols[next].prev = Some(left);
            }
            queue.extend(candidate(symbols, a.prev, Some(left)));
            queue.extend(candidate(symbols, Some(left), b.next));
        }
    }

    fn emit(&self, vocab: &Vocab, word: &str, symbols: &[Symbol], out: &mut Vec<u32>) {
        let known = |id: u32| (id as usize) < vocab.len();
        let mut at = (!symbols.is_empty()).then_some(0);
        while let Some(symbol) = at.and_then(|at| symbols.get(at)) {
            if known(symbol.id) {
                out.push(symbol.id);
            } else {
                // A byte without a token is left out, as every byte-level vocabulary is expected to have all 256.
                let bytes = word.as_bytes().get(symbol.start..symbol.end).unwrap_or_default();
                out.extend(bytes.iter().filter_map(|&byte| match &self.alphabet {
                    Alphabet::Bytes(ids) => Some(ids[usize::from(byte)]).filter(|&id| known(id)),
                    Alphabet::Chars { .. } => vocab.byte_id(byte),
                }));
            }
            at = symbol.next;
        }
    }
}

fn is_newlines(word: &str) -> bool {
    word.bytes().all(|b| b == b'\n')
}

fn link(symbols: impl Iterator<Item = (u32, usize, usize)>, length: usize, out: &mut Vec<Symbol>) {
    out.extend(symbols.enumerate().map(|(at, (id, start, end))| {
        let next = (end < length).then_some(at + 1);
        Symbol { id, start, end, prev: at.checked_sub(1), next }
    }));
}

/// The printable character that stands for a byte: itself where it is printable Latin-1, otherwise one from U+0100 on.
pub(super) fn byte_char(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=0x20 => shifted(u32::from(byte)),
        0x7F..=0xA0 => shifted(0x21 + u32::from(byte - 0x7F)),
        0xAD => shifted(0x43),
    }
}

fn shifted(index: u32) -> char {
    char::from_u32(0x100 + index).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for, the inverse of [`byte_char`].
pub(super) fn char_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match code {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_characters_are_inverse() {
        let all: std::collections::HashSet<char> = (0..=255).map(byte_char).collect();
        assert_eq!(all.len(), 256);
        for byte in 0..=255 {
            assert_eq!(char_byte(byte_char(byte)), Some(byte));
        }
        assert_eq!((byte_char(b' '), byte_char(b'\n'), char_byte(' '), char_byte('ń')), ('Ġ', 'Ċ', None, None));
        assert_eq!(u32::from('ń'), 0x144);
    }
}
