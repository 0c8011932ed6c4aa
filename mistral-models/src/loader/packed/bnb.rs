//! bitsandbytes: NF4 and FP4 codes with a scale for each run of weights, and int8 codes with a scale for each output.
//!
//! ```text
//! weight                    U8 [n / 2, 1]   codes of [out, in] row after row, the high nibble first (or any type of the same bytes)
//! weight.absmax             F32 [n / blocksize], or U8 where the scales are quantized themselves:
//! weight.nested_absmax      F32 [runs / nested_blocksize]
//! weight.nested_quant_map   F32 [256]       absmax[j] = map[code[j]] * nested_absmax[j / nested_blocksize] + nested_offset
//! weight.quant_map          F32 [16]        the values of the codes
//! weight.quant_state.bitsandbytes__nf4      U8, JSON: shape, blocksize, nested_blocksize, nested_offset, quant_type
//! weight[i] = quant_map[code] * absmax[i / blocksize]
//!
//! weight                    I8 [out, in]
//! SCB                       F32 [out]
//! weight[o, i] = code * (SCB[o] / 127)
//! ```
//!
//! The int8 product of bitsandbytes also keeps columns of large activations apart (`llm_int8_threshold`); activations are not rounded to
//! int8 by its rules here. Sources: bitsandbytes `functional.py` (`QuantState`, `dequantize_4bit`), `nn/modules.py`.

use mistral_quant::{Format, assemble_row, decode_row};
use serde_json::Value as Json;

use super::Scheme;
use super::coded::{Coded, Grouping};
use super::gptq::expect;
use super::keys::Keys;
use super::parts::{Parts, matrix, wrong};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, Weights};
use crate::unsupported::Unsupported;

#[derive(Debug)]
pub(super) struct Bnb;

impl Bnb {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        // Which of the two it is, and every number, is in the tensors.
        for key in ["load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit", "bnb_4bit_use_double_quant"] {
            keys.flag(key)?;
        }
        if let Some(other) = keys.text("bnb_4bit_quant_type")?.filter(|kind| !["nf4", "fp4"].contains(kind)) {
            return Err(keys.unsupported("bnb_4bit_quant_type", other));
        }
        keys.finish(&[
            "bnb_4bit_compute_dtype",
            "bnb_4bit_quant_storage",
            "llm_int8_threshold",
            "llm_int8_enable_fp32_cpu_offload",
            "llm_int8_has_fp16_weight",
        ])?;
        Ok(Self)
    }
}

const STATES: [(&str, Format); 2] =
    [(".weight.quant_state.bitsandbytes__nf4", Format::NF4), (".weight.quant_state.bitsandbytes__fp4", Format::FP4)];

impl Scheme for Bnb {
    fn base<'n>(&self, name: &'n str, tensors: &Tensors) -> Option<&'n str> {
        let base = name.strip_suffix(".weight")?;
        let packed = [".weight.absmax", ".weight.quant_map", ".SCB"];
        packed.iter().any(|part| tensors.contains(&format!("{base}{part}"))).then_some(base)
    }

    fn parts(&self) -> &'static [&'static str] {
        &[
            ".weight",
            ".weight.absmax",
            ".weight.nested_absmax",
            ".weight.nested_quant_map",
            ".weight.quant_map",
            ".weight.quant_state.bitsandbytes__nf4",
            ".weight.quant_state.bitsandbytes__fp4",
            ".SCB",
            ".weight_format",
        ]
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        for (suffix, format) in STATES {
            if let Some(state) = parts.find(suffix)? {
                return four_bits(parts, name, &State::read(&state)?, format);
            }
        }
        if parts.find(".SCB")?.is_none() {
            return Err(Error::Missing { kind: "tensor", name: parts.name(STATES[0].0) });
        }
        eight_bits(parts, name)
    }
}

/// The `quant_state` of a weight.
struct State {
    rows: usize,
    cols: usize,
    blocksize: usize,
    /// Scales that share a scale of their own, and what is added to them.
    nested: Option<(usize, f32)>,
}

impl State {
    fn read(tensor: &RawTensor) -> Result<Self, Error> {
        let bytes = tensor.bytes.as_slice();
        if bytes.len() > 1 << 16 {
            return Err(wrong(tensor, format!("{} bytes are no description of a weight", bytes.len())));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|error| wrong(tensor, error))?;
        let size = |value: &Json| value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let key = |key: &str| json.get(key).and_then(size).ok_or_else(|| wrong(tensor, format!("no size `{key}`")));
        let [rows, cols] = match json.get("shape").and_then(Json::as_array).map(Vec::as_slice) {
            Some([rows, cols]) => [rows, cols].map(|n| size(n).unwrap_or(0)),
            _ => return Err(wrong(tensor, "`shape` is not that of a matrix")),
        };
        let nested = match json.get("nested_blocksize").filter(|value| !value.is_null()) {
            None => None,
            Some(_) => {
                let offset = json.get("nested_offset").and_then(Json::as_f64);
                let offset = offset.ok_or_else(|| wrong(tensor, "no number `nested_offset`"))?;
                Some((key("nested_blocksize")?, offset as f32))
            }
        };
        Ok(Self { rows, cols, blocksize: key("blocksize")?, nested })
    }
}

fn four_bits(parts: &Parts<'_>, name: &str, state: &State, format: Format) -> Result<RawTensor, Error> {
    let weight = parts.get(".weight")?;
    let State { rows, cols, blocksize, .. } = *state;
    let bytes = weight.bytes.as_slice();
    let count = rows.checked_mul(cols).filter(|count| count.div_ceil(2) == bytes.len());
    let count =
        count.ok_or_else(|| wrong(&weight, format!("{} bytes for {rows} x {cols} codes of 4 bits", bytes.len())))?;
    let (map, shape) = parts.floats(".weight.quant_map")?;
    expect(parts, ".weight.quant_map", &[16], &shape)?;
    let codes: [u8; 32] = std::array::from_fn(|i| i as u8 % 16);
    let (mut block, mut values) = (vec![0; format.block_bytes()], [0.0; 32]);
    assemble_row(format, &codes, &[1.0], &[0.0], &mut block)?;
    decode_row(format, &block, &mut values)?;
    if map.iter().zip(values).any(|(found, known)| *found != known) {
        let format = format!("{format} with other values");
        return Err(Unsupported::format(parts.name(".weight.quant_map"), format).into());
    }
    Coded {
        name,
        rows,
        cols,
        shape: None,
        formats: &[format],
        max_code: 15,
        grouping: Grouping::Runs { width: blocksize },
        scales: absmax(parts, state, count.div_ceil(blocksize))?,
        zeros: vec![0.0],
        codes: &|range, out| {
            for (i, out) in (range.start * cols..).zip(out) {
                *out = if i % 2 == 0 { bytes[i / 2] >> 4 } else { bytes[i / 2] & 15 };
            }
        },
    }
    .tensor()
}

/// One scale a run.
fn absmax(parts: &Parts<'_>, state: &State, runs: usize) -> Result<Vec<f32>, Error> {
    let Some((blocksize, offset)) = state.nested else {
        let (scales, shape) = parts.floats(".weight.absmax")?;
        expect(parts, ".weight.absmax", &[runs], &shape)?;
        return Ok(scales);
    };
    let codes = parts.typed(".weight.absmax", "U8")?;
    codes.expect_shape(&[runs])?;
    let (map, shape) = parts.floats(".weight.nested_quant_map")?;
    expect(parts, ".weight.nested_quant_map", &[256], &shape)?;
    let (scales, shape) = parts.floats(".weight.nested_absmax")?;
    expect(parts, ".weight.nested_absmax", &[runs.div_ceil(blocksize)], &shape)?;
    let value = |(i, code): (usize, &u8)| map[usize::from(*code)] * scales[i / blocksize] + offset;
    Ok(codes.bytes.as_slice().iter().enumerate().map(value).collect())
}

fn eight_bits(parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
    let weight = parts.typed(".weight", "I8")?;
    let [rows, cols] = matrix(&weight)?;
    if parts.find(".weight_format")?.is_some() {
        // 0 is rows one after the other; the others are layouts of old GPU kernels.
        match parts.scalar(".weight_format")? {
            0 => {}
            other => return Err(Unsupported::format(name, format_args!("layout {other}")).into()),
        }
    }
    let (scales, shape) = parts.floats(".SCB")?;
    expect(parts, ".SCB", &[rows], &shape)?;
    let bytes = weight.bytes.as_slice();
    Coded {
        name,
        rows,
        cols,
        shape: None,
        formats: super::coded::INTEGERS,
        max_code: 255,
        grouping: Grouping::Tiles { height: 1, width: cols.max(1) },
        scales: scales.into_iter().map(|scale| scale / 127.0).collect(),
        zeros: vec![128.0],
        codes: &|range, out| {
            let signed = &bytes[range.start * cols..range.end * cols];
            out.iter_mut().zip(signed).for_each(|(out, code)| *out = code ^ 0x80);
        },
    }
    .tensor()
}
