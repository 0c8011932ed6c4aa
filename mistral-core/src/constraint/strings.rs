//! The content of strings: lengths, regular expressions, formats, and excluded texts, in one automaton.

use std::sync::Arc;

use serde_json::Value;

use super::dfa::{Dfa, Refused};
use super::flat::{Flat, STRING, Sub, Text};
use super::grammar::Rule;
use super::pattern;
use super::report::Treatment;
use super::schema::{Compiled, Compiler};
use super::style::Style;
use super::text::{Content, STATES};

impl<'d> Compiler<'d> {
    /// Returns the automaton of a regular expression or a format, or of the texts that do not match it.
    pub(super) fn text(&mut self, text: &Text<'d>) -> Result<Arc<Dfa>, Refused> {
        let key = (text.keyword, text.text, text.not);
        if let Some(known) = self.automata.get(&key) {
            return known.clone();
        }
        let made = match text.keyword {
            "pattern" => pattern::pattern(text.text),
            _ => pattern::format(text.text),
        };
        let made = match (made, text.not) {
            (Err(Refused::Nothing), true) => any_text(),
            (made, true) => made.and_then(|dfa| Ok(any_text()?.without(&dfa, STATES)?.0)),
            (made, false) => made,
        };
        let made = made.map(Arc::new);
        self.automata.insert(key, made.clone());
        made
    }

    /// Returns the rule of strings.
    pub(super) fn string(&mut self, flat: &Flat<'d>) -> Option<Rule> {
        let content = self.content(flat)?;
        let except = if let Style::Raw { except, .. } = &self.style { except.clone() } else { None };
        let content = match (content, except) {
            (content, None) => Ok(content),
            (Content::Free { min, max }, Some(not)) => Ok(Content::Except { not, min, max }),
            (Content::Except { not, min, max }, Some(more)) => {
                not.or(&more, STATES).map(|not| Content::Except { not, min, max })
            }
            (Content::Only(dfa), Some(not)) => dfa.without(&not, STATES).map(|(dfa, _)| Content::Only(dfa)),
        };
        let style = self.style.clone();
        match content.and_then(|content| style.string(self.grammar, &content, false)) {
            Ok(rule) => Some(rule),
            Err(refused) => {
                let detail = Self::detail(refused)?;
                let keyword = flat.texts.first().map_or("maxLength", |text| text.keyword);
                self.report(&flat.at, Some(keyword), Treatment::Ignored, detail);
                let except = if let Style::Raw { except, .. } = &style { except.clone() } else { None };
                let free = Content::Free { min: 0, max: None };
                let free = except.map_or(free, |not| Content::Except { not, min: 0, max: None });
                style.string(self.grammar, &free, false).ok()
            }
        }
    }

    /// Returns the content of the allowed strings, if there are any.
    pub(super) fn content(&mut self, flat: &Flat<'d>) -> Option<Content> {
        let (min, max) = flat.length;
        if max.is_some_and(|max| max < min) {
            return None;
        }
        let mut dfa: Option<Dfa> = None;
        for text in &flat.texts {
            let both = self.text(text).and_then(|found| match &dfa {
                None => Ok(Dfa::clone(&found)),
                Some(before) => before.and(&found, STATES),
            });
            match both {
                Ok(both) => dfa = Some(both),
                Err(refused) => {
                    let detail = Self::detail(refused)?;
                    self.report(&text.at, Some(text.keyword), Treatment::Ignored, detail);
                }
            }
        }
        let excluded: Vec<&str> = flat.excluded.iter().filter_map(|value| value.as_str()).collect();
        let not = if excluded.is_empty() { None } else { Dfa::words(&excluded, STATES).ok() };
        if not.is_none() && !excluded.is_empty() {
            self.report(&flat.at, Some("not"), Treatment::Ignored, "excludes texts that are too long");
        }
        let Some(mut dfa) = dfa else {
            return Some(match not {
                None => Content::Free { min, max },
                Some(not) => Content::Except { not, min, max },
            });
        };
        if let Some(not) = not {
            match dfa.without(&not, STATES) {
                Ok((rest, _)) => dfa = rest,
                Err(refused) => {
                    let detail = Self::detail(refused)?;
                    self.report(&flat.at, Some("not"), Treatment::Ignored, detail);
                }
            }
        }
        if min > 0 || max.is_some() {
            match dfa.with_length(min, max, STATES) {
                Ok(counted) => dfa = counted,
                Err(refused) => {
                    let detail = Self::detail(refused)?;
                    let keyword = if max.is_some() { "maxLength" } else { "minLength" };
                    self.report(&flat.at, Some(keyword), Treatment::Ignored, detail);
                }
            }
        }
        Some(Content::Only(dfa))
    }

    /// Returns the automaton of the strings that follow some schemas; `None` if all strings do, an error if no string does.
    pub(super) fn strings_of(&mut self, subs: &[Sub<'d>], at: &Arc<str>) -> Compiled<Result<Option<Dfa>, Refused>> {
        if subs.iter().all(Sub::is_true) {
            return Ok(Ok(None));
        }
        let mut all: Result<Option<Dfa>, Refused> = Err(Refused::Nothing);
        for flat in self.flatten_all(subs, STRING, at)? {
            let one = match &flat.values {
                Some(_) => {
                    let values: Vec<&str> = self.right(&flat).into_iter().filter_map(Value::as_str).collect();
                    if values.is_empty() { continue } else { Dfa::words(&values, STATES).map(Some) }
                }
                None => match self.content(&flat) {
                    None => continue,
                    Some(content) => automaton(content),
                },
            };
            all = match (all, one) {
                (Err(Refused::Nothing), one) => one,
                (Ok(Some(a)), Ok(Some(b))) => a.or(&b, STATES).map(Some),
                (Err(refused), _) | (_, Err(refused)) => Err(refused),
                (Ok(None), _) | (_, Ok(None)) => Ok(None),
            };
        }
        Ok(all)
    }
}

pub(super) fn any_text() -> Result<Dfa, Refused> {
    Dfa::regex("(?s:.)*", STATES)
}

/// Returns the automaton of a content, or `None` if the content can be anything.
pub(super) fn automaton(content: Content) -> Result<Option<Dfa>, Refused> {
    let (dfa, min, max) = match content {
        Content::Only(dfa) => return Ok(Some(dfa)),
        Content::Free { min: 0, max: None } => return Ok(None),
        Content::Free { min, max } => (any_text()?, min, max),
        Content::Except { not, min, max } => (any_text()?.without(&not, STATES)?.0, min, max),
    };
    let counted = min > 0 || max.is_some();
    Ok(Some(if counted { dfa.with_length(min, max, STATES)? } else { dfa }))
}
