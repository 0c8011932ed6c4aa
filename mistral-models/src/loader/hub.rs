//! Finding a model in the local cache of the Hugging Face hub. No network.
//!
//! Source: the cache layout that the huggingface_hub project documents: `CACHE/models--ORG--NAME/refs/REVISION` is a
//! file with a commit hash, `CACHE/models--ORG--NAME/snapshots/HASH/` holds the files (links into `blobs/`).

use std::env;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::loader::mmap;

/// The id of a model: `org/name`, or `org/name@revision` with a branch, tag or commit hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelId<'a> {
    pub(crate) name: &'a str,
    pub(crate) revision: &'a str,
}

impl<'a> ModelId<'a> {
    /// `None` when the text is not of this form.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (org, model) = name.split_once('/')?;
        let word = |s: &str| {
            !s.is_empty()
                && s.len() <= 96
                && !s.starts_with(['.', '-'])
                && !s.contains("..")
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let plain = Path::new(revision).components().all(|c| matches!(c, Component::Normal(_)));
        (word(org) && word(model) && plain && !revision.is_empty()).then_some(Self { name, revision })
    }

    fn folder(&self) -> String {
        format!("models--{}", self.name.replace('/', "--"))
    }
}

/// The cache directory of this user: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub`,
/// `XDG_CACHE_HOME/huggingface/hub`, else `.cache/huggingface/hub` in the home directory (on every platform, Windows
/// included). `None` without a home.
pub fn default_cache_dir() -> Option<PathBuf> {
    cache_dir_from(|key| env::var_os(key).filter(|v| !v.is_empty()).map(PathBuf::from), env::home_dir())
}

fn cache_dir_from(var: impl Fn(&str) -> Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    var("HF_HUB_CACHE")
        .or_else(|| var("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| var("HF_HOME").map(|path| path.join("hub")))
        .or_else(|| var("XDG_CACHE_HOME").map(|path| path.join("huggingface").join("hub")))
        .or_else(|| home.map(|path| path.join(".cache").join("huggingface").join("hub")))
}

/// The directory with the files of a model in `cache`.
pub(crate) fn snapshot(id: &ModelId<'_>, cache: &Path) -> Result<PathBuf, Error> {
    let folder = cache.join(id.folder());
    let reference = folder.join("refs").join(id.revision);
    // A revision without a reference is taken for a commit hash.
    let is_file = reference.is_file();
    let text = if is_file { mmap::read_small(&reference, 4096)? } else { None };
    let hash = match &text {
        Some(bytes) => String::from_utf8_lossy(bytes).trim().to_owned(),
        None => id.revision.to_owned(),
    };
    if hash.is_empty() || !hash.bytes().all(|b| b.is_ascii_alphanumeric()) && is_file {
        return Err(Error::malformed(reference.display().to_string(), "not a commit hash"));
    }
    let directory = folder.join("snapshots").join(&hash);
    if directory.is_dir() {
        return Ok(directory);
    }
    Err(Error::NotFound {
        what: format!("{}@{}", id.name, id.revision),
        detail: format!(
            "no such path, and not in the local cache: neither {} nor {} leads to a snapshot there",
            reference.display(),
            directory.display()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths() {
        let id = |name, revision| Some(ModelId { name, revision });
        assert_eq!(ModelId::parse("org/name"), id("org/name", "main"));
        assert_eq!(ModelId::parse("Qwen/Qwen2.5-0.5B@refs/pr/1"), id("Qwen/Qwen2.5-0.5B", "refs/pr/1"));
        for text in
            ["", "name", "a/b/c", "../b", "a/..", "a/b@", "a/b@../../x", "a/b@/etc", "C:\\a/b", "a b/c", "./a", "/a"]
        {
            assert_eq!(ModelId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn environment_is_asked_in_order() {
        let find = |set: &[(&str, &str)]| {
            let get = |key: &str| set.iter().find(|(k, _)| *k == key).map(|(_, v)| PathBuf::from(v));
            cache_dir_from(get, Some("/home/me".into()))
        };
        let path = |s: &str| Some(PathBuf::from(s));
        assert_eq!(find(&[]), path("/home/me/.cache/huggingface/hub"));
        assert_eq!(find(&[("XDG_CACHE_HOME", "/x")]), path("/x/huggingface/hub"));
        assert_eq!(find(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]), path("/h/hub"));
        assert_eq!(find(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")]), path("/old"));
        assert_eq!(find(&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")]), path("/c"));
        assert_eq!(cache_dir_from(|_| None, None), None);
    }
}
