//! Tokens and roles from the files next to `tokenizer.json`.
//!
//! The order and the rules are those of Hugging Face transformers 5 (`tokenization_utils_base.py`, `tokenization_utils_tokenizers.py`). A
//! token that `tokenizer.json` lacks gets the next free id, whatever id the other file has for it. Flags of tokenizer_config.json replace
//! those of `tokenizer.json`. BOS and EOS are added as `tokenizer.json` says: `add_bos_token`, `add_eos_token` and `add_prefix_space` in
//! tokenizer_config.json change nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::Error;

/// The roles that a token can have.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

const LISTED: &str = "added_tokens_decoder";
const EXTRA: &str = "extra_special_tokens";
const EXTRA_BEFORE: &str = "additional_special_tokens";

/// The files next to `tokenizer.json`; `Null` for a missing file.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// tokenizer_config.json
    pub(super) config: Value,
    /// special_tokens_map.json
    pub(super) map: Value,
    /// added_tokens.json
    pub(super) added: Value,
}

/// The texts of the tokens with a role.
#[derive(Debug, Default)]
pub(super) struct Roles(HashMap<&'static str, String>);

impl Roles {
    pub(super) fn get(&self, role: &str) -> Option<&str> {
        self.0.get(role).map(String::as_str)
    }
}

/// Adds the tokens of the other files.
///
/// # Errors
/// [`Error::Malformed`] for a file that is not an object; [`Error::Config`] for an entry that is not a token.
pub(super) fn add(tokenizer: &mut tokenizers::Tokenizer, files: Files) -> Result<Roles, Error> {
    let mut settings = object("tokenizer_config.json", files.config)?;
    let map = object("special_tokens_map.json", files.map)?;
    rename_extra(&mut settings);

    let own = tokenizer.get_added_tokens_decoder();
    let mut listed = BTreeMap::new();
    if let Some(tokens) = settings.get(LISTED).filter(|value| !value.is_null()) {
        let tokens = tokens.as_object().ok_or_else(|| Error::config(LISTED, "is not an object of tokens by id"))?;
        for (id, entry) in tokens {
            let id = id.parse::<u32>().map_err(|_| Error::config(LISTED, format!("`{id}` is not a token id")))?;
            listed.insert(id, token(LISTED, entry)?);
        }
    } else {
        // Files of older versions count only where the newer one has no list.
        settings.extend(map);
        rename_extra(&mut settings);
        let named = ROLES.iter().filter_map(|role| settings.get(*role)).chain(extra(&settings));
        let named: HashSet<&str> = named.filter_map(content).collect();
        for (text, id) in object("added_tokens.json", files.added)? {
            let wrong = || Error::config("added_tokens.json", format!("`{id}` is not the id of `{text}`"));
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong)?;
            let special = named.contains(text.as_str());
            listed.insert(id, AddedToken::from(text, special));
        }
        listed.extend(own.iter().map(|(id, token)| (*id, token.clone())));
    }

    let by_text: HashMap<&str, &AddedToken> = listed.values().map(|token| (token.content.as_str(), token)).collect();
    let mut named = Vec::new();
    let mut roles = Roles::default();
    for role in ROLES {
        let Some(value) = settings.get(role).filter(|value| !value.is_null()) else { continue };
        let token = token(role, value)?;
        roles.0.insert(role, token.content.clone());
        named.push(by_text.get(token.content.as_str()).map_or(token, |listed| (*listed).clone()));
    }
    // Roles that only some models have, such as `image_token`; `add_bos_token` and its like are not tokens.
    let is_own_role = |key: &str| key.ends_with("_token") && !ROLES.contains(&key);
    let own_roles = settings.iter().filter(|(key, value)| is_own_role(key) && content(value).is_some());
    let in_extra = settings.get(EXTRA).and_then(Value::as_object).into_iter().flatten();
    for (role, value) in own_roles.chain(in_extra) {
        named.push(token(role, value)?);
    }
    let extra = extra(&settings).map(|value| token(EXTRA, value)).collect::<Result<Vec<_>, _>>()?;

    let is_named: HashSet<String> = named.iter().map(|token| token.content.clone()).collect();
    let mut known: HashSet<String> = own.values().chain(listed.values()).map(|token| token.content.clone()).collect();
    let mut tokens: Vec<AddedToken> = listed.into_values().collect();
    tokens.extend(named.into_iter().chain(extra).filter(|token| known.insert(token.content.clone())));
    for token in &mut tokens {
        token.special |= is_named.contains(&token.content);
    }
    super::hf::guard(|| tokenizer.add_tokens(tokens).map_err(super::failed))?;

    let class = settings.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    let class = class.strip_suffix("Fast").unwrap_or(class);
    // Byte-level tokenizers use this name too; transformers then takes no class.
    let is_bytes = || serde_json::to_string(&tokenizer.get_decoder()).is_ok_and(|json| json.contains("ByteLevel"));
    let of_class = if class == "LlamaTokenizer" && is_bytes() { &[] } else { roles_of_class(class) };
    for (role, text) in of_class {
        if !settings.contains_key(*role) && tokenizer.token_to_id(text).is_some() {
            roles.0.insert(role, (*text).to_owned());
        }
    }
    Ok(roles)
}

/// Returns the roles that a class of transformers sets if tokenizer_config.json does not set them. A role does not add a token that the
/// vocabulary lacks.
fn roles_of_class(class: &str) -> &'static [(&'static str, &'static str)] {
    match class {
        "LlamaTokenizer" | "CodeLlamaTokenizer" => {
            &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")]
        }
        "GemmaTokenizer" => {
            &[("bos_token", "<bos>"), ("eos_token", "<eos>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")]
        }
        "GPT2Tokenizer" => {
            &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")]
        }
        "GPTNeoXTokenizer" => &[
            ("bos_token", "<|endoftext|>"),
            ("eos_token", "<|endoftext|>"),
            ("unk_token", "<|endoftext|>"),
            ("pad_token", "<|padding|>"),
        ],
        "Qwen2Tokenizer" | "Qwen3_5Tokenizer" => {
            &[("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")]
        }
        "CohereTokenizer" => &[
            ("bos_token", "<BOS_TOKEN>"),
            ("eos_token", "<|END_OF_TURN_TOKEN|>"),
            ("unk_token", "<UNK>"),
            ("pad_token", "<PAD>"),
        ],
        _ => &[],
    }
}

fn object(name: &str, value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object),
        _ => Err(Error::malformed(name, "is not an object")),
    }
}

/// Renames the list of extra special tokens from its name before transformers 5.
fn rename_extra(settings: &mut Map<String, Value>) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(list) => list.is_empty(),
        _ => false,
    };
    if settings.get(EXTRA).is_none_or(is_empty)
        && let Some(value) = settings.shift_remove(EXTRA_BEFORE)
    {
        settings.insert(EXTRA.into(), value);
    }
}

fn extra(settings: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    settings.get(EXTRA).and_then(Value::as_array).into_iter().flatten()
}

/// Returns the text of a token: a string, or an object with a string.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Reads a token. A string is a special token; an object describes the token.
fn token(key: &str, value: &Value) -> Result<AddedToken, Error> {
    let text = content(value).ok_or_else(|| Error::config(key, format!("`{value}` is not a token")))?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(value.is_string() || ROLES.contains(&key));
    let mut token = AddedToken::from(text, special);
    token.single_word = flag("single_word").unwrap_or(false);
    token.lstrip = flag("lstrip").unwrap_or(false);
    token.rstrip = flag("rstrip").unwrap_or(false);
    token.normalized = flag("normalized").unwrap_or(token.normalized);
    Ok(token)
}
