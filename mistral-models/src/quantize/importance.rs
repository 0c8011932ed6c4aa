//! Importance matrices: how much each column of each matrix matters, measured on text by [`Calibration`](super::Calibration) or by
//! llama.cpp's `imatrix` tool.
//!
//! Two file formats are read. The older one (`.dat`) is a list without a magic number, all numbers little-endian:
//!
//! ```text
//! entries i32
//! entries x (name length i32 | name | calls i32 | values i32 | values x f32: sums of squares)
//! optional: last chunk i32 | dataset length i32 | dataset
//! ```
//!
//! The newer one, which is written too, is a GGUF file with `general.type` = `imatrix`, the keys `imatrix.datasets`,
//! `imatrix.chunk_count` and `imatrix.chunk_size`, and for each matrix tensors of F32:
//!
//! ```text
//! NAME.in_sum2  [matrices, cols]  sums of squares of the inputs
//! NAME.counts   [matrices, 1]     rows of input
//! NAME.in_sum   [matrices, cols]  sums of the inputs themselves, with their signs (newer versions of llama.cpp)
//! NAME.stats    [12]              figures that are computed from these and those of the layer before (some versions)
//! ```
//!
//! Importance is `in_sum2 / counts`, with or without `in_sum`: that one is for statistics only. It is kept through [`Importance::merge`]
//! and [`Importance::write`], so that files can be added up here and looked at with `llama-imatrix --show-statistics`. `stats`, the keys
//! `imatrix.stats_schema` and `imatrix.n_layer_nextn` and tensors of any other name are passed over and not written. Source: llama.cpp
//! `common/imatrix-loader.cpp`, `tools/imatrix` and `tools/quantize` at commits 03161a4 and 0a32c5e, and its pull request 14891.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use mistral_quant::Format;

use super::squares::ColumnSquares;
use crate::error::Error;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::cursor::Cursor;
use crate::loader::gguf_write::{GgufTensor, GgufWriter};
use crate::loader::limits::Limits;
use crate::loader::{gguf, mmap};
use crate::metadata::Value;
use crate::metadata::{Array, Metadata};

/// The mean square of what each column of each matrix is multiplied with.
///
/// ```
/// use mistral_models::quantize::Importance;
/// let mut importance = Importance::default();
/// importance.insert("blk.0.ffn_down.weight", vec![1.0; 256])?;
/// assert_eq!(importance.get("blk.0.ffn_down.weight").map(<[f32]>::len), Some(256));
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Importance {
    tensors: BTreeMap<String, Columns>,
    chunks: u32,
    chunk_tokens: u32,
    datasets: Vec<String>,
}

/// What was measured of one matrix, or of the matrices of a stack of experts.
#[derive(Debug, Clone, PartialEq)]
struct Columns {
    /// `[matrices, cols]`: sums of squares.
    sums: Vec<f32>,
    /// `[matrices]`: rows of input.
    counts: Vec<f32>,
    /// `[matrices, cols]`.
    means: Vec<f32>,
    /// `[matrices, cols]`: sums of the inputs themselves, where the file has them.
    inputs: Option<Vec<f32>>,
}

impl Columns {
    /// `None` where the sums are not so many for each count.
    fn new(sums: Vec<f32>, counts: Vec<f32>) -> Option<Self> {
        let cols = sums.len().checked_div(counts.len())?;
        if cols == 0 || cols * counts.len() != sums.len() {
            return None;
        }
        let rows = sums.chunks_exact(cols).zip(&counts);
        // An expert that was never chosen: all columns alike.
        let mean = |(sums, count): (&[f32], &f32)| -> Vec<f32> {
            sums.iter().map(|sum| if *count > 0.0 { sum / count } else { 1.0 }).collect()
        };
        let means = rows.flat_map(mean).collect();
        Some(Self { sums, counts, means, inputs: None })
    }

    /// The tensors of a file, in their order there.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let inputs = self.inputs.as_ref().map(|inputs| (INPUTS, inputs.as_slice()));
        [(SUMS, self.sums.as_slice()), (COUNTS, self.counts.as_slice())].into_iter().chain(inputs)
    }
}

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
const INPUTS: &str = ".in_sum";

impl Importance {
    /// Reads an importance matrix, in either of llama.cpp's formats.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] and [`Error::Limit`] for files that are something else, and for values that are negative or
    /// not finite.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let limits = Limits::default();
        let what = path.display().to_string();
        let bytes = mmap::read_small(path, limits.importance_bytes)?;
        let bytes = bytes.ok_or_else(|| Error::Missing { kind: "file", name: what.clone() })?;
        Self::read(bytes, &what, &limits)
    }

    /// The same from bytes in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::read(bytes, "importance matrix", &Limits::default())
    }

    /// The values of a matrix by its name in GGUF files: one a column, or for stacked expert matrices one a column and expert.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(|columns| columns.means.as_slice())
    }

    /// Sets the values of a matrix, as if they were measured on one row of input.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a value that is negative or not finite, and for no values.
    pub fn insert(&mut self, name: impl Into<String>, values: Vec<f32>) -> Result<(), Error> {
        self.insert_sums(name.into(), values, vec![1.0], None)
    }

    /// Sets what was observed of a matrix.
    ///
    /// # Errors
    /// [`Error::Malformed`] for sums that are not finite: the model computed infinities or NaN.
    pub(super) fn insert_squares(&mut self, name: impl Into<String>, squares: &ColumnSquares) -> Result<(), Error> {
        let sums = squares.sums().iter().map(|sum| *sum as f32).collect();
        self.insert_sums(name.into(), sums, squares.counts().iter().map(|count| *count as f32).collect(), None)
    }

    /// Adds what was measured elsewhere, on other text or on another part of it. A matrix weighs by its rows of input; what comes from a
    /// file of the older format, which does not say how many these are, by its calls.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a matrix that has another shape there.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        for (name, theirs) in &other.tensors {
            let (mut sums, mut counts, mut inputs) =
                (theirs.sums.clone(), theirs.counts.clone(), theirs.inputs.clone());
            if let Some(ours) = self.tensors.get(name) {
                if (ours.sums.len(), ours.counts.len()) != (sums.len(), counts.len()) {
                    let shape = |c: &Columns| format!("{} sums and {} counts", c.sums.len(), c.counts.len());
                    let detail = format!("{} do not go with {}", shape(theirs), shape(ours));
                    return Err(Error::malformed(format!("importance of `{name}`"), detail));
                }
                let add = |to: &mut [f32], more: &[f32]| to.iter_mut().zip(more).for_each(|(a, b)| *a += b);
                add(&mut sums, &ours.sums);
                add(&mut counts, &ours.counts);
                // What only a part of the rows went into would be no sum.
                inputs = inputs.zip(ours.inputs.as_ref()).map(|(mut inputs, more)| {
                    add(&mut inputs, more);
                    inputs
                });
            }
            self.insert_sums(name.clone(), sums, counts, inputs)?;
        }
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.chunk_tokens = self.chunk_tokens.max(other.chunk_tokens);
        self.datasets.extend(other.datasets.iter().cloned());
        Ok(())
    }

    fn insert_sums(
        &mut self,
        name: String,
        sums: Vec<f32>,
        counts: Vec<f32>,
        inputs: Option<Vec<f32>>,
    ) -> Result<(), Error> {
        let wrong = |detail: String| Error::malformed(format!("importance of `{name}`"), detail);
        let all = || sums.iter().chain(&counts);
        if let Some((at, value)) = all().enumerate().find(|(_, v)| !v.is_finite() || **v < 0.0) {
            return Err(wrong(format!("value {at} is {value}")));
        }
        if let Some(inputs) = &inputs {
            if inputs.len() != sums.len() {
                return Err(wrong(format!("{} sums of inputs and {} of squares", inputs.len(), sums.len())));
            }
            if let Some((at, value)) = inputs.iter().enumerate().find(|(_, v)| !v.is_finite()) {
                return Err(wrong(format!("sum {at} of inputs is {value}")));
            }
        }
        let detail = format!("{} counts for {} values", counts.len(), sums.len());
        let mut columns = Columns::new(sums, counts).ok_or_else(|| wrong(detail))?;
        columns.inputs = inputs;
        self.tensors.insert(name, columns);
        Ok(())
    }

    /// How many matrices have values.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Chunks of text that it was computed on, 0 where the file does not say.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Tokens of each of them, 0 where the file does not say.
    pub fn chunk_tokens(&self) -> u32 {
        self.chunk_tokens
    }

    /// The names of the matrices that have values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Says what it was computed on.
    #[must_use]
    pub fn measured_on(mut self, chunks: u32, chunk_tokens: u32, dataset: impl Into<String>) -> Self {
        (self.chunks, self.chunk_tokens, self.datasets) = (chunks, chunk_tokens, vec![dataset.into()]);
        self
    }

    /// Writes a file in GGUF form, which llama.cpp's `quantize` and [`open`](Self::open) read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::WrongFile`] for a path of something other than a regular file.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let (metadata, header) = self.header();
        self.write_tensors(GgufWriter::create(path, &metadata, &header)?).map(drop)
    }

    /// The bytes of that file.
    ///
    /// # Errors
    /// [`Error::Malformed`] for names that a GGUF file cannot have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let (metadata, header) = self.header();
        self.write_tensors(GgufWriter::new(Vec::new(), &metadata, &header)?)
    }

    fn header(&self) -> (Metadata, Vec<GgufTensor>) {
        let mut metadata = Metadata::default();
        metadata.insert("general.type", Value::Str("imatrix".into()));
        let datasets = self.datasets.iter().map(String::as_str).collect();
        metadata.insert("imatrix.datasets", Value::Array(Array::Str(datasets)));
        metadata.insert("imatrix.chunk_count", Value::U32(self.chunks));
        metadata.insert("imatrix.chunk_size", Value::U32(self.chunk_tokens));
        let parts = |(name, columns): (&String, &Columns)| {
            let tensor = |part: &str, values: &[f32]| GgufTensor {
                name: format!("{name}{part}"),
                format: Format::F32,
                shape: vec![columns.counts.len(), values.len() / columns.counts.len().max(1)],
            };
            columns.parts().map(|(part, values)| tensor(part, values)).collect::<Vec<_>>()
        };
        (metadata, self.tensors.iter().flat_map(parts).collect())
    }

    fn write_tensors<W: Write>(&self, mut file: GgufWriter<W>) -> Result<W, Error> {
        for (_, values) in self.tensors.values().flat_map(Columns::parts) {
            file.tensor(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        file.finish()
    }

    /// Names of the texts that it was computed on.
    pub fn datasets(&self) -> &[String] {
        &self.datasets
    }

    fn read(bytes: Vec<u8>, what: &str, limits: &Limits) -> Result<Self, Error> {
        if bytes.starts_with(&gguf::MAGIC) {
            return Self::read_gguf(&Checkpoint::options().limits(limits.clone()).from_bytes(bytes)?, what);
        }
        Self::read_legacy(&mut Cursor::new(&bytes, what, limits))
    }

    fn read_legacy(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let mut all = Self::default();
        let entries = cursor.u32("number of entries")?;
        // An entry is at least three numbers and a name.
        if entries == 0 || u64::from(entries) > cursor.remaining() / 13 {
            return Err(cursor.malformed(format_args!("{entries} entries: not an importance matrix")));
        }
        for _ in 0..entries {
            let length = cursor.u32("length of a name")?;
            let name = text(cursor, length, "name")?;
            let calls = cursor.u32("number of calls")?.cast_signed();
            let values = cursor.u32("number of values")?;
            let values = cursor.take_elements(values.into(), 4, "values")?;
            let calls = if calls > 0 { calls as f32 } else { 1.0 };
            let values = values.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)).collect();
            if all.tensors.contains_key(name) {
                return Err(cursor.malformed(format_args!("two entries for `{name}`")));
            }
            all.insert_sums(name.to_owned(), values, vec![calls], None)?;
        }
        if cursor.remaining() >= 8 {
            all.chunks = cursor.u32("last chunk")?;
            let length = cursor.u32("length of the dataset's name")?;
            all.datasets = vec![text(cursor, length, "dataset")?.to_owned()];
        }
        Ok(all)
    }

    fn read_gguf(file: &Checkpoint, what: &str) -> Result<Self, Error> {
        let metadata = file.metadata().ok_or_else(|| Error::malformed(what, "not an importance matrix"))?;
        if metadata.str("general.type")? != Some("imatrix") {
            return Err(Error::malformed(what, "`general.type` is not `imatrix`"));
        }
        let number = |key: &str| metadata.u64(key).map(|found| found.unwrap_or(0).try_into().unwrap_or(u32::MAX));
        let (chunks, chunk_tokens) = (number("imatrix.chunk_count")?, number("imatrix.chunk_size")?);
        let mut all = Self { chunks, chunk_tokens, ..Self::default() };
        if let Some(Value::Array(Array::Str(datasets))) = metadata.get("imatrix.datasets") {
            all.datasets = datasets.iter().map(str::to_owned).collect();
        }
        let weights = file.weights();
        // Whatever part of a matrix is there, the first two must be.
        let whole = |name| [SUMS, COUNTS, INPUTS].into_iter().find_map(|part| str::strip_suffix(name, part));
        for tensor in weights.names().filter_map(whole) {
            if all.tensors.contains_key(tensor) {
                continue;
            }
            let values =
                |part: &str| weights.get(&format!("{tensor}{part}"))?.to_weight()?.to_f32().map_err(Error::from);
            let inputs = weights.contains(&format!("{tensor}{INPUTS}")).then(|| values(INPUTS)).transpose()?;
            all.insert_sums(tensor.to_owned(), values(SUMS)?, values(COUNTS)?, inputs)?;
        }
        Ok(all)
    }
}

fn text<'a>(cursor: &mut Cursor<'a>, length: u32, of: &str) -> Result<&'a str, Error> {
    cursor.limit(of, length.into(), cursor.limits.name_bytes)?;
    let bytes = cursor.take(length.into(), of)?;
    std::str::from_utf8(bytes).map_err(|e| cursor.malformed(format_args!("{of} is not UTF-8: {e}")))
}

#[cfg(test)]
mod tests;
