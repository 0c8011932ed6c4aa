//! A model on disk, whatever its container: what it is, its tensors, and what it says about itself.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use mistral_quant::SharedBytes;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::loader::file_kind::FileKind;
use crate::loader::hub::{self, ModelId};
use crate::loader::limits::Limits;
use crate::loader::mmap::ReadMode;
use crate::loader::packed::{self, PackedTensors};
use crate::loader::shards::ShardName;
use crate::loader::table::Tensors;
use crate::loader::weights::Weights;
use crate::loader::{gguf, json, mmap, safetensors};
use crate::metadata::Metadata;
use crate::unsupported::Unsupported;

/// The container of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointKind {
    /// GGUF: weights, configuration, tokenizer and template in one file, or in the parts of one.
    Gguf,
    /// safetensors files with a `config.json` and tokenizer files beside them, as on the Hugging Face hub.
    Safetensors,
}

/// An open checkpoint.
///
/// Opening reads headers only: milliseconds for a model of any size, plus the vocabulary of a GGUF file. Tensors stay
/// in the file (see [`ReadMode`]) and are handed out as shared bytes, which outlive the checkpoint.
///
/// ```
/// use mistral_models::{Checkpoint, Metadata, Value, Weights};
/// use mistral_models::loader::GgufWriter;
///
/// let mut metadata = Metadata::default();
/// metadata.insert("general.architecture", Value::Str("llama".into()));
/// let file = GgufWriter::new(Vec::new(), &metadata, &[])?.finish()?;
///
/// let checkpoint = Checkpoint::from_bytes(file)?;
/// let metadata = checkpoint.metadata().ok_or("a GGUF file has metadata")?;
/// assert_eq!(metadata.str("general.architecture")?, Some("llama"));
/// assert_eq!(checkpoint.weights().names().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    /// Where sidecar files lie.
    directory: Option<PathBuf>,
    tensors: Stored,
    about: About,
    limits: Limits,
}

/// The tensors as the decoder sees them.
#[derive(Debug)]
enum Stored {
    Whole(Tensors),
    /// Of a model that another program quantized.
    InParts(PackedTensors),
}

impl Stored {
    /// A description of the quantization that is not understood is an error of [`Description`](crate::Description), not of opening: the
    /// other files of the checkpoint are good.
    fn new(tensors: Tensors, config: &Map<String, Value>) -> Result<Self, Error> {
        match packed::scheme(config) {
            Ok(Some(scheme)) => Ok(Self::InParts(PackedTensors::new(tensors, scheme)?)),
            Ok(None) | Err(_) => Ok(Self::Whole(tensors)),
        }
    }
}

#[derive(Debug)]
enum About {
    Gguf(Metadata),
    Safetensors(Map<String, Value>),
}

/// How a checkpoint is opened; from [`Checkpoint::options`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckpointOptions {
    mode: ReadMode,
    limits: Limits,
    config: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl CheckpointOptions {
    /// Map the files (the default) or read them.
    #[must_use]
    pub fn mode(mut self, mode: ReadMode) -> Self {
        self.mode = mode;
        self
    }

    /// Other bounds on what the files may claim.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another `config.json` in place of the one beside the weights. GGUF files have none and refuse it.
    #[must_use]
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(path.into());
        self
    }

    /// Another directory of the Hugging Face cache than [`default_cache_dir`](crate::loader::default_cache_dir).
    #[must_use]
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// Opens a checkpoint: a `.gguf` file (any part of a split one), a `.safetensors` file with a `config.json` next to it, or a directory
    /// with either. Also opens a model from the local Hugging Face cache by its id: `org/name` or `org/name@revision`. A path that exists
    /// is never taken for an id. Nothing is downloaded.
    ///
    /// # Errors
    /// [`Error::NotFound`] lists the places that were searched; [`Error::WrongFile`] names the kind of file that was found instead;
    /// [`Error::Truncated`], [`Error::Malformed`], [`Error::Limit`], [`Error::Missing`] for damaged or incomplete checkpoints.
    pub fn open(self, path_or_id: impl AsRef<Path>) -> Result<Checkpoint, Error> {
        let path = path_or_id.as_ref();
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => self.open_directory(path),
            Ok(_) => self.open_file(path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => self.open_id(path),
            Err(e) => Err(Error::io(path, e)),
        }
    }

    /// A GGUF file that is in memory already; see [`Checkpoint::from_bytes`].
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(self, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Checkpoint, Error> {
        let what = "bytes in memory";
        if let Some(config) = &self.config {
            return Err(config_beside_gguf(config));
        }
        let (metadata, tensors) = gguf::from_bytes(SharedBytes::new(bytes), what, &self.limits)?;
        Ok(Checkpoint {
            path: what.into(),
            directory: None,
            tensors: Stored::Whole(tensors),
            about: About::Gguf(metadata),
            limits: self.limits,
        })
    }

    /// A safetensors file that is in memory already, with the text of its `config.json`. There are no files beside it.
    ///
    /// # Errors
    /// As [`CheckpointOptions::open`] for the content.
    pub fn from_safetensors(
        self,
        config: &[u8],
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    ) -> Result<Checkpoint, Error> {
        let what = "bytes in memory";
        let config = json::object(config, "config.json", &self.limits)?;
        let shard = safetensors::read(SharedBytes::new(bytes), what.to_owned(), &self.limits)?;
        let tensors = Stored::new(Tensors::new(vec![shard], &self.limits)?, &config)?;
        let about = About::Safetensors(config);
        Ok(Checkpoint { path: what.into(), directory: None, tensors, about, limits: self.limits })
    }

    fn open_id(self, path: &Path) -> Result<Checkpoint, Error> {
        let not_found = |detail: &str| Error::NotFound { what: path.display().to_string(), detail: detail.into() };
        let id = path.to_str().and_then(ModelId::parse);
        let id = id.ok_or_else(|| not_found("no such path, and not of the form `org/name` or `org/name@revision`"))?;
        let cache = self.cache.clone().or_else(hub::default_cache_dir);
        let cache = cache.ok_or_else(|| not_found("no such path, and no home directory with a cache"))?;
        let snapshot = hub::snapshot(&id, &cache)?;
        self.open_directory(&snapshot)
    }

    fn open_file(self, path: &Path) -> Result<Checkpoint, Error> {
        // Asked before opening: opening a named pipe would block.
        mmap::regular(path, &fs::metadata(path).map_err(|e| Error::io(path, e))?)?;
        let file = fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let mut first = Vec::new();
        file.take(512).read_to_end(&mut first).map_err(|e| Error::io(path, e))?;
        let named = |extension: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
        if first.starts_with(&gguf::MAGIC) || named("gguf") {
            return self.open_gguf(path);
        }
        let is_index = file_name(path).ends_with(safetensors::INDEX_SUFFIX);
        let found = FileKind::of(&first);
        // A page or a pointer that was saved under this name often stands alone: its kind is the mistake, not its missing configuration.
        let is_foreign = matches!(
            found,
            FileKind::Empty
                | FileKind::GitLfsPointer { .. }
                | FileKind::Html
                | FileKind::Zip
                | FileKind::Pickle
                | FileKind::Packed { .. }
        );
        if is_index || named("safetensors") && !is_foreign {
            let directory = path.parent().unwrap_or(Path::new("")).to_owned();
            return self.open_safetensors(path, is_index, directory);
        }
        let expected = if named("safetensors") { "a safetensors file" } else { "a GGUF or safetensors file" };
        Err(Error::WrongFile { what: path.display().to_string(), expected, found })
    }

    fn open_gguf(self, path: &Path) -> Result<Checkpoint, Error> {
        if let Some(config) = &self.config {
            return Err(config_beside_gguf(config));
        }
        let (metadata, tensors) = gguf::open(path, self.mode, &self.limits)?;
        let (path, tensors) = (path.to_owned(), Stored::Whole(tensors));
        Ok(Checkpoint { path, directory: None, tensors, about: About::Gguf(metadata), limits: self.limits })
    }

    fn open_safetensors(self, path: &Path, is_index: bool, directory: PathBuf) -> Result<Checkpoint, Error> {
        // First the small file: a missing configuration is the likelier mistake.
        let config_path = self.config.clone().unwrap_or_else(|| directory.join("config.json"));
        let what = config_path.display().to_string();
        let bytes = mmap::read_small(&config_path, self.limits.config_bytes)?;
        let bytes = bytes.ok_or_else(|| Error::Missing { kind: "file", name: what.clone() })?;
        let mut config = json::object(&bytes, &what, &self.limits)?;
        if !packed::is_said(&config) {
            let path = directory.join(packed::MODELOPT_FILE);
            if let Some(bytes) = mmap::read_small(&path, self.limits.config_bytes)? {
                packed::adopt(&mut config, json::object(&bytes, &path.display().to_string(), &self.limits)?);
            }
        }
        let open = if is_index { safetensors::open_index } else { safetensors::open };
        let tensors = Stored::new(open(path, self.mode, &self.limits)?, &config)?;
        let path = path.to_owned();
        let about = About::Safetensors(config);
        Ok(Checkpoint { path, directory: Some(directory), tensors, about, limits: self.limits })
    }

    /// The order is that of Hugging Face: one file before shards. GGUF only where there are no safetensors.
    fn open_directory(self, directory: &Path) -> Result<Checkpoint, Error> {
        for name in ["model.safetensors", "model.safetensors.index.json"] {
            let path = directory.join(name);
            if path.is_file() {
                return self.open_safetensors(&path, name.ends_with(safetensors::INDEX_SUFFIX), directory.to_owned());
            }
        }
        let names = list(directory, self.limits.sidecar_bytes.min(1 << 16))?;
        let first_parts = |extension: &str| -> Vec<&PathBuf> {
            let is_first = |path: &Path| ShardName::parse(path).is_none_or(|name| name.is_first());
            let wanted = |path: &Path| path.extension() == Some(OsStr::new(extension)) && is_first(path);
            names.iter().filter(|path| wanted(path)).collect()
        };
        let indexes: Vec<_> = names.iter().filter(|p| file_name(p).ends_with(safetensors::INDEX_SUFFIX)).collect();
        let mut gguf = first_parts("gguf");
        if let [index] = indexes.as_slice() {
            return self.open_safetensors(index, true, directory.to_owned());
        }
        match first_parts("safetensors").as_slice() {
            [] => {}
            [one] => return self.open_safetensors(one, false, directory.to_owned()),
            many => return Err(ambiguous(directory, many)),
        }
        // Vision projectors lie beside the models they belong to.
        gguf.retain(|path| !file_name(path).contains("mmproj"));
        match gguf.as_slice() {
            [one] => self.open_gguf(one),
            [] => {
                let pickled =
                    names.iter().find(|p| matches!(p.extension().and_then(OsStr::to_str), Some("bin" | "pth" | "pt")));
                let mut detail = "the directory holds neither safetensors nor GGUF files".to_owned();
                if let Some(path) = pickled {
                    detail = format!(
                        "{detail}; {} looks like a checkpoint of `torch.save`, which is not read: convert it to safetensors",
                        file_name(path)
                    );
                }
                Err(Error::NotFound { what: directory.display().to_string(), detail })
            }
            many => Err(ambiguous(directory, many)),
        }
    }
}

fn config_beside_gguf(config: &Path) -> Error {
    Unsupported::ConfigFile { path: config.to_owned() }.into()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// The entries of a directory in order of their names, at most `limit`.
fn list(directory: &Path, limit: u64) -> Result<Vec<PathBuf>, Error> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| Error::io(directory, e))? {
        if all.len() as u64 >= limit {
            let what = format!("number of entries of {}", directory.display());
            return Err(Error::Limit { what, limit, found: all.len() as u64 + 1 });
        }
        all.push(entry.map_err(|e| Error::io(directory, e))?.path());
    }
    all.sort();
    Ok(all)
}

fn ambiguous(directory: &Path, paths: &[&PathBuf]) -> Error {
    let shown: Vec<_> = paths.iter().take(8).map(|path| file_name(path)).collect();
    let detail = format!("{} checkpoints are there, open one of them by its path: {}", paths.len(), shown.join(", "));
    Error::NotFound { what: directory.display().to_string(), detail }
}

impl Checkpoint {
    /// Opens a checkpoint with the default options; see [`CheckpointOptions::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(path_or_id: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open(path_or_id)
    }

    /// Options to open with.
    pub fn options() -> CheckpointOptions {
        CheckpointOptions::default()
    }

    /// A GGUF file that is in memory already, such as one embedded in the program: `include_bytes!` is not copied.
    ///
    /// # Errors
    /// As [`CheckpointOptions::open`] for the content.
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, Error> {
        Self::options().from_bytes(bytes)
    }

    /// The container.
    pub fn kind(&self) -> CheckpointKind {
        match self.about {
            About::Gguf(_) => CheckpointKind::Gguf,
            About::Safetensors(_) => CheckpointKind::Safetensors,
        }
    }

    /// The file that was opened: of a directory or id, the one that was chosen there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors. Weights that another program quantized (see the docs of [`loader`](crate::loader)) are put together each time that
    /// they are asked for.
    pub fn weights(&self) -> &dyn Weights {
        match &self.tensors {
            Stored::Whole(tensors) => tensors,
            Stored::InParts(tensors) => tensors,
        }
    }

    /// Which file of a split checkpoint holds a tensor; `None` also for tensors that are put together from several.
    pub(crate) fn shard_of(&self, name: &str) -> Option<usize> {
        match &self.tensors {
            Stored::Whole(tensors) => tensors.shard_of(name),
            Stored::InParts(tensors) => tensors.shard_of(name),
        }
    }

    /// The metadata of a GGUF file; for a split model, of its first part.
    pub fn metadata(&self) -> Option<&Metadata> {
        if let About::Gguf(metadata) = &self.about { Some(metadata) } else { None }
    }

    /// The `config.json` of a safetensors checkpoint.
    pub fn config_json(&self) -> Option<&Map<String, Value>> {
        if let About::Safetensors(config) = &self.about { Some(config) } else { None }
    }

    /// The bytes of all tensors together: what the weights take in memory once every one was used. Of weights that another program
    /// quantized, the bytes in the file.
    pub fn tensor_bytes(&self) -> u64 {
        match &self.tensors {
            Stored::Whole(tensors) => tensors.tensor_bytes(),
            Stored::InParts(tensors) => tensors.tensor_bytes(),
        }
    }

    /// Reads a file next to safetensors weights, such as `tokenizer.json` or `chat_template.jinja`. Returns `None` if there is no such
    /// file, and always for GGUF, which holds this data itself: other files in its directory may belong to other models.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Limit`] above [`Limits::sidecar_bytes`]; [`Error::NotFound`] for a name that leads out
    /// of the directory; [`Error::WrongFile`] for a git-lfs pointer or a web page in place of the file.
    pub fn file(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let relative = Path::new(name);
        if name.is_empty() || !relative.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(Error::NotFound { what: name.to_owned(), detail: "not a plain file name".into() });
        }
        let path = directory.join(relative);
        let bytes = mmap::read_small(&path, self.limits.sidecar_bytes)?;
        // An empty template or list of merges says nothing, and that is for its reader to judge.
        match bytes.as_deref().map(FileKind::of).filter(|found| found.stands_in() && *found != FileKind::Empty) {
            Some(found) => {
                Err(Error::WrongFile { what: path.display().to_string(), expected: "the file itself", found })
            }
            None => Ok(bytes),
        }
    }

    /// Returns the sorted names of the files in a folder next to safetensors weights. The list is empty without the folder.
    pub(crate) fn names_in(&self, folder: &str) -> Result<Vec<String>, Error> {
        let Some(folder) = self.directory.as_ref().map(|directory| directory.join(folder)).filter(|path| path.is_dir())
        else {
            return Ok(Vec::new());
        };
        let paths = list(&folder, self.limits.metadata_entries)?;
        Ok(paths.iter().map(|path| file_name(path).to_owned()).collect())
    }
}
