//! HQQ: codes of 1, 2, 3, 4 or 8 bits, a scale and a zero point, not always whole, for each group.
//!
//! ```text
//! W_q    U8 or I32 (or any type of the same bytes)   codes of the matrix of groups, packed along its first dimension
//! scale, zero   one a group, F16 or BF16
//! shape  [out, in]; axis, nbits, group_size, packing, view_as_float: one number or text each
//! weight = (code - zero) * scale
//! ```
//!
//! With axis 1 the matrix of groups is `[n / group_size, group_size]`: a group is a run of a row. With axis 0 it is
//! `[group_size, n / group_size]`: neighbours are in different groups, no block format holds that, and the weight becomes F32.
//! Packing puts the first part of the matrix's rows into the highest bits, the last part into the lowest. Sources: hqq
//! `core/quantize.py`, `core/bitpack.py`. hqq computes in `compute_dtype`; here the difference and the product are rounded to f32.

use super::Scheme;
use super::coded::{Coded, Grouping, INTEGERS};
use super::keys::Keys;
use super::parts::{Parts, integers, word, wrong};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::RawTensor;
use crate::unsupported::Unsupported;

#[derive(Debug)]
pub(super) struct Hqq;

impl Hqq {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        // All numbers are stored with each weight.
        let inner = keys.object("quant_config")?;
        if let Some(inner) = inner {
            for key in ["scale_quant_params", "zero_quant_params"] {
                if inner.value(key).is_some() {
                    return Err(inner.unsupported(key, "quantized scales"));
                }
            }
        }
        keys.finish(&[])?;
        Ok(Self)
    }
}

/// How codes are packed: codes a word, bytes of a word.
struct Packing {
    bits: u32,
    per_word: usize,
    word_bytes: usize,
}

const PACKINGS: &[(&str, Packing)] = &[
    ("8bit_u8", Packing { bits: 8, per_word: 1, word_bytes: 1 }),
    ("4bit_u8", Packing { bits: 4, per_word: 2, word_bytes: 1 }),
    ("3bit_32", Packing { bits: 3, per_word: 10, word_bytes: 4 }),
    ("2bit_u8", Packing { bits: 2, per_word: 4, word_bytes: 1 }),
    ("1bit_u8", Packing { bits: 1, per_word: 8, word_bytes: 1 }),
];

impl Scheme for Hqq {
    fn base<'n>(&self, name: &'n str, _: &Tensors) -> Option<&'n str> {
        name.strip_suffix(".W_q")
    }

    fn parts(&self) -> &'static [&'static str] {
        &[
            ".W_q",
            ".scale",
            ".zero",
            ".shape",
            ".nbits",
            ".group_size",
            ".axis",
            ".packing",
            ".unpack_view_dtype",
            ".view_as_float",
            ".quant_scale",
            ".quant_zero",
            ".compute_dtype",
            ".offload_meta",
            ".encoded_state_dict",
            ".stores_quant_config",
            ".channel_wise",
            ".optimize",
            ".round_zero",
        ]
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let packed = parts.get(".W_q")?;
        for suffix in [".quant_scale", ".quant_zero"] {
            if parts.find(suffix)?.is_some() && parts.scalar(suffix)? != 0 {
                return Err(Unsupported::format(name, "quantized scales").into());
            }
        }
        let text = parts.get(".packing")?;
        let found = PACKINGS.iter().find(|(name, _)| name.as_bytes() == text.bytes.as_slice());
        let Some((_, Packing { bits, per_word, word_bytes })) = found else {
            let found = String::from_utf8_lossy(text.bytes.as_slice().get(..32.min(text.bytes.len())).unwrap_or(&[]));
            return Err(Unsupported::format(name, format_args!("packing `{found}`")).into());
        };
        let (bits, per_word, word_bytes) = (*bits, *per_word, *word_bytes);
        let shape = parts.get(".shape")?;
        let sizes: Vec<usize> = integers(&shape)?.iter().filter_map(|n| usize::try_from(*n).ok()).collect();
        let [rows, cols] = sizes.as_slice() else { return Err(wrong(&shape, "is not that of a matrix")) };
        let (rows, cols) = (*rows, *cols);
        let (scales, _) = parts.floats(".scale")?;
        let (zeros, _) = parts.floats(".zero")?;
        let malformed = |detail: String| wrong(&packed, detail);
        let count = rows.checked_mul(cols).filter(|count| *count > 0);
        let count = count.ok_or_else(|| malformed(format!("{rows} x {cols} codes")))?;
        let groups = scales.len();
        if groups == 0 || count % groups != 0 {
            return Err(malformed(format!("{groups} scales for {rows} x {cols} codes")));
        }
        // The matrix of groups.
        let axis = parts.scalar(".axis")?;
        let (height, width, grouping) = match axis {
            1 => (groups, count / groups, Grouping::Runs { width: count / groups }),
            0 => (count / groups, groups, Grouping::Strides { period: groups }),
            other => return Err(malformed(format!("axis {other}"))),
        };
        if parts.find(".group_size")?.is_some_and(|size| !size.bytes.is_empty())
            && usize::try_from(parts.scalar(".group_size")?) != Ok(count / groups)
        {
            return Err(malformed(format!("{groups} scales are not one a group")));
        }
        let step = height.div_ceil(per_word);
        let bytes = packed.bytes.as_slice();
        if step.checked_mul(width).and_then(|words| words.checked_mul(word_bytes)) != Some(bytes.len()) {
            return Err(malformed(format!("{} bytes for {rows} x {cols} codes of {bits} bits", bytes.len())));
        }
        let mask = ((1u32 << bits) - 1) as u8;
        Coded {
            name,
            rows,
            cols,
            shape: None,
            formats: INTEGERS,
            max_code: mask,
            grouping,
            scales,
            zeros,
            codes: &|range, out| {
                for (i, out) in (range.start * cols..).zip(out) {
                    let (row, col) = (i / width, i % width);
                    let at = row % step * width + col;
                    let shift = bits * (per_word - 1 - row / step) as u32;
                    let word = if word_bytes == 4 { word(bytes, at) } else { bytes[at].into() };
                    *out = (word >> shift) as u8 & mask;
                }
            },
        }
        .tensor()
    }
}
