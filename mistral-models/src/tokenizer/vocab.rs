//! The tokens of a GGUF vocabulary: text, score and attributes by id, and ids by text.
//!
//! Keys and token types as the GGUF specification names them (`tokenizer.ggml.*`).

use super::index::Index;
use crate::error::Error;
use crate::metadata::{Array, Metadata, Strings};

/// What a token is; several can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes(u8);

impl Attributes {
    pub(super) const NORMAL: Self = Self(1);
    pub(super) const UNKNOWN: Self = Self(2);
    pub(super) const CONTROL: Self = Self(4);
    pub(super) const USER_DEFINED: Self = Self(8);
    pub(super) const UNUSED: Self = Self(16);
    pub(super) const BYTE: Self = Self(32);
    pub(super) const LSTRIP: Self = Self(64);
    pub(super) const RSTRIP: Self = Self(128);

    /// From the numbers of `tokenizer.ggml.token_type`.
    fn from_type(number: i32) -> Self {
        match number {
            1 => Self::NORMAL,
            2 => Self::UNKNOWN,
            3 => Self::CONTROL,
            4 => Self::USER_DEFINED,
            5 => Self::UNUSED,
            6 => Self::BYTE,
            _ => Self(0),
        }
    }

    /// Whether any of `other` holds.
    pub(super) fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Tokens by id and ids by text.
///
/// The texts are shared with the metadata. A token takes about six bytes in addition to its text, and four for its score.
#[derive(Debug, Clone)]
pub(super) struct Vocab {
    texts: Strings,
    index: Index,
    hasher: ahash::RandomState,
    attributes: Vec<Attributes>,
    /// The scores; empty if the file has none.
    scores: Vec<f32>,
    longest: usize,
}

impl Vocab {
    /// Reads `tokenizer.ggml.tokens`, `scores` and `token_type`. All lengths are compared before any table is made.
    ///
    /// # Errors
    /// A list that is missing, of another type or length, a token that occurs twice, a score that is not a number.
    pub(super) fn new(metadata: &Metadata) -> Result<Self, Error> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        const SCORES: &str = "tokenizer.ggml.scores";
        const TYPES: &str = "tokenizer.ggml.token_type";
        let texts = metadata.strings(TOKENS)?.ok_or_else(|| Error::Missing { kind: "key", name: TOKENS.into() })?;
        let size = texts.len();
        if size == 0 || size > i32::MAX as usize {
            return Err(Error::config(TOKENS, format!("holds {size} tokens")));
        }
        if u32::try_from(texts.bytes()).is_err() {
            let (found, limit) = (texts.bytes() as u64, u64::from(u32::MAX));
            return Err(Error::Limit { what: format!("the number of bytes in {TOKENS}"), limit, found });
        }
        let same_length = |key: &str, found: usize| {
            let wrong = || Error::config(key, format!("has {found} entries for {size} tokens"));
            if found == size { Ok(()) } else { Err(wrong()) }
        };
        let types = metadata.i32s(TYPES)?;
        same_length(TYPES, types.map_or(size, <[i32]>::len))?;
        let listed = match metadata.get(SCORES).map(|v| v.as_array()) {
            None => None,
            Some(Some(scores @ (Array::F32(_) | Array::I32(_)))) => Some(scores),
            Some(_) => return Err(Error::config(SCORES, "is not an array of f32")),
        };
        let scores = match listed {
            Some(Array::F32(scores)) => {
                same_length(SCORES, scores.len())?;
                scores.clone()
            }
            Some(Array::I32(scores)) => {
                same_length(SCORES, scores.len())?;
                scores.iter().map(|&s| s as f32).collect()
            }
            _ => Vec::new(),
        };
        if let Some(id) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::config(SCORES, format!("the score of token {id} is not a number")));
        }

        let hasher = ahash::RandomState::new();
        let mut index = Index::with_capacity(size);
        let mut longest = 0;
        let text_of = |id: u32| texts.get(id as usize).unwrap_or_default();
        let hash_of = |id: u32| hasher.hash_one(text_of(id));
        for (id, text) in (0u32..).zip(texts.iter()) {
            longest = longest.max(text.len());
            let former = if text.is_empty() {
                None
            } else {
                index.insert(id, hasher.hash_one(text), |other| text_of(other) == text, hash_of)
            };
            if let Some(former) = former {
                return Err(Error::config(TOKENS, format!("token `{text}` has the ids {former} and {id}")));
            }
        }
        let attributes = match types {
            None => vec![Attributes::NORMAL; size],
            Some(types) => types.iter().map(|&t| Attributes::from_type(t)).collect(),
        };
        Ok(Self { texts: texts.clone(), index, hasher, attributes, scores, longest })
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Returns the bytes of all texts together.
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes()
    }

    /// Returns the token with this text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.index.get(self.hasher.hash_one(text), |id| self.text(id) == Some(text))
    }

    /// Returns the text of a token as the file has it.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize)
    }

    /// Returns the token with this name.
    pub(super) fn named(&self, name: &str) -> Option<u32> {
        let empty = || name.strip_prefix("[EMPTY_")?.strip_suffix(']')?.parse().ok();
        self.id(name).or_else(|| empty().filter(|id| self.text(*id) == Some("")))
    }

    /// Returns the text of a token; a token without text has llama.cpp's name.
    pub(super) fn name(&self, id: u32) -> Option<String> {
        let text = self.text(id)?;
        Some(if text.is_empty() { format!("[EMPTY_{id}]") } else { text.to_owned() })
    }

    pub(super) fn attributes(&self, id: u32) -> Attributes {
        self.attributes.get(id as usize).copied().unwrap_or_default()
    }

    pub(super) fn set_attributes(&mut self, id: u32, attributes: Attributes) {
        if let Some(slot) = self.attributes.get_mut(id as usize) {
            *slot = attributes;
        }
    }

    pub(super) fn score(&self, id: u32) -> f32 {
        self.scores.get(id as usize).copied().unwrap_or(0.0)
    }

    /// Bytes of the longest token text.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The token `<0xXX>` that stands for one byte where the text has no token of its own.
    pub(super) fn byte_id(&self, byte: u8) -> Option<u32> {
        self.id(&format!("<0x{byte:02X}>"))
    }

    /// Id, text and attributes of every token.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, Attributes)> {
        self.texts.iter().zip(&self.attributes).enumerate().map(|(id, (text, a))| (id as u32, text, *a))
    }
}

/// The byte that a token text like `<0x0A>` stands for.
pub(super) fn byte_of_text(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}
