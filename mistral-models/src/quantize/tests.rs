//! From a checkpoint to a file or a decoder, with every byte compared to what the encoder alone gives.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use mistral_quant::{Backend, Cpu, CpuOptions, KvFormat, Reference, encode_row};

use super::*;
use crate::batch::{Batch, LogitRows, Logits, Run};
use crate::cache::CacheOptions;
use crate::decoder::Decoder;
use crate::description::Description;
use crate::loader::checkpoint::Checkpoint;
use crate::loader::gguf_write::{GgufTensor, GgufWriter};
use crate::loader::random::{RandomTensor, RandomWeights};
use crate::loader::weights::Weights;
use crate::metadata::Metadata;
use crate::metadata::Value;

/// A path of its own for each use, removed at its end.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("quantize-{}-{}.gguf", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const LAYERS: usize = 8;
const HIDDEN: usize = 256;
/// Not whole blocks of 256.
const WIDE: usize = 288;
const VOCAB: usize = 40;

fn drawn(tensors: Vec<(String, Vec<usize>)>) -> RandomWeights {
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let norm = name.contains("norm");
        let scale = if norm { 0.1 } else { 0.1 / (shape[shape.len() - 1] as f32 / 64.0).sqrt() };
        RandomTensor { name, shape, format: Format::F32, mean: if norm { 1.0 } else { 0.0 }, scale }
    });
    RandomWeights::new(3, tensors).unwrap()
}

fn names(layers: usize, tied: bool) -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("token_embd.weight".into(), vec![VOCAB, HIDDEN]), ("output_norm.weight".into(), vec![HIDDEN])];
    if !tied {
        all.push(("output.weight".into(), vec![VOCAB, HIDDEN]));
    }
    for layer in 0..layers {
        for (name, shape) in [
            ("attn_norm", vec![HIDDEN]),
            ("ffn_norm", vec![HIDDEN]),
            ("attn_q", vec![HIDDEN, HIDDEN]),
            ("attn_k", vec![HIDDEN / 4, HIDDEN]),
            ("attn_v", vec![HIDDEN / 4, HIDDEN]),
            ("attn_output", vec![HIDDEN, HIDDEN]),
            ("ffn_gate", vec![WIDE, HIDDEN]),
            ("ffn_up", vec![WIDE, HIDDEN]),
            ("ffn_down", vec![HIDDEN, WIDE]),
        ] {
            all.push((format!("blk.{layer}.{name}.weight"), shape));
        }
    }
    all
}

/// A small Llama in F32.
fn source(tied: bool) -> (RandomWeights, Vec<u8>) {
    source_of(LAYERS, tied)
}

/// A small Llama in F32 with `layers` layers.
fn source_of(layers: usize, tied: bool) -> (RandomWeights, Vec<u8>) {
    let weights = drawn(names(layers, tied));
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str("llama".into()));
    metadata.insert("general.name", Value::Str("small".into()));
    for (key, size) in [
        ("context_length", 64),
        ("embedding_length", HIDDEN),
        ("block_count", layers),
        ("feed_forward_length", WIDE),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 1),
    ] {
        metadata.insert(format!("llama.{key}"), Value::U32(size as u32));
    }
    metadata.insert("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    let list: Vec<GgufTensor> = weights
        .tensors()
        .iter()
        .map(|t| GgufTensor { name: t.name.clone(), format: t.format, shape: t.shape.clone() })
        .collect();
    let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
    for tensor in &list {
        file.tensor(weights.get(&tensor.name).unwrap().bytes.as_slice()).unwrap();
    }
    (weights, file.finish().unwrap())
}

fn open(bytes: &[u8]) -> Checkpoint {
    Checkpoint::from_bytes(bytes.to_vec()).unwrap()
}

fn logits(weights: &dyn Weights, description: Description) -> Vec<f32> {
    let mut decoder = Decoder::load(Cpu::new(CpuOptions::default()).unwrap(), weights, description).unwrap();
    let mut cache = decoder.cache(CacheOptions::new(2, 16).formats(KvFormat::F32, KvFormat::F32)).unwrap();
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    batch.push(Run::new(&[3, 1, 4, 1, 5, 9, 2, 6], 0).tables(1, &[0]).rows(LogitRows::All));
    decoder.forward(&batch, &mut cache, &mut logits).unwrap();
    logits.values().to_vec()
}

#[test]
fn a_file_holds_what_the_encoder_gives_and_says_what_was_done() {
    let (weights, bytes) = source(false);
    let checkpoint = open(&bytes);
    let path = Path::new();
    let plan = Quantizer::new(Mix::Q4_K_M).threads(3).to_gguf(&checkpoint).unwrap();
    let mut seen = Vec::new();
    let written = plan.write(&path.0, |p| seen.push((p.index, p.done, p.total))).unwrap();
    assert_eq!(written, std::slice::from_ref(&path.0));
    assert!(seen.is_sorted() && seen.last().is_some_and(|(_, done, total)| done == total), "{seen:?}");
    let made = Checkpoint::open(&path.0).unwrap();
    assert_eq!(made.tensor_bytes(), plan.bytes());
    let metadata = made.metadata().unwrap();
    assert_eq!(metadata.u64("general.file_type").unwrap(), Some(15));
    assert_eq!(metadata.u64("general.quantization_version").unwrap(), Some(2));
    assert_eq!(metadata.str("general.name").unwrap(), Some("small"));
    for tensor in plan.tensors() {
        let found = made.weights().get(&tensor.name).unwrap();
        let values: Vec<f32> = weights.values(&tensor.name).unwrap().collect();
        assert_eq!((found.format().unwrap(), &found.shape), (tensor.to, &tensor.shape));
        assert!(found.bytes.as_slice() == encode_row(tensor.to, &values).unwrap(), "{}", tensor.name);
    }
    let formats = |name: &str| plan.tensors().iter().find(|t| t.name == name).map(|t| (t.to, t.instead_of)).unwrap();
    assert_eq!(formats("output.weight"), (Format::Q6_K, None));
    assert_eq!(formats("token_embd.weight"), (Format::Q4_K, None));
    assert_eq!(formats("blk.0.attn_v.weight"), (Format::Q6_K, None));
    assert_eq!(formats("blk.1.attn_v.weight"), (Format::Q4_K, None));
    assert_eq!(formats("blk.0.ffn_down.weight"), (Format::Q8_0, Some(Format::Q6_K)));
    assert_eq!(formats("blk.1.ffn_down.weight"), (Format::Q5_0, Some(Format::Q4_K)));
    assert_eq!(formats("blk.0.attn_norm.weight"), (Format::F32, None));
}

#[test]
fn every_mix_and_every_format_that_can_be_computed_makes_a_file_that_runs() {
    // A mix treats layers by their number. One format does with one layer, which takes an eighth of the time.
    // Some mixes, or all where `MISTRAL_SWEEP` is set, as `.ci/run` sets it.
    let stride = if std::env::var_os("MISTRAL_SWEEP").is_some() { 1 } else { 6 };
    let mixes: Vec<Quantizer> = Mix::all().map(Quantizer::new).step_by(stride).collect();
    let formats: Vec<Quantizer> = Format::all().map(Quantizer::uniform).collect();
    let least = mixes.len() + 13;
    let made = made_and_run(LAYERS, mixes) + made_and_run(1, formats);
    assert!(made >= least, "only {made} were made");
}

/// Makes and runs a file of a model with `layers` layers for each quantizer, and returns how many could be computed.
fn made_and_run(layers: usize, quantizers: Vec<Quantizer>) -> usize {
    let (_, bytes) = source_of(layers, true);
    let checkpoint = open(&bytes);
    let exact = logits(checkpoint.weights(), Description::new(&checkpoint).unwrap());
    let norm = exact.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let mut made = 0;
    let importance = measured(&checkpoint);
    for quantizer in quantizers {
        let path = Path::new();
        let known = quantizer.clone().importance(importance.clone());
        let Ok(plan) = quantizer.to_gguf(&checkpoint).or_else(|_| known.to_gguf(&checkpoint)) else {
            assert!(matches!(quantizer.target, Target::Uniform(_)), "{:?}", quantizer.target);
            continue;
        };
        plan.write(&path.0, |_| ()).unwrap();
        let small = Checkpoint::open(&path.0).unwrap();
        let found = logits(small.weights(), Description::new(&small).unwrap());
        let error = exact.iter().zip(&found).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / norm;
        // A bit more a weight leaves a quarter of the error, beginning with all of it at three bits.
        let bits = plan.bytes() as f64 * 8.0 / plan.tensors().iter().map(|t| t.weights() as f64).sum::<f64>();
        // The scales of NVFP4 are too coarse for weights as small as these: there is none for the tensor beside them.
        let coarse = if matches!(quantizer.target, Target::Uniform(Format::NVFP4)) { 0.1 } else { 3e-4 };
        // One bit per weight has a sign and nothing else.
        let signs = [Target::Mix(Mix::Q1_0), Target::Uniform(Format::Q1_0)].contains(&quantizer.target);
        let most = if signs { 1.6 } else { 1.2 };
        let allowed = 4f64.powf(3.0 - bits).clamp(coarse, most);
        assert!(error < allowed, "{:?}: error {error}, {bits} bits", quantizer.target);
        made += 1;
    }
    made
}

const TEXT: [u32; 24] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4];

fn calibration<B: Backend>(backend: B, checkpoint: &Checkpoint) -> Calibration<B>
where
    B::Weight: Clone,
{
    let description = Description::new(checkpoint).unwrap();
    let mut calibration = Calibration::new(backend, checkpoint.weights(), description, 10).unwrap().head(true);
    TEXT.chunks(10).for_each(|chunk| calibration.chunk(chunk).unwrap());
    calibration
}

/// An importance matrix of a short text, the embedding included.
fn measured(checkpoint: &Checkpoint) -> Importance {
    calibration(Cpu::new(CpuOptions::default()).unwrap(), checkpoint).importance("digits").unwrap()
}

#[test]
fn calibration_sums_the_squares_that_the_definition_says() {
    let (weights, bytes) = source(false);
    let checkpoint = open(&bytes);
    let all = measured(&checkpoint);
    assert_eq!((all.chunks(), all.chunk_tokens(), all.datasets()), (3, 10, &["digits".to_owned()][..]));
    // Every matrix of the file but the embedding.
    let matrices =
        names(LAYERS, false).into_iter().filter(|(name, shape)| shape.len() == 2 && name != "token_embd.weight");
    let matrices: Vec<(String, Vec<usize>)> = matrices.collect();
    let mut expected: Vec<&str> = matrices.iter().map(|(name, _)| name.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(all.names().collect::<Vec<_>>(), expected);
    assert!(matrices.iter().all(|(name, shape)| all.get(name).unwrap().len() == shape[1]));

    // The input of the first layer's attention is the norm of an embedding: by hand, in f64.
    let table: Vec<f64> = weights.values("token_embd.weight").unwrap().map(f64::from).collect();
    let scale: Vec<f64> = weights.values("blk.0.attn_norm.weight").unwrap().map(f64::from).collect();
    let mut squares = vec![0.0; HIDDEN];
    for id in TEXT {
        let row = &table[id as usize * HIDDEN..][..HIDDEN];
        let mean = row.iter().map(|x| x * x).sum::<f64>() / HIDDEN as f64;
        for ((sum, x), scale) in squares.iter_mut().zip(row).zip(&scale) {
            *sum += (x * scale).powi(2) / (mean + 1e-5);
        }
    }
    for part in ["q", "k", "v"] {
        let found = all.get(&format!("blk.0.attn_{part}.weight")).unwrap();
        for (sum, found) in squares.iter().zip(found) {
            let mean = sum / TEXT.len() as f64;
            assert!((mean - f64::from(*found)).abs() < 1e-5 * mean, "{mean} {found}");
        }
    }
    // All others: the naive backend, which sums in f64 and rounds no activation.
    let exact = calibration(Reference, &checkpoint).importance("digits").unwrap();
    for (name, _) in &matrices {
        let (exact, found) = (exact.get(name).unwrap(), all.get(name).unwrap());
        let largest = exact.iter().fold(0f32, |most, value| most.max(*value));
        let error = exact.iter().zip(found).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 1e-4 * largest, "{name}: {error} of {largest}");
    }
    // Chunks do not see each other: the last one alone gives what it added.
    let description = Description::new(&checkpoint).unwrap();
    let mut first = Calibration::new(Reference, checkpoint.weights(), description, 10).unwrap();
    TEXT.chunks(10).take(2).for_each(|chunk| first.chunk(chunk).unwrap());
    let description = Description::new(&checkpoint).unwrap();
    let mut last = Calibration::new(Reference, checkpoint.weights(), description, 10).unwrap();
    last.chunk(&TEXT[20..]).unwrap();
    let mut sum = first.importance("a").unwrap();
    sum.merge(&last.importance("b").unwrap()).unwrap();
    assert!(sum.get("output.weight").is_none() && sum.len() == all.len() - 1);
    for name in sum.names() {
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * a.abs();
        assert!(sum.get(name).unwrap().iter().zip(exact.get(name).unwrap()).all(close), "{name}");
    }
}

#[test]
fn calibration_refuses_what_it_cannot_run() {
    let (_, bytes) = source(true);
    let checkpoint = open(&bytes);
    for tokens in [0, 65] {
        let description = Description::new(&checkpoint).unwrap();
        let refused = Calibration::new(Reference, checkpoint.weights(), description, tokens);
        assert!(matches!(refused.err(), Some(Error::Config { .. })));
    }
    let description = Description::new(&checkpoint).unwrap();
    let mut calibration = Calibration::new(Reference, checkpoint.weights(), description, 4).unwrap();
    assert!(matches!(calibration.chunk(&[1; 5]), Err(Error::Batch { .. })));
    assert!(matches!(calibration.chunk(&[VOCAB as u32]), Err(Error::Batch { .. })));
    assert!(calibration.importance("").unwrap().is_empty());
}

#[test]
fn importance_lowers_the_error_that_it_weighs() {
    let (weights, bytes) = source(true);
    let checkpoint = open(&bytes);
    let all = measured(&checkpoint);
    let name = "blk.3.attn_output.weight";
    // Some rows: the small formats search long.
    let values: Vec<f32> = weights.values(name).unwrap().take(32 * HIDDEN).collect();
    let (measured, even) = (all.get(name).unwrap(), vec![1.0; HIDDEN]);
    for format in [Format::Q2_K, Format::IQ2_XXS, Format::IQ2_XS, Format::IQ1_S, Format::IQ3_XXS] {
        let error = |importance: &[f32]| -> f64 {
            let lost = |row: &[f32]| -> f64 {
                let bytes = mistral_quant::encode_row_with(format, row, Some(importance)).unwrap();
                let mut found = vec![0.0; HIDDEN];
                mistral_quant::decode_row(format, &bytes, &mut found).unwrap();
                let pairs = row.iter().zip(&found).zip(measured);
                pairs.map(|((a, b), weight)| f64::from(*weight) * f64::from(a - b).powi(2)).sum()
            };
            values.chunks_exact(HIDDEN).map(lost).sum()
        };
        let (with, without) = (error(measured), error(&even));
        assert!(with < 0.99 * without, "{format}: {with} {without}");
    }
}

#[test]
fn loading_gives_the_logits_of_the_file_bit_for_bit() {
    let (_, bytes) = source(true);
    let checkpoint = open(&bytes);
    for quantizer in [
        Quantizer::uniform(Format::Q8_0),
        Quantizer::from(Format::Q4_K),
        Quantizer::new(Mix::Q3_K_M).tensor("ffn_(up|gate)", Format::Q6_K).threads(1),
    ] {
        let path = Path::new();
        let plan = quantizer.to_gguf(&checkpoint).unwrap();
        plan.write(&path.0, |_| ()).unwrap();
        let file = Checkpoint::open(&path.0).unwrap();
        let expected = logits(file.weights(), Description::new(&file).unwrap());
        let description = Description::new(&checkpoint).unwrap();
        let weights = quantizer.at_load(&checkpoint, &description).unwrap();
        assert_eq!(weights.bytes(), plan.bytes());
        assert_eq!(weights.tensors().count(), plan.tensors().iter().filter(|t| t.from != t.to).count());
        assert!(logits(&weights, description) == expected);
    }
}

/// llama.cpp counts tensors for the smallest mixes, and goes by layers for the others.
#[test]
fn models_with_experts_and_shared_experts_take_the_types_of_llama_cpp() {
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str("deepseek2".into()));
    for (key, value) in [("expert_count", 64), ("block_count", 16), ("attention.head_count", 16)] {
        metadata.insert(format!("deepseek2.{key}"), Value::U32(value));
    }
    let tensor = |name: String, shape: &[usize]| GgufTensor { name, format: Format::F32, shape: shape.to_vec() };
    let list: Vec<GgufTensor> = (0..16)
        .flat_map(|layer| {
            let shared = tensor(format!("blk.{layer}.ffn_down_shexp.weight"), &[256, 256]);
            [tensor(format!("blk.{layer}.ffn_down_exps.weight"), &[64, 256, 256]), shared]
        })
        .collect();
    for (mix, layers) in [(Mix::IQ2_XS, 1), (Mix::Q4_K_S, 2)] {
        let mut chosen = list.clone();
        Quantizer::new(mix).choose(&mut metadata.clone(), &mut chosen).unwrap();
        let more: Vec<&str> = chosen.iter().filter(|t| t.format != mix.base()).map(|t| t.name.as_str()).collect();
        let expected: Vec<&str> = list[..2 * layers].iter().map(|t| t.name.as_str()).collect();
        assert_eq!(more, expected, "{mix}");
    }
}

#[test]
fn patterns_change_formats_and_what_cannot_be_is_named() {
    let (_, bytes) = source(true);
    let checkpoint = open(&bytes);
    let quantizer = Quantizer::new(Mix::Q8_0).tensor(r"^blk\.[01]\..*_q\.", Format::Q4_0).tensor("attn", Format::Q5_1);
    let plan = quantizer.to_gguf(&checkpoint).unwrap();
    let format = |name: &str| plan.tensors().iter().find(|t| t.name == name).unwrap().to;
    assert_eq!(format("blk.1.attn_q.weight"), Format::Q4_0);
    assert_eq!(format("blk.2.attn_q.weight"), Format::Q5_1);
    assert_eq!(format("blk.2.ffn_up.weight"), Format::Q8_0);
    assert_eq!(format("blk.2.attn_norm.weight"), Format::F32);

    let refused = |quantizer: Quantizer| quantizer.to_gguf(&checkpoint).err().unwrap();
    for (pattern, words) in [
        ("(", "regular expression"),
        ("attention", "no tensor; expected a regular expression for names like `token_embd.weight`"),
        ("attn_norm", "only tensors that keep their format, such as `blk.0.attn_norm.weight`"),
    ] {
        let error = refused(Quantizer::new(Mix::Q8_0).tensor("attn_q", Format::Q4_0).tensor(pattern, Format::Q4_0));
        assert!(matches!(&error, Error::Pattern { pattern: found, .. } if found == pattern), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    for threads in [0, 1025, 40_000, usize::MAX] {
        let error = refused(Quantizer::new(Mix::Q8_0).threads(threads));
        assert!(matches!(&error, Error::Threads { detail } if detail.contains(&threads.to_string())), "{error}");
    }
    assert!(matches!(refused(Quantizer::uniform(Format::I32)), Error::Unsupported { .. }));
    assert!("Q4_K_XL".parse::<Quantizer>().unwrap_err().to_string().contains("Q4_K_M"));
    assert_eq!("iq4_xs".parse::<Quantizer>().unwrap().target, Target::Mix(Mix::IQ4_XS));
    assert_eq!("MXFP4".parse::<Quantizer>().unwrap().target, Target::Mix(Mix::MXFP4_MOE));
}

#[test]
fn weights_that_would_be_lost_are_refused() {
    for (value, format) in [(f32::NAN, Format::Q8_0), (f32::INFINITY, Format::BF16), (1e6, Format::F16)] {
        let list = [GgufTensor { name: "a.weight".into(), format: Format::F32, shape: vec![2, 256] }];
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", Value::Str("other".into()));
        let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
        let mut values = vec![0.5f32; 512];
        values[300] = value;
        file.tensor(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
        let checkpoint = open(&file.finish().unwrap());
        let folder = Path::new();
        std::fs::create_dir(&folder.0).unwrap();
        let plan = Quantizer::uniform(format).to_gguf(&checkpoint).unwrap();
        let error = plan.write(folder.0.join("out.gguf"), |_| ()).unwrap_err().to_string();
        assert!(error.contains("`a.weight`") && error.contains("row 1, column 44"), "{error}");
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left");
        std::fs::remove_dir(&folder.0).unwrap();
    }
}

#[test]
fn a_split_source_stays_split_or_becomes_one_file() {
    let (weights, whole) = source(true);
    let metadata = open(&whole).metadata().unwrap().clone();
    let folder = Path::new();
    std::fs::create_dir(&folder.0).unwrap();
    let list: Vec<GgufTensor> = weights
        .tensors()
        .iter()
        .map(|t| GgufTensor { name: t.name.clone(), format: t.format, shape: t.shape.clone() })
        .collect();
    let parts: Vec<&[GgufTensor]> = list.chunks(30).collect();
    for (no, part) in parts.iter().enumerate() {
        let mut metadata = if no == 0 { metadata.clone() } else { Metadata::default() };
        metadata.insert("split.no", Value::U16(no as u16));
        metadata.insert("split.count", Value::U16(parts.len() as u16));
        metadata.insert("split.tensors.count", Value::I32(list.len() as i32));
        let path = folder.0.join(format!("in-{:05}-of-{:05}.gguf", no + 1, parts.len()));
        let mut file = GgufWriter::create(path, &metadata, part).unwrap();
        for tensor in *part {
            file.tensor(weights.get(&tensor.name).unwrap().bytes.as_slice()).unwrap();
        }
        file.finish().unwrap();
    }
    let source = Checkpoint::open(folder.0.join("in-00001-of-00003.gguf")).unwrap();
    for (keep, files) in [(true, 3), (false, 1)] {
        let plan = Quantizer::new(Mix::Q5_0).keep_split(keep).to_gguf(&source).unwrap();
        let paths = plan.write(folder.0.join(format!("out-{keep}.gguf")), |_| ()).unwrap();
        assert_eq!(paths.len(), files);
        let made = Checkpoint::open(&paths[files - 1]).unwrap();
        assert_eq!(made.metadata().unwrap().get("split.count").is_some(), keep);
        assert_eq!(made.metadata().unwrap().u64("general.file_type").unwrap(), Some(8));
        assert_eq!(made.weights().names().count(), list.len());
        let whole = open(&whole);
        let one = Quantizer::new(Mix::Q5_0).to_gguf(&whole).unwrap();
        for tensor in one.tensors() {
            let found = made.weights().get(&tensor.name).unwrap();
            let values: Vec<f32> = weights.values(&tensor.name).unwrap().collect();
            assert!(found.bytes.as_slice() == encode_row(tensor.to, &values).unwrap(), "{}", tensor.name);
        }
    }
    std::fs::remove_dir_all(&folder.0).unwrap();
}

#[cfg(unix)]
#[test]
fn what_a_link_leads_to_is_written_be_it_the_source_itself() {
    let folder = Path::new();
    std::fs::create_dir(&folder.0).unwrap();
    let at = |name: &str| folder.0.join(name);
    std::fs::write(at("a.gguf"), source(false).1).unwrap();
    std::os::unix::fs::symlink("a.gguf", at("b.gguf")).unwrap();
    let checkpoint = Checkpoint::open(at("a.gguf")).unwrap();
    let plan = Quantizer::new(Mix::Q8_0).to_gguf(&checkpoint).unwrap();
    plan.write(at("c.gguf"), |_| ()).unwrap();
    plan.write(at("b.gguf"), |_| ()).unwrap();
    assert!(std::fs::symlink_metadata(at("b.gguf")).unwrap().is_symlink());
    assert!(std::fs::read(at("a.gguf")).unwrap() == std::fs::read(at("c.gguf")).unwrap());
    let error = plan.write("/dev/null", |_| ()).unwrap_err();
    assert!(matches!(error, Error::WrongFile { .. }), "{error}");
    let mut names: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.gguf", "b.gguf", "c.gguf"]);
    std::fs::remove_dir_all(&folder.0).unwrap();
}

#[test]
fn importance_reaches_the_encoder_column_by_column_and_expert_by_expert() {
    let name = "blk.0.ffn_down_exps.weight";
    let weights = drawn(vec![(name.into(), vec![2, 3, 256])]);
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str("other".into()));
    metadata.insert("other.expert_count", Value::U32(2));
    let list = [GgufTensor { name: name.into(), format: Format::F32, shape: vec![2, 3, 256] }];
    let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
    file.tensor(weights.get(name).unwrap().bytes.as_slice()).unwrap();
    let checkpoint = open(&file.finish().unwrap());
    let values: Vec<f32> = weights.values(name).unwrap().collect();
    let by_column: Vec<f32> = (0..512).map(|at| if at % 256 < 40 || at > 480 { 50.0 } else { 0.5 }).collect();
    for importance in [&by_column[..], &by_column[..256]] {
        let mut all = Importance::default();
        all.insert(name, importance.to_vec()).unwrap();
        let path = Path::new();
        let plan = Quantizer::uniform(Format::Q4_K).importance(all).to_gguf(&checkpoint).unwrap();
        plan.write(&path.0, |_| ()).unwrap();
        let made = Checkpoint::open(&path.0).unwrap();
        let expected: Vec<u8> = values
            .chunks_exact(256)
            .enumerate()
            .flat_map(|(row, values)| {
                let own = if importance.len() == 512 { &importance[row / 3 * 256..][..256] } else { importance };
                mistral_quant::encode_row_with(Format::Q4_K, values, Some(own)).unwrap()
            })
            .collect();
        assert!(made.weights().get(name).unwrap().bytes.as_slice() == expected);
        assert!(encode_row(Format::Q4_K, &values).unwrap() != expected, "without importance it would be the same");
        assert_eq!(made.metadata().unwrap().get("quantize.imatrix.entries_count"), Some(&Value::I32(1)));
    }
    let mut wrong = Importance::default();
    wrong.insert(name, vec![1.0; 255]).unwrap();
    let refused = |quantizer: Quantizer| quantizer.to_gguf(&checkpoint).err().unwrap();
    let error = refused(Quantizer::uniform(Format::Q4_K).importance(wrong));
    assert!(matches!(&error, Error::Importance { tensor, .. } if tensor == name), "{error}");
    for format in [Format::IQ2_XS, Format::IQ1_S].into_iter().filter(|format| format.is_computable()) {
        let error = refused(Quantizer::uniform(format));
        assert!(matches!(&error, Error::Importance { tensor, .. } if tensor == name), "{error}");
        let other = refused(Quantizer::uniform(format).importance(Importance::default())).to_string();
        assert!(other.contains(name) && other.contains("no values"), "{other}");
    }
}
