use half::bf16;

use super::{BLOCK, DECODED, Panel, pack, pack_pairs, packed_width};
use crate::bytes::SharedBytes;
use crate::cpu::kernels::Kernels;
use crate::cpu::kernels::packed::dense_strip_of;
use crate::cpu::pool::ThreadPool;
use crate::cpu::tests::Random;
use crate::format::Format;
use crate::formats::decode_row;
use crate::testing::{Bytes, instruction_sets, rounding_sets, weight};
use crate::weight::Weight;

/// Words of one and of two numbers, and a format that takes the way through its decoder.
const FORMATS: [Format; 4] = [Format::F32, Format::F16, Format::BF16, Format::Q5_K];

/// `[tokens, rows]` of one strip, its rows only; where the format has a packed form, with the same bits from it.
fn product(kernels: &Kernels, weight: &Weight, x: &[f32]) -> Vec<f32> {
    let (height, cols) = (kernels.dense_rows(), weight.cols());
    let rounded = kernels.rounds(weight.format());
    let mut packed = vec![f32::NAN; x.len() / cols * packed_width(cols, rounded)];
    let (tokens, group) = (x.chunks_exact(cols), kernels.dense_group());
    if rounded {
        pack_pairs(tokens, cols, group, &mut packed)
    } else {
        pack(tokens, cols, group, &mut packed)
    }
    let run = |strip| {
        let mut sums = vec![f32::NAN; x.len() / cols * height];
        kernels.dense_strip(strip, &packed, &mut sums, &mut Panel::new());
        sums.chunks(height).flat_map(|sums| &sums[..weight.rows()]).copied().collect::<Vec<f32>>()
    };
    let sums = run(dense_strip_of(weight, 0, height));
    if weight.format().block_weights() == 1 {
        let columns = crate::testing::packed(kernels, &ThreadPool::new(1).unwrap(), weight).unwrap();
        assert_eq!(bits(&run(columns.dense_strip(0))), bits(&sums), "{} packed", weight.format());
    }
    sums
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn rows_of_every_length_match_alone_or_beside_others() {
    let mut random = Random::new(5);
    for format in FORMATS {
        let unit = format.block_weights();
        let widths: Vec<usize> =
            if unit > 1 { vec![256, 512, 1280] } else { (1..=128).chain([131, 256, 257, 900]).collect() };
        for cols in widths {
            for kernels in instruction_sets() {
                let (rows, tokens) = (random.below(1..kernels.dense_rows() + 1), random.below(1..30));
                let weight = weight(&mut random, format, rows, cols, Bytes::Encoded);
                let decoded = weight.to_f32().unwrap();
                let x = random.values(tokens * cols);
                let found = product(&kernels, &weight, &x);
                for (token, found) in x.chunks(cols).zip(found.chunks(rows)) {
                    for (weights, &found) in decoded.chunks(cols).zip(found) {
                        let products = || weights.iter().zip(token).map(|(&w, &x)| f64::from(w) * f64::from(x));
                        let (exact, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                        // One rounding of a product and one of a sum for each column of a block, one sum a block.
                        let roundings = 2 * cols.min(BLOCK) + cols / BLOCK;
                        let bar = f64::from(f32::EPSILON) / 2.0 * size * roundings as f64;
                        assert!((f64::from(found) - exact).abs() <= bar, "{format} {cols} {:?}", kernels.isa());
                    }
                    assert_eq!(bits(&product(&kernels, &weight, token)), bits(found), "{format} {cols} of {tokens}");
                }
            }
        }
    }
}

/// Against f64: near the products of the rounded activations, and within the stated bound of those of the activations themselves. The
/// processor's instruction for two products at once adds in the order of two multiply-adds.
#[test]
fn products_of_rounded_activations_are_as_near_as_stated() {
    let mut random = Random::new(51);
    for cols in (1..=70).chain([127, 128, 255, 256, 257, 259, 512, 900]) {
        for kernels in rounding_sets() {
            let (rows, tokens) = (random.below(1..kernels.dense_rows() + 1), random.below(1..30));
            let weight = weight(&mut random, Format::BF16, rows, cols, Bytes::Encoded);
            let decoded = weight.to_f32().unwrap();
            let x = random.values(tokens * cols);
            let found = product(&kernels, &weight, &x);
            for (token, found) in x.chunks(cols).zip(found.chunks(rows)) {
                for (weights, &found) in decoded.chunks(cols).zip(found) {
                    let products = |x: fn(f32) -> f32| {
                        weights.iter().zip(token).map(move |(&w, &t)| f64::from(w) * f64::from(x(t)))
                    };
                    let exact: f64 = products(|x| x).sum();
                    let rounded: f64 = products(|x| bf16::from_f32(x).to_f32()).sum();
                    let size: f64 = products(|x| x).map(f64::abs).sum();
                    // One rounding of a sum for each column of a block of words, one sum a block.
                    let roundings = cols.min(2 * BLOCK) + cols / (2 * BLOCK) + 1;
                    // Magnitudes grow by a half of 2^-7 at most.
                    let sums = f64::from(f32::EPSILON) / 2.0 * size * 1.004 * roundings as f64;
                    let found = f64::from(found);
                    assert!((found - rounded).abs() <= sums, "{cols} {:?}: {found} for {rounded}", kernels.isa());
                    assert!((found - exact).abs() <= sums + size / 256.0, "{cols}: {found} for {exact}");
                }
                assert_eq!(bits(&product(&kernels, &weight, token)), bits(found), "{cols} of {tokens}");
            }
            assert_eq!(
                bits(&product(&kernels.without_dots(), &weight, &x)),
                bits(&found),
                "{cols} {:?}",
                kernels.isa()
            );
        }
    }
}

/// The option changes no other format.
#[test]
fn only_products_with_bf16_are_rounded() {
    let mut random = Random::new(52);
    for format in [Format::F32, Format::F16, Format::Q5_K, Format::BF16] {
        for kernels in instruction_sets() {
            let weight = weight(&mut random, format, kernels.dense_rows(), 256, Bytes::Encoded);
            let x = random.values(3 * 256);
            let (plain, rounded) = (product(&kernels, &weight, &x), kernels.with_bf16_products(true));
            assert_eq!(bits(&product(&rounded, &weight, &x)) == bits(&plain), format != Format::BF16, "{format}");
        }
    }
}

#[test]
fn every_16_bit_number_is_widened_exactly() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for format in [Format::F16, Format::BF16] {
        let mut expected = vec![0.0; 65536];
        decode_row(format, &all, &mut expected).unwrap();
        for kernels in instruction_sets() {
            // One column each is the path of the remainder, one of 32 that of whole registers.
            for (cols, places) in [(1, 0..1), (32, 0..32)] {
                for (index, (numbers, expected)) in all.chunks(32).zip(expected.chunks(16)).enumerate() {
                    let place = places.start + index % places.len();
                    let mut bytes = vec![0; numbers.len() * cols];
                    for (row, number) in bytes.chunks_mut(2 * cols).zip(numbers.chunks(2)) {
                        row[2 * place..2 * place + 2].copy_from_slice(number);
                    }
                    let height = kernels.dense_rows().min(16);
                    for (bytes, expected) in bytes.chunks(2 * cols * height).zip(expected.chunks(height)) {
                        let weight = Weight::new(format, height, cols, SharedBytes::new(bytes.to_vec())).unwrap();
                        let mut token = vec![0.0; cols];
                        token[place] = 1.0;
                        for (&found, &expected) in product(&kernels, &weight, &token).iter().zip(expected) {
                            // A sum with zeros may lose the sign of zero, nothing else.
                            assert!(found == expected || found.is_nan() && expected.is_nan(), "{found} for {expected}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_number_that_is_none_stays_in_its_row_and_token() {
    let mut random = Random::new(6);
    for kernels in instruction_sets() {
        let (rows, cols, tokens) = (kernels.dense_rows(), 300, 14);
        let mut values = random.values(rows * cols);
        values[2 * cols + 299] = f32::NAN;
        values[5 * cols + 7] = f32::INFINITY;
        let mut x = random.values(tokens * cols);
        x[3 * cols + 255] = f32::NAN;
        x[13 * cols] = f32::NEG_INFINITY;
        let found = product(&kernels, &Weight::from_f32(rows, cols, &values).unwrap(), &x);
        for (token, sums) in found.chunks(rows).enumerate() {
            for (row, sum) in sums.iter().enumerate() {
                let products = values[row * cols..].iter().zip(&x[token * cols..(token + 1) * cols]);
                let exact: f64 = products.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                assert_eq!(sum.is_nan(), exact.is_nan(), "row {row} of token {token}: {sum}");
                assert!(sum.is_finite() || f64::from(*sum) == exact || exact.is_nan());
            }
        }
    }
}

/// As the blocks decode: rows are read where the blocks are gone.
#[test]
fn rows_of_packed_strips_decode_exactly() {
    let mut random = Random::new(9);
    for format in [Format::F32, Format::F16, Format::BF16] {
        for cols in [1, 31, 33, 259] {
            let weight = weight(&mut random, format, 41, cols, Bytes::Wild);
            for kernels in instruction_sets().into_iter().chain(rounding_sets()) {
                let packed = crate::testing::packed(&kernels, &ThreadPool::new(2).unwrap(), &weight).unwrap();
                for (row, bytes) in weight.bytes().chunks(weight.row_bytes()).enumerate() {
                    let (mut found, mut expected) = (vec![0.5; cols], vec![0.0; cols]);
                    packed.decode_row(&kernels, row, &mut found);
                    decode_row(format, bytes, &mut expected).unwrap();
                    assert_eq!(bits(&found), bits(&expected), "{format} row {row} of {cols} columns");
                }
            }
        }
    }
}

/// The decoder is asked for whole panels.
#[test]
fn blocks_of_every_format_fill_a_panel() {
    for format in Format::all().filter(|format| format.is_computable()) {
        assert!(DECODED.is_multiple_of(format.block_weights()), "{format}");
    }
}

#[test]
fn packed_activations_lie_side_by_side() {
    let x: Vec<f32> = (0..35).map(|i| i as f32).collect();
    let mut packed = [0.0; 35];
    pack(x.chunks_exact(5), 5, 3, &mut packed);
    for (token, values) in x.chunks(5).enumerate() {
        let (first, width) = (token / 3 * 3, 3.min(7 - token / 3 * 3));
        for (column, &value) in values.iter().enumerate() {
            assert_eq!(packed[first * 5 + column * width + token - first], value);
        }
    }
}

/// Every upper half with the lower halves at which rounding turns.
#[test]
fn activations_are_rounded_as_half_rounds_them() {
    for upper in 0..=u16::MAX {
        for lower in [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
            let value = f32::from_bits(u32::from(upper) << 16 | lower);
            assert_eq!(
                super::rounded_bf16(value),
                u32::from(bf16::from_f32(value).to_bits()),
                "{:#x}",
                value.to_bits()
            );
        }
    }
}
