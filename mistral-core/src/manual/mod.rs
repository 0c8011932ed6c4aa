//! Chapters of a manual: documentation only, no code. [`reading_order`] is the place to start for the source code, and
//! [`life_of_a_request`] for how it works.

pub mod glossary;
pub mod life_of_a_request;
pub mod limits;
pub mod memory;
pub mod numerics;
pub mod reading_order;
