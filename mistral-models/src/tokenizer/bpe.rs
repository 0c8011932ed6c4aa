//! Byte-pair encoding with ranked merges (`tokenizer.ggml.model` = `gpt2`, `gemma4`).
//!
//! Sources: Sennrich et al. 2016; GPT-2 for the alphabet of 256 printable characters that stand for bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::index::Index;
use super::split::Splitter;
use super::vocab::Vocab;
use crate::error::Error;
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
    extra: Extra,
    merges: Merges,
}

/// Symbols outside the vocabulary: texts that only merges mention.
#[derive(Debug, Clone, Default)]
struct Extra {
    texts: Strings,
    index: Index,
    hasher: ahash::RandomState,
}

impl Extra {
    fn get(&self, text: &str) -> Option<u32> {
        self.index.get(self.hasher.hash_one(text), |at| self.texts.get(at as usize) == Some(text))
    }

    fn insert(&mut self, text: &str) -> u32 {
        let (texts, hasher) = (&self.texts, &self.hasher);
        let hash_of = |at: u32| hasher.hash_one(texts.get(at as usize).unwrap_or_default());
        let next = texts.len() as u32;
        let former = self.index.insert(next, hasher.hash_one(text), |at| texts.get(at as usize) == Some(text), hash_of);
        former.unwrap_or_else(|| {
            self.texts.push(text);
            next
        })
    }
}

/// Pairs of symbols that become one, in the order of their ranks.
#[derive(Debug, Clone)]
struct Merges {
    index: Index,
    /// The left, right and merged symbol of each pair.
    list: Vec<[u32; 3]>,
    hasher: ahash::RandomState,
}

impl Merges {
    fn with_capacity(merges: usize) -> Self {
        let (index, list) = (Index::with_capacity(merges), Vec::with_capacity(merges));
        Self { index, list, hasher: ahash::RandomState::new() }
    }

    /// Adds a pair. Of equal pairs, the first one counts.
    fn push(&mut self, pair: (u32, u32), merged: u32) {
        let list = &self.list;
        let pair_at = |at: u32| list.get(at as usize).map(|&[left, right, _]| (left, right));
        let hash_of = |at: u32| self.hasher.hash_one(pair_at(at));
        let next = list.len() as u32;
        let former = self.index.insert(next, self.hasher.hash_one(Some(pair)), |at| pair_at(at) == Some(pair), hash_of);
        if former.is_none() {
            self.list.push([pair.0, pair.1, merged]);
        }
    }

    /// Returns the rank and the merged symbol of a pair.
    fn get(&self, pair: (u32, u32)) -> Option<(u32, u32)> {
        let is = |at: u32| self.list.get(at as usize).is_some_and(|&[left, right, _]| (left, right) == pair);
        let rank = self.index.get(self.hasher.hash_one(Some(pair)), is)?;
        self.list.get(rank as usize).map(|&[_, _, merged]| (rank, merged))
    }
}

/// Returns the two symbols of a merge. The first symbol may itself begin with a space, so the search starts at the second character.
fn parts(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next().map_or(0, char::len_utf8);
    let space = merge.get(first..)?.find(' ')? + first;
    Some((merge.get(..space)?, merge.get(space + 1..)?)).filter(|(left, right)| !left.is_empty() && !right.is_empty())
}

/// Checks a list of merges before a table is made from it.
///
/// # Errors
/// A merge that is not two texts with a space between them; a list that is too long to be numbered.
pub(super) fn check(merges: &Strings) -> Result<(), Error> {
    const KEY: &str = "tokenizer.ggml.merges";
    // The symbols of this many merges can still be numbered next to the tokens.
    if merges.len() > 1 << 29 {
        return Err(Error::config(KEY, format!("holds {} merges", merges.len())));
    }
    match merges.iter().enumerate().find(|(_, merge)| parts(merge).is_none()) {
        None => Ok(()),
        Some((rank, merge)) => {
            let detail = format!("merge {rank} is `{merge}`, not two texts with a space between");
            Err(Error::config(KEY, detail))
        }
    }
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
    /// Makes the model from merges that have passed [`check`].
    pub(super) fn new(
        vocab: &Vocab,
        merges: &Strings,
        splitter: Splitter,
        chars: Option<bool>,
        ignore_merges: bool,
    ) -> Self {
        let mut extra = Extra::default();
        let mut symbol = |text: &str| vocab.id(text).unwrap_or_else(|| vocab.len() as u32 + extra.insert(text));
        let mut merged = String::new();
        let mut ranked = Merges::with_capacity(merges.len());
        for (left, right) in merges.iter().filter_map(parts) {
            merged.clear();
            merged.extend([left, right]);
            ranked.push((symbol(left), symbol(right)), symbol(&merged));
        }
        let of_extra = |text: &str| Some(vocab.len() as u32 + extra.get(text)?);
        let alphabet = match chars {
            Some(newline_words) => Alphabet::Chars { newline_words },
            None => {
                let mut bytes = Box::new([NONE; 256]);
                for (byte, slot) in bytes.iter_mut().enumerate() {
                    let mut buffer = [0; 4];
                    let text = &*byte_char(byte as u8).encode_utf8(&mut buffer);
                    *slot = vocab.id(text).or_else(|| of_extra(text)).unwrap_or(NONE);
                }
                Alphabet::Bytes(bytes)
            }
        };
        Self { splitter, alphabet, ignore_merges, extra, merges: ranked }
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
                    let of_extra = || Some(vocab.len() as u32 + self.extra.get(text)?);
                    (vocab.id(text).or_else(of_extra).unwrap_or(NONE), at, end)
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
            let (rank, _) = self.merges.get((l, r))?;
            Some(Reverse((rank, left, right, l, r)))
        };
        queue.clear();
        queue.extend((1..symbols.len()).filter_map(|right| candidate(symbols, Some(right - 1), Some(right))));
        while let Some(Reverse((_, left, right, l, r))) = queue.pop() {
            let (a, b) = (symbols[left], symbols[right]);
            // Merged-away symbols are empty; a symbol that has grown has another id.
            if a.start == a.end || b.start == b.end || a.id != l || b.id != r || a.next != Some(right) {
                continue;
            }
            let Some((_, merged)) = self.merges.get((l, r)) else { continue };
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
