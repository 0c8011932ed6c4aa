//! Everything that is read from a checkpoint: weights, configuration, tokenizer, chat template and the decoder they describe.
//!
//! [`Checkpoint`] opens GGUF and safetensors files, by path or by id. [`Description`] translates its configuration into a
//! [`DecoderSpec`], and [`Decoder`] runs any spec over a [`Batch`] of any mix of sequences with a paged [`Cache`]. [`Tokenizer`] and
//! [`ChatTemplates`] are the text side. What lives as long as a request (scheduling, sampling, streams) is in `mistral-core`.
//!
//! ```
//! use mistral_models::{Batch, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits, Tokenizer};
//! use mistral_quant::{Cpu, CpuOptions, KvFormat};
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mistral-core/assets/default-model/model.gguf");
//! # if !std::path::Path::new(path).exists() { return Ok(()) } // the crate alone, without the repository
//!
//! let checkpoint = Checkpoint::open(path)?;
//! let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
//! let description = Description::new(&checkpoint)?;
//! let mut decoder = Decoder::load(Cpu::new(CpuOptions::default())?, checkpoint.weights(), description)?;
//! let mut cache = decoder.cache(CacheOptions { blocks: 4, block_tokens: 32, key_format: KvFormat::F16, value_format: KvFormat::F16 })?;
//!
//! let tokens = tokenizer.encode("Once upon a", Default::default())?;
//! let (mut batch, mut logits) = (Batch::default(), Logits::default());
//! batch.push(&tokens, 0, tokens.len(), vec![2], LogitRows::Last);
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
mod block;
mod cache;
mod config;
mod decoder;
mod error;
mod export;
pub mod loader;
mod loading;
mod metadata;
mod names;
mod quantize;
mod rope;
mod spec;
mod template;
mod threads;
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
pub use metadata::{Array, ByteStrings, Metadata, Strings, Value};
pub use quantize::{Calibration, GgufPlan, Importance, Mix, QuantizeProgress, QuantizedWeights, Quantizer, TensorPlan};
pub use spec::{AttentionSpec, DecoderSpec, FfnSpec, LayerSpec, Mixer, NormSpec, Placement, RopeScaling, RopeSpec};
pub use template::{ChatTemplate, ChatTemplates, TemplateInput, TemplateLimits};
pub use tokenizer::{EncodeOptions, SpecialTokens, TextStream, Tokenizer, TokenizerWarning};
