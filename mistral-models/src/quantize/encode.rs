//! Rows of a matrix from one format into another, many at a time.

use std::ops::Range;

use mistral_quant::{Format, SharedBytes, Weight, decode_row};
use rayon::prelude::*;

use crate::error::Error;

/// Weights of one piece of work: a few hundred kilobytes as f32.
const PIECE: usize = 1 << 16;

/// Weights of one [`encode_rows`]: bounds what a caller that goes through a matrix batch by batch has in memory.
const BATCH: usize = 1 << 23;

/// What is done to a matrix.
#[derive(Clone, Copy)]
pub(super) struct Encoding<'a> {
    /// In messages.
    pub(super) name: &'a str,
    pub(super) format: Format,
    /// One value a column, or one a column for each of several matrices that are stacked.
    pub(super) importance: Option<&'a [f32]>,
}

/// The rows of `source` in batches of bounded size.
pub(super) fn batches(source: &Weight) -> impl Iterator<Item = Range<usize>> + use<> {
    let (rows, batch) = (source.rows(), (BATCH / source.cols().max(1)).max(1));
    (0..rows).step_by(batch).map(move |start| start..rows.min(start.saturating_add(batch)))
}

/// Gives the memory of some rows back where they are mapped from a file.
pub(super) fn release(source: &SharedBytes, all: usize, rows: &Range<usize>) {
    let row = source.len().checked_div(all).unwrap_or(0);
    let range = rows.start.saturating_mul(row)..rows.end.saturating_mul(row);
    if let Some(bytes) = source.slice(range) {
        bytes.release();
    }
}

/// Some rows of `source` in another format, on the threads of the pool that runs this.
///
/// # Errors
/// [`Error::Malformed`] for a weight that is not finite or that the format cannot hold, [`Error::Quant`].
pub(super) fn encode_rows(source: &Weight, rows: Range<usize>, encoding: Encoding<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let cols = source.cols();
    let piece = (PIECE / cols.max(1)).max(1);
    let pieces: Vec<Range<usize>> =
        rows.clone().step_by(piece).map(|start| start..rows.end.min(start.saturating_add(piece))).collect();
    let work = |scratch: &mut Vec<f32>, rows: Range<usize>| {
        scratch.resize(rows.len().saturating_mul(cols), 0.0);
        decode_row(source.format(), source.slice_rows(rows.clone())?.bytes(), scratch)?;
        check(scratch, &rows, cols, encoding)?;
        encode(source.rows(), &rows, cols, scratch, encoding)
    };
    pieces.into_par_iter().map_init(Vec::new, work).collect()
}

fn encode(
    all: usize,
    rows: &Range<usize>,
    cols: usize,
    weights: &[f32],
    encoding: Encoding<'_>,
) -> Result<Vec<u8>, Error> {
    let Encoding { format, importance, .. } = encoding;
    let Some(importance) = importance else { return Ok(mistral_quant::encode_row(format, weights)?) };
    let matrices = importance.len().checked_div(cols).unwrap_or(1).max(1);
    let rows_each = (all / matrices).max(1);
    let mut bytes = Vec::new();
    for (row, weights) in rows.clone().zip(weights.chunks_exact(cols.max(1))) {
        let start = (row / rows_each).saturating_mul(cols);
        let importance = start.checked_add(cols).and_then(|end| importance.get(start..end));
        bytes.extend(mistral_quant::encode_row_with(format, weights, importance)?);
    }
    Ok(bytes)
}

/// Refuses weights that would be lost without a word.
fn check(weights: &[f32], rows: &Range<usize>, cols: usize, encoding: Encoding<'_>) -> Result<(), Error> {
    let largest = if encoding.format == Format::F16 { 65504.0 } else { f32::MAX };
    match weights.iter().position(|w| w.is_nan() || w.abs() > largest) {
        None => Ok(()),
        Some(at) => {
            let (row, col) = (rows.start + at / cols.max(1), at % cols.max(1));
            let detail = format!("{} at row {row}, column {col} cannot be kept as {}", weights[at], encoding.format);
            Err(Error::malformed(format!("tensor `{}`", encoding.name), detail))
        }
    }
}
