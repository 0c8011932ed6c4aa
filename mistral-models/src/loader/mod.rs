//! Opening checkpoints: GGUF and safetensors files, directories and the local Hugging Face cache.
//!
//! [`Checkpoint`] is the entry; [`Weights`] is what the decoder sees of it. Every
//! parser here is closed: a length is held against the bytes that remain before anything is allocated, sizes are
//! computed with overflow checks, and what a file may claim is bounded by [`Limits`].

mod checkpoint;
pub(crate) mod cursor;
#[cfg(feature = "hub")]
mod download;
pub mod gguf;
mod gguf_write;
mod hub;
mod json;
mod limits;
pub(crate) mod mmap;
pub(crate) mod packed;
mod random;
mod safetensors;
mod shards;
mod table;
mod weights;

pub use checkpoint::{Checkpoint, CheckpointKind, CheckpointOptions};
#[cfg(feature = "hub")]
pub use download::{Download, DownloadProgress};
pub use gguf_write::{GgufTensor, GgufWriter};
pub use hub::default_cache_dir;
pub use limits::Limits;
pub use mmap::ReadMode;
pub use random::{RandomTensor, RandomWeights};
pub use weights::{RawTensor, TensorType, Weights};
