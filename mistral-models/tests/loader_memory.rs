//! Headers that lie must not cost memory: the peak of the heap stays below the file's size plus a constant.
//! One test alone in its process, because the allocator counts for all threads.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mistral_models::{Checkpoint, Error, Limits};

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

/// The heap that opening takes at its peak, beyond the bytes of the file itself.
fn peak(open: impl FnOnce() -> Result<Checkpoint, Error>) -> (usize, Result<Checkpoint, Error>) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = open();
    (PEAK.load(Relaxed) - before, result)
}

fn gguf(tensors: u64, keys: u64) -> Vec<u8> {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend(tensors.to_le_bytes());
    out.extend(keys.to_le_bytes());
    out
}

fn key(out: &mut Vec<u8>, name: &str, kind: u32) {
    out.extend((name.len() as u64).to_le_bytes());
    out.extend(name.as_bytes());
    out.extend(kind.to_le_bytes());
}

fn array(out: &mut Vec<u8>, kind: u32, len: u64) {
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
}

#[test]
fn memory_stays_below_the_file_size_and_a_constant() {
    lying_headers_cost_no_memory();
    honest_but_hostile_files_cost_their_size();
}

fn lying_headers_cost_no_memory() {
    let small = 64 << 10;
    // Arrays of every type with absurd lengths: 2^60, and what overflows when it is multiplied by the width.
    for kind in 0..=13 {
        for len in [1 << 60, u64::MAX, u64::MAX / 8 + 1, 1 << 32, 100_000] {
            let mut file = gguf(0, 1);
            key(&mut file, "a", 9);
            array(&mut file, kind, len);
            file.resize(file.len() + 64, 0);
            let (heap, result) = peak(|| Checkpoint::from_bytes(file));
            let damaged = matches!(result, Err(Error::Malformed { .. } | Error::Truncated { .. }));
            assert!(damaged, "{kind} {len}: {result:?}");
            assert!(heap < small, "{kind} {len}: {heap}");
        }
    }
    // Counts and lengths of the header.
    for (tensors, keys) in [(1 << 18, 0), (0, 1 << 14), (u64::MAX, 0), (0, u64::MAX), (1 << 40, 1 << 40)] {
        let mut file = gguf(tensors, keys);
        file.extend([0xff; 64]);
        let (heap, result) = peak(|| Checkpoint::from_bytes(file));
        let damaged = matches!(result, Err(Error::Malformed { .. } | Error::Truncated { .. } | Error::Limit { .. }));
        assert!(damaged, "{result:?}");
        assert!(heap < small, "{tensors} {keys}: {heap}");
    }
    // Arrays in arrays, wide and deep: short in the file, long in memory.
    let mut wide = gguf(0, 1);
    key(&mut wide, "a", 9);
    array(&mut wide, 9, 100_000);
    (0..100_000).for_each(|_| array(&mut wide, 0, 0));
    let (heap, result) = peak(|| Checkpoint::from_bytes(wide));
    assert!(matches!(result, Err(Error::Limit { .. })));
    assert!(heap < small, "{heap}");
    let mut deep = gguf(0, 1);
    key(&mut deep, "a", 9);
    (0..100_000).for_each(|_| array(&mut deep, 9, 1));
    let (heap, result) = peak(|| Checkpoint::from_bytes(deep));
    assert!(matches!(result, Err(Error::Limit { .. })));
    assert!(heap < small, "{heap}");
}

fn honest_but_hostile_files_cost_their_size() {
    // A million empty strings: 8 bytes each in the file.
    let mut strings = gguf(0, 1);
    key(&mut strings, "a", 9);
    array(&mut strings, 8, 1_000_000);
    strings.resize(strings.len() + 8_000_000, 0);
    check("strings", strings.len(), peak(|| Checkpoint::from_bytes(strings)), true);

    // As many keys as the limit allows, each as short as can be.
    let keys = Limits::default().metadata_entries;
    let mut file = gguf(0, keys);
    for i in 0..keys {
        key(&mut file, &format!("{i:x}"), 0);
        file.push(0);
    }
    check("keys", file.len(), peak(|| Checkpoint::from_bytes(file)), true);

    // As many tensors as the limit allows, without data.
    let tensors = Limits::default().tensors;
    let mut file = gguf(tensors, 0);
    for i in 0..tensors {
        let name = format!("{i:x}");
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend([1u32.to_le_bytes(), [0; 4], [0; 4], [0; 4], [0; 4], [0; 4]].as_flattened());
    }
    check("tensors", file.len(), peak(|| Checkpoint::from_bytes(file)), true);

    // The same in safetensors.
    let mut json = String::from("{");
    for i in 0..tensors {
        let comma = if i == 0 { "" } else { "," };
        json += &format!("{comma}\"{i:x}\":{{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    }
    json.push('}');
    let file = safetensors(&json);
    check("safetensors", file.len(), peak(|| Checkpoint::options().from_safetensors(b"{}", file)), true);

    // One endless shape, one endless name, one endless type name, a header of brackets.
    let endless = [
        format!("{{\"a\":{{\"dtype\":\"I8\",\"shape\":[{}0],\"data_offsets\":[0,0]}}}}", "0,".repeat(4_000_000)),
        format!("{{\"{}\":{{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}}}", "a".repeat(8_000_000)),
        format!("{{\"a\":{{\"dtype\":\"{}\",\"shape\":[0],\"data_offsets\":[0,0]}}}}", "a".repeat(8_000_000)),
        format!("{{\"a\":{}", "[".repeat(8_000_000)),
        format!("{{\"__metadata__\":{}", "[".repeat(8_000_000)),
        format!("{{\"__metadata__\":{{\"a\":\"{}\"}}}}", "\\n".repeat(20_000_000)),
        format!("{{\"{}\":0}}", "\\u0041".repeat(5_000_000)),
    ];
    for json in endless {
        let file = safetensors(&json);
        check("endless", file.len(), peak(|| Checkpoint::options().from_safetensors(b"{}", file)), false);
    }
    // A configuration of very many values.
    let file = safetensors("{}");
    let config = format!("{{\"a\":[{}0]}}", "[],".repeat(3_000_000));
    check("config", file.len(), peak(|| Checkpoint::options().from_safetensors(config.as_bytes(), file)), false);
}

fn safetensors(json: &str) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}

fn check(what: &str, size: usize, (heap, result): (usize, Result<Checkpoint, Error>), valid: bool) {
    assert_eq!(result.is_ok(), valid, "{what}: {:?}", result.err());
    eprintln!("{what}: {size} bytes, {heap} on the heap");
    assert!(heap <= size + (32 << 20), "{what}: {heap} bytes on the heap for {size} in the file");
}
