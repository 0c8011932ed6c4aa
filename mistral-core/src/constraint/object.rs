//! Objects: named properties in the order of their schema, then other properties by the kinds of their names, counted where a schema counts
//! them.

use std::sync::Arc;

use super::dfa::Refused;
use super::flat::{ALL, Count, Flat, Sub, Text, below};
use super::grammar::{Pattern, Rule};
use super::memory::TEXTS;
use super::report::Treatment;
use super::schema::Compiler;
use super::strings::{any_text, automaton};
use super::style::{Style, other_names};
use super::text::{Content, STATES};

/// The most kinds of names that the regular expressions of one object may tell apart.
const CLASSES: usize = 32;
/// The most rules that counting the properties of one object may take.
const COUNTED: usize = 1 << 14;

/// The name of a property.
#[derive(Debug)]
pub(super) enum Name<'k> {
    Known(&'k str),
    /// Any name that the content matches.
    Other(&'k Content),
}

/// How an object is written in a dialect, as the arguments of a call or as a value.
pub(super) trait Writer<'d> {
    /// Returns whether a name can be written.
    fn writes(&self, compiler: &Compiler<'d>, name: &str) -> bool;

    /// Returns the rule of a property whose value follows some schemas, if such a property is possible.
    fn member(&self, compiler: &mut Compiler<'d>, name: &Name<'_>, at: &Arc<str>, subs: &[Sub<'d>]) -> Option<Rule>;

    /// Returns whether names stand without quotes.
    fn bare(&self, compiler: &Compiler<'d>) -> bool;

    /// Returns the rules of the marks between properties, and after the last property.
    fn marks(&self, compiler: &mut Compiler<'d>) -> (Option<Rule>, Rule);
}

/// Writes an object as a value.
struct Braces;

impl<'d> Writer<'d> for Braces {
    fn writes(&self, compiler: &Compiler<'d>, name: &str) -> bool {
        !compiler.style.key(name).is_empty()
    }

    fn member(&self, compiler: &mut Compiler<'d>, name: &Name<'_>, at: &Arc<str>, subs: &[Sub<'d>]) -> Option<Rule> {
        let value = compiler.rule(at, subs, ALL)?;
        let key = match name {
            Name::Known(name) => {
                let spellings = compiler.style.key(name);
                compiler.words(&spellings)?
            }
            Name::Other(content) => {
                let style = compiler.style.clone();
                style.other_key(compiler.grammar, content).ok()?
            }
        };
        Some(compiler.grammar.sequence(&[key, compiler.colon, value]))
    }

    fn bare(&self, compiler: &Compiler<'d>) -> bool {
        matches!(compiler.style, Style::Bare { .. })
    }

    fn marks(&self, compiler: &mut Compiler<'d>) -> (Option<Rule>, Rule) {
        let [_, close, ..] = compiler.brackets;
        (Some(compiler.comma), close)
    }
}

impl<'d> Compiler<'d> {
    /// Returns the rule of objects as values.
    pub(super) fn object(&mut self, flat: &Flat<'d>) -> Option<Rule> {
        let [open, ..] = self.brackets;
        let members = self.members(flat, &Braces)?;
        let whole = self.grammar.sequence(&[open, members]);
        Some(self.grammar.add(Pattern::Nested(whole)))
    }

    /// Returns the schemas of a property.
    pub(super) fn subs_of(&mut self, flat: &Flat<'d>, name: &str) -> Vec<Sub<'d>> {
        let mut all = Vec::new();
        for members in &flat.members {
            let before = all.len();
            all.extend(members.named.iter().filter(|(key, _)| *key == name).map(|(_, sub)| sub.clone()));
            for (pattern, sub) in &members.patterns {
                if self.text(&key_pattern(pattern, sub)).is_ok_and(|dfa| dfa.matches(name)) {
                    all.push(sub.clone());
                }
            }
            if all.len() == before {
                all.extend(members.rest.clone());
            }
        }
        all
    }

    /// Returns the rule of the properties of an object, up to its end.
    pub(super) fn members(&mut self, flat: &Flat<'d>, writer: &dyn Writer<'d>) -> Option<Rule> {
        let mut names: Vec<&'d str> = Vec::new();
        let named = flat.members.iter().flat_map(|members| members.named.iter().map(|(key, _)| *key));
        for name in named.chain(flat.required.iter().copied()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut known = Vec::new();
        for name in &names {
            let required = flat.required.contains(name);
            let subs = self.subs_of(flat, name);
            let value = serde_json::Value::from(*name);
            let fits = flat.names.iter().all(|sub| self.valid(sub, &value));
            if !fits || subs.iter().any(Sub::is_false) {
                if required {
                    return None;
                }
                continue;
            }
            let at = subs.first().map_or_else(|| below(&flat.at, &["properties", name]), |sub| Arc::clone(&sub.at));
            if !writer.writes(self, name) {
                self.report(&at, None, Treatment::LeftOut, "has a name here that the dialect cannot write");
                continue;
            }
            match writer.member(self, &Name::Known(name), &at, &subs) {
                Some(rule) => known.push((rule, required)),
                None if required => return None,
                None => {}
            }
        }
        let (min, max) = flat.properties;
        let others = self.others(flat, &names, (min as usize) > known.len(), writer);
        self.in_order(flat, &known, others, (min, max), writer)
    }

    /// Returns the rule of properties that are not named, if any are allowed, and how many there can be.
    fn others(
        &mut self,
        flat: &Flat<'d>,
        names: &[&'d str],
        needed: bool,
        writer: &dyn Writer<'d>,
    ) -> Option<(Rule, Option<u32>)> {
        let said = flat.members.iter().any(|members| members.rest.is_some());
        let named = flat
            .members
            .iter()
            .any(|members| !members.patterns.is_empty() || members.named.iter().any(|(_, sub)| !sub.is_false()));
        let open = said || !named || needed;
        let (mut rules, mut all) = (Vec::new(), Some(0u32));
        for (content, subs, plain) in self.classes(flat, names) {
            if plain && !open || subs.iter().any(Sub::is_false) {
                continue;
            }
            let at = subs.first().map_or_else(|| Arc::clone(&flat.at), |sub| Arc::clone(&sub.at));
            if let Some(rule) = writer.member(self, &Name::Other(&content), &at, &subs) {
                rules.push(rule);
                let names = match &content {
                    Content::Only(_) if writer.bare(self) => other_names(&content).ok(),
                    Content::Only(dfa) => Some(dfa.clone()),
                    _ => None,
                };
                let names = names.and_then(|dfa| dfa.completions().first().copied()).filter(|&all| all != u32::MAX);
                all = all.zip(names).map(|(all, names)| all.saturating_add(names));
            }
        }
        // So many names are remembered: with more properties, a name could come twice. Readers refuse that.
        if flat.properties.0 as usize <= TEXTS {
            all = Some(all.unwrap_or(u32::MAX).min(TEXTS as u32));
        }
        self.one_of(rules).map(|rule| (rule, all))
    }

    /// Groups the unknown names by the regular expressions that they match. Each group has its schemas, and a flag that is true if its
    /// names match none.
    fn classes(&mut self, flat: &Flat<'d>, names: &[&'d str]) -> Vec<(Content, Vec<Sub<'d>>, bool)> {
        let start = match words_of(names) {
            Ok(None) => Content::Free { min: 0, max: None },
            Ok(Some(not)) => Content::Except { not, min: 0, max: None },
            Err(_) => {
                self.report(&flat.at, Some("additionalProperties"), Treatment::Ignored, "names too many properties");
                return Vec::new();
            }
        };
        let mut start = vec![(start, Vec::new())];
        if !flat.names.is_empty() {
            let allowed = match self.strings_of(&flat.names, &flat.at) {
                Ok(allowed) => allowed,
                Err(problem) => Err(Refused::Syntax(problem.detail)),
            };
            match allowed {
                Ok(None) => {}
                Ok(Some(allowed)) => match self.split(&start, &allowed) {
                    Ok((within, _)) => start = within,
                    Err(_) => self.report(&flat.at, Some("propertyNames"), Treatment::Ignored, "needs too many states"),
                },
                Err(refused) => match Self::detail(refused) {
                    None => return Vec::new(),
                    Some(detail) => self.report(&flat.at, Some("propertyNames"), Treatment::Ignored, detail),
                },
            }
        }
        // Of each class, which patterns of which members it matches.
        let mut classes: Vec<(Content, Vec<(usize, usize)>)> =
            start.into_iter().map(|(content, _): (Content, Vec<()>)| (content, Vec::new())).collect();
        for (i, members) in flat.members.iter().enumerate() {
            for (j, (pattern, sub)) in members.patterns.iter().enumerate() {
                let text = key_pattern(pattern, sub);
                let split = self.text(&text).and_then(|dfa| self.split(&classes, &dfa));
                match split {
                    Ok((within, without)) if within.len() + without.len() <= CLASSES => {
                        let marked = within.into_iter().map(|(content, mut matched)| {
                            matched.push((i, j));
                            (content, matched)
                        });
                        classes = marked.chain(without).collect();
                    }
                    Err(Refused::Nothing) => {}
                    refused => {
                        let detail = refused.err().and_then(Self::detail);
                        let detail = detail.unwrap_or_else(|| "has too many regular expressions".into());
                        self.report(&text.at, Some("patternProperties"), Treatment::Ignored, detail);
                    }
                }
            }
        }
        let subs = |matched: &[(usize, usize)]| {
            let mut all = Vec::new();
            for (i, members) in flat.members.iter().enumerate() {
                let before = all.len();
                let mine = matched.iter().filter(|(of, _)| *of == i);
                all.extend(mine.filter_map(|&(_, j)| members.patterns.get(j).map(|(_, sub)| sub.clone())));
                if all.len() == before {
                    all.extend(members.rest.clone());
                }
            }
            all
        };
        classes.into_iter().map(|(content, matched)| (content, subs(&matched), matched.is_empty())).collect()
    }

    /// Splits contents into the parts that an automaton matches, and the parts that it does not match.
    fn split<T: Clone>(&self, all: &[(Content, T)], dfa: &super::dfa::Dfa) -> Result<Parts<T>, Refused> {
        let (mut within, mut without) = (Vec::new(), Vec::new());
        for (content, mark) in all {
            let content = automaton(content.clone())?.map_or_else(any_text, Ok)?;
            let parts = [content.and(dfa, STATES), content.without(dfa, STATES).map(|(dfa, _)| dfa)];
            for (part, to) in parts.into_iter().zip([&mut within, &mut without]) {
                match part {
                    Ok(part) => to.push((Content::Only(part), mark.clone())),
                    Err(Refused::Nothing) => {}
                    Err(refused) => return Err(refused),
                }
            }
        }
        Ok((within, without))
    }

    /// Returns the rule of a sequence of properties: `known` with whether each is required, then `others`.
    fn in_order(
        &mut self,
        flat: &Flat<'d>,
        known: &[(Rule, bool)],
        others: Option<(Rule, Option<u32>)>,
        (mut min, mut max): Count,
        writer: &dyn Writer<'d>,
    ) -> Option<Rule> {
        let all = known.len() as u32;
        let required = known.iter().filter(|(_, required)| *required).count() as u32;
        max = max.filter(|&max| others.is_some() || max < all);
        min = if min <= required { 0 } else { min };
        let possible = others.map_or(Some(0), |(_, most)| most).map(|most| all.saturating_add(most));
        if max.is_some_and(|max| max < min.max(required)) || possible.is_some_and(|possible| min > possible) {
            return None;
        }
        if (all as usize).saturating_mul(max.map_or(min, |max| max.min(all)).max(1) as usize) > COUNTED {
            for (keyword, counted) in [("minProperties", min > 0), ("maxProperties", max.is_some())] {
                if counted {
                    self.report(&flat.at, Some(keyword), Treatment::Ignored, "has too many properties to count");
                }
            }
            (min, max) = (0, None);
        }
        let (separator, end) = writer.marks(self);
        // Beyond this, how many there are makes no difference; none and some always do, as the first has no separator.
        let clip = max.unwrap_or(0).max(min).min(all).max(1);
        let mut after: Vec<Option<Rule>> =
            (0..=clip).map(|count| self.tail(others, (min, max), count, separator, end)).collect();
        for &(member, required) in known.iter().rev() {
            let mut now = Vec::with_capacity(after.len());
            for count in 0..=clip {
                let more = (count + 1).min(clip) as usize;
                let full = max.is_some_and(|max| count >= max);
                let next = after.get(more).copied().flatten().filter(|_| !full);
                let taken = next.map(|next| match separator.filter(|_| count > 0) {
                    Some(separator) => self.grammar.sequence(&[separator, member, next]),
                    None => self.grammar.sequence(&[member, next]),
                });
                let left = after.get(count as usize).copied().flatten().filter(|_| !required);
                now.push(match (taken, left) {
                    (Some(taken), Some(left)) => Some(self.grammar.choice(&[taken, left])),
                    (taken, left) => taken.or(left),
                });
            }
            after = now;
        }
        let whole = after.first().copied().flatten()?;
        Some(if others.is_some() { self.grammar.add(Pattern::Scope(whole)) } else { whole })
    }

    /// Returns the rule of other properties after a number of properties, and the end.
    fn tail(
        &mut self,
        others: Option<(Rule, Option<u32>)>,
        (min, max): Count,
        count: u32,
        separator: Option<Rule>,
        end: Rule,
    ) -> Option<Rule> {
        let (least, mut most) = (min.saturating_sub(count), max.map(|max| max.saturating_sub(count)));
        let Some((member, names)) = others.filter(|_| most != Some(0)) else {
            return (least == 0).then_some(end);
        };
        // All of their names have been written then.
        most = names.map_or(most, |names| Some(most.map_or(names, |most| most.min(names))));
        if most.is_some_and(|most| most < least) {
            return None;
        }
        let more = match separator {
            Some(separator) => self.grammar.sequence(&[separator, member]),
            None => member,
        };
        let repeat = |rule, min, max| Pattern::Repeat { rule, min, max };
        if count > 0 || separator.is_none() {
            let rest = self.grammar.add(repeat(more, least, most));
            return Some(self.grammar.sequence(&[rest, end]));
        }
        let rest = self.grammar.add(repeat(more, least.saturating_sub(1), most.map(|most| most - 1)));
        let some = self.grammar.sequence(&[member, rest, end]);
        Some(if least == 0 { self.grammar.choice(&[end, some]) } else { some })
    }
}

type Parts<T> = (Vec<(Content, T)>, Vec<(Content, T)>);

/// Returns the automaton of some texts, if there are any.
fn words_of(names: &[&str]) -> Result<Option<super::dfa::Dfa>, Refused> {
    if names.is_empty() { Ok(None) } else { super::dfa::Dfa::words(names, STATES).map(Some) }
}

/// Returns the regular expression of a key of `patternProperties`.
fn key_pattern<'d>(pattern: &'d str, sub: &Sub<'d>) -> Text<'d> {
    Text { at: Arc::clone(&sub.at), keyword: "pattern", text: pattern, not: false }
}
