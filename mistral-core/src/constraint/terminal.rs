//! What a grammar has in the end: pieces of text that automata recognise.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::dfa::{Dfa, begins_character};

/// More bytes than this that go on from a state, and its mask is made by the automaton alone and kept.
const NARROW: u16 = 4;

/// A kind of text between two places of a grammar. Never the empty text.
#[derive(Debug)]
pub(super) struct Terminal {
    form: Form,
    fingerprint: u64,
    distinct: Option<Distinct>,
}

/// The data of a terminal whose texts differ from each other within a scope.
#[derive(Debug)]
struct Distinct {
    /// The text before the terminal, so that the same text counts as the same in other terminals.
    prefix: Box<[u8]>,
    /// Whether single quotes of Python count as double quotes.
    single_quotes: bool,
    /// For each state, how many texts can end from there; `u32::MAX` if their number is not bounded.
    completions: Box<[u32]>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Form {
    Words(Words),
    Text(Text),
}

/// A place in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(super) struct At {
    pub(super) state: u32,
    /// Characters so far, where they are counted.
    pub(super) count: u32,
}

impl PartialEq for Terminal {
    fn eq(&self, other: &Self) -> bool {
        // What differs within a scope makes no difference to what a terminal goes on with.
        self.fingerprint == other.fingerprint && (std::ptr::eq(self, other) || self.form == other.form)
    }
}

impl Eq for Terminal {}

impl Hash for Terminal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}

impl Terminal {
    fn new(form: Form) -> Self {
        let mut hasher = DefaultHasher::new();
        form.hash(&mut hasher);
        Self { form, fingerprint: hasher.finish(), distinct: None }
    }

    /// Returns the same terminal for texts that differ from each other within one scope. The `prefix` before a text counts as a part of it.
    /// With `single_quotes`, single quotes count as double quotes.
    pub(super) fn differing(mut self, prefix: &str, single_quotes: bool) -> Self {
        let completions = match &self.form {
            // Nodes stand before those that follow them.
            Form::Words(words) => {
                let mut counts = vec![0u32; words.nodes.len()];
                for (i, node) in words.nodes.iter().enumerate().rev() {
                    let more = node.next.iter().filter_map(|&(_, next)| counts.get(next as usize));
                    let all = more.sum::<u32>() + u32::from(node.ends);
                    counts.iter_mut().skip(i).take(1).for_each(|count| *count = all);
                }
                counts
            }
            Form::Text(text) => text.dfa.completions(),
        };
        let prefix = prefix.as_bytes().into();
        self.distinct = Some(Distinct { prefix, single_quotes, completions: completions.into() });
        self
    }

    /// Converts a written byte to the byte that counts when texts are compared, or back.
    pub(super) fn counted(&self, byte: u8) -> u8 {
        match byte {
            b'\'' | b'"' if self.distinct.as_ref().is_some_and(|distinct| distinct.single_quotes) => {
                b'\'' ^ b'"' ^ byte
            }
            _ => byte,
        }
    }

    /// Returns the prefix of texts that must differ from each other within one scope, or `None` if they need not differ.
    pub(super) fn distinct(&self) -> Option<&[u8]> {
        self.distinct.as_ref().map(|distinct| &*distinct.prefix)
    }

    /// Returns how many texts can end from here, if that number is known and finite.
    pub(super) fn completions(&self, at: At) -> Option<u32> {
        let distinct = self.distinct.as_ref()?;
        distinct.completions.get(at.state as usize).copied().filter(|&all| all != u32::MAX)
    }

    /// One of these texts, which also special tokens may write.
    pub(super) fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        Self::new(Form::Words(Words::new(words)))
    }

    pub(super) fn text(text: Text) -> Self {
        Self::new(Form::Text(text))
    }

    /// What an automaton matches.
    pub(super) fn dfa(dfa: Dfa) -> Self {
        Self::text(Text::plain(dfa))
    }

    /// On by one byte. `exact`: of a special token, which is no part of ordinary text.
    pub(super) fn step(&self, at: At, byte: u8, exact: bool) -> Option<At> {
        match &self.form {
            Form::Words(words) => words.step(at.state, byte).map(|state| At { state, count: 0 }),
            Form::Text(text) => text.step(at, byte, exact),
        }
    }

    /// Whether the text may end here.
    pub(super) fn ends(&self, at: At) -> bool {
        match &self.form {
            Form::Words(words) => words.nodes.get(at.state as usize).is_some_and(|node| node.ends),
            Form::Text(text) => text.ends(at),
        }
    }

    /// Whether the text may go on here.
    pub(super) fn goes_on(&self, at: At) -> bool {
        match &self.form {
            Form::Words(words) => words.nodes.get(at.state as usize).is_some_and(|node| !node.next.is_empty()),
            Form::Text(text) => text.width.get(at.state as usize).is_some_and(|&width| width > 0),
        }
    }

    /// Whether many tokens may come here.
    pub(super) fn is_wide(&self, at: At) -> bool {
        match &self.form {
            Form::Words(_) => false,
            Form::Text(text) => text.width.get(at.state as usize).is_some_and(|&width| width > NARROW),
        }
    }

    /// A place that goes on in the same way for as long as a token of so many characters.
    pub(super) fn canonical(&self, at: At, longest: u32) -> At {
        match &self.form {
            Form::Words(_) => at,
            Form::Text(text) => At { count: text.canonical(at.count, longest), ..at },
        }
    }
}

/// Some texts, as a tree.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Words {
    nodes: Vec<Node>,
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    ends: bool,
    /// In the order of the bytes.
    next: Vec<(u8, u32)>,
}

impl Words {
    fn new<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut words: Vec<&str> = words.into_iter().collect();
        words.sort_unstable();
        let mut nodes = vec![Node::default()];
        for word in words {
            let mut at = 0usize;
            for byte in word.bytes() {
                let new = nodes.len() as u32;
                let Some(node) = nodes.get_mut(at) else { break };
                at = match node.next.last() {
                    Some(&(last, next)) if last == byte => next as usize,
                    _ => {
                        node.next.push((byte, new));
                        nodes.push(Node::default());
                        new as usize
                    }
                };
            }
            if let Some(node) = nodes.get_mut(at) {
                node.ends = true;
            }
        }
        Self { nodes }
    }

    fn step(&self, state: u32, byte: u8) -> Option<u32> {
        let next = &self.nodes.get(state as usize)?.next;
        let found = next.binary_search_by_key(&byte, |&(byte, _)| byte).ok()?;
        next.get(found).map(|&(_, state)| state)
    }
}

/// Text that an automaton recognises, with a mark at the end of which the automaton is already a part, and perhaps with a number of
/// characters before the mark.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Text {
    pub(super) dfa: Dfa,
    /// How many bytes go on from each state.
    pub(super) width: Vec<u16>,
    /// States and the bytes that go on with the mark, sorted: what special tokens may write.
    pub(super) exact: Vec<(u32, u8)>,
    pub(super) counted: Option<Counted>,
}

/// How characters are counted.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Counted {
    pub(super) min: u32,
    pub(super) max: u32,
    /// Characters of the mark.
    pub(super) mark: u32,
    pub(super) states: Vec<CountedState>,
}

/// What a state says about characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct CountedState {
    /// Whether the next byte can begin a character: not within an escape.
    pub(super) counts: bool,
    /// Characters that are needed at least before the mark, if the mark has not begun for certain.
    pub(super) content: Option<u32>,
    /// Characters of the mark that may have been read.
    pub(super) marks: Vec<u32>,
}

impl Counted {
    /// Whether there is a way on to the end.
    fn is_alive(&self, state: &CountedState, count: u32) -> bool {
        state.content.is_some_and(|needed| count.saturating_add(needed) <= self.max)
            || state.marks.iter().any(|&mark| {
                let content = count.saturating_sub(mark);
                (self.min..=self.max).contains(&content)
            })
    }
}

impl Text {
    pub(super) fn plain(dfa: Dfa) -> Self {
        let width = (0..dfa.states() as u32).map(|state| dfa.bytes(state).count() as u16).collect();
        Self { dfa, width, exact: Vec::new(), counted: None }
    }

    fn step(&self, at: At, byte: u8, exact: bool) -> Option<At> {
        if exact && self.exact.binary_search(&(at.state, byte)).is_err() {
            return None;
        }
        let state = self.dfa.step(at.state, byte)?;
        let Some(counted) = &self.counted else { return Some(At { state, count: 0 }) };
        let counts = counted.states.get(at.state as usize)?.counts && begins_character(byte);
        let count = at.count.saturating_add(u32::from(counts));
        counted.is_alive(counted.states.get(state as usize)?, count).then_some(At { state, count })
    }

    fn ends(&self, at: At) -> bool {
        let length = |counted: &Counted| {
            let content = at.count.checked_sub(counted.mark);
            content.is_some_and(|content| (counted.min..=counted.max).contains(&content))
        };
        self.dfa.accepts(at.state) && self.counted.as_ref().is_none_or(length)
    }

    fn canonical(&self, count: u32, longest: u32) -> u32 {
        let Some(Counted { min, max, mark, .. }) = self.counted.as_ref() else { return count };
        // A token cannot reach the most, and the least is or will not be reached within it.
        let reach = longest.saturating_add(*mark).saturating_add(2);
        if count.saturating_add(reach) >= *max {
            return count;
        }
        let enough = min.saturating_add(*mark);
        match count.saturating_add(reach) < *min {
            true => 0,
            false if count >= enough => enough,
            false => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_tree() {
        let words = Terminal::words(["ab", "abc", "x", "é"]);
        let read = |text: &str| text.bytes().try_fold(At::default(), |at, byte| words.step(at, byte, true));
        let ends = |text| read(text).is_some_and(|at| words.ends(at));
        assert!(ends("ab") && ends("abc") && ends("x") && ends("é") && !ends("a") && !ends("abcd") && !ends("abx"));
        assert!(words.goes_on(read("ab").unwrap()) && !words.goes_on(read("abc").unwrap()));
        assert_eq!(words, Terminal::words(["x", "é", "abc", "ab"]));
        assert_ne!(words, Terminal::words(["x"]));
    }
}
