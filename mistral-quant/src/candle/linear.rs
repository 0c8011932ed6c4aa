//! The linear layer.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Module, Result, Shape, Tensor};
use half::{bf16, f16};

use crate::candle::qtensor::weight_from_qtensor;
use crate::candle::shared::SharedCpu;
use crate::cpu::weight::CpuWeight;
use crate::error::Error;
use crate::format::Format;
use crate::quantize::quantize;
use crate::weight::Weight;

const NAME: &str = "mistral-quant linear";

/// `y = x · weightᵀ + bias` on the kernels of this crate; takes the place of `candle_nn::Linear` and of candle's `QMatMul`.
///
/// The input is `[..., cols]` with any rank from 1 and any strides, f32, f16 or bf16, on the CPU; the output is `[..., rows]` in the
/// type of the input. f16 and bf16 are widened to f32 and the result is rounded once. Each row of the output depends on its own row
/// of the input only, and to the bit neither on the other rows nor on the number of threads. A tensor on another device is
/// candle's error of a missing implementation. There are no gradients: calling `backward` through this layer is
/// [`Error::BackwardNotSupported`](candle_core::Error::BackwardNotSupported).
///
/// Input and output are copied once between candle's memory and that of the backend: 32 KB for one token of 4096 x 4096, whose
/// product reads 9 MB of weights in Q4_K. Clones share the weight. The blocks are not kept beside the form that the backend's
/// [`Repack`](crate::Repack) policy gives them: to export a weight, call [`qtensor_from_weight`](super::qtensor_from_weight) on the
/// [`Weight`] before a layer is made of it.
///
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use mistral_quant::candle::{Linear, SharedCpu};
/// use mistral_quant::{Cpu, CpuOptions, Format};
///
/// let cpu = SharedCpu::new(Cpu::new(CpuOptions::default())?)?;
/// let weight = Tensor::new(&[[1f32, 2.], [3., 4.], [5., 6.]], &Device::Cpu)?;
/// let layer = Linear::quantize(&cpu, Format::F32, &weight, None)?;
/// let x = Tensor::new(&[[10f32, 100.]], &Device::Cpu)?;
/// assert_eq!(layer.forward(&x)?.to_vec2::<f32>()?, &[[210.0, 430.0, 650.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Linear {
    cpu: SharedCpu,
    weight: Arc<CpuWeight>,
    bias: Option<Arc<CpuWeight>>,
}

impl Linear {
    /// A layer over a weight `[rows, cols]`, wherever its bytes lie: in a mapped checkpoint, in a tensor of candle's. `bias` is `[rows]`.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`]; [`Error::Shape`] for a bias of another length; those of reading the bias.
    pub fn new(cpu: &SharedCpu, weight: Weight, bias: Option<&Tensor>) -> Result<Self> {
        let rows = weight.rows();
        if !weight.format().is_computable() {
            Err(Error::UnsupportedFormat { format: weight.format(), operation: "linear layer" })?;
        }
        let bias = match bias {
            Some(bias) => Some(Arc::new(cpu.weight(Weight::from_f32(1, rows, &values(bias)?)?)?)),
            None => None,
        };
        Ok(Self { cpu: cpu.clone(), weight: Arc::new(cpu.weight(weight)?), bias })
    }

    /// A layer over the blocks of a quantized tensor `[rows, cols]`, which it shares when they are in host memory. `bias` is `[rows]`.
    ///
    /// # Errors
    /// As [`weight_from_qtensor`] and [`Linear::new`].
    pub fn from_qtensor(cpu: &SharedCpu, weight: Arc<QTensor>, bias: Option<&Tensor>) -> Result<Self> {
        Self::new(cpu, weight_from_qtensor(weight)?, bias)
    }

    /// A layer over a dense tensor `[rows, cols]`, encoded in `format` on this thread; exact where the format is that of the tensor.
    /// `bias` is `[rows]`. Costs what [`encode_row`](crate::encode_row) says.
    ///
    /// # Errors
    /// A rank other than 2; as [`quantize`] and [`Linear::new`]; those of reading the tensors.
    pub fn quantize(cpu: &SharedCpu, format: Format, weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (rows, cols) = weight.dims2()?;
        Self::new(cpu, quantize(format, rows, cols, &values(weight)?)?, bias)
    }

    /// How the weights are stored.
    pub fn format(&self) -> Format {
        self.weight.format()
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.weight.rows()
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.weight.cols()
    }

    /// The weight as a dense f32 tensor `[rows, cols]`.
    ///
    /// # Errors
    /// [`Error::Resource`] without memory for it.
    pub fn dequantize(&self) -> Result<Tensor> {
        let (rows, cols) = (self.rows(), self.cols());
        let mut values = zeros(product(&[rows, cols])?)?;
        self.cpu.decode(&self.weight, &mut values)?;
        Tensor::from_vec(values, (rows, cols), &Device::Cpu)
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(self.clone())
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, cols) = (self.weight.rows(), self.weight.cols());
        let mut dims = layout.dims().to_vec();
        if dims.last() != Some(&cols) {
            let expected = format!("[..., {cols}]");
            Err(Error::Shape { what: "input of a linear layer", expected, found: format!("{dims:?}") })?;
        }
        dims.pop();
        let tokens = product(&dims)?;
        dims.push(rows);
        let x = input(storage, layout, product(&[tokens, cols])?)?;
        let mut out = zeros(product(&[tokens, rows])?)?;
        self.cpu.product(&self.weight, self.bias.as_deref(), &x, tokens, &mut out)?;
        let out = match storage.dtype() {
            DType::F16 => CpuStorage::F16(out.into_iter().map(f16::from_f32).collect()),
            DType::BF16 => CpuStorage::BF16(out.into_iter().map(bf16::from_f32).collect()),
            _ => CpuStorage::F32(out),
        };
        Ok((out, Shape::from(dims)))
    }
}

/// All values of a tensor on any device, in order.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The `len` values of an input, in order; borrowed where they lie so already.
fn input<'a>(storage: &'a CpuStorage, layout: &Layout, len: usize) -> Result<Cow<'a, [f32]>> {
    match storage {
        CpuStorage::F32(values) => match layout.contiguous_offsets() {
            Some((start, end)) => values.get(start..end).map(Cow::Borrowed).ok_or_else(|| short(layout, values.len())),
            None => gathered(values, layout, len, |value| value),
        },
        CpuStorage::F16(values) => gathered(values, layout, len, f16::to_f32),
        CpuStorage::BF16(values) => gathered(values, layout, len, bf16::to_f32),
        other => Err(candle_core::Error::UnsupportedDTypeForOp(other.dtype(), NAME).bt()),
    }
}

/// The values in the order of the shape, as f32.
fn gathered<'a, T: Copy>(
    values: &[T],
    layout: &Layout,
    len: usize,
    widen: impl Fn(T) -> f32,
) -> Result<Cow<'a, [f32]>> {
    let mut out = reserved(len)?;
    let (Some((&cols, dims)), Some((&step, strides))) = (layout.dims().split_last(), layout.stride().split_last())
    else {
        return Ok(Cow::Owned(out));
    };
    for row in 0..len.checked_div(cols).unwrap_or(0) {
        let (mut start, mut rest) = (layout.start_offset(), row);
        for (&dim, &stride) in dims.iter().zip(strides).rev() {
            start = start.saturating_add((rest % dim).saturating_mul(stride));
            rest /= dim;
        }
        for col in 0..cols {
            let value = values.get(start.saturating_add(col.saturating_mul(step)));
            out.push(widen(*value.ok_or_else(|| short(layout, values.len()))?));
        }
    }
    Ok(Cow::Owned(out))
}

/// candle lets a shape claim more elements than there are.
fn short(layout: &Layout, found: usize) -> candle_core::Error {
    candle_core::Error::ShapeMismatch { buffer_size: found, shape: layout.shape().clone() }.bt()
}

/// A product of sizes that can be addressed.
fn product(factors: &[usize]) -> std::result::Result<usize, Error> {
    crate::check::sizes::product("operands of a linear layer", factors)
}

/// `len` zeros, or the system's refusal as an error.
fn zeros(len: usize) -> std::result::Result<Vec<f32>, Error> {
    let mut values = reserved(len)?;
    values.resize(len, 0.0);
    Ok(values)
}

/// Room for `len` values, or the system's refusal as an error.
fn reserved(len: usize) -> std::result::Result<Vec<f32>, Error> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|error| Error::Resource {
        what: format!("{len} values of a linear layer"),
        detail: error.to_string(),
    })?;
    Ok(values)
}
