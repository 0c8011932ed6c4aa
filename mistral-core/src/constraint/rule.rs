//! The door for constraints: a rule of a request, and its state in one sequence.

use std::fmt;
use std::sync::Arc;

use mistral_models::Tokenizer;

use super::tokens::TokenTable;
use crate::error::Error;
use crate::text::TextModel;

/// A rule for which tokens may come next, given to [`Request::constraint`](crate::Request::constraint). One rule may serve any number of
/// requests at once; each sequence has its own [`TokenMask`].
///
/// [`CallConstraint`](super::CallConstraint) is the rule of this crate. A program may bring its own, here one that allows a choice of
/// words:
///
/// ```
/// use mistral_core::constraint::{Constraint, SequenceStart, TokenMask};
/// use mistral_core::{Error, Model, Request};
///
/// /// The whole answer is one of these words.
/// #[derive(Debug)]
/// struct OneOf(&'static [&'static str]);
///
/// #[derive(Debug)]
/// struct Choice { words: Vec<Vec<u32>>, end: u32, so_far: Vec<u32> }
///
/// impl Constraint for OneOf {
///     fn begin(&self, sequence: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error> {
///         let tokenizer = sequence.tokenizer().ok_or(Error::NoTokenizer)?;
///         let end = *sequence.end_tokens().first().ok_or(Error::NoTokenizer)?;
///         let encoded = self.0.iter().map(|word| tokenizer.encode(word, Default::default()));
///         let words = encoded.collect::<Result<Vec<_>, _>>()?;
///         // What stands before a text, such as BOS, is not part of an answer.
///         let begin = tokenizer.encode("", Default::default())?.len();
///         let words = words.iter().map(|word| word[begin.min(word.len())..].to_vec()).collect();
///         Ok(Box::new(Choice { words, end, so_far: Vec::new() }))
///     }
/// }
///
/// impl TokenMask for Choice {
///     fn mask(&mut self, logits: &mut [f32]) {
///         let left = self.words.iter().filter_map(|word| word.strip_prefix(self.so_far.as_slice()));
///         let next: Vec<u32> = left.map(|rest| *rest.first().unwrap_or(&self.end)).collect();
///         for (token, logit) in (0..).zip(logits) {
///             if !next.contains(&token) {
///                 *logit = f32::NEG_INFINITY;
///             }
///         }
///     }
///
///     fn commit(&mut self, token: u32) {
///         self.so_far.push(token);
///     }
///
///     fn rollback(&mut self, tokens: usize) -> bool {
///         self.so_far.truncate(self.so_far.len().saturating_sub(tokens));
///         true
///     }
/// }
///
/// let request = Request::new("The colour of the sky:").constraint(OneOf(&["red", "blue", "green"]));
/// let answer = Model::embedded()?.generate(request)?.text()?;
/// assert!(["red", "blue", "green"].contains(&answer.as_str()), "{answer}");
/// # Ok::<(), Error>(())
/// ```
pub trait Constraint: fmt::Debug + Send + Sync {
    /// Starts the rule for a new sequence, on the thread that submits the request.
    ///
    /// # Errors
    /// Any [`Error`] refuses the request, for instance [`Error::NoTokenizer`].
    fn begin(&self, sequence: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error>;
}

/// A [`Constraint`] in one sequence. For each token, [`mask`](Self::mask) is called before it is drawn and [`commit`](Self::commit) after.
///
/// Both run on the thread that runs the model, between forward passes, so all sequences wait for them.
pub trait TokenMask: fmt::Debug + Send {
    /// Sets the logits of tokens that may not come next to -inf. Shape: `[vocab_size]`. If no finite logit is left, the sequence fails with
    /// [`Error::NonFiniteLogits`].
    fn mask(&mut self, logits: &mut [f32]);

    /// Takes the token that was drawn.
    fn commit(&mut self, token: u32);

    /// Takes back the last `tokens` committed tokens, as if they had never come. Returns false, with nothing changed, if that is not
    /// possible.
    ///
    /// Default: not possible. An engine that drafts tokens ahead does so only for sequences whose masks can go back; this version drafts
    /// none.
    fn rollback(&mut self, tokens: usize) -> bool {
        tokens == 0
    }
}

/// What a [`Constraint`] may know of the sequence that it starts for.
#[derive(Debug)]
pub struct SequenceStart<'a> {
    text: &'a TextModel,
    prompt: &'a [u32],
    end_tokens: &'a [u32],
    vocab_size: usize,
}

impl<'a> SequenceStart<'a> {
    pub(crate) fn new(text: &'a TextModel, prompt: &'a [u32], end_tokens: &'a [u32], vocab_size: usize) -> Self {
        Self { text, prompt, end_tokens, vocab_size }
    }

    /// Returns the tokens of the prompt.
    pub fn prompt(&self) -> &'a [u32] {
        self.prompt
    }

    /// Returns the tokens that end the sequence: those of the checkpoint, unless the request goes past them, and those of the request.
    pub fn end_tokens(&self) -> &'a [u32] {
        self.end_tokens
    }

    /// Returns the number of logits in a row.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Returns the tokenizer of the checkpoint, if there is one.
    pub fn tokenizer(&self) -> Option<&'a Tokenizer> {
        self.text.tokenizer()
    }

    /// Returns the vocabulary as bytes. It is made at its first use and then shared by all sequences of the model.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`].
    pub fn token_table(&self) -> Result<Arc<TokenTable>, Error> {
        self.text.token_table()
    }
}

impl<C: Constraint + ?Sized> Constraint for Arc<C> {
    fn begin(&self, sequence: &SequenceStart<'_>) -> Result<Box<dyn TokenMask>, Error> {
        (**self).begin(sequence)
    }
}

/// The same constraint in memory.
impl PartialEq for dyn Constraint {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}
