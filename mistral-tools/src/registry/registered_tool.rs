//! A tool in a registry, and what surrounds every call of it.
//!
//! From the outside in: fallback, statistics, gate, deadline, retry, circuit breaker, limit of one attempt, the tool. Without a
//! policy all of it is two looks at the clock and two counters.

mod aside;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use crate::{
    conversation::cancel::{CancellationToken, unless_cancelled},
    error::Error,
    hooks::{ChainControl, Request},
    metrics::statistics::{Statistics, ToolStatistics},
    outcome::{Outcome, kinds::ErrorKind, paused_call::PausedCall, reply::Reply, tool_error::ToolError},
    registry::policy::{Gate, Surroundings, ToolObserver, ToolPolicy},
    resilience::{
        breaker::{CircuitBreaker, Permit},
        breaker_state::BreakerState,
        events::{Observer, ResilienceEvent, tell},
        fallback::{Fallback, Substitute},
        policy::ResiliencePolicy,
        retry::RetryDecision,
        timeout::{TimeoutPolicy, run_until, timeout_at},
    },
    sync::park::block_on,
    time::{Moment, timer::Timer},
    tool::{Invocation, Tool, spec::ToolSpec},
};

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
}

/// Finds a tool by its name.
pub(crate) type Find<'a> = dyn Fn(&str) -> Option<Arc<RegisteredTool>> + Sync + 'a;

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
        namespace: Option<&str>,
        policy: ToolPolicy,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let panicked = |name: &str, asked| Error::Panicked { name: name.into(), asked };
        let name = caught(|| Arc::<str>::from(tool.name())).ok_or_else(|| panicked("", "name"))?;
        if name.is_empty() {
            return Err(Error::Name { name: String::new() });
        }
        let blocking =
            caught(|| tool.is_blocking()).ok_or_else(|| panicked(&name, "way of running (`is_blocking`)"))?;
        let name = namespace.map_or(name.clone(), |namespace| format!("{namespace}.{name}").into());
        let Surroundings { policy: outer, timer, observer, gate } = surroundings.clone();
        let ToolPolicy { resilience, fallback } = policy;
        let policy = resilience.or(outer);
        let observer = Named { name, observer };
        let breaker = policy
            .breaker_policy()
            .map(|policy| CircuitBreaker::new(policy).with_clock(Arc::clone(&timer)).with_observer(observer.clone()))
            .map(Arc::new);
        let (alias, spec, statistics) = (None, OnceLock::new(), Arc::new(Statistics::new()));
        Ok(Self { tool, alias, blocking, spec, policy, fallback, breaker, statistics, timer, observer, gate })
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

    /// Calls the tool. If its policy names another tool as the fallback, an error stands: only a
    /// [`ToolRegistry`](crate::ToolRegistry) finds that tool.
    pub fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.call_among(&|_| None, invocation, arguments, reply)
    }

    /// Calls the tool asynchronously; otherwise as [`call`](Self::call). A synchronous function runs within a poll. Under a time limit, a
    /// synchronous function runs on a thread of its own, and the call ends at the limit even if the function does not.
    pub async fn call_async(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        self.call_async_among(&|_| None, invocation, arguments, reply).await
    }

    /// Calls the tool among others, of which `find` returns a fallback by its name.
    pub(crate) fn call_among(
        &self,
        find: &Find<'_>,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        block_on(self.execute(Mode::Blocking, find, invocation, arguments, reply))
    }

    /// Calls the tool asynchronously among others, of which `find` returns a fallback by its name.
    pub(crate) async fn call_async_among(
        &self,
        find: &Find<'_>,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        self.execute(Mode::Async, find, invocation, arguments, reply).await
    }

    async fn execute(
        &self,
        mode: Mode,
        find: &Find<'_>,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
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
                // It is itself, or is not there: the error stands.
                let Some(other) = find(name).filter(|other| !std::ptr::eq(&**other, self)) else { return outcome };
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
                        policy if policy == TimeoutPolicy::NONE => Moment::FAR,
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
            ended.map(|ended| ended.unwrap_or_else(cancelled))
        } else if limit == Moment::FAR {
            Ok(called(|| self.tool.call(invocation, arguments, reply)))
        } else if mode == Mode::Async {
            let call = aside::call(&self.tool, &self.timer, limit, invocation, arguments, reply);
            let ended = timeout_at(&self.timer, limit, unless_cancelled(token, call)).await;
            ended.and_then(|ended| ended.unwrap_or_else(|| Ok(cancelled())))
        } else {
            let fresh = CancellationToken::default;
            let token = token.cloned().unwrap_or_else(fresh);
            run_until(Arc::clone(&self.timer), limit, &token, |child| {
                called(|| self.tool.call(&invocation.with_token(child), arguments, reply))
            })
        };
        match ended {
            Ok(outcome @ Outcome::Error(_)) => settled(reply, outcome),
            // The call is resumed by the name that the registry knows, whatever the tool inside is called.
            Ok(Outcome::Paused(paused)) => Outcome::Paused(Box::new(paused.of_tool(self.name()))),
            Ok(outcome) => outcome,
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

/// Makes a call. A panic is an error of the call.
fn called(call: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| panicked(&*panic))
}

/// Awaits a call. A panic is an error of the call, whose future is then not polled again.
async fn unwound(future: impl Future<Output = Outcome>) -> Outcome {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(panicked(&*panic)))
    })
    .await
}

/// Returns the error of a call that panicked. A tool that misses the runtime of tokio says so in its panic.
fn panicked(panic: &(dyn Any + Send)) -> Outcome {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    match text.filter(|text| text.contains("Tokio") && (text.contains("context") || text.contains("runtime"))) {
        Some(text) => ToolError::failed("the tool panicked: it needs a running Tokio runtime")
            .with_source(format!(
                "{text}; poll the call inside a Tokio runtime with `enable_all`: await `call_async` or read an agent's run as a `Stream` \
                 in a task of the runtime, or hold the guard of `Runtime::enter` while a loop reads the run"
            ))
            .into(),
        None => ToolError::failed("the tool panicked").into(),
    }
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
