//! The one place of this crate with unsafe code: mapping a file into memory, and giving its pages back.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use mistral_quant::SharedBytes;

use crate::error::Error;
use crate::loader::file_kind::FileKind;

/// How the bytes of a checkpoint come into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadMode {
    /// Map the files: nothing is copied, pages come from the page cache at their first use and are shared between
    /// processes.
    ///
    /// The files must not change while the checkpoint is alive. A file that is truncated underneath kills the process
    /// with a signal at the next access (`SIGBUS` on Unix, an exception on Windows); one that is rewritten changes the
    /// weights. Choose [`ReadMode::Read`] where others may write to the files, or on network file systems that can
    /// fail.
    #[default]
    Map,
    /// Read the files into memory: as many bytes of memory as the files have, nothing can change underneath.
    Read,
}

/// The bytes of the regular file at `path`.
pub(crate) fn open(path: &Path, mode: ReadMode) -> Result<SharedBytes, Error> {
    let io = |e| Error::io(path, e);
    // Asked before opening: opening a named pipe would block.
    regular(path, &std::fs::metadata(path).map_err(io)?)?;
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    if len == 0 {
        return Ok(SharedBytes::new(Vec::new()));
    }
    match mode {
        ReadMode::Map => map(&file).map_err(io),
        ReadMode::Read => read(file, len).map(SharedBytes::new).map_err(io),
    }
}

/// Reads a small file, refusing one above `limit` bytes; `None` when there is none at this path.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
    };
    regular(path, &meta)?;
    if meta.len() > limit {
        return Err(Error::Limit { what: format!("size of {}", path.display()), limit, found: meta.len() });
    }
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    read(file, meta.len()).map(Some).map_err(|e| Error::io(path, e))
}

/// Refuses everything that is not a regular file.
pub(crate) fn regular(path: &Path, meta: &std::fs::Metadata) -> Result<(), Error> {
    if meta.is_file() {
        return Ok(());
    }
    let found = if meta.is_dir() { FileKind::Directory } else { FileKind::Special };
    Err(Error::WrongFile { what: path.display().to_string(), expected: "a regular file", found })
}

/// Exactly the `len` bytes that the file had when it was asked, or fewer if it shrank: never more memory than that.
fn read(file: File, len: u64) -> std::io::Result<Vec<u8>> {
    let too_large = |_| std::io::Error::from(std::io::ErrorKind::OutOfMemory);
    let mut bytes = Vec::new();
    let size = usize::try_from(len).map_err(|_| std::io::Error::from(std::io::ErrorKind::OutOfMemory))?;
    bytes.try_reserve_exact(size).map_err(too_large)?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[allow(unsafe_code)] // the single exception to the deny of this crate
fn map(file: &File) -> std::io::Result<SharedBytes> {
    // SAFETY: the map is read-only, lives behind an `Arc` for as long as any slice of it, and is never handed out as
    // anything but bytes, for which every bit pattern is valid. What remains is that another process changes or
    // truncates the file meanwhile, which no program can prevent on these systems: `ReadMode::Map` states it,
    // `ReadMode::Read` avoids it.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(SharedBytes::backed(map, release))
}

/// Gives the pages that lie wholly inside a range back to the system.
#[cfg(unix)]
#[allow(unsafe_code)] // the second half of the exception above
fn release(map: &memmap2::Mmap, range: Range<usize>) {
    /// The page, or the largest one in use where it differs from system to system.
    const PAGE: usize = if cfg!(target_arch = "x86_64") { 4096 } else { 64 * 1024 };
    let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
    if start < end {
        // SAFETY: the map is shared, read-only and backed by a file: a dropped page is read again from the file at the next
        // access, with the same bytes (see `map` for files that change). Failure leaves the pages where they are.
        let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
    }
}

/// Elsewhere the system takes clean pages back by itself when it needs them.
#[cfg(not(unix))]
fn release(_: &memmap2::Mmap, _: Range<usize>) {}
