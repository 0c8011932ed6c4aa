//! One bank for every instruction set: integers exact, sums near, a token alone or beside others the same.

use super::{ROWS, STRIP, Strip, Sums};
use crate::cpu::activations::ActivationUnit;
use crate::cpu::tests::Random;
use crate::formats::{Block, Grid, UNIT, blocks, with_grid};
use crate::testing::{Bytes, block_formats, exact_dot, instruction_sets, quantized, set_scales, weight};
use crate::{Format, Isa, SharedBytes, Weight};

fn strip(weight: &Weight) -> Strip<'_> {
    Strip { format: weight.format(), cols: weight.cols(), bytes: weight.bytes(), row_bytes: weight.row_bytes() }
}

const STALE: Sums = [[f32::NAN; ROWS]; STRIP / ROWS];

#[test]
fn this_machine_runs_more_than_the_portable_kernels() {
    // On x86-64 without AVX2 the bank would only compare the portable kernels with themselves.
    let sets = instruction_sets();
    eprintln!("instruction sets: {:?}", sets.iter().map(|set| set.isa()).collect::<Vec<_>>());
    assert_eq!(sets[0].isa(), Isa::Scalar);
}

/// With scales of 1 every unit's sum is an integer that f32 holds: no tolerance.
#[test]
fn integers_are_exact_in_every_unit() {
    let mut random = Random::new(1);
    for format in block_formats() {
        let cols = 512;
        for kind in
            [Bytes::Random, Bytes::Constant(0), Bytes::Constant(255), Bytes::Constant(0x80), Bytes::Constant(127)]
        {
            let weight = with_unit_scales(&weight(&mut random, format, STRIP, cols, kind));
            for unit in 0..cols / UNIT {
                for codes in code_patterns(&mut random) {
                    let mut token = vec![0.0; cols];
                    for (x, code) in token[unit * UNIT..].iter_mut().zip(codes) {
                        *x = f32::from(code);
                    }
                    let token = quantized(&token);
                    assert_eq!(token[unit].scale, 1.0);
                    assert_eq!(token[unit].codes.as_flattened(), codes);
                    for kernels in instruction_sets() {
                        let mut sums = [STALE];
                        kernels.integer_strip(strip(&weight), &token, &mut sums);
                        for (row, &sum) in sums.as_flattened().as_flattened().iter().enumerate() {
                            let exact = exact_dot(&weight, row, &token).0;
                            assert_eq!(
                                f64::from(sum),
                                exact,
                                "{format} {kind:?} {:?} unit {unit} row {row}",
                                kernels.isa()
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Codes that reach 127, so that quantizing them again changes nothing; extremes first.
fn code_patterns(random: &mut Random) -> Vec<[i8; UNIT]> {
    let mut patterns = vec![[127; UNIT], [-127; UNIT]];
    patterns.push(std::array::from_fn(|i| if i % 2 == 0 { 127 } else { -127 }));
    patterns.push(std::array::from_fn(|i| if i / 16 == 0 { 127 } else { -127 }));
    patterns.push(std::array::from_fn(|i| if i == 0 { 127 } else { 0 }));
    patterns.push(std::array::from_fn(|i| if i == 0 { -127 } else { (random.below(0..255) as i32 - 127) as i8 }));
    patterns
}

fn with_unit_scales(weight: &Weight) -> Weight {
    let mut bytes = weight.bytes().to_vec();
    for block in bytes.chunks_exact_mut(weight.format().block_bytes()) {
        set_scales(weight.format(), block, || 1.0);
    }
    Weight::new(weight.format(), weight.rows(), weight.cols(), SharedBytes::new(bytes)).unwrap()
}

#[test]
fn sums_are_near_the_exact_product_alone_or_beside_others() {
    let mut random = Random::new(2);
    for format in block_formats() {
        let unit = format.block_weights();
        let widths = if unit == 256 { vec![256, 512, 2816] } else { vec![32, 64, 224, 256, 288, 896, 4864] };
        for cols in widths.into_iter().filter(|cols| cols % unit == 0) {
            for kind in [Bytes::Encoded, Bytes::Random, Bytes::Constant(255), Bytes::Constant(0), Bytes::Constant(0x5A)]
            {
                let rows = random.below(1..STRIP + 1);
                let weight = weight(&mut random, format, rows, cols, kind);
                let tokens = random.below(1..12);
                let mut x = random.values(tokens * cols);
                x[..cols].fill(if kind == Bytes::Random { 3.0 } else { 0.0 });
                let units = quantized(&x);
                for kernels in instruction_sets() {
                    let mut sums = vec![STALE; tokens];
                    kernels.integer_strip(strip(&weight), &units, &mut sums);
                    for (t, token) in units.chunks(cols / UNIT).enumerate() {
                        for row in 0..rows {
                            let found = f64::from(sums[t].as_flattened()[row]);
                            let (exact, size) = exact_dot(&weight, row, token);
                            let error = (found - exact).abs();
                            assert!(
                                error <= 1e-5 * size,
                                "{format} {kind:?} {cols} {:?}: {found} {exact}",
                                kernels.isa()
                            );
                        }
                        let mut alone = [STALE];
                        kernels.integer_strip(strip(&weight), token, &mut alone);
                        assert_eq!(bits(&alone[0], rows), bits(&sums[t], rows), "{format} token {t} of {tokens}");
                    }
                }
            }
        }
    }
}

fn bits(sums: &Sums, rows: usize) -> Vec<u32> {
    sums.as_flattened()[..rows].iter().map(|sum| sum.to_bits()).collect()
}

#[test]
fn any_bytes_and_any_activations_are_computed() {
    let mut random = Random::new(3);
    let odd = [f32::NAN, f32::INFINITY, f32::MIN, 1e-44, 1.0];
    for format in block_formats() {
        let cols = 512;
        let weight = weight(&mut random, format, STRIP, cols, Bytes::Wild);
        for x in odd {
            let mut values = random.values(cols);
            values[40] = x;
            let token = quantized(&values);
            for kernels in instruction_sets() {
                let mut sums = [Sums::default()];
                kernels.integer_strip(strip(&weight), &token, &mut sums);
                if x.is_nan() {
                    assert!(sums[0].as_flattened().iter().all(|sum| sum.is_nan()), "{format}: NaN was lost");
                }
            }
        }
    }
}

#[test]
fn activations_are_the_same_codes_on_every_set() {
    let mut random = Random::new(4);
    for round in 0..200 {
        let mut x = random.values(UNIT * 5);
        match round % 4 {
            0 => x[..UNIT].fill(0.0),
            1 => x.iter_mut().for_each(|x| *x *= 1e-38),
            2 => x.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 2.0),
            _ => x[7] = 1e30,
        }
        let units = quantized(&x);
        for kernels in instruction_sets() {
            let mut found = vec![ActivationUnit::default(); units.len()];
            kernels.quantize(&x, &mut found);
            assert_eq!(found, units);
        }
        for (unit, x) in units.iter().zip(x.chunks(UNIT)) {
            let codes = unit.codes.as_flattened();
            let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
            assert_eq!(unit.sums, [sum(&codes[..16]), sum(&codes[16..])]);
            for (&code, &x) in codes.iter().zip(x) {
                assert!(code != i8::MIN);
                let error = (f64::from(code) * f64::from(unit.scale) - f64::from(x)).abs();
                // Half a step; below 127 times the smallest normal number the codes are lost with the digits of the scale.
                assert!(error <= 0.501 * f64::from(unit.scale) || unit.scale < 1e-36, "{x} as {code} x {}", unit.scale);
            }
        }
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![1.0; UNIT];
        x[9] = bad;
        let unit = quantized(&x)[0];
        assert!(!unit.scale.is_finite());
        // The kernels negate codes, and -(-128) is not one.
        assert!(unit.codes.as_flattened().iter().all(|&code| code != i8::MIN));
    }
}

const FLOATS: [Format; 3] = [Format::F32, Format::F16, Format::BF16];

#[test]
fn float_rows_of_every_length_match_alone_or_beside_others() {
    let mut random = Random::new(5);
    for format in FLOATS {
        for cols in (1..=128).chain([131, 896]) {
            let (rows, tokens) = (random.below(1..STRIP + 1), random.below(1..8));
            let weight = weight(&mut random, format, rows, cols, Bytes::Encoded);
            let mut decoded = vec![0.0; rows * cols];
            crate::decode_row(format, weight.bytes(), &mut decoded).unwrap();
            let x = random.values(tokens * cols);
            for kernels in instruction_sets() {
                let mut sums = vec![STALE; tokens];
                kernels.float_strip(strip(&weight), &x, &mut sums);
                for (t, token) in x.chunks(cols).enumerate() {
                    for (row, weights) in decoded.chunks(cols).enumerate() {
                        let products = || weights.iter().zip(token).map(|(&w, &x)| f64::from(w) * f64::from(x));
                        let (exact, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                        let error = (f64::from(sums[t].as_flattened()[row]) - exact).abs();
                        let bar = f64::from(f32::EPSILON) * size * (cols as f64 / 8.0 + 4.0);
                        assert!(error <= bar, "{format} {cols} {:?}", kernels.isa());
                    }
                    let mut alone = [STALE];
                    kernels.float_strip(strip(&weight), token, &mut alone);
                    assert_eq!(bits(&alone[0], rows), bits(&sums[t], rows), "{format} token {t} of {tokens}");
                }
            }
        }
    }
}

#[test]
fn every_16_bit_number_is_widened_exactly() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for format in [Format::F16, Format::BF16] {
        let mut expected = vec![0.0; 65536];
        crate::decode_row(format, &all, &mut expected).unwrap();
        for kernels in instruction_sets() {
            // One column each: the path of the remainder.
            for (bytes, expected) in all.chunks(2 * STRIP).zip(expected.chunks(STRIP)) {
                let strip = Strip { format, cols: 1, bytes, row_bytes: 2 };
                check_widened(&kernels, strip, &[1.0], expected);
            }
            // One of eight columns each: the path of whole registers.
            let wide: Vec<u8> = all.chunks(2).flat_map(|number| [&[0; 6], number, &[0; 8]].concat()).collect();
            for (bytes, expected) in wide.chunks(16 * STRIP).zip(expected.chunks(STRIP)) {
                let strip = Strip { format, cols: 8, bytes, row_bytes: 16 };
                check_widened(&kernels, strip, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], expected);
            }
        }
    }
}

fn check_widened(kernels: &super::Kernels, strip: Strip<'_>, token: &[f32], expected: &[f32]) {
    let mut sums = [STALE];
    kernels.float_strip(strip, token, &mut sums);
    for (&found, &expected) in sums[0].as_flattened().iter().zip(expected) {
        // A sum with zeros may lose the sign of zero, nothing else.
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{found} instead of {expected}");
    }
}

/// The portable repacking and the fast ones give the same panel.
#[test]
fn portable_panels_hold_the_units() {
    let mut random = Random::new(6);
    for format in block_formats() {
        let weight = weight(&mut random, format, 5, 256, Bytes::Random);
        with_grid!(format, B => {
            let strip = strip(&weight);
            let mut panel = super::strip::Panel::ZERO;
            panel.fill::<B>(&strip.blocks(0), 0, 8);
            for (u, found) in panel.units.iter().enumerate() {
                for lane in 0..ROWS {
                    let row = blocks::<B>(strip.row(lane.min(4)));
                    let unit = row[u * UNIT / <B as Block>::WEIGHTS].unit(u);
                    for (i, &code) in unit.codes.iter().enumerate() {
                        assert_eq!(found.codes[i / 4][4 * lane + i % 4] as i8, code);
                    }
                    assert_eq!([found.scales[0][lane], found.scales[1][lane]], unit.scales);
                    assert_eq!([found.mins[0][lane], found.mins[1][lane]], unit.mins);
                }
            }
        }, _ => unreachable!());
    }
}
