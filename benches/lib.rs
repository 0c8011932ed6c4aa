//! What the benches share: models to measure with, and the speed of the memory to measure against.

pub mod bandwidth;
pub mod clock;
pub mod model;
