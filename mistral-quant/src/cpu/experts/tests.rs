use crate::backend::{Backend, ExpertMatMul, MatMul, RouteRule, RouteScore};
use crate::bytes::SharedBytes;
use crate::cpu::kernels::Isa;
use crate::cpu::repack::Repack;
use crate::cpu::tests::{Random, buffer, contents, cpu};
use crate::cpu::{Cpu, CpuOptions};
use crate::error::Error;
use crate::format::Format;
use crate::reference::Reference;
use crate::routes::RoutedInput;
use crate::testing::{Bytes, instruction_sets, weight};
use crate::weight::Weight;

/// The experts of each token, and the weight of each.
type Choices = Vec<Vec<(usize, f32)>>;

/// Each of `tokens` tokens goes to `chosen` of the experts, but never to the experts that are `left_out`.
fn routed(random: &mut Random, tokens: usize, experts: usize, chosen: usize, left_out: &[usize]) -> Choices {
    (0..tokens)
        .map(|_| {
            let mut left: Vec<usize> = (0..experts).filter(|expert| !left_out.contains(expert)).collect();
            (0..chosen.min(left.len()))
                .map(|_| (left.swap_remove(random.below(0..left.len())), random.value().abs() + 0.01))
                .collect()
        })
        .collect()
}

/// Routes tokens to the experts they have, by logits that stand for the logarithms of weights that add up to 1; all have as many.
fn route<B: Backend>(backend: &mut B, choices: &Choices, experts: usize) -> B::Routes {
    let top_k = choices.first().map_or(1, Vec::len);
    let mut logits = vec![f32::NEG_INFINITY; choices.len() * experts];
    for (token, choices) in choices.iter().enumerate() {
        choices.iter().for_each(|&(expert, weight)| logits[token * experts + expert] = weight.ln());
    }
    let score = RouteScore::SoftmaxOfChosen;
    let rule = RouteRule { experts, top_k, score, normalize: false, scale: 1.0, groups: None };
    let mut routes = backend.routes(choices.len(), top_k).unwrap();
    let logits = buffer(backend, &logits);
    backend.route(&logits, choices.len(), &rule, None, &mut routes).unwrap();
    routes
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A scene: the weights and biases of two products, the input, the routes.
struct Scene {
    weights: [Vec<Weight>; 2],
    biases: Vec<Weight>,
    /// `[tokens, cols]`.
    x: Vec<f32>,
    cols: usize,
    choices: Choices,
}

impl Scene {
    fn new(random: &mut Random, formats: [Format; 2], cols: usize, heights: [usize; 2], tokens: usize) -> Self {
        let (experts, chosen) = (5, random.below(1..4));
        let left_out = [random.below(0..experts)];
        let choices = routed(random, tokens, experts, chosen, &left_out);
        let weights = [0, 1].map(|i| {
            (0..experts).map(|_| weight(random, formats[i], heights[i], cols, Bytes::Encoded)).collect::<Vec<_>>()
        });
        let biases =
            (0..experts).map(|_| Weight::from_f32(1, heights[1], &random.values(heights[1])).unwrap()).collect();
        Self { weights, biases, x: random.values(tokens * cols), cols, choices }
    }

    /// The token of each route, expert after expert, with the expert.
    fn routes(&self) -> Vec<(usize, usize)> {
        let tokens = |expert| {
            let goes = move |token: &usize| self.choices[*token].iter().any(|choice| choice.0 == expert);
            (0..self.choices.len()).filter(goes).map(move |token| (token, expert))
        };
        (0..self.weights[0].len()).flat_map(tokens).collect()
    }

    /// Both products, the second with biases.
    fn run<B: Backend>(&self, backend: &mut B, input: RoutedInput) -> [Vec<f32>; 2] {
        let mut load = |weights: &[Weight]| -> Vec<B::Weight> {
            weights.iter().map(|weight| backend.weight(weight.clone()).unwrap()).collect()
        };
        let (first, second, biases) = (load(&self.weights[0]), load(&self.weights[1]), load(&self.biases));
        let routed = self.routes();
        let spread = || routed.iter().flat_map(|&(token, _)| &self.x[token * self.cols..(token + 1) * self.cols]);
        let x = match input {
            RoutedInput::Tokens => buffer(backend, &self.x),
            RoutedInput::Routes => buffer(backend, &spread().copied().collect::<Vec<f32>>()),
        };
        let routes = route(backend, &self.choices, self.weights[0].len());
        let lens = [0, 1].map(|i| routed.len() * self.weights[i][0].rows());
        let mut outs = lens.map(|len| buffer(backend, &vec![f32::NAN; len]));
        let [a, b] = &mut outs;
        let mut group = [
            ExpertMatMul { weights: &first, biases: None, out: a },
            ExpertMatMul { weights: &second, biases: Some(&biases), out: b },
        ];
        backend.matmul_experts(&x, input, &routes, &mut group).unwrap();
        [contents(backend, &outs[0], lens[0]), contents(backend, &outs[1], lens[1])]
    }

    /// Each route as a product of its own.
    fn one_by_one(&self, cpu: &mut Cpu) -> [Vec<f32>; 2] {
        let mut outs = [Vec::new(), Vec::new()];
        for (row, expert) in self.routes() {
            let x = buffer(cpu, &self.x[row * self.cols..(row + 1) * self.cols]);
            for (i, out) in outs.iter_mut().enumerate() {
                let weight = cpu.weight(self.weights[i][expert].clone()).unwrap();
                let bias = (i == 1).then(|| cpu.weight(self.biases[expert].clone()).unwrap());
                let mut one = cpu.buffer(weight.rows()).unwrap();
                cpu.matmul(&x, 1, &mut [MatMul { weight: &weight, bias: bias.as_ref(), out: &mut one }]).unwrap();
                out.extend(contents(cpu, &one, weight.rows()));
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
                let input = if threads == 3 { RoutedInput::Routes } else { RoutedInput::Tokens };
                let found = scene.run(&mut cpu(threads, isa), input);
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
        let mut scene = Scene::new(&mut random, [format, Format::F32], 512, [64, 96], 673);
        let goes = |token: usize, lens: [usize; 5]| -> Vec<(usize, f32)> {
            let mut end = 0;
            let expert = lens.iter().position(|len| {
                end += len;
                token < end
            });
            vec![(expert.unwrap(), 1.0)]
        };
        for lens in [[0, 300, 0, 0, 0], [1, 0, 250, 3, 46], [0; 5], [97, 96, 95, 193, 192]] {
            // Tokens in a scattered order; 7 divides none of the sums.
            let tokens = lens.iter().sum::<usize>();
            scene.choices = (0..tokens).map(|token| goes(token * 7 % tokens, lens)).collect();
            let alone = CpuOptions { threads: Some(1), ..options.clone() };
            let expected = scene.one_by_one(&mut Cpu::new(alone).unwrap());
            for (threads, repack) in [(1, Repack::Strips), (2, Repack::Never), (2, Repack::Strips), (5, Repack::Strips)]
            {
                let options = CpuOptions { threads: Some(threads), repack, ..options.clone() };
                let found = scene.run(&mut Cpu::new(options).unwrap(), RoutedInput::Tokens);
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
        let expected = scene.run(&mut Reference, RoutedInput::Tokens);
        assert_eq!(scene.run(&mut Reference, RoutedInput::Routes), expected);
        let exact = summed(&mut Reference, &scene, &expected[1]);
        for kernels in instruction_sets() {
            for threads in [1, 3] {
                let cpu = &mut cpu(threads, Some(kernels.isa()));
                for (found, expected) in scene.run(cpu, RoutedInput::Tokens).iter().zip(&expected) {
                    near(found, expected, 1e-5);
                }
                near(&summed(cpu, &scene, &expected[1]), &exact, 1e-6);
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

/// Sums of all routes, weighted and not, over whatever was there, and the input spread over the routes.
fn summed<B: Backend>(backend: &mut B, scene: &Scene, y: &[f32]) -> Vec<f32> {
    let routes = route(backend, &scene.choices, scene.weights[0].len());
    let y = buffer(backend, y);
    let mut all = Vec::new();
    for weighted in [true, false] {
        let len = scene.choices.len() * 40;
        let mut sums = buffer(backend, &vec![f32::NAN; len]);
        backend.sum_routed(&y, &routes, weighted, 40, &mut sums).unwrap();
        all.extend(contents(backend, &sums, len));
    }
    let (x, len) = (buffer(backend, &scene.x), scene.routes().len() * scene.cols);
    let mut spread = backend.buffer(len).unwrap();
    backend.spread_routed(&x, &routes, scene.cols, &mut spread).unwrap();
    all.extend(contents(backend, &spread, len));
    all
}

/// Wide enough for several tasks: the threads change no bit, and a row has the sum that it has alone.
#[test]
fn sums_do_not_depend_on_threads_or_other_rows() {
    let mut random = Random::new(24);
    let (tokens, width, top_k) = (20, 5000, 3);
    let choices = routed(&mut random, tokens, 8, top_k, &[2]);
    let y = random.values(tokens * top_k * width);
    let run = |threads: usize, choices: &Choices, y: &[f32]| {
        let mut cpu = cpu(threads, None);
        let routes = route(&mut cpu, choices, 8);
        let (y, mut out) = (buffer(&mut cpu, y), buffer(&mut cpu, &vec![f32::NAN; choices.len() * width]));
        cpu.sum_routed(&y, &routes, true, width, &mut out).unwrap();
        let sums = contents(&mut cpu, &out, choices.len() * width);
        let mut spread = cpu.buffer(choices.len() * top_k * width).unwrap();
        cpu.spread_routed(&out, &routes, width, &mut spread).unwrap();
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        cpu.read_routes(&routes, &mut rows, &mut ends).unwrap();
        (sums, contents(&mut cpu, &spread, choices.len() * top_k * width), rows)
    };
    let all = run(1, &choices, &y);
    for threads in [2, 3] {
        let (sums, spread, rows) = run(threads, &choices, &y);
        assert_eq!((bits(&sums), bits(&spread), rows), (bits(&all.0), bits(&all.1), all.2.clone()));
    }
    let own: Vec<usize> = (0..tokens * top_k).filter(|&route| all.2[route] == 7).collect();
    let y: Vec<f32> = own.iter().flat_map(|&route| &y[route * width..(route + 1) * width]).copied().collect();
    let alone = run(1, &vec![choices[7].clone()], &y);
    assert_eq!(bits(&alone.0), bits(&all.0[7 * width..8 * width]));
    let spread: Vec<f32> = own.iter().flat_map(|&route| &all.1[route * width..(route + 1) * width]).copied().collect();
    assert_eq!(bits(&alone.1), bits(&spread));
}

/// A NaN among the routes reaches the sum of its token, in its column; elements behind the sums are left alone.
#[test]
fn what_is_not_a_number_stays_in_the_sum_of_its_token() {
    fn check<B: Backend>(backend: &mut B) {
        let choices = vec![vec![(0, 1.0), (2, 3.0)], vec![(1, 1.0), (2, 1.0)], vec![(2, 1.0), (0, 1.0)]];
        let routes = route(backend, &choices, 3);
        // The routes of expert 0 are those of tokens 0 and 2, then comes token 1 at expert 1, then all at expert 2.
        let mut y = vec![1.0; 6 * 2];
        y[2 * 2 + 1] = f32::NAN;
        let (y, mut out) = (buffer(backend, &y), buffer(backend, &[f32::NAN; 8]));
        backend.write(&mut out, &[f32::NAN, f32::INFINITY, 5.0]).unwrap();
        for (weighted, sum) in [(false, 2.0), (true, 1.0)] {
            backend.sum_routed(&y, &routes, weighted, 2, &mut out).unwrap();
            let found = contents(backend, &out, 8);
            for (i, &x) in found.iter().enumerate() {
                assert!(if i == 3 || i > 5 { x.is_nan() } else { (x - sum).abs() < 1e-6 }, "element {i}: {x}");
            }
        }
        let x = buffer(backend, &[1.0, f32::NAN, 1.0]);
        let mut spread = backend.buffer(6).unwrap();
        backend.spread_routed(&x, &routes, 1, &mut spread).unwrap();
        let nan: Vec<bool> = contents(backend, &spread, 6).iter().map(|x| x.is_nan()).collect();
        assert_eq!(nan, [false, false, true, false, true, false]);
    }
    check(&mut Reference);
    for kernels in instruction_sets() {
        check(&mut cpu(2, Some(kernels.isa())));
    }
}

#[test]
fn products_over_no_columns_are_their_biases() {
    let mut backend = cpu(1, None);
    for format in [Format::F32, Format::Q4_K] {
        let empty = Weight::new(format, 2, 0, SharedBytes::new(Vec::new())).unwrap();
        let weights = [0, 1].map(|_| backend.weight(empty.clone()).unwrap());
        let biases = [[1.0, 2.0], [3.0, 4.0]].map(|b| backend.weight(Weight::from_f32(1, 2, &b).unwrap()).unwrap());
        let routes = route(&mut backend, &vec![vec![(0, 1.0)], vec![(1, 1.0)], vec![(1, 1.0)]], 2);
        let (x, mut out) = (buffer(&mut backend, &[]), buffer(&mut backend, &[9.0; 6]));
        let product = ExpertMatMul { weights: &weights, biases: Some(&biases), out: &mut out };
        backend.matmul_experts(&x, RoutedInput::Tokens, &routes, &mut [product]).unwrap();
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
        let routes = route(backend, &vec![vec![(0, 1.0)], vec![(1, 1.0)]], 2);
        let short = buffer(backend, &[1.0; 5]);
        let run = |backend: &mut B, weights: &[B::Weight], biases: Option<&[B::Weight]>, x: &B::Buffer, input| {
            let mut out = buffer(backend, &[7.0; 6]);
            let group = &mut [ExpertMatMul { weights, biases, out: &mut out }];
            (backend.matmul_experts(x, input, &routes, group), contents(backend, &out, 6))
        };
        for input in [RoutedInput::Tokens, RoutedInput::Routes] {
            let wrong = [
                run(backend, &weights[..1], None, &x, input),
                run(backend, &mixed, None, &x, input),
                run(backend, &weights, Some(&biases), &x, input),
                run(backend, &weights, Some(&biases[..1]), &x, input),
                run(backend, &[], None, &x, input),
                run(backend, &weights, None, &short, input),
            ];
            for (i, (result, out)) in wrong.into_iter().enumerate() {
                assert!(matches!(result, Err(Error::Shape { .. })), "{i}: {result:?}");
                assert_eq!(out, [7.0; 6], "{i}");
            }
            let written = vec![3.0, 3.0, 3.0, 3.0, 7.0, 7.0];
            assert_eq!(run(backend, &weights, None, &x, input), (Ok(()), written));
        }
        // Two products of a group that read different columns.
        let wide = [weight(backend, 2, 2), weight(backend, 2, 2)];
        let [mut first, mut second] = [(); 2].map(|()| buffer(backend, &[7.0; 4]));
        let mut group = [
            ExpertMatMul { weights: &weights, biases: None, out: &mut first },
            ExpertMatMul { weights: &wide, biases: None, out: &mut second },
        ];
        let result = backend.matmul_experts(&x, RoutedInput::Tokens, &routes, &mut group);
        assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
        let mut short = buffer(backend, &[7.0; 3]);
        let group = &mut [ExpertMatMul { weights: &weights, biases: None, out: &mut short }];
        let result = backend.matmul_experts(&x, RoutedInput::Tokens, &routes, group);
        assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
        assert_eq!(contents(backend, &short, 3), [7.0; 3]);
    }
    check(&mut Reference);
    check(&mut cpu(2, None));
}
