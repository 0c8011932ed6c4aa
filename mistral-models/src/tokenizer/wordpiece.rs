//! WordPiece (`tokenizer.ggml.model` = `bert`): BERT's normalizer and word splitting, then the longest matching piece at each place.
//!
//! The normalizer and the word splitting are those of the `tokenizers` crate, from which the published vocabularies come. GGUF spells the
//! pieces differently: `▁word` and `piece` for `word` and `##piece`.

use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::vocab::Vocab;
use crate::error::Error;

/// Words of more characters are unknown.
const LONGEST_WORD: usize = 100;

/// The WordPiece model. Its vocabulary is passed to each call, to look up pieces by their text.
#[derive(Debug, Clone)]
pub(super) struct Words {
    normalizer: BertNormalizer,
    unknown: u32,
}

impl Words {
    /// # Errors
    /// The vocabulary lacks an unknown token.
    pub(super) fn new(unknown: Option<u32>, lowercase: bool, strip_accents: bool) -> Result<Self, Error> {
        let unknown = unknown.ok_or_else(|| {
            Error::config("tokenizer.ggml.unknown_token_id", "a bert vocabulary needs an unknown token in range")
        })?;
        Ok(Self { normalizer: BertNormalizer::new(true, true, Some(strip_accents), lowercase), unknown })
    }

    /// Appends the tokens of `text`. The cost is linear in the number of words.
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized).map_err(super::failed)?;
        let mut words = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut words).map_err(super::failed)?;
        let mut marked = String::new();
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            marked.clear();
            marked.extend(["▁", word]);
            let start = out.len();
            if word.chars().count() > LONGEST_WORD || !pieces(vocab, &marked, out) {
                out.truncate(start);
                out.push(self.unknown);
            }
        }
        Ok(())
    }
}

/// Appends the longest piece with which the marked word begins, then the longest piece of the rest, and so on. Returns false if no piece
/// matches.
fn pieces(vocab: &Vocab, marked: &str, out: &mut Vec<u32>) -> bool {
    let mut rest = marked;
    while !rest.is_empty() {
        let is_first = rest.len() == marked.len();
        // Of later pieces none has the mark or is in brackets: such tokens are words.
        let fits = |piece: &str| {
            if is_first { piece.len() > '▁'.len_utf8() } else { !piece.starts_with('▁') && !is_bracketed(piece) }
        };
        let ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
        let found = ends.filter_map(|end| rest.get(..end)).filter(|piece| fits(piece)).find_map(|piece| {
            let id = vocab.id(piece).or_else(|| {
                let word = piece.strip_prefix('▁').filter(|word| is_first && is_bracketed(word))?;
                vocab.id(word)
            })?;
            Some((id, piece.len()))
        });
        let Some((id, length)) = found else { return false };
        out.push(id);
        rest = rest.get(length..).unwrap_or_default();
    }
    true
}

fn is_bracketed(piece: &str) -> bool {
    piece.starts_with('[') && piece.ends_with(']')
}
