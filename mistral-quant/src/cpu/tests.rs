use std::ops::Range;

use super::{Cpu, CpuOptions};
use crate::{
    Activation, Attention, Backend, Error, Format, GluMatMul, Isa, KvFormat, KvShape, MatMul, Reference, Repack,
    RmsNorm, Rope, RopeStyle, SharedBytes, Span, Weight, quantize,
};

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

#[test]
fn activations() {
    let mut random = Random::new(5);
    for len in [0, 1, 7, 9, 4096, 20_001] {
        let mut x = random.values(len);
        for x in x.iter_mut().step_by(3) {
            *x *= 20.0;
        }
        let up = random.values(len);
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            // The exponent of the tanh form is itself rounded: relative to the result that counts where the result is small.
            against_reference!(40.0 * EPS, 1e-10, |backend| {
                let (mut x, up) = (buffer(backend, &x), buffer(backend, &up));
                backend.glu(&mut x, &up, len, activation).unwrap();
                contents(backend, &x, len)
            });
        }
        against_reference!(4.0 * EPS, 0.0, |backend| {
            let (mut x, y) = (buffer(backend, &x), buffer(backend, &up));
            backend.add(&mut x, &y, len).unwrap();
            backend.soft_cap(&mut x, len / 2, 3.0).unwrap();
            contents(backend, &x, len)
        });
    }
}

#[test]
fn only_the_named_elements_change() {
    let mut random = Random::new(6);
    let x = random.values(40);
    against_reference!(8.0 * EPS, 1e-9, |backend| {
        let (mut a, b, w) = (buffer(backend, &x), buffer(backend, &x), vector(backend, &x[..5]));
        backend.add(&mut a, &b, 30).unwrap();
        backend.soft_cap(&mut a, 20, 2.0).unwrap();
        backend.glu(&mut a, &b, 10, Activation::Silu).unwrap();
        backend.rms_norm_in_place(&mut a, 1, &w, RmsNorm { width: 5, eps: 0.1, offset: 0.0 }).unwrap();
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
        for (format, bytes) in [(Format::F16, half.clone()), (Format::BF16, half)] {
            let table = Weight::new(format, vocab, width, SharedBytes::new(bytes)).unwrap();
            against_reference!(0.0, 0.0, |backend| {
                let table = backend.weight(table.clone()).unwrap();
                let (mut x, mut out) = (backend.buffer(count * width).unwrap(), backend.buffer(vocab * width).unwrap());
                backend.embed(&table, &ids, 2.5, &mut x).unwrap();
                let mut all = contents(backend, &x, count * width);
                let rows: Vec<u32> = (0..count.min(vocab) as u32).rev().collect();
                backend.gather(&x, &rows, width, &mut out).unwrap();
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
                    for (activation, biased) in [(Activation::Silu, false), (Activation::GeluTanh, true)] {
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

/// Whether an operation was refused for the right reason.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Refused {
    Shape,
    Range,
    Format,
    Resource,
}

#[track_caller]
fn refused<T>(result: Result<T, Error>, reason: Refused) {
    let found = match result.err().expect("must be refused") {
        Error::Shape { .. } => Refused::Shape,
        Error::OutOfRange { .. } => Refused::Range,
        Error::UnsupportedFormat { .. } | Error::ImportanceMissing { .. } => Refused::Format,
        Error::Resource { .. } => Refused::Resource,
        Error::WorkerPanicked => panic!("a panic instead of an error"),
    };
    assert_eq!(found, reason);
}

fn refuses_wrong_arguments<B: Backend>(backend: &mut B) {
    use Refused::{Format as BadFormat, Range, Resource, Shape};
    let max = usize::MAX;
    let x = &mut buffer(backend, &[1.0; 24]);
    let y = &buffer(backend, &[1.0; 24]);
    let small = &mut buffer(backend, &[1.0; 5]);
    let w = &vector(backend, &[1.0; 6]);
    let table = &backend.weight(Weight::from_f32(4, 6, &[1.0; 24]).unwrap()).unwrap();

    refused(backend.buffer(max), Resource);
    refused(backend.buffer(max / 8), Resource);
    refused(backend.write(small, &[0.0; 6]), Shape);
    refused(backend.read(small, 3, &mut [0.0; 3]), Shape);
    refused(backend.read(small, max, &mut [0.0; 3]), Shape);
    let integers = Weight::new(Format::I64, 1, 1, SharedBytes::new(vec![0; 8])).unwrap();
    refused(backend.weight(integers), BadFormat);
    let integers = Weight::new(Format::I64, 2, 1, SharedBytes::new(vec![0; 16])).unwrap();
    refused(backend.weight(integers), BadFormat);

    refused(backend.embed(table, &[0, 4], 1.0, x), Range);
    refused(backend.embed(table, &[u32::MAX], 1.0, x), Range);
    refused(backend.embed(table, &[0], 1.0, small), Shape);
    refused(backend.gather(y, &[4], 6, x), Range);
    refused(backend.gather(y, &[0, 1], 3, small), Shape);
    refused(backend.gather(y, &[0, 1], max, x), Shape);

    let norm = RmsNorm { width: 6, eps: 1e-5, offset: 0.0 };
    refused(backend.rms_norm(y, 5, w, norm, x), Shape);
    refused(backend.rms_norm(y, max, w, norm, x), Shape);
    refused(backend.rms_norm(y, 2, w, norm, small), Shape);
    refused(backend.rms_norm(y, 2, table, norm, x), Shape);
    refused(backend.rms_norm_in_place(x, 2, w, RmsNorm { width: 5, ..norm }), Shape);
    refused(backend.rms_norm_in_place(small, 1, w, norm), Shape);
    refused(backend.add_rms_norm(x, y, 5, w, norm, small), Shape);
    refused(backend.add_rms_norm(x, y, 1, w, norm, small), Shape);

    let product = |backend: &mut B, tokens, weight, bias, out: &mut B::Buffer| {
        backend.matmul(y, tokens, &mut [MatMul { weight, bias, out }])
    };
    refused(product(backend, 5, table, None, x), Shape);
    refused(product(backend, max, table, None, x), Shape);
    refused(product(backend, 2, table, None, small), Shape);
    refused(product(backend, 1, table, Some(w), x), Shape);
    refused(product(backend, 1, table, Some(table), x), Shape);

    let gated = |backend: &mut B, tokens, up, bias, out: &mut B::Buffer| {
        let biases = [None, bias];
        backend.matmul_glu(y, tokens, GluMatMul { gate: table, up, biases, activation: Activation::Silu, out })
    };
    refused(gated(backend, 5, table, None, x), Shape);
    refused(gated(backend, max, table, None, x), Shape);
    refused(gated(backend, 2, table, None, small), Shape);
    refused(gated(backend, 1, w, None, x), Shape);
    refused(gated(backend, 1, table, Some(w), x), Shape);

    let rope = Rope { heads: 2, head_dim: 4, rotary_dim: 4, style: RopeStyle::Pairs };
    refused(backend.rope(x, 4, y, y, rope), Shape);
    refused(backend.rope(x, max, y, y, rope), Shape);
    refused(backend.rope(x, 3, small, y, rope), Shape);
    refused(backend.rope(x, 3, y, small, rope), Shape);
    refused(backend.rope(x, 1, y, y, Rope { rotary_dim: 3, ..rope }), Shape);
    refused(backend.rope(x, 1, y, y, Rope { rotary_dim: 6, ..rope }), Shape);
    refused(backend.rope(x, 1, y, y, Rope { heads: max, ..rope }), Shape);

    refused(backend.glu(x, y, 25, Activation::Silu), Shape);
    refused(backend.glu(x, small, 6, Activation::Silu), Shape);
    refused(backend.add(small, y, 6), Shape);
    refused(backend.add(x, small, 6), Shape);
    refused(backend.soft_cap(small, 6, 1.0), Shape);
    for cap in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(backend.soft_cap(small, 1, cap), Shape);
    }
    let unchanged = contents(backend, x, 24);
    assert_eq!(unchanged, [1.0; 24], "a refused operation wrote");
}

fn refuses_wrong_attention<B: Backend>(backend: &mut B) {
    use Refused::{Range, Resource, Shape};
    let max = usize::MAX;
    let shape = KvShape {
        blocks: 3,
        block_tokens: 4,
        kv_heads: 2,
        key_dim: 3,
        value_dim: 2,
        key_format: KvFormat::F16,
        value_format: KvFormat::F16,
    };
    for wrong in [
        KvShape { block_tokens: 0, ..shape },
        KvShape { kv_heads: 0, ..shape },
        KvShape { key_dim: 0, ..shape },
        KvShape { value_dim: 0, ..shape },
        KvShape { blocks: max, ..shape },
    ] {
        refused(backend.kv(wrong), Shape);
    }
    refused(backend.kv(KvShape { blocks: max / 64, ..shape }), Resource);

    let kv = &mut backend.kv(shape).unwrap();
    let x = &buffer(backend, &[1.0; 72]);
    let small = &mut buffer(backend, &[1.0; 5]);
    let out = &mut buffer(backend, &[1.0; 72]);
    let blocks: &[u32] = &[2, 0];
    let good = Span { start: 0, tokens: 4, position: 4, blocks };
    let earlier = Span { start: 4, tokens: 1, position: 0, blocks };
    let cases = [
        (Span { tokens: 0, ..good }, Shape),
        (Span { start: max, ..good }, Shape),
        (Span { tokens: max, ..good }, Shape),
        (Span { start: max / 4, ..good }, Shape),
        (Span { position: 5, ..good }, Shape),
        (Span { position: max, ..good }, Shape),
        (Span { position: max - 2, ..good }, Shape),
        (Span { blocks: &[], ..good }, Shape),
        (Span { blocks: &[2, 3], ..good }, Range),
        (Span { blocks: &[2, u32::MAX], ..good }, Range),
    ];
    for (span, reason) in cases {
        refused(backend.append(kv, x, x, &[earlier, span]), reason);
    }
    refused(backend.append(kv, small, x, &[good]), Shape);
    refused(backend.append(kv, x, small, &[good]), Shape);
    backend.append(kv, x, x, &[Span { tokens: 8, position: 0, ..good }]).unwrap();

    fn attention<'a, B: Backend>(spans: &'a [Span<'a>]) -> Attention<'a, B> {
        Attention { heads: 4, scale: 1.0, window: None, soft_cap: None, sinks: None, spans }
    }
    let cases = [
        (Span { tokens: 0, ..good }, Shape),
        (Span { start: max, ..good }, Shape),
        (Span { tokens: max, ..good }, Shape),
        (Span { position: 5, ..good }, Shape),
        (Span { position: max, ..good }, Shape),
        (Span { blocks: &[2, 3], ..good }, Range),
        (Span { blocks: &[7, 0], ..good }, Range),
        (Span { start: 1, ..good }, Shape),
    ];
    for (span, reason) in cases {
        refused(backend.attention(x, kv, attention(&[Span { start: 4, ..earlier }, span]), out), reason);
        if span.tokens == 4 && span.start == 0 {
            refused(backend.attention(x, kv, Attention { window: Some(max), ..attention(&[span]) }, out), reason);
        }
    }
    refused(backend.attention(small, kv, attention(&[good]), out), Shape);
    refused(backend.attention(x, kv, attention(&[good]), small), Shape);
    for heads in [0, 3, max, max - 1] {
        refused(backend.attention(x, kv, Attention { heads, ..attention(&[good]) }, out), Shape);
    }
    refused(backend.attention(x, kv, Attention { window: Some(0), ..attention(&[good]) }, out), Shape);
    refused(backend.attention(x, kv, Attention { soft_cap: Some(0.0), ..attention(&[good]) }, out), Shape);
    let short = vector(backend, &[0.0; 3]);
    refused(backend.attention(x, kv, Attention { sinks: Some(&short), ..attention(&[good]) }, out), Shape);
    assert_eq!(contents(backend, out, 72), [1.0; 72], "a refused operation wrote");
    // A block that lies before the window may be gone.
    let gone = Span { blocks: &[u32::MAX, 0], tokens: 3, ..good };
    backend.attention(x, kv, Attention { window: Some(1), ..attention(&[gone]) }, out).unwrap();
    refused(backend.attention(x, kv, Attention { window: Some(2), ..attention(&[gone]) }, out), Range);
}

#[test]
fn wrong_arguments_are_typed_errors() {
    refuses_wrong_arguments(&mut Reference);
    refuses_wrong_attention(&mut Reference);
    for mut cpu in backends() {
        refuses_wrong_arguments(&mut cpu);
        refuses_wrong_attention(&mut cpu);
    }
}

#[test]
fn nothing_is_not_an_error() {
    fn check<B: Backend>(backend: &mut B) {
        let (mut none, empty) = (backend.buffer(0).unwrap(), backend.buffer(0).unwrap());
        let w = backend.weight(Weight::from_f32(1, 0, &[]).unwrap()).unwrap();
        let norm = RmsNorm { width: 0, eps: 1e-5, offset: 0.0 };
        backend.rms_norm(&empty, usize::MAX, &w, norm, &mut none).unwrap();
        backend.matmul(&empty, 0, &mut []).unwrap();
        backend.embed(&w, &[0, 0], 1.0, &mut none).unwrap();
        backend.gather(&empty, &[3], 0, &mut none).unwrap();
        let rope = Rope { heads: 0, head_dim: 4, rotary_dim: 0, style: RopeStyle::Halves };
        backend.rope(&mut none, usize::MAX, &empty, &empty, rope).unwrap();
        let shape = KvShape {
            blocks: 0,
            block_tokens: 1,
            kv_heads: 1,
            key_dim: 1,
            value_dim: 1,
            key_format: KvFormat::F32,
            value_format: KvFormat::F32,
        };
        let mut kv = backend.kv(shape).unwrap();
        backend.append(&mut kv, &empty, &empty, &[]).unwrap();
        let attention = Attention { heads: 1, scale: 1.0, window: None, soft_cap: None, sinks: None, spans: &[] };
        backend.attention(&empty, &kv, attention, &mut none).unwrap();
    }
    check(&mut Reference);
    check(&mut cpu(2, None));
}

#[test]
fn the_fused_norm_is_the_sum_and_then_the_norm() {
    let mut random = Random::new(13);
    let (rows, width) = (40, 333);
    let (x, y, w) = (random.values(rows * width), random.values(rows * width), random.values(width));
    let norm = RmsNorm { width, eps: 1e-6, offset: 0.0 };
    for mut cpu in backends() {
        let cpu = &mut cpu;
        let (mut a, mut b, y, w) = (buffer(cpu, &x), buffer(cpu, &x), buffer(cpu, &y), vector(cpu, &w));
        let (mut fused, mut apart) = (cpu.buffer(rows * width).unwrap(), cpu.buffer(rows * width).unwrap());
        cpu.add_rms_norm(&mut a, &y, rows, &w, norm, &mut fused).unwrap();
        cpu.add(&mut b, &y, rows * width).unwrap();
        cpu.rms_norm(&b, rows, &w, norm, &mut apart).unwrap();
        for (found, expected) in [(&a, &b), (&fused, &apart)] {
            let (found, expected) = (contents(cpu, found, rows * width), contents(cpu, expected, rows * width));
            assert_eq!(bits(&found), bits(&expected));
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
                    cpu.add(&mut x, &y, len).unwrap();
                }
                let expected = vec![50.0 * (1.0 + number as f32); len];
                assert!(contents(&mut cpu, &x, len) == expected);
            });
        }
    });
}
