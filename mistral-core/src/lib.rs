//! Language models inside a Rust program.
