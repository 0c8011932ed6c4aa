//! What the user submits: a prompt and how it is to be continued.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mistral_tools::{Message, ToolSpec};
use serde_json::{Map, Value};

use crate::constraint::rule::Constraint;
use crate::prompt::Prompt;
use crate::sample::params::Sampling;

/// A prompt and how to continue it. Every setting has a default: greedy, to the end of the text or of the context.
///
/// ```
/// use mistral_core::Request;
/// let request = Request::new("Once upon a time").max_tokens(64).temperature(0.8).top_p(0.95).seed(7).stop("\n\n");
/// assert_eq!(request.max_tokens, Some(64));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// What is to be continued.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Seed of the draws; `None` derives one from the engine's seed and the number of the sequence, whatever other requests there are.
    pub seed: Option<u64>,
    /// At most this many generated tokens, at least 1; `None`: until the context is full.
    pub max_tokens: Option<usize>,
    /// Texts that end the generation, also across token boundaries; none may be empty.
    pub stop_strings: Vec<String>,
    /// Tokens that end the generation, beside those of the checkpoint.
    pub stop_tokens: Vec<u32>,
    /// Whether the stop string is part of the text; by default it is not.
    pub include_stop: bool,
    /// Go on past the checkpoint's end tokens (benchmarks).
    pub ignore_eos: bool,
    /// Show special tokens in the text instead of leaving them out.
    pub special_text: bool,
    /// Report log probabilities and so many alternatives a token; `Some(0)`: of the chosen token only.
    pub logprobs: Option<usize>,
    /// The sequence ends at the first step at or after this time.
    pub deadline: Option<Instant>,
    /// A rule for which tokens may come next, such as a [`CallConstraint`](crate::constraint::CallConstraint). Log probabilities are
    /// computed after masking; masked tokens have none.
    pub constraint: Option<Arc<dyn Constraint>>,
    /// The first setting that only chat prompts hear, set for another prompt.
    pub(crate) unheard: Option<&'static str>,
}

impl Request {
    /// A request with every setting at its default.
    pub fn new(prompt: impl Into<Prompt>) -> Self {
        Self {
            prompt: prompt.into(),
            sampling: Sampling::default(),
            seed: None,
            max_tokens: None,
            stop_strings: Vec::new(),
            stop_tokens: Vec::new(),
            include_stop: false,
            ignore_eos: false,
            special_text: false,
            logprobs: None,
            deadline: None,
            constraint: None,
            unheard: None,
        }
    }

    /// Messages for the chat template.
    pub fn chat(messages: impl IntoIterator<Item = Message>) -> Self {
        Self::new(Prompt::Chat { messages: messages.into_iter().collect(), tools: Vec::new(), variables: Map::new() })
    }

    /// Adds tools that the model may call. Only chat prompts have tools: a request with another prompt is refused when it is submitted.
    pub fn tools(mut self, specs: impl IntoIterator<Item = ToolSpec>) -> Self {
        match &mut self.prompt {
            Prompt::Chat { tools, .. } => tools.extend(specs),
            _ => self.unheard = self.unheard.or(Some("tools")),
        }
        self
    }

    /// Sets a variable for the chat template, such as `enable_thinking` of Qwen 3. Only chat prompts have variables: a request with another
    /// prompt is refused when it is submitted.
    ///
    /// ```
    /// use mistral_core::{Message, Request};
    /// let request = Request::chat([Message::user("Hi")]).template_variable("enable_thinking", false);
    /// ```
    pub fn template_variable(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        match &mut self.prompt {
            Prompt::Chat { variables, .. } => drop(variables.insert(name.into(), value.into())),
            _ => self.unheard = self.unheard.or(Some("template_variable")),
        }
        self
    }

    /// Selects the chat template of this name, one of [`Model::chat_templates`](crate::Model::chat_templates). Only for chat prompts.
    /// Shorthand for the template variable `chat_template`.
    pub fn chat_template(self, name: impl Into<String>) -> Self {
        self.template_variable(crate::text::TEMPLATE_NAME, name.into())
    }

    /// Sets all sampling parameters at once.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// See [`Sampling::temperature`].
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.sampling.temperature = temperature;
        self
    }

    /// See [`Sampling::top_k`].
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.sampling.top_k = top_k;
        self
    }

    /// See [`Sampling::top_p`].
    pub fn top_p(mut self, top_p: f32) -> Self {
        self.sampling.top_p = top_p;
        self
    }

    /// See [`Sampling::min_p`].
    pub fn min_p(mut self, min_p: f32) -> Self {
        self.sampling.min_p = min_p;
        self
    }

    /// See [`Sampling::repetition_penalty`].
    pub fn repetition_penalty(mut self, penalty: f32) -> Self {
        self.sampling.repetition_penalty = penalty;
        self
    }

    /// See [`Sampling::repetition_window`].
    pub fn repetition_window(mut self, tokens: usize) -> Self {
        self.sampling.repetition_window = Some(tokens);
        self
    }

    /// See [`Sampling::presence_penalty`].
    pub fn presence_penalty(mut self, penalty: f32) -> Self {
        self.sampling.presence_penalty = penalty;
        self
    }

    /// See [`Sampling::frequency_penalty`].
    pub fn frequency_penalty(mut self, penalty: f32) -> Self {
        self.sampling.frequency_penalty = penalty;
        self
    }

    /// Adds to the logit of one token; see [`Sampling::logit_bias`].
    pub fn logit_bias(mut self, token: u32, bias: f32) -> Self {
        self.sampling.logit_bias.push((token, bias));
        self
    }

    /// See [`Request::seed`](Self#structfield.seed).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// At most this many generated tokens.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// One more text that ends the generation.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stop_strings.push(text.into());
        self
    }

    /// One more token that ends the generation.
    pub fn stop_token(mut self, token: u32) -> Self {
        self.stop_tokens.push(token);
        self
    }

    /// Whether the stop string is part of the text.
    pub fn include_stop(mut self, include: bool) -> Self {
        self.include_stop = include;
        self
    }

    /// Whether to go on past the checkpoint's end tokens.
    pub fn ignore_eos(mut self, ignore: bool) -> Self {
        self.ignore_eos = ignore;
        self
    }

    /// Whether special tokens appear in the text.
    pub fn special_text(mut self, show: bool) -> Self {
        self.special_text = show;
        self
    }

    /// Report log probabilities and so many alternatives a token.
    pub fn logprobs(mut self, alternatives: usize) -> Self {
        self.logprobs = Some(alternatives);
        self
    }

    /// The sequence ends at the first step at or after this time.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets a rule for which tokens may come next: a [`CallConstraint`](crate::constraint::CallConstraint), a constraint of the program's
    /// own, or an [`Arc`] of either that several requests share. See [`Constraint`].
    pub fn constraint(mut self, constraint: impl Constraint + 'static) -> Self {
        self.constraint = Some(Arc::new(constraint));
        self
    }
}

/// The number of a sequence, unique and rising within one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub(crate) u64);

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {}", self.0)
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Prompt {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(tokens: Vec<u32>) -> Self {
        Self::Tokens(tokens)
    }
}

impl From<&[u32]> for Prompt {
    fn from(tokens: &[u32]) -> Self {
        Self::Tokens(tokens.to_vec())
    }
}

impl From<Vec<Message>> for Prompt {
    fn from(messages: Vec<Message>) -> Self {
        Self::Chat { messages, tools: Vec::new(), variables: Map::new() }
    }
}

impl From<Prompt> for Request {
    fn from(prompt: Prompt) -> Self {
        Self::new(prompt)
    }
}

impl From<&str> for Request {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Request {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Request {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl From<Vec<u32>> for Request {
    fn from(tokens: Vec<u32>) -> Self {
        Self::new(tokens)
    }
}

impl From<Vec<Message>> for Request {
    fn from(messages: Vec<Message>) -> Self {
        Self::new(messages)
    }
}
