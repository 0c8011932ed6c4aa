//! A safetensors checkpoint as a GGUF file would hold it: other names, another order of some rows, metadata for configuration,
//! tokenizer and chat template.
//!
//! What a family's GGUF files do differently is not written down again: the family reads back the metadata that was made, and the
//! difference between the two specs says which rows change places and to which norms something is added. Whatever else differs has no
//! place in GGUF and is refused, so a file with other arithmetic than its source cannot be made.

mod hyperparameters;

use std::collections::BTreeMap;
use std::sync::Arc;

use mistral_quant::backend::RopeStyle;
use mistral_quant::{Format, SharedBytes, decode_row};

use crate::description::Description;
use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::weights::{RawTensor, TensorType, Weights};
use crate::metadata::{Array, Metadata, Strings, Value};
use crate::names::{Known, Layout, Role};
use crate::spec::{AttentionSpec, DecoderSpec, Head, NormSpec};
use crate::template::source::ChatTemplates;
use crate::tokenizer::Tokenizer;

/// A checkpoint under GGUF's names.
pub(crate) struct GgufForm<'a> {
    weights: &'a dyn Weights,
    metadata: Metadata,
    tensors: BTreeMap<String, Source>,
    /// In the order of the source.
    order: Vec<String>,
}

/// Where a tensor comes from.
enum Source {
    Tensor {
        own: String,
        change: Change,
    },
    /// Made here from the configuration.
    Values(Arc<[f32]>),
}

/// What happens to a tensor on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    None,
    /// The rows of each of so many heads: its two halves, one row of each in turn.
    Interleave(usize),
    Add(f32),
}

impl<'a> GgufForm<'a> {
    /// Translates configuration, names and tokenizer; tensors are translated when they are asked for.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what GGUF cannot say: a dynamic rope scaling, windows on some of a Qwen's layers, a tokenizer of
    /// another kind than byte-level or SentencePiece BPE.
    pub(crate) fn new(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let weights = checkpoint.weights();
        let description = Description::new(checkpoint)?;
        let spec = description.spec();
        let (mut metadata, made) = hyperparameters::metadata(spec, description.architecture())?;
        let mut form = Self { weights, metadata: Metadata::default(), tensors: BTreeMap::new(), order: Vec::new() };
        let mut roles = BTreeMap::new();
        let tied = spec.head == Head::Tied;
        let only_head = tied && !description.has(weights, Role::Embedding);
        for own in weights.names() {
            let Some(known) = description.known(own) else { continue };
            let (role, Some(mut name)) = (known.role, description.names().in_gguf(known)) else { continue };
            if description.names().layout(role) != Layout::Plain {
                return Err(Error::unsupported(
                    "tensor",
                    format!("`{own}` is stored in another order than in a GGUF file"),
                ));
            }
            if tied && role == Role::Head {
                if !only_head {
                    continue;
                }
                name = "token_embd.weight".into();
            }
            roles.insert(name.clone(), known);
            form.push(name, Source::Tensor { own: own.to_owned(), change: Change::None });
        }
        for (name, values) in made {
            form.push(name, Source::Values(values));
        }
        let read_back = Description::from_metadata(&metadata, &form)?;
        hyperparameters::same(spec, read_back.spec())?;
        form.change(spec, read_back.spec(), &roles);
        describe(checkpoint, spec, &mut metadata)?;
        form.metadata = metadata;
        Ok(form)
    }

    /// What the file says beside its tensors.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The name of a tensor in the checkpoint; `None` for one that was made here.
    pub(crate) fn own_name(&self, name: &str) -> Option<&str> {
        match self.tensors.get(name)? {
            Source::Tensor { own, .. } => Some(own),
            Source::Values(_) => None,
        }
    }

    /// The type and the shape of a tensor, without its bytes.
    pub(crate) fn outline(&self, name: &str) -> Result<(TensorType, Vec<usize>), Error> {
        match self.tensors.get(name) {
            Some(Source::Tensor { own, change: Change::None | Change::Interleave(_) }) => {
                self.weights.get(own).map(|tensor| (tensor.kind, tensor.shape))
            }
            _ => self.get(name).map(|tensor| (tensor.kind, tensor.shape)),
        }
    }

    fn push(&mut self, name: String, source: Source) {
        self.order.push(name.clone());
        self.tensors.insert(name, source);
    }

    /// Finds the tensors that the two specs read differently.
    fn change(&mut self, from: &DecoderSpec, to: &DecoderSpec, roles: &BTreeMap<String, Known>) {
        for (name, source) in &mut self.tensors {
            let (Source::Tensor { change, .. }, Some(known)) = (source, roles.get(name)) else { continue };
            let layer = |spec: &'_ DecoderSpec| {
                spec.layers
                    .get(known.at.layer)
                    .and_then(|layer| layer.as_dense().map(|d| (d.norm, d.attention.clone())))
            };
            let (Some(from_layer), Some(to_layer)) = (layer(from), layer(to)) else { continue };
            let added = match known.role {
                Role::FinalNorm => offset(from.final_norm) - offset(to.final_norm),
                Role::MixerNorm | Role::MixerOutputNorm | Role::FfnNorm | Role::FfnOutputNorm => {
                    from_layer.0.offset - to_layer.0.offset
                }
                _ => 0.0,
            };
            if added != 0.0 {
                *change = Change::Add(added);
            }
            let heads = match known.role {
                Role::Query => from_layer.1.heads,
                Role::Key => from_layer.1.kv_heads,
                _ => continue,
            };
            let style = |attention: &AttentionSpec| attention.rope.as_ref().map(|rope| rope.style);
            if (style(&from_layer.1), style(&to_layer.1)) == (Some(RopeStyle::Halves), Some(RopeStyle::Pairs)) {
                *change = Change::Interleave(heads);
            }
        }
    }
}

/// What is added to the weights of a norm.
fn offset(norm: Option<NormSpec>) -> f32 {
    norm.map_or(0.0, |norm| norm.offset)
}

impl Weights for GgufForm<'_> {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        let missing = || Error::Missing { kind: "tensor", name: name.to_owned() };
        let mut tensor = match self.tensors.get(name).ok_or_else(missing)? {
            Source::Values(values) => {
                let (shape, kind) = (vec![values.len()], TensorType::Format(Format::F32));
                RawTensor { name: name.to_owned(), kind, shape, bytes: bytes_of(values) }
            }
            Source::Tensor { own, change } => {
                let tensor = self.weights.get(own)?;
                match *change {
                    Change::None => tensor,
                    Change::Interleave(heads) => interleaved(tensor, heads)?,
                    Change::Add(value) => added(tensor, value)?,
                }
            }
        };
        name.clone_into(&mut tensor.name);
        Ok(tensor)
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.order.iter().map(String::as_str))
    }
}

/// The rows (of a bias, the elements) of each head in the order of rotations of neighbours.
fn interleaved(tensor: RawTensor, heads: usize) -> Result<RawTensor, Error> {
    let rows = tensor.shape.first().copied().unwrap_or(0);
    let wrong = || Error::malformed(format!("tensor `{}`", tensor.name), format!("{rows} rows of {heads} heads"));
    let (head, rest) = (rows.checked_div(heads).unwrap_or(0), rows.checked_rem(heads).unwrap_or(1));
    let bytes = tensor.bytes.as_slice();
    let row = bytes.len().checked_div(rows).ok_or_else(wrong)?;
    if rest != 0 || head % 2 != 0 || row == 0 || tensor.format()?.block_weights() != 1 {
        return Err(wrong());
    }
    let mut out = Vec::with_capacity(bytes.len());
    for head in bytes.chunks_exact(head * row) {
        let (first, second) = head.split_at(head.len() / 2);
        for pair in first.chunks_exact(row).zip(second.chunks_exact(row)) {
            out.extend_from_slice(pair.0);
            out.extend_from_slice(pair.1);
        }
    }
    Ok(RawTensor { bytes: SharedBytes::new(out), ..tensor })
}

fn added(tensor: RawTensor, value: f32) -> Result<RawTensor, Error> {
    let mut values = vec![0.0; tensor.shape.iter().fold(1, |n: usize, size| n.saturating_mul(*size))];
    decode_row(tensor.format()?, tensor.bytes.as_slice(), &mut values)?;
    values.iter_mut().for_each(|v| *v += value);
    Ok(RawTensor { kind: TensorType::Format(Format::F32), bytes: bytes_of(&values), ..tensor })
}

fn bytes_of(values: &[f32]) -> SharedBytes {
    SharedBytes::new(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// Name, tokenizer and chat templates.
fn describe(checkpoint: &Checkpoint, spec: &DecoderSpec, metadata: &mut Metadata) -> Result<(), Error> {
    metadata.insert("general.type", Value::Str("model".into()));
    let called = checkpoint.config_json().and_then(|config| config.get("_name_or_path")?.as_str());
    let directory = checkpoint.path().parent().and_then(|directory| directory.file_name()?.to_str());
    let name = called.and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty() && *name != ".");
    if let Some(name) = name.or(directory) {
        metadata.insert("general.name", Value::Str(name.to_owned()));
    }
    if checkpoint.file("tokenizer.json")?.is_some() {
        for (key, value) in Tokenizer::from_checkpoint(checkpoint)?.to_gguf(spec.vocab_size, metadata)? {
            metadata.insert(key, value);
        }
    } else if checkpoint.file("tokenizer.model")?.is_some() {
        return Err(Error::Missing { kind: "file", name: "tokenizer.json (tokenizer.model alone is not read)".into() });
    } else {
        metadata.insert("tokenizer.ggml.model", Value::Str("none".into()));
    }
    if let Some(templates) = ChatTemplates::from_checkpoint(checkpoint)? {
        const KEY: &str = "tokenizer.chat_template";
        let further: Strings = templates.names().filter(|name| *name != "default").collect();
        for name in templates.names() {
            let key = if name == "default" { KEY.to_owned() } else { format!("{KEY}.{name}") };
            metadata.insert(key, Value::Str(templates.source(name).unwrap_or_default().to_owned()));
        }
        if !further.is_empty() {
            metadata.insert("tokenizer.chat_templates", Value::Array(Array::Str(further)));
        }
    }
    Ok(())
}
