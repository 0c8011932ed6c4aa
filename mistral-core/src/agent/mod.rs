//! Models that use tools: the loop from a question over calls and their results to an answer.
//!
//! [`Exchange`] is the loop as a state machine, [`Agent`] runs it over a [`Model`] and a [`ToolRegistry`].

mod event;
mod exchange;
mod limits;
mod run;
mod suspended;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mistral_tools::dialect::Dialect;
use mistral_tools::{Approval, PausedCall, ToolRegistry, ToolSpec};

pub use event::{AgentEvent, CallEnd, RequestedCall};
pub use exchange::{Exchange, Next};
pub use limits::{AgentLimits, Price, Stop};
pub use run::{AgentAnswer, AgentEvents, AgentRun};
pub use suspended::Suspended;

use crate::{CallConstraint, Error, Message, Model, Request};

/// A model that may call the tools of a registry. It renders them by the model's own chat template, reads calls in the dialect that
/// this template teaches, makes those of one turn in parallel, and gives results and errors back until there is an answer or a
/// limit is reached. Cloning is cheap; each [`run`](Self::run) stands alone.
///
/// ```
/// use mistral_core::tools::{SchemaType, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
/// use mistral_core::{Agent, AgentEvent, Message, Model};
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
///         factors.map(|factors| factors.iter().product()).ok_or(ToolError::handler("only products"))
///     })
///     .build()?;
/// let registry = ToolRegistry::new();
/// let mut batch = ToolBatch::new();
/// batch.add(calculator);
/// registry.publish(batch)?;
///
/// let agent = Agent::new(Model::embedded()?, registry);
/// let mut run = agent.run([Message::user("What is 37 * 43?")])?;
/// for event in &mut run {
///     if let AgentEvent::Answer { call, text, .. } = event? {
///         println!("{} {} -> {text}", call.name, call.arguments);
///     }
/// }
/// assert!(run.complete()?.text.contains("1591"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Tools run on threads of their own, so that neither a blocking reader nor an executor is held up by a slow one; asynchronous
/// tools are driven there by [`block_on`](mistral_tools::block_on), so one that needs a runtime must bring its handle.
#[derive(Clone)]
pub struct Agent {
    model: Model,
    registry: Arc<ToolRegistry>,
    request: Request,
    limits: AgentLimits,
    dialect: Option<Dialect>,
    choice: ToolChoice,
    constrain: bool,
}

/// Whether the model is to call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It is told of no tools.
    None,
    /// In its first turn it must call one.
    Required,
    /// In its first turn it must call this one.
    Named(String),
}

impl Agent {
    /// An agent with default limits, greedy sampling, and the dialect that the model's template teaches.
    pub fn new(model: Model, registry: impl Into<Arc<ToolRegistry>>) -> Self {
        let request = Request::chat([]);
        Self {
            model,
            registry: registry.into(),
            request,
            limits: AgentLimits::default(),
            dialect: None,
            choice: ToolChoice::Auto,
            constrain: true,
        }
    }

    /// How the model is asked in every turn: sampling, seed, stop strings, `max_tokens` of a turn, template variables. Messages and
    /// tools of its prompt are not heard; special tokens are always in the text.
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// The bounds of each exchange.
    pub fn limits(mut self, limits: AgentLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How the model writes calls. Default: what its chat template teaches; a template that knows no tools means
    /// [`Dialect::Json`], and the system message must then say what the tools are.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Whether the model must call a tool. Default: as it likes.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.choice = choice;
        self
    }

    /// Whether calls are held to the schemas of their tools while they are written, by a [`CallConstraint`]. Default: yes;
    /// tools whose schemas it does not support are held to their names and to any arguments. Choices that must be kept need it
    /// whatever is said here, and the whole schemas.
    pub fn constrain(mut self, constrain: bool) -> Self {
        self.constrain = constrain;
        self
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tools.
    pub fn registry(&self) -> &Arc<ToolRegistry> {
        &self.registry
    }

    /// Begins an exchange after these messages. The tools are those that the registry has now; a call of one that is
    /// published later is made as well.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`], [`Error::NoTokenizer`], [`Error::UnsupportedConstraint`], [`Error::UnsupportedSchema`] and
    /// [`Error::UnknownTool`] for a tool choice that cannot be kept, and [`Error::EmptyPrompt`] without messages. What goes wrong
    /// later comes out of the run.
    pub fn run(&self, messages: impl IntoIterator<Item = Message>) -> Result<AgentRun, Error> {
        let messages: Vec<Message> = messages.into_iter().collect();
        if messages.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let (dialect, specs) = self.prepare()?;
        let constraints = self.constraints(dialect, &specs)?;
        let exchange = Exchange::new(messages, dialect, &specs, self.limits, Instant::now());
        Ok(AgentRun::new(self.clone(), exchange, specs, constraints, Vec::new()))
    }

    /// Goes on with an exchange that was suspended: asks `decide` about each call that waits, makes those that it approves, and
    /// tells the model about the others.
    ///
    /// # Errors
    /// As [`run`](Self::run).
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
        let later = if self.constrain { as_far_as_supported(dialect, specs) } else { None };
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
        let specs = if self.choice == ToolChoice::None { Vec::new() } else { self.registry.specs() };
        let text = self.model.text();
        text.tokenizer().ok_or(Error::NoTokenizer)?;
        let detected = text.dialect(!specs.is_empty())?;
        Ok((self.dialect.or(detected).unwrap_or(Dialect::Json), specs))
    }
}

/// Calls held to their schemas, those of tools with an unsupported one to an object of any kind.
fn as_far_as_supported(dialect: Dialect, specs: &[ToolSpec]) -> Option<CallConstraint> {
    let mut specs = specs.to_vec();
    for _ in 0..=specs.len() {
        match CallConstraint::new(dialect, &specs) {
            Ok(constraint) => return Some(constraint),
            Err(Error::UnsupportedSchema { tool, .. }) => {
                let spec = specs.iter_mut().find(|spec| spec.name() == tool)?;
                *spec = ToolSpec::new(&tool, spec.description(), serde_json::json!({"type": "object"})).ok()?;
            }
            Err(_) => return None,
        }
    }
    None
}

/// What a run holds the model to: in its first turn, and in those after.
#[derive(Debug, Clone)]
struct Constraints {
    first: Option<CallConstraint>,
    later: Option<CallConstraint>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("registry", &self.registry).field("limits", &self.limits).finish_non_exhaustive()
    }
}
