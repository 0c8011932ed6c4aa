//! Downloading a model into the Hugging Face cache (feature `hub`), through the blocking client of hf-hub.

use std::path::{Component, Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use crate::error::Error;
use crate::loader::hub::{self, ModelId};
use crate::loader::shards::ShardName;

/// How far the download of one file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadProgress<'a> {
    /// The file, by its name in the repository.
    pub file: &'a str,
    /// Bytes received so far, those of an earlier interrupted attempt included.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// A download of one model. Only the files that are used here are fetched, and none that the cache has already.
///
/// ```no_run
/// use mistral_models::{Checkpoint, Download};
///
/// let path = Download::new("Qwen/Qwen2.5-0.5B-Instruct").run(|p| eprintln!("{}: {} of {}", p.file, p.done, p.total))?;
/// let checkpoint = Checkpoint::open(path)?;
/// # Ok::<(), mistral_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Download {
    id: String,
    gguf: Option<String>,
    cache: Option<PathBuf>,
    endpoint: Option<String>,
    token: Option<String>,
    retries: usize,
}

impl Download {
    /// A download of `org/name` or `org/name@revision`.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), gguf: None, cache: None, endpoint: None, token: None, retries: 3 }
    }

    /// Takes the GGUF file whose name contains this, such as `Q4_K_M` (case does not matter), also where there are
    /// safetensors.
    #[must_use]
    pub fn gguf(mut self, part_of_name: impl Into<String>) -> Self {
        self.gguf = Some(part_of_name.into());
        self
    }

    /// Another cache directory than [`default_cache_dir`](crate::loader::default_cache_dir).
    #[must_use]
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// Another server than that of the environment variable `HF_ENDPOINT` or `https://huggingface.co`.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Another access token than that of the environment variable `HF_TOKEN` or of the file `token` beside the cache.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How often a broken connection is taken up again, 3 unless set.
    #[must_use]
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Downloads, and returns the path for [`Checkpoint::open`](crate::Checkpoint::open): a directory, or a GGUF file.
    /// Blocks; `progress` is called from this thread.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what is no id or a repository without a usable model, [`Error::Download`] for the
    /// network and the server.
    pub fn run(&self, mut progress: impl FnMut(DownloadProgress<'_>)) -> Result<PathBuf, Error> {
        let not_found = |detail: &str| Error::NotFound { what: self.id.clone(), detail: detail.into() };
        let id =
            ModelId::parse(&self.id).ok_or_else(|| not_found("not of the form `org/name` or `org/name@revision`"))?;
        let cache = self.cache.clone().or_else(hub::default_cache_dir);
        let cache = Cache::new(cache.ok_or_else(|| not_found("no home directory with a cache"))?);
        let failed =
            |what: &str, e: &dyn std::fmt::Display| Error::Download { what: what.into(), detail: e.to_string() };

        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = ApiBuilder::from_cache(cache).with_progress(false).with_retries(self.retries);
        if let Some(endpoint) = self.endpoint.clone().or_else(|| variable("HF_ENDPOINT")) {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        if let Some(token) = self.token.clone().or_else(|| variable("HF_TOKEN")) {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().map_err(|e| failed(&self.id, &e))?;
        let repo = Repo::with_revision(id.name.to_owned(), RepoType::Model, id.revision.to_owned());
        let repo = api.repo(repo);
        let listing = repo.info().map_err(|e| failed(&self.id, &e))?;
        let names: Vec<&str> = listing.siblings.iter().map(|file| file.rfilename.as_str()).collect();
        let wanted = select(&names, self.gguf.as_deref()).map_err(|detail| not_found(&detail))?;

        let cached = self.cached(&id, &listing.sha);
        let mut first = None;
        for &name in &wanted {
            let path = match cached.as_ref().map(|directory| directory.join(name)).filter(|path| path.exists()) {
                Some(path) => path,
                None => {
                    let relay = Relay { file: name.to_owned(), done: 0, total: 0, report: &mut progress };
                    repo.download_with_progress(name, relay).map_err(|e| failed(&format!("{}/{name}", self.id), &e))?
                }
            };
            // The first one lies at the top of the snapshot: shards and sidecars in folders are not selected.
            first.get_or_insert(path);
        }
        let first = first.ok_or_else(|| not_found("the repository is empty"))?;
        let is_gguf = first.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        Ok(if is_gguf { first } else { first.parent().map(Path::to_owned).unwrap_or(first) })
    }

    /// The directory of this commit in the cache, if there is one.
    fn cached(&self, id: &ModelId<'_>, commit: &str) -> Option<PathBuf> {
        let cache = self.cache.clone().or_else(hub::default_cache_dir)?;
        let snapshot = hub::snapshot(&ModelId { revision: commit, ..*id }, &cache).ok()?;
        snapshot.ends_with(commit).then_some(snapshot)
    }
}

/// Hands the client's steps on to the caller.
struct Relay<'a> {
    file: String,
    done: u64,
    total: u64,
    report: &'a mut dyn FnMut(DownloadProgress<'_>),
}

impl Relay<'_> {
    fn report(&mut self) {
        (self.report)(DownloadProgress { file: &self.file, done: self.done, total: self.total });
    }
}

impl Progress for Relay<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        // Also called when a broken connection is taken up again; the bytes of before are then announced anew.
        (self.done, self.total) = (0, size as u64);
        self.report();
    }

    fn update(&mut self, size: usize) {
        self.done = self.done.saturating_add(size as u64);
        self.report();
    }

    fn finish(&mut self) {
        self.report();
    }
}

/// The small files that are of use beside safetensors.
const SIDECARS: [&str; 11] = [
    "config.json",
    "hf_quant_config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
];

/// The files of a repository to fetch, the most telling one first; else what is wrong.
fn select<'a>(files: &[&'a str], gguf: Option<&str>) -> Result<Vec<&'a str>, String> {
    // The server is not trusted with paths: only plain names, which also need no escapes in a URL.
    let plain = |name: &str| {
        Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/+".contains(&b))
    };
    let files: Vec<&'a str> = files.iter().copied().filter(|name| plain(name)).collect();
    if gguf.is_none() {
        let top = |name: &&&str| !name.contains('/') && name.ends_with(".safetensors");
        let mut weights: Vec<&str> = files.iter().filter(|name| **name == "model.safetensors").copied().collect();
        if weights.is_empty() && files.contains(&"model.safetensors.index.json") {
            weights.push("model.safetensors.index.json");
            let stem = |name: &str| ShardName::parse(Path::new(name)).is_some_and(|shard| shard.stem() == "model");
            weights.extend(files.iter().filter(top).filter(|name| stem(name)).copied());
        }
        if weights.is_empty() {
            let all: Vec<&str> = files.iter().filter(top).copied().collect();
            weights.extend(all.first().filter(|_| all.len() == 1));
        }
        if !weights.is_empty() {
            let sidecars = SIDECARS.iter().filter_map(|name| files.iter().find(|file| *file == name));
            let is_template = |name: &&&str| {
                let name = name.strip_prefix("additional_chat_templates/");
                name.is_some_and(|name| !name.contains('/') && name.ends_with(".jinja"))
            };
            let templates = files.iter().filter(is_template);
            return Ok(sidecars.copied().chain(weights).chain(templates.copied()).collect());
        }
    }
    let is_gguf = |name: &&str| name.to_ascii_lowercase().ends_with(".gguf") && !name.contains("mmproj");
    let all: Vec<&str> = files.iter().copied().filter(is_gguf).collect();
    let with = |part: &str| -> Vec<&'a str> {
        let part = part.to_ascii_lowercase();
        all.iter().copied().filter(|name| name.to_ascii_lowercase().contains(&part)).collect()
    };
    let chosen = match gguf {
        Some(part) => with(part),
        None if models(&all).len() == 1 => all.clone(),
        None => with("Q4_K_M"),
    };
    match models(&chosen).len() {
        1 => Ok(chosen),
        _ if all.is_empty() => Err("the repository holds neither safetensors nor GGUF files".into()),
        n => {
            let shown: Vec<&str> = models(&all).into_iter().take(40).collect();
            Err(format!("{n} GGUF models match, name one of: {}", shown.join(", ")))
        }
    }
}

/// Whole files and the first parts of split ones.
fn models<'a>(files: &[&'a str]) -> Vec<&'a str> {
    let is_first = |name: &&str| ShardName::parse(Path::new(name)).is_none_or(|shard| shard.is_first());
    files.iter().copied().filter(is_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_come_with_what_belongs_to_them() {
        let files = [
            "README.md",
            "additional_chat_templates/tool_use.jinja",
            "additional_chat_templates/old/x.jinja",
            "config.json",
            "consolidated.safetensors",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "original/model.safetensors",
            "tokenizer.json",
            "x.bin",
        ];
        let wanted = [
            "config.json",
            "tokenizer.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "additional_chat_templates/tool_use.jinja",
        ];
        assert_eq!(select(&files, None).unwrap(), wanted);
        let files = ["model.safetensors", "model.safetensors.index.json", "config.json", "m-Q8_0.gguf"];
        assert_eq!(select(&files, None).unwrap(), ["config.json", "model.safetensors"]);
        assert_eq!(select(&files, Some("q8_0")).unwrap(), ["m-Q8_0.gguf"]);
    }

    #[test]
    fn one_gguf_model_is_chosen() {
        let files = [
            "m-Q4_K_M.gguf",
            "m-Q8_0.gguf",
            "mmproj-Q4_K_M.gguf",
            "m-f16-00001-of-00002.gguf",
            "m-f16-00002-of-00002.gguf",
        ];
        assert_eq!(select(&files, None).unwrap(), ["m-Q4_K_M.gguf"]);
        assert_eq!(select(&files, Some("F16")).unwrap(), ["m-f16-00001-of-00002.gguf", "m-f16-00002-of-00002.gguf"]);
        assert_eq!(select(&files[3..], None).unwrap().len(), 2);
        assert!(select(&files, Some("m-")).unwrap_err().contains("3 GGUF models match"));
        assert!(select(&files, Some("Q2_K")).unwrap_err().contains("m-Q8_0.gguf"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_taken() {
        assert!(select(&["../model.gguf", "/etc/model.gguf", "a b.gguf", "x?y.gguf", "README.md"], None).is_err());
    }
}
