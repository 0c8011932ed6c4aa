//! Every supported family against logits of the genuine Hugging Face implementation: both spellings of the configuration and
//! GGUF, whole and in pieces, alone and beside another sequence, and greedy continuations through the cache.

use std::path::Path;

use mistral_models::{Batch, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits};
use mistral_quant::{Backend, Cpu, CpuOptions, KvFormat, Reference};
use mistral_tests::shared;
use safetensors::SafeTensors;
use serde_json::Value;

const CASES: &[&str] = &[
    "llama",
    "llama3_rope_tied",
    "llama_bf16",
    "llama_bias_headdim",
    "llama_f16",
    "llama_f32_full",
    "llama_rope_dynamic",
    "llama_rope_linear",
    "llama_rope_yarn",
    "llama_sharded",
    "mistral",
    "qwen2",
    "qwen2_swa",
    "qwen3",
    "gemma2",
    "phi3",
    "phi3_longrope_long",
    "phi3_longrope_short",
    "phi4_mini",
];

/// What the genuine implementation computed.
struct Expected {
    rows: Vec<Vec<u32>>,
    /// `[rows, tokens, vocab]`.
    logits: Vec<f32>,
    greedy: Vec<u32>,
    greedy_cached: Option<Vec<u32>>,
    atol: f32,
    rtol: f32,
}

fn ids(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<u32>> {
    let tensor = tensors.tensor(name).ok()?;
    Some(tensor.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32).collect())
}

impl Expected {
    fn read(case: &Path) -> Self {
        let bytes = std::fs::read(case.join("expected.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let meta: Value = serde_json::from_slice(&std::fs::read(case.join("meta.json")).unwrap()).unwrap();
        let logits = tensors.tensor("logits").unwrap();
        let values: Vec<f32> =
            logits.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let tolerance = |key: &str| meta["tolerance"][key].as_f64().unwrap() as f32;
        let width = logits.shape()[1];
        Self {
            rows: ids(&tensors, "input_ids").unwrap().chunks_exact(width).map(<[u32]>::to_vec).collect(),
            logits: values,
            greedy: ids(&tensors, "greedy_ids").unwrap(),
            greedy_cached: ids(&tensors, "greedy_ids_hf_cached"),
            atol: tolerance("atol_over_max_abs") * largest,
            rtol: tolerance("rtol"),
        }
    }

    fn check(&self, what: &str, row: usize, actual: &[f32]) {
        let expected = &self.logits[row * actual.len()..][..actual.len()];
        for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
            let allowed = self.atol + self.rtol * e.abs();
            assert!((a - e).abs() <= allowed, "{what}, row {row}, logit {i}: {a}, expected {e} within {allowed}");
        }
    }
}

const BLOCK: usize = 4;
const BLOCKS: usize = 40;

/// Blocks of two sequences, interleaved and in falling order, so that paging is seen.
fn table(row: usize, length: usize) -> Vec<u32> {
    (0..length.div_ceil(BLOCK)).map(|i| (BLOCKS - 1 - 2 * i - row) as u32).collect()
}

fn options() -> CacheOptions {
    CacheOptions { blocks: BLOCKS, block_tokens: BLOCK, key_format: KvFormat::F32, value_format: KvFormat::F32 }
}

/// Logits of one row fed in pieces; the last size repeats.
fn in_pieces<B: Backend>(decoder: &mut Decoder<B>, row: &[u32], pieces: &[usize]) -> Vec<f32> {
    let mut cache = decoder.cache(options()).unwrap();
    let (mut all, mut at, mut piece) = (Vec::new(), 0, 0);
    while at < row.len() {
        let size = pieces[piece.min(pieces.len() - 1)].min(row.len() - at);
        let (mut batch, mut logits) = (Batch::default(), Logits::default());
        batch.push(&row[at..at + size], at, row.len(), table(0, at + size), LogitRows::All);
        decoder.forward(&batch, &mut cache, &mut logits).unwrap();
        all.extend_from_slice(logits.values());
        (at, piece) = (at + size, piece + 1);
    }
    all
}

/// All rows in one step.
fn together<B: Backend>(decoder: &mut Decoder<B>, rows: &[Vec<u32>]) -> Vec<f32> {
    let mut cache = decoder.cache(options()).unwrap();
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    for (index, row) in rows.iter().enumerate() {
        batch.push(row, 0, row.len(), table(index, row.len()), LogitRows::All);
    }
    decoder.forward(&batch, &mut cache, &mut logits).unwrap();
    logits.values().to_vec()
}

fn greedy<B: Backend>(decoder: &mut Decoder<B>, prefix: &[u32], count: usize) -> Vec<u32> {
    let mut cache = decoder.cache(options()).unwrap();
    let (mut next, mut at, mut out) = (prefix.to_vec(), 0, Vec::new());
    while out.len() < count {
        let (mut batch, mut logits) = (Batch::default(), Logits::default());
        let end = at + next.len();
        batch.push(&next, at, end, table(1, end), LogitRows::Last);
        decoder.forward(&batch, &mut cache, &mut logits).unwrap();
        let row = logits.row(0).unwrap();
        let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
        out.push(best as u32);
        (next, at) = (vec![best as u32], end);
    }
    out
}

fn verify<B: Backend>(what: &str, decoder: &mut Decoder<B>, expected: &Expected) {
    let width = expected.logits.len() / expected.rows.len();
    for (index, row) in together(decoder, &expected.rows).chunks_exact(width).enumerate() {
        expected.check(&format!("{what}, together"), index, row);
    }
    for pieces in [&[1000][..], &[8, 1, 5], &[1], &[3]] {
        for (index, row) in expected.rows.iter().enumerate() {
            let actual = in_pieces(decoder, row, pieces);
            expected.check(&format!("{what}, in pieces of {pieces:?}"), index, &actual);
        }
    }
    let ids = greedy(decoder, &expected.rows[0][..8], expected.greedy.len());
    assert!(ids == expected.greedy || Some(&ids) == expected.greedy_cached.as_ref(), "{what}: greedy {ids:?}");
}

fn decoder<B: Backend>(backend: B, model: &Path, config: Option<&Path>) -> Decoder<B> {
    let mut options = Checkpoint::options();
    if let Some(config) = config {
        options = options.config(config);
    }
    let checkpoint = options.open(model).unwrap();
    let description = Description::new(&checkpoint).unwrap();
    Decoder::load(backend, checkpoint.weights(), description).unwrap()
}

#[test]
fn families_agree_with_the_genuine_implementation() {
    let Some(root) = shared("conformance/public") else { return };
    let mut runs = 0;
    for case in CASES {
        let dir = root.join(case);
        let expected = Expected::read(&dir);
        for config in ["config.json", "config_hub.json"] {
            let cpu = Cpu::new(CpuOptions::default()).unwrap();
            verify(&format!("{case} {config}"), &mut decoder(cpu, &dir, Some(&dir.join(config))), &expected);
            runs += 1;
        }
        let gguf = dir.join("model-f32.gguf");
        if gguf.is_file() {
            let cpu = Cpu::new(CpuOptions::default()).unwrap();
            verify(&format!("{case} gguf"), &mut decoder(cpu, &gguf, None), &expected);
            runs += 1;
        }
    }
    assert!(runs > 2 * CASES.len(), "only {runs} checkpoints were run");
}

#[test]
fn the_reference_backend_agrees_too() {
    let Some(root) = shared("conformance/public") else { return };
    for case in ["llama_bias_headdim", "qwen3", "gemma2", "phi4_mini"] {
        let dir = root.join(case);
        verify(case, &mut decoder(Reference, &dir, None), &Expected::read(&dir));
    }
}
