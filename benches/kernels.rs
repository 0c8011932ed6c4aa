//! Products of every format, number of columns and instruction set, by criterion:
//! `cargo bench -p mistral-benches --bench kernels -- [WORD ...] [--threads=N] [--test]`.
//!
//! A name is `FORMAT/COLUMNS/ISA/PACKING`, as `Q4_K/4/Avx2/Strips` for weights that were packed and `Never` for those that
//! lie as in the file; words choose names. A column is a token. Up to 8 columns read weights that no cache
//! holds, as generation does; more columns reuse weights that one does. Each result is first held against a product in f64 of the
//! decoded weights. The table at the end gives billions of multiply-adds a second, the weights read in GB/s, and the share of the
//! bandwidth of a plain sum on the same threads.

mod measure;

use std::hint::black_box;

use measure::Bench;
use mistral_benches::bandwidth::Memory;
use mistral_benches::clock::Clock;
use mistral_quant::{
    Backend, Cpu, CpuOptions, Error, Format, Isa, MatMul, Repack, SharedBytes, Weight, decode_row, encode_row_with,
};

const COLS: usize = 4096;
/// Rows that are drawn; a large weight repeats them.
const ROWS: usize = 64;
const COLUMNS: [usize; 6] = [1, 2, 4, 8, 64, 512];
const LARGE_BYTES: usize = 96 << 20;
const SMALL_ROWS: usize = 512;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().find_map(|argument| argument.strip_prefix("--threads=")?.parse().ok());
    let threads = given.unwrap_or(1);
    let mut bench = Bench::new(arguments);
    let bandwidth = match bench.only_checks() {
        true => 0.0,
        false => {
            let memory = Memory::new(512 << 20);
            (0..5).flat_map(|_| memory.read(threads, Clock::Wall)).fold(0.0, f64::max)
        }
    };
    let mut table = Vec::new();
    let mut checked = 0;
    for format in Format::all().filter(|format| format.is_computable()) {
        let mut drawn = None;
        for isa in Isa::available() {
            for columns in COLUMNS {
                for repack in [Repack::Never, Repack::Strips] {
                    let name = format!("{format}/{columns}/{isa:?}/{repack:?}");
                    if !bench.wants(&name) {
                        continue;
                    }
                    if drawn.is_none() {
                        drawn = Some(Drawn::new(format)?);
                    }
                    if let Some(drawn) = &drawn {
                        let product = Product { name, columns, isa, repack, threads };
                        table.extend(product.measure(&mut bench, drawn, bandwidth)?);
                        checked += 1;
                    }
                }
            }
        }
    }
    println!(
        "\n{checked} products are right; {threads} threads, {bandwidth:.1} GB/s by a plain sum\n{}",
        table.join("\n")
    );
    Ok(())
}

/// Some rows of weights in a format.
struct Drawn {
    format: Format,
    bytes: Vec<u8>,
    decoded: Vec<f32>,
}

impl Drawn {
    fn new(format: Format) -> Result<Self, Error> {
        let values: Vec<f32> = (0..ROWS * COLS).map(|i| ((i * 7919 % 10007) as f32 / 5003.5 - 1.0) * 0.02).collect();
        let alike = vec![1.0; COLS];
        let importance = format.needs_importance().then_some(alike.as_slice());
        let encode = |row| encode_row_with(format, row, importance);
        let bytes = values.chunks_exact(COLS).map(encode).collect::<Result<Vec<_>, _>>()?.concat();
        let mut decoded = vec![0.0; values.len()];
        decode_row(format, &bytes, &mut decoded)?;
        Ok(Self { format, bytes, decoded })
    }
}

struct Product {
    name: String,
    columns: usize,
    isa: Isa,
    repack: Repack,
    threads: usize,
}

impl Product {
    /// Checks, measures, and gives the line of the table.
    fn measure(self, bench: &mut Bench, drawn: &Drawn, bandwidth: f64) -> Result<Option<String>, Error> {
        let mut options = CpuOptions::default();
        options.threads = Some(self.threads);
        options.isa_limit = Some(self.isa);
        options.repack = self.repack;
        let mut cpu = Cpu::new(options)?;
        let copies =
            if self.columns <= 8 && !bench.only_checks() { LARGE_BYTES / drawn.bytes.len() } else { SMALL_ROWS / ROWS };
        let (rows, bytes) = (copies * ROWS, copies * drawn.bytes.len());
        let weight = Weight::new(drawn.format, rows, COLS, SharedBytes::new(drawn.bytes.repeat(copies)))?;
        let weight = cpu.weight(weight)?;
        let x: Vec<f32> = (0..self.columns * COLS).map(|i| (i as f32 * 0.37).sin()).collect();
        let (mut input, mut out) = (cpu.buffer(x.len())?, cpu.buffer(self.columns * rows)?);
        cpu.write(&mut input, &x)?;
        let mut product = || {
            cpu.matmul(black_box(&input), self.columns, &mut [MatMul { weight: &weight, bias: None, out: &mut out }])
        };
        product()?;
        let seconds = bench.seconds(&self.name, || drop(black_box(product())));
        let mut found = vec![0.0; self.columns * rows];
        cpu.read(&out, 0, &mut found)?;
        check(&self.name, drawn, &x, &found, rows);
        Ok(seconds.map(|seconds| {
            let products = (rows * COLS * self.columns) as f64 / seconds / 1e9;
            let read = bytes as f64 / seconds / 1e9;
            format!("{:34} {products:8.1} GMAC/s {read:7.2} GB/s {:4.0} %", self.name, 100.0 * read / bandwidth)
        }))
    }
}

/// Some outputs against f64. The tolerance is nine standard deviations of the rounding of activations to 8 bits: half a step in each of
/// 4096 terms, as a random walk.
fn check(name: &str, drawn: &Drawn, x: &[f32], found: &[f32], rows: usize) {
    let share = if drawn.format == Format::F32 { 1e-4 } else { 0.03 };
    for i in (0..found.len()).step_by((found.len() / 257).max(1)) {
        let (token, row) = (i / rows, i % rows % ROWS);
        let products = || {
            let row = &drawn.decoded[row * COLS..(row + 1) * COLS];
            row.iter().zip(&x[token * COLS..]).map(|(&w, &x)| f64::from(w) * f64::from(x))
        };
        let exact: f64 = products().sum();
        let spread = products().map(|product| product * product).sum::<f64>().sqrt();
        let error = (f64::from(found[i]) - exact).abs();
        assert!(error <= share * spread, "{name}, token {token}, row {row}: {} instead of {exact}", found[i]);
    }
}
