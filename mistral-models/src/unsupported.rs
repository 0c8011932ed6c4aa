//! Things that are valid but that this version cannot do: one variant for each that a host may want to tell apart.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names of tensors that [`Unsupported::Tensors`] lists at most.
const MOST_NAMES: usize = 8;

/// What [`Error::Unsupported`](crate::Error::Unsupported) names: valid, but beyond this version.
///
/// ```
/// use mistral_models::{Description, Error, Unsupported};
///
/// let config = serde_json::json!({"model_type": "from_tomorrow"});
/// let weights = mistral_models::loader::RandomWeights::new(0, [])?;
/// match Description::from_json(config.as_object().ok_or("an object")?, &weights) {
///     Err(Error::Unsupported(Unsupported::Architecture { name, .. })) => assert_eq!(name, "from_tomorrow"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A family of models that has no description here.
    #[error("architecture: `{name}` (known: {})", known.join(", "))]
    Architecture {
        /// The name, as the checkpoint spells it.
        name: String,
        /// The names that are known.
        known: Vec<String>,
    },
    /// Configuration keys that nothing reads, so that their effect would be missing.
    #[error("configuration key: `{}`{}", keys.join("`, `"), of_architecture(architecture))]
    ConfigKeys {
        /// The keys, as the file spells them, with a path where they are nested.
        keys: Vec<String>,
        /// The architecture that does not read them; `None` for keys that belong to no architecture.
        architecture: Option<String>,
    },
    /// A known configuration key with a value that cannot be followed.
    #[error("configuration key: `{key}`: {value}")]
    ConfigValue {
        /// The key, as the file spells it.
        key: String,
        /// The value, or what is wrong with it.
        value: String,
    },
    /// A scaling of the rotary embedding.
    #[error("rope type: {name}")]
    RopeType {
        /// The name, and the circumstance if the type is known otherwise.
        name: String,
    },
    /// An activation function.
    #[error("activation function: {name}")]
    Activation {
        /// The name.
        name: String,
    },
    /// A kind of layer.
    #[error("layer type: {name}")]
    LayerType {
        /// The name.
        name: String,
    },
    /// A way to store weights that has no arithmetic here, or none for this use.
    #[error("tensor format: {format} of `{tensor}`{}", purpose.map(|purpose| format!(" {purpose}")).unwrap_or_default())]
    TensorFormat {
        /// The tensor.
        tensor: String,
        /// Its format.
        format: String,
        /// The use, if the format is known otherwise: `in a GGUF file`, `to be quantized`.
        purpose: Option<&'static str>,
    },
    /// Tensors that the architecture does not use: the model would compute something else than it was made for.
    #[error("tensor: the checkpoint has {count} tensors that this architecture does not use: {}", listed(*count, names))]
    Tensors {
        /// How many tensors.
        count: usize,
        /// Up to eight names with the number of tensors for each; `*` stands for a number within a name.
        names: Vec<(String, usize)>,
    },
    /// A checkpoint that a GGUF file cannot express, or without a part that is needed.
    #[error("checkpoint: {detail}")]
    Checkpoint {
        /// The part.
        detail: String,
    },
    /// A kind of tokenizer, or a part of one.
    #[error("tokenizer: {detail}")]
    Tokenizer {
        /// The part, and why its ids would be wrong.
        detail: String,
    },
    /// A pre-tokenizer: guessing would silently return wrong ids.
    #[error("pre-tokenizer: {name}")]
    PreTokenizer {
        /// The name with its key, or the reason why its pattern does not compile.
        name: String,
    },
    /// A kind of decoder in a `tokenizer.json`.
    #[error("tokenizer decoder: {decoder}")]
    TokenizerDecoder {
        /// The JSON of the decoder.
        decoder: String,
    },
    /// A feature of Jinja2 that the renderer of chat templates lacks.
    #[error("{feature}: `{name}`, line {line}")]
    Template {
        /// The kind of feature: filter, test, tag.
        feature: &'static str,
        /// Its name.
        name: String,
        /// The line of the template.
        line: usize,
    },
    /// A GGUF file of the other byte order.
    #[error(
        "GGUF byte order: {file}: big-endian, of which only the little-endian form is read; fetch that form, or convert the \
         file with `gguf-convert-endian FILE little` of the Python package gguf"
    )]
    GgufByteOrder {
        /// The file.
        file: String,
    },
    /// A GGUF file of a version that is not read.
    #[error(
        "GGUF version: {file}: version {version}; {}",
        if *version == 1 { "convert the original model again" } else { "2 and 3 are read" }
    )]
    GgufVersion {
        /// The file.
        file: String,
        /// The version in its header.
        version: u32,
    },
    /// A configuration file next to a GGUF file, whose own metadata is the configuration.
    #[error("configuration file: {} next to the metadata of a GGUF file", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
    },
    /// The name of a quantization that is neither a mix nor a format.
    #[error("quantization: `{name}` (known: {}, and every format)", known.join(", "))]
    Quantization {
        /// The name.
        name: String,
        /// The names of the mixes.
        known: Vec<String>,
    },
    /// Anything else.
    #[error("{what}: {detail}")]
    Other {
        /// The kind of thing.
        what: &'static str,
        /// Which one.
        detail: String,
    },
}

impl Unsupported {
    /// Groups the names of unused tensors: names that differ only in numbers count as one.
    pub(crate) fn tensors<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut groups = BTreeMap::<String, usize>::new();
        let mut count = 0;
        for name in names {
            count += 1;
            *groups.entry(pattern(name)).or_default() += 1;
        }
        // A group of one is shown by its own pattern as well: the pattern of a name without numbers is the name.
        let mut names: Vec<_> = groups.into_iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        names.truncate(MOST_NAMES);
        Self::Tensors { count, names }
    }

    /// A tensor format.
    pub(crate) fn format(tensor: impl Into<String>, format: impl std::fmt::Display) -> Self {
        Self::TensorFormat { tensor: tensor.into(), format: format.to_string(), purpose: None }
    }

    /// A tensor format that is known, but not for this use.
    pub(crate) fn format_for(tensor: impl Into<String>, format: impl std::fmt::Display, purpose: &'static str) -> Self {
        Self::TensorFormat { tensor: tensor.into(), format: format.to_string(), purpose: Some(purpose) }
    }
}

/// Returns a name with `*` for each number between dots.
fn pattern(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').map(|part| if is_number(part) { "*" } else { part }).collect::<Vec<_>>().join(".")
}

fn listed(count: usize, names: &[(String, usize)]) -> String {
    let shown: usize = names.iter().map(|(_, count)| count).sum();
    let mut parts: Vec<String> = names
        .iter()
        .map(|(name, count)| if *count > 1 { format!("`{name}` ({count} tensors)") } else { format!("`{name}`") })
        .collect();
    if count > shown {
        parts.push(format!("{} more", count - shown));
    }
    parts.join(", ")
}

fn of_architecture(architecture: &Option<String>) -> String {
    architecture.as_ref().map(|name| format!(" of architecture {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_tensors_are_counted_and_grouped_by_pattern() {
        let layers = (0..32).map(|layer| format!("model.layers.{layer}.mtp.proj.weight"));
        let experts = (0..4).map(|expert| format!("model.layers.3.experts.{expert}.bias"));
        let names: Vec<String> = layers.chain(experts).chain(["visual.norm.weight".into()]).collect();
        let error = Unsupported::tensors(names.iter().map(String::as_str));
        assert_eq!(
            error.to_string(),
            "tensor: the checkpoint has 37 tensors that this architecture does not use: \
             `model.layers.*.mtp.proj.weight` (32 tensors), `model.layers.*.experts.*.bias` (4 tensors), `visual.norm.weight`"
        );
    }

    #[test]
    fn no_more_than_eight_names_are_listed() {
        let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("{}.weight", letter as char)).collect();
        let Unsupported::Tensors { count, names: listed } = Unsupported::tensors(names.iter().map(String::as_str))
        else {
            panic!()
        };
        assert_eq!((count, listed.len()), (26, 8));
        let text = Unsupported::tensors(names.iter().map(String::as_str)).to_string();
        assert!(text.ends_with("`h.weight`, 18 more"), "{text}");
    }

    #[test]
    fn texts_name_the_thing_and_where_it_is() {
        let keys = |architecture: Option<&str>| Unsupported::ConfigKeys {
            keys: vec!["a".into(), "b.c".into()],
            architecture: architecture.map(str::to_owned),
        };
        assert_eq!(keys(Some("llama")).to_string(), "configuration key: `a`, `b.c` of architecture llama");
        assert_eq!(keys(None).to_string(), "configuration key: `a`, `b.c`");
        assert_eq!(Unsupported::format("w", "Q8_1").to_string(), "tensor format: Q8_1 of `w`");
        let exported = Unsupported::format_for("w", "NVFP4", "in a GGUF file");
        assert_eq!(exported.to_string(), "tensor format: NVFP4 of `w` in a GGUF file");
        let old = Unsupported::GgufVersion { file: "m.gguf".into(), version: 1 };
        assert!(old.to_string().ends_with("version 1; convert the original model again"), "{old}");
    }
}
