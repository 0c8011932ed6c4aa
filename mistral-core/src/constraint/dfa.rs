//! Deterministic automata over bytes: what the pieces of a grammar are, from regular expressions and from each other.

use std::collections::HashMap;
use std::error::Error;
use std::hash::Hash;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::NFA;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

/// No state.
pub(super) const DEAD: u32 = u32::MAX;
/// Bytes that a regular expression may take while it becomes an automaton. Exponential ones take more.
const REGEX_BYTES: usize = 2 << 20;

/// Why there is no automaton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It would match nothing.
    Nothing,
    /// It would have more states than allowed, or needs more room on the way.
    Size,
    /// A construct that regular expressions here do not have.
    Syntax(String),
}

/// Which bytes go the same way everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Classes {
    of: Box<[u8; 256]>,
    /// A byte of each.
    first: Vec<u8>,
}

impl Classes {
    /// Bytes that agree in all of these, and none of `single` with another.
    pub(super) fn new(all: &[&Self], single: &[u8]) -> Self {
        let (mut of, mut first, mut known) = (Box::new([0; 256]), Vec::new(), HashMap::new());
        for byte in 0..=255u8 {
            let mut key: Vec<u8> = all.iter().map(|classes| classes.get(byte)).collect();
            key.extend(single.iter().map(|&c| u8::from(c == byte)));
            let class = *known.entry(key).or_insert_with(|| {
                first.push(byte);
                (first.len() - 1) as u8
            });
            of[usize::from(byte)] = class;
        }
        Self { of, first }
    }

    fn get(&self, byte: u8) -> u8 {
        self.of[usize::from(byte)]
    }
}

/// An automaton. Every state is on a way from the first, 0, to one that accepts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Dfa {
    classes: Classes,
    table: Vec<u32>,
    accepts: Vec<bool>,
}

impl Dfa {
    pub(super) fn step(&self, state: u32, byte: u8) -> Option<u32> {
        let at = (state as usize).checked_mul(self.classes.first.len())? + usize::from(self.classes.get(byte));
        self.table.get(at).copied().filter(|&next| next != DEAD)
    }

    pub(super) fn accepts(&self, state: u32) -> bool {
        self.accepts.get(state as usize).copied().unwrap_or(false)
    }

    pub(super) fn states(&self) -> usize {
        self.accepts.len()
    }

    pub(super) fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The bytes that go on from a state.
    pub(super) fn bytes(&self, state: u32) -> impl Iterator<Item = u8> {
        (0..=255u8).filter(move |&byte| self.step(state, byte).is_some())
    }

    /// The automaton of what can be reached from `start`, and what each state stands for.
    pub(super) fn explore<S: Clone + Eq + Hash>(
        classes: Classes,
        start: S,
        limit: usize,
        mut step: impl FnMut(&S, u8) -> Option<S>,
        accepts: impl Fn(&S) -> bool,
    ) -> Result<(Self, Vec<S>), Refused> {
        let (mut states, mut ids) = (vec![start.clone()], HashMap::from([(start, 0u32)]));
        let (mut table, mut at) = (Vec::new(), 0);
        while let Some(state) = states.get(at).cloned() {
            for &byte in &classes.first {
                let next = match step(&state, byte) {
                    None => DEAD,
                    Some(next) => *ids.entry(next).or_insert_with_key(|next| {
                        states.push(next.clone());
                        (states.len() - 1) as u32
                    }),
                };
                table.push(next);
            }
            if states.len() > limit {
                return Err(Refused::Size);
            }
            at += 1;
        }
        let accepts: Vec<bool> = states.iter().map(accepts).collect();
        Self { classes, table, accepts }.trim(states)
    }

    /// Without the states from which none that accepts can be reached.
    fn trim<S>(self, states: Vec<S>) -> Result<(Self, Vec<S>), Refused> {
        let width = self.classes.first.len();
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); states.len()];
        for (from, row) in self.table.chunks(width).enumerate() {
            for to in row {
                if let Some(list) = before.get_mut(*to as usize) {
                    list.push(from as u32);
                }
            }
        }
        let mut live = self.accepts.clone();
        let mut open: Vec<u32> = (0u32..).zip(&live).filter(|(_, live)| **live).map(|(state, _)| state).collect();
        while let Some(state) = open.pop() {
            for &from in before.get(state as usize).into_iter().flatten() {
                if let Some(live) = live.get_mut(from as usize).filter(|live| !**live) {
                    *live = true;
                    open.push(from);
                }
            }
        }
        if !live.first().copied().unwrap_or(false) {
            return Err(Refused::Nothing);
        }
        let mut renamed = vec![DEAD; states.len()];
        for (new, (name, _)) in renamed.iter_mut().zip(&live).filter(|(_, live)| **live).enumerate() {
            *name = new as u32;
        }
        let rows = self.table.chunks(width).zip(&live).filter(|(_, live)| **live).flat_map(|(row, _)| row);
        let table = rows.map(|&to| renamed.get(to as usize).copied().unwrap_or(DEAD)).collect();
        let accepts = self.accepts.iter().zip(&live).filter(|(_, live)| **live).map(|(accepts, _)| *accepts).collect();
        let states = states.into_iter().zip(&live).filter(|(_, live)| **live).map(|(state, _)| state).collect();
        Ok((Self { classes: self.classes, table, accepts }, states))
    }

    /// What a regular expression matches as a whole: in the syntax of the crate `regex`, with Unicode.
    pub(super) fn regex(pattern: &str, limit: usize) -> Result<Self, Refused> {
        let nfa = NFA::compiler()
            .configure(NFA::config().nfa_size_limit(Some(REGEX_BYTES)))
            .syntax(syntax::Config::new().nest_limit(64))
            .build(pattern);
        let nfa = nfa.map_err(|error| match error.size_limit() {
            Some(_) => Refused::Size,
            None => Refused::Syntax(reason(&error)),
        })?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .accelerate(false)
            .dfa_size_limit(Some(REGEX_BYTES))
            .determinize_size_limit(Some(REGEX_BYTES));
        let dfa = dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|error| {
            if error.is_size_limit_exceeded() { Refused::Size } else { Refused::Syntax(error.to_string()) }
        })?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).map_err(|_| Refused::Size)?;
        let mut known = HashMap::new();
        let of = (0..=255u8).map(|byte| {
            let next = known.len() as u8;
            *known.entry(dfa.byte_classes().get(byte)).or_insert(next)
        });
        let of: Vec<u8> = of.collect();
        let mut classes = Classes { of: Box::new([0; 256]), first: vec![0; known.len()] };
        for (byte, &class) in (0..=255u8).zip(&of).rev() {
            classes.of[usize::from(byte)] = class;
            classes.first[usize::from(class)] = byte;
        }
        let step = |&state: &_, byte| Some(dfa.next_state(state, byte)).filter(|&next| !dfa.is_dead_state(next));
        let accepts = |&state: &_| dfa.is_match_state(dfa.next_eoi_state(state));
        Ok(Self::explore(classes, start, limit, step, accepts)?.0)
    }

    /// What all of some texts are, and no other.
    pub(super) fn words(words: &[&str], limit: usize) -> Result<Self, Refused> {
        let mut words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        words.sort_unstable();
        let mut bytes: Vec<u8> = words.concat();
        bytes.sort_unstable();
        bytes.dedup();
        let step = |&(from, to, at): &(usize, usize, usize), byte: u8| {
            let range = words.get(from..to)?;
            let low = from + range.partition_point(|word| word.get(at).is_none_or(|&c| c < byte));
            let high = from + range.partition_point(|word| word.get(at).is_none_or(|&c| c <= byte));
            (low < high).then_some((low, high, at + 1))
        };
        let accepts = |&(from, to, at): &(usize, usize, usize)| {
            words.get(from..to).is_some_and(|range| range.iter().any(|word| word.len() == at))
        };
        Ok(Self::explore(Classes::new(&[], &bytes), (0, words.len(), 0), limit, step, accepts)?.0)
    }

    /// What both match.
    pub(super) fn and(&self, other: &Self, limit: usize) -> Result<Self, Refused> {
        let classes = Classes::new(&[&self.classes, &other.classes], &[]);
        let step = |&(a, b): &(u32, u32), byte| Some((self.step(a, byte)?, other.step(b, byte)?));
        let accepts = |&(a, b): &(u32, u32)| self.accepts(a) && other.accepts(b);
        Ok(Self::explore(classes, (0, 0), limit, step, accepts)?.0)
    }

    /// Returns the automaton of the texts that at least one of two automata matches.
    pub(super) fn or(&self, other: &Self, limit: usize) -> Result<Self, Refused> {
        let classes = Classes::new(&[&self.classes, &other.classes], &[]);
        let step = |&(a, b): &(u32, u32), byte| {
            let (a, b) = (self.step(a, byte).unwrap_or(DEAD), other.step(b, byte).unwrap_or(DEAD));
            (a != DEAD || b != DEAD).then_some((a, b))
        };
        let accepts = |&(a, b): &(u32, u32)| self.accepts(a) || other.accepts(b);
        Ok(Self::explore(classes, (0, 0), limit, step, accepts)?.0)
    }

    /// Returns for each state how many texts can end from there, or `u32::MAX` if their number is not bounded.
    pub(super) fn completions(&self) -> Vec<u32> {
        let width = self.classes.first.len();
        let mut sizes = vec![0u32; width];
        for byte in 0..=255u8 {
            sizes.iter_mut().skip(self.classes.get(byte).into()).take(1).for_each(|size| *size += 1);
        }
        let rows: Vec<&[u32]> = self.table.chunks(width).collect();
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); rows.len()];
        let mut left = vec![0usize; rows.len()];
        for ((from, row), left) in (0u32..).zip(&rows).zip(&mut left) {
            for &to in row.iter().filter(|&&to| to != DEAD) {
                *left += 1;
                before.iter_mut().skip(to as usize).take(1).for_each(|list| list.push(from));
            }
        }
        let mut counts = vec![u32::MAX; rows.len()];
        let mut open: Vec<u32> = (0u32..).zip(&left).filter(|(_, left)| **left == 0).map(|(state, _)| state).collect();
        while let Some(state) = open.pop() {
            let row = rows.get(state as usize).copied().unwrap_or_default();
            let more = row
                .iter()
                .zip(&sizes)
                .filter(|(to, _)| **to != DEAD)
                .map(|(&to, &size)| counts.get(to as usize).copied().unwrap_or(0).saturating_mul(size));
            let all = more.fold(u32::from(self.accepts(state)), u32::saturating_add);
            counts.iter_mut().skip(state as usize).take(1).for_each(|count| *count = all);
            for &from in before.get(state as usize).into_iter().flatten() {
                if let Some(left) = left.get_mut(from as usize) {
                    *left -= 1;
                    if *left == 0 {
                        open.push(from);
                    }
                }
            }
        }
        counts
    }

    /// Returns whether the automaton matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        text.bytes().try_fold(0, |state, byte| self.step(state, byte)).is_some_and(|state| self.accepts(state))
    }

    /// What matches this and not the other. With the other's state, or [`DEAD`], of each state.
    pub(super) fn without(&self, other: &Self, limit: usize) -> Result<(Self, Vec<u32>), Refused> {
        let classes = Classes::new(&[&self.classes, &other.classes], &[]);
        let step = |&(a, b): &(u32, u32), byte| Some((self.step(a, byte)?, other.step(b, byte).unwrap_or(DEAD)));
        let accepts = |&(a, b): &(u32, u32)| self.accepts(a) && !other.accepts(b);
        let (dfa, states) = Self::explore(classes, (0, 0), limit, step, accepts)?;
        Ok((dfa, states.into_iter().map(|(_, b)| b).collect()))
    }

    /// What this matches that has so many characters. It must match whole characters of UTF-8 only.
    pub(super) fn with_length(&self, min: u32, max: Option<u32>, limit: usize) -> Result<Self, Refused> {
        let step = |&(state, count): &(u32, u32), byte: u8| {
            let count = count.saturating_add(u32::from(begins_character(byte)));
            let count = if max.is_none() { count.min(min) } else { count };
            Some((self.step(state, byte)?, count)).filter(|_| max.is_none_or(|max| count <= max))
        };
        let accepts = |&(state, count): &(u32, u32)| self.accepts(state) && count >= min;
        Ok(Self::explore(self.classes.clone(), (0, 0), limit, step, accepts)?.0)
    }
}

/// What is wrong with an expression: the last line of a report that also shows where.
fn reason(error: &dyn Error) -> String {
    let report = error.source().map_or_else(|| error.to_string(), |source| source.to_string());
    report.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Whether a byte of UTF-8 is the first of a character.
pub(super) fn begins_character(byte: u8) -> bool {
    !(0x80..0xc0).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(dfa: &Dfa, text: &str) -> bool {
        text.bytes().try_fold(0, |state, byte| dfa.step(state, byte)).is_some_and(|state| dfa.accepts(state))
    }

    #[test]
    fn expressions_match_whole_texts() {
        let dfa = |pattern| Dfa::regex(pattern, 1000).unwrap();
        let any = "(?s:.)*";
        for (pattern, good, bad) in [
            ("a|ab", vec!["a", "ab"], vec!["", "b", "abb"]),
            ("(?s:.)*(?:^a.$|b)(?s:.)*", vec!["ax", "xb", "b", "aé"], vec!["axx", "a", "xa\n"]),
            ("(?s:.)*(?-u:\\b)if(?-u:\\b)(?s:.)*", vec!["if", "x if y"], vec!["gif", "ifs"]),
            (any, vec!["", "é\n😀"], vec![]),
        ] {
            let dfa = dfa(pattern);
            assert!(good.iter().all(|text| matches(&dfa, text)), "{pattern}");
            assert!(!bad.iter().any(|text| matches(&dfa, text)), "{pattern}");
        }
        assert_eq!(Dfa::regex(any, 1000).unwrap().step(0, 0xff), None, "only UTF-8");
        assert_eq!(Dfa::regex("a(?=b)", 1000).map_err(|error| matches!(error, Refused::Syntax(_))), Err(true));
        assert_eq!(Dfa::regex("[ab]*a[ab]{40}", 1000), Err(Refused::Size));
        assert_eq!(Dfa::regex("(a{1000}){1000}", 1000), Err(Refused::Size));
        assert_eq!(Dfa::regex("a$b", 1000), Err(Refused::Nothing));
    }

    #[test]
    fn automata_combine() {
        let (any, word) = (Dfa::regex("(?s:.)*", 99).unwrap(), Dfa::words(&["null", "no", "é"], 99).unwrap());
        assert!(matches(&word, "no") && matches(&word, "null") && matches(&word, "é") && !matches(&word, "nul"));
        let (other, states) = any.without(&word, 99).unwrap();
        assert!(!matches(&other, "no") && matches(&other, "not") && matches(&other, "") && states.contains(&DEAD));
        let short = any.with_length(2, Some(3), 99).unwrap();
        assert!(matches(&short, "éé") && matches(&short, "ééé") && !matches(&short, "é") && !matches(&short, "éééé"));
        assert!(matches(&any.with_length(2, None, 99).unwrap(), "abcdef"));
        let both = Dfa::regex("[a-c]*", 99).unwrap().and(&Dfa::regex("..", 99).unwrap(), 99).unwrap();
        assert!(matches(&both, "ab") && !matches(&both, "ad") && !matches(&both, "abc"));
        assert_eq!(word.and(&Dfa::words(&["x"], 99).unwrap(), 99), Err(Refused::Nothing));
        assert_eq!(any.with_length(0, Some(1 << 20), 1000), Err(Refused::Size));
    }
}
