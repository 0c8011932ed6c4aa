//! FP8: E4M3 numbers with a scale for the tensor, for each output, or for each tile.
//!
//! ```text
//! weight            F8_E4M3 [out, in]
//! weight_scale_inv  F32 [ceil(out / tile), ceil(in / tile)]   with `weight_block_size` (DeepSeek, Qwen3); BF16 and F8_E8M0 also occur
//! weight_scale      F32 [] or [1], or [out] or [out, 1]        without it; "fbgemm_fp8"
//! weight[o, i] = e4m3 * scale of (o, i)
//! ```
//!
//! The scales of activations (`input_scale`, `activation_scale_ub`) are passed over: activations are not rounded to FP8 here, which is
//! nearer to the model that was quantized. Sources: transformers `integrations/finegrained_fp8.py` and `fbgemm_fp8.py`.

use mistral_quant::Format;

use super::Scheme;
use super::coded::{Coded, Grouping};
use super::keys::Keys;
use super::parts::{Parts, matrix};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, TensorType, Weights};

/// The type of the codes.
pub(super) const E4M3: &str = "F8_E4M3";

#[derive(Debug)]
pub(super) struct Fp8 {
    /// Rows and columns of a tile.
    tile: Option<[usize; 2]>,
}

impl Fp8 {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        let tile = tile(keys, "weight_block_size")?;
        if let Some(other) = keys.text("fmt")?.filter(|fmt| *fmt != "e4m3") {
            return Err(keys.unsupported("fmt", other));
        }
        keys.finish(&["activation_scheme", "activation_scale_ub", "scale_fmt"])?;
        Ok(Self { tile })
    }

    /// The same tensors under another configuration.
    pub(super) fn tiled(tile: Option<[usize; 2]>) -> Self {
        Self { tile }
    }
}

impl Scheme for Fp8 {
    fn base<'n>(&self, name: &'n str, tensors: &Tensors) -> Option<&'n str> {
        name.strip_suffix(".weight").filter(|_| is_e4m3(name, tensors))
    }

    fn parts(&self) -> &'static [&'static str] {
        &[".weight", ".weight_scale_inv", ".weight_scale", ".input_scale", ".activation_scale"]
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let weight = parts.typed(".weight", E4M3)?;
        // Programs differ in the name, not in the meaning.
        let inverse = parts.find(".weight_scale_inv")?.is_some();
        let suffix = if inverse { ".weight_scale_inv" } else { ".weight_scale" };
        let scales = parts.floats(suffix)?;
        let grouping = match self.tile {
            Some([height, width]) => Grouping::Tiles { height, width },
            None => plain_grouping(matrix(&weight)?, &scales.1),
        };
        floats(parts, suffix, name, &weight, grouping, scales)
    }
}

/// Whether a tensor holds E4M3 numbers.
pub(super) fn is_e4m3(name: &str, tensors: &Tensors) -> bool {
    tensors.get(name).is_ok_and(|tensor| matches!(tensor.kind, TensorType::Other(kind) if &*kind == E4M3))
}

/// The two sizes of a tile, if the key is given.
pub(super) fn tile(keys: &Keys<'_>, key: &'static str) -> Result<Option<[usize; 2]>, Error> {
    let Some(value) = keys.value(key) else { return Ok(None) };
    let sizes = value.as_array().and_then(|list| {
        let [a, b] = list.as_slice() else { return None };
        let size = |n: &serde_json::Value| n.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        Some([size(a)?, size(b)?])
    });
    sizes.map(Some).ok_or_else(|| keys.wrong(key, format!("{value} is not two sizes")))
}

/// One scale for all, or one a row.
pub(super) fn plain_grouping([rows, cols]: [usize; 2], shape: &[usize]) -> Grouping {
    let all = shape.iter().product::<usize>() == 1;
    Grouping::Tiles { height: if all { rows.max(1) } else { 1 }, width: cols.max(1) }
}

/// E4M3 codes with scales, whose shape is that of the groups but for sizes of 1.
pub(super) fn floats(
    parts: &Parts<'_>,
    suffix: &str,
    name: &str,
    weight: &RawTensor,
    grouping: Grouping,
    (scales, shape): (Vec<f32>, Vec<usize>),
) -> Result<RawTensor, Error> {
    let [rows, cols] = matrix(weight)?;
    expect_scales(parts, suffix, [rows, cols], &grouping, &shape)?;
    let codes = weight.bytes.as_slice();
    Coded {
        name,
        rows,
        cols,
        shape: None,
        formats: &[Format::F8_E4M3],
        max_code: 255,
        grouping,
        scales,
        zeros: vec![0.0],
        codes: &|range, out| out.copy_from_slice(&codes[range.start * cols..range.end * cols]),
    }
    .tensor()
}

/// Checks the shape of the scales against that of the tiles; sizes of 1 may be left out.
pub(super) fn expect_scales(
    parts: &Parts<'_>,
    suffix: &str,
    [rows, cols]: [usize; 2],
    grouping: &Grouping,
    shape: &[usize],
) -> Result<(), Error> {
    let Grouping::Tiles { height, width } = grouping else { return Ok(()) };
    let expected = [rows.div_ceil(*height), cols.div_ceil(*width)];
    let plain = |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|n| *n != 1).collect() };
    if plain(shape) == plain(&expected) {
        return Ok(());
    }
    Err(Error::Shape { tensor: parts.name(suffix), expected: expected.to_vec(), found: shape.to_vec() })
}
