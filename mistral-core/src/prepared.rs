//! From a request to what an engine runs. Every check of a request is made here, once, on the thread of the caller.

use std::time::Instant;

use crate::constraint::rule::{SequenceStart, TokenMask};
use crate::error::Error;
use crate::prompt::Prompt;
use crate::request::Request;
use crate::sample::params::Sampling;
use crate::shape::Shape;
use crate::stop::StopStrings;
use crate::text::{TextModel, Vocabulary};

#[cfg(test)]
mod tests;

/// A request whose prompt is tokens and whose settings are checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The prompt: at least one token, and room for one more in the context.
    pub(crate) tokens: Vec<u32>,
    pub(crate) sampling: Sampling,
    pub(crate) logprobs: Option<usize>,
    /// The seed, if the request has one.
    pub(crate) seed: Option<u64>,
    /// Tokens of prompt and output at which the sequence ends.
    pub(crate) limit: usize,
    pub(crate) stop_tokens: Vec<u32>,
    pub(crate) stop: StopStrings,
    pub(crate) deadline: Option<Instant>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) mask: Option<Box<dyn TokenMask>>,
}

impl Prepared {
    /// Renders and tokenizes the prompt of a request and checks everything that is known before the first step.
    ///
    /// # Errors
    /// The errors of [`TextModel::tokens`] and of the constraint, and those of the request: an empty or too long prompt, a token id out of
    /// range, a parameter outside its range or without effect, a deadline at or before `now`.
    pub(crate) fn new(request: Request, text: &TextModel, shape: Shape, now: Instant) -> Result<Self, Error> {
        request.check(text, shape, now)?;
        let tokens = text.tokens(request.prompt)?;
        check_tokens(&tokens, &request.stop_tokens, shape)?;
        let vocabulary = text.vocabulary(&tokens, request.special_text, request.ignore_eos);
        let ends = [&vocabulary.end_tokens[..], &request.stop_tokens[..]].concat();
        let mask = match &request.constraint {
            Some(constraint) => Some(constraint.begin(&SequenceStart::new(text, &tokens, &ends, shape.vocab_size))?),
            None => None,
        };
        let most = request.max_tokens.unwrap_or(usize::MAX);
        Ok(Self {
            limit: tokens.len().saturating_add(most).min(shape.context_length),
            tokens,
            sampling: request.sampling,
            logprobs: request.logprobs,
            seed: request.seed,
            stop: StopStrings::new(request.stop_strings, request.include_stop),
            stop_tokens: request.stop_tokens,
            deadline: request.deadline,
            vocabulary,
            mask,
        })
    }
}

/// Checks a prompt against the model.
fn check_tokens(tokens: &[u32], stop_tokens: &[u32], shape: Shape) -> Result<(), Error> {
    let Shape { vocab_size, context_length, .. } = shape;
    if tokens.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    if tokens.len() >= context_length {
        return Err(Error::PromptTooLong { tokens: tokens.len(), limit: context_length.saturating_sub(1), tools: 0 });
    }
    match tokens.iter().chain(stop_tokens).find(|&&token| token as usize >= vocab_size) {
        Some(&token) => Err(Error::TokenOutOfRange { token, vocab_size }),
        None => Ok(()),
    }
}

impl Request {
    /// Checks the settings, whatever the prompt.
    fn check(&self, text: &TextModel, shape: Shape, now: Instant) -> Result<(), Error> {
        let vocab_size = shape.vocab_size;
        if let Some(name) = self.unheard
            && !matches!(self.prompt, Prompt::Chat { .. })
        {
            return Err(Error::unheard(name));
        }
        if let Prompt::Chat { variables, .. } = &self.prompt
            && let Some(name) = variables.get(crate::text::TEMPLATE_NAME).filter(|name| !name.is_string())
        {
            let detail = format!("the name of a template is text, not {name}");
            return Err(Error::InvalidParameter { name: crate::text::TEMPLATE_NAME, detail });
        }
        if self.max_tokens == Some(0) {
            return Err(Error::InvalidParameter { name: "max_tokens", detail: "0 leaves nothing to generate".into() });
        }
        if self.stop_strings.iter().any(String::is_empty) {
            return Err(Error::InvalidParameter { name: "stop", detail: "a stop string is empty".into() });
        }
        // Without a tokenizer there is no text in which a stop string could be found.
        if !self.stop_strings.is_empty() && text.tokenizer().is_none() {
            return Err(Error::NoTokenizer);
        }
        if let Some(count) = self.logprobs.filter(|&count| count > vocab_size) {
            let detail = format!("{count} alternatives, but the model has {vocab_size} tokens");
            return Err(Error::InvalidParameter { name: "logprobs", detail });
        }
        self.sampling.check(vocab_size)?;
        match self.deadline.is_some_and(|deadline| deadline <= now) {
            true => Err(Error::DeadlinePassed),
            false => Ok(()),
        }
    }
}
