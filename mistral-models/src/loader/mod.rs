//! Opening checkpoints: GGUF and safetensors files, directories and the local Hugging Face cache.
//!
//! [`Checkpoint`] is the entry; [`Weights`] is what the decoder sees of it. Every
//! parser here is closed: a length is held against the bytes that remain before anything is allocated, sizes are
//! computed with overflow checks, and what a file may claim is bounded by [`Limits`].
//!
//! # Weights that another program quantized
//!
//! The `quantization_config` of a safetensors checkpoint names one of the methods below. [`Checkpoint::weights`] then shows `x.weight`
//! in place of `x.qweight`, `x.scales` and the like, and puts a weight together when it is asked for: on all cores, into memory of
//! its own, while the stored parts stay in the mapped file. Nothing is quantized anew: a weight gets the first format of its row
//! that holds every value of the definition, and F32 where none does.
//!
//! | `quant_method` | what is stored | becomes |
//! |---|---|---|
//! | `gptq` | 4 bits, zero point 8 ("sym") | Q4_0 |
//! | | 2 or 3 bits, any zero points | Q4_0 |
//! | | 4 bits with zero points | Affine4 |
//! | | 8 bits, zero point 128; with others | Q8_0; Affine8 |
//! | | `desc_act` with groups out of order | F32 |
//! | `awq` | 4 bits with zero points, version "gemm" | Affine4 |
//! | `fp8`, `fbgemm_fp8` | E4M3 with a scale for the tensor, each output, or each tile | F8_E4M3 |
//! | `bitsandbytes` | NF4, FP4, scales quantized or not | NF4, FP4 |
//! | | int8 | Affine8, or Q8_0 where f16 has all scales |
//! | `hqq` | 1 to 4 bits, axis 1 | Affine4 |
//! | | 8 bits, axis 1 | Affine8 |
//! | | axis 0 | F32 |
//! | `compressed-tensors` | integers of 2, 3, 4 or 8 bits, packed or not, symmetric or not | as `gptq` |
//! | | integers of 5 to 7 bits | Q8_0 |
//! | | FP8 | F8_E4M3 |
//! | `modelopt` | FP8 for the tensor, each output, or tiles of 128 x 128 | F8_E4M3 |
//! | `mxfp4` | blocks and scales of experts | MXFP4 |
//!
//! | format | bits a weight | products | holds |
//! |---|---:|---|---|
//! | Q4_0 | 4.5 | integers | scales that f16 has, whole zero points that keep `code - zero` in -8 to 7 |
//! | Affine4 | 5 | integers | scales and zero points that f16 has |
//! | Q8_0 | 8.5 | integers | scales that f16 has, `code - zero` in -128 to 127 |
//! | Affine8 | 10 | integers | any scale in f32, also for 4 bits where f16 lacks a single scale |
//! | NF4, FP4 | 5 | f32 | any scale in f32 |
//! | F8_E4M3 | 9 | f32 | any scale in f32 |
//! | MXFP4 | 4.25 | | powers of two |
//! | F32 | 32 | f32 | anything: groups narrower than 32 columns, rows that are no multiple of 32, `desc_act`, axis 0 |
//!
//! Values are those of each program's formula with every operation in f32, `(code - zero) * scale`: exact where scales are f16 or bf16,
//! else rounded once. The programs themselves often compute in f16 or bf16 and round there. The one deviation: int8 of bitsandbytes is
//! `code * (SCB / 127)` here and `code * SCB * (1 / 127)` there, 2e-7 apart at most.
//!
//! What is passed over: scales and rounding of activations (`input_scale`, `activation_scheme`, `input_activations`,
//! `llm_int8_threshold`), lists of modules that are stored whole (that is seen in the tensors), and biases of GPTQ and AWQ files that
//! are all zero. So is the cache that a checkpoint asks for (`kv_cache_scheme`, `kv_cache_quant_algo`) with the scales for it
//! (`self_attn.k_scale`, `k_proj.k_scale`, `kv_scale` and the like): the format of the cache is the caller's choice, the formats here
//! have no such scales, and the weights are the same with either. A key that is in no list is
//! [`Error::Unsupported`](crate::Error::Unsupported), such as `dynamic` of GPTQModel, `transform_config`, 2:4 sparsity, quantized scales
//! of HQQ, AWQ's "gemv" order, E5M2, NVFP4, mixtures of ModelOpt's formats. In GPTQ files of the older
//! form a stored zero point of all ones is -1 and read as 0; AutoGPTQ's own kernels disagree about it.
//!
//! Costs: the table of scales is held in f32 while a weight is put together. Asking for a weight twice does the work twice.

pub(crate) mod checkpoint;
pub(crate) mod cursor;
#[cfg(feature = "hub")]
mod download;
pub(crate) mod file_kind;
pub mod gguf;
mod gguf_types;
pub(crate) mod gguf_write;
mod hub;
mod json;
pub(crate) mod limits;
pub(crate) mod mmap;
pub(crate) mod output;
pub(crate) mod packed;
pub(crate) mod random;
mod safetensors;
mod shards;
mod table;
pub(crate) mod weights;

pub use checkpoint::{Checkpoint, CheckpointKind, CheckpointOptions};
#[cfg(feature = "hub")]
pub use download::{Download, DownloadProgress};
pub use file_kind::FileKind;
pub use gguf_write::{GgufTensor, GgufWriter};
pub use hub::default_cache_dir;
pub use limits::Limits;
pub use mmap::ReadMode;
pub use output::OutputFile;
pub use random::{RandomTensor, RandomWeights};
pub use weights::{RawTensor, TensorType, Weights};
