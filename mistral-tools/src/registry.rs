//! The tools that are there now: published in batches, looked up without waiting.

mod snapshot;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use crate::{Error, Invocation, Outcome, RegisteredTool, Reply, Text, Tool, ToolSpec};
use snapshot::Tools;

/// Tools by name. A look-up takes no lock and never waits for a publish; a publish makes a copy of the table and swaps it in.
///
/// Readers see a batch as a whole or not at all. A call that is under way keeps its tool even when that is replaced.
///
/// Costs: a look-up is a hash and a few atomic operations, and allocates nothing. A publish copies a pointer for each tool
/// there is, so publish in batches.
///
/// ```
/// use mistral_tools::{ErrorKind, Invocation, Reply, SchemaType, Tool, ToolBatch, ToolBuilder, ToolError, ToolRegistry};
///
/// let greet = ToolBuilder::named("greet")
///     .description("Greets")
///     .request_schema::<()>(SchemaType::Serde)
///     .result_schema::<&str>(SchemaType::Serde)
///     .on_invocation(|_, _, (), ()| Ok::<_, ToolError>("Hello!"))
///     .build()?;
/// let discovered: Vec<Box<dyn Tool>> = Vec::new(); // at run time, from elsewhere
///
/// let registry = ToolRegistry::new();
/// let mut batch = ToolBatch::new();
/// batch.add(greet);
/// for tool in discovered {
///     batch.add(tool);
/// }
/// registry.publish(batch)?;
///
/// let mut reply = Reply::new();
/// assert!(registry.call("greet", &Invocation::default(), b"{}", &mut reply).is_success());
/// assert_eq!(reply.as_str(), "\"Hello!\"");
///
/// // An unknown name is an error that names what there is, for the host and for the model.
/// assert_eq!(registry.get("great").unwrap_err().available().collect::<Vec<_>>(), ["greet"]);
/// let outcome = registry.call("great", &Invocation::default(), b"{}", &mut reply);
/// assert_eq!(outcome.error_kind(), Some(ErrorKind::NotFound));
/// assert_eq!(reply.as_str(), "Error (not found): there is no tool `great`; there are: greet");
/// # Ok::<(), mistral_tools::Error>(())
/// ```
///
/// # Synchronization
/// One [`ArcSwap`]. A publish builds the next table privately and swaps it in by compare-and-swap, again if another publish came
/// first; `arc-swap` orders the build before the swap and the swap before every load that sees it. Reference counts keep a table
/// alive for as long as a reader has it.
#[derive(Default)]
pub struct ToolRegistry {
    tools: ArcSwap<Tools>,
}

impl ToolRegistry {
    /// A registry without tools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes all the changes of a batch visible at once.
    ///
    /// # Errors
    /// [`Error::Name`] for a tool whose name no template can carry; then nothing is changed.
    pub fn publish(&self, batch: ToolBatch) -> Result<(), Error> {
        let mut changes = Vec::with_capacity(batch.changes.len());
        for change in batch.changes {
            changes.push(match change {
                Staged::Add(tool) => {
                    ToolSpec::check_name(tool.name())?;
                    Change::Add(Arc::new(RegisteredTool::new(tool)))
                }
                Staged::Remove(name) => Change::Remove(name),
            });
        }
        if !changes.is_empty() {
            self.tools.rcu(|tools| tools.with(&changes));
        }
        Ok(())
    }

    /// The tool of this name.
    ///
    /// # Errors
    /// [`UnknownTool`], with the names that there are.
    pub fn get(&self, name: &str) -> Result<Arc<RegisteredTool>, UnknownTool> {
        let tools = self.tools.load();
        tools
            .get(name)
            .cloned()
            .ok_or_else(|| UnknownTool { name: Text::format(format_args!("{name}")), tools: Guard::into_inner(tools) })
    }

    /// The tools of now, sorted by name; later publishes do not change the list.
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

    /// Calls the tool of this name. A name that there is not ends as [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and the
    /// model is told the names that there are.
    pub fn call(&self, name: &str, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let tools = self.tools.load();
        match tools.get(name) {
            Some(tool) => tool.call(invocation, arguments, reply),
            None => reply.set_unknown_tool(name, tools.names()),
        }
    }

    /// Like [`call`](Self::call), asynchronously. A tool with a synchronous function runs within a poll.
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
}

impl fmt::Debug for ToolRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.tools.load().names()).finish()
    }
}

/// Changes that a registry will see at once.
#[derive(Default)]
#[must_use = "a batch is to be published"]
pub struct ToolBatch {
    changes: Vec<Staged>,
}

enum Staged {
    Add(Box<dyn Tool>),
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
        self.changes.push(Staged::Add(Box::new(tool)));
        self
    }

    /// Removes the tool of this name, if there is one.
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
                Staged::Add(tool) => list.entry(&format_args!("+{}", tool.name())),
                Staged::Remove(name) => list.entry(&format_args!("-{name}")),
            };
        }
        list.finish()
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
