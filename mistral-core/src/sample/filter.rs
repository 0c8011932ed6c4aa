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
    /// Writes the tokens that pass, with their weights, to `out`; at least one as long as one logit is above -inf.
    /// `logits` holds no NaN and no +inf, `largest` is the largest of them. Cost: one or two passes over the vocabulary.
    pub(crate) fn apply(&self, logits: &[f32], largest: f32, out: &mut Vec<Candidate>) {
        let weigh = |c: &mut Candidate| c.weight = self.weight(c.logit, largest);
        if self.top_k > 0 && self.top_k < logits.len() {
            select_top(logits, self.top_k, out);
            out.iter_mut().for_each(weigh);
            if self.top_p < 1.0 {
                let total: f64 = out.iter().map(|c| c.weight).sum();
                let kept = nucleus(out, self.top_p, total).unwrap_or(out.len());
                out.truncate(kept);
            }
        } else if self.top_p < 1.0 {
            let total: f64 = logits.iter().map(|&l| self.weight(l, largest)).sum();
            let mut count = FIRST_SELECTION;
            loop {
                select_top(logits, count, out);
                out.iter_mut().for_each(weigh);
                if let Some(kept) = nucleus(out, self.top_p, total) {
                    out.truncate(kept);
                    break;
                }
                if count >= logits.len() {
                    break;
                }
                count *= 8;
            }
        } else {
            out.clear();
            out.extend((0u32..).zip(logits).filter_map(|(token, &logit)| {
                let weight = self.weight(logit, largest);
                (weight > 0.0).then_some(Candidate { token, logit, weight })
            }));
        }
        if self.min_p > 0.0 {
            // Probabilities relative to the largest, whose weight is 1: no normalisation needed.
            out.retain(|c| c.weight >= f64::from(self.min_p));
        }
    }

    fn weight(&self, logit: f32, largest: f32) -> f64 {
        exp_of_negative((f64::from(logit) - f64::from(largest)) / f64::from(self.temperature))
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
