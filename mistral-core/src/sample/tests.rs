//! Filters against a full sort, draws against their probabilities, and what unusable logits do.

use super::filter::{Scratch, select_top};
use super::*;

fn random_logits(rng: &mut Rng, len: usize, spread: f64) -> Vec<f32> {
    // Rounded to a coarse grid, so that equal logits occur.
    (0..len).map(|_| ((rng.unit() - 0.5) * spread * 16.0).round() as f32 / 16.0).collect()
}

/// top_k, top_p and min_p by definition, with a full sort and `f64::exp`.
fn naive(logits: &[f32], filter: Filter) -> Vec<u32> {
    let mut sorted: Vec<(u32, f64)> = (0u32..).zip(logits.iter().map(|&l| f64::from(l))).collect();
    sorted.retain(|c| c.1 > f64::NEG_INFINITY);
    sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    if filter.top_k > 0 {
        sorted.truncate(filter.top_k);
    }
    let largest = sorted[0].1;
    let weigh = |logit: f64| ((logit - largest) / f64::from(filter.temperature)).exp();
    if filter.top_p < 1.0 {
        let goal = f64::from(filter.top_p) * sorted.iter().map(|c| weigh(c.1)).sum::<f64>();
        let mut sum = 0.0;
        let mut kept = Vec::new();
        for c in sorted {
            kept.push(c);
            sum += weigh(c.1);
            if sum >= goal {
                break;
            }
        }
        sorted = kept;
    }
    sorted.retain(|c| weigh(c.1) >= f64::from(filter.min_p));
    let mut tokens: Vec<u32> = sorted.into_iter().map(|c| c.0).collect();
    tokens.sort_unstable();
    tokens
}

#[test]
fn filters_keep_what_a_full_sort_keeps() {
    let mut rng = Rng::new(3);
    let mut scratch = Scratch::default();
    for round in 0..1500 {
        let len = 1 + (rng.bits() % 3000) as usize;
        let spread = [0.5, 4.0, 30.0][round % 3];
        let mut logits = random_logits(&mut rng, len, spread);
        if round % 5 == 0 {
            logits.iter_mut().step_by(3).for_each(|l| *l = f32::NEG_INFINITY);
            logits[len / 2] = 0.0;
        }
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let filter = Filter {
            temperature: [0.3, 1.0, 2.0][(rng.bits() % 3) as usize],
            top_k: [0, 1, 7, 40, 700][(rng.bits() % 5) as usize],
            top_p: [1.0, 0.0, 0.3, 0.9, 0.999][(rng.bits() % 5) as usize],
            min_p: [0.0, 0.05, 0.5][(rng.bits() % 3) as usize],
        };
        filter.apply(&logits, largest, &mut scratch);
        let mut tokens: Vec<u32> = scratch.candidates.iter().map(|c| c.token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, naive(&logits, filter), "round {round}, {len} logits, {filter:?}");
        assert!(!tokens.is_empty());
    }
}

#[test]
fn selection_is_sorted_and_complete_for_every_count() {
    let mut rng = Rng::new(4);
    let mut out = Vec::new();
    for len in [1usize, 2, 63, 64, 65, 500] {
        let logits = random_logits(&mut rng, len, 3.0);
        let mut sorted: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        for count in 0..=len + 3 {
            select_top(&logits, count, &mut out);
            let found: Vec<(u32, f32)> = out.iter().map(|c| (c.token, c.logit)).collect();
            assert_eq!(found, sorted[..count.min(len)], "{count} of {len}");
        }
    }
}

/// Draws from the same logits with one running generator.
fn counts(sampling: Sampling, logits: &[f32], draws: usize) -> Vec<f64> {
    let mut sampler = Sampler::new(sampling, None, 5, &[]);
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..draws {
        let (token, _) = sampler.sample(&mut logits.to_vec(), &mut Scratch::default()).unwrap();
        counts[token as usize] += 1.0;
    }
    counts
}

#[test]
fn draws_follow_the_probabilities() {
    let logits: [f32; 6] = [1.0, 0.0, -1.0, 2.0, 0.5, f32::NEG_INFINITY];
    let draws = 20_000;
    let cases = [
        (Sampling { temperature: 1.0, ..Sampling::default() }, vec![0, 1, 2, 3, 4]),
        (Sampling { temperature: 0.5, ..Sampling::default() }, vec![0, 1, 2, 3, 4]),
        (Sampling { temperature: 1.0, top_k: 3, ..Sampling::default() }, vec![3, 0, 4]),
        (Sampling { temperature: 1.0, top_p: 0.8, ..Sampling::default() }, vec![3, 0, 4]),
        (Sampling { temperature: 2.0, min_p: 0.4, ..Sampling::default() }, vec![3, 0, 4]),
    ];
    for (sampling, allowed) in cases {
        let weight = |t: usize| f64::from(logits[t] / sampling.temperature).exp();
        let total: f64 = allowed.iter().map(|&t| weight(t)).sum();
        let counts = counts(sampling.clone(), &logits, draws);
        let chi: f64 = allowed
            .iter()
            .map(|&t| (weight(t) / total * draws as f64, counts[t]))
            .map(|(expected, found)| (found - expected).powi(2) / expected)
            .sum();
        // At most 4 degrees of freedom: 23.5 is beyond the 0.9999 quantile; the seed is fixed.
        assert!(chi < 23.5, "{sampling:?}: {counts:?}, chi-square {chi}");
        assert_eq!(allowed.iter().map(|&t| counts[t]).sum::<f64>(), draws as f64, "{sampling:?}: {counts:?}");
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_equals_and_draws_nothing() {
    let mut sampler = Sampler::new(Sampling::default(), None, 0, &[]);
    let before = format!("{:?}", sampler.rng);
    assert_eq!(sampler.sample(&mut [1.0, 3.0, 3.0, 2.0], &mut Scratch::default()).unwrap().0, 1);
    assert_eq!(format!("{:?}", sampler.rng), before);
}

#[test]
fn bias_comes_before_penalties_and_can_ban() {
    let sampling = Sampling {
        logit_bias: vec![(0, f32::NEG_INFINITY), (1, 2.0), (1, 2.0)],
        repetition_penalty: 4.0,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(sampling, None, 0, &[1]);
    let mut logits = [9.0, 0.0, 0.5];
    assert_eq!(sampler.sample(&mut logits, &mut Scratch::default()).unwrap().0, 1);
    assert_eq!(logits, [f32::NEG_INFINITY, 1.0, 0.5], "(0 + 2 + 2) / 4");
}

#[test]
fn what_was_sampled_is_penalised_from_the_next_token_on() {
    let cases = [
        (Sampling { presence_penalty: 0.25, ..Sampling::default() }, [0, 1, 2, 0, 0]),
        (Sampling { frequency_penalty: 0.25, ..Sampling::default() }, [0, 1, 2, 0, 1]),
        (Sampling { repetition_penalty: 2.0, repetition_window: Some(2), ..Sampling::default() }, [0, 1, 2, 0, 1]),
    ];
    for (sampling, expected) in cases {
        let mut sampler = Sampler::new(sampling.clone(), None, 0, &[]);
        let found = expected.map(|_| sampler.sample(&mut [1.0, 0.9, 0.8], &mut Scratch::default()).unwrap().0);
        assert_eq!(found, expected, "{sampling:?}");
    }
}

#[test]
fn unusable_logits_are_an_error_with_any_parameters() {
    let warm = Sampling { temperature: 1.0, top_p: 0.5, ..Sampling::default() };
    for sampling in [Sampling::default(), warm] {
        for logprobs in [None, Some(2)] {
            for bad in [vec![0.0, f32::NAN], vec![f32::INFINITY, 0.0], vec![f32::NEG_INFINITY; 2], vec![]] {
                let mut sampler = Sampler::new(sampling.clone(), logprobs, 0, &[]);
                let result = sampler.sample(&mut bad.clone(), &mut Scratch::default());
                assert!(matches!(result, Err(Error::NonFiniteLogits { .. })), "{bad:?}");
            }
        }
    }
    let all_banned = Sampling { logit_bias: vec![(0, f32::NEG_INFINITY)], ..Sampling::default() };
    let result = Sampler::new(all_banned, None, 0, &[]).sample(&mut [1.0], &mut Scratch::default());
    assert!(matches!(result, Err(Error::NonFiniteLogits { .. })));
}

#[test]
fn logprobs_are_the_log_softmax_of_the_raw_row() {
    let row = [1.0f32, 2.0, 0.5, -3.0];
    let sampling = Sampling { logit_bias: vec![(3, 100.0)], ..Sampling::default() };
    let (token, logprobs) =
        Sampler::new(sampling, Some(2), 0, &[]).sample(&mut row.clone(), &mut Scratch::default()).unwrap();
    let logprobs = logprobs.unwrap();
    let normalizer = row.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
    assert_eq!(token, 3);
    assert!((f64::from(logprobs.chosen) - (-3.0 - normalizer)).abs() < 1e-6);
    let top: Vec<u32> = logprobs.top.iter().map(|t| t.token).collect();
    assert_eq!(top, [1, 0]);
    assert!((f64::from(logprobs.top[0].logprob) - (2.0 - normalizer)).abs() < 1e-6);
}
