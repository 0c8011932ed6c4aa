//! Which format each tensor gets: decided before anything is computed, so that sizes are known and errors come first.

use std::collections::BTreeMap;

use mistral_quant::Format;
use regex_automata::meta::Regex;

use super::mix::{self, Mix, Model, Part, Place};
use super::{Quantizer, Target};
use crate::arch;
use crate::error::Error;
use crate::loader::weights::TensorType;
use crate::metadata::{Array, Metadata, Value};
use crate::spec::DecoderSpec;
use crate::unsupported::Unsupported;

/// What is decided about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorPlan {
    /// Its name in GGUF files.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// What it is now.
    pub from: Format,
    /// What it will be.
    pub to: Format,
    /// What it should have been, where its rows are not whole blocks of that.
    pub instead_of: Option<Format>,
    /// Its size then.
    pub bytes: u64,
    /// Its name in the checkpoint.
    pub(super) own: String,
}

impl TensorPlan {
    /// The number of weights.
    pub fn weights(&self) -> u64 {
        self.shape.iter().fold(1, |product, size| product.saturating_mul(*size as u64))
    }
}

/// What happens to tensors that are not quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// They stay as they are.
    Same,
    /// F16 and BF16 become F32, as in every GGUF file.
    F32,
}

impl Model {
    /// What the metadata of a GGUF file says.
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Self, Error> {
        let architecture = metadata.str("general.architecture")?.unwrap_or_default();
        let number = |key: &str| -> Result<Option<u64>, Error> {
            let key = format!("{architecture}.{key}");
            match metadata.get(&key) {
                // A list is one value a layer.
                Some(Value::Array(Array::U32(list))) => Ok(list.first().map(|v| u64::from(*v))),
                Some(Value::Array(Array::I32(list))) => Ok(list.first().and_then(|v| u64::try_from(*v).ok())),
                _ => metadata.u64(&key),
            }
        };
        let heads = number("attention.head_count")?.unwrap_or(0);
        let kv_heads = number("attention.head_count_kv")?.unwrap_or(heads);
        Ok(Self {
            layers: number("block_count")?.unwrap_or(0) as usize,
            values: 0,
            queries_per_key: heads.checked_div(kv_heads).unwrap_or(0) as usize,
            experts: number("expert_count")?.unwrap_or(0) as usize,
            falcon: arch::is_quantized_like_falcon(architecture),
            tied: true,
            importance: false,
        })
    }

    /// What a decoder is, of a family that GGUF files call `architecture`.
    pub(super) fn from_spec(spec: &DecoderSpec, architecture: &str) -> Self {
        Self {
            layers: spec.layers.len(),
            values: 0,
            queries_per_key: spec.queries_per_key(),
            experts: spec.experts(),
            falcon: arch::is_quantized_like_falcon(architecture),
            tied: true,
            importance: false,
        }
    }
}

impl TensorPlan {
    /// A tensor as it is: its name in GGUF files, its own, its type and its shape.
    pub(super) fn found(name: String, own: String, kind: TensorType, shape: Vec<usize>) -> Result<Self, Error> {
        let TensorType::Format(from) = kind else {
            return Err(Unsupported::format_for(own, kind, "to be quantized").into());
        };
        Ok(Self { name, shape, from, to: from, instead_of: None, bytes: 0, own })
    }
}

/// Decides about all tensors of a model.
pub(super) fn decide(
    quantizer: &Quantizer,
    mut model: Model,
    plans: &mut [TensorPlan],
    rest: Rest,
) -> Result<(), Error> {
    let overrides = compile(&quantizer.overrides)?;
    for ((pattern, _), (regex, _)) in quantizer.overrides.iter().zip(&overrides) {
        matches_something(pattern, regex, plans)?;
    }
    model.values = plans.iter().filter(|plan| Part::of(&plan.name) == Part::Value).count();
    model.tied = !plans.iter().any(|plan| plan.name == "output.weight");
    model.importance = quantizer.importance.is_some();

    let by_layer = model.experts > 1 && !matches!(quantizer.target, Target::Mix(mix) if mix.counts_tensors());
    let mut order: Vec<&mut TensorPlan> = plans.iter_mut().collect();
    order.sort_by(|a, b| (layer(&a.name), &a.name).cmp(&(layer(&b.name), &b.name)));
    let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
    for plan in order {
        let cols = plan.shape.last().copied().unwrap_or(1);
        if mix::quantizable(&plan.name, &plan.shape) {
            let part = Part::of(&plan.name);
            let count = seen.entry(part as u8).or_insert(0);
            let index = layer(&plan.name).filter(|_| by_layer && part != Part::Value).unwrap_or(*count);
            *count += 1;
            let stacked = plan.shape.len() > 2 && plan.shape.iter().rev().nth(2).is_some_and(|n| *n > 1);
            let by_hand = overrides
                .iter()
                .find(|(pattern, _)| pattern.is_match(plan.name.as_str()) || pattern.is_match(plan.own.as_str()))
                .map(|(_, format)| *format);
            let wanted = by_hand.unwrap_or_else(|| match quantizer.target {
                Target::Mix(mix) => mix.format(&model, &Place { part, index, cols, stacked }),
                Target::Uniform(format) => format,
            });
            plan.to = mix::fitting(wanted, cols);
            plan.instead_of = Some(wanted).filter(|wanted| *wanted != plan.to);
        } else if rest == Rest::F32 && matches!(plan.from, Format::F16 | Format::BF16) {
            plan.to = Format::F32;
        }
        let outer = plan.shape.split_last().map_or(&[][..], |(_, outer)| outer);
        let row = plan.to.byte_len(cols).map(|row| row as u64);
        let bytes = row.and_then(|row| outer.iter().try_fold(row, |n, size| n.checked_mul(*size as u64)));
        let wrong = || Error::malformed(format!("tensor `{}`", plan.own), format!("{:?} of {}", plan.shape, plan.to));
        plan.bytes = bytes.ok_or_else(wrong)?;
    }
    Ok(())
}

/// Refuses what cannot be computed.
pub(super) fn check(quantizer: &Quantizer, plan: &TensorPlan) -> Result<(), Error> {
    if plan.from == plan.to {
        return Ok(());
    }
    let importance = quantizer.importance.as_ref().and_then(|all| all.get(&plan.name));
    match importance {
        None if plan.to.needs_importance() => {
            let why = match quantizer.importance {
                None => "give an importance matrix",
                Some(_) => "the importance matrix has no values for it",
            };
            Err(Error::Importance { tensor: plan.name.clone(), format: plan.to, detail: why.into() })
        }
        None => computable(plan),
        Some(values) => {
            let cols = plan.shape.last().copied().unwrap_or(1);
            let matrices = plan.shape.iter().rev().skip(2).fold(1usize, |n, size| n.saturating_mul(*size));
            if values.len() == cols || Some(values.len()) == cols.checked_mul(matrices) {
                return computable(plan);
            }
            let detail = format!("its {matrices} matrices of {cols} columns do not have {} values", values.len());
            Err(Error::Importance { tensor: plan.name.clone(), format: plan.to, detail })
        }
    }
}

fn computable(plan: &TensorPlan) -> Result<(), Error> {
    match [plan.from, plan.to].into_iter().find(|format| !format.is_computable()) {
        None => Ok(()),
        Some(format) => Err(Unsupported::format_for(&plan.name, format, "to be quantized").into()),
    }
}

/// Refuses a pattern that matches no quantized tensor, because a typing error would otherwise remain unnoticed.
fn matches_something(pattern: &str, regex: &Regex, plans: &[TensorPlan]) -> Result<(), Error> {
    let matched = |plan: &&TensorPlan| regex.is_match(plan.name.as_str()) || regex.is_match(plan.own.as_str());
    let quantized = |plan: &&TensorPlan| mix::quantizable(&plan.name, &plan.shape);
    if plans.iter().filter(matched).any(|plan| quantized(&plan)) {
        return Ok(());
    }
    let found = match plans.iter().find(matched) {
        Some(plan) => format!("matches only tensors that keep their format, such as `{}`", plan.name),
        None => "matches no tensor".to_owned(),
    };
    let shown: Vec<&str> = plans.iter().filter(quantized).take(3).map(|plan| plan.name.as_str()).collect();
    let detail = match shown.as_slice() {
        [] => format!("{found}; no tensor of this model is quantized"),
        names => format!("{found}; expected a regular expression for names like `{}`", names.join("`, `")),
    };
    Err(Error::Pattern { pattern: pattern.to_owned(), detail })
}

fn compile(overrides: &[(String, Format)]) -> Result<Vec<(Regex, Format)>, Error> {
    let compile = |(pattern, format): &(String, Format)| match Regex::new(pattern) {
        Ok(regex) => Ok((regex, *format)),
        Err(error) => {
            Err(Error::Pattern { pattern: pattern.clone(), detail: format!("is not a regular expression: {error}") })
        }
    };
    overrides.iter().map(compile).collect()
}

/// The layer of a tensor, by its GGUF name.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

impl Target {
    /// `general.file_type` of GGUF; 1024 is llama.cpp's "not specified".
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::Mix(mix) => mix.file_type(),
            Self::Uniform(format) => Mix::from_name(format.name()).map_or(1024, Mix::file_type),
        }
    }
}
