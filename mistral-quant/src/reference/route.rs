//! The choice of experts, as the rule says it.

use crate::backend::{RouteGroups, RouteRule, RouteScore};

/// Returns expert and weight of each choice of one row of logits, by falling scores.
pub(super) fn chosen(logits: &[f32], bias: &[f32], rule: &RouteRule) -> Vec<(u32, f32)> {
    let logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    let scores = match rule.score {
        RouteScore::Softmax => softmax(&logits),
        RouteScore::SoftmaxOfChosen => logits.clone(),
        RouteScore::Sigmoid => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
    };
    let ranks: Vec<f64> = scores.iter().zip(bias).map(|(score, &bias)| score + f64::from(bias)).collect();
    let mut candidates: Vec<usize> = (0..rule.experts).collect();
    if let Some(RouteGroups { count, chosen, ranked_by }) = rule.groups {
        let size = rule.experts / count;
        let group_ranks: Vec<f64> = ranks
            .chunks(size)
            .map(|group| by_rank(group, (0..size).collect()).iter().take(ranked_by).map(|&i| group[i]).sum())
            .collect();
        let groups = &by_rank(&group_ranks, (0..count).collect())[..chosen];
        candidates.retain(|expert| groups.contains(&(expert / size)));
    }
    let chosen = &by_rank(&ranks, candidates)[..rule.top_k];
    let mut weights: Vec<f64> = chosen.iter().map(|&expert| scores[expert]).collect();
    if rule.score == RouteScore::SoftmaxOfChosen {
        weights = softmax(&weights);
    }
    let sum = if rule.normalize { weights.iter().sum() } else { 1.0 };
    let weights = weights.iter().map(|weight| (weight / sum * f64::from(rule.scale)) as f32);
    chosen.iter().map(|&expert| expert as u32).zip(weights).collect()
}

/// Sorts indices by falling values, equal values by index. A NaN counts as the highest value, so that it shows.
fn by_rank(values: &[f64], mut indices: Vec<usize>) -> Vec<usize> {
    let key = |i: usize| if values[i].is_nan() { f64::INFINITY } else { values[i] };
    let nan = |i: usize| !values[i].is_nan();
    indices.sort_by(|&a, &b| nan(a).cmp(&nan(b)).then(key(b).total_cmp(&key(a))).then(a.cmp(&b)));
    indices
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = x.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.iter().map(|exponential| exponential / sum).collect()
}
