//! Where a model computes.

use mistral_quant::CpuOptions;

/// Where a model computes, with the options of that device; [`ModelBuilder::device`](crate::ModelBuilder::device) takes it.
///
/// This version computes on the CPU only.
///
/// ```
/// use mistral_core::quant::{CpuOptions, Isa};
/// use mistral_core::{Device, Model};
///
/// let cpu = CpuOptions::default().threads(2).isa_limit(Isa::Scalar);
/// let model = Model::builder().embedded().device(Device::Cpu(cpu)).load()?;
/// # Ok::<(), mistral_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Device {
    /// The processors of this machine.
    Cpu(CpuOptions),
}

impl Device {
    /// Returns the fastest device that this version can use: the CPU.
    pub fn best() -> Self {
        Self::Cpu(CpuOptions::default())
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::best()
    }
}

impl From<CpuOptions> for Device {
    fn from(options: CpuOptions) -> Self {
        Self::Cpu(options)
    }
}
