//! The options of a model that have a default, and their ranges.

use mistral_models::{Quantizer, ReadMode};
use mistral_quant::{CpuOptions, KvFormat, ThreadPool};

use crate::device::Device;
use crate::error::Error;
use crate::memory::{Limits, Wishes};

/// Everything that has a default.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) device: Device,
    /// The number of threads, if the builder's shortcut set it; it is then the number of the device too.
    pub(crate) threads: Option<usize>,
    pub(crate) key_format: KvFormat,
    pub(crate) value_format: KvFormat,
    /// `None`: the default, which a checkpoint that is open already does not contradict.
    pub(crate) read_mode: Option<ReadMode>,
    pub(crate) limits: Limits,
    pub(crate) wishes: Wishes,
    pub(crate) seed: Option<u64>,
    pub(crate) quantizer: Option<Quantizer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::default(),
            threads: None,
            key_format: KvFormat::default(),
            value_format: KvFormat::default(),
            read_mode: None,
            limits: Limits { max_sequences: 8, queue_capacity: 64, max_batch_tokens: 512 },
            wishes: Wishes { context_length: None, kv_tokens: None, block_tokens: 32, budget: None },
            seed: None,
            quantizer: None,
        }
    }
}

/// The longest context: positions up to here are exact in f32.
const MAX_CONTEXT: usize = 1 << 24;

impl Options {
    /// Returns the options of the CPU, with the number of threads that the builder's shortcut set.
    pub(crate) fn cpu(&self) -> CpuOptions {
        let Device::Cpu(mut options) = self.device.clone();
        options.threads = self.threads.or(options.threads);
        options
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the first option that lies outside, or that another option leaves without effect.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let cpu = self.cpu();
        let counts = [
            ("threads", cpu.threads.unwrap_or(1)),
            ("context_length", self.wishes.context_length.unwrap_or(1)),
            ("kv_tokens", self.wishes.kv_tokens.unwrap_or(1)),
            ("block_tokens", self.wishes.block_tokens),
            ("max_sequences", self.limits.max_sequences),
            ("max_batch_tokens", self.limits.max_batch_tokens),
        ];
        if let Some((name, _)) = counts.into_iter().find(|count| count.1 == 0) {
            return Err(Error::InvalidParameter { name, detail: "0 is not at least 1".into() });
        }
        let most = [
            ("context_length", self.wishes.context_length, MAX_CONTEXT),
            ("threads", cpu.threads, ThreadPool::MAX_THREADS),
        ];
        for (name, value, most) in most {
            if let Some(value) = value.filter(|value| *value > most) {
                let why =
                    if name == "threads" { "a pool can have" } else { "f32 counts, in which angles are computed" };
                return Err(Error::InvalidParameter {
                    name,
                    detail: format!("{value} is above {most}, the most that {why}"),
                });
            }
        }
        match (&cpu.pool, cpu.threads) {
            (Some(pool), Some(threads)) if threads != pool.threads() => {
                let detail = format!("{threads} threads, but the shared pool of the device has {}", pool.threads());
                Err(Error::InvalidParameter { name: "threads", detail })
            }
            _ => Ok(()),
        }
    }
}
