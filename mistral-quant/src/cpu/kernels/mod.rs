//! Speed by instruction set: which one this machine has, and the kernels written for it.
//!
//! The meaning of a format is in `formats/`; here are only ways to compute with it quickly. Every set must give, for the same
//! quantized activations, the same integers in each unit of 32 columns as the scalar one.

pub(crate) mod attention;
pub(crate) mod dense;
pub(crate) mod integer;
pub(crate) mod lanes;
pub(crate) mod packed;
pub(crate) mod strip;
#[cfg(test)]
mod tests;

pub(crate) use integer::{StripSource, Workspace};
pub(crate) use strip::{Strip, Sums};

use self::integer::Vbmi;
use self::integer::activation::{ActivationUnit, Columns, Quantize};
use self::integer::lanes::Lanes;
use crate::format::Format;

/// An instruction set that kernels are written for, slowest first. What a set has no kernel for runs on the next slower one that has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Portable Rust.
    Scalar,
    /// NEON with the dot products of Armv8.2.
    Neon,
    /// AVX2, FMA and F16C.
    Avx2,
    /// [`Isa::Avx2`] with AVX-VNNI: 8-bit dot products in 256-bit registers.
    AvxVnni,
    /// AVX-512 F, BW, DQ and VL, on top of [`Isa::Avx2`].
    Avx512,
    /// [`Isa::Avx512`] with AVX-512-VNNI: 8-bit dot products in 512-bit registers.
    Avx512Vnni,
}

impl Isa {
    const ALL: [Isa; 6] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::AvxVnni, Isa::Avx512, Isa::Avx512Vnni];

    /// The sets of this machine, slowest first; [`Isa::Scalar`] is always among them.
    ///
    /// ```
    /// assert!(mistral_quant::Isa::available().any(|isa| isa == mistral_quant::Isa::Scalar));
    /// ```
    pub fn available() -> impl Iterator<Item = Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        let avx2 =
            || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        let avx512 = || {
            avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
        };
        match self {
            Isa::Scalar => true,
            Isa::Neon => false,
            Isa::Avx2 => avx2(),
            Isa::AvxVnni => avx2() && is_x86_feature_detected!("avxvnni"),
            Isa::Avx512 => avx512(),
            Isa::Avx512Vnni => avx512() && is_x86_feature_detected!("avx512vnni"),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Neon => {
                std::arch::is_aarch64_feature_detected!("neon") && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            _ => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_available(self) -> bool {
        self == Isa::Scalar
    }
}

/// Names the registers of an instruction set and evaluates an expression with them.
macro_rules! with_lanes {
    ($isa:expr, $lanes:ident => $body:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                type $lanes = integer::avx2::Avx2;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => {
                type $lanes = integer::avx2::AvxVnni;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                type $lanes = integer::avx512::Avx512;
                $body
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => {
                type $lanes = integer::avx512::Avx512Vnni;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                type $lanes = integer::neon::Neon;
                $body
            }
            _ => {
                type $lanes = integer::portable::Portable;
                $body
            }
        }
    };
}

/// The kernels of an instruction set, and proof that the processor has it: there is no way to make one but to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels {
    isa: Isa,
    /// Beside the two sets with 512-bit registers, where the processor has it: for code books only, so not a set of its own.
    vbmi: Option<Vbmi>,
    /// Whether the processor has AVX512-BF16 beside an AVX-512 set.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Only asked for there.
    dots: bool,
    /// Whether BF16 weights are multiplied with activations rounded to BF16.
    bf16_products: bool,
}

impl Kernels {
    /// The best of this machine.
    pub(crate) fn detect() -> Self {
        Self::with_limit(Isa::Avx512Vnni)
    }

    /// The best of this machine that is not above `limit`.
    pub(crate) fn with_limit(limit: Isa) -> Self {
        Self::of(Isa::available().filter(|isa| *isa <= limit).last().unwrap_or(Isa::Scalar))
    }

    /// For a set that the machine has.
    fn of(isa: Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        let dots = isa >= Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        let dots = false;
        let vbmi = if isa >= Isa::Avx512 { Vbmi::detect() } else { None };
        Self { isa, vbmi, dots, bf16_products: false }
    }

    /// The same with BF16 weights multiplied with rounded activations, or not; see
    /// [`CpuOptions::bf16_products`](crate::CpuOptions::bf16_products).
    pub(crate) fn with_bf16_products(self, on: bool) -> Self {
        // Pairs of numbers are read as words of a file, which are little-endian.
        Self { bf16_products: on && cfg!(target_endian = "little"), ..self }
    }

    /// The same without AVX512-BF16.
    #[cfg(test)]
    pub(crate) fn without_dots(self) -> Self {
        Self { dots: false, ..self }
    }

    /// Whether weights of this format are multiplied with activations rounded to BF16.
    pub(crate) fn rounds(&self, format: Format) -> bool {
        self.bf16_products && format == Format::BF16
    }

    /// Whether the processor has AVX512-BF16 beside an AVX-512 set.
    #[cfg(target_arch = "x86_64")]
    fn has_dots(&self) -> bool {
        self.dots
    }

    /// One table for each instruction set of this machine, slowest first, and those with VBMI also without.
    #[cfg(test)]
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        Isa::available().map(Self::of).flat_map(|kernels| {
            let without = kernels.vbmi.is_some().then_some(Self { vbmi: None, ..kernels });
            without.into_iter().chain([kernels])
        })
    }

    /// The instruction set.
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Quantizes consecutive units of 32 values.
    pub(crate) fn quantize(&self, x: &[f32], units: &mut [ActivationUnit]) {
        // SAFETY: the processor has the set, as this value proves.
        with_lanes!(self.isa, L => unsafe { L::enter(Quantize { x, units }) });
    }

    /// The columns of a block of activations.
    pub(crate) fn columns(&self) -> usize {
        with_lanes!(self.isa, L => L::COLUMNS)
    }

    /// How many strips [`Kernels::integer_strips`] is best given with so many columns, at most [`TOGETHER`].
    pub(crate) fn strips_together(&self, tokens: usize) -> usize {
        with_lanes!(self.isa, L => integer::strips_together::<L>(tokens))
    }

    /// One or two strips of a weight in a block format times columns of `cols / 32` units each, in blocks of
    /// [`Kernels::columns`]; one [`Sums`] a column, strip after strip, overwritten.
    pub(crate) fn integer_strips(
        &self,
        sources: &[StripSource<'_>],
        columns: Columns<'_>,
        workspace: &mut Workspace,
        sums: &mut [Sums],
    ) {
        // SAFETY: the processor has the set, as this value proves.
        with_lanes!(self.isa, L => unsafe { integer::integer_strips::<L>(sources, columns, self.vbmi, workspace, sums) });
    }

    /// Packs a strip in blocks into `packed`, of the length that a strip has by [`packed::packed_bytes`].
    pub(crate) fn pack_strip(&self, strip: Strip<'_>, packed: &mut [u8]) {
        // SAFETY: the processor has the set, as this value proves.
        with_lanes!(self.isa, L => unsafe { integer::pack_strip::<L>(strip, packed) });
    }

    /// Decodes row `row` of a packed strip to `strip.cols` weights.
    pub(crate) fn take_row(&self, strip: Strip<'_>, row: usize, out: &mut [f32]) {
        // SAFETY: the processor has the set, as this value proves.
        with_lanes!(self.isa, L => unsafe { integer::take_row::<L>(strip, row, out) });
    }
}
