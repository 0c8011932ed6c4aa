//! The GGUF header: metadata and tensor table of versions 2 and 3, little-endian.
//!
//! Source: the GGUF specification in the ggml project (docs/gguf.md). Layout, all numbers little-endian:
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | keys u64
//! keys x    (string, type u32, value)
//! tensors x (string, rank u32, rank x u64, type u32, offset u64)
//! padding to general.alignment (32 unless set) | data; tensor offsets count from here
//! ```
//!
//! Dimensions are stored with the contiguous one first. A model may be split into files `NAME-00001-of-00003.gguf`,
//! each of which is a GGUF file with keys `split.no`, `split.count` and `split.tensors.count`; the first one holds the
//! metadata.

use std::path::{Path, PathBuf};

use mistral_quant::{Format, SharedBytes};

use crate::error::Error;
use crate::loader::cursor::Cursor;
use crate::loader::file_kind::FileKind;
use crate::loader::limits::Limits;
use crate::loader::mmap;
use crate::loader::mmap::ReadMode;
use crate::loader::shards::{self, ShardName};
use crate::loader::table::{Kind, Shard, Table, Tensors};
use crate::metadata::Value;
use crate::metadata::{Array, ByteStrings, Metadata, Strings};
use crate::unsupported::Unsupported;

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// Reads the metadata of a GGUF file without its tensors. `what` names the file in errors.
///
/// Cost: one pass over the header; memory at most its size.
///
/// # Errors
/// [`Error::WrongFile`] for a file of another kind, [`Error::Truncated`] and [`Error::Malformed`] for damage,
/// [`Error::Unsupported`] for version 1 and big-endian files, [`Error::Limit`].
pub fn read_metadata(bytes: &[u8], what: &str, limits: &Limits) -> Result<Metadata, Error> {
    let mut cursor = Cursor::new(bytes, what, limits);
    let preamble = Preamble::read(&mut cursor)?;
    metadata(&mut cursor, preamble.keys)
}

/// Metadata and tensors of the file at `path`, together with the other files when it is one of a split model.
pub(crate) fn open(path: &Path, mode: ReadMode, limits: &Limits) -> Result<(Metadata, Tensors), Error> {
    let Some(name) = ShardName::parse(path) else {
        let what = path.display().to_string();
        let (metadata, shard) = read(mmap::open(path, mode)?, what, limits)?;
        return single(metadata, shard, limits);
    };
    let paths = name.siblings(limits)?;
    let files = shards::open_all(&paths, |path: &PathBuf| {
        let what = path.display().to_string();
        read(mmap::open(path, mode)?, what, limits)
    })?;
    let mut all = Vec::with_capacity(files.len());
    let mut first = None;
    for (index, (metadata, shard)) in files.into_iter().enumerate() {
        let found = Split::of(&metadata)?.unwrap_or(Split { no: 0, count: 1, tensors: None });
        if found.no != index as u64 || found.count != paths.len() as u64 {
            let detail = format!(
                "is part {} of {} by its metadata, part {} of {} by its name",
                found.no.saturating_add(1),
                found.count,
                index + 1,
                paths.len()
            );
            return Err(Error::malformed(shard.what, detail));
        }
        if index == 0 {
            first = Some((metadata, found.tensors, shard.what.clone()));
        }
        all.push(shard);
    }
    let tensors = Tensors::new(all, limits)?;
    let (metadata, claimed, what) = first.ok_or_else(|| Error::malformed(path.display().to_string(), "no parts"))?;
    if let Some(claimed) = claimed.filter(|&claimed| claimed != tensors.len() as u64) {
        let detail = format!("split.tensors.count is {claimed}, the parts hold {} tensors", tensors.len());
        return Err(Error::malformed(what, detail));
    }
    Ok((metadata, tensors))
}

/// Metadata and tensors of a GGUF file that is already in memory.
pub(crate) fn from_bytes(bytes: SharedBytes, what: &str, limits: &Limits) -> Result<(Metadata, Tensors), Error> {
    let (metadata, shard) = read(bytes, what.to_owned(), limits)?;
    single(metadata, shard, limits)
}

fn single(metadata: Metadata, shard: Shard, limits: &Limits) -> Result<(Metadata, Tensors), Error> {
    if let Some(split) = Split::of(&metadata)?.filter(|split| split.count > 1) {
        let detail = format!(
            "part {} of {}, but not named `NAME-{:05}-of-{:05}.gguf`, so the others cannot be found",
            split.no.saturating_add(1),
            split.count,
            split.no.saturating_add(1),
            split.count
        );
        return Err(Error::malformed(shard.what, detail));
    }
    Ok((metadata, Tensors::new(vec![shard], limits)?))
}

/// What the keys `split.*` say.
struct Split {
    no: u64,
    count: u64,
    tensors: Option<u64>,
}

impl Split {
    fn of(metadata: &Metadata) -> Result<Option<Self>, Error> {
        let Some(count) = metadata.u64("split.count")? else { return Ok(None) };
        let no = metadata.u64("split.no")?.unwrap_or(0);
        Ok(Some(Self { no, count, tensors: metadata.u64("split.tensors.count")? }))
    }
}

/// Reads one file.
fn read(bytes: SharedBytes, what: String, limits: &Limits) -> Result<(Metadata, Shard), Error> {
    let mut cursor = Cursor::new(bytes.as_slice(), &what, limits);
    let preamble = Preamble::read(&mut cursor)?;
    let metadata = metadata(&mut cursor, preamble.keys)?;
    let alignment = alignment(&metadata)?;
    let table = tensors(&mut cursor, preamble.tensors, alignment)?;
    Ok((metadata, Shard { what, bytes, table }))
}

/// The alignment of tensor data in bytes: `general.alignment`, 32 when absent.
pub(crate) fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    let key = "general.alignment";
    let alignment = metadata.u64(key)?.unwrap_or(32);
    if !alignment.is_power_of_two() || alignment > 1 << 30 {
        return Err(Error::config(key, format!("{alignment} is not a power of two up to 2^30")));
    }
    Ok(alignment)
}

/// The most dimensions of a GGUF tensor.
pub(crate) const MAX_DIMENSIONS: u32 = 4;

fn tensors(cursor: &mut Cursor<'_>, count: u64, alignment: u64) -> Result<Table, Error> {
    // A row is at least name length, rank, type and offset.
    if count > cursor.remaining() / 24 {
        return Err(cursor.short(count.saturating_mul(24), "table of tensors"));
    }
    let mut rows = cursor.clone();
    let (mut name_bytes, mut dimensions, mut data) = (0, 0, 0u64);
    for _ in 0..count {
        let row = tensor(&mut rows)?;
        name_bytes += row.name.len();
        dimensions += row.rank;
        if let Some((_, len)) = row.size().filter(|(_, len)| *len > 0) {
            data = data.max(row.offset.saturating_add(len));
        }
        rows.limit("header size", rows.at() as u64, rows.limits.header_bytes)?;
    }
    let start = (rows.at() as u64).next_multiple_of(alignment);
    let end = (cursor.at() as u64).saturating_add(cursor.remaining());
    if data > 0 && start.saturating_add(data) > end {
        return Err(rows.short((start - rows.at() as u64).saturating_add(data), "tensors"));
    }
    let mut table = Table::with_capacity(count as usize, name_bytes, dimensions);
    for _ in 0..count {
        let row = tensor(cursor)?;
        let shown = || format!("tensor `{}`", row.name);
        if row.offset % alignment != 0 {
            return Err(cursor.malformed(format_args!("{}: offset {} not aligned", shown(), row.offset)));
        }
        let (kind, len) = row.size().ok_or_else(|| {
            cursor.malformed(format_args!("{}: dimensions {:?} of type {}", shown(), row.dimensions(), row.kind))
        })?;
        let at = start.checked_add(row.offset).filter(|at| at.checked_add(len).is_some_and(|e| e <= end));
        // An empty tensor at the very end may point behind the last byte where the padding was left out.
        let at = at.or((len == 0 && row.offset == 0).then_some(end)).ok_or_else(|| {
            let data = end.saturating_sub(start);
            cursor.malformed(format_args!("{}: {len} bytes at {}, the data has {data}", shown(), row.offset))
        })?;
        let mut shape = [0usize; MAX_DIMENSIONS as usize];
        for (to, &from) in shape.iter_mut().zip(row.dimensions().iter().rev()) {
            *to = usize::try_from(from).map_err(|_| cursor.malformed(shown()))?;
        }
        table.push(row.name, kind, shape.into_iter().take(row.rank), at, len);
    }
    table.check_layout(cursor.what(), start, end.max(start), true)?;
    Ok(table)
}

/// A line of the tensor table.
struct TensorRow<'a> {
    name: &'a str,
    rank: usize,
    dims: [u64; MAX_DIMENSIONS as usize],
    kind: u32,
    offset: u64,
}

impl TensorRow<'_> {
    /// As stored: contiguous first.
    fn dimensions(&self) -> &[u64] {
        self.dims.get(..self.rank).unwrap_or_default()
    }

    /// The bytes it takes, 0 for an unknown type. `None` when rows are not whole blocks or a size overflows.
    fn size(&self) -> Option<(Kind, u64)> {
        let elements = self.dimensions().iter().try_fold(1u64, |n, &d| n.checked_mul(d))?;
        let Some(format) = Format::from_gguf_id(self.kind) else { return Some((Kind::GgufId(self.kind), 0)) };
        let row = self.dimensions().first().copied().unwrap_or(1);
        if row % format.block_weights() as u64 != 0 {
            return None;
        }
        let bytes = (elements / format.block_weights() as u64).checked_mul(format.block_bytes() as u64)?;
        Some((Kind::Format(format), bytes))
    }
}

fn tensor<'a>(cursor: &mut Cursor<'a>) -> Result<TensorRow<'a>, Error> {
    let name = cursor.name("tensor name")?;
    let rank = cursor.u32("tensor rank")?;
    if rank > MAX_DIMENSIONS {
        return Err(cursor.malformed(format_args!("tensor `{name}` has {rank} dimensions, the format allows 4")));
    }
    cursor.limit("tensor rank", rank.into(), cursor.limits.dimensions.into())?;
    let mut dims = [0; MAX_DIMENSIONS as usize];
    for dim in dims.iter_mut().take(rank as usize) {
        *dim = cursor.u64("tensor dimension")?;
    }
    let kind = cursor.u32("tensor type")?;
    let offset = cursor.u64("tensor offset")?;
    Ok(TensorRow { name, rank: rank as usize, dims, kind, offset })
}

/// The counts at the start of the file.
struct Preamble {
    tensors: u64,
    keys: u64,
}

impl Preamble {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        if !cursor.rest().starts_with(&MAGIC) {
            let found = FileKind::of(cursor.rest());
            return Err(Error::WrongFile { what: cursor.what().to_owned(), expected: "a GGUF file", found });
        }
        cursor.take(MAGIC.len() as u64, "magic")?;
        let version = cursor.u32("version")?;
        // The magic is the same in both byte orders, so a swapped version tells them apart.
        if version & 0xffff == 0 && version != 0 {
            return Err(Unsupported::GgufByteOrder { file: cursor.what().to_owned() }.into());
        }
        if !matches!(version, 2 | 3) {
            return Err(Unsupported::GgufVersion { file: cursor.what().to_owned(), version }.into());
        }
        let tensors = cursor.u64("tensor count")?;
        let keys = cursor.u64("key count")?;
        cursor.limit("tensor count", tensors, cursor.limits.tensors)?;
        cursor.limit("key count", keys, cursor.limits.metadata_entries)?;
        Ok(Self { tensors, keys })
    }
}

fn metadata(cursor: &mut Cursor<'_>, keys: u64) -> Result<Metadata, Error> {
    let mut all = Metadata::default();
    let mut entries = keys;
    for _ in 0..keys {
        let key = cursor.name("key")?;
        if all.get(key).is_some() {
            return Err(cursor.malformed(format_args!("key `{key}` occurs twice")));
        }
        let kind = cursor.u32("value type")?;
        all.insert(key, value(cursor, kind, &mut entries)?);
        cursor.limit("header size", cursor.at() as u64, cursor.limits.header_bytes)?;
    }
    Ok(all)
}

fn value(cursor: &mut Cursor<'_>, kind: u32, entries: &mut u64) -> Result<Value, Error> {
    let of = "value";
    Ok(match kind {
        0 => Value::U8(u8::from_le_bytes(cursor.array(of)?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array(of)?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array(of)?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array(of)?)),
        4 => Value::U32(cursor.u32(of)?),
        5 => Value::I32(i32::from_le_bytes(cursor.array(of)?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array(of)?)),
        7 => {
            let [byte] = cursor.array(of)?;
            Value::Bool(boolean(cursor, byte)?)
        }
        8 => {
            let bytes = cursor.string_bytes("string value")?;
            // Most keys are read by nobody: text of another encoding is an error only where it is asked for.
            std::str::from_utf8(bytes).map_or_else(|_| Value::Bytes(bytes.to_vec()), |text| Value::Str(text.into()))
        }
        9 => Value::Array(array(cursor, 1, entries)?),
        10 => Value::U64(cursor.u64(of)?),
        11 => Value::I64(i64::from_le_bytes(cursor.array(of)?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array(of)?)),
        other => return Err(cursor.malformed(format_args!("value type {other} does not exist"))),
    })
}

fn boolean(cursor: &Cursor<'_>, byte: u8) -> Result<bool, Error> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(cursor.malformed(format_args!("a boolean of {other}"))),
    }
}

fn array(cursor: &mut Cursor<'_>, depth: u32, entries: &mut u64) -> Result<Array, Error> {
    cursor.limit("array depth", depth.into(), cursor.limits.array_depth.into())?;
    let kind = cursor.u32("array type")?;
    let len = cursor.u64("array length")?;
    // What cannot be in the file is damage; what could be but is absurd is a limit. The smallest element takes one
    // byte.
    if len > cursor.remaining() {
        return Err(cursor.short(len, "array"));
    }
    cursor.limit("array length", len, cursor.limits.array_length)?;
    macro_rules! numbers {
        ($variant:ident, $type:ty) => {{
            const WIDTH: usize = size_of::<$type>();
            let bytes = cursor.take_elements(len, WIDTH as u64, "array")?;
            Array::$variant(bytes.as_chunks::<WIDTH>().0.iter().map(|b| <$type>::from_le_bytes(*b)).collect())
        }};
    }
    Ok(match kind {
        0 => numbers!(U8, u8),
        1 => numbers!(I8, i8),
        2 => numbers!(U16, u16),
        3 => numbers!(I16, i16),
        4 => numbers!(U32, u32),
        5 => numbers!(I32, i32),
        6 => numbers!(F32, f32),
        7 => {
            let bytes = cursor.take(len, "array")?;
            Array::Bool(bytes.iter().map(|&b| boolean(cursor, b)).collect::<Result<_, _>>()?)
        }
        8 => strings(cursor, len)?,
        9 => {
            // An empty inner array is 12 bytes in the file and several times that in memory: hence counted like a key.
            *entries = entries.saturating_add(len);
            cursor.limit("number of nested arrays", *entries, cursor.limits.metadata_entries)?;
            let mut all = Vec::new();
            for _ in 0..len {
                all.push(array(cursor, depth + 1, entries)?);
            }
            Array::Nested(all)
        }
        10 => numbers!(U64, u64),
        11 => numbers!(I64, i64),
        12 => numbers!(F64, f64),
        other => return Err(cursor.malformed(format_args!("array type {other} does not exist"))),
    })
}

/// Two passes: lengths first, so that both buffers are allocated once and exactly.
fn strings(cursor: &mut Cursor<'_>, len: u64) -> Result<Array, Error> {
    let mut lengths = cursor.clone();
    let (mut bytes, mut is_text) = (0, true);
    for _ in 0..len {
        let string = lengths.string_bytes("string in array")?;
        bytes += string.len();
        is_text &= std::str::from_utf8(string).is_ok();
    }
    if !is_text {
        let mut all = ByteStrings::with_capacity(len as usize, bytes);
        for _ in 0..len {
            all.push(cursor.string_bytes("string in array")?);
        }
        return Ok(Array::Bytes(all));
    }
    let mut all = Strings::with_capacity(len as usize, bytes);
    for _ in 0..len {
        all.push(cursor.string("string in array")?);
    }
    Ok(Array::Str(all))
}

#[cfg(test)]
mod tests;
