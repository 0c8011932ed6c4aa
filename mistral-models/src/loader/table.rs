//! The tensors of one checkpoint: a table of names, shapes and places, and the bytes of its files.
//!
//! Names, dimensions and rows lie in a few flat vectors, so that the table takes about as much memory as the header it
//! was read from: a file with very many tiny entries cannot blow it up.

use mistral_quant::{Format, SharedBytes};

use crate::error::Error;
use crate::loader::gguf_types;
use crate::loader::limits::Limits;
use crate::loader::weights::{RawTensor, TensorType, Weights};
use crate::metadata::Strings;
use crate::unsupported::Unsupported;

/// The element type of a table row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Format(Format),
    /// A GGUF type id without a [`Format`]: size unknown.
    GgufId(u32),
    /// Index into [`Tensors::other`].
    Other(u32),
}

#[derive(Debug, Clone, Copy)]
struct Row {
    kind: Kind,
    rank: u32,
    /// Where its dimensions begin in [`Table::dims`].
    dims: u32,
    start: u64,
    len: u64,
}

/// The tensors of one file, as its header lists them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: Strings,
    other: Strings,
    dims: Vec<usize>,
    rows: Vec<Row>,
}

impl Table {
    /// Room for exactly this much, which the caller has seen in the file.
    pub(crate) fn with_capacity(tensors: usize, name_bytes: usize, dimensions: usize) -> Self {
        Self {
            names: Strings::with_capacity(tensors, name_bytes),
            other: Strings::default(),
            dims: Vec::with_capacity(dimensions),
            rows: Vec::with_capacity(tensors),
        }
    }

    /// Gives unused room back.
    pub(crate) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.rows.shrink_to_fit();
        self.dims.shrink_to_fit();
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row kind of a type that has only a name. `None` when there are absurdly many different ones.
    pub(crate) fn other(&mut self, name: &str) -> Option<Kind> {
        if let Some(index) = self.other.iter().position(|n| n == name) {
            return Some(Kind::Other(index as u32));
        }
        if self.other.len() >= 256 {
            return None;
        }
        self.other.push(name);
        Some(Kind::Other(self.other.len() as u32 - 1))
    }

    /// Adds a tensor whose bytes are `start..start + len` of the file; shape outermost first.
    pub(crate) fn push(&mut self, name: &str, kind: Kind, shape: impl Iterator<Item = usize>, start: u64, len: u64) {
        let dims = self.dims.len();
        self.dims.extend(shape);
        let (rank, dims) = ((self.dims.len() - dims) as u32, dims as u32);
        self.names.push(name);
        self.rows.push(Row { kind, rank, dims, start, len });
    }

    fn dims(&self, row: &Row) -> &[usize] {
        let rest = self.dims.get(row.dims as usize..).unwrap_or_default();
        rest.get(..row.rank as usize).unwrap_or_default()
    }

    /// Checks that no two tensors share bytes. With `holes` false, also that they cover `start..end` entirely.
    pub(crate) fn check_layout(&self, what: &str, start: u64, end: u64, holes: bool) -> Result<(), Error> {
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_unstable_by_key(|&i| self.rows.get(i as usize).map(|r| (r.start, r.len)));
        let name = |i: u32| self.names.get(i as usize).unwrap_or_default();
        let mut at = start;
        let mut previous: Option<u32> = None;
        for i in order {
            let Some(row) = self.rows.get(i as usize) else { continue };
            if row.start < at && (row.len > 0 || !holes) {
                let other = previous.map(name).unwrap_or_default();
                return Err(Error::malformed(what, format!("tensors `{other}` and `{}` overlap", name(i))));
            }
            if row.start > at && !holes {
                return Err(Error::malformed(what, format!("{} bytes before `{}` unused", row.start - at, name(i))));
            }
            if row.len > 0 {
                at = row.start.saturating_add(row.len);
                previous = Some(i);
            }
        }
        if at > end || (at < end && !holes) {
            return Err(Error::malformed(what, format!("tensors end at byte {at}, the data at byte {end}")));
        }
        Ok(())
    }
}

/// One file: its bytes and its table. The bytes of each tensor have been checked to lie inside.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) what: String,
    pub(crate) bytes: SharedBytes,
    pub(crate) table: Table,
}

/// The tensors of one checkpoint, over one or more files.
#[derive(Debug)]
pub(crate) struct Tensors {
    shards: Vec<Shard>,
    /// `(shard, row)`, ordered by name.
    order: Vec<(u32, u32)>,
    bytes: u64,
}

impl Tensors {
    /// Joins the files of a checkpoint.
    pub(crate) fn new(shards: Vec<Shard>, limits: &Limits) -> Result<Self, Error> {
        let count: usize = shards.iter().map(|s| s.table.len()).sum();
        if count as u64 > limits.tensors {
            return Err(Error::Limit { what: "tensor count".into(), limit: limits.tensors, found: count as u64 });
        }
        let mut order = Vec::with_capacity(count);
        let mut bytes = 0u64;
        for (s, shard) in shards.iter().enumerate() {
            order.extend((0..shard.table.len()).map(|row| (s as u32, row as u32)));
            bytes = shard.table.rows.iter().fold(bytes, |sum, row| sum.saturating_add(row.len));
        }
        let mut all = Self { shards, order: Vec::new(), bytes };
        order.sort_unstable_by(|&a, &b| all.name(a).cmp(all.name(b)));
        let twice = order.iter().zip(order.iter().skip(1)).find(|&(&a, &b)| all.name(a) == all.name(b));
        if let Some((&a, &b)) = twice {
            let (what, other) = (all.what(a), all.what(b));
            return Err(Error::malformed(what, format!("tensor `{}` occurs twice (also in {other})", all.name(a))));
        }
        all.order = order;
        Ok(all)
    }

    /// The bytes of all tensors together.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The shard that holds a tensor.
    pub(crate) fn shard_of(&self, name: &str) -> Option<usize> {
        self.find(name).map(|(shard, _)| shard as usize)
    }

    fn name(&self, (shard, row): (u32, u32)) -> &str {
        self.shards.get(shard as usize).and_then(|s| s.table.names.get(row as usize)).unwrap_or_default()
    }

    fn what(&self, (shard, _): (u32, u32)) -> &str {
        self.shards.get(shard as usize).map(|s| s.what.as_str()).unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<(u32, u32)> {
        let at = self.order.binary_search_by(|&place| self.name(place).cmp(name)).ok()?;
        self.order.get(at).copied()
    }
}

impl Weights for Tensors {
    fn get(&self, name: &str) -> Result<RawTensor, Error> {
        let missing = || Error::Missing { kind: "tensor", name: name.to_owned() };
        let (shard, row) = self.find(name).ok_or_else(missing)?;
        let shard = self.shards.get(shard as usize).ok_or_else(missing)?;
        let row = shard.table.rows.get(row as usize).ok_or_else(missing)?;
        let kind = match row.kind {
            Kind::Format(format) => TensorType::Format(format),
            Kind::Other(i) => TensorType::Other(shard.table.other.get(i as usize).unwrap_or_default().into()),
            Kind::GgufId(id) => {
                return Err(match gguf_types::type_name(id) {
                    Some(known) => Unsupported::format(name, format_args!("{known} (GGUF type id {id})")),
                    None => {
                        let unknown = "(a type that llama.cpp did not have when this was written)";
                        Unsupported::format_for(name, format_args!("GGUF type id {id}"), unknown)
                    }
                }
                .into());
            }
        };
        let shape = shard.table.dims(row).to_vec();
        let outside = || Error::malformed(&shard.what, format!("tensor `{name}` lies outside of the file"));
        let start = usize::try_from(row.start).map_err(|_| outside())?;
        let end = usize::try_from(row.len).ok().and_then(|len| start.checked_add(len)).ok_or_else(outside)?;
        let bytes = shard.bytes.slice(start..end).ok_or_else(outside)?;
        Ok(RawTensor { name: name.to_owned(), kind, shape, bytes })
    }

    fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.shards.iter().flat_map(|s| s.table.names.iter()))
    }
}
