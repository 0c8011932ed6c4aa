//! Chapters of a manual: documentation only, no code.

pub mod add_a_block;
pub mod add_a_family;
pub mod reading_order;
