//! The choice of experts for each token, in f64: a tie of rounded scores would depend on how they were rounded.

use crate::backend::{RouteGroups, RouteRule, RouteScore};

/// Memory for the choices of one token after another.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// `[experts]`.
    scores: Vec<f64>,
    /// `[experts]`: the scores for the choice, as numbers that are ordered as they are.
    keys: Vec<i64>,
    /// `[groups]`.
    group_keys: Vec<i64>,
}

/// The key of what may not be chosen, or not again; below those of all numbers.
const TAKEN: i64 = i64::MIN;

impl Router {
    /// Writes expert and weight of each choice of one row of logits, by falling scores. The rule has been checked.
    pub(crate) fn choose(
        &mut self,
        rule: &RouteRule,
        logits: &[f32],
        bias: Option<&[f32]>,
        choices: &mut [(u32, f32)],
    ) {
        let Self { scores, keys, group_keys } = self;
        scores.clear();
        scores.extend(logits.iter().map(|&logit| f64::from(logit)));
        match rule.score {
            RouteScore::Softmax => softmax(scores),
            RouteScore::SoftmaxOfChosen => {}
            RouteScore::Sigmoid => scores.iter_mut().for_each(|score| *score = 1.0 / (1.0 + (-*score).exp())),
        }
        let bias = |expert: usize| bias.and_then(|bias| bias.get(expert)).map_or(0.0, |&bias| f64::from(bias));
        keys.clear();
        keys.extend(scores.iter().enumerate().map(|(expert, score)| key(score + bias(expert))));
        if let Some(RouteGroups { count, chosen, ranked_by }) = rule.groups {
            let size = rule.experts / count;
            group_keys.clear();
            for group in 0..count {
                let experts = group * size..(group + 1) * size;
                let (first, second) = best_two(&keys[experts.clone()]);
                let rank = |place: usize| scores[experts.start + place] + bias(experts.start + place);
                let second = if ranked_by > 1 { second.map_or(0.0, rank) } else { 0.0 };
                group_keys.push(key(rank(first) + second));
            }
            for _ in 0..chosen {
                let group = highest(group_keys);
                group_keys[group] = TAKEN;
            }
            let left_out = group_keys.iter().map(|&key| key != TAKEN);
            for (group, left_out) in keys.chunks_exact_mut(size).zip(left_out) {
                if left_out {
                    group.fill(TAKEN);
                }
            }
        }
        let mut max = f64::NEG_INFINITY;
        for choice in &mut *choices {
            let expert = highest(keys);
            keys[expert] = TAKEN;
            choice.0 = expert as u32;
            max = max.max(scores[expert]);
        }
        if rule.score == RouteScore::SoftmaxOfChosen {
            let experts = || choices.iter().map(|choice| choice.0 as usize);
            let sum: f64 = experts().map(|expert| (scores[expert] - max).exp()).sum();
            for choice in choices.iter() {
                let score = &mut scores[choice.0 as usize];
                *score = (*score - max).exp() / sum;
            }
        }
        let sum = if rule.normalize { choices.iter().map(|choice| scores[choice.0 as usize]).sum() } else { 1.0 };
        for (expert, weight) in choices {
            *weight = (scores[*expert as usize] / sum * f64::from(rule.scale)) as f32;
        }
    }
}

/// A number that is ordered as `x` is, the two zeros being one; a NaN counts as the highest, so that it shows.
fn key(x: f64) -> i64 {
    if x.is_nan() {
        return i64::MAX;
    }
    let bits = (x + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Returns the place of the highest key, the first of equal ones.
fn highest(keys: &[i64]) -> usize {
    let mut best = 0;
    for (place, &key) in keys.iter().enumerate() {
        if key > keys[best] {
            best = place;
        }
    }
    best
}

/// Returns the places of the two highest keys.
fn best_two(keys: &[i64]) -> (usize, Option<usize>) {
    let first = highest(keys);
    let others = (0..keys.len()).filter(|&place| place != first);
    (first, others.reduce(|best, place| if keys[place] > keys[best] { place } else { best }))
}

fn softmax(x: &mut [f64]) {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for x in &mut *x {
        *x = (*x - max).exp();
        sum += *x;
    }
    x.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests;
