//! What each format means: one file a format, with its byte diagram, its decoder and its encoder.
//!
//! Byte layouts are those of ggml (`ggml-common.h`, `ggml-quants.c`); decoding is exact to the bit. Speed lives in
//! `cpu/kernels`, which is held against what stands here.

mod float;
mod k_quant;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

use half::f16;

use crate::{Error, Format, SharedBytes, Weight};

pub(crate) use float::{Bf16, F16, F32};
pub(crate) use k_quant::scale_min;
pub(crate) use q2_k::Q2K;
pub(crate) use q3_k::{Q3K, scales as q3_k_scales};
pub(crate) use q4_0::Q4_0;
pub(crate) use q4_1::Q4_1;
pub(crate) use q4_k::Q4K;
pub(crate) use q5_0::Q5_0;
pub(crate) use q5_1::Q5_1;
pub(crate) use q5_k::Q5K;
pub(crate) use q6_k::Q6K;
pub(crate) use q8_0::Q8_0;

/// A block of weights in one format.
///
/// The slices are one block long: `BYTES` bytes, `WEIGHTS` values; the dispatch below sees to it.
pub(crate) trait Block {
    /// The format.
    const FORMAT: Format;
    /// Weights a block.
    const WEIGHTS: usize;
    /// Bytes a block.
    const BYTES: usize;
    /// The weights that a block stands for. Any bytes decode; scales that are not numbers give values that are not.
    fn decode(block: &[u8], out: &mut [f32]);
    /// The block that comes nearest to finite `weights`.
    fn encode(weights: &[f32], block: &mut [u8]);
}

type Decode = fn(&[u8], &mut [f32]);
type Encode = fn(&[f32], &mut [u8]);

fn rows<B: Block>() -> (Decode, Encode) {
    (
        |bytes, out| {
            bytes.chunks_exact(B::BYTES).zip(out.chunks_exact_mut(B::WEIGHTS)).for_each(|(b, o)| B::decode(b, o));
        },
        |weights, bytes| {
            weights.chunks_exact(B::WEIGHTS).zip(bytes.chunks_exact_mut(B::BYTES)).for_each(|(w, b)| B::encode(w, b));
        },
    )
}

/// The arithmetic of a format, if this version has it.
fn codec(format: Format) -> Option<(Decode, Encode)> {
    Some(match format {
        Format::F32 => rows::<F32>(),
        Format::F16 => rows::<F16>(),
        Format::BF16 => rows::<Bf16>(),
        Format::Q8_0 => rows::<Q8_0>(),
        Format::Q4_0 => rows::<Q4_0>(),
        Format::Q4_1 => rows::<Q4_1>(),
        Format::Q5_0 => rows::<Q5_0>(),
        Format::Q5_1 => rows::<Q5_1>(),
        Format::Q2_K => rows::<Q2K>(),
        Format::Q3_K => rows::<Q3K>(),
        Format::Q4_K => rows::<Q4K>(),
        Format::Q5_K => rows::<Q5K>(),
        Format::Q6_K => rows::<Q6K>(),
        _ => return None,
    })
}

impl Format {
    /// Whether this version can decode, encode and multiply weights of this format. Files that hold others open, and
    /// name the tensor when it is used.
    pub fn is_computable(self) -> bool {
        codec(self).is_some()
    }
}

/// Decodes a row, or any whole number of blocks, to f32.
///
/// # Errors
/// [`Error::UnsupportedFormat`]; [`Error::Shape`] when `bytes` are not what `out.len()` weights take.
pub fn decode_row(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<(), Error> {
    let (decode, _) = codec(format).ok_or(Error::UnsupportedFormat { format, operation: "decode" })?;
    expect_bytes(format, out.len(), bytes.len())?;
    decode(bytes, out);
    Ok(())
}

/// Encodes a row, or any whole number of blocks.
///
/// Values that are not finite count as 0 in the quantized formats. The error is that of ggml's reference encoders or less.
///
/// # Errors
/// [`Error::UnsupportedFormat`]; [`Error::Shape`] when the weights are not whole blocks.
pub fn encode_row(format: Format, weights: &[f32]) -> Result<Vec<u8>, Error> {
    let (_, encode) = codec(format).ok_or(Error::UnsupportedFormat { format, operation: "encode" })?;
    let len = format.byte_len(weights.len()).ok_or_else(|| Error::Shape {
        what: "weights to encode",
        expected: format!("whole {format} blocks of {}", format.block_weights()),
        found: weights.len().to_string(),
    })?;
    let mut bytes = vec![0; len];
    if format.block_weights() > 1 && !weights.iter().all(|w| w.is_finite()) {
        let finite: Vec<f32> = weights.iter().map(|w| if w.is_finite() { *w } else { 0.0 }).collect();
        encode(&finite, &mut bytes);
    } else {
        encode(weights, &mut bytes);
    }
    Ok(bytes)
}

/// A weight `[rows, cols]` of f32 values, encoded.
///
/// # Errors
/// Those of [`encode_row`] and of [`Weight::new`].
pub fn quantize(format: Format, rows: usize, cols: usize, values: &[f32]) -> Result<Weight, Error> {
    Weight::new(format, rows, cols, SharedBytes::new(encode_row(format, values)?))
}

fn expect_bytes(format: Format, weights: usize, found: usize) -> Result<(), Error> {
    let expected = format.byte_len(weights);
    if expected == Some(found) {
        return Ok(());
    }
    Err(Error::Shape {
        what: "bytes of a row",
        expected: expected
            .map_or_else(|| format!("whole {format} blocks"), |n| format!("{n} for {weights} {format} weights")),
        found: found.to_string(),
    })
}

/// The f16 at `at`.
pub(crate) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn set_half(block: &mut [u8], at: usize, value: f32) -> f32 {
    let value = f16::from_f32(value);
    block[at..at + 2].copy_from_slice(&value.to_le_bytes());
    value.to_f32()
}

/// The value of largest magnitude, with its sign.
fn peak(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |peak: f32, &w| if w.abs() > peak.abs() { w } else { peak })
}

/// `1 / x`, or 0.
fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

#[cfg(test)]
mod tests;
