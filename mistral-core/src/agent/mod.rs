//! Models that use tools: the loop from a question over calls and their results to an answer.
//!
//! [`Exchange`] is the loop as a state machine, [`Agent`] runs it over a [`Model`] and a [`ToolRegistry`], and [`ChatRun`] keeps a session.

mod calling;
mod chat;
mod event;
mod exchange;
mod limits;
mod messages;
mod run;
pub(crate) mod suspended;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mistral_tools::dialect::Dialect;
use mistral_tools::{Approval, Content, Extensions, Message, PausedCall, Role, ToolRegistry, ToolSpec};
use serde_json::Map;

pub use chat::ChatRun;
pub use event::{AgentEvent, CallEnd, RequestedCall};
pub use exchange::{AgentStep, Exchange};
pub use limits::{AgentLimits, AgentStop, TokenPrice};
pub use messages::IntoMessages;
pub use run::{AgentAnswer, AgentEvents, AgentRun};
pub use suspended::Suspended;

use crate::constraint::call::CallConstraint;
use crate::constraint::report::Unenforced;
use crate::error::Error;
use crate::model::Model;
use crate::prompt::Prompt;
use crate::request::Request;
use crate::text::check_content;

/// A model that may call the tools of a registry. The agent renders the tools with the model's own chat template, and reads calls in the
/// dialect of that template. It makes the calls of one turn in parallel. It returns results and errors to the model until the model answers
/// or a limit is reached.
///
/// ```
/// use mistral_core::{Agent, Model, tools::ToolRegistry};
///
/// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
/// let answer = agent.run("Hello, who are you?")?.complete()?;
/// println!("{}", answer.text);
/// # Ok::<(), mistral_core::Error>(())
/// ```
///
/// With a tool, and with the events of the run:
///
/// ```
/// use mistral_core::tools::{SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
/// use mistral_core::{Agent, AgentEvent, Model};
///
/// #[derive(serde::Deserialize)]
/// struct Calculation { expression: String }
///
/// let calculator = ToolBuilder::named("calculator")
///     .description("Computes the value of an expression.")
///     .request_schema::<Calculation>(SchemaType::JsonSchema(
///         r#"{"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}"#,
///     ))
///     .result_schema::<i64>(SchemaType::Serde)
///     .on_invocation(|_, _, Calculation { expression }, ()| {
///         let factors: Option<Vec<i64>> = expression.split('*').map(|factor| factor.trim().parse().ok()).collect();
///         factors.map(|factors| factors.iter().product()).ok_or(ToolError::failed("only products"))
///     })
///     .build()?;
/// let registry = ToolRegistry::new();
/// let mut batch = ToolBatch::new();
/// batch.add(calculator);
/// registry.publish(batch)?;
///
/// let agent = Agent::new(Model::embedded()?, registry);
/// let mut run = agent.run("What is 37 * 43?")?;
/// for event in &mut run {
///     if let AgentEvent::Answer { call, content, .. } = event? {
///         println!("{} {} -> {content}", call.name, call.arguments);
///     }
/// }
/// assert!(run.complete()?.text.contains("1591"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// | to | see |
/// |---|---|
/// | set a system prompt for every run | [`instructions`](Self::instructions) |
/// | ask once, or with a conversation of your own | [`run`](Self::run), [`IntoMessages`] |
/// | chat, with a history that is kept, trimmed and stored | [`chat`](Self::chat), [`ChatSession`](crate::ChatSession) |
/// | hand values of the host to the tools of a run | [`extension`](Self::extension) |
/// | bound turns, tokens, time and cost | [`limits`](Self::limits) |
/// | ask a person before a call is made | [`ToolRegistry::with_gate`], [`resume`](Self::resume), [`resume_chat`](Self::resume_chat) |
/// | force a call, for instance to get structured output | [`tool_choice`](Self::tool_choice) |
/// | own the loop | [`Exchange`] |
///
/// Cloning is cheap, and runs are independent of each other. A run polls asynchronous tools where it is polled itself, and runs synchronous
/// tools on threads of their own. [`AgentRun`] describes which runtime a tool finds.
#[derive(Clone)]
pub struct Agent {
    model: Model,
    registry: Arc<ToolRegistry>,
    request: Request,
    instructions: Option<String>,
    extensions: Extensions,
    limits: AgentLimits,
    dialect: Option<Dialect>,
    choice: ToolChoice,
    constrain: bool,
}

/// Whether the model is to call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// The model sees no tools.
    None,
    /// The model must call a tool in its first turn.
    Required,
    /// The model must call this tool in its first turn. The arguments are then structured output that follows the tool's schema.
    Named(String),
}

impl Agent {
    /// Makes an agent with default limits, greedy sampling, and the dialect that the model's template teaches.
    pub fn new(model: Model, registry: impl Into<Arc<ToolRegistry>>) -> Self {
        Self {
            model,
            registry: registry.into(),
            request: Request::chat([]),
            instructions: None,
            extensions: Extensions::new(),
            limits: AgentLimits::default(),
            dialect: None,
            choice: ToolChoice::Auto,
            constrain: true,
        }
    }

    /// Sets the instructions of the agent: a system prompt that the model reads before the messages of every run.
    ///
    /// Instructions are part of the prompt and not of the history, so a conversation can change hands between agents. A conversation may
    /// begin with a system message of its own, as that of a [session](crate::ChatSession::with_system) does. The model then reads one
    /// system message: the instructions, an empty line, and the text of the conversation's message.
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Adds a value that the tools of every run can reach by its type, with [`Conversation::get`](mistral_tools::Conversation::get). A
    /// value of the same type is replaced. To add a value for one run only, add it to a clone of the agent.
    ///
    /// ```
    /// use mistral_core::{Agent, Model, tools::ToolRegistry};
    ///
    /// struct User { name: String }
    ///
    /// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
    /// let run = agent.clone().extension(User { name: "Ada".into() }).run("Where is my order?")?;
    /// // In a function of a tool: conversation.get::<User>().map(|user| &user.name)
    /// # drop(run);
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    pub fn extension<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Sets the request of every turn: sampling, seed, stop strings, `max_tokens` per turn, template variables. Special tokens are always
    /// part of the text, because the agent reads calls from the text. [`run`](Self::run) refuses a request with a prompt, tools, a
    /// constraint or log probabilities.
    ///
    /// ```
    /// use mistral_core::{Agent, Error, Message, Model, Request, tools::ToolRegistry};
    /// let agent = Agent::new(Model::embedded()?, ToolRegistry::new());
    /// let agent = agent.request(Request::chat([]).temperature(0.7).seed(1).max_tokens(200));
    /// assert!(agent.run("Hello!").is_ok());
    /// let unheard = agent.request(Request::chat([Message::system("Be brief.")])); // `instructions` is the place for this
    /// assert!(matches!(unheard.run("Hello!"), Err(Error::InvalidParameter { name: "request", .. })));
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// Sets the bounds of each exchange.
    pub fn limits(mut self, limits: AgentLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the dialect in which the model writes calls. Default: the dialect of its chat template. If the template knows no tools, the
    /// default is [`Dialect::Json`], and the instructions must then describe the tools.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Sets whether the model must call a tool. Default: the model decides.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.choice = choice;
        self
    }

    /// Sets whether a [`CallConstraint`] enforces the tools' schemas while calls are written. Default: yes. A [tool
    /// choice](Self::tool_choice) that requires a call is enforced in any case.
    ///
    /// If a part of a schema cannot be enforced, the rest of the schema is enforced, or any arguments of that tool are allowed. Other tools
    /// are not affected. [`unenforced`](Self::unenforced) lists the parts that are not enforced, and [`AgentEvent::Unenforced`] reports
    /// them at the beginning of a run.
    pub fn constrain(mut self, constrain: bool) -> Self {
        self.constrain = constrain;
        self
    }

    /// Returns the model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the tools.
    pub fn registry(&self) -> &Arc<ToolRegistry> {
        &self.registry
    }

    /// Returns the parts of the tools' schemas that are not enforced while the model writes calls. The list is empty if calls are not
    /// constrained at all. The docs of [`CallConstraint`] have the table of keywords.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    pub fn unenforced(&self) -> Result<Vec<Unenforced>, Error> {
        let (dialect, specs) = self.prepare()?;
        Ok(self.constraints(dialect, &specs)?.unenforced().to_vec())
    }

    /// Begins an exchange with a text of the user, or after a conversation. The model sees the tools that the registry holds now. Calls of
    /// tools that are published later are made as well.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] without messages, [`Error::NoChatTemplate`], [`Error::NoTokenizer`], [`Error::InvalidParameter`] for a
    /// [request](Self::request) that the agent cannot follow, [`Error::UnsupportedConstraint`] and [`Error::UnknownTool`] for a tool choice
    /// that cannot be kept. The run reports later errors, among them [`Error::PromptTooLong`] if the messages and the descriptions of the
    /// tools leave no room for an answer.
    pub fn run(&self, messages: impl IntoMessages) -> Result<AgentRun, Error> {
        let messages = messages.into_messages();
        if messages.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let (dialect, specs) = self.prepare()?;
        let constraints = self.constraints(dialect, &specs)?;
        let exchange = Exchange::new(messages, dialect, &specs, self.limits, Instant::now());
        Ok(AgentRun::new(self.clone(), exchange, specs, constraints, Vec::new()))
    }

    /// Continues an exchange that was suspended: asks `decide` about each call that waits, makes the approved calls, and tells the model
    /// about the denied ones.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run).
    pub fn resume(
        &self,
        suspended: Suspended,
        mut decide: impl FnMut(&PausedCall) -> Approval,
    ) -> Result<AgentRun, Error> {
        let (dialect, specs) = self.prepare()?;
        let constraints = self.constraints(dialect, &specs)?;
        let exchange = Exchange::resume(suspended, dialect, &specs, self.limits, Instant::now());
        let decisions = exchange.paused().map(|(index, paused)| (index, paused.clone(), decide(paused))).collect();
        Ok(AgentRun::new(self.clone(), exchange, specs, constraints, decisions))
    }

    fn constraints(&self, dialect: Dialect, specs: &[ToolSpec]) -> Result<Constraints, Error> {
        // A dialect without a grammar leaves calls free.
        let later = self.constrain.then(|| CallConstraint::new(dialect, specs).ok()).flatten();
        let first = match &self.choice {
            ToolChoice::Auto | ToolChoice::None => later.clone(),
            ToolChoice::Required => Some(CallConstraint::new(dialect, specs)?.required(true)),
            ToolChoice::Named(name) => {
                let spec = specs.iter().find(|spec| spec.name() == name);
                let spec = spec.ok_or_else(|| Error::UnknownTool { name: name.clone() })?;
                Some(CallConstraint::new(dialect, std::slice::from_ref(spec))?.required(true))
            }
        };
        Ok(Constraints { first, later })
    }

    fn prepare(&self) -> Result<(Dialect, Vec<ToolSpec>), Error> {
        self.check_request()?;
        let specs = if self.choice == ToolChoice::None { Vec::new() } else { self.registry.specs() };
        let text = self.model.text();
        text.tokenizer().ok_or(Error::NoTokenizer)?;
        let detected = text.dialect(!specs.is_empty())?;
        Ok((self.dialect.or(detected).unwrap_or(Dialect::Json), specs))
    }

    /// Refuses settings that no run would follow.
    fn check_request(&self) -> Result<(), Error> {
        if let Some(name) = self.request.unheard {
            return Err(Error::unheard(name));
        }
        let Request { prompt, constraint, logprobs, .. } = &self.request;
        let detail = match prompt {
            Prompt::Text(text) if !text.is_empty() => "a prompt: give it to `run`, or to `instructions`",
            Prompt::Tokens(tokens) if !tokens.is_empty() => "a prompt: give text to `run`",
            Prompt::Chat { messages, .. } if !messages.is_empty() => {
                "messages: give them to `run`, or to `instructions`"
            }
            Prompt::Chat { tools, .. } if !tools.is_empty() => "tools: an agent has those of its registry",
            _ if constraint.is_some() => "a constraint: an agent makes its own, see `constrain` and `tool_choice`",
            _ if logprobs.is_some() => "log probabilities, which the events of a run do not have",
            _ => return Ok(()),
        };
        Err(Error::InvalidParameter { name: "request", detail: format!("the request of an agent has {detail}") })
    }

    /// Renders the prompt: the instructions and the messages.
    fn render(&self, messages: &[Message], specs: &[ToolSpec]) -> Result<String, Error> {
        let none = Map::new();
        let variables = match &self.request.prompt {
            Prompt::Chat { variables, .. } => variables,
            _ => &none,
        };
        let Some(instructions) = &self.instructions else {
            return self.model.text().render(messages, specs, variables);
        };
        // Before the instructions come first, so that an error counts the messages of the conversation.
        check_content(messages)?;
        let (system, rest) = match messages.split_first() {
            Some((first, rest)) if first.role == Role::System => {
                let mut content = Content::from(format!("{instructions}\n\n"));
                content.append(&first.content);
                (Message::system(content), rest)
            }
            _ => (Message::system(instructions), messages),
        };
        let messages: Vec<Message> = std::iter::once(system).chain(rest.iter().cloned()).collect();
        self.model.text().render(&messages, specs, variables)
    }

    /// Shortens a prompt by `fit` so that an answer has room or, if that is impossible, so that one token has room.
    fn fit(
        &self,
        specs: &[ToolSpec],
        mut fit: impl FnMut(usize, &mut dyn FnMut(&[Message]) -> Result<usize, Error>) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        let mut count =
            |messages: &[Message]| Ok(self.model.text().rendered_tokens(&self.render(messages, specs)?)?.len());
        let context = self.model.context_length();
        let answer = self.request.max_tokens.unwrap_or(context / 4).clamp(1, (context / 2).max(1));
        match fit(context.saturating_sub(answer), &mut count) {
            Err(Error::PromptTooLong { .. }) => match fit(context.saturating_sub(1), &mut count) {
                Err(Error::PromptTooLong { tokens, limit, .. }) => {
                    Err(Error::PromptTooLong { tokens, limit, tools: self.tokens_of_tools(specs) })
                }
                fitted => fitted.map(drop),
            },
            fitted => fitted.map(drop),
        }
    }

    /// Returns the number of tokens that the descriptions of the tools take in a prompt, as far as it can be told.
    fn tokens_of_tools(&self, specs: &[ToolSpec]) -> usize {
        let tokens = |specs: &[ToolSpec]| {
            let prompt = self.render(&[Message::user("")], specs).ok()?;
            Some(self.model.text().rendered_tokens(&prompt).ok()?.len())
        };
        tokens(specs).zip(tokens(&[])).map_or(0, |(with, without)| with.saturating_sub(without))
    }
}

/// What a run holds the model to: in its first turn, and in those after.
#[derive(Debug, Clone)]
struct Constraints {
    first: Option<CallConstraint>,
    later: Option<CallConstraint>,
}

impl Constraints {
    /// Returns the unenforced parts of the constraint on all tools, if there is one: they include the parts of the other constraints.
    fn unenforced(&self) -> &[Unenforced] {
        self.later.as_ref().or(self.first.as_ref()).map_or(&[], CallConstraint::unenforced)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("registry", &self.registry).field("limits", &self.limits).finish_non_exhaustive()
    }
}
