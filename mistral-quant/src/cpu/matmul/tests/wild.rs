//! Weights that nobody vouches for: any bytes as blocks, and tokens that are not all numbers, on every instruction set.

use super::*;
use crate::weight::Weight;

/// Tokens of a step: alone, each odd and even way to pair them, a whole tile of the widest kernel, one more, two and one more.
const TOKENS: [usize; 7] = [1, 2, 3, 5, 12, 13, 25];

/// Widths with groups of 256 columns that are whole, cut short, or both.
fn widths(format: Format) -> &'static [usize] {
    match format.block_weights() {
        256 => &[256, 768],
        64 => &[64, 448],
        128 => &[128, 640],
        _ => &[32, 288, 480],
    }
}

/// Blocks of random bytes, of bytes at the ends of what a scale or a code can be, and of one byte, in one matrix.
fn wild(random: &mut Random, format: Format, rows: usize, cols: usize) -> Weight {
    let len = format.byte_len(cols).unwrap() * rows;
    let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
    let ends = [0, 1, 0x3C, 0x7B, 0x7C, 0x7E, 0x7F, 0x80, 0xFB, 0xFC, 0xFE, 0xFF];
    // Numbers one by one have no scales: whole rows of them are fair.
    let width = if is_block_format(format) { format.block_weights() } else { cols };
    for block in bytes.chunks_exact_mut(format.byte_len(width).unwrap()) {
        let end = ends[random.below(0..ends.len())];
        match random.below(0..8) {
            0 => block.fill(end),
            1 => block.fill_with(|| ends[random.below(0..ends.len())]),
            // Whatever is a scale is that of a fair weight.
            2..5 if is_block_format(format) => crate::testing::set_scales(format, block, || random.value()),
            2..5 => block.copy_from_slice(&crate::formats::encode_row(format, &random.values(cols)).unwrap()),
            _ => {}
        }
    }
    Weight::new(format, rows, cols, crate::bytes::SharedBytes::new(bytes)).unwrap()
}

/// Rows of fair values, but for the fourth, which has a NaN, the sixth with an infinity, the ninth of zeros and the last of large ones.
fn tokens(random: &mut Random, cols: usize) -> Vec<f32> {
    let mut x = random.values(25 * cols);
    x[3 * cols + random.below(0..cols)] = f32::NAN;
    x[5 * cols + random.below(0..cols)] = f32::NEG_INFINITY;
    x[8 * cols..9 * cols].fill(0.0);
    x[24 * cols..].iter_mut().for_each(|x| *x *= 1e30);
    x
}

/// One NaN is as good as another.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }).collect()
}

/// The product and the sum of the magnitudes in f64, `[tokens, rows]`.
fn exact(weight: &Weight, x: &[f32]) -> Vec<(f64, f64)> {
    let (rows, cols) = (weight.rows(), weight.cols());
    if is_block_format(weight.format()) {
        let units = quantized(x);
        let per_token = units.len() / (x.len() / cols);
        return units.chunks(per_token).flat_map(|token| (0..rows).map(|row| exact_dot(weight, row, token))).collect();
    }
    let mut decoded = vec![0.0; rows * cols];
    crate::formats::decode_row(weight.format(), weight.bytes(), &mut decoded).unwrap();
    let dot = |token: &[f32], row: &[f32]| {
        let products = || token.iter().zip(row).map(|(&x, &w)| f64::from(x) * f64::from(w));
        (products().sum(), products().map(f64::abs).sum())
    };
    x.chunks(cols).flat_map(|token| decoded.chunks(cols).map(move |row| dot(token, row))).collect()
}

/// No panic; numbers near the exact ones wherever those are no danger to f32; no number where a scale or an activation is none; a token
/// the same to the bit beside any others; packed weights and a second thread change nothing.
#[test]
fn any_blocks_with_any_tokens_are_computed_alike() {
    (9..12).for_each(check);
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let pools = [ThreadPool::new(1).unwrap(), ThreadPool::new(2).unwrap()];
    let (mut near, mut none) = (0, 0);
    for format in block_formats().chain([Format::F32, Format::F16, Format::BF16]) {
        let before = (near, none);
        for (&cols, rows) in widths(format).iter().flat_map(|cols| [(cols, 3), (cols, 37), (cols, 48 + cols % 7)]) {
            let (weight, x) = (wild(&mut random, format, rows, cols), tokens(&mut random, cols));
            let exact = exact(&weight, &x);
            for kernels in instruction_sets() {
                let about = format!("{format}, {rows} x {cols}, {:?}", kernels.isa());
                let packed = crate::testing::packed(&kernels, &pools[1], &weight).ok();
                let run = |pool: &ThreadPool, operand, tokens: usize| {
                    let mut out = vec![7.0; tokens * rows];
                    let jobs = &mut [Job { weight: operand, bias: None, gated: None, out: &mut out }];
                    matmul(pool, &kernels, &mut Scratch::default(), &x[..tokens * cols], tokens, jobs).unwrap();
                    out
                };
                let all = run(&pools[0], Operand::Blocks(&weight), 25);
                for (i, (&found, &(exact, size))) in all.iter().zip(&exact).enumerate() {
                    let (token, row) = (i / rows, i % rows);
                    if !exact.is_finite() {
                        none += 1;
                        assert!(!found.is_finite(), "{about}, token {token}, row {row}: {found} for {exact}");
                    } else if size < 1e34 {
                        near += 1;
                        let error = (f64::from(found) - exact).abs();
                        // Below the normal numbers digits are lost.
                        let lost = f64::from(f32::MIN_POSITIVE);
                        assert!(error <= 1e-5 * size + lost, "{about}, token {token}, row {row}: {found} for {exact}");
                    }
                }
                for tokens in TOKENS {
                    let expected = bits(&all[..tokens * rows]);
                    assert_eq!(bits(&run(&pools[1], Operand::Blocks(&weight), tokens)), expected, "{about}, {tokens}");
                    if let Some(packed) = &packed {
                        let found = run(&pools[0], Operand::Packed(packed), tokens);
                        assert_eq!(bits(&found), expected, "{about}, {tokens} packed");
                    }
                }
            }
        }
        // Neither is all that was seen.
        let seen = (near - before.0, none - before.1);
        assert!(seen.0 > 500 && seen.1 > 200, "{format}: {seen:?}");
    }
}
