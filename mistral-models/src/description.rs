//! What a checkpoint's configuration says, before any weight is read.

use serde_json::{Map, Value};

use crate::arch;
use crate::config::Config;
use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::packed;
use crate::loader::weights::Weights;
use crate::metadata::Metadata;
use crate::names::{Known, Names, Part, Role};
use crate::spec::{DecoderSpec, Head};

/// What one checkpoint's configuration says, before any weight is read.
///
/// ```no_run
/// use mistral_models::{Checkpoint, Description};
/// let checkpoint = Checkpoint::open("model.gguf")?;
/// let description = Description::new(&checkpoint)?;
/// println!("{} layers", description.spec().layers.len());
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Description {
    spec: DecoderSpec,
    names: Names,
    /// `general.architecture` of GGUF.
    architecture: &'static str,
}

impl Description {
    /// Finds the family of a checkpoint and translates its configuration.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an architecture, a scaling or a key that this version does not know; [`Error::Config`] for
    /// values that cannot be.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        match (checkpoint.metadata(), checkpoint.config_json()) {
            (_, Some(json)) => Self::from_json(json, checkpoint.weights()),
            (Some(metadata), None) => Self::from_metadata(metadata, checkpoint.weights()),
            (None, None) => Err(Error::Missing { kind: "file", name: "config.json".into() }),
        }
    }

    /// Translates a configuration in the form of Hugging Face's `config.json`, with weights under that form's names, wherever both
    /// are kept.
    ///
    /// # Errors
    /// As [`Description::new`].
    pub fn from_json(config: &Map<String, Value>, weights: &dyn Weights) -> Result<Self, Error> {
        if packed::scheme(config)?.is_some() && !weights.unpacks_quantization() {
            return Err(Error::unsupported(
                "configuration key",
                "`quantization_config` for weights that are as stored",
            ));
        }
        Self::from_config(Config::from_json(config, weights)?)
    }

    /// Translates the metadata of a GGUF file.
    pub(crate) fn from_metadata(metadata: &Metadata, weights: &dyn Weights) -> Result<Self, Error> {
        Self::from_config(Config::from_metadata(metadata, weights)?)
    }

    fn from_config(mut config: Config<'_>) -> Result<Self, Error> {
        let arch = arch::find(&config)?;
        config.enter(arch)?;
        let mut spec = (arch.spec)(&config)?;
        config.apply_notes(&mut spec)?;
        config.finish()?;
        Ok(Self { spec, names: config.names(), architecture: arch.gguf_name() })
    }

    /// Returns the decoder.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    pub(crate) fn into_parts(self) -> (DecoderSpec, Names) {
        (self.spec, self.names)
    }

    /// Returns what a GGUF file calls a tensor of this checkpoint. `None` for one that a decoder does not load.
    pub(crate) fn gguf_name(&self, name: &str) -> Option<String> {
        let known = self.names.known(name)?;
        (known.role != Role::Head || self.spec.head != Head::Tied).then(|| self.names.in_gguf(known)).flatten()
    }

    /// Returns the role of a tensor of this checkpoint.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        self.names.known(name)
    }

    /// Returns how the tensors of this checkpoint are named and stored.
    pub(crate) fn names(&self) -> Names {
        self.names
    }

    /// Returns what GGUF files call the family.
    pub(crate) fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// Whether the weight of a role is there.
    pub(crate) fn has(&self, weights: &dyn Weights, role: Role) -> bool {
        let name = self.names.find(weights, role, Part::Weight, Default::default());
        name.is_some_and(|name| weights.contains(&name))
    }
}
