//! Calls that follow the schemas of their tools: text is free until a call begins, from there on only a call can be written.

use std::collections::HashMap;
use std::sync::Arc;

use mistral_tools::ToolSpec;
use mistral_tools::dialect::{ArgumentsGrammar, Dialect, Parser};

use super::grammar::Grammar;
use super::matcher::Matcher;
use super::schema::Compiler;
use super::{Constraint, TokenTable};
use crate::Error;

/// The calls that a model may write, for [`Request::constraint`](crate::Request::constraint). Compiled once, shared by requests.
///
/// Once a mark of the dialect has begun a call outside of reasoning, only the name of a tool and arguments that follow its schema can
/// come, up to the end of the call; then text is free again. What of a schema is enforced: types, properties and which are required,
/// items, enums, constants, alternatives. Patterns, lengths and ranges are not: the tool still checks.
///
/// A mark that one token writes together with other text begins a call only if that text goes on with it.
#[derive(Debug, Clone)]
pub struct CallConstraint {
    grammar: Arc<Grammar>,
    /// With whether it counts at the beginning of a message only.
    triggers: Arc<[(&'static str, bool)]>,
    parser: Parser,
    required: bool,
}

impl CallConstraint {
    /// Calls of these tools in a dialect.
    ///
    /// # Errors
    /// [`Error::UnsupportedConstraint`] for dialects whose arguments are not JSON, and without tools.
    pub fn new(dialect: Dialect, tools: &[ToolSpec]) -> Result<Self, Error> {
        let form = dialect.grammar();
        if form.arguments != ArgumentsGrammar::Json || tools.is_empty() {
            return Err(Error::UnsupportedConstraint { dialect });
        }
        let mut grammar = Grammar::default();
        let calls: Vec<_> = tools
            .iter()
            .map(|tool| {
                let arguments = Compiler::new(&mut grammar, tool.parameters().clone()).arguments();
                let (name, after_name) = (grammar.literal(tool.name()), grammar.literal(form.after_name));
                let after = grammar.literal(form.after_arguments);
                grammar.sequence(&[name, after_name, arguments, after])
            })
            .collect();
        let call = grammar.choice(&calls);
        let (begin, before, end) =
            (grammar.literal(form.begin), grammar.literal(form.before_name), grammar.literal(form.end));
        let mut all = vec![begin, before, call];
        // Without an end, another call begins with a mark of its own.
        if let Some(separator) = form.separator.filter(|_| !form.end.is_empty()) {
            let separator = grammar.literal(separator);
            let more = grammar.sequence(&[separator, before, call]);
            all.push(grammar.repeat(more));
        }
        all.push(end);
        grammar.root = grammar.sequence(&all);
        let opening = [form.begin, form.before_name].concat();
        // A mark that calls are not written with is for reading only.
        let triggers = form.triggers.iter().filter(|trigger| opening.starts_with(**trigger));
        let triggers = triggers.map(|&trigger| (trigger, trigger.len() == 1)).collect();
        Ok(Self { grammar: Arc::new(grammar), triggers, parser: dialect.parser(tools), required: false })
    }

    /// Whether there must be a call: at once, or after the reasoning that the prompt has opened.
    pub fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// The same for a generation after this rendered prompt, which may have opened the model's reasoning.
    pub fn after(mut self, prompt: &str) -> Self {
        self.parser.reset_after(prompt);
        self
    }
}

/// The same compiled grammar.
impl PartialEq for CallConstraint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.grammar, &other.grammar) && self.required == other.required
    }
}

/// Places whose masks are kept.
const KEPT: usize = 64;

/// A [`CallConstraint`] in one sequence. A mask is one pass over the vocabulary the first time that a place of the grammar is
/// reached, and kept: within a string, for instance, the place stays the same.
#[derive(Debug)]
pub(crate) struct CallMask {
    rule: CallConstraint,
    tokens: Arc<TokenTable>,
    /// End the sequence, and so no call that is open.
    ends: Vec<u32>,
    state: State,
    /// All text so far was blank.
    blank: bool,
    /// The last bytes of free text, for marks across tokens.
    tail: Vec<u8>,
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    masks: HashMap<Vec<usize>, Arc<[u32]>>,
}

#[derive(Debug)]
enum State {
    Free,
    Call(Matcher),
    /// The call that was required is there.
    Done,
}

impl CallMask {
    pub(crate) fn new(rule: CallConstraint, tokens: Arc<TokenTable>, ends: Vec<u32>) -> Self {
        let state = match rule.required && !rule.parser.in_reasoning() {
            true => State::Call(Matcher::new(Arc::clone(&rule.grammar))),
            false => State::Free,
        };
        let (tail, partial, masks) = (Vec::new(), Vec::new(), HashMap::new());
        Self { rule, tokens, ends, state, blank: true, tail, partial, masks }
    }

    /// The reading of reasoning, which no call is in.
    fn read(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.partial.len(),
        };
        let rest = self.partial.split_off(valid);
        let text = String::from_utf8_lossy(&self.partial);
        self.rule.parser.parse_into(&text, &mut |_| {});
        self.partial = rest;
    }

    /// The place that a mark begins if it ends with this byte of free text.
    fn begins(&mut self, byte: u8) -> Option<Matcher> {
        let first = self.blank && self.tail.is_empty();
        self.blank &= byte.is_ascii_whitespace();
        if byte.is_ascii_whitespace() && first {
            return None;
        }
        self.tail.push(byte);
        let found = self.rule.triggers.iter().find(|(text, leading)| {
            self.tail.ends_with(text.as_bytes()) && (!leading || self.tail.len() == text.len() && first)
        });
        let mark = found.map(|(text, _)| *text);
        let longest = self.rule.triggers.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        if mark.is_none() && self.tail.len() > longest {
            self.tail.remove(0);
        }
        let begun = Matcher::new(Arc::clone(&self.rule.grammar));
        mark?.bytes().try_fold(begun, |place, byte| place.step(byte, true))
    }
}

impl Constraint for CallMask {
    fn mask(&mut self, logits: &mut [f32]) {
        let allowed: Arc<[u32]> = match &self.state {
            State::Free => return,
            State::Done => self.ends.as_slice().into(),
            State::Call(place) => {
                let key = place.key();
                match self.masks.get(&key) {
                    Some(allowed) => Arc::clone(allowed),
                    None => {
                        let mut allowed = self.tokens.allowed(place);
                        allowed.retain(|token| !self.ends.contains(token));
                        let allowed: Arc<[u32]> = allowed.into();
                        if self.masks.len() >= KEPT {
                            self.masks.clear();
                        }
                        self.masks.insert(key, Arc::clone(&allowed));
                        allowed
                    }
                }
            }
        };
        let mut kept: Vec<(u32, f32)> = Vec::with_capacity(allowed.len());
        kept.extend(allowed.iter().filter_map(|&token| Some((token, *logits.get(token as usize)?))));
        logits.fill(f32::NEG_INFINITY);
        for (token, logit) in kept {
            if let Some(place) = logits.get_mut(token as usize) {
                *place = logit;
            }
        }
    }

    fn commit(&mut self, token: u32) {
        let tokens = Arc::clone(&self.tokens);
        let Some((bytes, special)) = tokens.bytes(token) else { return };
        let reasoning = self.rule.parser.in_reasoning();
        for &byte in bytes {
            self.state = match std::mem::replace(&mut self.state, State::Free) {
                State::Free => match self.begins(byte).filter(|_| !reasoning) {
                    Some(place) => State::Call(place),
                    None => State::Free,
                },
                State::Call(place) => match place.step(byte, special) {
                    Some(next) => State::Call(next),
                    // Text that came in one token with the mark, and is no call.
                    None => State::Free,
                },
                State::Done => State::Done,
            };
        }
        self.read(bytes);
        match &self.state {
            State::Call(place) if place.accepts() => {
                self.tail.clear();
                self.blank = false;
                self.state = if self.rule.required { State::Done } else { State::Free };
            }
            State::Free if self.rule.required && reasoning && !self.rule.parser.in_reasoning() => {
                self.state = State::Call(Matcher::new(Arc::clone(&self.rule.grammar)));
            }
            _ => {}
        }
    }
}
