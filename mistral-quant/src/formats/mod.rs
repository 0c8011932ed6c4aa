//! What the bytes of each format mean: one file a format, with its byte diagram, its decoder and its encoder.
//!
//! Meaning lives here, speed in `cpu/kernels`. A format is a struct of bytes that implements [`Block`]; the block formats
//! also implement [`Grid`], which states every weight as `scale * (code - offset) - min` with small integer codes. The integer
//! kernels of every instruction set are written against [`Grid`], so that a new format is right everywhere at once.
//! The code books of IQ1, IQ2 and IQ3 are in `code_book`, what encoders share in `fit` and `search`.
//! Source of the layouts: ggml (`ggml-common.h`) and the GGUF specification; the tests hold the decoders to the `gguf` package.

mod affine;
mod assemble;
mod bnb;
pub(crate) mod code_book;
pub(crate) mod e2m1;
mod f8_e4m3;
mod fit;
mod float;
pub(crate) mod iq1_m;
pub(crate) mod iq1_s;
mod iq2;
pub(crate) mod iq2_s;
pub(crate) mod iq2_xs;
pub(crate) mod iq2_xxs;
pub(crate) mod iq3_s;
pub(crate) mod iq3_xxs;
pub(crate) mod iq4_nl;
pub(crate) mod iq4_xs;
pub(crate) mod mxfp4;
pub(crate) mod nvfp4;
pub(crate) mod q1_0;
pub(crate) mod q2_0;
pub(crate) mod q2_k;
pub(crate) mod q3_k;
pub(crate) mod q4_0;
pub(crate) mod q4_1;
pub(crate) mod q4_k;
pub(crate) mod q5_0;
pub(crate) mod q5_1;
pub(crate) mod q5_k;
pub(crate) mod q6_k;
pub(crate) mod q8_0;
pub(crate) mod q8_1;
pub(crate) mod q8_k;
mod search;
pub(crate) mod tq1_0;
pub(crate) mod tq2_0;

pub(crate) use affine::{Affine4, Affine8};
pub use assemble::assemble_row;
pub(crate) use bnb::{FP4, NF4};
pub(crate) use f8_e4m3::F8_E4M3;
pub(crate) use float::{BF16, F16, F32};
pub(crate) use iq1_m::IQ1_M;
pub(crate) use iq1_s::IQ1_S;
pub(crate) use iq2_s::IQ2_S;
pub(crate) use iq2_xs::IQ2_XS;
pub(crate) use iq2_xxs::IQ2_XXS;
pub(crate) use iq3_s::IQ3_S;
pub(crate) use iq3_xxs::IQ3_XXS;
pub(crate) use iq4_nl::IQ4_NL;
pub(crate) use iq4_xs::IQ4_XS;
pub(crate) use mxfp4::MXFP4;
pub(crate) use nvfp4::NVFP4;
pub(crate) use q1_0::Q1_0;
pub(crate) use q2_0::Q2_0;
pub(crate) use q2_k::Q2_K;
pub(crate) use q3_k::Q3_K;
pub(crate) use q4_0::Q4_0;
pub(crate) use q4_1::Q4_1;
pub(crate) use q4_k::Q4_K;
pub(crate) use q5_0::Q5_0;
pub(crate) use q5_1::Q5_1;
pub(crate) use q5_k::Q5_K;
pub(crate) use q6_k::Q6_K;
pub(crate) use q8_0::Q8_0;
pub(crate) use q8_1::Q8_1;
pub(crate) use q8_k::Q8_K;
pub(crate) use tq1_0::TQ1_0;
pub(crate) use tq2_0::TQ2_0;

use crate::error::Error;
use crate::format::Format;

/// One block of weights as it lies in a file.
///
/// # Safety
/// The type is `repr(C)` and made of byte arrays only: alignment 1, no padding, every bit pattern valid, and its size is
/// `FORMAT.block_bytes()`. [`blocks`] relies on this to see bytes as blocks.
pub(crate) unsafe trait Block: Copy + Send + Sync + 'static {
    /// The format whose blocks these are.
    const FORMAT: Format;
    /// Weights a block.
    const WEIGHTS: usize;

    /// Writes the weights to the first `WEIGHTS` places of `out`; a shorter `out` takes what fits.
    fn decode(&self, out: &mut [f32]);

    /// The block nearest to `WEIGHTS` weights; missing ones count as zero. `importance` says for each of them how much a square
    /// error there matters, finite and not negative; without it all matter alike.
    fn encode(weights: &[f32], importance: Option<&[f32]>) -> Self;
}

/// How many weights share one set of integer codes: the unit in which kernels and activations work.
pub(crate) const UNIT: usize = 32;

/// 32 weights taken apart: `weight[i] = scales[i / 16] * (codes[i] - OFFSET) - mins[i / 16]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// `0..=MAX_CODE`, or `-128..=127` where `OFFSET` is 0 and `MAX_CODE` is 128.
    pub codes: [i8; UNIT],
    /// One scale for each half; equal where the format has one for all 32.
    pub scales: [f32; 2],
    /// One min for each half; zero where `MINS` is false.
    pub mins: [f32; 2],
}

/// A block format whose weights are small integers on an affine grid.
pub(crate) trait Grid: Block {
    /// Subtracted from every code.
    const OFFSET: i8;
    /// The largest magnitude of a code. 128 marks signed codes, all others are unsigned.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Bounds the sums of vector registers.
    const MAX_CODE: i32;
    /// Whether the two halves of a unit have scales and mins of their own.
    const HALVES: bool;
    /// Whether there are mins.
    const MINS: bool;

    /// Takes unit `index % (WEIGHTS / UNIT)` apart.
    fn unit(&self, index: usize) -> Unit;

    /// [`Block::decode`] by way of [`Grid::unit`]: product and difference rounded separately, as ggml's reference does.
    fn decode_units(&self, out: &mut [f32]) {
        for (index, out) in out.chunks_mut(UNIT).take(Self::WEIGHTS / UNIT).enumerate() {
            let unit = self.unit(index);
            for (i, (out, &code)) in out.iter_mut().zip(&unit.codes).enumerate() {
                let half = i / 16;
                *out = unit.scales[half] * (i32::from(code) - i32::from(Self::OFFSET)) as f32 - unit.mins[half];
            }
        }
    }
}

/// Names the block type of a format and evaluates an expression with it; the one list of what can be computed.
macro_rules! with_block {
    ($format:expr, $block:ident => $body:expr, _ => $other:expr) => {
        $crate::formats::with_grid!($format, $block => $body, _ => {
            $crate::formats::with_one_of!($format, $block => $body, _ => $other, F32 F16 BF16 F8_E4M3 NF4 FP4)
        })
    };
}

/// As `with_block`, for the formats that implement [`Grid`].
macro_rules! with_grid {
    ($format:expr, $block:ident => $body:expr, _ => $other:expr) => {
        $crate::formats::with_one_of!($format, $block => $body, _ => $other,
            Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4
            Q1_0 Q2_0 Affine4 Affine8)
    };
}

/// A `match` with one arm for each of the formats that are listed.
macro_rules! with_one_of {
    ($format:expr, $block:ident => $body:expr, _ => $other:expr, $($name:ident)+) => {
        match $format {
            $($crate::Format::$name => {
                type $block = $crate::formats::$name;
                $body
            })+
            _ => $other,
        }
    };
}
pub(crate) use {with_grid, with_one_of};

impl Format {
    /// Whether this version can decode, encode and multiply weights of this format.
    pub fn is_computable(self) -> bool {
        with_block!(self, _Block => true, _ => false)
    }

    /// Whether [`encode_row`] refuses this format: at about two bits a weight, what is kept must be what matters, and without an
    /// importance of the columns ([`encode_row_with`]) the result is not fit for use. llama.cpp draws the same line.
    pub fn needs_importance(self) -> bool {
        matches!(self, Format::IQ2_XXS | Format::IQ2_XS | Format::IQ1_S | Format::IQ1_M)
    }
}

/// Decodes a whole number of blocks (a row, several rows) to `out.len()` weights; exact, as ggml's reference does.
///
/// # Errors
/// [`Error::UnsupportedFormat`]; [`Error::Shape`] when `out` is not whole blocks or `bytes` has another length than they need.
pub fn decode_row(format: Format, bytes: &[u8], out: &mut [f32]) -> Result<(), Error> {
    check_row(format, out.len(), Some(bytes.len()))?;
    with_block!(format, B => {
        for (block, out) in blocks::<B>(bytes).iter().zip(out.chunks_exact_mut(B::WEIGHTS)) {
            block.decode(out);
        }
        Ok(())
    }, _ => Err(Error::UnsupportedFormat { format, operation: "decode" }))
}

/// Encodes a whole number of blocks of weights.
///
/// F32, F16 and BF16 keep NaN and infinities. In the other formats NaN counts as zero, magnitudes end at 1e30 and scales at
/// the largest f16: nothing decodes to more than 65504 times the largest code and sub-scale.
///
/// Cost per weight on one core of a Zen 5: 2 to 4 ns for floats, Q1_0, Q4_0 to Q5_1 and the Q8 types; 20 ns for Q2_0 and the ternary types.
/// K-quants and IQ4 take 50 to 120 ns, because they search for the scales with the least weighted square error. IQ1 to IQ3 take 0.1 to 0.7
/// us, because they search their code books. The times are with AVX-512; AVX2 and portable code find the same bytes, but take longer.
///
/// # Errors
/// [`Error::UnsupportedFormat`]; [`Error::Shape`] when `weights` are not whole blocks; [`Error::ImportanceMissing`] for a format
/// that [needs it](Format::needs_importance).
pub fn encode_row(format: Format, weights: &[f32]) -> Result<Vec<u8>, Error> {
    encode_row_with(format, weights, None)
}

/// As [`encode_row`], where errors matter more in some columns than in others.
///
/// `importance` holds one weight a column, `[weights.len()]`: usually the mean of the squared activations that meet the column, as in
/// llama.cpp's importance matrices. Only the ratios count. Formats with a search for their scales use it, the plain ones
/// (floats, Q8_0) have nothing to choose and ignore it.
///
/// ```
/// use mistral_quant::{Format, encode_row_with};
/// let weights: Vec<f32> = (0..256).map(|i| (i as f32).sin()).collect();
/// let importance: Vec<f32> = (0..256).map(|i| if i < 16 { 9.0 } else { 1.0 }).collect();
/// let bytes = encode_row_with(Format::Q4_K, &weights, Some(&importance))?;
/// assert_eq!(bytes.len(), 144);
/// # Ok::<(), mistral_quant::Error>(())
/// ```
///
/// # Errors
/// As [`encode_row`]; [`Error::Shape`] also when `importance` has another length or holds a number that is negative or not finite.
pub fn encode_row_with(format: Format, weights: &[f32], importance: Option<&[f32]>) -> Result<Vec<u8>, Error> {
    let len = check_row(format, weights.len(), None)?;
    check_importance(format, weights.len(), importance)?;
    let mut bytes = Vec::with_capacity(len);
    encode_into(format, weights, importance, &mut bytes)?;
    Ok(bytes)
}

/// Appends the blocks of a row that has been checked.
pub(crate) fn encode_into(
    format: Format,
    weights: &[f32],
    importance: Option<&[f32]>,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    with_block!(format, B => {
        for (index, weights) in weights.chunks_exact(B::WEIGHTS).enumerate() {
            let importance = importance.and_then(|all| all.get(index * B::WEIGHTS..(index + 1) * B::WEIGHTS));
            bytes.extend_from_slice(as_bytes(&B::encode(weights, importance)));
        }
        Ok(())
    }, _ => Err(Error::UnsupportedFormat { format, operation: "encode" }))
}

/// One finite importance of at least zero for every column, and some where the format needs them.
pub(crate) fn check_importance(format: Format, cols: usize, importance: Option<&[f32]>) -> Result<(), Error> {
    let Some(importance) = importance else {
        // A format without an encoder says so rather than ask for more.
        let missing = format.needs_importance() && format.is_computable();
        return if missing { Err(Error::ImportanceMissing { format }) } else { Ok(()) };
    };
    if importance.len() != cols {
        return Err(Error::Shape {
            what: "importance of the columns",
            expected: format!("{cols} values"),
            found: format!("{} values", importance.len()),
        });
    }
    match importance.iter().position(|one| !one.is_finite() || *one < 0.0) {
        Some(column) => Err(Error::Shape {
            what: "importance of a column",
            expected: "a finite number of at least 0".into(),
            found: format!("{} in column {column}", importance[column]),
        }),
        None => Ok(()),
    }
}

/// The blocks that fill `bytes`; bytes after the last whole block are left out.
pub(crate) fn blocks<B: Block>(bytes: &[u8]) -> &[B] {
    const { assert!(align_of::<B>() == 1 && size_of::<B>() == B::FORMAT.block_bytes()) };
    let count = bytes.len() / size_of::<B>();
    // SAFETY: `count` blocks of `size_of::<B>()` bytes lie inside `bytes`; by the contract of `Block` the alignment is 1 and every
    // bit pattern is a value. The lifetime and the shared borrow are those of `bytes`.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<B>(), count) }
}

/// The bytes of a block.
pub(crate) fn as_bytes<B: Block>(block: &B) -> &[u8] {
    // SAFETY: by the contract of `Block` the value is `size_of::<B>()` initialised bytes without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(block).cast::<u8>(), size_of::<B>()) }
}

pub(crate) fn check_row(format: Format, weights: usize, bytes: Option<usize>) -> Result<usize, Error> {
    let len = format.byte_len(weights).ok_or_else(|| Error::Shape {
        what: "row of weights",
        expected: format!("whole {format} blocks of {}", format.block_weights()),
        found: format!("{weights} weights"),
    })?;
    match bytes {
        Some(found) if found != len => Err(Error::Shape {
            what: "bytes of a row",
            expected: format!("{len} bytes for {weights} {format} weights"),
            found: format!("{found} bytes"),
        }),
        _ => Ok(len),
    }
}

/// The value of a little-endian f16.
pub(crate) fn f16_value(bytes: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bytes).to_f32()
}

/// The f16 nearest to a scale, held inside the finite range.
fn f16_bytes(value: f32) -> [u8; 2] {
    half::f16::from_f32(value.clamp(-65504.0, 65504.0)).to_le_bytes()
}

/// Weights with which an encoder can calculate: NaN is zero, magnitudes end at 1e30 (beyond any f16 scale, squares still finite in f64).
fn finite<const N: usize>(weights: &[f32]) -> [f32; N] {
    let mut out = [0.0; N];
    for (out, &weight) in out.iter_mut().zip(weights) {
        *out = if weight.is_nan() { 0.0 } else { weight.clamp(-1e30, 1e30) };
    }
    out
}

/// `1 / value`, or zero where that has no finite value.
fn inverse(value: f32) -> f32 {
    let inverse = 1.0 / value;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests;
