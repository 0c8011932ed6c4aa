//! Tokens in the order of their texts, to find every token with which a text begins. Four bytes per token.

use std::ops::Range;

use super::vocab::{Attributes, Vocab};

/// A set of tokens of a vocabulary; the vocabulary is passed to each call.
#[derive(Debug, Clone)]
pub(super) struct Sorted {
    ids: Vec<u32>,
    /// The index in `ids` at which the tokens of each first byte begin, and the end.
    first: Box<[u32; 257]>,
}

impl Sorted {
    /// Selects the tokens whose attributes are wanted; tokens without text are left out.
    pub(super) fn new(vocab: &Vocab, wanted: impl Fn(Attributes) -> bool) -> Self {
        let text = |id: u32| vocab.text(id).unwrap_or_default();
        let found = || vocab.iter().filter(|(_, text, a)| !text.is_empty() && wanted(*a)).map(|(id, _, _)| id);
        // Counted first, as a vector that grows would take twice its size.
        let mut ids = Vec::with_capacity(found().count());
        ids.extend(found());
        ids.sort_unstable_by(|a, b| text(*a).cmp(text(*b)));
        let mut first = Box::new([0; 257]);
        for id in &ids {
            let byte = text(*id).as_bytes().first().copied().unwrap_or_default();
            first[usize::from(byte) + 1] += 1;
        }
        for byte in 1..first.len() {
            first[byte] += first[byte - 1];
        }
        Self { ids, first }
    }

    /// Returns every token with which `bytes` begins, with its length, shortest first. The cost is the longest match times the logarithm of
    /// the number of tokens.
    pub(super) fn prefixes<'s>(&'s self, vocab: &'s Vocab, bytes: &'s [u8]) -> impl Iterator<Item = (usize, u32)> + 's {
        let mut range = bytes.first().map_or(0..0, |byte| {
            let byte = usize::from(*byte);
            self.first[byte] as usize..self.first[byte + 1] as usize
        });
        // The number of bytes at the start of all texts in the range that are those of `bytes`.
        let mut depth = 1;
        std::iter::from_fn(move || {
            loop {
                let &id = self.ids.get(range.clone())?.first()?;
                let text = vocab.text(id).unwrap_or_default().as_bytes();
                // Of the texts with the same beginning the shortest is the first.
                if text.len() == depth || (range.len() == 1 && bytes.starts_with(text)) {
                    range.start += 1;
                    return Some((text.len(), id));
                }
                if range.len() == 1 {
                    return None;
                }
                self.narrow(vocab, &mut range, depth, *bytes.get(depth)?);
                depth += 1;
            }
        })
    }

    /// Keeps the texts whose byte at `depth` is `byte`.
    fn narrow(&self, vocab: &Vocab, range: &mut Range<usize>, depth: usize, byte: u8) {
        let at = |id: &u32| vocab.text(*id).unwrap_or_default().as_bytes().get(depth).copied().unwrap_or_default();
        let ids = self.ids.get(range.clone()).unwrap_or_default();
        let (Some(lowest), Some(highest)) = (ids.first().map(at), ids.last().map(at)) else { return };
        if lowest == byte && highest == byte {
            return;
        }
        let start = if lowest == byte { 0 } else { ids.partition_point(|id| at(id) < byte) };
        let rest = ids.get(start..).unwrap_or_default();
        *range = range.start + start..range.start + start + rest.partition_point(|id| at(id) <= byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Array, Metadata, Strings, Value};

    #[test]
    fn every_prefix_is_found() {
        let texts: Strings = ["abd", "a", "", "abc", "é", "b", "abcdef"].into_iter().collect();
        let mut metadata = Metadata::default();
        metadata.insert("tokenizer.ggml.tokens", Value::Array(Array::Str(texts)));
        let vocab = Vocab::new(&metadata).unwrap();
        let sorted = Sorted::new(&vocab, |_| true);
        let found = |text: &str| sorted.prefixes(&vocab, text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("abcd"), [(1, 1), (3, 3)]);
        assert_eq!(found("abcdefg"), [(1, 1), (3, 3), (6, 6)]);
        assert_eq!(found("ab"), [(1, 1)]);
        assert_eq!(found("ba"), [(1, 5)]);
        assert_eq!(found("éa"), [(2, 4)]);
        assert!(found("c").is_empty() && found("").is_empty() && found("è").is_empty());
        assert_eq!(Sorted::new(&vocab, |_| false).prefixes(&vocab, b"a").count(), 0);
    }
}
