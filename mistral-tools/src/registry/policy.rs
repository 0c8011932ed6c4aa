//! Everything that surrounds the tools of a registry.

use std::sync::Arc;

use crate::{
    conversation::Conversation,
    hooks::{ChainControl, OnRequest, RequestFlow},
    resilience::{events::ResilienceEvent, fallback::Fallback, policy::ResiliencePolicy},
    time::timer::Timer,
};

/// What is done about a tool that fails, beside what its own hooks do.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{resilience::{BreakerPolicy, Fallback, ResiliencePolicy, RetryPolicy, TimeoutPolicy}, ToolPolicy};
///
/// let policy = ResiliencePolicy::new()
///     .timeout(TimeoutPolicy::NONE.attempt(Duration::from_secs(5)))
///     .retry(RetryPolicy::new(3))
///     .breaker(BreakerPolicy::new());
/// let policy = ToolPolicy::new(policy).fallback(Fallback::tool("weather_backup"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ToolPolicy {
    pub(crate) resilience: ResiliencePolicy,
    pub(crate) fallback: Option<Fallback<String>>,
}

impl ToolPolicy {
    /// Timeouts, retries and a breaker, each over the registry's own.
    pub const fn new(resilience: ResiliencePolicy) -> Self {
        Self { resilience, fallback: None }
    }

    /// What stands in for a result: a text for the model, or another tool of the registry. The call then is a success; statistics and
    /// observers know better.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback<String>) -> Self {
        self.fallback = Some(fallback);
        self
    }
}

impl From<ResiliencePolicy> for ToolPolicy {
    fn from(resilience: ResiliencePolicy) -> Self {
        Self::new(resilience)
    }
}

/// Receives the events of a registry's tools, immediately and on the thread of the call, so an observer must be quick. If an observer
/// panics, the panic is contained and the event is lost. Closures implement this trait.
pub trait ToolObserver: Send + Sync {
    /// It happened to a call of this tool.
    fn observe(&self, tool: &str, event: &ResilienceEvent);
}

impl<F: Fn(&str, &ResilienceEvent) + Send + Sync> ToolObserver for F {
    fn observe(&self, tool: &str, event: &ResilienceEvent) {
        self(tool, event);
    }
}

/// What all tools of a registry share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) policy: ResiliencePolicy,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) observer: Option<Arc<dyn ToolObserver>>,
    pub(crate) gate: Option<Arc<Gate>>,
}

/// A function that is asked before every call of a registry. It receives the conversation, the choices, the tool's own name and the bytes
/// of its arguments.
pub(crate) type Gate =
    dyn for<'a> Fn(&Conversation<'a>, ChainControl<'a, OnRequest>, &str, &[u8]) -> RequestFlow + Send + Sync;
