//! Downloading from a server inside the test: no network.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lint does not see as tests
#![cfg(feature = "hub")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mistral_models::loader::{GgufTensor, GgufWriter};
use mistral_models::{Checkpoint, Download, Error, Metadata};
use mistral_quant::Format;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Answers the two requests of the hub's protocol that are used: the listing of a repository, and ranges of its files.
struct Hub {
    url: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let files: HashMap<String, Vec<u8>> = files.iter().map(|(n, b)| ((*n).to_owned(), b.clone())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (files, seen) = (Arc::new(files), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, seen) = (Arc::clone(&files), Arc::clone(&seen));
                std::thread::spawn(move || while answer(&stream, &files, &seen).is_some() {});
            }
        });
        Self { url, log }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn answer(stream: &TcpStream, files: &HashMap<String, Vec<u8>>, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.take(1 << 16));
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut range = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (from, to) = value.trim().split_once('-')?;
            range = Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()));
        }
        if header.trim().is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(path.clone());
    let mut out = stream;
    if path == "/api/models/o/n/revision/main" {
        let names: Vec<_> = files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
        let body = format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}", names.join(","));
        return write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok();
    }
    match path.strip_prefix("/o/n/resolve/main/").and_then(|name| files.get(name)) {
        Some(bytes) => {
            let (from, to) = range.unwrap_or((0, None));
            let part = &bytes[from..to.map_or(bytes.len(), |to| to + 1)];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\netag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n\r\n",
                part.len(),
                from + part.len() - 1,
                bytes.len(),
                path.replace('/', "_")
            );
            out.write_all(head.as_bytes()).ok()?;
            out.write_all(part).ok()
        }
        None => write!(out, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").ok(),
    }
}

fn cache() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("hub-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn gguf() -> Vec<u8> {
    let list = [GgufTensor { name: "a".into(), format: Format::F32, shape: vec![100_000] }];
    let mut file = GgufWriter::new(Vec::new(), &Metadata::default(), &list).unwrap();
    file.tensor(&vec![1; 400_000]).unwrap();
    file.finish().unwrap()
}

#[test]
fn a_model_is_downloaded_once_and_found_by_its_id() {
    let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    let weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), b"abcd"].concat();
    let hub = Hub::start(&[
        ("config.json", b"{\"model_type\":\"llama\"}".to_vec()),
        ("model.safetensors", weights),
        ("notes.txt", b"x".to_vec()),
        ("../evil.safetensors", b"x".to_vec()),
    ]);
    let cache = cache();
    let download = Download::new("o/n").cache(&cache).endpoint(&hub.url).retries(0);
    let mut steps = Vec::new();
    let path = download.run(|p| steps.push((p.file.to_owned(), p.done, p.total))).unwrap();
    assert!(path.ends_with(COMMIT));
    assert!(steps.contains(&("config.json".into(), 22, 22)));
    assert!(steps.iter().all(|(_, done, total)| done <= total));
    assert_eq!(Checkpoint::open(&path).unwrap().config_json().unwrap()["model_type"], "llama");
    assert_eq!(Checkpoint::options().cache(&cache).open("o/n").unwrap().tensor_bytes(), 4);
    assert!(!hub.requests().iter().any(|path| path.contains("notes") || path.contains("evil")));
    // The second time only the listing is asked for.
    assert_eq!(download.run(|_| ()).unwrap(), path);
    assert_eq!(hub.requests(), ["/api/models/o/n/revision/main"]);
    std::fs::remove_dir_all(cache).unwrap();
}

#[test]
fn one_gguf_file_of_several_is_downloaded() {
    let hub = Hub::start(&[("n-Q4_K_M.gguf", gguf()), ("n-Q8_0.gguf", b"x".to_vec())]);
    let cache = cache();
    let download = Download::new("o/n").cache(&cache).endpoint(&hub.url).retries(0);
    let mut last = (0, 0);
    let path = download.run(|p| last = (p.done, p.total)).unwrap();
    assert!(path.ends_with("n-Q4_K_M.gguf"));
    assert_eq!(last, (gguf().len() as u64, gguf().len() as u64));
    let checkpoint = Checkpoint::open(path).unwrap();
    assert_eq!(checkpoint.weights().get("a").unwrap().bytes.as_slice(), vec![1; 400_000]);
    std::fs::remove_dir_all(cache).unwrap();
}

#[test]
fn refusals_are_typed() {
    let hub = Hub::start(&[("README.md", b"x".to_vec())]);
    let cache = cache();
    let run = |id: &str, url: &str| Download::new(id).cache(&cache).endpoint(url).retries(0).run(|_| ());
    assert!(matches!(run("o/n", &hub.url), Err(Error::NotFound { .. })));
    assert!(matches!(run("o/other", &hub.url), Err(Error::Download { .. })));
    assert!(matches!(run("o", &hub.url), Err(Error::NotFound { .. })));
    assert!(matches!(run("o/n", "http://127.0.0.1:1"), Err(Error::Download { .. })));
}
