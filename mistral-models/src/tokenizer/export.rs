//! A `tokenizer.json` as the `tokenizer.ggml.*` keys of a GGUF file.
//!
//! GGUF keeps less than `tokenizer.json` says: the name of a pre-tokenizer instead of its patterns, and scores instead of merges for
//! SentencePiece. The name is found by cutting a probe with every known pre-tokenizer. The result is accepted only if it returns the same
//! ids as the original on all probes, and around each added token. GGUF cannot express that a token takes the space next to it, must be a
//! separate word, or is searched in normalized text.
//!
//! Keys and token types: the GGUF specification; llama.cpp `convert_hf_to_gguf.py`.

use std::collections::HashMap;

use serde_json::Value as Json;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::hf::Hf;
use super::pre::{self, pre};
use super::split::Splitter;
use super::vocab::byte_of_text;
use super::{EncodeOptions, Model, Tokenizer};
use crate::error::Error;
use crate::metadata::Value;
use crate::metadata::{Array, Metadata, Strings};
use crate::unsupported::Unsupported;

/// Texts on which tokenizers differ: contractions, case, runs of digits, spaces and newlines, scripts, marks, symbols.
const PROBES: &[&str] = &[
    "Hello, world! I'm sure they're OK; we'LL see. HTTPServer fooBar iPhone_v2",
    " leading  two   three    four\ttab\n\nnewlines\r\n  indented\n",
    "1 22 333 4444 55555 3.14159 1,234,567 2026-01-31",
    "naïve café Übermaß żółć ñandú",
    "Привет мир. Γειά σου Κόσμε",
    "你好，世界。こんにちは 안녕하세요",
    "مرحبا بالعالم हिन्दी ไทย",
    "emoji 🙂🚀👩‍💻 symbols ∑∫√ €£¥ «quotes» “curly” — dash…",
    "fn main() { let x = [1, 2]; println!(\"{}\", x[0] != 3 && true); } // ok",
    "path/to/file.txt user@example.com https://example.com/?q=a%20b&c=d#e",
    "'s 't 're 've 'm 'll 'd 'S 'T",
];

/// `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The names under which most files have their pre-tokenizer.
const KNOWN: &[&str] = &["llama-bpe", "qwen2", "gpt-2", "tekken", "gpt-4o", "deepseek-v3", "smollm", "smaug-bpe"];

/// Of a token that no merge makes: after all others.
const LAST: f32 = -1e9;

type Keys = Vec<(String, Value)>;

impl Tokenizer {
    /// The keys of a GGUF file for this tokenizer, for a model with an embedding of `rows` rows. `described` is what else the file will
    /// say, as the meaning of some keys depends on it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a tokenizer that such keys cannot express; it names the text whose ids would change.
    pub(crate) fn to_gguf(&self, rows: usize, described: &Metadata) -> Result<Keys, Error> {
        let Model::Hf(hf) = &self.inner.model else {
            return Err(refused("not from a tokenizer.json"));
        };
        let model = serde_json::to_value(hf.tokenizer().get_model()).map_err(super::failed)?;
        let flag = |key: &str| model.get(key).and_then(Json::as_bool).unwrap_or(false);
        let kind = model.get("type").and_then(Json::as_str).unwrap_or_default();
        if kind != "BPE" {
            return Err(refused(format!("model {kind} in a GGUF file")));
        }
        let bytes = flag("byte_fallback");
        let merges = merges(&model)?;
        let mut keys = self.vocabulary(hf, rows, bytes)?;
        let mut set = |name: &str, value: Value| keys.push((format!("tokenizer.ggml.{name}"), value));
        for (name, id) in [
            ("bos_token_id", self.bos()),
            ("eos_token_id", self.eos().first().copied()),
            ("padding_token_id", self.pad()),
            ("unknown_token_id", self.unk()),
        ] {
            if let Some(id) = id {
                set(name, Value::U32(id));
            }
        }
        let (bos, eos) = self.added()?;
        set("add_bos_token", Value::Bool(bos));
        set("add_eos_token", Value::Bool(eos));
        if bytes {
            set("model", Value::Str("llama".into()));
            set("pre", Value::Str("default".into()));
            let scores = scores(&merges, self.vocab_size().max(rows), |text| self.token_to_id(text));
            set("scores", Value::Array(Array::F32(scores)));
            let candidates =
                [true, false].map(|space| vec![("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(space))]);
            return self.first_faithful(hf, described, keys, candidates.into());
        }
        set("model", Value::Str("gpt2".into()));
        let joined: Vec<String> = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
        set("merges", Value::Array(Array::Str(joined.iter().map(String::as_str).collect())));
        let mut names = cut_alike(hf)?;
        // Of names with the same patterns, first those that take whole words as this model does, and of these the best known.
        names.sort_by_key(|name| {
            let whole = pre(name).is_ok_and(|pre| pre.ignore_merges == flag("ignore_merges"));
            (!whole, KNOWN.iter().position(|known| known == name).unwrap_or(KNOWN.len()))
        });
        let candidates = names.iter().map(|name| vec![("tokenizer.ggml.pre".to_owned(), Value::Str((*name).into()))]);
        self.first_faithful(hf, described, keys, candidates.collect())
    }

    /// Tokens and their types; rows of the embedding without a token are unused tokens.
    fn vocabulary(&self, hf: &Hf, rows: usize, bytes: bool) -> Result<Keys, Error> {
        if self.vocab_size() > rows {
            let detail = format!("{} tokens for an embedding of {rows} rows", self.vocab_size());
            return Err(refused(detail));
        }
        let added = hf.tokenizer().get_added_tokens_decoder();
        let (mut tokens, mut types) = (Strings::default(), Vec::with_capacity(rows));
        for id in 0..u32::try_from(rows).unwrap_or(u32::MAX) {
            let text = self.id_to_token(id);
            types.push(match (&text, added.get(&id)) {
                (None, _) => UNUSED,
                (Some(_), _) if bytes && Some(id) == self.unk() => UNKNOWN,
                (Some(_), Some(token)) if token.special => CONTROL,
                (Some(_), Some(_)) => USER_DEFINED,
                (Some(text), None) if bytes && byte_of_text(text).is_some() => BYTE,
                (Some(_), None) => NORMAL,
            });
            tokens.push(&text.unwrap_or_else(|| format!("[PAD{id}]")));
        }
        Ok(vec![
            ("tokenizer.ggml.tokens".into(), Value::Array(Array::Str(tokens))),
            ("tokenizer.ggml.token_type".into(), Value::Array(Array::I32(types))),
        ])
    }

    /// Whether BOS and EOS are put around a text.
    fn added(&self) -> Result<(bool, bool), Error> {
        let text = "a";
        let (bare, whole) =
            (self.encode(text, EncodeOptions::new(false, false))?, self.encode(text, EncodeOptions::TEXT)?);
        let bos = self.bos().is_some() && whole.first().copied() == self.bos() && bare.first().copied() != self.bos();
        let end = self.eos().first().copied();
        let eos = end.is_some() && whole.last().copied() == end && bare.last().copied() != end;
        let around: Vec<u32> = self.bos().filter(|_| bos).into_iter().chain(bare).chain(end.filter(|_| eos)).collect();
        if around == whole {
            return Ok((bos, eos));
        }
        Err(refused("one that puts other tokens than BOS and EOS around a text, in a GGUF file"))
    }

    /// The keys with the first addition under which the file gives the ids of this tokenizer.
    fn first_faithful(&self, hf: &Hf, described: &Metadata, keys: Keys, additions: Vec<Keys>) -> Result<Keys, Error> {
        let mut metadata = described.clone();
        for (key, value) in &keys {
            metadata.insert(key.clone(), value.clone());
        }
        let around = around_added(hf);
        let mut differs = None;
        let mut of_added: Option<(&AddedToken, &str)> = None;
        for addition in additions {
            for (key, value) in &addition {
                metadata.insert(key.clone(), value.clone());
            }
            let read_back = Self::from_gguf(&metadata)?;
            if let Some(text) = PROBES.iter().find(|text| self.differs(&read_back, text)) {
                differs = differs.or(Some(*text));
                // A token that only stands in this text may be the reason.
                let mut tokens = around.iter().map(|(token, _)| token);
                let reason = tokens.find(|token| token.single_word && text.contains(&token.content));
                of_added = of_added.or(reason.map(|token| (token, *text)));
                continue;
            }
            match around.iter().find(|(_, text)| self.differs(&read_back, text)) {
                None => {
                    let ends = self.other_ends(&read_back)?;
                    return Ok(keys.into_iter().chain(addition).chain(ends).collect());
                }
                Some((token, text)) => of_added = of_added.or(Some((token, text))),
            }
        }
        let detail = match (of_added, differs) {
            (Some((token, text)), _) => {
                format!("added token {}: in a GGUF file {text:?} would have other ids", described_token(token))
            }
            (None, Some(text)) => format!("in a GGUF file it would give other ids for {text:?}"),
            (None, None) => "its pre-tokenizer has no name in GGUF files".into(),
        };
        Err(refused(detail))
    }

    /// Returns whether `other` returns different ids for a text. Texts that this tokenizer cannot encode are not compared.
    fn differs(&self, other: &Self, text: &str) -> bool {
        [EncodeOptions::TEXT, EncodeOptions::TEMPLATE].into_iter().any(|options| {
            self.encode(text, options).is_ok_and(|wanted| other.encode(text, options).ok() != Some(wanted))
        })
    }

    /// Tokens that end a generation and are not known by their names.
    fn other_ends(&self, read_back: &Self) -> Result<Keys, Error> {
        let left: Vec<u32> = self.eos().iter().filter(|id| !read_back.eos().contains(id)).copied().collect();
        let keys = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
        if left.len() > keys.len() {
            let detail = format!("{} tokens that end a generation, in a GGUF file", self.eos().len());
            return Err(refused(detail));
        }
        Ok(keys.iter().zip(left).map(|(key, id)| ((*key).to_owned(), Value::U32(id))).collect())
    }
}

/// Returns texts in which the added tokens stand between words, spaces, lines, and each other, so that flags and overlaps show.
fn around_added(hf: &Hf) -> Vec<(AddedToken, String)> {
    /// The most tokens that are tried per ending of another token that they begin with.
    const OVERLAPS: usize = 4;
    let added = hf.tokenizer().get_added_tokens_decoder();
    let mut tokens: Vec<&AddedToken> = added.values().collect();
    tokens.sort_by(|a, b| a.content.cmp(&b.content));
    let mut texts = Vec::new();
    for token in &tokens {
        let t = token.content.as_str();
        let mut push = |text: String| texts.push(((*token).clone(), text));
        for (before, after) in [
            ("", ""),
            ("", "hello"),
            (" ", " "),
            (" ", "hello"),
            ("hello", " "),
            ("hello", "hello"),
            ("hello ", " hello"),
            ("hello  ", "  hello"),
            ("\n", "\n"),
            ("hello\n", "\nhello"),
            ("hello,", ".hello"),
            ("hello\u{a0}", "\u{a0}hello"),
        ] {
            push(format!("{before}{t}{after}"));
        }
        push(format!("{t}{t} {t}"));
        for (at, _) in t.char_indices().skip(1) {
            let end = &t[at..];
            let from = tokens.partition_point(|other| other.content.as_str() < end);
            let overlapping = tokens.iter().skip(from).take_while(|other| other.content.starts_with(end));
            for other in overlapping.take(OVERLAPS) {
                push(format!("{t}{}", &other.content[end.len()..]));
            }
        }
    }
    texts
}

/// Describes a token and its flags.
fn described_token(token: &AddedToken) -> String {
    let flags = [
        ("single_word", token.single_word),
        ("lstrip", token.lstrip),
        ("rstrip", token.rstrip),
        ("normalized", token.normalized),
    ];
    let flags: Vec<&str> = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
    if flags.is_empty() {
        format!("`{}`", token.content)
    } else {
        format!("`{}` ({})", token.content, flags.join(", "))
    }
}

/// The merges in their order.
fn merges(model: &Json) -> Result<Vec<(String, String)>, Error> {
    let wrong = || Error::malformed("tokenizer.json", "its merges are not pairs");
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
        Json::Array(parts) => match parts.as_slice() {
            [left, right] => Some((left.as_str()?.to_owned(), right.as_str()?.to_owned())),
            _ => None,
        },
        _ => None,
    };
    let list = model.get("merges").and_then(Json::as_array).ok_or_else(wrong)?;
    list.iter().map(|merge| pair(merge).ok_or_else(wrong)).collect()
}

/// A score for each token: the earlier the merge that makes it, the higher.
fn scores(merges: &[(String, String)], size: usize, id: impl Fn(&str) -> Option<u32>) -> Vec<f32> {
    let mut scores = vec![LAST; size];
    let mut ranks: HashMap<u32, usize> = HashMap::with_capacity(merges.len());
    for (rank, (left, right)) in merges.iter().enumerate() {
        if let Some(id) = id(&format!("{left}{right}")) {
            ranks.entry(id).or_insert(rank);
        }
    }
    for (id, rank) in ranks {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = -(rank as f32);
        }
    }
    scores
}

/// A tokenizer that the keys of a GGUF file cannot express.
fn refused(detail: impl Into<String>) -> Error {
    Unsupported::Tokenizer { detail: detail.into() }.into()
}

/// The names of the pre-tokenizers that cut all probes where this one does.
fn cut_alike(hf: &Hf) -> Result<Vec<&'static str>, Error> {
    let Some(pre_tokenizer) = hf.tokenizer().get_pre_tokenizer() else { return Ok(Vec::new()) };
    let mut wanted = Vec::new();
    for text in PROBES {
        let mut cut = PreTokenizedString::from(*text);
        pre_tokenizer.pre_tokenize(&mut cut).map_err(super::failed)?;
        let parts = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        wanted.push(parts.iter().map(|(_, range, _)| range.0..range.1).filter(|r| !r.is_empty()).collect::<Vec<_>>());
    }
    let mut alike = Vec::new();
    for name in pre::NAMES {
        let splitter = Splitter::new(pre(name)?.stages)?;
        if PROBES.iter().zip(&wanted).all(|(text, wanted)| splitter.split(text) == *wanted) {
            alike.push(*name);
        }
    }
    Ok(alike)
}

#[cfg(test)]
mod tests;
