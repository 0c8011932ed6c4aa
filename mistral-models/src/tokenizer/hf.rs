//! `tokenizer.json` and the files beside it, through the `tokenizers` crate.
//!
//! Encoding is the crate's. Decoding is ours, because the crate decodes whole sequences: its decoder is translated once
//! into the bytes of each token, so that a stream costs no more than its text.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use serde_json::Value;

use super::bpe::char_byte;
use super::stream::{Lead, Pieces};
use super::vocab::byte_of_text;
use super::{EncodeOptions, Ids, eog};
use crate::Error;

/// Ids of tokens may be sparse, but not without bound: a table is kept over all of them.
const MOST_GAPS: u64 = 1 << 20;

/// A tokenizer of Hugging Face.
#[derive(Debug)]
pub(super) struct Hf {
    tokenizer: tokenizers::Tokenizer,
    /// The same, reading special tokens in the text as text; made on first use.
    literal: OnceLock<Box<tokenizers::Tokenizer>>,
    /// Added by the configuration where there is no post-processor to add it.
    before: Option<u32>,
    after: Option<u32>,
}

impl Hf {
    pub(super) fn new(
        tokenizer_json: &[u8],
        config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
        generation_config: Option<&[u8]>,
    ) -> Result<(Self, Pieces, Ids), Error> {
        let malformed = |e: String| Error::malformed("tokenizer.json", e);
        // The crate panics where a decoder breaks off. That would be caught, but the panic hook would have told of it.
        serde_json::from_slice::<serde::de::IgnoredAny>(tokenizer_json).map_err(|e| malformed(e.to_string()))?;
        let mut tokenizer = guard(|| tokenizers::Tokenizer::from_bytes(tokenizer_json).map_err(failure))
            .map_err(|e| malformed(e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        let config = json("tokenizer_config.json", config)?;
        let map = json("special_tokens_map.json", special_tokens_map)?;
        let generation = json("generation_config.json", generation_config)?;
        let mut pieces = pieces(&tokenizer)?;

        let named = |role: &str| {
            let set = |file: &'_ Value| file.get(role).filter(|v| !v.is_null()).cloned();
            let value = set(&config).or_else(|| set(&map))?;
            let text = match &value {
                Value::Object(token) => token.get("content")?.as_str()?,
                other => other.as_str()?,
            };
            tokenizer.token_to_id(text)
        };
        let size = pieces.len();
        let listed = |key: &str| id_list(&generation, key, size);
        let first = |role: &str, key: &str| Ok::<_, Error>(named(role).or(listed(key)?.first().copied()));
        let bos = first("bos_token", "bos_token_id")?;
        let pad = first("pad_token", "pad_token_id")?;
        let unk = named("unk_token").or_else(|| unknown(&tokenizer));
        let eos = named("eos_token");
        let mut ends: Vec<u32> = eos.into_iter().collect();
        let listed = listed("eos_token_id")?;
        if listed.is_empty() {
            // Only tokens that were added as such: a name may be spelled by an ordinary token too.
            let added: HashMap<String, u32> =
                tokenizer.get_added_tokens_decoder().into_iter().map(|(id, token)| (token.content, id)).collect();
            let not = eog::not_ends(|name| added.get(name).copied());
            let names = eog::END_OF_GENERATION.iter().filter_map(|name| added.get(*name).copied());
            ends.extend(names.filter(|id| !not.contains(id)));
        }
        ends.extend(listed);
        let mut seen = std::collections::HashSet::new();
        ends.retain(|id| seen.insert(*id));

        // What ends a generation is no text, even if it was added as text; but an ordinary token (a newline) stays one.
        let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
        for id in ends.iter().filter(|id| added.contains_key(id)) {
            pieces.set_special(*id, true);
        }
        let asked = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
        let bare = tokenizer.get_post_processor().is_none();
        let before = bos.filter(|_| bare && asked("add_bos_token"));
        let after = eos.filter(|_| bare && asked("add_eos_token"));
        Ok((Self { tokenizer, literal: OnceLock::new(), before, after }, pieces, Ids { bos, pad, unk, ends }))
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
        let encoding = guard(|| tokenizer.encode_fast(text, options.add_special).map_err(failure))?;
        let ids = encoding.get_ids();
        let around = |id: Option<u32>| id.filter(|_| options.add_special);
        Ok(around(self.before).into_iter().chain(ids.iter().copied()).chain(around(self.after)).collect())
    }

    /// The tokenizer of the crate.
    pub(super) fn tokenizer(&self) -> &tokenizers::Tokenizer {
        &self.tokenizer
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub(super) fn text(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }
}

fn failure(error: tokenizers::Error) -> Error {
    super::failed(error)
}

/// Runs code of the `tokenizers` crate on data from outside. Its models trust their files; a panic becomes an error.
fn guard<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(super::failed("tokenizer.json contradicts itself")))
}

fn json(name: &str, bytes: Option<&[u8]>) -> Result<Value, Error> {
    match bytes {
        None => Ok(Value::Null),
        Some(bytes) => serde_json::from_slice(bytes).map_err(|e| Error::malformed(name, e.to_string())),
    }
}

/// An id or a list of ids; ids beyond the vocabulary are left out, as no tokenizer can produce or decode them.
fn id_list(config: &Value, key: &str, size: usize) -> Result<Vec<u32>, Error> {
    let one = |value: &Value| {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| Error::config(key, format!("`{value}` is not a token id")))
    };
    let ids = match config.get(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids.iter().map(one).collect::<Result<_, Error>>()?,
        Some(id) => vec![one(id)?],
    };
    Ok(ids.into_iter().filter(|&id| (id as usize) < size).collect())
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

/// One step of a decoder that works on each token alone.
enum Step {
    Replace(String, String),
    Strip(char, usize),
    ByteFallback,
    ByteLevel,
    WordPiece { prefix: String, cleanup: bool },
    SpaceBefore,
}

/// Translates the decoder into the bytes of every token.
fn pieces(tokenizer: &tokenizers::Tokenizer) -> Result<Pieces, Error> {
    let vocab = tokenizer.get_vocab(true);
    let added = tokenizer.get_added_tokens_decoder();
    let size = vocab.values().copied().chain(added.keys().copied()).max().map_or(0, |id| u64::from(id) + 1);
    let limit = vocab.len() as u64 + added.len() as u64 + MOST_GAPS;
    if size > limit {
        return Err(Error::Limit { what: "the highest token id".into(), limit, found: size });
    }
    let mut texts = vec![None; size as usize];
    let entries = vocab.iter().map(|(text, id)| (*id, text.as_str(), false));
    // Added tokens last: their text is the one that is decoded.
    for (id, text, special) in entries.chain(added.iter().map(|(id, t)| (*id, t.content.as_str(), t.special))) {
        if let Some(slot) = texts.get_mut(id as usize) {
            *slot = Some((text, special));
        }
    }

    let mut steps = Vec::new();
    let mut pieces = Pieces::default();
    match tokenizer.get_decoder() {
        None => {
            steps.push(Step::SpaceBefore);
            pieces.lead = Lead::Spaces(1);
        }
        Some(decoder) => {
            let decoder = serde_json::to_value(decoder).map_err(super::failed)?;
            let mut fused = false;
            read_decoder(&decoder, &mut steps, &mut pieces.lead, &mut fused)?;
        }
    }
    for text in texts {
        match text {
            Some((text, special)) => pieces.push(&apply(&steps, text), special),
            None => pieces.push(&[], false),
        }
    }
    Ok(pieces)
}

fn read_decoder(decoder: &Value, steps: &mut Vec<Step>, lead: &mut Lead, fused: &mut bool) -> Result<(), Error> {
    let kind = decoder.get("type").and_then(Value::as_str).unwrap_or("of an unknown kind");
    let unsupported = || Error::unsupported("tokenizer decoder", decoder.to_string());
    let text = |key: &str| decoder.get(key).and_then(Value::as_str).ok_or_else(unsupported);
    let number = |key: &str| decoder.get(key).and_then(Value::as_u64).ok_or_else(unsupported);
    match kind {
        "Sequence" => {
            let parts = decoder.get("decoders").and_then(Value::as_array).ok_or_else(unsupported)?;
            for part in parts {
                read_decoder(part, steps, lead, fused)?;
            }
        }
        "Fuse" => *fused = true,
        "Strip" => {
            let (content, start) =
                (text("content")?.chars().next().ok_or_else(unsupported)?, number("start")? as usize);
            // The end of a text is not known while it streams.
            if number("stop")? != 0 || *lead != Lead::Keep || (*fused && content != ' ') {
                return Err(unsupported());
            }
            if *fused { *lead = Lead::Spaces(start) } else { steps.push(Step::Strip(content, start)) }
        }
        // Whatever works on tokens does not work on the one text that is left.
        _ if *fused => return Err(unsupported()),
        "ByteLevel" => steps.push(Step::ByteLevel),
        "ByteFallback" => steps.push(Step::ByteFallback),
        "Replace" => {
            let pattern = decoder.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str);
            let pattern = pattern.filter(|p| !p.is_empty()).ok_or_else(unsupported)?;
            steps.push(Step::Replace(pattern.to_owned(), text("content")?.to_owned()));
        }
        "Metaspace" => {
            steps.push(Step::Replace(text("replacement")?.to_owned(), " ".to_owned()));
            if text("prepend_scheme")? != "never" {
                *lead = Lead::FirstToken;
            }
        }
        "WordPiece" => {
            let cleanup = decoder.get("cleanup").and_then(Value::as_bool).ok_or_else(unsupported)?;
            steps.push(Step::WordPiece { prefix: text("prefix")?.to_owned(), cleanup });
            *lead = Lead::Spaces(1);
        }
        _ => return Err(unsupported()),
    }
    Ok(())
}

fn apply(steps: &[Step], token: &str) -> Vec<u8> {
    let mut text = token.to_owned();
    for step in steps {
        match step {
            Step::Replace(from, to) => text = text.replace(from, to),
            Step::Strip(c, most) => {
                let cut: usize = text.chars().take(*most).take_while(|t| t == c).map(char::len_utf8).sum();
                text.drain(..cut);
            }
            Step::ByteFallback => {
                if let Some(byte) = byte_of_text(&text) {
                    return vec![byte];
                }
            }
            Step::ByteLevel => {
                if let Some(bytes) = text.chars().map(char_byte).collect() {
                    return bytes;
                }
            }
            Step::WordPiece { prefix, cleanup } => {
                text = match text.strip_prefix(prefix.as_str()) {
                    Some(rest) => rest.to_owned(),
                    None => format!(" {text}"),
                };
                if *cleanup {
                    text = clean_up(&text);
                }
            }
            Step::SpaceBefore => text.insert(0, ' '),
        }
    }
    text.into_bytes()
}

/// The replacements of Hugging Face's `clean_up_tokenization`, in its order, on one token.
fn clean_up(text: &str) -> String {
    const REPLACED: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    REPLACED.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [&str; 12] =
        ["▁Hello", "▁", "world", "Ġmore", "Ã©", "##ing", "▁▁a", "<0x41>", ".", "<s>", "<tool>", "n't"];

    /// The decoders as `tokenizer.json` spells them.
    const DECODERS: [&str; 6] = [
        r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#,
        r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#,
        r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#,
        r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true}"#,
        r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###,
        "null",
    ];

    fn reference(decoder: &str) -> tokenizers::Tokenizer {
        let vocab: Vec<String> = WORDS.iter().enumerate().map(|(id, w)| format!("{w:?}: {id}")).collect();
        let json = format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": {decoder},
            "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "."}}}}"#,
            vocab.join(",")
        );
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(json).unwrap();
        tokenizer.add_special_tokens([tokenizers::AddedToken::from("<s>", true)]).unwrap();
        tokenizer.add_tokens([tokenizers::AddedToken::from("<tool>", false)]).unwrap();
        tokenizer
    }

    proptest! {
        /// The decoder of the crate is the reference for ours, on sequences that are valid UTF-8.
        #[test]
        fn decodes_as_the_crate_does(which in 0..6usize, ids in prop::collection::vec(0..12u32, 0..9), skip in any::<bool>()) {
            let reference = reference(DECODERS[which]);
            // The crate leaves the mark of a continued word in place on the first token.
            prop_assume!(which != 4 || ids.first() != Some(&5) && !(ids.contains(&9) && skip));
            let (model, pieces, roles) = Hf::new(reference.to_string(false).unwrap().as_bytes(), None, None, None).unwrap();
            let ours = super::super::Tokenizer::new(super::super::Model::Hf(Box::new(model)), pieces, roles);
            prop_assert_eq!(ours.decode(&ids, skip).unwrap(), reference.decode(&ids, skip).unwrap());
        }
    }
}
