//! The stored tensors that together make one weight.

use half::{bf16, f16};
use mistral_quant::Format;

use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, TensorType, Weights};

/// The tensors whose names begin with the same `base`: `model.layers.0.mlp.up_proj` of `....up_proj.qweight`.
pub(crate) struct Parts<'a> {
    pub(super) tensors: &'a Tensors,
    pub(super) base: &'a str,
}

impl Parts<'_> {
    pub(super) fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.base)
    }

    /// The part with this suffix.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub(super) fn get(&self, suffix: &str) -> Result<RawTensor, Error> {
        self.tensors.get(&self.name(suffix))
    }

    /// The same, if there is one.
    pub(super) fn find(&self, suffix: &str) -> Result<Option<RawTensor>, Error> {
        let name = self.name(suffix);
        self.tensors.contains(&name).then(|| self.tensors.get(&name)).transpose()
    }

    /// A part of this type.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Malformed`] for another type.
    pub(super) fn typed(&self, suffix: &str, kind: &str) -> Result<RawTensor, Error> {
        let tensor = self.get(suffix)?;
        expect_kind(&tensor, kind)?;
        Ok(tensor)
    }

    /// The numbers of a part in one of the float types, and its shape.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Malformed`] for another type.
    pub(super) fn floats(&self, suffix: &str) -> Result<(Vec<f32>, Vec<usize>), Error> {
        let tensor = self.get(suffix)?;
        Ok((floats(&tensor)?, tensor.shape))
    }

    /// A part that is a single number.
    pub(super) fn scalar(&self, suffix: &str) -> Result<i64, Error> {
        let tensor = self.get(suffix)?;
        match integers(&tensor)?.as_slice() {
            [one] => Ok(*one),
            many => Err(wrong(&tensor, format!("{} numbers, not one", many.len()))),
        }
    }
}

/// An error about a tensor.
pub(super) fn wrong(tensor: &RawTensor, detail: impl std::fmt::Display) -> Error {
    Error::malformed(format!("tensor `{}`", tensor.name), detail.to_string())
}

/// Checks the element type, by the name that safetensors gives it.
pub(super) fn expect_kind(tensor: &RawTensor, kind: &str) -> Result<(), Error> {
    let found = tensor.kind.to_string();
    if found == kind {
        return Ok(());
    }
    Err(wrong(tensor, format!("is {found}, expected {kind}")))
}

/// The two sizes of a matrix.
pub(super) fn matrix(tensor: &RawTensor) -> Result<[usize; 2], Error> {
    <[usize; 2]>::try_from(tensor.shape.as_slice())
        .map_err(|_| wrong(tensor, format!("has shape {:?}, expected a matrix", tensor.shape)))
}

/// The little-endian word at `index`; zero behind the end.
pub(super) fn word(bytes: &[u8], index: usize) -> u32 {
    bytes.as_chunks::<4>().0.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The numbers of a tensor of floats: F32, F16, BF16, or the exponents that F8_E8M0 is.
pub(super) fn floats(tensor: &RawTensor) -> Result<Vec<f32>, Error> {
    let bytes = tensor.bytes.as_slice();
    let halves = || bytes.as_chunks::<2>().0.iter();
    Ok(match &tensor.kind {
        TensorType::Format(Format::F32) => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        TensorType::Format(Format::F16) => halves().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        TensorType::Format(Format::BF16) => halves().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        TensorType::Other(name) if &**name == "F8_E8M0" => bytes.iter().map(|&b| power_of_two(b)).collect(),
        other => return Err(wrong(tensor, format!("is {other}, expected floats"))),
    })
}

/// `2^(exponent - 127)`, the numbers of E8M0; 255 is NaN.
pub(super) fn power_of_two(exponent: u8) -> f32 {
    match exponent {
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        exponent => f32::from_bits(u32::from(exponent) << 23),
    }
}

/// The numbers of a tensor of integers: I8, I16, I32, I64, U8, BOOL.
pub(super) fn integers(tensor: &RawTensor) -> Result<Vec<i64>, Error> {
    let bytes = tensor.bytes.as_slice();
    Ok(match tensor.kind.to_string().as_str() {
        "U8" | "BOOL" => bytes.iter().map(|&b| i64::from(b)).collect(),
        "I8" => bytes.iter().map(|&b| i64::from(b as i8)).collect(),
        "I16" => bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect(),
        "I32" => bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        "I64" => bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
        other => return Err(wrong(tensor, format!("is {other}, expected integers"))),
    })
}
