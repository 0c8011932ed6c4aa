//! The decoders and simple encoders against the `gguf` package; the files come from `goldens/make.py`.

use super::super::{decode_row, encode_row};
use crate::format::Format;

const GOLDENS: &[(Format, &[u8])] = &[
    (Format::F32, include_bytes!("../../../goldens/f32.bin")),
    (Format::F16, include_bytes!("../../../goldens/f16.bin")),
    (Format::BF16, include_bytes!("../../../goldens/bf16.bin")),
    (Format::Q4_0, include_bytes!("../../../goldens/q4_0.bin")),
    (Format::Q4_1, include_bytes!("../../../goldens/q4_1.bin")),
    (Format::Q5_0, include_bytes!("../../../goldens/q5_0.bin")),
    (Format::Q5_1, include_bytes!("../../../goldens/q5_1.bin")),
    (Format::Q8_0, include_bytes!("../../../goldens/q8_0.bin")),
    (Format::Q2_K, include_bytes!("../../../goldens/q2_k.bin")),
    (Format::Q3_K, include_bytes!("../../../goldens/q3_k.bin")),
    (Format::Q4_K, include_bytes!("../../../goldens/q4_k.bin")),
    (Format::Q5_K, include_bytes!("../../../goldens/q5_k.bin")),
    (Format::Q6_K, include_bytes!("../../../goldens/q6_k.bin")),
    (Format::Q8_1, include_bytes!("../../../goldens/q8_1.bin")),
    (Format::Q8_K, include_bytes!("../../../goldens/q8_k.bin")),
    (Format::IQ4_NL, include_bytes!("../../../goldens/iq4_nl.bin")),
    (Format::IQ4_XS, include_bytes!("../../../goldens/iq4_xs.bin")),
    (Format::TQ1_0, include_bytes!("../../../goldens/tq1_0.bin")),
    (Format::TQ2_0, include_bytes!("../../../goldens/tq2_0.bin")),
    (Format::MXFP4, include_bytes!("../../../goldens/mxfp4.bin")),
    (Format::NVFP4, include_bytes!("../../../goldens/nvfp4.bin")),
    (Format::Q1_0, include_bytes!("../../../goldens/q1_0.bin")),
    (Format::Q2_0, include_bytes!("../../../goldens/q2_0.bin")),
    (Format::IQ1_S, include_bytes!("../../../goldens/iq1_s.bin")),
    (Format::IQ1_M, include_bytes!("../../../goldens/iq1_m.bin")),
    (Format::IQ2_XXS, include_bytes!("../../../goldens/iq2_xxs.bin")),
    (Format::IQ2_XS, include_bytes!("../../../goldens/iq2_xs.bin")),
    (Format::IQ2_S, include_bytes!("../../../goldens/iq2_s.bin")),
    (Format::IQ3_XXS, include_bytes!("../../../goldens/iq3_xxs.bin")),
    (Format::IQ3_S, include_bytes!("../../../goldens/iq3_s.bin")),
];

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn count(bytes: &[u8]) -> (usize, &[u8]) {
    let (head, rest) = bytes.split_at(4);
    (u32::from_le_bytes(head.try_into().unwrap()) as usize, rest)
}

#[test]
fn every_computable_format_has_a_golden() {
    for format in Format::all().filter(|format| format.is_computable() && format.gguf_id().is_some()) {
        assert!(GOLDENS.iter().any(|golden| golden.0 == format), "{format}");
    }
}

#[test]
fn weights_are_those_of_the_gguf_package() {
    for &(format, bytes) in GOLDENS {
        let (blocks, rest) = count(bytes);
        assert!(blocks > 8);
        let weights = blocks * format.block_weights();
        let (encoded, rest) = rest.split_at(format.byte_len(weights).unwrap());
        let expected = floats(&rest[..4 * weights]);
        let mut found = vec![0.0; weights];
        decode_row(format, encoded, &mut found).unwrap();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{format}, weight {i}: {found:e} instead of {expected:e}");
        }
    }
}

#[test]
fn simple_encoders_give_the_bytes_of_the_gguf_package() {
    let mut compared = 0;
    for &(format, bytes) in GOLDENS {
        let (blocks, rest) = count(bytes);
        let weights = blocks * format.block_weights();
        let (blocks, rest) = count(&rest[format.byte_len(weights).unwrap() + 4 * weights..]);
        let weights = blocks * format.block_weights();
        let (x, expected) = rest.split_at(4 * weights);
        if blocks == 0 {
            continue;
        }
        let found = encode_row(format, &floats(x)).unwrap();
        let wrong =
            found.chunks(format.block_bytes()).zip(expected.chunks(format.block_bytes())).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "{format}: first block that differs");
        assert_eq!(found.len(), expected.len());
        compared += blocks;
    }
    assert!(compared > 0);
}
