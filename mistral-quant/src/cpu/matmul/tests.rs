mod wild;

use super::*;
use crate::cpu::kernels::Isa;
use crate::cpu::kernels::packed::Packed;
use crate::cpu::tests::Random;
use crate::testing::{Bytes, block_formats, exact_dot, instruction_sets, quantized, weight};
use crate::weight::Weight;

fn product(
    threads: usize,
    kernels: &Kernels,
    x: &[f32],
    tokens: usize,
    jobs: &[(&Weight, Option<&[f32]>)],
) -> Vec<Vec<f32>> {
    let pool = ThreadPool::new(threads).unwrap();
    let run = |operands: &[Operand<'_>]| {
        let mut outs: Vec<Vec<f32>> = jobs.iter().map(|job| vec![f32::NAN; tokens * job.0.rows()]).collect();
        let mut group: Vec<Job<'_>> = operands
            .iter()
            .zip(jobs)
            .zip(&mut outs)
            .map(|((&weight, &(_, bias)), out)| Job { weight, bias, gated: None, out })
            .collect();
        matmul(&pool, kernels, &mut Scratch::default(), x, tokens, &mut group).unwrap();
        outs
    };
    let blocks: Vec<Operand<'_>> = jobs.iter().map(|&(weight, _)| Operand::Blocks(weight)).collect();
    let outs = run(&blocks);
    let packed: Vec<Option<Packed>> =
        jobs.iter().map(|job| crate::testing::packed(kernels, &pool, job.0).ok()).collect();
    let operands: Vec<Operand<'_>> =
        packed.iter().zip(blocks).map(|(packed, blocks)| packed.as_ref().map_or(blocks, Operand::Packed)).collect();
    assert_eq!(run(&operands), outs, "packed");
    outs
}

/// Groups of several formats and heights, for one token and many, on one thread and several: every output right and the same.
#[test]
fn threads_and_neighbours_change_no_bit() {
    let mut random = Random::new(7);
    let cols = 512;
    let formats: Vec<Format> = block_formats().chain([Format::F32, Format::F16, Format::BF16]).collect();
    for (round, formats) in formats.chunks(4).enumerate() {
        let weights: Vec<Weight> = formats
            .iter()
            .map(|&format| {
                let rows = [1, 15, 16, 17, 100, 400][random.below(0..6)];
                weight(&mut random, format, rows, cols, Bytes::Encoded)
            })
            .collect();
        let biases: Vec<Option<Vec<f32>>> =
            weights.iter().enumerate().map(|(i, w)| (i % 2 == round % 2).then(|| random.values(w.rows()))).collect();
        let jobs: Vec<_> = weights.iter().zip(&biases).map(|(w, b)| (w, b.as_deref())).collect();
        for tokens in [1, 2, 3, 8, 13, 95, 96, 97, 194] {
            let x = random.values(tokens * cols);
            for kernels in instruction_sets().into_iter().chain([Kernels::detect().with_bf16_products(true)]) {
                if kernels.isa() == Isa::Scalar && tokens > 8 {
                    continue;
                }
                let one = product(1, &kernels, &x, tokens, &jobs);
                for threads in [2, 3] {
                    assert_eq!(one, product(threads, &kernels, &x, tokens, &jobs), "{formats:?}, {tokens} tokens");
                }
                let last = product(1, &kernels, &x[(tokens - 1) * cols..], 1, &jobs);
                for ((last, all), weight) in last.iter().zip(&one).zip(&weights) {
                    assert_eq!(*last, all[(tokens - 1) * weight.rows()..]);
                }
                check_values(&kernels, &x, &jobs, &one);
            }
        }
    }
}

fn check_values(kernels: &Kernels, x: &[f32], jobs: &[(&Weight, Option<&[f32]>)], outs: &[Vec<f32>]) {
    for (&(weight, bias), out) in jobs.iter().zip(outs) {
        let (rows, cols) = (weight.rows(), weight.cols());
        let mut decoded = vec![0.0; rows * cols];
        crate::formats::decode_row(weight.format(), weight.bytes(), &mut decoded).unwrap();
        for (token, out) in x.chunks(cols).zip(out.chunks(rows)) {
            let units = quantized(token);
            let rounds = kernels.rounds(weight.format());
            let token: Vec<f32> =
                token.iter().map(|&x| if rounds { half::bf16::from_f32(x).to_f32() } else { x }).collect();
            for (row, &found) in out.iter().enumerate() {
                let bias = bias.map_or(0.0, |bias| f64::from(bias[row]));
                let (exact, size) = if is_block_format(weight.format()) {
                    exact_dot(weight, row, &units)
                } else {
                    let products =
                        || decoded[row * cols..].iter().zip(&token).map(|(&w, &x)| f64::from(w) * f64::from(x));
                    (products().sum(), products().map(f64::abs).sum())
                };
                let error = (f64::from(found) - exact - bias).abs();
                assert!(error <= 1e-5 * (size + bias.abs()), "{} row {row}: {found} {exact}", weight.format());
            }
        }
    }
}

#[test]
fn large_groups_of_few_tokens_are_shared_out_whole() {
    let mut random = Random::new(8);
    let weights: Vec<Weight> =
        [2000, 7, 333].into_iter().map(|rows| weight(&mut random, Format::Q4_K, rows, 256, Bytes::Encoded)).collect();
    let jobs: Vec<_> = weights.iter().map(|weight| (weight, None)).collect();
    for tokens in [1, 5] {
        let x = random.values(tokens * 256);
        for threads in 1..6 {
            let kernels = Kernels::detect();
            check_values(&kernels, &x, &jobs, &product(threads, &kernels, &x, tokens, &jobs));
        }
    }
}

#[test]
fn wrong_shapes_are_errors_and_write_nothing() {
    let pool = ThreadPool::new(2).unwrap();
    let kernels = Kernels::detect();
    let weight = Weight::from_f32(2, 3, &[1.0; 6]).unwrap();
    let other = Weight::from_f32(2, 4, &[1.0; 8]).unwrap();
    let unknown = Weight::new(Format::I32, 1, 256, crate::bytes::SharedBytes::new(vec![0; 1024])).unwrap();
    let run = |x: &[f32], tokens: usize, weight: &Weight, bias: Option<&[f32]>, len: usize| {
        let mut out = vec![7.0; len];
        let result = matmul(
            &pool,
            &kernels,
            &mut Scratch::default(),
            x,
            tokens,
            &mut [Job { weight: Operand::Blocks(weight), bias, gated: None, out: &mut out }],
        );
        (result, out)
    };
    assert_eq!(run(&[1.0; 3], 1, &weight, None, 2), (Ok(()), vec![3.0; 2]));
    assert_eq!(run(&[], 0, &weight, None, 0).0, Ok(()));
    let empty = Weight::from_f32(2, 0, &[]).unwrap();
    assert_eq!(run(&[], 3, &empty, None, 6), (Ok(()), vec![0.0; 6]));
    let empty = Weight::new(Format::Q4_K, 2, 0, crate::bytes::SharedBytes::new(Vec::new())).unwrap();
    assert_eq!(run(&[], 3, &empty, None, 6), (Ok(()), vec![0.0; 6]));
    assert_eq!(run(&[], 2, &empty, Some(&[1.0, 2.0]), 4), (Ok(()), vec![1.0, 2.0, 1.0, 2.0]));
    let wrong = [
        run(&[1.0; 4], 1, &weight, None, 2),
        run(&[1.0; 3], 1, &weight, None, 3),
        run(&[1.0; 3], usize::MAX, &weight, None, 2),
        run(&[1.0; 3], 1, &weight, Some(&[1.0]), 2),
    ];
    for (result, out) in wrong {
        assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
        assert!(out.iter().all(|&out| out == 7.0));
    }
    assert!(matches!(run(&[1.0; 256], 1, &unknown, None, 1).0, Err(Error::UnsupportedFormat { .. })));
    let (mut a, mut b) = (vec![0.0; 2], vec![0.0; 2]);
    let (weight, other) = (Operand::Blocks(&weight), Operand::Blocks(&other));
    let mut jobs = [
        Job { weight, bias: None, gated: None, out: &mut a },
        Job { weight: other, bias: None, gated: None, out: &mut b },
    ];
    assert!(matches!(
        matmul(&pool, &kernels, &mut Scratch::default(), &[1.0; 3], 1, &mut jobs),
        Err(Error::Shape { .. })
    ));
}
