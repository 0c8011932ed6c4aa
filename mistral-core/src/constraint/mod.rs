//! Constraints: which tokens may come next, by a grammar over the bytes that tokens stand for.
//!
//! From the schemas of tools to a mask: [`normal`] takes schemas apart into records of [`flat`]; [`arguments`], [`schema`], [`object`],
//! [`array`] and [`strings`] make a [`grammar`] of them, over [`terminal`]s that are automata of [`dfa`], [`text`], [`number`] and
//! [`pattern`]; a [`matcher`] follows it, and [`tokens`] finds what may come. A [`report`] lists what is not enforced.

mod arguments;
mod array;
mod call;
mod dfa;
mod flat;
mod format;
mod grammar;
mod matcher;
mod memory;
mod normal;
mod number;
mod object;
mod pattern;
mod report;
mod schema;
mod strings;
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
