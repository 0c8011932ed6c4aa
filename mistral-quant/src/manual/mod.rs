//! Chapters of a manual: documentation only, no code.

pub mod add_a_format;
pub mod add_an_operation;
