//! What comes out of an engine: pieces of text, then exactly one end for every sequence.

use std::fmt;

use crate::error::Error;
use crate::request::SequenceId;
use crate::sample::logprobs::Logprobs;

/// Something that happened to a sequence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The sequence.
    pub sequence: SequenceId,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of [`Event`]. A sequence has any number of pieces, then one `Finished` or `Failed`, then nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// More of the text.
    Piece(TextPiece),
    /// The sequence came to its end.
    Finished {
        /// Why.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// The sequence could not be continued; others go on.
    Failed(Error),
}

/// A piece of generated text and the tokens behind it. Displays as its text.
///
/// The texts of all pieces, one after another, are the text of the sequence, and the tokens of all pieces are its
/// tokens. A token's text may come with a later piece: characters and possible stop strings are held back until decided.
/// The token that ended a generation (end of text, stop token) is in no piece.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct TextPiece {
    /// Text that will not change.
    pub text: String,
    /// Tokens generated since the last piece, at most a handful.
    pub tokens: Vec<u32>,
    /// One for each of `tokens`, if the request asked for them; empty otherwise.
    pub logprobs: Vec<Logprobs>,
}

/// Why a sequence ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model said that the text ends, with this token.
    EndOfText(u32),
    /// A stop token of the request, this one.
    StopToken(u32),
    /// A stop string of the request; its index there.
    StopString(usize),
    /// `max_tokens` were generated, or the context is full.
    Length,
    /// The deadline passed.
    Deadline,
    /// Cancelled, or its stream was dropped.
    Cancelled,
}

/// What a sequence took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, the one that ended the text included.
    pub generated_tokens: usize,
}

impl fmt::Display for TextPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl AsRef<str> for TextPiece {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
