//! A tool in a registry, and what surrounds every call of it.
//!
//! From the outside in: fallback, statistics, gate, deadline, retry, circuit breaker, limit of one attempt, the tool. Without a
//! policy all of it is two looks at the clock and two counters.

mod aside;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock, Weak},
    task::Poll,
    time::Duration,
};

use arc_swap::ArcSwap;

use crate::{
    BreakerState, CancellationToken, ChainControl, CircuitBreaker, Conversation, Error, ErrorKind, Fallback,
    Invocation, Moment, Observer, OnRequest, Outcome, PausedCall, Permit, Reply, RequestFlow, ResilienceEvent,
    ResiliencePolicy, RetryDecision, Substitute, Timer, Tool, ToolError, ToolSpec, ToolStatistics, block_on,
    chain::Request, registry::Tools, resilience::events::tell, run_until, statistics::Statistics, timeout_at,
};

/// What is done about a tool that fails, beside what its own hooks do.
///
/// ```
/// use std::time::Duration;
/// use mistral_tools::{BreakerPolicy, Fallback, ResiliencePolicy, RetryPolicy, TimeoutPolicy, ToolPolicy};
///
/// let policy = ResiliencePolicy::new()
///     .timeout(TimeoutPolicy::NONE.attempt(Duration::from_secs(5)))
///     .retry(RetryPolicy::new(3))
///     .breaker(BreakerPolicy::new());
/// let policy = ToolPolicy::new(policy).fallback(Fallback::tool("weather_backup"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ToolPolicy {
    resilience: ResiliencePolicy,
    fallback: Option<Fallback<String>>,
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

/// The observer of a registry, told of one tool.
#[derive(Clone)]
struct Named {
    name: Arc<str>,
    observer: Option<Arc<dyn ToolObserver>>,
}

impl Observer for Named {
    fn observe(&self, event: &ResilienceEvent) {
        if let Some(observer) = &self.observer {
            observer.observe(&self.name, event);
        }
    }
}

impl Named {
    fn tell(&self, event: ResilienceEvent) {
        tell(self, &event);
    }
}

type Breaker = CircuitBreaker<Arc<dyn Timer>, Named>;
type Admission<'a> = Permit<'a, Arc<dyn Timer>, Named>;

/// A function that is asked before every call of a registry. It receives the conversation, the choices, the tool's own name and the bytes
/// of its arguments.
pub type Gate =
    dyn for<'a> Fn(&Conversation<'a>, ChainControl<'a, OnRequest>, &str, &[u8]) -> RequestFlow + Send + Sync;

/// A tool in a registry, with its policy, its circuit breaker and its statistics. A panic of its function ends the call and nothing
/// else.
pub struct RegisteredTool {
    tool: Arc<dyn Tool>,
    /// The name for the model, if the model cannot write the tool's own name.
    alias: Option<Arc<str>>,
    blocking: bool,
    spec: OnceLock<Result<ToolSpec, Error>>,
    policy: ResiliencePolicy,
    fallback: Option<Fallback<String>>,
    breaker: Option<Arc<Breaker>>,
    statistics: Arc<Statistics>,
    timer: Arc<dyn Timer>,
    observer: Named,
    gate: Option<Arc<Gate>>,
    /// Where a fallback is looked up.
    siblings: Weak<ArcSwap<Tools>>,
}

/// Whether the calling thread may be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Blocking,
    Async,
}

impl RegisteredTool {
    /// # Errors
    /// [`Error::Name`] for a tool without a name, [`Error::Panicked`].
    pub(crate) fn new(
        tool: Arc<dyn Tool>,
        policy: ToolPolicy,
        surroundings: &Surroundings,
        siblings: Weak<ArcSwap<Tools>>,
    ) -> Result<Self, Error> {
        let panicked = || Error::Panicked { name: String::new(), asked: "name" };
        let (name, blocking) = caught(|| (Arc::<str>::from(tool.name()), tool.is_blocking())).ok_or_else(panicked)?;
        if name.is_empty() {
            return Err(Error::Name { name: String::new() });
        }
        let Surroundings { policy: outer, timer, observer, gate } = surroundings.clone();
        let ToolPolicy { resilience, fallback } = policy;
        let policy = resilience.or(outer);
        let observer = Named { name, observer };
        let breaker = policy
            .breaker_policy()
            .map(|policy| CircuitBreaker::new(policy).with_clock(Arc::clone(&timer)).with_observer(observer.clone()))
            .map(Arc::new);
        let (alias, spec, statistics) = (None, OnceLock::new(), Arc::new(Statistics::new()));
        Ok(Self { tool, alias, blocking, spec, policy, fallback, breaker, statistics, timer, observer, gate, siblings })
    }

    /// Returns the same tool under an alias, with the same breaker and statistics.
    pub(crate) fn aliased(&self, alias: &str) -> Self {
        Self {
            tool: Arc::clone(&self.tool),
            alias: Some(alias.into()),
            blocking: self.blocking,
            spec: OnceLock::new(),
            policy: self.policy,
            fallback: self.fallback.clone(),
            breaker: self.breaker.clone(),
            statistics: Arc::clone(&self.statistics),
            timer: Arc::clone(&self.timer),
            observer: self.observer.clone(),
            gate: self.gate.clone(),
            siblings: Weak::clone(&self.siblings),
        }
    }

    /// Returns the tool's own name.
    pub fn name(&self) -> &str {
        &self.observer.name
    }

    /// Returns the name by which the model calls the tool: its own name, or an alias if some dialect cannot write the name. No other tool
    /// of the registry has this name.
    pub fn alias(&self) -> &str {
        self.alias.as_deref().unwrap_or_else(|| self.name())
    }

    /// The tool itself, without what surrounds it.
    pub fn tool(&self) -> &dyn Tool {
        &*self.tool
    }

    /// Returns whether the function is synchronous, as the tool said when it was registered.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }

    /// Returns the description that the model sees. It is made at the first call of this method and kept.
    ///
    /// # Errors
    /// The error of [`Tool::spec`], or [`Error::Panicked`]. The registry's observer receives [`ResilienceEvent::LeftOut`] once.
    pub fn spec(&self) -> Result<&ToolSpec, &Error> {
        let mut made = false;
        let make = || {
            made = true;
            let panicked = || Error::Panicked { name: self.name().into(), asked: "description or schema" };
            let spec = caught(|| self.tool.spec()).unwrap_or_else(|| Err(panicked()));
            spec.map(|spec| if spec.name() == self.alias() { spec } else { spec.renamed(self.alias()) })
        };
        let spec = self.spec.get_or_init(make).as_ref();
        // Not while it is made: the observer may ask for the specification.
        if made && spec.is_err() {
            self.observer.tell(ResilienceEvent::LeftOut);
        }
        spec
    }

    /// What became of its calls.
    pub fn statistics(&self) -> ToolStatistics {
        self.statistics.snapshot()
    }

    /// The state of its circuit breaker, if it has one.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        self.breaker.as_ref().map(|breaker| breaker.state())
    }

    /// Closes its circuit breaker, as when somebody has repaired what was broken.
    pub fn reset_breaker(&self) {
        if let Some(breaker) = &self.breaker {
            breaker.reset();
        }
    }

    /// Calls it.
    pub fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        block_on(self.execute(Mode::Blocking, invocation, arguments, reply))
    }

    /// Calls the tool asynchronously. A synchronous function runs within a poll. Under a time limit, a synchronous function runs on a
    /// thread of its own, and the call ends at the limit even if the function does not.
    pub async fn call_async(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.execute(Mode::Async, invocation, arguments, reply).await
    }

    async fn execute(&self, mode: Mode, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let outcome = self.recorded(mode, invocation, arguments, reply).await;
        let Outcome::Error(error) = &outcome else { return outcome };
        let Some(substitute) = self.fallback.as_ref().and_then(|fallback| fallback.substitute(error.kind())) else {
            return outcome;
        };
        let kind = error.kind();
        let substituted = match substitute {
            Substitute::Result(text) => {
                reply.set_text(text);
                Outcome::Success
            }
            Substitute::Tool(name) => {
                let other = self.siblings.upgrade().and_then(|tools| tools.load().get(name).cloned());
                // It is itself, or is not there: the error stands.
                let Some(other) = other.filter(|other| !std::ptr::eq(&**other, self)) else { return outcome };
                let stands_in = other.recorded(mode, invocation, arguments, reply).await;
                if !matches!(stands_in, Outcome::Success | Outcome::Paused(_)) {
                    // The model is told of the tool that it called.
                    reply.set_outcome(&outcome);
                    return outcome;
                }
                stands_in
            }
        };
        self.statistics.fell_back();
        self.observer.tell(ResilienceEvent::FellBack { kind });
        substituted
    }

    /// Without the fallback.
    async fn recorded(&self, mode: Mode, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let start = self.timer.now();
        let outcome = match self.stopped(invocation, arguments) {
            Some(outcome) => settled(reply, outcome),
            None => self.attempts(mode, start, invocation, arguments, reply).await,
        };
        self.statistics.record(&outcome, self.timer.now().since(start));
        outcome
    }

    /// The outcome, if the gate does not let the call pass.
    fn stopped(&self, invocation: &Invocation<'_>, arguments: &[u8]) -> Option<Outcome> {
        let gate = self.gate.as_ref()?;
        let conversation = invocation.conversation();
        let chain = ChainControl::new(conversation.execution());
        match caught(|| gate(conversation, chain, self.name(), arguments).0) {
            Some(Request::Proceed | Request::Call) => None,
            Some(Request::End(outcome)) => Some(outcome),
            Some(Request::Pause(question)) => {
                Some(PausedCall::outcome(self.name(), conversation.execution(), arguments, question))
            }
            None => {
                self.observer.tell(ResilienceEvent::GatePanicked);
                Some(Outcome::Denied("the check of this call failed, so the call was not made".into()))
            }
        }
    }

    async fn attempts(
        &self,
        mode: Mode,
        start: Moment,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        let token = invocation.conversation().execution().token();
        let deadline = self.policy.timeout_policy().deadline(start);
        // The pauses of calls that begin together differ by the nanosecond of their beginning.
        let mut retry = self.policy.retry_policy().start(deadline, start.as_nanos());
        loop {
            let outcome = match self.admit() {
                Ok(permit) => {
                    let limit = match self.policy.timeout_policy() {
                        policy if policy == crate::TimeoutPolicy::NONE => Moment::FAR,
                        policy => policy.attempt_deadline(self.timer.now(), deadline),
                    };
                    let invocation = invocation.retried(retry.attempts());
                    let outcome = self.attempt(mode, limit, &invocation, arguments, reply).await;
                    self.settle(permit, &outcome);
                    outcome
                }
                Err(retry_after) => {
                    let error = ToolError::new(ErrorKind::Unavailable, "the tool fails at present; do without it");
                    settled(reply, error.with_retry_after(retry_after).into())
                }
            };
            let Outcome::Error(error) = &outcome else { return outcome };
            let (kind, attempts) = (error.kind(), retry.attempts().saturating_add(1));
            match retry.failed_with(error, self.timer.now()) {
                RetryDecision::Again { after } => {
                    self.statistics.retried();
                    self.observer.tell(ResilienceEvent::Retry { attempts, kind, after });
                    let pause = self.timer.sleep(after);
                    if unless_cancelled(token, pause).await.is_none() {
                        return settled(reply, cancelled());
                    }
                }
                RetryDecision::GiveUp(_) => {
                    if self.policy.retry_policy().attempts() > 1 {
                        self.observer.tell(ResilienceEvent::GaveUp { attempts, kind });
                    }
                    return outcome;
                }
            }
        }
    }

    /// A permit if there is a breaker, or how long it will not let a call pass.
    fn admit(&self) -> Result<Option<Admission<'_>>, Duration> {
        match &self.breaker {
            None => Ok(None),
            Some(breaker) => breaker.check().map(Some).map_err(|rejected| rejected.retry_after),
        }
    }

    fn settle(&self, permit: Option<Admission<'_>>, outcome: &Outcome) {
        let Some(permit) = permit else { return };
        match outcome {
            Outcome::Success => permit.success(),
            Outcome::Error(error) if self.policy.fault_kinds().contains(error.kind()) => permit.failure(),
            _ => permit.release(),
        }
    }

    async fn attempt(
        &self,
        mode: Mode,
        limit: Moment,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        let token = invocation.conversation().execution().token();
        if token.is_some_and(CancellationToken::is_cancelled) {
            return settled(reply, cancelled());
        }
        let begun = if limit == Moment::FAR { limit } else { self.timer.now() };
        let ended = if mode == Mode::Async && !self.blocking {
            let call = async { self.tool.call_async(invocation, arguments, reply).await };
            let call = unless_cancelled(token, unwound(call));
            let ended = match limit {
                Moment::FAR => Ok(call.await),
                limit => timeout_at(&self.timer, limit, call).await,
            };
            ended.map(|ended| ended.unwrap_or_else(|| Some(cancelled())))
        } else if limit == Moment::FAR {
            Ok(caught(|| self.tool.call(invocation, arguments, reply)))
        } else if mode == Mode::Async {
            let call = aside::call(&self.tool, &self.timer, limit, invocation, arguments, reply);
            let ended = timeout_at(&self.timer, limit, unless_cancelled(token, call)).await;
            ended.and_then(|ended| ended.unwrap_or_else(|| Ok(Some(cancelled()))))
        } else {
            let fresh = CancellationToken::default;
            let token = token.cloned().unwrap_or_else(fresh);
            run_until(Arc::clone(&self.timer), limit, &token, |child| {
                caught(|| self.tool.call(&invocation.with_token(child), arguments, reply))
            })
        };
        match ended {
            Ok(Some(outcome @ Outcome::Error(_))) => settled(reply, outcome),
            Ok(Some(outcome)) => outcome,
            Ok(None) => settled(reply, ToolError::handler("the tool panicked").into()),
            Err(_elapsed) => {
                self.observer.tell(ResilienceEvent::TimedOut { limit: limit.since(begun) });
                settled(reply, ToolError::new(ErrorKind::Timeout, "the tool took too long").into())
            }
        }
    }
}

fn cancelled() -> Outcome {
    ToolError::new(ErrorKind::Cancelled, "the call was given up").into()
}

/// An outcome whose text is in the reply.
fn settled(reply: &mut Reply, outcome: Outcome) -> Outcome {
    reply.set_outcome(&outcome);
    outcome
}

fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// The output of a future, or `None` if it panicked; then it is not polled again.
async fn unwound<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// The output of a future, or `None` if the token is cancelled before; then the future is dropped.
pub(crate) async fn unless_cancelled<F: Future>(token: Option<&CancellationToken>, future: F) -> Option<F::Output> {
    let Some(token) = token else { return Some(future.await) };
    let (mut future, mut cancelled) = (pin!(future), pin!(token.cancelled()));
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => cancelled.as_mut().poll(context).map(|()| None),
    })
    .await
}

impl fmt::Debug for RegisteredTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegisteredTool")
            .field("name", &self.name())
            .field("breaker", &self.breaker_state())
            .finish_non_exhaustive()
    }
}
