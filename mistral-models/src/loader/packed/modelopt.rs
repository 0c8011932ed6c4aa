//! ModelOpt (NVIDIA): FP8, in the tensors that "fp8" has too, under a configuration of its own.
//!
//! ```text
//! quant_algo                 weight               weight_scale F32
//! FP8                        F8_E4M3 [out, in]    []
//! FP8_PER_CHANNEL_PER_TOKEN  F8_E4M3 [out, in]    [out]
//! FP8_PB_WO                  F8_E4M3 [out, in]    [ceil(out / 128), ceil(in / 128)], sizes of 1 left out or in between
//! weight[o, i] = e4m3 * scale of (o, i)
//! ```
//!
//! The configuration stands in `config.json`, in the words of compressed-tensors, or in `hf_quant_config.json` beside it, inside of
//! `quantization`. Source: ModelOpt 0.47 `torch/export/convert_hf_config.py` and `quant_utils.py`. Four bits (NVFP4, W4A16, AWQ) and
//! mixtures of formats are not read.

use super::fp8::Fp8;
use super::keys::Keys;
use super::kv_cache;
use crate::error::Error;

/// Rows and columns of a tile; no key says so.
const TILE: [usize; 2] = [128, 128];

/// Reads the configuration.
///
/// # Errors
/// [`Error::Unsupported`] for numbers other than FP8 and for keys that this version does not know; [`Error::Config`] for values that
/// cannot be.
pub(super) fn scheme(keys: &Keys<'_>) -> Result<Fp8, Error> {
    let nested = keys.object("quantization")?;
    let own = nested.as_ref().unwrap_or(keys);
    kv_cache::check(own)?;
    own.texts("exclude_modules")?;
    let algorithm = own.text("quant_algo")?.ok_or_else(|| own.wrong("quant_algo", "is missing"))?;
    let tile = match algorithm.to_ascii_uppercase().as_str() {
        "FP8" | "FP8_PER_CHANNEL_PER_TOKEN" => None,
        "FP8_PB_WO" => Some(TILE),
        _ => return Err(own.unsupported("quant_algo", algorithm)),
    };
    if let Some(groups) = own.object("config_groups")? {
        for (name, value) in groups.members() {
            let map = value.as_object().ok_or_else(|| groups.wrong(name, "is not an object"))?;
            check_group(&Keys::new(groups.path(name), map))?;
        }
    }
    // One layout for all layers, which `quant_algo` says; a size of groups belongs to formats of 4 bits.
    own.finish(&["producer"])?;
    keys.finish(&["producer"])?;
    Ok(Fp8::tiled(tile))
}

/// `config_groups` repeats what `quant_algo` says.
fn check_group(keys: &Keys<'_>) -> Result<(), Error> {
    let Some(weights) = keys.object("weights")? else { return Ok(()) };
    weights.bits("num_bits", &[8])?;
    match weights.text("type")? {
        Some("float") => {}
        other => return Err(weights.unsupported("type", other.unwrap_or("none"))),
    }
    weights.finish(&["dynamic", "strategy", "symmetric", "observer", "observer_kwargs"])?;
    keys.finish(&["input_activations", "targets"])
}
