//! Cuts text into words before BPE: stages of alternatives, each stage cutting the pieces of the one before.
//!
//! The published patterns use a look-ahead only for white space, `\s+(?!\S)`. It is done here by hand, so that the rest
//! runs on finite automata: time linear in the text, no backtracking limit to run into.

use std::ops::Range;
use std::sync::Arc;

use regex_automata::meta::Regex;

use crate::error::Error;
use crate::unsupported::Unsupported;

/// Stands for `\s+(?!\S)|\s+`: a run of white space without its last character where a word follows.
pub(super) const SPACES: &str = r"\s+(?!\S)|\s+";
/// Stands for `\s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`.
pub(super) const SPACES_BY_POWERS: &str = r"\s{512}(?!\S)|...";

/// How one stage cuts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// Alternatives, the first that matches at the leftmost place wins; what lies between matches is a piece too.
    Any(&'static [&'static str]),
    /// Runs of `\d` into threes from the right: `(?=(\d{3})+(?!\d))`, or `\d{1,3}(?=(?:\d{3})*\b)` where a run that
    /// touches a letter stays whole.
    Thousands {
        /// Whether the run must end at a word boundary.
        word_end: bool,
    },
    /// Cuts runs of `\p{N}` into groups of three from the right.
    NumberThousands,
}

/// The stages of one pre-tokenizer, ready to run. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    stages: Arc<[Compiled]>,
}

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Plain,
    /// The alternative with this index is a run of white space to be shortened.
    Spaces(usize),
    Powers(usize),
    Thousands {
        word: Option<Regex>,
    },
}

impl Splitter {
    /// # Errors
    /// [`Error::Unsupported`] for a pattern that does not compile, which the tests rule out for every known name.
    pub(super) fn new(stages: &[Stage]) -> Result<Self, Error> {
        let compile = |stage: &Stage| {
            Ok(match *stage {
                Stage::Any(alternatives) => {
                    let place = |marker| alternatives.iter().position(|a| *a == marker);
                    let rule = match (place(SPACES), place(SPACES_BY_POWERS)) {
                        (Some(at), _) => Rule::Spaces(at),
                        (None, Some(at)) => Rule::Powers(at),
                        (None, None) => Rule::Plain,
                    };
                    let patterns: Vec<&str> = alternatives
                        .iter()
                        .map(|a| if [SPACES, SPACES_BY_POWERS].contains(a) { r"\s+" } else { a })
                        .collect();
                    Compiled { regex: build(&patterns)?, rule }
                }
                Stage::Thousands { word_end } => {
                    // Oniguruma, for which the pattern was written, counts the Latin-1 numbers as parts of words.
                    let word = word_end.then(|| build(&[r"\A[\w²³¹¼-¾]"])).transpose()?;
                    Compiled { regex: build(&[r"\d+"])?, rule: Rule::Thousands { word } }
                }
                Stage::NumberThousands => {
                    Compiled { regex: build(&[r"\p{N}+"])?, rule: Rule::Thousands { word: None } }
                }
            })
        };
        Ok(Self { stages: stages.iter().map(compile).collect::<Result<_, Error>>()? })
    }

    /// The pieces of `text` in order; together they are the whole text.
    pub(super) fn split(&self, text: &str) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        if !text.is_empty() {
            pieces.push(0..text.len());
        }
        for stage in self.stages.iter() {
            let mut cut = Vec::with_capacity(pieces.len() + text.len() / 8);
            for piece in pieces {
                // A piece is a text of its own: look-arounds and anchors do not see past its ends.
                stage.cut(text.get(piece.clone()).unwrap_or_default(), piece.start, &mut cut);
            }
            pieces = cut;
        }
        pieces
    }
}

impl Compiled {
    /// Appends the pieces of `text`, moved by `base`.
    fn cut(&self, text: &str, base: usize, out: &mut Vec<Range<usize>>) {
        let mut done = 0;
        let mut push = |end: usize| {
            if end > done {
                out.push(base + done..base + end);
                done = end;
            }
        };
        let mut at = 0;
        while at < text.len() {
            // Patterns without look-around may be searched from the middle of the text.
            let Some(found) = self.regex.find(regex_automata::Input::new(text).range(at..)) else { break };
            let (start, end) = (found.start(), found.end());
            if !matches!(self.rule, Rule::Thousands { .. }) {
                push(start);
            }
            at = match &self.rule {
                Rule::Spaces(alternative) if found.pattern().as_usize() == *alternative && end < text.len() => {
                    // The run is maximal, so the next character is not white space.
                    match last_char(text, start, end) {
                        Some(last) if last > start => last,
                        _ => end,
                    }
                }
                Rule::Powers(alternative) if found.pattern().as_usize() == *alternative => {
                    cut_by_powers(text, start, end, &mut push)
                }
                Rule::Thousands { word } => {
                    if !word.as_ref().is_some_and(|w| w.is_match(text.get(end..).unwrap_or_default())) {
                        push(start);
                        cut_thousands(text, start, end, &mut push);
                        push(end);
                    }
                    at = end;
                    continue;
                }
                _ => end,
            };
            push(at);
            if at == start {
                // Only an empty match gets here; no known pattern has one.
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
        push(text.len());
    }
}

fn build(patterns: &[&str]) -> Result<Regex, Error> {
    Regex::new_many(patterns).map_err(|e| Unsupported::PreTokenizer { name: e.to_string() }.into())
}

/// The start of the last character before `end`.
fn last_char(text: &str, start: usize, end: usize) -> Option<usize> {
    text.get(start..end)?.char_indices().next_back().map(|(at, _)| start + at)
}

fn cut_thousands(text: &str, start: usize, end: usize, push: &mut impl FnMut(usize)) {
    let digits = text.get(start..end).unwrap_or_default();
    let count = digits.chars().count();
    for (index, (at, _)) in digits.char_indices().enumerate() {
        if (count - index) % 3 == 0 {
            push(start + at);
        }
    }
}

/// Cuts a run of white space into the largest powers of two that leave one character before a word; returns where the
/// search continues.
fn cut_by_powers(text: &str, start: usize, end: usize, push: &mut impl FnMut(usize)) -> usize {
    let ends: Vec<usize> =
        text.get(start..end).unwrap_or_default().char_indices().map(|(at, c)| start + at + c.len_utf8()).collect();
    // What may be taken by a pattern that looks ahead: all of it at the end of the text, else all but one.
    let usable = if end == text.len() { ends.len() } else { ends.len().saturating_sub(1) };
    let mut taken = 0;
    while taken < usable {
        let left = usable - taken;
        taken += [512, 256, 128, 64, 32, 16, 8, 4, 2].into_iter().find(|&power| power <= left).unwrap_or(1);
        push(ends[taken - 1]);
    }
    // Alone before a word, one character is taken by the last alternative, unless an earlier one takes it with the word:
    // that is for the search to find out, except at the very start of the run, where it has been found out already.
    if taken == 0 { end } else { ends[taken - 1] }
}
