//! GGUF files of real models' shapes with seeded random weights.
//!
//! To be quick, only the first 64 rows of a matrix are drawn and encoded; every other row takes each of its blocks from one of
//! them, so that no two rows are alike.
//!
//! The scales are such that the logits look like a language model's: normal, with a standard deviation of 3, which is an entropy of
//! about 7 nats. As in trained models each layer changes the residual stream a little: all of them together add 15 % of the embedding.
//! (When they add more than the embedding, rounding activations to 8 bits alone moves the logits of llama.cpp's generation from
//! those of its prompt by a mean divergence of 5e-3.) The last norm has random signs; without them a tied head would give back the token
//! that went in.

use std::path::Path;

use mistral_core::models::loader::{GgufTensor, GgufWriter};
use mistral_core::models::{Metadata, Quantizer, RandomTensor, RandomWeights, Value};
use mistral_core::quant::{Format, encode_row_with};

/// Any error.
pub type Failure = Box<dyn std::error::Error>;

const DISTINCT_ROWS: usize = 64;

/// The sizes of a real model.
#[derive(Debug)]
pub struct Shape {
    /// As on the command line.
    pub name: &'static str,
    architecture: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    intermediate: usize,
    vocab: usize,
    qkv_bias: bool,
    tied: bool,
}

/// All shapes, smallest first.
pub static SHAPES: [Shape; 4] = [
    Shape {
        name: "qwen2.5-0.5b",
        architecture: "qwen2",
        hidden: 896,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        head_dim: 64,
        intermediate: 4864,
        vocab: 151_936,
        qkv_bias: true,
        tied: true,
    },
    Shape {
        name: "llama-3.2-1b",
        architecture: "llama",
        hidden: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        intermediate: 8192,
        vocab: 128_256,
        qkv_bias: false,
        tied: true,
    },
    Shape {
        name: "llama-3.2-3b",
        architecture: "llama",
        hidden: 3072,
        layers: 28,
        heads: 24,
        kv_heads: 8,
        head_dim: 128,
        intermediate: 8192,
        vocab: 128_256,
        qkv_bias: false,
        tied: true,
    },
    Shape {
        name: "mistral-7b",
        architecture: "llama",
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        intermediate: 14_336,
        vocab: 32_768,
        qkv_bias: false,
        tied: false,
    },
];

impl Shape {
    /// The shape of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<&'static Self, Failure> {
        SHAPES.iter().find(|shape| shape.name == name).ok_or_else(|| format!("unknown shape {name}").into())
    }
}

/// Standard deviation of the logits.
const LOGIT_SPREAD: f32 = 3.0;

/// Standard deviation of embeddings; large, so that the scales of all formats are well inside the range of f16.
const EMBEDDING: f32 = 8.0;

fn metadata(shape: &Shape) -> Metadata {
    let mut metadata = Metadata::default();
    let mut set = |key: String, value| drop(metadata.insert(key, value));
    set("general.architecture".into(), Value::Str(shape.architecture.into()));
    set("general.name".into(), Value::Str(format!("{} with random weights", shape.name)));
    set("tokenizer.ggml.model".into(), Value::Str("no_vocab".into()));
    let sizes = [
        ("context_length", 32_768),
        ("embedding_length", shape.hidden),
        ("block_count", shape.layers),
        ("feed_forward_length", shape.intermediate),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head_dim),
        ("attention.value_length", shape.head_dim),
        ("rope.dimension_count", shape.head_dim),
        ("vocab_size", shape.vocab),
    ];
    for (key, size) in sizes {
        set(format!("{}.{key}", shape.architecture), Value::U32(size as u32));
    }
    set(format!("{}.attention.layer_norm_rms_epsilon", shape.architecture), Value::F32(1e-6));
    set(format!("{}.rope.freq_base", shape.architecture), Value::F32(1_000_000.0));
    metadata
}

/// Writes a model of this shape to `out`, in a mix or a format by its name.
///
/// # Errors
/// A mix that is not known or that this version cannot encode; a file that cannot be written.
pub fn write(shape: &Shape, mix: &str, out: &Path) -> Result<(), Failure> {
    let quantizer: Quantizer = mix.parse()?;
    let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let mut tensors = Vec::new();
    let mut matrix = |name: String, rows: usize, cols: usize| {
        tensors.push(GgufTensor { name: format!("{name}.weight"), format: Format::F32, shape: vec![rows, cols] });
    };
    matrix("token_embd".into(), shape.vocab, shape.hidden);
    if !shape.tied {
        matrix("output".into(), shape.vocab, shape.hidden);
    }
    for layer in 0..shape.layers {
        let mut one = |name: &str, rows, cols| matrix(format!("blk.{layer}.{name}"), rows, cols);
        one("attn_q", q, shape.hidden);
        one("attn_k", kv, shape.hidden);
        one("attn_v", kv, shape.hidden);
        one("attn_output", shape.hidden, q);
        one("ffn_gate", shape.intermediate, shape.hidden);
        one("ffn_up", shape.intermediate, shape.hidden);
        one("ffn_down", shape.hidden, shape.intermediate);
    }
    let mut vector =
        |name: String, len: usize| tensors.push(GgufTensor { name, format: Format::F32, shape: vec![len] });
    vector("output_norm.weight".into(), shape.hidden);
    for layer in 0..shape.layers {
        vector(format!("blk.{layer}.attn_norm.weight"), shape.hidden);
        vector(format!("blk.{layer}.ffn_norm.weight"), shape.hidden);
        for (name, len) in [("attn_q", q), ("attn_k", kv), ("attn_v", kv)].into_iter().filter(|_| shape.qkv_bias) {
            vector(format!("blk.{layer}.{name}.bias"), len);
        }
    }

    let mut metadata = metadata(shape);
    quantizer.choose(&mut metadata, &mut tensors)?;
    let mut file = GgufWriter::create(out, &metadata, &tensors)?;
    for tensor in &tensors {
        file.tensor(&draw(tensor, shape)?)?;
    }
    file.finish()?;
    Ok(())
}

/// Mean and half width of a tensor's values, which are equally likely in between.
fn range(name: &str, cols: usize, shape: &Shape) -> (f32, f32) {
    let unit = 3f32.sqrt();
    let fan_in = (3.0 / cols as f32).sqrt();
    match name {
        "output_norm.weight" => (0.0, unit * LOGIT_SPREAD / (EMBEDDING * (shape.hidden as f32).sqrt())),
        "token_embd.weight" | "output.weight" => (0.0, unit * EMBEDDING),
        // What a layer adds is 0.6 of this times the embedding, and the sum of all adds up as a random walk.
        _ if name.contains("attn_output") || name.contains("ffn_down") => {
            (0.0, fan_in * 0.25 * EMBEDDING / (shape.layers as f32).sqrt())
        }
        _ if name.contains("norm") => (1.0, 0.1),
        _ if name.contains("bias") => (0.0, 0.1),
        _ => (0.0, fan_in),
    }
}

/// The bytes of a tensor.
fn draw(tensor: &GgufTensor, shape: &Shape) -> Result<Vec<u8>, Failure> {
    let (rows, cols) = match tensor.shape[..] {
        [rows, cols] => (rows, cols),
        _ => (1, tensor.shape[0]),
    };
    let distinct = rows.min(DISTINCT_ROWS);
    let (mean, scale) = range(&tensor.name, cols, shape);
    let drawn =
        RandomTensor { name: tensor.name.clone(), shape: vec![distinct, cols], format: Format::F32, mean, scale };
    let values: Vec<f32> = RandomWeights::new(0, [drawn])?.values(&tensor.name)?.collect();
    let alike = vec![1.0; cols];
    let importance = tensor.format.needs_importance().then_some(alike.as_slice());
    let encode = |row| encode_row_with(tensor.format, row, importance);
    let first = values.chunks_exact(cols).map(encode).collect::<Result<Vec<_>, _>>()?.concat();
    let row_bytes = first.len() / distinct;
    // Plain numbers are shuffled in pieces of 32 too.
    let block = tensor.format.block_bytes() * 32usize.div_ceil(tensor.format.block_weights());
    let mut bytes = Vec::with_capacity(row_bytes * rows);
    bytes.extend_from_slice(&first);
    let mut state = 0u64;
    while bytes.len() < row_bytes * rows {
        let column = bytes.len() % row_bytes;
        // The high bits of Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (state >> 33) as usize % distinct * row_bytes + column;
        bytes.extend_from_slice(&first[from..from + block.min(row_bytes - column)]);
    }
    Ok(bytes)
}
