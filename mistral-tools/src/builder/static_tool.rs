//! Tools and registries that are constants: nothing is built or allocated at run time.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    builder::{
        arguments::Arguments,
        schema::{Side, StaticSchema},
        validation::Validation,
    },
    conversation::Conversation,
    error::Error,
    json,
    outcome::{Outcome, reply::Reply, tool_error::ToolError},
    stream::chunk::ChunkEmitter,
    tool::{CallFuture, Invocation, Tool, annotations::ToolAnnotations, spec},
};

/// A synchronous function of a tool that is a constant.
pub type StaticFunction<A, R> =
    for<'a> fn(&'a Conversation<'a>, &'a ChunkEmitter<'a>, <A as Arguments>::At<'a>) -> Result<R, ToolError>;

/// A tool that is a constant: texts, a schema and a function, without hooks and dependency. The compiler checks the tool, by `unwrap` in
/// the constant; nothing panics at run time. As for any other tool, a string result is text and any other result is JSON.
///
/// ```
/// use mistral_tools::{stream::ChunkEmitter, Conversation, Invocation, Parameter, Reply, builder::StaticSchema, StaticTool, StaticToolRegistry, ToolError};
///
/// #[derive(serde::Deserialize)]
/// struct Pair {
///     a: i64,
///     b: i64,
/// }
///
/// fn add(_: &Conversation<'_>, _: &ChunkEmitter<'_>, pair: Pair) -> Result<i64, ToolError> {
///     pair.a.checked_add(pair.b).ok_or_else(|| ToolError::failed("the sum is too large"))
/// }
///
/// const PARAMETERS: &[Parameter] = &[Parameter::integer("a", "A number"), Parameter::integer("b", "Another")];
/// static ADD: StaticTool<Pair, i64> =
///     StaticTool::<Pair, i64>::new("add", "Adds two numbers", StaticSchema::inline(PARAMETERS), add).unwrap();
/// static TOOLS: StaticToolRegistry<1> = StaticToolRegistry::new([ADD.entry()]).unwrap();
///
/// let mut reply = Reply::new();
/// assert!(TOOLS.call("add", &Invocation::default(), br#"{"a": 37, "b": 43}"#, &mut reply).is_success());
/// assert_eq!(reply.as_str(), "80");
/// ```
pub struct StaticTool<A: Arguments, R: 'static> {
    name: &'static str,
    description: &'static str,
    schema: StaticSchema,
    function: StaticFunction<A, R>,
    annotations: ToolAnnotations,
    validation: Validation,
}

impl<A: Arguments, R: Serialize + Send + 'static> StaticTool<A, R> {
    /// A tool; none if the name is not 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`. In a constant or a static, `unwrap` has the
    /// compiler check that:
    ///
    /// ```compile_fail,E0080
    /// # use mistral_tools::{stream::ChunkEmitter, Conversation, builder::StaticSchema, StaticTool, ToolError};
    /// # fn f(_: &Conversation<'_>, _: &ChunkEmitter<'_>, (): ()) -> Result<(), ToolError> { Ok(()) }
    /// static A: StaticTool<(), ()> = StaticTool::<(), ()>::new("a b", "A", StaticSchema::inline(&[]), f).unwrap();
    /// ```
    /// ```
    /// # use mistral_tools::{stream::ChunkEmitter, Conversation, builder::StaticSchema, StaticTool, ToolError};
    /// # fn f(_: &Conversation<'_>, _: &ChunkEmitter<'_>, (): ()) -> Result<(), ToolError> { Ok(()) }
    /// static A: StaticTool<(), ()> = StaticTool::<(), ()>::new("a_b", "A", StaticSchema::inline(&[]), f).unwrap();
    /// ```
    pub const fn new(
        name: &'static str,
        description: &'static str,
        schema: StaticSchema,
        function: StaticFunction<A, R>,
    ) -> Option<Self> {
        if spec::is_name(name) {
            Some(Self {
                name,
                description,
                schema,
                function,
                annotations: ToolAnnotations::new(),
                validation: Validation::new(),
            })
        } else {
            None
        }
    }

    /// States what the tool does to its surroundings; see [`ToolSpec::annotations`](crate::ToolSpec::annotations).
    #[must_use]
    pub const fn with_annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = annotations;
        self
    }

    /// For a [`StaticToolRegistry`].
    pub const fn entry(&'static self) -> StaticEntry {
        StaticEntry { name: self.name, tool: self }
    }

    fn attempt(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Result<R, ToolError> {
        let emitter = invocation.emitter().under(invocation.conversation().execution().token());
        let arguments = self.validation.check(|| self.request_schema().ok(), arguments)?;
        let read =
            json::arguments::<A::At<'_>>(arguments, &mut reply.scratch).map_err(|error| error.into_tool_error())?;
        (self.function)(invocation.conversation(), &emitter, read)
    }
}

impl<A: Arguments, R: Serialize + Send + 'static> Tool for StaticTool<A, R> {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        self.description
    }

    fn request_schema(&self) -> Result<Value, Error> {
        self.schema.to_json(self.name, Side::Request)
    }

    fn annotations(&self) -> ToolAnnotations {
        self.annotations
    }

    fn call(&self, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        let written = self.attempt(invocation, arguments, reply).and_then(|result| reply.set_typed(&result));
        let outcome = written.map_or_else(Outcome::Error, |()| Outcome::Success);
        reply.set_outcome(&outcome);
        outcome
    }

    fn call_async<'a>(
        &'a self,
        invocation: &'a Invocation<'a>,
        arguments: &'a [u8],
        reply: &'a mut Reply,
    ) -> CallFuture<'a> {
        CallFuture::blocking(self, invocation, arguments, reply)
    }

    fn is_blocking(&self) -> bool {
        true
    }
}

impl<A: Arguments, R> fmt::Debug for StaticTool<A, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StaticTool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A tool of a [`StaticToolRegistry`].
#[derive(Clone, Copy)]
pub struct StaticEntry {
    name: &'static str,
    tool: &'static dyn Tool,
}

impl StaticEntry {
    /// Any tool that lives forever, under its name.
    pub const fn new(name: &'static str, tool: &'static dyn Tool) -> Self {
        Self { name, tool }
    }
}

impl fmt::Debug for StaticEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name, formatter)
    }
}

/// `N` tools in a constant, sorted by the compiler; a look-up is a binary search, O(log N).
///
/// The compiler refuses two tools of one name:
///
/// ```compile_fail,E0080
/// # use mistral_tools::{stream::ChunkEmitter, Conversation, builder::StaticSchema, StaticTool, StaticToolRegistry, ToolError};
/// # fn f(_: &Conversation<'_>, _: &ChunkEmitter<'_>, (): ()) -> Result<(), ToolError> { Ok(()) }
/// static A: StaticTool<(), ()> = StaticTool::<(), ()>::new("a", "A", StaticSchema::inline(&[]), f).unwrap();
/// static B: StaticTool<(), ()> = StaticTool::<(), ()>::new("a", "B", StaticSchema::inline(&[]), f).unwrap();
/// static TOOLS: StaticToolRegistry<2> = StaticToolRegistry::new([B.entry(), A.entry()]).unwrap();
/// ```
/// ```
/// # use mistral_tools::{stream::ChunkEmitter, Conversation, builder::StaticSchema, StaticTool, StaticToolRegistry, ToolError};
/// # fn f(_: &Conversation<'_>, _: &ChunkEmitter<'_>, (): ()) -> Result<(), ToolError> { Ok(()) }
/// static A: StaticTool<(), ()> = StaticTool::<(), ()>::new("a", "A", StaticSchema::inline(&[]), f).unwrap();
/// static B: StaticTool<(), ()> = StaticTool::<(), ()>::new("b", "B", StaticSchema::inline(&[]), f).unwrap();
/// static TOOLS: StaticToolRegistry<2> = StaticToolRegistry::new([B.entry(), A.entry()]).unwrap();
/// assert_eq!(TOOLS.names().collect::<Vec<_>>(), ["a", "b"]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StaticToolRegistry<const N: usize> {
    entries: [StaticEntry; N],
}

impl<const N: usize> StaticToolRegistry<N> {
    /// A registry of these tools; none if two have the same name. In a constant or a static, `unwrap` has the compiler check that.
    pub const fn new(mut entries: [StaticEntry; N]) -> Option<Self> {
        let mut sorted = 1;
        while sorted < N {
            let mut at = sorted;
            while at > 0 {
                let order = compare(entries[at - 1].name.as_bytes(), entries[at].name.as_bytes());
                if order == 0 {
                    return None;
                }
                if order < 0 {
                    break;
                }
                (entries[at - 1], entries[at]) = (entries[at], entries[at - 1]);
                at -= 1;
            }
            sorted += 1;
        }
        Some(Self { entries })
    }

    /// The tool of this name.
    pub fn get(&self, name: &str) -> Option<&'static dyn Tool> {
        let at = self.entries.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
        self.entries.get(at).map(|entry| entry.tool)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'static str> + '_ {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The tools, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static dyn Tool> + '_ {
        self.entries.iter().map(|entry| entry.tool)
    }

    /// Calls the tool of this name; a name that there is not ends as [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and
    /// the model is told the names that there are.
    pub fn call(&self, name: &str, invocation: &Invocation<'_>, arguments: &[u8], reply: &mut Reply) -> Outcome {
        match self.get(name) {
            Some(tool) => tool.call(invocation, arguments, reply),
            None => reply.set_unknown_tool(name, self.names()),
        }
    }

    /// Like [`call`](Self::call), asynchronously.
    pub async fn call_async(
        &self,
        name: &str,
        invocation: &Invocation<'_>,
        arguments: &[u8],
        reply: &mut Reply,
    ) -> Outcome {
        match self.get(name) {
            Some(tool) => tool.call_async(invocation, arguments, reply).await,
            None => reply.set_unknown_tool(name, self.names()),
        }
    }
}

/// Less than, equal to or greater than 0, as `a` is to `b`; the order of `str`.
const fn compare(a: &[u8], b: &[u8]) -> i32 {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] as i32 - b[at] as i32;
        }
        at += 1;
    }
    (at < a.len()) as i32 - (at < b.len()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::kinds::ErrorKind;

    fn f(_: &Conversation<'_>, _: &ChunkEmitter<'_>, (): ()) -> Result<u8, ToolError> {
        Ok(7)
    }

    macro_rules! tools {
        ($($tool:ident $name:literal)*) => {$(
            static $tool: StaticTool<(), u8> = StaticTool::<(), u8>::new($name, "", StaticSchema::of::<()>(), f).unwrap();
        )*};
    }
    tools!(A "b" B "a-very-long-name" C "a" D "_" E "B" F "ab" G "0");
    static TOOLS: StaticToolRegistry<7> =
        StaticToolRegistry::new([A.entry(), B.entry(), C.entry(), D.entry(), E.entry(), F.entry(), G.entry()]).unwrap();

    #[test]
    fn constants_are_sorted_as_strings_are() {
        let names: Vec<_> = TOOLS.names().collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            assert_eq!(TOOLS.get(name).unwrap().name(), name);
        }
        for name in ["", "c", "abc", "a-", "A"] {
            assert!(TOOLS.get(name).is_none(), "{name}");
        }
        static NONE: StaticToolRegistry<0> = StaticToolRegistry::new([]).unwrap();
        assert!(NONE.get("a").is_none());
    }

    #[test]
    fn wrong_constants_are_none_at_run_time() {
        let tool = |name| StaticTool::<(), u8>::new(name, "", StaticSchema::of::<()>(), f);
        let long: &'static str = "a".repeat(65).leak();
        for name in ["", "a b", "a.b", "é", "a\0", long] {
            assert!(tool(name).is_none(), "{name:?}");
        }
        assert!(tool(&long[..64]).is_some());
        let twice = [A.entry(), B.entry(), StaticEntry::new("b", &C)];
        assert!(StaticToolRegistry::new(twice).is_none());
        assert!(StaticToolRegistry::new([B.entry(), B.entry()]).is_none());
    }

    #[test]
    fn calls_and_unknown_names() {
        let mut reply = Reply::new();
        assert!(TOOLS.call("ab", &Invocation::default(), b"", &mut reply).is_success());
        assert_eq!(reply.as_str(), "7");
        let outcome = TOOLS.call("abc", &Invocation::default(), b"", &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::NotFound));
        assert_eq!(
            reply.as_str(),
            "Error (not found): there is no tool `abc`; there are: 0, B, _, a, a-very-long-name, ab, b"
        );
        let outcome = TOOLS.call("ab", &Invocation::default(), b"[", &mut reply);
        assert_eq!(outcome.error_kind(), Some(ErrorKind::InvalidArguments));
    }
}
