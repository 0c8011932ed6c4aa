//! The families: which names each answers to and how its configuration becomes a [`DecoderSpec`].
//!
//! [`llama`] holds what most families share; most other files state a difference from it. A file states arithmetic, names of tensors
//! and names of keys; what the two kinds of checkpoint files do differently is in `config/stored.rs`. To add a family, write its file
//! and a row of [`ARCHITECTURES`]; the manual of the crate shows the steps.

mod bert;
mod gemma2;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod granite_hybrid;
mod llama;
mod llama4;
mod mamba2;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;

use mistral_quant::backend::{Activation, RouteRule, RouteScore, Visible};

use crate::config::{Arch, Config};
use crate::error::Error;
use crate::spec::DecoderSpec;

const ARCHITECTURES: &[&Arch] = &[
    &llama::ARCH,
    &mistral::ARCH,
    &qwen2::ARCH,
    &qwen3::ARCH,
    &gemma2::ARCH,
    &phi3::ARCH,
    &gpt2::ARCH,
    &gpt_neox::ARCH,
    &qwen3_moe::ARCH,
    &gpt_oss::ARCH,
    &granite_hybrid::ARCH,
    &llama4::ARCH,
    &bert::ARCH,
];

/// Finds the family of a configuration.
///
/// # Errors
/// [`Error::Unsupported`] that lists what is known.
pub(crate) fn find(config: &Config<'_>) -> Result<&'static Arch, Error> {
    let name = config.architecture();
    if let Some(arch) = named(config, name) {
        // transformers goes by the one, other programs by the other.
        let kind = config.text("model_type")?;
        return match kind.and_then(|kind| named(config, kind)).filter(|other| !std::ptr::eq(*other, arch)) {
            Some(_) if config.by_file(true, false) => {
                Err(config.wrong("model_type", format!("{kind:?} contradicts the architecture {name}")))
            }
            _ => Ok(arch),
        };
    }
    let all: Vec<&str> =
        ARCHITECTURES.iter().flat_map(|arch| config.by_file(arch.hugging_face, arch.gguf)).copied().collect();
    Err(Error::architecture(name, &all))
}

fn named(config: &Config<'_>, name: &str) -> Option<&'static Arch> {
    ARCHITECTURES.iter().copied().find(|arch| config.by_file(arch.hugging_face, arch.gguf).contains(&name))
}

/// An activation function by its name in `config.json`.
pub(crate) fn activation(name: &str) -> Result<Activation, Error> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
        "quick_gelu" => Ok(Activation::QuickGelu),
        "relu" => Ok(Activation::Relu),
        "relu2" => Ok(Activation::ReluSquared),
        "sigmoid" => Ok(Activation::Sigmoid),
        "tanh" => Ok(Activation::Tanh),
        _ => Err(Error::unsupported("activation function", name)),
    }
}

/// Reads how experts are chosen: `num_local_experts` and `num_experts_per_tok`, or what a silent file means.
pub(crate) fn rule(
    config: &Config<'_>,
    (experts, top_k): (usize, usize),
    score: RouteScore,
) -> Result<RouteRule, Error> {
    let experts = config.size_or("num_local_experts", experts)?;
    let top_k = config.size_or("num_experts_per_tok", top_k)?;
    if top_k > experts {
        return Err(config.wrong("num_experts_per_tok", format!("is {top_k}; expected at most the {experts} experts")));
    }
    Ok(RouteRule { experts, top_k, score, normalize: false, scale: 1.0, groups: None })
}

/// Reads `layer_types`, or the types of layers that `usual(layer)` names where the configuration is silent.
pub(crate) fn layer_types<'c>(
    config: &'c Config<'_>,
    layers: usize,
    usual: impl Fn(usize) -> &'static str,
) -> Result<Vec<&'c str>, Error> {
    let Some(types) = config.texts("layer_types")? else { return Ok((0..layers).map(usual).collect()) };
    if types.len() != layers {
        let detail = format!("is a list of {} elements; expected one for each of {layers} layers", types.len());
        return Err(config.wrong("layer_types", detail));
    }
    Ok(types)
}

/// Sets sliding windows by layer: `layer_types` where the configuration lists them, else by `sliding(layer)`.
pub(crate) fn windows(
    config: &Config<'_>,
    spec: &mut DecoderSpec,
    window: Option<usize>,
    sliding: impl Fn(usize) -> bool,
) -> Result<(), Error> {
    let usual = |layer| if sliding(layer) { "sliding_attention" } else { "full_attention" };
    let types = layer_types(config, spec.layers.len(), usual)?;
    if let Some(other) = types.iter().find(|kind| !["full_attention", "sliding_attention"].contains(kind)) {
        return Err(Error::unsupported("layer type", *other));
    }
    window.map(|window| config.above_zero("sliding_window", window)).transpose()?;
    spec.each_attention(|layer, attention| {
        if let Some(window) = window.filter(|_| types.get(layer) == Some(&"sliding_attention")) {
            attention.visible = Visible::Window(window);
        }
    });
    Ok(())
}

/// Whether llama.cpp's mixes of formats treat a family, by its name in GGUF files, as they treat Falcon.
pub(crate) fn is_quantized_like_falcon(architecture: &str) -> bool {
    architecture == "falcon"
}
