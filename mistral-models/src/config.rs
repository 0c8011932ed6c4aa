//! The configuration of a checkpoint under one set of names, whichever file it came from.
//!
//! Hugging Face's `config.json` gives the names. Both of its spellings are read (`rope_parameters` of transformers 5, `rope_theta`
//! and `rope_scaling` before), and the metadata of a GGUF file is translated into them, so that a family is written once.
//! Every key is accounted for: [`Config::finish`] refuses a key that nobody asked for, unless it is known not to change the
//! arithmetic. Sources: transformers 5.23 `configuration_utils.py` and `modeling_rope_utils.py`; GGUF specification, gguf-py.

use std::cell::RefCell;
use std::collections::BTreeSet;

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
    /// `config.json` beside safetensors.
    HuggingFace,
    /// The metadata of a GGUF file.
    Gguf,
}

/// Typed reading of a configuration that remembers what was read.
#[derive(Debug)]
pub(crate) struct Config {
    origin: Origin,
    /// `architectures[0]` or `model_type` of Hugging Face; `general.architecture` of GGUF.
    architecture: String,
    values: Map<String, Json>,
    /// Values of `rope_parameters` or `rope_scaling`; for GGUF the same map as `values`.
    rope: Map<String, Json>,
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
        let mut rope = Map::new();
        // The last one counts, as in transformers, which replaces the new spelling by the old one where a file has both.
        for key in ["rope_parameters", "rope_scaling"] {
            match values.remove(key) {
                None | Some(Json::Null) => {}
                Some(Json::Object(map)) if map.is_empty() => {}
                Some(Json::Object(map)) => rope = map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
                Some(_) => return Err(Error::config(key, "is not an object")),
            }
        }
        Ok(Self { origin: Origin::HuggingFace, architecture, values, rope, used: RefCell::default() })
    }

    /// Translates the metadata of a GGUF file.
    pub(crate) fn from_metadata(metadata: &Metadata) -> Result<Self, Error> {
        let key = "general.architecture";
        let architecture = metadata.str(key)?.ok_or_else(|| Error::config(key, "is missing"))?.to_owned();
        let mut values = Map::new();
        for (name, value) in metadata.iter() {
            let Some(rest) = name.strip_prefix(&architecture).and_then(|r| r.strip_prefix('.')) else { continue };
            if HARMLESS_GGUF.contains(&rest) {
                continue;
            }
            let known = GGUF_KEYS.iter().find(|(gguf, _)| *gguf == rest).map_or(rest, |(_, name)| name);
            values.insert(known.to_owned(), to_json(name, value)?);
        }
        let rope = Map::new();
        Ok(Self { origin: Origin::Gguf, architecture, values, rope, used: RefCell::default() })
    }

    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    pub(crate) fn is_gguf(&self) -> bool {
        self.origin == Origin::Gguf
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

    /// A non-negative whole number.
    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.value(key).map(|v| to_size(key, v)).transpose()
    }

    /// A non-negative whole number that a `config.json` may leave to its family's `default`, and a GGUF file must have.
    pub(crate) fn size_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        let silent = if self.is_gguf() { None } else { Some(default) };
        self.size(key)?.or(silent).ok_or_else(|| Error::config(key, "is missing"))
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.value(key).map(|v| to_number(key, v)).transpose()
    }

    /// A size where `null` says "none" and silence says `default`.
    pub(crate) fn size_or_null(&self, key: &str, default: Option<usize>) -> Result<Option<usize>, Error> {
        if self.values.contains_key(key) { self.size(key) } else { Ok(default) }
    }

    /// A number where `null` says "none" and silence says `default`.
    pub(crate) fn number_or_null(&self, key: &str, default: Option<f64>) -> Result<Option<f64>, Error> {
        if self.values.contains_key(key) { self.number(key) } else { Ok(default) }
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.value(key).map(|v| v.as_bool().ok_or_else(|| Error::config(key, "is not a boolean"))).transpose()
    }

    /// A string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.value(key).map(|v| v.as_str().ok_or_else(|| Error::config(key, "is not a string"))).transpose()
    }

    /// A list of strings.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, Error> {
        let read =
            |v: &Json| -> Option<Vec<String>> { v.as_array()?.iter().map(|s| s.as_str().map(str::to_owned)).collect() };
        let Some(value) = self.value(key) else { return Ok(None) };
        if read(value).is_none() {
            return Err(Error::config(key, "is not a list of strings"));
        }
        Ok(value.as_array().map(|a| a.iter().filter_map(Json::as_str).collect()))
    }

    /// A number about the rotary embedding.
    pub(crate) fn rope_number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.rope_value(key).map(|v| to_number(key, v)).transpose()
    }

    /// A whole number about the rotary embedding.
    pub(crate) fn rope_size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.rope_value(key).map(|v| to_size(key, v)).transpose()
    }

    /// A boolean about the rotary embedding.
    pub(crate) fn rope_flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.rope_value(key).map(|v| v.as_bool().ok_or_else(|| Error::config(key, "is not a boolean"))).transpose()
    }

    /// A string about the rotary embedding.
    pub(crate) fn rope_text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.rope_value(key).map(|v| v.as_str().ok_or_else(|| Error::config(key, "is not a string"))).transpose()
    }

    /// A list of numbers about the rotary embedding.
    pub(crate) fn rope_numbers(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        let Some(value) = self.rope_value(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| Error::config(key, "is not a list of numbers"))?;
        list.iter().map(|v| to_number(key, v).map(|n| n as f32)).collect::<Result<_, _>>().map(Some)
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
        let outer = self.values.iter().filter(|(k, v)| !used.contains(*k) && !ignored(k, v)).map(|(k, _)| k.clone());
        // `finetuned` says that the weights were trained with the scaling, which changes nothing about it.
        let inner = self.rope.keys().filter(|k| *k != "finetuned").map(|k| format!("rope_parameters.{k}"));
        let inner = inner.filter(|k| !used.contains(k));
        let left: Vec<String> = outer.chain(inner).collect();
        if left.is_empty() {
            return Ok(());
        }
        let detail = format!("`{}` of architecture {}", left.join("`, `"), self.architecture);
        Err(Error::unsupported("configuration key", detail))
    }
}

fn to_size(key: &str, value: &Json) -> Result<usize, Error> {
    let whole = value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=9e15).contains(f)).map(|f| f as u64);
    let n = value.as_u64().or(whole).ok_or_else(|| Error::config(key, format!("{value} is not a whole number")))?;
    // Sizes are multiplied with one another later; above 2^32 they cannot belong to a model.
    usize::try_from(n).ok().filter(|n| *n <= 1 << 32).ok_or_else(|| Error::config(key, format!("{n} is too large")))
}

fn to_number(key: &str, value: &Json) -> Result<f64, Error> {
    let special = value.get("__float__").and_then(Json::as_str).and_then(|s| s.parse().ok());
    value.as_f64().or(special).ok_or_else(|| Error::config(key, format!("{value} is not a number")))
}

/// A metadata value as JSON. A per-layer array whose elements are all equal is the one value it repeats.
fn to_json(key: &str, value: &Value) -> Result<Json, Error> {
    if let Some(n) = value.as_u64() {
        return Ok(n.into());
    }
    Ok(match value {
        Value::Bool(b) => (*b).into(),
        Value::Str(s) => s.as_str().into(),
        // The shortest decimal of an f32 is what its writer meant: 1e-6, not 9.999999974752427e-7.
        Value::F32(f) => f.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(*f)).into(),
        Value::Array(Array::U32(a)) => repeated(a.iter().map(|&v| v.into())),
        Value::Array(Array::I32(a)) => repeated(a.iter().map(|&v| v.into())),
        Value::Array(Array::F32(a)) => repeated(a.iter().map(|&v| v.into())),
        Value::Array(Array::Bool(a)) => repeated(a.iter().map(|&v| v.into())),
        _ => value.as_f64().ok_or_else(|| Error::config(key, "has a type that no known key has"))?.into(),
    })
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
        assert!(text.contains("`residual_multiplier`, `rope_parameters.odd`"), "{text}");
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
        assert!(config.size_or("intermediate_size", 9).is_err());
        assert_eq!(config.size("num_key_value_heads").unwrap(), Some(2));
        assert_eq!(config.number("rms_norm_eps").unwrap(), Some(1e-6));
        assert!(config.finish().unwrap_err().to_string().contains("logit_scale"));
    }
}
