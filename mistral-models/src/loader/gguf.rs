//! The GGUF header: metadata and tensor table of versions 2 and 3, little-endian.
//!
//! Source: the GGUF specification in the ggml project (docs/gguf.md). Layout, all numbers little-endian:
//!
//! ```text
//! "GGUF" | version u32 | tensors u64 | keys u64 | keys x (string, type u32, value) | tensors x (string, n u32, n x u64, type u32, offset u64)
//! padding to general.alignment (32 unless set) | data; tensor offsets count from here
//! ```

use crate::loader::cursor::Cursor;
use crate::{Array, Error, Limits, Metadata, Strings, Value};

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// Reads the metadata of a GGUF file and leaves its tensors alone. `what` names the file in errors.
///
/// Cost: one pass over the header; memory at most its size.
///
/// # Errors
/// [`Error::Malformed`] for damage, [`Error::Unsupported`] for version 1 and big-endian files, [`Error::Limit`].
pub fn read_metadata(bytes: &[u8], what: &str, limits: &Limits) -> Result<Metadata, Error> {
    let mut cursor = Cursor::new(bytes, what, limits);
    let preamble = Preamble::read(&mut cursor)?;
    metadata(&mut cursor, preamble.keys)
}

/// The counts at the start of the file.
struct Preamble {
    keys: u64,
}

impl Preamble {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        if cursor.array("magic")? != MAGIC {
            return Err(cursor.malformed("the file does not start with `GGUF`"));
        }
        let version = cursor.u32("version")?;
        // The magic is the same in both byte orders, so a swapped version tells them apart.
        if version & 0xffff == 0 && version != 0 {
            return Err(Error::unsupported("GGUF byte order", "big-endian"));
        }
        if !matches!(version, 2 | 3) {
            return Err(Error::unsupported("GGUF version", format!("{version}; 2 and 3 are read")));
        }
        let tensors = cursor.u64("tensor count")?;
        let keys = cursor.u64("key count")?;
        cursor.limit("tensor count", tensors, cursor.limits.tensors)?;
        cursor.limit("key count", keys, cursor.limits.metadata_entries)?;
        Ok(Self { keys })
    }
}

fn metadata(cursor: &mut Cursor<'_>, keys: u64) -> Result<Metadata, Error> {
    let mut all = Metadata::default();
    let mut entries = keys;
    for _ in 0..keys {
        let key = cursor.string("key")?;
        if key.is_empty() {
            return Err(cursor.malformed("empty key"));
        }
        if all.get(key).is_some() {
            return Err(cursor.malformed(format_args!("key `{key}` occurs twice")));
        }
        let kind = cursor.u32("value type")?;
        all.insert(key, value(cursor, kind, &mut entries)?);
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
        8 => Value::Str(cursor.string("string value")?.to_owned()),
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
    // What cannot be in the file is damage; what could be but is absurd is a limit. The smallest element takes one byte.
    if len > cursor.remaining() {
        return Err(cursor.malformed(format_args!("array of {len} elements, {} bytes are left", cursor.remaining())));
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
        8 => Array::Str(strings(cursor, len)?),
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
fn strings(cursor: &mut Cursor<'_>, len: u64) -> Result<Strings, Error> {
    let mut lengths = cursor.clone();
    let mut text = 0;
    for _ in 0..len {
        text += lengths.string_bytes("string in array")?.len();
    }
    let mut all = Strings::with_capacity(len as usize, text);
    for _ in 0..len {
        all.push(cursor.string("string in array")?);
    }
    Ok(all)
}
