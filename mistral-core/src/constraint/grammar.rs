//! A context-free grammar over bytes, as a list of rules that refer to each other.

/// The number of a rule.
pub(super) type Rule = usize;

/// What a rule matches.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// These bytes.
    Literal(Vec<u8>),
    /// One byte of these ranges.
    Byte(Vec<(u8, u8)>),
    /// One after the other.
    Sequence(Vec<Rule>),
    /// One of them.
    Choice(Vec<Rule>),
    /// Any number of them; the rule must not match nothing.
    Repeat(Rule),
}

/// Rules, of which one is the whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Grammar {
    pub(super) rules: Vec<Pattern>,
    pub(super) root: Rule,
}

impl Grammar {
    pub(super) fn add(&mut self, pattern: Pattern) -> Rule {
        self.rules.push(pattern);
        self.rules.len() - 1
    }

    pub(super) fn literal(&mut self, text: &str) -> Rule {
        self.add(Pattern::Literal(text.as_bytes().to_vec()))
    }

    pub(super) fn bytes(&mut self, ranges: &[(u8, u8)]) -> Rule {
        self.add(Pattern::Byte(ranges.to_vec()))
    }

    pub(super) fn sequence(&mut self, rules: &[Rule]) -> Rule {
        self.add(Pattern::Sequence(rules.to_vec()))
    }

    pub(super) fn choice(&mut self, rules: &[Rule]) -> Rule {
        self.add(Pattern::Choice(rules.to_vec()))
    }

    pub(super) fn optional(&mut self, rule: Rule) -> Rule {
        let nothing = self.sequence(&[]);
        self.choice(&[nothing, rule])
    }

    pub(super) fn repeat(&mut self, rule: Rule) -> Rule {
        self.add(Pattern::Repeat(rule))
    }

    /// Replaces a rule that was added before what it refers to.
    pub(super) fn set(&mut self, rule: Rule, pattern: Pattern) {
        if let Some(place) = self.rules.get_mut(rule) {
            *place = pattern;
        }
    }
}
