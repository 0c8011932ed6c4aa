//! Everything that is read from a checkpoint: weights, configuration, tokenizer, chat template and the decoder they describe.

#![deny(unsafe_code)] // one exception: loader/mmap.rs

mod arch;
mod batch;
mod block;
mod cache;
mod config;
mod decoder;
mod error;
pub mod loader;
mod loading;
mod metadata;
mod names;
mod rope;
mod spec;
mod template;
mod tokenizer;

pub use batch::{Batch, LogitRows, Logits, Sequence};
pub use cache::{Cache, CacheOptions};
pub use decoder::{Decoder, Description};
pub use error::Error;
pub use loader::{
    Checkpoint, CheckpointKind, CheckpointOptions, GgufTensor, GgufWriter, Limits, RandomTensor, RandomWeights,
    RawTensor, ReadMode, TensorType, Weights,
};
#[cfg(feature = "hub")]
pub use loader::{Download, DownloadProgress};
pub use metadata::{Array, Metadata, Strings, Value};
pub use spec::{AttentionSpec, DecoderSpec, FfnSpec, LayerSpec, Mixer, NormSpec, Placement, RopeScaling, RopeSpec};
pub use template::{ChatTemplate, ChatTemplates, TemplateInput, TemplateLimits};
pub use tokenizer::{EncodeOptions, SpecialTokens, TextStream, Tokenizer};
