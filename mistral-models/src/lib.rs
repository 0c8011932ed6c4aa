//! Everything that is read from a checkpoint: weights, configuration, tokenizer, chat template and the decoder they describe.

#![deny(unsafe_code)] // one exception: loader/mmap.rs

mod batch;
mod error;
pub mod loader;
mod metadata;

pub use batch::{Batch, LogitRows, Logits, Sequence};
pub use error::Error;
pub use loader::{
    Checkpoint, CheckpointKind, CheckpointOptions, GgufTensor, GgufWriter, Limits, RandomTensor, RandomWeights,
    RawTensor, ReadMode, TensorType, Weights,
};
#[cfg(feature = "hub")]
pub use loader::{Download, DownloadProgress};
pub use metadata::{Array, Metadata, Strings, Value};
