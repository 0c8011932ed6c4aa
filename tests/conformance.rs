//! Every supported family against logits of the genuine Hugging Face implementation: both spellings of the configuration and
//! GGUF, whole and in pieces, alone and beside another sequence, and greedy continuations through the cache.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use mistral_core::{EventKind, Model, Prompt, Request, SequenceId};
use mistral_models::{Batch, CacheOptions, Checkpoint, Decoder, Description, LogitRows, Logits, Run};
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
    "gpt2",
    "gpt_neox",
    "qwen3_moe",
    "gpt_oss",
    "granitemoehybrid",
    "llama4_text",
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
    CacheOptions::new(BLOCKS, BLOCK).slots(2).formats(KvFormat::F32, KvFormat::F32)
}

/// A run of one of two sequences, with a block table for each group of layers of the decoder.
fn run<'a, B: Backend>(
    decoder: &Decoder<B>,
    tokens: &'a [u32],
    position: usize,
    row: usize,
    rows: LogitRows,
) -> Run<'a> {
    let groups = decoder.spec().cache_plan(KvFormat::F32, KvFormat::F32).groups.len();
    Run::new(tokens, position).slot(row).rows(rows).tables(groups, &table(row, position + tokens.len()))
}

/// Logits of one row fed in pieces; the last size repeats.
fn in_pieces<B: Backend>(decoder: &mut Decoder<B>, row: &[u32], pieces: &[usize]) -> Vec<f32> {
    let mut cache = decoder.cache(options()).unwrap();
    let (mut all, mut at, mut piece) = (Vec::new(), 0, 0);
    while at < row.len() {
        let size = pieces[piece.min(pieces.len() - 1)].min(row.len() - at);
        let (mut batch, mut logits) = (Batch::default(), Logits::default());
        batch.push(run(decoder, &row[at..at + size], at, 0, LogitRows::All).length(row.len()));
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
        batch.push(run(decoder, row, 0, index, LogitRows::All));
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
        batch.push(run(decoder, &next, at, 1, LogitRows::Last));
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

/// The cases, or while a family is written those that the variable `MISTRAL_CASES` names with commas.
fn cases() -> Vec<String> {
    match std::env::var("MISTRAL_CASES") {
        Ok(some) => {
            eprintln!("only these cases: {some}");
            some.split(',').map(str::to_owned).collect()
        }
        Err(_) => CASES.iter().map(ToString::to_string).collect(),
    }
}

/// Runs `check` for every case, and fails with the messages of all cases that failed.
fn for_each_case(mut check: impl FnMut(&str)) {
    let mut failed = Vec::new();
    for case in cases() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&case))) {
            let text = panic.downcast_ref::<String>().cloned();
            failed.push(format!("{case}: {}", text.unwrap_or_default()));
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn families_agree_with_the_genuine_implementation() {
    let Some(root) = shared("conformance/public") else { return };
    for_each_case(|case| {
        let mut runs = 0;
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
        assert!(runs >= 2, "{case}: only {runs} checkpoints were run");
    });
}

#[test]
fn the_reference_backend_agrees_too() {
    let Some(root) = shared("conformance/public") else { return };
    for case in ["llama_bias_headdim", "qwen3", "gemma2", "phi4_mini"] {
        let dir = root.join(case);
        verify(case, &mut decoder(Reference, &dir, None), &Expected::read(&dir));
    }
}

/// Rows of an encoder, with the type of each token.
fn encoded<B: Backend>(decoder: &mut Decoder<B>, rows: &[Vec<u32>], types: Option<&[Vec<u32>]>) -> Logits {
    let mut cache = decoder.cache(options()).unwrap();
    let (mut batch, mut hidden) = (Batch::default(), Logits::default());
    for (index, row) in rows.iter().enumerate() {
        let run = run(decoder, row, 0, index, LogitRows::All);
        batch.push(types.map_or(run.clone(), |types| run.token_types(&types[index])));
    }
    decoder.forward(&batch, &mut cache, &mut hidden).unwrap();
    hidden
}

#[test]
fn encoders_agree_with_the_genuine_implementation() {
    let Some(root) = shared("conformance/public") else { return };
    let dir = root.join("bert");
    let bytes = std::fs::read(dir.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let meta: Value = serde_json::from_slice(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
    let numbers = |name: &str| -> (Vec<f32>, Vec<usize>) {
        let tensor = tensors.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        (values, tensor.shape().to_vec())
    };
    let rows =
        |name: &str| -> Vec<Vec<u32>> { ids(&tensors, name).unwrap().chunks_exact(24).map(<[u32]>::to_vec).collect() };
    let check = |what: &str, actual: &[f32], expected: &[f32]| {
        let largest = numbers("last_hidden_state").0.iter().fold(0f32, |m, v| m.max(v.abs()));
        let atol = meta["tolerance"]["atol_over_max_abs"].as_f64().unwrap() as f32 * largest;
        assert_eq!(actual.len(), expected.len(), "{what}");
        for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!((a - e).abs() <= atol + 1e-4 * e.abs(), "{what}, value {i}: {a}, expected {e}");
        }
    };
    let input = rows("input_ids");
    for config in ["config.json", "config_hub.json"] {
        let cpu = Cpu::new(CpuOptions::default()).unwrap();
        let mut bert = decoder(cpu, &dir, Some(&dir.join(config)));
        let hidden = encoded(&mut bert, &input, None);
        check("together", hidden.values(), &numbers("last_hidden_state").0);
        let (width, tokens) = (hidden.vocab_size(), 24);
        let mean: Vec<f32> = hidden
            .values()
            .chunks_exact(tokens * width)
            .flat_map(|text| {
                let of = |j: usize| text.chunks_exact(width).map(|row| row[j]).sum::<f32>() / tokens as f32;
                (0..width).map(of).collect::<Vec<f32>>()
            })
            .collect();
        check("mean", &mean, &numbers("mean_pooled").0);
        let first: Vec<f32> = (0..2).flat_map(|text| hidden.row(text * tokens).unwrap().to_vec()).collect();
        check("first", &first, &numbers("cls_pooled").0);
        let mut firsts = Logits::default();
        firsts.reset(2, width);
        firsts.values_mut().copy_from_slice(&first);
        check("pooler", bert.pool(&firsts).unwrap().values(), &numbers("pooler_output").0);
        let types = rows("token_type_ids");
        let typed = encoded(&mut bert, &input, Some(&types));
        check("token types", typed.values(), &numbers("token_type_last_hidden_state").0);
        // A text alone, and the padded texts without their padding.
        check("alone", encoded(&mut bert, &input[1..], None).values(), &hidden.values()[tokens * width..]);
        let mask = rows("padded_attention_mask");
        let kept: Vec<usize> = mask.iter().map(|row| row.iter().filter(|m| **m == 1).count()).collect();
        let texts: Vec<Vec<u32>> =
            rows("padded_input_ids").iter().zip(&kept).map(|(row, kept)| row[..*kept].to_vec()).collect();
        let padded = numbers("padded_last_hidden_state").0;
        let parts = padded.chunks_exact(tokens * width).zip(&kept);
        let expected: Vec<f32> = parts.flat_map(|(text, kept)| text[..kept * width].to_vec()).collect();
        check("without padding", encoded(&mut bert, &texts, None).values(), &expected);
    }
}

/// A value that means something else; `None` for a kind of value that this test does not change.
fn altered(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(on) => Some((!on).into()),
        Value::Number(n) => match n.as_u64() {
            Some(n) => Some((if n > 2 { n / 2 } else { n + 1 }).into()),
            None => n.as_f64().map(|n| (n * 1.5).into()),
        },
        _ => None,
    }
}

/// A key of the configuration that changes the arithmetic of the genuine implementation changes this one's, or is refused.
#[test]
fn a_key_that_matters_is_heard() {
    let Some(root) = shared("conformance/public") else { return };
    let mut heard = 0;
    let whole = std::env::var_os("MISTRAL_CASES").is_none();
    let mut check = |case: &str| {
        let dir = root.join(case);
        let meta: Value = serde_json::from_slice(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
        let Some(matters) = meta["config_sensitivity"].as_object() else { return };
        let bytes = std::fs::read(dir.join("expected.safetensors")).unwrap();
        let rows: Vec<Vec<u32>> = ids(&SafeTensors::deserialize(&bytes).unwrap(), "input_ids")
            .unwrap()
            .chunks_exact(24)
            .map(<[u32]>::to_vec)
            .collect();
        for name in ["config.json", "config_hub.json"] {
            let config: Value = serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap();
            let checkpoint = Checkpoint::open(&dir).unwrap();
            let logits = |config: &Value| -> Result<Vec<f32>, mistral_models::Error> {
                let description = Description::from_json(config.as_object().unwrap(), checkpoint.weights())?;
                let cpu = Cpu::new(CpuOptions::default()).unwrap();
                let mut decoder = Decoder::load(cpu, checkpoint.weights(), description)?;
                Ok(together(&mut decoder, &rows))
            };
            let usual = logits(&config).unwrap();
            for (key, change) in matters {
                let Some(change) = change.as_f64().filter(|change| *change > 1e-3) else { continue };
                for object in ["", "rope_parameters", "rope_scaling"] {
                    let mut other = config.clone();
                    // Lists that say by layer what these keys say by number, and are read first.
                    if ["max_window_layers", "no_rope_layer_interval", "interleave_moe_layer_step"].contains(&&**key) {
                        for list in ["layer_types", "no_rope_layers", "moe_layers"] {
                            other.as_object_mut().unwrap().remove(list);
                        }
                    }
                    let place = if object.is_empty() { Some(&mut other) } else { other.get_mut(object) };
                    let Some(place) = place.and_then(|place| place.get_mut(key)) else { continue };
                    let Some(value) = altered(place) else { continue };
                    *place = value;
                    let Ok(found) = logits(&other) else { continue };
                    let differs = usual.iter().zip(&found).any(|(a, b)| (a - b).abs() > 1e-6);
                    assert!(differs, "{case} {name}: `{key}` changed nothing; {change} there");
                    heard += 1;
                }
            }
        }
    };
    for_each_case(&mut check);
    if whole {
        check("bert");
        assert!(heard > 60, "only {heard} keys were changed");
    }
}

/// The engine over every family: greedy, two sequences at a time, in small blocks, with caches for windows and slots for state.
#[test]
fn the_engine_continues_as_the_genuine_implementation() {
    let Some(root) = shared("conformance/public") else { return };
    let now = Instant::now();
    for_each_case(|case| {
        let dir = root.join(case);
        let expected = Expected::read(&dir);
        let builder = Model::builder().checkpoint(&*dir).kv_format(KvFormat::F32).block_tokens(4).max_sequences(2);
        let mut engine = builder.max_batch_tokens(5).engine().unwrap();
        let request = |row: usize| {
            let prompt = Prompt::Tokens(expected.rows[row][..8].to_vec());
            Request::new(prompt).temperature(0.0).max_tokens(expected.greedy.len()).ignore_eos(true)
        };
        let ids: Vec<SequenceId> = [0, 1, 0].map(|row| engine.submit(request(row), now).unwrap()).into();
        let mut tokens: BTreeMap<SequenceId, Vec<u32>> = BTreeMap::new();
        while !engine.is_idle() {
            engine.step(now);
            while let Some(event) = engine.poll_event() {
                match event.kind {
                    EventKind::Piece(piece) => tokens.entry(event.sequence).or_default().extend(piece.tokens),
                    EventKind::Failed(error) => panic!("{case}: {error}"),
                    _ => {}
                }
            }
        }
        let found = &tokens[&ids[0]];
        assert!(found == &expected.greedy || Some(found) == expected.greedy_cached.as_ref(), "{case}: {found:?}");
        assert_eq!(found, &tokens[&ids[2]], "{case}: the same request, after others");
    });
}

#[test]
fn what_cannot_generate_is_refused_when_it_is_opened() {
    let Some(root) = shared("conformance/public") else { return };
    let error = Model::builder().checkpoint(&*root.join("bert")).engine().unwrap_err().to_string();
    assert!(error.contains("an encoder without a head"), "{error}");
    let error = Model::builder().checkpoint(&*root.join("gpt2")).context_length(65).engine().unwrap_err();
    assert!(matches!(error, mistral_core::Error::InvalidParameter { name: "context_length", .. }), "{error}");
    assert!(Model::builder().checkpoint(&*root.join("gpt2")).context_length(64).engine().is_ok());
}
