//! `tokenizer.json` and the files next to it, through the `tokenizers` crate.
//!
//! The crate encodes; [`decoder`] decodes.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use serde_json::Value;

use super::added::{self, Files};
use super::decoder;
use super::stream::Pieces;
use super::{EncodeOptions, Ids, eog};
use crate::error::Error;
use crate::tokenizer::warning::TokenizerWarning;

/// A tokenizer of Hugging Face.
#[derive(Debug)]
pub(super) struct Hf {
    tokenizer: tokenizers::Tokenizer,
    /// The same, reading special tokens in the text as text; made on first use.
    literal: OnceLock<Box<tokenizers::Tokenizer>>,
}

/// The bytes of the files that belong to a tokenizer of Hugging Face.
#[derive(Debug, Default)]
pub(super) struct Sidecars<'a> {
    /// tokenizer_config.json
    pub(super) config: Option<&'a [u8]>,
    /// special_tokens_map.json
    pub(super) map: Option<&'a [u8]>,
    /// added_tokens.json
    pub(super) added: Option<&'a [u8]>,
    /// generation_config.json
    pub(super) generation: Option<&'a [u8]>,
}

impl Hf {
    pub(super) fn new(tokenizer_json: &[u8], files: &Sidecars<'_>) -> Result<(Self, Pieces, Ids), Error> {
        let malformed = |e: String| Error::malformed("tokenizer.json", e);
        // The crate panics where a decoder breaks off. That would be caught, but the panic hook would have reported it.
        serde_json::from_slice::<serde::de::IgnoredAny>(tokenizer_json).map_err(|e| malformed(e.to_string()))?;
        let mut tokenizer = guard(|| tokenizers::Tokenizer::from_bytes(tokenizer_json).map_err(super::failed))
            .map_err(|e| malformed(e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        let files_next = Files {
            config: json("tokenizer_config.json", files.config)?,
            map: json("special_tokens_map.json", files.map)?,
            added: json("added_tokens.json", files.added)?,
        };
        let roles = added::add(&mut tokenizer, files_next)?;
        let generation = json("generation_config.json", files.generation)?;
        let mut pieces = decoder::pieces(&tokenizer)?;

        let named = |role: &str| roles.get(role).and_then(|text| tokenizer.token_to_id(text));
        let size = pieces.len();
        let mut warnings = Vec::new();
        let mut listed = |key: &str| id_list(&generation, key, size, &mut warnings);
        let bos = listed("bos_token_id")?.first().copied();
        let pad = listed("pad_token_id")?.first().copied();
        let listed = listed("eos_token_id")?;
        let (bos, pad) = (named("bos_token").or(bos), named("pad_token").or(pad));
        let unk = named("unk_token").or_else(|| unknown(&tokenizer));
        let mut ends: Vec<u32> = named("eos_token").into_iter().collect();
        let added = tokenizer.get_added_tokens_decoder();
        if listed.is_empty() {
            // Only tokens that were added as such: a name may be spelled by an ordinary token too.
            let ids: HashMap<&str, u32> = added.iter().map(|(id, token)| (token.content.as_str(), *id)).collect();
            let not = eog::not_ends(|name| ids.get(name).copied());
            let names = eog::END_OF_GENERATION.iter().filter_map(|name| ids.get(name).copied());
            ends.extend(names.filter(|id| !not.contains(id)));
        }
        ends.extend(listed);
        let mut seen = HashSet::new();
        ends.retain(|id| seen.insert(*id));

        // What ends a generation is no text, even if it was added as text; but an ordinary token (a newline) stays one.
        for id in ends.iter().filter(|id| added.contains_key(id)) {
            pieces.set_special(*id, true);
        }
        Ok((Self { tokenizer, literal: OnceLock::new() }, pieces, Ids { bos, pad, unk, ends, warnings }))
    }

    pub(super) fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        let tokenizer = if options.parse_special {
            &self.tokenizer
        } else {
            self.literal.get_or_init(|| {
                let mut literal = self.tokenizer.clone();
                literal.set_encode_special_tokens(true);
                Box::new(literal)
            })
        };
        let encoding = guard(|| tokenizer.encode_fast(text, options.add_special).map_err(super::failed))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokenizer of the crate.
    pub(super) fn tokenizer(&self) -> &tokenizers::Tokenizer {
        &self.tokenizer
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Returns added tokens as they are spelled, where the crate returns their normalized text.
    pub(super) fn text(&self, id: u32) -> Option<String> {
        let added = self.tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        added.get(&id).map(|token| token.content.clone()).or_else(|| self.tokenizer.id_to_token(id))
    }
}

/// Runs code of the `tokenizers` crate on data from outside. Its models trust their files; a panic becomes an error.
pub(super) fn guard<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(super::failed("tokenizer.json contradicts itself")))
}

fn json(name: &str, bytes: Option<&[u8]>) -> Result<Value, Error> {
    match bytes {
        None => Ok(Value::Null),
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| Error::malformed(name, e.to_string())),
    }
}

/// Reads an id or a list of ids. Ids beyond the vocabulary are left out, because no tokenizer can produce or decode them.
fn id_list(config: &Value, key: &str, size: usize, warnings: &mut Vec<TokenizerWarning>) -> Result<Vec<u32>, Error> {
    let mut list = Vec::new();
    let values = match config.get(key) {
        None | Some(Value::Null) => return Ok(list),
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    for value in values {
        let id = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let id = id.ok_or_else(|| Error::config(key, format!("`{value}` is not a token id")))?;
        match u32::try_from(id) {
            Ok(id) if (id as usize) < size => list.push(id),
            _ => {
                let key = key.to_owned();
                warnings.push(TokenizerWarning::SpecialToken { key, id, vocab_size: size, used: None });
            }
        }
    }
    Ok(list)
}

fn unknown(tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
    use tokenizers::ModelWrapper::{BPE, WordLevel, WordPiece};
    let name = match tokenizer.get_model() {
        BPE(model) => model.get_unk_token().clone()?,
        WordPiece(model) => model.unk_token.clone(),
        WordLevel(model) => model.unk_token.clone(),
        _ => return None,
    };
    tokenizer.token_to_id(&name)
}
