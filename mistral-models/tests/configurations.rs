//! What a configuration may say: published files of every family are read, keys that would change the arithmetic are refused,
//! and sizes that the tensors do not bear out are typed errors before anything is allocated for them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use mistral_models::{Array, Checkpoint, Decoder, Description, Error, GgufTensor, GgufWriter, Metadata};
use mistral_models::{DecoderSpec, RandomTensor, RandomWeights, Value, Weights};
use mistral_quant::{Cpu, CpuOptions, Format};
use serde_json::{Map, Value as Json, json};

const HIDDEN: usize = 16;
const ROWS: usize = 24;

fn tensor(name: &str, shape: &[usize]) -> RandomTensor {
    RandomTensor { name: name.to_owned(), shape: shape.to_vec(), format: Format::F32, mean: 0.0, scale: 0.5 }
}

/// One layer of Llama's shape: 4 query heads, 2 key heads of 4 elements, 8 intermediate values.
fn layer() -> Vec<RandomTensor> {
    let at = |part: &str, shape: &[usize]| tensor(&format!("model.layers.0.{part}.weight"), shape);
    vec![
        at("input_layernorm", &[HIDDEN]),
        at("self_attn.q_proj", &[16, HIDDEN]),
        at("self_attn.k_proj", &[8, HIDDEN]),
        at("self_attn.v_proj", &[8, HIDDEN]),
        at("self_attn.o_proj", &[HIDDEN, 16]),
        at("post_attention_layernorm", &[HIDDEN]),
        at("mlp.gate_proj", &[8, HIDDEN]),
        at("mlp.up_proj", &[8, HIDDEN]),
        at("mlp.down_proj", &[HIDDEN, 8]),
        tensor("model.norm.weight", &[HIDDEN]),
    ]
}

fn weights(with: &[&str]) -> RandomWeights {
    let tables = with.iter().map(|name| tensor(name, &[ROWS, HIDDEN]));
    RandomWeights::new(1, layer().into_iter().chain(tables)).unwrap()
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// A configuration that fits [`layer`], with changes.
fn config(changes: &Json) -> Map<String, Json> {
    let mut config = json!({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": ROWS,
        "hidden_size": HIDDEN, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5});
    let map = config.as_object_mut().unwrap();
    map.extend(changes.as_object().unwrap().clone());
    map.clone()
}

fn load(config: &Map<String, Json>, weights: &dyn Weights) -> Result<DecoderSpec, Error> {
    let description = Description::from_json(config, weights)?;
    let cpu = Cpu::new(CpuOptions::default()).unwrap();
    Ok(Decoder::load(cpu, weights, description)?.spec().clone())
}

#[test]
fn keys_that_change_the_arithmetic_are_refused_by_name() {
    let weights = weights(&[EMBEDDING, HEAD]);
    load(&config(&json!({})), &weights).unwrap();
    for changes in [
        json!({"residual_multiplier": 0.2}),
        json!({"attention_multiplier": 0.1}),
        json!({"logit_scale": 2.0}),
        json!({"qk_norm": true}),
        json!({"num_experts": 8}),
        json!({"num_local_experts": 2}),
        json!({"use_sliding_window": true}),
        json!({"rope_interleaved": true}),
        json!({"no_rope_layers": [1]}),
        json!({"partial_rotary_factor": 0.5}),
        json!({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}),
        json!({"quantization_config": {"quant_method": "quip"}}),
        json!({"is_causal": false}),
        json!({"hidden_act": "relu2"}),
        json!({"rope_scaling": {"rope_type": "proportional"}}),
        json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "mrope_section": [1, 1]}}),
        json!({"architectures": ["MixtralForCausalLM"]}),
    ] {
        let error = load(&config(&changes), &weights).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{changes}: {error}");
    }
    let error = load(&config(&json!({"model_type": "gemma2"})), &weights).unwrap_err();
    assert!(matches!(&error, Error::Config { key, .. } if key == "model_type"), "{error}");
}

#[test]
fn keys_of_published_configurations_are_accepted() {
    let weights = weights(&[EMBEDDING, HEAD]);
    let plain = load(&config(&json!({})), &weights).unwrap();
    for changes in [
        json!({"_name_or_path": "x", "pretraining_tp": 1, "attention_bias": false, "mlp_bias": false, "rope_scaling": null}),
        json!({"is_llama_config": true, "rope_interleaved": false, "transformers.js_config": {"dtype": "q4"}}),
        json!({"max_sequence_length": 2048, "neftune_noise_alpha": 5, "pruned_heads": {}, "eos_token_id": [1, 2]}),
        json!({"unsloth_version": "2025", "model_max_length": 64, "layer_types": null, "is_causal": true}),
        json!({"head_dim": null, "rope_scaling": {}, "use_sliding_window": false, "max_window_layers": 21}),
        json!({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}}),
    ] {
        assert_eq!(load(&config(&changes), &weights).unwrap(), plain, "{changes}");
    }
    // A file with both spellings: the old one counts, entirely.
    let rope = |key: &str, value: Json| -> Json { json!({ key: value }) };
    let mut both = config(&rope("rope_scaling", json!({"type": "linear", "factor": 2.0})));
    let old = load(&both, &weights).unwrap();
    both.insert("rope_parameters".into(), json!({"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5}));
    assert_eq!(load(&both, &weights).unwrap(), old);
}

#[test]
fn null_and_silence_are_told_apart() {
    let weights = weights(&[EMBEDDING, HEAD]);
    let mut given = config(&json!({"num_key_value_heads": null}));
    let heads = |config: &Map<String, Json>| {
        let spec = Description::from_json(config, &weights).unwrap().spec().clone();
        let mistral_models::Mixer::Attention(attention) = &spec.layers[0].mixer else { panic!("no attention") };
        (attention.heads, attention.kv_heads)
    };
    assert_eq!(heads(&given), (4, 4), "null: as many as query heads");
    for (family, expected) in [("qwen2", (32, 32)), ("mistral", (32, 8)), ("gemma2", (8, 4)), ("phi3", (32, 32))] {
        given.remove("architectures");
        given.remove("num_key_value_heads");
        given.remove("num_attention_heads");
        given.insert("model_type".into(), family.into());
        given.insert("hidden_size".into(), 64.into());
        assert_eq!(heads(&given), expected, "{family} without a word");
    }
}

#[test]
fn a_tied_pair_is_taken_from_what_is_stored() {
    let tied = config(&json!({"tie_word_embeddings": true}));
    assert!(load(&tied, &weights(&[EMBEDDING])).unwrap().tied_head);
    assert!(load(&tied, &weights(&[HEAD])).unwrap().tied_head, "only the head was stored");
    assert!(!load(&tied, &weights(&[EMBEDDING, HEAD])).unwrap().tied_head, "their values differ");
    let untied = config(&json!({"tie_word_embeddings": false}));
    assert!(matches!(load(&untied, &weights(&[EMBEDDING])), Err(Error::Missing { .. })));
    assert!(matches!(load(&untied, &weights(&[HEAD])), Err(Error::Missing { .. })));
}

#[test]
fn sizes_that_lie_are_typed_errors() {
    let weights = weights(&[EMBEDDING, HEAD]);
    let keys =
        ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"];
    let sizes = [0u64, 3, 1 << 20, 1 << 31, (1 << 32) - 2, 1 << 32, (1 << 32) + 1, u64::MAX];
    for key in keys {
        for size in sizes {
            assert!(load(&config(&json!({ key: size })), &weights).is_err(), "{key} {size}");
            // Queries and keys together: products of two sizes that each may be.
            let both = json!({key: size, "num_attention_heads": 1u64 << 32, "num_key_value_heads": 1u64 << 32});
            assert!(load(&config(&both), &weights).is_err(), "{key} {size} and heads");
        }
    }
    for factors in [json!([]), json!([1.0]), json!([0.0, 1.0]), json!(vec![1.0; 50_000])] {
        let scaling = json!({"rope_type": "longrope", "short_factor": factors, "long_factor": factors, "factor": 2.0});
        assert!(load(&config(&json!({"rope_scaling": scaling})), &weights).is_err());
    }
}

fn gguf(changes: &[(&str, Value)]) -> Result<Checkpoint, Error> {
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture", Value::Str("llama".into()));
    for (key, value) in [("embedding_length", HIDDEN), ("block_count", 1), ("feed_forward_length", 8)] {
        metadata.insert(format!("llama.{key}"), Value::U32(value as u32));
    }
    metadata.insert("llama.context_length", Value::U32(64));
    metadata.insert("llama.attention.head_count", Value::U32(4));
    metadata.insert("llama.attention.head_count_kv", Value::U32(2));
    for (key, value) in changes {
        metadata.insert(format!("llama.{key}"), value.clone());
    }
    let of =
        |name: &str, shape: &[usize]| GgufTensor { name: name.to_owned(), format: Format::F32, shape: shape.to_vec() };
    let mut tensors = vec![of("token_embd.weight", &[ROWS, HIDDEN]), of("output_norm.weight", &[HIDDEN])];
    for (name, shape) in [
        ("attn_norm", &[HIDDEN][..]),
        ("attn_q", &[16, HIDDEN]),
        ("attn_k", &[8, HIDDEN]),
        ("attn_v", &[8, HIDDEN]),
        ("attn_output", &[HIDDEN, 16]),
        ("ffn_norm", &[HIDDEN]),
        ("ffn_gate", &[8, HIDDEN]),
        ("ffn_up", &[8, HIDDEN]),
        ("ffn_down", &[HIDDEN, 8]),
    ] {
        tensors.push(of(&format!("blk.0.{name}.weight"), shape));
    }
    let mut writer = GgufWriter::new(Vec::new(), &metadata, &tensors)?;
    for tensor in &tensors {
        writer.tensor(&vec![0; 4 * tensor.shape.iter().product::<usize>()])?;
    }
    Checkpoint::from_bytes(writer.finish()?)
}

#[test]
fn metadata_is_held_to_the_same_rules() {
    let load = |changes: &[(&str, Value)]| -> Result<(), Error> {
        let checkpoint = gguf(changes)?;
        let cpu = Cpu::new(CpuOptions::default()).unwrap();
        Decoder::load(cpu, checkpoint.weights(), Description::new(&checkpoint)?).map(drop)
    };
    load(&[]).unwrap();
    load(&[("attention.causal", Value::Bool(true)), ("expert_count", Value::U32(0))]).unwrap();
    load(&[("attention.head_count_kv", Value::Array(Array::I32(vec![2; 100_000])))]).unwrap();
    for (key, value) in [
        ("attention.causal", Value::Bool(false)),
        ("expert_count", Value::U32(8)),
        ("attention.scale", Value::F32(0.5)),
        ("logit_scale", Value::F32(0.5)),
        ("embedding_scale", Value::F32(2.0)),
        ("rope.scaling.type", Value::Str("other".into())),
        ("unheard_of", Value::Array(Array::U32((0..100_000).collect()))),
    ] {
        let error = load(&[(key, value)]).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{key}: {error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
    for (key, value) in [
        ("attention.head_count", Value::Array(Array::U32((1..100_000).collect()))),
        ("attention.head_count", Value::U32(0)),
        ("block_count", Value::U32(u32::MAX)),
        ("embedding_length", Value::U64(u64::MAX)),
        ("attention.key_length", Value::U32(u32::MAX - 1)),
        ("rope.dimension_count", Value::U32(3)),
    ] {
        let error = load(&[(key, value)]).unwrap_err();
        assert!(error.to_string().len() < 400, "{key}: {error}");
    }
}
