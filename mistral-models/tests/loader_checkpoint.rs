//! Opening checkpoints by path, directory and id, in one file and in several.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mistral_models::loader::{GgufTensor, GgufWriter};
use mistral_models::{Checkpoint, CheckpointKind, Error, Limits, Metadata, ReadMode, Value};
use mistral_quant::Format;

/// A directory of its own for each test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("checkpoint-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn gguf(keys: &[(&str, Value)], tensors: &[(&str, f32)]) -> Vec<u8> {
    let mut metadata = Metadata::default();
    for (key, value) in keys {
        metadata.insert(*key, value.clone());
    }
    let list: Vec<_> = tensors
        .iter()
        .map(|(name, _)| GgufTensor { name: (*name).into(), format: Format::F32, shape: vec![1, 1] })
        .collect();
    let mut file = GgufWriter::new(Vec::new(), &metadata, &list).unwrap();
    for (_, value) in tensors {
        file.tensor(&value.to_le_bytes()).unwrap();
    }
    file.finish().unwrap()
}

fn safetensors(tensors: &[(&str, f32)]) -> Vec<u8> {
    let rows: Vec<_> = tensors
        .iter()
        .enumerate()
        .map(|(i, (name, _))| {
            format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[{},{}]}}", i * 4, i * 4 + 4)
        })
        .collect();
    let json = format!("{{{}}}", rows.join(","));
    let mut out = (json.len() as u64).to_le_bytes().to_vec();
    out.extend(json.as_bytes());
    out.extend(tensors.iter().flat_map(|(_, value)| value.to_le_bytes()));
    out
}

fn value(checkpoint: &Checkpoint, name: &str) -> f32 {
    let tensor = checkpoint.weights().get(name).unwrap();
    f32::from_le_bytes(tensor.matrix(1, 1).unwrap().bytes().try_into().unwrap())
}

fn part(no: u16, count: u16, tensors: i32) -> Vec<(&'static str, Value)> {
    vec![("split.no", Value::U16(no)), ("split.count", Value::U16(count)), ("split.tensors.count", Value::I32(tensors))]
}

#[test]
fn one_gguf_file_mapped_and_read() {
    let dir = Directory::new();
    let path =
        dir.put("m.gguf", gguf(&[("general.architecture", Value::Str("llama".into()))], &[("a", 1.0), ("b", 2.0)]));
    dir.put("tokenizer.json", "of another model");
    for mode in [ReadMode::Map, ReadMode::Read] {
        let checkpoint = Checkpoint::options().mode(mode).open(&path).unwrap();
        assert_eq!(checkpoint.kind(), CheckpointKind::Gguf);
        assert_eq!(checkpoint.path(), path);
        assert_eq!(checkpoint.tensor_bytes(), 8);
        assert_eq!((value(&checkpoint, "a"), value(&checkpoint, "b")), (1.0, 2.0));
        assert!(checkpoint.config_json().is_none());
        assert_eq!(checkpoint.metadata().unwrap().str("general.architecture").unwrap(), Some("llama"));
        assert_eq!(checkpoint.file("tokenizer.json").unwrap(), None);
    }
    // Named otherwise, it is known by its first bytes; a directory with this file alone is this checkpoint.
    let blob = dir.put("blobs/sha256-0123", fs::read(&path).unwrap());
    assert_eq!(value(&Checkpoint::open(blob).unwrap(), "b"), 2.0);
    dir.put("mmproj-vision.gguf", gguf(&[], &[]));
    assert_eq!(Checkpoint::open(&dir.0).unwrap().path(), path);
    dir.put("other.gguf", gguf(&[], &[]));
    let error = Checkpoint::open(&dir.0).unwrap_err();
    assert!(matches!(&error, Error::NotFound { detail, .. } if detail.contains("m.gguf, other.gguf")), "{error}");
    let error = Checkpoint::options().config(dir.0.join("config.json")).open(&path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
}

#[test]
fn tensors_outlive_their_checkpoint() {
    let dir = Directory::new();
    let path = dir.put("m.gguf", gguf(&[], &[("a", 1.5)]));
    let weight = Checkpoint::open(path).unwrap().weights().get("a").unwrap().to_weight().unwrap();
    assert_eq!(weight.bytes(), 1.5f32.to_le_bytes());
}

#[test]
fn bytes_of_the_program_are_not_copied() {
    let bytes: &'static [u8] = Box::leak(gguf(&[], &[("a", 1.5)]).into_boxed_slice());
    let checkpoint = Checkpoint::from_bytes(bytes).unwrap();
    let tensor = checkpoint.weights().get("a").unwrap();
    assert!(bytes.as_ptr_range().contains(&tensor.bytes.as_slice().as_ptr()));
}

#[test]
fn split_gguf_files_are_one_checkpoint() {
    let dir = Directory::new();
    let mut first = part(0, 3, 3);
    first.push(("general.name", Value::Str("whole".into())));
    dir.put("m-00001-of-00003.gguf", gguf(&first, &[("a", 1.0)]));
    dir.put("m-00002-of-00003.gguf", gguf(&part(1, 3, 3), &[("b", 2.0)]));
    let last = dir.put("m-00003-of-00003.gguf", gguf(&part(2, 3, 3), &[("c", 3.0)]));
    for path in [&dir.0, &dir.0.join("m-00001-of-00003.gguf"), &last] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(["a", "b", "c"].map(|name| value(&checkpoint, name)), [1.0, 2.0, 3.0]);
        assert_eq!(checkpoint.weights().names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(checkpoint.metadata().unwrap().str("general.name").unwrap(), Some("whole"));
    }
    let malformed = |why: &str| match Checkpoint::open(&last) {
        Err(Error::Malformed { detail, .. }) => assert!(detail.contains(why), "{detail}"),
        other => panic!("{why}: {other:?}"),
    };
    dir.put("m-00003-of-00003.gguf", gguf(&part(1, 3, 3), &[("c", 3.0)]));
    malformed("part 2 of 3 by its metadata, part 3 of 3 by its name");
    dir.put("m-00003-of-00003.gguf", gguf(&part(2, 2, 3), &[("c", 3.0)]));
    malformed("part 3 of 2 by its metadata");
    dir.put("m-00003-of-00003.gguf", gguf(&[], &[("c", 3.0)]));
    malformed("part 1 of 1 by its metadata");
    dir.put("m-00003-of-00003.gguf", gguf(&part(2, 3, 3), &[("c", 3.0), ("d", 3.0)]));
    malformed("split.tensors.count is 3, the parts hold 4");
    dir.put("m-00003-of-00003.gguf", gguf(&part(2, 3, 3), &[("a", 3.0)]));
    malformed("tensor `a` occurs twice");
    fs::remove_file(dir.0.join("m-00002-of-00003.gguf")).unwrap();
    let missing = Checkpoint::open(&last).unwrap_err();
    assert!(matches!(&missing, Error::Missing { kind: "file", name } if name.ends_with("m-00002-of-00003.gguf")));
    let alone = dir.put("renamed.gguf", gguf(&part(1, 3, 3), &[]));
    assert!(matches!(Checkpoint::open(alone), Err(Error::Malformed { detail, .. }) if detail.contains("part 2 of 3")));
    let many = dir.put("m-00001-of-99999.gguf", gguf(&[], &[]));
    assert!(matches!(Checkpoint::open(many), Err(Error::Limit { .. })));
}

#[test]
fn one_safetensors_file_with_its_configuration() {
    let dir = Directory::new();
    let path = dir.put("model.safetensors", safetensors(&[("a", 1.0)]));
    let missing = Checkpoint::open(&path).unwrap_err();
    assert!(matches!(&missing, Error::Missing { kind: "file", name } if name.ends_with("config.json")), "{missing}");
    dir.put("config.json", r#"{"model_type": "llama", "limit": [0.0, Infinity]}"#);
    dir.put("tokenizer.json", "{}");
    let other = dir.put("elsewhere/other.json", r#"{"model_type": "qwen2"}"#);
    for path in [&path, &dir.0] {
        let checkpoint = Checkpoint::open(path).unwrap();
        assert_eq!(checkpoint.kind(), CheckpointKind::Safetensors);
        assert!(checkpoint.metadata().is_none());
        assert_eq!(checkpoint.config_json().unwrap()["model_type"], "llama");
        assert_eq!(value(&checkpoint, "a"), 1.0);
        assert_eq!(checkpoint.file("tokenizer.json").unwrap().unwrap(), b"{}");
        assert_eq!(checkpoint.file("chat_template.jinja").unwrap(), None);
        assert!(checkpoint.file("elsewhere/other.json").unwrap().is_some());
        for outside in ["", "..", "../x", "/etc/hostname", "a/../../x"] {
            assert!(matches!(checkpoint.file(outside), Err(Error::NotFound { .. })), "{outside}");
        }
        let checkpoint = Checkpoint::options().config(&other).open(path).unwrap();
        assert_eq!(checkpoint.config_json().unwrap()["model_type"], "qwen2");
        assert!(checkpoint.file("tokenizer.json").unwrap().is_some());
    }
    let mut limits = Limits::default();
    limits.sidecar_bytes = 1;
    let checkpoint = Checkpoint::options().limits(limits).open(&path).unwrap();
    assert!(matches!(checkpoint.file("tokenizer.json"), Err(Error::Limit { limit: 1, found: 2, .. })));
    dir.put("config.json", "{");
    assert!(matches!(Checkpoint::open(&path), Err(Error::Malformed { what, .. }) if what.ends_with("config.json")));
}

#[test]
fn sharded_safetensors() {
    let dir = Directory::new();
    dir.put("config.json", "{}");
    let count = 20;
    let name = |i: usize| format!("model-{:05}-of-{count:05}.safetensors", i + 1);
    let mut map = Vec::new();
    for i in 0..count {
        let (a, b) = (format!("{i}.a"), format!("{i}.b"));
        dir.put(&name(i), safetensors(&[(&a, i as f32), (&b, -(i as f32))]));
        map.push(format!("\"{a}\": \"{0}\", \"{b}\": \"{0}\"", name(i)));
    }
    let index =
        |map: &[String]| format!("{{\"metadata\": {{\"total_size\": 160}}, \"weight_map\": {{{}}}}}", map.join(","));
    let index_name = "model.safetensors.index.json";
    let path = dir.put(index_name, index(&map));
    for mode in [ReadMode::Map, ReadMode::Read] {
        for path in [&dir.0, &path, &dir.0.join(name(7))] {
            let checkpoint = Checkpoint::options().mode(mode).open(path).unwrap();
            assert_eq!(checkpoint.tensor_bytes(), 160);
            for i in 0..count {
                assert_eq!(value(&checkpoint, &format!("{i}.a")), i as f32);
                assert_eq!(value(&checkpoint, &format!("{i}.b")), -(i as f32));
            }
        }
    }
    let with = |entry: String| {
        let changed = [&map[..], &[entry]].concat();
        dir.put(index_name, index(&changed));
        Checkpoint::open(&dir.0)
    };
    let fails = |entry: String| with(entry).unwrap_err();
    // Stale entries, as in transformers and vLLM: a tensor that is nowhere, and one that lies in another file.
    for entry in [format!("\"x\": \"{}\"", name(3)), format!("\"7.a\": \"{}\"", name(3))] {
        let checkpoint = with(entry).unwrap();
        assert_eq!((value(&checkpoint, "7.a"), checkpoint.weights().names().count()), (7.0, 40));
        assert!(matches!(checkpoint.weights().get("x"), Err(Error::Missing { kind: "tensor", .. })));
    }
    let error = fails("\"x\": \"gone.safetensors\"".into());
    assert!(matches!(&error, Error::Missing { kind: "file", name } if name.ends_with("gone.safetensors")), "{error}");
    let outside = dir.put("../outside.safetensors", safetensors(&[("x", 1.0)]));
    for path in ["../outside.safetensors", "a/../../outside.safetensors", outside.to_str().unwrap(), "", "."] {
        let error = fails(format!("\"x\": {path:?}"));
        assert!(matches!(&error, Error::Malformed { detail, .. } if detail.contains("outside")), "{error}");
    }
    fs::remove_file(outside).unwrap();
    dir.put(&name(3), safetensors(&[("3.a", 0.0), ("3.b", 0.0), ("4.a", 0.0)]));
    dir.put(index_name, index(&map));
    let error = Checkpoint::open(&dir.0).unwrap_err();
    assert!(matches!(&error, Error::Malformed { detail, .. } if detail.contains("`4.a` occurs twice")), "{error}");
    // Without an index the names of the files say which belong together.
    dir.put(&name(3), safetensors(&[("3.a", 3.0), ("3.b", -3.0)]));
    fs::remove_file(dir.0.join(index_name)).unwrap();
    assert_eq!(value(&Checkpoint::open(&dir.0).unwrap(), "19.a"), 19.0);
}

#[test]
fn ids_are_looked_up_in_the_cache() {
    let dir = Directory::new();
    let cache = dir.0.join("hub");
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let open = |id: &str| Checkpoint::options().cache(&cache).open(id);
    let error = open("no-such-org/some.model").unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, Error::NotFound { .. }) && shown.contains("models--no-such-org--some.model"), "{shown}");
    let folder = "hub/models--no-such-org--some.model";
    dir.put(&format!("{folder}/refs/main"), hash);
    assert!(matches!(open("no-such-org/some.model"), Err(Error::NotFound { .. })));
    dir.put(&format!("{folder}/snapshots/{hash}/config.json"), "{}");
    let error = open("no-such-org/some.model").unwrap_err();
    assert!(error.to_string().contains("neither safetensors nor GGUF"), "{error}");
    dir.put(&format!("{folder}/snapshots/{hash}/model.safetensors"), safetensors(&[("a", 5.0)]));
    dir.put(&format!("{folder}/refs/refs/pr/1"), format!("{hash}\n"));
    for id in [
        "no-such-org/some.model",
        "no-such-org/some.model@main",
        &format!("no-such-org/some.model@{hash}"),
        "no-such-org/some.model@refs/pr/1",
    ] {
        assert_eq!(value(&open(id).unwrap(), "a"), 5.0, "{id}");
    }
    for id in ["no-such-org/some.model@other", "no-such-org/../x", "no-such-org/some.model@../main", "nothing", ""] {
        assert!(matches!(open(id), Err(Error::NotFound { .. })), "{id}");
    }
    dir.put(&format!("{folder}/refs/evil"), "../../../..");
    assert!(matches!(open("no-such-org/some.model@evil"), Err(Error::Malformed { .. })));
}

#[cfg(unix)]
#[test]
fn links_of_the_cache_are_followed() {
    let dir = Directory::new();
    let folder = "models--o--n";
    dir.put(&format!("{folder}/blobs/1"), safetensors(&[("a", 5.0)]));
    dir.put(&format!("{folder}/blobs/2"), "{}");
    dir.put(&format!("{folder}/refs/main"), "abc");
    let snapshot = dir.0.join(folder).join("snapshots/abc");
    fs::create_dir_all(&snapshot).unwrap();
    std::os::unix::fs::symlink("../../blobs/1", snapshot.join("model.safetensors")).unwrap();
    std::os::unix::fs::symlink("../../blobs/2", snapshot.join("config.json")).unwrap();
    assert_eq!(value(&Checkpoint::options().cache(&dir.0).open("o/n").unwrap(), "a"), 5.0);
}

#[test]
fn what_is_no_checkpoint_is_said_so() {
    let dir = Directory::new();
    dir.put("config.json", "{}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4096\n";
    let (tensors, model) = (safetensors(&[("a", 1.0)]), gguf(&[], &[("a", 1.0)]));
    for (name, bytes, words) in [
        ("empty.gguf", b"".as_slice(), "an empty file"),
        ("empty.safetensors", b"", "an empty file"),
        ("pointer.gguf", pointer.as_bytes(), "a git-lfs pointer to a file of 4096 bytes; fetch the file itself"),
        ("pointer.safetensors", pointer.as_bytes(), "a git-lfs pointer to a file of 4096 bytes"),
        ("page.gguf", b"<!doctype html><title>Sign in</title>", "an HTML page"),
        ("page.safetensors", b"<!doctype html><title>Sign in</title>", "an HTML page"),
        ("said.gguf", b"Entry not found", "text that begins with \"Entry not found\""),
        ("archive.gguf", b"PK\x03\x04rest", "a zip archive"),
        ("pickle.safetensors", b"\x80\x02}rest", "a Python pickle"),
        ("packed.gguf", b"\x1f\x8b\x08rest", "packed by gzip"),
        ("old.gguf", b"tjgg\x03\0\0\0", "`ggjt`, older than GGUF"),
        ("zeros.safetensors", &[0; 64], "zeros at its start"),
        ("other.gguf", &tensors, "a safetensors file; give it a name that ends in `.safetensors`"),
        ("notes.txt", b"hello", "expected a GGUF or safetensors file, found text that begins with \"hello\""),
        ("model.bin", b"PK\x03\x04rest", "converted to safetensors"),
    ] {
        let error = Checkpoint::open(dir.put(name, bytes)).unwrap_err();
        assert!(matches!(error, Error::WrongFile { .. }), "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(name), "{name}: {text}");
    }
    let alone = Directory::new();
    for (name, bytes, words) in
        [("page.safetensors", "<!doctype html>", "an HTML page"), ("a.safetensors", pointer, "git-lfs")]
    {
        let text = Checkpoint::open(alone.put(name, bytes)).unwrap_err().to_string();
        assert!(text.contains(words), "named before the configuration is missed: {text}");
    }
    // A GGUF file is known under any name, but a directory is taken at its word.
    assert!(Checkpoint::open(dir.put("renamed.safetensors", &model)).is_ok());
    for (folder, bytes, words) in [("gguf", model.as_slice(), "a GGUF file"), ("html", b"<html>", "an HTML page")] {
        dir.put(&format!("{folder}/config.json"), "{}");
        dir.put(&format!("{folder}/model.safetensors"), bytes);
        let error = Checkpoint::open(dir.0.join(folder)).unwrap_err();
        assert!(matches!(error, Error::WrongFile { .. }) && error.to_string().contains(words), "{error}");
    }
    // The small files next to the weights too.
    for (name, bytes, words) in [
        ("config.json", pointer, "git-lfs pointer"),
        ("config.json", "", "an empty file"),
        ("config.json", "<html></html>", "an HTML page"),
        ("model.safetensors.index.json", pointer, "git-lfs pointer"),
        ("tokenizer.json", pointer, "git-lfs pointer"),
        ("tokenizer.json", "<!DOCTYPE html>", "an HTML page"),
        ("chat_template.jinja", pointer, "git-lfs pointer"),
    ] {
        let folder = format!("{}-{}", name, bytes.len());
        dir.put(&format!("{folder}/config.json"), "{}");
        dir.put(&format!("{folder}/one.safetensors"), &tensors);
        dir.put(&format!("{folder}/{name}"), bytes);
        let opened = Checkpoint::open(dir.0.join(folder)).and_then(|checkpoint| checkpoint.file(name).map(drop));
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::WrongFile { .. }) && error.to_string().contains(words), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    for (name, whole) in [("half.gguf", &model), ("half.safetensors", &tensors)] {
        let error = Checkpoint::open(dir.put(name, &whole[..whole.len() - 32])).unwrap_err();
        assert!(matches!(error, Error::Truncated { found, .. } if found == whole.len() as u64 - 32), "{error}");
    }
    std::fs::create_dir_all(dir.0.join("odd/model.gguf")).unwrap();
    let error = Checkpoint::open(dir.0.join("odd")).unwrap_err().to_string();
    assert!(error.contains("a directory"), "{error}");
    let nothing = dir.put("nothing/pytorch_model.bin", "");
    let error = Checkpoint::open(nothing.parent().unwrap()).unwrap_err();
    assert!(error.to_string().contains("pytorch_model.bin looks like a checkpoint of `torch.save`"), "{error}");
    assert!(matches!(Checkpoint::open(dir.0.join("x.gguf")), Err(Error::NotFound { .. })));
    #[cfg(unix)]
    {
        let error = Checkpoint::open("/dev/null").unwrap_err();
        assert!(error.to_string().contains("a device, a pipe or a socket"), "{error}");
    }
}
