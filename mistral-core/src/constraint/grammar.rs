//! A context-free grammar over terminals, as a list of rules that refer to each other.

use std::sync::Arc;

use super::terminal::Terminal;

/// The number of a rule.
pub(super) type Rule = u32;

/// Rules that a grammar may have.
pub(super) const RULES: usize = 1 << 18;

/// The height of what matches nothing.
const INFINITE: u32 = u32::MAX;

/// What a rule matches.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// A piece of text.
    Terminal(Arc<Terminal>),
    /// One after the other.
    Sequence(Vec<Rule>),
    /// One of them.
    Choice(Vec<Rule>),
    /// So many of them; the rule must not match the empty text.
    Repeat { rule: Rule, min: u32, max: Option<u32> },
    /// The same, one level deeper.
    Nested(Rule),
    /// A rule within which texts that must differ from each other are remembered.
    Scope(Rule),
}

/// Rules, of which one is the whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Grammar {
    rules: Vec<Pattern>,
    /// How deep the rules of the smallest match of each rule stand in each other.
    heights: Vec<u32>,
    pub(super) root: Rule,
}

impl Grammar {
    pub(super) fn add(&mut self, pattern: Pattern) -> Rule {
        self.rules.push(pattern);
        (self.rules.len() - 1) as Rule
    }

    pub(super) fn terminal(&mut self, terminal: Terminal) -> Rule {
        self.add(Pattern::Terminal(Arc::new(terminal)))
    }

    /// This text.
    pub(super) fn literal(&mut self, text: &str) -> Rule {
        if text.is_empty() { self.sequence(&[]) } else { self.terminal(Terminal::words([text])) }
    }

    pub(super) fn sequence(&mut self, rules: &[Rule]) -> Rule {
        self.add(Pattern::Sequence(rules.to_vec()))
    }

    pub(super) fn choice(&mut self, rules: &[Rule]) -> Rule {
        self.add(Pattern::Choice(rules.to_vec()))
    }

    /// Replaces a rule that was added before what it refers to.
    pub(super) fn set(&mut self, rule: Rule, pattern: Pattern) {
        if let Some(place) = self.rules.get_mut(rule as usize) {
            *place = pattern;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn get(&self, rule: Rule) -> Option<&Pattern> {
        self.rules.get(rule as usize)
    }

    /// Whether a rule matches any text at all.
    pub(super) fn matches_something(&self, rule: Rule) -> bool {
        self.height(rule) != INFINITE
    }

    pub(super) fn height(&self, rule: Rule) -> u32 {
        self.heights.get(rule as usize).copied().unwrap_or(INFINITE)
    }

    /// Works out which rules match something; to be called when all are there.
    pub(super) fn finish(&mut self, root: Rule) {
        self.root = root;
        self.heights = vec![INFINITE; self.rules.len()];
        loop {
            let mut changed = false;
            for rule in 0..self.rules.len() {
                let height = self.height_now(rule);
                if let Some(known) = self.heights.get_mut(rule).filter(|known| height < **known) {
                    *known = height;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn height_now(&self, rule: usize) -> u32 {
        let inner = match self.rules.get(rule) {
            Some(Pattern::Terminal(_)) => 0,
            Some(Pattern::Sequence(rules)) => rules.iter().map(|&rule| self.height(rule)).max().unwrap_or(0),
            Some(Pattern::Choice(rules)) => rules.iter().map(|&rule| self.height(rule)).min().unwrap_or(INFINITE),
            Some(Pattern::Repeat { min: 0, .. }) => 0,
            Some(Pattern::Repeat { rule, .. } | Pattern::Nested(rule) | Pattern::Scope(rule)) => self.height(*rule),
            None => INFINITE,
        };
        inner.saturating_add(1)
    }
}
