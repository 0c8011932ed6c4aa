use half::{bf16, f16};

use super::*;

const COMPUTABLE: [Format; 13] = [
    Format::F32,
    Format::F16,
    Format::BF16,
    Format::Q8_0,
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q5_1,
    Format::Q2_K,
    Format::Q3_K,
    Format::Q4_K,
    Format::Q5_K,
    Format::Q6_K,
];

#[test]
fn decoding_is_exact_to_the_bit() {
    let goldens: [(Format, &[u8]); 10] = [
        (Format::Q4_0, include_bytes!("../../goldens/q4_0.bin")),
        (Format::Q4_1, include_bytes!("../../goldens/q4_1.bin")),
        (Format::Q5_0, include_bytes!("../../goldens/q5_0.bin")),
        (Format::Q5_1, include_bytes!("../../goldens/q5_1.bin")),
        (Format::Q8_0, include_bytes!("../../goldens/q8_0.bin")),
        (Format::Q2_K, include_bytes!("../../goldens/q2_k.bin")),
        (Format::Q3_K, include_bytes!("../../goldens/q3_k.bin")),
        (Format::Q4_K, include_bytes!("../../goldens/q4_k.bin")),
        (Format::Q5_K, include_bytes!("../../goldens/q5_k.bin")),
        (Format::Q6_K, include_bytes!("../../goldens/q6_k.bin")),
    ];
    for (format, golden) in goldens {
        let blocks = u32::from_le_bytes(golden[..4].try_into().unwrap()) as usize;
        let (bytes, values) = golden[4..].split_at(blocks * format.block_bytes());
        let mut out = vec![0.0; blocks * format.block_weights()];
        decode_row(format, bytes, &mut out).unwrap();
        assert_eq!(values.len(), 4 * out.len());
        for (i, (a, e)) in out.iter().zip(values.chunks_exact(4)).enumerate() {
            let e = f32::from_le_bytes(e.try_into().unwrap());
            assert_eq!(a.to_bits(), e.to_bits(), "{format} weight {i}: {a}, expected {e}");
        }
    }
}

#[test]
fn every_half_decodes() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let mut out = vec![0.0; 1 << 16];
    decode_row(Format::F16, &bytes, &mut out).unwrap();
    assert!((0..=u16::MAX).zip(&out).all(|(b, v)| f16::from_bits(b).to_f32().to_bits() == v.to_bits()));
    decode_row(Format::BF16, &bytes, &mut out).unwrap();
    assert!((0..=u16::MAX).zip(&out).all(|(b, v)| bf16::from_bits(b).to_f32().to_bits() == v.to_bits()));
}

/// ggml's own measure of an encoder: root of the summed squares over the count, on `0.1 + 2 cos(i)`.
#[test]
fn encoders_stay_below_the_error_that_ggml_asks_of_its_own() {
    let weights: Vec<f32> = (0..4096).map(|i| 0.1 + 2.0 * (i as f32).cos()).collect();
    for format in COMPUTABLE {
        let bar = match format {
            Format::F32 => 0.0,
            Format::F16 | Format::BF16 => 1e-4,
            Format::Q2_K => 0.0075,
            Format::Q3_K => 0.004,
            _ => 0.002,
        };
        let mut out = vec![0.0; weights.len()];
        decode_row(format, &encode_row(format, &weights).unwrap(), &mut out).unwrap();
        let square: f64 = weights.iter().zip(&out).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let error = square.sqrt() / weights.len() as f64;
        assert!(error <= bar, "{format}: {error}");
    }
}

#[test]
fn encoders_survive_everything() {
    let kinds: [fn(usize) -> f32; 7] = [
        |_| 0.0,
        |_| 1.0,
        |_| -3.5,
        |i| if i % 7 == 0 { f32::NAN } else { 1.0 },
        |i| if i % 2 == 0 { f32::INFINITY } else { -1e30 },
        |i| if i == 3 { f32::MAX } else { f32::MIN_POSITIVE },
        |i| (i as f32 - 128.0) * 1e-9,
    ];
    for format in COMPUTABLE {
        for kind in kinds {
            let weights: Vec<f32> = (0..512).map(kind).collect();
            let bytes = encode_row(format, &weights).unwrap();
            decode_row(format, &bytes, &mut vec![0.0; 512]).unwrap();
        }
        let zeros = encode_row(format, &[0.0; 256]).unwrap();
        let mut out = vec![1.0; 256];
        decode_row(format, &zeros, &mut out).unwrap();
        assert!(out.iter().all(|v| *v == 0.0), "{format} does not keep zeros");
        let ones = encode_row(format, &[1.0; 256]).unwrap();
        decode_row(format, &ones, &mut out).unwrap();
        assert!(out.iter().all(|v| (v - 1.0).abs() < 0.05), "{format} does not keep a constant: {:?}", &out[..4]);
    }
}

#[test]
fn any_bytes_decode() {
    let mut state = 1u64;
    for format in COMPUTABLE {
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..format.byte_len(256).unwrap())
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            decode_row(format, &bytes, &mut [0.0; 256]).unwrap();
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    assert!(matches!(decode_row(Format::Q4_K, &[0; 143], &mut [0.0; 256]), Err(Error::Shape { .. })));
    assert!(matches!(decode_row(Format::Q4_K, &[0; 144], &mut [0.0; 255]), Err(Error::Shape { .. })));
    assert!(matches!(encode_row(Format::Q8_0, &[0.0; 33]), Err(Error::Shape { .. })));
    assert!(matches!(encode_row(Format::IQ1_S, &[0.0; 256]), Err(Error::UnsupportedFormat { .. })));
    assert_eq!(Format::all().filter(|f| f.is_computable()).count(), COMPUTABLE.len());
}
