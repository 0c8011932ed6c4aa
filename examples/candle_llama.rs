//! A candle model on our kernels: `candle_llama [--model PATH.gguf] [--threads N] [--prompt TOKENS] [--tokens N] [--no-exact]`, with
//! `--features mistral-examples/candle`. candle's own threads follow `RAYON_NUM_THREADS`; its pool spins, so that on a busy machine
//! a step of it may take seconds: give it fewer threads than there are free cores.
//!
//! The models of candle-transformers keep their linear layers private, so that a swap is one in the source: below is the quantized Llama
//! with the type of the layer as a parameter. With candle's `QMatMul` in its place it is `candle_transformers`' own model, which
//! the logits show; with [`Linear`] it runs on the kernels of mistral-quant, and the only other line that changes is the one
//! which makes a layer of a tensor. All read the same file, a Llama with interleaved rotary pairs.
//!
//! Both round activations, each in its own way, so each is compared with the same weights in f32, four bytes each; without those
//! (`--no-exact`), with candle's own model.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Device, IndexOp, Module, Result, Tensor};
use candle_nn::Embedding;
use candle_nn::ops::{silu, softmax_last_dim};
use candle_nn::rotary_emb::rope_i;
use candle_transformers::models::quantized_llama::ModelWeights;
use candle_transformers::quantized_nn::RmsNorm;
use candle_transformers::utils::{build_additive_causal_mask, repeat_kv};
use mistral_core::quant::{Cpu, CpuOptions};
use mistral_quant::candle::{Linear, SharedCpu};

struct Layer<L> {
    query: L,
    key: L,
    value: L,
    output: L,
    gate: L,
    up: L,
    down: L,
    attention_norm: RmsNorm,
    ffn_norm: RmsNorm,
    /// Keys and values of earlier positions, [1, kv_heads, positions, head_dim].
    cache: Option<(Tensor, Tensor)>,
}

struct Llama<L> {
    embedding: Embedding,
    layers: Vec<Layer<L>>,
    norm: RmsNorm,
    output: L,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Angles a position, [head_dim / 2].
    frequencies: Vec<f32>,
}

/// A GGUF file and its directory.
struct Gguf {
    file: File,
    content: Content,
}

impl Gguf {
    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        Ok(Self { file, content })
    }

    fn value(&self, key: &str) -> Result<&Value> {
        let key = format!("llama.{key}");
        self.content.metadata.get(&key).ok_or_else(|| candle_core::Error::msg(format!("the file has no {key}")))
    }

    fn number(&self, key: &str) -> Result<usize> {
        Ok(self.value(key)?.to_u32()? as usize)
    }

    fn tensor(&mut self, name: &str) -> Result<QTensor> {
        self.content.tensor(&mut self.file, &format!("{name}.weight"), &Device::Cpu)
    }
}

impl<L: Module> Llama<L> {
    fn load(gguf: &mut Gguf, linear: impl Fn(QTensor) -> Result<L>) -> Result<Self> {
        let (width, heads) = (gguf.number("embedding_length")?, gguf.number("attention.head_count")?);
        let head_dim = width / heads;
        let eps = f64::from(gguf.value("attention.layer_norm_rms_epsilon")?.to_f32()?);
        let base = gguf.value("rope.freq_base")?.to_f32()?;
        let norm = |tensor| RmsNorm::from_qtensor(tensor, eps);
        let layers = (0..gguf.number("block_count")?).map(|layer| {
            let mut tensor = |name: &str| gguf.tensor(&format!("blk.{layer}.{name}"));
            Ok(Layer {
                query: linear(tensor("attn_q")?)?,
                key: linear(tensor("attn_k")?)?,
                value: linear(tensor("attn_v")?)?,
                output: linear(tensor("attn_output")?)?,
                gate: linear(tensor("ffn_gate")?)?,
                up: linear(tensor("ffn_up")?)?,
                down: linear(tensor("ffn_down")?)?,
                attention_norm: norm(tensor("attn_norm")?)?,
                ffn_norm: norm(tensor("ffn_norm")?)?,
                cache: None,
            })
        });
        let layers = layers.collect::<Result<_>>()?;
        let embedding = gguf.tensor("token_embd")?;
        let dense = embedding.dequantize(&Device::Cpu)?;
        let output = gguf.tensor("output").unwrap_or(embedding);
        Ok(Self {
            embedding: Embedding::new(dense, width),
            layers,
            norm: norm(gguf.tensor("output_norm")?)?,
            output: linear(output)?,
            heads,
            kv_heads: gguf.number("attention.head_count_kv")?,
            head_dim,
            frequencies: (0..head_dim).step_by(2).map(|i| base.powf(i as f32 / head_dim as f32).recip()).collect(),
        })
    }
}

/// What the three have in common.
trait Forward {
    /// Logits [1, vocab] after `ids`, the first of which stands at `position`.
    fn logits(&mut self, ids: &[u32], position: usize) -> Result<Tensor>;
}

impl Forward for ModelWeights {
    fn logits(&mut self, ids: &[u32], position: usize) -> Result<Tensor> {
        self.forward(&Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?, position)
    }
}

impl<L: Module> Forward for Llama<L> {
    fn logits(&mut self, ids: &[u32], position: usize) -> Result<Tensor> {
        let (tokens, half) = (ids.len(), self.head_dim / 2);
        let angles: Vec<f32> =
            (position..position + tokens).flat_map(|p| self.frequencies.iter().map(move |f| p as f32 * f)).collect();
        let angles = Tensor::from_vec(angles, (tokens, half), &Device::Cpu)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let mask = build_additive_causal_mask(tokens, position, None, &Device::Cpu, DType::F32)?;
        let split =
            |x: Tensor, heads: usize| x.reshape((1, tokens, heads, self.head_dim))?.transpose(1, 2)?.contiguous();
        let mut x = self.embedding.forward(&Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?)?;
        for layer in &mut self.layers {
            let h = layer.attention_norm.forward(&x)?;
            let query = rope_i(&split(layer.query.forward(&h)?, self.heads)?, &cos, &sin)?;
            let mut key = rope_i(&split(layer.key.forward(&h)?, self.kv_heads)?, &cos, &sin)?;
            let mut value = split(layer.value.forward(&h)?, self.kv_heads)?;
            if let Some((keys, values)) = layer.cache.take().filter(|_| position > 0) {
                key = Tensor::cat(&[keys, key], 2)?;
                value = Tensor::cat(&[values, value], 2)?;
            }
            layer.cache = Some((key.clone(), value.clone()));
            let groups = self.heads / self.kv_heads;
            let scores = (query.matmul(&repeat_kv(key, groups)?.t()?)? / (self.head_dim as f64).sqrt())?;
            let weights = softmax_last_dim(&scores.broadcast_add(&mask)?)?;
            let mixed = weights.matmul(&repeat_kv(value, groups)?)?.transpose(1, 2)?.reshape((1, tokens, ()))?;
            x = (x + layer.output.forward(&mixed)?)?;
            let h = layer.ffn_norm.forward(&x)?;
            let h = (silu(&layer.gate.forward(&h)?)? * layer.up.forward(&h)?)?;
            x = (x + layer.down.forward(&h)?)?;
        }
        self.output.forward(&self.norm.forward(&x)?.i((.., tokens - 1, ..))?)
    }
}

/// Logits of every step that follows the prompt along `path`, and the time of the prompt and of the steps together.
fn run(model: &mut dyn Forward, prompt: &[u32], path: &[u32]) -> Result<(Vec<Vec<f32>>, [Duration; 2])> {
    let start = Instant::now();
    let mut logits = vec![model.logits(prompt, 0)?.squeeze(0)?.to_vec1()?];
    let prefill = start.elapsed();
    let start = Instant::now();
    for (i, &token) in path.iter().enumerate() {
        logits.push(model.logits(&[token], prompt.len() + i)?.squeeze(0)?.to_vec1()?);
    }
    Ok((logits, [prefill, start.elapsed()]))
}

fn largest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(id, _)| id as u32)
}

/// Kullback-Leibler divergence of the distribution of `b` from that of `a`, in nats.
fn divergence(a: &[f32], b: &[f32]) -> f64 {
    let log = |logits: &[f32]| {
        let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        top + logits.iter().map(|&l| (f64::from(l) - top).exp()).sum::<f64>().ln()
    };
    let (total_a, total_b) = (log(a), log(b));
    let terms = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - total_a, f64::from(b) - total_b));
    terms.map(|(a, b)| a.exp() * (a - b)).sum()
}

fn main() -> std::result::Result<(), mistral_examples::Failure> {
    let mut args = mistral_examples::arguments(include_str!("candle_llama.rs"));
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mistral-core/assets/default-model/model.gguf");
    let path = args.opt_value_from_str::<_, PathBuf>(["-m", "--model"])?.unwrap_or(default);
    let mut options = CpuOptions::default();
    options.threads = args.opt_value_from_str(["-t", "--threads"])?;
    let prompt: usize = args.opt_value_from_str("--prompt")?.unwrap_or(64);
    let tokens: usize = args.opt_value_from_str("--tokens")?.unwrap_or(32);
    let exact = !args.contains("--no-exact");
    mistral_examples::finish(args)?;

    let mut gguf = Gguf::open(&path)?;
    let vocabulary = gguf.content.tensor_infos.get("token_embd.weight").map_or(0, |info| info.shape.dims()[0]);
    if vocabulary == 0 || prompt == 0 {
        return Err("there must be a vocabulary and a prompt".into());
    }
    let prompt: Vec<u32> = (0..prompt).map(|i| ((i * 7919 + 101) % vocabulary) as u32).collect();
    let cpu = SharedCpu::new(Cpu::new(options)?)?;
    let content = Content::read(&mut File::open(&path)?)?;
    let mut original = ModelWeights::from_gguf(content, &mut gguf.file, &Device::Cpu)?;
    let mut theirs = Llama::load(&mut gguf, QMatMul::from_qtensor)?;
    let mut ours = Llama::load(&mut gguf, |tensor| Linear::from_qtensor(&cpu, Arc::new(tensor), None))?;

    let mut ids: Vec<u32> = Vec::new();
    for i in 0..tokens {
        let logits = match ids.last() {
            None => original.logits(&prompt, 0)?,
            Some(&token) => original.logits(&[token], prompt.len() + i - 1)?,
        };
        ids.push(largest(&logits.squeeze(0)?.to_vec1::<f32>()?));
    }
    let mut dense = match exact {
        true => Some(Llama::load(&mut gguf, |tensor| Ok(QMatMul::Tensor(tensor.dequantize(&Device::Cpu)?)))?),
        false => None,
    };
    let reference: &mut dyn Forward = match &mut dense {
        Some(dense) => dense,
        None => &mut original,
    };
    let (reference, _) = run(reference, &prompt, &ids)?;
    println!(
        "{} tokens of prompt, {tokens} steps; candle has {} threads",
        prompt.len(),
        candle_core::utils::get_num_threads()
    );
    println!("{:22} {:>12} {:>10} {:>10} {:>10}", "", "divergence", "same top", "prompt ms", "step ms");
    let models: [(&str, &mut dyn Forward); 3] =
        [("candle_transformers", &mut original), ("QMatMul", &mut theirs), ("mistral_quant Linear", &mut ours)];
    let mut divergences = Vec::new();
    for (name, model) in models {
        run(model, &prompt, &ids)?;
        let (logits, [prefill, steps]) = run(model, &prompt, &ids)?;
        let pairs = || reference.iter().zip(&logits);
        let mean = pairs().map(|(a, b)| divergence(a, b)).sum::<f64>() / logits.len() as f64;
        let same = pairs().filter(|(a, b)| largest(a) == largest(b)).count();
        println!(
            "{name:22} {mean:12.2e} {:>10} {:10.2} {:10.3}",
            format!("{same}/{}", logits.len()),
            prefill.as_secs_f64() * 1e3,
            steps.as_secs_f64() * 1e3 / tokens.max(1) as f64
        );
        divergences.push(mean);
    }
    // Not further from the truth than candle is, or, where only candle is known, as far as two roundings may be apart.
    let bound = if exact { 1.5 * divergences[1] + 1e-5 } else { 2e-3 };
    if divergences[2].is_nan() || divergences[2] > bound {
        return Err(format!("our layers are not the same model: {:.2e} is above {bound:.2e}", divergences[2]).into());
    }
    Ok(())
}
