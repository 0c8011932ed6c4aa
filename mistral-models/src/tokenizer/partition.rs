//! Cuts text at the tokens that are matched before the model sees it: user-defined and control tokens.
//!
//! The order is that of llama.cpp (`tokenizer_st_partition`): longer tokens first over the whole text, then from left to
//! right; white space beside a token that strips it goes with the token.

use std::ops::Range;

use super::trie::Trie;
use super::vocab::{Attributes, Vocab};

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Bytes of the text that the model encodes.
    Text(Range<usize>),
    /// A token found in the text.
    Token(u32),
}

/// The tokens to look for.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    /// Longest first; the trie maps texts to places in this list.
    tokens: Vec<Matched>,
    trie: Trie,
}

#[derive(Debug, Clone)]
struct Matched {
    id: u32,
    text: Box<str>,
    attributes: Attributes,
    /// Matched only where the caller asked to parse special tokens.
    special: bool,
}

impl Partition {
    pub(super) fn new(vocab: &Vocab) -> Self {
        let special = Attributes::CONTROL.with(Attributes::UNKNOWN);
        let mut tokens: Vec<Matched> = vocab
            .iter()
            .filter(|(_, _, a)| a.any(special.with(Attributes::USER_DEFINED)))
            .map(|(id, text, attributes)| Matched {
                id,
                text: text.into(),
                attributes,
                special: attributes.any(special),
            })
            .collect();
        tokens.sort_by(|a, b| b.text.len().cmp(&a.text.len()).then(a.id.cmp(&b.id)));
        let trie = Trie::new(tokens.iter().enumerate().map(|(at, t)| (t.text.as_bytes(), at as u32)));
        Self { tokens, trie }
    }

    /// Cuts `text`. Costs one walk over the text and one search for each kind of token that occurs in it.
    pub(super) fn split(&self, text: &str, parse_special: bool) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        if text.is_empty() {
            return fragments;
        }
        fragments.push(Fragment::Text(0..text.len()));
        let mut present = vec![false; self.tokens.len()];
        for at in 0..text.len() {
            for (_, found) in self.trie.prefixes(&text.as_bytes()[at..]) {
                if let Some(slot) = present.get_mut(found as usize) {
                    *slot = true;
                }
            }
        }
        for (token, _) in self.tokens.iter().zip(present).filter(|(t, p)| *p && (parse_special || !t.special)) {
            let mut cut = Vec::with_capacity(fragments.len());
            for fragment in fragments {
                match fragment {
                    Fragment::Text(range) => token.cut(text, range, &mut cut),
                    Fragment::Token(_) => cut.push(fragment),
                }
            }
            fragments = cut;
        }
        fragments
    }
}

impl Matched {
    fn cut(&self, text: &str, range: Range<usize>, out: &mut Vec<Fragment>) {
        let bytes = text.as_bytes();
        // The set of isspace() in the C locale.
        let space = |at: usize| bytes.get(at).is_some_and(|b| matches!(b, b' ' | b'\t'..=b'\r'));
        let mut start = range.start;
        while let Some(found) = text.get(start..range.end).and_then(|rest| rest.find(&*self.text)) {
            let mut end = start + found;
            let mut next = end + self.text.len();
            if self.attributes.any(Attributes::LSTRIP) {
                while end > start && space(end - 1) {
                    end -= 1;
                }
            }
            if self.attributes.any(Attributes::RSTRIP) {
                while next < range.end && space(next) {
                    next += 1;
                }
            }
            if end > start {
                out.push(Fragment::Text(start..end));
            }
            out.push(Fragment::Token(self.id));
            start = next;
        }
        if start < range.end {
            out.push(Fragment::Text(start..range.end));
        }
    }
}
