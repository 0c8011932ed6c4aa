//! One bank for every instruction set: integers exact, sums near, a token alone or beside others the same.

use super::Kernels;
use super::packed::{packed_bytes, strip_of};
use super::strip::{ROWS, STRIP, Sums};
use crate::bytes::SharedBytes;
use crate::cpu::activations::Activations;
use crate::cpu::kernels::Isa;
use crate::cpu::kernels::integer::activation::ActivationUnit;
use crate::cpu::kernels::integer::{StripSource, Workspace};
use crate::cpu::kernels::strip::Strip;
use crate::cpu::pool::ThreadPool;
use crate::cpu::tests::Random;
use crate::format::Format;
use crate::formats::UNIT;
use crate::testing::{Bytes, block_formats, exact_dot, instruction_sets, quantized, set_scales, weight};
use crate::weight::Weight;

fn strip(weight: &Weight) -> Strip<'_> {
    strip_of(weight, 0)
}

/// The sums of the first strip for every token of `x`; from packed weights the same to the bit.
fn sums_of(kernels: &Kernels, weight: &Weight, x: &[f32]) -> Vec<Sums> {
    let pool = ThreadPool::new(1).unwrap();
    let tokens = x.len() / weight.cols();
    let mut activations = Activations::default();
    activations.quantize(&pool, kernels, x, weight.cols()).unwrap();
    let run = |sources: &[StripSource<'_>]| {
        let mut sums = vec![STALE; tokens * sources.len()];
        // Whatever another strip has left in the workspace.
        let mut workspace = Workspace::ZERO;
        kernels.integer_strips(sources, activations.columns(0, tokens), &mut workspace, &mut sums);
        kernels.integer_strips(sources, activations.columns(0, tokens), &mut workspace, &mut sums);
        sums
    };
    let source = StripSource::Blocks(strip(weight));
    let sums = run(&[source]);
    let is_packed = packed_bytes(kernels, weight.format(), weight.rows(), weight.cols()).is_some();
    let pack = |weight: &Weight| is_packed.then(|| crate::testing::packed(kernels, &pool, weight).unwrap());
    let same = |found: &[Sums], expected: &[Sums], what| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(bits(found, weight.rows()), bits(expected, weight.rows()), "{} {what}", weight.format());
        }
    };
    let packed = pack(weight);
    if let Some(packed) = &packed {
        same(&run(&[packed.strip(0)]), &sums, "packed");
    }
    if kernels.strips_together(tokens) > 1 {
        let mut bytes = weight.bytes().to_vec();
        bytes.rotate_left(weight.bytes().len() / weight.rows());
        let other = Weight::new(weight.format(), weight.rows(), weight.cols(), SharedBytes::new(bytes)).unwrap();
        let blocks = StripSource::Blocks(strip(&other));
        let both = [&sums[..], &run(&[blocks])].concat();
        same(&run(&[source, blocks]), &both, "together");
        if let (Some(packed), Some(other)) = (&packed, pack(&other)) {
            same(&run(&[packed.strip(0), other.strip(0)]), &both, "packed and together");
        }
    }
    sums
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
                    let x = token;
                    let token = quantized(&x);
                    assert_eq!(token[unit].scale, 1.0);
                    assert_eq!(token[unit].codes.as_flattened(), codes);
                    for kernels in instruction_sets() {
                        let sums = sums_of(&kernels, &weight, &x);
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
                let tokens = random.below(1..26);
                let mut x = random.values(tokens * cols);
                x[..cols].fill(if kind == Bytes::Random { 3.0 } else { 0.0 });
                let units = quantized(&x);
                for kernels in instruction_sets() {
                    let sums = sums_of(&kernels, &weight, &x);
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
                        let alone = sums_of(&kernels, &weight, &x[t * cols..(t + 1) * cols]);
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
            for kernels in instruction_sets() {
                let sums = sums_of(&kernels, &weight, &values);
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

/// Packing loses and adds next to nothing: the bytes of the blocks, transposed.
#[test]
fn packed_weights_take_the_memory_of_their_blocks() {
    for kernels in instruction_sets() {
        let packed_bytes = |format, rows, cols| packed_bytes(&kernels, format, rows, cols);
        for format in block_formats().chain([Format::F32, Format::F16, Format::BF16]) {
            let (rows, cols) = (64, 4096);
            let Some(packed) = packed_bytes(format, rows, cols) else { continue };
            let bytes = format.byte_len(cols).unwrap() * rows;
            assert!(packed >= bytes && packed * 100 <= bytes * 104, "{format}: {packed} for {bytes}");
            assert_eq!(packed_bytes(format, usize::MAX, cols), None);
            assert!(format.block_weights() == 1 || packed_bytes(format, rows, 33).is_none());
        }
        assert_eq!(packed_bytes(Format::F8_E4M3, 64, 256), None);
        assert_eq!(packed_bytes(Format::F32, 1, usize::MAX / 8), None);
    }
}
