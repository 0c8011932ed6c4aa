use super::super::decode_row;
use super::*;

fn assemble(format: Format, codes: &[u8; 32], scale: f32, zero: f32) -> Option<Vec<f32>> {
    let mut bytes = vec![0; format.block_bytes()];
    let mut out = vec![0.0; 32];
    assemble_row(format, codes, &[scale], &[zero], &mut bytes).unwrap().then(|| {
        decode_row(format, &bytes, &mut out).unwrap();
        out
    })
}

/// Every code and zero point that a format holds, under scales that leave no bit of the product free.
#[test]
fn integer_formats_give_the_definition_or_nothing() {
    let (f16, bf16, f32) = (half::f16::from_f32(0.012345).to_f32(), half::bf16::from_f32(0.0123).to_f32(), 0.012345);
    for (format, largest, zeros) in [
        (Format::Q4_0, 15u8, -8..=24),
        (Format::Affine4, 15, -8..=24),
        (Format::Q8_0, 255, 0..=256),
        (Format::Affine8, 255, -8..=264),
    ] {
        let mut held = 0;
        for scale in [f16, bf16, f32, -f16, 0.0] {
            for zero in zeros.clone() {
                for first in (0..=largest).step_by(16) {
                    let codes = std::array::from_fn(|i| (first + i as u8 % 16).min(largest));
                    let Some(found) = assemble(format, &codes, scale, zero as f32) else { continue };
                    held += 1;
                    for (found, code) in found.iter().zip(codes) {
                        assert_eq!(*found, (f32::from(code) - zero as f32) * scale, "{format}, {code} - {zero}");
                    }
                }
            }
        }
        assert!(held >= 4, "{format}: {held}");
    }
}

#[test]
fn what_would_be_rounded_is_refused() {
    let codes: [u8; 32] = std::array::from_fn(|i| i as u8 % 16);
    for (format, scale, zero) in [
        (Format::Q4_0, 0.5, 7.0),
        (Format::Q4_0, 0.5, 9.0),
        (Format::Q4_0, 0.5, 8.5),
        (Format::Q4_0, 0.1, 8.0),
        (Format::Q4_0, 1e9, 8.0),
        (Format::Q4_0, f32::NAN, 8.0),
        (Format::Q8_0, 0.1, 8.0),
        (Format::Q8_0, 0.5, 144.0),
        (Format::Q8_0, 0.5, f32::INFINITY),
        (Format::Affine4, 0.1, 8.0),
        (Format::Affine4, 0.5, 0.1),
        (Format::Affine8, 0.5, 1e-9),
        (Format::MXFP4, 3.0, 0.0),
        (Format::MXFP4, 0.0, 0.0),
        (Format::MXFP4, -1.0, 0.0),
        (Format::MXFP4, f32::INFINITY, 0.0),
    ] {
        let mut bytes = vec![0; format.block_bytes()];
        assert!(!assemble_row(format, &codes, &[scale], &[zero], &mut bytes).unwrap(), "{format} {scale} {zero}");
    }
    for format in [Format::Q4_0, Format::Affine4, Format::NF4, Format::FP4, Format::MXFP4] {
        let mut bytes = vec![0; format.block_bytes()];
        assert!(!assemble_row(format, &[16; 32], &[1.0], &[0.0], &mut bytes).unwrap(), "{format}");
    }
}

#[test]
fn tables_keep_their_codes() {
    let codes: [u8; 32] = std::array::from_fn(|i| i as u8 % 16);
    let nf4 = assemble(Format::NF4, &codes, 3.0, f32::NAN).unwrap();
    assert_eq!(nf4[..2], [-3.0, -0.6961928 * 3.0]);
    assert_eq!(nf4[16..], nf4[..16]);
    let fp4 = assemble(Format::FP4, &codes, 12.0, 0.0).unwrap();
    assert_eq!(fp4[..8], [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0]);
    let f8 = assemble(Format::F8_E4M3, &std::array::from_fn(|i| 8 * i as u8), 0.1, 0.0).unwrap();
    assert_eq!(f8[7], 0.1);
    assert_eq!(f8[23], -0.1);
    for (scale, exponent) in [(1.0, 127), (2f32.powi(-127), 0), (2f32.powi(127), 254), (f32::MIN_POSITIVE, 1)] {
        let mut bytes = [0; 17];
        assert!(assemble_row(Format::MXFP4, &codes, &[scale], &[0.0], &mut bytes).unwrap());
        assert_eq!(bytes[..3], [exponent, 0x00, 0x11]);
    }
}

#[test]
fn lengths_are_checked() {
    let row = |format, codes: usize, scales: usize, zeros: usize, bytes: usize| {
        assemble_row(format, &vec![0; codes], &vec![1.0; scales], &vec![0.0; zeros], &mut vec![0; bytes])
    };
    assert!(row(Format::NF4, 64, 2, 2, 40).unwrap());
    assert!(row(Format::NF4, 0, 0, 0, 0).unwrap());
    for (codes, scales, zeros, bytes) in [(63, 2, 2, 40), (64, 1, 2, 40), (64, 2, 1, 40), (64, 2, 2, 41), (32, 1, 1, 0)]
    {
        assert!(matches!(row(Format::NF4, codes, scales, zeros, bytes), Err(Error::Shape { .. })));
    }
    for format in [Format::Q4_K, Format::F32, Format::Q5_0, Format::NVFP4] {
        assert!(
            matches!(row(format, 32, 1, 1, format.block_bytes()), Err(Error::UnsupportedFormat { .. })),
            "{format}"
        );
    }
}
