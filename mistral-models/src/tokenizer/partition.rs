//! Cuts text at the tokens that are matched before the model sees the text: user-defined and control tokens.
//!
//! The order is that of llama.cpp (`tokenizer_st_partition`): longer tokens first over the whole text, then from left to right. White space
//! next to a token that strips white space belongs to the token.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::sorted::Sorted;
use super::vocab::{Attributes, Vocab};

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Bytes of the text that the model encodes.
    Text(Range<usize>),
    /// A token found in the text.
    Token(u32),
}

/// Tokens that are matched only if the caller asked to parse special tokens.
const SPECIAL: Attributes = Attributes::CONTROL.with(Attributes::UNKNOWN);

/// Tokens that are matched before the model sees the text.
pub(super) const MATCHED: Attributes = SPECIAL.with(Attributes::USER_DEFINED);

/// The tokens to look for.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    tokens: Arc<Sorted>,
}

impl Partition {
    /// Selects those of `tokens` that are [`MATCHED`].
    pub(super) fn new(tokens: Arc<Sorted>) -> Self {
        Self { tokens }
    }

    /// Cuts `text`. Costs one walk over the text and one search for each kind of token that occurs in it.
    pub(super) fn split(&self, vocab: &Vocab, text: &str, parse_special: bool) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        if text.is_empty() {
            return fragments;
        }
        fragments.push(Fragment::Text(0..text.len()));
        let mut present = HashSet::new();
        for at in 0..text.len() {
            present.extend(self.tokens.prefixes(vocab, &text.as_bytes()[at..]).map(|(_, id)| id));
        }
        let wanted = |id: &u32| {
            let attributes = vocab.attributes(*id);
            attributes.any(MATCHED) && (parse_special || !attributes.any(SPECIAL))
        };
        let mut present: Vec<u32> = present.into_iter().filter(wanted).collect();
        present.sort_unstable_by_key(|id| (Reverse(vocab.text(*id).map_or(0, str::len)), *id));
        for id in present {
            let mut cut = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(range) => cut_at(vocab, id, text, range, &mut cut),
                    Fragment::Token(_) => cut.push(fragment),
                }
            }
            fragments = cut;
        }
        fragments
    }
}

fn cut_at(vocab: &Vocab, id: u32, text: &str, range: Range<usize>, out: &mut Vec<Fragment>) {
    let (token, attributes) = (vocab.text(id).unwrap_or_default(), vocab.attributes(id));
    let bytes = text.as_bytes();
    // The set of isspace() in the C locale.
    let space = |at: usize| bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t'..=b'\r'));
    let mut start = range.start;
    while let Some(found) = text.get(start..range.end).and_then(|rest| rest.find(token)) {
        let mut end = start + found;
        let mut next = end + token.len();
        if attributes.any(Attributes::LSTRIP) {
            while end > start && space(end - 1) {
                end -= 1;
            }
        }
        if attributes.any(Attributes::RSTRIP) {
            while next < range.end && space(next) {
                next += 1;
            }
        }
        if end > start {
            out.push(Fragment::Text(start..end));
        }
        out.push(Fragment::Token(id));
        start = next;
    }
    if start < range.end {
        out.push(Fragment::Text(start..range.end));
    }
}
