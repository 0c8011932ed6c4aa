//! The rotary embedding of a configuration, in any spelling.
//!
//! Sources: transformers 5.23 `modeling_rope_utils.py`; llama.cpp `src/llama-model.cpp` and `ggml_rope_ext` for GGUF.

use std::sync::Arc;

use mistral_quant::RopeStyle;

use crate::config::Config;
use crate::spec::{RopeScaling, RopeSpec};
use crate::{Error, Weights};

/// What differs between families.
pub(super) struct RopeOptions {
    /// Whether `partial_rotary_factor` is honoured; elsewhere a value other than 1 is unsupported.
    pub(super) partial: bool,
    /// Whether `yarn` and `su` are old names of `longrope`, and what the pretrained context is when not given.
    pub(super) longrope_original: Option<usize>,
}

pub(super) fn rope(
    config: &Config,
    weights: &dyn Weights,
    head_dim: usize,
    context_length: usize,
    options: &RopeOptions,
) -> Result<RopeSpec, Error> {
    let theta = config.rope_number("rope_theta")?.unwrap_or(10_000.0);
    if !theta.is_finite() || theta <= 1.0 {
        return Err(Error::config("rope_theta", format!("{theta} is not a number above 1")));
    }
    let partial = config.rope_number("partial_rotary_factor")?.unwrap_or(1.0);
    if !options.partial && partial != 1.0 {
        return Err(Error::unsupported("configuration key", format!("`partial_rotary_factor` {partial}")));
    }
    let rotary_dim = match config.is_gguf() {
        true => config.size("rotary_dim")?.unwrap_or(head_dim),
        false => (head_dim as f64 * partial) as usize,
    };
    if rotary_dim < 2 || rotary_dim % 2 != 0 || rotary_dim > head_dim {
        let detail =
            format!("{rotary_dim} rotated elements of heads of {head_dim} (must be even and at most the head)");
        return Err(Error::config("partial_rotary_factor", detail));
    }
    let scaling = match config.is_gguf() {
        true => from_gguf(config, weights, rotary_dim, context_length)?,
        false => from_hugging_face(config, rotary_dim, context_length, options)?,
    };
    Ok(RopeSpec { theta, rotary_dim, style: RopeStyle::Halves, scaling })
}

fn from_hugging_face(
    config: &Config,
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
    let factor = || positive(config, "factor");
    let needed =
        |value: Option<f64>| value.ok_or_else(|| Error::config("factor", format!("is missing for rope type `{kind}`")));
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: needed(factor()?)? }),
        "dynamic" => Ok(RopeScaling::Dynamic { factor: needed(factor()?)?, original: nonzero(context_length)? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: needed(factor()?)?,
            low_freq_factor: needed(positive(config, "low_freq_factor")?)?,
            high_freq_factor: needed(positive(config, "high_freq_factor")?)?,
            original: nonzero(original)?,
        }),
        "yarn" => {
            let original = nonzero(original)?;
            let factor = factor()?.unwrap_or(context_length as f64 / original as f64);
            let mscale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
            let (own, all) = (config.rope_number("mscale")?, config.rope_number("mscale_all_dim")?);
            let implied = match (own, all) {
                (Some(own), Some(all)) if own != 0.0 && all != 0.0 => mscale(own) / mscale(all),
                _ => mscale(1.0),
            };
            Ok(RopeScaling::Yarn {
                factor,
                original,
                beta_fast: positive(config, "beta_fast")?.unwrap_or(32.0),
                beta_slow: positive(config, "beta_slow")?.unwrap_or(1.0),
                truncate: config.rope_flag("truncate")?.unwrap_or(true),
                attention_factor: config.rope_number("attention_factor")?.unwrap_or(implied),
            })
        }
        "longrope" => {
            let original = nonzero(original)?;
            let factor = factor()?.unwrap_or(context_length as f64 / original as f64);
            let implied = match factor <= 1.0 || original < 2 {
                true => 1.0,
                false => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
            };
            let factors = |key: &str| divisors(key, config.rope_numbers(key)?, rotary_dim);
            Ok(RopeScaling::LongRope {
                short: factors("short_factor")?,
                long: factors("long_factor")?,
                original,
                attention_factor: config.rope_number("attention_factor")?.unwrap_or(implied),
            })
        }
        other => Err(Error::unsupported("rope type", other)),
    }
}

fn from_gguf(
    config: &Config,
    weights: &dyn Weights,
    rotary_dim: usize,
    context_length: usize,
) -> Result<RopeScaling, Error> {
    let tensor = |name: &str| -> Result<Option<Arc<[f32]>>, Error> {
        if !weights.contains(name) {
            return Ok(None);
        }
        let values = weights.get(name)?.vector(rotary_dim / 2)?.to_f32()?;
        divisors(name, Some(values), rotary_dim).map(Some)
    };
    let original = config.size("original_max_position_embeddings")?.unwrap_or(context_length);
    let multiplier = config.number("attn_factor")?.unwrap_or(1.0);
    let old = config.number("rope_scale_linear")?.filter(|f| *f != 1.0);
    let factor = positive(config, "factor")?.or(old).unwrap_or(1.0);
    let kind = config.text("rope_type")?.unwrap_or(if factor == 1.0 { "none" } else { "linear" });
    let (short, long) = (tensor("rope_factors_short.weight")?, tensor("rope_factors_long.weight")?);
    if let (Some(short), Some(long)) = (short, long) {
        return Ok(RopeScaling::LongRope { short, long, original: nonzero(original)?, attention_factor: multiplier });
    }
    let own = tensor("rope_freqs.weight")?;
    let scaling = match (kind, own) {
        ("none", None) => RopeScaling::None,
        ("none", Some(factors)) => RopeScaling::Factors(factors),
        ("linear", None) => RopeScaling::Linear { factor },
        ("yarn", None) => RopeScaling::Yarn {
            factor,
            original: nonzero(original)?,
            beta_fast: positive(config, "beta_fast")?.unwrap_or(32.0),
            beta_slow: positive(config, "beta_slow")?.unwrap_or(1.0),
            truncate: true,
            attention_factor: multiplier * if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 },
        },
        (kind, None) => return Err(Error::unsupported("rope type", kind)),
        (kind, Some(_)) => {
            return Err(Error::unsupported("rope type", format!("{kind} together with `rope_freqs.weight`")));
        }
    };
    if multiplier != 1.0 && !matches!(scaling, RopeScaling::Yarn { .. }) {
        return Err(Error::unsupported(
            "configuration key",
            format!("`rope.scaling.attn_factor` with rope type {kind}"),
        ));
    }
    Ok(scaling)
}

fn positive(config: &Config, key: &str) -> Result<Option<f64>, Error> {
    match config.rope_number(key)? {
        Some(f) if !f.is_finite() || f <= 0.0 => Err(Error::config(key, format!("{f} is not a positive number"))),
        value => Ok(value),
    }
}

fn nonzero(original: usize) -> Result<usize, Error> {
    if original == 0 { Err(Error::config("original_max_position_embeddings", "is 0")) } else { Ok(original) }
}

/// One positive divisor a frequency.
fn divisors(key: &str, values: Option<Vec<f32>>, rotary_dim: usize) -> Result<Arc<[f32]>, Error> {
    let values = values.ok_or_else(|| Error::config(key, "is missing"))?;
    if values.len() != rotary_dim / 2 || !values.iter().all(|v| v.is_finite() && *v > 0.0) {
        return Err(Error::config(key, format!("must be {} positive numbers", rotary_dim / 2)));
    }
    Ok(values.into())
}
