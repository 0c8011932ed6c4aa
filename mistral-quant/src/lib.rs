//! Quantized tensor formats and the closed list of operations that a language model needs, on the CPU.
//!
//! Start at [`Backend`]: it names every operation once. [`Reference`] defines each of them by a naive loop, [`Cpu`] computes
//! them with SIMD kernels chosen at run time (`Kernels`) on a [`ThreadPool`]. [`Format`] lists the ways in which
//! weights are stored, [`Weight`] is a matrix in one of them.
//!
//! # Features
//!
//! `candle`, off by default: [`candle::Linear`](https://docs.rs/mistral-quant/latest/mistral_quant/candle/struct.Linear.html), a linear
//! layer of candle 0.11 over a [`Weight`], so that any candle model runs on these kernels, and the exchange of weights with
//! candle's `QTensor`. It adds `candle-core` without its default features: some 125 crates, all of them Rust.

pub mod backend;
mod bytes;
#[cfg(feature = "candle")]
pub mod candle;
mod check;
mod cpu;
mod error;
mod format;
mod formats;
mod kv_format;
pub mod manual;
mod quantize;
mod reference;
mod routes;
mod state;
mod step;
#[cfg(test)]
mod testing;
mod weight;

pub use backend::{
    Activation, Attention, Backend, Convolution, ExpertMatMul, GluMatMul, KvShape, MatMul, Norm, NormKind, Rope,
    RopeStyle, Rotation, RouteGroups, RouteRule, RouteScore, RoutedInput, Run, SelectiveScan, StateShape, StepInput,
    Visible,
};
pub use bytes::SharedBytes;
pub use cpu::pool::ThreadPool;
pub use cpu::{Cpu, CpuBuffer, CpuKv, CpuOptions, CpuWeight, Isa, Repack};
pub use error::Error;
pub use format::Format;
pub use formats::{assemble_row, decode_row, encode_row, encode_row_with};
pub use kv_format::KvFormat;
pub use quantize::{quantize, quantize_with};
pub use reference::{Reference, ReferenceKv};
pub use weight::Weight;
