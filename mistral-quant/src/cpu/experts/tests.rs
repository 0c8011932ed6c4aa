use crate::cpu::tests::{Random, buffer, contents, cpu};
use crate::testing::{Bytes, instruction_sets, weight};
use crate::{
    Backend, Cpu, CpuOptions, Error, ExpertMatMul, Format, Isa, MatMul, Reference, Repack, Routes, SharedBytes, Weight,
};

/// Rows and ends of routes: each of `tokens` rows goes to `chosen` of the experts, but never to the experts that are `left_out`.
fn routed(
    random: &mut Random,
    tokens: usize,
    experts: usize,
    chosen: usize,
    left_out: &[usize],
) -> (Vec<u32>, Vec<usize>) {
    let mut lists = vec![Vec::new(); experts];
    for token in 0..tokens {
        let mut left: Vec<usize> = (0..experts).filter(|expert| !left_out.contains(expert)).collect();
        for _ in 0..chosen.min(left.len()) {
            lists[left.swap_remove(random.below(0..left.len()))].push(token as u32);
        }
    }
    let ends = lists.iter().scan(0, |end, list| {
        *end += list.len();
        Some(*end)
    });
    (lists.concat(), ends.collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A scene: the weights and biases of two products, the input, the routes.
struct Scene {
    weights: [Vec<Weight>; 2],
    biases: Vec<Weight>,
    x: Vec<f32>,
    cols: usize,
    rows: Vec<u32>,
    ends: Vec<usize>,
}

impl Scene {
    fn new(random: &mut Random, formats: [Format; 2], cols: usize, heights: [usize; 2], tokens: usize) -> Self {
        let (experts, chosen) = (5, random.below(1..4));
        let left_out = [random.below(0..experts)];
        let (rows, ends) = routed(random, tokens, experts, chosen, &left_out);
        let weights = [0, 1].map(|i| {
            (0..experts).map(|_| weight(random, formats[i], heights[i], cols, Bytes::Encoded)).collect::<Vec<_>>()
        });
        let biases =
            (0..experts).map(|_| Weight::from_f32(1, heights[1], &random.values(heights[1])).unwrap()).collect();
        Self { weights, biases, x: random.values(tokens * cols), cols, rows, ends }
    }

    fn routes(&self) -> Routes<'_> {
        Routes { rows: &self.rows, ends: &self.ends }
    }

    /// Both products, the second with biases.
    fn run<B: Backend>(&self, backend: &mut B) -> [Vec<f32>; 2] {
        let mut load = |weights: &[Weight]| -> Vec<B::Weight> {
            weights.iter().map(|weight| backend.weight(weight.clone()).unwrap()).collect()
        };
        let (first, second, biases) = (load(&self.weights[0]), load(&self.weights[1]), load(&self.biases));
        let x = buffer(backend, &self.x);
        let lens = [0, 1].map(|i| self.rows.len() * self.weights[i][0].rows());
        let mut outs = lens.map(|len| buffer(backend, &vec![f32::NAN; len]));
        let [a, b] = &mut outs;
        let mut group = [
            ExpertMatMul { weights: &first, biases: None, out: a },
            ExpertMatMul { weights: &second, biases: Some(&biases), out: b },
        ];
        backend.matmul_experts(&x, self.routes(), &mut group).unwrap();
        [contents(backend, &outs[0], lens[0]), contents(backend, &outs[1], lens[1])]
    }

    /// Each route as a product of its own.
    fn one_by_one(&self, cpu: &mut crate::Cpu) -> [Vec<f32>; 2] {
        let mut outs = [Vec::new(), Vec::new()];
        for expert in 0..self.ends.len() {
            for &row in &self.rows[self.routes().of(expert)] {
                let x = buffer(cpu, &self.x[row as usize * self.cols..(row as usize + 1) * self.cols]);
                for (i, out) in outs.iter_mut().enumerate() {
                    let weight = cpu.weight(self.weights[i][expert].clone()).unwrap();
                    let bias = (i == 1).then(|| cpu.weight(self.biases[expert].clone()).unwrap());
                    let mut one = cpu.buffer(weight.rows()).unwrap();
                    cpu.matmul(&x, 1, &mut [MatMul { weight: &weight, bias: bias.as_ref(), out: &mut one }]).unwrap();
                    out.extend(contents(cpu, &one, weight.rows()));
                }
            }
        }
        outs
    }
}

/// Every format, alone and mixed, on every set and on one thread and several: the bits of products one by one.
#[test]
fn routed_products_are_those_of_each_row() {
    let mut random = Random::new(21);
    let formats: Vec<Format> = Format::all().filter(|format| format.is_computable()).collect();
    for (i, &format) in formats.iter().enumerate() {
        let other = if i % 3 == 0 { formats[(i + 1) % formats.len()] } else { format };
        let tokens = [1, 2, 9, 40, 130][i % 5];
        let scene = Scene::new(&mut random, [format, other], 256, [random_height(i), 33], tokens);
        for kernels in instruction_sets() {
            let isa = Some(kernels.isa());
            if isa == Some(Isa::Scalar) && tokens > 40 {
                continue;
            }
            let expected = scene.one_by_one(&mut cpu(1, isa));
            for threads in 1..4 {
                let found = scene.run(&mut cpu(threads, isa));
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(bits(found), bits(expected), "{format} and {other}, {tokens} tokens, {isa:?}");
                }
            }
        }
    }
}

fn random_height(seed: usize) -> usize {
    [1, 16, 17, 70, 200][seed % 5]
}

/// Enough work to be shared out, with experts that get nothing, everything, or more than a tile; of weights in both forms.
#[test]
fn ragged_routes_are_shared_out_whole() {
    let mut random = Random::new(22);
    for (format, bf16_products) in [(Format::Q4_K, false), (Format::BF16, false), (Format::BF16, true)] {
        let options = CpuOptions { bf16_products, ..CpuOptions::default() };
        let mut scene = Scene::new(&mut random, [format, Format::F32], 512, [64, 96], 300);
        for lens in [[0, 300, 0, 0, 0], [1, 0, 250, 3, 0], [0, 0, 0, 0, 0], [97, 96, 95, 193, 192]] {
            scene.rows = lens.iter().flat_map(|&len| (0..len as u32).map(|i| i * 7 % 300)).collect();
            scene.ends = lens
                .iter()
                .scan(0, |end, len| {
                    *end += len;
                    Some(*end)
                })
                .collect();
            let alone = CpuOptions { threads: Some(1), ..options.clone() };
            let expected = scene.one_by_one(&mut Cpu::new(alone).unwrap());
            for (threads, repack) in [(1, Repack::Strips), (2, Repack::Never), (2, Repack::Strips), (5, Repack::Strips)]
            {
                let options = CpuOptions { threads: Some(threads), repack, ..options.clone() };
                let found = scene.run(&mut Cpu::new(options).unwrap());
                assert_eq!(found.each_ref().map(|out| bits(out)), expected.each_ref().map(|out| bits(out)), "{lens:?}");
            }
        }
    }
}

#[test]
fn products_and_sums_are_near_the_reference() {
    let mut random = Random::new(23);
    for tokens in [1, 3, 50] {
        let (cols, height) = (random.below(1..200), random.below(1..90));
        let scene = Scene::new(&mut random, [Format::F32, Format::F16], cols, [height, 40], tokens);
        let weights = random.values(scene.rows.len());
        let expected = scene.run(&mut Reference);
        let out = vec![1.5; tokens * 40];
        let exact = added(&mut Reference, &scene, &expected[1], &out, &weights);
        for kernels in instruction_sets() {
            for threads in [1, 3] {
                let cpu = &mut cpu(threads, Some(kernels.isa()));
                for (found, expected) in scene.run(cpu).iter().zip(&expected) {
                    near(found, expected, 1e-5);
                }
                near(&added(cpu, &scene, &expected[1], &out, &weights), &exact, 1e-6);
            }
        }
    }
}

#[track_caller]
fn near(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0f32, |size, x| size.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * size, "{found}, not {expected}");
    }
}

fn added<B: Backend>(backend: &mut B, scene: &Scene, y: &[f32], out: &[f32], weights: &[f32]) -> Vec<f32> {
    let (y, mut sums) = (buffer(backend, y), buffer(backend, out));
    backend.add_routed(&mut sums, &y, scene.routes(), weights, 40).unwrap();
    contents(backend, &sums, out.len())
}

/// Wide enough for several tasks: the threads change no bit, and a row has the sum that it has alone.
#[test]
fn sums_do_not_depend_on_threads_or_other_rows() {
    let mut random = Random::new(24);
    let (tokens, width) = (20, 5000);
    let (rows, ends) = routed(&mut random, tokens, 8, 3, &[2]);
    let (y, weights) = (random.values(rows.len() * width), random.values(rows.len()));
    let run = |threads: usize, rows: &[u32], ends: &[usize], y: &[f32], weights: &[f32]| {
        let mut cpu = cpu(threads, None);
        let (y, mut out) = (buffer(&mut cpu, y), buffer(&mut cpu, &vec![0.25; tokens * width]));
        cpu.add_routed(&mut out, &y, Routes { rows, ends }, weights, width).unwrap();
        contents(&mut cpu, &out, tokens * width)
    };
    let all = run(1, &rows, &ends, &y, &weights);
    for threads in [2, 3] {
        assert_eq!(bits(&run(threads, &rows, &ends, &y, &weights)), bits(&all));
    }
    let own: Vec<usize> = (0..rows.len()).filter(|&route| rows[route] == 7).collect();
    let y: Vec<f32> = own.iter().flat_map(|&route| &y[route * width..(route + 1) * width]).copied().collect();
    let weights: Vec<f32> = own.iter().map(|&route| weights[route]).collect();
    let alone = run(1, &vec![7; own.len()], &[own.len()], &y, &weights);
    assert_eq!(bits(&alone[7 * width..8 * width]), bits(&all[7 * width..8 * width]));
}

#[test]
fn products_over_no_columns_are_their_biases() {
    let mut backend = cpu(1, None);
    for format in [Format::F32, Format::Q4_K] {
        let empty = Weight::new(format, 2, 0, SharedBytes::new(Vec::new())).unwrap();
        let weights = [0, 1].map(|_| backend.weight(empty.clone()).unwrap());
        let biases = [[1.0, 2.0], [3.0, 4.0]].map(|b| backend.weight(Weight::from_f32(1, 2, &b).unwrap()).unwrap());
        let routes = Routes { rows: &[0, 1, 0], ends: &[1, 3] };
        let (x, mut out) = (buffer(&mut backend, &[]), buffer(&mut backend, &[9.0; 6]));
        let product = ExpertMatMul { weights: &weights, biases: Some(&biases), out: &mut out };
        backend.matmul_experts(&x, routes, &mut [product]).unwrap();
        assert_eq!(contents(&mut backend, &out, 6), [1.0, 2.0, 3.0, 4.0, 3.0, 4.0], "{format}");
    }
}

#[test]
fn wrong_routes_and_weights_are_typed_errors() {
    fn check<B: Backend>(backend: &mut B) {
        let weight = |backend: &mut B, rows: usize, cols: usize| {
            backend.weight(Weight::from_f32(rows, cols, &vec![1.0; rows * cols]).unwrap()).unwrap()
        };
        let weights = [weight(backend, 2, 3), weight(backend, 2, 3)];
        let mixed = [weight(backend, 2, 3), weight(backend, 3, 3)];
        let biases = [weight(backend, 1, 2), weight(backend, 1, 3)];
        let x = buffer(backend, &[1.0; 6]);
        let mut out = buffer(backend, &[7.0; 6]);
        let mut run = |weights: &[B::Weight], biases: Option<&[B::Weight]>, rows: &[u32], ends: &[usize]| {
            let result = backend.matmul_experts(
                &x,
                Routes { rows, ends },
                &mut [ExpertMatMul { weights, biases, out: &mut out }],
            );
            (result, contents(backend, &out, 6))
        };
        let wrong = [
            run(&weights, None, &[0, 1], &[1, 1]),
            run(&weights, None, &[0, 1], &[2, 1]),
            run(&weights, None, &[0, 1], &[1, 3]),
            run(&weights, None, &[0, 1], &[2]),
            run(&weights[..1], None, &[0, 1], &[1, 2]),
            run(&mixed, None, &[0, 1], &[1, 2]),
            run(&weights, Some(&biases), &[0, 1], &[1, 2]),
            run(&weights, Some(&biases[..1]), &[0, 1], &[1, 2]),
            run(&weights, None, &[0, 1, 0, 1], &[2, 4]),
        ];
        for (i, (result, out)) in wrong.into_iter().enumerate() {
            assert!(matches!(result, Err(Error::Shape { .. })), "{i}: {result:?}");
            assert_eq!(out, [7.0; 6], "{i}");
        }
        let (result, written) = run(&weights, None, &[0, 2], &[1, 2]);
        assert!(matches!(result, Err(Error::OutOfRange { index: 2, limit: 2, .. })), "{result:?}");
        assert_eq!(written, [7.0; 6]);
        assert_eq!(run(&weights, None, &[1, 0], &[0, 2]), (Ok(()), vec![3.0, 3.0, 3.0, 3.0, 7.0, 7.0]));
        assert_eq!(run(&[], None, &[], &[]).0, Ok(()));

        let y = buffer(backend, &[1.0; 4]);
        let mut add = |rows: &[u32], ends: &[usize], weights: &[f32], width: usize| {
            backend.add_routed(&mut out, &y, Routes { rows, ends }, weights, width)
        };
        assert!(matches!(add(&[0, 1], &[1], &[1.0; 2], 2), Err(Error::Shape { .. })));
        assert!(matches!(add(&[0, 1], &[1, 2], &[1.0; 1], 2), Err(Error::Shape { .. })));
        assert!(matches!(add(&[0, 1], &[1, 2], &[1.0; 2], 3), Err(Error::Shape { .. })));
        assert!(matches!(add(&[0, 3], &[1, 2], &[1.0; 2], 2), Err(Error::OutOfRange { .. })));
        assert_eq!(add(&[0, 0], &[1, 2], &[1.0; 2], 0), Ok(()));
    }
    check(&mut Reference);
    check(&mut cpu(2, None));
}
