//! What configurations with `mamba_` keys say of a Mamba-2 mixer.
//!
//! Source: transformers 5.23 `models/bamba` and the families made of it.

use super::activation;
use crate::config::Config;
use crate::error::Error;
use crate::spec::{Mamba2Spec, NormSpec};

/// Reads the mixer of a decoder of `hidden_size`, with `norm` for its gated output.
pub(super) fn mamba2(config: &Config<'_>, hidden_size: usize, norm: NormSpec) -> Result<Mamba2Spec, Error> {
    let inner = match config.size("mamba_inner_size")? {
        Some(inner) => inner,
        None => hidden_size.saturating_mul(config.size("mamba_expand")?.unwrap_or(2)),
    };
    let heads = config.size_or("mamba_n_heads", 128)?;
    let auto = config.text("mamba_d_head").is_ok_and(|text| text == Some("auto"));
    let head_dim = if auto { None } else { config.size("mamba_d_head")? };
    let head_dim = head_dim.unwrap_or(inner / heads);
    if heads.checked_mul(head_dim) != Some(inner) {
        return Err(
            config.wrong("mamba_n_heads", format!("is {heads}, of {head_dim} elements; expected {inner} in all"))
        );
    }
    let groups = config.size_or("mamba_n_groups", 1)?;
    if heads % groups != 0 {
        return Err(config.wrong("mamba_n_groups", format!("is {groups}; expected a divisor of the {heads} heads")));
    }
    Ok(Mamba2Spec {
        heads,
        head_dim,
        groups,
        state_dim: config.size_or("mamba_d_state", 256)?,
        conv_kernel: config.size_or("mamba_d_conv", 4)?,
        conv_bias: config.flag("mamba_conv_bias")?.unwrap_or(true),
        bias: config.flag("mamba_proj_bias")?.unwrap_or(false),
        activation: activation(config.text("hidden_act")?.unwrap_or("silu"))?,
        dt_limit: config.limits("time_step_limit")?.unwrap_or((0.0, f32::INFINITY)),
        norm,
    })
}
