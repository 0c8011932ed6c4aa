//! How strings are written: what they hold, and the escapes and marks around it, as one automaton.

use super::dfa::{Classes, DEAD, Dfa, Refused, begins_character};
use super::terminal::{Counted, CountedState, Terminal, Text};

/// States of one piece of a grammar.
pub(super) const STATES: usize = 1 << 15;

/// What a string may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// Any text of so many characters.
    Free { min: u32, max: Option<u32> },
    /// The same, except these texts.
    Except { not: Dfa, min: u32, max: Option<u32> },
    /// What the automaton matches.
    Only(Dfa),
}

/// How a string is written: everything after its opening mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writing<'w> {
    /// Closes it.
    pub(super) mark: &'w [u8],
    /// Whether `\` escapes, and control characters must be.
    pub(super) escapes: bool,
    /// Whether `\/` is one of the escapes: not in Python.
    pub(super) slash: bool,
    /// What must not be in it, as readers would see something else.
    pub(super) never: &'w [u8],
    pub(super) unique: Unique,
}

/// Whether each text is written in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unique {
    No,
    Yes,
    /// Except for the quotes around the text, which are not part of it.
    Quotes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Escape {
    No,
    /// After `\`.
    Begun,
    /// Hexadecimal digits that are to come, and whether the last was a `d` in front.
    Digits(u8, bool),
}

/// What may have been read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Read {
    content: Option<(u32, Escape)>,
    /// Bytes of what must not come.
    never: u8,
    /// Bytes of the mark.
    marks: Vec<u8>,
}

/// The terminal of a string up to the end of its mark.
pub(super) fn string(content: &Content, writing: &Writing<'_>) -> Result<Terminal, Refused> {
    let any = Dfa::regex("(?s:.)*", STATES);
    // With the characters that are needed after each state before any text may follow.
    let (dfa, needed, range) = match content {
        Content::Free { min, max } => (any?, Vec::new(), Some((*min, *max))),
        Content::Except { not, min, max } => {
            let (dfa, others) = any?.without(not, STATES)?;
            let needed = others.iter().map(|&other| u32::from(other != DEAD)).collect();
            (dfa, needed, Some((*min, *max)))
        }
        Content::Only(dfa) => (dfa.clone(), Vec::new(), None),
    };
    let range = range.filter(|&(min, max)| min > 0 || max.is_some());
    if range.is_some_and(|(min, max)| max.is_some_and(|max| max < min)) {
        return Err(Refused::Nothing);
    }
    let free = matches!(content, Content::Free { .. });
    let classes = writing.classes(&dfa)?;
    let start = Read { content: Some((0, Escape::No)), never: 0, marks: Vec::new() };
    let closes = |read: &Read| matches!(read.content, Some((state, Escape::No)) if dfa.accepts(state));
    let step = |read: &Read, byte: u8| {
        let begun = closes(read).then_some(0);
        let marks = read.marks.iter().copied().chain(begun);
        let marks = marks.filter(|&at| writing.mark.get(usize::from(at)) == Some(&byte)).map(|at| at + 1);
        let mut marks: Vec<u8> = marks.collect();
        marks.sort_unstable();
        let never = writing.never_after(read.never, byte);
        let whole = !writing.never.is_empty() && usize::from(never) == writing.never.len();
        let content = read.content.filter(|_| !whole).and_then(|content| writing.step(&dfa, free, content, byte));
        let never = if content.is_some() { never } else { 0 };
        (content.is_some() || !marks.is_empty()).then_some(Read { content, never, marks })
    };
    let ends = |read: &Read| read.marks.iter().any(|&at| usize::from(at) == writing.mark.len());
    let (automaton, states) = Dfa::explore(classes, start, STATES, step, ends)?;
    let mut text = Text::plain(automaton);
    for (id, read) in (0u32..).zip(&states) {
        let begun = closes(read).then_some(0);
        let bytes = read.marks.iter().copied().chain(begun).filter_map(|at| writing.mark.get(usize::from(at)));
        text.exact.extend(bytes.map(|&byte| (id, byte)));
    }
    text.exact.sort_unstable();
    text.counted = range.map(|(min, max)| {
        let characters =
            |at: u8| writing.mark.iter().take(at.into()).filter(|&&byte| begins_character(byte)).count() as u32;
        let counted = |read: &Read| CountedState {
            counts: !matches!(read.content, Some((_, Escape::Begun | Escape::Digits(..)))),
            content: read.content.map(|(state, _)| needed.get(state as usize).copied().unwrap_or(0)),
            marks: read.marks.iter().map(|&at| characters(at)).collect(),
        };
        let mark = writing.mark.iter().filter(|&&byte| begins_character(byte)).count() as u32;
        Counted { min, max: max.unwrap_or(u32::MAX), mark, states: states.iter().map(counted).collect() }
    });
    Ok(Terminal::text(text))
}

impl Writing<'_> {
    /// The bytes that this tells apart, and the content.
    fn classes(&self, content: &Dfa) -> Result<Classes, Refused> {
        let mut single = [self.mark, self.never].concat();
        if self.escapes {
            single.extend(*b"\"\\'/bfnrtudD");
        }
        single.sort_unstable();
        single.dedup();
        // One after the other, so that each is a class.
        let kinds = Dfa::regex("[\\x00-\\x1f&&[^\\t\\r\\n]][\\t\\r\\n][0-7][89a-fA-F]", STATES)?;
        Ok(Classes::new(&[content.classes(), kinds.classes()], &single))
    }

    /// How much of what must not come has been read.
    fn never_after(&self, before: u8, byte: u8) -> u8 {
        let read = self.never.get(..before.into()).unwrap_or_default();
        let text = [read, &[byte]].concat();
        let kept = (0..=text.len()).rev().find(|&n| n <= self.never.len() && text.ends_with(&self.never[..n]));
        kept.unwrap_or(0) as u8
    }

    /// The content after one more byte of how it is written.
    fn step(&self, dfa: &Dfa, free: bool, (state, escape): (u32, Escape), byte: u8) -> Option<(u32, Escape)> {
        let plain = |byte| Some((dfa.step(state, byte)?, Escape::No));
        match escape {
            Escape::No if self.escapes => match byte {
                // Not within a character.
                b'\\' => (0x80..0xc0).all(|byte| dfa.step(state, byte).is_none()).then_some((state, Escape::Begun)),
                _ if byte < 0x20 || self.mark.first() == Some(&byte) => None,
                b'\'' | b'"' if self.unique == Unique::Quotes => None,
                _ => plain(byte),
            },
            Escape::No if byte < 0x20 && !matches!(byte, b'\t' | b'\r' | b'\n') => None,
            Escape::No => plain(byte),
            Escape::Begun => match byte {
                b'/' if self.unique != Unique::No || !self.slash => None,
                b'\'' | b'"' if self.unique == Unique::Quotes => None,
                b'"' | b'\\' | b'/' => plain(byte),
                b'\'' if self.mark.first() == Some(&b'\'') => plain(byte),
                b'b' => plain(0x08),
                b'f' => plain(0x0c),
                b'n' => plain(b'\n'),
                b'r' => plain(b'\r'),
                b't' => plain(b'\t'),
                // Where any text is right, which character it is does not matter.
                b'u' if free && self.unique == Unique::No => Some((state, Escape::Digits(4, false))),
                _ => None,
            },
            Escape::Digits(left, surrogate) => {
                // Halves of pairs are not written: their characters can be.
                let right = byte.is_ascii_hexdigit() && (!surrogate || matches!(byte, b'0'..=b'7'));
                let surrogate = left == 4 && matches!(byte, b'd' | b'D');
                let next = if left == 1 { Escape::No } else { Escape::Digits(left - 1, surrogate) };
                right.then_some((state, next))
            }
        }
    }
}
