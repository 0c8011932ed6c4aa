//! From safetensors to GGUF and to other formats: the same logits, the same token ids, the same file that other tools made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mistral_core::builder::HasCheckpoint;
use mistral_core::{Model, ModelBuilder, Request};
use mistral_models::loader::GgufTensor;
use mistral_models::quantize::Importance;
use mistral_models::{
    Array, Batch, CacheOptions, Checkpoint, Decoder, Description, EncodeOptions, LogitRows, Logits, Metadata, Mix,
    Quantizer, RandomTensor, RandomWeights, Run, Tokenizer, Value as MetadataValue, Weights,
};
use mistral_quant::{Cpu, CpuOptions, Format, KvFormat};
use mistral_tests::shared;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// A directory of its own for each use, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("quantize-tests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts the files of a Hugging Face checkpoint here.
    fn checkpoint(&self, config: &Value, tensors: &[(String, Vec<usize>, Vec<f32>)], dtype: Dtype) {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, _, values)| match dtype {
                Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                _ => values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            })
            .collect();
        let views = tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
        safetensors::serialize_to_file(views, None, &self.join("model.safetensors")).unwrap();
        std::fs::write(self.join("config.json"), config.to_string()).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn logits(weights: &dyn Weights, description: Description, ids: &[u32]) -> Vec<f32> {
    let mut decoder = Decoder::load(Cpu::new(CpuOptions::default()).unwrap(), weights, description).unwrap();
    let mut cache = decoder.cache(CacheOptions::new(2, 32).formats(KvFormat::F32, KvFormat::F32)).unwrap();
    let (mut batch, mut logits) = (Batch::default(), Logits::default());
    batch.push(Run::new(ids, 0).tables(cache.groups(), &[1, 0]).rows(LogitRows::All));
    decoder.forward(&batch, &mut cache, &mut logits).unwrap();
    logits.values().to_vec()
}

fn of_checkpoint(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    logits(checkpoint.weights(), Description::new(checkpoint).unwrap(), ids)
}

fn to_gguf(checkpoint: &Checkpoint, quantizer: &Quantizer, path: &Path) -> Checkpoint {
    quantizer.to_gguf(checkpoint).unwrap().write(path, |_| ()).unwrap();
    Checkpoint::open(path).unwrap()
}

/// Root of the mean square of the differences, relative to the values.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let difference = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    (difference / square(&mut a.iter().map(|v| f64::from(*v)))).sqrt()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn every_family_computes_the_same_from_its_gguf_file() {
    let mut cases: Vec<Value> = serde_json::from_str(include_str!("goldens/decoders.json")).unwrap();
    // Gemma 2 as it was published: its files leave the scale of attention to the width of a head.
    let mut published = cases.iter().find(|case| case["case"] == "gemma2").unwrap().clone();
    published["case"] = "gemma2 as published".into();
    published["config"]["query_pre_attn_scalar"] = published["config"]["head_dim"].clone();
    cases.push(published);
    let mut refused = Vec::new();
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        let list = case["tensors"].as_array().unwrap().iter().map(|t| RandomTensor {
            name: t["name"].as_str().unwrap().to_owned(),
            shape: numbers(&t["shape"]).into_iter().map(|n| n as usize).collect(),
            format: Format::F32,
            mean: t["offset"].as_f64().unwrap() as f32,
            scale: t["scale"].as_f64().unwrap() as f32,
        });
        let drawn = RandomWeights::new(0, list).unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = drawn
            .tensors()
            .iter()
            .map(|t| (t.name.clone(), t.shape.clone(), drawn.values(&t.name).unwrap().collect()))
            .collect();
        let directory = Directory::new();
        directory.checkpoint(&case["config"], &tensors, Dtype::F32);
        let checkpoint = Checkpoint::open(&directory.0).unwrap();
        let ids: Vec<u32> = numbers(&case["ids"]).into_iter().map(|n| n as u32).collect();
        let expected = of_checkpoint(&checkpoint, &ids);
        let plan = match Quantizer::new(Mix::F32).to_gguf(&checkpoint) {
            Ok(plan) => plan,
            Err(error) => {
                refused.push(format!("{name}: {error}"));
                continue;
            }
        };
        let path = directory.join("model.gguf");
        plan.write(&path, |_| ()).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        let found = of_checkpoint(&file, &ids);
        // Where rows change places sums are taken in another order, and GGUF keeps rope factors in f32.
        let error = distance(&expected, &found);
        assert!(error < 2e-6, "{name}: {error}");
        let exact = ["qwen2", "qwen3", "gemma2 as published", "phi3"].contains(&name);
        assert!(!exact || expected == found, "{name} is not the same to the bit");
        let small = to_gguf(&checkpoint, &Quantizer::uniform(Format::Q8_0), &directory.join("small.gguf"));
        let error = distance(&expected, &of_checkpoint(&small, &ids));
        assert!((1e-9..0.03).contains(&error), "{name} in Q8_0: {error}");
        let quantizer = Quantizer::uniform(Format::Q8_0);
        let description = Description::new(&checkpoint).unwrap();
        let weights = quantizer.at_load(&checkpoint, &description).unwrap();
        // The file may have tensors of rope factors besides.
        let more = quantizer.to_gguf(&checkpoint).unwrap().bytes() - weights.bytes();
        assert!(more <= 64, "{name}: {more} bytes more");
        let loaded = logits(&weights, description, &ids);
        let error = distance(&of_checkpoint(&small, &ids), &loaded);
        assert!(if exact { error == 0.0 } else { error < 1e-2 }, "{name} loaded as Q8_0: {error}");
    }
    // The first nine are decoders that no file is written of. The others are what GGUF has no word for: besides a dynamic scaling: exact bounds of YaRN's blend, an activation of its own, windows on some
    // of Qwen's layers, no soft cap and another scale of attention in Gemma 2.
    let names: Vec<&str> = refused.iter().map(|text| text.split(':').next().unwrap()).collect();
    let expected = [
        "gpt2",
        "gpt2 scales",
        "gpt_neox",
        "gpt_neox sequential",
        "qwen3_moe",
        "gpt_oss",
        "granitemoehybrid",
        "granitemoehybrid dense",
        "llama4_text",
        "llama dynamic rope",
        "llama yarn mscale",
        "mistral defaults",
        "qwen2 layer types",
        "gemma2 defaults",
        "qwen2 window",
        "gemma2",
    ];
    assert_eq!(names, expected, "{refused:#?}");
}

/// The embedded model as its Hugging Face checkpoint: other names, rows of rotated halves, files for what GGUF keeps in metadata.
fn default_model(directory: &Directory, dtype: Dtype) -> Checkpoint {
    let file = mistral_core::embedded().unwrap();
    let metadata = file.metadata().unwrap();
    let size = |key: &str| metadata.u64(&format!("llama.{key}")).unwrap().unwrap() as usize;
    let (heads, kv_heads, layers) =
        (size("attention.head_count"), size("attention.head_count_kv"), size("block_count"));
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "_name_or_path": "someone/default model",
        "vocab_size": size("vocab_size"),
        "hidden_size": size("embedding_length"),
        "intermediate_size": size("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": size("attention.key_length"),
        "max_position_embeddings": size("context_length"),
        "rms_norm_eps": metadata.f64("llama.attention.layer_norm_rms_epsilon").unwrap().unwrap() as f32,
        "rope_theta": metadata.f64("llama.rope.freq_base").unwrap().unwrap(),
        "tie_word_embeddings": true,
        "hidden_act": "silu",
    });
    let values = |name: &str| {
        let tensor = file.weights().get(name).unwrap();
        (tensor.shape.clone(), tensor.to_weight().unwrap().to_f32().unwrap())
    };
    let halves = |(shape, values): (Vec<usize>, Vec<f32>), heads: usize| {
        let (cols, rows) = (shape[1], shape[0] / heads);
        let row = |head: usize, r: usize| {
            let place = head * rows + 2 * (r % (rows / 2)) + r / (rows / 2);
            values[place * cols..][..cols].to_vec()
        };
        let all = (0..heads).flat_map(|head| (0..rows).flat_map(move |r| row(head, r))).collect();
        (shape, all)
    };
    let mut tensors = Vec::new();
    let mut push = |name: String, (shape, values)| tensors.push((name, shape, values));
    push("model.embed_tokens.weight".into(), values("token_embd.weight"));
    push("model.norm.weight".into(), values("output_norm.weight"));
    for layer in 0..layers {
        let theirs = |part: &str| values(&format!("blk.{layer}.{part}.weight"));
        let mut one = |name: &str, found| push(format!("model.layers.{layer}.{name}.weight"), found);
        one("input_layernorm", theirs("attn_norm"));
        one("self_attn.q_proj", halves(theirs("attn_q"), heads));
        one("self_attn.k_proj", halves(theirs("attn_k"), kv_heads));
        one("self_attn.v_proj", theirs("attn_v"));
        one("self_attn.o_proj", theirs("attn_output"));
        one("post_attention_layernorm", theirs("ffn_norm"));
        one("mlp.gate_proj", theirs("ffn_gate"));
        one("mlp.up_proj", theirs("ffn_up"));
        one("mlp.down_proj", theirs("ffn_down"));
    }
    directory.checkpoint(&config, &tensors, dtype);
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mistral-core/assets/default-model");
    for name in ["tokenizer.json", "chat_template.jinja"] {
        std::fs::copy(assets.join(name), directory.join(name)).unwrap();
    }
    let roles = json!({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"});
    std::fs::write(directory.join("tokenizer_config.json"), roles.to_string()).unwrap();
    Checkpoint::open(&directory.0).unwrap()
}

#[test]
fn the_default_model_becomes_the_file_that_its_own_export_made() {
    let directory = Directory::new();
    let checkpoint = default_model(&directory, Dtype::F32);
    let made = to_gguf(&checkpoint, &Quantizer::new(Mix::Q8_0), &directory.join("made.gguf"));
    let wanted = mistral_core::embedded().unwrap();
    for name in wanted.weights().names() {
        let (a, b) = (wanted.weights().get(name).unwrap(), made.weights().get(name).unwrap());
        assert_eq!((a.kind, a.shape), (b.kind, b.shape), "{name}");
        assert!(a.bytes.as_slice() == b.bytes.as_slice(), "{name}");
    }
    assert_eq!(made.weights().names().count(), wanted.weights().names().count());
    let (found, expected) = (made.metadata().unwrap(), wanted.metadata().unwrap());
    for (key, value) in expected.iter() {
        // About the model as a work; a name of its own.
        if key.starts_with("general.") && !["general.architecture", "general.type", "general.file_type"].contains(&key)
        {
            continue;
        }
        // Known by its name, `<|im_end|>`.
        if key == "tokenizer.ggml.eot_token_id" {
            continue;
        }
        assert_eq!(found.get(key), Some(value), "{key}");
    }
    assert_eq!(found.str("general.name").unwrap(), Some("default model"));
    let (a, b) = (Tokenizer::from_checkpoint(&checkpoint).unwrap(), Tokenizer::from_checkpoint(&made).unwrap());
    let text = "Once upon a time, there was a cat.<|im_end|>\n<tool_call>{\"x\": 12}</tool_call>";
    assert_eq!(a.encode(text, EncodeOptions::TEMPLATE).unwrap(), b.encode(text, EncodeOptions::TEMPLATE).unwrap());
    assert_eq!(a.eos().iter().max(), b.eos().iter().max());
}

fn strings<'m>(metadata: &'m Metadata, key: &str) -> Vec<&'m str> {
    metadata.strings(key).unwrap().unwrap().iter().collect()
}

/// A `tokenizer.json` with the tokens and merges of a GGUF vocabulary.
fn tokenizer_json(metadata: &Metadata, merges: &[(String, String)], rest: Value) -> Value {
    let tokens = strings(metadata, "tokenizer.ggml.tokens");
    let types = metadata.i32s("tokenizer.ggml.token_type").unwrap().unwrap();
    let vocab: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
    let added: Vec<Value> = tokens
        .iter()
        .zip(types)
        .enumerate()
        .filter(|(_, (_, kind))| [2, 3, 4].contains(*kind))
        .map(|(id, (token, kind))| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": *kind != 4})
        })
        .collect();
    let mut json = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null});
    for (key, value) in rest.as_object().unwrap() {
        json[key] = value.clone();
    }
    json["model"]["type"] = "BPE".into();
    json["model"]["vocab"] = vocab.into();
    json["model"]["merges"] = merges.iter().map(|(a, b)| json!([a, b])).collect::<Vec<_>>().into();
    json
}

/// The metadata that a checkpoint with this tokenizer would have as a GGUF file.
fn exported(tokenizer: &Value, roles: Value, rows: usize) -> Result<Metadata, mistral_models::Error> {
    let directory = Directory::new();
    let config = json!({"model_type": "llama", "vocab_size": rows, "hidden_size": 2, "intermediate_size": 2,
        "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": true});
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![rows, 2], vec![0.5; 2 * rows]),
        ("model.norm.weight".to_owned(), vec![2], vec![1.0; 2]),
    ];
    for (name, matrix) in [
        ("input_layernorm", false),
        ("post_attention_layernorm", false),
        ("self_attn.q_proj", true),
        ("self_attn.k_proj", true),
        ("self_attn.v_proj", true),
        ("self_attn.o_proj", true),
        ("mlp.gate_proj", true),
        ("mlp.up_proj", true),
        ("mlp.down_proj", true),
    ] {
        let shape = if matrix { vec![2, 2] } else { vec![2] };
        let values = vec![0.5; shape.iter().product()];
        tensors.push((format!("model.layers.0.{name}.weight"), shape, values));
    }
    directory.checkpoint(&config, &tensors, Dtype::BF16);
    std::fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(directory.join("tokenizer_config.json"), roles.to_string()).unwrap();
    let checkpoint = Checkpoint::open(&directory.0).unwrap();
    Ok(Quantizer::new(Mix::BF16).to_gguf(&checkpoint)?.metadata().clone())
}

fn vocabulary(folder: &Path, name: &str) -> Metadata {
    let checkpoint = Checkpoint::open(folder.join(format!("ggml-vocab-{name}.gguf"))).unwrap();
    checkpoint.metadata().unwrap().clone()
}

#[test]
fn pre_tokenizers_of_byte_level_vocabularies_are_recognised() {
    let Some(folder) = shared("vocab") else { return };
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let bytes =
        |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let qwen2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let digits = json!({"type": "Digits", "individual_digits": true});
    let sequence = |list: &[Value]| json!({"type": "Sequence", "pretokenizers": list});
    for (file, wanted, whole, pre_tokenizer) in [
        ("llama-bpe", "llama-bpe", true, sequence(&[split(llama3), bytes(false)])),
        ("qwen2", "qwen2", false, sequence(&[split(qwen2), bytes(false)])),
        ("gpt-2", "gpt-2", false, bytes(true)),
        ("starcoder", "smollm", false, sequence(&[digits, bytes(true)])),
    ] {
        let metadata = vocabulary(&folder, file);
        let merges: Vec<(String, String)> = strings(&metadata, "tokenizer.ggml.merges")
            .iter()
            .map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
            .collect();
        let rest = json!({"pre_tokenizer": pre_tokenizer, "decoder": bytes(true), "model": {"ignore_merges": whole}});
        let json = tokenizer_json(&metadata, &merges, rest);
        let rows = strings(&metadata, "tokenizer.ggml.tokens").len();
        let found = exported(&json, json!({}), rows + 3).unwrap();
        assert_eq!(found.str("tokenizer.ggml.pre").unwrap(), Some(wanted), "{file}");
        assert_eq!(strings(&found, "tokenizer.ggml.tokens")[..rows], strings(&metadata, "tokenizer.ggml.tokens"));
        assert_eq!(
            found.i32s("tokenizer.ggml.token_type").unwrap().unwrap()[rows..],
            [5, 5, 5],
            "rows without a token"
        );
    }
}

#[test]
fn scores_of_sentencepiece_vocabularies_are_found_again() {
    let Some(folder) = shared("vocab") else { return };
    let metadata = vocabulary(&folder, "llama-spm");
    let tokens = strings(&metadata, "tokenizer.ggml.tokens");
    let scores = metadata.f32s("tokenizer.ggml.scores").unwrap().unwrap();
    let ids: std::collections::HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, t)| (*t, id)).collect();
    // As transformers makes them: every pair of tokens that is a token, in the order of its score.
    let mut merges: Vec<(usize, String, String)> = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if ids.contains_key(left) && ids.contains_key(right) {
                merges.push((id, left.to_owned(), right.to_owned()));
            }
        }
    }
    merges.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(ids[a.1.as_str()].cmp(&ids[b.1.as_str()])));
    let merges: Vec<(String, String)> = merges.into_iter().map(|(_, left, right)| (left, right)).collect();
    let normalizer = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
    let decoder = json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
    let processor = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}});
    let rest = json!({"normalizer": normalizer, "decoder": decoder, "post_processor": processor,
        "model": {"byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>"}});
    let json = tokenizer_json(&metadata, &merges, rest);
    let roles = json!({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
    let found = exported(&json, roles, tokens.len()).unwrap();
    for (key, value) in [
        ("model", MetadataValue::Str("llama".into())),
        ("add_bos_token", MetadataValue::Bool(true)),
        ("add_eos_token", MetadataValue::Bool(false)),
        ("add_space_prefix", MetadataValue::Bool(true)),
        ("bos_token_id", MetadataValue::U32(1)),
        ("unknown_token_id", MetadataValue::U32(0)),
    ] {
        assert_eq!(found.get(&format!("tokenizer.ggml.{key}")), Some(&value), "{key}");
    }
    assert_eq!(found.get("tokenizer.ggml.token_type"), metadata.get("tokenizer.ggml.token_type"));
    let (a, b) = (Tokenizer::from_gguf(&metadata).unwrap(), Tokenizer::from_gguf(&found).unwrap());
    let texts = std::fs::read_to_string(folder.join("ggml-vocab-llama-spm.gguf.inp")).unwrap();
    for text in texts.split("\n__ggml_vocab_test__\n") {
        let ids = |tokenizer: &Tokenizer| tokenizer.encode(text, EncodeOptions::TEXT).unwrap();
        assert_eq!(ids(&a), ids(&b), "{text:?}");
    }
    let Some(MetadataValue::Array(Array::F32(made))) = found.get("tokenizer.ggml.scores") else { panic!("scores") };
    assert_eq!(made.len(), tokens.len());
}

#[test]
fn a_model_loaded_with_fewer_bits_is_the_model_of_the_file() {
    let directory = Directory::new();
    default_model(&directory, Dtype::BF16);
    let checkpoint = Checkpoint::open(&directory.0).unwrap();
    let answer = |builder: ModelBuilder<HasCheckpoint>| {
        let request = Request::new("Once upon a time").max_tokens(24).logprobs(3);
        let model = builder.threads(2).load().unwrap();
        let completion = model.generate(request).unwrap().complete().unwrap();
        let logprobs: Vec<f32> = completion.logprobs.iter().map(|l| l.chosen).collect();
        (completion.text, logprobs)
    };
    let open = || Model::builder().checkpoint(directory.0.as_path());
    let (text, _) = answer(open());
    assert!(text.contains("there was"), "{text}");
    for (name, quantizer) in [("q8", Quantizer::from(Format::Q8_0)), ("q4", Quantizer::new(Mix::Q4_K_M))] {
        // The rows of queries and keys change places on the way to this GGUF file; loading it changes nothing more.
        let float = directory.join(&format!("{name}-f32.gguf"));
        to_gguf(&checkpoint, &Quantizer::new(Mix::F32), &float);
        let file = directory.join(&format!("{name}.gguf"));
        to_gguf(&checkpoint, &quantizer, &file);
        let wanted = answer(Model::builder().checkpoint(file));
        assert!(answer(Model::builder().checkpoint(float).quantize(quantizer.clone())) == wanted, "{name}");
        let (loaded, _) = answer(open().quantize(quantizer));
        assert!(loaded.contains("there was"), "{name}: {loaded}");
    }
    let starved = open().quantize(Format::IQ2_XXS).load().unwrap_err().to_string();
    assert!(starved.contains("ffn_down") && starved.contains("IQ2_XXS"), "{starved}");
    // The budget is held against what will be kept, not against the file.
    let bytes = checkpoint.tensor_bytes();
    let tight = |builder: ModelBuilder<HasCheckpoint>| {
        builder.memory_budget(bytes).kv_tokens(64).context_length(64).max_batch_tokens(8)
    };
    assert!(tight(open()).load().is_err());
    tight(open().quantize(Format::Q4_0)).load().unwrap();
}

/// `goldens/mixes.py` asked llama.cpp.
#[test]
fn every_mix_gives_the_types_that_llama_quantize_gives() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("goldens/mixes.json")).unwrap();
    // The two newest mixes: the release of llama.cpp that was asked does not have them.
    let asked: BTreeSet<&str> = cases.iter().map(|case| case["mix"].as_str().unwrap()).collect();
    let missing: Vec<String> =
        Mix::all().map(|mix| mix.to_string()).filter(|mix| !asked.contains(mix.as_str())).collect();
    assert_eq!(missing, ["Q1_0", "Q2_0"]);
    for case in &cases {
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let (layers, experts, hidden, wide) = (size("layers"), size("experts"), size("hidden"), size("wide"));
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", MetadataValue::Str("llama".into()));
        for (key, value) in [
            ("block_count", layers),
            ("attention.head_count", size("heads")),
            ("attention.head_count_kv", size("kv_heads")),
            ("expert_count", experts),
        ] {
            metadata.insert(format!("llama.{key}"), MetadataValue::U32(value as u32));
        }
        let mut tensors = Vec::new();
        let mut push = |name: String, shape: Vec<usize>| {
            tensors.push(GgufTensor { name: format!("{name}.weight"), format: Format::F32, shape });
        };
        let types = case["types"].as_object().unwrap();
        for part in types.keys() {
            let shape = match part.trim_end_matches("_exps") {
                "token_embd" | "output" => {
                    push(part.clone(), vec![32, hidden]);
                    continue;
                }
                "attn_k" | "attn_v" => vec![hidden / size("heads") * size("kv_heads"), hidden],
                "ffn_gate" | "ffn_up" => vec![wide, hidden],
                "ffn_down" => vec![hidden, wide],
                _ => vec![hidden, hidden],
            };
            let stack = if part.ends_with("_exps") { vec![experts] } else { vec![] };
            (0..layers).for_each(|layer| push(format!("blk.{layer}.{part}"), [stack.clone(), shape.clone()].concat()));
        }
        for importance in
            [false, true].into_iter().filter(|flag| case["importance"].as_bool().is_none_or(|b| b == *flag))
        {
            let quantizer = Quantizer::new(Mix::from_name(case["mix"].as_str().unwrap()).unwrap());
            let quantizer = if importance { quantizer.importance(Importance::default()) } else { quantizer };
            let mut made = tensors.clone();
            quantizer.choose(&mut metadata, &mut made).unwrap();
            for (part, runs) in types {
                let expected = runs.as_str().unwrap().split(' ').flat_map(|run| {
                    let (name, count) = run.split_once('*').unwrap();
                    vec![Format::from_name(name).unwrap(); count.parse().unwrap()]
                });
                let of_part =
                    |tensor: &&GgufTensor| tensor.name.trim_end_matches(".weight").rsplit('.').next() == Some(part);
                let found = made.iter().filter(of_part).map(|tensor| tensor.format);
                let (found, expected): (Vec<Format>, Vec<Format>) = (found.collect(), expected.collect());
                assert_eq!(found, expected, "{part} of {} with importance {importance}: {case}", case["mix"]);
            }
        }
    }
}
