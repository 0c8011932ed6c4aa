//! Weights that are quantized while a decoder loads them.

use std::collections::BTreeMap;

use mistral_quant::SharedBytes;
use rayon::ThreadPool;

use super::Quantizer;
use super::encode::{Encoding, batches, encode_rows, release};
use super::mix::Model;
use super::plan::{self, Rest, TensorPlan};
use crate::description::Description;
use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::weights::{RawTensor, TensorType, Weights};

/// The weights of a checkpoint in the formats that a [`Quantizer`] chose, under the checkpoint's own names.
///
/// A matrix is quantized each time it is asked for, on the threads of the quantizer, and nothing is kept here: a decoder that takes
/// each tensor once holds the result and one batch of rows beside it. Tensors that keep their format stay where they are.
///
/// ```
/// use mistral_models::{Checkpoint, Decoder, Description, Mix, Quantizer};
/// use mistral_quant::{Cpu, CpuOptions};
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistral-core/assets/default-model/model.gguf");
/// # if !std::path::Path::new(path).exists() { return Ok(()) } // the crate alone, without the repository
///
/// let checkpoint = Checkpoint::open(path)?;
/// let description = Description::new(&checkpoint)?;
/// let weights = Quantizer::new(Mix::Q4_K_M).at_load(&checkpoint, &description)?;
/// let decoder = Decoder::load(Cpu::new(CpuOptions::default())?, &weights, description)?;
/// # Ok::<(), mistral_models::Error>(())
/// ```
pub struct QuantizedWeights<'a> {
    quantizer: Quantizer,
    checkpoint: &'a Checkpoint,
    /// By the checkpoint's own names; what is not here stays as it is.
    tensors: BTreeMap<String, TensorPlan>,
    bytes: u64,
    pool: ThreadPool,
}

impl Quantizer {
    /// Plans to quantize a checkpoint while a decoder loads it. Nothing is computed here.
    ///
    /// # Errors
    /// As [`to_gguf`](Self::to_gguf), and [`Error::Threads`].
    pub fn at_load<'a>(
        &self,
        checkpoint: &'a Checkpoint,
        description: &Description,
    ) -> Result<QuantizedWeights<'a>, Error> {
        let weights = checkpoint.weights();
        let model = match checkpoint.metadata() {
            Some(metadata) => Model::from_metadata(metadata)?,
            None => Model::from_spec(description.spec(), description.architecture()),
        };
        let names = weights.names().filter_map(|own| Some((description.gguf_name(own)?, own)));
        let found = |(name, own): (String, &str)| {
            let tensor = weights.get(own)?;
            TensorPlan::found(name, own.to_owned(), tensor.kind, tensor.shape)
        };
        let mut tensors = names.map(found).collect::<Result<Vec<TensorPlan>, Error>>()?;
        plan::decide(self, model, &mut tensors, Rest::Same)?;
        tensors.iter().try_for_each(|tensor| plan::check(self, tensor))?;
        let bytes = tensors.iter().fold(0u64, |sum, tensor| sum.saturating_add(tensor.bytes));
        let changed = tensors.into_iter().filter(|tensor| tensor.from != tensor.to);
        let tensors = changed.map(|tensor| (tensor.own.clone(), tensor)).collect();
        Ok(QuantizedWeights { quantizer: self.clone(), checkpoint, tensors, bytes, pool: self.pool()? })
    }
}

impl QuantizedWeights<'_> {
    /// The tensors that change their format.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorPlan> {
        self.tensors.values()
    }

    /// The bytes of all tensors that a decoder will load.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Weights for QuantizedWeights<'_> {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        let tensor = self.checkpoint.weights().get(name)?;
        let Some(plan) = self.tensors.get(name) else { return Ok(tensor) };
        let importance = self.quantizer.importance.as_deref().and_then(|all| all.get(&plan.name));
        let encoding = Encoding { name: &plan.name, format: plan.to, importance };
        let weight = tensor.to_weight()?;
        let mut bytes = Vec::with_capacity(usize::try_from(plan.bytes).unwrap_or_default());
        for rows in batches(&weight) {
            for piece in self.pool.install(|| encode_rows(&weight, rows.clone(), encoding))? {
                bytes.extend_from_slice(&piece);
            }
            release(&tensor.bytes, weight.rows(), &rows);
        }
        let (kind, bytes) = (TensorType::Format(plan.to), SharedBytes::new(bytes));
        Ok(RawTensor { name: tensor.name, kind, shape: tensor.shape, bytes })
    }

    fn contains(&self, name: &str) -> bool {
        self.checkpoint.weights().contains(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        self.checkpoint.weights().names()
    }
}
