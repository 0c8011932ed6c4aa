//! Checkpoints that other programs quantized, against what those programs make of them: the files of `quantized/make.py`.

use std::path::PathBuf;

use mistral_models::{
    Batch, CacheOptions, Checkpoint, CheckpointOptions, Decoder, Description, Error, LogitRows, Logits,
};
use mistral_quant::{Backend, Cpu, CpuOptions, Format, KvFormat, Reference};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

/// Every golden and the format that it is computed from.
const CASES: &[(&str, Format)] = &[
    ("gptq2_sym", Format::Q4_0),
    ("gptq2_asym", Format::Q4_0),
    ("gptq3_sym", Format::Q4_0),
    ("gptq3_asym", Format::Q4_0),
    ("gptq4_asym", Format::Affine4),
    ("gptq4_row", Format::Q4_0),
    ("gptq4_order", Format::F32),
    ("gptq4_v2", Format::Affine4),
    ("gptq4_small_groups", Format::F32),
    ("gptq8_sym", Format::Q8_0),
    ("gptq8_asym", Format::Affine8),
    ("model_gptq", Format::Q4_0),
    ("model_awq", Format::Affine4),
    ("awq_128", Format::Affine4),
    ("model_fp8", Format::F8_E4M3),
    ("fp8_partial_tiles", Format::F8_E4M3),
    ("fp8_narrow", Format::F32),
    ("fp8_e8m0", Format::F8_E4M3),
    ("fp8_tensor", Format::F8_E4M3),
    ("fp8_fbgemm", Format::F8_E4M3),
    ("model_nf4", Format::NF4),
    ("nf4_plain", Format::NF4),
    ("nf4_storage", Format::NF4),
    ("nf4_runs", Format::NF4),
    ("fp4", Format::FP4),
    ("model_int8", Format::Affine8),
    ("model_hqq", Format::Affine4),
    ("hqq1", Format::Affine4),
    ("hqq2", Format::Affine4),
    ("hqq3", Format::Affine4),
    ("hqq8", Format::Affine8),
    ("hqq4_axis0", Format::F32),
    ("model_ct4", Format::Q4_0),
    ("ct4_asym", Format::Affine4),
    ("ct4_channel", Format::Affine4),
    ("ct4_order", Format::F32),
    ("ct3", Format::Q4_0),
    ("ct5", Format::Q8_0),
    ("ct8", Format::Q8_0),
    ("ct_int8", Format::Q8_0),
    ("ct_int8_f32", Format::Affine8),
    ("ct_int8_asym", Format::Affine8),
    ("model_ct_fp8", Format::F8_E4M3),
    ("ct_fp8_tensor", Format::F8_E4M3),
    ("ct_fp8_block", Format::F8_E4M3),
];

fn file(case: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/quantized").join(format!("{case}.safetensors"));
    std::fs::read(path).unwrap()
}

fn config(bytes: &[u8]) -> Value {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let quantization: Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["quantization_config"]).unwrap();
    json!({
        "model_type": "llama", "vocab_size": 48, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "quantization_config": quantization,
    })
}

fn open(bytes: Vec<u8>, config: &Value) -> Result<Checkpoint, Error> {
    CheckpointOptions::default().from_safetensors(config.to_string().as_bytes(), bytes)
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn every_golden_is_listed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/quantized");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut listed: Vec<String> = CASES.iter().map(|case| case.0.to_owned()).chain(["mxfp4".to_owned()]).collect();
    found.sort();
    listed.sort();
    assert_eq!(found, listed);
}

/// Bit for bit: the packages were asked for f32. int8 of bitsandbytes multiplies the scale by 1/127 where we divide by 127.
#[test]
fn weights_are_those_of_the_packages() {
    for &(case, format) in CASES {
        let bytes = file(case);
        let checkpoint = open(bytes.clone(), &config(&bytes)).unwrap();
        let weights = checkpoint.weights();
        let expected: Vec<&str> = weights.names().filter(|name| name.starts_with("expected.")).collect();
        assert!(!expected.is_empty());
        for expected in expected {
            let name = expected.strip_prefix("expected.").unwrap();
            assert!(weights.contains(name) && weights.names().any(|known| known == name), "{case}: {name}");
            let found = weights.get(name).unwrap();
            let expected = weights.get(expected).unwrap();
            assert_eq!(found.shape, expected.shape, "{case}");
            assert_eq!(found.format().unwrap(), format, "{case}");
            let found = found.to_weight().unwrap().to_f32().unwrap();
            let tolerance = if case == "model_int8" { 2e-7 } else { 0.0 };
            for (i, (found, expected)) in found.iter().zip(f32s(expected.bytes.as_slice())).enumerate() {
                let error = (found - expected).abs();
                assert!(error <= tolerance * expected.abs(), "{case}, weight {i} of {name}: {found} for {expected}");
            }
        }
    }
}

/// The blocks of GGUF: the exponent, then weight j and weight j + 16 in a byte.
#[test]
fn mxfp4_becomes_the_blocks_of_gguf() {
    let bytes = file("mxfp4");
    let checkpoint = open(bytes.clone(), &config(&bytes)).unwrap();
    let name = "model.layers.0.mlp.experts.gate_up_proj";
    let found = checkpoint.weights().get(name).unwrap();
    assert_eq!((found.format().unwrap(), found.shape.as_slice()), (Format::MXFP4, &[2usize, 8, 96][..]));
    let expected = f32s(checkpoint.weights().get(&format!("expected.{name}")).unwrap().bytes.as_slice());
    let values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    for (block, expected) in found.bytes.as_slice().chunks_exact(17).zip(expected.chunks_exact(32)) {
        let scale = 2f64.powi(i32::from(block[0]) - 127);
        for (i, expected) in expected.iter().enumerate() {
            let code = if i < 16 { block[1 + i] & 15 } else { block[1 + i - 16] >> 4 };
            let sign = if code < 8 { 1.0 } else { -1.0 };
            assert_eq!((sign * values[usize::from(code % 8)] * scale) as f32, *expected);
        }
    }
    let names: Vec<&str> = checkpoint.weights().names().filter(|name| !name.starts_with("expected")).collect();
    assert_eq!(names, [name]);
}

/// The file without what only the tests need.
fn stripped(bytes: &[u8]) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let kept = tensors.iter().filter(|(name, _)| !name.starts_with("expected."));
    safetensors::serialize(kept, None).unwrap()
}

fn logits<B: Backend>(backend: B, checkpoint: &Checkpoint) -> Vec<f32> {
    let description = Description::new(checkpoint).unwrap();
    let mut decoder = Decoder::load(backend, checkpoint.weights(), description).unwrap();
    let mut cache = decoder.cache(CacheOptions { blocks: 2, block_tokens: 8, format: KvFormat::F32 }).unwrap();
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    batch.push(&[3, 17, 40, 8, 22], 0, 5, vec![0], LogitRows::All);
    decoder.forward(&batch, &mut cache, &mut logits).unwrap();
    logits.values().to_vec()
}

#[test]
fn a_decoder_computes_with_the_very_weights() {
    for &(case, _) in CASES.iter().filter(|case| case.0.starts_with("model_")) {
        let bytes = stripped(&file(case));
        let mut config = config(&file(case));
        let packed = open(bytes, &config).unwrap();
        let weights = packed.weights();
        let dense: Vec<(String, Vec<usize>, Vec<u8>)> = weights
            .names()
            .map(|name| {
                let tensor = weights.get(name).unwrap();
                let values = tensor.to_weight().unwrap().to_f32().unwrap();
                (name.to_owned(), tensor.shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views = dense
            .iter()
            .map(|(name, shape, bytes)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        let dense = safetensors::serialize(views, None).unwrap();
        config.as_object_mut().unwrap().remove("quantization_config");
        let dense = open(dense, &config).unwrap();
        let exact = logits(Reference, &dense);
        assert_eq!(logits(Reference, &packed), exact, "{case}");
        let largest = exact.iter().fold(0f32, |max, x| max.max(x.abs()));
        let fast = logits(Cpu::new(CpuOptions::default()).unwrap(), &packed);
        let error = fast.iter().zip(&exact).fold(0f32, |max, (a, b)| max.max((a - b).abs())) / largest;
        eprintln!("{case}: {error:.5} of the largest logit");
        // Integer kernels round activations to 8 bits; the other formats are computed in f32.
        let integers = ["model_gptq", "model_awq", "model_int8", "model_hqq", "model_ct4"].contains(&case);
        assert!(error < if integers { 0.06 } else { 1e-5 }, "{case}: {error}");
        assert!(!integers || error > 0.0);
    }
}
