//! Chat templates: messages to the text a model was trained on, with the meaning that Hugging Face transformers gives them.
//!
//! Templates are Jinja2 programs that come with a checkpoint, so they are untrusted code. What they can do is what the renderer of
//! transformers offers (Jinja2's immutable sandbox, `trim_blocks`, `lstrip_blocks`, loop controls, the `generation` tag, `tojson`,
//! `raise_exception`, `strftime_now`), evaluated with Python's semantics: how values print, what is a type error, what is undefined.
//! Steps, bytes, recursion, source and output are bounded by [`TemplateLimits`]; every excess is [`Error::Template`], never a panic.
//!
//! Sources: the Jinja2 3.1 documentation, and `transformers/utils/chat_template_utils.py` of Hugging Face transformers 5.
//!
//! Known differences: integers are 128 bits wide; `escape` and `safe` give plain strings, as nothing is escaped automatically;
//! `extends`, `include` and `import` are errors when reached, as are the filters `filesizeformat`, `pprint`, `random`, `striptags`,
//! `urlize`, `wordwrap` and `xmlattr` and the globals `cycler`, `joiner` and `lipsum`; lazy filters evaluate at once.

mod ast;
mod builtin;
mod call;
mod clock;
mod filter;
mod format;
mod interpreter;
mod lexer;
mod looping;
mod method;
mod operator;
mod parser;
mod predicate;
mod print;
mod source;
mod value;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use self::clock::Clock;
use self::interpreter::Interpreter;
use self::value::{Dict, Value};
use crate::Error;

pub use self::source::ChatTemplates;

/// What a template may use. All counts are for one rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateLimits {
    /// Bytes of the template's source. Default: 1 MiB.
    pub source_bytes: usize,
    /// Bytes of the rendered text. Default: 16 MiB.
    pub output_bytes: usize,
    /// Bytes of all values made on the way, freed or not, which bounds memory and time. Default: 256 MiB.
    pub memory_bytes: u64,
    /// Expressions, statements and iterations. Default: 5 million.
    pub steps: u64,
    /// Statements and expressions inside each other, through macro calls and recursive loops. A level takes up to about 2 KiB of the
    /// calling thread's stack. Default: 300.
    pub depth: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self { source_bytes: 1 << 20, output_bytes: 16 << 20, memory_bytes: 256 << 20, steps: 5_000_000, depth: 300 }
    }
}

/// What a template renders: a conversation and what is known beside it.
///
/// ```
/// use mistral_models::{ChatTemplate, TemplateInput};
///
/// let template = ChatTemplate::new("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")?;
/// let messages = [serde_json::json!({"role": "user", "content": "Hi"})];
/// assert_eq!(template.render(&TemplateInput::new(&messages))?, "<user>Hi");
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TemplateInput<'a> {
    /// The conversation: objects with `role`, `content` and what else the template reads. Tool-call arguments are passed on as they
    /// are, JSON text or object.
    pub messages: &'a [serde_json::Value],
    /// Tool specifications as JSON schemas. Default: `none`.
    pub tools: Option<&'a [serde_json::Value]>,
    /// Documents for retrieval. Default: `none`.
    pub documents: Option<&'a [serde_json::Value]>,
    /// Whether the text ends with the beginning of an assistant message. Default: false.
    pub add_generation_prompt: bool,
    /// `bos_token`, `eos_token` and other special tokens, and what the caller sets for this template, as `enable_thinking`.
    pub variables: Option<&'a serde_json::Map<String, serde_json::Value>>,
    /// The time that `strftime_now` prints, read as UTC. Default: the system's.
    pub now: Option<SystemTime>,
}

impl<'a> TemplateInput<'a> {
    /// A conversation without tools, documents, variables or a generation prompt.
    pub fn new(messages: &'a [serde_json::Value]) -> Self {
        Self { messages, tools: None, documents: None, add_generation_prompt: false, variables: None, now: None }
    }

    /// Sets the tools.
    pub fn tools(mut self, tools: &'a [serde_json::Value]) -> Self {
        self.tools = Some(tools);
        self
    }

    /// Sets the documents.
    pub fn documents(mut self, documents: &'a [serde_json::Value]) -> Self {
        self.documents = Some(documents);
        self
    }

    /// Ends the text with the beginning of an assistant message.
    pub fn add_generation_prompt(mut self, add: bool) -> Self {
        self.add_generation_prompt = add;
        self
    }

    /// Sets special tokens and other variables. `messages`, `tools`, `documents` and `add_generation_prompt` in it are ignored.
    pub fn variables(mut self, variables: &'a serde_json::Map<String, serde_json::Value>) -> Self {
        self.variables = Some(variables);
        self
    }

    /// Fixes the time, so that a rendering does not depend on the day.
    pub fn now(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }
}

/// A compiled chat template. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    body: Arc<ast::Body>,
    source: Arc<str>,
    limits: TemplateLimits,
}

impl ChatTemplate {
    /// Compiles a template. [`Error::Template`] when it is not valid Jinja2 or larger than the default limit.
    pub fn new(source: &str) -> Result<Self, Error> {
        Self::with_limits(source, TemplateLimits::default())
    }

    /// Compiles a template that will run within other limits.
    pub fn with_limits(source: &str, limits: TemplateLimits) -> Result<Self, Error> {
        if source.len() > limits.source_bytes {
            let detail = format!("{} bytes of source, above the limit of {}", source.len(), limits.source_bytes);
            return Err(Error::Template { detail, line: None });
        }
        let body = parser::parse(source).map_err(|fault| fault.into_error(1))?;
        Ok(Self { body: Arc::new(body), source: source.into(), limits })
    }

    /// The source it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation. [`Error::Template`] when the template refuses it (`raise_exception`), uses a value in a way that Python
    /// forbids, or exceeds its limits.
    pub fn render(&self, input: &TemplateInput<'_>) -> Result<String, Error> {
        let clock = input.now.map_or_else(Clock::now, Clock::at);
        let mut interpreter = Interpreter::new(&self.limits, clock);
        let rendered = variables(input).and_then(|names| interpreter.render(&self.body, names));
        rendered.map_err(|fault| fault.into_error(interpreter.line))
    }
}

/// Why a template could not be compiled or rendered.
#[derive(Debug)]
struct Fault {
    detail: String,
    line: Option<usize>,
}

impl Fault {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), line: None }
    }

    fn at(line: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), line: Some(line) }
    }

    fn into_error(self, line: usize) -> Error {
        Error::Template { detail: self.detail, line: Some(self.line.unwrap_or(line)) }
    }
}

fn variables(input: &TemplateInput<'_>) -> Result<HashMap<Arc<str>, Value>, Fault> {
    let mut names: HashMap<Arc<str>, Value> = HashMap::new();
    for (name, value) in input.variables.into_iter().flatten() {
        names.insert(name.as_str().into(), Value::from_json(value)?);
    }
    let list = |items: &[serde_json::Value]| Value::list(items.iter().map(Value::from_json).collect::<Result<_, _>>()?);
    let optional = |items: Option<&[serde_json::Value]>| items.map_or(Ok(Value::None), list);
    names.insert("messages".into(), Value::list(input.messages.iter().map(message).collect::<Result<_, _>>()?)?);
    names.insert("tools".into(), optional(input.tools)?);
    names.insert("documents".into(), optional(input.documents)?);
    names.insert("add_generation_prompt".into(), Value::Bool(input.add_generation_prompt));
    Ok(names)
}

/// The names that a message's reasoning has, in order of preference.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A message as templates see it: reasoning under any of its names is also found as `reasoning_content` and `thinking`, as in
/// transformers 5.
fn message(message: &serde_json::Value) -> Result<Value, Fault> {
    let value = Value::from_json(message)?;
    let Value::Dict(fields) = &value else { return Ok(value) };
    let found = REASONING.iter().filter_map(|name| fields.get_str(name)).find(|v| !matches!(v, Value::None)).cloned();
    let Some(reasoning) = found else { return Ok(value) };
    let mut aliased = Dict::default();
    aliased.insert(Value::str("thinking"), reasoning.clone())?;
    for (name, value) in fields.entries() {
        aliased.insert(name.clone(), value.clone())?;
    }
    aliased.insert(Value::str("reasoning_content"), reasoning)?;
    Ok(Value::Dict(aliased.into()))
}
