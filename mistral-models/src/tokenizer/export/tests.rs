use serde_json::Value as Json;

use crate::error::Error;
use crate::metadata::Metadata;
use crate::metadata::Value;
use crate::tokenizer::hf::{Hf, Sidecars};
use crate::tokenizer::{EncodeOptions, Model, Tokenizer};
use crate::unsupported::Unsupported;

/// The tokenizer of a case in `tests/tokenizers/goldens.json`.
fn tokenizer(goldens: &Json, case: &Json) -> Tokenizer {
    let mut json = goldens["bases"][case["base"].as_str().unwrap()].clone();
    json["added_tokens"] = case["added"].clone();
    json["post_processor"] = case["processor"].clone();
    let file = |name: &str| case["files"].get(name).map(|file| file.to_string().into_bytes());
    let (config, map, added) =
        (file("tokenizer_config.json"), file("special_tokens_map.json"), file("added_tokens.json"));
    let files = Sidecars { config: config.as_deref(), map: map.as_deref(), added: added.as_deref(), generation: None };
    let (model, pieces, ids) = Hf::new(json.to_string().as_bytes(), &files).unwrap();
    Tokenizer::new(Model::Hf(Box::new(model)), pieces, ids)
}

/// A file returns the ids of transformers, or no file is written and the reason names an added token.
#[test]
fn added_tokens_keep_their_ids_or_are_named() {
    let goldens: Json = serde_json::from_str(include_str!("../../../tests/tokenizers/goldens.json")).unwrap();
    let (mut written, mut refused) = (0, Vec::new());
    for case in goldens["files"].as_array().unwrap() {
        let original = tokenizer(&goldens, case);
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", Value::Str("llama".into()));
        match original.to_gguf(original.vocab_size() + 3, &metadata) {
            Ok(keys) => {
                for (key, value) in keys {
                    metadata.insert(key, value);
                }
                let read_back = Tokenizer::from_gguf(&metadata).unwrap();
                for (text, ids) in goldens["texts"].as_array().unwrap().iter().zip(case["bare"].as_array().unwrap()) {
                    let found = read_back.encode(text.as_str().unwrap(), EncodeOptions::TEMPLATE).unwrap();
                    assert_eq!(serde_json::json!(found), *ids, "{}: {text}", case["name"]);
                }
                written += 1;
            }
            Err(Error::Unsupported(Unsupported::Tokenizer { detail })) => {
                assert!(detail.contains("added token `"), "{}: {detail}", case["name"]);
                refused.push(format!("{} {}", case["base"].as_str().unwrap(), case["name"].as_str().unwrap()));
            }
            Err(other) => panic!("{}: {other}", case["name"]),
        }
    }
    assert!(written > 25, "{written} written, refused: {refused:?}");
    for name in
        ["bytes flags said only there", "pieces flags said only there", "bytes tokens as objects", "bytes single words"]
    {
        assert!(refused.iter().any(|refused| refused == name), "{name} among {refused:?}");
    }
}
