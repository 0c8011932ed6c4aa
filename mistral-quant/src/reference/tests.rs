//! The definitions against numbers worked out by hand; everything else is held against the definitions.

use super::Reference;
use crate::{Activation, Attention, Backend, KvFormat, KvShape, MatMul, RmsNorm, Rope, RopeStyle, Span, Weight};

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found}, expected {expected}");
    }
}

fn weight(rows: usize, cols: usize, values: &[f32]) -> Weight {
    Reference.weight(Weight::from_f32(rows, cols, values).unwrap()).unwrap()
}

#[test]
fn embedding_gathering_and_products() {
    let table = weight(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut x = vec![0.0; 4];
    Reference.embed(&table, &[2, 0], 0.5, &mut x).unwrap();
    assert_eq!(x, [2.5, 3.0, 0.5, 1.0]);
    let mut last = vec![0.0; 2];
    Reference.gather(&x, &[1], 2, &mut last).unwrap();
    assert_eq!(last, [0.5, 1.0]);
    let bias = weight(1, 3, &[0.0, 100.0, 0.0]);
    let mut out = vec![0.0; 6];
    Reference.matmul(&x, 2, &mut [MatMul { weight: &table, bias: Some(&bias), out: &mut out }]).unwrap();
    assert_eq!(out, [8.5, 119.5, 30.5, 2.5, 105.5, 8.5]);
}

#[test]
fn norms() {
    let mut x = vec![3.0, 4.0, 0.0, 0.0];
    let norm = RmsNorm { width: 2, eps: 0.0, offset: 0.0 };
    let mut out = vec![0.0; 2];
    Reference.rms_norm(&x, 1, &weight(1, 2, &[1.0, 2.0]), norm, &mut out).unwrap();
    near(&out, &[3.0 / 12.5f32.sqrt(), 8.0 / 12.5f32.sqrt()]);
    // With an offset the weights are stored around zero; eps keeps a row of zeros finite.
    let norm = RmsNorm { eps: 12.5, offset: 1.0, ..norm };
    Reference.rms_norm_in_place(&mut x, 2, &weight(1, 2, &[0.0, 1.0]), norm).unwrap();
    near(&x, &[0.6, 1.6, 0.0, 0.0]);
}

#[test]
fn a_quarter_turn_moves_the_first_of_a_pair_to_the_second() {
    // The first pair is turned by 90 degrees, the second by none; element 4 lies behind the rotary part.
    let (cos, sin) = (vec![0.0, 1.0], vec![1.0, 0.0]);
    for (style, expected) in
        [(RopeStyle::Halves, [-3.0, 2.0, 1.0, 4.0, 5.0]), (RopeStyle::Pairs, [-2.0, 1.0, 3.0, 4.0, 5.0])]
    {
        let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0];
        let rope = Rope { heads: 1, head_dim: 5, rotary_dim: 4, style };
        Reference.rope(&mut x, 1, &cos, &sin, rope).unwrap();
        assert_eq!(x, expected);
    }
}

#[test]
fn activations_and_caps() {
    for (activation, at_1, at_minus_2) in [
        (Activation::Silu, 0.731_058_6, -0.238_405_84),
        (Activation::Gelu, 0.841_344_7, -0.045_500_264),
        (Activation::GeluTanh, 0.841_192, -0.045_402_306),
        (Activation::Relu, 1.0, 0.0),
    ] {
        let mut gate = vec![1.0, -2.0, 1.0];
        Reference.glu(&mut gate, &vec![1.0, 10.0, 0.0], 3, activation).unwrap();
        near(&gate, &[at_1, 10.0 * at_minus_2, 0.0]);
    }
    let mut x = vec![1.0, -1e9];
    Reference.soft_cap(&mut x, 2, 2.0).unwrap();
    near(&x, &[2.0 * 0.462_117_16, -2.0]);
}

#[test]
fn attention_averages_what_is_seen() {
    let shape = KvShape {
        blocks: 3,
        block_tokens: 2,
        kv_heads: 2,
        key_dim: 1,
        value_dim: 1,
        key_format: KvFormat::F32,
        value_format: KvFormat::F32,
    };
    let mut kv = Reference.kv(shape).unwrap();
    // Kv head 0 has equal keys, kv head 1 a key at position 1 that outweighs the others e² times.
    let keys = vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let values = vec![1.0, 10.0, 3.0, 20.0, 8.0, 30.0];
    let blocks: &[u32] = &[2, 0];
    let all = [Span { start: 0, tokens: 3, position: 0, blocks }];
    Reference.append(&mut kv, &keys, &values, &all).unwrap();
    let run = |window, soft_cap, spans: &[Span<'_>]| {
        let mut out = vec![0.0; 12];
        let attention = Attention { heads: 4, scale: 2.0, window, soft_cap, sinks: None, spans };
        Reference.attention(&vec![1.0; 12], &kv, attention, &mut out).unwrap();
        out
    };
    let e = std::f32::consts::E;
    let two = (10.0 + 20.0 * e * e) / (1.0 + e * e);
    let three = (10.0 + 20.0 * e * e + 30.0) / (2.0 + e * e);
    near(&run(None, None, &all), &[1.0, 1.0, 10.0, 10.0, 2.0, 2.0, two, two, 4.0, 4.0, three, three]);
    // A window of 2 hides position 0 from position 2.
    let last = (20.0 * e * e + 30.0) / (1.0 + e * e);
    near(&run(Some(2), None, &all), &[1.0, 1.0, 10.0, 10.0, 2.0, 2.0, two, two, 5.5, 5.5, last, last]);
    // The cap turns the score 2 into 2 tanh(1).
    let w = (2.0 * 1f32.tanh()).exp();
    let capped = (10.0 + 20.0 * w + 30.0) / (2.0 + w);
    let one = [Span { start: 0, tokens: 1, position: 2, blocks }];
    near(&run(None, Some(2.0), &one)[..4], &[4.0, 4.0, capped, capped]);
    // A sink of logit 0 weighs as much as one more key of score 0 and value 0; it is neither scaled nor capped.
    let sinks = Weight::from_f32(1, 4, &[0.0, f32::NEG_INFINITY, 2.0, 100.0]).unwrap();
    let mut out = vec![0.0; 12];
    let attention = Attention { heads: 4, scale: 2.0, window: None, soft_cap: None, sinks: Some(&sinks), spans: &one };
    Reference.attention(&vec![1.0; 12], &kv, attention, &mut out).unwrap();
    near(&out[..4], &[3.0, 4.0, (10.0 + 20.0 * e * e + 30.0) / (2.0 + 2.0 * e * e), 0.0]);
}
