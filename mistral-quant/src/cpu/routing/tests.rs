use crate::backend::{Backend, RouteGroups, RouteRule, RouteScore};
use crate::cpu::tests::{Random, bits, buffer, contents, cpu, vector};
use crate::reference::Reference;

/// Tokens, ends and weights of the routes of some logits.
fn routes<B: Backend>(
    backend: &mut B,
    logits: &[f32],
    rule: &RouteRule,
    bias: Option<&[f32]>,
) -> (Vec<u32>, Vec<usize>, Vec<f32>) {
    let tokens = logits.len() / rule.experts;
    let bias = bias.map(|bias| vector(backend, bias));
    let logits = buffer(backend, logits);
    let mut routes = backend.routes(tokens, rule.top_k).unwrap();
    backend.route(&logits, tokens, rule, bias.as_ref(), &mut routes).unwrap();
    let (mut rows, mut ends) = (vec![7; 3], vec![7; 3]);
    backend.read_routes(&routes, &mut rows, &mut ends).unwrap();
    let (ones, mut weights) = (buffer(backend, &vec![1.0; tokens]), backend.buffer(rows.len()).unwrap());
    backend.spread_routed(&ones, &routes, 1, &mut weights).unwrap();
    let weights = contents(backend, &weights, rows.len());
    (rows, ends, weights)
}

const SCORES: [RouteScore; 3] = [RouteScore::Softmax, RouteScore::SoftmaxOfChosen, RouteScore::Sigmoid];

fn rules(random: &mut Random) -> Vec<RouteRule> {
    let mut rules = Vec::new();
    for (experts, top_k, groups) in [
        (1, 1, None),
        (4, 4, None),
        (7, 2, None),
        (60, 4, None),
        (128, 8, None),
        (8, 2, Some(RouteGroups { count: 4, chosen: 2, ranked_by: 2 })),
        (8, 3, Some(RouteGroups { count: 8, chosen: 3, ranked_by: 1 })),
        (160, 6, Some(RouteGroups { count: 8, chosen: 3, ranked_by: 1 })),
        (256, 8, Some(RouteGroups { count: 8, chosen: 4, ranked_by: 2 })),
    ] {
        for score in SCORES {
            let (normalize, scale) = (random.below(0..2) == 0, 1.0 + random.value().abs());
            rules.push(RouteRule { experts, top_k, score, normalize, scale, groups });
        }
    }
    rules
}

#[test]
fn routes_are_those_of_the_reference() {
    let mut random = Random::new(51);
    for rule in rules(&mut random) {
        for tokens in [0, 1, 3, 200] {
            let mut logits = random.values(tokens * rule.experts);
            // Ties, of which the first expert is chosen, and zeros of both signs.
            logits.iter_mut().step_by(3).for_each(|logit| *logit = (*logit).round());
            logits.iter_mut().step_by(5).for_each(|logit| *logit *= 0.0);
            let biases = random.values(rule.experts);
            for bias in [None, Some(&biases[..])] {
                let (rows, ends, weights) = routes(&mut Reference, &logits, &rule, bias);
                for threads in [1, 3] {
                    let found = routes(&mut cpu(threads, None), &logits, &rule, bias);
                    assert_eq!((&found.0, &found.1), (&rows, &ends), "{rule:?}, {tokens} tokens");
                    for (found, expected) in found.2.iter().zip(&weights) {
                        assert!((found - expected).abs() <= 2.0 * f32::EPSILON * expected.abs(), "{rule:?}");
                    }
                }
                assert_eq!(rows.len(), tokens * rule.top_k);
                assert!(rows.iter().all(|&row| (row as usize) < tokens));
            }
        }
    }
}

#[test]
fn a_token_has_the_same_routes_alone() {
    let mut random = Random::new(52);
    let groups = Some(RouteGroups { count: 4, chosen: 2, ranked_by: 2 });
    let rule = RouteRule { experts: 32, top_k: 4, score: RouteScore::Sigmoid, normalize: true, scale: 2.5, groups };
    let (logits, bias) = (random.values(100 * 32), random.values(32));
    let (rows, ends, weights) = routes(&mut cpu(3, None), &logits, &rule, Some(&bias));
    for token in [0, 50, 99] {
        let (alone_rows, alone_ends, alone_weights) =
            routes(&mut cpu(1, None), &logits[token * 32..(token + 1) * 32], &rule, Some(&bias));
        let own: Vec<usize> = (0..rows.len()).filter(|&route| rows[route] as usize == token).collect();
        let expert = |route: usize, ends: &[usize]| ends.iter().filter(|&&end| end <= route).count();
        let experts: Vec<usize> = own.iter().map(|&route| expert(route, &ends)).collect();
        assert_eq!(experts, (0..alone_rows.len()).map(|route| expert(route, &alone_ends)).collect::<Vec<_>>());
        assert_eq!(bits(&own.iter().map(|&route| weights[route]).collect::<Vec<_>>()), bits(&alone_weights));
    }
}

/// A NaN is chosen before all numbers, so that it shows in the outputs; whatever the logits are, each token has `top_k` experts.
#[test]
fn wild_logits_have_as_many_routes() {
    let wild = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 3e38, -3e38, 1e-45];
    let mut random = Random::new(53);
    for rule in rules(&mut random) {
        let logits: Vec<f32> = (0..20 * rule.experts).map(|_| wild[random.below(0..wild.len())]).collect();
        let bias: Vec<f32> = (0..rule.experts).map(|_| wild[random.below(0..wild.len())]).collect();
        for bias in [None, Some(&bias[..])] {
            let expected = routes(&mut Reference, &logits, &rule, bias);
            let found = routes(&mut cpu(1, None), &logits, &rule, bias);
            assert_eq!((&found.0, &found.1), (&expected.0, &expected.1), "{rule:?}");
            let nan = |weights: &[f32]| weights.iter().map(|weight| weight.is_nan()).collect::<Vec<_>>();
            assert_eq!(nan(&found.2), nan(&expected.2), "{rule:?}");
        }
    }
    let score = RouteScore::SoftmaxOfChosen;
    let rule = RouteRule { experts: 4, top_k: 2, score, normalize: false, scale: 1.0, groups: None };
    let (_, ends, weights) = routes(&mut cpu(1, None), &[1.0, 9.0, f32::NAN, 8.0], &rule, None);
    assert_eq!(ends, [0, 1, 2, 2]);
    assert!(weights.iter().all(|weight| weight.is_nan()));
}
