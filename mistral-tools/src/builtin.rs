//! Tools that most hosts want, safe to give to a model that nobody vouches for. Behind feature `builtin`.
//!
//! | tool | what it gives | what it never does |
//! |---|---|---|
//! | [`Calculator`] | exact arithmetic, functions, units | run programs, take longer than it may, reach the network |
//! | [`CurrentTime`] | date, time and day of the week | ask the network, need a database of time zones |
//! | [`Directories`] | text files page by page, and listings, within granted directories | leave them, block, read what is no text |
//!
//! Each is a builder of the crate's own kind: [`Calculator::tool`] and its like return a
//! [`Callable`](crate::builder::Callable), to which the host may add hooks before it calls `build`.

mod calculator;
mod current_time;
mod files;

pub use calculator::{Calculation, Calculator, CalculatorError, Expression};
pub use current_time::{CurrentTime, DateTime, Zone};
pub use files::{Directories, Entry, EntryKind, FileError, FileText, ListDirectory, Listing, Position, ReadFile};
