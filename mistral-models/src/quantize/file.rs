//! A checkpoint into a GGUF file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rayon::ThreadPool;

use super::Quantizer;
use super::encode::{Encoding, batches, encode_rows, release};
use super::mix::Model;
use super::plan::{self, Rest, TensorPlan};
use crate::error::Error;
use crate::export::GgufForm;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::gguf_write::{GgufTensor, GgufWriter};
use crate::loader::output::OutputFile;
use crate::loader::weights::{TensorType, Weights};
use crate::metadata::Metadata;
use crate::metadata::Value;
use crate::quantize::importance::Importance;
use crate::threads;
use crate::unsupported::Unsupported;

/// A GGUF file that can be written: what is in it and how large it is.
pub struct GgufPlan<'a> {
    quantizer: Quantizer,
    metadata: Metadata,
    weights: Box<dyn Weights + 'a>,
    tensors: Vec<TensorPlan>,
    /// The first tensor of each file; one file unless the source is split and stays so.
    files: Vec<usize>,
}

/// How far [`GgufPlan::write`] is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct QuantizeProgress<'a> {
    /// The tensor that was just written, whole or in part.
    pub tensor: &'a TensorPlan,
    /// Its place in [`GgufPlan::tensors`].
    pub index: usize,
    /// Weights done, all tensors together.
    pub done: u64,
    /// Weights of all tensors.
    pub total: u64,
}

impl Quantizer {
    /// Plans a GGUF file: decides the format of every tensor and computes nothing.
    ///
    /// GGUF files of any architecture are accepted. Their metadata is kept, except for `general.file_type`, `general.quantization_version`
    /// and the keys of a split. For a safetensors checkpoint, the configuration, `tokenizer.json` and the chat templates become metadata,
    /// and names and the order of rows become those of GGUF. A tokenizer that normalizes Unicode (Qwen's NFC) loses that step, as
    /// everywhere in GGUF.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for content that a GGUF file cannot express: the file would compute something else, or return other token
    /// ids. [`Error::Unsupported`] also for tensors whose format cannot be computed. [`Error::Importance`] for a format that needs an
    /// importance matrix and has none. [`Error::Pattern`] for a pattern that matches no quantized tensor. [`Error::Threads`] for a number
    /// of threads out of range.
    pub fn to_gguf<'a>(&self, checkpoint: &'a Checkpoint) -> Result<GgufPlan<'a>, Error> {
        threads::check(self.threads)?;
        let form = if checkpoint.metadata().is_none() { Some(GgufForm::new(checkpoint)?) } else { None };
        let rest = if form.is_some() { Rest::F32 } else { Rest::Same };
        let mut metadata = checkpoint.metadata().or(form.as_ref().map(GgufForm::metadata)).cloned().unwrap_or_default();
        // A tensor that was made from the configuration goes into the first file.
        let shard = |name: &str| {
            let own = form.as_ref().map_or(Some(name), |form| form.own_name(name));
            own.and_then(|own| checkpoint.shard_of(own)).filter(|_| self.keep_split).unwrap_or(0)
        };
        let all = form.as_ref().map_or(checkpoint.weights(), |form| form as &dyn Weights);
        let mut names: Vec<(usize, String)> = all.names().map(|name| (shard(name), name.to_owned())).collect();
        names.sort_by_key(|(shard, _)| *shard);
        let starts = names.iter().zip(names.iter().skip(1)).enumerate().filter(|(_, (a, b))| a.0 != b.0);
        let files = [0].into_iter().chain(starts.map(|(at, _)| at + 1)).collect();
        let found = |(_, name): (usize, String)| {
            let (kind, shape) = match &form {
                Some(form) => form.outline(&name)?,
                None => checkpoint.weights().get(&name).map(|tensor| (tensor.kind, tensor.shape))?,
            };
            TensorPlan::found(name.clone(), name, kind, shape)
        };
        let mut tensors = names.into_iter().map(found).collect::<Result<Vec<TensorPlan>, Error>>()?;
        plan::decide(self, Model::from_metadata(&metadata)?, &mut tensors, rest)?;
        tensors.iter().try_for_each(|tensor| plan::check(self, tensor))?;
        if let Some(tensor) = tensors.iter().find(|tensor| tensor.to.gguf_id().is_none()) {
            return Err(Unsupported::format_for(&tensor.name, tensor.to, "in a GGUF file").into());
        }
        self.describe(&mut metadata);
        let weights: Box<dyn Weights + 'a> = match form {
            Some(form) => Box::new(form),
            None => Box::new(checkpoint.weights()),
        };
        Ok(GgufPlan { quantizer: self.clone(), metadata, weights, tensors, files })
    }

    /// Sets the formats of tensors before they are made, for a model that this metadata describes, and records the formats in the metadata.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a pattern that decides about no tensor, [`Error::Malformed`] for a size that overflows.
    pub fn choose(&self, metadata: &mut Metadata, tensors: &mut [GgufTensor]) -> Result<(), Error> {
        let found = |t: &GgufTensor| {
            TensorPlan::found(t.name.clone(), t.name.clone(), TensorType::Format(t.format), t.shape.clone())
        };
        let mut plans = tensors.iter().map(found).collect::<Result<Vec<TensorPlan>, Error>>()?;
        plan::decide(self, Model::from_metadata(metadata)?, &mut plans, Rest::Same)?;
        for (tensor, plan) in tensors.iter_mut().zip(plans) {
            tensor.format = plan.to;
        }
        self.describe(metadata);
        Ok(())
    }

    /// Writes into the metadata what was done.
    fn describe(&self, metadata: &mut Metadata) {
        for key in ["split.no", "split.count", "split.tensors.count"] {
            metadata.remove(key);
        }
        metadata.insert("general.file_type", Value::U32(self.target.file_type()));
        metadata.insert("general.quantization_version", Value::U32(2));
        if let Some(importance) = &self.importance {
            metadata.insert("quantize.imatrix.entries_count", Value::I32(importance.len() as i32));
            metadata.insert("quantize.imatrix.chunks_count", Value::I32(importance.chunks() as i32));
            if let Some(dataset) = importance.datasets().first() {
                metadata.insert("quantize.imatrix.dataset", Value::Str(dataset.clone()));
            }
        }
    }
}

impl GgufPlan<'_> {
    /// Every tensor, in the order of the file.
    pub fn tensors(&self) -> &[TensorPlan] {
        &self.tensors
    }

    /// The bytes of all tensors; the files are larger by their headers.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// The metadata that will be written.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Writes the file and reports progress after each batch of rows. For several files, `path` without its extension is the stem
    /// (`STEM-00001-of-00003.gguf`). Returns the paths written.
    ///
    /// All files get their names only when every file is complete, so they may replace the files that are read. If a path is a symbolic
    /// link, the file to which it leads is written.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::WrongFile`] for a path of something other than a regular file; [`Error::Malformed`] for weights that are not
    /// finite.
    pub fn write(
        &self,
        path: impl AsRef<Path>,
        mut progress: impl FnMut(QuantizeProgress<'_>),
    ) -> Result<Vec<PathBuf>, Error> {
        let pool = self.quantizer.pool()?;
        let total = self.tensors.iter().fold(0u64, |sum, tensor| sum.saturating_add(tensor.weights()));
        let mut done = 0u64;
        let mut report = |index: usize, tensor: &TensorPlan, weights: u64| {
            done = done.saturating_add(weights);
            progress(QuantizeProgress { tensor, index, done, total });
        };
        let mut written = Vec::with_capacity(self.files.len());
        let ends = self.files.iter().skip(1).copied().chain([self.tensors.len()]);
        for (no, (start, end)) in self.files.iter().copied().zip(ends).enumerate() {
            let (path, metadata) = self.part(path.as_ref(), no);
            let tensors = self.tensors.get(start..end).unwrap_or_default();
            let file = self.write_part(&path, &metadata, tensors, &pool, |index, tensor, weights| {
                report(start + index, tensor, weights);
            })?;
            written.push((path, file));
        }
        // All of them or none: the names are given when every file is complete.
        let named = |(path, mut file): (PathBuf, OutputFile)| file.publish().map(|()| path);
        written.into_iter().map(named).collect()
    }

    /// The path and the metadata of one file.
    fn part(&self, path: &Path, no: usize) -> (PathBuf, Cow<'_, Metadata>) {
        let count = self.files.len();
        if count == 1 {
            return (path.to_owned(), Cow::Borrowed(&self.metadata));
        }
        let mut metadata = if no == 0 { self.metadata.clone() } else { Metadata::default() };
        metadata.insert("split.no", Value::U16(no as u16));
        metadata.insert("split.count", Value::U16(count as u16));
        metadata.insert("split.tensors.count", Value::I32(self.tensors.len() as i32));
        let stem = path.with_extension("");
        (with_suffix(&stem, &format!("-{:05}-of-{count:05}.gguf", no + 1)), Cow::Owned(metadata))
    }

    fn write_part(
        &self,
        path: &Path,
        metadata: &Metadata,
        tensors: &[TensorPlan],
        pool: &ThreadPool,
        mut report: impl FnMut(usize, &TensorPlan, u64),
    ) -> Result<OutputFile, Error> {
        let header: Vec<GgufTensor> =
            tensors.iter().map(|t| GgufTensor { name: t.name.clone(), format: t.to, shape: t.shape.clone() }).collect();
        let mut file = GgufWriter::new(OutputFile::create(path)?, metadata, &header)?;
        for (index, plan) in tensors.iter().enumerate() {
            let tensor = self.weights.get(&plan.own)?;
            if plan.from == plan.to {
                file.tensor(tensor.bytes.as_slice())?;
                tensor.bytes.release();
                report(index, plan, plan.weights());
                continue;
            }
            let importance = self.quantizer.importance.as_deref().and_then(|all: &Importance| all.get(&plan.name));
            let encoding = Encoding { name: &plan.name, format: plan.to, importance };
            let weight = tensor.to_weight()?;
            for rows in batches(&weight) {
                let pieces = pool.install(|| encode_rows(&weight, rows.clone(), encoding))?;
                for piece in &pieces {
                    file.part(piece)?;
                }
                release(&tensor.bytes, weight.rows(), &rows);
                report(index, plan, (rows.len() as u64).saturating_mul(weight.cols() as u64));
            }
        }
        let mut file = file.finish()?;
        file.complete()?;
        Ok(file)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
