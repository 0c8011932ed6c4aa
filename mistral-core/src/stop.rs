//! Stop strings in a text that comes in pieces of any size.
//!
//! The stop is where reading character by character would first complete one of the strings, so it does not depend on
//! how tokens cut the text. Text that might still become a stop string is held back, everything before it is given out.

/// Looks for stop strings in one text.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopStrings {
    strings: Vec<String>,
    include: bool,
    /// The end of the text so far, as far as it may be the start of a stop string.
    held: String,
}

impl StopStrings {
    /// None of `strings` is empty.
    pub(crate) fn new(strings: Vec<String>, include: bool) -> Self {
        Self { strings, include, held: String::new() }
    }

    /// Takes more text and appends to `out` what is certain. The index of the stop string once one is complete; the text
    /// after it is dropped, and nothing may be pushed any more.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) -> Option<usize> {
        if self.strings.is_empty() {
            out.push_str(text);
            return None;
        }
        self.held.push_str(text);
        // The match that ends first; of those that end together, the longest.
        let found = self.strings.iter().enumerate();
        let found = found.filter_map(|(index, s)| self.held.find(s.as_str()).map(|at| (at + s.len(), at, index)));
        if let Some((end, start, index)) = found.min() {
            let kept = if self.include { end } else { start };
            out.push_str(self.held.get(..kept).unwrap_or_default());
            self.held.clear();
            return Some(index);
        }
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let undecided = self.held.char_indices().map(|(at, _)| at).filter(|at| self.held.len() - at < longest);
        let keep = undecided
            .filter_map(|at| self.held.get(at..).map(|tail| (at, tail)))
            .find(|(_, tail)| self.strings.iter().any(|s| s.starts_with(tail)))
            .map_or(self.held.len(), |(at, _)| at);
        out.extend(self.held.drain(..keep));
        None
    }

    /// The text has ended: what was held back is text.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Rng;

    /// Character by character over the whole text, by definition.
    fn naive(text: &str, stops: &[String], include: bool) -> (String, Option<usize>) {
        for (end, c) in text.char_indices().map(|(at, c)| (at + c.len_utf8(), c)) {
            let _ = c;
            let ending = stops.iter().enumerate().filter(|(_, s)| text[..end].ends_with(s.as_str()));
            if let Some((index, s)) = ending.max_by_key(|(i, s)| (s.len(), std::cmp::Reverse(*i))) {
                return (text[..if include { end } else { end - s.len() }].to_owned(), Some(index));
            }
        }
        (text.to_owned(), None)
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
            let mut at = 0;
            while at < chars.len() && found.is_none() {
                let end = (at + 1 + below(6)).min(chars.len());
                let piece: String = chars[at..end].iter().collect();
                found = search.push(&piece, &mut out);
                at = end;
            }
            if found.is_none() {
                search.finish(&mut out);
            }
            stopped += usize::from(found.is_some());
            assert_eq!((out, found), naive(&text, &stops, include), "{text:?} {stops:?}");
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
}
