//! Wrong arguments are typed errors on every backend, before anything is written.

use super::{backends, buffer, contents, cpu, vector};
use crate::backend::{
    Activation, Attention, Backend, Convolution, GluMatMul, KvShape, MatMul, Norm, NormKind, Rope, RopeStyle,
    RouteGroups, RouteRule, RouteScore, SelectiveScan,
};
use crate::bytes::SharedBytes;
use crate::error::Error;
use crate::format::Format;
use crate::kv_format::KvFormat;
use crate::reference::Reference;
use crate::state::StateShape;
use crate::step::Visible;
use crate::step::{Rotation, Run, StepInput};
use crate::testing::{run_step, step};
use crate::weight::Weight;

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

    let ids: [&[u32]; 3] = [&[0, 4], &[0, u32::MAX], &[0, 1]];
    let some = step(backend, StepInput { tokens: 2, ids: &ids, rows: &[0, 1], ..StepInput::default() });
    refused(backend.embed(&some, 0, table, 1.0, x), Range);
    refused(backend.embed(&some, 1, table, 1.0, x), Range);
    refused(backend.embed(&some, 2, table, 1.0, small), Shape);
    refused(backend.embed(&some, 3, table, 1.0, x), Range);
    refused(backend.gather(&some, small, 6, x), Shape);
    refused(backend.gather(&some, y, 3, small), Shape);
    refused(backend.gather(&some, y, max, x), Shape);

    let norm = Norm { kind: NormKind::Rms, width: 6, eps: 1e-5, offset: 0.0, weight: Some(w), bias: None };
    for norm in [norm, Norm { kind: NormKind::Layer, bias: Some(w), ..norm }, Norm { weight: None, ..norm }] {
        refused(backend.norm(y, 5, norm, x), Shape);
        refused(backend.norm(y, max, norm, x), Shape);
        refused(backend.norm(y, 2, norm, small), Shape);
        refused(backend.norm(y, 2, Norm { weight: Some(table), ..norm }, x), Shape);
        refused(backend.norm(y, 2, Norm { bias: Some(table), ..norm }, x), Shape);
        refused(backend.norm_in_place(x, 2, Norm { weight: Some(w), width: 5, ..norm }), Shape);
        refused(backend.norm_in_place(x, 3, Norm { weight: Some(w), bias: None, width: 3, ..norm }), Shape);
        refused(backend.norm_in_place(x, 2, Norm { weight: None, bias: Some(w), width: 4, ..norm }), Shape);
        refused(backend.norm_in_place(small, 1, norm), Shape);
        refused(backend.add_norm(x, y, 5, 1.0, norm, small), Shape);
        refused(backend.add_norm(x, y, 1, 1.0, norm, small), Shape);
    }

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

    let rope = Rope { heads: 2, head_dim: 4, offset: 0, rotary_dim: 4, style: RopeStyle::Pairs };
    let angles = [0.5; 8];
    let rotations = [Rotation { cos: &angles, sin: &angles }];
    let four = step(backend, StepInput { tokens: 4, rotations: &rotations, ..StepInput::default() });
    refused(backend.rope(&four, x, 0, rope), Shape);
    refused(backend.rope(&four, x, 1, rope), Range);
    refused(backend.rope(&four, small, 0, Rope { heads: 1, ..rope }), Shape);
    refused(backend.rope(&four, x, 0, Rope { heads: max, ..rope }), Shape);
    for wrong in [
        Rope { rotary_dim: 3, ..rope },
        Rope { rotary_dim: 6, ..rope },
        Rope { rotary_dim: 2, ..rope },
        Rope { offset: 1, ..rope },
        Rope { offset: max, ..rope },
        Rope { rotary_dim: max - 1, offset: 2, ..rope },
    ] {
        refused(backend.rope(&four, x, 0, Rope { heads: 1, ..wrong }), Shape);
    }

    refused(backend.glu(x, y, 25, Activation::Silu), Shape);
    refused(backend.glu(x, small, 6, Activation::Silu), Shape);
    refused(backend.activate(small, 6, Activation::Silu), Shape);
    refused(backend.activate(small, 5, Activation::ClampedSwiglu { alpha: 1.0, limit: 1.0 }), Shape);
    refused(backend.add(small, y, 6, 1.0), Shape);
    refused(backend.add(x, small, 6, 1.0), Shape);
    refused(backend.scale(small, 6, 2.0), Shape);
    let factors: [&[f32]; 1] = [&[2.0, 3.0]];
    let two = step(backend, StepInput { tokens: 2, factors: &factors, ..StepInput::default() });
    refused(backend.scale_rows(&two, 1, x, 2), Range);
    refused(backend.scale_rows(&two, 0, small, 3), Shape);
    refused(backend.scale_rows(&two, 0, x, max), Shape);
    refused(backend.soft_cap(small, 6, 1.0), Shape);
    for cap in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(backend.soft_cap(small, 1, cap), Shape);
    }
    let unchanged = contents(backend, x, 24);
    assert_eq!(unchanged, [1.0; 24], "a refused operation wrote");
    assert_eq!(contents(backend, small, 5), [1.0; 5], "a refused operation wrote");
}

fn refuses_wrong_steps<B: Backend>(backend: &mut B) {
    use Refused::{Range, Shape};
    let max = usize::MAX;
    let tables: &[&[u32]] = &[&[2, 0]];
    let good = Run { start: 0, tokens: 2, position: 4, keys: 0, tables, slot: 0 };
    let other = Run { start: 2, ..good };
    let base = StepInput { tokens: 4, runs: &[good, other], ..StepInput::default() };
    let mut step = backend.step().unwrap();
    backend.begin(&mut step, &base).unwrap();
    for wrong in [
        Run { tokens: 0, ..good },
        Run { start: max, ..good },
        Run { tokens: max, ..good },
        Run { start: 3, ..good },
        Run { start: 1, ..good },
        Run { position: max - 1, ..good },
        Run { position: max, ..good },
        Run { tables: &[], ..good },
        Run { tables: &[&[2], &[0]], ..good },
    ] {
        refused(backend.begin(&mut step, &StepInput { runs: &[other, wrong], ..base }), Shape);
    }
    refused(backend.begin(&mut step, &StepInput { ids: &[&[1, 2, 3]], ..base }), Shape);
    refused(backend.begin(&mut step, &StepInput { ids: &[&[1; 4], &[1; 5]], ..base }), Shape);
    refused(backend.begin(&mut step, &StepInput { factors: &[&[1.0; 3]], ..base }), Shape);
    refused(backend.begin(&mut step, &StepInput { rows: &[3, 4], ..base }), Range);
    for (cos, sin) in [(&[1.0; 8][..], &[1.0; 4][..]), (&[1.0; 6], &[1.0; 6])] {
        refused(backend.begin(&mut step, &StepInput { rotations: &[Rotation { cos, sin }], ..base }), Shape);
    }
    let angles = Rotation { cos: &[1.0], sin: &[1.0] };
    refused(backend.begin(&mut step, &StepInput { rotations: &[angles], ..StepInput::default() }), Shape);

    // The step before is still there.
    let mut kv = backend.kv(KV).unwrap();
    let x = buffer(backend, &[1.0; 24]);
    backend.append(&step, 0, &mut kv, &x, &x).unwrap();
    refused(backend.append(&step, 1, &mut kv, &x, &x), Range);
}

const KV: KvShape = KvShape {
    blocks: 3,
    block_tokens: 4,
    kv_heads: 2,
    key_dim: 3,
    value_dim: 2,
    key_format: KvFormat::F16,
    value_format: KvFormat::F16,
};

fn refuses_wrong_attention<B: Backend>(backend: &mut B) {
    use Refused::{Range, Resource, Shape};
    let max = usize::MAX;
    for wrong in [
        KvShape { block_tokens: 0, ..KV },
        KvShape { kv_heads: 0, ..KV },
        KvShape { key_dim: 0, ..KV },
        KvShape { value_dim: 0, ..KV },
        KvShape { blocks: max, ..KV },
    ] {
        refused(backend.kv(wrong), Shape);
    }
    refused(backend.kv(KvShape { blocks: max / 64, ..KV }), Resource);

    let kv = &mut backend.kv(KV).unwrap();
    let x = &buffer(backend, &[1.0; 96]);
    let small = &mut buffer(backend, &[1.0; 5]);
    let out = &mut buffer(backend, &[1.0; 96]);
    let good = Run { start: 0, tokens: 4, position: 4, keys: 8, tables: &[&[2, 0]], slot: 0 };
    let earlier = Run { start: 4, tokens: 1, position: 0, ..good };
    let cases = [
        (Run { position: 5, ..good }, Shape),
        (Run { position: max - 4, ..good }, Shape),
        (Run { tables: &[&[]], ..good }, Shape),
        (Run { tables: &[&[2, 3]], ..good }, Range),
        (Run { tables: &[&[2, u32::MAX]], ..good }, Range),
    ];
    for (run, reason) in cases {
        let step = run_step(backend, 5, &[earlier, run]);
        refused(backend.append(&step, 0, kv, x, x), reason);
    }
    let one = run_step(backend, 4, &[good]);
    refused(backend.append(&one, 1, kv, x, x), Range);
    refused(backend.append(&one, 0, kv, small, x), Shape);
    refused(backend.append(&one, 0, kv, x, small), Shape);
    let whole = run_step(backend, 8, &[Run { tokens: 8, position: 0, ..good }]);
    backend.append(&whole, 0, kv, x, x).unwrap();

    fn attention<'a, B: Backend>() -> Attention<'a, B> {
        Attention { heads: 4, scale: 1.0, visible: Visible::Causal, soft_cap: None, sinks: None, group: 0 }
    }
    let cases = [
        (Run { position: 5, ..good }, Shape),
        (Run { position: max - 4, ..good }, Shape),
        (Run { tables: &[&[2, 3]], ..good }, Range),
        (Run { tables: &[&[7, 0]], ..good }, Range),
    ];
    for (run, reason) in cases {
        let step = run_step(backend, 5, &[earlier, run]);
        for visible in [Visible::Causal, Visible::Window(max), Visible::Chunk(max), Visible::All] {
            refused(backend.attention(&step, x, kv, Attention { visible, ..attention() }, out), reason);
        }
    }
    refused(backend.attention(&one, small, kv, attention(), out), Shape);
    refused(backend.attention(&one, x, kv, attention(), small), Shape);
    refused(backend.attention(&one, x, kv, Attention { group: 1, ..attention() }, out), Range);
    for heads in [0, 3, max, max - 1] {
        refused(backend.attention(&one, x, kv, Attention { heads, ..attention() }, out), Shape);
    }
    for visible in [Visible::Window(0), Visible::Chunk(0)] {
        refused(backend.attention(&one, x, kv, Attention { visible, ..attention() }, out), Shape);
    }
    let keys = Attention { visible: Visible::Keys, ..attention() };
    for (run, reason) in [
        (Run { keys: 0, ..good }, Shape),
        (Run { keys: 9, ..good }, Shape),
        (Run { keys: max, ..good }, Shape),
        (Run { keys: 5, tables: &[&[2, 3]], ..good }, Range),
    ] {
        let step = run_step(backend, 4, &[run]);
        refused(backend.attention(&step, x, kv, keys, out), reason);
    }
    refused(backend.attention(&one, x, kv, Attention { soft_cap: Some(0.0), ..attention() }, out), Shape);
    let short = vector(backend, &[0.0; 3]);
    refused(backend.attention(&one, x, kv, Attention { sinks: Some(&short), ..attention() }, out), Shape);
    assert_eq!(contents(backend, out, 96), [1.0; 96], "a refused operation wrote");
    // A block that lies before what is seen may be gone.
    let gone = run_step(backend, 3, &[Run { tables: &[&[u32::MAX, 0]], tokens: 3, ..good }]);
    for (near, far) in [(Visible::Window(1), Visible::Window(2)), (Visible::Chunk(4), Visible::Chunk(8))] {
        backend.attention(&gone, x, kv, Attention { visible: near, ..attention() }, out).unwrap();
        refused(backend.attention(&gone, x, kv, Attention { visible: far, ..attention() }, out), Range);
    }
    // The keys of another text do not care about the position of the query.
    let late = run_step(backend, 4, &[Run { position: 1000, keys: 4, tables: &[&[2]], ..good }]);
    backend.attention(&late, x, kv, keys, out).unwrap();
}

fn refuses_wrong_routes<B: Backend>(backend: &mut B) {
    use Refused::{Resource, Shape};
    let max = usize::MAX;
    let x = &buffer(backend, &[1.0; 24]);
    let out = &mut buffer(backend, &[1.0; 24]);
    let bias = &vector(backend, &[0.0; 5]);
    refused(backend.routes(max, 2), Resource);
    refused(backend.routes(max / 64, 8), Resource);
    let routes = &mut backend.routes(4, 2).unwrap();
    let groups = RouteGroups { count: 3, chosen: 2, ranked_by: 2 };
    let score = RouteScore::Softmax;
    let rule = RouteRule { experts: 6, top_k: 2, score, normalize: false, scale: 1.0, groups: None };
    let good = RouteRule { groups: Some(groups), ..rule };
    backend.route(x, 4, &good, None, routes).unwrap();
    refused(backend.route(x, 5, &rule, None, routes), Shape);
    refused(backend.route(x, max, &rule, None, routes), Shape);
    refused(backend.route(x, 2, &rule, Some(bias), routes), Shape);
    refused(backend.route(x, 4, &RouteRule { experts: 7, ..rule }, None, routes), Shape);
    for top_k in [0, 7, 3, max] {
        refused(backend.route(x, 4, &RouteRule { top_k, ..rule }, None, routes), Shape);
    }
    refused(backend.route(x, 1, &RouteRule { top_k: 5, ..good }, None, routes), Shape);
    for experts in [0, max] {
        refused(backend.route(x, 0, &RouteRule { experts, ..rule }, None, routes), Shape);
    }
    for wrong in [
        RouteGroups { count: 0, ..groups },
        RouteGroups { count: 4, ..groups },
        RouteGroups { chosen: 0, ..groups },
        RouteGroups { chosen: 4, ..groups },
        RouteGroups { ranked_by: 0, ..groups },
        RouteGroups { ranked_by: 3, ..groups },
        RouteGroups { count: 6, ..groups },
    ] {
        refused(backend.route(x, 1, &RouteRule { groups: Some(wrong), ..rule }, None, routes), Shape);
    }
    // The routes of four tokens are still there.
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    backend.read_routes(routes, &mut rows, &mut ends).unwrap();
    assert_eq!((rows.len(), ends.last()), (8, Some(&8)));
    for width in [4, 7, max] {
        refused(backend.spread_routed(x, routes, width, out), Shape);
        refused(backend.sum_routed(x, routes, true, width, out), Shape);
    }
    assert_eq!(contents(backend, out, 24), [1.0; 24], "a refused operation wrote");
}

fn refuses_wrong_recurrences<B: Backend>(backend: &mut B) {
    use Refused::{Range, Resource, Shape};
    let max = usize::MAX;
    refused(backend.state(StateShape { slots: max, len: 2 }), Shape);
    refused(backend.state(StateShape { slots: max / 64, len: 1 }), Resource);
    let run = Run { start: 0, tokens: 2, position: 0, keys: 0, tables: &[], slot: 1 };
    let steps = [
        (run_step(backend, 4, &[run, Run { start: 2, slot: 0, ..run }]), None),
        (run_step(backend, 4, &[run, Run { start: 2, slot: 1, ..run }]), Some(Shape)),
        (run_step(backend, 4, &[run, Run { start: 2, slot: 2, ..run }]), Some(Range)),
        (run_step(backend, 4, &[run, Run { start: 2, slot: max, ..run }]), Some(Range)),
    ];
    let x = &buffer(backend, &[1.0; 40]);
    let small = &mut buffer(backend, &[1.0; 7]);
    let out = &mut buffer(backend, &[1.0; 40]);
    let weight = &backend.weight(Weight::from_f32(3, 2, &[1.0; 6]).unwrap()).unwrap();
    let (two, three) = (&vector(backend, &[1.0; 2]), &vector(backend, &[1.0; 3]));
    let state = &mut backend.state(StateShape { slots: 2, len: 8 }).unwrap();
    let tight = &mut backend.state(StateShape { slots: 2, len: 2 }).unwrap();

    let good = Convolution { channels: 3, kernel: 2, weight, bias: Some(three), activation: None };
    fn scan<'a, B: Backend>(all: &'a B::Weight) -> SelectiveScan<'a, B> {
        SelectiveScan {
            heads: 2,
            head_dim: 2,
            groups: 1,
            state_dim: 2,
            a: all,
            skip: all,
            dt_bias: all,
            dt_limit: (0.0, f32::INFINITY),
        }
    }
    for (step, reason) in &steps {
        if let Some(reason) = *reason {
            refused(backend.convolve(step, x, Convolution { ..good }, state, out), reason);
            refused(backend.scan(step, x, x, scan(two), state, out), reason);
        }
    }
    let step = &steps[0].0;
    refused(backend.convolve(step, small, Convolution { ..good }, state, out), Shape);
    refused(backend.convolve(step, x, Convolution { ..good }, state, small), Shape);
    refused(backend.convolve(step, x, Convolution { ..good }, tight, out), Shape);
    refused(backend.convolve(step, x, Convolution { channels: 2, ..good }, state, out), Shape);
    refused(backend.convolve(step, x, Convolution { kernel: 0, ..good }, state, out), Shape);
    refused(backend.convolve(step, x, Convolution { kernel: 3, ..good }, state, out), Shape);
    refused(backend.convolve(step, x, Convolution { bias: Some(two), ..good }, state, out), Shape);
    let clamped = Some(Activation::ClampedSwiglu { alpha: 1.0, limit: 1.0 });
    refused(backend.convolve(step, x, Convolution { activation: clamped, ..good }, state, out), Shape);
    refused(backend.scan(step, small, x, scan(two), state, out), Shape);
    refused(backend.scan(step, x, small, scan(two), state, out), Shape);
    refused(backend.scan(step, x, x, scan(two), state, small), Shape);
    refused(backend.scan(step, x, x, scan(two), tight, out), Shape);
    refused(backend.scan(step, x, x, scan(three), state, out), Shape);
    for wrong in [
        SelectiveScan { groups: 0, ..scan(two) },
        SelectiveScan { groups: 3, ..scan(two) },
        SelectiveScan { head_dim: max, ..scan(two) },
        SelectiveScan { head_dim: 20, ..scan(two) },
        SelectiveScan { state_dim: max, ..scan(two) },
        SelectiveScan { dt_limit: (1.0, 0.0), ..scan(two) },
        SelectiveScan { dt_limit: (f32::NAN, 1.0), ..scan(two) },
        SelectiveScan { skip: three, ..scan(two) },
        SelectiveScan { dt_bias: three, ..scan(two) },
    ] {
        refused(backend.scan(step, x, x, wrong, state, out), Shape);
    }
    assert_eq!(contents(backend, out, 40), [1.0; 40], "a refused operation wrote");
    assert_eq!(contents(backend, small, 7), [1.0; 7], "a refused operation wrote");
    backend.convolve(step, x, good, state, out).unwrap();
    backend.scan(step, x, x, scan(two), state, out).unwrap();
}

#[test]
fn wrong_arguments_are_typed_errors() {
    fn check<B: Backend>(backend: &mut B) {
        refuses_wrong_arguments(backend);
        refuses_wrong_steps(backend);
        refuses_wrong_attention(backend);
        refuses_wrong_routes(backend);
        refuses_wrong_recurrences(backend);
    }
    check(&mut Reference);
    backends().iter_mut().for_each(check);
}

#[test]
fn nothing_is_not_an_error() {
    fn check<B: Backend>(backend: &mut B) {
        let (mut none, empty) = (backend.buffer(0).unwrap(), backend.buffer(0).unwrap());
        let w = backend.weight(Weight::from_f32(1, 0, &[]).unwrap()).unwrap();
        for (kind, weight) in [(NormKind::Rms, Some(&w)), (NormKind::Layer, None)] {
            let norm = Norm { kind, width: 0, eps: 1e-5, offset: 0.0, weight, bias: None };
            backend.norm(&empty, usize::MAX, norm, &mut none).unwrap();
        }
        backend.matmul(&empty, 0, &mut []).unwrap();
        // A step that has not begun has no tokens.
        let mut step = backend.step().unwrap();
        let rope = Rope { heads: 0, head_dim: 4, offset: 0, rotary_dim: 0, style: RopeStyle::Halves };
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
        let attention =
            Attention { heads: 1, scale: 1.0, visible: Visible::Causal, soft_cap: None, sinks: None, group: 3 };
        let mut state = backend.state(StateShape { slots: 0, len: 0 }).unwrap();
        backend.append(&step, 0, &mut kv, &empty, &empty).unwrap();
        backend.attention(&step, &empty, &kv, attention, &mut none).unwrap();
        let taps = backend.weight(Weight::from_f32(0, 1, &[]).unwrap()).unwrap();
        let convolution = Convolution { channels: 0, kernel: 1, weight: &taps, bias: None, activation: None };
        backend.convolve(&step, &empty, convolution, &mut state, &mut none).unwrap();
        let (a, skip, dt_bias, dt_limit) = (&w, &w, &w, (0.0, 1.0));
        let scan = SelectiveScan { heads: 0, head_dim: 3, groups: 1, state_dim: 0, a, skip, dt_bias, dt_limit };
        backend.scan(&step, &empty, &empty, scan, &mut state, &mut none).unwrap();
        let input = StepInput {
            tokens: 2,
            ids: &[&[0, 0]],
            rows: &[1, 1, 0],
            rotations: &[Rotation { cos: &[], sin: &[] }],
            factors: &[&[1.0, 2.0]],
            ..StepInput::default()
        };
        backend.begin(&mut step, &input).unwrap();
        backend.embed(&step, 0, &w, 1.0, &mut none).unwrap();
        backend.gather(&step, &empty, 0, &mut none).unwrap();
        backend.rope(&step, &mut none, 0, rope).unwrap();
        backend.scale_rows(&step, 0, &mut none, 0).unwrap();
        let mut routes = backend.routes(0, 0).unwrap();
        backend.matmul_experts(&empty, crate::routes::RoutedInput::Tokens, &routes, &mut []).unwrap();
        backend.sum_routed(&empty, &routes, true, 3, &mut none).unwrap();
        let score = RouteScore::Sigmoid;
        let rule = RouteRule { experts: 1, top_k: 1, score, normalize: true, scale: 1.0, groups: None };
        backend.route(&empty, 0, &rule, None, &mut routes).unwrap();
        backend.spread_routed(&empty, &routes, 3, &mut none).unwrap();
    }
    check(&mut Reference);
    check(&mut cpu(2, None));
}
