//! Constraints: which tokens may come next, by a grammar over the bytes that tokens stand for.
//!
//! From the schemas of tools to a mask: [`arguments`] and [`schema`] make a [`grammar`] over [`terminal`]s, which are automata of
//! [`dfa`], [`text`], [`number`] and [`pattern`]; a [`matcher`] follows it, and [`tokens`] finds what may come.

mod arguments;
mod call;
mod dfa;
mod grammar;
mod matcher;
mod merge;
mod number;
mod pattern;
mod report;
mod schema;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use std::fmt;

pub use call::{CallConstraint, CallMask};
pub use report::{Treatment, Unenforced};
pub use tokens::TokenTable;

/// What one sequence may go on with. [`mask`](Self::mask) before each token is drawn, [`commit`](Self::commit) after.
pub trait Constraint: fmt::Debug + Send {
    /// Sets the logits, shape `[vocab_size]`, of tokens that may not come next to -inf.
    fn mask(&mut self, logits: &mut [f32]);

    /// Takes the token that was drawn.
    fn commit(&mut self, token: u32);
}
