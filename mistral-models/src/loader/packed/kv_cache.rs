//! What a checkpoint says of the cache that another program would use: read so that it is well formed, and passed over.
//!
//! Checkpoints named "...-FP8-KV" ask for keys and values in FP8 and hold the scales that these are divided by before they are rounded.
//! None of it changes a weight: keys and values kept in more bits are nearer to the model, and need no scales. The caller chooses the
//! format of the cache. Who writes what:
//!
//! ```text
//! compressed-tensors   kv_cache_scheme {"num_bits": 8, "type": "float", ...}   self_attn.k_scale, .v_scale; .q_scale with a scheme for
//!                                                                              attention; older: k_proj.output_scale, v_proj...
//! AutoFP8, "fp8"       kv_cache_scheme "static"                                self_attn.kv_scale; newer: .k_scale, .v_scale
//! ModelOpt             kv_cache_scheme {...}, kv_cache_quant_algo "FP8"        self_attn.k_proj.k_scale, v_proj.v_scale
//! ```
//!
//! Scales are `[]`, `[1]`, or one a head. Zero points of integers have `_zero_point` in place of `_scale`; ModelOpt's affine NVFP4 takes
//! `k_proj.k_bias` off before it rounds and adds it again. Sources: compressed-tensors `quantization/quant_args.py`; vLLM
//! `model_executor/model_loader/weight_utils.py`; ModelOpt 0.47 `torch/export/quant_utils.py`.

use serde_json::Value as Json;

use super::keys::Keys;
use crate::error::Error;

/// Kinds of caches that are said in a word, in small letters: whether AutoFP8 found the scales beforehand, or ModelOpt's formats.
const WORDS: &[&str] = &["static", "dynamic", "fp8", "int8", "nvfp4", "nvfp4_affine"];

const ENDINGS: &[&str] = &[
    ".k_scale",
    ".v_scale",
    ".q_scale",
    ".kv_scale",
    ".k_zero_point",
    ".v_zero_point",
    ".q_zero_point",
    ".k_proj.output_scale",
    ".v_proj.output_scale",
    ".k_proj.k_bias",
    ".v_proj.v_bias",
];

/// Checks what a configuration says of the cache.
///
/// # Errors
/// [`Error::Config`] for something that is neither a word nor a description of numbers; [`Error::Unsupported`] for a word or a key of
/// a description that this version does not know.
pub(super) fn check(keys: &Keys<'_>) -> Result<(), Error> {
    for key in ["kv_cache_scheme", "kv_cache_quant_algo"] {
        match keys.value(key) {
            None => {}
            Some(Json::String(word)) if WORDS.contains(&word.to_ascii_lowercase().as_str()) => {}
            Some(Json::String(word)) => return Err(keys.unsupported(key, word)),
            Some(Json::Object(_)) => numbers(keys, key)?,
            Some(other) => return Err(keys.wrong(key, format!("{other} is neither a word nor an object"))),
        }
    }
    Ok(())
}

/// The arguments that compressed-tensors describes numbers by.
fn numbers(keys: &Keys<'_>, key: &'static str) -> Result<(), Error> {
    let Some(scheme) = keys.object(key)? else { return Ok(()) };
    match scheme.integer("num_bits")? {
        Some(1..=16) => {}
        Some(bits) => return Err(scheme.wrong("num_bits", format!("{bits} bits of a number"))),
        None => return Err(scheme.wrong("num_bits", "is missing")),
    }
    match scheme.text("type")? {
        None | Some("int" | "float") => {}
        Some(other) => return Err(scheme.wrong("type", format!("`{other}` is neither `int` nor `float`"))),
    }
    scheme.flag("symmetric")?;
    scheme.integer("group_size")?;
    scheme.text("strategy")?;
    scheme.finish(&["block_structure", "dynamic", "actorder", "observer", "observer_kwargs", "scale_dtype", "zp_dtype"])
}

/// Whether a tensor is about rounding of keys, values or queries.
pub(super) fn is_scale(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}
