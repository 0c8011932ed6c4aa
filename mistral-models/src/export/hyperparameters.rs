//! A decoder's numbers as GGUF metadata, and whether they came back the same.

use std::sync::Arc;

use mistral_quant::backend::Visible;

use crate::block::DenseLayer;
use crate::config;
use crate::error::Error;
use crate::metadata::{Metadata, Value};
use crate::rope;
use crate::spec::{AttentionSpec, DecoderSpec, RopeScaling, RopeSpec};

/// Tensors that carry configuration.
type Made = Vec<(String, Arc<[f32]>)>;

/// The metadata of a decoder, and the tensors that go with it.
///
/// # Errors
/// [`Error::Unsupported`] for a rope scaling that GGUF has no keys for.
pub(super) fn metadata(spec: &DecoderSpec, architecture: &str) -> Result<(Metadata, Made), Error> {
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str(architecture.to_owned()));
    let mut set = |name: &str, value: Value| {
        if let Some(key) = config::gguf_key(name) {
            metadata.insert(format!("{architecture}.{key}"), value);
        }
    };
    let size = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
    let number = |n: f64| Value::F32(n as f32);
    let layers = dense_layers(spec)?;
    let none = || Error::unsupported("checkpoint", "a decoder without layers");
    let first = layers.first().ok_or_else(none)?;
    let (attention, rope) = (first.attention, rope_of(first.attention)?);
    for (name, n) in [
        ("vocab_size", spec.vocab_size),
        ("max_position_embeddings", spec.context_length),
        ("hidden_size", spec.hidden_size),
        ("num_hidden_layers", spec.layers.len()),
        ("intermediate_size", first.ffn.intermediate_size),
        ("num_attention_heads", attention.heads),
        ("num_key_value_heads", attention.kv_heads),
        ("head_dim", attention.head_dim),
        ("value_head_dim", attention.head_dim),
        ("rotary_dim", rope.rotary_dim),
    ] {
        set(name, size(n));
    }
    set("rms_norm_eps", Value::F32(first.norm.eps));
    set("rope_theta", number(rope.theta));
    let windows = layers.iter().filter_map(|layer| window(layer.attention, spec.context_length));
    if let Some(window) = windows.max() {
        set("sliding_window", size(window));
    }
    if let Some(cap) = attention.soft_cap {
        set("attn_logit_softcapping", Value::F32(cap));
    }
    if let Some(cap) = spec.logit_soft_cap {
        set("final_logit_softcapping", Value::F32(cap));
    }
    let mut made = Vec::new();
    match &rope.scaling {
        RopeScaling::None => {}
        RopeScaling::Linear { factor, original } => {
            set("rope_type", Value::Str("linear".into()));
            set("factor", number(*factor));
            set("original_max_position_embeddings", size(*original));
        }
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate: true, attention_factor } => {
            set("rope_type", Value::Str("yarn".into()));
            set("factor", number(*factor));
            set("original_max_position_embeddings", size(*original));
            set("beta_fast", number(*beta_fast));
            set("beta_slow", number(*beta_slow));
            let implied = if *factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
            if (attention_factor / implied - 1.0).abs() > 1e-9 {
                set("attn_factor", number(attention_factor / implied));
            }
        }
        RopeScaling::LongRope { short, long, original, attention_factor } => {
            set("original_max_position_embeddings", size(*original));
            set("attn_factor", number(*attention_factor));
            made.push(("rope_factors_short.weight".into(), Arc::clone(short)));
            made.push(("rope_factors_long.weight".into(), Arc::clone(long)));
        }
        RopeScaling::Llama3 { .. } | RopeScaling::Factors(_) => {
            made.push(("rope_freqs.weight".into(), rope::divisors(rope)));
        }
        RopeScaling::Dynamic { .. } | RopeScaling::Yarn { .. } => {
            return Err(Error::unsupported("rope type", format!("{:?} in a GGUF file", rope.scaling)));
        }
    }
    Ok((metadata, made))
}

/// Returns the layers of a decoder of Llama's shape; other decoders are not written.
fn dense_layers(spec: &DecoderSpec) -> Result<Vec<DenseLayer<'_>>, Error> {
    let other = || {
        let detail =
            format!("writing a GGUF file of family {}: only decoders of Llama's shape are written", spec.family);
        Error::unsupported("checkpoint", detail)
    };
    let plain = spec.positions.is_none() && spec.embedding_norm.is_none() && spec.logit_scale == 1.0;
    let layers: Option<Vec<DenseLayer<'_>>> = spec.layers.iter().map(|layer| layer.as_dense()).collect();
    layers.filter(|_| plain).ok_or_else(other)
}

fn rope_of(attention: &AttentionSpec) -> Result<&RopeSpec, Error> {
    attention.rope.as_ref().ok_or_else(|| Error::unsupported("checkpoint", "attention without a rotary embedding"))
}

/// A window that cuts something off.
fn window(attention: &AttentionSpec, context_length: usize) -> Option<usize> {
    match attention.visible {
        Visible::Window(window) => Some(window).filter(|window| *window < context_length),
        _ => None,
    }
}

/// Refuses a decoder that a GGUF file would change: `found` is what its family read from the metadata made of `wanted`.
///
/// The order of rotated pairs and the offset of norms may differ, as the tensors are changed with them.
pub(super) fn same(wanted: &DecoderSpec, found: &DecoderSpec) -> Result<(), Error> {
    let refuse = |what: &str| {
        let detail = format!("a GGUF file of family {} cannot say this checkpoint's {what}", wanted.family);
        Err(Error::unsupported("checkpoint", detail))
    };
    let globals = |s: &DecoderSpec| (s.hidden_size, s.vocab_size, s.context_length, s.layers.len());
    if globals(wanted) != globals(found) || wanted.head != found.head {
        return refuse("sizes");
    }
    if !close(wanted.embedding_scale.into(), found.embedding_scale.into()) {
        return refuse("scale of embeddings");
    }
    let eps = |s: &DecoderSpec| s.final_norm.map(|norm| norm.eps);
    if eps(wanted) != eps(found) || wanted.logit_soft_cap != found.logit_soft_cap {
        return refuse("final norm or soft cap");
    }
    for (wanted_layer, found_layer) in dense_layers(wanted)?.iter().zip(&dense_layers(found)?) {
        let (a, b) = (wanted_layer.attention, found_layer.attention);
        if wanted_layer.ffn != found_layer.ffn || wanted_layer.has_output_norms != found_layer.has_output_norms {
            return refuse("feed-forward networks");
        }
        if wanted_layer.norm.eps != found_layer.norm.eps
            || a.qk_norm.map(|n| n.norm.eps) != b.qk_norm.map(|n| n.norm.eps)
        {
            return refuse("norms");
        }
        let context = wanted.context_length;
        if window(a, context) != window(b, context) {
            return refuse("sliding windows");
        }
        let rest = |a: &AttentionSpec| (a.heads, a.kv_heads, a.head_dim, a.soft_cap, a.qkv_bias, a.out_bias);
        if rest(a) != rest(b) || !close(a.scale.into(), b.scale.into()) {
            return refuse("attention");
        }
        let (a, b) = (rope_of(a)?, rope_of(b)?);
        if (a.rotary_dim, close(a.theta, b.theta)) != (b.rotary_dim, true) || !scaling(a, b) {
            return refuse("rotary embedding");
        }
    }
    Ok(())
}

fn scaling(wanted: &RopeSpec, found: &RopeSpec) -> bool {
    use RopeScaling::{Factors, Linear, Llama3, LongRope, None, Yarn};
    match (&wanted.scaling, &found.scaling) {
        (None, None) => true,
        (Linear { factor: a, original: o }, Linear { factor: b, original: p }) => close(*a, *b) && o == p,
        (Llama3 { .. } | Factors(_), Factors(b)) => rope::divisors(wanted) == *b,
        (
            LongRope { short, long, original, attention_factor },
            LongRope { short: s, long: l, original: o, attention_factor: a },
        ) => short == s && long == l && original == o && close(*attention_factor, *a),
        (
            Yarn { factor, original, beta_fast, beta_slow, truncate, attention_factor },
            Yarn { factor: f, original: o, beta_fast: fast, beta_slow: slow, truncate: t, attention_factor: a },
        ) => {
            let pairs = [(factor, f), (beta_fast, fast), (beta_slow, slow), (attention_factor, a)];
            original == o && truncate == t && pairs.iter().all(|(x, y)| close(**x, **y))
        }
        _ => false,
    }
}

/// GGUF keeps f32.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}
