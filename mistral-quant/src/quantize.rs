//! From numbers to a weight.

use crate::bytes::SharedBytes;
use crate::error::Error;
use crate::format::Format;
use crate::formats::{check_importance, check_row, encode_into};
use crate::weight::Weight;

/// Encodes a row-major matrix `[rows, cols]`.
///
/// # Errors
/// As [`encode_row`](crate::encode_row), for rows of `cols`; [`Error::Shape`] when `weights.len() != rows * cols`.
pub fn quantize(format: Format, rows: usize, cols: usize, weights: &[f32]) -> Result<Weight, Error> {
    quantize_with(format, rows, cols, weights, None)
}

/// As [`quantize`], with an importance of the columns, `[cols]`, which all rows share: see [`encode_row_with`](crate::encode_row_with).
///
/// # Errors
/// As [`encode_row_with`](crate::encode_row_with), for rows of `cols`; [`Error::Shape`] when `weights.len() != rows * cols`.
pub fn quantize_with(
    format: Format,
    rows: usize,
    cols: usize,
    weights: &[f32],
    importance: Option<&[f32]>,
) -> Result<Weight, Error> {
    if rows.checked_mul(cols) != Some(weights.len()) {
        return Err(Error::Shape {
            what: "weights to quantize",
            expected: format!("{rows} x {cols} values"),
            found: format!("{} values", weights.len()),
        });
    }
    check_row(format, cols, None)?;
    check_importance(format, cols, importance)?;
    let mut bytes = Vec::with_capacity(check_row(format, weights.len(), None)?);
    for weights in weights.chunks_exact(cols.max(1)) {
        encode_into(format, weights, importance, &mut bytes)?;
    }
    Weight::new(format, rows, cols, SharedBytes::new(bytes))
}
