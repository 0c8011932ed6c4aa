//! Unigram (`tokenizer.ggml.model` = `t5`): the segmentation with the highest sum of log probabilities.
//!
//! Sources: Kudo 2018, "Subword Regularization"; SentencePiece for the normalizer and its precompiled table of
//! replacements, an XOR-compressed double array (Kanda 2018); llama.cpp for what GGUF keys mean.

use std::sync::Arc;

use super::sorted::Sorted;
use super::vocab::{Attributes, Vocab};
use crate::error::Error;

const SEARCHED: Attributes = Attributes::NORMAL.with(Attributes::USER_DEFINED).with(Attributes::UNUSED);

/// Added to the lowest score for a character that no token covers.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The Unigram model with its normalizer.
#[derive(Debug, Clone)]
pub(super) struct Unigram {
    pieces: Arc<Sorted>,
    unknown: u32,
    unknown_score: f64,
    charsmap: Option<Charsmap>,
    add_space_prefix: bool,
    merge_spaces: bool,
}

/// The best way to reach a place in the text.
#[derive(Debug, Clone, Copy)]
struct Best {
    token: u32,
    from: usize,
    score: f64,
}

impl Unigram {
    /// Makes the model from the normal, user-defined and unused tokens among `pieces`.
    ///
    /// # Errors
    /// A table of replacements that is cut short.
    pub(super) fn new(
        vocab: &Vocab,
        pieces: Arc<Sorted>,
        unknown: u32,
        charsmap: Option<&[u8]>,
        add_space_prefix: bool,
        merge_spaces: bool,
    ) -> Result<Self, Error> {
        let normal = vocab.iter().filter(|(_, _, a)| a.any(Attributes::NORMAL));
        let lowest = normal.map(|(id, _, _)| vocab.score(id)).fold(f32::MAX, f32::min);
        let unknown_score = f64::from(lowest) - UNKNOWN_PENALTY;
        let charsmap = charsmap.filter(|c| !c.is_empty()).map(Charsmap::new).transpose()?;
        Ok(Self { pieces, unknown, unknown_score, charsmap, add_space_prefix, merge_spaces })
    }

    /// Appends the tokens of `text`. The cost is linear in the text times the longest token and the logarithm of the vocabulary.
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        let text = self.normalize(text)?;
        let mut best = vec![Best { token: self.unknown, from: 0, score: f64::NEG_INFINITY }; text.len() + 1];
        best[0].score = 0.0;
        for (at, c) in text.char_indices() {
            let here = best[at].score;
            let mut covered = false;
            let mut offer = |end: usize, token: u32, score: f64| {
                if let Some(slot) = best.get_mut(end)
                    && score > slot.score
                {
                    *slot = Best { token, from: at, score };
                }
            };
            for (length, token) in self.pieces.prefixes(vocab, &text.as_bytes()[at..]) {
                let attributes = vocab.attributes(token);
                if !attributes.any(SEARCHED) {
                    continue;
                }
                covered |= length == c.len_utf8();
                let user_defined = attributes.any(Attributes::USER_DEFINED);
                let score = if user_defined { 0.0 } else { f64::from(vocab.score(token)) };
                offer(at + length, token, here + score);
            }
            if !covered {
                offer(at + c.len_utf8(), self.unknown, here + self.unknown_score);
            }
        }
        let start = out.len();
        let mut at = text.len();
        let mut after_unknown = false;
        while at > 0 {
            let Best { token, from, .. } = best[at];
            let unknown = token == self.unknown;
            // Neighbouring unknown characters are one unknown token.
            if !(unknown && after_unknown) {
                out.push(token);
            }
            after_unknown = unknown;
            at = from;
        }
        if let Some(new) = out.get_mut(start..) {
            new.reverse();
        }
        Ok(())
    }

    /// Replaces what the table says, escapes spaces, merges runs of them where the model does.
    fn normalize(&self, text: &str) -> Result<String, Error> {
        let mut normalized = String::with_capacity(text.len() + text.len() / 2 + 3);
        let mut prefixed = false;
        let mut in_word = false;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (replacement, used) = match self.charsmap.as_ref().map(|map| map.longest(rest)).transpose()?.flatten() {
                Some(found) => found,
                None => (&rest[..first.len_utf8()], first.len_utf8()),
            };
            for c in replacement.chars() {
                if c == ' ' {
                    in_word = false;
                    if !self.merge_spaces {
                        normalized.push('▁');
                    }
                    continue;
                }
                if !in_word {
                    in_word = true;
                    if self.merge_spaces || (self.add_space_prefix && !prefixed) {
                        normalized.push('▁');
                        prefixed = true;
                    }
                }
                normalized.push(c);
            }
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(normalized)
    }
}

/// The precompiled table: a double array of prefixes and the replacements they stand for.
#[derive(Debug, Clone)]
struct Charsmap {
    /// Bit 31: a value; bits 10 to 30: base; bit 9: base is shifted by 8; bit 8: has a value; bits 0 to 7: label.
    nodes: Vec<u32>,
    /// Replacements, each ended by a zero byte.
    replacements: Vec<u8>,
}

impl Charsmap {
    fn new(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |detail: &str| Error::config("tokenizer.ggml.precompiled_charsmap", detail);
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| wrong("is shorter than its header"))?;
        let size = u32::from_le_bytes(*size) as usize;
        let (nodes, replacements) =
            rest.split_at_checked(size).ok_or_else(|| wrong("ends before its double array does"))?;
        let (nodes, odd) = nodes.as_chunks::<4>();
        if !odd.is_empty() || nodes.is_empty() || replacements.is_empty() {
            return Err(wrong("has no whole double array with replacements behind it"));
        }
        let nodes = nodes.iter().map(|n| u32::from_le_bytes(*n)).collect();
        Ok(Self { nodes, replacements: replacements.to_vec() })
    }

    fn node(&self, index: u32) -> Result<u32, Error> {
        let outside = || Error::malformed("tokenizer.ggml.precompiled_charsmap", format!("refers to node {index}"));
        self.nodes.get(index as usize).copied().ok_or_else(outside)
    }

    /// The replacement of the longest prefix in the table, and the bytes that the prefix takes.
    fn longest<'s>(&'s self, text: &str) -> Result<Option<(&'s str, usize)>, Error> {
        let base = |node: u32| (node >> 10) << ((node & (1 << 9)) >> 6);
        let mut index = base(self.node(0)?);
        let mut found = None;
        for (at, byte) in text.bytes().enumerate() {
            if byte == 0 {
                break;
            }
            index ^= u32::from(byte);
            let node = self.node(index)?;
            // A value has bit 31 set, so it is never taken for a child.
            if node & (1 << 31 | 0xFF) != u32::from(byte) {
                break;
            }
            index ^= base(node);
            if node >> 8 & 1 == 1 {
                found = Some((self.node(index)? & !(1 << 31), at + 1));
            }
        }
        let Some((offset, length)) = found else { return Ok(None) };
        let wrong = || Error::malformed("tokenizer.ggml.precompiled_charsmap", format!("replacement at {offset}"));
        let tail = self.replacements.get(offset as usize..).ok_or_else(wrong)?;
        let end = tail.iter().position(|&b| b == 0).ok_or_else(wrong)?;
        let replacement = std::str::from_utf8(&tail[..end]).map_err(|_| wrong())?;
        // A prefix that ends inside a character cannot be cut off.
        if text.is_char_boundary(length) { Ok(Some((replacement, length))) } else { Err(wrong()) }
    }
}
