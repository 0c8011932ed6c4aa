//! Matrix products of every format: `cargo bench -p mistral-benches --bench matmul -- [FORMAT ...] [--threads N]
//! [--isa NAME] [--blocks]`.
//!
//! With `--blocks` weights stay in the blocks of the checkpoint, else they are repacked.
//! Prints billions of multiply-adds a second, and the weight bytes read in the same time, for several numbers of tokens, with
//! weights that stay in a cache and with weights that do not. Beside them stands the bandwidth of a plain sum over the larger weights. Rounds of all shapes alternate and the median counts. Every result is first held against a product in
//! f64 of the decoded weights.

use std::hint::black_box;
use std::time::Instant;

use mistral_quant::{
    Backend, Cpu, CpuOptions, CpuWeight, Error, Format, Isa, MatMul, Repack, SharedBytes, Weight, decode_row,
    quantize_with,
};

const COLS: usize = 4096;
const CACHED_ROWS: usize = 512;
const LARGE_BYTES: usize = 192 << 20;
const ROUNDS: usize = 7;
const CACHED_TOKENS: [usize; 6] = [1, 2, 4, 8, 32, 512];
const MEMORY_TOKENS: [usize; 3] = [1, 4, 8];

fn main() -> Result<(), Error> {
    let mut threads = 1;
    let mut formats = Vec::new();
    let mut limit = None;
    let mut repack = Repack::Strips;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--threads" {
            threads = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(threads);
        } else if argument == "--blocks" {
            repack = Repack::Never;
        } else if argument == "--isa" {
            let name = arguments.next().unwrap_or_default();
            limit = Isa::available().find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&name));
            assert!(limit.is_some(), "this machine has {:?}", Isa::available().collect::<Vec<_>>());
        } else {
            formats.extend(Format::from_name(&argument));
        }
    }
    if formats.is_empty() {
        formats = Format::all().filter(|format| format.is_computable()).collect();
    }
    let mut options = CpuOptions::default();
    options.threads = Some(threads);
    options.isa_limit = limit;
    options.repack = repack;
    let mut cpu = Cpu::new(options)?;
    println!("{} threads, {:?}, {COLS} columns; GMAC/s (GB/s of weights)", cpu.threads(), cpu.isa());
    print!("{:8}", "");
    CACHED_TOKENS.iter().for_each(|tokens| print!(" {:>16}", format!("{tokens}, cached")));
    MEMORY_TOKENS.iter().for_each(|tokens| print!(" {:>16}", format!("{tokens}, memory")));
    println!(" {:>10}", "sum");
    for format in formats {
        bench(&mut cpu, format)?;
    }
    Ok(())
}

struct Case {
    weight: CpuWeight,
    rows: usize,
    bytes: usize,
    tokens: usize,
    repetitions: usize,
    seconds: Vec<f64>,
}

fn bench(cpu: &mut Cpu, format: Format) -> Result<(), Error> {
    let values: Vec<f32> = (0..CACHED_ROWS * COLS).map(|i| ((i * 7919 % 10007) as f32 / 5003.5 - 1.0) * 0.02).collect();
    let x: Vec<f32> = (0..512 * COLS).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut input = cpu.buffer(x.len())?;
    cpu.write(&mut input, &x)?;
    // Some formats ask for an importance of the columns.
    let small = quantize_with(format, CACHED_ROWS, COLS, &values, Some(&[1.0; COLS]))?;
    let mut decoded = vec![0.0; values.len()];
    decode_row(format, small.bytes(), &mut decoded)?;
    let copies = LARGE_BYTES / small.bytes().len();
    let bytes = small.bytes().repeat(copies);
    let sum = bandwidth(&bytes);
    let large = Weight::new(format, copies * CACHED_ROWS, COLS, SharedBytes::new(bytes))?;
    let mut out = cpu.buffer((512 * CACHED_ROWS).max(8 * large.rows()))?;
    let mut cases = Vec::new();
    for (weight, repetitions, counts) in [(small, 8, &CACHED_TOKENS[..]), (large, 1, &MEMORY_TOKENS[..])] {
        for &tokens in counts {
            cases.push(Case {
                rows: weight.rows(),
                bytes: weight.bytes().len(),
                weight: cpu.weight(weight.clone())?,
                tokens,
                repetitions: if tokens == 1 { repetitions } else { 1 },
                seconds: Vec::new(),
            });
        }
    }
    for case in &cases {
        let mut group = [MatMul { weight: &case.weight, bias: None, out: &mut out }];
        cpu.matmul(&input, case.tokens, &mut group)?;
        let mut found = vec![0.0; case.rows * case.tokens];
        cpu.read(&out, 0, &mut found)?;
        check(format, &decoded, &x, &found, case);
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let start = Instant::now();
            for _ in 0..case.repetitions {
                let mut group = [MatMul { weight: &case.weight, bias: None, out: &mut out }];
                cpu.matmul(black_box(&input), case.tokens, &mut group)?;
            }
            case.seconds.push(start.elapsed().as_secs_f64() / case.repetitions as f64);
        }
    }
    print!("{:8}", format.name());
    for case in &mut cases {
        let seconds = median(&mut case.seconds);
        let products = (case.rows * COLS * case.tokens) as f64;
        print!(" {:7.1} ({:6.2})", products / seconds / 1e9, case.bytes as f64 / seconds / 1e9);
    }
    println!(" {sum:10.2}");
    Ok(())
}

/// Some outputs against f64. The tolerance is that of 8-bit activations: half a step in each of 4096 terms, as a random walk.
fn check(format: Format, decoded: &[f32], x: &[f32], found: &[f32], case: &Case) {
    for i in (0..found.len()).step_by(found.len() / 257) {
        let (token, row) = (i / case.rows, i % case.rows % CACHED_ROWS);
        let products = || {
            let row = &decoded[row * COLS..(row + 1) * COLS];
            row.iter().zip(&x[token * COLS..]).map(|(&w, &x)| f64::from(w) * f64::from(x))
        };
        let exact: f64 = products().sum();
        let spread = products().map(|product| product * product).sum::<f64>().sqrt();
        let error = (f64::from(found[i]) - exact).abs();
        assert!(error <= 0.03 * spread, "{format}, token {token}, row {row}: {} instead of {exact}", found[i]);
    }
}

/// GB/s of adding up all bytes as words, the best of three.
fn bandwidth(bytes: &[u8]) -> f64 {
    let best = (0..3).map(|_| {
        let start = Instant::now();
        let words = black_box(bytes).as_chunks::<8>().0.iter();
        black_box(words.fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word))));
        start.elapsed().as_secs_f64()
    });
    bytes.len() as f64 / best.fold(f64::INFINITY, f64::min) / 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
