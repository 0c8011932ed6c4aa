//! Constraints: which tokens may come next, by a grammar over the bytes that tokens stand for.

mod call;
#[allow(dead_code)] // For now.
mod dfa;
mod grammar;
mod matcher;
#[allow(dead_code)]
mod number;
#[allow(dead_code)]
mod pattern;
mod schema;
#[allow(dead_code)]
mod terminal;
#[cfg(test)]
mod tests;
#[allow(dead_code)]
mod text;
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
