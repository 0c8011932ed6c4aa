//! Calls that follow the schemas of their tools: text is free until a call begins, from there on only a call can be written.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use mistral_tools::ToolSpec;
use mistral_tools::dialect::{ArgumentsGrammar, CallGrammar, Dialect, Parser};

use super::arguments::arguments;
use super::dfa::Dfa;
use super::grammar::{Grammar, Pattern, Rule};
use super::matcher::{Matcher, Place};
use super::report::{Finding, Treatment, Unenforced};
use super::rule::{Constraint, SequenceStart, TokenMask};
use super::schema::Problem;
use super::terminal::Terminal;
use super::text::STATES;
use super::tokens::Mask;
use super::tokens::TokenTable;
use crate::error::Error;

/// The calls that a model may write, for [`Request::constraint`](crate::Request::constraint). Compiled once, shared by requests.
///
/// A mark of the dialect outside of reasoning begins a call. From there to the end of the call, only a tool's name and arguments that
/// follow its schema can come; then text is free again. If one token contains a mark and more text, the mark begins a call only if that
/// text continues the call.
///
/// Arguments are written in the syntax of the dialect, with parameters in the order of the schema and at most one blank where blanks are
/// allowed. [`unenforced`](Self::unenforced) lists the parts of the schemas that are not enforced. The keywords:
///
/// | keyword | enforced while the call is written |
/// |---|---|
/// | `type`, `const`, `enum` | yes, together with all other keywords; lists and objects among the values have one spelling, without blanks |
/// | `properties`, `required`, `additionalProperties`, `patternProperties`, `propertyNames` | yes; if properties are named, other properties come after them, and only if a schema mentions them. No name comes twice, and at most 512 other properties are written, unless `minProperties` asks for more |
/// | `minProperties`, `maxProperties`, `dependentRequired`, `dependentSchemas` | yes; objects of thousands of named properties are not counted |
/// | `items`, `prefixItems`, `minItems`, `maxItems` | yes, and `items` as a list with `additionalItems` |
/// | `contains`, `minContains`, `maxContains` | yes, one such keyword per list, with counts up to some thousand |
/// | `uniqueItems` | if the items are strings, numbers or constants, for the first 512; reported for lists of lists or objects, next to `prefixItems` or `contains`, and where branches of the items overlap |
/// | `unevaluatedProperties`, `unevaluatedItems` | yes, in the schema that they stand in |
/// | `minLength`, `maxLength` | yes, in characters |
/// | `pattern` | yes; reported with look-around, back-references, `\B`, or an automaton of more than 32,768 states. Such strings have no `\u` escapes |
/// | `format` | `date` and `date-time` (existing days only), `time`, `duration`, `email`, `idn-email`, `hostname`, `ipv4`, `ipv6`, `uri`, `uri-reference`, `iri`, `iri-reference`, `uuid`, `uri-template`, `json-pointer`, `relative-json-pointer`, each as a large part of what its standard allows; `int8` to `uint64` by their range. Others are reported |
/// | `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum` | yes, exactly, for integers and for numbers, which then have no exponent. Without a bound integers have up to 18 digits |
/// | `multipleOf` | yes, exactly in decimal, while its digits without the point are a number up to about 10,000; reported beyond |
/// | `allOf`, `anyOf`, `oneOf`, `$ref` next to others | yes, up to 256 alternatives of one schema; branches of `oneOf` exclude each other if each has an opposite |
/// | `not`, `if`, `then`, `else` | yes if the schema has an opposite: all keywords have one except `uniqueItems`, `additionalProperties`, `patternProperties`, `propertyNames`, `dependentSchemas`, `unevaluatedProperties` and `unevaluatedItems` |
/// | `$ref`, `$anchor`, `$defs`, `definitions` | within the schema; also to itself, up to 64 levels |
///
/// A keyword that cannot be enforced is ignored. A schema that takes too much room, or that no value follows, is ignored as a whole: any
/// value or any object is then allowed. Both cases are reported.
///
/// A mask over 256,000 tokens takes 0.02 to 0.1 ms, and up to 0.9 ms where values of any kind are first reached. The first mask inside a
/// kind of string takes 10 to 30 ms (`benches/constraint.rs`, one core of an AMD EPYC). Free text costs nothing.
///
/// ```
/// use std::sync::Arc;
///
/// use mistral_core::tools::{ToolSpec, dialect::Dialect};
/// use mistral_core::constraint::{CallConstraint, TokenMask, TokenTable};
///
/// let schema = serde_json::json!({
///     "type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]
/// });
/// let weather = ToolSpec::new("weather", "The weather of a city.", schema)?;
/// let constraint = CallConstraint::new(Dialect::Hermes, &[weather])?;
///
/// // A vocabulary of single bytes; `TokenTable::new` takes that of a tokenizer.
/// let bytes = (0..=255u8).map(|byte| (u32::from(byte), vec![byte], false));
/// let mut sequence = constraint.start(Arc::new(TokenTable::from_tokens(bytes)), Vec::new());
/// let written = r#"<tool_call>
/// {"name": "weather", "arguments": {"city": ""#;
/// written.bytes().for_each(|byte| sequence.commit(byte.into()));
/// let mut logits = [0.0; 256];
/// sequence.mask(&mut logits);
/// let may_come: Vec<char> = (0..=255u8).filter(|&byte| logits[usize::from(byte)] == 0.0).map(char::from).collect();
/// assert_eq!(may_come, ['O', 'R']);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CallConstraint {
    grammar: Arc<Grammar>,
    /// With whether it counts at the beginning of a message only.
    triggers: Arc<[(&'static str, bool)]>,
    parser: Parser,
    required: bool,
    unenforced: Arc<[Unenforced]>,
}

impl CallConstraint {
    /// Compiles the schemas of these tools for calls in a dialect.
    ///
    /// If a schema or a part of it cannot be enforced, the rest still is. [`unenforced`](Self::unenforced) lists such parts.
    ///
    /// # Errors
    /// [`Error::UnsupportedConstraint`] without tools, and for MiniMax M3, whose arguments are nested elements.
    pub fn new(dialect: Dialect, tools: &[ToolSpec]) -> Result<Self, Error> {
        let form = dialect.grammar();
        if tools.is_empty() || matches!(form.arguments, ArgumentsGrammar::Elements { .. }) {
            return Err(Error::UnsupportedConstraint { dialect });
        }
        // What a schema that requires itself allows is known only once the whole grammar is there.
        let mut endless = vec![false; tools.len()];
        loop {
            let (grammar, arguments, unenforced) = compiled(&form, tools, &endless);
            let before = endless.clone();
            for (endless, arguments) in endless.iter_mut().zip(arguments) {
                *endless |= !grammar.matches_something(arguments);
            }
            if endless == before {
                let opening = [form.begin, form.before_name].concat();
                // A mark that calls are not written with is for reading only.
                let triggers = form.triggers.iter().filter(|trigger| opening.starts_with(**trigger));
                let triggers = triggers.map(|&trigger| (trigger, trigger.len() == 1)).collect();
                let (parser, unenforced) = (dialect.parser(tools), unenforced.into());
                return Ok(Self { grammar: Arc::new(grammar), triggers, parser, required: false, unenforced });
            }
        }
    }

    /// Returns the parts of the schemas that are not enforced while calls are written, in the order of the tools.
    ///
    /// ```
    /// use mistral_core::tools::{ToolSpec, dialect::Dialect};
    /// use mistral_core::constraint::{CallConstraint, Treatment};
    ///
    /// let search = serde_json::json!({"type": "object", "properties": {"query": {"type": "string", "pattern": "^(?!-)"}}});
    /// let tools = [ToolSpec::new("search", "", search)?, ToolSpec::new("odd", "", serde_json::json!({"type": "string"}))?];
    /// let constraint = CallConstraint::new(Dialect::Hermes, &tools)?;
    /// let [pattern, odd] = constraint.unenforced() else { panic!("two parts") };
    /// assert_eq!((&*pattern.at, pattern.treatment), ("/properties/query", Treatment::Ignored));
    /// assert_eq!(odd.to_string(), "tool `odd`: calls are held to any object only: the schema allows no arguments at all");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unenforced(&self) -> &[Unenforced] {
        &self.unenforced
    }
    /// One sequence under this constraint, for loops that sample on their own; an engine does this for its requests. `ends` are the
    /// tokens that end a sequence, which an open call does not let come.
    pub fn start(&self, tokens: Arc<TokenTable>, ends: Vec<u32>) -> CallMask {
        CallMask::new(self.clone(), tokens, ends)
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

/// Compiles the grammar of all calls, the rules of each tool's arguments, and the list of parts that are not enforced. `endless` marks the
/// tools whose schemas nothing can follow.
fn compiled(form: &CallGrammar, tools: &[ToolSpec], endless: &[bool]) -> (Grammar, Vec<Rule>, Vec<Unenforced>) {
    let (mut grammar, mut calls) = (Grammar::default(), Vec::with_capacity(tools.len()));
    let (mut all, mut unenforced) = (Vec::new(), Vec::new());
    for (tool, &endless) in tools.iter().zip(endless) {
        let (rule, found) = arguments_or_any(&mut grammar, form.arguments, tool.parameters(), endless);
        unenforced.extend(found.into_iter().map(|finding| finding.of(tool.name())));
        all.push(rule);
        let name = grammar.literal(tool.name());
        let (after_name, after) = (marks(&mut grammar, form.after_name), marks(&mut grammar, form.after_arguments));
        calls.push(grammar.sequence(&[name, after_name, rule, after]));
    }
    let call = grammar.choice(&calls);
    let (begin, before, end) =
        (grammar.literal(form.begin), marks(&mut grammar, form.before_name), grammar.literal(form.end));
    let mut parts = vec![begin, before, call];
    // Without an end, another call begins with a mark of its own.
    if let Some(separator) = form.separator.filter(|_| !form.end.is_empty()) {
        let separator = grammar.literal(separator);
        let rule = grammar.sequence(&[separator, before, call]);
        parts.push(grammar.add(Pattern::Repeat { rule, min: 0, max: None }));
    }
    parts.push(end);
    let root = grammar.sequence(&parts);
    grammar.finish(root);
    (grammar, all, unenforced)
}

/// Returns the rule of arguments that follow a schema, or the rule of any arguments if no arguments follow the schema.
fn arguments_or_any(
    grammar: &mut Grammar,
    form: ArgumentsGrammar,
    schema: &Value,
    endless: bool,
) -> (Rule, Vec<Finding>) {
    let (at, detail) = match arguments(grammar, form, schema) {
        Ok((Some(rule), found)) if !endless => return (rule, found),
        Ok((Some(_), _)) => (Arc::from(""), "allows no arguments at all, as what it requires requires itself".into()),
        Ok((None, _)) => (Arc::from(""), "allows no arguments at all".into()),
        Err(Problem { at, detail }) => (at, detail),
    };
    let degraded = Finding { at: at.to_string(), keyword: None, treatment: Treatment::Degraded, detail };
    let any = arguments(grammar, form, &json!({"type": "object"})).ok().and_then(|(rule, _)| rule);
    (any.unwrap_or_else(|| grammar.choice(&[])), vec![degraded])
}

/// The same compiled grammar.
impl PartialEq for CallConstraint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.grammar, &other.grammar) && self.required == other.required
    }
}

/// Marks, in which a number is an example.
fn marks(grammar: &mut Grammar, text: &str) -> Rule {
    let Some(at) = text.find(|c: char| c.is_ascii_digit()) else { return grammar.literal(text) };
    let (before, rest) = text.split_at(at);
    let before = grammar.literal(before);
    let Ok(number) = Dfa::regex("[0-9]{1,9}", STATES) else { return grammar.literal(text) };
    let number = grammar.terminal(Terminal::dfa(number));
    let rest = marks(grammar, rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    grammar.sequence(&[before, number, rest])
}

/// Places whose masks are kept.
const KEPT: usize = 64;

/// A [`CallConstraint`] in one sequence.
///
/// A mask costs nothing while text is free. Within a call it is one walk through that part of the vocabulary that fits, and the one of
/// a place that was there before is kept. Within strings, where most of the vocabulary fits, only what ends them is looked at: what
/// stays inside is known once for a model.
#[derive(Debug)]
pub struct CallMask {
    rule: CallConstraint,
    tokens: Arc<TokenTable>,
    /// End the sequence, and so no call that is open.
    ends: Vec<u32>,
    state: State,
    matcher: Matcher,
    /// All text so far was blank.
    blank: bool,
    /// The last bytes of free text, for marks across tokens.
    tail: Vec<u8>,
    /// Bytes of a character that is not complete.
    partial: Vec<u8>,
    masks: HashMap<Place, Arc<Mask>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Free,
    Call(Place),
    /// The call that was required is there.
    Done,
}

impl CallMask {
    pub(crate) fn new(rule: CallConstraint, tokens: Arc<TokenTable>, ends: Vec<u32>) -> Self {
        let (matcher, start) = Matcher::new(Arc::clone(&rule.grammar));
        let state = if rule.required && !rule.parser.in_reasoning() { State::Call(start) } else { State::Free };
        let (tail, partial, masks) = (Vec::new(), Vec::new(), HashMap::new());
        Self { rule, tokens, ends, state, matcher, blank: true, tail, partial, masks }
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
    fn begins(&mut self, byte: u8) -> Option<Place> {
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
        let mark = mark?;
        let start = self.matcher.start();
        mark.bytes().try_fold(start, |place, byte| self.matcher.step(place, byte, false))
    }

    /// The place in an open call.
    #[cfg(test)]
    pub(super) fn place(&mut self) -> Option<(&mut Matcher, Place)> {
        if let State::Call(place) = self.state { Some((&mut self.matcher, place)) } else { None }
    }

    #[cfg(test)]
    pub(super) fn grammar(&self) -> Arc<Grammar> {
        Arc::clone(&self.rule.grammar)
    }

    /// The tokens that may come at a place of a call.
    fn allowed(&mut self, place: Place) -> Arc<Mask> {
        if let Some(known) = self.masks.get(&place) {
            return Arc::clone(known);
        }
        let mut allowed = self.tokens.allowed(&mut self.matcher, place);
        self.ends.iter().for_each(|&token| allowed.remove(token));
        let allowed = Arc::new(allowed);
        if self.masks.len() >= KEPT {
            self.masks.clear();
        }
        self.masks.insert(place, Arc::clone(&allowed));
        allowed
    }
}

impl Constraint for CallConstraint {
    fn begin(&self, sequence: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error> {
        Ok(Box::new(self.start(sequence.token_table()?, sequence.end_tokens().to_vec())))
    }
}

impl TokenMask for CallMask {
    fn mask(&mut self, logits: &mut [f32]) {
        match self.state {
            State::Free => {}
            State::Done => Mask::of(self.tokens.size(), &self.ends).apply(logits),
            State::Call(place) => self.allowed(place).apply(logits),
        }
    }

    fn commit(&mut self, token: u32) {
        let tokens = Arc::clone(&self.tokens);
        let Some((bytes, special)) = tokens.bytes(token) else { return };
        let reasoning = self.rule.parser.in_reasoning();
        for &byte in bytes {
            self.state = match self.state {
                State::Free => match self.begins(byte).filter(|_| !reasoning) {
                    Some(place) => State::Call(place),
                    None => State::Free,
                },
                // None: text that came in one token with the mark, and is no call.
                State::Call(place) => self.matcher.step(place, byte, special).map_or(State::Free, State::Call),
                State::Done => State::Done,
            };
        }
        self.read(bytes);
        match self.state {
            State::Call(place) if self.matcher.accepts(place) => {
                self.tail.clear();
                self.blank = false;
                self.state = if self.rule.required { State::Done } else { State::Free };
            }
            State::Free if self.rule.required && reasoning && !self.rule.parser.in_reasoning() => {
                self.state = State::Call(self.matcher.start());
            }
            _ => {}
        }
        if let State::Call(place) = self.state
            && let Some(place) = self.matcher.forget(place)
        {
            self.masks.clear();
            self.state = State::Call(place);
        }
    }
}
