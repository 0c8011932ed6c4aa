//! Checkpoints that other programs quantized: stored parts in, whole weights out.
//!
//! [`PackedTensors`] lies over the tensors of safetensors files and shows `x.weight` in place of `x.qweight`, `x.scales` and the like.
//! A weight is put together when it is asked for, on all cores, into memory of its own; the stored parts stay in the
//! mapped file. Which parts belong together, and what their numbers mean, is said by one file for each `quant_method`;
//! [`coded`] finds the format that holds the result without rounding.

mod awq;
mod bnb;
mod coded;
mod compressed;
mod fp8;
mod gptq;
mod hqq;
mod keys;
mod kv_cache;
mod modelopt;
mod mxfp4;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value as Json};

use self::keys::Keys;
use self::parts::Parts;
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, Weights};

/// A way of storing weights in parts.
pub(crate) trait Scheme: fmt::Debug + Send + Sync {
    /// What the names of the parts have in common, if `name` is the part that holds the codes.
    fn base<'n>(&self, name: &'n str, tensors: &Tensors) -> Option<&'n str>;

    /// The name of the whole weight.
    fn logical(&self, base: &str) -> String {
        format!("{base}.weight")
    }

    /// What follows the base in the names of all parts, those that are passed over included.
    fn parts(&self) -> &'static [&'static str];

    /// Another tensor that has no meaning beside the parts of a weight.
    fn hides(&self, _base: &str, _tensors: &Tensors) -> Option<String> {
        None
    }

    /// Puts a weight together.
    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error>;
}

/// The keys of a configuration that speak of quantization; the second is the older name of compressed-tensors.
pub(crate) const KEYS: [&str; 2] = ["quantization_config", "compression_config"];

/// Where older versions of ModelOpt speak of quantization: a file beside a configuration that says nothing of it.
pub(crate) const MODELOPT_FILE: &str = "hf_quant_config.json";

/// Puts the content of [`MODELOPT_FILE`] where the other programs write theirs.
pub(crate) fn adopt(config: &mut Map<String, Json>, mut file: Map<String, Json>) {
    file.entry("quant_method").or_insert_with(|| "modelopt".into());
    config.insert(KEYS[0].to_owned(), file.into());
}

/// Whether a configuration speaks of quantization.
pub(crate) fn is_said(config: &Map<String, Json>) -> bool {
    !matches!(find(config), Ok(None))
}

/// The scheme of a configuration; `None` where it says nothing of quantization.
///
/// # Errors
/// [`Error::Unsupported`] for a method, a kind of numbers or a key that this version does not know; [`Error::Config`] for values
/// that cannot be.
pub(crate) fn scheme(config: &Map<String, Json>) -> Result<Option<Box<dyn Scheme>>, Error> {
    let Some(keys) = find(config)? else { return Ok(None) };
    let method = match keys.text("quant_method")? {
        Some(method) => method,
        // Older files of bitsandbytes.
        None if keys.flag("load_in_4bit")? == Some(true) || keys.flag("load_in_8bit")? == Some(true) => "bitsandbytes",
        None => return Err(keys.wrong("quant_method", "is missing")),
    };
    // Lists of modules that are stored whole, which is seen in the tensors.
    for key in ["modules_to_not_convert", "ignore", "ignored_layers", "llm_int8_skip_modules", "skip_modules"] {
        keys.texts(key)?;
    }
    kv_cache::check(&keys)?;
    let method = match (method, keys.text("packing_format")?) {
        ("auto-round", Some("auto_round:auto_gptq")) => "gptq",
        ("auto-round", Some("auto_round:auto_awq")) => "awq",
        ("auto-round", other) => return Err(keys.unsupported("packing_format", other.unwrap_or("none"))),
        (method, None) => method,
        (_, Some(other)) => return Err(keys.unsupported("packing_format", other)),
    };
    if let Some(other) = keys.text("method")?.filter(|other| *other != method) {
        return Err(keys.unsupported("method", other));
    }
    Ok(Some(match method {
        "gptq" => Box::new(gptq::Gptq::new(&keys)?),
        "awq" => Box::new(awq::Awq::new(&keys)?),
        "fp8" | "fbgemm_fp8" => Box::new(fp8::Fp8::new(&keys)?),
        "bitsandbytes" => Box::new(bnb::Bnb::new(&keys)?),
        "hqq" => Box::new(hqq::Hqq::new(&keys)?),
        "compressed-tensors" => Box::new(compressed::Compressed::new(&keys)?),
        "modelopt" => Box::new(modelopt::scheme(&keys)?),
        "mxfp4" => Box::new(mxfp4::Mxfp4::new(&keys)?),
        other => return Err(keys.unsupported("quant_method", other)),
    }))
}

fn find(config: &Map<String, Json>) -> Result<Option<Keys<'_>>, Error> {
    for key in KEYS {
        match config.get(key) {
            None | Some(Json::Null) => {}
            Some(Json::Object(map)) if map.is_empty() => {}
            Some(Json::Object(map)) => return Ok(Some(Keys::new(key, map))),
            Some(_) => return Err(Error::config(key, "is not an object")),
        }
    }
    Ok(None)
}

/// Tensors of which some are stored in parts.
#[derive(Debug)]
pub(crate) struct PackedTensors {
    tensors: Tensors,
    scheme: Box<dyn Scheme>,
    /// The bases of the weights that are put together, by name.
    bases: BTreeMap<String, String>,
    names: Vec<String>,
}

impl PackedTensors {
    /// Finds the parts of every weight.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a weight that is there both whole and in parts.
    pub(crate) fn new(tensors: Tensors, scheme: Box<dyn Scheme>) -> Result<Self, Error> {
        let mut bases = BTreeMap::new();
        let mut hidden = BTreeSet::new();
        for name in tensors.names() {
            let Some(base) = scheme.base(name, &tensors) else { continue };
            let logical = scheme.logical(base);
            let twice = bases.contains_key(&logical) || (logical != name && tensors.contains(&logical));
            if twice {
                return Err(Error::malformed(format!("tensor `{logical}`"), "is stored whole and in parts"));
            }
            hidden.extend(scheme.parts().iter().map(|part| format!("{base}{part}")));
            hidden.extend(scheme.hides(base, &tensors));
            bases.insert(logical, base.to_owned());
        }
        let plain = tensors.names().filter(|name| !hidden.contains(*name) && !kv_cache::is_scale(name));
        let plain = plain.map(str::to_owned);
        let names = plain.chain(bases.keys().cloned()).collect();
        Ok(Self { tensors, scheme, bases, names })
    }

    /// Which file holds a tensor, or the first part of it.
    pub(crate) fn shard_of(&self, name: &str) -> Option<usize> {
        match self.bases.get(name) {
            Some(base) => self.scheme.parts().iter().find_map(|part| self.tensors.shard_of(&format!("{base}{part}"))),
            None => self.tensors.shard_of(name),
        }
    }

    /// The bytes of the stored parts and all other tensors together.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        self.tensors.tensor_bytes()
    }
}

impl Weights for PackedTensors {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        match self.bases.get(name) {
            Some(base) => self.scheme.unpack(&Parts { tensors: &self.tensors, base }, name),
            None => self.tensors.get(name),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.bases.contains_key(name) || self.tensors.contains(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.names.iter().map(String::as_str))
    }

    fn unpacks_quantization(&self) -> bool {
        true
    }
}

/// A bias that GPTQ and AWQ programs write for every module, where it is all zero: models without biases have no place for it.
fn zero_bias(base: &str, tensors: &Tensors) -> Option<String> {
    let name = format!("{base}.bias");
    let bias = tensors.get(&name).ok()?;
    bias.bytes.as_slice().iter().all(|byte| *byte == 0).then_some(name)
}
