//! WordPiece (`tokenizer.ggml.model` = `bert`): BERT's normalizer and word splitting, then the longest piece first.
//!
//! Runs on the `tokenizers` crate, which is where the published vocabularies come from. GGUF spells the pieces another
//! way, `▁word` and `piece` for `word` and `##piece`; it is undone here.

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use super::vocab::Vocab;
use crate::Error;

/// The WordPiece model.
#[derive(Debug, Clone)]
pub(super) struct Words {
    tokenizer: tokenizers::Tokenizer,
}

impl Words {
    /// # Errors
    /// Two tokens that are one piece in the spelling of BERT; no unknown token.
    pub(super) fn new(
        vocab: &Vocab,
        unknown: Option<u32>,
        lowercase: bool,
        strip_accents: bool,
    ) -> Result<Self, Error> {
        let mut pieces = ahash::AHashMap::with_capacity(vocab.len());
        let mut unknown_piece = None;
        for (id, text, _) in vocab.iter() {
            let piece = match text.strip_prefix('▁') {
                Some(word) => word.to_owned(),
                None if text.starts_with('[') && text.ends_with(']') => text.to_owned(),
                None => format!("##{text}"),
            };
            if Some(id) == unknown {
                unknown_piece = Some(piece.clone());
            }
            if let Some(former) = pieces.insert(piece, id) {
                let detail = format!("tokens {former} and {id} are the same piece `{text}`");
                return Err(Error::config("tokenizer.ggml.tokens", detail));
            }
        }
        let unknown_piece = unknown_piece.ok_or_else(|| {
            Error::config("tokenizer.ggml.unknown_token_id", "a bert vocabulary needs an unknown token in range")
        })?;
        let model = WordPiece::builder()
            .vocab(pieces)
            .unk_token(unknown_piece)
            .continuing_subword_prefix("##".into())
            .max_input_chars_per_word(100)
            .build()
            .map_err(super::failed)?;
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer
            .with_normalizer(Some(BertNormalizer::new(true, true, Some(strip_accents), lowercase)))
            .map_err(super::failed)?
            .with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(Self { tokenizer })
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(super::failed)?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}
