//! From logits to a token.
//!
//! The order is fixed, that of Hugging Face's `generate`:
//!
//! 1. logit bias, added;
//! 2. repetition penalty over prompt and output (optionally their last tokens only);
//! 3. presence and frequency penalties over the output;
//! 4. temperature; 0 ends here with the largest logit, the lowest id among equals;
//! 5. top_k, 6. top_p over what is left of it, 7. min_p relative to the most probable token;
//! 8. one draw from the rest.
//!
//! A draw takes exactly one number from the request's own generator, so the text of a request depends on its seed and on
//! nothing that runs beside it. All arithmetic is exact or own code (`exp`), so equal logits give equal tokens on every platform.

mod exp;
pub(crate) mod filter;
pub(crate) mod logprobs;
pub(crate) mod params;
mod penalty;
pub(crate) mod rng;

#[cfg(test)]
mod tests;

pub(crate) use filter::Scratch;
pub use logprobs::{Logprobs, TokenLogprob};
pub use params::Sampling;
pub(crate) use rng::Rng;

use crate::error::Error;
use filter::Filter;
use logprobs::RawRow;
use penalty::Penalties;

/// The state of sampling of one sequence: its generator and its token counts.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    sampling: Sampling,
    logprobs: Option<usize>,
    penalties: Penalties,
    rng: Rng,
}

impl Sampler {
    /// A sampler for checked parameters; `prompt` is counted for the repetition penalty.
    pub(crate) fn new(sampling: Sampling, logprobs: Option<usize>, seed: u64, prompt: &[u32]) -> Self {
        let mut penalties = Penalties::default();
        prompt.iter().for_each(|&t| penalties.prompt(t, &sampling));
        Self { sampling, logprobs, penalties, rng: Rng::new(seed) }
    }

    /// Chooses a token and counts it. The logits, shape `[vocab_size]`, are overwritten; `scratch` keeps its memory.
    ///
    /// # Errors
    /// [`Error::NonFiniteLogits`] when a logit is NaN or +inf, before or after bias and penalties, or none is above -inf.
    /// Nothing is drawn or counted then.
    pub(crate) fn sample(
        &mut self,
        logits: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(u32, Option<Logprobs>), Error> {
        largest_of(logits)?;
        let raw = self.logprobs.map(|top| RawRow::new(logits, top, &mut scratch.candidates));
        let keep = raw.is_some().then(|| logits.to_vec());
        for &(token, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        self.penalties.apply(logits, &self.sampling);
        let (greedy, largest) = largest_of(logits)?;
        let token = match self.sampling.temperature > 0.0 {
            true => self.draw(logits, largest, scratch).unwrap_or(greedy),
            false => greedy,
        };
        self.penalties.generated(token, &self.sampling);
        let chosen = keep.as_deref().and_then(|row| row.get(token as usize)).copied();
        Ok((token, raw.zip(chosen).map(|(raw, logit)| raw.chosen(logit))))
    }

    fn draw(&mut self, logits: &[f32], largest: f32, scratch: &mut Scratch) -> Option<u32> {
        let Sampling { temperature, top_k, top_p, min_p, .. } = self.sampling;
        Filter { temperature, top_k, top_p, min_p }.apply(logits, largest, scratch);
        let candidates = &scratch.candidates;
        let total: f64 = candidates.iter().map(|c| c.weight).sum();
        let mut rest = self.rng.unit() * total;
        let drawn = candidates.iter().find(|c| {
            rest -= c.weight;
            rest < 0.0
        });
        // Rounding may leave a trace after the last candidate.
        drawn.or(candidates.last()).map(|c| c.token)
    }
}

/// The lowest id of the largest logit, and that logit.
fn largest_of(logits: &[f32]) -> Result<(u32, f32), Error> {
    // Eight independent maxima without an index become SIMD code; the index is looked up afterwards.
    let (mut largest, mut trace) = ([f32::NEG_INFINITY; 8], [0.0f32; 8]);
    let mut octets = logits.chunks_exact(8);
    for octet in &mut octets {
        for ((&logit, largest), trace) in octet.iter().zip(&mut largest).zip(&mut trace) {
            *largest = if logit > *largest { logit } else { *largest };
            *trace += if logit.is_nan() { 1.0 } else { 0.0 };
        }
    }
    for (&logit, (largest, trace)) in octets.remainder().iter().zip(largest.iter_mut().zip(&mut trace)) {
        *largest = largest.max(logit);
        *trace += if logit.is_nan() { 1.0 } else { 0.0 };
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let bad = trace.iter().any(|&count| count > 0.0);
    let wanted = |logit: f32| if bad { logit.is_nan() } else { logit == largest };
    let token = logits.iter().position(|&logit| wanted(logit)).unwrap_or(0) as u32;
    match largest.is_finite() && !bad {
        true => Ok((token, largest)),
        false => Err(Error::NonFiniteLogits { token, value: if bad { f32::NAN } else { largest } }),
    }
}
