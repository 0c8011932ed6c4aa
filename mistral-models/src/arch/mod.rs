//! The families: which names each answers to and how its configuration becomes a [`DecoderSpec`].
//!
//! [`llama`] holds what the families share; every other file states a difference from it. To add one, write its file and
//! a row of [`ARCHITECTURES`].

mod gemma2;
mod llama;
mod mistral;
mod phi3;
mod qwen2;
mod qwen3;
mod rope;

use mistral_quant::Activation;

use crate::config::Config;
use crate::names::Name;
use crate::spec::DecoderSpec;
use crate::{Error, Weights};

/// A family.
pub(crate) struct Arch {
    /// `architectures` or `model_type` of `config.json`.
    pub(crate) hugging_face: &'static [&'static str],
    /// `general.architecture` of GGUF.
    pub(crate) gguf: &'static [&'static str],
    /// From configuration (and, for GGUF, the tensors that carry configuration) to spec.
    pub(crate) spec: fn(&Config, &dyn Weights) -> Result<DecoderSpec, Error>,
    /// Tensor names that differ from llama's.
    pub(crate) renames: &'static [Name],
}

impl Arch {
    /// What GGUF files call this family; those that have no name of their own there go as Llama.
    pub(crate) fn gguf_name(&self) -> &'static str {
        self.gguf.first().copied().unwrap_or("llama")
    }
}

const ARCHITECTURES: &[&Arch] = &[&llama::ARCH, &mistral::ARCH, &qwen2::ARCH, &qwen3::ARCH, &gemma2::ARCH, &phi3::ARCH];

/// The family of a configuration.
///
/// # Errors
/// [`Error::Unsupported`] that lists what is known.
pub(crate) fn find(config: &Config) -> Result<&'static Arch, Error> {
    let name = config.architecture();
    let known = |arch: &&'static Arch| if config.is_gguf() { arch.gguf } else { arch.hugging_face };
    let named = |name: &str| ARCHITECTURES.iter().find(|arch| known(arch).contains(&name));
    if let Some(arch) = named(name) {
        // transformers goes by the one, other programs by the other.
        let kind = config.text("model_type")?;
        return match kind.and_then(named).filter(|other| !std::ptr::eq(*other, arch)) {
            Some(_) if !config.is_gguf() => {
                Err(config.wrong("model_type", format!("{kind:?} contradicts the architecture {name}")))
            }
            _ => Ok(arch),
        };
    }
    let all: Vec<&str> = ARCHITECTURES.iter().flat_map(known).copied().collect();
    Err(Error::unsupported("architecture", format!("`{name}` (known: {})", all.join(", "))))
}

/// An activation function by its name in `config.json`.
pub(crate) fn activation(name: &str) -> Result<Activation, Error> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        _ => Err(Error::unsupported("activation function", name)),
    }
}

/// Sliding windows by layer: `layer_types` where the configuration lists them, else by `sliding(layer)`.
pub(crate) fn windows(
    config: &Config,
    spec: &mut DecoderSpec,
    window: Option<usize>,
    sliding: impl Fn(usize) -> bool,
) -> Result<(), Error> {
    let layers = spec.layers.len();
    let mut slides: Vec<bool> = (0..layers).map(sliding).collect();
    if let Some(types) = config.texts("layer_types")? {
        let of = |kind: &&str| match *kind {
            "full_attention" => Ok(false),
            "sliding_attention" => Ok(true),
            other => Err(Error::unsupported("layer type", other)),
        };
        slides = types.iter().map(of).collect::<Result<_, _>>()?;
        if slides.len() != layers {
            let detail = format!("is a list of {} elements; expected one for each of {layers} layers", slides.len());
            return Err(config.wrong("layer_types", detail));
        }
    }
    window.map(|window| config.above_zero("sliding_window", window)).transpose()?;
    spec.each_attention(|layer, attention| attention.window = window.filter(|_| slides[layer]));
    Ok(())
}
