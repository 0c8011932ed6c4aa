//! A weight as codes with scales and zero points, and its way into a format without rounding.

use std::ops::Range;

use mistral_quant::{Format, SharedBytes, assemble_row, decode_row};
use rayon::prelude::*;

use crate::error::Error;
use crate::loader::weights::{RawTensor, TensorType};
use crate::threads;

/// Weights of a unit, which in every format share a scale and a zero point.
const UNIT: usize = 32;
/// Rows that one task converts: a multiple of what any packing puts into a word, and whole cache lines of its columns.
const STRIP: usize = 32;

/// The formats that codes with zero points may become, the smallest first.
pub(super) const INTEGERS: &[Format] = &[Format::Q4_0, Format::Affine4, Format::Q8_0, Format::Affine8];

/// Which weights share a scale and a zero point: the number of the group of weight `(row, col)`.
#[derive(Debug, Clone)]
pub(super) enum Grouping {
    /// Tiles of the matrix: `row / height * ceil(cols / width) + col / width`.
    Tiles { height: usize, width: usize },
    /// Runs of the weights, row after row: `(row * cols + col) / width`.
    Runs { width: usize },
    /// Every `period`th of the weights, row after row: `(row * cols + col) % period`.
    Strides { period: usize },
    /// By column, for groups that are not neighbours: `row * groups + column_group[col]`.
    Columns { groups: usize, column_group: Vec<u32> },
}

impl Grouping {
    fn group(&self, cols: usize, row: usize, col: usize) -> usize {
        match self {
            Self::Tiles { height, width } => row / height * cols.div_ceil(*width) + col / width,
            Self::Runs { width } => (row * cols + col) / width,
            Self::Strides { period } => (row * cols + col) % period,
            Self::Columns { groups, column_group } => row * groups + column_group[col] as usize,
        }
    }

    /// How many groups there are.
    fn count(&self, rows: usize, cols: usize) -> Option<usize> {
        match self {
            Self::Tiles { height, width } => rows.div_ceil(*height).checked_mul(cols.div_ceil(*width)),
            Self::Runs { width } => rows.checked_mul(cols).map(|all| all.div_ceil(*width)),
            Self::Strides { period } => Some(*period),
            Self::Columns { groups, .. } => rows.checked_mul(*groups),
        }
    }

    /// Whether all weights of a unit are in one group.
    fn keeps_units(&self, cols: usize) -> bool {
        cols.is_multiple_of(UNIT)
            && match self {
                Self::Tiles { width, .. } => width.is_multiple_of(UNIT) || *width >= cols,
                Self::Runs { width } => width.is_multiple_of(UNIT),
                Self::Strides { period } => *period == 1,
                Self::Columns { column_group, .. } => {
                    column_group.chunks(UNIT).all(|unit| unit.iter().all(|group| Some(group) == unit.first()))
                }
            }
    }
}

/// A weight `[rows, cols]` with `weight = (value(code) - zero) * scale`.
pub(super) struct Coded<'a> {
    pub(super) name: &'a str,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// The shape of the tensor, where it is not `[rows, cols]`.
    pub(super) shape: Option<Vec<usize>>,
    /// What it may become, the best first; all with the same meaning of a code.
    pub(super) formats: &'a [Format],
    /// The largest code.
    pub(super) max_code: u8,
    pub(super) grouping: Grouping,
    /// One scale a group.
    pub(super) scales: Vec<f32>,
    /// One zero point a group, or one for all.
    pub(super) zeros: Vec<f32>,
    /// Writes the codes of some rows, `[rows, cols]`.
    pub(super) codes: &'a (dyn Fn(Range<usize>, &mut [u8]) + Sync),
}

impl Coded<'_> {
    /// Returns the tensor in the first format that holds it without rounding, or in F32 if none does.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the number of scales or zero points differs from the number of groups; [`Error::Quant`] when there is not
    /// enough memory; [`Error::Threads`] when threads cannot be started.
    pub(super) fn tensor(self) -> Result<RawTensor, Error> {
        threads::unpacking()?.install(|| self.unpacked())
    }

    /// Unpacks the tensor on the current pool; otherwise as [`tensor`](Self::tensor).
    fn unpacked(self) -> Result<RawTensor, Error> {
        let (rows, cols) = (self.rows, self.cols);
        let wrong = |detail: String| Error::malformed(format!("tensor `{}`", self.name), detail);
        let groups = self.grouping.count(rows, cols);
        let counted = Some(self.scales.len()) == groups && [1, self.scales.len()].contains(&self.zeros.len());
        if rows == 0 || cols == 0 || !counted {
            let found = format!("{} scales and {} zero points", self.scales.len(), self.zeros.len());
            return Err(wrong(format!("{found} for {groups:?} groups of {rows} x {cols} weights")));
        }
        let blocks = self.grouping.keeps_units(cols);
        let held = self.formats.iter().copied().filter(|_| blocks).find(|format| self.is_held_by(*format));
        let format = held.unwrap_or(Format::F32);
        let row_bytes = format.byte_len(cols).ok_or_else(|| wrong(format!("{cols} columns")))?;
        let len = row_bytes.checked_mul(rows).ok_or_else(|| wrong(format!("{rows} x {cols} weights")))?;
        let mut bytes = zeroed(self.name, len)?;
        let values = if held.is_none() { self.values()? } else { Vec::new() };
        bytes.par_chunks_mut(STRIP * row_bytes).enumerate().try_for_each(|(strip, bytes)| {
            let first = strip * STRIP;
            let range = first..rows.min(first + STRIP);
            let mut codes = vec![0; range.len() * cols];
            (self.codes)(range.clone(), &mut codes);
            let rows = range.zip(codes.chunks_exact(cols)).zip(bytes.chunks_exact_mut(row_bytes));
            let mut units = Units::default();
            for ((row, codes), bytes) in rows {
                if held.is_none() {
                    self.dense_row(&values, row, codes, bytes);
                } else if !units.row(&self, format, row, codes, bytes)? {
                    return Err(wrong(format!("a code of row {row} is above {}", self.max_code)));
                }
            }
            Ok(())
        })?;
        Ok(RawTensor {
            name: self.name.to_owned(),
            kind: TensorType::Format(format),
            shape: self.shape.unwrap_or(vec![rows, cols]),
            bytes: SharedBytes::new(bytes),
        })
    }

    fn zero(&self, group: usize) -> f32 {
        self.zeros[if self.zeros.len() == 1 { 0 } else { group }]
    }

    /// Whether every code from 0 to the largest can be stored under every scale and zero point.
    fn is_held_by(&self, format: Format) -> bool {
        let codes: [u8; UNIT] = std::array::from_fn(|i| if i % 2 == 0 { 0 } else { self.max_code });
        let bytes = format.block_bytes();
        (0..self.scales.len()).into_par_iter().with_min_len(1024).all(|group| {
            let mut block = [0; 64];
            let (scale, zero) = (self.scales[group], self.zero(group));
            let Some(block) = block.get_mut(..bytes) else { return false };
            assemble_row(format, &codes, &[scale], &[zero], block).is_ok_and(|held| held)
        })
    }

    /// The value of each code, before zero point and scale.
    fn values(&self) -> Result<Vec<f32>, Error> {
        let codes: Vec<u8> = (0..=self.max_code).collect();
        match self.formats.first() {
            Some(&format) if !INTEGERS.contains(&format) && format != Format::MXFP4 => {
                let mut values = vec![0.0; codes.len().next_multiple_of(UNIT)];
                let mut padded = codes;
                padded.resize(values.len(), 0);
                let units = padded.len() / UNIT;
                let mut bytes = vec![0; units * format.block_bytes()];
                assemble_row(format, &padded, &vec![1.0; units], &vec![0.0; units], &mut bytes)?;
                decode_row(format, &bytes, &mut values)?;
                Ok(values)
            }
            Some(Format::MXFP4) => {
                let magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
                Ok(magnitudes.into_iter().chain(magnitudes.map(|value: f32| -value)).collect())
            }
            _ => Ok(codes.into_iter().map(f32::from).collect()),
        }
    }

    fn dense_row(&self, values: &[f32], row: usize, codes: &[u8], bytes: &mut [u8]) {
        for (col, (code, out)) in codes.iter().zip(bytes.as_chunks_mut::<4>().0).enumerate() {
            let group = self.grouping.group(self.cols, row, col);
            let value = values.get(usize::from(*code)).copied().unwrap_or(f32::NAN);
            *out = ((value - self.zero(group)) * self.scales[group]).to_le_bytes();
        }
    }
}

/// Scales and zero points of the units of one row.
#[derive(Default)]
struct Units {
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

impl Units {
    fn row(
        &mut self,
        coded: &Coded<'_>,
        format: Format,
        row: usize,
        codes: &[u8],
        bytes: &mut [u8],
    ) -> Result<bool, Error> {
        self.scales.clear();
        self.zeros.clear();
        for col in (0..coded.cols).step_by(UNIT) {
            let group = coded.grouping.group(coded.cols, row, col);
            self.scales.push(coded.scales[group]);
            self.zeros.push(coded.zero(group));
        }
        Ok(assemble_row(format, codes, &self.scales, &self.zeros, bytes)?)
    }
}

/// Memory that may be refused.
fn zeroed(name: &str, len: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|error| mistral_quant::Error::Resource {
        what: format!("{len} bytes for `{name}`"),
        detail: error.to_string(),
    })?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// Transposes a table `[groups, rows]` to `[rows, groups]`.
pub(super) fn transposed(table: &[f32], rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| table.iter().skip(row).step_by(rows.max(1)).copied()).collect()
}

/// Value `index` of a stream of `bits` each, the lowest bits of the first word first; `word` gives the words.
pub(super) fn bits_at(bits: u32, index: usize, word: impl Fn(usize) -> u32) -> u8 {
    let bit = index as u64 * u64::from(bits);
    let (first, shift) = ((bit / 32) as usize, (bit % 32) as u32);
    let mut value = word(first) >> shift;
    if shift + bits > 32 {
        value |= word(first + 1) << (32 - shift);
    }
    (value & ((1 << bits) - 1)) as u8
}
