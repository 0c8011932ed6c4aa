use std::ops::Range;

use super::{Cpu, CpuOptions};
use crate::{Backend, Isa, Reference, RmsNorm, Rope, RopeStyle, Weight};

/// A linear congruential generator (Knuth's MMIX constants): the same numbers everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub(crate) fn below(&mut self, range: Range<usize>) -> usize {
        range.start + self.next() as usize % range.len()
    }

    /// Roughly normal.
    pub(crate) fn value(&mut self) -> f32 {
        (0..4).map(|_| self.next() as f32 / (1u32 << 31) as f32 - 0.5).sum::<f32>() * 1.7
    }

    pub(crate) fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }
}

pub(crate) fn cpu(threads: usize, isa_limit: Option<Isa>) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), isa_limit, pool: None }).unwrap()
}

/// Every set-up whose results are held against the reference.
fn backends() -> Vec<Cpu> {
    vec![cpu(1, None), cpu(3, None), cpu(2, Some(Isa::Scalar))]
}

pub(crate) fn buffer<B: Backend>(backend: &mut B, values: &[f32]) -> B::Buffer {
    let mut buffer = backend.buffer(values.len()).unwrap();
    backend.write(&mut buffer, values).unwrap();
    buffer
}

pub(crate) fn contents<B: Backend>(backend: &mut B, buffer: &B::Buffer, len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    backend.read(buffer, 0, &mut values).unwrap();
    values
}

fn vector<B: Backend>(backend: &mut B, values: &[f32]) -> B::Weight {
    backend.weight(Weight::from_f32(1, values.len(), values).unwrap()).unwrap()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], relative: f32, absolute: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let allowed = relative * expected.abs() + absolute;
        assert!((found - expected).abs() <= allowed, "element {i}: {found}, expected {expected} ± {allowed}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Runs a block on the reference and on every set-up; all set-ups of one ISA must agree to the bit.
macro_rules! against_reference {
    ($relative:expr, $absolute:expr, |$backend:ident| $body:block) => {{
        let mut reference = Reference;
        let $backend = &mut reference;
        let expected: Vec<f32> = $body;
        let on_cpu = |mut cpu: Cpu| -> Vec<f32> {
            let $backend = &mut cpu;
            $body
        };
        let mut found = backends().into_iter().map(on_cpu);
        let (one, many, scalar) = (found.next().unwrap(), found.next().unwrap(), found.next().unwrap());
        assert_eq!(bits(&one), bits(&many), "the number of threads changes the result");
        assert_near(&one, &expected, $relative, $absolute);
        assert_near(&scalar, &expected, $relative, $absolute);
    }};
}

const EPS: f32 = f32::EPSILON;

#[test]
fn norms() {
    let mut random = Random::new(1);
    for (rows, width) in [(0, 8), (1, 1), (3, 7), (5, 64), (300, 129), (2, 4096)] {
        let (x, y, w) = (random.values(rows * width), random.values(rows * width), random.values(width));
        let norm = RmsNorm { width, eps: 1e-5, offset: 1.0 };
        against_reference!(8.0 * EPS, 1e-9, |backend| {
            let (mut a, b, w) = (buffer(backend, &x), buffer(backend, &y), vector(backend, &w));
            let mut out = backend.buffer(rows * width).unwrap();
            backend.rms_norm(&a, rows, &w, norm, &mut out).unwrap();
            let mut all = contents(backend, &out, rows * width);
            backend.add_rms_norm(&mut a, &b, rows, &w, norm, &mut out).unwrap();
            all.extend(contents(backend, &a, rows * width));
            all.extend(contents(backend, &out, rows * width));
            backend.rms_norm_in_place(&mut a, rows, &w, norm).unwrap();
            all.extend(contents(backend, &a, rows * width));
            all
        });
    }
}

#[test]
fn rotations() {
    let mut random = Random::new(2);
    for (tokens, heads, head_dim, rotary_dim) in
        [(0, 1, 2, 2), (1, 1, 2, 2), (3, 5, 10, 10), (70, 7, 80, 32), (4, 2, 9, 6), (2, 3, 8, 0), (9, 4, 128, 128)]
    {
        let x = random.values(tokens * heads * head_dim);
        let angles = random.values(tokens * rotary_dim / 2);
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
        for style in [RopeStyle::Halves, RopeStyle::Pairs] {
            let rope = Rope { heads, head_dim, rotary_dim, style };
            against_reference!(EPS, 8.0 * EPS, |backend| {
                let (mut x, cos, sin) = (buffer(backend, &x), buffer(backend, &cos), buffer(backend, &sin));
                backend.rope(&mut x, tokens, &cos, &sin, rope).unwrap();
                contents(backend, &x, tokens * heads * head_dim)
            });
        }
    }
}
