//! Which instruction sets this machine has.

pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;

/// An instruction set that kernels are written for, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Portable Rust.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
}

/// Proof that the processor has an instruction set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels {
    isa: Isa,
}

impl Kernels {
    /// The best of this machine.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            return Self { isa: Isa::Avx2 };
        }
        Self { isa: Isa::Scalar }
    }

    /// The best of this machine that is not above `limit`.
    pub(crate) fn with_limit(limit: Isa) -> Self {
        Self { isa: Self::detect().isa.min(limit) }
    }

    /// The instruction set.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }
}
