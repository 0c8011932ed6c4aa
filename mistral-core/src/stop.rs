//! Stop strings in a text that comes in pieces of any size.
//!
//! The stop is the place where reading character by character would first complete one of the strings. It does not depend on how tokens cut
//! the text. Text that might still become a stop string is held back; all text before it is released.
//!
//! Control tokens that the reader does not see are searched as well: their text is hidden, not absent. `<|im_end|>` as a stop string
//! therefore ends a generation whether or not control tokens are shown, as does a stop string that spans a control token and text.

use std::ops::Range;

/// Looks for stop strings in one text.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopStrings {
    strings: Vec<String>,
    include: bool,
    /// The end of the text so far that may be the start of a stop string, hidden text included.
    held: String,
    /// The bytes of `held` that are searched but never released, in order.
    hidden: Vec<Range<usize>>,
}

impl StopStrings {
    /// None of `strings` is empty.
    pub(crate) fn new(strings: Vec<String>, include: bool) -> Self {
        Self { strings, include, held: String::new(), hidden: Vec::new() }
    }

    /// Takes more text and appends to `out` the text that is certain. Returns the index of the stop string once a stop string is complete.
    /// The text after it is dropped, and no more text may be pushed.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) -> Option<usize> {
        if self.strings.is_empty() {
            out.push_str(text);
            return None;
        }
        self.held.push_str(text);
        self.search(out)
    }

    /// Takes text that is searched but never released; otherwise as [`push`](Self::push).
    pub(crate) fn push_hidden(&mut self, text: &str, out: &mut String) -> Option<usize> {
        if self.strings.is_empty() || text.is_empty() {
            return None;
        }
        let start = self.held.len();
        self.held.push_str(text);
        self.hidden.push(start..self.held.len());
        self.search(out)
    }

    /// Ends the text: the text held back is released.
    pub(crate) fn finish(&mut self, out: &mut String) {
        self.release(self.held.len(), out);
    }

    fn search(&mut self, out: &mut String) -> Option<usize> {
        // The match that ends first; of those that end together, the longest.
        let matches = self.strings.iter().enumerate();
        let matches = matches.filter_map(|(index, s)| self.held.find(s.as_str()).map(|at| (at + s.len(), at, index)));
        if let Some((end, start, index)) = matches.min() {
            self.release(if self.include { end } else { start }, out);
            self.held.clear();
            self.hidden.clear();
            return Some(index);
        }
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let undecided = self.held.char_indices().map(|(at, _)| at).filter(|at| self.held.len() - at < longest);
        let keep = undecided
            .filter_map(|at| self.held.get(at..).map(|tail| (at, tail)))
            .find(|(_, tail)| self.strings.iter().any(|s| s.starts_with(tail)))
            .map_or(self.held.len(), |(at, _)| at);
        self.release(keep, out);
        None
    }

    /// Removes the first `end` bytes of the held text and appends those that are not hidden to `out`.
    fn release(&mut self, end: usize, out: &mut String) {
        let mut at = 0;
        for range in &self.hidden {
            out.push_str(self.held.get(at..range.start.min(end)).unwrap_or_default());
            at = range.end.min(end);
        }
        out.push_str(self.held.get(at..end).unwrap_or_default());
        self.held.drain(..end);
        self.hidden.retain_mut(|range| {
            *range = range.start.saturating_sub(end)..range.end.saturating_sub(end);
            range.end > range.start
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::rng::Rng;

    /// Character by character over the whole text, by definition; characters whose flag is set are hidden.
    fn naive(text: &str, hidden: &[bool], stops: &[String], include: bool) -> (String, Option<usize>) {
        let shown = |end: usize| -> String {
            text.char_indices()
                .zip(hidden)
                .filter(|((at, _), hidden)| *at < end && !**hidden)
                .map(|((_, c), _)| c)
                .collect()
        };
        for end in text.char_indices().map(|(at, c)| at + c.len_utf8()) {
            let ending = stops.iter().enumerate().filter(|(_, s)| text[..end].ends_with(s.as_str()));
            if let Some((index, s)) = ending.max_by_key(|(i, s)| (s.len(), std::cmp::Reverse(*i))) {
                return (shown(if include { end } else { end - s.len() }), Some(index));
            }
        }
        (shown(text.len()), None)
    }

    #[test]
    fn any_cut_of_the_text_gives_what_reading_by_character_gives() {
        let mut rng = Rng::new(11);
        let mut below = |n: usize| (rng.bits() % n as u64) as usize;
        let mut stopped = 0;
        for round in 0..20_000 {
            let mut word = |most: usize| -> String {
                let len = 1 + below(most);
                (0..len).map(|_| ['a', 'b', 'é', '∂'][below(4)]).collect()
            };
            let text = word(24);
            let stops: Vec<String> = (0..1 + round % 3).map(|_| word(5)).collect();
            let include = round % 2 == 0;
            let mut search = StopStrings::new(stops.clone(), include);
            let (mut out, mut found) = (String::new(), None);
            let chars: Vec<char> = text.chars().collect();
            let mut hidden = vec![false; chars.len()];
            let mut at = 0;
            while at < chars.len() && found.is_none() {
                let end = (at + 1 + below(6)).min(chars.len());
                let piece: String = chars[at..end].iter().collect();
                // One piece in four is a control token that the reader does not see.
                found = if round % 5 > 0 && below(4) == 0 {
                    hidden[at..end].fill(true);
                    search.push_hidden(&piece, &mut out)
                } else {
                    search.push(&piece, &mut out)
                };
                at = end;
            }
            if found.is_none() {
                search.finish(&mut out);
            }
            stopped += usize::from(found.is_some());
            assert_eq!((out, found), naive(&text, &hidden, &stops, include), "{text:?} {hidden:?} {stops:?}");
        }
        assert!(stopped > 2_000 && stopped < 19_000, "both outcomes occur: {stopped}");
    }

    #[test]
    fn holds_back_no_more_than_it_must() {
        let mut search = StopStrings::new(vec!["<end>".into()], false);
        let mut out = String::new();
        assert_eq!(search.push("a < b <e", &mut out), None);
        assert_eq!(out, "a < b ");
        assert_eq!(search.push("x", &mut out), None);
        assert_eq!(out, "a < b <ex");
        assert_eq!(search.push("<end>tail", &mut out), Some(0));
        assert_eq!(out, "a < b <ex");
    }

    #[test]
    fn control_tokens_that_nobody_sees_are_searched_alone_and_together_with_text() {
        for include in [false, true] {
            let mut search = StopStrings::new(vec!["<|end|>".into(), "b<|eot|>\n".into()], include);
            let mut out = String::new();
            assert_eq!(search.push_hidden("<|start|>", &mut out), None);
            assert_eq!(search.push("ab", &mut out), None);
            assert_eq!(search.push_hidden("<|eot|>", &mut out), None);
            assert_eq!(out, "a", "the rest may be the start of a stop string");
            let mut other = search.clone();
            assert_eq!(other.push_hidden("<|end|>", &mut out), Some(0));
            assert_eq!(out, "ab", "no control token is part of the text");
            out.clear();
            assert_eq!(search.push("\nc", &mut out), Some(1));
            assert_eq!(out, if include { "b\n" } else { "" });
        }
    }
}
