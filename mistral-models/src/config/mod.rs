//! The configuration of a checkpoint under one set of names, whichever file it came from.
//!
//! Hugging Face's `config.json` gives the names. Both of its spellings are read (`rope_parameters` of transformers 5, `rope_theta`
//! and `rope_scaling` before), and the metadata of a GGUF file is translated into them, so that a family is written once.
//! Every key is accounted for: [`Config::finish`] refuses a key that nobody asked for, unless it is known not to change the
//! arithmetic. Sources: transformers 5.23 `configuration_utils.py` and `modeling_rope_utils.py`; GGUF specification, gguf-py.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::error::Error;
use crate::loader::weights::Weights;
use crate::metadata::{Metadata, Value};
use crate::names::{Name, Names};
use crate::spec::DecoderSpec;
use json::{shown, to_json};
use keys::{GGUF_KEYS, HARMLESS, HARMLESS_GGUF};

use stored::GgufNotes;

pub(crate) use keys::gguf_key;

mod json;
mod keys;
mod per_layer;
pub(crate) mod rope;
pub(crate) mod stored;

/// Which kind of file the configuration came from; families differ in what each file leaves to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `config.json` next to safetensors.
    HuggingFace,
    /// The metadata of a GGUF file.
    Gguf,
}

/// A family: what its files call things, and how its configuration becomes a decoder.
pub(crate) struct Arch {
    /// `architectures` or `model_type` of `config.json`.
    pub(crate) hugging_face: &'static [&'static str],
    /// `general.architecture` of GGUF.
    pub(crate) gguf: &'static [&'static str],
    /// From configuration to spec.
    pub(crate) spec: fn(&Config<'_>) -> Result<DecoderSpec, Error>,
    /// Tensor names that differ from llama's.
    pub(crate) names: &'static [Name],
    /// What the names of a Hugging Face checkpoint begin with: first as [`Self::names`] have it, then other spellings.
    pub(crate) prefixes: &'static [&'static str],
    /// Tensors that nothing computes with; `*` is any text.
    pub(crate) ignored: &'static [&'static str],
    /// The name of a key here, and in the family's `config.json`; of several rows for one key the first counts that the file has.
    pub(crate) keys: &'static [(&'static str, &'static str)],
    /// Keys of the family's `config.json` that change nothing.
    pub(crate) ignored_keys: &'static [&'static str],
    /// The object of `config.json` that describes the text model, where there is one.
    pub(crate) nested: Option<&'static str>,
    /// What its GGUF files do differently.
    pub(crate) gguf_notes: GgufNotes,
}

impl Arch {
    /// A family with the names of Llama.
    pub(crate) const fn new(
        hugging_face: &'static [&'static str],
        gguf: &'static [&'static str],
        spec: fn(&Config<'_>) -> Result<DecoderSpec, Error>,
    ) -> Self {
        Self {
            hugging_face,
            gguf,
            spec,
            names: &[],
            prefixes: &["model.", ""],
            ignored: &["*rotary_emb.inv_freq"],
            keys: &[],
            ignored_keys: &[],
            nested: None,
            gguf_notes: GgufNotes::NONE,
        }
    }

    /// Returns what GGUF files call this family; those that have no name of their own there go as Llama.
    pub(crate) fn gguf_name(&self) -> &'static str {
        self.gguf.first().copied().unwrap_or("llama")
    }
}

/// Reads a configuration by type. It remembers which keys were read, and names keys as the file spells them.
pub(crate) struct Config<'w> {
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
    /// Where the object of this family is inside the file, with a dot at the end.
    inside: String,
    used: RefCell<BTreeSet<String>>,
    weights: &'w dyn Weights,
    /// The family's spellings of keys and names; none before the family is known.
    arch: Option<&'static Arch>,
}

impl<'w> Config<'w> {
    /// Reads a `config.json`.
    pub(crate) fn from_json(json: &Map<String, Json>, weights: &'w dyn Weights) -> Result<Self, Error> {
        let text = |v: Option<&Json>| v.and_then(Json::as_str).map(str::to_owned);
        let named = json.get("architectures").and_then(Json::as_array).and_then(|a| text(a.first()));
        let architecture = named
            .or_else(|| text(json.get("model_type")))
            .ok_or_else(|| Error::config("architectures", "neither `architectures` nor `model_type` is given"))?;
        let (lists, used, inside) = (BTreeMap::new(), RefCell::default(), String::new());
        let (values, rope, rope_key) = (json.clone(), Map::new(), "rope_parameters");
        let mut config = Self {
            origin: Origin::HuggingFace,
            architecture,
            values,
            lists,
            rope,
            rope_key,
            inside,
            used,
            weights,
            arch: None,
        };
        config.take_rope()?;
        Ok(config)
    }

    /// Moves the object about the rotary embedding to its place.
    fn take_rope(&mut self) -> Result<(), Error> {
        // The last one counts, as in transformers, which replaces the new spelling by the old one where a file has both.
        for key in ["rope_parameters", "rope_scaling"] {
            match self.values.remove(key) {
                None | Some(Json::Null) => {}
                Some(Json::Object(map)) if map.is_empty() => {}
                Some(Json::Object(map)) => {
                    self.rope = map.into_iter().filter(|(_, v)| !v.is_null()).collect();
                    self.rope_key = key;
                }
                Some(other) => return Err(Error::config(key, format!("is {}; expected an object", shown(&other)))),
            }
        }
        Ok(())
    }

    /// Goes on with the family's own spellings, and with its object of the file if the family has one.
    pub(crate) fn enter(&mut self, arch: &'static Arch) -> Result<(), Error> {
        self.arch = Some(arch);
        let nested = arch.nested.filter(|_| self.origin == Origin::HuggingFace);
        let Some((key, Json::Object(inner))) = nested.and_then(|key| Some((key, self.values.remove(key)?))) else {
            return Ok(());
        };
        self.inside = format!("{key}.");
        self.values.extend(inner);
        self.take_rope()
    }

    /// The tensors of the checkpoint.
    pub(crate) fn weights(&self) -> &'w dyn Weights {
        self.weights
    }

    /// The tensor names of the checkpoint.
    pub(crate) fn names(&self) -> Names {
        let (renames, prefixes, ignored) =
            self.arch.map_or((&[][..], &[][..], &[][..]), |arch| (arch.names, arch.prefixes, arch.ignored));
        Names { gguf: self.is_gguf(), renames, prefixes, ignored }
    }

    /// Translates the metadata of a GGUF file.
    pub(crate) fn from_metadata(metadata: &Metadata, weights: &'w dyn Weights) -> Result<Self, Error> {
        let key = "general.architecture";
        let missing = || Error::Missing { kind: "key", name: key.to_owned() };
        let architecture = metadata.str(key)?.ok_or_else(missing)?.to_owned();
        let (mut values, mut lists) = (Map::new(), BTreeMap::new());
        for (name, value) in metadata.iter() {
            let Some(rest) = name.strip_prefix(&architecture).and_then(|r| r.strip_prefix('.')) else { continue };
            let known = GGUF_KEYS.iter().find(|(gguf, _)| *gguf == rest).map_or(rest, |(_, name)| name);
            if let Value::Array(list) = value {
                lists.insert(known.to_owned(), list.len());
            }
            values.insert(known.to_owned(), to_json(value));
        }
        let (rope, rope_key, inside, used) = (Map::new(), "", String::new(), RefCell::default());
        Ok(Self {
            origin: Origin::Gguf,
            architecture,
            values,
            lists,
            rope,
            rope_key,
            inside,
            used,
            weights,
            arch: None,
        })
    }

    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    fn is_gguf(&self) -> bool {
        self.origin == Origin::Gguf
    }

    /// Returns the key of a value as the file spells it.
    fn spelled(&self, key: &str) -> String {
        match self.origin {
            Origin::Gguf => format!("{}.{}", self.architecture, gguf_key(key).unwrap_or(key)),
            Origin::HuggingFace => format!("{}{}", self.inside, self.theirs(key)),
        }
    }

    /// Returns the key of a `config.json` for the name used here: of the family's spellings the one that the file has.
    fn theirs<'k>(&self, key: &'k str) -> &'k str {
        let rows = self.arch.filter(|_| self.origin == Origin::HuggingFace).map_or(&[][..], |arch| arch.keys);
        let spellings = rows.iter().filter(|(ours, _)| *ours == key).map(|(_, theirs)| *theirs);
        let there = |theirs: &&str| self.values.contains_key(*theirs);
        let found = spellings.clone().find(|theirs| there(theirs));
        match found {
            Some(theirs) => theirs,
            None if self.values.contains_key(key) => key,
            None => spellings.clone().next().unwrap_or(key),
        }
    }

    /// Returns the spelling of a key about the rotary embedding, which may be in a separate object.
    fn rope_spelled(&self, key: &str) -> String {
        match self.origin {
            Origin::HuggingFace if !self.rope.is_empty() && !self.has(key) => {
                format!("{}{}.{key}", self.inside, self.rope_key)
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
        Error::config_value(self.rope_spelled(key), detail)
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
        let key = self.theirs(key);
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
        self.values.contains_key(self.theirs(key))
    }

    /// A non-negative whole number.
    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.value(key).map(|v| self.to_size(key, v)).transpose()
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

    /// Reads a number above 0; `default` if the key is missing.
    pub(crate) fn positive_or(&self, key: &str, default: f64) -> Result<f32, Error> {
        Ok(self.positive(key)?.unwrap_or(default) as f32)
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

    /// A list of whole numbers.
    pub(crate) fn list(&self, key: &str) -> Result<Option<Vec<usize>>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| self.mistyped(key, value, "a list of whole numbers"))?;
        list.iter().map(|element| self.to_size(key, element)).collect::<Result<_, _>>().map(Some)
    }

    /// Two numbers, the lower one first, of which the higher may be infinite.
    pub(crate) fn limits(&self, key: &str) -> Result<Option<(f32, f32)>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = |value: &Json| match json::special(value) {
            Some("Infinity") => Some(f64::INFINITY),
            Some(_) => None,
            None => value.as_f64(),
        };
        let both = value
            .as_array()
            .filter(|list| list.len() == 2)
            .and_then(|list| Some((number(&list[0])?, number(&list[1])?)));
        match both.filter(|(low, high)| low.is_finite() && low <= high) {
            Some((low, high)) => Ok(Some((low as f32, high as f32))),
            None => Err(self.mistyped(key, value, "two numbers, the lower one first")),
        }
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
        let own = self.arch.map_or(&[][..], |arch| arch.ignored_keys);
        let harmless = |k: &str| match self.origin {
            Origin::HuggingFace => k.starts_with('_') || HARMLESS.contains(&k) || own.contains(&k),
            Origin::Gguf => HARMLESS_GGUF.contains(&k),
        };
        // GGUF files of dense models may say that they have no experts.
        let no_experts = |k: &str, v: &Json| self.is_gguf() && k.contains("experts") && v.as_u64() == Some(0);
        let ignored = |k: &str, v: &Json| harmless(k) || idle(v) || no_experts(k, v);
        let outer = self.values.iter().filter(|(k, v)| !used.contains(*k) && !ignored(k, v));
        // `finetuned` says that the weights were trained with the scaling, which changes nothing about it.
        let unread = |k: &&String| *k != "finetuned" && !used.contains(&format!("rope_parameters.{k}"));
        let inner = self.rope.keys().filter(unread).map(|k| format!("{}{}.{k}", self.inside, self.rope_key));
        let left: Vec<String> = outer.map(|(k, _)| self.spelled(k)).chain(inner).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::unread_keys(left, &self.architecture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::loader::random::RandomWeights;
    use crate::metadata::Array;

    fn no_weights() -> &'static RandomWeights {
        Box::leak(Box::new(RandomWeights::new(0, []).unwrap()))
    }

    fn json(text: &str) -> Config<'static> {
        Config::from_json(serde_json::from_str::<Json>(text).unwrap().as_object().unwrap(), no_weights()).unwrap()
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
        let config = Config::from_metadata(&metadata, no_weights()).unwrap();
        assert_eq!(config.size_or("hidden_size", 9).unwrap(), 64);
        let missing = config.size_or("intermediate_size", 9).unwrap_err();
        assert!(matches!(&missing, Error::Missing { kind: "key", name } if name == "llama.feed_forward_length"));
        assert_eq!(config.sizes("num_key_value_heads", 2).unwrap(), Some(vec![2, 2]));
        for layers in [1, 3] {
            let error = config.sizes("num_key_value_heads", layers).unwrap_err().to_string();
            assert!(error.contains("`llama.attention.head_count_kv`: is an array of 2 elements"), "{error}");
        }
        assert!(config.size("num_key_value_heads").is_err(), "a list where one number is expected");
        assert_eq!(config.number("rms_norm_eps").unwrap(), Some(1e-6));
        assert!(config.finish().unwrap_err().to_string().contains("`llama.logit_scale`"));
    }
}
