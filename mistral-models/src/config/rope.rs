//! The rotary embedding of a configuration, in any spelling.
//!
//! Sources: transformers 5.23 `modeling_rope_utils.py`; llama.cpp `src/llama-model.cpp` and `ggml_rope_ext` for GGUF.

use std::sync::Arc;

use mistral_quant::backend::RopeStyle;

use super::Config;
use crate::error::Error;
use crate::spec::{RopeScaling, RopeSpec};

/// What differs between families.
pub(crate) struct RopeOptions {
    /// The `partial_rotary_factor` of a file that is silent. `None` where the family has none: a value other than 1 is unsupported.
    pub(crate) partial: Option<f64>,
    /// Whether YaRN rounds its bounds to whole dimensions where the file is silent.
    pub(crate) truncate: bool,
    /// Whether `yarn` and `su` are old names of `longrope`, and what the pretrained context is when not given.
    pub(crate) longrope_original: Option<usize>,
}

/// Reads the rotary embedding of heads of `head_dim`, in the order of pairs of Hugging Face checkpoints.
pub(crate) fn rope(
    config: &Config<'_>,
    head_dim: usize,
    context_length: usize,
    options: &RopeOptions,
) -> Result<RopeSpec, Error> {
    let theta = config.rope_positive("rope_theta")?.unwrap_or(10_000.0);
    if theta <= 1.0 {
        return Err(config.wrong("rope_theta", format!("is {theta:?}; expected a number above 1")));
    }
    let partial = config.rope_positive("partial_rotary_factor")?.or(options.partial).unwrap_or(1.0);
    if options.partial.is_none() && partial != 1.0 {
        return Err(config.unsupported("partial_rotary_factor", format!("{partial:?} in this architecture")));
    }
    let rotary_dim = match config.is_gguf() {
        true => config.size("rotary_dim")?.unwrap_or(head_dim),
        false => (head_dim as f64 * partial) as usize,
    };
    if rotary_dim < 2 || rotary_dim % 2 != 0 || rotary_dim > head_dim {
        let key = if config.is_gguf() { "rotary_dim" } else { "partial_rotary_factor" };
        let detail =
            format!("rotates {rotary_dim} elements of each head; expected an even number from 2 to {head_dim}");
        return Err(config.wrong(key, detail));
    }
    let scaling = match config.is_gguf() {
        true => from_gguf(config, rotary_dim, context_length, options)?,
        false => from_hugging_face(config, rotary_dim, context_length, options)?,
    };
    Ok(RopeSpec { theta, rotary_dim, style: RopeStyle::Halves, scaling })
}

fn from_hugging_face(
    config: &Config<'_>,
    rotary_dim: usize,
    context_length: usize,
    options: &RopeOptions,
) -> Result<RopeScaling, Error> {
    let old = config.rope_text("type")?;
    let mut kind = config.rope_text("rope_type")?.or(old).unwrap_or("default");
    if options.longrope_original.is_some() && matches!(kind, "su" | "yarn") {
        kind = "longrope";
    }
    let outer = config.size("original_max_position_embeddings")?;
    let inner = config.rope_size("original_max_position_embeddings")?;
    let original = outer.or(options.longrope_original).or(inner).unwrap_or(context_length);
    let factor = || config.rope_positive("factor");
    let needed = |key: &str| config.rope_positive(key)?.ok_or_else(|| config.missing(key));
    let nonzero = |size: usize| config.above_zero("original_max_position_embeddings", size);
    let multiplier = |implied: f64| config.rope_positive("attention_factor").map(|found| found.unwrap_or(implied));
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: needed("factor")?, original: context_length }),
        "dynamic" => Ok(RopeScaling::Dynamic { factor: needed("factor")?, original: context_length }),
        "llama3" => {
            let (low_freq_factor, high_freq_factor) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
            if high_freq_factor <= low_freq_factor {
                let detail =
                    format!("is {high_freq_factor:?}; expected more than `low_freq_factor`, {low_freq_factor:?}");
                return Err(config.wrong("high_freq_factor", detail));
            }
            let factor = needed("factor")?;
            Ok(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original: nonzero(original)? })
        }
        "yarn" => {
            let original = nonzero(original)?;
            let factor = factor()?.unwrap_or(context_length as f64 / original as f64);
            let mscale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
            let (own, all) = (config.rope_number("mscale")?, config.rope_number("mscale_all_dim")?);
            let implied = match (own, all) {
                (Some(own), Some(all)) if own != 0.0 && all != 0.0 => mscale(own) / mscale(all),
                _ => mscale(1.0),
            };
            if !implied.is_finite() || implied <= 0.0 {
                let detail = format!(
                    "makes {implied:?} of rotated elements together with `mscale_all_dim`; expected more than 0"
                );
                return Err(config.wrong("mscale", detail));
            }
            Ok(RopeScaling::Yarn {
                factor,
                original,
                beta_fast: config.rope_positive("beta_fast")?.unwrap_or(32.0),
                beta_slow: config.rope_positive("beta_slow")?.unwrap_or(1.0),
                truncate: config.rope_flag("truncate")?.unwrap_or(options.truncate),
                attention_factor: multiplier(implied)?,
            })
        }
        "longrope" => {
            let original = nonzero(original)?;
            let factor = factor()?.unwrap_or(context_length as f64 / original as f64);
            let implied = match factor <= 1.0 || original < 2 {
                true => 1.0,
                false => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
            };
            let factors = |key: &str| {
                let values = config.rope_numbers(key)?.ok_or_else(|| config.missing(key))?;
                let elements = values.len();
                let wrong = || config.wrong(key, wrong_divisors(elements, rotary_dim));
                divisors(values, rotary_dim).ok_or_else(wrong)
            };
            Ok(RopeScaling::LongRope {
                short: factors("short_factor")?,
                long: factors("long_factor")?,
                original,
                attention_factor: multiplier(implied)?,
            })
        }
        other => Err(Error::unsupported("rope type", other)),
    }
}

fn from_gguf(
    config: &Config<'_>,
    rotary_dim: usize,
    context_length: usize,
    options: &RopeOptions,
) -> Result<RopeScaling, Error> {
    let weights = config.weights();
    let tensor = |name: &str| -> Result<Option<Arc<[f32]>>, Error> {
        if !weights.contains(name) {
            return Ok(None);
        }
        let values = weights.get(name)?.vector(rotary_dim / 2)?.to_f32()?;
        let elements = values.len();
        let wrong = || Error::malformed(format!("tensor `{name}`"), wrong_divisors(elements, rotary_dim));
        divisors(values, rotary_dim).map(Some).ok_or_else(wrong)
    };
    let original = config.size("original_max_position_embeddings")?.unwrap_or(context_length);
    let original = config.above_zero("original_max_position_embeddings", original)?;
    let multiplier = config.positive("attn_factor")?.unwrap_or(1.0);
    let old = config.positive("rope_scale_linear")?.filter(|f| *f != 1.0);
    let factor = config.positive("factor")?.or(old).unwrap_or(1.0);
    let kind = config.text("rope_type")?.unwrap_or(if factor == 1.0 { "none" } else { "linear" });
    let (short, long) = (tensor("rope_factors_short.weight")?, tensor("rope_factors_long.weight")?);
    if let (Some(short), Some(long)) = (short, long) {
        return Ok(RopeScaling::LongRope { short, long, original, attention_factor: multiplier });
    }
    let own = tensor("rope_freqs.weight")?;
    let scaling = match (kind, own) {
        ("none", None) => RopeScaling::None,
        ("none", Some(factors)) => RopeScaling::Factors(factors),
        ("linear", None) => RopeScaling::Linear { factor, original },
        ("yarn", None) => RopeScaling::Yarn {
            factor,
            original,
            beta_fast: config.rope_positive("beta_fast")?.unwrap_or(32.0),
            beta_slow: config.rope_positive("beta_slow")?.unwrap_or(1.0),
            truncate: options.truncate,
            attention_factor: multiplier * if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 },
        },
        (kind, None) => return Err(Error::unsupported("rope type", kind)),
        (kind, Some(_)) => {
            return Err(Error::unsupported("rope type", format!("{kind} together with `rope_freqs.weight`")));
        }
    };
    if multiplier != 1.0 && !matches!(scaling, RopeScaling::Yarn { .. }) {
        return Err(config.unsupported("attn_factor", format!("{multiplier:?} with rope type {kind}")));
    }
    Ok(scaling)
}

/// Returns how many positions the rotary embedding was made for, of `max_positions` without its scaling.
///
/// Linear and dynamic scaling multiply `max_positions`, and YaRN multiplies the pretrained context. For the other scalings, `max_positions`
/// already is the scaled context. Source: vLLM, `_get_and_verify_max_len` in `vllm/config/model.py`. A GGUF file that keeps the pretrained
/// context of a linear scaling is read like a file with YaRN.
pub(crate) fn scaled_context(config: &Config<'_>, scaling: &RopeScaling, max_positions: usize) -> Result<usize, Error> {
    let (factor, original) = match scaling {
        RopeScaling::Linear { factor, original }
        | RopeScaling::Dynamic { factor, original }
        | RopeScaling::Yarn { factor, original, .. } => (*factor, *original),
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. } | RopeScaling::Factors(_) => {
            return Ok(max_positions);
        }
    };
    let positions = original as f64 * factor;
    if !(1.0..=4_294_967_296.0).contains(&positions) {
        let detail = format!("is {factor:?}, which makes {positions:e} positions of {original}; expected 1 to 2^32");
        return Err(config.wrong("factor", detail));
    }
    Ok(positions as usize)
}

fn wrong_divisors(elements: usize, rotary_dim: usize) -> String {
    format!("has {elements} values; expected {}, all of them above 0 and finite", rotary_dim / 2)
}

/// Checks the divisors: one divisor above 0 per frequency.
fn divisors(values: Vec<f32>, rotary_dim: usize) -> Option<Arc<[f32]>> {
    let fits = values.len() == rotary_dim / 2 && values.iter().all(|v| v.is_finite() && *v > 0.0);
    fits.then(|| values.into())
}
