//! Kernels for AVX2, FMA and F16C.

pub(crate) mod attention;
