//! AWQ: codes of 4 bits, a scale and a zero point for each group of inputs of each output, in the order of its "GEMM" kernels.
//!
//! ```text
//! qweight  I32 [in, out / 8]       nibble p of word w, lowest first, is output 8 w + ORDER[p]
//! qzeros   I32 [groups, out / 8]   likewise
//! scales   F16 [groups, out]
//! weight[o, i] = scales[i / group_size, o] * (code - zero)
//! ```
//!
//! Source: AutoAWQ `modules/linear/gemm.py`.

use super::coded::{Coded, Grouping, INTEGERS, transposed};
use super::gptq::expect;
use super::keys::Keys;
use super::parts::{Parts, matrix, word, wrong};
use super::{Scheme, zero_bias};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::RawTensor;

/// Outputs of the nibbles of a word.
const ORDER: [usize; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

#[derive(Debug)]
pub(super) struct Awq {
    group_size: Option<usize>,
}

impl Awq {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        let old = keys.value("w_bit").is_some();
        keys.bits(if old { "w_bit" } else { "bits" }, &[4])?;
        let group_size = keys.group_size(if old { "q_group_size" } else { "group_size" })?;
        match keys.text("version")?.map(str::to_ascii_lowercase).as_deref() {
            None | Some("gemm") => {}
            Some(other) => return Err(keys.unsupported("version", other)),
        }
        if keys.text("backend")? == Some("llm-awq") {
            return Err(keys.unsupported("backend", "llm-awq"));
        }
        // Zero points are stored in any case.
        keys.flag("zero_point")?;
        keys.flag("sym")?;
        keys.only_whole_modules()?;
        keys.only_integer_weights()?;
        keys.finish(&[])?;
        Ok(Self { group_size })
    }
}

impl Scheme for Awq {
    fn base<'n>(&self, name: &'n str, _: &Tensors) -> Option<&'n str> {
        name.strip_suffix(".qweight")
    }

    fn parts(&self) -> &'static [&'static str] {
        &[".qweight", ".qzeros", ".scales"]
    }

    fn hides(&self, base: &str, tensors: &Tensors) -> Option<String> {
        zero_bias(base, tensors)
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let qweight = parts.typed(".qweight", "I32")?;
        let [cols, words] = matrix(&qweight)?;
        let rows = words.checked_mul(8).ok_or_else(|| wrong(&qweight, "has too many outputs"))?;
        let width = self.group_size.unwrap_or(cols).max(1);
        if !cols.is_multiple_of(width) {
            return Err(wrong(&qweight, format!("{cols} inputs are no whole groups of {width}")));
        }
        let groups = cols / width;
        let (scales, shape) = parts.floats(".scales")?;
        expect(parts, ".scales", &[groups, rows], &shape)?;
        let qzeros = parts.typed(".qzeros", "I32")?;
        expect(parts, ".qzeros", &[groups, words], &qzeros.shape)?;
        let mut zeros = vec![0.0; scales.len()];
        for (i, bytes) in qzeros.bytes.as_slice().as_chunks::<4>().0.iter().enumerate() {
            let (group, first) = (i / words, i % words * 8);
            for (p, output) in ORDER.iter().enumerate() {
                zeros[(first + output) * groups + group] = f32::from(nibble(u32::from_le_bytes(*bytes), p));
            }
        }
        let codes = qweight.bytes.as_slice();
        Coded {
            name,
            rows,
            cols,
            shape: None,
            formats: INTEGERS,
            max_code: 15,
            grouping: Grouping::Tiles { height: 1, width },
            scales: transposed(&scales, rows),
            zeros,
            codes: &|range, out| {
                // Strips begin and end at whole words.
                for col in 0..cols {
                    for (at, out) in (range.start / 8..).zip(out.chunks_exact_mut(8 * cols)) {
                        let word = word(codes, col * words + at);
                        for (p, output) in ORDER.iter().enumerate() {
                            out[output * cols + col] = nibble(word, p);
                        }
                    }
                }
            },
        }
        .tensor()
    }
}

fn nibble(word: u32, place: usize) -> u8 {
    (word >> (4 * place)) as u8 & 15
}
