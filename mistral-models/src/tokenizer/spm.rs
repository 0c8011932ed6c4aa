//! SentencePiece BPE (`tokenizer.ggml.model` = `llama`): neighbours merge in the order of the score of the merged token.
//!
//! Source: Kudo and Richardson 2018, "SentencePiece", and llama.cpp, whose order of ties (left before right) is kept.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::vocab::Vocab;

/// The SPM model. Its vocabulary is passed in: merges are looked up in it by text.
#[derive(Debug, Clone)]
pub(super) struct Spm {
    /// The token of each byte, for text that has none of its own.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

/// A part of the text that is one token so far, and its neighbours.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    prev: Option<usize>,
    next: Option<usize>,
}

/// A possible merge of two neighbours, valid as long as both have not changed.
#[derive(Debug, Clone, Copy)]
struct Bigram {
    score: f32,
    left: usize,
    right: usize,
    bytes: usize,
}

impl Ord for Bigram {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Bigram {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bigram {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bigram {}

impl Spm {
    pub(super) fn new(vocab: &Vocab, unknown: Option<u32>) -> Self {
        let mut bytes = Box::new([None; 256]);
        for (byte, slot) in bytes.iter_mut().enumerate() {
            let byte = byte as u8;
            let own = || byte.is_ascii().then(|| vocab.id(char::from(byte).encode_utf8(&mut [0; 4]))).flatten();
            *slot = vocab.byte_id(byte).or_else(own);
        }
        Self { bytes, unknown }
    }

    /// Appends the tokens of `text`, whose spaces are escaped already. O(n log n) for n characters.
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, out: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, c))| {
                let end = start + c.len_utf8();
                let next = (end < text.len()).then_some(at + 1);
                Symbol { start, end, prev: at.checked_sub(1), next }
            })
            .collect();
        let bigram = |symbols: &[Symbol], left: Option<usize>, right: Option<usize>| {
            let (left, right) = (left?, right?);
            let (start, end) = (symbols.get(left)?.start, symbols.get(right)?.end);
            if end - start > vocab.longest() {
                return None;
            }
            let id = vocab.id(text.get(start..end)?)?;
            // Adding zero turns -0.0 into 0.0, which total_cmp would tell apart.
            Some(Bigram { score: vocab.score(id) + 0.0, left, right, bytes: end - start })
        };

        let mut queue: BinaryHeap<Bigram> =
            (1..symbols.len()).filter_map(|right| bigram(&symbols, Some(right - 1), Some(right))).collect();
        while let Some(Bigram { left, right, bytes, .. }) = queue.pop() {
            let (l, r) = (symbols[left], symbols[right]);
            // A symbol that was merged away is empty; one that grew changes the size.
            if l.start == l.end || r.start == r.end || (l.end - l.start) + (r.end - r.start) != bytes {
                continue;
            }
            symbols[left].end = r.end;
            symbols[left].next = r.next;
            symbols[right].end = r.start;
            if let Some(next) = r.next {
                symbols[next].prev = Some(left);
            }
            queue.extend(bigram(&symbols, l.prev, Some(left)));
            queue.extend(bigram(&symbols, Some(left), r.next));
        }

        let mut at = (!symbols.is_empty()).then_some(0);
        while let Some(symbol) = at.and_then(|at| symbols.get(at)) {
            let piece = text.get(symbol.start..symbol.end).unwrap_or_default();
            match vocab.id(piece) {
                Some(id) => out.push(id),
                None => out.extend(piece.bytes().filter_map(|b| self.bytes[usize::from(b)].or(self.unknown))),
            }
            at = symbol.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::{Array, Metadata, Strings, Value};

    /// Merges the best pair of neighbours, the leftmost of equals, until there is none: the definition.
    fn naive(vocab: &Vocab, text: &str) -> Vec<String> {
        let mut parts: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let mut best: Option<(f32, usize)> = None;
            for at in 1..parts.len() {
                if let Some(id) = vocab.id(&[parts[at - 1].as_str(), &parts[at]].concat())
                    && best.is_none_or(|(score, _)| vocab.score(id) > score)
                {
                    best = Some((vocab.score(id), at));
                }
            }
            let Some((_, at)) = best else { return parts };
            let right = parts.remove(at);
            parts[at - 1].push_str(&right);
        }
    }

    proptest! {
        #[test]
        fn merges_as_the_definition_does(
            tokens in prop::collection::hash_map("[abc]{2,5}", -3..3i8, 0..40), text in "[abcd]{0,40}",
        ) {
            let letters = ["a", "b", "c", "d"].map(|l| (l.to_owned(), 0));
            let all: Vec<(String, i8)> = letters.into_iter().chain(tokens).collect();
            let mut metadata = Metadata::default();
            let texts: Strings = all.iter().map(|(t, _)| t.as_str()).collect();
            metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::Str(texts)));
            let scores = all.iter().map(|(_, s)| f32::from(*s)).collect();
            metadata.insert("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
            let vocab = Vocab::new(&metadata).unwrap();
            let mut ids = Vec::new();
            Spm::new(&vocab, None).encode(&vocab, &text, &mut ids);
            let found: Vec<&str> = ids.iter().map(|id| vocab.text(*id).unwrap()).collect();
            prop_assert_eq!(found, naive(&vocab, &text));
        }
    }
}
