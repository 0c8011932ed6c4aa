//! Everything that is read from a checkpoint: weights, configuration, tokenizer, chat template and the decoder they describe.
//!
//! [`Checkpoint`] opens GGUF and safetensors files, by path or by id. [`Description`] translates its configuration into a
//! [`DecoderSpec`], and [`Decoder`] runs any spec over a [`Batch`] of any mix of sequences with a paged [`Cache`]. [`Tokenizer`] and
//! [`ChatTemplates`] are the text side. What lives as long as a request (scheduling, sampling, streams) is in `mistral-core`.
//!
//! ```
//! use mistral_models::{Batch, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits, Run, Tokenizer};
//! use mistral_quant::{Cpu, CpuOptions};
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistral-core/assets/default-model/model.gguf");
//! # if !std::path::Path::new(path).exists() { return Ok(()) } // the crate alone, without the repository
//!
//! let checkpoint = Checkpoint::open(path)?;
//! let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
//! let description = Description::new(&checkpoint)?;
//! let mut decoder = Decoder::load(Cpu::new(CpuOptions::default())?, checkpoint.weights(), description)?;
//! let mut cache = decoder.cache(CacheOptions::new(4, 32))?;
//!
//! let tokens = tokenizer.encode("Once upon a", Default::default())?;
//! let (mut batch, mut logits) = (Batch::default(), Logits::default());
//! batch.push(Run::new(&tokens, 0).table(vec![2]).rows(LogitRows::Last));
//! decoder.forward(&batch, &mut cache, &mut logits)?;
//! let best = (0..logits.vocab_size() as u32).max_by(|a, b| {
//!     let logit = |id: u32| logits.values()[id as usize];
//!     logit(*a).total_cmp(&logit(*b))
//! });
//! assert_eq!(best.and_then(|id| tokenizer.id_to_token(id)).as_deref(), Some("Ġtime"));
//! # Ok::<(), mistral_models::Error>(())
//! ```
//!
//! Files are not trusted: every length is checked against the bytes there are before anything is allocated ([`Limits`]), and what this
//! version does not understand (an architecture, a configuration key, a tensor type, a pre-tokenizer) is an
//! [`Error::Unsupported`] that names it.
//!
//! Feature `hub` adds downloading from the Hugging Face hub; its TLS needs a C compiler to build. There are no other features.

#![deny(unsafe_code)] // one exception: loader/mmap.rs

mod arch;
mod batch;
mod batch_error;
mod block;
mod cache;
mod check;
mod config;
mod decoder;
mod description;
mod error;
mod export;
mod layer;
pub mod loader;
mod loading;
pub mod manual;
mod metadata;
mod names;
pub mod quantize;
mod rope;
pub mod spec;
mod template;
mod threads;
mod tokenizer;
mod unsupported;

pub use batch::{Batch, BatchRun, LogitRows, Logits, Run};
pub use batch_error::BatchError;
pub use cache::{Cache, CacheOptions, CachePlan, KvGroup};
pub use decoder::Decoder;
pub use description::Description;
pub use error::Error;
pub use loader::{
    Checkpoint, CheckpointKind, CheckpointOptions, Limits, RandomTensor, RandomWeights, RawTensor, ReadMode,
    TensorType, Weights,
};
#[cfg(feature = "hub")]
pub use loader::{Download, DownloadProgress};
pub use metadata::{Array, ByteStrings, Metadata, Strings, Value};
pub use quantize::{Mix, Quantizer};
pub use spec::DecoderSpec;
pub use template::{ChatTemplate, ChatTemplates, TemplateInput, TemplateLimits};
pub use tokenizer::{EncodeOptions, SpecialTokens, TextStream, Tokenizer, TokenizerWarning};
pub use unsupported::Unsupported;
