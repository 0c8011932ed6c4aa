//! Matching bytes against a grammar: all stacks that are possible, advanced together.

use std::sync::Arc;

use super::grammar::{Grammar, Pattern, Rule};

/// What is still to be matched; stacks share their tails.
type Stack = Option<Arc<Frame>>;

#[derive(Debug)]
struct Frame {
    rule: Rule,
    /// Bytes of a literal that are matched.
    at: usize,
    next: Stack,
}

/// A place within a grammar. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    grammar: Arc<Grammar>,
    /// On top of each is a literal or a byte.
    stacks: Vec<Stack>,
}

impl Matcher {
    /// The beginning.
    pub(super) fn new(grammar: Arc<Grammar>) -> Self {
        let mut stacks = Vec::new();
        expand(&grammar, Some(Arc::new(Frame { rule: grammar.root, at: 0, next: None })), &mut stacks);
        Self { grammar, stacks }
    }

    /// The place after one more byte, or `None` if it does not belong there. `exact`: as part of a literal only.
    pub(super) fn step(&self, byte: u8, exact: bool) -> Option<Self> {
        let mut stacks = Vec::new();
        for frame in self.stacks.iter().flatten() {
            match self.grammar.rules.get(frame.rule) {
                Some(Pattern::Literal(text)) if text.get(frame.at) == Some(&byte) => {
                    let (rule, at, next) = (frame.rule, frame.at + 1, frame.next.clone());
                    let rest = if at < text.len() { Some(Arc::new(Frame { rule, at, next })) } else { next };
                    expand(&self.grammar, rest, &mut stacks);
                }
                Some(Pattern::Byte(ranges))
                    if !exact && ranges.iter().any(|&(low, high)| (low..=high).contains(&byte)) =>
                {
                    expand(&self.grammar, frame.next.clone(), &mut stacks);
                }
                _ => {}
            }
        }
        (!stacks.is_empty()).then(|| Self { grammar: Arc::clone(&self.grammar), stacks })
    }

    /// Whether the text may end here.
    pub(super) fn accepts(&self) -> bool {
        self.stacks.iter().any(Option::is_none)
    }

    /// Equal for places at which the same may follow.
    pub(super) fn key(&self) -> Vec<usize> {
        let mut key = Vec::new();
        for stack in &self.stacks {
            let mut at = stack.as_ref();
            while let Some(frame) = at {
                key.extend([frame.rule + 1, frame.at]);
                at = frame.next.as_ref();
            }
            key.push(0);
        }
        key
    }
}

/// Takes rules apart until each stack has a literal or a byte on top, or nothing.
fn expand(grammar: &Grammar, stack: Stack, out: &mut Vec<Stack>) {
    let mut open = vec![stack];
    while let Some(stack) = open.pop() {
        let Some(frame) = &stack else {
            if !out.iter().any(Option::is_none) {
                out.push(None);
            }
            continue;
        };
        let above = |rule: Rule, next: Stack| Some(Arc::new(Frame { rule, at: 0, next }));
        match grammar.rules.get(frame.rule) {
            Some(Pattern::Literal(text)) if text.is_empty() => open.push(frame.next.clone()),
            Some(Pattern::Literal(_) | Pattern::Byte(_)) => out.push(stack),
            Some(Pattern::Sequence(rules)) => {
                open.push(rules.iter().rev().fold(frame.next.clone(), |next, &rule| above(rule, next)));
            }
            Some(Pattern::Choice(rules)) => open.extend(rules.iter().map(|&rule| above(rule, frame.next.clone()))),
            Some(Pattern::Repeat(rule)) => open.extend([frame.next.clone(), above(*rule, stack.clone())]),
            None => {}
        }
    }
}
