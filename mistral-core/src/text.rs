//! The text side of a checkpoint: prompt to token ids before a request enters the engine.

use mistral_models::{EncodeOptions, Tokenizer};

use crate::sequence::Vocabulary;
use crate::{Error, Prompt};

/// Tokenizer and chat template, each if the checkpoint has one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextModel {
    pub(crate) tokenizer: Option<Tokenizer>,
}

impl TextModel {
    /// Renders and tokenizes a prompt.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::NoChatTemplate`], or the tokenizer's or template's own.
    pub(crate) fn tokens(&self, prompt: Prompt) -> Result<Vec<u32>, Error> {
        let (text, options) = match prompt {
            Prompt::Tokens(tokens) => return Ok(tokens),
            Prompt::Text(text) if text.is_empty() => return Err(Error::EmptyPrompt),
            Prompt::Text(text) => (text, EncodeOptions::TEXT),
            Prompt::Chat { messages, .. } if messages.is_empty() => return Err(Error::EmptyPrompt),
            Prompt::Chat { .. } => return Err(Error::NoChatTemplate),
        };
        Ok(self.tokenizer.as_ref().ok_or(Error::NoTokenizer)?.encode(&text, options)?)
    }

    /// What a new sequence needs to know; `before` are the tokens of its prompt.
    pub(crate) fn vocabulary(&self, before: &[u32], special_text: bool, ignore_eos: bool) -> Vocabulary {
        let Some(tokenizer) = &self.tokenizer else { return Vocabulary::default() };
        Vocabulary {
            end_tokens: if ignore_eos { Vec::new() } else { tokenizer.eos().to_vec() },
            text: Some(tokenizer.stream_after(before, !special_text)),
            text_tokens: tokenizer.vocab_size(),
        }
    }
}
