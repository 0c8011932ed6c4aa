//! The reader on real vocabulary files and tiny checkpoints.

use std::path::PathBuf;

use mistral_models::Limits;
use mistral_models::loader::gguf;

fn shared() -> Option<PathBuf> {
    match std::env::var_os("MISTRAL_SHARED") {
        Some(path) => Some(path.into()),
        None => {
            assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "MISTRAL_SHARED is not set");
            eprintln!("skipped: MISTRAL_SHARED is not set");
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
