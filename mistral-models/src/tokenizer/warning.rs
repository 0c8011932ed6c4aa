//! The parts that were left out when a tokenizer was loaded.

use std::fmt;

/// An entry in the files of a tokenizer that is invalid. The tokenizer is loaded without the entry, as in llama.cpp and transformers.
/// [`Tokenizer::warnings`](super::Tokenizer::warnings) returns the list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerWarning {
    /// A token with a role is beyond the vocabulary.
    SpecialToken {
        /// The key as the file spells it.
        key: String,
        /// The id in the file.
        id: i128,
        /// The number of tokens.
        vocab_size: usize,
        /// The token that has the role now.
        used: Option<u32>,
    },
    /// The file asks for a token around each text, but the token does not exist.
    NotAdded {
        /// The key as the file spells it.
        key: String,
    },
}

impl fmt::Display for TokenizerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpecialToken { key, id, vocab_size, used } => {
                write!(f, "`{key}` is token {id}, beyond the vocabulary of {vocab_size}; ")?;
                match used {
                    Some(id) => write!(f, "token {id} is used"),
                    None => f.write_str("no token is used"),
                }
            }
            Self::NotAdded { key } => write!(f, "`{key}` is true, but there is no such token; none is added"),
        }
    }
}
