//! Constraints: which tokens may come next.
//!
//! [`Constraint`] is the rule that a [`Request`](crate::Request) carries, [`TokenMask`] the rule in one sequence. A program may bring its
//! own. [`CallConstraint`] comes with this crate: calls of tools follow the schemas of the tools, by a grammar over the bytes that tokens
//! stand for.
//!
//! From the schemas of tools to a mask: `normal` takes schemas apart into records of `flat`; `arguments`, `schema`, `object`,
//! `array` and `strings` make a `grammar` of them, over `terminal`s that are automata of `dfa`, `text`, `number` and
//! `pattern`; a `matcher` follows it, and `tokens` finds what may come. A `report` lists what is not enforced.

mod arguments;
mod array;
pub(crate) mod call;
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
pub(crate) mod report;
pub(crate) mod rule;
mod schema;
mod strings;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod tokens;

pub use call::{CallConstraint, CallMask};
pub use report::{Treatment, Unenforced};
pub use rule::{Constraint, SequenceStart, TokenMask};
pub use tokens::TokenTable;
