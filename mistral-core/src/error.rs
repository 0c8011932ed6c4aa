//! The errors of this crate; each says who must act. Cloneable, because one failure may end many sequences.

use std::sync::Arc;

/// Why a model could not be opened, a request was refused, or a sequence failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Request: there is nothing to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// Request: the prompt leaves no room for a generated token. Under an agent, the descriptions of its tools are a part of the prompt.
    #[error("the prompt has {tokens} tokens; this model takes at most {limit}{}", of_tools(*.tools))]
    PromptTooLong {
        /// Tokens in the prompt.
        tokens: usize,
        /// The longest prompt that leaves room for one generated token.
        limit: usize,
        /// Tokens that the descriptions of the tools take, if an agent counted them; otherwise 0.
        tools: usize,
    },
    /// Request: a token id that the model does not have.
    #[error("token id {token} is out of range: the model has {vocab_size} tokens")]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// Request or builder: a parameter outside its range.
    #[error("invalid {name}: {detail}")]
    InvalidParameter {
        /// The parameter, as its setter is called.
        name: &'static str,
        /// The value and the range.
        detail: String,
    },
    /// Request: a message has a part that the model cannot read. Nothing of the message is left out silently.
    #[error(
        "message {message} of the prompt, of the role `{}`, has {part}, but the model has no image encoder and reads text only: leave \
         the part out, or say in text what it shows", .role.name()
    )]
    UnsupportedContent {
        /// The place of the message in the prompt, counted from 0, without the instructions of an agent.
        message: usize,
        /// The role of the message.
        role: mistral_tools::Role,
        /// The part, in words.
        part: String,
    },
    /// Request: its deadline had passed when it was submitted.
    #[error("the deadline of the request has already passed")]
    DeadlinePassed,
    /// Unsupported: there are no tools to call, or the dialect writes arguments in a form that is not constrained.
    #[error("there are no tools whose calls in the dialect {dialect:?} could be constrained")]
    UnsupportedConstraint {
        /// The dialect.
        dialect: mistral_tools::dialect::Dialect,
    },
    /// Request: the tool that must be called is not there.
    #[error("there is no tool `{name}` to choose")]
    UnknownTool {
        /// Its name.
        name: String,
    },
    /// Request: no message of a session has this id, or not one of the user's where that is needed.
    #[error(
        "{id} is not a message of this session, or not one of the user where that is needed; `ChatSession::messages` lists them"
    )]
    UnknownMessage {
        /// The id.
        id: crate::session::message_id::MessageId,
    },
    /// Request: a saved session of a version that this program does not know.
    #[error(
        "the session was saved as version {found} of its format, and this program reads version {known}: load it with the \
         release that saved it"
    )]
    SessionVersion {
        /// The version.
        found: u64,
        /// The one that is known.
        known: u64,
    },
    /// Request: what was to be loaded is no session.
    #[error("not a session: {detail}")]
    MalformedSession {
        /// What is wrong.
        detail: String,
    },
    /// Request: a suspended exchange whose parts contradict each other, or of an unknown version.
    #[error("not a suspended exchange: {detail}")]
    MalformedSuspended {
        /// The contradiction.
        detail: String,
    },
    /// Request: calls of the session wait for approval, and must be answered before the conversation can continue.
    #[error(
        "{calls} calls of the session wait for approval: answer them by `Agent::resume_chat`, or drop them by \
         `ChatSession::take_suspended`"
    )]
    SessionSuspended {
        /// How many calls wait.
        calls: usize,
    },
    /// Request: there is nothing to resume at the end of the session.
    #[error("no calls at the end of the session wait for approval")]
    SessionNotSuspended,
    /// Limit: as many requests as allowed are running and waiting. Try again when one has ended.
    #[error("the queue is full: {capacity} requests are running or waiting")]
    QueueFull {
        /// How many may be running or waiting together.
        capacity: usize,
    },
    /// Checkpoint: text was given or asked for, but there is no tokenizer.
    #[error("the checkpoint has no tokenizer; give token ids")]
    NoTokenizer,
    /// Checkpoint: messages were given, but there is no chat template.
    #[error("the checkpoint has no chat template; give text or token ids")]
    NoChatTemplate,
    /// Checkpoint, tokenizer, template or forward pass: the reason from `mistral-models`.
    #[error(transparent)]
    Models(Arc<mistral_models::Error>),
    /// Checkpoint or device: the forward pass gave logits from which nothing can be chosen.
    #[error("the logit of token {token} is {value}: nothing can be sampled")]
    NonFiniteLogits {
        /// A token with such a logit.
        token: u32,
        /// NaN or an infinity.
        value: f32,
    },
    /// Limit: the engine does not fit in its memory budget. Nothing was loaded.
    #[error("{}", crate::memory::setting::over_budget([.weights, .kv, .workspace], *.needed, *.budget, .fitting))]
    OutOfMemoryBudget {
        /// Sum of the next three, in bytes.
        needed: u64,
        /// Bytes of all weights.
        weights: u64,
        /// Bytes of the KV cache.
        kv: u64,
        /// Bytes of activations and logits of one step.
        workspace: u64,
        /// The budget, in bytes.
        budget: u64,
        /// Settings of the builder that fit into the budget together; empty if there are none.
        fitting: Vec<crate::memory::setting::MemorySetting>,
    },
    /// I/O: the system refused the worker thread.
    #[error("the worker thread could not be started: {0}")]
    Thread(Arc<std::io::Error>),
    /// Device: the worker thread panicked. This model is lost; other models in the process are not.
    #[error("the worker thread of the model panicked")]
    WorkerPanicked,
    /// Defect: something that cannot happen happened. Please report it.
    #[error("internal error: {what}; this is a defect of mistral-core, please report it")]
    Internal {
        /// The assumption that did not hold.
        what: &'static str,
    },
}

impl Error {
    /// Makes the error for a setting of chats on another prompt.
    pub(crate) fn unheard(name: &'static str) -> Self {
        let detail = "a prompt of text or tokens has no chat template that would read this: use `Request::chat`".into();
        Self::InvalidParameter { name, detail }
    }
}

impl From<mistral_models::Error> for Error {
    fn from(error: mistral_models::Error) -> Self {
        Self::Models(Arc::new(error))
    }
}

impl From<mistral_quant::Error> for Error {
    fn from(error: mistral_quant::Error) -> Self {
        mistral_models::Error::from(error).into()
    }
}

/// Says how much of a prompt describes tools, and what can be done about it.
fn of_tools(tokens: usize) -> String {
    if tokens == 0 {
        return String::new();
    }
    format!(
        "; {tokens} of the tokens describe the tools: offer fewer tools, shorten their descriptions, or raise `context_length`"
    )
}
