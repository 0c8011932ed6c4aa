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
//! `imatrix.chunk_count` and `imatrix.chunk_size`, and for each matrix `NAME.in_sum2` `[matrices, cols]`, sums of squares, and
//! `NAME.counts` `[matrices, 1]`, rows of input; others (`NAME.in_sum`) are left alone. Source: llama.cpp `tools/imatrix` and
//! `tools/quantize` at commits 03161a4 and 006e7ef.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use mistral_quant::{ColumnSquares, Format};

use crate::loader::cursor::Cursor;
use crate::loader::{gguf, mmap};
use crate::{Array, Checkpoint, Error, GgufTensor, GgufWriter, Limits, Metadata, Value};

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
        Some(Self { sums, counts, means })
    }
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
        self.tensors.get(name).map(|columns| columns.means.as_slice())
    }

    /// Sets the values of a matrix, as if they were measured on one row of input.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a value that is negative or not finite, and for no values.
    pub fn insert(&mut self, name: impl Into<String>, values: Vec<f32>) -> Result<(), Error> {
        self.insert_sums(name.into(), values, vec![1.0])
    }

    /// Sets what an [`Observed`](mistral_quant::Observed) backend saw of a matrix.
    ///
    /// # Errors
    /// [`Error::Malformed`] for sums that are not finite: the model computed infinities or NaN.
    pub fn insert_squares(&mut self, name: impl Into<String>, squares: &ColumnSquares) -> Result<(), Error> {
        let sums = squares.sums().iter().map(|sum| *sum as f32).collect();
        self.insert_sums(name.into(), sums, squares.counts().iter().map(|count| *count as f32).collect())
    }

    /// Adds what was measured elsewhere, on other text or on another part of it. A matrix weighs by its rows of input; what comes from a
    /// file of the older format, which does not say how many these are, by its calls.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a matrix that has another shape there.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        for (name, theirs) in &other.tensors {
            let (mut sums, mut counts) = (theirs.sums.clone(), theirs.counts.clone());
            if let Some(ours) = self.tensors.get(name) {
                if (ours.sums.len(), ours.counts.len()) != (sums.len(), counts.len()) {
                    let shape = |c: &Columns| format!("{} sums and {} counts", c.sums.len(), c.counts.len());
                    let detail = format!("{} do not go with {}", shape(theirs), shape(ours));
                    return Err(Error::malformed(format!("importance of `{name}`"), detail));
                }
                sums.iter_mut().zip(&ours.sums).for_each(|(a, b)| *a += b);
                counts.iter_mut().zip(&ours.counts).for_each(|(a, b)| *a += b);
            }
            self.insert_sums(name.clone(), sums, counts)?;
        }
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.chunk_tokens = self.chunk_tokens.max(other.chunk_tokens);
        self.datasets.extend(other.datasets.iter().cloned());
        Ok(())
    }

    fn insert_sums(&mut self, name: String, sums: Vec<f32>, counts: Vec<f32>) -> Result<(), Error> {
        let wrong = |detail: String| Error::malformed(format!("importance of `{name}`"), detail);
        let all = || sums.iter().chain(&counts);
        if let Some((at, value)) = all().enumerate().find(|(_, v)| !v.is_finite() || **v < 0.0) {
            return Err(wrong(format!("value {at} is {value}")));
        }
        let detail = format!("{} counts for {} values", counts.len(), sums.len());
        let columns = Columns::new(sums, counts).ok_or_else(|| wrong(detail))?;
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

    /// Writes a file that llama.cpp's `quantize` and [`open`](Self::open) read: the GGUF form.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let (metadata, header) = self.header();
        let file = self.write_tensors(GgufWriter::create(path, &metadata, &header)?)?;
        file.into_inner().map(drop).map_err(|e| Error::io(path, e.into_error()))
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
        let pair = |(name, columns): (&String, &Columns)| {
            let tensor = |part: &str, values: &[f32]| GgufTensor {
                name: format!("{name}{part}"),
                format: Format::F32,
                shape: vec![columns.counts.len(), values.len() / columns.counts.len().max(1)],
            };
            [tensor(SUMS, &columns.sums), tensor(COUNTS, &columns.counts)]
        };
        (metadata, self.tensors.iter().flat_map(pair).collect())
    }

    fn write_tensors<W: Write>(&self, mut file: GgufWriter<W>) -> Result<W, Error> {
        for values in self.tensors.values().flat_map(|columns| [&columns.sums, &columns.counts]) {
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
            all.insert_sums(name.to_owned(), values, vec![calls])?;
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
        for (name, tensor) in weights.names().filter_map(|name| Some((name, name.strip_suffix(SUMS)?))) {
            let values = |name: &str| weights.get(name)?.to_weight()?.to_f32().map_err(Error::from);
            let (sums, counts) = (values(name)?, values(&format!("{tensor}{COUNTS}"))?);
            all.insert_sums(tensor.to_owned(), sums, counts)?;
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
        for (sums, counts) in [([1.0, f32::NAN], [1.0]), ([1.0, 2.0], [-1.0])] {
            let damaged = Importance::from_bytes(gguf_file("imatrix", &sums, &counts));
            assert!(matches!(damaged, Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = gguf_file("imatrix", &[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0]);
        let mut all = Importance::from_bytes(bytes).unwrap().measured_on(3, 512, "a.txt");
        all.insert("b.weight", vec![0.5, 0.25]).unwrap();
        let found = Importance::from_bytes(all.to_bytes().unwrap()).unwrap();
        assert_eq!(found, all);
        assert_eq!((found.chunks(), found.chunk_tokens(), found.datasets()), (3, 512, &["a.txt".to_owned()][..]));
        assert_eq!(found.names().collect::<Vec<_>>(), ["a.weight", "b.weight"]);
    }

    #[test]
    fn merged_matrices_weigh_by_their_rows() {
        let read = |sums: &[f32], counts: &[f32]| Importance::from_bytes(gguf_file("imatrix", sums, counts)).unwrap();
        let mut all = read(&[2.0, 4.0, 7.0, 8.0], &[2.0, 0.0]).measured_on(2, 128, "a");
        all.merge(&read(&[6.0, 0.0, 1.0, 2.0], &[2.0, 1.0]).measured_on(3, 256, "b")).unwrap();
        assert_eq!(all.get("a.weight"), Some(&[2.0, 1.0, 8.0, 10.0][..]));
        assert_eq!((all.chunks(), all.chunk_tokens(), all.datasets().len()), (5, 256, 2));
        assert!(matches!(all.merge(&read(&[1.0, 1.0], &[1.0])), Err(Error::Malformed { .. })));
        let mut none = Importance::default();
        none.merge(&all).unwrap();
        assert_eq!(none.get("a.weight"), all.get("a.weight"));
    }
}
