//! Matching bytes against a grammar: all stacks that are possible, advanced together. Places that can be told apart only by how they
//! were reached are one, and the steps between them are remembered, so that most steps are one look-up.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::grammar::{Grammar, Pattern, Rule};
use super::memory::{FULL, Memory, Path, Set};
use super::terminal::{At, Terminal};

/// The number of a place within a grammar.
pub(super) type Place = u32;
/// The number of a frame; stacks share their tails.
type Stack = u32;

/// The bottom of every stack.
const BOTTOM: Stack = u32::MAX;
/// Levels of nesting beyond which only what ends soonest is offered. Readers of JSON refuse 128.
const LEVELS: u16 = 64;
/// Frames and steps that are remembered before all but the present place is forgotten.
const REMEMBERED: usize = 1 << 16;

/// What is still to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Frame {
    rule: Rule,
    level: u16,
    /// How far a terminal is, or a repetition.
    at: At,
    /// For a terminal whose texts differ from each other: the text so far. For the scope that remembers these texts: all of them.
    memory: u32,
    next: Stack,
}

/// The state of a scope whose content has begun.
const INSIDE: At = At { state: 1, count: 0 };

/// On top of each stack is a terminal.
#[derive(Debug)]
struct Stacks {
    heads: Box<[Stack]>,
    accepts: bool,
}

/// A grammar with the places that have been reached in it.
#[derive(Debug)]
pub(super) struct Matcher {
    grammar: Arc<Grammar>,
    frames: Vec<Frame>,
    frame_ids: HashMap<Frame, Stack, Quick>,
    places: Vec<Stacks>,
    place_ids: HashMap<(Box<[Stack]>, bool), Place>,
    /// By place and byte.
    steps: HashMap<(Place, u8), Option<Place>, Quick>,
    memory: Memory,
}

/// What stands on top of a stack.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) terminal: Arc<Terminal>,
    pub(super) at: At,
    stack: Stack,
}

impl Matcher {
    /// With the place of the beginning.
    pub(super) fn new(grammar: Arc<Grammar>) -> (Self, Place) {
        let mut matcher = Self {
            grammar,
            frames: Vec::new(),
            frame_ids: HashMap::default(),
            places: Vec::new(),
            place_ids: HashMap::new(),
            steps: HashMap::default(),
            memory: Memory::default(),
        };
        let place = matcher.start();
        (matcher, place)
    }

    /// The beginning.
    pub(super) fn start(&mut self) -> Place {
        let root = Frame { rule: self.grammar.root, level: 0, at: At::default(), memory: 0, next: BOTTOM };
        let stack = self.frame(root);
        self.place_of(vec![stack])
    }

    /// The place after one more byte, or `None` if it does not belong there. `exact`: of a special token.
    pub(super) fn step(&mut self, place: Place, byte: u8, exact: bool) -> Option<Place> {
        if exact {
            return self.advance(place, byte, true);
        }
        if let Some(&known) = self.steps.get(&(place, byte)) {
            return known;
        }
        let next = self.advance(place, byte, false);
        self.steps.insert((place, byte), next);
        next
    }

    fn advance(&mut self, place: Place, byte: u8, exact: bool) -> Option<Place> {
        let grammar = Arc::clone(&self.grammar);
        let mut open = Vec::new();
        for i in 0..self.places.get(place as usize)?.heads.len() {
            let Some(&stack) = self.places.get(place as usize).and_then(|place| place.heads.get(i)) else { continue };
            let Some(&frame) = self.frames.get(stack as usize) else { continue };
            let Some(Pattern::Terminal(terminal)) = grammar.get(frame.rule) else { continue };
            let Some(at) = terminal.step(frame.at, byte, exact) else { continue };
            if let Some(prefix) = terminal.distinct() {
                let begun = if frame.at == At::default() && frame.memory == 0 { prefix } else { &[] };
                let path = begun.iter().fold(frame.memory, |path, &byte| self.memory.extended(path, byte));
                let path = self.memory.extended(path, terminal.counted(byte));
                let set = self.scope(frame.next);
                if terminal.goes_on(at) && self.is_alive(terminal, at, path, set) {
                    open.push(self.frame(Frame { at, memory: path, ..frame }));
                }
                if terminal.ends(at)
                    && let Some(set) = self.memory.with(set, path)
                {
                    open.push(self.remembering(frame.next, set));
                }
                continue;
            }
            if terminal.goes_on(at) {
                open.push(self.frame(Frame { at, ..frame }));
            }
            if terminal.ends(at) {
                open.push(frame.next);
            }
        }
        (!open.is_empty()).then(|| self.place_of(open))
    }

    /// Returns the texts that the next scope of a stack remembers.
    fn scope(&self, stack: Stack) -> Set {
        let frames = std::iter::successors(self.frames.get(stack as usize), |at| self.frames.get(at.next as usize));
        let mut scopes = frames.filter(|frame| self.is_scope(frame));
        scopes.next().map_or(0, |frame| frame.memory)
    }

    fn is_scope(&self, frame: &Frame) -> bool {
        frame.at == INSIDE && matches!(self.grammar.get(frame.rule), Some(Pattern::Scope(_)))
    }

    /// Returns a stack whose next scope remembers other texts.
    fn remembering(&mut self, stack: Stack, set: Set) -> Stack {
        let (mut above, mut at) = (Vec::new(), stack);
        while let Some(&frame) = self.frames.get(at as usize) {
            if self.is_scope(&frame) {
                let below = self.frame(Frame { memory: set, ..frame });
                return above.into_iter().rev().fold(below, |next, frame| self.frame(Frame { next, ..frame }));
            }
            above.push(frame);
            at = frame.next;
        }
        stack
    }

    /// Returns whether a text can still become a text that is not in a set.
    fn is_alive(&self, terminal: &Terminal, at: At, path: Path, set: Set) -> bool {
        let Some(all) = terminal.completions(at) else { return true };
        let rests = self.memory.rests(set, path);
        let ends = |rest: &&Vec<u8>| {
            let end = rest.iter().try_fold(at, |at, &byte| terminal.step(at, terminal.counted(byte), false));
            end.is_some_and(|end| terminal.ends(end))
        };
        rests.iter().filter(ends).count() < all as usize
    }

    /// Returns the bytes with which a head must not continue, because its texts differ from each other. An entry excludes all tokens that
    /// begin with the bytes. With a place of the terminal, it excludes only the tokens in which the terminal ends there.
    pub(super) fn repeats(&self, head: &Head) -> Vec<(Vec<u8>, Option<At>)> {
        let Some(frame) = self.frames.get(head.stack as usize) else { return Vec::new() };
        let Some(prefix) = head.terminal.distinct() else { return Vec::new() };
        let set = self.scope(frame.next);
        let begun = frame.memory != 0 || frame.at != At::default();
        let mut all = Vec::new();
        for rest in self.memory.rests(set, frame.memory) {
            let Some(rest) = (if begun { Some(&rest[..]) } else { rest.strip_prefix(prefix) }) else { continue };
            let mut at = head.at;
            for (i, &byte) in rest.iter().enumerate() {
                let Some(next) = head.terminal.step(at, head.terminal.counted(byte), false) else { break };
                at = next;
                let read = rest.get(..=i).unwrap_or_default();
                let written = || read.iter().map(|&byte| head.terminal.counted(byte)).collect();
                let path = self.memory.found(frame.memory, if begun { &[] } else { prefix }, read);
                if path.is_some_and(|path| !self.is_alive(&head.terminal, at, path, set)) {
                    all.push((written(), None));
                    break;
                }
                if read.len() == rest.len() && head.terminal.ends(at) {
                    all.push((written(), Some(at)));
                }
            }
        }
        all
    }

    /// Whether the text may end here.
    pub(super) fn accepts(&self, place: Place) -> bool {
        self.places.get(place as usize).is_some_and(|place| place.accepts)
    }

    /// What may come here.
    pub(super) fn heads(&self, place: Place) -> Vec<Head> {
        let head = |&stack: &Stack| {
            let frame = self.frames.get(stack as usize)?;
            let Some(Pattern::Terminal(terminal)) = self.grammar.get(frame.rule) else { return None };
            Some(Head { terminal: Arc::clone(terminal), at: frame.at, stack })
        };
        self.places.get(place as usize).map(|place| place.heads.iter().filter_map(head).collect()).unwrap_or_default()
    }

    /// The place with only these heads.
    pub(super) fn only<'h>(&mut self, heads: impl IntoIterator<Item = &'h Head>) -> Place {
        self.place_of(heads.into_iter().map(|head| head.stack).collect())
    }

    /// The place after the end of a head.
    pub(super) fn after(&mut self, head: &Head) -> Place {
        let mut next = self.frames.get(head.stack as usize).map_or(BOTTOM, |frame| frame.next);
        if head.terminal.distinct().is_some() {
            // Which text it was is not known here: a second one within the same token must wait.
            next = self.remembering(next, FULL);
        }
        self.place_of(vec![next])
    }

    /// The rules of each stack, from the top, and how far each is.
    #[cfg(test)]
    pub(super) fn stacks(&self, place: Place) -> Vec<Vec<(Rule, At)>> {
        let Some(stacks) = self.places.get(place as usize) else { return Vec::new() };
        let rules = |&stack: &Stack| {
            let frames = std::iter::successors(self.frames.get(stack as usize), |at| self.frames.get(at.next as usize));
            frames.map(|frame| (frame.rule, frame.at)).collect()
        };
        let mut all: Vec<Vec<(Rule, At)>> = stacks.heads.iter().map(rules).collect();
        all.extend(stacks.accepts.then(Vec::new));
        all
    }

    /// Forgets all places but this if there are many; gives what it is now.
    pub(super) fn forget(&mut self, place: Place) -> Option<Place> {
        if self.frames.len().max(self.steps.len()).max(self.memory.len()) < REMEMBERED {
            return None;
        }
        let (mut fresh, _) = Self::new(Arc::clone(&self.grammar));
        let mut renamed = HashMap::new();
        let heads = self.places.get(place as usize).map(|place| place.heads.to_vec()).unwrap_or_default();
        let heads = heads.into_iter().map(|stack| self.copy(stack, &mut fresh, &mut renamed)).collect();
        let heads = if self.accepts(place) { [heads, vec![BOTTOM]].concat() } else { heads };
        let place = fresh.place_of(heads);
        *self = fresh;
        Some(place)
    }

    fn copy(&self, stack: Stack, to: &mut Self, renamed: &mut HashMap<Stack, Stack>) -> Stack {
        let (mut path, mut at) = (Vec::new(), stack);
        while at != BOTTOM && !renamed.contains_key(&at) {
            path.push(at);
            at = self.frames.get(at as usize).map_or(BOTTOM, |frame| frame.next);
        }
        let mut below = renamed.get(&at).copied().unwrap_or(BOTTOM);
        for old in path.into_iter().rev() {
            if let Some(&frame) = self.frames.get(old as usize) {
                let memory = match self.is_scope(&frame) {
                    true => to.memory.adopted_set(&self.memory, frame.memory),
                    false => to.memory.adopted(&self.memory, frame.memory),
                };
                below = to.frame(Frame { next: below, memory, ..frame });
            }
            renamed.insert(old, below);
        }
        below
    }

    fn frame(&mut self, frame: Frame) -> Stack {
        let frames = &mut self.frames;
        *self.frame_ids.entry(frame).or_insert_with(|| {
            frames.push(frame);
            (frames.len() - 1) as Stack
        })
    }

    /// Takes rules apart until each stack has a terminal on top, or nothing.
    fn place_of(&mut self, mut open: Vec<Stack>) -> Place {
        let grammar = Arc::clone(&self.grammar);
        let (mut heads, mut accepts, mut seen) = (Vec::new(), false, HashSet::with_hasher(Quick::default()));
        while let Some(stack) = open.pop() {
            let Some(&frame) = self.frames.get(stack as usize) else {
                accepts = true;
                continue;
            };
            if !seen.insert(stack) {
                continue;
            }
            let deep = frame.level >= LEVELS;
            let above =
                |rule: Rule, next: Stack| Frame { rule, level: frame.level, at: At::default(), memory: 0, next };
            match grammar.get(frame.rule) {
                Some(Pattern::Terminal(_)) => heads.push(stack),
                Some(Pattern::Sequence(rules)) => {
                    let stack = rules.iter().rev().fold(frame.next, |next, &rule| self.frame(above(rule, next)));
                    open.push(stack);
                }
                Some(Pattern::Choice(rules)) => {
                    let least = rules.iter().map(|&rule| grammar.height(rule)).min();
                    for &rule in rules.iter().filter(|&&rule| grammar.matches_something(rule)) {
                        if !deep || Some(grammar.height(rule)) == least {
                            open.push(self.frame(above(rule, frame.next)));
                        }
                    }
                }
                Some(&Pattern::Repeat { rule, min, max }) => {
                    let count = frame.at.count;
                    if count >= min {
                        open.push(frame.next);
                    }
                    let more = max.is_none_or(|max| count < max) && grammar.matches_something(rule);
                    if more && (!deep || count < min) {
                        // Without a most, what was counted beyond the least makes no difference.
                        let count = if max.is_none() { (count + 1).min(min) } else { count + 1 };
                        let rest = self.frame(Frame { at: At { count, ..frame.at }, ..frame });
                        open.push(self.frame(above(rule, rest)));
                    }
                }
                Some(Pattern::Scope(_)) if frame.at == INSIDE => open.push(frame.next),
                Some(&Pattern::Scope(rule)) => {
                    let scope = self.frame(Frame { at: INSIDE, ..frame });
                    open.push(self.frame(above(rule, scope)));
                }
                Some(&Pattern::Nested(rule)) => {
                    let level = frame.level.saturating_add(1);
                    open.push(self.frame(Frame { level, ..above(rule, frame.next) }));
                }
                None => {}
            }
        }
        heads.sort_unstable();
        heads.dedup();
        let key = (heads.into_boxed_slice(), accepts);
        if let Some(&place) = self.place_ids.get(&key) {
            return place;
        }
        let place = self.places.len() as Place;
        self.places.push(Stacks { heads: key.0.clone(), accepts });
        self.place_ids.insert(key, place);
        place
    }
}

/// A hash for small keys of our own making: multiply and fold, as in FxHash.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct QuickHasher(u64);

pub(super) type Quick = BuildHasherDefault<QuickHasher>;

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
