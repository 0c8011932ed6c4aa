//! MXFP4 as gpt-oss stores it: E2M1 codes with a power of two for each 32 weights.
//!
//! ```text
//! <name>_blocks  U8 [experts, out, in / 32, 16]   low nibble first
//! <name>_scales  U8 [experts, out, in / 32]       exponent with bias 127
//! weight = e2m1(code) * 2^(exponent - 127), the tensor <name> of [experts, out, in]
//! ```
//!
//! The blocks become GGUF's MXFP4 with the nibbles in its order. Sources: OCP Microscaling formats 1.0; transformers
//! `integrations/mxfp4.py`.

use mistral_quant::Format;

use super::Scheme;
use super::coded::{Coded, Grouping};
use super::keys::Keys;
use super::parts::{Parts, expect_kind, power_of_two, wrong};
use crate::error::Error;
use crate::loader::table::Tensors;
use crate::loader::weights::{RawTensor, Weights};

#[derive(Debug)]
pub(super) struct Mxfp4;

impl Mxfp4 {
    pub(super) fn new(keys: &Keys<'_>) -> Result<Self, Error> {
        keys.flag("dequantize")?;
        keys.finish(&[])?;
        Ok(Self)
    }
}

impl Scheme for Mxfp4 {
    fn base<'n>(&self, name: &'n str, tensors: &Tensors) -> Option<&'n str> {
        name.strip_suffix("_blocks").filter(|base| tensors.contains(&format!("{base}_scales")))
    }

    fn logical(&self, base: &str) -> String {
        base.to_owned()
    }

    fn parts(&self) -> &'static [&'static str] {
        &["_blocks", "_scales"]
    }

    fn unpack(&self, parts: &Parts<'_>, name: &str) -> Result<RawTensor, Error> {
        let blocks = parts.typed("_blocks", "U8")?;
        let Some(([outer @ .., groups, 16], true)) = Some((blocks.shape.as_slice(), blocks.shape.len() > 2)) else {
            return Err(wrong(&blocks, format!("has shape {:?}, expected [.., groups, 16]", blocks.shape)));
        };
        let scales = parts.get("_scales")?;
        if expect_kind(&scales, "F8_E8M0").is_err() {
            expect_kind(&scales, "U8")?;
        }
        scales.expect_shape(&[outer, &[*groups]].concat())?;
        let rows = outer.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
        let (Some(rows), Some(cols)) = (rows, groups.checked_mul(32)) else {
            return Err(wrong(&blocks, "has too many elements"));
        };
        let codes = blocks.bytes.as_slice();
        Coded {
            name,
            rows,
            cols,
            shape: Some([outer, &[cols]].concat()),
            formats: &[Format::MXFP4],
            max_code: 15,
            grouping: Grouping::Tiles { height: 1, width: 32 },
            scales: scales.bytes.as_slice().iter().map(|exponent| power_of_two(*exponent)).collect(),
            zeros: vec![0.0],
            codes: &|range, out| {
                let bytes = &codes[range.start * cols / 2..range.end * cols / 2];
                for (byte, out) in bytes.iter().zip(out.as_chunks_mut::<2>().0) {
                    *out = [byte & 15, byte >> 4];
                }
            },
        }
        .tensor()
    }
}
