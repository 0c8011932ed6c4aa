//! The bounds of an exchange, and why it ended.

use std::time::Duration;

use crate::event::Usage;

/// Bounds of one [`Exchange`](super::Exchange). Each bound is checked before the model is asked again; tokens, time and cost also cut a
/// turn short.
///
/// ```
/// use std::time::Duration;
/// use mistral_core::agent::{AgentLimits, TokenPrice};
/// let limits = AgentLimits::default()
///     .max_turns(4)
///     .max_tokens(2_000)
///     .max_time(Duration::from_secs(60))
///     .max_cost(0.01, TokenPrice { prompt_token: 1e-6, generated_token: 4e-6 });
/// assert_eq!(limits.max_turns, 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AgentLimits {
    /// The most turns of the model. Default: 8.
    pub max_turns: u32,
    /// The most tokens generated in all turns together. Default: no bound but the context.
    pub max_tokens: Option<usize>,
    /// The most time since the beginning. Waiting for an approval does not count: the time starts again after the approval. Default: no
    /// bound.
    pub max_time: Option<Duration>,
    /// The most that all turns together may cost, in the unit of `price`. A turn may exceed the bound by the cost of its prompt.
    /// Default: no bound.
    pub max_cost: Option<f64>,
    /// The price of tokens. Default: 0.
    pub price: TokenPrice,
    /// The most invalid calls, which are returned to the model as errors: invalid arguments, unknown tools, incomplete calls. Failures of a
    /// tool do not count. One more invalid call ends the exchange. Default: 3.
    pub invalid_calls: u32,
    /// The most calls of one turn that are made; later calls are answered with an error. Default: 16.
    pub calls_per_turn: usize,
    /// The most calls of one turn that run at once, resumed calls included. Default: 4.
    pub parallel_calls: usize,
    /// The most bytes of a result that the model reads, including the note about missing bytes. Results are also cut to fit the context,
    /// whatever this bound is: see [`Exchange::fit`](super::Exchange::fit). Default: 64 KiB.
    pub result_bytes: usize,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            max_turns: 8,
            max_tokens: None,
            max_time: None,
            max_cost: None,
            price: TokenPrice::default(),
            invalid_calls: 3,
            calls_per_turn: 16,
            parallel_calls: 4,
            result_bytes: 64 << 10,
        }
    }
}

impl AgentLimits {
    /// See [`max_turns`](Self#structfield.max_turns).
    pub fn max_turns(mut self, turns: u32) -> Self {
        self.max_turns = turns;
        self
    }

    /// See [`max_tokens`](Self#structfield.max_tokens).
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// See [`max_time`](Self#structfield.max_time).
    pub fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// See [`max_cost`](Self#structfield.max_cost).
    pub fn max_cost(mut self, cost: f64, price: TokenPrice) -> Self {
        (self.max_cost, self.price) = (Some(cost), price);
        self
    }

    /// See [`invalid_calls`](Self#structfield.invalid_calls).
    pub fn invalid_calls(mut self, calls: u32) -> Self {
        self.invalid_calls = calls;
        self
    }

    /// See [`calls_per_turn`](Self#structfield.calls_per_turn).
    pub fn calls_per_turn(mut self, calls: usize) -> Self {
        self.calls_per_turn = calls;
        self
    }

    /// See [`parallel_calls`](Self#structfield.parallel_calls); 0 counts as 1.
    pub fn parallel_calls(mut self, calls: usize) -> Self {
        self.parallel_calls = calls;
        self
    }

    /// See [`result_bytes`](Self#structfield.result_bytes).
    pub fn result_bytes(mut self, bytes: usize) -> Self {
        self.result_bytes = bytes;
        self
    }

    /// What may still be generated after `used`, or which bound is reached.
    pub(super) fn tokens_left(&self, used: Usage) -> Result<Option<usize>, AgentStop> {
        let by_tokens = self.max_tokens.map(|most| most.saturating_sub(used.generated_tokens));
        if by_tokens == Some(0) {
            return Err(AgentStop::Tokens);
        }
        let Some(most) = self.max_cost else { return Ok(by_tokens) };
        let left = most - self.price.of(used);
        // A cost that is not a number permits nothing.
        if left.is_nan() || left <= 0.0 {
            return Err(AgentStop::Cost);
        }
        if self.price.generated_token <= 0.0 {
            return Ok(by_tokens);
        }
        // A conversion from floating point saturates.
        let by_cost = ((left / self.price.generated_token) as usize).max(1);
        Ok(Some(by_tokens.map_or(by_cost, |tokens| tokens.min(by_cost))))
    }

    /// Which bound cut a generation short that may have been cut by one.
    pub(super) fn cut(&self, used: Usage) -> AgentStop {
        match self.max_tokens {
            Some(most) if used.generated_tokens >= most => AgentStop::Tokens,
            _ if self.max_cost.is_some_and(|most| self.price.of(used) + self.price.generated_token > most) => {
                AgentStop::Cost
            }
            _ => AgentStop::Length,
        }
    }
}

/// The price of tokens, in a unit of the host's choice: money, joules, a quota.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TokenPrice {
    /// The price of a token of a prompt. Every turn pays for its whole prompt.
    pub prompt_token: f64,
    /// The price of a generated token.
    pub generated_token: f64,
}

impl TokenPrice {
    /// Returns the cost of these tokens.
    pub fn of(&self, usage: Usage) -> f64 {
        self.prompt_token * usage.prompt_tokens as f64 + self.generated_token * usage.generated_tokens as f64
    }
}

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentStop {
    /// The model answered without calling a tool.
    Answered,
    /// Calls wait for approval; [`Exchange::suspend`](super::Exchange::suspend) returns what is needed to continue.
    Paused,
    /// [`AgentLimits::max_turns`]: the last turn made calls, whose results are in the messages.
    Turns,
    /// [`AgentLimits::max_tokens`].
    Tokens,
    /// [`AgentLimits::max_time`].
    Time,
    /// [`AgentLimits::max_cost`].
    Cost,
    /// [`AgentLimits::invalid_calls`].
    InvalidCalls,
    /// A turn filled the context, or the `max_tokens` of the agent's request.
    Length,
    /// The run was cancelled, or dropped before the end.
    Cancelled,
    /// An error of the model, its template or its engine. A run returns that error instead of [`Finished`](super::AgentEvent::Finished).
    Failed,
}
