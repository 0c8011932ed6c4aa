//! Reading `quantization_config` so that no key is passed over.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::error::Error;
use crate::unsupported::Unsupported;

/// Keys that say how a checkpoint was made or how another program runs it, not what its numbers mean.
const HARMLESS: &[&str] = &[
    "quant_method",
    "version",
    "quantization_status",
    "global_compression_ratio",
    "damp_percent",
    "damp_auto_increment",
    "static_groups",
    // Of GPTQModel: how the codes were found and where that ran. Codes and groups are in the tensors.
    "act_group_aware",
    "hyb_act",
    "auto_forward_data_parallel",
    "compute_device_filter",
    "device",
    "failsafe",
    "fail_safe",
    "fallback",
    "gc_mode",
    "gptaq",
    "gptaq_alpha",
    "gptaq_memory_device",
    "hessian",
    "hessian_chunk_bytes",
    "hessian_chunk_size",
    "hessian_use_bfloat16_staging",
    "mock_quantization",
    "moe",
    "offload_to_disk",
    "offload_to_disk_path",
    "pack_impl",
    "parallel_packing",
    "v2",
    "v2_alpha",
    "v2_memory_device",
    "vram_strategy",
    "wait_for_submodule_finalizers",
    "true_sequential",
    "model_name_or_path",
    "model_file_base_name",
    "model_seqlen",
    "block_name_to_quantize",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "batch_size",
    "pad_token_id",
    "use_exllama",
    "disable_exllama",
    "exllama_config",
    "use_cuda_fp16",
    "max_input_length",
    "cache_block_outputs",
    "tokenizer",
    "dataset",
    "lm_head",
    "meta",
    "mse",
    "backend",
    "do_fuse",
    "fuse_max_seq_len",
    "modules_to_fuse",
    "run_compressed",
    // Of AutoRound.
    "autoround_version",
    "iters",
    "lr",
    "minmax_lr",
    "nsamples",
    "n_samples",
    "seqlen",
    "n_blocks",
    "train_bs",
    "gradient_accumulate_steps",
    "low_gpu_mem_usage",
    "enable_minmax_tuning",
    "enable_norm_bias_tuning",
    "enable_quanted_input",
    "use_quant_input",
    "dynamic_max_gap",
    "scale_dtype",
    "amp",
    "to_quant_block_names",
    "model_free",
];

/// An object of a configuration; remembers what was read.
pub(super) struct Keys<'a> {
    path: String,
    map: &'a Map<String, Json>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(path: impl Into<String>, map: &'a Map<String, Json>) -> Self {
        Self { path: path.into(), map, used: RefCell::default() }
    }

    /// The full name of a key.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// An error about the value of a key.
    pub(super) fn wrong(&self, key: &str, detail: impl Into<String>) -> Error {
        Error::config(self.path(key), detail)
    }

    /// Something valid that this version cannot do.
    pub(super) fn unsupported(&self, key: &str, found: impl std::fmt::Display) -> Error {
        Unsupported::ConfigValue { key: self.path(key), value: found.to_string() }.into()
    }

    /// A value that is not null.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Json> {
        self.used.borrow_mut().insert(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &self,
        key: &'static str,
        kind: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let wrong = |value: &Json| self.wrong(key, format!("{value} is not {kind}"));
        self.value(key).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }

    pub(super) fn integer(&self, key: &'static str) -> Result<Option<i64>, Error> {
        self.typed(key, "a whole number", Json::as_i64)
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, Error> {
        self.typed(key, "a boolean", Json::as_bool)
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", Json::as_str)
    }

    pub(super) fn object(&self, key: &'static str) -> Result<Option<Keys<'a>>, Error> {
        let map = self.typed(key, "an object", Json::as_object)?;
        Ok(map.map(|map| Keys::new(self.path(key), map)))
    }

    /// A list of strings; empty where there is none.
    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<&'a str>, Error> {
        let read = |value: &'a Json| value.as_array()?.iter().map(Json::as_str).collect();
        Ok(self.typed(key, "a list of strings", read)?.unwrap_or_default())
    }

    /// All members, whatever their names.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a String, &'a Json)> {
        self.map.iter()
    }

    /// Bits a weight, one of `known`.
    pub(super) fn bits(&self, key: &'static str, known: &[u32]) -> Result<u32, Error> {
        let bits = self.integer(key)?.ok_or_else(|| self.wrong(key, "is missing"))?;
        let found = known.iter().copied().find(|known| i64::from(*known) == bits);
        found.ok_or_else(|| self.unsupported(key, bits))
    }

    /// Columns of a group; `None` for -1, a group that is the whole row.
    pub(super) fn group_size(&self, key: &'static str) -> Result<Option<usize>, Error> {
        match self.integer(key)? {
            None => Err(self.wrong(key, "is missing")),
            Some(-1) => Ok(None),
            Some(size) => match usize::try_from(size) {
                Ok(size) if size > 0 => Ok(Some(size)),
                _ => Err(self.wrong(key, format!("{size} is not a size"))),
            },
        }
    }

    /// Settings by module that only say which modules are stored whole, which is seen in the tensors: `dynamic` of GPTQModel, where
    /// these begin with "-:", and `extra_config` of AutoRound, where they have 16 bits or more.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a module with numbers of its own.
    pub(super) fn only_whole_modules(&self) -> Result<(), Error> {
        for (module, _) in self.object("dynamic")?.iter().flat_map(Keys::members) {
            if !module.starts_with("-:") {
                return Err(self.unsupported("dynamic", format!("`{module}`")));
            }
        }
        for (module, settings) in self.object("extra_config")?.iter().flat_map(Keys::members) {
            if settings.get("bits").and_then(Json::as_u64).is_none_or(|bits| bits < 16) {
                return Err(self.unsupported("extra_config", format!("`{module}`")));
            }
        }
        Ok(())
    }

    /// Refuses numbers that are no integers, and inputs that are quantized too, in the words of AutoRound.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(super) fn only_integer_weights(&self) -> Result<(), Error> {
        match (self.text("data_type")?, self.integer("act_bits")?) {
            (Some(other), _) if other != "int" => Err(self.unsupported("data_type", other)),
            (_, Some(bits)) if bits < 16 => Err(self.unsupported("act_bits", bits)),
            _ => Ok(()),
        }
    }

    /// Refuses what nobody asked for. `harmless` adds to the keys that may stand unread.
    ///
    /// # Errors
    /// [`Error::Unsupported`] that names every key left.
    pub(super) fn finish(&self, harmless: &[&str]) -> Result<(), Error> {
        let used = self.used.borrow();
        let idle = |value: &Json| match value {
            Json::Null | Json::Bool(false) => true,
            Json::Array(list) => list.is_empty(),
            Json::Object(map) => map.is_empty(),
            _ => false,
        };
        let known = |key: &str| used.contains(key) || HARMLESS.contains(&key) || harmless.contains(&key);
        let left: Vec<String> =
            self.map.iter().filter(|(key, value)| !known(key) && !idle(value)).map(|(key, _)| self.path(key)).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Unsupported::ConfigKeys { keys: left, architecture: None }.into())
    }
}
