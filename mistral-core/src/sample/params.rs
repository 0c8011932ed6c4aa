//! How a token is chosen: the parameters of a request and their ranges.

use crate::error::Error;

/// The parameters of sampling. The default is greedy: the most probable token, the same text every time.
///
/// The order in which they act is fixed: logit bias, repetition penalty, presence and frequency penalty, temperature,
/// top_k, top_p, min_p, draw. [`Request`](crate::Request) has a setter for each.
///
/// ```
/// use mistral_core::Sampling;
/// let mut sampling = Sampling::default();
/// sampling.temperature = 0.8;
/// sampling.top_p = 0.95;
/// assert_eq!(sampling.top_k, 0);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Divides the logits; 0 (the default) takes the largest one, the lowest id among equals.
    pub temperature: f32,
    /// Only this many of the most probable tokens; 0 (the default) is off.
    pub top_k: usize,
    /// Only the fewest most probable tokens that reach this probability together; 1 (the default) is off.
    pub top_p: f32,
    /// Only tokens at least this probable relative to the most probable one; 0 (the default) is off.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of every token in prompt or output; 1 (the default) is off.
    /// Source: Keskar et al., 2019, arXiv:1909.05858.
    pub repetition_penalty: f32,
    /// The repetition penalty looks at this many last tokens; `None` (the default) at all.
    pub repetition_window: Option<usize>,
    /// Taken off the logit of every token in the output, once (as in OpenAI's API); 0 (the default) is off.
    pub presence_penalty: f32,
    /// Taken off the logit of every token in the output, as often as it occurs (as in OpenAI's API); 0 (the default) is off.
    pub frequency_penalty: f32,
    /// Added to logits first. Negative infinity bans a token; biases of the same token add up.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: None,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
        }
    }
}

impl Sampling {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the first one that lies outside, NaN included; [`Error::TokenOutOfRange`] for a bias.
    pub(crate) fn check(&self, vocab_size: usize) -> Result<(), Error> {
        let range = |name: &'static str, value: f32, valid: bool, range: &str| match valid {
            true => Ok(()),
            false => Err(Error::InvalidParameter { name, detail: format!("{value} is not {range}") }),
        };
        let t = self.temperature;
        range("temperature", t, t.is_finite() && t >= 0.0, "a finite number of at least 0")?;
        range("top_p", self.top_p, (0.0..=1.0).contains(&self.top_p), "between 0 and 1")?;
        range("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1")?;
        let r = self.repetition_penalty;
        range("repetition_penalty", r, r.is_finite() && r > 0.0, "a finite number above 0")?;
        range("presence_penalty", self.presence_penalty, self.presence_penalty.is_finite(), "finite")?;
        range("frequency_penalty", self.frequency_penalty, self.frequency_penalty.is_finite(), "finite")?;
        for &(token, bias) in &self.logit_bias {
            if token as usize >= vocab_size {
                return Err(Error::TokenOutOfRange { token, vocab_size });
            }
            range("logit_bias", bias, bias < f32::INFINITY, "a number below infinity")?;
        }
        Ok(())
    }
}
