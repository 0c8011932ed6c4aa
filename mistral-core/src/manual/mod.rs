//! Chapters of a manual: documentation only, no code.

pub mod life_of_a_request;
pub mod limits;
pub mod memory;
pub mod numerics;
