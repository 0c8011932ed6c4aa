//! Quantized tensor formats and the closed list of operations that a language model needs, on the CPU.
//!
//! Start at [`Backend`]: it names every operation once. [`Reference`] defines each of them by a naive loop, [`Cpu`] computes
//! them with SIMD kernels chosen at run time (`Kernels`) on a [`ThreadPool`]. [`Format`] lists the ways in which
//! weights are stored, [`Weight`] is a matrix in one of them.

mod backend;
mod bytes;
mod check;
mod cpu;
mod error;
mod format;
mod formats;
mod reference;
#[cfg(test)]
mod testing;
mod weight;

pub use backend::{
    Activation, Attention, Backend, ExpertMatMul, KvFormat, KvShape, MatMul, RmsNorm, Rope, RopeStyle, Routes, Span,
};
pub use bytes::SharedBytes;
pub use cpu::pool::ThreadPool;
pub use cpu::{Cpu, CpuBuffer, CpuKv, CpuOptions, CpuWeight, Isa, Repack};
pub use error::Error;
pub use format::Format;
pub use formats::{decode_row, encode_row, encode_row_with, quantize, quantize_with};
pub use reference::{Reference, ReferenceKv};
pub use weight::Weight;
