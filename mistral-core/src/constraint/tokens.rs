//! The tokens of a vocabulary as a tree of their bytes, so that those with a common beginning are matched together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mistral_models::Tokenizer;

use super::matcher::{Matcher, Place};
use super::terminal::{At, Terminal};

/// Masks of terminals that are kept, each of a bit a token.
const KEPT: usize = 256;

type Kept = HashMap<(Arc<Terminal>, At), Arc<TerminalMask>>;

/// The tokens of a vocabulary that stand for text: made once for a model, shared by its sequences.
#[derive(Debug)]
pub struct TokenTable {
    ordinary: Tree,
    /// Tokens that belong into marks only.
    special: Tree,
    /// The place of each token in its tree.
    places: HashMap<u32, (bool, u32)>,
    /// Bits of a mask.
    size: usize,
    /// Characters of the longest token.
    longest: u32,
    kept: Mutex<Kept>,
}

/// Tokens in the order of their bytes, and the nodes of their tree in the order of a walk.
#[derive(Debug, Default)]
struct Tree {
    tokens: Vec<(Box<[u8]>, u32)>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    byte: u8,
    /// Bytes from the root, this one included.
    depth: u16,
    /// The first node that is not below.
    end: u32,
    /// The first token here; those that end here stand before those below.
    first: u32,
    /// How many end here.
    here: u16,
}

/// A set of tokens, a bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mask {
    words: Vec<u64>,
}

/// The tokens that a terminal goes on with, whatever comes after it.
#[derive(Debug)]
struct TerminalMask {
    within: Mask,
    /// What tokens that also go beyond the terminal have there, each with a place in `across`.
    beyond: Tree,
    /// The tokens that go on with the same beyond the terminal.
    across: Vec<Vec<u32>>,
}

impl Mask {
    fn new(size: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)] }
    }

    /// Only these.
    pub(super) fn of(size: usize, tokens: &[u32]) -> Self {
        let mut mask = Self::new(size);
        tokens.iter().for_each(|&token| mask.insert(token));
        mask
    }

    fn insert(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 64) {
            *word |= 1 << (token % 64);
        }
    }

    pub(super) fn remove(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 64) {
            *word &= !(1 << (token % 64));
        }
    }

    #[cfg(test)]
    pub(super) fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1)
    }

    fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Sets the logits of all other tokens to -inf.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        let mut chunks = logits.chunks_mut(64);
        for (&word, chunk) in self.words.iter().zip(&mut chunks) {
            if word.count_zeros() <= 32 {
                bits(!word).for_each(|bit| set(chunk, bit, f32::NEG_INFINITY));
                continue;
            }
            let mut kept = [0.0; 64];
            for bit in bits(word) {
                kept[bit] = chunk.get(bit).copied().unwrap_or(0.0);
            }
            chunk.fill(f32::NEG_INFINITY);
            bits(word).for_each(|bit| set(chunk, bit, kept[bit]));
        }
        chunks.for_each(|rest| rest.fill(f32::NEG_INFINITY));
    }
}

/// The numbers of the bits that are set.
fn bits(word: u64) -> impl Iterator<Item = usize> {
    let rests = std::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)));
    rests.take_while(|&rest| rest != 0).map(|rest| rest.trailing_zeros() as usize)
}

fn set(chunk: &mut [f32], at: usize, value: f32) {
    if let Some(logit) = chunk.get_mut(at) {
        *logit = value;
    }
}

impl Tree {
    fn new(mut tokens: Vec<(Box<[u8]>, u32)>) -> Self {
        tokens.retain(|(bytes, _)| bytes.len() < usize::from(u16::MAX));
        tokens.sort_unstable();
        let (mut nodes, mut open): (Vec<Node>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut last: &[u8] = &[];
        for (first, (bytes, _)) in (0u32..).zip(&tokens) {
            let common = bytes.iter().zip(last).take_while(|(a, b)| a == b).count();
            for closed in open.drain(common..) {
                let end = nodes.len() as u32;
                if let Some(node) = nodes.get_mut(closed) {
                    node.end = end;
                }
            }
            for (depth, &byte) in bytes.iter().enumerate().skip(common) {
                open.push(nodes.len());
                nodes.push(Node { byte, depth: depth as u16 + 1, end: 0, first, here: 0 });
            }
            if let Some(node) = open.last().and_then(|&at| nodes.get_mut(at)) {
                node.here = node.here.saturating_add(1);
            }
            last = bytes;
        }
        let end = nodes.len() as u32;
        for closed in open {
            if let Some(node) = nodes.get_mut(closed) {
                node.end = end;
            }
        }
        Self { tokens, nodes }
    }

    /// Walks through the tree as far as `step` goes, from state to state; `found` has each node that was reached.
    fn walk<S: Copy>(&self, start: S, mut step: impl FnMut(S, u8) -> Option<S>, mut found: impl FnMut(&Node, S)) {
        let mut states = vec![start];
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            states.truncate(node.depth.into());
            let Some(&before) = states.last() else { return };
            match step(before, node.byte) {
                Some(state) => {
                    states.push(state);
                    found(node, state);
                    at += 1;
                }
                None => at = node.end as usize,
            }
        }
    }

    /// Removes the tokens that begin with some bytes and continue with a byte of `next`. If all continuations are removed, tokens that end
    /// there are removed too.
    fn remove(&self, mask: &mut Mask, bytes: &[u8], next: impl Fn(u8) -> bool) {
        let (mut at, mut end) = (0, self.nodes.len());
        for &byte in bytes {
            while self.nodes.get(at).is_some_and(|node| at < end && node.byte != byte) {
                at = self.nodes.get(at).map_or(end, |node| node.end as usize);
            }
            let Some(node) = self.nodes.get(at).filter(|_| at < end) else { return };
            (at, end) = (at + 1, node.end as usize);
        }
        if let Some(node) = at.checked_sub(1).and_then(|at| self.nodes.get(at)).filter(|_| (0..=255).all(&next)) {
            self.here(node).iter().for_each(|&(_, token)| mask.remove(token));
        }
        while let Some(node) = self.nodes.get(at).filter(|_| at < end) {
            if next(node.byte) {
                self.here(node).iter().chain(self.below(node)).for_each(|&(_, token)| mask.remove(token));
            }
            at = node.end as usize;
        }
    }

    fn here(&self, node: &Node) -> &[(Box<[u8]>, u32)] {
        let first = node.first as usize;
        self.tokens.get(first..first + usize::from(node.here)).unwrap_or_default()
    }

    fn below(&self, node: &Node) -> &[(Box<[u8]>, u32)] {
        let from = node.first as usize + usize::from(node.here);
        let to = self.nodes.get(node.end as usize).map_or(self.tokens.len(), |next| next.first as usize);
        self.tokens.get(from..to).unwrap_or_default()
    }
}

impl TokenTable {
    /// The tokens of a tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
        Self::from_tokens(ids.filter_map(|id| Some((id, tokenizer.token_bytes(id)?, tokenizer.is_special(id)))))
    }

    /// Tokens by their ids: the bytes that each stands for, and whether it is special, so that ordinary text never has it.
    pub fn from_tokens<B: Into<Box<[u8]>>>(tokens: impl IntoIterator<Item = (u32, B, bool)>) -> Self {
        let (mut ordinary, mut special) = (Vec::new(), Vec::new());
        for (id, bytes, is_special) in tokens {
            let bytes: Box<[u8]> = bytes.into();
            if !bytes.is_empty() {
                if is_special { &mut special } else { &mut ordinary }.push((bytes, id));
            }
        }
        let (ordinary, special) = (Tree::new(ordinary), Tree::new(special));
        let mut places = HashMap::new();
        for (is_special, tree) in [(false, &ordinary), (true, &special)] {
            places.extend((0u32..).zip(&tree.tokens).map(|(place, &(_, id))| (id, (is_special, place))));
        }
        let size = places.keys().max().map_or(0, |&last| last as usize + 1);
        let longest = ordinary.tokens.iter().chain(&special.tokens).map(|(bytes, _)| bytes.len() as u32).max();
        let (longest, kept) = (longest.unwrap_or(0), Mutex::default());
        Self { ordinary, special, places, size, longest, kept }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The text of a token, and whether it is special.
    pub(super) fn bytes(&self, token: u32) -> Option<(&[u8], bool)> {
        let &(special, place) = self.places.get(&token)?;
        let tree = if special { &self.special } else { &self.ordinary };
        tree.tokens.get(place as usize).map(|(bytes, _)| (&**bytes, special))
    }

    /// The tokens that may come at this place.
    pub(super) fn allowed(&self, matcher: &mut Matcher, place: Place) -> Mask {
        let mut mask = Mask::new(self.size);
        let heads = matcher.heads(place);
        for head in heads.iter().filter(|head| head.terminal.is_wide(head.at)) {
            let terminal = self.terminal(&head.terminal, head.at);
            let repeats = matcher.repeats(head);
            let mut own = if repeats.is_empty() { std::mem::take(&mut mask) } else { Mask::new(self.size) };
            own.add(&terminal.within);
            let after = matcher.after(head);
            terminal.beyond.walk(
                after,
                |place, byte| matcher.step(place, byte, false),
                |node, _| {
                    let across =
                        terminal.beyond.here(node).iter().filter_map(|&(_, at)| terminal.across.get(at as usize));
                    across.flatten().for_each(|&token| own.insert(token));
                },
            );
            for (bytes, at) in &repeats {
                self.ordinary
                    .remove(&mut own, bytes, |byte| at.is_none_or(|at| head.terminal.step(at, byte, false).is_none()));
            }
            if repeats.is_empty() {
                mask = own;
            } else {
                mask.add(&own);
            }
        }
        let narrow = matcher.only(heads.iter().filter(|head| !head.terminal.is_wide(head.at)));
        self.add_walk(&self.ordinary, &mut mask, narrow, |place, byte| matcher.step(place, byte, false));
        self.add_walk(&self.special, &mut mask, place, |place, byte| matcher.step(place, byte, true));
        mask
    }

    fn add_walk(&self, tree: &Tree, mask: &mut Mask, start: Place, step: impl FnMut(Place, u8) -> Option<Place>) {
        tree.walk(start, step, |node, _| tree.here(node).iter().for_each(|&(_, id)| mask.insert(id)));
    }

    /// What is known of a terminal without what comes after it.
    fn terminal(&self, terminal: &Arc<Terminal>, at: At) -> Arc<TerminalMask> {
        let at = terminal.canonical(at, self.longest);
        let key = (Arc::clone(terminal), at);
        if let Some(known) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let mut within = Mask::new(self.size);
        let mut beyond: HashMap<&[u8], Vec<u32>> = HashMap::new();
        let tree = &self.ordinary;
        tree.walk(
            at,
            |at, byte| terminal.step(at, byte, false),
            |node, at| {
                tree.here(node).iter().for_each(|&(_, id)| within.insert(id));
                if terminal.ends(at) {
                    for (bytes, id) in tree.below(node) {
                        beyond.entry(bytes.get(node.depth.into()..).unwrap_or_default()).or_default().push(*id);
                    }
                }
            },
        );
        let (rests, across): (Vec<&[u8]>, Vec<Vec<u32>>) = beyond.into_iter().unzip();
        let beyond = Tree::new(rests.into_iter().map(Box::from).zip(0u32..).collect());
        let mask = Arc::new(TerminalMask { within, beyond, across });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&mask));
        mask
    }
}
