//! The errors of this crate; each says who must act.

use std::path::{Path, PathBuf};

use crate::batch_error::BatchError;
use crate::loader::file_kind::FileKind;
use crate::unsupported::Unsupported;

/// Why a checkpoint, tokenizer, template or forward pass could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No model was found at this path or under this id.
    #[error("no checkpoint at `{what}`: {detail}")]
    NotFound {
        /// What the caller asked for.
        what: String,
        /// Where was looked, and for what.
        detail: String,
    },
    /// The file is damaged or not what its name says.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// The file or the part of it.
        what: String,
        /// What was expected and found, with the byte offset where known.
        detail: String,
    },
    /// The file is of another kind than its name or its use suggests.
    #[error("{what}: expected {expected}, found {found}")]
    WrongFile {
        /// The file.
        what: String,
        /// The kind that was expected.
        expected: &'static str,
        /// The kind that was found, by the first bytes; the text of the kind says what to do.
        found: FileKind,
    },
    /// The file ends before a place that its own header names, as after an interrupted download or copy.
    #[error("{what} is truncated: the header promises {promised} bytes, the file has {found}; fetch the file again")]
    Truncated {
        /// The file.
        what: String,
        /// The least number of bytes that the header requires, as far as the header can be read.
        promised: u64,
        /// The number of bytes of the file.
        found: u64,
    },
    /// A model could not be downloaded (feature `hub`).
    #[error("downloading {what}: {detail}")]
    Download {
        /// The model or the file.
        what: String,
        /// The answer of the network or the server.
        detail: String,
    },
    /// A tensor, metadata key or file that the model needs is not there.
    #[error("the checkpoint has no {kind} `{name}`")]
    Missing {
        /// `tensor`, `key` or `file`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The checkpoint has chat templates, but not the requested one.
    #[error("no chat template `{name}`; the checkpoint has {}", list(known))]
    UnknownTemplate {
        /// The name.
        name: String,
        /// The names of the existing templates.
        known: Vec<String>,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{tensor}`: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// From the configuration, outermost dimension first.
        expected: Vec<usize>,
        /// In the file, outermost dimension first.
        found: Vec<usize>,
    },
    /// A configuration value that is missing, of the wrong type or contradictory.
    #[error("configuration key `{key}`: {detail}")]
    Config {
        /// The key as the file spells it.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Understood as valid, but this version cannot do it.
    #[error("unsupported {0}")]
    Unsupported(#[from] Unsupported),
    /// A value exceeds one of the public limits.
    #[error("{what} is {found}, above the limit of {limit}")]
    Limit {
        /// What was measured.
        what: String,
        /// The limit in force.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// Text that cannot be tokenized or ids that cannot be decoded.
    #[error("tokenizer: {detail}")]
    Tokenizer {
        /// What went wrong.
        detail: String,
    },
    /// The chat template is invalid, refused the messages, or ran over its limits.
    #[error("chat template{}: {detail}", line.map(|l| format!(" line {l}")).unwrap_or_default())]
    Template {
        /// What went wrong; for `raise_exception`, the template's own words.
        detail: String,
        /// The line of the template, where known.
        line: Option<usize>,
    },
    /// A tensor cannot be quantized as asked: its format needs an importance matrix that is not there or does not fit.
    #[error("`{tensor}` to {format}: {detail}")]
    Importance {
        /// The tensor, by its name in GGUF files.
        tensor: String,
        /// The format it was to get.
        format: mistral_quant::Format,
        /// What is missing.
        detail: String,
    },
    /// A pattern of tensor names that matches no quantized tensor.
    #[error("pattern `{pattern}`: {detail}")]
    Pattern {
        /// The regular expression.
        pattern: String,
        /// Which tensors the pattern matches, if any, and names that it could match.
        detail: String,
    },
    /// A number of threads that is out of range, or that the system refused.
    #[error("no threads to compute on: {detail}")]
    Threads {
        /// The number and the range, or the system's reason.
        detail: String,
    },
    /// A batch that does not fit the model or the cache.
    #[error("batch: {0}")]
    Batch(#[from] BatchError),
    /// Something that cannot happen happened: a defect of this crate, please report it.
    #[error("internal error: {what}; this is a defect of mistral-models, please report it")]
    Internal {
        /// The assumption that did not hold.
        what: &'static str,
    },
    /// An operation of the backend failed.
    #[error(transparent)]
    Quant(#[from] mistral_quant::Error),
}

impl Error {
    /// An I/O error at a path.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// A damaged file or part of one.
    pub(crate) fn malformed(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), detail: detail.into() }
    }

    /// A configuration value that cannot be used.
    pub(crate) fn config(key: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Config { key: key.into(), detail: detail.into() }
    }

    /// A cache that was made for another decoder.
    pub(crate) fn other_decoder(detail: &str) -> Self {
        BatchError::OtherDecoder { detail: detail.into() }.into()
    }

    /// A family that has no description here.
    pub(crate) fn architecture(name: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        Unsupported::Architecture { name: name.to_owned(), known }.into()
    }

    /// Configuration keys that the architecture does not read.
    pub(crate) fn unread_keys(keys: Vec<String>, architecture: &str) -> Self {
        Unsupported::ConfigKeys { keys, architecture: Some(architecture.to_owned()) }.into()
    }

    /// A configuration key with a value that cannot be followed.
    pub(crate) fn config_value(key: impl Into<String>, value: impl std::fmt::Display) -> Self {
        Unsupported::ConfigValue { key: key.into(), value: value.to_string() }.into()
    }

    /// Something valid that this version cannot do. A variant of [`Unsupported`] says more.
    pub(crate) fn unsupported(what: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Unsupported(match what {
            "rope type" => Unsupported::RopeType { name: detail },
            "activation function" => Unsupported::Activation { name: detail },
            "layer type" => Unsupported::LayerType { name: detail },
            "checkpoint" => Unsupported::Checkpoint { detail },
            _ => Unsupported::Other { what, detail },
        })
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { format!("`{}`", names.join("`, `")) }
}
