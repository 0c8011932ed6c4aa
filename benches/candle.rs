//! Our layer beside candle's `QMatMul`: `cargo bench -p mistral-benches --features candle --bench candle -- [FORMAT ...] [--threads N]`.
//!
//! Both multiply the same blocks, `[4096, 4096]`, with 1 token, 8 and 64. With one token the layers of each side are taken in turn and
//! are together larger than a cache, as in a model; what candle repacks it repacks before it is timed. Rounds of the two sides
//! alternate, after a pause in which the threads of the other side come to rest; the median counts. Every result is first held
//! against a product in f64 of the decoded weights.

use std::env;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{Device, Module, Result, Tensor};
use mistral_quant::candle::{Linear, SharedCpu, qtensor_from_weight};
use mistral_quant::{Cpu, CpuOptions, Format, SharedBytes, Weight, quantize};

const SIZE: usize = 4096;
const DISTINCT_ROWS: usize = 128;
const LARGE_BYTES: usize = 192 << 20;
const ROUNDS: usize = 15;

/// candle takes the number of its threads from the environment, before it computes anything.
const THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> Result<ExitCode> {
    let mut threads = "2".to_owned();
    let mut formats = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--threads" {
            threads = arguments.next().unwrap_or(threads);
        } else {
            formats.extend(Format::from_name(&argument));
        }
    }
    if env::var(THREADS).as_ref() != Ok(&threads) {
        let mut again = Command::new(env::current_exe()?);
        again.args(env::args().skip(1)).env(THREADS, &threads).env("RAYON_NUM_THREADS", &threads);
        return Ok(if again.status()?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if formats.is_empty() {
        formats = vec![Format::Q4_0, Format::Q8_0, Format::Q4_K, Format::Q6_K];
    }
    let mut options = CpuOptions::default();
    options.threads = threads.parse().ok();
    let cpu = SharedCpu::new(Cpu::new(options)?)?;
    println!("{SIZE} x {SIZE}, {cpu:?}; milliseconds a product, and ours in GB/s of weights");
    println!("{:6} {:>6} {:>9} {:>9} {:>7} {:>7}", "", "tokens", "ours", "candle", "ratio", "GB/s");
    for format in formats {
        bench(&cpu, format)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bench(cpu: &SharedCpu, format: Format) -> Result<()> {
    let values: Vec<f32> =
        (0..DISTINCT_ROWS * SIZE).map(|i| ((i * 7919 % 10007) as f32 / 5003.5 - 1.0) * 0.02).collect();
    let distinct = quantize(format, DISTINCT_ROWS, SIZE, &values)?;
    let bytes = distinct.bytes().repeat(SIZE / DISTINCT_ROWS);
    let copies = LARGE_BYTES.div_ceil(bytes.len());
    let (mut ours, mut candle) = (Vec::new(), Vec::new());
    for _ in 0..copies {
        let weight = Weight::new(format, SIZE, SIZE, SharedBytes::new(bytes.clone()))?;
        let theirs: QTensor = qtensor_from_weight(&weight)?;
        ours.push(Linear::new(cpu, weight, None)?);
        candle.push(QMatMul::from_arc(Arc::new(theirs))?);
    }
    let decoded = distinct.to_f32()?;
    for tokens in [1, 8, 64] {
        let x: Vec<f32> = (0..tokens * SIZE).map(|i| (i as f32 * 0.37).sin()).collect();
        let input = Tensor::from_slice(&x, (tokens, SIZE), &Device::Cpu)?;
        for (layer, theirs) in ours.iter().zip(&candle) {
            check("ours", &decoded, &x, &layer.forward(&input)?)?;
            check("candle's", &decoded, &x, &theirs.forward(&input)?)?;
        }
        let count = if tokens == 1 { copies } else { 1 };
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_times.push(seconds(&ours[..count], &input)?);
            their_times.push(seconds(&candle[..count], &input)?);
        }
        let (ours, candle) = (median(&mut our_times), median(&mut their_times));
        println!(
            "{:6} {tokens:6} {:9.3} {:9.3} {:7.2} {:7.2}",
            format.name(),
            ours * 1e3,
            candle * 1e3,
            candle / ours,
            bytes.len() as f64 / ours / 1e9
        );
    }
    Ok(())
}

/// Time of a product, over layers in turn.
fn seconds(layers: &[impl Module], x: &Tensor) -> Result<f64> {
    sleep(Duration::from_millis(5));
    layers[layers.len() - 1].forward(x)?;
    let start = Instant::now();
    for layer in layers {
        layer.forward(x)?;
    }
    Ok(start.elapsed().as_secs_f64() / layers.len() as f64)
}

/// Some outputs against f64. The tolerance is that of 8-bit activations: half a step in each of 4096 terms, as a random walk.
fn check(side: &str, weights: &[f32], x: &[f32], found: &Tensor) -> Result<()> {
    let found: Vec<f32> = found.flatten_all()?.to_vec1()?;
    assert_eq!(found.len(), x.len());
    for i in (0..found.len()).step_by(509) {
        let (token, row) = (i / SIZE, i % SIZE % DISTINCT_ROWS);
        let products = || {
            let row = &weights[row * SIZE..(row + 1) * SIZE];
            row.iter().zip(&x[token * SIZE..]).map(|(&w, &x)| f64::from(w) * f64::from(x))
        };
        let exact: f64 = products().sum();
        let spread = products().map(|product| product * product).sum::<f64>().sqrt();
        let error = (f64::from(found[i]) - exact).abs();
        assert!(error <= 0.03 * spread, "{side}, token {token}, row {row}: {} instead of {exact}", found[i]);
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
