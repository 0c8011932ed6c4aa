//! One exchange as a state machine: text of the model in, calls and events out. No model, thread, clock or tool in here.

mod results;

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use mistral_tools::dialect::{Delta, Dialect, Parser};
use mistral_tools::{CallArguments, Content, ErrorKind, Message, PausedCall, ToolCall, ToolSpec, stream::Chunk};
use serde_json::Value;

use self::results::{cut, shortened};
use super::suspended::{Slot, Suspended};
use crate::agent::event::{AgentEvent, CallEnd, RequestedCall};
use crate::agent::limits::{AgentLimits, AgentStop};
use crate::constraint::report::Unenforced;
use crate::event::{FinishReason, Usage};

/// The loop from a question over calls and their results to an answer, as a state machine. It says what to do next and takes the results;
/// nothing runs between calls of its methods. [`Agent`](super::Agent) carries out the steps. Programs that own their loop carry out the
/// steps themselves. The methods, in the order of use:
///
/// 1. [`next`](Self::next) says what to do: generate, make calls, ask for approvals, or nothing more.
/// 2. To generate: [`fit`](Self::fit) long results into the context, render the [`messages`](Self::messages), [`begin`](Self::begin), pass
///    each piece of text to [`push`](Self::push), then [`end`](Self::end).
/// 3. To call: make the [`calls`](Self::calls) in any order or at once, and [`answer`](Self::answer) each.
/// 4. When only paused calls are left: [`suspend`](Self::suspend), and later [`resume`](Self::resume), here or in another process.
/// 5. [`poll_event`](Self::poll_event) at any time, until it returns `None`.
///
/// ```
/// use std::time::Instant;
/// use mistral_core::agent::{AgentLimits, AgentStep, CallEnd, Exchange};
/// use mistral_core::{FinishReason, Message, Usage};
/// use mistral_core::tools::dialect::Dialect;
///
/// let question = vec![Message::user("What time is it?")];
/// let mut exchange = Exchange::new(question, Dialect::Hermes, &[], AgentLimits::default(), Instant::now());
/// assert_eq!(exchange.next(Instant::now()), AgentStep::Generate { max_tokens: None });
/// exchange.begin("<|im_start|>assistant\n");
/// exchange.push("<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>");
/// exchange.end(FinishReason::EndOfText(2), Usage::default());
///
/// assert_eq!(exchange.next(Instant::now()), AgentStep::Call);
/// let (index, call) = exchange.calls().next().unwrap();
/// assert_eq!(call.name, "clock");
/// exchange.answer(index, CallEnd::Success, "noon");
/// assert_eq!(exchange.next(Instant::now()), AgentStep::Generate { max_tokens: None });
/// assert_eq!(exchange.messages().last().unwrap().content, "noon");
/// ```
///
/// The loop over a model and a registry, written by hand:
///
/// ```
/// use std::time::Instant;
/// use mistral_core::tools::{Invocation, Parameter, Reply, SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
/// use mistral_core::agent::{AgentLimits, AgentStep, AgentStop, CallEnd, Exchange};
/// use mistral_core::{Message, Model, Request};
///
/// #[derive(serde::Deserialize)]
/// struct Calculation { expression: String }
/// const PARAMETERS: &[Parameter] = &[Parameter::string("expression", "For instance 3 * 4")];
///
/// let calculator = ToolBuilder::named("calculator")
///     .description("Computes the value of an expression.")
///     .request_schema::<Calculation>(SchemaType::Inline(PARAMETERS))
///     .result_schema::<i64>(SchemaType::Serde)
///     .on_invocation(|_, _, call, ()| {
///         let factors: Option<Vec<i64>> = call.expression.split('*').map(|factor| factor.trim().parse().ok()).collect();
///         factors.map(|factors| factors.iter().product()).ok_or(ToolError::failed("only products"))
///     })
///     .build()?;
/// let registry = ToolRegistry::new();
/// let mut batch = ToolBatch::new();
/// batch.add(calculator);
/// registry.publish(batch)?;
///
/// let (model, specs) = (Model::embedded()?, registry.specs());
/// let dialect = model.dialect()?.ok_or("the template knows no tools")?;
/// let question = vec![Message::user("What is 37 * 43?")];
/// let mut exchange = Exchange::new(question, dialect, &specs, AgentLimits::default(), Instant::now());
/// let stop = loop {
///     match exchange.next(Instant::now()) {
///         AgentStep::Generate { max_tokens } => {
///             exchange.begin(&model.render(exchange.messages(), &specs)?);
///             let mut request = Request::chat(exchange.messages().to_vec()).tools(specs.clone()).special_text(true);
///             request.max_tokens = max_tokens;
///             let mut generation = model.generate(request)?;
///             for piece in &mut generation {
///                 exchange.push(&piece?.text);
///             }
///             let reason = generation.reason().ok_or("the generation has ended")?;
///             exchange.end(reason, generation.usage().unwrap_or_default());
///         }
///         AgentStep::Call => {
///             let calls: Vec<_> = exchange.calls().map(|(index, call)| (index, call.clone())).collect();
///             for (index, call) in calls {
///                 let mut reply = Reply::new();
///                 let outcome = registry.call(&call.name, &Invocation::default(), call.arguments.as_bytes(), &mut reply);
///                 exchange.answer(index, CallEnd::from(&outcome), reply.content());
///             }
///         }
///         AgentStep::Finished(stop) => break stop,
///         other => return Err(format!("{other:?}").into()), // approvals: nothing here asks for one
///     }
///     while let Some(event) = exchange.poll_event() {
///         println!("{event:?}");
///     }
/// };
/// assert_eq!(stop, AgentStop::Answered);
/// assert!(exchange.messages().last().unwrap().content.text().contains("1591"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exchange {
    messages: Vec<Message>,
    /// How many of the messages were there at the beginning.
    given: usize,
    limits: AgentLimits,
    deadline: Option<Instant>,
    dialect: Dialect,
    parser: Parser,
    /// The names of the tools that the model knows.
    names: BTreeSet<String>,
    state: State,
    said: Said,
    turns: u32,
    usage: Usage,
    invalid: u32,
    events: VecDeque<AgentEvent>,
}

/// The next step of an [`Exchange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentStep {
    /// Ask the model to go on after the messages.
    Generate {
        /// The most tokens to generate.
        max_tokens: Option<usize>,
    },
    /// A generation is under way: push its text, then end it.
    Push,
    /// Make the calls and answer each.
    Call,
    /// All calls are answered except those that wait for an approval.
    Approve,
    /// Nothing.
    Finished(AgentStop),
}

#[derive(Debug)]
enum State {
    Ready,
    Generating,
    /// The calls of the last assistant message, in its order.
    Calling(Vec<Slot>),
    Finished(AgentStop),
}

/// What the model said in the turn that is under way.
#[derive(Debug, Default)]
struct Said {
    text: String,
    reasoning: String,
    calls: Vec<Written>,
}

#[derive(Debug)]
struct Written {
    id: Option<String>,
    name: String,
    arguments: String,
    complete: bool,
}

/// A failure that the model reads instead of a result.
struct Refusal {
    kind: ErrorKind,
    text: String,
}

impl Exchange {
    /// Makes an exchange that begins with these messages. Render the messages with the same tools, and with a template of this dialect.
    pub fn new(
        messages: Vec<Message>,
        dialect: Dialect,
        tools: &[ToolSpec],
        limits: AgentLimits,
        now: Instant,
    ) -> Self {
        Self {
            given: messages.len(),
            messages,
            limits,
            deadline: limits.max_time.and_then(|time| now.checked_add(time)),
            dialect,
            parser: dialect.parser(tools),
            names: tools.iter().map(|tool| tool.name().to_owned()).collect(),
            state: State::Ready,
            said: Said::default(),
            turns: 0,
            usage: Usage::default(),
            invalid: 0,
            events: VecDeque::new(),
        }
    }

    /// Continues an exchange that was [suspended](Self::suspend). Earlier turns, tokens, cost and invalid calls count towards the bounds;
    /// the time starts again.
    pub fn resume(
        suspended: Suspended,
        dialect: Dialect,
        tools: &[ToolSpec],
        limits: AgentLimits,
        now: Instant,
    ) -> Self {
        let Suspended { messages, given, calls, turns, prompt_tokens, generated_tokens, invalid, .. } = suspended;
        let mut exchange = Self::new(messages, dialect, tools, limits, now);
        exchange.given = given.min(exchange.messages.len());
        exchange.state = State::Calling(calls);
        (exchange.turns, exchange.invalid) = (turns, invalid);
        exchange.usage = Usage { prompt_tokens, generated_tokens };
        exchange
    }

    /// Returns the next step. The limits are checked before the model is asked again.
    pub fn next(&mut self, now: Instant) -> AgentStep {
        if let State::Calling(slots) = &self.state
            && slots.iter().all(|slot| slot.result.is_some())
        {
            self.close_turn();
        }
        match &self.state {
            State::Ready => match self.permission(now) {
                Ok(max_tokens) => {
                    self.state = State::Generating;
                    self.said = Said::default();
                    self.turns += 1;
                    self.parser.reset();
                    AgentStep::Generate { max_tokens }
                }
                Err(stop) => self.finish(stop),
            },
            State::Generating => AgentStep::Push,
            State::Calling(slots) if slots.iter().any(Slot::is_open) => AgentStep::Call,
            State::Calling(_) => AgentStep::Approve,
            State::Finished(stop) => AgentStep::Finished(*stop),
        }
    }

    /// Begins a generation after this rendered prompt, which may have opened the model's reasoning.
    pub fn begin(&mut self, prompt: &str) {
        if matches!(self.state, State::Generating) {
            self.parser.reset_after(prompt);
        }
    }

    /// Returns whether the model is thinking; text that looks like a call is then not a call.
    pub fn in_reasoning(&self) -> bool {
        self.parser.in_reasoning()
    }

    /// Reads more text of the model, including special tokens except the one that ends a turn.
    pub fn push(&mut self, text: &str) {
        let Self { parser, said, events, state, .. } = self;
        if matches!(state, State::Generating) {
            parser.parse_into(text, &mut |delta| said.hear(delta, events));
        }
    }

    /// Ends the generation.
    pub fn end(&mut self, reason: FinishReason, usage: Usage) {
        if !matches!(self.state, State::Generating) {
            return;
        }
        let whole = match reason {
            FinishReason::EndOfText(_) | FinishReason::StopToken(_) | FinishReason::StopString(_) => None,
            FinishReason::Length => Some(AgentStop::Length),
            FinishReason::Deadline => Some(AgentStop::Time),
            FinishReason::Cancelled => Some(AgentStop::Cancelled),
        };
        self.finish_text(whole.is_some());
        self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(usage.prompt_tokens);
        self.usage.generated_tokens = self.usage.generated_tokens.saturating_add(usage.generated_tokens);
        let cost = self.limits.price.of(self.usage);
        self.events.push_back(AgentEvent::Usage { turn: usage, total: self.usage, cost });

        let (message, calls) = std::mem::take(&mut self.said).into_message();
        match whole {
            Some(stop) => {
                self.keep(message);
                let stop = if stop == AgentStop::Length { self.limits.cut(self.usage) } else { stop };
                self.finish(stop);
            }
            None if calls.is_empty() => {
                self.messages.push(message);
                self.finish(AgentStop::Answered);
            }
            None => self.request(message, calls),
        }
    }

    /// Finishes the text of a turn. If the turn was cut short, text that could be the beginning of markup is left out.
    fn finish_text(&mut self, cut: bool) {
        let Self { parser, said, events, .. } = self;
        parser.finish(&mut |delta| match delta {
            Delta::Fragment(_) if cut => {}
            Delta::Fragment(text) => said.hear(Delta::Text(text), events),
            delta => said.hear(delta, events),
        });
    }

    /// Keeps the text of a turn that was cut short. Its calls are dropped, because a call without a result must not be in the history.
    fn keep(&mut self, message: Message) {
        if !message.content.is_empty() || message.reasoning_content.is_some() {
            self.messages.push(message);
        }
    }

    /// Returns the calls to be made, each with its index among the calls of the turn.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &RequestedCall)> {
        self.slots().iter().enumerate().filter(|(_, slot)| slot.is_open()).map(|(index, slot)| (index, &slot.call))
    }

    /// Takes the result of a call, or the text of its error. The event holds the whole content. The model reads at most
    /// [`AgentLimits::result_bytes`] of its text, or less if [`fit`](Self::fit) shortens it. Returns false if no call has this index or the
    /// call is already answered.
    pub fn answer(&mut self, index: usize, end: CallEnd, content: impl Into<Content>) -> bool {
        let State::Calling(slots) = &mut self.state else { return false };
        let Some(slot) = slots.get_mut(index).filter(|slot| slot.result.is_none()) else { return false };
        let content = content.into();
        let read = cut(&content, self.limits.result_bytes);
        let shortened = (read != content).then(|| shortened(slot.call.id.clone(), &read));
        match &end {
            CallEnd::Paused(paused) => slot.paused = Some(paused.clone()),
            _ => slot.result = Some(read),
        }
        let call = slot.call.clone();
        // What a tool did not find is its answer; that there is no such tool is a call that cannot be made.
        let is_invalid = match end {
            CallEnd::Error(ErrorKind::InvalidArguments) => true,
            CallEnd::Error(ErrorKind::NotFound) => !self.names.contains(&call.name),
            _ => false,
        };
        self.invalid = self.invalid.saturating_add(is_invalid.into());
        self.events.push_back(AgentEvent::Answer { call, end, content });
        self.events.extend(shortened);
        true
    }

    /// Takes the foreign error of a call that [`answer`](Self::answer) ends next.
    pub(super) fn failed(&mut self, index: usize, error: String) {
        if let Some(slot) = self.slots().get(index) {
            let id = slot.call.id.clone();
            self.events.push_back(AgentEvent::ToolFailed { id, error });
        }
    }

    /// Takes the structured content of a call that [`answer`](Self::answer) ends next.
    pub(super) fn structured(&mut self, index: usize, value: Value) {
        if let Some(slot) = self.slots().get(index) {
            let id = slot.call.id.clone();
            self.events.push_back(AgentEvent::Structured { id, value });
        }
    }

    /// Takes a chunk that a tool emitted; `chunk.call` is the index of its call.
    pub fn chunk(&mut self, chunk: Chunk) {
        if let Some(slot) = self.slots().get(chunk.call) {
            let id = slot.call.id.clone();
            self.events.push_back(AgentEvent::Chunk { id, text: chunk.text });
        }
    }

    /// Returns the calls that wait for an approval, each with its index among the calls of the turn.
    pub fn paused(&self) -> impl Iterator<Item = (usize, &PausedCall)> {
        let waits = |slot: &Slot| slot.result.is_none();
        self.slots()
            .iter()
            .enumerate()
            .filter(move |(_, slot)| waits(slot))
            .filter_map(|(i, s)| Some((i, s.paused.as_ref()?)))
    }

    /// Denies a paused call without calling the tool; to approve one, resume it with its registry and give the
    /// [`answer`](Self::answer). False if it is not paused.
    pub fn deny(&mut self, index: usize, reason: &str) -> bool {
        self.paused().any(|(paused, _)| paused == index)
            && self.answer(index, CallEnd::Denied, format!("Denied: {reason}"))
    }

    /// Returns the state with which to continue later, if calls wait for approvals and nothing else is left to do. This exchange then ends.
    pub fn suspend(&mut self) -> Option<Suspended> {
        if !matches!(&self.state, State::Calling(slots) if slots.iter().any(Slot::is_paused) && !slots.iter().any(Slot::is_open))
        {
            return None;
        }
        let State::Calling(calls) = std::mem::replace(&mut self.state, State::Ready) else { return None };
        let suspended = Suspended::new(self.messages.clone(), self.given, calls, self.turns, self.usage, self.invalid);
        // Not `finish`: the calls of the last message have no results here.
        self.state = State::Finished(AgentStop::Paused);
        self.events.push_back(AgentEvent::Finished(AgentStop::Paused));
        Some(suspended)
    }

    /// Ends the exchange for this reason. Unanswered calls are answered with an error, so that every call in the history has a result. The
    /// model's text in the current turn is kept.
    pub fn cancel(&mut self, stop: AgentStop) {
        match &self.state {
            State::Finished(_) => return,
            State::Ready => {}
            State::Generating => {
                self.finish_text(true);
                let (message, _) = std::mem::take(&mut self.said).into_message();
                self.keep(message);
            }
            State::Calling(slots) => {
                let kind = if stop == AgentStop::Time { ErrorKind::Timeout } else { ErrorKind::Cancelled };
                let open = |slot: &(usize, &Slot)| slot.1.result.is_none();
                let open: Vec<usize> = slots.iter().enumerate().filter(open).map(|(index, _)| index).collect();
                for index in open {
                    self.answer(index, CallEnd::Error(kind), format!("Error ({kind}): the call was given up"));
                }
                self.close_turn();
            }
        }
        self.finish(stop);
    }

    /// Reports the parts of schemas that are not enforced while calls are written.
    pub(super) fn report(&mut self, unenforced: &[Unenforced]) {
        self.events.extend(unenforced.iter().cloned().map(AgentEvent::Unenforced));
    }

    /// Returns the next event, oldest first; `None` when all events have been returned.
    pub fn poll_event(&mut self) -> Option<AgentEvent> {
        self.events.pop_front()
    }

    /// Returns the conversation so far. Unless the exchange is [paused](AgentStop::Paused), every call in it has its result.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Returns the messages that this exchange has added to the conversation.
    pub fn added(&self) -> &[Message] {
        self.messages.get(self.given..).unwrap_or_default()
    }

    /// Returns the added messages, without a last message whose calls have no results yet.
    pub(super) fn settled(&self) -> &[Message] {
        let added = self.added();
        match (&self.state, added) {
            (State::Calling(_) | State::Finished(AgentStop::Paused), [before @ .., _]) => before,
            _ => added,
        }
    }

    /// Returns the tokens of all turns so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns the number of the current or last turn, counted from 0.
    pub fn turn(&self) -> u32 {
        self.turns.saturating_sub(1)
    }

    /// Returns the moment at which the time limit passes.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns why the exchange ended, if it has ended.
    pub fn stop(&self) -> Option<AgentStop> {
        match self.state {
            State::Finished(stop) => Some(stop),
            _ => None,
        }
    }

    fn slots(&self) -> &[Slot] {
        match &self.state {
            State::Calling(slots) => slots,
            _ => &[],
        }
    }

    fn finish(&mut self, stop: AgentStop) -> AgentStep {
        self.state = State::Finished(stop);
        self.events.push_back(AgentEvent::Finished(stop));
        AgentStep::Finished(stop)
    }

    /// How many tokens the next turn may have, or why there is none.
    fn permission(&self, now: Instant) -> Result<Option<usize>, AgentStop> {
        if self.invalid > self.limits.invalid_calls {
            return Err(AgentStop::InvalidCalls);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(AgentStop::Time);
        }
        if self.turns >= self.limits.max_turns {
            return Err(AgentStop::Turns);
        }
        self.limits.tokens_left(self.usage)
    }

    /// Puts the calls of a turn into the history, and those that can be made up for making.
    fn request(&mut self, mut message: Message, written: Vec<Written>) {
        let mut ids: BTreeSet<String> =
            self.messages.iter().flat_map(|message| &message.tool_calls).filter_map(|call| call.id.clone()).collect();
        let made: usize = self.messages.iter().map(|message| message.tool_calls.len()).sum();
        let (mut slots, mut refusals) = (Vec::with_capacity(written.len()), Vec::new());
        for (index, Written { id, name, arguments, complete }) in written.into_iter().enumerate() {
            // Models repeat ids, or write some that their template refuses.
            let id = id.filter(|id| self.dialect.takes_id(id) && !ids.contains(id));
            let mut others = (made + index..).map(|number| self.dialect.call_id(&name, number));
            let id = id.or_else(|| others.find(|id| !ids.contains(id))).unwrap_or_default();
            ids.insert(id.clone());
            let object = arguments.parse().ok().filter(CallArguments::is_object);
            let refusal = match (complete, &object) {
                (false, _) => Some((
                    ErrorKind::InvalidArguments,
                    format!("the call breaks off, or its arguments are not JSON or come twice: {arguments}"),
                )),
                _ if index >= self.limits.calls_per_turn => {
                    let most = self.limits.calls_per_turn;
                    Some((ErrorKind::RateLimited, format!("at most {most} calls in one turn; make it again")))
                }
                (true, None) => {
                    Some((ErrorKind::InvalidArguments, format!("the arguments are no JSON object: {arguments}")))
                }
                (true, Some(_)) => None,
            };
            // Templates take arguments apart, so what is no object is shown in the error and left out of the call.
            message.tool_calls.push(ToolCall::new(name.clone(), object.unwrap_or_default()).with_id(id.clone()));
            let call = RequestedCall { id, name, arguments };
            match refusal {
                Some((kind, text)) => refusals.push((index, Refusal { kind, text })),
                None => self.events.push_back(AgentEvent::Call(call.clone())),
            }
            slots.push(Slot { call, result: None, paused: None });
        }
        self.messages.push(message);
        self.state = State::Calling(slots);
        for (index, Refusal { kind, text }) in refusals {
            self.answer(index, CallEnd::Error(kind), format!("Error ({kind}): {text}"));
        }
    }

    /// Puts the results into the history, in the order of the calls.
    fn close_turn(&mut self) {
        if let State::Calling(slots) = std::mem::replace(&mut self.state, State::Ready) {
            for Slot { call, result, .. } in slots {
                let mut message = Message::tool(call.id, result.unwrap_or_default());
                message.name = Some(call.name);
                self.messages.push(message);
            }
        }
    }
}

impl Said {
    fn into_message(self) -> (Message, Vec<Written>) {
        let Self { text, reasoning, calls } = self;
        let mut message = Message::assistant(text);
        message.reasoning_content = (!reasoning.is_empty()).then_some(reasoning);
        (message, calls)
    }

    fn hear(&mut self, delta: Delta<'_>, events: &mut VecDeque<AgentEvent>) {
        match delta {
            Delta::Text(text) => {
                self.text.push_str(text);
                events.push_back(AgentEvent::Text(text.to_owned()));
            }
            Delta::Reasoning(text) => {
                self.reasoning.push_str(text);
                events.push_back(AgentEvent::Reasoning(text.to_owned()));
            }
            Delta::Call { index, name } => {
                let name = name.to_owned();
                events.push_back(AgentEvent::CallBegun { index, name: name.clone() });
                self.calls.push(Written { id: None, name, arguments: String::new(), complete: false });
            }
            Delta::Id { id, .. } => {
                if let Some(call) = self.calls.last_mut() {
                    call.id = Some(id.to_owned());
                }
            }
            Delta::Arguments { index, text } => {
                if let Some(call) = self.calls.last_mut() {
                    call.arguments.push_str(text);
                    events.push_back(AgentEvent::Arguments { index, text: text.to_owned() });
                }
            }
            Delta::End { complete, .. } => {
                if let Some(call) = self.calls.last_mut() {
                    call.complete = complete;
                }
            }
            // Fragments are decided on by whoever ends the turn.
            _ => {}
        }
    }
}
