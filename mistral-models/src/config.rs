//! The configuration of a checkpoint under one set of names, whichever file it came from.
//!
//! Hugging Face's `config.json` gives the names. Both of its spellings are read (`rope_parameters` of transformers 5, `rope_theta`
//! and `rope_scaling` before), and the metadata of a GGUF file is translated into them, so that a family is written once.
//! Every key is accounted for: [`Config::finish`] refuses a key that nobody asked for, unless it is known not to change the
//! arithmetic. Sources: transformers 5.23 `configuration_utils.py` and `modeling_rope_utils.py`; GGUF specification, gguf-py.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::{Array, Error, Metadata, Value};

/// Keys of `config.json` that do not change what a decoder computes.
const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    // Looked at before the weights are.
    "compression_config",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "full_attn_mod",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "interpolate_factor",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "max_window_layers",
    "min_length",
    "model_max_length",
    "model_type",
    "name_or_path",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "quantization_config",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "sliding_window_size",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "cache_implementation",
    "is_decoder",
    "is_encoder_decoder",
    "use_mrope",
];

/// Keys of a GGUF file, without the architecture's prefix, that do not change what a decoder computes.
const HARMLESS_GGUF: &[&str] = &["rope.scaling.finetuned", "tensor_data_layout", "block_count_original"];

/// GGUF keys, without the prefix, and the names used here.
const GGUF_KEYS: &[(&str, &str)] = &[
    ("vocab_size", "vocab_size"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("block_count", "num_hidden_layers"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("attention.value_length", "value_head_dim"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.sliding_window", "sliding_window"),
    ("attention.causal", "is_causal"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("rope.dimension_count", "rotary_dim"),
    ("rope.freq_base", "rope_theta"),
    ("rope.scale_linear", "rope_scale_linear"),
    ("rope.scaling.type", "rope_type"),
    ("rope.scaling.factor", "factor"),
    ("rope.scaling.attn_factor", "attn_factor"),
    ("rope.scaling.original_context_length", "original_max_position_embeddings"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
    ("rope.scaling.yarn_ext_factor", "yarn_ext_factor"),
    ("rope.scaling.yarn_attn_factor", "yarn_attn_factor"),
    ("rope.scaling.yarn_log_multiplier", "yarn_log_multiplier"),
];

/// The GGUF key, without its architecture, of the value that is called `name` here.
pub(crate) fn gguf_key(name: &str) -> Option<&'static str> {
    GGUF_KEYS.iter().find(|(_, ours)| *ours == name).map(|(key, _)| *key)
}

/// Which kind of file the configuration came from; families differ in what each file leaves to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `config.json` next to safetensors.
    HuggingFace,
    /// The metadata of a GGUF file.
    Gguf,
}

/// Reads a configuration by type. It remembers which keys were read, and names keys as the file spells them.
#[derive(Debug)]
pub(crate) struct Config {
    origin: Origin,
    /// `architectures[0]` or `model_type` of Hugging Face; `general.architecture` of GGUF.
    architecture: String,
    values: Map<String, Json>,
    /// The number of elements of each value that is a list in a GGUF file.
    lists: BTreeMap<String, usize>,
    /// Values of `rope_parameters` or `rope_scaling`; empty for GGUF, which has no such object.
    rope: Map<String, Json>,
    /// The name of that object in the file.
    rope_key: &'static str,
    used: RefCell<BTreeSet<String>>,
}

impl Config {
    /// Reads a `config.json`.
    pub(crate) fn from_json(json: &Map<String, Json>) -> Result<Self, Error> {
        let text = |v: Option<&Json>| v.and_then(Json::as_str).map(str::to_owned);
        let named = json.get("architectures").and_then(Json::as_array).and_then(|a| text(a.first()));
        let architecture = named
            .or_else(|| text(json.get("model_type")))
            .ok_or_else(|| Error::config("architectures", "neither `architectures` nor `model_type` is given"))?;
        let mut values = json.clone();
        let (mut rope, mut rope_key) = (Map::new(), "rope_parameters");
        // The last one counts, as in transformers, which replaces the new spelling by the old one where a file has both.
        for key in ["rope_parameters", "rope_scaling"] {
            match values.remove(key) {
                None | Some(Json::Null) => {}
                Some(Json::Object(map)) if map.is_empty() => {}
                Some(Json::Object(map)) => {
                    rope = map.into_iter().filter(|(_, v)| !v.is_null()).collect();
                    rope_key = key;
                }
                Some(other) => return Err(Error::config(key, format!("is {}; expected an object", shown(&other)))),
            }
        }
        let (lists, used) = (BTreeMap::new(), RefCell::default());
        Ok(Self { origin: Origin::HuggingFace, architecture, values, lists, rope, rope_key, used })
    }

    /// Translates the metadata of a GGUF file.
    pub(crate) fn from_metadata(metadata: &Metadata) -> Result<Self, Error> {
        let key = "general.architecture";
        let missing = || Error::Missing { kind: "key", name: key.to_owned() };
        let architecture = metadata.str(key)?.ok_or_else(missing)?.to_owned();
        let (mut values, mut lists) = (Map::new(), BTreeMap::new());
        for (name, value) in metadata.iter() {
            let Some(rest) = name.strip_prefix(&architecture).and_then(|r| r.strip_prefix('.')) else { continue };
            if HARMLESS_GGUF.contains(&rest) {
                continue;
            }
            let known = GGUF_KEYS.iter().find(|(gguf, _)| *gguf == rest).map_or(rest, |(_, name)| name);
            if let Value::Array(list) = value {
                lists.insert(known.to_owned(), list.len());
            }
            values.insert(known.to_owned(), to_json(value));
        }
        let (rope, rope_key, used) = (Map::new(), "", RefCell::default());
        Ok(Self { origin: Origin::Gguf, architecture, values, lists, rope, rope_key, used })
    }

    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    pub(crate) fn is_gguf(&self) -> bool {
        self.origin == Origin::Gguf
    }

    /// Returns the key of a value as the file spells it.
    fn spelled(&self, key: &str) -> String {
        match self.origin {
            Origin::Gguf => format!("{}.{}", self.architecture, gguf_key(key).unwrap_or(key)),
            Origin::HuggingFace => key.to_owned(),
        }
    }

    /// Returns the spelling of a key about the rotary embedding, which may be in a separate object.
    fn rope_spelled(&self, key: &str) -> String {
        match self.origin {
            Origin::HuggingFace if !self.rope.is_empty() && !self.has(key) => {
                format!("{}.{key}", self.rope_key)
            }
            _ => self.spelled(key),
        }
    }

    /// Returns an error about the value of a key, which the error names as the file does.
    pub(crate) fn wrong(&self, key: &str, detail: impl Into<String>) -> Error {
        Error::config(self.rope_spelled(key), detail)
    }

    /// Returns an error about a value that is valid but that this version cannot compute with.
    pub(crate) fn unsupported(&self, key: &str, detail: impl std::fmt::Display) -> Error {
        Error::unsupported("configuration key", format!("`{}`: {detail}", self.rope_spelled(key)))
    }

    /// Returns an error about a required key that is missing.
    pub(crate) fn missing(&self, key: &str) -> Error {
        Error::Missing { kind: "key", name: self.rope_spelled(key) }
    }

    /// Returns an error about a value of an unexpected kind.
    fn mistyped(&self, key: &str, value: &Json, expected: &str) -> Error {
        let found = match self.lists.get(key) {
            Some(elements) => format!("an array of {elements} elements"),
            None => shown(value),
        };
        self.wrong(key, format!("is {found}; expected {expected}"))
    }

    fn value(&self, key: &str) -> Option<&Json> {
        self.used.borrow_mut().insert(key.to_owned());
        self.values.get(key).filter(|v| !v.is_null())
    }

    /// A value of the rope object, or of the configuration itself for the spellings that keep it there.
    fn rope_value(&self, key: &str) -> Option<&Json> {
        let outer = self.value(key);
        self.used.borrow_mut().insert(format!("rope_parameters.{key}"));
        self.rope.get(key).or(outer)
    }

    fn to_size(&self, key: &str, value: &Json) -> Result<usize, Error> {
        // Python writes whole numbers as floats now and then; a GGUF file has types.
        let float = value.as_f64().filter(|f| !self.is_gguf() && f.fract() == 0.0 && (0.0..=9e15).contains(f));
        let whole = value.as_u64().or(float.map(|f| f as u64)).filter(|_| !self.lists.contains_key(key));
        let n = whole.ok_or_else(|| self.mistyped(key, value, "a whole number of at least 0"))?;
        // Sizes are multiplied with one another later; above 2^32 they cannot belong to a model.
        let fitting = usize::try_from(n).ok().filter(|n| *n <= 1 << 32);
        fitting.ok_or_else(|| self.wrong(key, format!("is {n}; expected at most 2^32")))
    }

    fn to_number(&self, key: &str, value: &Json) -> Result<f64, Error> {
        let typed = !self.is_gguf() || value.is_f64();
        let number = value.as_f64().filter(|f| f.is_finite() && typed && !self.lists.contains_key(key));
        number
            .ok_or_else(|| self.mistyped(key, value, if self.is_gguf() { "a finite float" } else { "a finite number" }))
    }

    fn to_positive(&self, key: &str, value: &Json) -> Result<f64, Error> {
        let number = self.to_number(key, value)?;
        // Computing is done in f32, where a number must neither vanish nor overflow.
        let fits = number > 0.0 && (number as f32).is_finite() && number as f32 > 0.0;
        if fits { Ok(number) } else { Err(self.mistyped(key, value, "a number above 0 that f32 can hold")) }
    }

    /// Returns whether the file has the key, even with the value `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A non-negative whole number.
    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.value(key).map(|v| self.to_size(key, v)).transpose()
    }

    /// Reads a size for which a GGUF file may list one value per layer. Only lists that repeat one value are supported.
    pub(crate) fn size_per_layer(&self, key: &str, layers: usize) -> Result<Option<usize>, Error> {
        match (self.lists.get(key), self.value(key)) {
            (Some(elements), _) if *elements != layers => Err(self
                .wrong(key, format!("is an array of {elements} elements; expected one for each of {layers} layers"))),
            (Some(_), Some(Json::Array(_))) => Err(self.unsupported(key, "values that differ from layer to layer")),
            (Some(_), Some(value)) => match value.as_u64() {
                Some(n) if n <= 1 << 32 => Ok(Some(n as usize)),
                _ => Err(self.wrong(key, format!("is an array of {}; expected whole numbers", shown(value)))),
            },
            _ => self.size(key),
        }
    }

    /// Returns `default` for a value that a `config.json` may leave out; a GGUF file must have the value. `null` does not count as left
    /// out.
    fn or_default<T>(&self, key: &str, found: Option<T>, default: T) -> Result<T, Error> {
        match found {
            Some(value) => Ok(value),
            None if self.is_gguf() => Err(self.missing(key)),
            None if self.has(key) => Err(self.wrong(key, "is null; expected a number")),
            None => Ok(default),
        }
    }

    /// Reads an integer above 0. A `config.json` may leave the value to its family's `default`; a GGUF file must have it.
    pub(crate) fn size_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        self.above_zero(key, self.or_default(key, self.size(key)?, default)?)
    }

    /// Reads a size as [`size_or`](Self::size_or), where a GGUF file may list one value per layer.
    pub(crate) fn size_per_layer_or(&self, key: &str, layers: usize, default: usize) -> Result<usize, Error> {
        self.above_zero(key, self.or_default(key, self.size_per_layer(key, layers)?, default)?)
    }

    /// Refuses 0.
    pub(crate) fn above_zero(&self, key: &str, size: usize) -> Result<usize, Error> {
        if size > 0 { Ok(size) } else { Err(self.wrong(key, "is 0; expected at least 1")) }
    }

    /// Reads a finite number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.value(key).map(|v| self.to_number(key, v)).transpose()
    }

    /// Reads a finite number of at least 0. A `config.json` may leave the value to its family's `default`; a GGUF file must have it.
    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        let number = self.or_default(key, self.number(key)?, default)?;
        let fits = number >= 0.0 && (number as f32).is_finite();
        if fits {
            Ok(number)
        } else {
            Err(self.wrong(key, format!("is {number:?}; expected at least 0, and that f32 can hold it")))
        }
    }

    /// Reads a number above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        self.value(key).map(|v| self.to_positive(key, v)).transpose()
    }

    /// A size where `null` says "none" and silence says `default`.
    pub(crate) fn size_or_null(&self, key: &str, default: Option<usize>) -> Result<Option<usize>, Error> {
        if self.has(key) { self.size(key) } else { Ok(default) }
    }

    /// Reads a number above 0. `null` means "none", and a missing key means `default`.
    pub(crate) fn positive_or_null(&self, key: &str, default: Option<f64>) -> Result<Option<f64>, Error> {
        if self.has(key) { self.positive(key) } else { Ok(default) }
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |v: &Json| v.as_bool().ok_or_else(|| self.mistyped(key, v, "a boolean"));
        self.value(key).map(read).transpose()
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.value(key).map(|v| v.as_str().ok_or_else(|| self.mistyped(key, v, "a string"))).transpose()
    }

    /// A list of strings.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let read = value.as_array().and_then(|list| list.iter().map(Json::as_str).collect());
        read.map(Some).ok_or_else(|| self.mistyped(key, value, "a list of strings"))
    }

    /// Reads a finite number about the rotary embedding.
    pub(crate) fn rope_number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.rope_value(key).map(|v| self.to_number(key, v)).transpose()
    }

    /// Reads a number above 0 about the rotary embedding.
    pub(crate) fn rope_positive(&self, key: &str) -> Result<Option<f64>, Error> {
        self.rope_value(key).map(|v| self.to_positive(key, v)).transpose()
    }

    /// A whole number about the rotary embedding.
    pub(crate) fn rope_size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.rope_value(key).map(|v| self.to_size(key, v)).transpose()
    }

    /// A boolean about the rotary embedding.
    pub(crate) fn rope_flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |v: &Json| v.as_bool().ok_or_else(|| self.mistyped(key, v, "a boolean"));
        self.rope_value(key).map(read).transpose()
    }

    /// A string about the rotary embedding.
    pub(crate) fn rope_text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.rope_value(key).map(|v| v.as_str().ok_or_else(|| self.mistyped(key, v, "a string"))).transpose()
    }

    /// A list of numbers about the rotary embedding.
    pub(crate) fn rope_numbers(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        let Some(value) = self.rope_value(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| self.mistyped(key, value, "a list of numbers"))?;
        list.iter().map(|v| self.to_number(key, v).map(|n| n as f32)).collect::<Result<_, _>>().map(Some)
    }

    /// Refuses what nobody asked for.
    ///
    /// # Errors
    /// [`Error::Unsupported`] that names every key left.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let used = self.used.borrow();
        let idle = |v: &Json| match v {
            Json::Null | Json::Bool(false) => true,
            Json::Array(list) => list.is_empty(),
            Json::Object(map) => map.is_empty(),
            _ => false,
        };
        let harmless = |k: &str| self.origin == Origin::HuggingFace && (k.starts_with('_') || HARMLESS.contains(&k));
        let no_experts = |k: &str, v: &Json| k.starts_with("expert_") && v.as_u64() == Some(0);
        let ignored = |k: &str, v: &Json| harmless(k) || idle(v) || no_experts(k, v);
        let outer = self.values.iter().filter(|(k, v)| !used.contains(*k) && !ignored(k, v));
        // `finetuned` says that the weights were trained with the scaling, which changes nothing about it.
        let unread = |k: &&String| *k != "finetuned" && !used.contains(&format!("rope_parameters.{k}"));
        let inner = self.rope.keys().filter(unread).map(|k| format!("{}.{k}", self.rope_key));
        let left: Vec<String> = outer.map(|(k, _)| self.spelled(k)).chain(inner).collect();
        if left.is_empty() {
            return Ok(());
        }
        let detail = format!("`{}` of architecture {}", left.join("`, `"), self.architecture);
        Err(Error::unsupported("configuration key", detail))
    }
}

/// Shortens a value for messages.
fn shown(value: &Json) -> String {
    if let Some(special) = value.get(FLOAT).and_then(Json::as_str) {
        return special.to_owned();
    }
    let text = match value {
        Json::Object(_) => return "an object".into(),
        Json::Array(list) => return format!("a list of {} elements", list.len()),
        Json::String(text) => format!("the string {text:?}"),
        other => other.to_string(),
    };
    if text.len() > 80 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text }
}

/// The key of the object that stands for a number that JSON cannot write; see [`json`](crate::loader).
const FLOAT: &str = "__float__";

/// A metadata value as JSON. A per-layer array whose elements are all equal is the one value it repeats.
fn to_json(value: &Value) -> Json {
    let float = |f: f64| match f {
        f if f.is_finite() => f.into(),
        f if f.is_nan() => serde_json::json!({ FLOAT: "NaN" }),
        f => serde_json::json!({ FLOAT: if f > 0.0 { "Infinity" } else { "-Infinity" } }),
    };
    // The shortest decimal of an f32 is what its writer meant: 1e-6, not 9.999999974752427e-7.
    let short = |f: f32| float(f.to_string().parse().unwrap_or_else(|_| f64::from(f)));
    match value {
        Value::U8(n) => (*n).into(),
        Value::I8(n) => (*n).into(),
        Value::U16(n) => (*n).into(),
        Value::I16(n) => (*n).into(),
        Value::U32(n) => (*n).into(),
        Value::I32(n) => (*n).into(),
        Value::U64(n) => (*n).into(),
        Value::I64(n) => (*n).into(),
        Value::F32(f) => short(*f),
        Value::F64(f) => float(*f),
        Value::Bool(b) => (*b).into(),
        Value::Str(s) => s.as_str().into(),
        Value::Bytes(s) => String::from_utf8_lossy(s).into(),
        Value::Array(list) => match list {
            Array::U8(a) => repeated(a.iter().map(|&v| v.into())),
            Array::I8(a) => repeated(a.iter().map(|&v| v.into())),
            Array::U16(a) => repeated(a.iter().map(|&v| v.into())),
            Array::I16(a) => repeated(a.iter().map(|&v| v.into())),
            Array::U32(a) => repeated(a.iter().map(|&v| v.into())),
            Array::I32(a) => repeated(a.iter().map(|&v| v.into())),
            Array::U64(a) => repeated(a.iter().map(|&v| v.into())),
            Array::I64(a) => repeated(a.iter().map(|&v| v.into())),
            Array::F32(a) => repeated(a.iter().map(|&v| short(v))),
            Array::F64(a) => repeated(a.iter().map(|&v| float(v))),
            Array::Bool(a) => repeated(a.iter().map(|&v| v.into())),
            // Nothing reads them: what counts is whether there is one.
            Array::Str(_) | Array::Bytes(_) | Array::Nested(_) if list.is_empty() => Json::Array(Vec::new()),
            Array::Str(_) | Array::Bytes(_) | Array::Nested(_) => Json::Array(vec![Json::Null]),
        },
    }
}

/// The one value that a list repeats, or the first few that differ, for a message: nothing reads lists of metadata, and as
/// JSON a long one would take many times its size in the file.
fn repeated(elements: impl Iterator<Item = Json>) -> Json {
    let mut runs: Vec<Json> = Vec::new();
    for element in elements {
        if runs.last() != Some(&element) {
            runs.push(element);
        }
        if runs.len() == 8 {
            break;
        }
    }
    match runs.as_slice() {
        [one] => one.clone(),
        _ => Json::Array(runs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Config {
        Config::from_json(serde_json::from_str::<Json>(text).unwrap().as_object().unwrap()).unwrap()
    }

    #[test]
    fn unknown_keys_are_refused_by_name_and_harmless_ones_pass() {
        let config = json(
            r#"{"model_type": "x", "hidden_size": 8, "torch_dtype": "float32", "_name_or_path": "a",
                "residual_multiplier": 0.2, "weird": null, "off": false, "rope_scaling": {"type": "linear", "odd": 1}}"#,
        );
        assert_eq!(config.size_or("hidden_size", 9).unwrap(), 8);
        assert_eq!(config.size_or("vocab_size", 9).unwrap(), 9);
        assert_eq!(config.rope_text("type").unwrap(), Some("linear"));
        let text = config.finish().unwrap_err().to_string();
        assert!(text.contains("`residual_multiplier`, `rope_scaling.odd`"), "{text}");
        assert!(!text.contains("weird") && !text.contains("off`"), "{text}");
    }

    #[test]
    fn wrong_types_name_the_key() {
        let config = json(r#"{"model_type": "x", "hidden_size": "8", "eps": [1], "n": -1, "big": 1e300, "m": 1.5}"#);
        for key in ["hidden_size", "n", "big", "m"] {
            assert!(matches!(config.size(key), Err(Error::Config { key: k, .. }) if k == key));
        }
        assert!(config.number("eps").is_err());
    }

    #[test]
    fn gguf_keys_take_the_same_names() {
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", Value::Str("llama".into()));
        metadata.insert("llama.embedding_length", Value::U32(64));
        metadata.insert("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-6));
        metadata.insert("llama.attention.head_count_kv", Value::Array(Array::I32(vec![2, 2])));
        metadata.insert("llama.logit_scale", Value::F32(2.0));
        let config = Config::from_metadata(&metadata).unwrap();
        assert_eq!(config.size_or("hidden_size", 9).unwrap(), 64);
        let missing = config.size_or("intermediate_size", 9).unwrap_err();
        assert!(matches!(&missing, Error::Missing { kind: "key", name } if name == "llama.feed_forward_length"));
        assert_eq!(config.size_per_layer("num_key_value_heads", 2).unwrap(), Some(2));
        for layers in [1, 3] {
            let error = config.size_per_layer("num_key_value_heads", layers).unwrap_err().to_string();
            assert!(error.contains("`llama.attention.head_count_kv`: is an array of 2 elements"), "{error}");
        }
        assert!(config.size("num_key_value_heads").is_err(), "a list where one number is expected");
        assert_eq!(config.number("rms_norm_eps").unwrap(), Some(1e-6));
        assert!(config.finish().unwrap_err().to_string().contains("`llama.logit_scale`"));
    }
}
