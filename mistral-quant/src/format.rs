//! The names, ids and block geometry of every weight format; meaning lives in `formats/`.

use std::fmt;

/// How the weights of a tensor are stored. Ids and names are GGUF's (ggml `ggml_type`), but for the last five: those exist in memory
/// only, for weights that other programs quantized and no GGUF type holds without rounding ([`Format::gguf_id`] is `None`).
///
/// A row of a matrix is a whole number of blocks. Every live GGUF type is listed, so that a file that holds any of them can be
/// opened; [`Format::is_computable`] says whether this version can do arithmetic with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types)]
#[non_exhaustive]
pub enum Format {
    /// F32: 4 bytes a value.
    F32,
    /// F16: 2 bytes a value.
    F16,
    /// Q4_0: 32 weights in 18 bytes.
    Q4_0,
    /// Q4_1: 32 weights in 20 bytes.
    Q4_1,
    /// Q5_0: 32 weights in 22 bytes.
    Q5_0,
    /// Q5_1: 32 weights in 24 bytes.
    Q5_1,
    /// Q8_0: 32 weights in 34 bytes.
    Q8_0,
    /// Q8_1: 32 weights in 36 bytes.
    Q8_1,
    /// Q2_K: 256 weights in 84 bytes.
    Q2_K,
    /// Q3_K: 256 weights in 110 bytes.
    Q3_K,
    /// Q4_K: 256 weights in 144 bytes.
    Q4_K,
    /// Q5_K: 256 weights in 176 bytes.
    Q5_K,
    /// Q6_K: 256 weights in 210 bytes.
    Q6_K,
    /// Q8_K: 256 weights in 292 bytes.
    Q8_K,
    /// IQ2_XXS: 256 weights in 66 bytes.
    IQ2_XXS,
    /// IQ2_XS: 256 weights in 74 bytes.
    IQ2_XS,
    /// IQ3_XXS: 256 weights in 98 bytes.
    IQ3_XXS,
    /// IQ1_S: 256 weights in 50 bytes.
    IQ1_S,
    /// IQ4_NL: 32 weights in 18 bytes.
    IQ4_NL,
    /// IQ3_S: 256 weights in 110 bytes.
    IQ3_S,
    /// IQ2_S: 256 weights in 82 bytes.
    IQ2_S,
    /// IQ4_XS: 256 weights in 136 bytes.
    IQ4_XS,
    /// I8: 1 byte a value.
    I8,
    /// I16: 2 bytes a value.
    I16,
    /// I32: 4 bytes a value.
    I32,
    /// I64: 8 bytes a value.
    I64,
    /// F64: 8 bytes a value.
    F64,
    /// IQ1_M: 256 weights in 56 bytes.
    IQ1_M,
    /// BF16: 2 bytes a value.
    BF16,
    /// TQ1_0: 256 weights in 54 bytes.
    TQ1_0,
    /// TQ2_0: 256 weights in 66 bytes.
    TQ2_0,
    /// MXFP4: 32 weights in 17 bytes.
    MXFP4,
    /// NVFP4: 64 weights in 36 bytes.
    NVFP4,
    /// Q1_0: 128 weights in 18 bytes.
    Q1_0,
    /// Q2_0: 64 weights in 18 bytes.
    Q2_0,
    /// Affine4, not a GGUF type: 32 weights of 4 bits with scale and zero point in 20 bytes.
    Affine4,
    /// Affine8, not a GGUF type: 32 weights of 8 bits with scale and zero point in 40 bytes.
    Affine8,
    /// F8_E4M3, not a GGUF type: 32 weights with a scale in 36 bytes.
    F8_E4M3,
    /// NF4 of bitsandbytes, not a GGUF type: 32 weights in 20 bytes.
    NF4,
    /// FP4 of bitsandbytes, not a GGUF type: 32 weights in 20 bytes.
    FP4,
}

/// In the table, the id of a format that GGUF files cannot hold.
const NO_ID: u32 = u32::MAX;

const TABLE: &[(Format, u32, &str, usize, usize)] = &[
    (Format::F32, 0, "F32", 1, 4),
    (Format::F16, 1, "F16", 1, 2),
    (Format::Q4_0, 2, "Q4_0", 32, 18),
    (Format::Q4_1, 3, "Q4_1", 32, 20),
    (Format::Q5_0, 6, "Q5_0", 32, 22),
    (Format::Q5_1, 7, "Q5_1", 32, 24),
    (Format::Q8_0, 8, "Q8_0", 32, 34),
    (Format::Q8_1, 9, "Q8_1", 32, 36),
    (Format::Q2_K, 10, "Q2_K", 256, 84),
    (Format::Q3_K, 11, "Q3_K", 256, 110),
    (Format::Q4_K, 12, "Q4_K", 256, 144),
    (Format::Q5_K, 13, "Q5_K", 256, 176),
    (Format::Q6_K, 14, "Q6_K", 256, 210),
    (Format::Q8_K, 15, "Q8_K", 256, 292),
    (Format::IQ2_XXS, 16, "IQ2_XXS", 256, 66),
    (Format::IQ2_XS, 17, "IQ2_XS", 256, 74),
    (Format::IQ3_XXS, 18, "IQ3_XXS", 256, 98),
    (Format::IQ1_S, 19, "IQ1_S", 256, 50),
    (Format::IQ4_NL, 20, "IQ4_NL", 32, 18),
    (Format::IQ3_S, 21, "IQ3_S", 256, 110),
    (Format::IQ2_S, 22, "IQ2_S", 256, 82),
    (Format::IQ4_XS, 23, "IQ4_XS", 256, 136),
    (Format::I8, 24, "I8", 1, 1),
    (Format::I16, 25, "I16", 1, 2),
    (Format::I32, 26, "I32", 1, 4),
    (Format::I64, 27, "I64", 1, 8),
    (Format::F64, 28, "F64", 1, 8),
    (Format::IQ1_M, 29, "IQ1_M", 256, 56),
    (Format::BF16, 30, "BF16", 1, 2),
    (Format::TQ1_0, 34, "TQ1_0", 256, 54),
    (Format::TQ2_0, 35, "TQ2_0", 256, 66),
    (Format::MXFP4, 39, "MXFP4", 32, 17),
    (Format::NVFP4, 40, "NVFP4", 64, 36),
    (Format::Q1_0, 41, "Q1_0", 128, 18),
    (Format::Q2_0, 42, "Q2_0", 64, 18),
    (Format::Affine4, NO_ID, "Affine4", 32, 20),
    (Format::Affine8, NO_ID, "Affine8", 32, 40),
    (Format::F8_E4M3, NO_ID, "F8_E4M3", 32, 36),
    (Format::NF4, NO_ID, "NF4", 32, 20),
    (Format::FP4, NO_ID, "FP4", 32, 20),
];

impl Format {
    /// Every format: those of GGUF in the order of the ids, then the others.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.0)
    }

    const fn row(self) -> &'static (Format, u32, &'static str, usize, usize) {
        // The table lists the variants in declaration order; a test holds this.
        &TABLE[self as usize]
    }

    /// The format with this GGUF type id, or `None` for an id that was never assigned or is retired.
    pub fn from_gguf_id(id: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == id && id != NO_ID).map(|row| row.0)
    }

    /// The type id in GGUF files; `None` for a format that they cannot hold.
    pub fn gguf_id(self) -> Option<u32> {
        Some(self.row().1).filter(|id| *id != NO_ID)
    }

    /// The name, for the formats of GGUF in its spelling, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// The format of this name (case does not matter).
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// How many weights one block holds; 1 for plain number types.
    pub const fn block_weights(self) -> usize {
        self.row().3
    }

    /// How many bytes one block takes.
    pub const fn block_bytes(self) -> usize {
        self.row().4
    }

    /// The bytes of `weights` consecutive weights; `None` when they are not whole blocks or the size overflows.
    pub fn byte_len(self, weights: usize) -> Option<usize> {
        let per = self.block_weights();
        if !weights.is_multiple_of(per) {
            return None;
        }
        (weights / per).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_declaration_order_and_ids_round_trip() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, i);
            assert_eq!(row.0.gguf_id().and_then(Format::from_gguf_id), row.0.gguf_id().map(|_| row.0));
            assert_eq!(Format::from_name(row.2), Some(row.0));
        }
        assert_eq!(Format::all().filter(|format| format.gguf_id().is_none()).count(), 5);
        assert_eq!(Format::from_gguf_id(u32::MAX), None);
        assert_eq!(Format::from_gguf_id(4), None);
        assert_eq!(Format::Q4_K.byte_len(512), Some(288));
        assert_eq!(Format::Q4_K.byte_len(255), None);
        assert_eq!(Format::F64.byte_len(usize::MAX), None);
    }
}
