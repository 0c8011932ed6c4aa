//! Real GGUF vocabularies with the ids that their own tokenizers give: every text of every file, exactly.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::io::Write;
use std::path::{Path, PathBuf};

use mistral_models::{EncodeOptions, Limits, Metadata, Tokenizer, Value, loader::gguf::read_metadata};

/// The folder of shared test data, or a note that it is absent; absence is a failure on CI.
fn shared(folder: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("MISTRAL_SHARED") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "MISTRAL_SHARED is not set on CI");
        let _ = writeln!(std::io::stderr(), "skipped: MISTRAL_SHARED is not set"); // Not captured by the test runner.
        return None;
    };
    Some(Path::new(&root).join(folder))
}

fn metadata(path: &Path) -> Metadata {
    let bytes = std::fs::read(path).unwrap();
    read_metadata(&bytes, &path.display().to_string(), &Limits::default()).unwrap()
}

fn open(path: &Path) -> Tokenizer {
    Tokenizer::from_gguf(&metadata(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "gguf"))
        .collect();
    files.sort();
    files
}

fn expected(path: &Path) -> Vec<(String, Vec<u32>)> {
    let beside = |suffix: &str| std::fs::read_to_string(format!("{}.{suffix}", path.display())).unwrap();
    let (texts, ids) = (beside("inp"), beside("out"));
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let ids: Vec<&str> = ids.lines().collect();
    // The last text may be followed by a separator or not.
    assert!(texts.len() == ids.len() || (texts.len() == ids.len() + 1), "{}: {} texts", path.display(), texts.len());
    let parse = |line: &str| line.split_whitespace().map(|id| id.parse().unwrap()).collect();
    texts.iter().zip(ids).map(|(text, line)| ((*text).to_owned(), parse(line))).collect()
}

#[test]
fn every_text_gives_the_expected_ids() {
    let Some(folder) = shared("vocab") else { return };
    let files = files(&folder);
    assert!(files.len() >= 12, "{} vocabularies in {}", files.len(), folder.display());
    let mut wrong = Vec::new();
    for path in &files {
        let tokenizer = open(path);
        let cases = expected(path);
        assert!(cases.len() >= 40, "{}: {} texts", path.display(), cases.len());
        for (text, ids) in cases {
            let found = tokenizer.encode(&text, EncodeOptions::new(false, false)).unwrap();
            if found != ids {
                wrong.push(format!("{}: {text:?}\n  expected {ids:?}\n  found    {found:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Vocabularies made and trained by `vocab/make.py`, with ids computed by Hugging Face's `tokenizers`.
#[test]
fn own_vocabularies_give_the_ids_of_the_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vocab");
    let mut counts = Vec::new();
    let mut wrong = Vec::new();
    for name in ["bpe", "spm", "gemma", "bert", "t5"] {
        let mut metadata = metadata(&folder.join(format!("{name}.gguf")));
        let cases = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).unwrap();
        counts.push(cases.len());
        let mut pre = None;
        let mut tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
        for case in cases {
            let wanted = case["pre"].as_str().map(str::to_owned);
            if wanted != pre {
                let name = wanted.clone().unwrap_or_else(|| "qwen2".into());
                metadata.insert("tokenizer.ggml.pre", Value::Str(name));
                tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
                pre = wanted;
            }
            let flag = |key: &str| case[key].as_bool().unwrap();
            let options = EncodeOptions::new(flag("add_special"), flag("parse_special"));
            let text = case["text"].as_str().unwrap();
            let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            let found = tokenizer.encode(text, options).unwrap();
            if found != ids {
                wrong.push(format!("{name} {pre:?} {options:?} {text:?}\n  expected {ids:?}\n  found    {found:?}"));
            }
        }
    }
    assert!(counts.iter().zip([400, 130, 130, 130, 100]).all(|(n, least)| *n >= least), "{counts:?}");
    assert!(wrong.is_empty(), "{} wrong of {counts:?}:\n{}", wrong.len(), wrong.join("\n"));
}
