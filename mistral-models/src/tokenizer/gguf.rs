//! The tokenizer that the `tokenizer.ggml.*` keys of a GGUF file describe. Defaults and rules are llama.cpp's.

use std::borrow::Cow;
use std::sync::Arc;

use super::bpe::{self, Bpe, char_byte};
use super::eog;
use super::partition::{Fragment, MATCHED, Partition};
use super::pre::{Spaces, pre};
use super::sorted::Sorted;
use super::split::Splitter;
use super::spm::Spm;
use super::stream::{Pieces, Texts, Trim};
use super::unigram::Unigram;
use super::vocab::{Attributes, Vocab, byte_of_text};
use super::wordpiece::Words;
use super::{EncodeOptions, Ids};
use crate::error::Error;
use crate::metadata::Value;
use crate::metadata::{Array, Metadata, Strings};
use crate::tokenizer::warning::TokenizerWarning;
use crate::unsupported::Unsupported;

/// A vocabulary with its model.
#[derive(Debug)]
pub(super) struct Vocabulary {
    vocab: Vocab,
    partition: Partition,
    kind: Kind,
    /// Added around a text.
    before: Option<u32>,
    after: Option<u32>,
}

#[derive(Debug)]
enum Kind {
    Spm { model: Spm, add_space_prefix: bool },
    Bpe { model: Bpe, spaces: Spaces, lowercase: bool },
    Words(Box<Words>),
    Unigram(Unigram),
}

/// What the kind sets where the file does not say.
#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
    sep: Option<u32>,
    pad: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    add_sep: bool,
    add_space_prefix: bool,
}

impl Vocabulary {
    pub(super) fn new(metadata: &Metadata) -> Result<(Self, Pieces, Ids), Error> {
        const MODEL: &str = "tokenizer.ggml.model";
        let model = metadata.str(MODEL)?.ok_or_else(|| Error::Missing { kind: "key", name: MODEL.into() })?;
        let name = metadata.str("tokenizer.ggml.pre")?.unwrap_or_default();
        let name = match model {
            "gemma4" => "gemma4",
            "whitespace" if name.is_empty() => "whitespace",
            _ => name,
        };
        let defaults = match model {
            "llama" => Defaults {
                bos: Some(1),
                eos: Some(2),
                unk: Some(0),
                add_bos: true,
                add_space_prefix: true,
                ..Defaults::default()
            },
            "gpt2" | "gemma4" | "whitespace" => Defaults { add_bos: pre(name)?.add_bos, ..Defaults::default() },
            "bert" => Defaults {
                bos: Some(101),
                unk: Some(100),
                sep: Some(102),
                pad: Some(0),
                add_bos: true,
                add_sep: true,
                ..Defaults::default()
            },
            "t5" => Defaults { eos: Some(1), unk: Some(2), pad: Some(0), add_eos: true, ..Defaults::default() },
            other => return Err(Unsupported::Tokenizer { detail: format!("kind `{other}` ({MODEL})") }.into()),
        };
        let is_bpe = matches!(model, "gpt2" | "gemma4" | "whitespace");
        let merges = if is_bpe { Some(merges(metadata)?) } else { None };
        let mut vocab = Vocab::new(metadata)?;
        let flag = |key: &str, default: bool| Ok::<bool, Error>(metadata.bool(key)?.unwrap_or(default));
        let mut roles = Roles { metadata, size: vocab.len(), warnings: Vec::new() };
        let mut role = |key: &str, default| roles.get(key, default);

        const BOS: &str = "tokenizer.ggml.bos_token_id";
        let is_cls = model == "bert" && metadata.get(BOS).is_none();
        let bos = role(if is_cls { "tokenizer.ggml.cls_token_id" } else { BOS }, defaults.bos)?;
        let eos = role("tokenizer.ggml.eos_token_id", defaults.eos)?;
        let unk = role("tokenizer.ggml.unknown_token_id", defaults.unk)?;
        let sep = role("tokenizer.ggml.seperator_token_id", defaults.sep)?;
        let pad = role("tokenizer.ggml.padding_token_id", defaults.pad)?;
        let ends = ends(&mut roles, &mut vocab, eos)?;

        let add_bos = flag("tokenizer.ggml.add_bos_token", defaults.add_bos)? || name == "gemma4";
        let add_eos = flag("tokenizer.ggml.add_eos_token", defaults.add_eos)?;
        let add_sep = flag("tokenizer.ggml.add_sep_token", defaults.add_sep)?;
        let add_space_prefix = flag("tokenizer.ggml.add_space_prefix", defaults.add_space_prefix)?;
        let mut warnings = roles.warnings;
        let mut around = |add: bool, id: Option<u32>, key: &str| {
            if add && id.is_none() {
                warnings.push(TokenizerWarning::NotAdded { key: key.into() });
            }
            id.filter(|_| add)
        };
        let before = around(add_bos, bos, "tokenizer.ggml.add_bos_token");
        let after = if model == "bert" {
            around(add_sep, sep, "tokenizer.ggml.add_sep_token")
        } else {
            around(add_eos, eos, "tokenizer.ggml.add_eos_token")
        };

        strip_attributes(metadata, &mut vocab)?;
        // Unigram walks over all tokens and shares the list.
        let tokens = Arc::new(Sorted::new(&vocab, |attributes| model == "t5" || attributes.any(MATCHED)));
        let kind = match model {
            "llama" => Kind::Spm { model: Spm::new(&vocab, unk), add_space_prefix },
            "bert" => {
                let lowercase = flag("tokenizer.ggml.normalizer.lowercase", true)?;
                let strip_accents = flag("tokenizer.ggml.normalizer.strip_accents", lowercase)?;
                Kind::Words(Box::new(Words::new(unk, lowercase, strip_accents)?))
            }
            "t5" => {
                let merge_spaces = flag("tokenizer.ggml.remove_extra_whitespaces", false)?;
                let unknown = unk.ok_or_else(|| {
                    Error::config("tokenizer.ggml.unknown_token_id", "a t5 vocabulary needs an unknown token in range")
                })?;
                let charsmap = charsmap(metadata)?;
                let charsmap = charsmap.as_deref();
                Kind::Unigram(Unigram::new(&vocab, tokens.clone(), unknown, charsmap, add_space_prefix, merge_spaces)?)
            }
            _ => {
                let pre = pre(name)?;
                let splitter = Splitter::new(pre.stages)?;
                let model =
                    Bpe::new(&vocab, merges.unwrap_or(&Strings::default()), splitter, pre.chars, pre.ignore_merges);
                let lowercase = pre.spaces == Spaces::Drop && flag("tokenizer.ggml.normalizer.lowercase", false)?;
                Kind::Bpe { model, spaces: pre.spaces, lowercase }
            }
        };
        let pieces = pieces(&vocab, &kind);
        let partition = Partition::new(tokens);
        let vocabulary = Self { vocab, partition, kind, before, after };
        Ok((vocabulary, pieces, Ids { bos, pad, unk, ends, warnings }))
    }

    pub(super) fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, Error> {
        let mut out = Vec::with_capacity(text.len() / 3 + 2);
        if options.add_special {
            out.extend(self.before);
        }
        let mut after_special = true;
        for fragment in self.partition.split(&self.vocab, text, options.parse_special) {
            let part = match fragment {
                Fragment::Token(id) => {
                    out.push(id);
                    after_special = true;
                    continue;
                }
                Fragment::Text(range) => text.get(range).unwrap_or_default(),
            };
            match &self.kind {
                Kind::Spm { model, add_space_prefix } => {
                    let prefix = if *add_space_prefix && after_special { "▁" } else { "" };
                    model.encode(&self.vocab, &format!("{prefix}{}", part.replace(' ', "▁")), &mut out);
                }
                Kind::Bpe { model, spaces: Spaces::Keep, .. } => model.encode(&self.vocab, part, &mut out),
                Kind::Bpe { model, spaces: Spaces::Escape, .. } => {
                    model.encode(&self.vocab, &part.replace(' ', "▁"), &mut out);
                }
                Kind::Bpe { model, spaces: Spaces::Drop, lowercase } => {
                    let part = if *lowercase { Cow::Owned(part.to_lowercase()) } else { Cow::Borrowed(part) };
                    part.split_whitespace().for_each(|word| model.encode(&self.vocab, word, &mut out));
                }
                Kind::Words(model) => model.encode(&self.vocab, part, &mut out)?,
                Kind::Unigram(model) => model.encode(&self.vocab, part, &mut out)?,
            }
            after_special = false;
        }
        if options.add_special {
            out.extend(self.after);
        }
        Ok(out)
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.vocab.named(text)
    }

    pub(super) fn text(&self, id: u32) -> Option<String> {
        self.vocab.name(id)
    }
}

/// Returns the merges of a BPE model, checked before a table is made from them.
fn merges(metadata: &Metadata) -> Result<&Strings, Error> {
    const MERGES: &str = "tokenizer.ggml.merges";
    let merges = metadata.strings(MERGES)?.ok_or_else(|| Error::Missing { kind: "key", name: MERGES.into() })?;
    bpe::check(merges)?;
    Ok(merges)
}

/// Reads the ids of tokens with a role.
struct Roles<'m> {
    metadata: &'m Metadata,
    size: usize,
    warnings: Vec<TokenizerWarning>,
}

impl Roles<'_> {
    /// Returns the id under `key`, or else the default if the default is in range.
    fn get(&mut self, key: &str, default: Option<u32>) -> Result<Option<u32>, Error> {
        let used = default.filter(|&id| (id as usize) < self.size);
        let Some(value) = self.metadata.get(key) else { return Ok(used) };
        let found = value.as_u64().map(i128::from).or_else(|| value.as_f64().map(|id| id as i128));
        let Some(id) = found.filter(|_| !matches!(value, Value::F32(_) | Value::F64(_))) else {
            return Err(Error::config(key, "is not an integer"));
        };
        // Written by converters for "none".
        if id == i128::from(u32::MAX) {
            return Ok(None);
        }
        match u32::try_from(id) {
            Ok(id) if (id as usize) < self.size => Ok(Some(id)),
            _ => {
                let (key, vocab_size) = (key.to_owned(), self.size);
                self.warnings.push(TokenizerWarning::SpecialToken { key, id, vocab_size, used });
                Ok(used)
            }
        }
    }
}

/// Every token that ends a generation, EOS first. Tokens known by name become control tokens whatever the file says.
fn ends(roles: &mut Roles<'_>, vocab: &mut Vocab, eos: Option<u32>) -> Result<Vec<u32>, Error> {
    let find = |vocab: &Vocab, names: &[&str]| names.iter().find_map(|name| vocab.id(name));
    let mut control = Vec::new();
    let mut ends = Vec::new();

    let eot = roles.get("tokenizer.ggml.eot_token_id", None)?;
    let found = if eot.is_none() { find(vocab, eog::END_OF_TURN) } else { None };
    control.extend(found);
    let eot = eot.or(found);
    let eom = roles.get("tokenizer.ggml.eom_token_id", None)?;
    let fill_keys = ["fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"];
    for (key, names) in fill_keys.iter().zip(eog::FILL_ENDS) {
        let id = roles.get(&format!("tokenizer.ggml.{key}"), None)?;
        let found = if id.is_none() { find(vocab, names) } else { None };
        control.extend(found);
        ends.extend(id.or(found));
    }
    for names in eog::FILL_PARTS {
        control.extend(find(vocab, names));
    }
    let named: Vec<u32> = eog::END_OF_GENERATION.iter().filter_map(|name| vocab.id(name)).collect();
    control.extend(&named);
    ends.extend(named);
    ends.extend(eot.into_iter().chain(eom));

    let not = eog::not_ends(|name| vocab.id(name));
    ends.retain(|id| !not.contains(id));
    ends.extend(eos);
    ends.sort_unstable();
    ends.dedup();
    ends.sort_by_key(|id| Some(*id) != eos);
    for id in control {
        vocab.set_attributes(id, vocab.attributes(id).with(Attributes::CONTROL));
    }
    Ok(ends)
}

/// Marks tokens that take the white space next to them. GGUF has no key for this property, so llama.cpp knows the models by name.
fn strip_attributes(metadata: &Metadata, vocab: &mut Vocab) -> Result<(), Error> {
    let pre = metadata.str("tokenizer.ggml.pre")?.unwrap_or_default();
    let architecture = metadata.str("general.architecture")?.unwrap_or_default();
    let name = metadata.str("general.name")?.unwrap_or_default().to_lowercase();
    let any = |text: &str, parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let mut add = |text: &str, attribute| {
        if let Some(id) = vocab.id(text) {
            vocab.set_attributes(id, vocab.attributes(id).with(attribute));
        }
    };
    if any(pre, &["jina-v2-de", "jina-v2-es", "jina-v2-code"]) || any(architecture, &["nomic-bert-moe", "jina-bert-v3"])
    {
        add("<mask>", Attributes::LSTRIP);
    } else if any(&name, &["phi-3", "phi3"]) {
        let matched = Attributes::CONTROL.with(Attributes::USER_DEFINED).with(Attributes::UNKNOWN);
        let ids: Vec<u32> = vocab.iter().filter(|(_, _, a)| a.any(matched)).map(|(id, _, _)| id).collect();
        for id in ids.into_iter().chain(vocab.id("</s>")) {
            vocab.set_attributes(id, vocab.attributes(id).with(Attributes::RSTRIP));
        }
        for id in ["<unk>", "<s>", "<|endoftext|>"].into_iter().filter_map(|text| vocab.id(text)).collect::<Vec<_>>() {
            vocab.set_attributes(id, vocab.attributes(id).without(Attributes::RSTRIP));
        }
    } else if name.contains("modern-bert") {
        add("[MASK]", Attributes::LSTRIP);
    }
    Ok(())
}

fn charsmap(metadata: &Metadata) -> Result<Option<Vec<u8>>, Error> {
    const KEY: &str = "tokenizer.ggml.precompiled_charsmap";
    match metadata.get(KEY) {
        None => Ok(None),
        Some(Value::Array(Array::U8(bytes))) => Ok(Some(bytes.clone())),
        Some(Value::Array(Array::I8(bytes))) => Ok(Some(bytes.iter().map(|b| b.cast_unsigned()).collect())),
        Some(_) => Err(Error::config(KEY, "is not an array of bytes")),
    }
}

/// The bytes each token stands for.
fn pieces(vocab: &Vocab, kind: &Kind) -> Pieces {
    let special = Attributes::CONTROL.with(Attributes::UNKNOWN);
    let escaped = !matches!(kind, Kind::Bpe { spaces: Spaces::Keep | Spaces::Drop, .. });
    let is_bytes = matches!(kind, Kind::Bpe { spaces: Spaces::Keep, .. });
    let mut pieces = Pieces::new(Texts::with_capacity(vocab.len(), vocab.bytes()));
    for (id, text, attributes) in vocab.iter() {
        if attributes.any(special) {
            pieces.set_special(id, true);
        }
        // Some converters leave runs of spaces escaped where they are tokens of their own.
        let spaces = || escaped && attributes.any(Attributes::USER_DEFINED) && text.chars().all(|c| c == '▁');
        if attributes.any(special.with(Attributes::USER_DEFINED)) && !spaces() {
            pieces.inner.push(text.bytes());
        } else if attributes.any(Attributes::BYTE) {
            pieces.inner.push(byte_of_text(text));
        } else if !attributes.any(Attributes::NORMAL.with(Attributes::USER_DEFINED)) {
            pieces.inner.push([]);
        } else if escaped {
            pieces.inner.push(text.replace('▁', " ").into_bytes());
        } else if is_bytes && text.chars().all(|c| char_byte(c).is_some()) {
            pieces.inner.push(text.chars().filter_map(char_byte));
        } else {
            pieces.inner.push(text.bytes());
        }
    }
    pieces.inner.shrink();
    pieces.lead = match kind {
        Kind::Spm { add_space_prefix: true, .. } | Kind::Words(_) | Kind::Unigram(_) => Trim::spaces(1),
        _ => Trim::default(),
    };
    pieces
}
