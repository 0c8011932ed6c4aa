//! The reader on real vocabulary files and tiny checkpoints.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::io::Write;
use std::path::PathBuf;

use mistral_models::loader::gguf;
use mistral_models::{Checkpoint, CheckpointKind, Limits};

fn shared() -> Option<PathBuf> {
    match std::env::var_os("MISTRAL_SHARED") {
        Some(path) => Some(path.into()),
        None => {
            assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "MISTRAL_SHARED is not set");
            let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
            None
        }
    }
}

#[test]
fn vocabularies_have_tokens_and_types_of_one_length() {
    let Some(shared) = shared() else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(shared.join("vocab")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "gguf") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let metadata = gguf::read_metadata(&bytes, "vocab", &Limits::default()).unwrap();
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
        let types = metadata.i32s("tokenizer.ggml.token_type").unwrap().unwrap();
        assert_eq!(tokens.len(), types.len(), "{}", path.display());
        assert!(tokens.len() > 1000);
        assert!(metadata.str("tokenizer.ggml.model").unwrap().is_some());
    }
    assert!(files >= 12);
}

#[test]
fn vocabulary_files_open_without_tensors() {
    let Some(shared) = shared() else { return };
    let checkpoint = Checkpoint::open(shared.join("vocab/ggml-vocab-llama-bpe.gguf")).unwrap();
    assert_eq!((checkpoint.tensor_bytes(), checkpoint.weights().names().count()), (0, 0));
}

/// The same tiny model in both containers: each tensor of the GGUF file that keeps its layout has the bytes of its safetensors twin.
#[test]
fn containers_of_one_model_agree() {
    let Some(shared) = shared() else { return };
    let directory = shared.join("conformance/public/qwen2");
    let hub = Checkpoint::open(&directory).unwrap();
    let gguf = Checkpoint::open(directory.join("model-f32.gguf")).unwrap();
    assert_eq!((hub.kind(), gguf.kind()), (CheckpointKind::Safetensors, CheckpointKind::Gguf));
    for (ours, theirs) in [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight"),
        ("blk.1.attn_v.bias", "model.layers.1.self_attn.v_proj.bias"),
    ] {
        let (a, b) = (gguf.weights().get(ours).unwrap(), hub.weights().get(theirs).unwrap());
        assert_eq!(a.shape, b.shape);
        assert_eq!(a.bytes.as_slice(), b.bytes.as_slice(), "{ours}");
    }
}

#[test]
fn every_public_checkpoint_opens() {
    let Some(shared) = shared() else { return };
    let mut opened = 0;
    for entry in std::fs::read_dir(shared.join("conformance/public")).unwrap() {
        let directory = entry.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        let gguf = Some(directory.join("model-f32.gguf")).filter(|path| path.exists());
        for path in std::iter::once(directory.clone()).chain(gguf) {
            let checkpoint = Checkpoint::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let mut bytes = 0;
            for name in checkpoint.weights().names() {
                let tensor = checkpoint.weights().get(name).unwrap();
                bytes += tensor.bytes.len() as u64;
            }
            assert_eq!(bytes, checkpoint.tensor_bytes());
            assert!(bytes > 0);
            opened += 1;
        }
    }
    assert!(opened > 100, "{opened}");
}
