//! Importance matrices: how much each column of each matrix matters, measured on text by llama.cpp's `imatrix` tool.
//!
//! Two file formats are read. The older one (`.dat`) is a list without a magic number, all numbers little-endian:
//!
//! ```text
//! entries i32
//! entries x (name length i32 | name | calls i32 | values i32 | values x f32: sums of squares)
//! optional: last chunk i32 | dataset length i32 | dataset
//! ```
//!
//! The newer one is a GGUF file with `general.type` = `imatrix` and for each matrix `NAME.in_sum2` `[matrices, cols]` and `NAME.counts`
//! `[matrices, 1]`. Source: llama.cpp `tools/imatrix` and `tools/quantize` at commit 03161a4.

use std::collections::BTreeMap;
use std::path::Path;

use crate::loader::cursor::Cursor;
use crate::loader::{gguf, mmap};
use crate::{Array, Checkpoint, Error, Limits, Value};

/// The mean square of what each column of each matrix is multiplied with.
///
/// ```
/// use mistral_models::Importance;
/// let mut importance = Importance::default();
/// importance.insert("blk.0.ffn_down.weight", vec![1.0; 256])?;
/// assert_eq!(importance.get("blk.0.ffn_down.weight").map(<[f32]>::len), Some(256));
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Importance {
    tensors: BTreeMap<String, Vec<f32>>,
    chunks: u32,
    datasets: Vec<String>,
}

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

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
        self.tensors.get(name).map(Vec::as_slice)
    }

    /// Sets the values of a matrix.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a value that is negative or not finite.
    pub fn insert(&mut self, name: impl Into<String>, values: Vec<f32>) -> Result<(), Error> {
        let name = name.into();
        if let Some((at, value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite() || **v < 0.0) {
            return Err(Error::malformed(format!("importance of `{name}`"), format!("value {at} is {value}")));
        }
        self.tensors.insert(name, values);
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
            let divisor = if calls > 0 { calls as f32 } else { 1.0 };
            let values = values.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v) / divisor).collect();
            if all.tensors.contains_key(name) {
                return Err(cursor.malformed(format_args!("two entries for `{name}`")));
            }
            all.insert(name, values)?;
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
        let mut all = Self { chunks: metadata.u64("imatrix.chunk_count")?.unwrap_or(0) as u32, ..Self::default() };
        if let Some(Value::Array(Array::Str(datasets))) = metadata.get("imatrix.datasets") {
            all.datasets = datasets.iter().map(str::to_owned).collect();
        }
        let weights = file.weights();
        for (name, tensor) in weights.names().filter_map(|name| Some((name, name.strip_suffix(SUMS)?))) {
            let sums = weights.get(name)?.to_weight()?;
            let counts = weights.get(&format!("{tensor}{COUNTS}"))?.to_weight()?.to_f32()?;
            let mut values = sums.to_f32()?;
            if counts.is_empty() || !values.len().is_multiple_of(counts.len()) {
                let detail = format!("{} counts for {} sums of `{tensor}`", counts.len(), values.len());
                return Err(Error::malformed(what, detail));
            }
            let cols = values.len() / counts.len();
            for (values, count) in values.chunks_exact_mut(cols.max(1)).zip(&counts) {
                // An expert that was never chosen: all columns alike.
                values.iter_mut().for_each(|v| *v = if *count > 0.0 { *v / count } else { 1.0 });
            }
            all.insert(tensor, values)?;
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
mod tests {
    use mistral_quant::Format;

    use super::*;
    use crate::{GgufTensor, GgufWriter, Metadata};

    fn legacy(entries: &[(&str, i32, &[f32])], tail: Option<&str>) -> Vec<u8> {
        let mut out = (entries.len() as u32).to_le_bytes().to_vec();
        for (name, calls, values) in entries {
            out.extend((name.len() as u32).to_le_bytes());
            out.extend(name.as_bytes());
            out.extend(calls.to_le_bytes());
            out.extend((values.len() as u32).to_le_bytes());
            values.iter().for_each(|v| out.extend(v.to_le_bytes()));
        }
        if let Some(name) = tail {
            out.extend(7u32.to_le_bytes());
            out.extend((name.len() as u32).to_le_bytes());
            out.extend(name.as_bytes());
        }
        out
    }

    #[test]
    fn the_older_format_is_read_with_and_without_its_tail() {
        let entries: &[(&str, i32, &[f32])] = &[("a.weight", 4, &[2.0, 8.0]), ("b.weight", 0, &[3.0])];
        let all = Importance::from_bytes(legacy(entries, Some("wiki.txt"))).unwrap();
        assert_eq!((all.get("a.weight"), all.get("b.weight")), (Some(&[0.5, 2.0][..]), Some(&[3.0][..])));
        assert_eq!((all.len(), all.chunks(), all.datasets()), (2, 7, &["wiki.txt".to_owned()][..]));
        let bare = Importance::from_bytes(legacy(entries, None)).unwrap();
        assert_eq!((bare.len(), bare.chunks(), bare.datasets().len()), (2, 0, 0));
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = legacy(&[("a.weight", 4, &[2.0, 8.0])], None);
        for len in 0..good.len() {
            assert!(Importance::from_bytes(good[..len].to_vec()).is_err(), "{len}");
        }
        for entries in [0, u32::MAX] {
            let lying = [&entries.to_le_bytes()[..], &good[4..]].concat();
            assert!(matches!(Importance::from_bytes(lying), Err(Error::Malformed { .. })));
        }
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            let error = Importance::from_bytes(legacy(&[("a", 1, &[1.0, value])], None)).unwrap_err();
            assert!(error.to_string().contains("`a`"), "{error}");
        }
        let twice = legacy(&[("a", 1, &[1.0]), ("a", 1, &[1.0])], None);
        assert!(matches!(Importance::from_bytes(twice), Err(Error::Malformed { .. })));
    }

    fn gguf_file(kind: &str, sums: &[f32], counts: &[f32]) -> Vec<u8> {
        let mut metadata = Metadata::default();
        metadata.insert("general.type", Value::Str(kind.into()));
        metadata.insert("imatrix.chunk_count", Value::U32(9));
        metadata.insert("imatrix.datasets", Value::Array(Array::Str(["x.txt"].into_iter().collect())));
        let tensor = |name: &str, shape: Vec<usize>| GgufTensor { name: name.into(), format: Format::F32, shape };
        let cols = sums.len() / counts.len().max(1);
        let list =
            [tensor("a.weight.in_sum2", vec![counts.len(), cols]), tensor("a.weight.counts", vec![counts.len(), 1])];
        let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        file.tensor(&bytes(sums)).unwrap();
        file.tensor(&bytes(counts)).unwrap();
        file.finish().unwrap()
    }

    #[test]
    fn the_newer_format_is_divided_expert_by_expert() {
        let all = Importance::from_bytes(gguf_file("imatrix", &[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0])).unwrap();
        assert_eq!(all.get("a.weight"), Some(&[1.0, 2.0, 1.0, 1.0][..]));
        assert_eq!((all.chunks(), all.datasets()), (9, &["x.txt".to_owned()][..]));
        let other = Importance::from_bytes(gguf_file("model", &[2.0], &[1.0]));
        assert!(matches!(other, Err(Error::Malformed { .. })));
    }
}
