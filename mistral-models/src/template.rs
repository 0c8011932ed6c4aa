//! Chat templates: they turn messages into the text on which a model was trained, with the same meaning as in Hugging Face transformers.
//!
//! Templates are Jinja2 programs that come with a checkpoint, so they are untrusted code. They can use what the renderer of transformers
//! offers: Jinja2's immutable sandbox, `trim_blocks`, `lstrip_blocks`, loop controls, the `generation` tag, `tojson`, `raise_exception` and
//! `strftime_now`. They are evaluated with Python's semantics: how values print, which operations are type errors, which names are
//! undefined.
//!
//! [`TemplateLimits`] bounds steps, memory, recursion, source and output; every excess is [`Error::Template`], never a panic. Strings are
//! plain or safe as in markupsafe: `safe` and `escape` return safe text, and only an `autoescape` block escapes output.
//!
//! Sources: the Jinja2 3.1 documentation, and `transformers/utils/chat_template_utils.py` of Hugging Face transformers 5.
//!
//! Known differences: integers are 128 bits wide, and lazy filters evaluate at once. `extends`, `include` and `import` are errors when
//! reached. [`Error::Unsupported`] names features of Jinja2 that this renderer lacks: the filters `pprint`, `random`, `urlize` and
//! `wordwrap`, the function `lipsum`, methods that need bytes or fractions, and named HTML entities other than those of XML and `&nbsp;`.

mod ast;
mod builtin;
mod call;
mod clock;
mod compare;
mod filter;
mod format;
mod interpreter;
mod lexer;
mod looping;
mod meter;
mod method;
mod operator;
mod parser;
mod predicate;
mod print;
pub(crate) mod source;
mod text;
mod value;

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use self::clock::Clock;
use self::interpreter::Interpreter;
use self::meter::{Meter, Vector};
use self::value::{Dict, Value};
use crate::error::Error;
use crate::unsupported::Unsupported;

pub use self::source::ChatTemplates;

/// The resources that a template may use in one rendering.
///
/// Long conversations need more of every resource, so each of the first three limits grows with the size of the input:
/// `limit + limit_per_input_byte * size`. The size is the bytes of all strings and object keys of the input, plus 16 bytes per value. The
/// source is not part of the input. Set the three growth factors to 0 for fixed limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateLimits {
    /// Bytes of the template's source. Default: 1 MiB.
    pub source_bytes: usize,
    /// Bytes of the rendered text. Default: 16 MiB.
    pub output_bytes: usize,
    /// Additional bytes of rendered text per byte of the input. Default: 4.
    pub output_per_input_byte: u64,
    /// Bytes of all values and texts that are alive at the same time, including the input. A value is counted before it is made, so the
    /// memory of a rendering never exceeds this limit. Default: 256 MiB.
    pub memory_bytes: u64,
    /// Additional bytes of memory per byte of the input. Default: 64.
    pub memory_per_input_byte: u64,
    /// Steps of work. An expression, a statement, an iteration, a pair of values compared and a level of nesting printed are one step
    /// each; so are 64 bytes copied or compared, and 8 bytes read character by character. 5 million steps take less than a second.
    /// Default: 5 million.
    pub steps: u64,
    /// Additional steps per byte of the input. Default: 64.
    pub steps_per_input_byte: u64,
    /// Statements and expressions inside each other, through macro calls and recursive loops. A level takes up to about 2 KiB of the
    /// calling thread's stack. Default: 300.
    pub depth: usize,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self {
            source_bytes: 1 << 20,
            output_bytes: 16 << 20,
            output_per_input_byte: 4,
            memory_bytes: 256 << 20,
            memory_per_input_byte: 64,
            steps: 5_000_000,
            steps_per_input_byte: 64,
            depth: 300,
        }
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
            let detail = format!(
                "the template has {} bytes of source, above the limit of {}; raise `source_bytes` of TemplateLimits if it is trusted",
                source.len(),
                limits.source_bytes
            );
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
        let meter = Meter::new(&self.limits, input_size(input));
        let mut interpreter = Interpreter::new(&self.limits, clock, meter.clone());
        let rendered = variables(&meter, input).and_then(|names| interpreter.render(&self.body, names));
        rendered.map_err(|fault| fault.into_error(interpreter.line))
    }
}

/// Why a template could not be compiled or rendered.
#[derive(Debug)]
struct Fault {
    detail: String,
    line: Option<usize>,
    kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    /// The template is wrong, or refuses its input.
    Refused,
    Limit,
    /// A feature of Jinja2 that this renderer lacks.
    Unsupported(&'static str),
}

impl Fault {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), line: None, kind: FaultKind::Refused }
    }

    fn at(line: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), line: Some(line), kind: FaultKind::Refused }
    }

    fn limit(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), line: None, kind: FaultKind::Limit }
    }

    fn unsupported(what: &'static str, name: impl Into<String>) -> Self {
        Self { detail: name.into(), line: None, kind: FaultKind::Unsupported(what) }
    }

    fn is_limit(&self) -> bool {
        self.kind == FaultKind::Limit
    }

    fn into_error(self, line: usize) -> Error {
        let line = self.line.unwrap_or(line);
        match self.kind {
            FaultKind::Unsupported(feature) => Unsupported::Template { feature, name: self.detail, line }.into(),
            _ => Error::Template { detail: self.detail, line: Some(line) },
        }
    }
}

/// Returns the input size with which the limits grow.
fn input_size(input: &TemplateInput<'_>) -> u64 {
    let lists = [Some(input.messages), input.tools, input.documents];
    let lists: u64 = lists.into_iter().flatten().flatten().map(|value| size(value, 0)).sum();
    let variables = input.variables.into_iter().flatten();
    lists + variables.map(|(name, value)| name.len() as u64 + size(value, 0)).sum::<u64>()
}

fn size(value: &serde_json::Value, depth: usize) -> u64 {
    let inner = |value| size(value, depth + 1);
    16 + match value {
        serde_json::Value::String(text) => text.len() as u64,
        // Deeper values are refused later.
        _ if depth > value::DEPTH_LIMIT => 0,
        serde_json::Value::Array(items) => items.iter().map(inner).sum(),
        serde_json::Value::Object(map) => map.iter().map(|(name, value)| name.len() as u64 + inner(value)).sum(),
        _ => 0,
    }
}

fn variables(meter: &Rc<Meter>, input: &TemplateInput<'_>) -> Result<Vec<(Arc<str>, Value)>, Fault> {
    let mut names: Vec<(Arc<str>, Value)> = Vec::new();
    for (name, value) in input.variables.into_iter().flatten() {
        names.push((name.as_str().into(), Value::from_json(meter, value)?));
    }
    let list = |items: &[serde_json::Value], item: fn(&Rc<Meter>, &serde_json::Value) -> Result<Value, Fault>| {
        let mut list = Vector::with_capacity(meter, items.len())?;
        for value in items {
            list.push(item(meter, value)?)?;
        }
        Value::list(list)
    };
    let optional = |items: Option<&[serde_json::Value]>| items.map_or(Ok(Value::None), |i| list(i, Value::from_json));
    names.push(("messages".into(), list(input.messages, message)?));
    names.push(("tools".into(), optional(input.tools)?));
    names.push(("documents".into(), optional(input.documents)?));
    names.push(("add_generation_prompt".into(), Value::Bool(input.add_generation_prompt)));
    Ok(names)
}

/// The names that a message's reasoning has, in order of preference.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A message as templates see it: reasoning under any of its names is also found as `reasoning_content` and `thinking`, as in
/// transformers 5.
fn message(meter: &Rc<Meter>, message: &serde_json::Value) -> Result<Value, Fault> {
    let value = Value::from_json(meter, message)?;
    let Value::Dict(fields) = &value else { return Ok(value) };
    let mut found = None;
    for name in REASONING {
        found = found.or(fields.get_str(name)?.filter(|v| !matches!(v, Value::None)));
    }
    let Some(reasoning) = found.cloned() else { return Ok(value) };
    let mut aliased = Dict::new(meter)?;
    aliased.insert(Value::str(meter, "thinking")?, reasoning.clone())?;
    for (name, value) in fields.entries() {
        aliased.insert(name.clone(), value.clone())?;
    }
    aliased.insert(Value::str(meter, "reasoning_content")?, reasoning)?;
    Ok(Value::Dict(aliased.into()))
}
