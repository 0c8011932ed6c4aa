//! What lies between the products, by criterion: `cargo bench -p mistral-benches --bench elementwise -- [WORD ...] [--threads=N] [--test]`.
//!
//! A name is `OPERATION/TOKENS/ISA`. Widths are those of a model of 1 billion parameters. Each result is first held against the naive
//! [`Reference`]. The table gives millions of elements a second and the bytes read and written in GB/s.

mod measure;

use measure::Bench;
use mistral_quant::{
    Activation, Backend, Cpu, CpuOptions, Error, Isa, Norm, NormKind, Reference, Rope, RopeStyle, Rotation, StepInput,
    Weight,
};

const HIDDEN: usize = 2048;
const INTERMEDIATE: usize = 8192;
const ROPE: Rope = Rope { heads: 32, head_dim: 64, offset: 0, rotary_dim: 64, style: RopeStyle::Halves };

const OPERATIONS: [Operation; 6] = [
    Operation::Add,
    Operation::AddRmsNorm,
    Operation::RmsNorm,
    Operation::LayerNorm,
    Operation::SiluGlu,
    Operation::Rope,
];

#[derive(Debug, Clone, Copy)]
enum Operation {
    Add,
    AddRmsNorm,
    RmsNorm,
    LayerNorm,
    SiluGlu,
    Rope,
}

impl Operation {
    fn width(self) -> usize {
        match self {
            Self::SiluGlu => INTERMEDIATE,
            _ => HIDDEN,
        }
    }

    /// Buffers of f32 that are read and written.
    fn passes(self) -> usize {
        match self {
            Self::Add | Self::SiluGlu => 3,
            Self::AddRmsNorm => 4,
            Self::RmsNorm | Self::LayerNorm | Self::Rope => 2,
        }
    }
}

/// The inputs of all operations on a backend; `x` and `out` are written.
struct Buffers<B: Backend> {
    backend: B,
    x: B::Buffer,
    y: B::Buffer,
    out: B::Buffer,
    step: B::Step,
    weight: B::Weight,
    tokens: usize,
}

impl<B: Backend> Buffers<B> {
    fn new(mut backend: B, operation: Operation, tokens: usize) -> Result<Self, Error> {
        let len = operation.width() * tokens;
        let wave = |step: f32, len: usize| (0..len).map(|i| (i as f32 * step).sin()).collect::<Vec<f32>>();
        let mut buffer = |values: &[f32]| -> Result<B::Buffer, Error> {
            let mut buffer = backend.buffer(values.len())?;
            backend.write(&mut buffer, values)?;
            Ok(buffer)
        };
        // An angle that keeps the length of what is turned, however often that is done.
        let (x, y, out) = (buffer(&wave(0.37, len))?, buffer(&wave(0.11, len))?, buffer(&vec![0.0; len])?);
        let angles = ROPE.rotary_dim / 2 * tokens;
        let rotations = [Rotation { cos: &vec![0.6; angles], sin: &vec![0.8; angles] }];
        let mut step = backend.step()?;
        backend.begin(&mut step, &StepInput { tokens, rotations: &rotations, ..StepInput::default() })?;
        let weight = backend.weight(Weight::from_f32(1, HIDDEN, &wave(0.7, HIDDEN))?)?;
        Ok(Self { backend, x, y, out, step, weight, tokens })
    }

    fn run(&mut self, operation: Operation) -> Result<(), Error> {
        let Self { backend, x, y, out, step, weight, tokens } = self;
        let len = operation.width() * *tokens;
        let kind = if let Operation::LayerNorm = operation { NormKind::Layer } else { NormKind::Rms };
        let norm = Norm { kind, width: HIDDEN, eps: 1e-6, offset: 0.0, weight: Some(weight), bias: None };
        match operation {
            Operation::Add => backend.add(x, y, len, 1.0),
            Operation::AddRmsNorm => backend.add_norm(x, y, *tokens, 1.0, norm, out),
            Operation::RmsNorm | Operation::LayerNorm => backend.norm(x, *tokens, norm, out),
            Operation::SiluGlu => backend.glu(x, y, len, Activation::Silu),
            Operation::Rope => backend.rope(step, x, 0, ROPE),
        }
    }

    /// Everything that was written.
    fn written(&mut self, operation: Operation) -> Result<Vec<f32>, Error> {
        let len = operation.width() * self.tokens;
        let mut values = vec![0.0; 2 * len];
        let (x, out) = values.split_at_mut(len);
        self.backend.read(&self.x, 0, x)?;
        self.backend.read(&self.out, 0, out)?;
        Ok(values)
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().find_map(|argument| argument.strip_prefix("--threads=")?.parse().ok());
    let mut bench = Bench::new(arguments);
    let mut table = Vec::new();
    let mut checked = 0;
    for operation in OPERATIONS {
        for tokens in [1, 512] {
            let mut reference = Buffers::new(Reference, operation, tokens)?;
            reference.run(operation)?;
            let expected = reference.written(operation)?;
            for isa in Isa::available() {
                let name = format!("{operation:?}/{tokens}/{isa:?}");
                if !bench.wants(&name) {
                    continue;
                }
                let mut options = CpuOptions::default();
                options.threads = Some(given.unwrap_or(1));
                options.isa_limit = Some(isa);
                let mut buffers = Buffers::new(Cpu::new(options)?, operation, tokens)?;
                buffers.run(operation)?;
                for (i, (&found, &expected)) in buffers.written(operation)?.iter().zip(&expected).enumerate() {
                    let near = (found - expected).abs() <= 1e-5 * (1.0 + expected.abs());
                    assert!(near, "{name}, element {i}: {found} instead of {expected}");
                }
                checked += 1;
                if let Some(seconds) = bench.seconds(&name, || drop(buffers.run(operation))) {
                    let elements = (operation.width() * tokens) as f64 / seconds;
                    let moved = elements * 4.0 * operation.passes() as f64 / 1e9;
                    table.push(format!("{name:28} {:10.1} M/s {moved:7.1} GB/s", elements / 1e6));
                }
            }
        }
    }
    println!("\n{checked} operations are right\n{}", table.join("\n"));
    Ok(())
}
