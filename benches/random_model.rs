//! Writes a GGUF file of a real model's shape with seeded random weights, to time loading and computing without a download:
//! `random_model --shape qwen2.5-0.5b|llama-3.2-1b|llama-3.2-3b --type Q4_K_M --out FILE`.
//!
//! `--type` is a mix (`Q4_K_M`, `IQ4_XS`, ...) or a format, as for the example `quantize`. To be quick, a matrix repeats its first 256
//! rows.
//! There is no vocabulary: prompts are token ids.

use mistral_core::models::{GgufTensor, GgufWriter, Metadata, Quantizer, RandomTensor, RandomWeights, Value};
use mistral_core::quant::{Format, encode_row_with};

type Failure = Box<dyn std::error::Error>;

const DISTINCT_ROWS: usize = 256;

struct Shape {
    name: &'static str,
    architecture: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    intermediate: usize,
    vocab: usize,
    qkv_bias: bool,
}

const SHAPES: [Shape; 3] = [
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
    },
];

fn metadata(shape: &Shape) -> Metadata {
    let mut metadata = Metadata::default();
    let mut set = |key: String, value| drop(metadata.insert(key, value));
    set("general.architecture".into(), Value::Str(shape.architecture.into()));
    set("general.name".into(), Value::Str(format!("{} with random weights", shape.name)));
    set("tokenizer.ggml.model".into(), Value::Str("none".into()));
    let sizes = [
        ("context_length", 32_768),
        ("embedding_length", shape.hidden),
        ("block_count", shape.layers),
        ("feed_forward_length", shape.intermediate),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head_dim),
        ("attention.value_length", shape.head_dim),
    ];
    for (key, size) in sizes {
        set(format!("{}.{key}", shape.architecture), Value::U32(size as u32));
    }
    set(format!("{}.attention.layer_norm_rms_epsilon", shape.architecture), Value::F32(1e-6));
    set(format!("{}.rope.freq_base", shape.architecture), Value::F32(1_000_000.0));
    metadata
}

fn main() -> Result<(), Failure> {
    let mut args = pico_args::Arguments::from_env();
    let wanted: String = args.value_from_str("--shape")?;
    let quantizer: Quantizer = args.value_from_str("--type")?;
    let out: String = args.value_from_str("--out")?;
    let shape = SHAPES.iter().find(|s| s.name == wanted).ok_or_else(|| format!("unknown shape {wanted}"))?;

    let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
    let mut tensors = Vec::new();
    let mut matrix = |name: String, rows: usize, cols: usize| {
        tensors.push(GgufTensor { name: format!("{name}.weight"), format: Format::F32, shape: vec![rows, cols] });
    };
    matrix("token_embd".into(), shape.vocab, shape.hidden);
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
    let mut file = GgufWriter::create(&out, &metadata, &tensors)?;
    for tensor in &tensors {
        let (rows, cols) = match tensor.shape[..] {
            [rows, cols] => (rows, cols),
            _ => (1, tensor.shape[0]),
        };
        let distinct = rows.min(DISTINCT_ROWS);
        let norm = tensor.name.contains("norm");
        let drawn = RandomWeights::new(
            0,
            [RandomTensor {
                name: tensor.name.clone(),
                shape: vec![distinct, cols],
                format: Format::F32,
                mean: if norm { 1.0 } else { 0.0 },
                scale: if norm { 0.1 } else { (3.0 / cols as f32).sqrt() },
            }],
        )?;
        let values: Vec<f32> = drawn.values(&tensor.name)?.collect();
        let alike = vec![1.0; cols];
        let importance = tensor.format.needs_importance().then_some(alike.as_slice());
        let rows_of = values.chunks_exact(cols).map(|row| encode_row_with(tensor.format, row, importance));
        let bytes = rows_of.collect::<Result<Vec<_>, _>>()?.concat();
        let row = bytes.len() / distinct;
        let mut all = Vec::with_capacity(row * rows);
        while all.len() < row * rows {
            let take = bytes.len().min(row * rows - all.len());
            all.extend_from_slice(&bytes[..take]);
        }
        file.tensor(&all)?;
    }
    file.finish()?;
    println!("{out}: {} bytes", std::fs::metadata(&out)?.len());
    Ok(())
}
