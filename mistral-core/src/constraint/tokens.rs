//! The tokens of a vocabulary in the order of their bytes, so that those with a common beginning are matched together.

use std::collections::HashMap;

use mistral_models::Tokenizer;

use super::matcher::Matcher;

/// Tokens that stand for text, sorted by it.
#[derive(Debug)]
pub(crate) struct TokenTable {
    /// Text, token, and whether it is special: then it belongs into literals only.
    tokens: Vec<(Box<[u8]>, u32, bool)>,
    /// The place of each token in the list.
    places: HashMap<u32, usize>,
}

impl TokenTable {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Self {
        let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
        let bytes = |id| tokenizer.token_bytes(id).filter(|bytes| !bytes.is_empty());
        let mut tokens: Vec<_> = ids.filter_map(|id| Some((bytes(id)?.into(), id, tokenizer.is_special(id)))).collect();
        tokens.sort_unstable();
        let places = tokens.iter().enumerate().map(|(place, (_, id, _))| (*id, place)).collect();
        Self { tokens, places }
    }

    /// The text of a token, and whether it is special.
    pub(super) fn bytes(&self, token: u32) -> Option<(&[u8], bool)> {
        self.tokens.get(*self.places.get(&token)?).map(|(bytes, _, special)| (&**bytes, *special))
    }

    /// The tokens that may come at this place.
    pub(super) fn allowed(&self, at: &Matcher) -> Vec<u32> {
        let mut allowed = Vec::new();
        // The places after each byte of the token before, for ordinary and for special tokens; `None` ends the matching.
        let mut paths: [Vec<Option<Matcher>>; 2] = [vec![Some(at.clone())], vec![Some(at.clone())]];
        let mut before: [&[u8]; 2] = [&[], &[]];
        for (bytes, id, special) in &self.tokens {
            let which = usize::from(*special);
            let ([path, special_path], [last, special_last]) = (&mut paths, &mut before);
            let (path, last) = if *special { (special_path, special_last) } else { (path, last) };
            let common = bytes.iter().zip(last.iter()).take_while(|(a, b)| a == b).count();
            path.truncate(common + 1);
            // A path ends where the token before did not match; this one shares that beginning or goes its own way before it.
            for &byte in bytes.get(path.len() - 1..).unwrap_or_default() {
                let Some(Some(place)) = path.last() else { break };
                let next = place.step(byte, which == 1);
                path.push(next);
            }
            if path.len() == bytes.len() + 1 && path.last().is_some_and(Option::is_some) {
                allowed.push(*id);
            }
            *last = bytes;
        }
        allowed
    }
}
