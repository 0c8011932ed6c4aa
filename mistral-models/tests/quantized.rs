//! Checkpoints that other programs quantized, against what those programs make of them: the files of `quantized/make.py`.

#![allow(clippy::unwrap_used)] // clippy allows it in test functions, not in what they share

use std::path::PathBuf;

use mistral_models::{
    Batch, CacheOptions, Checkpoint, CheckpointOptions, Decoder, Description, Error, LogitRows, Logits, Quantizer, Run,
    Weights,
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
    ("model_modelopt", Format::F8_E4M3),
    ("modelopt_channel", Format::F8_E4M3),
    ("modelopt_tiles", Format::F8_E4M3),
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
    computed(backend, checkpoint.weights(), Description::new(checkpoint).unwrap())
}

fn computed<B: Backend>(backend: B, weights: &dyn Weights, description: Description) -> Vec<f32> {
    let mut decoder = Decoder::load(backend, weights, description).unwrap();
    let mut cache = decoder.cache(CacheOptions::new(2, 8).formats(KvFormat::F32, KvFormat::F32)).unwrap();
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    batch.push(Run::new(&[3, 17, 40, 8, 22], 0).tables(cache.groups(), &[0]).rows(LogitRows::All));
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

/// A stored tensor: name, type, shape, bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

fn stored(bytes: &[u8]) -> Vec<Stored> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let all = tensors.iter().filter(|(name, _)| !name.starts_with("expected."));
    all.map(|(name, view)| (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())).collect()
}

fn serialized(tensors: &[Stored]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The first error of opening and of every weight.
fn first_error(bytes: Vec<u8>, config: &Value) -> Option<Error> {
    let checkpoint = match open(bytes, config) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return Some(error),
    };
    if let Err(error) = Description::new(&checkpoint)
        && matches!(error, Error::Config { .. } | Error::Unsupported { .. })
        && error.to_string().contains("quantization_config")
    {
        return Some(error);
    }
    let weights = checkpoint.weights();
    weights.names().find_map(|name| weights.get(name).err())
}

fn singles() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.0).chain(["mxfp4"]).filter(|case| !case.starts_with("model_"))
}

/// What a weight can be put together without.
const OPTIONAL: &[&str] = &[
    "g_idx",
    "input_scale",
    "weight_format",
    "unpack_view_dtype",
    "view_as_float",
    "quant_scale",
    "quant_zero",
    "compute_dtype",
    "offload_meta",
    "encoded_state_dict",
    "stores_quant_config",
    "channel_wise",
    "optimize",
    "round_zero",
    "nbits",
    "group_size",
];

#[test]
fn missing_and_cut_parts_are_errors() {
    let (mut missing, mut cut) = (0, 0);
    for case in singles() {
        let bytes = file(case);
        let config = config(&bytes);
        let tensors = stored(&bytes);
        assert!(first_error(serialized(&tensors), &config).is_none(), "{case}");
        for i in 0..tensors.len() {
            let name = tensors[i].0.clone();
            let optional = OPTIONAL.iter().any(|part| name.ends_with(part)) && !case.ends_with("_order");
            let mut without = tensors.clone();
            without.remove(i);
            let whole = open(serialized(&without), &config).unwrap();
            let gone = whole.weights().get("layer.weight").map(|tensor| tensor.format());
            // Without its codes a weight is none, and without its scales it is not in parts.
            let error = gone.is_err() || gone.is_ok_and(|format| format.is_err());
            if case != "mxfp4" {
                assert!(error || optional, "{case} without {name}");
                missing += usize::from(error);
            }
            let (_, dtype, shape, data) = &tensors[i];
            if shape.first().is_some_and(|n| *n > 1) && *dtype != Dtype::U8 {
                let mut short = tensors.clone();
                let half = shape[0] / 2;
                short[i].2[0] = half;
                short[i].3 = data[..data.len() / shape[0] * half].to_vec();
                let error = first_error(serialized(&short), &config);
                // One scale for all says nothing of how many there are; that is for the decoder to see.
                let one = ["fp8_tensor", "ct_fp8_tensor", "ct_int8_f32"].contains(&case) && name == "layer.weight";
                assert!(error.is_some() || one, "{case} with half of {name}");
                cut += 1;
            }
        }
    }
    assert!(missing > 80 && cut > 80, "{missing} {cut}");
}

/// No content of a part, no type and no shape of it makes a panic.
#[test]
fn damaged_parts_never_panic() {
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    for case in singles() {
        let bytes = file(case);
        let config = config(&bytes);
        let tensors = stored(&bytes);
        for round in 0..200 {
            let mut damaged = tensors.clone();
            let i = random() % damaged.len();
            let (_, dtype, shape, data) = &mut damaged[i];
            match round % 5 {
                0 => data.iter_mut().for_each(|byte| *byte = random() as u8),
                1 if !data.is_empty() => {
                    let at = random() % data.len();
                    data[at] = random() as u8;
                }
                2 => {
                    *dtype = [Dtype::U8, Dtype::I8, Dtype::F8_E4M3, Dtype::F8_E8M0, Dtype::BOOL][random() % 5];
                    *shape = vec![data.len()];
                }
                3 => {
                    let elements: usize = shape.iter().product();
                    let width = [1, 2, 3, 4, 8, 16, 32, elements.max(1)][random() % 8];
                    *shape =
                        if elements.is_multiple_of(width) { vec![elements / width, width] } else { vec![elements, 1] };
                }
                _ => {
                    *shape = [vec![0], vec![0, 64], vec![64, 0], vec![1 << 40, 0], vec![0, 1 << 40, 16]][random() % 5]
                        .clone();
                    data.clear();
                }
            }
            let _ = first_error(serialized(&damaged), &config);
        }
    }
}

#[test]
fn keys_that_change_numbers_are_understood_or_refused() {
    let refused: &[(&str, &str, Value)] = &[
        ("gptq4_asym", "/bits", json!(5)),
        ("gptq4_asym", "/bits", json!("4")),
        ("gptq4_asym", "/bits", Value::Null),
        ("gptq4_asym", "/bits", json!(8)),
        ("gptq4_asym", "/group_size", json!(0)),
        ("gptq4_asym", "/group_size", json!(-2)),
        ("gptq4_asym", "/group_size", json!(48)),
        ("gptq4_asym", "/group_size", json!(1u64 << 62)),
        ("gptq4_asym", "/group_size", json!(-1)),
        ("gptq4_asym", "/desc_act", json!(1)),
        ("gptq4_asym", "/checkpoint_format", json!("marlin")),
        ("gptq4_asym", "/pack_dtype", json!("int16")),
        ("gptq4_asym", "/dynamic", json!({"-:lm_head": {}, "+:.*down.*": {"bits": 8}})),
        ("gptq4_asym", "/dynamic", json!({"model.layers.0": {"group_size": 64}})),
        ("gptq4_asym", "/extra_config", json!({"lm_head": {"bits": 16}, "layer": {"bits": 8}})),
        ("gptq4_asym", "/extra_config", json!({"lm_head": {"group_size": 64}})),
        ("gptq4_asym", "/data_type", json!("mx_fp")),
        ("gptq4_asym", "/act_bits", json!(8)),
        ("gptq4_asym", "/method", json!("awq")),
        ("gptq4_asym", "/packing_format", json!("auto_round:auto_gptq")),
        ("gptq4_asym", "/quant_method", json!("auto-round")),
        ("gptq4_asym", "/is_marlin_format", json!(true)),
        ("gptq4_asym", "/rotation", json!("hadamard")),
        ("gptq4_asym", "/quant_method", json!("aqlm")),
        ("gptq4_asym", "/quant_method", Value::Null),
        ("gptq4_asym", "/quant_method", json!("awq")),
        ("gptq4_asym", "", json!([])),
        ("gptq4_asym", "", json!("gptq")),
        ("awq_128", "/version", json!("gemv")),
        ("awq_128", "/backend", json!("llm-awq")),
        ("awq_128", "/bits", json!(8)),
        ("awq_128", "/group_size", json!(96)),
        ("awq_128", "/modules_to_not_convert", json!("lm_head")),
        ("fp8_e8m0", "/fmt", json!("e5m2")),
        ("fp8_e8m0", "/weight_block_size", json!([0, 64])),
        ("fp8_e8m0", "/weight_block_size", json!([32])),
        ("fp8_e8m0", "/weight_block_size", json!([32, 32])),
        ("fp8_e8m0", "/weight_block_size", Value::Null),
        ("fp8_e8m0", "/kv_cache_scheme", json!(true)),
        ("fp8_e8m0", "/kv_cache_scheme", json!("turbo")),
        ("nf4_plain", "/bnb_4bit_quant_type", json!("int4")),
        ("nf4_plain", "/load_in_4bit", json!("yes")),
        ("hqq2", "/quant_config/zero_quant_params", json!({"nbits": 8})),
        ("ct8", "/format", json!("marlin-24")),
        ("ct8", "/kv_cache_scheme", json!({})),
        ("ct8", "/kv_cache_scheme", json!({"type": "float"})),
        ("ct8", "/kv_cache_scheme", json!({"num_bits": "8", "type": "float"})),
        ("ct8", "/kv_cache_scheme", json!({"num_bits": 0, "type": "float"})),
        ("ct8", "/kv_cache_scheme", json!({"num_bits": 8, "type": "posit"})),
        ("ct8", "/kv_cache_scheme", json!({"num_bits": 8, "type": "float", "rotation": "hadamard"})),
        ("ct8", "/kv_cache_scheme", json!([8])),
        ("modelopt_tiles", "/quant_algo", json!("NVFP4")),
        ("modelopt_tiles", "/quant_algo", json!("MIXED_PRECISION")),
        ("modelopt_tiles", "/quant_algo", json!("FP8_PER_CHANNEL_PER_TOKEN")),
        ("modelopt_tiles", "/quant_algo", Value::Null),
        ("modelopt_tiles", "/quantized_layers", json!({"layer": {"quant_algo": "FP8"}})),
        ("modelopt_tiles", "/kv_cache_quant_algo", json!("INT3")),
        ("modelopt_tiles", "/config_groups", json!({"group_0": {"weights": {"num_bits": 4, "type": "float"}}})),
        ("modelopt_tiles", "/config_groups", json!({"group_0": 4})),
        ("modelopt_tiles", "/quantization", json!({"quant_algo": "NVFP4", "group_size": 16})),
        ("modelopt_tiles", "/quantization", json!({"kv_cache_quant_algo": "FP8"})),
        ("ct8", "/transform_config", json!({"config_groups": {"R1": {}}})),
        ("ct8", "/sparsity_config", json!({"format": "sparse-24-bitmask"})),
        ("ct8", "/config_groups", Value::Null),
        ("ct8", "/config_groups/group_0/targets", json!(["re:.*down_proj"])),
        ("ct8", "/config_groups/group_0/targets", json!(["re:("])),
        ("ct8", "/config_groups/group_0/targets", json!(["layer.other"])),
        ("ct8", "/config_groups/group_0/weights", Value::Null),
        ("ct8", "/config_groups/group_0/weights/num_bits", json!(4)),
        ("ct8", "/config_groups/group_0/weights/num_bits", json!(9)),
        ("ct8", "/config_groups/group_0/weights/type", json!("float")),
        ("ct8", "/config_groups/group_0/weights/type", json!("posit")),
        ("ct8", "/config_groups/group_0/weights/strategy", json!("tensor_group")),
        ("ct8", "/config_groups/group_0/weights/strategy", json!("group")),
        ("ct8", "/config_groups/group_0/weights/strategy", json!("tensor")),
        ("ct8", "/config_groups/group_0/weights/symmetric", json!(false)),
        ("ct8", "/config_groups/group_0/weights/dynamic", json!(true)),
        ("ct8", "/config_groups/group_0/output_activations", json!({"num_bits": 8})),
    ];
    for (case, key, value) in refused {
        let bytes = file(case);
        let mut config = config(&bytes);
        let quantization = &mut config["quantization_config"];
        let (parent, name) = key.rsplit_once('/').unwrap_or_default();
        match quantization.pointer_mut(parent).unwrap() {
            whole if key.is_empty() => *whole = value.clone(),
            parent => parent[name] = value.clone(),
        }
        let error = first_error(bytes, &config);
        assert!(error.is_some(), "{case}: {key} = {value}");
        eprintln!("{case} {key} = {value}: {}", error.unwrap());
    }
}

/// A directory of its own for each use, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quantized-tests-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The configurations of published checkpoints, whole; only sizes of groups, and for W8 the bits, are those of the goldens.
#[test]
fn directories_with_the_configurations_that_people_publish_are_opened() {
    let published: &[(&str, &str, Value)] = &[
        // AutoGPTQ by way of transformers, and by itself.
        (
            "gptq-transformers",
            "model_gptq",
            json!({"batch_size": 1, "bits": 4, "block_name_to_quantize": null, "cache_block_outputs": true,
                "damp_percent": 0.1, "dataset": null, "desc_act": true, "exllama_config": {"version": 1},
                "group_size": 64, "max_input_length": null, "model_seqlen": null,
                "module_name_preceding_first_block": null, "modules_in_block_to_quantize": null, "pad_token_id": null,
                "quant_method": "gptq", "sym": true, "tokenizer": null, "true_sequential": true,
                "use_cuda_fp16": false, "use_exllama": true}),
        ),
        (
            "gptq-autogptq",
            "model_gptq",
            json!({"bits": 4, "checkpoint_format": "gptq", "damp_percent": 0.01, "desc_act": false, "group_size": 64,
                "is_marlin_format": false, "model_file_base_name": "model", "model_name_or_path": "someone/model",
                "quant_method": "gptq", "static_groups": false, "sym": true, "true_sequential": true}),
        ),
        (
            "gptqmodel",
            "model_gptq",
            json!({"bits": 4, "checkpoint_format": "gptq", "desc_act": false, "dynamic": {"-:.*self_attn.*": {}},
                "format": "gptq", "group_size": 64, "lm_head": false, "method": "gptq", "meta": {
                    "damp_auto_increment": 0.0025, "damp_percent": 0.01, "mse": 0.0,
                    "quantizer": ["gptqmodel:1.4.0"], "static_groups": false, "true_sequential": true,
                    "uri": "https://github.com/modelcloud/gptqmodel"},
                "pack_dtype": "int32", "quant_method": "gptq", "sym": true}),
        ),
        (
            "gptqmodel-later",
            "model_gptq",
            json!({"act_group_aware": true, "adapter": null, "bits": 4, "checkpoint_format": "gptq", "desc_act": false,
                "dynamic": null, "format": "gptq", "group_size": 64, "hyb_act": true, "lm_head": false, "meta": {},
                "mock_quantization": false, "offload_to_disk": true, "offload_to_disk_path": "./offload/a-b/",
                "pack_dtype": "int32", "pack_impl": "cpu", "parallel_packing": true, "quant_method": "gptq",
                "rotation": null, "sym": true, "true_sequential": true, "vram_strategy": "exclusive"}),
        ),
        (
            "auto-round",
            "model_gptq",
            json!({"autoround_version": "0.12.3", "bits": 4, "block_name_to_quantize": "model.layers",
                "data_type": "int", "enable_quanted_input": false,
                "extra_config": {"lm_head": {"bits": 16, "data_type": "float"}}, "group_size": 64, "iters": 200,
                "low_gpu_mem_usage": true, "packing_format": "auto_round:auto_gptq", "quant_method": "auto-round",
                "sym": true}),
        ),
        (
            "awq",
            "model_awq",
            json!({"backend": "autoawq", "bits": 4, "do_fuse": false, "exllama_config": null,
                "fuse_max_seq_len": null, "group_size": 64, "modules_to_fuse": null, "modules_to_not_convert": null,
                "quant_method": "awq", "version": "gemm", "zero_point": true}),
        ),
        (
            "auto-round-awq",
            "model_awq",
            json!({"autoround_version": "0.8.0", "bits": 4, "data_type": "int", "group_size": 64, "iters": 0,
                "packing_format": "auto_round:auto_awq", "quant_method": "auto-round", "sym": false,
                "zero_point": true}),
        ),
        (
            "fp8",
            "model_fp8",
            json!({"activation_scheme": "dynamic", "dequantize": false, "fmt": "e4m3",
                "modules_to_not_convert": ["lm_head", "model.layers.0.input_layernorm"], "quant_method": "fp8",
                "scale_fmt": "ue8m0", "weight_block_size": [32, 64]}),
        ),
        (
            "nf4",
            "model_nf4",
            json!({"_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": "bfloat16",
                "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
                "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
                "llm_int8_skip_modules": null, "llm_int8_threshold": 6.0, "load_in_4bit": true, "load_in_8bit": false,
                "quant_method": "bitsandbytes"}),
        ),
        (
            "int8",
            "model_int8",
            json!({"_load_in_4bit": false, "_load_in_8bit": true, "bnb_4bit_compute_dtype": "float32",
                "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": false,
                "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
                "llm_int8_skip_modules": ["lm_head"], "llm_int8_threshold": 6.0, "load_in_4bit": false,
                "load_in_8bit": true, "quant_method": "bitsandbytes"}),
        ),
        (
            "hqq",
            "model_hqq",
            json!({"quant_config": {"offload_meta": false, "scale_quant_params": null, "weight_quant_params": {
                    "axis": 1, "channel_wise": true, "group_size": 64, "nbits": 4, "optimize": true,
                    "round_zero": true, "view_as_float": false}, "zero_quant_params": null},
                "quant_method": "hqq", "skip_modules": ["lm_head"]}),
        ),
        (
            "compressed-w4a16",
            "model_ct4",
            json!({"config_groups": {"group_0": {"format": "pack-quantized", "input_activations": null,
                    "output_activations": null, "targets": ["Linear"], "weights": {"actorder": null,
                        "block_structure": null, "dynamic": false, "group_size": 64, "num_bits": 4,
                        "observer": "minmax", "observer_kwargs": {}, "strategy": "group", "symmetric": true,
                        "type": "int"}}},
                "format": "pack-quantized", "global_compression_ratio": null, "ignore": ["lm_head"],
                "kv_cache_scheme": null, "quant_method": "compressed-tensors", "quantization_status": "compressed",
                "sparsity_config": {}, "transform_config": {}, "version": "0.12.2"}),
        ),
        (
            "compressed-fp8-dynamic",
            "model_ct_fp8",
            json!({"config_groups": {"group_0": {"input_activations": {"actorder": null, "block_structure": null,
                        "dynamic": true, "group_size": null, "num_bits": 8, "observer": null, "observer_kwargs": {},
                        "strategy": "token", "symmetric": true, "type": "float"},
                    "output_activations": null, "targets": ["Linear"], "weights": {"actorder": null,
                        "block_structure": null, "dynamic": false, "group_size": null, "num_bits": 8,
                        "observer": "minmax", "observer_kwargs": {}, "strategy": "channel", "symmetric": true,
                        "type": "float"}}},
                "format": "float-quantized", "global_compression_ratio": 1.46, "ignore": ["lm_head"],
                "kv_cache_scheme": null, "quant_method": "compressed-tensors", "quantization_status": "compressed",
                "sparsity_config": {"format": "dense", "ignore": [], "registry_requires_subclass": false,
                    "sparsity_structure": "unstructured", "targets": []}}),
        ),
    ];
    for (name, case, quantization) in published {
        let bytes = file(case);
        let mut config = config(&bytes);
        let expected = logits(Reference, &open(stripped(&bytes), &config).unwrap());
        config["quantization_config"] = quantization.clone();
        let directory = Directory::new(name);
        std::fs::write(directory.0.join("config.json"), config.to_string()).unwrap();
        std::fs::write(directory.0.join("model.safetensors"), stripped(&bytes)).unwrap();
        let checkpoint = Checkpoint::open(&directory.0).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(logits(Reference, &checkpoint), expected, "{name}");

        // Another format while it loads, from what is dequantized.
        let description = Description::new(&checkpoint).unwrap();
        let quantized = Quantizer::uniform(Format::Q8_0).at_load(&checkpoint, &description).unwrap();
        let downs = quantized.tensors().filter(|tensor| tensor.name.contains("ffn_down")).count();
        assert_eq!(downs, 1, "{name}");
        let found = computed(Reference, &quantized, description);
        let square = |all: &mut dyn Iterator<Item = f32>| all.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let lost = square(&mut expected.iter().zip(&found).map(|(a, b)| a - b));
        let error = (lost / square(&mut expected.iter().copied())).sqrt();
        eprintln!("{name} as Q8_0: {error:.4}");
        assert!((1e-6..0.06).contains(&error), "{name}: {error}");
    }
}

/// Cache formats that checkpoints ask for, in the words of those who write them, with the tensors that come with them.
#[test]
fn the_cache_that_a_checkpoint_asks_for_is_passed_over() {
    let arguments = json!({"actorder": null, "block_structure": null, "dynamic": false, "group_size": null,
        "num_bits": 8, "observer": "minmax", "observer_kwargs": {}, "scale_dtype": null, "strategy": "tensor",
        "symmetric": true, "type": "float", "zp_dtype": null});
    let heads = json!({"num_bits": 8, "type": "int", "symmetric": false, "strategy": "attn_head", "dynamic": false});
    let cases: &[(&str, &str, Value, &[&str])] = &[
        ("model_ct_fp8", "kv_cache_scheme", arguments.clone(), &["k_scale", "v_scale"]),
        ("model_ct_fp8", "kv_cache_scheme", arguments, &["k_proj.output_scale", "v_proj.output_scale"]),
        ("model_ct4", "kv_cache_scheme", heads, &["q_scale", "k_scale", "v_scale", "k_zero_point", "v_zero_point"]),
        ("model_fp8", "kv_cache_scheme", json!("static"), &["k_scale", "v_scale"]),
        ("model_fp8", "kv_cache_scheme", json!("static"), &["kv_scale"]),
        ("model_fp8", "activation_scheme", json!("static"), &["kv_scale"]),
        ("model_modelopt", "kv_cache_scheme", json!("NVFP4_AFFINE"), &["k_proj.k_bias", "v_proj.v_bias"]),
    ];
    for (case, key, value, tensors) in cases {
        let bytes = stripped(&file(case));
        let mut config = config(&file(case));
        let expected = logits(Reference, &open(bytes.clone(), &config).unwrap());
        let mut all = stored(&bytes);
        for tensor in *tensors {
            let name = format!("model.layers.0.self_attn.{tensor}");
            all.push((name, Dtype::F32, vec![1], 0.02f32.to_le_bytes().to_vec()));
        }
        config["quantization_config"][key] = value.clone();
        let checkpoint = open(serialized(&all), &config).unwrap();
        assert_eq!(logits(Reference, &checkpoint), expected, "{case}: {key} {value}");
    }
    // A cache is all that this one quantizes.
    let dense = file("model_ct_fp8");
    let mut config = config(&dense);
    config["quantization_config"]["format"] = "dense".into();
    config["quantization_config"]["config_groups"] = json!({"group_0": {
        "input_activations": {"num_bits": 8, "type": "float"}, "output_activations": null,
        "targets": ["LlamaAttention"], "weights": null}});
    let whole = |name: &str| !name.contains("_proj.");
    let kept: Vec<_> = stored(&dense).into_iter().filter(|(name, ..)| whole(name)).collect();
    assert!(first_error(serialized(&kept), &config).is_none());
    assert!(first_error(dense, &config).unwrap().to_string().contains("config_groups"));
}

/// Older checkpoints of ModelOpt have it in a file of its own.
#[test]
fn a_quantization_beside_the_configuration_is_read() {
    let bytes = file("model_modelopt");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let own = metadata.metadata().as_ref().unwrap()["hf_quant_config"].clone();
    let with = config(&bytes);
    let expected = logits(Reference, &open(stripped(&bytes), &with).unwrap());
    let mut without = with.clone();
    without.as_object_mut().unwrap().remove("quantization_config");
    let directory = Directory::new("hf-quant-config");
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.0.join(name), bytes).unwrap();
    write("model.safetensors", &stripped(&bytes));
    write("config.json", without.to_string().as_bytes());
    // E4M3 numbers without a word about them are nobody's weights.
    let alone = Checkpoint::open(&directory.0).unwrap();
    assert!(Decoder::load(Reference, alone.weights(), Description::new(&alone).unwrap()).is_err());
    write("hf_quant_config.json", own.as_bytes());
    assert_eq!(logits(Reference, &Checkpoint::open(&directory.0).unwrap()), expected);
    write("hf_quant_config.json", own.replace("\"FP8\"", "\"NVFP4\"").as_bytes());
    let error = Description::new(&Checkpoint::open(&directory.0).unwrap()).err().unwrap();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("quant_algo"), "{error}");
    // What config.json says goes first.
    write("config.json", with.to_string().as_bytes());
    assert_eq!(logits(Reference, &Checkpoint::open(&directory.0).unwrap()), expected);
}

#[test]
fn targets_go_by_name_before_class() {
    let bytes = file("ct8");
    let mut config = config(&bytes);
    let groups = config["quantization_config"]["config_groups"].as_object_mut().unwrap();
    let mut four = groups["group_0"].clone();
    four["weights"]["num_bits"] = 4.into();
    groups["group_0"]["targets"] = json!(["re:.*lay"]);
    groups.insert("group_1".into(), four);
    assert!(first_error(bytes, &config).is_none());
}

#[test]
fn weights_that_nobody_unpacks_are_refused() {
    let bytes = file("model_gptq");
    let config = config(&bytes);
    let mut plain = config.clone();
    plain.as_object_mut().unwrap().remove("quantization_config");
    let whole = open(stripped(&bytes), &plain).unwrap();
    let error = Description::from_json(config.as_object().unwrap(), whole.weights()).err().unwrap();
    assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains("quantization_config"), "{error}");
    // The parts themselves have no place in a decoder.
    let description = Description::new(&whole).unwrap();
    assert!(Decoder::load(Reference, whole.weights(), description).is_err());
}
