//! The files of a checkpoint's tokenizer and chat templates, read as Hugging Face transformers reads them; made by `tokenizers/make.py`.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::io::Write;
use std::path::{Path, PathBuf};

use mistral_models::{
    ChatTemplates, Checkpoint, EncodeOptions, Limits, Metadata, Quantizer, TemplateInput, Tokenizer, Value,
    loader::gguf::read_metadata,
};
use mistral_quant::Format;
use serde_json::{Value as Json, json};

fn goldens() -> Json {
    serde_json::from_str(include_str!("tokenizers/goldens.json")).unwrap()
}

/// A folder of a checkpoint, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tokenizer-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("additional_chat_templates")).unwrap();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
        safetensors::serialize_to_file([("x", view)], None, &folder.join("model.safetensors")).unwrap();
        std::fs::write(folder.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
        Self(folder)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn open(&self) -> Checkpoint {
        Checkpoint::open(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_next_to_tokenizer_json_are_read_as_transformers_does() {
    let goldens = goldens();
    let texts: Vec<&str> = goldens["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let cases = goldens["files"].as_array().unwrap();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let folder = Folder::new(&format!("files-{number}"));
        let mut json = goldens["bases"][case["base"].as_str().unwrap()].clone();
        json["added_tokens"] = case["added"].clone();
        json["post_processor"] = case["processor"].clone();
        folder.put("tokenizer.json", &json.to_string());
        for (name, file) in case["files"].as_object().unwrap() {
            folder.put(name, &file.to_string());
        }
        let tokenizer = Tokenizer::from_checkpoint(&folder.open()).unwrap();
        let mut check = |what: &str, found: Json, wanted: &Json| {
            if found != *wanted {
                wrong
                    .push(format!("{} {} {what}\n  expected {wanted}\n  found    {found}", case["base"], case["name"]));
            }
        };
        check("vocab_size", json!(tokenizer.vocab_size()), &case["vocab_size"]);
        let special = tokenizer.special_tokens_map();
        for (role, found) in [
            ("bos_token", &special.bos_token),
            ("eos_token", &special.eos_token),
            ("pad_token", &special.pad_token),
            // The unknown token of the model itself has that role without being named.
        ] {
            // A token that is known to end turns ends them where no token has the role.
            if role != "eos_token" || !case["roles"][role].is_null() {
                check(role, json!(found), &case["roles"][role]);
            }
        }
        let count = case["ids"].as_array().unwrap().len();
        for (at, text) in texts.iter().enumerate().take(count) {
            let bare = tokenizer.encode(text, EncodeOptions::TEMPLATE).unwrap();
            check(text, json!(bare), &case["bare"][at]);
            let ids = tokenizer.encode(text, EncodeOptions::new(true, true)).unwrap();
            check(text, json!(ids), &case["ids"][at]);
            let wanted: Vec<u32> = serde_json::from_value(case["bare"][at].clone()).unwrap();
            check("decoded", json!(tokenizer.decode(&wanted, false).unwrap()), &case["decoded"][at]);
            // Known names of ends are special here, whatever the file says.
            if wanted.iter().all(|id| !tokenizer.eos().contains(id)) {
                check("skipped", json!(tokenizer.decode(&wanted, true).unwrap()), &case["skipped"][at]);
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn templates_are_taken_as_transformers_does() {
    for (number, case) in goldens()["templates"].as_array().unwrap().iter().enumerate() {
        let folder = Folder::new(&format!("templates-{number}"));
        for (name, text) in case["files"].as_object().unwrap() {
            folder.put(name, text.as_str().unwrap());
        }
        let templates = ChatTemplates::from_checkpoint(&folder.open()).unwrap().unwrap_or_default();
        assert_eq!(json!(templates.names().collect::<Vec<_>>()), case["names"], "{case}");
        for (key, has_tools) in [("plain", false), ("tools", true)] {
            let found = templates.select(has_tools).ok().map(|template| template.source().to_owned());
            // Of a single template that is not the default transformers takes none, which helps nobody.
            if templates.names().count() != 1 || !case[key].is_null() {
                assert_eq!(json!(found), case[key], "{case}");
            }
        }
        for name in templates.names() {
            assert_eq!(Some(templates.template(name).unwrap().source()), templates.source(name));
        }
    }
}

#[test]
fn templates_of_a_gguf_are_found_by_their_keys() {
    let mut metadata = Metadata::default();
    let text = |text: &str| Value::Str(text.into());
    metadata.insert("tokenizer.chat_template", text("plain"));
    metadata.insert("tokenizer.chat_template.tool_use", text("tools"));
    metadata.insert("tokenizer.chat_template.rag", text("rag"));
    let names = ["tool_use", "rag", "missing"].into_iter().collect();
    metadata.insert("tokenizer.chat_templates", Value::Array(mistral_models::Array::Str(names)));
    let templates = ChatTemplates::from_parts(None, None, Some(&metadata)).unwrap().unwrap();
    assert_eq!(templates.names().collect::<Vec<_>>(), ["default", "rag", "tool_use"]);
    assert_eq!(templates.name(true), Some("tool_use"));
    assert_eq!(templates.name(false), Some("default"));
    assert_eq!(templates.template("rag").unwrap().source(), "rag");
    let error = templates.template("missing").unwrap_err().to_string();
    assert_eq!(error, "no chat template `missing`; the checkpoint has `default`, `rag`, `tool_use`");
}

#[test]
fn names_of_pre_tokenizers_give_the_ids_of_the_reference() {
    let goldens = goldens();
    let mut wrong = Vec::new();
    let mut tokenizers = std::collections::HashMap::new();
    for case in goldens["pre"].as_array().unwrap() {
        let name = case["pre"].as_str().unwrap();
        let tokenizer = tokenizers.entry(name).or_insert_with(|| {
            let file = format!("tests/vocab/{}.gguf", case["vocab"].as_str().unwrap());
            let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
            let mut metadata = read_metadata(&bytes, name, &Limits::default()).unwrap();
            metadata.insert("tokenizer.ggml.pre", Value::Str(name.into()));
            let model = if name == "whitespace" { "whitespace" } else { "gpt2" };
            metadata.insert("tokenizer.ggml.model", Value::Str(model.into()));
            Tokenizer::from_gguf(&metadata).unwrap()
        });
        let text = case["text"].as_str().unwrap();
        let found = json!(tokenizer.encode(text, EncodeOptions::new(false, false)).unwrap());
        if found != case["ids"] {
            wrong.push(format!("{name} {text:?}\n  expected {}\n  found    {found}", case["ids"]));
        }
    }
    assert_eq!(tokenizers.len(), 4);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns the folder of shared test data, or prints a note that it is absent; its absence is a failure on CI.
fn shared(folder: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("MISTRAL_SHARED") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "MISTRAL_SHARED is not set on CI");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
        return None;
    };
    Some(Path::new(&root).join(folder))
}

#[test]
fn shared_cases_hold() {
    let Some(cases) = shared("cases") else { return };
    for (name, tokens) in [
        ("added_tokens_in_config_1", &["<|im_start|>", "<|im_end|>", "<tool_call>"][..]),
        ("added_tokens_in_config_2", &["<|im_start|>", "<|im_end|>"][..]),
    ] {
        let tokenizer = Tokenizer::from_checkpoint(&Checkpoint::open(cases.join(name)).unwrap()).unwrap();
        for token in tokens {
            let id = tokenizer.token_to_id(token).unwrap();
            assert_eq!(tokenizer.encode(token, EncodeOptions::TEMPLATE).unwrap(), [id]);
            assert_eq!(tokenizer.is_special(id), *token != "<tool_call>", "{token}");
        }
        let ids = tokenizer.encode("<|im_start|>user hello<|im_end|>", EncodeOptions::TEMPLATE).unwrap();
        assert_eq!((ids.first(), ids.last(), ids.len()), (Some(&299), Some(&300), 5));
    }
    let templates = ChatTemplates::from_checkpoint(&Checkpoint::open(cases.join("named_templates")).unwrap());
    let templates = templates.unwrap().unwrap();
    let messages = [json!({"role": "user", "content": "Hi"})];
    let tools = [json!({"type": "function"})];
    let input = TemplateInput::new(&messages);
    assert_eq!(templates.select(false).unwrap().render(&input).unwrap(), "[plain]Hi");
    assert_eq!(templates.select(true).unwrap().render(&input.tools(&tools)).unwrap(), "[tools:1]Hi");
    let texts: Json =
        serde_json::from_slice(&std::fs::read(cases.join("export_added_tokens/texts.json")).unwrap()).unwrap();
    for (name, token) in
        [("finetune", "<|assistant|>"), ("legacy_added_token", "<|im_start|>"), ("lstrip_rstrip", "<B>")]
    {
        let checkpoint = Checkpoint::open(cases.join("export_added_tokens").join(name)).unwrap();
        let original = Tokenizer::from_checkpoint(&checkpoint).unwrap();
        match Quantizer::uniform(Format::F16).to_gguf(&checkpoint) {
            Err(error) => assert!(error.to_string().contains(&format!("`{token}`")), "{name}: {error}"),
            Ok(plan) => {
                let written = Tokenizer::from_gguf(plan.metadata()).unwrap();
                for case in texts.as_array().unwrap() {
                    let flag = |key: &str| case[key].as_bool().unwrap();
                    let options = EncodeOptions::new(flag("add_special"), flag("parse_special"));
                    let ids =
                        |tokenizer: &Tokenizer| tokenizer.encode(case["text"].as_str().unwrap(), options).unwrap();
                    assert_eq!(ids(&written), ids(&original), "{name}: {case}");
                }
            }
        }
    }
}
