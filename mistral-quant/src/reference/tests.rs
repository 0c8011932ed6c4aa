//! The definitions against numbers worked out by hand; everything else is held against the definitions.

use super::Reference;
use crate::backend::{
    Activation, Attention, Backend, Convolution, ExpertMatMul, KvShape, MatMul, Norm, NormKind, Rope, RopeStyle,
    RouteGroups, RouteRule, RouteScore, SelectiveScan,
};
use crate::kv_format::KvFormat;
use crate::routes::RoutedInput;
use crate::state::StateShape;
use crate::step::Visible;
use crate::step::{Rotation, Run, StepInput};
use crate::testing::{run_step, step};
use crate::weight::Weight;

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
    let input = StepInput { tokens: 2, ids: &[&[0, 0], &[2, 0]], rows: &[1], ..StepInput::default() };
    let step = step(&mut Reference, input);
    Reference.embed(&step, 1, &table, 0.5, &mut x).unwrap();
    assert_eq!(x, [2.5, 3.0, 0.5, 1.0]);
    let mut last = vec![0.0; 2];
    Reference.gather(&step, &x, 2, &mut last).unwrap();
    assert_eq!(last, [0.5, 1.0]);
    let bias = weight(1, 3, &[0.0, 100.0, 0.0]);
    let mut out = vec![0.0; 6];
    Reference.matmul(&x, 2, &mut [MatMul { weight: &table, bias: Some(&bias), out: &mut out }]).unwrap();
    assert_eq!(out, [8.5, 119.5, 30.5, 2.5, 105.5, 8.5]);
}

#[test]
fn norms() {
    let mut x = vec![3.0, 4.0, 0.0, 0.0];
    let weights = [weight(1, 2, &[1.0, 2.0]), weight(1, 2, &[0.0, 1.0])];
    let norm = Norm { kind: NormKind::Rms, width: 2, eps: 0.0, offset: 0.0, weight: Some(&weights[0]), bias: None };
    let mut out = vec![0.0; 2];
    Reference.norm(&x, 1, norm, &mut out).unwrap();
    near(&out, &[3.0 / 12.5f32.sqrt(), 8.0 / 12.5f32.sqrt()]);
    // With an offset the weights are stored around zero; eps keeps a row of zeros finite.
    Reference.norm_in_place(&mut x, 2, Norm { eps: 12.5, offset: 1.0, weight: Some(&weights[1]), ..norm }).unwrap();
    near(&x, &[0.6, 1.6, 0.0, 0.0]);
    // Without a weight the offset means nothing. The mean of 1 and 5 is 3, their variance 4.
    let layer = Norm { kind: NormKind::Layer, offset: 1.0, weight: None, ..norm };
    Reference.norm(&vec![1.0, 5.0], 1, layer, &mut out).unwrap();
    near(&out, &[-1.0, 1.0]);
    let layer = Norm { eps: 12.0, offset: 0.0, weight: Some(&weights[0]), bias: Some(&weights[1]), ..layer };
    Reference.norm(&vec![1.0, 5.0], 1, layer, &mut out).unwrap();
    near(&out, &[-0.5, 2.0]);
    // Twice `y` is added first.
    let mut x = vec![-1.0, 1.0];
    Reference.add_norm(&mut x, &vec![1.0, 2.0], 1, 2.0, Norm { weight: None, ..layer }, &mut out).unwrap();
    near(&x, &[1.0, 5.0]);
    near(&out, &[-0.5, 1.5]);
}

#[test]
fn a_quarter_turn_moves_the_first_of_a_pair_to_the_second() {
    // The first pair is turned by 90 degrees, the second by none; element 4 lies behind the rotary part.
    let rotations = [Rotation { cos: &[0.0, 1.0], sin: &[1.0, 0.0] }];
    let step = step(&mut Reference, StepInput { tokens: 1, rotations: &rotations, ..StepInput::default() });
    for (style, expected, behind) in [
        (RopeStyle::Halves, [-3.0, 2.0, 1.0, 4.0, 5.0], [1.0, -4.0, 3.0, 2.0, 5.0]),
        (RopeStyle::Pairs, [-2.0, 1.0, 3.0, 4.0, 5.0], [1.0, -3.0, 2.0, 4.0, 5.0]),
    ] {
        for (offset, expected) in [(0, expected), (1, behind)] {
            let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0];
            let rope = Rope { heads: 1, head_dim: 5, offset, rotary_dim: 4, style };
            Reference.rope(&step, &mut x, 0, rope).unwrap();
            assert_eq!(x, expected);
        }
    }
}

#[test]
fn activations_and_caps() {
    for (activation, at_1, at_minus_2) in [
        (Activation::Silu, 0.731_058_6, -0.238_405_84),
        (Activation::Gelu, 0.841_344_7, -0.045_500_264),
        (Activation::GeluTanh, 0.841_192, -0.045_402_306),
        (Activation::QuickGelu, 0.845_795_77, -0.064_341_38),
        (Activation::Relu, 1.0, 0.0),
        (Activation::ReluSquared, 1.0, 0.0),
        (Activation::Sigmoid, 0.731_058_6, 0.119_202_92),
        (Activation::Tanh, 0.761_594_2, -0.964_027_6),
    ] {
        let mut gate = vec![1.0, -2.0, 1.0];
        Reference.glu(&mut gate, &vec![1.0, 10.0, 0.0], 3, activation).unwrap();
        near(&gate, &[at_1, 10.0 * at_minus_2, 0.0]);
        let mut x = vec![1.0, -2.0, 7.0];
        Reference.activate(&mut x, 2, activation).unwrap();
        near(&x, &[at_1, at_minus_2, 7.0]);
    }
    // A gate of 9 is clamped to 1, one of -2 is not; factors are clamped to both sides.
    let mut gate = vec![9.0, -2.0, 1.0];
    Reference.glu(&mut gate, &vec![0.5, 5.0, -5.0], 3, Activation::ClampedSwiglu { alpha: 1.0, limit: 1.0 }).unwrap();
    near(&gate, &[0.731_058_6 * 1.5, -0.238_405_84 * 2.0, 0.0]);
    let mut x = vec![1.0, 2.0, 3.0];
    Reference.scale(&mut x, 2, 3.0).unwrap();
    Reference.add(&mut x, &vec![1.0; 3], 3, -2.0).unwrap();
    assert_eq!(x, [1.0, 4.0, 1.0]);
    let step = step(&mut Reference, StepInput { tokens: 2, factors: &[&[0.5, 2.0]], ..StepInput::default() });
    let mut x = vec![1.0, 2.0, 3.0, 4.0, 5.0];
    Reference.scale_rows(&step, 0, &mut x, 2).unwrap();
    assert_eq!(x, [0.5, 1.0, 6.0, 8.0, 5.0]);
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
    let tables: &[&[u32]] = &[&[1], &[2, 0]];
    let whole = Run { start: 0, tokens: 3, position: 0, keys: 2, tables, slot: 0 };
    let all = run_step(&mut Reference, 3, &[whole]);
    Reference.append(&all, 1, &mut kv, &keys, &values).unwrap();
    let one = run_step(&mut Reference, 1, &[Run { tokens: 1, position: 2, ..whole }]);
    let run = |step, visible, soft_cap| {
        let mut out = vec![0.0; 12];
        let attention = Attention { heads: 4, scale: 2.0, visible, soft_cap, sinks: None, group: 1 };
        Reference.attention(step, &vec![1.0; 12], &kv, attention, &mut out).unwrap();
        out
    };
    let e = std::f32::consts::E;
    let two = (10.0 + 20.0 * e * e) / (1.0 + e * e);
    let three = (10.0 + 20.0 * e * e + 30.0) / (2.0 + e * e);
    let causal = [1.0, 1.0, 10.0, 10.0, 2.0, 2.0, two, two, 4.0, 4.0, three, three];
    near(&run(&all, Visible::Causal, None), &causal);
    // A window of 2 hides position 0 from position 2.
    let last = (20.0 * e * e + 30.0) / (1.0 + e * e);
    near(&run(&all, Visible::Window(2), None)[..8], &causal[..8]);
    near(&run(&all, Visible::Window(2), None)[8..], &[5.5, 5.5, last, last]);
    // Position 2 begins a chunk.
    near(&run(&all, Visible::Chunk(2), None)[..8], &causal[..8]);
    near(&run(&all, Visible::Chunk(2), None)[8..], &[8.0, 8.0, 30.0, 30.0]);
    // Every query sees everything, or the first two keys.
    near(&run(&all, Visible::All, None), &[4.0, 4.0, three, three].repeat(3));
    near(&run(&all, Visible::Keys, None), &[2.0, 2.0, two, two].repeat(3));
    // The cap turns the score 2 into 2 tanh(1).
    let w = (2.0 * 1f32.tanh()).exp();
    let capped = (10.0 + 20.0 * w + 30.0) / (2.0 + w);
    near(&run(&one, Visible::Causal, Some(2.0))[..4], &[4.0, 4.0, capped, capped]);
    // A sink of logit 0 weighs as much as one more key of score 0 and value 0; it is neither scaled nor capped.
    let sinks = Weight::from_f32(1, 4, &[0.0, f32::NEG_INFINITY, 2.0, 100.0]).unwrap();
    let mut out = vec![0.0; 12];
    let attention =
        Attention { heads: 4, scale: 2.0, visible: Visible::Causal, soft_cap: None, sinks: Some(&sinks), group: 1 };
    Reference.attention(&one, &vec![1.0; 12], &kv, attention, &mut out).unwrap();
    near(&out[..4], &[3.0, 4.0, (10.0 + 20.0 * e * e + 30.0) / (2.0 + 2.0 * e * e), 0.0]);
}

/// The routes of some rows of logits, token after token: for each the experts, ascending, with the weights.
fn routed(logits: &[f32], rule: RouteRule, bias: Option<&[f32]>) -> Vec<Vec<(usize, f32)>> {
    let tokens = logits.len() / rule.experts;
    let mut routes = Reference.routes(tokens, rule.top_k).unwrap();
    let bias = bias.map(|bias| weight(1, bias.len(), bias));
    Reference.route(&logits.to_vec(), tokens, &rule, bias.as_ref(), &mut routes).unwrap();
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    Reference.read_routes(&routes, &mut rows, &mut ends).unwrap();
    let mut weights = vec![0.0; rows.len()];
    Reference.spread_routed(&vec![1.0; tokens], &routes, 1, &mut weights).unwrap();
    let expert = |route: usize| ends.iter().filter(|&&end| end <= route).count();
    let of = |token: usize| (0..rows.len()).filter(|&route| rows[route] as usize == token).collect::<Vec<_>>();
    (0..tokens).map(|token| of(token).iter().map(|&route| (expert(route), weights[route])).collect()).collect()
}

#[track_caller]
fn assert_routes(found: &[(usize, f32)], expected: &[(usize, f32)]) {
    let parts = |routes: &[(usize, f32)]| routes.iter().copied().unzip::<usize, f32, Vec<_>, Vec<_>>();
    let ((experts, weights), (expected_experts, expected_weights)) = (parts(found), parts(expected));
    assert_eq!(experts, expected_experts);
    near(&weights, &expected_weights);
}

#[test]
fn routes_follow_their_rule() {
    // Powers of two: the softmax is 1/8, 4/8, 2/8, 1/8.
    let ln2 = std::f32::consts::LN_2;
    let logits = [0.0, 2.0 * ln2, ln2, 0.0];
    let score = RouteScore::Softmax;
    let rule = RouteRule { experts: 4, top_k: 2, score, normalize: false, scale: 1.0, groups: None };
    assert_routes(&routed(&logits, rule, None)[0], &[(1, 0.5), (2, 0.25)]);
    let normalized = RouteRule { normalize: true, scale: 3.0, ..rule };
    assert_routes(&routed(&logits, normalized, None)[0], &[(1, 2.0), (2, 1.0)]);
    // Of equal experts the first is chosen.
    assert_routes(&routed(&logits, RouteRule { top_k: 3, ..rule }, None)[0], &[(0, 0.125), (1, 0.5), (2, 0.25)]);
    let chosen = RouteRule { score: RouteScore::SoftmaxOfChosen, ..rule };
    assert_routes(&routed(&logits, chosen, None)[0], &[(1, 2.0 / 3.0), (2, 1.0 / 3.0)]);
    let sigmoid = RouteRule { score: RouteScore::Sigmoid, ..rule };
    assert_routes(&routed(&logits, sigmoid, None)[0], &[(1, 0.8), (2, 2.0 / 3.0)]);
    // A bias chooses and does not weigh.
    assert_routes(&routed(&logits, sigmoid, Some(&[0.0, 0.0, -1.0, 1.0]))[0], &[(1, 0.8), (3, 0.5)]);
    assert_routes(&routed(&logits, chosen, Some(&[0.0, 0.0, -1.0, 9.0]))[0], &[(1, 0.8), (3, 0.2)]);
    // The group of experts 2 and 3 has the higher sum, the group of 0 and 1 the highest score.
    let logits = [0.1, 2.0, 1.5, 1.4];
    for (ranked_by, experts) in [(2, [2, 3]), (1, [0, 1])] {
        let groups = Some(RouteGroups { count: 2, chosen: 1, ranked_by });
        let found = routed(&logits, RouteRule { groups, score: RouteScore::SoftmaxOfChosen, ..rule }, None);
        assert_eq!(found[0].iter().map(|route| route.0).collect::<Vec<_>>(), experts);
    }
}

#[test]
fn experts_multiply_and_add_up_by_route() {
    // Token 0 goes to experts 0 and 2, token 1 to 2 and 1.
    let logits = vec![3.0, 0.0, 1.0, 0.0, 1.0, 3.0];
    let score = RouteScore::SoftmaxOfChosen;
    let rule = RouteRule { experts: 3, top_k: 2, score, normalize: false, scale: 1.0, groups: None };
    let mut routes = Reference.routes(2, 2).unwrap();
    Reference.route(&logits, 2, &rule, None, &mut routes).unwrap();
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    Reference.read_routes(&routes, &mut rows, &mut ends).unwrap();
    assert_eq!((&rows[..], &ends[..]), (&[0, 1, 0, 1][..], &[1, 2, 4][..]));
    let high = 1.0 / (1.0 + (-2f32).exp());
    let weights = [high, 1.0 - high, 1.0 - high, high];
    let x = vec![1.0, 10.0];
    let mut spread = vec![0.0; 4];
    Reference.spread_routed(&x, &routes, 1, &mut spread).unwrap();
    near(&spread, &[weights[0], 10.0 * weights[1], weights[2], 10.0 * weights[3]]);
    let experts = [1.0, 2.0, 3.0].map(|factor| weight(1, 1, &[factor]));
    let biases = [0.5, 0.0, 0.0].map(|bias| weight(1, 1, &[bias]));
    let product = |x: &Vec<f32>, input| {
        let mut out = vec![0.0; 4];
        let group = &mut [ExpertMatMul { weights: &experts, biases: Some(&biases), out: &mut out }];
        Reference.matmul_experts(x, input, &routes, group).unwrap();
        out
    };
    assert_eq!(product(&x, RoutedInput::Tokens), [1.5, 20.0, 3.0, 30.0]);
    let y = product(&vec![1.0, 2.0, 3.0, 4.0], RoutedInput::Routes);
    assert_eq!(y, [1.5, 4.0, 9.0, 12.0]);
    // Sums replace what was there, behind it nothing changes.
    let mut sums = vec![f32::NAN, 200.0, 7.0];
    Reference.sum_routed(&y, &routes, false, 1, &mut sums).unwrap();
    assert_eq!(sums, [10.5, 16.0, 7.0]);
    Reference.sum_routed(&y, &routes, true, 1, &mut sums).unwrap();
    near(&sums, &[1.5 * weights[0] + 9.0 * weights[2], 4.0 * weights[1] + 12.0 * weights[3], 7.0]);
}

#[test]
fn a_convolution_remembers_its_last_inputs() {
    let taps = weight(2, 3, &[1.0, 10.0, 100.0, 0.0, 0.0, 1.0]);
    let bias = weight(1, 2, &[0.5, 0.0]);
    let mut state = Reference.state(StateShape { slots: 2, len: 5 }).unwrap();
    let mut feed = |position, tokens, x: &[f32], activation| {
        let run = Run { start: 1, tokens, position, keys: 0, tables: &[], slot: 1 };
        let step = run_step(&mut Reference, tokens + 1, &[run]);
        let x = [&[9.0, 9.0], x].concat();
        let mut out = vec![7.0; x.len()];
        let convolution = Convolution { channels: 2, kernel: 3, weight: &taps, bias: Some(&bias), activation };
        Reference.convolve(&step, &x, convolution, &mut state, &mut out).unwrap();
        assert_eq!(out[..2], [7.0, 7.0], "a row of no run");
        out[2..].to_vec()
    };
    assert_eq!(feed(0, 2, &[1.0, -1.0, 2.0, -2.0], None), [100.5, -1.0, 210.5, -2.0]);
    assert_eq!(feed(2, 1, &[3.0, -3.0], None), [321.5, -3.0]);
    assert_eq!(feed(3, 1, &[4.0, -4.0], Some(Activation::Relu)), [432.5, 0.0]);
    // A new sequence in the same slot.
    assert_eq!(feed(0, 1, &[5.0, -5.0], None), [500.5, -5.0]);
}

#[test]
fn a_scan_decays_and_adds() {
    // softplus(ln(e - 1)) is 1; a decay of ln 2 per unit of time halves the state.
    let one = (std::f32::consts::E - 1.0).ln();
    let a = weight(1, 1, &[-std::f32::consts::LN_2]);
    let (skip, dt_bias) = (weight(1, 1, &[100.0]), weight(1, 1, &[one]));
    let mut state = Reference.state(StateShape { slots: 1, len: 2 }).unwrap();
    let mut feed = |position, dt_limit, rows: &[[f32; 5]]| {
        let run = Run { start: 0, tokens: rows.len(), position, keys: 0, tables: &[], slot: 0 };
        let step = run_step(&mut Reference, rows.len(), &[run]);
        let (mixed, dt) = (rows.as_flattened().to_vec(), vec![0.0; rows.len()]);
        let scan = SelectiveScan {
            heads: 1,
            head_dim: 1,
            groups: 1,
            state_dim: 2,
            a: &a,
            skip: &skip,
            dt_bias: &dt_bias,
            dt_limit,
        };
        let mut out = vec![0.0; rows.len()];
        Reference.scan(&step, &mixed, &dt, scan, &mut state, &mut out).unwrap();
        out
    };
    let any = (0.0, f32::INFINITY);
    // x, b, c. The state is [2, 4], then [1 + 3, 2].
    near(&feed(0, any, &[[2.0, 1.0, 2.0, 1.0, 0.0], [3.0, 1.0, 0.0, 1.0, 10.0]]), &[202.0, 324.0]);
    near(&feed(2, any, &[[0.0, 0.0, 0.0, 1.0, 1.0]]), &[3.0]);
    // Twice as long a step, of the state [2, 1].
    near(&feed(3, (2.0, 3.0), &[[1.0, 1.0, 0.0, 1.0, 1.0]]), &[100.0 + 0.75 + 2.0]);
    near(&feed(0, (0.0, 0.5), &[[1.0, 1.0, 0.0, 1.0, 1.0]]), &[100.5]);
}
