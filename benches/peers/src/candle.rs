//! The quantized models of candle-transformers.

use std::path::Path;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2};

use crate::engine::{Engine, Failure, Run};

enum Weights {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
}

pub struct Candle {
    weights: Weights,
    vocab: usize,
    logits: Option<Tensor>,
}

impl Candle {
    /// The number of threads is that of the environment variable `RAYON_NUM_THREADS`, which the process was started with.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
        let content = Content::read(&mut file)?;
        let architecture = content.metadata.get("general.architecture").ok_or("no architecture")?.to_string()?.clone();
        let size = content.metadata.get(&format!("{architecture}.vocab_size")).ok_or("no vocab_size")?.to_u32()?;
        let weights = match architecture.as_str() {
            "llama" => Weights::Llama(quantized_llama::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?),
            "qwen2" => Weights::Qwen2(quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?),
            other => return Err(format!("architecture {other}").into()),
        };
        Ok(Self { weights, vocab: size as usize, logits: None })
    }
}

impl Engine for Candle {
    fn about(&self) -> String {
        let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_default();
        format!("candle-transformers 0.11, {threads} threads, avx2 {}", candle_core::utils::with_avx())
    }

    fn vocab(&self) -> usize {
        self.vocab
    }

    fn open(&mut self, _length: usize, _sequences: usize) -> Result<(), Failure> {
        self.truncate(0, 0)
    }

    fn truncate(&mut self, _sequence: usize, position: usize) -> Result<(), Failure> {
        if position > 0 {
            return Err("its cache can only be emptied".into());
        }
        match &mut self.weights {
            Weights::Llama(weights) => weights.clear_kv_cache(),
            Weights::Qwen2(weights) => weights.clear_kv_cache(),
        }
        Ok(())
    }

    fn step(&mut self, runs: &[Run<'_>], all_logits: bool) -> Result<(), Failure> {
        let (length, position) = runs.first().map_or((0, 0), |run| (run.tokens.len(), run.position));
        let all_are_last = runs.len() == 1 && length == 1;
        if all_logits && !all_are_last || runs.iter().any(|run| run.tokens.len() != length || run.position != position)
        {
            return Err("it computes runs of one length and position, and the logits of their last tokens".into());
        }
        let tokens: Vec<u32> = runs.iter().flat_map(|run| run.tokens).copied().collect();
        let tokens = Tensor::from_vec(tokens, (runs.len(), length), &Device::Cpu)?;
        self.logits = Some(match &mut self.weights {
            Weights::Llama(weights) => weights.forward(&tokens, position)?,
            Weights::Qwen2(weights) => weights.forward(&tokens, position)?,
        });
        Ok(())
    }

    fn logits(&self) -> Result<Vec<f32>, Failure> {
        let logits = self.logits.as_ref().ok_or("no step was computed")?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}
