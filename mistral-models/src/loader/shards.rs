//! Checkpoints that are split over files `STEM-00001-of-00003.EXT`, opened side by side.

use std::path::{Path, PathBuf};
use std::thread;

use crate::error::Error;
use crate::loader::limits::Limits;

/// A file name that says which part of a split checkpoint it is.
#[derive(Debug, Clone)]
pub(crate) struct ShardName {
    directory: PathBuf,
    stem: String,
    extension: String,
    no: u64,
    count: u64,
}

impl ShardName {
    /// `None` for a name of another form.
    pub(crate) fn parse(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        let (rest, count) = path.file_stem()?.to_str()?.rsplit_once("-of-")?;
        let (stem, no) = rest.rsplit_once('-')?;
        let number = |s: &str| (s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u64>().ok());
        let (no, count) = (number(no)??, number(count)??);
        if no == 0 || no > count {
            return None;
        }
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Some(Self { directory, stem: stem.to_owned(), extension: extension.to_owned(), no, count })
    }

    /// The part of the name before the numbers.
    pub(crate) fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether it is the first part.
    pub(crate) fn is_first(&self) -> bool {
        self.no == 1
    }

    /// All parts in order.
    pub(crate) fn siblings(&self, limits: &Limits) -> Result<Vec<PathBuf>, Error> {
        if self.count > limits.shards {
            return Err(Error::Limit { what: "number of shards".into(), limit: limits.shards, found: self.count });
        }
        let name = |no| format!("{}-{no:05}-of-{:05}.{}", self.stem, self.count, self.extension);
        let paths: Vec<_> = (1..=self.count).map(|no| self.directory.join(name(no))).collect();
        match paths.iter().find(|path| !path.exists()) {
            Some(path) => Err(Error::Missing { kind: "file", name: path.display().to_string() }),
            None => Ok(paths),
        }
    }
}

/// Opens several files on a few threads (opening waits for the disk more than it computes); results in the order of
/// `paths`.
pub(crate) fn open_all<T: Send>(
    paths: &[PathBuf],
    open: impl Fn(&PathBuf) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(2, 8);
    let chunk = paths.len().div_ceil(threads).max(1);
    let open = &open;
    thread::scope(|scope| {
        let mut chunks = paths.chunks(chunk);
        let here = chunks.next().unwrap_or_default();
        let mut running = Vec::new();
        for part in chunks {
            let work = move || part.iter().map(open).collect::<Result<Vec<T>, Error>>();
            let io = |e| Error::io(part.first().map(PathBuf::as_path).unwrap_or(Path::new("")), e);
            running.push(thread::Builder::new().name("open shard".into()).spawn_scoped(scope, work).map_err(io)?);
        }
        let mut all = here.iter().map(open).collect::<Result<Vec<T>, Error>>()?;
        for worker in running {
            all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
