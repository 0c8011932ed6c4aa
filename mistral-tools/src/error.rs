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
    /// A tool that panicked when it was asked for its name, its description or its schema.
    #[error("the tool {name:?} panicked when it was asked for its {asked}")]
    Panicked {
        /// The tool, as far as its name is known.
        name: String,
        /// The property that was asked for: the name, the description or the schema.
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
