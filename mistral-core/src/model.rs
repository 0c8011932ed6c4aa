//! The handle of a loaded model: from a path to text in two lines.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mistral_models::Tokenizer;
use mistral_tools::{Message, ToolSpec, dialect::Dialect};
use serde_json::Map;

use crate::context::ContextWarning;
use crate::engine::Engine;
use crate::error::Error;
use crate::generation::Generation;
use crate::metrics::Metrics;
use crate::prompt::Prompt;
use crate::request::Request;
use crate::text::TextModel;
use crate::worker::Handle;

#[cfg(test)]
mod tests;

/// A loaded model with a worker thread of its own. Cloning is cheap; any number of threads may generate at once, and
/// their sequences share every step of the engine.
///
/// The thread sleeps while nothing is generated. It ends when the last clone and the last [`Generation`] are dropped;
/// that drop waits for the step in progress, so memory is free when it returns.
#[derive(Clone)]
pub struct Model {
    handle: Arc<Handle>,
}

impl Model {
    /// Loads a checkpoint with default options: a `.gguf` file, a `.safetensors` file, a directory, or the id of a model in
    /// the local Hugging Face cache.
    ///
    /// # Errors
    /// [`Error::Models`] with the reason: not found, damaged, unsupported.
    pub fn open(path_or_id: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().checkpoint(path_or_id.as_ref()).load()
    }

    /// Loads the small model inside this crate: for examples and tests, no download needed. Its context has 512 tokens. The description and
    /// the schema of a tool take about 60 to 100 of them, so few tools fit.
    ///
    /// # Errors
    /// As [`open`](Self::open); the file itself is known to be good.
    pub fn embedded() -> Result<Self, Error> {
        Self::builder().embedded().load()
    }

    /// Puts an engine on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Thread`] when the system gives none.
    pub fn from_engine(engine: Engine) -> Result<Self, Error> {
        Ok(Self { handle: Arc::new(Handle::new(engine)?) })
    }

    /// Begins to generate. Returns at once, after rendering and tokenizing the prompt on this thread.
    ///
    /// # Errors
    /// Everything that is wrong with the request, [`Error::QueueFull`], and [`Error::WorkerPanicked`].
    pub fn generate(&self, request: impl Into<Request>) -> Result<Generation, Error> {
        let feed = self.handle.submit(request.into())?;
        Ok(Generation::new(feed, Arc::clone(&self.handle)))
    }

    /// Begins to generate the answer to a conversation, with default settings; see [`Request::chat`] for others.
    ///
    /// # Errors
    /// As [`generate`](Self::generate), and [`Error::NoChatTemplate`].
    pub fn chat(&self, messages: impl IntoIterator<Item = Message>) -> Result<Generation, Error> {
        self.generate(Request::chat(messages))
    }

    /// The token ids of a prompt, as [`generate`](Self::generate) would submit them.
    ///
    /// # Errors
    /// Those of rendering and tokenizing.
    pub fn tokens(&self, prompt: impl Into<Prompt>) -> Result<Vec<u32>, Error> {
        self.handle.text().tokens(prompt.into())
    }

    /// Renders a conversation with the chat template, up to where the model continues. [`Exchange::begin`](crate::agent::Exchange::begin)
    /// takes this text.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`], or the template's own.
    ///
    /// ```
    /// use mistral_core::{Message, Model};
    /// let text = Model::embedded()?.render(&[Message::user("Hello!")], &[])?;
    /// assert!(text.contains("Hello!") && text.contains("assistant"));
    /// # Ok::<(), mistral_core::Error>(())
    /// ```
    pub fn render(&self, messages: &[Message], tools: &[ToolSpec]) -> Result<String, Error> {
        self.handle.text().render(messages, tools, &Map::new())
    }

    /// How the model writes calls of tools, as its chat template teaches it; `None` if the template knows no tools.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`], or the template's own.
    pub fn dialect(&self) -> Result<Option<Dialect>, Error> {
        self.handle.text().dialect(true)
    }

    /// Returns the names of the checkpoint's chat templates; most have one, `default`. If there are several, a request with tools uses
    /// `tool_use`, and any other request `default`. [`Request::chat_template`] selects a template by its name.
    pub fn chat_templates(&self) -> impl Iterator<Item = &str> {
        self.handle.text().template_names()
    }

    /// The tokenizer of the checkpoint, if it has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.handle.text().tokenizer()
    }

    pub(crate) fn text(&self) -> &TextModel {
        self.handle.text()
    }

    /// Positions that one sequence may have, prompt and output together.
    pub fn context_length(&self) -> usize {
        self.handle.shape().context_length
    }

    /// Returns a warning if [`context_length`](Self::context_length) is beyond what the checkpoint was made for.
    pub fn context_warning(&self) -> Option<ContextWarning> {
        self.handle.shape().context_warning()
    }

    /// Token ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.handle.shape().vocab_size
    }

    /// Counters after the last step.
    pub fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
