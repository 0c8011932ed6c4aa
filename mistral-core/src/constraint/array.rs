//! Lists: the first items by their place, the others alike, counted where a schema counts them.

use std::sync::Arc;

use serde_json::Value;

use super::dfa::{Dfa, Refused};
use super::flat::{ALL, ARRAY, BOOLEAN, Count, Flat, NULL, NUMBER, OBJECT, STRING, Sub, below, equal};
use super::grammar::{Pattern, Rule};
use super::report::Treatment;
use super::schema::Compiler;
use super::strings::automaton;
use super::terminal::{At, Terminal};
use super::text::{Content, STATES};

/// The most values that the items of one list may have if the items must differ from each other.
const WORDS: usize = 1 << 12;
/// The most rules that counting the items of one list may take.
const COUNTED: u64 = 1 << 12;

impl<'d> Compiler<'d> {
    /// Returns the rule of lists.
    pub(super) fn array(&mut self, flat: &Flat<'d>) -> Option<Rule> {
        let (min, mut max) = flat.items;
        let longest = flat.lists.iter().map(|list| list.prefix.len()).max().unwrap_or(0);
        let subs_at = |i: usize| {
            let subs = flat.lists.iter().filter_map(|list| list.prefix.get(i).or(list.rest.as_ref()).cloned());
            subs.collect::<Vec<Sub<'d>>>()
        };
        let place = |subs: &[Sub<'d>]| {
            let real = subs.iter().find(|sub| !sub.at.is_empty());
            real.map_or_else(|| below(&flat.at, &["items"]), |sub| Arc::clone(&sub.at))
        };
        let mut items = Vec::new();
        for i in 0..longest {
            if max.is_some_and(|max| items.len() >= max as usize) {
                break;
            }
            let subs = subs_at(i);
            match self.rule(&place(&subs), &subs, ALL) {
                Some(rule) => items.push((rule, subs)),
                None => max = Some(i as u32),
            }
        }
        let known = items.len() as u32;
        let rest = subs_at(longest);
        let others = if max.is_some_and(|max| max <= known) { None } else { self.rule(&place(&rest), &rest, ALL) };
        if others.is_none() {
            max = Some(max.map_or(known, |max| max.min(known)));
        }
        if max.is_some_and(|max| max < min) {
            return None;
        }
        let [.., open, close] = self.brackets;
        if let Some(at) = flat.unique.clone().filter(|_| max.is_none_or(|max| max > 1)) {
            let plain = items.is_empty() && flat.contains.is_empty();
            match if plain { self.differing(&rest, &flat.at) } else { None } {
                Some((item, most)) => {
                    let max = most.map_or(max, |most| Some(max.map_or(most, |max| max.min(most))));
                    if max.is_some_and(|max| max < min) {
                        return None;
                    }
                    let inside = self.in_a_row(&[], item, (min, max), close);
                    let scope = self.grammar.add(Pattern::Scope(inside));
                    let whole = self.grammar.sequence(&[open, scope]);
                    return Some(self.grammar.add(Pattern::Nested(whole)));
                }
                None => self.report(&at, Some("uniqueItems"), Treatment::Ignored, ""),
            }
        }
        let after = match self.counted(flat, &items, others.map(|rule| (rule, rest)), (min, max)) {
            Some(after) => after?,
            None => {
                let rules: Vec<Rule> = items.iter().map(|(rule, _)| *rule).collect();
                self.in_a_row(&rules, others, (min, max), close)
            }
        };
        let whole = self.grammar.sequence(&[open, after]);
        Some(self.grammar.add(Pattern::Nested(whole)))
    }

    /// Returns the rule of items that differ from each other, and how many items there can be. Returns `None` if the items are not texts,
    /// numbers or constants.
    fn differing(&mut self, subs: &[Sub<'d>], at: &Arc<str>) -> Option<(Option<Rule>, Option<u32>)> {
        let (mut words, mut numbers, mut texts) = (Vec::<Value>::new(), None, None);
        for flat in self.flatten_all(subs, ALL, at).ok()? {
            let types = flat.meant();
            if let Some(values) = &flat.values {
                if values.len() > WORDS {
                    return None;
                }
                words.extend(self.right(&flat).into_iter().cloned());
                continue;
            }
            if types & (ARRAY | OBJECT) != 0 {
                return None;
            }
            for (kind, value) in [(NULL, Value::Null), (BOOLEAN, true.into()), (BOOLEAN, false.into())] {
                if types & kind != 0 && !flat.excluded.contains(&&value) {
                    words.push(value);
                }
            }
            if types & NUMBER != 0 {
                // Each number is written in one way only.
                let flat = Flat { types, ..flat.clone() };
                let other = Dfa::regex("-?[0-9]+\\.[0-9]*0|-0|.*[eE].*", STATES).ok()?;
                let found = self.number(&flat).map(|dfa| dfa.without(&other, STATES));
                match found {
                    Some(Ok((dfa, _))) if numbers.is_none() => numbers = Some(Terminal::dfa(dfa).differing("", false)),
                    Some(Err(Refused::Nothing)) | None => {}
                    _ => return None,
                }
            }
            if types & STRING != 0
                && let Some(content) = self.content(&flat)
            {
                let whole = automaton(content).ok()?;
                let content = whole.map_or(Content::Free { min: 0, max: None }, Content::Only);
                if texts.replace(content).is_some() {
                    return None;
                }
            }
        }
        let mut different: Vec<Value> = Vec::new();
        for word in words {
            let covered = match &word {
                Value::String(_) => texts.is_some(),
                Value::Number(_) => numbers.is_some(),
                _ => false,
            };
            if covered {
                return None;
            }
            if !different.iter().any(|known| equal(known, &word)) {
                different.push(word);
            }
        }
        let spellings: Vec<Vec<String>> = different.iter().map(|word| self.style.spellings(word)).collect();
        let quotes = |text: &String| text.matches(['\'', '"']).count() > 2;
        let several = spellings.iter().any(|all| all.len() > 1) && !spellings.iter().flatten().any(quotes);
        let last: Vec<&str> = spellings.iter().filter_map(|all| all.last()).map(String::as_str).collect();
        let mut all = Some(last.len() as u32);
        let mut rules = Vec::new();
        if !last.is_empty() {
            rules.push(self.grammar.terminal(Terminal::words(last.iter().copied()).differing("", false)));
        }
        if several {
            let first = spellings.iter().filter_map(|all| all.first()).map(String::as_str);
            rules.push(self.grammar.terminal(Terminal::words(first).differing("", true)));
        }
        if let Some(numbers) = numbers {
            all = all.zip(numbers.completions(At::default())).map(|(a, b)| a.saturating_add(b));
            rules.push(self.grammar.terminal(numbers));
        }
        if let Some(content) = texts {
            let style = self.style.clone();
            all = match &content {
                Content::Only(dfa) => {
                    let texts = dfa.completions().first().copied().filter(|&all| all != u32::MAX);
                    all.zip(texts).map(|(a, b)| a.saturating_add(b))
                }
                _ => None,
            };
            rules.push(style.string(self.grammar, &content, true).ok()?);
        }
        Some((self.one_of(rules), all))
    }

    /// Returns the rule of a sequence of items and its end.
    fn in_a_row(&mut self, items: &[Rule], others: Option<Rule>, (min, max): Count, close: Rule) -> Rule {
        let known = items.len() as u32;
        // From the back: what may follow after so many items.
        let mut after = match others {
            None => close,
            Some(item) => {
                let more = self.grammar.sequence(&[self.comma, item]);
                let left = |taken: u32| (min.saturating_sub(taken), max.map(|max| max.saturating_sub(taken)));
                let mut repeat = |taken| {
                    let (min, max) = left(taken);
                    self.grammar.add(Pattern::Repeat { rule: more, min, max })
                };
                if known > 0 {
                    let more = repeat(known);
                    self.grammar.sequence(&[more, close])
                } else {
                    let more = repeat(1);
                    let some = self.grammar.sequence(&[item, more, close]);
                    if min == 0 { self.grammar.choice(&[close, some]) } else { some }
                }
            }
        };
        for (i, &item) in items.iter().enumerate().rev() {
            after = match i {
                0 => self.grammar.sequence(&[item, after]),
                _ => self.grammar.sequence(&[self.comma, item, after]),
            };
            if i as u32 >= min {
                after = self.grammar.choice(&[close, after]);
            }
        }
        after
    }

    /// Does as [`in_a_row`](Self::in_a_row), and counts the items that follow the schema of a keyword. Internally there is one rule per
    /// number of items and number of matching items. Returns `None` without the keyword, or if it cannot be enforced.
    fn counted(
        &mut self,
        flat: &Flat<'d>,
        items: &[(Rule, Vec<Sub<'d>>)],
        others: Option<(Rule, Vec<Sub<'d>>)>,
        (min, max): Count,
    ) -> Option<Option<Rule>> {
        let contains = flat.contains.first()?;
        for more in flat.contains.iter().skip(1) {
            self.report(&more.at, Some("contains"), Treatment::Ignored, "stands next to another one");
        }
        let (least, most) = (contains.min, contains.max);
        let known = items.len() as u32;
        // Beyond these, how many there are makes no difference.
        let taken_clip = max.unwrap_or(1).max(min).max(known).max(1);
        let found_clip = most.map_or(least, |most| most.max(least));
        if u64::from(taken_clip + 1) * u64::from(found_clip + 1) > COUNTED {
            self.report(&contains.at, Some("contains"), Treatment::Ignored, "counts too many items");
            return None;
        }
        if most.is_some_and(|most| most < least) {
            return Some(None);
        }
        // Each item as one that is of the schema, and as one that is not or need not be.
        let mut kinds = |subs: &[Sub<'d>], rule: Rule| {
            let mut with = |sub: Sub<'d>| self.rule(&contains.item.at, &[subs, &[sub]].concat(), ALL);
            let of = with(contains.item.clone());
            let not = if most.is_some() { with(contains.item.clone().negated()) } else { Some(rule) };
            (of, not)
        };
        let mut all: Vec<(Option<Rule>, Option<Rule>)> = items.iter().map(|(rule, subs)| kinds(subs, *rule)).collect();
        let others = others.map(|(rule, subs)| kinds(&subs, rule));
        if most.is_some() && self.flatten(&contains.item.clone().negated()).is_err() {
            self.report(&contains.at, Some("maxContains"), Treatment::Ignored, "has a schema without an opposite");
            return None;
        }
        let [.., close] = self.brackets;
        let bounded = max.is_some();
        let (rows, columns) = (taken_clip as usize + 1, found_clip as usize + 1);
        // A rule for each state, filled in afterwards, as the last goes round.
        let states: Vec<Rule> = (0..rows * columns).map(|_| self.grammar.choice(&[])).collect();
        let last = all.len();
        all.extend(others);
        for taken in 0..rows {
            for found in 0..columns {
                let mut ways = Vec::new();
                if taken as u32 >= min && found as u32 >= least {
                    ways.push(close);
                }
                let full = bounded && taken + 1 == rows;
                if let Some(&(of, not)) = all.get(taken.min(last)).filter(|_| !full) {
                    let next_row = (taken + 1).min(rows - 1);
                    let next_column = if most.is_some() { found + 1 } else { (found + 1).min(columns - 1) };
                    let ways_on = [(of, next_column), (not, found)];
                    for (item, column) in ways_on {
                        let state = states.get(next_row * columns + column).filter(|_| column < columns);
                        if let (Some(item), Some(&state)) = (item, state) {
                            ways.push(match taken {
                                0 => self.grammar.sequence(&[item, state]),
                                _ => self.grammar.sequence(&[self.comma, item, state]),
                            });
                        }
                    }
                }
                if let Some(&rule) = states.get(taken * columns + found) {
                    self.grammar.set(rule, Pattern::Choice(ways));
                }
            }
        }
        Some(states.first().copied())
    }
}
