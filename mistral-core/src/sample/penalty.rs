//! Penalties for what was said before: repetition over prompt and output, presence and frequency over the output.

use std::collections::{BTreeMap, VecDeque};

use crate::sample::params::Sampling;

/// Token counts of one sequence, kept up to date in constant time a token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Penalties {
    /// Distinct tokens in the repetition window and how often each occurs there.
    repeated: BTreeMap<u32, u32>,
    /// The window itself, oldest first; kept only when the window is bounded.
    window: VecDeque<u32>,
    /// How often each token was generated.
    generated: BTreeMap<u32, u32>,
}

impl Penalties {
    /// Counts a token of the prompt.
    pub(crate) fn prompt(&mut self, token: u32, sampling: &Sampling) {
        if sampling.repetition_penalty == 1.0 {
            return;
        }
        *self.repeated.entry(token).or_default() += 1;
        if let Some(limit) = sampling.repetition_window {
            self.window.push_back(token);
            while self.window.len() > limit {
                let Some(old) = self.window.pop_front() else { break };
                if let Some(count) = self.repeated.get_mut(&old) {
                    *count -= 1;
                    if *count == 0 {
                        self.repeated.remove(&old);
                    }
                }
            }
        }
    }

    /// Counts a generated token.
    pub(crate) fn generated(&mut self, token: u32, sampling: &Sampling) {
        self.prompt(token, sampling);
        if sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0 {
            *self.generated.entry(token).or_default() += 1;
        }
    }

    /// Changes the logits of the tokens counted. Shape `[vocab_size]`.
    pub(crate) fn apply(&self, logits: &mut [f32], sampling: &Sampling) {
        for &token in self.repeated.keys() {
            if let Some(logit) = logits.get_mut(token as usize) {
                // A banned token stays banned: -inf times any positive factor.
                *logit = match *logit > 0.0 {
                    true => *logit / sampling.repetition_penalty,
                    false => *logit * sampling.repetition_penalty,
                };
            }
        }
        for (&token, &count) in &self.generated {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= sampling.presence_penalty + sampling.frequency_penalty * count as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_divides_positive_and_multiplies_negative_logits_once_a_token() {
        let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        let mut penalties = Penalties::default();
        [1, 1, 2].iter().for_each(|&t| penalties.prompt(t, &sampling));
        penalties.generated(3, &sampling);
        let mut logits = [4.0, 4.0, -4.0, 0.5, -1.0];
        penalties.apply(&mut logits, &sampling);
        assert_eq!(logits, [4.0, 2.0, -8.0, 0.25, -1.0]);
    }

    #[test]
    fn the_window_forgets() {
        let sampling = Sampling { repetition_penalty: 2.0, repetition_window: Some(2), ..Sampling::default() };
        let mut penalties = Penalties::default();
        [0, 1, 0, 2].iter().for_each(|&t| penalties.prompt(t, &sampling));
        let mut logits = [8.0; 4];
        penalties.apply(&mut logits, &sampling);
        assert_eq!(logits, [4.0, 8.0, 4.0, 8.0], "1 left the window, 0 is in it a second time");
    }

    #[test]
    fn presence_and_frequency_count_the_output_only() {
        let sampling = Sampling { presence_penalty: 0.5, frequency_penalty: 0.25, ..Sampling::default() };
        let mut penalties = Penalties::default();
        penalties.prompt(0, &sampling);
        [1, 1, 1, 2].iter().for_each(|&t| penalties.generated(t, &sampling));
        let mut logits = [1.0; 4];
        penalties.apply(&mut logits, &sampling);
        assert_eq!(logits, [1.0, 1.0 - 0.5 - 0.75, 1.0 - 0.5 - 0.25, 1.0]);
    }
}
