//! This repository's decoder, as an engine of mistral-core would run it: keys and values in F16, blocks of 32 tokens.

use std::path::Path;

use mistral_core::models::{self, Batch, Cache, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits};
use mistral_core::quant::{Cpu, CpuOptions};

use crate::engine::{Engine, Failure, Run};

const BLOCK: usize = 32;

pub struct Ours {
    decoder: Decoder<Cpu>,
    cache: Option<Cache<Cpu>>,
    /// Cache blocks of a sequence.
    blocks: usize,
    batch: Batch,
    logits: Logits,
    about: String,
}

impl Ours {
    pub fn load(path: &Path, options: CpuOptions) -> Result<Self, Failure> {
        let checkpoint = Checkpoint::open(path)?;
        let description = Description::new(&checkpoint)?;
        let repack = options.repack;
        let rounded = if options.bf16_products { ", BF16 products rounded" } else { "" };
        let cpu = Cpu::new(options)?;
        let native = if cfg!(target_feature = "avx2") { "this machine" } else { "any x86-64" };
        let about = format!(
            "mistral-core {}: {:?}, weights packed: {repack:?}{rounded}, compiled for {native}",
            env!("CARGO_PKG_VERSION"),
            cpu.isa()
        );
        let decoder = Decoder::load(cpu, checkpoint.weights(), description)?;
        Ok(Self { decoder, cache: None, blocks: 0, batch: Batch::default(), logits: Logits::default(), about })
    }
}

impl Engine for Ours {
    fn about(&self) -> String {
        self.about.clone()
    }

    fn vocab(&self) -> usize {
        self.decoder.spec().vocab_size
    }

    fn open(&mut self, length: usize, sequences: usize) -> Result<(), Failure> {
        self.cache = None;
        self.blocks = length.div_ceil(BLOCK);
        let options = CacheOptions::new(self.blocks * sequences, BLOCK).slots(sequences);
        self.cache = Some(self.decoder.cache(options)?);
        Ok(())
    }

    fn truncate(&mut self, _sequence: usize, _position: usize) -> Result<(), Failure> {
        // Positions are given with every step: what lies behind them is never read.
        Ok(())
    }

    fn step(&mut self, runs: &[Run<'_>], all_logits: bool) -> Result<(), Failure> {
        let cache = self.cache.as_mut().ok_or("no cache is open")?;
        let rows = if all_logits { LogitRows::All } else { LogitRows::Last };
        self.batch.clear();
        for run in runs {
            let first = run.sequence * self.blocks;
            let table: Vec<u32> = (first as u32..(first + self.blocks) as u32).collect();
            let placed = models::Run::new(run.tokens, run.position).slot(run.sequence).rows(rows);
            self.batch.push(placed.tables(cache.groups(), &table));
        }
        Ok(self.decoder.forward(&self.batch, cache, &mut self.logits)?)
    }

    fn logits(&self) -> Result<Vec<f32>, Failure> {
        Ok(self.logits.values().to_vec())
    }
}
