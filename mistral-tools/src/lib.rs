//! Tools that a language model may call.
#![forbid(unsafe_code)]
