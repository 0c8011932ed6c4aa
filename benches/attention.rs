//! Attention over cached keys and values: `cargo bench -p mistral-benches --bench attention -- [FORMAT ...] [--threads N] [--isa NAME]`.
//!
//! Generation of one token after 512 and 8192 positions, and a prompt of 512 tokens, for some shapes of heads and each format of the
//! cache. Prints billions of multiply-adds a second, the GB/s at which keys and values are read, and what share that is of the
//! bandwidth that as many threads reach in the same run with a plain sum. Every generation reads another layer of a cache of at
//! least 256 MiB, as a model does, so nothing is left in a processor's caches from the layer before. Rounds of all shapes alternate and the median
//! counts. Every result is first held against `Reference`.

use std::hint::black_box;
use std::time::Instant;

use mistral_quant::backend::HostStep;
use mistral_quant::{
    Attention, Backend, Cpu, CpuBuffer, CpuKv, CpuOptions, Error, Isa, KvFormat, KvShape, Reference, Run, StepInput,
    Visible,
};

const ROUNDS: usize = 7;
const BLOCK_TOKENS: usize = 32;
/// Bytes of all layers of a generation.
const CACHE_BYTES: usize = 256 << 20;
const PROMPT: usize = 512;

/// Query heads, kv heads, width of a head.
const SHAPES: [(usize, usize, usize); 3] = [(32, 8, 64), (32, 8, 128), (14, 2, 64)];

fn main() -> Result<(), Error> {
    let mut options = CpuOptions::default();
    options.threads = Some(1);
    let mut formats = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => options.threads = arguments.next().and_then(|number| number.parse().ok()),
            "--isa" => {
                let name = arguments.next().unwrap_or_default();
                options.isa_limit = Isa::available().find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&name));
            }
            name => formats.extend(KvFormat::ALL.into_iter().filter(|f| format!("{f:?}").eq_ignore_ascii_case(name))),
        }
    }
    if formats.is_empty() {
        formats = KvFormat::ALL.to_vec();
    }
    let mut cpu = Cpu::new(options)?;
    let bandwidth = bandwidth(cpu.threads());
    println!("{} threads, {:?}; {bandwidth:.1} GB/s by a plain sum", cpu.threads(), cpu.isa());
    println!("{:24} {:>28} {:>28} {:>10}", "heads/kv heads x width", "1 after 512", "1 after 8192", "512 from 0");
    for shape in SHAPES {
        for &format in &formats {
            bench(&mut cpu, shape, format, bandwidth)?;
        }
    }
    Ok(())
}

/// Attention of `tokens` queries from `position` on, over each of some layers in turn.
struct Case {
    layers: Vec<CpuKv>,
    next: usize,
    step: HostStep,
    position: usize,
    tokens: usize,
    queries: CpuBuffer,
    out: CpuBuffer,
    repetitions: usize,
    seconds: Vec<f64>,
}

impl Case {
    fn new(
        cpu: &mut Cpu,
        (heads, kv_heads, dim): (usize, usize, usize),
        format: KvFormat,
        position: usize,
        tokens: usize,
    ) -> Result<Self, Error> {
        let len = position + tokens;
        let blocks = len.div_ceil(BLOCK_TOKENS);
        let shape = KvShape {
            blocks,
            block_tokens: BLOCK_TOKENS,
            kv_heads,
            key_dim: dim,
            value_dim: dim,
            key_format: format,
            value_format: format,
        };
        let table: Vec<u32> = (0..blocks as u32).map(|i| (i * 7 + 3) % blocks as u32).collect();
        let blocks = if blocks.is_multiple_of(7) { (0..blocks as u32).rev().collect() } else { table };
        let (keys, values) = (noise(1, len * kv_heads * dim), noise(2, len * kv_heads * dim));
        let queries = noise(3, tokens * heads * dim);
        let whole = step(cpu, 0, len, &blocks)?;
        let layer_bytes = 2 * len * kv_heads * format.head_bytes(dim).unwrap_or_default();
        let count = if tokens == 1 { CACHE_BYTES.div_ceil(layer_bytes) } else { 1 };
        let mut layers = Vec::new();
        let (keys, values) = (buffer(cpu, &keys)?, buffer(cpu, &values)?);
        for _ in 0..count {
            let mut layer = cpu.kv(shape)?;
            cpu.append(&whole, 0, &mut layer, &keys, &values)?;
            layers.push(layer);
        }
        let (queries, out) = (buffer(cpu, &queries)?, cpu.buffer(tokens * heads * dim)?);
        let repetitions = if tokens == 1 { (count / 4).max(1) } else { 1 };
        let step = step(cpu, position, tokens, &blocks)?;
        Ok(Self { layers, next: 0, step, position, tokens, queries, out, repetitions, seconds: Vec::new() })
    }

    fn run(&mut self, cpu: &mut Cpu, (heads, _, dim): (usize, usize, usize)) -> Result<(), Error> {
        let scale = 1.0 / (dim as f32).sqrt();
        let attention = Attention { heads, scale, visible: Visible::Causal, soft_cap: None, sinks: None, group: 0 };
        let layer = &self.layers[self.next % self.layers.len()];
        self.next += 1;
        cpu.attention(&self.step, black_box(&self.queries), layer, attention, &mut self.out)
    }
}

fn bench(cpu: &mut Cpu, shape: (usize, usize, usize), format: KvFormat, bandwidth: f64) -> Result<(), Error> {
    let (heads, kv_heads, dim) = shape;
    let mut cases = Vec::new();
    for (position, tokens) in [(512, 1), (8192, 1), (0, PROMPT)] {
        let mut case = Case::new(cpu, shape, format, position, tokens)?;
        case.run(cpu, shape)?;
        check(cpu, &case, shape, format)?;
        cases.push(case);
    }
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let start = Instant::now();
            for _ in 0..case.repetitions {
                case.run(cpu, shape)?;
            }
            case.seconds.push(start.elapsed().as_secs_f64() / case.repetitions as f64);
        }
    }
    print!("{heads:2}/{kv_heads} x {dim:3} {:6}     ", format!("{format:?}"));
    for case in &mut cases {
        let seconds = median(&mut case.seconds);
        // What each query sees, its own position included, in both products.
        let seen: usize = (0..case.tokens).map(|i| case.position + i + 1).sum();
        let rate = (2 * seen * heads * dim) as f64 / seconds / 1e9;
        if case.tokens == 1 {
            let bytes = 2 * (case.position + 1) * kv_heads * format.head_bytes(dim).unwrap_or_default();
            let read = bytes as f64 / seconds / 1e9;
            print!(" {rate:7.1} ({read:5.1} GB/s, {:4.0} %)", 100.0 * read / bandwidth);
        } else {
            print!(" {rate:10.1}");
        }
    }
    println!();
    Ok(())
}

/// Some rows of the output against the reference.
fn check(cpu: &mut Cpu, case: &Case, shape: (usize, usize, usize), format: KvFormat) -> Result<(), Error> {
    let (heads, kv_heads, dim) = shape;
    let len = case.position + case.tokens;
    let (keys, values) = (noise(1, len * kv_heads * dim), noise(2, len * kv_heads * dim));
    let (row, width) = (case.tokens - 1, heads * dim);
    let queries = noise(3, case.tokens * width)[row * width..].to_vec();
    let mut kv = Reference.kv(KvShape {
        blocks: 1,
        block_tokens: len,
        kv_heads,
        key_dim: dim,
        value_dim: dim,
        key_format: format,
        value_format: format,
    })?;
    let (whole, last) = (step(&mut Reference, 0, len, &[0])?, step(&mut Reference, len - 1, 1, &[0])?);
    Reference.append(&whole, 0, &mut kv, &keys, &values)?;
    let scale = 1.0 / (dim as f32).sqrt();
    let attention = Attention { heads, scale, visible: Visible::Causal, soft_cap: None, sinks: None, group: 0 };
    let (mut expected, mut found) = (vec![0.0; width], vec![0.0; width]);
    Reference.attention(&last, &queries, &kv, attention, &mut expected)?;
    cpu.read(&case.out, row * width, &mut found)?;
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() <= 1e-5, "{format:?}, element {i}: {found} instead of {expected}");
    }
    Ok(())
}

/// A step of one run.
fn step<B: Backend>(backend: &mut B, position: usize, tokens: usize, blocks: &[u32]) -> Result<B::Step, Error> {
    let mut step = backend.step()?;
    let run = Run { start: 0, tokens, position, keys: 0, tables: &[blocks], slot: 0 };
    backend.begin(&mut step, &StepInput { tokens, runs: &[run], ..StepInput::default() })?;
    Ok(step)
}

fn buffer(cpu: &mut Cpu, values: &[f32]) -> Result<CpuBuffer, Error> {
    let mut buffer = cpu.buffer(values.len())?;
    cpu.write(&mut buffer, values)?;
    Ok(buffer)
}

/// Numbers in -1..1, the same for the same seed.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// GB/s of adding up 256 MiB as words on some threads, the best of five.
fn bandwidth(threads: usize) -> f64 {
    let words = vec![1u64; CACHE_BYTES / 8];
    let sum = |words: &[u64]| {
        let mut sums = [0u64; 32];
        for piece in words.as_chunks::<32>().0 {
            sums.iter_mut().zip(piece).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        black_box(sums);
    };
    let best = (0..5).map(|_| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in black_box(&words).chunks(words.len().div_ceil(threads)) {
                scope.spawn(move || sum(part));
            }
        });
        start.elapsed().as_secs_f64()
    });
    CACHE_BYTES as f64 / best.fold(f64::INFINITY, f64::min) / 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
