//! Log probabilities of the model itself: log softmax of the raw logits, before bias, penalties, temperature and filters.

use serde::{Deserialize, Serialize};

use super::exp::exp_of_negative;
use super::filter::{Candidate, select_top};

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token id.
    pub token: u32,
    /// `ln p(token)` under the raw logits; at most 0.
    pub logprob: f32,
}

/// Log probabilities at one position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Logprobs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// The most probable tokens, most probable first, as many as the request asked for.
    pub top: Vec<TokenLogprob>,
}

/// The raw distribution of one row, kept while the sampler changes the logits.
#[derive(Debug, Clone)]
pub(crate) struct RawRow {
    /// `ln(sum(exp(logit)))`.
    normalizer: f64,
    top: Vec<TokenLogprob>,
}

impl RawRow {
    /// Measures a row without NaN. Shape `[vocab_size]`.
    pub(crate) fn new(logits: &[f32], top: usize, scratch: &mut Vec<Candidate>) -> Self {
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&l| exp_of_negative(f64::from(l) - largest)).sum();
        let normalizer = largest + sum.ln();
        select_top(logits, top, scratch);
        let top = scratch
            .iter()
            .map(|c| TokenLogprob { token: c.token, logprob: (f64::from(c.logit) - normalizer) as f32 })
            .collect();
        Self { normalizer, top }
    }

    /// The result once the token is known; `logit` is its raw logit.
    pub(crate) fn chosen(self, logit: f32) -> Logprobs {
        Logprobs { chosen: (f64::from(logit) - self.normalizer) as f32, top: self.top }
    }
}
