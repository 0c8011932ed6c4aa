mod goldens;

use super::*;

fn computable() -> impl Iterator<Item = Format> {
    Format::all().filter(|format| format.is_computable())
}

#[test]
fn blocks_have_the_size_that_the_format_states() {
    for format in computable() {
        with_block!(format, B => {
            assert_eq!(size_of::<B>(), format.block_bytes(), "{format}");
            assert_eq!(B::WEIGHTS, format.block_weights(), "{format}");
            assert_eq!(B::FORMAT, format);
        }, _ => unreachable!());
    }
}

/// The bar that ggml sets itself: root of the summed square error over n.
#[test]
fn encoders_meet_the_error_bar() {
    let x: Vec<f32> = (0..4096).map(|i| 0.1 + 2.0 * (i as f32).cos()).collect();
    for format in computable() {
        let mut y = vec![0.0; x.len()];
        decode_row(format, &encode_row(format, &x).unwrap(), &mut y).unwrap();
        let square: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let error = square.sqrt() / x.len() as f64;
        let bar = match format {
            Format::F32 => 1e-12,
            Format::F16 => 1e-5,
            Format::BF16 => 1e-4,
            Format::Q2_K => 0.0075,
            Format::Q3_K => 0.004,
            // Their values are dense where normal weights are, and a cosine is at its ends most of the time.
            Format::NF4 | Format::FP4 => 0.003,
            _ => 0.002,
        };
        eprintln!("{format}: {error:.6} (bar {bar})");
        assert!(error < bar, "{format}: {error} >= {bar}");
    }
}

#[test]
fn any_weights_encode_and_any_bytes_decode() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-42, -0.0, 0.0];
    for format in computable() {
        for shift in 0..odd.len() {
            let x: Vec<f32> = (0..256).map(|i| odd[(i * (shift + 1) / 7 + shift) % odd.len()]).collect();
            let bytes = encode_row(format, &x).unwrap();
            let mut y = vec![0.0; 256];
            decode_row(format, &bytes, &mut y).unwrap();
            let constant = vec![odd[shift]; 256];
            decode_row(format, &encode_row(format, &constant).unwrap(), &mut y).unwrap();
            if odd[shift] == 0.0 {
                assert!(y.iter().all(|&y| y == 0.0), "{format}");
            }
        }
        for byte in 0..=255u8 {
            let bytes = vec![byte; format.byte_len(512).unwrap()];
            decode_row(format, &bytes, &mut vec![0.0; 512]).unwrap();
        }
    }
}

#[test]
fn finite_weights_stay_finite() {
    for format in computable().filter(|f| f.block_weights() > 1) {
        for scale in [1e-30f32, 1e-7, 1.0, 1e4, 1e30] {
            let x: Vec<f32> = (0..256).map(|i| scale * ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
            let mut y = vec![f32::NAN; 256];
            decode_row(format, &encode_row(format, &x).unwrap(), &mut y).unwrap();
            assert!(y.iter().all(|y| y.is_finite()), "{format} at {scale}");
        }
    }
}

#[test]
fn lengths_and_formats_are_checked() {
    assert!(matches!(decode_row(Format::Q4_K, &[0; 144], &mut [0.0; 255]), Err(Error::Shape { .. })));
    assert!(matches!(decode_row(Format::Q4_K, &[0; 143], &mut [0.0; 256]), Err(Error::Shape { .. })));
    assert!(matches!(encode_row(Format::Q8_0, &[0.0; 33]), Err(Error::Shape { .. })));
    assert!(matches!(quantize(Format::Q8_0, 2, 32, &[0.0; 63]), Err(Error::Shape { .. })));
    assert!(matches!(quantize(Format::Q8_0, usize::MAX, 32, &[0.0; 64]), Err(Error::Shape { .. })));
    assert!(matches!(quantize(Format::Q4_K, 8, 32, &[0.0; 256]), Err(Error::Shape { .. })));
    assert!(matches!(encode_row(Format::IQ2_S, &[0.0; 256]), Err(Error::UnsupportedFormat { .. })));
    assert!(matches!(decode_row(Format::TQ1_0, &[0; 54], &mut [0.0; 256]), Err(Error::UnsupportedFormat { .. })));
    assert_eq!(quantize(Format::Q8_0, 2, 32, &[0.5; 64]).unwrap().row_bytes(), 34);
    assert!(encode_row(Format::Q6_K, &[]).unwrap().is_empty());
}

/// Codes within the declared bound for every possible byte: what the kernels' saturation bounds rest on.
#[test]
fn codes_keep_their_bound() {
    fn check<B: Grid>() {
        let mut state = 1u64;
        for round in 0..64u8 {
            let bytes: Vec<u8> = (0..size_of::<B>())
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    if round == 0 { 255 } else { (state >> 56) as u8 }
                })
                .collect();
            let block = blocks::<B>(&bytes)[0];
            for index in 0..B::WEIGHTS / UNIT {
                let unit = block.unit(index);
                for code in unit.codes {
                    let code = i32::from(code);
                    if B::MAX_CODE == 128 {
                        assert_eq!(B::OFFSET, 0);
                    } else {
                        assert!((0..=B::MAX_CODE).contains(&code), "{}", B::FORMAT);
                    }
                }
                if !B::HALVES {
                    assert_eq!(unit.scales[0].to_bits(), unit.scales[1].to_bits());
                    assert_eq!(unit.mins[0].to_bits(), unit.mins[1].to_bits());
                }
                if !B::MINS {
                    assert_eq!(unit.mins, [0.0; 2]);
                }
            }
        }
    }
    for format in computable() {
        with_grid!(format, B => check::<B>(), _ => ());
    }
}
