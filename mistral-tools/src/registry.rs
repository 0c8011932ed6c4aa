//! The tools that are there now: published in batches, looked up without waiting.

mod snapshot;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};

use crate::{
    Approval, ChainControl, Conversation, Error, Invocation, OnRequest, Outcome, PausedCall, RegisteredTool, Reply,
    RequestFlow, ResiliencePolicy, SystemClock, Text, Timer, Tool, ToolObserver, ToolPolicy, ToolSpec,
    registered_tool::Surroundings,
};
pub(crate) use snapshot::Tools;

/// Tools by name. A look-up takes no lock and never waits for a publish. A publish copies the table and swaps the copy in.
///
/// Readers see a batch as a whole or not at all. A call that is under way keeps its tool even if the tool is replaced.
///
/// Clones share the tools. Each tool keeps its [statistics](RegisteredTool::statistics) until it is replaced.
///
/// Costs: a look-up is a hash and a few atomic operations, and allocates nothing. A publish copies one pointer per tool in the registry, so
/// publish in batches.
///
/// ```
/// use mistral_tools::{ErrorKind, FunctionTool, Invocation, Reply, Tool, ToolRegistry};
///
/// let registry = ToolRegistry::new();
/// registry.add(FunctionTool::new("greet", "Greets", |_: ()| Ok("Hello!")))?;
/// let discovered: Vec<Box<dyn Tool>> = Vec::new(); // at run time, from elsewhere
/// registry.publish(discovered.into_iter().collect())?;
///
/// let mut reply = Reply::new();
/// assert!(registry.call("greet", &Invocation::default(), b"{}", &mut reply).is_success());
/// assert_eq!(reply.as_str(), "Hello!");
///
/// // An unknown name is an error that lists the available tools, for the host and for the model.
/// assert_eq!(registry.get("great").unwrap_err().available().collect::<Vec<_>>(), ["greet"]);
/// let outcome = registry.call("great", &Invocation::default(), b"{}", &mut reply);
/// assert_eq!(outcome.error_kind(), Some(ErrorKind::NotFound));
/// assert_eq!(reply.as_str(), "Error (not found): there is no tool `great`; there are: greet");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
///
/// # Synchronization
/// One [`ArcSwap`]. A publish builds the next table privately and swaps it in by compare-and-swap; if another publish came first, it tries
/// again. `arc-swap` orders the build before the swap, and the swap before every load that sees it. Reference counts keep a table alive
/// while a reader holds it.
#[derive(Clone)]
pub struct ToolRegistry {
    tools: Arc<ArcSwap<Tools>>,
    surroundings: Surroundings,
}

impl Default for ToolRegistry {
    fn default() -> Self {
        let surroundings =
            Surroundings { policy: ResiliencePolicy::new(), timer: Arc::new(SystemClock), observer: None, gate: None };
        Self { tools: Arc::default(), surroundings }
    }
}

impl ToolRegistry {
    /// A registry without tools.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry; tools published through it from now on have this policy where they have none of their own.
    #[must_use]
    pub fn with_policy(mut self, policy: ResiliencePolicy) -> Self {
        self.surroundings.policy = policy;
        self
    }

    /// The same registry; tools published through it from now on live by this clock and sleep by this timer.
    #[must_use]
    pub fn with_timer(mut self, timer: impl Timer + 'static) -> Self {
        self.surroundings.timer = Arc::new(timer);
        self
    }

    /// The same registry; what is done about tools published through it from now on is told to this observer.
    ///
    /// ```
    /// use mistral_tools::{ResilienceEvent, ToolRegistry};
    /// let registry = ToolRegistry::new().with_observer(|tool: &str, event: &ResilienceEvent| eprintln!("{tool}: {event:?}"));
    /// ```
    #[must_use]
    pub fn with_observer(mut self, observer: impl ToolObserver + 'static) -> Self {
        self.surroundings.observer = Some(Arc::new(observer));
        self
    }

    /// Returns the same registry with a gate: a hook that decides whether a call may run. The gate applies to tools that are published
    /// through the returned registry. It is asked once per call, before the tool's own hooks, with the tool's own name and the arguments as
    /// the model wrote them. Use it for rules about tools that know nothing of the host. If the gate panics, the call is denied, and the
    /// observer receives [`ResilienceEvent::GatePanicked`](crate::ResilienceEvent::GatePanicked).
    ///
    /// ```
    /// use mistral_tools::{Approval, FunctionTool, Invocation, Outcome, Reply, ToolRegistry};
    ///
    /// let registry = ToolRegistry::new().with_gate(|_, chain, tool, _| match tool {
    ///     "format_disk" => chain.deny("never"),
    ///     "delete_file" => chain.pause("Delete the file?"),
    ///     _ => chain.proceed(),
    /// });
    /// for name in ["format_disk", "delete_file", "list_files"] {
    ///     registry.add(FunctionTool::new(name, "", |_: ()| Ok(())))?;
    /// }
    ///
    /// let (invocation, mut reply) = (Invocation::default(), Reply::new());
    /// assert!(matches!(registry.call("format_disk", &invocation, b"{}", &mut reply), Outcome::Denied(_)));
    /// assert!(registry.call("list_files", &invocation, b"{}", &mut reply).is_success());
    /// let Outcome::Paused(paused) = registry.call("delete_file", &invocation, b"{}", &mut reply) else { panic!() };
    /// assert!(registry.resume(&paused, Approval::Approved, &invocation, &mut reply).is_success());
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    #[must_use]
    pub fn with_gate<G>(mut self, gate: G) -> Self
    where
        G: for<'a> Fn(&Conversation<'a>, ChainControl<'a, OnRequest>, &str, &[u8]) -> RequestFlow
            + Send
            + Sync
            + 'static,
    {
        self.surroundings.gate = Some(Arc::new(gate));
        self
    }

    /// Adds one tool, or replaces the tool of the same name. Publish a [`ToolBatch`] to add many, or to add a tool with a policy.
    ///
    /// # Errors
    /// [`Error::Name`] for a tool whose name is empty, [`Error::Panicked`] for one that cannot say its name.
    pub fn add(&self, tool: impl Tool + 'static) -> Result<(), Error> {
        let mut batch = ToolBatch::with_capacity(1);
        batch.add(tool);
        self.publish(batch)
    }

    /// Makes all the changes of a batch visible at once.
    ///
    /// # Errors
    /// [`Error::Name`] for a tool whose name is empty, [`Error::Panicked`] for one that cannot say its name. On an error, nothing changes.
    pub fn publish(&self, batch: ToolBatch) -> Result<(), Error> {
        let mut changes = Vec::with_capacity(batch.changes.len());
        for change in batch.changes {
            changes.push(match change {
                Staged::Add(tool, policy) => {
                    let siblings = Arc::downgrade(&self.tools);
                    Change::Add(Arc::new(RegisteredTool::new(tool, policy, &self.surroundings, siblings)?))
                }
                Staged::Remove(name) => Change::Remove(name),
            });
        }
        if !changes.is_empty() {
            self.tools.rcu(|tools| tools.with(&changes));
        }
        Ok(())
    }

    /// Finds a tool by its own name, or by the [alias](RegisteredTool::alias) that models write for it.
    ///
    /// # Errors
    /// [`UnknownTool`], with the names of the available tools.
    pub fn get(&self, name: &str) -> Result<Arc<RegisteredTool>, UnknownTool> {
        let tools = self.tools.load();
        tools
            .get(name)
            .cloned()
            .ok_or_else(|| UnknownTool { name: Text::format(format_args!("{name}")), tools: Guard::into_inner(tools) })
    }

    /// Returns the current tools, sorted by the name that models write. Later publishes do not change the list.
    pub fn tools(&self) -> Arc<[Arc<RegisteredTool>]> {
        self.tools.load().sorted().clone()
    }

    /// How many tools there are.
    pub fn len(&self) -> usize {
        self.tools.load().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the model is told about the tools, sorted by name, so that the same tools make the same prompt. A tool whose schema is
    /// broken is left out; [`RegisteredTool::spec`] says why.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools().iter().filter_map(|tool| tool.spec().ok().cloned()).collect()
    }

    /// Calls the tool of this name, or of this [alias](RegisteredTool::alias). An unknown name returns
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and the reply lists the available tools.
    pub fn call(&self, name: &str, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let tools = self.tools.load();
        match tools.get(name) {
            Some(tool) => tool.call(invocation, arguments, reply),
            None => reply.set_unknown_tool(name, tools.names()),
        }
    }

    /// Calls a tool asynchronously; otherwise as [`call`](Self::call). A synchronous function runs within a poll. Under a time limit, a
    /// synchronous function runs on a thread of its own, and the call ends at the limit even if the function does not.
    pub async fn call_async(
        &self,
        name: &str,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        let found = self.tools.load().get(name).cloned();
        match found {
            Some(tool) => tool.call_async(invocation, arguments, reply).await,
            None => reply.set_unknown_tool(name, self.tools.load().names()),
        }
    }

    /// Ends a paused call as it was answered: calls the tool of its name, or tells the model why not.
    pub fn resume(
        &self,
        paused: &PausedCall,
        approval: Approval,
        invocation: &Invocation<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let answered = paused.answered(approval, reply);
        answered.unwrap_or_else(|| {
            self.call(paused.tool(), &paused.approved(invocation), paused.arguments().as_bytes(), reply)
        })
    }

    /// Like [`resume`](Self::resume), asynchronously.
    pub async fn resume_async(
        &self,
        paused: &PausedCall,
        approval: Approval,
        invocation: &Invocation<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        match paused.answered(approval, reply) {
            Some(outcome) => outcome,
            None => {
                let (invocation, arguments) = (paused.approved(invocation), paused.arguments().as_bytes());
                self.call_async(paused.tool(), &invocation, arguments, reply).await
            }
        }
    }
}

impl fmt::Debug for ToolRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.tools.load().names()).finish()
    }
}

/// Makes a registry of these tools.
///
/// ```
/// use mistral_tools::{FunctionTool, ToolRegistry};
/// let registry = ToolRegistry::try_from([
///     FunctionTool::new("hello", "Greets", |_: ()| Ok("Hello!")),
///     FunctionTool::new("bye", "Takes leave", |_: ()| Ok("Bye!")),
/// ])?;
/// assert_eq!(registry.len(), 2);
/// # Ok::<(), mistral_tools::Error>(())
/// ```
impl<T: Tool + 'static, const N: usize> TryFrom<[T; N]> for ToolRegistry {
    type Error = Error;

    fn try_from(tools: [T; N]) -> Result<Self, Error> {
        Self::try_from(ToolBatch::from_iter(tools))
    }
}

/// Makes a registry of these tools.
impl<T: Tool + 'static> TryFrom<Vec<T>> for ToolRegistry {
    type Error = Error;

    fn try_from(tools: Vec<T>) -> Result<Self, Error> {
        Self::try_from(ToolBatch::from_iter(tools))
    }
}

/// Makes a registry with these changes.
impl TryFrom<ToolBatch> for ToolRegistry {
    type Error = Error;

    fn try_from(batch: ToolBatch) -> Result<Self, Error> {
        let registry = Self::new();
        registry.publish(batch)?;
        Ok(registry)
    }
}

/// Changes that a registry will see at once.
#[derive(Default)]
#[must_use = "a batch is to be published"]
pub struct ToolBatch {
    changes: Vec<Staged>,
}

enum Staged {
    Add(Arc<dyn Tool>, ToolPolicy),
    Remove(Cow<'static, str>),
}

/// What a publish changes.
pub(crate) enum Change {
    Add(Arc<RegisteredTool>),
    Remove(Cow<'static, str>),
}

impl ToolBatch {
    /// No changes.
    pub const fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Room for this many changes.
    pub fn with_capacity(changes: usize) -> Self {
        Self { changes: Vec::with_capacity(changes) }
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds a tool, or replaces the one of its name.
    pub fn add(&mut self, tool: impl Tool + 'static) -> &mut Self {
        self.add_with(tool, ToolPolicy::default())
    }

    /// Adds a tool with a policy of its own.
    pub fn add_with(&mut self, tool: impl Tool + 'static, policy: impl Into<ToolPolicy>) -> &mut Self {
        self.changes.push(Staged::Add(Arc::new(tool), policy.into()));
        self
    }

    /// Removes the tool of this name, or of this alias, if there is one.
    pub fn remove(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        self.changes.push(Staged::Remove(name.into()));
        self
    }
}

impl fmt::Debug for ToolBatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = formatter.debug_list();
        for change in &self.changes {
            match change {
                Staged::Add(tool, _) => match catch_unwind(AssertUnwindSafe(|| tool.name())) {
                    Ok(name) => list.entry(&format_args!("+{name}")),
                    Err(_) => list.entry(&format_args!("+?")),
                },
                Staged::Remove(name) => list.entry(&format_args!("-{name}")),
            };
        }
        list.finish()
    }
}

impl<T: Tool + 'static> FromIterator<T> for ToolBatch {
    fn from_iter<I: IntoIterator<Item = T>>(tools: I) -> Self {
        let mut batch = Self::new();
        batch.extend(tools);
        batch
    }
}

impl<T: Tool + 'static> Extend<T> for ToolBatch {
    fn extend<I: IntoIterator<Item = T>>(&mut self, tools: I) {
        for tool in tools {
            self.add(tool);
        }
    }
}

/// A name that no tool has.
#[derive(Clone)]
pub struct UnknownTool {
    name: Text,
    tools: Arc<Tools>,
}

impl UnknownTool {
    /// The name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The names that there were at the look-up, sorted.
    pub fn available(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tools.names()
    }
}

impl fmt::Display for UnknownTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_unknown(formatter, self.name(), self.available())
    }
}

impl fmt::Debug for UnknownTool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("UnknownTool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::error::Error for UnknownTool {}

/// The most names that an error lists: beyond, a model is better served by the list in its prompt.
const LISTED: usize = 64;

/// That there is no such tool, and which there are.
pub(crate) fn write_unknown<'a>(
    to: &mut impl fmt::Write,
    name: &str,
    mut available: impl ExactSizeIterator<Item = &'a str>,
) -> fmt::Result {
    write!(to, "there is no tool `{name}`")?;
    for (index, name) in available.by_ref().take(LISTED).enumerate() {
        write!(to, "{}{name}", if index == 0 { "; there are: " } else { ", " })?;
    }
    match available.len() {
        0 => Ok(()),
        more => write!(to, " and {more} more"),
    }
}
