//! The tools that are there now: published in batches, looked up without waiting.

pub(crate) mod approval;
pub(crate) mod policy;
pub(crate) mod registered_tool;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;
pub(crate) mod turn;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};

use crate::{
    conversation::Conversation,
    error::Error,
    hooks::{ChainControl, OnRequest, RequestFlow},
    outcome::{Outcome, paused_call::PausedCall, reply::Reply, text::Text, unknown_tool::write_unknown},
    registry::{
        approval::Approval,
        policy::{Surroundings, ToolObserver, ToolPolicy},
        registered_tool::RegisteredTool,
        snapshot::{Change, Tools},
    },
    resilience::policy::ResiliencePolicy,
    time::{SystemClock, timer::Timer},
    tool::{Invocation, Tool, spec::ToolSpec},
};

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
    /// use mistral_tools::{resilience::ResilienceEvent, ToolRegistry};
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
    /// observer receives [`ResilienceEvent::GatePanicked`](crate::resilience::ResilienceEvent::GatePanicked).
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
    /// [`Error::Name`] for a tool whose name is empty, [`Error::Duplicate`] for two tools of one name, and [`Error::Panicked`] for a tool
    /// that cannot say its name. On an error, nothing changes.
    pub fn publish(&self, batch: ToolBatch) -> Result<(), Error> {
        let ToolBatch { changes: staged, namespace } = batch;
        let in_namespace = |name: Cow<'static, str>| match &namespace {
            Some(namespace) => format!("{namespace}.{name}").into(),
            None => name,
        };
        let (mut changes, mut added) = (Vec::with_capacity(staged.len()), BTreeSet::new());
        for change in staged {
            changes.push(match change {
                Staged::Add(tool, policy) => {
                    let tool = RegisteredTool::new(tool, namespace.as_deref(), policy, &self.surroundings)?;
                    if !added.insert(tool.name().to_owned()) {
                        return Err(Error::Duplicate { name: tool.name().into() });
                    }
                    Change::Add(Arc::new(tool))
                }
                Staged::Remove(name) => {
                    let name = in_namespace(name);
                    added.remove(&*name);
                    Change::Remove(name)
                }
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

    fn find(&self, name: &str) -> Option<Arc<RegisteredTool>> {
        self.tools.load().get(name).cloned()
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
            Some(tool) => tool.call_among(&|name| self.find(name), invocation, arguments, reply),
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
        match self.find(name) {
            Some(tool) => tool.call_async_among(&|name| self.find(name), invocation, arguments, reply).await,
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
///
/// The tools of an array have one type. Tools of several types, such as a [`FunctionTool`](crate::FunctionTool) and a built
/// [`Callable`](crate::builder::Callable), are boxed as `dyn Tool`, or added one by one by [`add`](Self::add).
///
/// ```
/// use mistral_tools::{FunctionTool, SchemaType, Tool, ToolBuilder, ToolError, ToolRegistry};
/// let built = ToolBuilder::named("bye")
///     .description("Takes leave")
///     .request_schema::<()>(SchemaType::JsonSchema("{}"))
///     .result_schema::<String>(SchemaType::JsonSchema("{}"))
///     .on_invocation(|_, _, (), ()| Ok::<_, ToolError>("Bye!".to_owned()))
///     .build()?;
/// let tools: [Box<dyn Tool>; 2] = [Box::new(FunctionTool::new("hello", "Greets", |_: ()| Ok("Hello!"))), Box::new(built)];
/// assert_eq!(ToolRegistry::try_from(tools)?.len(), 2);
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
    namespace: Option<String>,
}

enum Staged {
    Add(Arc<dyn Tool>, ToolPolicy),
    Remove(Cow<'static, str>),
}

impl ToolBatch {
    /// No changes.
    pub const fn new() -> Self {
        Self { changes: Vec::new(), namespace: None }
    }

    /// Room for this many changes.
    pub fn with_capacity(changes: usize) -> Self {
        Self { changes: Vec::with_capacity(changes), namespace: None }
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Puts all names of the batch under the name of their source, such as an MCP server: the tool `search` of the namespace `docs` is
    /// `docs.search` in the registry. Models call the tool by its [alias](RegisteredTool::alias), `docs_search`. Tools of two sources
    /// then never replace each other.
    ///
    /// ```
    /// use mistral_tools::{FunctionTool, ToolBatch, ToolRegistry};
    ///
    /// let registry = ToolRegistry::new();
    /// for source in ["docs", "web"] {
    ///     let mut batch = ToolBatch::new();
    ///     batch.add(FunctionTool::new("search", "Searches", |_: ()| Ok("nothing"))).namespace(source);
    ///     registry.publish(batch)?;
    /// }
    /// assert_eq!((registry.len(), registry.get("docs.search").is_ok()), (2, true));
    /// assert_eq!(registry.specs()[0].name(), "docs_search");
    /// # Ok::<(), mistral_tools::Error>(())
    /// ```
    pub fn namespace(&mut self, name: impl Into<String>) -> &mut Self {
        self.namespace = Some(name.into());
        self
    }

    /// Adds a tool. When the batch is published, the tool replaces a published tool of the same name.
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
