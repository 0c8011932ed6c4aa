//! A vocabulary must not cost a multiple of its file: at most twice the file on the heap, at the peak and for each kind. The file itself is
//! mapped and not on the heap. The test is alone in its process, because the allocator counts for all threads.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mistral_models::loader::GgufWriter;
use mistral_models::{Array, Checkpoint, EncodeOptions, Error, Metadata, Strings, Tokenizer, Value};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(by: usize) {
    PEAK.fetch_max(NOW.fetch_add(by, Relaxed) + by, Relaxed);
}

// SAFETY: every call goes to the system allocator with the arguments it came with; the counters do not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist side by side while the content is moved.
        grow(size);
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TOKENS: usize = 200_000;

fn strings(texts: impl Iterator<Item = String>) -> Value {
    let mut all = Strings::default();
    texts.for_each(|text| all.push(&text));
    Value::Array(Array::Str(all))
}

/// Makes the metadata of a file that holds nothing but a vocabulary of short tokens.
fn vocabulary(kind: &str, token_type: i32) -> Metadata {
    let mut metadata = Metadata::default();
    let mut set = |key: &str, value: Value| metadata.insert(format!("tokenizer.ggml.{key}"), value);
    set("model", Value::Str(kind.into()));
    // Six letters each: a pair of three-letter parts for merges to lead to.
    let part =
        |n: usize| -> String { [n / 676, n / 26, n].map(|n| char::from(b'a' + (n % 26) as u8)).iter().collect() };
    let word = |n: usize| format!("{}{}", part(n / 450), part(n % 450));
    set("tokens", strings((0..TOKENS).map(word)));
    set("token_type", Value::Array(Array::I32(vec![token_type; TOKENS])));
    match kind {
        "gpt2" => {
            set("pre", Value::Str("qwen2".into()));
            set("merges", strings((0..TOKENS).map(|n| format!("{} {}", part(n / 450), part(n % 450)))));
        }
        "llama" | "t5" => {
            set("scores", Value::Array(Array::F32((0..TOKENS).map(|n| -(n as f32)).collect())));
        }
        _ => {}
    }
    metadata
}

fn peak<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = run();
    (PEAK.load(Relaxed) - before, result)
}

fn write(metadata: &Metadata) -> (std::path::PathBuf, usize) {
    let file = GgufWriter::new(Vec::new(), metadata, &[]).unwrap().finish().unwrap();
    let path = std::env::temp_dir().join(format!("tokenizer-memory-{}.gguf", std::process::id()));
    std::fs::write(&path, &file).unwrap();
    (path, file.len())
}

#[test]
fn a_vocabulary_takes_at_most_three_times_its_file() {
    // Normal tokens, and tokens that are all looked for in the text before the model sees it.
    for kind in ["llama", "gpt2", "bert", "t5"] {
        for token_type in [1, 4] {
            let (path, size) = write(&vocabulary(kind, token_type));
            let (heap, (tokenizer, checkpoint)) = peak(|| {
                let checkpoint = Checkpoint::open(&path).unwrap();
                (Tokenizer::from_checkpoint(&checkpoint).unwrap(), checkpoint)
            });
            eprintln!("{kind} {token_type}: a file of {size} bytes, {heap} on the heap");
            assert!(heap <= 2 * size, "{kind} {token_type}: {heap} bytes on the heap for a file of {size}");
            let ids = tokenizer.encode("aaaaab", EncodeOptions::new(false, true)).unwrap();
            assert!(!ids.is_empty() || kind == "gpt2", "{kind}");
            drop((tokenizer, checkpoint));
            std::fs::remove_file(path).unwrap();
        }
    }
    // Wrong lengths and types are found before any table is made.
    for (kind, key, value) in [
        ("llama", "token_type", Value::Array(Array::I32(vec![1; TOKENS - 1]))),
        ("llama", "scores", Value::Array(Array::F32(vec![0.0; 3]))),
        ("t5", "scores", Value::Array(Array::I32(vec![0; TOKENS + 1]))),
        ("gpt2", "token_type", Value::Array(Array::I32(Vec::new()))),
        ("gpt2", "merges", strings(["a b".into(), "ab".into()].into_iter())),
        ("gpt2", "merges", Value::U32(1)),
    ] {
        let mut metadata = vocabulary(kind, 1);
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
        let (heap, result) = peak(|| Tokenizer::from_gguf(&metadata));
        assert!(matches!(&result, Err(Error::Config { key: found, .. }) if found.ends_with(key)), "{kind} {key}");
        assert!(heap < 64 << 10, "{kind} {key}: {heap} bytes before the error");
    }
}
