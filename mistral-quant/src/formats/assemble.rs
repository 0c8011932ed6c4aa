//! Blocks put together from codes and scales that another program has chosen: nothing is rounded, or there is no block.

use super::q4_0::pack_nibbles;
use super::{Block, as_bytes, f16_value};
use crate::error::Error;
use crate::format::Format;
use crate::formats::affine::{Affine4, Affine8};
use crate::formats::bnb::{FP4, NF4};
use crate::formats::f8_e4m3::F8_E4M3;
use crate::formats::q4_0::Q4_0;
use crate::formats::q8_0::Q8_0;

/// Writes a row in blocks of 32 weights, each with a scale and a zero point: `weight = value(code) * scale`, where the value of a
/// code is `code - zero` in the integer formats and the format's own in the others, whose zero points are not read.
///
/// `codes` is `[weights]`, `scales` and `zeros` are `[weights / 32]`, and `out` is the bytes of the row.
///
/// | format | codes | holds |
/// |---|---|---|
/// | Q4_0 | 0 to 255 | scales that f16 has, and whole zeros so that `code - zero` is -8 to 7 |
/// | Q8_0 | 0 to 255 | scales that f16 has, and whole zeros so that `code - zero` is -128 to 127 |
/// | Affine4 | 0 to 15 | scales and zeros that f16 has |
/// | Affine8 | 0 to 255 | all scales, and zeros of which 128 can be taken without rounding |
/// | F8_E4M3 | 0 to 255 | all scales |
/// | NF4, FP4 | 0 to 15 | all scales |
/// | MXFP4 | 0 to 15 | powers of two from 2^-127 to 2^127 |
///
/// ```
/// use mistral_quant::{Format, assemble_row, decode_row};
/// let codes: Vec<u8> = (0..32).map(|i| i % 16).collect();
/// let mut block = [0; 20];
/// assert!(assemble_row(Format::Affine4, &codes, &[0.25], &[3.0], &mut block)?);
/// let mut weights = [0.0; 32];
/// decode_row(Format::Affine4, &block, &mut weights)?;
/// assert_eq!(weights[5], (5.0 - 3.0) * 0.25);
/// // No GGUF type of 4 bits has such a zero point.
/// assert!(!assemble_row(Format::Q4_0, &codes, &[0.25], &[3.0], &mut [0; 18])?);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
///
/// Returns whether the format holds all weights as they are; if not, `out` is undefined.
///
/// # Errors
/// [`Error::Shape`] when the lengths do not belong together; [`Error::UnsupportedFormat`] for a format that is not in the table.
pub fn assemble_row(
    format: Format,
    codes: &[u8],
    scales: &[f32],
    zeros: &[f32],
    out: &mut [u8],
) -> Result<bool, Error> {
    let unsupported = Error::UnsupportedFormat { format, operation: "assemble" };
    let (codes, rest) = codes.as_chunks::<32>();
    let bytes = if format.block_weights() == 32 { format.block_bytes() } else { return Err(unsupported) };
    if !rest.is_empty() || scales.len() != codes.len() || zeros.len() != codes.len() || out.len() != codes.len() * bytes
    {
        return Err(Error::Shape {
            what: "row to assemble",
            expected: "units of 32 codes, a scale and a zero point for each, and the bytes of their blocks".into(),
            found: format!(
                "{} codes, {} scales, {} zero points, {} bytes",
                codes.len() * 32 + rest.len(),
                scales.len(),
                zeros.len(),
                out.len()
            ),
        });
    }
    let mut all = true;
    let units = codes.iter().zip(scales.iter().zip(zeros)).zip(out.chunks_exact_mut(bytes));
    for ((codes, (&scale, &zero)), out) in units {
        all &= match format {
            Format::Q4_0 => write(out, q4_0(codes, scale, zero)),
            Format::Q8_0 => write(out, q8_0(codes, scale, zero)),
            Format::Affine4 => write(out, affine4(codes, scale, zero)),
            Format::Affine8 => write(out, affine8(codes, scale, zero)),
            Format::F8_E4M3 => write(out, Some(F8_E4M3 { d: scale.to_le_bytes(), codes: *codes })),
            Format::NF4 => write(out, nibbles(codes).map(|codes| NF4 { absmax: scale.to_le_bytes(), codes })),
            Format::FP4 => write(out, nibbles(codes).map(|codes| FP4 { absmax: scale.to_le_bytes(), codes })),
            Format::MXFP4 => mxfp4(codes, scale, out),
            _ => return Err(unsupported),
        };
        if !all {
            return Ok(false);
        }
    }
    Ok(all)
}

fn write<B: Block>(out: &mut [u8], block: Option<B>) -> bool {
    if let Some(block) = &block {
        out.copy_from_slice(as_bytes(block));
    }
    block.is_some()
}

fn q4_0(codes: &[u8; 32], scale: f32, zero: f32) -> Option<Q4_0> {
    let mut biased = [0; 32];
    for (biased, code) in biased.iter_mut().zip(difference(codes, zero)?) {
        *biased = u8::try_from(code.checked_add(8)?).ok()?;
    }
    Some(Q4_0 { d: exact_f16(scale)?, codes: nibbles(&biased)? })
}

fn q8_0(codes: &[u8; 32], scale: f32, zero: f32) -> Option<Q8_0> {
    let mut signed = [0; 32];
    for (signed, code) in signed.iter_mut().zip(difference(codes, zero)?) {
        *signed = i8::try_from(code).ok()? as u8;
    }
    Some(Q8_0 { d: exact_f16(scale)?, codes: signed })
}

fn affine4(codes: &[u8; 32], scale: f32, zero: f32) -> Option<Affine4> {
    Some(Affine4 { d: exact_f16(scale)?, zero: exact_f16(zero)?, codes: nibbles(codes)? })
}

fn affine8(codes: &[u8; 32], scale: f32, zero: f32) -> Option<Affine8> {
    let shifted = zero - 128.0;
    let exact = f64::from(shifted) == f64::from(zero) - 128.0;
    let block =
        || Affine8 { d: scale.to_le_bytes(), zero: shifted.to_le_bytes(), codes: codes.map(|code| code ^ 0x80) };
    (exact || zero.is_nan()).then(block)
}

/// `code - zero` for a whole zero point.
fn difference(codes: &[u8; 32], zero: f32) -> Option<[i32; 32]> {
    let whole = zero.fract() == 0.0 && zero.abs() <= 512.0;
    whole.then(|| codes.map(|code| i32::from(code) - zero as i32))
}

/// Two codes a byte; `None` when one is above 15.
fn nibbles(codes: &[u8; 32]) -> Option<[u8; 16]> {
    codes.iter().all(|&code| code < 16).then(|| pack_nibbles(codes))
}

/// The value as an f16, if there is one. NaN is not.
fn exact_f16(value: f32) -> Option<[u8; 2]> {
    let bytes = half::f16::from_f32(value).to_le_bytes();
    (f16_value(bytes) == value).then_some(bytes)
}

/// As in a GGUF file: the exponent of the scale with bias 127, then the nibbles.
fn mxfp4(codes: &[u8; 32], scale: f32, out: &mut [u8]) -> bool {
    // 2^-127 is the one subnormal number among the scales.
    let exponent = match scale.to_bits() {
        0x0040_0000 => Some(0),
        bits if bits & 0x807F_FFFF == 0 && bits != 0 && bits >> 23 < 255 => Some((bits >> 23) as u8),
        _ => None,
    };
    let (Some(exponent), Some(nibbles), Some((first, rest))) = (exponent, nibbles(codes), out.split_first_mut()) else {
        return false;
    };
    *first = exponent;
    rest.copy_from_slice(&nibbles);
    true
}

#[cfg(test)]
mod tests;
