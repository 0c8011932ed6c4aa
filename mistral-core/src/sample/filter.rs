//! Which tokens may be drawn: top_k, top_p and min_p by partial selection, never a sort of the whole vocabulary.
//!
//! Sources: top_k, Fan et al., 2018, arXiv:1805.04833; top_p, Holtzman et al., 2019, arXiv:1904.09751; min_p, Nguyen et
//! al., 2024, arXiv:2407.01082. The order of the filters and their meaning at ties are Hugging Face's.

use std::cmp::Ordering;

use super::exp::exp_of_negative;

/// A token that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    /// The token.
    pub(crate) token: u32,
    /// Its logit after bias and penalties, before the temperature.
    pub(crate) logit: f32,
    /// `exp((logit - largest) / temperature)`.
    pub(crate) weight: f64,
}

/// Memory that is kept from token to token, shared by all sequences of an engine.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// What [`Filter::apply`] leaves.
    pub(crate) candidates: Vec<Candidate>,
    /// Of the whole vocabulary.
    weights: Vec<f64>,
}

/// The filters of one request. `top_k` 0, `top_p` 1 and `min_p` 0 are off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub(crate) temperature: f32,
    pub(crate) top_k: usize,
    pub(crate) top_p: f32,
    pub(crate) min_p: f32,
}

/// How many tokens top_p looks at first; one selection is enough for nearly every distribution of a language model.
const FIRST_SELECTION: usize = 256;

impl Filter {
    /// Leaves the tokens that pass in `scratch`, with their weights; at least one as long as one logit is above -inf.
    /// `logits` holds no NaN and no +inf, `largest` is the largest of them. Cost: one or two passes over the vocabulary.
    pub(crate) fn apply(&self, logits: &[f32], largest: f32, scratch: &mut Scratch) {
        let (largest, sharpness) = (f64::from(largest), 1.0 / f64::from(self.temperature));
        let weigh = |logit: f32| exp_of_negative((f64::from(logit) - largest) * sharpness);
        let Scratch { candidates, weights } = scratch;
        if self.top_k > 0 && self.top_k < logits.len() {
            select_top(logits, self.top_k, candidates);
            candidates.iter_mut().for_each(|c| c.weight = weigh(c.logit));
            if self.top_p < 1.0 {
                let total: f64 = candidates.iter().map(|c| c.weight).sum();
                let kept = nucleus(candidates, self.top_p, total).unwrap_or(candidates.len());
                candidates.truncate(kept);
            }
        } else {
            weights.clear();
            weights.extend(logits.iter().map(|&logit| weigh(logit)));
            if self.top_p < 1.0 {
                let total: f64 = weights.iter().sum();
                let mut count = FIRST_SELECTION;
                loop {
                    select_top(logits, count, candidates);
                    candidates.iter_mut().for_each(|c| c.weight = weigh(c.logit));
                    if let Some(kept) = nucleus(candidates, self.top_p, total) {
                        candidates.truncate(kept);
                        break;
                    }
                    if count >= logits.len() {
                        break;
                    }
                    count *= 8;
                }
            } else {
                let least = f64::from(self.min_p).max(f64::MIN_POSITIVE);
                let all = (0u32..).zip(logits).zip(weights.iter());
                candidates.clear();
                candidates.extend(
                    all.filter(|(_, weight)| **weight >= least).map(|((token, &logit), &weight)| Candidate {
                        token,
                        logit,
                        weight,
                    }),
                );
            }
        }
        if self.min_p > 0.0 {
            // Probabilities relative to the largest, whose weight is 1: no normalisation needed.
            candidates.retain(|c| c.weight >= f64::from(self.min_p));
        }
    }
}

/// The `count` largest logits above -inf, largest first, lower ids first among equals. Weights are left at 0.
///
/// One pass with one comparison for most elements: a buffer of twice `count` is cut back by quickselect when full, and
/// what is not above the smallest kept is skipped from then on.
pub(crate) fn select_top(logits: &[f32], count: usize, out: &mut Vec<Candidate>) {
    out.clear();
    if count == 0 {
        return;
    }
    let room = count.saturating_mul(2).clamp(64, logits.len().max(64));
    let mut floor = f32::NEG_INFINITY;
    for (token, &logit) in (0u32..).zip(logits) {
        if logit > floor {
            out.push(Candidate { token, logit, weight: 0.0 });
            if out.len() == room && room > count {
                out.select_nth_unstable_by(count - 1, order);
                out.truncate(count);
                // Ids rise, so an equal logit further on loses against the one kept.
                floor = out.last().map_or(floor, |c| c.logit);
            }
        }
    }
    if out.len() > count {
        out.select_nth_unstable_by(count - 1, order);
        out.truncate(count);
    }
    out.sort_unstable_by(order);
}

/// How many of the sorted candidates are kept: the fewest whose weights reach `top_p * total`, at least one; `None` when all
/// of them do not.
fn nucleus(sorted: &[Candidate], top_p: f32, total: f64) -> Option<usize> {
    let goal = f64::from(top_p) * total;
    let mut sum = 0.0;
    sorted
        .iter()
        .position(|c| {
            sum += c.weight;
            sum >= goal
        })
        .map(|last| last + 1)
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}
