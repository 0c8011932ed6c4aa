//! candle's quantized tensors as weights and back. Both sides keep the blocks of ggml, so bytes pass as they are.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, GgmlDType as D, QStorage, QTensor};
use candle_core::{Device, Result};

use crate::bytes::SharedBytes;
use crate::error::Error;
use crate::format::Format;
use crate::weight::Weight;

/// Every type of candle's.
const DTYPES: [D; 15] = [
    D::F32,
    D::F16,
    D::BF16,
    D::Q4_0,
    D::Q4_1,
    D::Q5_0,
    D::Q5_1,
    D::Q8_0,
    D::Q8_1,
    D::Q2K,
    D::Q3K,
    D::Q4K,
    D::Q5K,
    D::Q6K,
    D::Q8K,
];

/// No block type of candle asks for more.
const ALIGNMENT: usize = 16;

/// candle's name of a format; `None` where it has none.
pub fn ggml_dtype(format: Format) -> Option<GgmlDType> {
    DTYPES.into_iter().find(|&dtype| format_of(dtype) == format)
}

/// The format behind candle's name; all of its names have one.
pub fn format_of(dtype: GgmlDType) -> Format {
    match dtype {
        D::F32 => Format::F32,
        D::F16 => Format::F16,
        D::BF16 => Format::BF16,
        D::Q4_0 => Format::Q4_0,
        D::Q4_1 => Format::Q4_1,
        D::Q5_0 => Format::Q5_0,
        D::Q5_1 => Format::Q5_1,
        D::Q8_0 => Format::Q8_0,
        D::Q8_1 => Format::Q8_1,
        D::Q2K => Format::Q2_K,
        D::Q3K => Format::Q3_K,
        D::Q4K => Format::Q4_K,
        D::Q5K => Format::Q5_K,
        D::Q6K => Format::Q6_K,
        D::Q8K => Format::Q8_K,
    }
}

/// The blocks of a tensor in host memory.
struct Blocks(Arc<QTensor>);

impl AsRef<[u8]> for Blocks {
    fn as_ref(&self) -> &[u8] {
        match self.0.data() {
            Ok(Cow::Borrowed(bytes)) => bytes,
            _ => &[],
        }
    }
}

/// A quantized tensor `[rows, cols]` as a weight. On the CPU the weight shares the tensor's memory; from other devices it is copied.
///
/// # Errors
/// A rank other than 2; a tensor whose shape does not belong to its bytes ([`Error::Shape`]); those of the copy.
pub fn weight_from_qtensor(tensor: Arc<QTensor>) -> Result<Weight> {
    let (rows, cols) = tensor.shape().dims2()?;
    let format = format_of(tensor.dtype());
    let copy = match tensor.data()? {
        Cow::Borrowed(_) => None,
        Cow::Owned(bytes) => Some(bytes),
    };
    let bytes = match copy {
        None => SharedBytes::new(Blocks(tensor)),
        Some(bytes) => SharedBytes::new(bytes),
    };
    Ok(Weight::new(format, rows, cols, bytes)?)
}

/// A weight as a quantized tensor `[rows, cols]` on the CPU. The bytes are copied, as candle owns those of its tensors.
///
/// # Errors
/// [`Error::UnsupportedFormat`] for a format that candle does not have.
pub fn qtensor_from_weight(weight: &Weight) -> Result<QTensor> {
    let format = weight.format();
    let dtype = ggml_dtype(format).ok_or(Error::UnsupportedFormat { format, operation: "export to candle" })?;
    let storage = aligned(weight.bytes(), |bytes| QStorage::from_data(Cow::Borrowed(bytes), &Device::Cpu, dtype))?;
    QTensor::new(storage, (weight.rows(), weight.cols()))
}

/// Calls `f` with the same bytes at an aligned address: candle panics over others, and a slice of a file may lie anywhere.
fn aligned<T>(bytes: &[u8], f: impl FnOnce(&[u8]) -> T) -> T {
    if !bytes.is_empty() && bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return f(bytes);
    }
    let mut copy = vec![0; bytes.len() + ALIGNMENT];
    let start = copy.as_ptr().addr().wrapping_neg() % ALIGNMENT;
    copy[start..start + bytes.len()].copy_from_slice(bytes);
    f(&copy[start..start + bytes.len()])
}
