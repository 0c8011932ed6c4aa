//! Writing GGUF version 3: header first, then tensors one after another, so that a model never has to be in memory
//! whole.

use std::io::Write;
use std::path::{Path, PathBuf};

use mistral_quant::Format;

use crate::error::Error;
use crate::loader::gguf;
use crate::loader::output::OutputFile;
use crate::metadata::Value;
use crate::metadata::{Array, Metadata};
use crate::unsupported::Unsupported;

/// What the header of a GGUF file says about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name: not empty, and no other tensor's.
    pub name: String,
    /// Its storage format.
    pub format: Format,
    /// Sizes, outermost first; at most 4, the last one whole blocks of the format.
    pub shape: Vec<usize>,
}

impl GgufTensor {
    fn byte_len(&self) -> Result<u64, Error> {
        let wrong =
            || Error::malformed(format!("tensor `{}`", self.name), format!("{:?} of {}", self.shape, self.format));
        if self.name.is_empty() || self.shape.len() > gguf::MAX_DIMENSIONS as usize {
            return Err(wrong());
        }
        let row = self.format.byte_len(self.shape.last().copied().unwrap_or(1)).ok_or_else(wrong)?;
        let outer = self.shape.split_last().map_or(&[][..], |(_, outer)| outer);
        let len = outer.iter().try_fold(row, |n, &d| n.checked_mul(d)).ok_or_else(wrong)?;
        Ok(len as u64)
    }
}

/// Writes a GGUF file: [`GgufWriter::new`] writes the header, then [`GgufWriter::tensor`] each tensor in the order of
/// the list, then [`GgufWriter::finish`].
///
/// The alignment is the metadata's `general.alignment`, 32 bytes when absent. Nothing is added to the metadata.
///
/// ```
/// use mistral_models::{Checkpoint, Metadata, Weights};
/// use mistral_models::loader::{GgufTensor, GgufWriter};
/// use mistral_quant::Format;
///
/// let tensor = GgufTensor { name: "a".into(), format: Format::F32, shape: vec![1, 2] };
/// let mut file = GgufWriter::new(Vec::new(), &Metadata::default(), &[tensor])?;
/// file.tensor(&[0; 8])?;
/// let bytes = file.finish()?;
/// assert_eq!(Checkpoint::from_bytes(bytes)?.weights().get("a")?.shape, [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GgufWriter<W: Write> {
    out: W,
    path: PathBuf,
    alignment: u64,
    /// Sizes and names of the tensors still to come.
    pending: std::vec::IntoIter<(u64, String)>,
    /// Bytes of the first of them that are written already.
    written: u64,
    /// Renames the file to its final name, if this writer began the file.
    end: Option<End<W>>,
}

type End<W> = fn(&mut W) -> Result<(), Error>;

impl GgufWriter<OutputFile> {
    /// Begins the file at `path`. The file has its name once [`finish`](GgufWriter::finish) has returned. [`OutputFile`] describes links
    /// and existing files.
    ///
    /// # Errors
    /// The errors of [`GgufWriter::new`] and [`OutputFile::create`].
    pub fn create(path: impl AsRef<Path>, metadata: &Metadata, tensors: &[GgufTensor]) -> Result<Self, Error> {
        let path = path.as_ref();
        let end: End<OutputFile> = |file| {
            file.complete()?;
            file.publish()
        };
        let mut writer = Self::start(OutputFile::create(path)?, path.to_owned(), metadata, tensors)?;
        writer.end = Some(end);
        Ok(writer)
    }
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header. Give a buffered writer: fields are written one by one.
    ///
    /// # Errors
    /// [`Error::Malformed`] for names that are empty or occur twice and shapes that do not fit their format,
    /// [`Error::Unsupported`] for a format that GGUF does not have, [`Error::Config`] for an invalid alignment,
    /// [`Error::Io`] from the writer.
    pub fn new(out: W, metadata: &Metadata, tensors: &[GgufTensor]) -> Result<Self, Error> {
        Self::start(out, "GGUF output".into(), metadata, tensors)
    }

    fn start(mut out: W, path: PathBuf, metadata: &Metadata, tensors: &[GgufTensor]) -> Result<Self, Error> {
        let alignment = gguf::alignment(metadata)?;
        let mut names: Vec<_> = tensors.iter().map(|t| t.name.as_str()).collect();
        names.sort_unstable();
        if let Some((name, _)) = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b) {
            return Err(Error::malformed(path.display().to_string(), format!("two tensors named `{name}`")));
        }
        let mut header = Vec::new();
        header.extend_from_slice(&gguf::MAGIC);
        header.extend_from_slice(&3u32.to_le_bytes());
        header.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
        header.extend_from_slice(&(metadata.iter().count() as u64).to_le_bytes());
        for (key, value) in metadata.iter() {
            put_bytes(&mut header, key.as_bytes());
            put_value(&mut header, value);
        }
        let mut pending = Vec::with_capacity(tensors.len());
        let mut offset = 0u64;
        for tensor in tensors {
            let len = tensor.byte_len()?;
            let id = tensor
                .format
                .gguf_id()
                .ok_or_else(|| Unsupported::format_for(&tensor.name, tensor.format, "in a GGUF file"))?;
            put_bytes(&mut header, tensor.name.as_bytes());
            header.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
            for &dim in tensor.shape.iter().rev() {
                header.extend_from_slice(&(dim as u64).to_le_bytes());
            }
            header.extend_from_slice(&id.to_le_bytes());
            header.extend_from_slice(&offset.to_le_bytes());
            let next = offset.checked_add(len).and_then(|end| end.checked_next_multiple_of(alignment));
            offset = next.ok_or_else(|| Error::malformed(path.display().to_string(), "the file size overflows"))?;
            pending.push((len, tensor.name.clone()));
        }
        header.resize(header.len().next_multiple_of(alignment as usize), 0);
        out.write_all(&header).map_err(|e| Error::io(&path, e))?;
        Ok(Self { out, path, alignment, pending: pending.into_iter(), written: 0, end: None })
    }

    /// Writes the bytes of the next tensor of the list.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none left or its size is another one, [`Error::Io`].
    pub fn tensor(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.pending.as_slice().first() {
            Some((len, name)) if self.written != 0 || *len != bytes.len() as u64 => {
                let detail = format!("{} bytes for tensor `{name}` of {len}", bytes.len());
                Err(Error::malformed(self.path.display().to_string(), detail))
            }
            _ => self.part(bytes),
        }
    }

    /// Writes the next bytes of the next tensor, which may come in any number of parts.
    ///
    /// # Errors
    /// [`Error::Malformed`] when no tensor is left or the part goes beyond its end, [`Error::Io`].
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let wrong = |detail: String| Error::malformed(self.path.display().to_string(), detail);
        let Some((len, name)) = self.pending.as_slice().first() else {
            return Err(wrong("more tensors than the header lists".into()));
        };
        let written = self.written.saturating_add(bytes.len() as u64);
        if written > *len {
            return Err(wrong(format!("{written} bytes for tensor `{name}` of {len}")));
        }
        let padding = if written == *len { len.next_multiple_of(self.alignment) - len } else { 0 };
        self.written = written;
        if written == *len {
            self.pending.next();
            self.written = 0;
        }
        let mut write = || {
            self.out.write_all(bytes)?;
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), padding), &mut self.out)
        };
        write().map_err(|e| Error::io(&self.path, e))?;
        Ok(())
    }

    /// Flushes the writer and returns it. A file that [`GgufWriter::create`] began gets its name.
    ///
    /// # Errors
    /// [`Error::Malformed`] when tensors are missing, [`Error::Io`].
    pub fn finish(mut self) -> Result<W, Error> {
        if let Some((_, name)) = self.pending.next() {
            return Err(Error::malformed(self.path.display().to_string(), format!("tensor `{name}` was not written")));
        }
        self.out.flush().map_err(|e| Error::io(&self.path, e))?;
        if let Some(end) = self.end {
            end(&mut self.out)?;
        }
        Ok(self.out)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    macro_rules! number {
        ($id:expr, $v:expr) => {{
            out.extend_from_slice(&u32::to_le_bytes($id));
            out.extend_from_slice(&$v.to_le_bytes());
        }};
    }
    match value {
        Value::U8(v) => number!(0, v),
        Value::I8(v) => number!(1, v),
        Value::U16(v) => number!(2, v),
        Value::I16(v) => number!(3, v),
        Value::U32(v) => number!(4, v),
        Value::I32(v) => number!(5, v),
        Value::F32(v) => number!(6, v),
        Value::Bool(v) => number!(7, u8::from(*v)),
        Value::Str(v) => {
            out.extend_from_slice(&8u32.to_le_bytes());
            put_bytes(out, v.as_bytes());
        }
        Value::Bytes(v) => {
            out.extend_from_slice(&8u32.to_le_bytes());
            put_bytes(out, v);
        }
        Value::Array(v) => {
            out.extend_from_slice(&9u32.to_le_bytes());
            put_array(out, v);
        }
        Value::U64(v) => number!(10, v),
        Value::I64(v) => number!(11, v),
        Value::F64(v) => number!(12, v),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    fn start(out: &mut Vec<u8>, id: u32, len: usize) {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&(len as u64).to_le_bytes());
    }
    macro_rules! numbers {
        ($id:expr, $v:expr) => {{
            start(out, $id, $v.len());
            out.extend($v.iter().flat_map(|v| v.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(v) => numbers!(0, v),
        Array::I8(v) => numbers!(1, v),
        Array::U16(v) => numbers!(2, v),
        Array::I16(v) => numbers!(3, v),
        Array::U32(v) => numbers!(4, v),
        Array::I32(v) => numbers!(5, v),
        Array::F32(v) => numbers!(6, v),
        Array::Bool(v) => {
            start(out, 7, v.len());
            out.extend(v.iter().map(|&v| u8::from(v)));
        }
        Array::Str(v) => {
            start(out, 8, v.len());
            v.iter().for_each(|s| put_bytes(out, s.as_bytes()));
        }
        Array::Bytes(v) => {
            start(out, 8, v.len());
            v.iter().for_each(|s| put_bytes(out, s));
        }
        Array::Nested(v) => {
            start(out, 9, v.len());
            v.iter().for_each(|inner| put_array(out, inner));
        }
        Array::U64(v) => numbers!(10, v),
        Array::I64(v) => numbers!(11, v),
        Array::F64(v) => numbers!(12, v),
    }
}
