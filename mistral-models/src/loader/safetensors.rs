//! safetensors: the header of one file, and the index of a checkpoint in several.
//!
//! Source: the format description of the safetensors project. Layout: header length u64 little-endian | JSON `{"name":
//! {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}` | data without holes.
//! The header is read here, not by the `safetensors` crate, for two reasons: an element type that is unknown must fail
//! only when its tensor is used, and a header must not cost a multiple of its own size in memory.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path};

use mistral_quant::{Format, SharedBytes};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Error;
use crate::loader::file_kind::FileKind;
use crate::loader::limits::Limits;
use crate::loader::mmap::ReadMode;
use crate::loader::shards::{self, ShardName};
use crate::loader::table::{Kind, Shard, Table, Tensors};
use crate::loader::{json, mmap};

/// The end of the name of a shard index.
pub(crate) const INDEX_SUFFIX: &str = ".safetensors.index.json";

/// The tensors of the file at `path`; with an index beside it that its name belongs to, those of all shards.
pub(crate) fn open(path: &Path, mode: ReadMode, limits: &Limits) -> Result<Tensors, Error> {
    if let Some(name) = ShardName::parse(path) {
        let index = path.with_file_name(format!("{}{INDEX_SUFFIX}", name.stem()));
        if index.exists() {
            return open_index(&index, mode, limits);
        }
        let shards = shards::open_all(&name.siblings(limits)?, |path| open_one(path, mode, limits))?;
        return Tensors::new(shards, limits);
    }
    Tensors::new(vec![open_one(path, mode, limits)?], limits)
}

/// Opens all shards that the index at `path` names, and takes all of their tensors.
///
/// As in transformers and vLLM, the index only says which files belong together. The place of a tensor is read from the headers of the
/// files, because published indexes name tensors that were renamed, moved or left out. If a model needs a tensor that no file holds, the
/// decoder reports an error.
pub(crate) fn open_index(path: &Path, mode: ReadMode, limits: &Limits) -> Result<Tensors, Error> {
    let what = path.display().to_string();
    let missing = || Error::Missing { kind: "file", name: what.clone() };
    let bytes = mmap::read_small(path, limits.sidecar_bytes)?.ok_or_else(missing)?;
    let files = index_files(&bytes, &what, limits)?;
    drop(bytes);
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut paths = Vec::with_capacity(files.len());
    for file in &files {
        let relative = Path::new(file);
        // Other components than plain names (`..`, a root, a drive) lead out of the directory.
        if file.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(Error::malformed(what, format!("names the file `{file}`, outside of its directory")));
        }
        let path = directory.join(relative);
        if !path.exists() {
            return Err(Error::Missing { kind: "file", name: path.display().to_string() });
        }
        paths.push(path);
    }
    Tensors::new(shards::open_all(&paths, |path| open_one(path, mode, limits))?, limits)
}

fn open_one(path: &Path, mode: ReadMode, limits: &Limits) -> Result<Shard, Error> {
    read(mmap::open(path, mode)?, path.display().to_string(), limits)
}

/// Reads the header of one file.
pub(crate) fn read(bytes: SharedBytes, what: String, limits: &Limits) -> Result<Shard, Error> {
    let all = bytes.as_slice();
    let malformed = |detail: String| Error::malformed(&what, detail);
    let truncated = |promised: u64| Error::Truncated { what: what.clone(), promised, found: all.len() as u64 };
    match FileKind::of(all) {
        FileKind::Safetensors => {}
        // The length of a header and no brace: the rest is missing.
        FileKind::Unknown { .. } | FileKind::Text { .. } | FileKind::Zeros
            if (1..=size_of::<u64>()).contains(&all.len()) =>
        {
            return Err(truncated(size_of::<u64>() as u64 + 2));
        }
        found => return Err(Error::WrongFile { what, expected: "a safetensors file", found }),
    }
    let length = all.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    let limit = limits.safetensors_header_bytes;
    let rest = (all.len() - size_of::<u64>()) as u64;
    if length > limit {
        return Err(Error::Limit { what: format!("header of {what}"), limit, found: length });
    }
    if length > rest {
        return Err(truncated(size_of::<u64>() as u64 + length));
    }
    let start = size_of::<u64>() + length as usize;
    let json = all.get(size_of::<u64>()..start).unwrap_or_default();
    check_tokens(json).map_err(|detail| malformed(detail.into()))?;
    let mut header = HeaderSeed {
        // Room for any names that fit in the header, so that they are not moved while they grow.
        table: Table::with_capacity(0, json.len(), 0),
        limits,
        limit: None,
        start: start as u64,
        data: 0,
    };
    let mut parser = serde_json::Deserializer::from_slice(json);
    let parsed = (&mut header).deserialize(&mut parser).and_then(|()| parser.end());
    if let Some(error) = header.limit {
        return Err(error);
    }
    parsed.map_err(|e| malformed(format!("header: {e}")))?;
    let promised = (start as u64).saturating_add(header.data);
    if promised > all.len() as u64 {
        return Err(truncated(promised));
    }
    let mut table = header.table;
    table.shrink();
    table.check_layout(&what, start as u64, all.len() as u64, false)?;
    Ok(Shard { what, bytes, table })
}

/// The longest string of a header: names are far shorter, but `__metadata__` may hold whole training logs.
const MAX_STRING: usize = 4 << 20;

/// Refuses strings and nesting for which the JSON parser would need memory of its own.
fn check_tokens(json: &[u8]) -> Result<(), &'static str> {
    let (mut in_string, mut escaped, mut length, mut depth) = (false, false, 0usize, 0usize);
    for &byte in json {
        if in_string {
            length += 1;
            if length > MAX_STRING {
                return Err("the header holds a string of more than 4 MiB");
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => (in_string, length) = (true, 0),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 8 {
            return Err("the header is nested deeper than 8 levels");
        }
    }
    Ok(())
}

/// The element types of the format: bits an element, and the [`Format`] where there is one.
fn dtype(name: &str) -> (Option<u64>, Option<Format>) {
    let format = match name {
        "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" => Format::from_name(name),
        _ => None,
    };
    let bits = match name {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return (None, format),
    };
    (Some(bits), format)
}

/// Reads the header object straight into a table: no value tree.
struct HeaderSeed<'l> {
    table: Table,
    limits: &'l Limits,
    /// Set when a limit ended the reading.
    limit: Option<Error>,
    start: u64,
    /// The bytes of data of the tensors so far.
    data: u64,
}

impl<'de> DeserializeSeed<'de> for &mut HeaderSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut HeaderSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let row: TensorRow<'_> = map.next_value()?;
            self.push(&name, &row).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

impl HeaderSeed<'_> {
    fn push(&mut self, name: &str, row: &TensorRow<'_>) -> Result<(), String> {
        let wrong = |detail: String| Err(format!("tensor `{}`: {detail}", name.get(..200).unwrap_or(name)));
        let tensors = self.table.len() as u64 + 1;
        let limits = self.limits;
        for (what, found, limit) in [
            ("tensor count", tensors, limits.tensors),
            ("length of a tensor name", name.len() as u64, limits.name_bytes),
            ("tensor rank", row.shape.rank as u64, limits.dimensions.into()),
        ] {
            if found > limit {
                self.limit = Some(Error::Limit { what: what.into(), limit, found });
                return wrong("limit".into());
            }
        }
        if name.is_empty() {
            return wrong("empty name".into());
        }
        let [begin, end] = row.data_offsets;
        if begin > end {
            return wrong(format!("data_offsets [{begin}, {end}] end before they begin"));
        }
        self.data = self.data.max(end);
        let (bits, format) = dtype(&row.dtype);
        if let Some(bits) = bits {
            let elements = row.shape.dims().iter().try_fold(1u64, |n, &d| n.checked_mul(d));
            let bytes = elements.and_then(|n| n.checked_mul(bits)).filter(|b| b % 8 == 0).map(|b| b / 8);
            if bytes != Some(end - begin) {
                return wrong(format!("shape {:?} of {} in {} bytes", row.shape.dims(), row.dtype, end - begin));
            }
        }
        let mut shape = [0usize; MAX_RANK];
        for (to, &from) in shape.iter_mut().zip(row.shape.dims()) {
            match usize::try_from(from) {
                Ok(dim) => *to = dim,
                Err(_) => return wrong(format!("dimension {from}")),
            }
        }
        let kind = match format {
            Some(format) => Some(Kind::Format(format)),
            None if row.dtype.len() > 64 => return wrong("an element type with a name of more than 64 bytes".into()),
            None => self.table.other(&row.dtype),
        };
        let Some(kind) = kind else { return wrong("too many element types".into()) };
        let start = self.start.saturating_add(begin);
        self.table.push(name, kind, shape.into_iter().take(row.shape.rank), start, end - begin);
        Ok(())
    }
}

/// A string, borrowed from the input where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(serde::Deserialize)]
struct TensorRow<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// The most dimensions that are kept.
const MAX_RANK: usize = 8;

struct Shape {
    dims: [u64; MAX_RANK],
    rank: usize,
}

impl Shape {
    fn dims(&self) -> &[u64] {
        self.dims.get(..self.rank).unwrap_or_default()
    }
}

impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "up to {MAX_RANK} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut shape = Shape { dims: [0; MAX_RANK], rank: 0 };
                while let Some(dim) = seq.next_element()? {
                    let Some(place) = shape.dims.get_mut(shape.rank) else {
                        return Err(de::Error::invalid_length(shape.rank + 1, &self));
                    };
                    *place = dim;
                    shape.rank += 1;
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_seq(Dims)
    }
}

/// Returns the files that the `weight_map` of a shard index names.
fn index_files(bytes: &[u8], what: &str, limits: &Limits) -> Result<BTreeSet<String>, Error> {
    let mut reading = IndexSeed { files: BTreeSet::new(), tensors: 0, limits, limit: None, found: false };
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let parsed = (&mut reading).deserialize(&mut parser).and_then(|()| parser.end());
    if let Some(error) = reading.limit {
        return Err(error);
    }
    parsed.map_err(|error| json::malformed(bytes, what, &error))?;
    if !reading.found {
        return Err(Error::malformed(what, "no `weight_map`, which a shard index must have"));
    }
    Ok(reading.files)
}

/// Reads the index object: outside it looks for `weight_map`, inside ([`WeightMap`]) every entry is a tensor.
struct IndexSeed<'l> {
    files: BTreeSet<String>,
    tensors: u64,
    limits: &'l Limits,
    limit: Option<Error>,
    found: bool,
}

struct WeightMap<'a, 'l>(&'a mut IndexSeed<'l>);

impl<'de> DeserializeSeed<'de> for &mut IndexSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut IndexSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shard index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            if key != "weight_map" {
                map.next_value::<IgnoredAny>()?;
            } else if std::mem::replace(&mut self.found, true) {
                return Err(de::Error::duplicate_field("weight_map"));
            } else {
                map.next_value_seed(WeightMap(self))?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for WeightMap<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMap<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from tensor names to file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let IndexSeed { files, tensors, limits, limit, .. } = self.0;
        while let Some((Text(name), Text(file))) = map.next_entry()? {
            if !files.contains(file.as_ref()) {
                files.insert(file.into_owned());
            }
            *tensors += 1;
            for (what, found, most) in [
                ("tensor count", *tensors, limits.tensors),
                ("length of a tensor name", name.len() as u64, limits.name_bytes),
                ("number of shards", files.len() as u64, limits.shards),
            ] {
                if found > most {
                    *limit = Some(Error::Limit { what: what.into(), limit: most, found });
                    return Err(de::Error::custom(what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
