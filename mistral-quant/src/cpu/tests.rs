use std::ops::Range;

use super::{Cpu, CpuOptions};
use crate::backend::{Activation, Backend, GluMatMul, MatMul, Norm, NormKind, Rope, RopeStyle};
use crate::bytes::SharedBytes;
use crate::cpu::kernels::Isa;
use crate::cpu::repack::Repack;
use crate::format::Format;
use crate::quantize::quantize;
use crate::reference::Reference;
use crate::step::{Rotation, StepInput};
use crate::testing::step;
use crate::weight::Weight;

mod refusals;

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
    Cpu::new(CpuOptions { threads: Some(threads), isa_limit, ..CpuOptions::default() }).unwrap()
}

/// Every instruction set of this machine.
pub(crate) fn isas() -> Vec<Isa> {
    Isa::available().collect()
}

/// Every set-up whose results are held against the reference.
fn backends() -> Vec<Cpu> {
    isas().into_iter().flat_map(|isa| [1, 3].map(|threads| cpu(threads, Some(isa)))).collect()
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

pub(crate) fn vector<B: Backend>(backend: &mut B, values: &[f32]) -> B::Weight {
    backend.weight(Weight::from_f32(1, values.len(), values).unwrap()).unwrap()
}

#[track_caller]
pub(crate) fn assert_near(found: &[f32], expected: &[f32], relative: f32, absolute: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let allowed = relative * expected.abs() + absolute;
        assert!((found - expected).abs() <= allowed, "element {i}: {found}, expected {expected} ± {allowed}");
    }
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Runs a block on the reference and on every instruction set; one thread and several must agree to the bit.
macro_rules! against_reference {
    ($relative:expr, $absolute:expr, |$backend:ident| $body:block) => {{
        let mut reference = $crate::reference::Reference;
        let $backend = &mut reference;
        let expected: Vec<f32> = $body;
        for isa in $crate::cpu::tests::isas() {
            let [one, many] = [1, 3].map(|threads| -> Vec<f32> {
                let mut cpu = $crate::cpu::tests::cpu(threads, Some(isa));
                let $backend = &mut cpu;
                $body
            });
            let [one_bits, many_bits] = [&one, &many].map(|values| $crate::cpu::tests::bits(values));
            assert_eq!(one_bits, many_bits, "the number of threads changes the result, {isa:?}");
            $crate::cpu::tests::assert_near(&one, &expected, $relative, $absolute);
        }
    }};
}
pub(crate) use against_reference;

const EPS: f32 = f32::EPSILON;

/// RMS and LayerNorm, with and without weight and bias.
const NORMS: [(NormKind, bool, bool); 6] = [
    (NormKind::Rms, true, false),
    (NormKind::Rms, false, false),
    (NormKind::Rms, true, true),
    (NormKind::Layer, true, true),
    (NormKind::Layer, true, false),
    (NormKind::Layer, false, false),
];

#[test]
fn norms() {
    let mut random = Random::new(1);
    for (i, (rows, width)) in
        [(0, 8), (1, 1), (3, 7), (5, 64), (300, 129), (2, 4096)].into_iter().cycle().take(36).enumerate()
    {
        let (kind, weighted, biased) = NORMS[i / 6];
        let groups = if i % 2 == 0 { rows.max(1) } else { 1 };
        let (x, y, w) = (random.values(rows * width), random.values(rows * width), random.values(groups * width));
        let b = random.values(groups * width);
        let scale = if i % 2 == 0 { 1.0 } else { -0.3 };
        // What cancels out in a sum or a mean has the error of what it was made of: numbers below 16.
        let absolute = if biased || kind == NormKind::Layer || scale != 1.0 { 64.0 * EPS } else { 1e-9 };
        against_reference!(8.0 * EPS, absolute, |backend| {
            let (mut a, y) = (buffer(backend, &x), buffer(backend, &y));
            let (w, b) = (vector(backend, &w), vector(backend, &b));
            let (weight, bias) = (weighted.then_some(&w), biased.then_some(&b));
            let norm = Norm { kind, width, eps: 1e-5, offset: 1.0, weight, bias };
            let mut out = backend.buffer(rows * width).unwrap();
            backend.norm(&a, rows, norm, &mut out).unwrap();
            let mut all = contents(backend, &out, rows * width);
            backend.add_norm(&mut a, &y, rows, scale, norm, &mut out).unwrap();
            all.extend(contents(backend, &a, rows * width));
            all.extend(contents(backend, &out, rows * width));
            backend.norm_in_place(&mut a, rows, norm).unwrap();
            all.extend(contents(backend, &a, rows * width));
            all
        });
    }
}

#[test]
fn a_layer_norm_far_from_zero_keeps_its_digits() {
    let mut random = Random::new(41);
    let x: Vec<f32> = random.values(3 * 100).iter().map(|x| 1000.0 + x).collect();
    against_reference!(8.0 * EPS, 8.0 * EPS, |backend| {
        let (mut x, w) = (buffer(backend, &x), vector(backend, &[1.0; 100]));
        let norm = Norm { kind: NormKind::Layer, width: 100, eps: 0.0, offset: 0.0, weight: Some(&w), bias: None };
        backend.norm_in_place(&mut x, 3, norm).unwrap();
        contents(backend, &x, 300)
    });
}

#[test]
fn rotations() {
    let mut random = Random::new(2);
    for (tokens, heads, head_dim, offset, rotary_dim) in [
        (0, 1, 2, 0, 2),
        (1, 1, 2, 0, 2),
        (3, 5, 10, 0, 10),
        (70, 7, 80, 0, 32),
        (4, 2, 9, 0, 6),
        (2, 3, 8, 0, 0),
        (9, 4, 128, 0, 128),
        (3, 2, 9, 3, 6),
        (5, 3, 192, 128, 64),
    ] {
        let x = random.values(tokens * heads * head_dim);
        let angles = random.values(tokens * rotary_dim / 2);
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
        let other = vec![0.5; tokens * 7];
        let rotations = [Rotation { cos: &other, sin: &other }, Rotation { cos: &cos, sin: &sin }];
        for style in [RopeStyle::Halves, RopeStyle::Pairs] {
            let rope = Rope { heads, head_dim, offset, rotary_dim, style };
            against_reference!(EPS, 8.0 * EPS, |backend| {
                let step = step(backend, StepInput { tokens, rotations: &rotations, ..StepInput::default() });
                let mut x = buffer(backend, &x);
                backend.rope(&step, &mut x, 1, rope).unwrap();
                contents(backend, &x, tokens * heads * head_dim)
            });
        }
    }
}

#[test]
fn activations() {
    let mut random = Random::new(5);
    for len in [0, 1, 7, 9, 4096, 20_001] {
        let mut x = random.values(len);
        for x in x.iter_mut().step_by(3) {
            *x *= 20.0;
        }
        let up = random.values(len);
        for activation in ACTIVATIONS {
            // The exponent of the tanh form is itself rounded: relative to the result that counts where the result is small.
            against_reference!(40.0 * EPS, 1e-10, |backend| {
                let (mut a, up) = (buffer(backend, &x), buffer(backend, &up));
                backend.glu(&mut a, &up, len, activation).unwrap();
                let mut all = contents(backend, &a, len);
                if !matches!(activation, Activation::ClampedSwiglu { .. }) {
                    let mut b = buffer(backend, &x);
                    backend.activate(&mut b, len, activation).unwrap();
                    all.extend(contents(backend, &b, len));
                }
                all
            });
        }
        for scale in [1.0, 0.37] {
            against_reference!(4.0 * EPS, if scale == 1.0 { 0.0 } else { 4.0 * EPS }, |backend| {
                let (mut x, y) = (buffer(backend, &x), buffer(backend, &up));
                backend.add(&mut x, &y, len, scale).unwrap();
                backend.soft_cap(&mut x, len / 2, 3.0).unwrap();
                backend.scale(&mut x, len / 3, 0.7).unwrap();
                contents(backend, &x, len)
            });
        }
    }
}

/// Each with parameters of a model.
pub(crate) const ACTIVATIONS: [Activation; 9] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::ClampedSwiglu { alpha: 1.702, limit: 7.0 },
];

#[test]
fn what_is_not_a_number_stays_in_its_element() {
    let mut reference = Reference;
    fn check<B: Backend>(backend: &mut B) {
        for activation in ACTIVATIONS {
            for (gate, factor) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
                let (mut x, up) = (buffer(backend, &[1.0, gate, 2.0]), buffer(backend, &[1.0, factor, 1.0]));
                backend.glu(&mut x, &up, 3, activation).unwrap();
                let found = contents(backend, &x, 3).iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                assert_eq!(found, [false, true, false], "{activation:?}");
            }
            if !matches!(activation, Activation::ClampedSwiglu { .. }) {
                let mut x = buffer(backend, &[1.0, f32::NAN, f32::NEG_INFINITY]);
                backend.activate(&mut x, 2, activation).unwrap();
                let found = contents(backend, &x, 3);
                assert!(found[0].is_finite() && found[1].is_nan() && found[2] == f32::NEG_INFINITY, "{activation:?}");
            }
        }
        for (kind, ..) in NORMS {
            let mut x = buffer(backend, &[1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0]);
            backend
                .norm_in_place(&mut x, 3, Norm { kind, width: 2, eps: 0.1, offset: 0.0, weight: None, bias: None })
                .unwrap();
            let found = contents(backend, &x, 6);
            assert_eq!(found.iter().map(|x| x.is_nan()).collect::<Vec<_>>(), [false, false, true, true, false, false]);
        }
    }
    check(&mut reference);
    backends().iter_mut().for_each(check);
}

#[test]
fn rows_are_scaled_by_their_factors() {
    let mut random = Random::new(42);
    for (tokens, width) in [(0, 3), (1, 1), (7, 33), (300, 100)] {
        let (x, other, factors) = (random.values(tokens * width), random.values(tokens), random.values(tokens));
        let lists: [&[f32]; 2] = [&other, &factors];
        against_reference!(0.0, 0.0, |backend| {
            let step = step(backend, StepInput { tokens, factors: &lists, ..StepInput::default() });
            let mut x = buffer(backend, &x);
            backend.scale_rows(&step, 1, &mut x, width).unwrap();
            contents(backend, &x, tokens * width)
        });
    }
}

#[test]
fn only_the_named_elements_change() {
    let mut random = Random::new(6);
    let x = random.values(40);
    against_reference!(8.0 * EPS, 1e-9, |backend| {
        let (mut a, b, w) = (buffer(backend, &x), buffer(backend, &x), vector(backend, &x[..5]));
        backend.add(&mut a, &b, 30, 1.0).unwrap();
        backend.scale(&mut a, 25, 2.0).unwrap();
        backend.soft_cap(&mut a, 20, 2.0).unwrap();
        backend.activate(&mut a, 15, Activation::Sigmoid).unwrap();
        backend.glu(&mut a, &b, 10, Activation::Silu).unwrap();
        let norm = Norm { kind: NormKind::Rms, width: 5, eps: 0.1, offset: 0.0, weight: Some(&w), bias: None };
        backend.norm_in_place(&mut a, 1, norm).unwrap();
        backend.write(&mut a, &[7.0, 8.0]).unwrap();
        contents(backend, &a, 40)
    });
}

#[test]
fn embeddings_and_gathered_rows() {
    let mut random = Random::new(7);
    for (vocab, width, count) in [(3, 1, 0), (5, 7, 4), (40, 96, 200)] {
        let values = random.values(vocab * width);
        let half: Vec<u8> = values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        let ids: Vec<u32> = (0..count).map(|_| random.below(0..vocab) as u32).collect();
        let others = vec![0; count];
        let lists: [&[u32]; 2] = [&others, &ids];
        let rows: Vec<u32> = (0..count as u32).rev().step_by(2).chain(0..count.min(2) as u32).collect();
        for (format, bytes) in [(Format::F16, half.clone()), (Format::BF16, half)] {
            let table = Weight::new(format, vocab, width, SharedBytes::new(bytes)).unwrap();
            against_reference!(0.0, 0.0, |backend| {
                let table = backend.weight(table.clone()).unwrap();
                let input = StepInput { tokens: count, ids: &lists, rows: &rows, ..StepInput::default() };
                let step = step(backend, input);
                let [mut x, mut out] = [count, rows.len()].map(|rows| backend.buffer(rows * width).unwrap());
                backend.embed(&step, 1, &table, 2.5, &mut x).unwrap();
                let mut all = contents(backend, &x, count * width);
                backend.gather(&step, &x, width, &mut out).unwrap();
                all.extend(contents(backend, &out, rows.len() * width));
                all
            });
        }
    }
}

#[test]
fn products_share_an_input() {
    let mut random = Random::new(8);
    for (tokens, cols, rows) in [(0, 3, 4), (1, 1, 1), (3, 33, 65), (9, 128, 40)] {
        let (x, w, v) = (random.values(tokens * cols), random.values(rows * cols), random.values(cols));
        let bias = random.values(rows);
        // Products of numbers below 4, summed in f32.
        against_reference!(0.0, 16.0 * cols as f32 * EPS, |backend| {
            let x = buffer(backend, &x);
            let w = backend.weight(Weight::from_f32(rows, cols, &w).unwrap()).unwrap();
            let (v, bias) = (vector(backend, &v), vector(backend, &bias));
            let (mut first, mut second) = (backend.buffer(tokens * rows).unwrap(), backend.buffer(tokens).unwrap());
            let group = &mut [
                MatMul { weight: &w, bias: Some(&bias), out: &mut first },
                MatMul { weight: &v, bias: None, out: &mut second },
            ];
            backend.matmul(&x, tokens, group).unwrap();
            let mut all = contents(backend, &first, tokens * rows);
            all.extend(contents(backend, &second, tokens));
            all
        });
    }
}

#[test]
fn gated_products_are_products_and_then_a_glu() {
    let mut random = Random::new(9);
    let formats = [(Format::Q4_K, Format::Q4_K), (Format::Q4_K, Format::Q6_K), (Format::Q8_0, Format::F16)];
    for (gate_format, up_format) in formats.into_iter().chain([(Format::F32, Format::F32)]) {
        for (tokens, rows) in [(0, 4), (1, 40), (11, 17), (12, 48), (13, 16), (100, 33), (200, 5)] {
            let cols = 256;
            let x = random.values(tokens * cols);
            let mut values = |format| {
                let values = random.values(rows * cols);
                quantize(format, rows, cols, &values).unwrap()
            };
            let (gate, up) = (values(gate_format), values(up_format));
            let (gate_bias, up_bias) = (random.values(rows), random.values(rows));
            for isa in Isa::available() {
                for (threads, repack) in [(1, Repack::Strips), (3, Repack::Never)] {
                    let options =
                        CpuOptions { threads: Some(threads), isa_limit: Some(isa), repack, ..CpuOptions::default() };
                    let backend = &mut Cpu::new(options).unwrap();
                    let x = buffer(backend, &x);
                    let [gate, up] = [&gate, &up].map(|weight| backend.weight(weight.clone()).unwrap());
                    let biases = [&gate_bias, &up_bias].map(|bias| vector(backend, bias));
                    let clamped = Activation::ClampedSwiglu { alpha: 1.702, limit: 1.0 };
                    for (activation, biased) in
                        [(Activation::Silu, false), (Activation::GeluTanh, true), (clamped, true)]
                    {
                        let [gate_bias, up_bias] = biases.each_ref().map(|bias| biased.then_some(bias));
                        let [mut expected, mut scaled, mut out] =
                            [(); 3].map(|()| backend.buffer(tokens * rows).unwrap());
                        let group = &mut [
                            MatMul { weight: &gate, bias: gate_bias, out: &mut expected },
                            MatMul { weight: &up, bias: up_bias, out: &mut scaled },
                        ];
                        backend.matmul(&x, tokens, group).unwrap();
                        backend.glu(&mut expected, &scaled, tokens * rows, activation).unwrap();
                        let biases = [gate_bias, up_bias];
                        let product = GluMatMul { gate: &gate, up: &up, biases, activation, out: &mut out };
                        backend.matmul_glu(&x, tokens, product).unwrap();
                        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                        let [expected, out] =
                            [&expected, &out].map(|values| bits(contents(backend, values, tokens * rows)));
                        assert_eq!(out, expected, "{gate_format} {up_format} {tokens} {rows} {isa:?} {repack:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn gated_products_agree_with_the_reference() {
    let mut random = Random::new(10);
    for (tokens, cols, rows) in [(1, 33, 5), (14, 64, 20)] {
        let x = random.values(tokens * cols);
        let [gate, up] = [(); 2].map(|()| random.values(rows * cols));
        let [gate_bias, up_bias] = [(); 2].map(|()| random.values(rows));
        // A product of two sums, neither above 16 times the root of their length.
        against_reference!(40.0 * EPS, 256.0 * cols as f32 * EPS, |backend| {
            let x = buffer(backend, &x);
            let [gate, up] = [&gate, &up].map(|w| backend.weight(Weight::from_f32(rows, cols, w).unwrap()).unwrap());
            let [gate_bias, up_bias] = [&gate_bias, &up_bias].map(|bias| vector(backend, bias));
            let mut out = backend.buffer(tokens * rows).unwrap();
            let biases = [Some(&gate_bias), Some(&up_bias)];
            let product = GluMatMul { gate: &gate, up: &up, biases, activation: Activation::Silu, out: &mut out };
            backend.matmul_glu(&x, tokens, product).unwrap();
            contents(backend, &out, tokens * rows)
        });
    }
}

#[test]
fn the_fused_norm_is_the_sum_and_then_the_norm() {
    let mut random = Random::new(13);
    let (rows, width) = (40, 333);
    let (x, y, w) = (random.values(rows * width), random.values(rows * width), random.values(width));
    for (kind, weighted, biased) in NORMS {
        for scale in [1.0, 0.22] {
            for mut cpu in backends() {
                let cpu = &mut cpu;
                let (mut a, mut b, y, w) = (buffer(cpu, &x), buffer(cpu, &x), buffer(cpu, &y), vector(cpu, &w));
                let (weight, bias) = (weighted.then_some(&w), biased.then_some(&w));
                let norm = Norm { kind, width, eps: 1e-6, offset: 0.0, weight, bias };
                let (mut fused, mut apart) = (cpu.buffer(rows * width).unwrap(), cpu.buffer(rows * width).unwrap());
                cpu.add_norm(&mut a, &y, rows, scale, norm, &mut fused).unwrap();
                cpu.add(&mut b, &y, rows * width, scale).unwrap();
                cpu.norm(&b, rows, norm, &mut apart).unwrap();
                for (found, expected) in [(&a, &b), (&fused, &apart)] {
                    let (found, expected) = (contents(cpu, found, rows * width), contents(cpu, expected, rows * width));
                    assert_eq!(bits(&found), bits(&expected));
                }
            }
        }
    }
}

/// A scale of 1 and an RMS norm with a weight: the arithmetic of a Llama, operation by operation in f32.
#[test]
fn a_sum_and_an_rms_norm_keep_their_bits() {
    let mut random = Random::new(43);
    for width in [1, 15, 64, 333] {
        let (x, y, w) = (random.values(width), random.values(width), random.values(width));
        let sums: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
        let mut partial = [0.0f64; 16];
        let (pieces, rest) = sums.as_chunks::<16>();
        for piece in pieces {
            partial.iter_mut().zip(piece).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        let squares = rest.iter().fold(partial.iter().sum::<f64>(), |sum, &x| sum + f64::from(x) * f64::from(x));
        let factor = (1.0 / (squares / width as f64 + f64::from(1e-6f32)).sqrt()) as f32;
        let expected: Vec<f32> = sums.iter().zip(&w).map(|(x, w)| x * factor * (1.0 + w)).collect();
        for mut cpu in backends() {
            let (mut a, b, w) = (buffer(&mut cpu, &x), buffer(&mut cpu, &y), vector(&mut cpu, &w));
            let norm = Norm { kind: NormKind::Rms, width, eps: 1e-6, offset: 1.0, weight: Some(&w), bias: None };
            let mut out = cpu.buffer(width).unwrap();
            cpu.add_norm(&mut a, &b, 1, 1.0, norm, &mut out).unwrap();
            assert_eq!(bits(&contents(&mut cpu, &a, width)), bits(&sums));
            assert_eq!(bits(&contents(&mut cpu, &out, width)), bits(&expected));
        }
    }
}

#[test]
fn two_backends_compute_on_one_pool_at_a_time() {
    let first = cpu(3, None);
    let second = Cpu::new(CpuOptions { pool: Some(first.pool().clone()), ..CpuOptions::default() }).unwrap();
    assert_eq!(second.threads(), 3);
    std::thread::scope(|scope| {
        for (number, mut cpu) in [first, second].into_iter().enumerate() {
            scope.spawn(move || {
                let len = 100_000;
                let (mut x, y) = (buffer(&mut cpu, &vec![0.0; len]), buffer(&mut cpu, &vec![1.0 + number as f32; len]));
                for _ in 0..50 {
                    cpu.add(&mut x, &y, len, 1.0).unwrap();
                }
                let expected = vec![50.0 * (1.0 + number as f32); len];
                assert!(contents(&mut cpu, &x, len) == expected);
            });
        }
    });
}
