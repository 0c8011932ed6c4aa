//! The errors of this crate; each says who must act.

/// Why a tool could not be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that not every chat template and dialect can carry.
    #[error("tool name {name:?} is not 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")]
    Name {
        /// The name given.
        name: String,
    },
    /// Two tools of one name in a batch. Put the tools of each source into a batch with a
    /// [namespace](crate::ToolBatch::namespace).
    #[error("the batch has two tools of the name {name:?}: publish each source in a batch with a namespace of its own")]
    Duplicate {
        /// The name, with its namespace.
        name: String,
    },
    /// A tool that panicked when it was asked for its name, its description, its schema or its way of running.
    #[error("the tool {name:?} panicked when it was asked for its {asked}")]
    Panicked {
        /// The tool, as far as its name is known.
        name: String,
        /// The property that was asked for: the name, the description, the schema or the way of running.
        asked: &'static str,
    },
    /// A schema that is not a JSON schema, of a tool found at run time or written by hand. Reported only with the feature `dynamic`.
    #[error("the parameters of tool `{name}` are not a JSON schema: {reason}")]
    Schema {
        /// The tool.
        name: String,
        /// The fault and its place in the schema.
        reason: String,
    },
    /// Parameters that are not a JSON object.
    #[error("the parameters of tool `{name}` are not a JSON object")]
    Parameters {
        /// The tool.
        name: String,
    },
}
