//! Text to token ids and back, from `tokenizer.json` or from the vocabulary inside a GGUF file.
//!
//! `tokenizer.json` runs on the `tokenizers` crate, which defines it. GGUF keeps less than that file says, and llama.cpp
//! defines what it means; the models here (byte-level BPE, SentencePiece BPE, WordPiece, Unigram) give the same ids.

mod added;
pub(crate) mod bpe;
mod decoder;
mod eog;
mod export;
mod gguf;
mod hf;
mod index;
mod partition;
mod pre;
mod sorted;
mod split;
mod spm;
mod stream;
mod unigram;
mod vocab;
mod warning;
mod wordpiece;

use std::sync::Arc;

pub use stream::TextStream;
pub use warning::TokenizerWarning;

use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::metadata::Metadata;
use stream::Pieces;

/// How text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add what the model expects around a text: BOS, EOS, SEP, as its files say.
    pub add_special: bool,
    /// Read `<|im_end|>` and its like in the text as the control tokens they spell. False for text from users: it then
    /// cannot end a turn. Tokens that are not control tokens but were added by the user of the vocabulary always match.
    pub parse_special: bool,
}

impl EncodeOptions {
    /// A rendered chat template: control tokens are parsed, none are added.
    pub const TEMPLATE: Self = Self { add_special: false, parse_special: true };
    /// Plain text: what the model expects is added, nothing in the text is special.
    pub const TEXT: Self = Self { add_special: true, parse_special: false };

    /// Both choices.
    pub const fn new(add_special: bool, parse_special: bool) -> Self {
        Self { add_special, parse_special }
    }
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self::TEXT
    }
}

/// The texts of the special tokens that chat templates mention, where the model has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpecialTokens {
    /// Beginning of a text.
    pub bos_token: Option<String>,
    /// End of a text.
    pub eos_token: Option<String>,
    /// Padding.
    pub pad_token: Option<String>,
    /// Unknown text.
    pub unk_token: Option<String>,
}

/// A tokenizer. Cloning is cheap (shared data); `Send` and `Sync`.
///
/// ```
/// use mistral_models::{EncodeOptions, Tokenizer};
///
/// let json = r#"{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
///     "post_processor": null, "decoder": null,
///     "model": {"type": "WordLevel", "vocab": {"hello": 0, "world": 1, "?": 2}, "unk_token": "?"}}"#;
/// let tokenizer = Tokenizer::from_json(json.as_bytes(), None, None)?;
/// assert_eq!(tokenizer.encode("hello world", EncodeOptions::TEXT)?, [0, 1]);
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    pieces: Arc<Pieces>,
}

#[derive(Debug)]
struct Inner {
    model: Model,
    ids: Ids,
    special: SpecialTokens,
}

/// Where ids come from.
#[derive(Debug)]
enum Model {
    Gguf(Box<gguf::Vocabulary>),
    Hf(Box<hf::Hf>),
}

/// The ids with a role.
#[derive(Debug, Clone, Default)]
struct Ids {
    bos: Option<u32>,
    pad: Option<u32>,
    unk: Option<u32>,
    /// Every token that ends a generation, EOS first.
    ends: Vec<u32>,
    warnings: Vec<TokenizerWarning>,
}

impl Tokenizer {
    /// Reads the files of a Hugging Face checkpoint: `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`.
    ///
    /// Tokens that only the configuration names (`added_tokens_decoder`, `extra_special_tokens`, `additional_special_tokens`, tokens with a
    /// role) are added, in the order of Hugging Face transformers 5. BOS and EOS are put around a text as the post-processor of
    /// `tokenizer.json` says. As in transformers, `add_bos_token`, `add_eos_token` and `add_prefix_space` of the configuration change
    /// nothing.
    ///
    /// A generation ends at the `eos_token_id` of `generation_config.json` and at `eos_token`. Without the former, it also ends at tokens
    /// whose names are known to end turns.
    ///
    /// # Errors
    /// [`Error::Malformed`] for files that do not parse; [`Error::Config`] for an entry that is not a token;
    /// [`Error::Unsupported`] for an unknown kind of decoder.
    pub fn from_json(
        tokenizer_json: &[u8],
        config: Option<&[u8]>,
        generation_config: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let files = hf::Sidecars { config, generation: generation_config, ..Default::default() };
        let (model, pieces, ids) = hf::Hf::new(tokenizer_json, &files)?;
        Ok(Self::new(Model::Hf(Box::new(model)), pieces, ids))
    }

    /// Reads the tokenizer of a checkpoint as [`from_checkpoint`](Self::from_checkpoint) does. Returns `Ok(None)` if the checkpoint says that
    /// it has no tokenizer: a GGUF file without a kind of vocabulary, or with the kind `none` or `no_vocab`; other files without a
    /// `tokenizer.json`.
    ///
    /// # Errors
    /// The errors of [`from_checkpoint`](Self::from_checkpoint) for a tokenizer that exists but cannot be used.
    pub fn open(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let exists = match checkpoint.metadata() {
            Some(metadata) => !matches!(metadata.str("tokenizer.ggml.model")?, None | Some("none" | "no_vocab")),
            None => checkpoint.file("tokenizer.json")?.is_some(),
        };
        exists.then(|| Self::from_checkpoint(checkpoint)).transpose()
    }

    /// Reads a checkpoint: the vocabulary of a GGUF file, or `tokenizer.json` and the files next to it.
    ///
    /// If `tokenizer_config.json` has no `added_tokens_decoder`, `special_tokens_map.json` and `added_tokens.json` are read too.
    /// `config.json` stands in for a missing `generation_config.json`.
    ///
    /// # Errors
    /// [`Error::Missing`] for a checkpoint without a tokenizer; otherwise as [`from_gguf`](Self::from_gguf) and
    /// [`from_json`](Self::from_json).
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, Error> {
        if let Some(metadata) = checkpoint.metadata() {
            return Self::from_gguf(metadata);
        }
        let missing = || Error::Missing { kind: "file", name: "tokenizer.json".into() };
        let json = checkpoint.file("tokenizer.json")?.ok_or_else(missing)?;
        let config = checkpoint.file("tokenizer_config.json")?;
        let map = checkpoint.file("special_tokens_map.json")?;
        let added = checkpoint.file("added_tokens.json")?;
        let generation = match checkpoint.file("generation_config.json")? {
            Some(bytes) => Some(bytes),
            None => checkpoint.config_json().map(serde_json::to_vec).transpose().map_err(failed)?,
        };
        let files = hf::Sidecars {
            config: config.as_deref(),
            map: map.as_deref(),
            added: added.as_deref(),
            generation: generation.as_deref(),
        };
        let (model, pieces, ids) = hf::Hf::new(&json, &files)?;
        Ok(Self::new(Model::Hf(Box::new(model)), pieces, ids))
    }

    /// Reads the keys `tokenizer.ggml.*` of a GGUF file: kinds `llama`, `gpt2`, `gemma4`, `whitespace`, `bert` and `t5`.
    ///
    /// If the token of a role is beyond the vocabulary, the role is left out and listed in [`warnings`](Self::warnings). The texts of the
    /// tokens are shared with `metadata`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another kind, or for an unknown `tokenizer.ggml.pre`, with which the ids would be silently wrong.
    /// [`Error::Missing`] and [`Error::Config`] for keys that are absent or contradict each other.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, Error> {
        let (model, pieces, ids) = gguf::Vocabulary::new(metadata)?;
        Ok(Self::new(Model::Gguf(Box::new(model)), pieces, ids))
    }

    fn new(model: Model, pieces: Pieces, ids: Ids) -> Self {
        let text = |id: Option<u32>| id.and_then(|id| model.text(id));
        let special = SpecialTokens {
            bos_token: text(ids.bos),
            eos_token: text(ids.ends.first().copied()),
            pad_token: text(ids.pad),
            unk_token: text(ids.unk),
        };
        Self { inner: Arc::new(Inner { model, ids, special }), pieces: Arc::new(pieces) }
    }

    /// The ids of `text`.
    ///
    /// Time is O(n log n) in the longest word and linear in the number of words.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the model cannot express the text (no unknown token).
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        match &self.inner.model {
            Model::Gguf(model) => model.encode(text, options),
            Model::Hf(model) => model.encode(text, options),
        }
    }

    /// The text of `ids`, without special tokens where `skip_special`. Invalid UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for an id beyond the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        let mut stream = self.stream(skip_special);
        let mut text = String::new();
        for &id in ids {
            stream.push_into(id, &mut text)?;
        }
        text.push_str(stream.finish());
        Ok(text)
    }

    /// Decodes ids one by one; see [`TextStream`].
    pub fn stream(&self, skip_special: bool) -> TextStream {
        TextStream::new(self.pieces.clone(), skip_special, false)
    }

    /// Like [`stream`](Self::stream), for ids that continue `before`: after text, the space that begins a word is kept.
    pub fn stream_after(&self, before: &[u32], skip_special: bool) -> TextStream {
        let after_text = before.last().is_some_and(|&id| !self.is_special(id));
        TextStream::new(self.pieces.clone(), skip_special, after_text)
    }

    /// One more than the highest id. The model's own `vocab_size` may be larger: rows of padding have no token.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// The bytes a token stands for inside a text, which need not be UTF-8; empty for tokens that stand for nothing.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.pieces.get(id)
    }

    /// The id of a token as the vocabulary spells it (`Ġworld`, `▁world`, `<|im_end|>`).
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        match &self.inner.model {
            Model::Gguf(model) => model.id(token),
            Model::Hf(model) => model.id(token),
        }
    }

    /// A token as the vocabulary spells it.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.model.text(id)
    }

    /// Whether a token is no text: a control token or the unknown token. Tokens known to end turns are control tokens even
    /// where the file calls them something else.
    pub fn is_special(&self, id: u32) -> bool {
        self.pieces.is_special(id)
    }

    /// The token before a text.
    pub fn bos(&self) -> Option<u32> {
        self.inner.ids.bos
    }

    /// Every token that ends a generation; the EOS token comes first.
    pub fn eos(&self) -> &[u32] {
        &self.inner.ids.ends
    }

    /// The token for padding.
    pub fn pad(&self) -> Option<u32> {
        self.inner.ids.pad
    }

    /// The token for text that has none.
    pub fn unk(&self) -> Option<u32> {
        self.inner.ids.unk
    }

    /// Returns the parts that were left out when the tokenizer was loaded, such as the role of a token beyond the vocabulary.
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.inner.ids.warnings
    }

    /// Returns the texts of the special tokens, in the form that chat templates need.
    pub fn special_tokens_map(&self) -> &SpecialTokens {
        &self.inner.special
    }
}

impl Model {
    fn text(&self, id: u32) -> Option<String> {
        match self {
            Self::Gguf(model) => model.text(id),
            Self::Hf(model) => model.text(id),
        }
    }
}

/// An error of the `tokenizers` crate, whose errors are text.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::Tokenizer { detail: error.to_string() }
}

fn beyond(id: u32, size: usize) -> Error {
    Error::Tokenizer { detail: format!("token id {id} is beyond the vocabulary of {size}") }
}
