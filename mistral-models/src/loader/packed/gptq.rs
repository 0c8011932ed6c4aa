//! GPTQ: codes of 2, 3, 4 or 8 bits, a scale and a zero point for each group of inputs of each output.
//!
//! ```text
//! qweight  I32 [in * bits / 32, out]       codes of an output: a stream of bits down its column, lowest bits first
//! qzeros   I32 [groups, out * bits / 32]   zero points of a group: a stream along the row
//! scales   F16 [groups, out]
//! g_idx    I32 [in]                        group of each input; may be missing without `desc_act`: `input / group_size`
//! weight[o, i] = scales[g, o] * (code - zero[g, o])
//! ```
//!
//! `checkpoint_format` "gptq", the older one, stores zero points less one, in `bits` bits: all ones are -1, which is zero point 0.
//! "gptq_v2" stores them as they are. With `desc_act` the groups are not neighbours in the file; where they split units of 32 inputs,
//! the weight becomes F32: 32 bits a weight, but exact. Sources: AutoGPTQ `nn_modules/qlinear`, GPTQModel `utils/model.py` (v1 and v2).

use super::coded::{Coded, Grouping, INTEGERS, bits_at, transposed};
use super::keys::Keys;
use super::parts::{Parts, expect_kind, integers, matrix, word, wrong};
use super::{Scheme, zero_bias};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::RawTensor;

#[derive(Debug)]
pub(super) struct Gptq {
    bits: u32,
    group_size: Option<usize>,
    /// Whether groups are out of order.
    ordered: bool,
    /// Added to a stored zero point.
    offset: u8,
}

impl Gptq {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        let bits = keys.bits("bits", &[2, 3, 4, 8])?;
        let group_size = keys.group_size("group_size")?;
        // Whether zero points are in the middle is seen in the tensors.
        keys.flag("sym")?;
        let ordered = keys.flag("desc_act")?.unwrap_or(false);
        let mut offset = 1;
        for key in ["checkpoint_format", "format"] {
            match keys.text(key)? {
                None | Some("gptq") => {}
                Some("gptq_v2") => offset = 0,
                Some(other) => return Err(keys.unsupported(key, other)),
            }
        }
        match keys.text("pack_dtype")? {
            None | Some("int32") => {}
            Some(other) => return Err(keys.unsupported("pack_dtype", other)),
        }
        keys.only_whole_modules()?;
        keys.only_integer_weights()?;
        keys.finish(&[])?;
        Ok(Self { bits, group_size, ordered, offset })
    }
}

impl Scheme for Gptq {
    fn base<'n>(&self, name: &'n str, _: &Tensors) -> Option<&'n str> {
        name.strip_suffix(".qweight")
    }

    fn parts(&self) -> &'static [&'static str] {
        &[".qweight", ".qzeros", ".scales", ".g_idx"]
    }

    fn hides(&self, base: &str, tensors: &Tensors) -> Option<String> {
        zero_bias(base, tensors)
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let qweight = parts.typed(".qweight", "I32")?;
        let [words, rows] = matrix(&qweight)?;
        let bits = self.bits;
        let cols = words.checked_mul(32).filter(|all| all.is_multiple_of(bits as usize)).map(|all| all / bits as usize);
        let cols = cols.ok_or_else(|| wrong(&qweight, format!("{words} words are no whole codes of {bits} bits")))?;
        let width = self.group_size.unwrap_or(cols).max(1);
        let groups = cols.div_ceil(width);
        let (scales, shape) = parts.floats(".scales")?;
        expect(parts, ".scales", &[groups, rows], &shape)?;
        let qzeros = parts.typed(".qzeros", "I32")?;
        let zero_words = rows.checked_mul(bits as usize).filter(|all| all.is_multiple_of(32)).map(|all| all / 32);
        let zero_words = zero_words.ok_or_else(|| wrong(&qweight, format!("{rows} outputs fill no whole words")))?;
        expect(parts, ".qzeros", &[groups, zero_words], &qzeros.shape)?;
        let grouping = match parts.find(".g_idx")? {
            None if self.ordered && groups > 1 => {
                return Err(Error::Missing { kind: "tensor", name: parts.name(".g_idx") });
            }
            None => Grouping::Tiles { height: 1, width },
            Some(g_idx) => grouping(&g_idx, cols, width, groups)?,
        };
        let (stored, codes) = (qzeros.bytes.as_slice(), qweight.bytes.as_slice());
        let mask = ((1u32 << bits) - 1) as u8;
        let zeros: Vec<f32> = (0..rows * groups)
            .map(|i| {
                let (row, group) = (i / groups, i % groups);
                let zero = bits_at(bits, row, |at| word(stored, group * zero_words + at));
                f32::from(zero.wrapping_add(self.offset) & mask)
            })
            .collect();
        let per_word = 32 / bits as usize;
        Coded {
            name,
            rows,
            cols,
            shape: None,
            formats: INTEGERS,
            max_code: mask,
            grouping,
            scales: transposed(&scales, rows),
            zeros,
            codes: &|range, out| {
                if 32 % bits != 0 {
                    for (row, out) in range.zip(out.chunks_exact_mut(cols)) {
                        for (col, out) in out.iter_mut().enumerate() {
                            *out = bits_at(bits, col, |at| word(codes, at * rows + row));
                        }
                    }
                    return;
                }
                for at in 0..words {
                    for (row, out) in range.clone().zip(out.chunks_exact_mut(cols)) {
                        let word = word(codes, at * rows + row);
                        for (j, out) in out[at * per_word..(at + 1) * per_word].iter_mut().enumerate() {
                            *out = (word >> (bits as usize * j)) as u8 & mask;
                        }
                    }
                }
            },
        }
        .tensor()
    }
}

/// Groups by column, or as tiles where they lie side by side.
pub(super) fn grouping(g_idx: &RawTensor, cols: usize, width: usize, groups: usize) -> Result<Grouping, Error> {
    expect_kind(g_idx, "I32")?;
    g_idx.expect_shape(&[cols])?;
    let found = integers(g_idx)?;
    if found.iter().enumerate().all(|(col, &group)| usize::try_from(group) == Ok(col / width)) {
        return Ok(Grouping::Tiles { height: 1, width });
    }
    let column_group = found.iter().map(|&group| match u32::try_from(group) {
        Ok(group) if (group as usize) < groups => Ok(group),
        _ => Err(wrong(g_idx, format!("group {group} of {groups}"))),
    });
    Ok(Grouping::Columns { groups, column_group: column_group.collect::<Result<_, _>>()? })
}

/// Checks the shape of a part.
pub(super) fn expect(parts: &Parts<'_>, suffix: &str, expected: &[usize], found: &[usize]) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape { tensor: parts.name(suffix), expected: expected.to_vec(), found: found.to_vec() })
}
