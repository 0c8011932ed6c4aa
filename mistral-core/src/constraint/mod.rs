//! Constraints: which tokens may come next, by a grammar over the bytes that tokens stand for.

mod call;
mod grammar;
mod matcher;
mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;

pub use call::CallConstraint;
pub(crate) use call::CallMask;
pub(crate) use tokens::TokenTable;

/// What one sequence may go on with. [`mask`](Self::mask) before each token is drawn, [`commit`](Self::commit) after.
pub trait Constraint: fmt::Debug + Send {
    /// Sets the logits, shape `[vocab_size]`, of tokens that may not come next to -inf.
    fn mask(&mut self, logits: &mut [f32]);

    /// Takes the token that was drawn.
    fn commit(&mut self, token: u32);
}
